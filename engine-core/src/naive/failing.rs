//! Evaluations that fail in their middle: rolling back to a scope leaves nothing of them.

use proptest::prelude::*;
use steadfast_wm::{MatchId, SessionId};

use super::random::{RuleSpec, Step, fire, fuse, rules, ruleset, stage_on, steps};
use super::tests::{cases, quiet};
use crate::engine::Engine;
use crate::sink::Discard;

/// One step, which may fail; gives what fired.
fn step(engine: &mut Engine, step: Step) -> Vec<MatchId> {
    match step {
        Step::Flush => drop(engine.flush(&mut Discard)),
        Step::Advance(by) => drop(engine.advance_clock(engine.now() + by, &mut Discard)),
        Step::Fire(limit) => drop(fire(engine, limit, false, &mut Discard)),
        Step::FireFiltered(limit) => drop(fire(engine, limit, true, &mut Discard)),
        _ => stage_on(engine, step, &mut Discard),
    }
    engine.take_fired()
}

/// Takes steps until one leaves the engine failed; says whether one did.
fn fail(engine: &mut Engine, steps: &[Step]) -> bool {
    steps.iter().any(|&each| {
        step(engine, each);
        engine.has_failed()
    })
}

fn recover(
    specs: &[RuleSpec],
    steps: &[Step],
    (at, inside): (usize, usize),
    calls: u32,
) -> Result<(), TestCaseError> {
    let session = SessionId::from_bytes([3; 16]);
    let mut engine = Engine::new(&ruleset(specs), session, &mut Discard).unwrap();
    let (past, future) = steps.split_at(at % (steps.len() + 1));
    assert!(!fail(&mut engine, past));
    let fork = engine.clone();
    let outer = engine.open_scope().unwrap();
    let (first, second) = future.split_at(inside % (future.len() + 1));
    assert!(!fail(&mut engine, first));
    let inner_fork = engine.clone();
    let inner = engine.open_scope().unwrap();
    // Nothing fails for good: after a second failure what is first and second is done as if nothing had happened.
    for scope in [inner, inner, outer] {
        fuse::light(calls);
        let failed = fail(&mut engine, if scope == inner { second } else { future });
        fuse::light(0);
        prop_assert_eq!(failed, engine.has_failed());
        engine.roll_back(scope);
        prop_assert!(!engine.has_failed());
        let mut twin = if scope == inner { inner_fork.clone() } else { fork.clone() };
        prop_assert_eq!(engine.digest(), twin.digest());
        let mut engine = engine.clone();
        for &each in future.iter().chain(past) {
            prop_assert_eq!(step(&mut engine, each), step(&mut twin, each));
            prop_assert_eq!(engine.digest(), twin.digest(), "a copy, after {:?}", each);
        }
    }
    engine.close_scopes();
    let mut twin = fork;
    for &each in future.iter().chain(past) {
        prop_assert_eq!(step(&mut engine, each), step(&mut twin, each));
        prop_assert_eq!(engine.digest(), twin.digest(), "after {:?}", each);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn a_failed_evaluation_is_undone_as_any_other_work(
        specs in rules(), steps in steps(), at in (0..16_usize, 0..16_usize), calls in 1..40_u32,
    ) {
        quiet();
        recover(&specs, &steps, at, calls)?;
    }
}
