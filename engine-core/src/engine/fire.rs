//! Firing: the best pending match runs its consequence, whose changes are applied and flushed.

use std::any::Any;
use std::cmp::{Ordering, Reverse};
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{Counters, Record};

use super::agenda_events::AgendaEvent;
use super::apply::Firing;
use super::run::{FireRun, MAX_FIRINGS, Verdict};
use super::{Engine, RuleInfo, RuleState};
use crate::chains::ABREAST;
use crate::error::{EvaluateError, Failure, FireError};
use crate::network::Source;
use crate::sink::ActionSink;
use crate::stage::{Drafts, Stage};
use crate::then::{Row, Then};

/// How far a run of firings may go.
#[derive(Clone, Copy, Debug, Default)]
pub struct FireOptions {
    /// Stops after this many firings, skipped ones included; further matches stay pending. `None` runs until no match is
    /// pending.
    pub limit: Option<u64>,
}

/// What a run of firings, or a part of one, came to.
#[derive(Debug, Default)]
pub struct Fired {
    /// How many consequences ran and were applied.
    pub count: u64,
    /// How many failed under [`OnError::Skip`](crate::ir::OnError::Skip): nothing of them was applied, their matches are used up.
    pub skipped: u64,
    /// Whether a consequence asked the run to stop.
    pub halted: bool,
    /// Whether anything happened that must be journaled: a flush, a firing, or a change of the agenda.
    pub changed: bool,
    /// Whether the run is over: nothing is left that may fire, its limit is reached, or it was stopped.
    pub finished: bool,
    /// Why the run stopped early, if it did. What happened before stands.
    pub error: Option<Box<FireError>>,
}

