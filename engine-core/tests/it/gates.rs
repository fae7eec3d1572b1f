//! Rules that begin with a pattern of which they ask nothing else: a gate.

use serde::{Deserialize, Serialize};
use steadfast_engine_core::ir::{RuleBuilder, RuleDef, Ruleset};
use steadfast_engine_core::{ChangeError, Discard, Engine, FireOptions, Handle};
use steadfast_macros::Fact;
use steadfast_wm::SessionId;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Phase {
    is: u8,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Item {
    key: i64,
}

/// Pairs of items with the same key, in a phase.
fn pairs_in(phase: u8) -> RuleDef {
    let mut rule = RuleBuilder::new("pairs");
    let gate = rule.each::<Phase>("gate");
    rule.when_is(gate, "is", |phase: &Phase| &phase.is, phase);
    let a = rule.each::<Item>("a");
    let b = rule.each::<Item>("b");
    rule.exact_key("b.key == a.key", (b, "key"), |b| b.key, (a, "key"), |a| a.key);
    rule.then(|_, _| Ok(()))
}

/// An engine in phase 1 with such a rule about phase `of` and items of these keys.
fn engine(of: u8, keys: impl IntoIterator<Item = i64>) -> (Engine, Handle<Phase>) {
    let rules = Ruleset::new("test", 1).rule(pairs_in(of));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    let phase = engine.stage(&mut Discard, |stage| {
        keys.into_iter().try_for_each(|key| stage.insert(Item { key }).map(drop))?;
        stage.insert(Phase { is: 1 })
    });
    (engine, phase.unwrap())
}

/// Sets the phase and fires; gives the number of firings.
fn enter(engine: &mut Engine, phase: Handle<Phase>, is: u8) -> u64 {
    let staged =
        engine.stage(&mut Discard, |stage| stage.modify(phase, |phase: &mut Phase| phase.is = is));
    staged.unwrap();
    engine.fire(FireOptions::default(), &mut Discard).count
}

/// Of each level of the rule, how many tuples it has, and how many it ever gave.
fn tuples(engine: &Engine) -> Vec<(u64, u64)> {
    let network = engine.network();
    network.rules[0].levels.iter().map(|level| (level.tuples, level.given)).collect()
}

#[test]
fn tuples_behind_a_closed_gate_stay_and_are_kept_up_to_date() {
    let (mut engine, phase) = engine(1, 0..10);
    assert_eq!(enter(&mut engine, phase, 1), 10);
    let open = tuples(&engine);
    assert_eq!(open, [(10, 10), (10, 10), (10, 10)]);
    assert_eq!(enter(&mut engine, phase, 2), 0);
    assert_eq!(tuples(&engine), [(10, 10), (10, 10), (0, 10)]);
    let staged = engine.stage(&mut Discard, |stage| {
        stage.insert(Item { key: 3 }).map(drop)?;
        stage.insert(Item { key: 77 }).map(drop)
    });
    staged.unwrap();
    assert_eq!(enter(&mut engine, phase, 1), 14, "all that there are, as new matches");
    assert_eq!(tuples(&engine), [(12, 12), (14, 14), (14, 24)]);
}

#[test]
fn behind_a_gate_that_was_never_open_nothing_is_done() {
    let (mut engine, phase) = engine(2, 0..10);
    assert_eq!(enter(&mut engine, phase, 3), 0);
    assert_eq!(tuples(&engine), [(0, 0); 3]);
    assert_eq!(enter(&mut engine, phase, 2), 10);
}

#[test]
fn a_gate_that_costs_more_than_it_saves_is_not_kept_up() {
    let (mut engine, phase) = engine(1, [1]);
    assert_eq!(enter(&mut engine, phase, 1), 1);
    assert_eq!(enter(&mut engine, phase, 2), 0);
    for key in 0..200 {
        let staged = engine.stage(&mut Discard, |stage| {
            let item = stage.insert(Item { key })?;
            Ok::<_, ChangeError>(item)
        });
        let item = staged.unwrap();
        engine.fire(FireOptions::default(), &mut Discard);
        engine.stage(&mut Discard, |stage| stage.delete(item)).unwrap();
        engine.fire(FireOptions::default(), &mut Discard);
    }
    let idle = tuples(&engine);
    assert_eq!(idle.iter().map(|(tuples, _)| *tuples).collect::<Vec<_>>(), [0, 0, 0]);
    assert!(idle[0].1 < 100, "the first few were brought up to date: {idle:?}");
    assert_eq!(enter(&mut engine, phase, 1), 1);
}
