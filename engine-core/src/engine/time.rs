//! Time: it enters as an operation, and what it brings about happens in the order of its moments.
//!
//! The clock is always where everything that it brings about has happened: whoever advances it first
//! has what is staged matched at the old time, then every moment on the way taken in turn. So no state
//! tells apart the time that was reached and the time that was evaluated.

use serde::{Deserialize, Serialize};
use steadfast_wm::{FactHandle, MatchId, Member, Record};

use super::Engine;
use crate::error::{AdvanceError, ChangeError, EvaluateError};
use crate::fact::Effect;
use crate::ir::Late;
use crate::network::{Net, Source};
use crate::sink::ActionSink;
use crate::stage::Named;
use crate::store::Place;

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
    /// If rules depend on time, what is staged is matched first, at the old time, and events go whose time was
    /// over and that no pending match holds any more. Then everything happens that falls in between, moment by
    /// moment: matches become pending whose time has come, in the order of rules and members, each under a number
    /// of its own; facts leave windows over time and absences inside of others are decided, which has one number;
    /// events expire. Nothing fires.
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
        self.heed(sink);
        // What is staged happened before the clock moved, and so did that facts are not stated any more, and that
        // matches let events go whose time was over.
        let is_staged = !self.ops.is_empty() || !self.suspects.is_empty();
        let may_let_go = *self.evaluated.get() && self.has_expiring();
        let matched = self.depends_on_time() && (is_staged || may_let_go) && self.flush(sink)?;
        let seq = self.next_seq();
        self.clock.set(self.scope, millis);
        sink.record(&Record::Clock { millis, seq });
        let passed = self.depends_on_time() && self.pass_moments(now, sink)?;
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
        self.next_after(self.now())
    }

    fn next_after(&self, moment: i64) -> Option<i64> {
        let timers = self.timed.iter().filter_map(|&at| self.rules[at].terminal.due.first());
        let expiries = self.expiring.iter();
        let expiries =
            expiries.filter_map(|&kind| self.store.kind(kind).expiries.first_after(moment));
        let decisions = self.next_decision();
        timers.chain(expiries).chain(self.next_window_end()).chain(decisions).min()
    }

    /// Whether anything but the clock itself depends on the clock.
    fn depends_on_time(&self) -> bool {
        let lists = self.timed.is_empty() && self.expiring.is_empty() && self.deciding.is_empty();
        !lists || self.has_windows_over_time()
    }

    /// Whether there are facts that expire.
    #[inline]
    pub(super) fn has_expiring(&self) -> bool {
        !self.expiring.is_empty()
    }

    pub(super) fn expiring_positions(&self, net: &Net) -> Vec<(usize, u32)> {
        let positions = net.positions().iter().enumerate();
        let expiring = positions.filter_map(|(at, source)| match source {
            Source::Facts(kind) => {
                self.store.kind(*kind).fact.expires().is_some().then_some((at, *kind))
            }
            Source::Groups(_) => None,
        });
        expiring.collect()
    }

    /// The moment that is being evaluated.
    pub(super) fn moment(&self) -> i64 {
        self.scratch.moment.unwrap_or_else(|| self.now())
    }

    /// Takes all moments after `from` up to the clock in turn, then lets events go that matches released since;
    /// says whether anything happened.
    fn pass_moments(
        &mut self,
        from: i64,
        sink: &mut dyn ActionSink,
    ) -> Result<bool, EvaluateError> {
        let clock = self.now();
        let mut reached = from;
        while let Some(at) = self.next_after(reached).filter(|&at| at <= clock) {
            reached = at;
            self.scratch.moment = Some(at);
            self.guarded(|engine| {
                engine.fall_due(at, sink);
                engine.tell(sink);
                engine.pass(at, sink)?;
                engine.expire(sink)
            })?;
        }
        self.scratch.moment = None;
        let mut any = reached > from;
        if self.has_expiring() {
            self.guarded(|engine| {
                any |= engine.let_go(sink)?;
                Ok(())
            })?;
        }
        if any {
            sink.record(&Record::Evaluated);
        }
        Ok(any)
    }

    /// Deletes the events whose time is over at this moment, but for those that pending matches hold.
    fn expire(&mut self, sink: &mut dyn ActionSink) -> Result<(), EvaluateError> {
        if self.has_expiring() {
            self.note_all_over();
            self.let_go(sink)?;
        }
        Ok(())
    }

    /// Notes all events whose time is over.
    pub(super) fn note_all_over(&mut self) {
        let moment = self.moment();
        for &kind in &self.expiring {
            let over = self.store.kind(kind).expiries.until(moment);
            self.scratch.over.extend(over.map(|(.., slot)| Place { kind, slot }));
        }
    }

    /// Deletes events whose time is over and that no pending match holds any more, until there are none.
    ///
    /// An event that a pending match holds stays until that match has fired or ended: what came about
    /// in time is not undone by time.
    pub(super) fn let_go(&mut self, sink: &mut dyn ActionSink) -> Result<bool, EvaluateError> {
        let moment = self.moment();
        let mut any = false;
        loop {
            self.count_holds();
            let mut over: Vec<(i64, FactHandle)> = Vec::new();
            for Place { kind, slot } in std::mem::take(&mut self.scratch.over) {
                let columns = self.store.kind(kind);
                let (deadline, handle) = (columns.expiries.deadline(slot), columns.handle(slot));
                let lives = self.store.locate(handle) == Some(Place { kind, slot });
                if lives && deadline <= moment && !columns.expiries.is_held(slot) {
                    over.push((deadline, handle));
                }
            }
            if over.is_empty() {
                return Ok(any);
            }
            any = true;
            over.sort_unstable();
            over.dedup();
            for (_, handle) in over {
                self.delete(handle, None, false, sink);
            }
            self.match_rounds(None, sink)?;
        }
    }

    /// Brings the numbers of pending matches that hold each event up to date.
    pub(super) fn count_holds(&mut self) {
        for &at in &self.holding {
            let rule = &mut self.rules[at];
            for (token, pending) in rule.terminal.take_turns() {
                for &(position, kind) in &self.infos[at].expiring {
                    let slot = rule.net.terminal().row(token)[position];
                    let expiries = &mut self.store.kind_mut(kind).expiries;
                    if pending {
                        expiries.hold(self.scope, slot);
                    } else {
                        expiries.release(self.scope, slot);
                        self.scratch.over.push(Place { kind, slot });
                    }
                }
            }
        }
    }

    /// After everything was put back: what became pending or ceased to be since never happened.
    pub(super) fn forget_turns(&mut self) {
        for &at in &self.holding {
            self.rules[at].terminal.take_turns();
        }
        self.scratch.over.clear();
        self.note_all_over();
    }

    /// Whether one of the events of a match was over before or at a moment.
    fn is_over(&self, at: usize, token: u32, moment: i64) -> bool {
        let row = self.rules[at].net.terminal().row(token);
        self.infos[at].expiring.iter().any(|&(position, kind)| {
            self.store.kind(kind).expiries.deadline(row[position]) <= moment
        })
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
            self.scratch.unreported.insert(at);
            if self.is_over(at, token, moment - 1) {
                continue;
            }
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
    /// place, with the new trigger. One with an absence that is bounded in time waits until that has
    /// passed. One with an event whose time is over does not become pending.
    pub(super) fn hold_back(&mut self, at: usize, matches: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
        let info = &self.infos[at];
        let bounded = !info.absences.is_empty();
        if info.timing.timer.is_none() && info.expiring.is_empty() && !bounded {
            return matches;
        }
        let now = self.moment();
        let mut ready = Vec::with_capacity(matches.len());
        for (trigger, token) in matches {
            let rule = &self.rules[at];
            let decided = rule.net.decided(&self.store, &self.infos[at].absences, token);
            let undecided = decided.filter(|&decided| decided > now);
            let terminal = &rule.terminal;
            let (pending, waits) =
                (terminal.state(token).trigger != 0, terminal.due.due(token).is_some());
            if pending && undecided.is_none() {
                ready.push((trigger, token));
                continue;
            }
            if waits && !bounded || !pending && self.is_over(at, token, now) {
                continue;
            }
            if pending {
                // Its times were changed: it is not known any more to be a match.
                self.make_dormant(at, token);
            }
            let from = undecided.unwrap_or(now);
            let (due, at_once) = match &self.infos[at].timing.timer {
                None => (undecided, undecided.is_none()),
                Some(timer) => match timer.first(from) {
                    Some(first) if first <= now => (timer.reached(first, now).1, true),
                    first => (first, false),
                },
            };
            self.rules[at].terminal.due.set(self.scope, token, due);
            self.scratch.unreported.insert(at);
            if at_once {
                ready.push((trigger, token));
            }
        }
        ready
    }

    pub(super) fn make_dormant(&mut self, at: usize, token: u32) {
        self.note_cancelled(at, token);
        self.scratch.unreported.insert(at);
        self.rules[at].terminal.dequeue(self.scope, token);
        self.rank_anew(at);
    }
}
