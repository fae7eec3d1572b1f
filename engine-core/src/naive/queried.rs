//! Rows of queries are the matches that the oracle finds, and what live queries tell adds up to them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use steadfast_wm::SessionId;

use super::Naive;
use super::matching::{Found, match_rule};
use super::random::{RuleSpec, Step, fire, rules, ruleset, stage, stage_on, steps};
use super::tests::{cases, quiet};
use crate::engine::{Engine, RowId, Verdict};
use crate::ir::{Query, RuleBuilder, RuleDef};
use crate::sink::Discard;
use crate::then::Row;

const PATH: &str = "random::query";

/// A query by its path; what it matches is random.
struct Queried;

impl Query for Queried {
    type Output = u16;

    fn definition() -> RuleDef {
        RuleBuilder::new(PATH).then(|_, _| Ok(()))
    }

    fn output(row: &Row<'_>) -> u16 {
        row.branch()
    }
}

/// The matches of a definition over the facts of the oracle, those of each branch for themselves.
fn expected(naive: &Naive, query: &RuleDef) -> BTreeSet<RowId> {
    let mut rows = BTreeSet::new();
    for (branch, def) in (0..).zip(query.all_branches()) {
        let mut found = Found::default();
        match_rule(0, def, (&naive.store, naive.now()), &mut found);
        rows.extend(found.matches.into_keys().map(|(_, members)| RowId { members, branch }));
    }
    rows
}

fn take(engine: &mut Engine, step: Step) {
    match step {
        Step::Advance(by) => drop(engine.advance_clock(engine.now() + by, &mut Discard).unwrap()),
        Step::Fire(limit) => drop(fire(engine, limit, false, &mut Discard)),
        _ => stage_on(engine, step, &mut Discard),
    }
    engine.flush(&mut Discard).unwrap();
}

fn query(specs: &[RuleSpec], steps: &[Step]) -> Result<(), TestCaseError> {
    let (asked, specs) = specs.split_last().expect("there is a rule");
    let mut query = ruleset(std::slice::from_ref(asked)).rules()[0].clone();
    query.path = PATH.to_owned();
    let rules = ruleset(specs).query(query.clone());
    let mut engine = Engine::new(&rules, SessionId::from_bytes([3; 16]), &mut Discard).unwrap();
    let mut naive = Naive::new(&rules, engine.counters().random);
    let number = engine.subscribe::<Queried>().unwrap();
    engine.flush(&mut Discard).unwrap();
    naive.flush();
    let mut rows: BTreeSet<RowId> = BTreeSet::new();
    for (at, &step) in steps.iter().enumerate() {
        // What is undone is told nobody.
        engine.what_if(|engine| steps[at..].iter().for_each(|&step| take(engine, step)));
        take(&mut engine, step);
        match step {
            Step::Advance(by) => naive.advance(by),
            Step::Fire(limit) => naive.fire(limit, |_| Verdict::Fire),
            _ => naive.stage(|view| stage(step, view)),
        }
        naive.flush();
        for change in engine.take_changes::<Queried>(number) {
            for (id, branch) in change.added {
                prop_assert_eq!(id.branch, branch);
                prop_assert!(rows.insert(id.clone()), "{:?} was there before step {}", id, at);
            }
            for (id, _) in change.updated {
                prop_assert!(rows.contains(&id), "{:?} was not there before step {}", id, at);
            }
            for id in change.removed {
                prop_assert!(rows.remove(&id), "{:?} was not there before step {}", id, at);
            }
        }
        let expected = expected(&naive, &query);
        prop_assert_eq!(&rows, &expected, "told until step {}", at);
        let branches: Vec<u16> = expected.iter().map(|id| id.branch).collect();
        prop_assert_eq!(engine.rows::<Queried>().unwrap(), branches, "rows after step {}", at);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn rows_of_queries_and_what_is_told_of_them_are_the_matches_of_the_oracle(
        specs in rules(), steps in steps(),
    ) {
        quiet();
        query(&specs, &steps)?;
    }
}
