//! Many updates are really taken side by side where they should be, and the outcome is the same as by rounds, which the
//! oracle holds to what they mean.

use std::collections::BTreeMap;

use proptest::prelude::*;
use steadfast_wm::SessionId;

use super::random::unique::U;
use super::straight::{A, Witness, engine, same_key};
use super::tests::cases;
use crate::aggregate::{Count, Sum};
use crate::engine::{Engine, FireOptions};
use crate::error::ChangeError;
use crate::fact::Handle;
use crate::ir::{RuleBuilder, Ruleset};
use crate::sink::{ActionSink, Discard};
use crate::stage::Stage;
use crate::then::Ref;

/// Facts with keys from 0 on and a value; and if rules know them, others with the same keys.
fn load(engine: &mut Engine, count: i64, v: i64) -> Vec<Handle<A>> {
    let loaded = engine.stage(&mut Discard, |stage| {
        let others = (0..count).map(|k| stage.insert(U { k, v: 0, w: 0 }).map(drop));
        match others.collect::<Result<(), ChangeError>>() {
            Ok(()) | Err(ChangeError::UnknownType { .. }) => {}
            Err(error) => return Err(error),
        }
        (0..count).map(|k| stage.insert(A { k, v })).collect()
    });
    engine.fire(FireOptions::default(), &mut Discard);
    loaded.unwrap()
}

