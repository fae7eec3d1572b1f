//! Absences over several events that time decides by way of one another, over restarts (scenario 55).

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{fire, memory, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Desk {
    id: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event)]
struct Call {
    id: u32,
    desk: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event)]
struct Answer {
    call: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event)]
struct Thanks {
    call: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, duration = lasted)]
struct Talk {
    call: u32,
    lasted: i64,
}

fn at(world: &mut World, millis: i64) {
    world.session.advance_clock(millis).unwrap();
}

fn call(world: &mut World, id: u32) {
    world.session.insert(Call { id, desk: 1 }).unwrap();
}

fn answer(world: &mut World, call: u32) {
    world.session.insert(Answer { call }).unwrap();
}

fn thanks(world: &mut World, call: u32) {
    world.session.insert(Thanks { call }).unwrap();
}

/// Thanks may come eight seconds after the call: five for the answer, and three from that on.
#[rule]
fn without_thanks(
    c: &Call,
    #[not(
        a: Answer, a.call == c.id && after(a, c, 0..=5s);
        t: Thanks, t.call == a.call && after(t, a, 0..=3s)
    )]
    _n: Absent<(Answer, Thanks)>,
) {
    say(format!("no thanks for {}", c.id));
}

ruleset!(polite = 1: without_thanks);

#[test]
fn scenario_55_a_not_over_several_patterns_waits_for_what_one_of_them_leaves_another() {
    survives(
        polite,
        &[
            step("a call", |w| call(w, 1), []),
            step("another", |w| call(w, 2), []),
            step("the last moment for answers", |w| at(w, 5_000), []),
            step("an answer", |w| answer(w, 1), []),
            step("and one", |w| answer(w, 2), []),
            step("no further one", |w| at(w, 5_001), []),
            step("thanks may come", World::fire, []),
            step("the last moment for thanks", |w| at(w, 8_000), []),
            step("which come", |w| thanks(w, 2), []),
            step("not yet", World::fire, []),
            step("past it", |w| at(w, 8_001), []),
            step("it is pending", |w| assert_eq!(w.session.pending().len(), 1), []),
            step("fire", World::fire, ["no thanks for 1"]),
        ],
    );
}

/// An answer is without thanks when three seconds have passed; so that is not known before.
#[rule]
fn nothing_missing(
    c: &Call,
    #[not(
        a: Answer, a.call == c.id && after(a, c, 0..=5s);
        not(t: Thanks, t.call == a.call && after(t, a, 0..=3s))
    )]
    _n: Absent<(Answer, Thanks)>,
) {
    say(format!("every answer to {} had thanks", c.id));
}

ruleset!(complete = 1: nothing_missing);

#[test]
fn scenario_55_a_not_waits_for_the_decision_on_absences_inside_of_it() {
    survives(
        complete,
        &[
            step("a call", |w| call(w, 1), []),
            step("another", |w| call(w, 2), []),
            step("the last moment for answers", |w| at(w, 5_000), []),
            step("an answer", |w| answer(w, 1), []),
            step("and one", |w| answer(w, 2), []),
            step("a moment later", |w| at(w, 6_000), []),
            step("neither is thanked yet", World::fire, []),
            step("one is", |w| thanks(w, 2), []),
            step("for the other it is over", |w| at(w, 8_001), []),
            step("not pending", |w| assert!(w.session.pending().is_empty()), []),
            step("so that one is known", |w| at(w, 8_002), []),
            step("fire", World::fire, ["every answer to 2 had thanks"]),
            step("thanks that come late", |w| thanks(w, 1), []),
            step("do not count", World::fire, []),
        ],
    );
}

/// Of each call it is known after eight seconds.
#[rule]
fn all_is_well(
    d: &Desk,
    #[forall(
        c: Call, c.desk == d.id;
        a: Answer, a.call == c.id && after(a, c, 0..=5s);
        t: Thanks, t.call == a.call && after(t, a, 0..=3s)
    )]
    _all: Forall<(Call, Answer, Thanks)>,
) {
    say(format!("all is well at {}", d.id));
}

ruleset!(desks = 1: all_is_well);

