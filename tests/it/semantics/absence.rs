//! S54 to S58 and S63: `not`, `exists`, and a type joined with itself.

use steadfast::prelude::*;

use crate::support::{fire, memory, pending, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Room {
    name: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Smoke {
    room: String,
    percent: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Quiet {
    room: String,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {
    room: String,
}

#[rule(logical)]
fn quiet(r: &Room, #[not(s.room == r.name && s.percent > 10)] s: Absent<Smoke>) -> Quiet {
    say(format!("{} is quiet", r.name));
    Quiet { room: r.name.clone() }
}

#[rule(logical)]
fn alarm(r: &Room, #[exists(s.room == r.name && s.percent > 10)] s: Exists<Smoke>) -> Alarm {
    say(format!("{} is on fire", r.name));
    Alarm { room: r.name.clone() }
}

ruleset!(silence = 1: quiet);
ruleset!(fires = 1: alarm);

fn smoke(percent: u32) -> Smoke {
    Smoke { room: "hall".to_owned(), percent }
}

fn hall(session: &mut Session) {
    session.insert(Room { name: "hall".to_owned() }).unwrap();
}

#[test]
fn s54_not_holds_without_a_blocker_and_again_when_the_last_one_goes() {
    let mut session = memory(silence());
    hall(&mut session);
    assert_eq!(fire(&mut session), ["hall is quiet"]);
    let one = session.insert(smoke(50)).unwrap();
    let two = session.insert(smoke(60)).unwrap();
    assert!(fire(&mut session).is_empty());
    assert!(session.query::<Quiet>().unwrap().is_empty());
    session.delete(one).unwrap();
    assert!(fire(&mut session).is_empty(), "one blocker is left");
    session.update(two, |s| s.percent = 5).unwrap();
    assert_eq!(fire(&mut session), ["hall is quiet"]);
    assert_eq!(session.query::<Quiet>().unwrap().len(), 1);
    // Smoke elsewhere, or not enough of it, is no blocker.
    session.insert(smoke(10)).unwrap();
    session.insert(Smoke { room: "attic".to_owned(), percent: 90 }).unwrap();
    assert!(fire(&mut session).is_empty());
}

#[test]
fn s55_one_blocker_for_another_between_two_evaluations_changes_nothing() {
    let mut session = memory(silence());
    hall(&mut session);
    let one = session.insert(smoke(50)).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(one).unwrap();
    let two = session.insert(smoke(60)).unwrap();
    assert!(fire(&mut session).is_empty());

    // Neither does a blocker that comes and goes: the match and what it supports stay.
    session.delete(two).unwrap();
    assert_eq!(fire(&mut session), ["hall is quiet"]);
    let fact = session.query::<Quiet>().unwrap()[0].handle();
    let passing = session.insert(smoke(70)).unwrap();
    session.delete(passing).unwrap();
    assert!(fire(&mut session).is_empty());
    assert_eq!(session.query::<Quiet>().unwrap()[0].handle(), fact);

    // With an evaluation in between it is another story.
    let passing = session.insert(smoke(70)).unwrap();
    session.flush().unwrap();
    session.delete(passing).unwrap();
    assert_eq!(fire(&mut session), ["hall is quiet"]);
    assert_ne!(session.query::<Quiet>().unwrap()[0].handle(), fact);
}

#[test]
fn s56_exists_is_one_match_however_many_facts_there_are() {
    let mut session = memory(fires());
    hall(&mut session);
    let one = session.insert(smoke(50)).unwrap();
    let two = session.insert(smoke(60)).unwrap();
    assert_eq!(fire(&mut session), ["hall is on fire"]);
    session.insert(smoke(70)).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(one).unwrap();
    session.delete(two).unwrap();
    assert!(fire(&mut session).is_empty());
    assert_eq!(session.query::<Alarm>().unwrap().len(), 1);
    // One supporter for another in one evaluation is no gap.
    let last = session.query::<Smoke>().unwrap()[0].handle();
    session.delete(last).unwrap();
    let other = session.insert(smoke(80)).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(other).unwrap();
    assert!(session.query::<Alarm>().unwrap().is_empty());
    session.insert(smoke(90)).unwrap();
    assert_eq!(fire(&mut session), ["hall is on fire"]);
}

#[test]
fn s54_s56_what_unblocks_and_what_supports_decides_the_order() {
    ruleset!(both = 1: quiet, alarm);
    let mut session = memory(both());
    for name in ["attic", "hall"] {
        session.insert(Room { name: name.to_owned() }).unwrap();
    }
    let smoke_in = |session: &mut Session, room: &str| {
        session.insert(Smoke { room: room.to_owned(), percent: 50 }).unwrap()
    };
    // Of two rooms, the younger one is on fire first.
    let hall = smoke_in(&mut session, "hall");
    let attic = smoke_in(&mut session, "attic");
    assert_eq!(fire(&mut session), ["hall is on fire", "attic is on fire"]);
    // The last operation that was needed counts, not the first one.
    let more = smoke_in(&mut session, "attic");
    session.flush().unwrap();
    for gone in [attic, hall, more] {
        session.delete(gone).unwrap();
    }
    assert_eq!(fire(&mut session), ["hall is quiet", "attic is quiet"]);
}

#[test]
fn s57_an_update_of_what_still_blocks_or_supports_fires_nothing() {
    ruleset!(both = 1: quiet, alarm);
    let mut session = memory(both());
    hall(&mut session);
    let one = session.insert(smoke(50)).unwrap();
    assert_eq!(fire(&mut session), ["hall is on fire"]);
    session.update(one, |s| s.percent = 55).unwrap();
    assert!(pending(&mut session).is_empty());
    session.touch(one).unwrap();
    assert!(pending(&mut session).is_empty());
    assert_eq!(session.query::<Alarm>().unwrap().len(), 1);
}

#[test]
fn s58_a_rule_may_begin_with_an_absence_and_holds_from_the_start() {
    #[rule]
    fn empty(r: Absent<Room>) {
        say("no rooms");
    }
    #[rule]
    fn some(r: Exists<Room>) {
        say("rooms");
    }
    #[rule]
    fn count(#[aggregate(count())] g: Group<Room, (), (u64,)>) {
        say(format!("{} rooms", g.0));
    }
    ruleset!(census = 1: empty, some, count);
    let mut session = memory(census());
    assert_eq!(fire(&mut session), ["no rooms", "0 rooms"]);
    assert!(fire(&mut session).is_empty());
    hall(&mut session);
    assert_eq!(fire(&mut session), ["rooms", "1 rooms"]);
}

#[test]
fn s63_a_type_joined_with_itself_pairs_a_fact_with_itself_unless_told_otherwise() {
    #[rule]
    fn pairs(a: &Room, #[cross] b: &Room) {
        say(format!("{}{}", a.name, b.name));
    }
    #[rule]
    fn couples(a: &Room, #[when(a.name < b.name)] b: &Room) {
        say(format!("{}{}", a.name, b.name));
    }
    #[rule]
    fn another(
        a: &Room,
        #[cross]
        #[distinct]
        b: &Room,
    ) {
        say(format!("{}{}", a.name, b.name));
    }
    ruleset!(all = 1: pairs);
    ruleset!(different = 1: couples);
    ruleset!(others = 1: another);
    let cases = [
        (all(), vec!["aa", "ab", "ba", "bb"]),
        (different(), vec!["ab"]),
        (others(), vec!["ab", "ba"]),
    ];
    for (rules, expected) in cases {
        let mut session = memory(rules);
        for name in ["a", "b"] {
            session.insert(Room { name: name.to_owned() }).unwrap();
        }
        assert_eq!(fire(&mut session), expected);
    }
}

#[test]
fn s63_distinct_keeps_an_absence_apart_from_the_facts_of_its_match() {
    #[rule]
    fn alone(
        r: &Room,
        #[not(other.name == r.name)]
        #[distinct]
        other: Absent<Room>,
    ) {
        say(format!("only one {}", r.name));
    }
    ruleset!(solitude = 1: alone);
    let mut session = memory(solitude());
    hall(&mut session);
    assert_eq!(fire(&mut session), ["only one hall"]);
    hall(&mut session);
    session.insert(Room { name: "attic".to_owned() }).unwrap();
    assert_eq!(fire(&mut session), ["only one attic"]);
}