/// Changes and a run; says how many operations went along a course that was known before, and how many matches there
/// are then.
fn run(
    engine: &mut Engine,
    changes: impl FnOnce(&mut Stage<'_>) -> Result<(), ChangeError>,
) -> (usize, u64) {
    let before = engine.calm_ops();
    engine.stage(&mut Discard, changes).unwrap();
    engine.fire(FireOptions::default(), &mut Discard);
    let matches = engine.network().rules[0].levels.last().unwrap().tuples;
    (engine.calm_ops() - before, matches)
}

fn set_all(handles: &[Handle<A>], v: i64) -> impl Fn(&mut Stage<'_>) -> Result<(), ChangeError> {
    move |stage| handles.iter().try_for_each(|&a| stage.update(a, |a| a.v = v))
}

fn set(rule: &mut RuleBuilder) -> crate::ir::Var<A> {
    let a = rule.each::<A>("a");
    rule.when(a, "a.v > 0", &["v"], |a| a.v > 0);
    a
}

#[test]
fn facts_enter_stay_and_leave_side_by_side() {
    let mut alone = engine(|rule| {
        set(rule);
    });
    let mut joined = engine(|rule| {
        let a = set(rule);
        let u = rule.each::<U>("u");
        rule.exact_key("u.k == a.k", (u, "k"), |u| u.k, (a, "k"), |a| a.k);
    });
    for engine in [&mut alone, &mut joined] {
        let handles = load(engine, 10, 0);
        assert_eq!(run(engine, set_all(&handles, 1)), (10, 10));
        assert_eq!(run(engine, set_all(&handles, 2)), (10, 10), "all stay");
        assert_eq!(run(engine, set_all(&handles[3..], 0)), (7, 3));
        let some = run(engine, |stage| {
            stage.update(handles[0], |a| a.v = 0)?;
            stage.update(handles[1], |a| a.v = 5)?;
            stage.update(handles[9], |a| a.v = 1)
        });
        assert_eq!(some, (3, 3));
    }
}

#[test]
fn a_group_is_shown_when_all_of_its_members_have_changed() {
    let mut grouped = engine(|rule| {
        let u = rule.each::<U>("u");
        let a = rule.element::<A>("a");
        same_key(rule, a, u);
        rule.accumulate::<A, _, _>(a, &["v"], Sum::<i64>::default(), |a: &A| a.v);
    });
    let handles = load(&mut grouped, 10, 1);
    assert_eq!(run(&mut grouped, set_all(&handles, 3)), (10, 10));
    let moved = run(&mut grouped, |stage| {
        stage.update(handles[0], |a| a.v = 4)?;
        stage.update(handles[1], |a| a.k = 2)
    });
    assert_eq!(moved, (0, 10), "one moves to another key");
}

#[test]
fn what_touches_a_fact_twice_or_other_kinds_is_for_a_round() {
    let mut alone = engine(|rule| {
        set(rule);
    });
    let handles = load(&mut alone, 4, 0);
    let twice = run(&mut alone, |stage| {
        set_all(&handles, 1)(stage)?;
        stage.update(handles[0], |a| a.v = 0)
    });
    assert_eq!(twice, (0, 3));
    let both = run(&mut alone, |stage| {
        set_all(&handles, 1)(stage)?;
        stage.insert(A { k: 9, v: 1 }).map(drop)
    });
    assert_eq!(both, (0, 5));
}

/// Rules that facts of one kind concern in one place.
const RULES: u32 = 8;

fn rule(number: u32) -> Engine {
    engine(|rule| match number {
        0 => {
            set(rule);
        }
        1 => {
            let a = set(rule);
            let u = rule.each::<U>("u");
            rule.exact_key("u.k == a.k", (u, "k"), |u| u.k, (a, "k"), |a| a.k);
        }
        2 => {
            let u = rule.each::<U>("u");
            let a = set(rule);
            same_key(rule, a, u);
        }
        3 => {
            let u = rule.each::<U>("u");
            let a = rule.each::<A>("a");
            same_key(rule, a, u);
            rule.residual("a.v > u.v", (a, &["v"]), (u, &["v"]), |a, u| a.v > u.v);
        }
        4 => {
            let u = rule.each::<U>("u");
            let a = rule.each::<A>("a");
            // What does not re-arm its matches brings them about.
            rule.ignore(a, &["v"]);
            rule.when(a, "a.v > 0", &["v"], |a| a.v > 0);
            same_key(rule, a, u);
        }
        5 => {
            let u = rule.each::<U>("u");
            let a = rule.element::<A>("a");
            rule.when(a, "a.v > 0", &["v"], |a| a.v > 0);
            same_key(rule, a, u);
            rule.accumulate::<A, _, _>(a, &["v"], (Sum::<i64>::default(), Count), |a: &A| {
                (a.v, ())
            });
        }
        6 => {
            let a = rule.element::<A>("a");
            rule.when(a, "a.v > 0", &["v"], |a| a.v > 0);
            rule.group_by::<A, A, i64, _>(a, &["k", "v"], |a| a.k, Sum::<i64>::default(), |a| a.v);
        }
        _ => {
            let a = rule.element::<A>("a");
            rule.group_by::<A, A, bool, _>(a, &["v"], |a| a.v > 1, Count, |_| ());
        }
    })
}

/// What is done before a run.
#[derive(Clone, Debug)]
struct Changes {
    /// What the first fact of the other kind becomes, if it changes.
    other: Option<i64>,
    /// To which fact, whether to its key, and what.
    of_facts: Vec<(usize, bool, i64)>,
    /// Facts from these numbers on are replaced by others, after they were changed.
    replaced: Option<(usize, usize)>,
    /// Whether their deletions are a transaction of their own.
    apart: bool,
}

fn change(
    engine: &mut Engine,
    sink: &mut dyn ActionSink,
    handles: &(Vec<Handle<A>>, Vec<Handle<U>>),
    changes: &Changes,
) -> Vec<Handle<A>> {
    let mut facts = handles.0.clone();
    let replaced = changes.replaced.map_or(0..0, |(from, count)| from..9.min(from + count));
    let delete = |stage: &mut Stage<'_>| {
        replaced.clone().try_for_each(|at| stage.delete(handles.0[at]).map(drop))
    };
    let changed = engine.stage(sink, |stage| {
        if let Some(v) = changes.other
            && let Some(&first) = handles.1.first()
        {
            stage.update(first, |u| u.v = v)?;
        }
        changes.of_facts.iter().try_for_each(|&(at, moves, to)| {
            stage.update(facts[at], |a| *(if moves { &mut a.k } else { &mut a.v }) = to)
        })?;
        if changes.apart { Ok(()) } else { delete(stage) }
    });
    changed.unwrap();
    if changes.apart {
        engine.stage(sink, delete).unwrap();
    }
    let inserted = engine.stage(sink, |stage| {
        let new = replaced.clone().map(|at| stage.insert(a_fact(at)));
        new.collect::<Result<Vec<_>, ChangeError>>()
    });
    facts.splice(replaced, inserted.unwrap());
    facts
}

