//! Rules that came and went while the session was open, after a crash.

use steadfast::ir::Rule;
use steadfast::prelude::*;
use steadfast::{Error, Ruleset};

use super::{Sight, World};
use crate::support::{Disk, durable, fire, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hold {
    order: u64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Alarm {
    order: u64,
}

#[rule(logical)]
fn hold(o: &Order) -> Hold {
    say(format!("hold {}", o.id));
    Hold { order: o.id }
}

#[rule(logical)]
fn alarm(h: &Hold) -> Alarm {
    say(format!("alarm {}", h.order));
    Alarm { order: h.order }
}

ruleset!(old = 1: hold; facts: Alarm);

fn grown() -> Ruleset {
    old().rule(alarm::definition())
}

fn shrunk() -> Ruleset {
    Ruleset::new("old", 1).fact::<Order>().rule(alarm::definition())
}

/// Two orders of which one has fired, and one that is staged.
fn world() -> (Disk, Session) {
    let disk = Disk::new();
    let mut session = disk.open(old());
    session.insert(Order { id: 1 }).unwrap();
    session.insert(Order { id: 2 }).unwrap();
    session.fire(1).unwrap();
    session.insert(Order { id: 3 }).unwrap();
    assert_eq!(said(), ["hold 1"]);
    (disk, session)
}

fn refused(disk: &Disk, rules: Ruleset) -> String {
    match disk.try_open(rules) {
        Err(error @ Error::Recover(_)) => error.report(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rule_that_was_added_is_there_after_a_crash_if_the_ruleset_has_it() {
    let (disk, mut session) = world();
    session.add_rule(&alarm::definition()).unwrap();
    assert_eq!(session.pending().len(), 3);
    let crash = disk.crash();
    let mut back = crash.open(grown());
    assert_eq!(Sight::of(&back), Sight::of(&session));
    let rest = ["hold 2", "hold 3", "alarm 1", "alarm 2", "alarm 3"];
    assert_eq!(fire(&mut session), rest);
    assert_eq!(fire(&mut back), rest);
    assert_eq!(Sight::of(&back), Sight::of(&session));
    drop(back);
    let report = refused(&crash, old());
    assert!(report.contains("SF0002") && report.contains("alarm` was removed"), "{report}");
}

#[test]
fn a_rule_that_was_removed_stays_away_after_a_crash() {
    let (disk, mut session) = world();
    session.add_rule(&alarm::definition()).unwrap();
    session.fire(1).unwrap();
    said();
    session.remove_rule(&hold::definition().path).unwrap();
    assert_eq!(session.fact_count(), 3, "what it held is gone with what stood on that");
    assert!(session.pending().is_empty());
    let mut back = disk.crash().open(shrunk());
    assert_eq!(Sight::of(&back), Sight::of(&session));
    for session in [&mut session, &mut back] {
        session.insert(Hold { order: 7 }).unwrap();
        assert_eq!(fire(session), ["alarm 7"]);
    }
    assert_eq!(Sight::of(&back), Sight::of(&session));
    let report = refused(&disk.crash(), grown());
    assert!(report.contains("SF0002") && report.contains("hold` is new"), "{report}");
}

#[test]
fn adding_and_removing_a_rule_is_the_same_as_opening_with_other_rules() {
    for (change, rules) in [
        (
            (|w| w.session.add_rule(&alarm::definition()).unwrap()) as fn(&mut World),
            grown as fn() -> Ruleset,
        ),
        (
            |w| w.session.remove_rule(&hold::definition().path).unwrap(),
            || Ruleset::new("old", 1).fact::<Order>().fact::<Hold>().fact::<Alarm>(),
        ),
    ] {
        let (disk, mut session) = world();
        session.flush().unwrap();
        let closed = disk.crash();
        let mut opened = durable(&closed.path())
            .on_changed_rules(RulesPolicy::Reevaluate)
            .open(rules())
            .unwrap();
        let mut world = World { session, held: super::Held::new() };
        change(&mut world);
        assert_eq!(Sight::of(&opened), Sight::of(&world.session));
        assert_eq!(fire(&mut opened), fire(&mut world.session));
        assert_eq!(Sight::of(&opened), Sight::of(&world.session));
    }
}

#[test]
fn a_session_whose_rules_changed_goes_on_through_many_crashes() {
    let (mut disk, mut session) = world();
    for round in 0..3 {
        session.add_rule(&alarm::definition()).unwrap();
        disk = disk.crash();
        session = disk.open(grown());
        session.insert(Order { id: 10 + round }).unwrap();
        fire(&mut session);
        assert_eq!(session.query::<Alarm>().unwrap().len(), 4 + usize::try_from(round).unwrap());
        session.remove_rule(&alarm::definition().path).unwrap();
        disk = disk.crash();
        session = disk.open(old());
        assert!(session.query::<Alarm>().unwrap().is_empty());
    }
}