#[test]
fn scenario_55_an_absence_over_several_inside_of_others_is_decided_when_its_time_has_passed() {
    survives(
        desks,
        &[
            step("a desk", |w| w.insert("d", Desk { id: 1 }), []),
            step("no calls", World::fire, ["all is well at 1"]),
            step("a call", |w| call(w, 1), []),
            step("1 s", |w| at(w, 1_000), []),
            step("another", |w| call(w, 2), []),
            step("which may still be answered", World::fire, []),
            step("an answer", |w| answer(w, 1), []),
            step("and thanks", |w| thanks(w, 1), []),
            step("the first is over", |w| at(w, 8_001), []),
            step("and was well", World::fire, []),
            step("the second is", |w| at(w, 9_001), []),
            step("and was not", World::fire, []),
            step("an answer in time, as it turns out", |w| answer(w, 2), []),
            step("but it was not", World::fire, []),
            step(
                "the call is taken back",
                |w| {
                    let calls = w.session.query::<Call>().unwrap();
                    let last = calls[1].handle();
                    drop(calls);
                    w.session.delete(last).unwrap();
                },
                [],
            ),
            step("fire", World::fire, ["all is well at 1"]),
        ],
    );
}

#[test]
fn why_not_says_when_an_absence_over_several_inside_is_decided() {
    #[rule]
    fn somebody_waits(
        d: &Desk,
        #[exists(
            c: Call, c.desk == d.id;
            not(a: Answer, a.call == c.id && after(a, c, 0..=5s); t: Thanks, t.call == a.call && after(t, a, 0..=3s))
        )]
        _e: Exists<(Call, Answer, Thanks)>,
    ) {
    }
    ruleset!(waits = 1: somebody_waits);
    let mut session = memory(waits());
    let desk = session.insert(Desk { id: 1 }).unwrap();
    session.insert(Call { id: 1, desk: 1 }).unwrap();
    session.flush().unwrap();
    let why = session.why_not::<somebody_waits>(&[desk.fact()]).unwrap().to_string();
    assert!(why.contains("is not blocked, which is decided at 8001 ms"), "{why}");
    session.advance_clock(8_001).unwrap();
    assert!(session.why_not::<somebody_waits>(&[desk.fact()]).unwrap().matches);
}

#[test]
fn of_two_bounds_in_time_the_one_that_ends_first_decides() {
    #[rule]
    fn nothing_between(
        c: &Call,
        #[when(a.call == c.id)] a: &Answer,
        #[not(after(t, c, 0..=1m) && before(t, a, 0..=1m))] t: Absent<Thanks>,
    ) {
        say(format!("nothing between {} and its answer", c.id));
    }
    ruleset!(between = 1: nothing_between);
    let mut session = memory(between());
    session.insert(Call { id: 1, desk: 1 }).unwrap();
    session.advance_clock(2_000).unwrap();
    session.insert(Answer { call: 1 }).unwrap();
    assert!(fire(&mut session).is_empty(), "it may still come at the same moment");
    session.advance_clock(2_001).unwrap();
    assert_eq!(fire(&mut session), ["nothing between 1 and its answer"]);
}

#[test]
fn a_not_that_time_bounds_in_part_is_warned_of() {
    // The talk may last for ever, so that nothing bounds the thanks.
    #[rule]
    fn behind_what_lasts(
        c: &Call,
        #[not(k: Talk, k.call == c.id && after(k, c, 0..=5s); t: Thanks, t.call == k.call && after(t, k, 0..=3s))]
        _n: Absent<(Talk, Thanks)>,
    ) {
    }
    #[rule]
    fn by_its_beginning(
        c: &Call,
        #[not(k: Talk, k.call == c.id && after(k, c, 0..=5s); t: Thanks, t.call == k.call && within(t, k, 3s))]
        _n: Absent<(Talk, Thanks)>,
    ) {
    }
    #[rule]
    fn without_any_time(
        d: &Desk,
        #[not(c: Call, c.desk == d.id; t: Thanks, t.call == c.id)] _n: Absent<(Call, Thanks)>,
    ) {
    }
    ruleset!(all = 1: behind_what_lasts, by_its_beginning, without_any_time);
    let texts: Vec<String> = all().warnings().iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("behind_what_lasts"), "{texts:?}");
    assert!(texts[0].contains("`t` may come at any time; bound it as well"), "{texts:?}");
}