fn a_fact(at: usize) -> A {
    let at = i64::try_from(at).expect("few facts");
    A { k: at % 4, v: at % 3 }
}

/// A fact has one change in most transactions.
fn changes() -> impl Strategy<Value = Changes> {
    let some = prop::collection::vec((0..9_usize, prop::bool::weighted(0.15), 0..4_i64), 0..12);
    let other = prop::option::weighted(0.15, 0..3_i64);
    let replaced = prop::option::weighted(0.2, (0..9_usize, 1..5_usize));
    let parts = (other, some, replaced, any::<bool>(), prop::bool::weighted(0.85));
    parts.prop_map(|(other, some, replaced, apart, once)| {
        let of_facts = if once {
            let by_fact = some.into_iter().map(|(at, moves, to)| (at, (moves, to)));
            let by_fact: BTreeMap<_, _> = by_fact.collect();
            by_fact.into_iter().rev().map(|(at, (moves, to))| (at, moves, to)).collect()
        } else {
            some
        };
        Changes { other, of_facts, replaced, apart }
    })
}

#[test]
fn derived_facts_that_are_deleted_together_lose_what_they_stood_on() {
    let mut rule = RuleBuilder::new("rule");
    let u = rule.each::<U>("u");
    let rules = Ruleset::new("test", 1).fact::<A>().rule(rule.then(move |row, then| {
        let k = u.of(row).k;
        (0..2).try_for_each(|v| then.insert_logical(A { k, v }).map(drop))
    }));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    let fire = |engine: &mut Engine| engine.fire(FireOptions::default(), &mut Discard).count;
    let causes = engine.stage(&mut Discard, |stage| {
        (0..3).map(|k| stage.insert(U { k, v: 0, w: 0 })).collect::<Result<Vec<_>, ChangeError>>()
    });
    let causes = causes.unwrap();
    assert_eq!((fire(&mut engine), engine.fact_count()), (3, 9));
    let derived: Vec<Handle<A>> = engine.facts::<A>().iter().map(Ref::handle).collect();
    let deleted = engine.stage(&mut Discard, |stage| {
        derived[..4].iter().try_for_each(|&a| stage.delete(a).map(drop))
    });
    deleted.unwrap();
    fire(&mut engine);
    assert_eq!((engine.fact_count(), engine.justifications().len()), (5, 2));
    let deleted = engine
        .stage(&mut Discard, |stage| causes.iter().try_for_each(|&u| stage.delete(u).map(drop)));
    deleted.unwrap();
    fire(&mut engine);
    assert_eq!(engine.fact_count(), 0);
}

proptest! {
    #![proptest_config(cases(200))]

    /// In an engine to which nobody listens, and in one whose records are wanted.
    #[test]
    fn side_by_side_and_by_rounds_the_same_fires_and_is_pending(
        number in 0..RULES,
        steps in prop::collection::vec((changes(), prop::option::of(0..4_u64)), 1..12),
    ) {
        let (mut calm, mut watched) = (rule(number), rule(number));
        let load = |engine: &mut Engine| {
            let loaded = engine.stage(&mut Discard, |stage| {
                let others = (0..3).map(|k| stage.insert(U { k, v: 1, w: 0 }));
                let others = match others.collect::<Result<Vec<_>, ChangeError>>() {
                    Err(ChangeError::UnknownType { .. }) => Vec::new(),
                    others => others?,
                };
                let facts = (0..9).map(|at| stage.insert(a_fact(at)));
                Ok::<_, ChangeError>((facts.collect::<Result<Vec<_>, _>>()?, others))
            });
            loaded.unwrap()
        };
        let mut handles = load(&mut calm);
        prop_assert_eq!(&load(&mut watched), &handles);
        for (changes, limit) in &steps {
            let facts = change(&mut calm, &mut Discard, &handles, changes);
            prop_assert_eq!(&change(&mut watched, &mut Witness, &handles, changes), &facts);
            handles.0 = facts;
            let options = FireOptions { limit: *limit };
            calm.fire(options, &mut Discard);
            watched.fire(options, &mut Witness);
            prop_assert_eq!(calm.take_fired(), watched.take_fired());
            prop_assert_eq!(calm.digest(), watched.digest(), "after {:?}", changes);
        }
    }
}
