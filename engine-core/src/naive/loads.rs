//! Many facts at once: what is kept of them as one is, and what is not done before somebody needs it. That the outcome
//! is the same as of facts that come one by one is for the oracle to say; here it is compared for more facts.

use steadfast_wm::{Counters, SessionId};

use super::random::unique::U;
use super::straight::A;
use crate::engine::{Engine, FireOptions};
use crate::error::RuleError;
use crate::ir::{RuleBuilder, Ruleset};
use crate::sink::Discard;

fn engine(build: impl FnOnce(&mut RuleBuilder)) -> Engine {
    let mut rule = RuleBuilder::new("rule");
    build(&mut rule);
    let rules = Ruleset::new("test", 1).rule(rule.then(|_, _| Ok(())));
    Engine::new(&rules, SessionId::default(), &mut Discard).unwrap()
}

/// Pairs of an `A` and a `U` of one key.
fn pairs() -> Engine {
    engine(|rule| {
        let a = rule.each::<A>("a");
        let u = rule.each::<U>("u");
        rule.exact_key("u.k == a.k", (u, "k"), |u| u.k, (a, "k"), |a| a.k);
    })
}

fn fire(engine: &mut Engine) -> u64 {
    engine.fire(FireOptions::default(), &mut Discard).count
}

#[test]
fn insertions_in_a_row_are_one_operation_and_mean_the_same() {
    let mut together = pairs();
    together
        .stage(&mut Discard, |stage| {
            for k in 0..3000 {
                stage.insert(A { k, v: 0 })?;
            }
            (0..20).try_for_each(|k| stage.insert(U { k: k * 7, v: 0, w: 0 }).map(drop))
        })
        .unwrap();
    assert_eq!(together.staged_ops().len(), 21, "facts of keys are no runs");
    let mut alone = pairs();
    for k in 0..3000 {
        alone.stage(&mut Discard, |stage| stage.insert(A { k, v: 0 })).unwrap();
    }
    for k in 0..20 {
        alone.stage(&mut Discard, |stage| stage.insert(U { k: k * 7, v: 0, w: 0 })).unwrap();
    }
    assert_eq!(together.digest(), alone.digest(), "staged");
    assert_eq!((fire(&mut together), fire(&mut alone)), (20, 20));
    assert_eq!(together.digest(), alone.digest(), "fired");
}

#[test]
fn drafts_of_a_run_are_found_changed_and_given_up() {
    let mut engine = pairs();
    let mut handles = Vec::new();
    let values = engine
        .stage(&mut Discard, |stage| {
            for k in 0..40 {
                handles.push(stage.insert(A { k, v: 0 })?);
                if k % 10 == 9 {
                    // Another draft ends the run.
                    stage.update(handles[usize::try_from(k).unwrap()], |a| a.v = 1)?;
                }
            }
            for at in (0..40).step_by(2) {
                stage.update(handles[at], |a| a.v += 10)?;
            }
            assert!(stage.delete(handles[6])? && !stage.delete(handles[6])?);
            handles.push(stage.insert(A { k: 40, v: 0 })?);
            Ok::<_, RuleError>(
                handles.iter().map(|it| stage.get(*it).map(|a| (a.k, a.v))).collect::<Vec<_>>(),
            )
        })
        .unwrap();
    let expected = |k: i64| match k {
        6 => None,
        40 => Some((40, 0)),
        _ => Some((k, if k % 2 == 0 { 10 } else { i64::from(k % 10 == 9) })),
    };
    assert_eq!(values, (0..41).map(expected).collect::<Vec<_>>());
    let lives = handles.iter().map(|it| engine.get(*it).map(|a| (a.k, a.v)));
    assert_eq!(lives.collect::<Vec<_>>(), values);
}

#[test]
fn a_scope_that_fails_takes_back_what_it_added_to_a_run() {
    let mut rule = RuleBuilder::new("rule");
    rule.each::<U>("u");
    let rules = Ruleset::new("test", 1).fact::<A>().rule(rule.then(|_, then| {
        (0..5).try_for_each(|k| then.insert(A { k, v: 0 }).map(drop))?;
        let failed = then.scope(|then| {
            (0..9).try_for_each(|k| then.insert(A { k, v: 1 }).map(drop))?;
            Err::<(), RuleError>(std::fmt::Error.into())
        });
        assert!(failed.is_err());
        (5..8).try_for_each(|k| then.insert(A { k, v: 0 }).map(drop))?;
        Ok(())
    }));
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).unwrap();
    engine.stage(&mut Discard, |stage| stage.insert(U { k: 0, v: 0, w: 0 })).unwrap();
    assert_eq!(fire(&mut engine), 1);
    let facts = engine.facts::<A>();
    let facts: Vec<(i64, i64)> = facts.iter().map(|a| (a.k, a.v)).collect();
    assert_eq!(facts, (0..8).map(|k| (k, 0)).collect::<Vec<_>>());
    let Counters { next_handle, .. } = engine.counters();
    assert_eq!(
        next_handle,
        engine.fact_count() + 1,
        "numbers that were taken back are given again"
    );
}
