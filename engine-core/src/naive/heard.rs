//! What listeners hear of the agenda adds up to what it is, and listening leaves no trace.

use std::collections::BTreeMap;

use proptest::prelude::*;
use steadfast_wm::{MatchId, SessionId};

use super::random::{RuleSpec, Step, fire, rules, ruleset, stage_on, steps};
use super::tests::{cases, quiet, without_last};
use crate::engine::{AgendaEvent, Engine};
use crate::ir::MAIN;
use crate::sink::{ActionSink, Discard};

/// The agenda as somebody knows it who has heard everything.
struct Heard {
    pending: BTreeMap<MatchId, (i32, u64)>,
    focus: Vec<String>,
    firing: Option<MatchId>,
    wrong: Vec<AgendaEvent>,
}

impl ActionSink for Heard {
    fn record(&mut self, _: &steadfast_wm::Record<'_>) {}

    fn agenda_event(&mut self, event: AgendaEvent) {
        let makes_sense = match &event {
            AgendaEvent::Firing(id) => {
                self.pending.contains_key(id) && self.firing.replace(id.clone()).is_none()
            }
            AgendaEvent::Fired(id) => {
                let fired = self.firing.take().as_ref() == Some(id);
                // It may clear its own group.
                self.pending.remove(id);
                fired
            }
            AgendaEvent::Created { id, salience, trigger } => {
                self.pending.insert(id.clone(), (*salience, trigger.get()));
                self.firing.is_none()
            }
            AgendaEvent::Cancelled(id) => self.pending.remove(id).is_some(),
            AgendaEvent::Suppressed { id, .. } => !self.pending.contains_key(id),
            AgendaEvent::Pushed(group) => {
                let is_other = self.focus.last() != Some(group);
                self.focus.push(group.clone());
                is_other
            }
            AgendaEvent::Popped(group) => {
                let place = self.focus.iter().rposition(|other| other == group);
                place.map(|place| self.focus.remove(place)).is_some()
            }
        };
        if !makes_sense {
            self.wrong.push(event);
        }
    }

    fn wants_agenda_events(&self) -> bool {
        true
    }
}

fn step(engine: &mut Engine, step: Step, sink: &mut dyn ActionSink) {
    match step {
        Step::Flush => drop(engine.flush(sink).unwrap()),
        Step::Advance(by) => drop(engine.advance_clock(engine.now() + by, sink).unwrap()),
        Step::Fire(limit) => drop(fire(engine, limit, false, sink)),
        Step::FireFiltered(limit) => drop(fire(engine, limit, true, sink)),
        _ => stage_on(engine, step, sink),
    }
}

/// The last rule comes before one step, the first one goes before another.
fn listen(
    specs: &[RuleSpec],
    steps: &[Step],
    (comes, goes): (usize, usize),
) -> Result<(), TestCaseError> {
    let all = ruleset(specs);
    let (last, rules) = without_last(&all);
    let session = SessionId::from_bytes([3; 16]);
    let mut engine = Engine::new(&rules, session, &mut Discard).unwrap();
    let mut alone = engine.clone();
    let focus = vec![MAIN.to_owned()];
    let mut heard = Heard { pending: BTreeMap::new(), focus, firing: None, wrong: Vec::new() };
    for (at, &each) in steps.iter().enumerate() {
        if at == comes {
            engine.add_rule(last, &mut heard).unwrap();
            alone.add_rule(last, &mut Discard).unwrap();
        }
        if at == comes + goes {
            engine.remove_rule(&all.rules()[0].path, &mut heard).unwrap();
            alone.remove_rule(&all.rules()[0].path, &mut Discard).unwrap();
        }
        step(&mut engine, each, &mut heard);
        step(&mut alone, each, &mut Discard);
        prop_assert!(heard.wrong.is_empty(), "{:?} in step {}", heard.wrong, at);
        let pending = engine.pending().into_iter();
        let pending = pending.map(|it| (it.id, (it.salience, it.trigger.get()))).collect();
        prop_assert_eq!(&heard.pending, &pending, "after step {}", at);
        prop_assert_eq!(&heard.focus, &engine.focus_stack(), "after step {}", at);
        prop_assert_eq!(engine.digest(), alone.digest(), "after step {}", at);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn what_is_heard_of_the_agenda_adds_up_to_it_and_leaves_no_trace(
        specs in rules(), steps in steps(), changes in (0..12_usize, 0..8_usize),
    ) {
        quiet();
        listen(&specs, &steps, changes)?;
    }
}
