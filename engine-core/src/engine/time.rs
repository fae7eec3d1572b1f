//! Time: it enters as an operation, and what it brings about happens in the order of its moments.
//!
//! The clock is always where everything that it brings about has happened: whoever advances it first
//! has what is staged matched at the old time, then every moment on the way taken in turn. So no state
//! tells apart the time that was reached and the time that was evaluated.

use serde::{Deserialize, Serialize};
use steadfast_wm::{MatchId, Member, Record};

use super::Engine;
use crate::error::{AdvanceError, ChangeError, EvaluateError};
use crate::fact::Effect;
use crate::ir::Late;
use crate::sink::ActionSink;
use crate::stage::Named;

/// A match that waits for its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The match.
    pub id: MatchId,
    /// When it becomes pending, in milliseconds of the session's clock.
    pub due: i64,
}

/// An effect of the session itself: a match of a rule with [`Late::Drop`] was not delivered, because
/// the clock had passed its time by more than the rule's grace.
///
/// It goes through the outbox like effects of consequences: journaled with the commit that dropped the
/// match, delivered until it is acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missed {
    /// Path of the rule.
    pub rule: String,
    /// The match.
    pub id: MatchId,
    /// When it had been due; of several times of a timer the last one.
    pub due: i64,
    /// The clock when it was dropped.
    pub clock: i64,
}

impl Effect for Missed {
    const TOPIC: &'static str = "steadfast.missed";
}

/// When a match falls due, and in which order: by rule, members, branch.
type Fall = (i64, u32, Vec<Member>, usize);

impl Engine {
    /// Advances the clock; itself an operation. Gives whether anything was evaluated.
    ///
    /// If rules have timers, what is staged is matched first, at the old time. Then matches become
    /// pending whose time has come, in the order of their times, rules and members, each under a number
    /// of its own. Nothing fires.
    ///
    /// # Errors
    ///
    /// [`ChangeError::ClockBackwards`] if it would go back; equal times are no operation.
    /// [`AdvanceError::Evaluate`]; the engine takes no more work then.
    pub fn advance_clock(
        &mut self,
        millis: i64,
        sink: &mut dyn ActionSink,
    ) -> Result<bool, AdvanceError> {
        self.failed_already()?;
        let now = self.now();
        if millis < now {
            return Err(ChangeError::ClockBackwards { now, requested: millis }.into());
        }
        if millis == now {
            return Ok(false);
        }
        // What is staged happened before the clock moved.
        let matched = self.depends_on_time() && !self.ops.is_empty() && self.flush(sink)?;
        let seq = self.next_seq();
        self.clock.set(self.scope, millis);
        sink.record(&Record::Clock { millis, seq });
        let passed = self.depends_on_time() && self.pass_moments(sink)?;
        Ok(matched || passed)
    }

    /// All matches that wait for their time, by time, then by identity.
    pub fn waiting(&self) -> Vec<Waiting> {
        let mut waiting: Vec<Waiting> = Vec::new();
        for &at in &self.timed {
            let queue = self.rules[at].terminal.due.iter();
            waiting.extend(queue.map(|(due, token)| Waiting { id: self.match_id(at, token), due }));
        }
        waiting.sort_unstable_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        waiting
    }

    /// The next moment at which time brings something about: advancing the clock to less only moves it.
    pub fn next_moment(&self) -> Option<i64> {
        let timers = self.timed.iter().filter_map(|&at| self.rules[at].terminal.due.first());
        timers.min()
    }

    /// Whether anything but the clock itself depends on the clock.
    fn depends_on_time(&self) -> bool {
        !self.timed.is_empty()
    }

    /// The moment that is being evaluated.
    pub(super) fn moment(&self) -> i64 {
        self.scratch.moment.unwrap_or_else(|| self.now())
    }

    /// Takes all moments up to the clock in turn; says whether there were any.
    fn pass_moments(&mut self, sink: &mut dyn ActionSink) -> Result<bool, EvaluateError> {
        let clock = self.now();
        let mut passed = false;
        while let Some(at) = self.next_moment().filter(|&at| at <= clock) {
            passed = true;
            self.scratch.moment = Some(at);
            self.guarded(|engine| {
                engine.fall_due(at, sink);
                Ok(())
            })?;
        }
        self.scratch.moment = None;
        if passed {
            sink.record(&Record::Evaluated);
        }
        Ok(passed)
    }

    /// Makes matches pending whose time is this moment.
    fn fall_due(&mut self, moment: i64, sink: &mut dyn ActionSink) {
        let mut fallen: Vec<(Fall, u32)> = Vec::new();
        for &at in &self.timed {
            let place = self.infos[at].place;
            let due = self.rules[at].terminal.due.until(moment).into_iter();
            let key = |due, token| (due, place, self.members(at, token), at);
            fallen.extend(due.map(|(due, token)| (key(due, token), token)));
        }
        fallen.sort_unstable();
        let clock = self.now();
        for ((due, .., at), token) in fallen {
            let (last, next) = match &self.infos[at].timing.timer {
                Some(timer) => timer.reached(due, clock),
                None => (due, None),
            };
            self.rules[at].terminal.due.set(self.scope, token, next);
            if let Late::Drop { grace } = self.infos[at].timing.late
                && clock.saturating_sub(last) > grace
            {
                self.report_missed(at, token, last, sink);
            } else if self.rules[at].terminal.state(token).trigger == 0 {
                let seq = self.next_seq();
                self.enqueue(at, [(seq.get(), token)]);
            }
        }
        self.focus_automatically();
    }

    fn report_missed(&mut self, at: usize, token: u32, due: i64, sink: &mut dyn ActionSink) {
        let rule = self.infos[at].path.clone();
        let missed = Missed { rule, id: self.match_id(at, token), due, clock: self.now() };
        let bytes = postcard::to_allocvec(&missed).expect("strings and numbers serialize").into();
        self.emit(&Named { name: Missed::TOPIC, version: Missed::VERSION, bytes }, sink);
    }

    /// Of the matches that a flush made pending or re-armed, keeps those that need not wait.
    ///
    /// A match that waits already goes on waiting for the same time; one that is still pending keeps its
    /// place, with the new trigger.
    pub(super) fn hold_back(&mut self, at: usize, matches: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
        if self.infos[at].timing.timer.is_none() {
            return matches;
        }
        let now = self.moment();
        let mut ready = Vec::with_capacity(matches.len());
        for (trigger, token) in matches {
            let terminal = &self.rules[at].terminal;
            if terminal.state(token).trigger != 0 {
                ready.push((trigger, token));
                continue;
            }
            if terminal.due.due(token).is_some() {
                continue;
            }
            let timer = self.infos[at].timing.timer.as_ref();
            let first = timer.and_then(|timer| timer.first(now));
            let (due, at_once) = match (first, timer) {
                (Some(first), Some(timer)) if first <= now => (timer.reached(first, now).1, true),
                (first, _) => (first, false),
            };
            self.rules[at].terminal.due.set(self.scope, token, due);
            if at_once {
                ready.push((trigger, token));
            }
        }
        ready
    }
}
