//! Firing: the best pending match runs its consequence, whose changes are applied and flushed.

use std::any::Any;
use std::cmp::{Ordering, Reverse};
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::Record;

use super::Engine;
use super::apply::Firing;
use crate::error::{EvaluateError, Failure, FireError};
use crate::ir::OnError;
use crate::sink::ActionSink;
use crate::stage::Stage;
use crate::then::Then;

/// How far a run of firings may go.
#[derive(Clone, Copy, Debug, Default)]
pub struct FireOptions {
    /// Stops after this many firings, skipped ones included; further matches stay pending. `None` runs until no match is
    /// pending.
    pub limit: Option<u64>,
}

/// What a run of firings came to.
#[derive(Debug, Default)]
pub struct Fired {
    /// How many consequences ran and were applied.
    pub count: u64,
    /// How many failed under [`OnError::Skip`]: nothing of them was applied, their matches are used up.
    pub skipped: u64,
    /// Whether a consequence asked the run to stop.
    pub halted: bool,
    /// Whether anything happened that must be journaled: a flush or a firing.
    pub changed: bool,
    /// Why the run stopped early, if it did. What happened before stands.
    pub error: Option<FireError>,
}

/// What one firing came to.
enum Outcome {
    Applied { halt: bool },
    Skipped,
    Failed(FireError),
}

impl Engine {
    /// Matches everything that is staged, as one flush; says whether there was anything to match.
    ///
    /// Nothing fires.
    ///
    /// # Errors
    ///
    /// [`EvaluateError`]; the engine takes no more work then.
    pub fn flush(&mut self, sink: &mut dyn ActionSink) -> Result<bool, EvaluateError> {
        let matched = self.match_staged(None, sink)?;
        if matched {
            sink.record(&Record::Evaluated);
        }
        Ok(matched)
    }

    /// Flushes, then fires pending matches in order, each followed by a flush, until none is pending
    /// or something stops the run.
    ///
    /// A failing consequence is part of what is reported, not lost: see [`Fired::error`].
    pub fn fire(&mut self, options: FireOptions, sink: &mut dyn ActionSink) -> Fired {
        self.fire_while(options, sink, |_| true)
    }

    /// As [`Engine::fire`], but asks before every firing whether to go on.
    pub fn fire_while(
        &mut self,
        options: FireOptions,
        sink: &mut dyn ActionSink,
        mut go_on: impl FnMut(u64) -> bool,
    ) -> Fired {
        let mut fired = Fired::default();
        match self.flush(sink) {
            Ok(matched) => fired.changed = matched,
            Err(error) => {
                fired.error = Some(error.into());
                return fired;
            }
        }
        let limit = options.limit.unwrap_or(u64::MAX);
        while fired.count + fired.skipped < limit && !fired.halted && go_on(fired.count) {
            if sink.wants_commit() {
                break;
            }
            let Some(rule) = self.ranks.best() else { break };
            let rule = self.best_branch(rule as usize);
            match self.fire_best(rule, fired.count, sink) {
                Ok(Outcome::Applied { halt }) => {
                    fired.count += 1;
                    fired.changed = true;
                    fired.halted = halt;
                }
                Ok(Outcome::Skipped) => {
                    fired.skipped += 1;
                    fired.changed = true;
                }
                Ok(Outcome::Failed(error)) => {
                    fired.error = Some(error);
                    break;
                }
                Err(error) => {
                    fired.error = Some(error.into());
                    break;
                }
            }
        }
        fired
    }

    /// Of a rule's branches, the one whose match fires next. The rule has pending matches.
    fn best_branch(&mut self, rule: usize) -> usize {
        if self.infos[rule].branches == 1 {
            return rule;
        }
        let mut best: Option<(_, _, usize)> = None;
        for at in self.branches_of(rule) {
            let terminal = &mut self.rules[at].terminal;
            let Some(token) = terminal.first(self.scope) else { continue };
            let key = (Reverse(terminal.best_salience()), terminal.state(token).trigger);
            let goes_first = best.is_none_or(|(best_key, best_token, best_at)| {
                key.cmp(&best_key)
                    .then_with(|| self.members(at, token).cmp(&self.members(best_at, best_token)))
                    == Ordering::Less
            });
            if goes_first {
                best = Some((key, token, at));
            }
        }
        best.map_or(rule, |(_, _, at)| at)
    }

    fn fire_best(
        &mut self,
        rule: usize,
        fired: u64,
        sink: &mut dyn ActionSink,
    ) -> Result<Outcome, EvaluateError> {
        let state = &mut self.rules[rule];
        let token = state.terminal.first(self.scope).expect("the rule's queue is active");
        let firing = Firing { rule, token };
        let mut drafts = std::mem::take(&mut self.drafts);
        let result = self.run_consequence(&firing, &mut drafts);
        let outcome = match result {
            Ok(()) => match self.apply(&mut drafts, Some(&firing), sink) {
                Ok(applied) => Ok(applied),
                Err(error) => Err(Failure::Error(error.into())),
            },
            Err(failure) => Err(failure),
        };
        self.drafts = drafts;
        match outcome {
            Ok(applied) => {
                self.close_firing(&firing, sink)?;
                Ok(Outcome::Applied { halt: applied.halt })
            }
            Err(_) if self.infos[rule].on_error == OnError::Skip => {
                self.close_firing(&firing, sink)?;
                Ok(Outcome::Skipped)
            }
            Err(failure) => Ok(Outcome::Failed(FireError::Consequence {
                rule: self.infos[rule].path.clone(),
                members: format!("{:?}", self.members(rule, token)),
                failure,
                fired,
            })),
        }
    }

    fn run_consequence(
        &self,
        firing: &Firing,
        drafts: &mut crate::stage::Drafts,
    ) -> Result<(), Failure> {
        let counters = *self.counters.get();
        drafts.begin(counters.next_handle, counters.random);
        let clock = *self.clock.get();
        let stage = Stage::new(&self.store, &self.globals, drafts, self.fingerprint, clock);
        let mut then = Then::new(stage);
        let consequence = &self.infos[firing.rule].consequence;
        // INV-47: after an error or a panic nothing that the consequence touched is used, since its
        // changes are only drafts.
        let run = || self.with_row(firing.rule, firing.token, |row| consequence(row, &mut then));
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::Error(error)),
            Err(panic) => Err(Failure::Panic(panic_message(panic.as_ref()))),
        }
    }

    /// The match is used up (INV-43: for this trigger); what its consequence changed is matched.
    fn close_firing(
        &mut self,
        firing: &Firing,
        sink: &mut dyn ActionSink,
    ) -> Result<(), EvaluateError> {
        let by = sink.wants_records().then(|| self.match_id(firing.rule, firing.token));
        let issuer = Some(self.infos[firing.rule].tag);
        let state = &mut self.rules[firing.rule];
        state.terminal.dequeue(self.scope, firing.token);
        let best = state.terminal.best_salience();
        self.ranks.set(u32::try_from(firing.rule).expect("few rules"), best);
        let mut counters = *self.counters.get();
        counters.firings += 1;
        self.counters.set(self.scope, counters);
        self.match_staged(issuer, sink)?;
        if let Some(by) = by {
            sink.record(&Record::Fired { by });
        }
        Ok(())
    }
}

/// What a panic says, as far as it can be told.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not a message".to_owned())
}
