//! The engine against the oracle: the same firings in the same order, the same facts, pending matches
//! and justifications, after every step.
//!
//! INV-40, INV-42, INV-43, INV-48: the oracle has no indexes, no queues, no refraction marks and no
//! counts, only the words of the semantics.

use proptest::prelude::*;
use steadfast_wm::{MatchId, SessionId};

use super::random::agenda::verdict;
use super::random::unique::{attempts, rules_of_unique_facts, steps_of_unique_facts};
use super::random::{
    RuleSpec, Step, fire, rules, rules_alike, rules_in_time, rules_with_gates,
    rules_with_groups_inside, ruleset, stage, stage_on, steps,
};
use super::{Id, Naive, facts_of};
use crate::engine::{Engine, Missed, Verdict};
use crate::fact::Effect;
use crate::ir::{RuleDef, Ruleset};
use crate::sink::{ActionSink, Discard};

/// Remembers what fired, and what was missed.
#[derive(Default)]
struct Trace(Vec<MatchId>, Vec<Missed>);

impl ActionSink for Trace {
    fn record(&mut self, record: &steadfast_wm::Record<'_>) {
        if let steadfast_wm::Record::Fired { by } = record {
            self.0.push(by.clone());
        }
        if let steadfast_wm::Record::Effect { topic: Missed::TOPIC, version, bytes, .. } = record {
            self.1.push(Missed::read(*version, bytes).unwrap());
        }
    }
}

fn same(engine: &Engine, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(facts_of(&engine.store), naive.facts(), "facts");
    let pending: std::collections::BTreeMap<Id, (i32, u64)> = engine
        .pending()
        .iter()
        .map(|it| (naive.id_of(&it.id), (it.salience, it.trigger.get())))
        .collect();
    prop_assert_eq!(&pending, &naive.pending, "pending");
    let waiting: std::collections::BTreeMap<Id, i64> =
        engine.waiting().iter().map(|it| (naive.id_of(&it.id), it.due)).collect();
    prop_assert_eq!(&waiting, &naive.waiting, "waiting");
    prop_assert_eq!(&engine.focus_stack(), &naive.agenda.stack, "focus");
    let supports: Vec<(u64, Id)> =
        engine.justifications().iter().map(|(fact, id)| (fact.get(), naive.id_of(id))).collect();
    let expected: Vec<(u64, Id)> = naive
        .supports
        .iter()
        .flat_map(|(fact, ids)| ids.iter().map(|id| (fact.get(), id.clone())))
        .collect();
    prop_assert_eq!(supports, expected, "justifications");
    Ok(())
}

fn run(specs: &[RuleSpec], steps: &[Step]) -> Result<(), TestCaseError> {
    run_with(&ruleset(specs), steps, |_, _, _| {})
}

/// The last rule of a ruleset, and the ruleset without it.
pub(super) fn without_last(all: &Ruleset) -> (&RuleDef, Ruleset) {
    let (last, others) = all.rules().split_last().expect("there is a rule");
    let empty = Ruleset::new(all.name(), all.version());
    let rules = others.iter().cloned().fold(empty, Ruleset::rule);
    let rules = all.fact_types().into_iter().fold(rules, Ruleset::fact_type);
    (last, rules)
}

/// Rules come and go: the last one is there from one step on, the first one up to another.
fn run_with_changes(
    specs: &[RuleSpec],
    steps: &[Step],
    (comes, goes): (usize, usize),
) -> Result<(), TestCaseError> {
    let all = ruleset(specs);
    let (last, rules) = without_last(&all);
    let first = all.rules()[0].path.clone();
    run_with(&rules, steps, |at, engine, naive| {
        if at == comes {
            engine.add_rule(last, &mut Discard).unwrap();
            naive.add_rule(last);
        }
        if at == comes + goes {
            engine.remove_rule(&first, &mut Discard).unwrap();
            naive.remove_rule(0);
        }
    })
}

fn run_with(
    rules: &Ruleset,
    steps: &[Step],
    before: impl Fn(usize, &mut Engine, &mut Naive),
) -> Result<(), TestCaseError> {
    let session = SessionId::from_bytes([3; 16]);
    let mut engine = Engine::new(rules, session, &mut Discard).unwrap();
    let mut naive = Naive::new(rules, engine.counters().random);
    drop(attempts());
    for (at, &step) in steps.iter().enumerate() {
        before(at, &mut engine, &mut naive);
        same(&engine, &naive)?;
        match step {
            Step::Flush => {
                engine.flush(&mut Discard).unwrap();
                naive.flush();
            }
            Step::Fire(limit) | Step::FireFiltered(limit) => {
                let mut trace = Trace::default();
                let before = naive.trace.len();
                let filtered = matches!(step, Step::FireFiltered(_));
                drop(engine.take_fired());
                // A run of which nobody wants to know goes other ways.
                if at % 2 == 0 {
                    drop(fire(&mut engine, limit, filtered, &mut Discard));
                } else {
                    drop(fire(&mut engine, limit, filtered, &mut trace));
                }
                let attempted = attempts();
                naive.fire(limit, if filtered { verdict } else { |_| Verdict::Fire });
                let fired = engine.take_fired();
                prop_assert!(at % 2 == 0 || trace.0 == fired, "what is told is what fired");
                let fired: Vec<Id> = fired.iter().map(|id| naive.id_of(id)).collect();
                let expected: Vec<Id> =
                    naive.trace[before..].iter().map(|(id, _)| id.clone()).collect();
                prop_assert_eq!(fired, expected, "firings of {:?}", step);
                prop_assert_eq!(attempted, std::mem::take(&mut naive.attempted));
            }
            Step::Advance(by) => {
                let mut trace = Trace::default();
                let before = naive.missed.len();
                engine.advance_clock(engine.now() + by, &mut trace).unwrap();
                naive.advance(by);
                let missed: Vec<(Id, i64)> =
                    trace.1.iter().map(|it| (naive.id_of(&it.id), it.due)).collect();
                prop_assert_eq!(&missed, &naive.missed[before..], "missed");
            }
            _ => {
                stage_on(&mut engine, step, &mut Discard);
                let attempted = attempts();
                naive.stage(|view| stage(step, view));
                prop_assert_eq!(attempted, std::mem::take(&mut naive.attempted));
            }
        }
        same(&engine, &naive)?;
    }
    Ok(())
}

