//! The straight way of a flush of one operation is really taken where it should be: that its outcome is the
//! same is for the oracle to say, and it would be so without it.

use serde::{Deserialize, Serialize};
use steadfast_wm::{Record, SessionId};

use super::random::unique::U;
use crate::aggregate::{Count, Sum};
use crate::engine::{Engine, FireOptions};
use crate::error::ChangeError;
use crate::fact::{Fact, FieldMask, Handle, ReadError, read_current};
use crate::ir::{RuleBuilder, Ruleset, Var};
use crate::sink::{ActionSink, Discard};
use crate::stage::Stage;

/// As [`U`], but of one key there may be several.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct A {
    pub(super) k: i64,
    pub(super) v: i64,
}

impl Fact for A {
    const NAME: &'static str = "A";
    const VERSION: u32 = 1;
    const FIELDS: &'static [&'static str] = &["k", "v"];
    fn diff(&self, other: &Self) -> FieldMask {
        let changed = |at, changed| if changed { FieldMask::field(at) } else { FieldMask::NONE };
        changed(0, self.k != other.k).union(changed(1, self.v != other.v))
    }
    fn read(version: u32, bytes: &[u8]) -> Result<Self, ReadError> {
        read_current(Self::NAME, 1, version, bytes)
    }
}

pub(super) fn engine(build: impl FnOnce(&mut RuleBuilder)) -> Engine {
    let mut rule = RuleBuilder::new("rule");
    build(&mut rule);
    let rules = Ruleset::new("test", 1).rule(rule.then(|_, _| Ok(())));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    // The first flush puts the unit tuple in, and goes by rounds.
    engine.fire(FireOptions::default(), &mut Discard);
    engine
}

pub(super) fn same_key(rule: &mut RuleBuilder, a: Var<A>, u: Var<U>) {
    rule.exact_key("a.k == u.k", (a, "k"), |a| a.k, (u, "k"), |u| u.k);
}

