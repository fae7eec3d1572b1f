//! Derived facts, and handles that clients keep, over restarts.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{Disk, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct A(u64);
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct B(u64);
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct C(u64);

#[rule(logical)]
fn b_of_a(a: &A) -> B {
    say(format!("b {}", a.0));
    B(a.0)
}

#[rule(logical)]
fn c_of_b(b: &B) -> C {
    say(format!("c {}", b.0));
    C(b.0)
}

ruleset!(chain = 1: b_of_a, c_of_b; facts: C);

#[test]
fn a_derived_fact_goes_with_its_support() {
    survives(
        chain,
        &[
            step("a", |w| w.insert("a", A(1)), []),
            step("fire", World::fire, ["b 1", "c 1"]),
            step("its support goes", |w| w.delete::<A>("a"), []),
            step("evaluate", World::flush, []),
            step("nothing is left", |w| assert_eq!(w.session.fact_count(), 0), []),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn a_chain_of_derived_facts_fires_nothing_again_and_falls_as_a_whole() {
    survives(
        chain,
        &[
            step(
                "two",
                |w| {
                    w.insert("a", A(1));
                    w.insert("other", A(2));
                },
                [],
            ),
            step("one firing", |w| w.fire_some(1), ["b 1"]),
            step("one firing", |w| w.fire_some(1), ["b 2"]),
            step("fire", World::fire, ["c 1", "c 2"]),
            step("fire", World::fire, []),
            step("one goes", |w| w.delete::<A>("a"), []),
            step(
                "its chain is gone",
                |w| {
                    assert_eq!((w.count::<B>(), w.count::<C>()), (1, 1));
                },
                [],
            ),
        ],
    );
}

#[test]
fn a_fact_with_two_supports_needs_to_lose_both() {
    survives(
        chain,
        &[
            step(
                "two equal ones",
                |w| {
                    w.insert("a", A(1));
                    w.insert("twin", A(1));
                },
                [],
            ),
            step("fire", World::fire, ["b 1", "b 1", "c 1"]),
            step("one goes", |w| w.delete::<A>("a"), []),
            step("evaluate", World::flush, []),
            step("it is still there", |w| assert_eq!(w.count::<B>(), 1), []),
            step("the other goes", |w| w.delete::<A>("twin"), []),
            step("it is gone", |w| assert_eq!(w.count::<B>(), 0), []),
        ],
    );
}

#[test]
fn a_fact_that_is_both_stated_and_derived_survives_the_end_of_either() {
    survives(
        chain,
        &[
            step("a", |w| w.insert("a", A(1)), []),
            step("fire", World::fire, ["b 1", "c 1"]),
            step("b is stated, too", |w| w.insert("b", B(1)), []),
            step("its support goes", |w| w.delete::<A>("a"), []),
            step("it is still there", |w| assert_eq!(w.count::<B>(), 1), []),
            step("a again", |w| w.insert("again", A(1)), []),
            step("fire", World::fire, ["b 1"]),
            step("it is stated no more", |w| w.delete::<B>("b"), []),
            step("it is still there", |w| assert_eq!(w.count::<B>(), 1), []),
            step("its support goes", |w| w.delete::<A>("again"), []),
            step("it is gone", |w| assert_eq!(w.session.query::<B>().unwrap().len(), 0), []),
        ],
    );
}

/// Scenario 37, the other way round: it was stated first.
#[test]
fn a_fact_that_was_stated_before_it_was_derived_outlives_its_support() {
    survives(
        chain,
        &[
            step("b is stated", |w| w.insert("b", B(1)), []),
            step("fire", World::fire, ["c 1"]),
            step("a", |w| w.insert("a", A(1)), []),
            step("b is derived, too", World::fire, ["b 1"]),
            step("there is one", |w| assert_eq!(w.count::<B>(), 1), []),
            step("its support goes", |w| w.delete::<A>("a"), []),
            step("evaluate", World::flush, []),
            step("it is still there", |w| assert_eq!(w.get::<B>("b"), Some(&B(1))), []),
            step("and so is what stands on it", |w| assert_eq!(w.count::<C>(), 1), []),
            step("it is stated no more", |w| w.delete::<B>("b"), []),
            step("nothing is left", |w| assert_eq!((w.count::<B>(), w.count::<C>()), (0, 0)), []),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Trigger {
    done: bool,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Made;

#[rule]
fn make(#[when(!t.done)] t: Ref<Trigger>, cx: &mut Then) -> RuleResult {
    say("make");
    cx.insert(Made)?;
    cx.modify(t, |t| t.done = true)
}

ruleset!(making = 1: make; facts: Made);

#[test]
fn a_fact_that_a_consequence_states_outlives_the_match_that_the_same_consequence_ended() {
    survives(
        making,
        &[
            step("a trigger", |w| w.insert("trigger", Trigger { done: false }), []),
            step("fire", World::fire, ["make"]),
            step("it is there", |w| assert_eq!(w.count::<Made>(), 1), []),
            step("the trigger goes", |w| w.delete::<Trigger>("trigger"), []),
            step("it is still there", |w| assert_eq!(w.count::<Made>(), 1), []),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn every_fact_keeps_the_handle_that_its_client_got() {
    survives(
        chain,
        &[
            step(
                "a and b",
                |w| {
                    w.insert("a", A(1));
                    w.insert("b", A(2));
                },
                [],
            ),
            step("a goes", |w| w.delete::<A>("a"), []),
            step("c", |w| w.insert("c", A(3)), []),
            step(
                "each by its handle",
                |w| {
                    assert_eq!(w.get::<A>("a"), None);
                    assert_eq!(w.get::<A>("b"), Some(&A(2)));
                    assert_eq!(w.get::<A>("c"), Some(&A(3)));
                    assert_eq!(w.held::<A>("c").fact().get(), w.held::<A>("b").fact().get() + 1);
                },
                [],
            ),
            step("a change by handle", |w| w.update("b", |b: &mut A| b.0 = 20), []),
            step("fire", World::fire, ["b 20", "b 3", "c 20", "c 3"]),
        ],
    );
}

#[test]
fn a_session_keeps_its_identity_and_a_new_one_never_has_it() {
    let disk = Disk::new();
    let mut session = disk.open(chain());
    let (id, handle) = (session.id(), session.insert(A(1)).unwrap());
    drop(session);
    assert_eq!(disk.open(chain()).id(), id);
    // A crash leaves an orphan; a new session beside it does not see its facts.
    let mut other = Disk::new().open(chain());
    assert_ne!(other.id(), id);
    assert_eq!(other.fact_count(), 0);
    other.insert(A(1)).unwrap();
    assert!(other.get(handle).is_none());
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Level {
    value: i64,
}

#[rule]
fn high(
    #[when(l.value > 10)]
    #[watch(!value)]
    l: &Level,
) {
    say(format!("high, at {}", l.value));
}

ruleset!(levels = 1: high);

#[test]
fn s18_what_is_not_watched_still_decides_whether_a_fact_matches() {
    survives(
        levels,
        &[
            step("a high one", |w| w.insert("level", Level { value: 20 }), []),
            step("evaluated", World::flush, []),
            step("that is low", |w| w.update("level", |l: &mut Level| l.value = 5), []),
            step("does not fire", World::fire, []),
            step("high again", |w| w.update("level", |l: &mut Level| l.value = 30), []),
            step("it is a new match", World::fire, ["high, at 30"]),
            step("higher", |w| w.update("level", |l: &mut Level| l.value = 40), []),
            step("which nobody watches", World::fire, []),
        ],
    );
}