/// Panics of consequences are part of the game; their messages are not.
pub(super) fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let own = info.payload().downcast_ref::<&str>() == Some(&"the consequence's own");
            if !own {
                default(info);
            }
        }));
    });
}

/// How many random cases: as many as `STEADFAST_CASES` says, or twenty times as many as usual in soak.
#[expect(clippy::disallowed_methods, reason = "how long to test is not what the engine does")]
pub(super) fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("STEADFAST_CASES").ok().and_then(|cases| cases.parse().ok());
    let soaks = std::env::var_os("STEADFAST_SOAK").is_some();
    let default = if soaks { default * 20 } else { default };
    ProptestConfig { cases: cases.unwrap_or(default), ..ProptestConfig::default() }
}

/// One step on the engine alone; gives what fired.
fn step_engine(engine: &mut Engine, step: Step) -> Vec<MatchId> {
    let mut trace = Trace::default();
    match step {
        Step::Flush => drop(engine.flush(&mut trace).unwrap()),
        Step::Advance(by) => drop(engine.advance_clock(engine.now() + by, &mut trace).unwrap()),
        Step::Fire(limit) => drop(fire(engine, limit, false, &mut trace)),
        Step::FireFiltered(limit) => drop(fire(engine, limit, true, &mut trace)),
        _ => stage_on(engine, step, &mut trace),
    }
    trace.0
}

/// INV-46: rolls work back and redoes it: the digest and the whole future are those of a fork at the mark.
fn roll_back(specs: &[RuleSpec], steps: &[Step], at: usize) -> Result<(), TestCaseError> {
    let session = SessionId::from_bytes([3; 16]);
    let mut engine = Engine::new(&ruleset(specs), session, &mut Discard).unwrap();
    let (past, future) = steps.split_at(at % (steps.len() + 1));
    past.iter().for_each(|&step| drop(step_engine(&mut engine, step)));
    let mut fork = engine.clone();
    let mark = engine.digest();
    prop_assert_eq!(fork.digest(), mark, "a fork has the digest of its origin");
    let scope = engine.open_scope().unwrap();
    let (first, second) = future.split_at(future.len() / 2);
    first.iter().for_each(|&step| drop(step_engine(&mut engine, step)));
    let inner_mark = engine.digest();
    let inner = engine.open_scope().unwrap();
    second.iter().for_each(|&step| drop(step_engine(&mut engine, step)));
    engine.roll_back(inner);
    prop_assert_eq!(engine.digest(), inner_mark, "inner scope");
    engine.roll_back(scope);
    engine.close_scopes();
    prop_assert_eq!(engine.digest(), mark, "outer scope");
    for &step in future.iter().chain(past) {
        prop_assert_eq!(step_engine(&mut engine, step), step_engine(&mut fork, step));
        prop_assert_eq!(engine.digest(), fork.digest(), "after {:?}", step);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn rollback_restores_state_and_future(specs in rules(), steps in steps(), at in 0..16_usize) {
        quiet();
        roll_back(&specs, &steps, at)?;
    }

    #[test]
    fn rules_that_come_and_go_match_as_for_the_oracle(
        specs in rules(), steps in steps(), changes in (0..12_usize, 0..8_usize),
    ) {
        quiet();
        run_with_changes(&specs, &steps, changes)?;
    }

    #[test]
    fn rules_alike_share_memories_and_match_as_for_the_oracle(
        specs in rules_alike(), steps in steps(), changes in (0..12_usize, 0..8_usize),
    ) {
        quiet();
        run_with_changes(&specs, &steps, changes)?;
    }

    /// INV-51.
    #[test]
    fn gates_open_and_close_as_for_the_oracle(
        specs in rules_with_gates(), steps in steps(), changes in (0..12_usize, 0..8_usize),
    ) {
        quiet();
        run_with_changes(&specs, &steps, changes)?;
    }

    #[test]
    fn groups_inside_of_others_match_as_for_the_oracle(
        specs in rules_with_groups_inside(), steps in steps(),
    ) {
        quiet();
        run(&specs, &steps)?;
    }

    #[test]
    fn absences_in_time_are_decided_as_for_the_oracle(
        specs in rules_in_time(), steps in steps(),
    ) {
        quiet();
        run(&specs, &steps)?;
    }

    #[test]
    fn facts_of_a_unique_type_come_to_what_they_must_for_the_oracle(
        specs in rules_of_unique_facts(), steps in steps_of_unique_facts(),
    ) {
        quiet();
        run(&specs, &steps)?;
    }

    #[test]
    fn engine_fires_as_the_oracle(specs in rules(), steps in steps()) {
        quiet();
        run(&specs, &steps)?;
    }
}