/// One operation and a flush; gives what it gave, and by how much the numbers of steps grew.
fn step<T>(
    engine: &mut Engine,
    operation: impl FnOnce(&mut Stage<'_>) -> Result<T, ChangeError>,
) -> (T, (usize, usize)) {
    let before = engine.steps_taken();
    let given = engine.stage(&mut Discard, operation).unwrap();
    engine.fire(FireOptions::default(), &mut Discard);
    let after = engine.steps_taken();
    (given, (after.0 - before.0, after.1 - before.1))
}

const SINGLY: (usize, usize) = (1, 0);
const LISTED: (usize, usize) = (0, 1);

fn insert(engine: &mut Engine, k: i64, v: i64) -> (Handle<A>, (usize, usize)) {
    step(engine, |stage| stage.insert(A { k, v }))
}

fn insert_u(engine: &mut Engine, k: i64) -> (Handle<U>, (usize, usize)) {
    step(engine, |stage| stage.insert(U { k, v: 0, w: 0 }))
}

#[test]
fn steps_of_a_join_go_token_by_token_as_long_as_there_is_one_of_each_level() {
    let mut engine = engine(|rule| {
        let u = rule.each::<U>("u");
        let a = rule.each::<A>("a");
        rule.when(a, "a.v == 1", &["v"], |a| a.v == 1);
        same_key(rule, a, u);
    });
    assert_eq!(insert_u(&mut engine, 1).1, SINGLY);
    let (first, taken) = insert(&mut engine, 1, 1);
    assert_eq!(taken, SINGLY);
    let update = |v| move |a: &mut A| a.v = v;
    assert_eq!(step(&mut engine, |stage| stage.update(first, update(0))).1, SINGLY);
    assert_eq!(step(&mut engine, |stage| stage.update(first, update(1))).1, SINGLY);
    // A second fact comes with a token of its own; another left token meets both.
    assert_eq!(insert(&mut engine, 1, 1).1, SINGLY);
    assert_eq!(insert(&mut engine, 2, 1).1, SINGLY);
    let (other, _) = insert_u(&mut engine, 2);
    assert_eq!(step(&mut engine, |stage| stage.update(other, |u| u.k = 3)).1, LISTED);
    assert_eq!(step(&mut engine, |stage| stage.delete(other).map(drop)).1, SINGLY);
}

#[test]
fn steps_of_several_matches_are_listed() {
    let mut engine = engine(|rule| {
        let a = rule.each::<A>("a");
        let u = rule.each::<U>("u");
        rule.exact_key("u.k == a.k", (u, "k"), |u| u.k, (a, "k"), |a| a.k);
    });
    insert(&mut engine, 1, 1);
    insert(&mut engine, 1, 2);
    let (u, taken) = insert_u(&mut engine, 1);
    assert_eq!(taken, LISTED);
    assert_eq!(step(&mut engine, |stage| stage.delete(u).map(drop)).1, LISTED);
}

#[test]
fn steps_of_a_group_go_token_by_token_while_its_outer_tuples_stay() {
    let mut engine = engine(|rule| {
        let u = rule.each::<U>("u");
        let a = rule.element::<A>("a");
        same_key(rule, a, u);
        let functions = (Sum::<i64>::default(), Count);
        rule.accumulate::<A, _, _>(a, &["v"], functions, |a: &A| (a.v, ()));
    });
    assert_eq!(insert_u(&mut engine, 1).1, LISTED, "an outer tuple comes");
    let (a, taken) = insert(&mut engine, 1, 1);
    assert_eq!(taken, SINGLY);
    assert_eq!(step(&mut engine, |stage| stage.update(a, |a| a.v = 5)).1, SINGLY);
    assert_eq!(step(&mut engine, |stage| stage.delete(a).map(drop)).1, SINGLY);
}

#[test]
fn steps_are_not_taken_to_absences() {
    let mut engine = engine(|rule| {
        let u = rule.each::<U>("u");
        let a = rule.not::<A>("a");
        same_key(rule, a, u);
    });
    assert_eq!(insert_u(&mut engine, 1).1, (0, 0));
    assert_eq!(insert(&mut engine, 1, 1).1, (0, 0));
}

/// Keeps nothing and wants all.
pub(super) struct Witness;

impl ActionSink for Witness {
    fn record(&mut self, _: &Record<'_>) {}
}

/// Inserts a fact, changes and deletes it, each with a run; says how many of these operations went along a course that
/// was known before.
fn life(engine: &mut Engine, sink: &mut dyn ActionSink) -> usize {
    let before = engine.calm_ops();
    let a = engine.stage_insert(sink, A { k: 1, v: 1 }).unwrap();
    engine.fire(FireOptions::default(), sink);
    for v in [0, 1] {
        engine.stage_update(sink, a, |a| a.v = v).unwrap();
        engine.fire(FireOptions::default(), sink);
    }
    engine.stage_delete(sink, a).unwrap();
    engine.fire(FireOptions::default(), sink);
    engine.calm_ops() - before
}

fn set(rule: &mut RuleBuilder) -> Var<A> {
    let a = rule.each::<A>("a");
    // No constant that would find the memory.
    rule.when(a, "a.v > 0", &["v"], |a| a.v > 0);
    a
}

#[test]
fn in_a_calm_engine_it_is_known_before_what_one_operation_meets() {
    let mut alone = engine(|rule| {
        set(rule);
    });
    assert_eq!(life(&mut alone, &mut Discard), 4);
    assert_eq!(life(&mut alone, &mut Witness), 0, "records are wanted");
    let scope = alone.open_scope().unwrap();
    assert_eq!(life(&mut alone, &mut Discard), 0, "a scope is open");
    alone.roll_back(scope);
    alone.close_scopes();
    assert_eq!(life(&mut alone, &mut Discard), 4);

    let mut joined = engine(|rule| {
        let a = set(rule);
        let u = rule.each::<U>("u");
        rule.exact_key("u.k == a.k", (u, "k"), |u| u.k, (a, "k"), |a| a.k);
    });
    insert_u(&mut joined, 1);
    assert_eq!(life(&mut joined, &mut Discard), 4);

    let mut grouped = engine(|rule| {
        let u = rule.each::<U>("u");
        let a = rule.element::<A>("a");
        same_key(rule, a, u);
        rule.accumulate::<A, _, _>(a, &["v"], Sum::<i64>::default(), |a: &A| a.v);
    });
    insert_u(&mut grouped, 1);
    assert_eq!(life(&mut grouped, &mut Discard), 4);

    let mut absent = engine(|rule| {
        let u = rule.each::<U>("u");
        let a = rule.not::<A>("a");
        same_key(rule, a, u);
    });
    assert_eq!(life(&mut absent, &mut Discard), 0, "absences are no straight way");
}

#[test]
fn a_type_that_two_rules_ask_for_has_no_course() {
    let rule = |name: &'static str, least: i64| {
        let mut rule = RuleBuilder::new(name);
        let a = rule.each::<A>("a");
        rule.when(a, "a.v", &["v"], move |a| a.v > least);
        rule.then(|_, _| Ok(()))
    };
    let rules = Ruleset::new("test", 1).rule(rule("one", 0)).rule(rule("two", 1));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    engine.fire(FireOptions::default(), &mut Discard);
    assert_eq!(life(&mut engine, &mut Discard), 0);
    engine.remove_rule("two", &mut Discard).unwrap();
    assert_eq!(life(&mut engine, &mut Discard), 4, "now there is one");
}