/// What became of the best match.
pub(super) enum Outcome {
    Applied {
        halt: bool,
    },
    Skipped,
    /// It stays pending and is passed over.
    Kept,
    /// It is used up.
    Consumed,
    Failed(Box<FireError>),
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
        self.heed(sink);
        self.flush_heeded(sink)
    }

    #[inline]
    fn flush_heeded(&mut self, sink: &mut dyn ActionSink) -> Result<bool, EvaluateError> {
        let matched = self.match_staged(None, sink)?;
        if matched && self.is_recorded() {
            sink.record(&Record::Evaluated);
        }
        Ok(matched)
    }

    /// Flushes, then fires pending matches in order, each followed by a flush, until none is pending in
    /// the agenda group that has the focus, or something stops the run.
    ///
    /// A failing consequence is part of what is reported, not lost: see [`Fired::error`].
    pub fn fire(&mut self, options: FireOptions, sink: &mut dyn ActionSink) -> Fired {
        self.fire_all(options, MAX_FIRINGS, sink)
    }

    /// As [`Engine::fire`], for a part of a run: it ends after so many firings, skipped ones included, or
    /// when the sink wants a commit, and the next part goes on where it ended.
    #[inline] // the caller knows what its sink wants
    pub fn fire_part(
        &mut self,
        run: &mut FireRun<'_>,
        at_most: u64,
        sink: &mut dyn ActionSink,
    ) -> Fired {
        self.heed(sink);
        self.fire_heeded(run, at_most, sink)
    }

    pub(super) fn fire_heeded(
        &mut self,
        run: &mut FireRun<'_>,
        at_most: u64,
        sink: &mut dyn ActionSink,
    ) -> Fired {
        let mut fired = Fired::default();
        match self.flush_heeded(sink) {
            Ok(matched) => fired.changed = matched,
            Err(error) => {
                (fired.error, fired.finished) = (Some(Box::new(error.into())), true);
                return fired;
            }
        }
        self.settle_focus();
        self.tell(sink);
        run.guard.begin(self.last_seq());
        if self.ranks.best(self.focus.top()).is_none() {
            // As nothing is pending, it does not matter whether anything keeps it from firing.
            fired.finished = true;
        } else {
            self.fire_pending(run, at_most, &mut fired, sink);
        }
        fired.changed |= self.focus.has_changed();
        fired
    }

    /// Fires what is pending, as far as the part of the run goes.
    #[inline(never)] // as whoever fires after each change often has nothing to fire
    pub(super) fn fire_pending(
        &mut self,
        run: &mut FireRun<'_>,
        at_most: u64,
        fired: &mut Fired,
        sink: &mut dyn ActionSink,
    ) {
        while !fired.finished && fired.count + fired.skipped < at_most {
            if self.is_recorded() && sink.wants_commit() {
                break;
            }
            if !run.goes_on() {
                fired.finished = true;
                break;
            }
            let Some(firing) = self.next_match(run) else {
                fired.finished = true;
                break;
            };
            self.fire_next(run, &firing, fired, sink);
            if fired.count.is_multiple_of(ABREAST as u64) {
                self.warm_next(firing.rule);
            }
        }
    }

    /// Has the facts of a rule's next matches [near](crate::trail::Column::warm), if there are so many that they
    /// may be far.
    #[inline(never)] // once in a while
    pub(super) fn warm_next(&self, rule: usize) {
        const MANY: u32 = 1 << 12;
        let RuleState { net, terminal, .. } = &self.rules[rule];
        if terminal.pending_count() < MANY {
            return;
        }
        let tokens = net.terminal();
        for (position, source) in net.positions().iter().enumerate() {
            let Source::Facts(kind) = *source else { continue };
            let (mut slots, mut count) = ([0; ABREAST], 0);
            terminal.next_few(|token| {
                slots[count] = tokens.row(token)[position];
                count += 1;
            });
            self.store.kind(kind).table.warm(&slots[..count]);
        }
    }

    /// Of a rule's branches, the one whose match fires next. The rule has pending matches.
    #[inline(never)] // few rules have branches
    pub(super) fn best_branch(&mut self, rule: usize) -> usize {
        if self.infos[rule].branches == 1 {
            return rule;
        }
        let mut best: Option<(_, _, usize)> = None;
        for at in self.branches_of(rule) {
            let terminal = &mut self.rules[at].terminal;
            let Some(token) = terminal.first() else { continue };
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

    /// Fires a match, unless its rule or the filter says otherwise, and counts it.
    #[inline]
    fn fire_next(
        &mut self,
        run: &mut FireRun<'_>,
        firing: &Firing,
        fired: &mut Fired,
        sink: &mut dyn ActionSink,
    ) {
        let outcome = self.try_match(run, firing, sink);
        run.note(outcome, fired);
    }

    #[inline]
    fn try_match(
        &mut self,
        run: &mut FireRun<'_>,
        firing: &Firing,
        sink: &mut dyn ActionSink,
    ) -> Outcome {
        let is_asked = !self.infos[firing.rule].is_plain || run.filter.is_some();
        if is_asked && let Some(outcome) = self.otherwise(run, firing, sink) {
            return outcome;
        }
        if run.guard.counts(firing.rule, firing.trigger) {
            return Outcome::Failed(Box::new(self.suspected_loop(run)));
        }
        self.fire_match(firing, run.fired, sink)
    }

    /// What becomes of a match that does not fire because its rule or the filter says otherwise.
    #[inline(never)]
    fn otherwise(
        &mut self,
        run: &mut FireRun<'_>,
        &Firing { rule, token, trigger }: &Firing,
        sink: &mut dyn ActionSink,
    ) -> Option<Outcome> {
        match self.verdict(rule, token, run.filter.as_mut()) {
            Ok(Verdict::Fire) => None,
            Ok(Verdict::Keep) => {
                let number = u32::try_from(rule).expect("few rules");
                let kept = run.kept.get_or_insert_default();
                kept.insert((number, token, trigger.get()));
                Some(Outcome::Kept)
            }
            Ok(Verdict::Consume) => {
                self.note_cancelled(rule, token);
                self.use_up(rule, token);
                self.focus.set_changed(self.scope);
                self.settle_focus();
                self.tell(sink);
                Some(Outcome::Consumed)
            }
            Err(message) => Some(Outcome::Failed(Box::new(FireError::Undecided {
                rule: self.infos[rule].path.clone(),
                members: format!("{:?}", self.members(rule, token)),
                message,
                fired: run.fired,
            }))),
        }
    }

    #[cold]
    fn suspected_loop(&self, run: &FireRun<'_>) -> FireError {
        let path = |rule| self.infos[rule as usize].path.clone();
        let cycle = run.guard.cycle().into_iter().map(path).collect();
        FireError::SuspectedLoop { cycle, fired: run.fired }
    }

    #[inline]
    fn fire_match(&mut self, firing: &Firing, fired: u64, sink: &mut dyn ActionSink) -> Outcome {
        let result = self.run_consequence(firing);
        let drafts = self.drafts.as_ref().expect("the consequence had them");
        if result.is_err() || !drafts.list.is_empty() || self.is_followed(firing.rule) {
            return self.apply_firing(result, firing, fired, sink);
        }
        // It wants nothing, and its match supports nothing: it may have drawn numbers.
        let random = drafts.random;
        if self.counters.get().random != random {
            self.counters.change(self.scope, |counters| counters.random = random);
        }
        self.settle_firing(firing, false, sink)
    }

    /// Whether somebody listens to what fires, or matches of the rule may support facts.
    #[inline]
    fn is_followed(&self, rule: usize) -> bool {
        self.is_heard() || self.rules[rule].terminal.may_support()
    }

    /// Applies what a consequence wants, if it did not fail.
    #[inline(never)] // a consequence that wants nothing is over sooner
    pub(super) fn apply_firing(
        &mut self,
        result: Result<(), Box<Failure>>,
        firing: &Firing,
        fired: u64,
        sink: &mut dyn ActionSink,
    ) -> Outcome {
        if result.is_ok() && self.derive_alone(firing) {
            return self.settle_firing(firing, false, sink);
        }
        let mut drafts = self.drafts.take().expect("the consequence had them");
        let applied = result.and_then(|()| {
            self.apply(&mut drafts, Some(firing), sink)
                .map_err(|error| Box::new(Failure::Error(error.into())))
        });
        self.drafts = Some(drafts);
        match applied {
            Ok(halt) => {
                self.note_fired(firing);
                self.settle_firing(firing, halt, sink)
            }
            Err(failure) => self.fail_match(firing, *failure, fired, sink),
        }
    }

    #[cfg(test)]
    pub(super) fn count_firing(&mut self, firing: &Firing) {
        let id = self.match_id(firing.rule, firing.token);
        self.scratch.fired.push(id);
    }

    /// What has fired since this was last asked.
    #[cfg(test)]
    pub(crate) fn take_fired(&mut self) -> Vec<steadfast_wm::MatchId> {
        std::mem::take(&mut self.scratch.fired)
    }

    /// A match has fired.
    #[expect(clippy::inline_always, reason = "it is done for each firing, of either kind")]
    #[inline(always)]
    fn settle_firing(&mut self, firing: &Firing, halt: bool, sink: &mut dyn ActionSink) -> Outcome {
        #[cfg(test)]
        self.count_firing(firing);
        // The others are cancelled, not itself, which has fired.
        self.use_up(firing.rule, firing.token);
        let RuleInfo { is_plain, ref turn, .. } = self.infos[firing.rule];
        if !is_plain && let Some(group) = turn.activation_group {
            self.win(group);
        }
        self.tell(sink);
        self.close_firing(firing, sink, Outcome::Applied { halt })
    }

    /// What becomes of a match of which the consequence failed.
    #[cold]
    fn fail_match(
        &mut self,
        firing: &Firing,
        failure: Failure,
        fired: u64,
        sink: &mut dyn ActionSink,
    ) -> Outcome {
        let &Firing { rule, token, .. } = firing;
        if self.infos[rule].on_error.skips(&failure) {
            self.note_firing(firing);
            self.note_fired(firing);
            self.tell(sink);
            #[cfg(test)]
            self.count_firing(firing);
            self.use_up(rule, token);
            return self.close_firing(firing, sink, Outcome::Skipped);
        }
        Outcome::Failed(Box::new(FireError::Consequence {
            rule: self.infos[rule].path.clone(),
            members: format!("{:?}", self.members(rule, token)),
            failure,
            fired,
        }))
    }

    /// Facts of unique types that nothing but a match supports.
    #[inline(never)] // matches of most rules support none
    fn draft_yielding(&mut self, &Firing { rule, token, .. }: &Firing) {
        let supports = self.supports.of_match(self.rules[rule].terminal.state(token).first_support);
        let yielding = supports.filter_map(|support| {
            let place = self.supports.get(support).place;
            let kind = self.store.kind(place.kind);
            let alone = kind.fact.is_unique()
                && !kind.is_stated(place.slot)
                && self.supports.of_fact(&self.store, place).nth(1).is_none();
            alone.then(|| kind.handle(place.slot))
        });
        let drafts = self.drafts.as_mut().expect("the consequence has them");
        drafts.yielding.extend(yielding);
    }

    /// What it wants is in the drafts then.
    #[inline]
    pub(super) fn run_consequence(&mut self, firing: &Firing) -> Result<(), Box<Failure>> {
        let &Firing { rule, token, .. } = firing;
        let Counters { next_handle, random, .. } = *self.counters.get();
        let drafts = self.drafts.get_or_insert_with(Drafts::boxed);
        drafts.begin(next_handle, random);
        if self.rules[rule].terminal.supports(token) {
            self.draft_yielding(firing);
        }
        let drafts = self.drafts.as_mut().expect("they are there");
        let names = (&self.globals, self.focus.names());
        let stage = Stage::new(&self.store, names, drafts, self.fingerprint, *self.clock.get());
        let mut then = Then::new(stage);
        let (RuleState { net, .. }, RuleInfo { consequence, branch, .. }) =
            (&self.rules[rule], &self.infos[rule]);
        let row = Row::new(&self.store, net, net.terminal().row(token), self.fingerprint);
        let row = row.in_branch(*branch);
        // INV-47: after an error or a panic nothing that the consequence touched is used, since its
        // changes are only drafts.
        match catch_unwind(AssertUnwindSafe(|| consequence(&row, &mut then))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Box::new(Failure::Error(error))),
            Err(panic) => Err(Box::new(Failure::Panic(panic_message(panic.as_ref())))),
        }
    }

    /// The match is used up by now (INV-43: for this trigger); what its consequence changed is matched.
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn close_firing(
        &mut self,
        firing: &Firing,
        sink: &mut dyn ActionSink,
        outcome: Outcome,
    ) -> Outcome {
        if self.is_recorded() {
            self.note_report(firing.rule, firing.token);
        }
        let issuer = Some(self.infos[firing.rule].tag);
        self.counters.change(self.scope, |counters| counters.firings += 1);
        if self.has_to_match()
            && let Err(error) = self.match_staged(issuer, sink)
        {
            return Outcome::Failed(Box::new(error.into()));
        }
        self.settle_focus();
        self.tell(sink);
        if self.is_recorded() {
            sink.record(self.scratch.report.record());
        }
        outcome
    }

    #[inline]
    pub(super) fn note_firing(&mut self, firing: &Firing) {
        if self.is_heard() {
            self.note(AgendaEvent::Firing(self.match_id(firing.rule, firing.token)));
        }
    }

    #[inline]
    fn note_fired(&mut self, firing: &Firing) {
        if self.is_heard() {
            self.note(AgendaEvent::Fired(self.match_id(firing.rule, firing.token)));
        }
    }

    /// Makes a pending match dormant.
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn use_up(&mut self, rule: usize, token: u32) {
        let state = &mut self.rules[rule];
        state.terminal.dequeue(self.scope, token);
        if state.terminal.ranks_anew() {
            self.rank_anew(rule);
        }
        self.note_unreported(rule);
    }
}

/// What a panic says, as far as it can be told.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not a message".to_owned())
}
