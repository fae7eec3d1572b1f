//! What a few operations do really descends where it should: that the outcome is the same is for the oracle to say.

use super::random::unique::U;
use super::straight::{A, engine, same_key};
use crate::engine::{Engine, FireOptions};
use crate::error::ChangeError;
use crate::fact::Handle;
use crate::ir::RuleBuilder;
use crate::sink::Discard;
use crate::stage::Stage;

/// Operations and a flush; gives what they gave, and by how much the numbers of descents and of rounds grew.
fn flush<T>(
    engine: &mut Engine,
    operations: impl FnOnce(&mut Stage<'_>) -> Result<T, ChangeError>,
) -> (T, (usize, usize)) {
    let before = engine.descents_taken();
    let given = engine.stage(&mut Discard, operations).unwrap();
    engine.fire(FireOptions::default(), &mut Discard);
    let after = engine.descents_taken();
    (given, (after.0 - before.0, after.1 - before.1))
}

const DESCENDED: (usize, usize) = (1, 0);
const ROUND: (usize, usize) = (0, 1);
const NOTHING: (usize, usize) = (0, 0);

fn open(engine: &mut Engine) -> Handle<U> {
    flush(engine, |stage| stage.insert(U { k: 0, v: 0, w: 0 })).0
}

fn matches(engine: &Engine) -> u64 {
    engine.network().rules[0].levels.last().unwrap().tuples
}

fn a(k: i64, v: i64) -> A {
    A { k, v }
}

/// Behind a gate two facts of one kind with the same key.
fn pairs_behind_a_gate(rule: &mut RuleBuilder) {
    rule.each::<U>("gate");
    let first = rule.each::<A>("first");
    rule.when(first, "first.v == 1", &["v"], |a| a.v == 1);
    let second = rule.each::<A>("second");
    rule.when(second, "second.v == 2", &["v"], |a| a.v == 2);
    rule.exact_key("second.k == first.k", (second, "k"), |a| a.k, (first, "k"), |a| a.k);
}

#[test]
fn what_enters_and_leaves_levels_behind_a_gate_descends() {
    let mut engine = engine(pairs_behind_a_gate);
    let (early, before) = flush(&mut engine, |stage| stage.insert(a(1, 1)));
    assert_eq!(before, NOTHING, "nobody looks for facts before the gate opens");
    let gate = open(&mut engine);
    let (later, came) = flush(&mut engine, |stage| stage.insert(a(1, 2)));
    assert_eq!((came, matches(&engine)), (DESCENDED, 1));
    // It leaves one level and enters another.
    let turned = flush(&mut engine, |stage| stage.update(later, |a| a.v = 1)).1;
    assert_eq!((turned, matches(&engine)), (DESCENDED, 0));
    let back = flush(&mut engine, |stage| stage.update(early, |a| a.v = 2)).1;
    assert_eq!((back, matches(&engine)), (DESCENDED, 1));
    // The gate closes in a round; what is behind it is kept up to date.
    assert_eq!(flush(&mut engine, |stage| stage.delete(gate)).1, ROUND);
    assert_eq!(flush(&mut engine, |stage| stage.delete(early)).1, DESCENDED);
}

#[test]
fn several_operations_descend_together() {
    let mut engine = engine(pairs_behind_a_gate);
    open(&mut engine);
    let ((first, second), came) =
        flush(&mut engine, |stage| Ok((stage.insert(a(1, 1))?, stage.insert(a(1, 2))?)));
    assert_eq!((came, matches(&engine)), (DESCENDED, 1));
    let swapped = flush(&mut engine, |stage| {
        stage.update(first, |a| a.v = 2)?;
        stage.update(second, |a| a.v = 1)
    });
    assert_eq!((swapped.1, matches(&engine)), (DESCENDED, 1));
    // Of one that moves to another key pairs are found again: its network is told, and of the other as well.
    let moved = flush(&mut engine, |stage| {
        stage.update(first, |a| a.k = 2)?;
        stage.update(second, |a| a.v = 0)
    });
    assert_eq!((moved.1, matches(&engine)), (ROUND, 0));
}

#[test]
fn tuples_descend_to_absences_of_which_the_facts_stay() {
    let mut engine = engine(|rule| {
        let first = rule.each::<U>("u");
        let other = rule.not::<A>("a");
        same_key(rule, other, first);
    });
    let u = |k| U { k, v: 0, w: 0 };
    let (present, came) = flush(&mut engine, |stage| stage.insert(u(1)));
    assert_eq!((came, matches(&engine)), (DESCENDED, 1));
    assert_eq!(flush(&mut engine, |stage| stage.insert(a(2, 0))).1, NOTHING);
    let (absent, came) = flush(&mut engine, |stage| stage.insert(u(2)));
    assert_eq!((came, matches(&engine)), (DESCENDED, 1));
    let gone = flush(&mut engine, |stage| {
        stage.delete(present)?;
        stage.delete(absent)
    });
    assert_eq!((gone.1, matches(&engine)), (DESCENDED, 0));
    // What facts of the absence do themselves is for a round.
    flush(&mut engine, |stage| stage.insert(u(3)));
    assert_eq!(flush(&mut engine, |stage| stage.insert(a(3, 0))).1, ROUND);
}
