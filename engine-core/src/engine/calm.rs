//! Runs in a calm engine: one fact changed, and all that follows fires, where nothing else has to be looked after.
//!
//! Programs in memory that fire after each change do nothing but this. What happens is the same as on the general
//! way; only what cannot be there is not asked for: the trail of a scope, records, listeners, groups with the
//! focus, events that expire. What one operation meets is decided when rules are installed ([`Course`]).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::apply::Firing;
use super::fire::Fired;
use super::flush::forget_more;
use super::run::FireRun;
use super::{Engine, FireOptions, RuleState};
use crate::chains::{ABREAST, NONE};
use crate::error::{EvaluateError, Failure};
use crate::fact::FieldMask;
use crate::network::alpha::{Alpha, Course};
use crate::network::straight::{Became, Step, Way};
use crate::sink::ActionSink;
use crate::store::{Change, KindSet, Op};
use crate::trail::Scope;

/// A calm engine is outside of scopes.
const SCOPE: Scope = Scope::NONE;

/// Why a calm run is not over.
enum Disturbed {
    /// The next match is of a rule that is not calm.
    Rule,
    /// The consequence of this match wants something, or failed.
    Firing(Firing, Result<(), Box<Failure>>),
}

impl Engine {
    /// As [`Engine::fire`], with the limit of [`FireRun::max_firings`]: all of a run without filter and commits in
    /// between.
    #[expect(
        clippy::inline_always,
        reason = "the caller knows what its sink wants, and there are few"
    )]
    #[inline(always)]
    pub fn fire_all(
        &mut self,
        options: FireOptions,
        max_firings: u64,
        sink: &mut dyn ActionSink,
    ) -> Fired {
        self.heed(sink);
        if self.is_calm() {
            return self.run_calmly(options, max_firings, sink);
        }
        let mut run = FireRun::new(options).max_firings(max_firings);
        self.fire_heeded(&mut run, u64::MAX, sink)
    }

    /// Whether nothing has to be looked after but facts and matches, as long as no consequence wants something.
    #[inline]
    fn is_calm(&self) -> bool {
        !self.failed
            && !self.scope.is_open()
            && !self.is_recorded()
            && !self.is_heard()
            && *self.evaluated.get()
            && self.suspects.is_empty()
            && self.expiring.is_empty()
            && self.focus.is_plain()
            && !self.focus.has_changed()
    }

    fn run_calmly(
        &mut self,
        options: FireOptions,
        max_firings: u64,
        sink: &mut dyn ActionSink,
    ) -> Fired {
        let matched = match self.match_calmly(sink) {
            Ok(matched) => matched,
            Err(error) => {
                let error = Some(Box::new(error.into()));
                return Fired { error, finished: true, ..Fired::default() };
            }
        };
        let mut count = 0;
        let limit = options.limit.unwrap_or(u64::MAX);
        if let Some(disturbed) = self.fire_calmly(&mut count, limit) {
            let mut run = FireRun::new(options).max_firings(max_firings);
            let changed = matched || count > 0;
            let mut fired = Fired { count, changed, ..Fired::default() };
            self.run_on(&mut run, disturbed, &mut fired, sink);
            return fired;
        }
        let changed = matched || count > 0;
        Fired { count, changed, finished: true, ..Fired::default() }
    }

    /// Goes on with a run that is calm no more.
    #[inline(never)] // what it needs is not gathered where it is not called
    fn run_on(
        &mut self,
        run: &mut FireRun<'_>,
        disturbed: Disturbed,
        fired: &mut Fired,
        sink: &mut dyn ActionSink,
    ) {
        // What fired so far has done no operation.
        run.begin_after(self.last_seq(), fired.count);
        if let Disturbed::Firing(firing, result) = disturbed {
            let outcome = self.apply_firing(result, &firing, fired.count, sink);
            run.note(outcome, fired);
        }
        self.fire_pending(run, u64::MAX, fired, sink);
        fired.changed |= self.focus.has_changed();
    }

    /// Matches what is staged; says whether there was anything to match.
    #[inline]
    fn match_calmly(&mut self, sink: &mut dyn ActionSink) -> Result<bool, EvaluateError> {
        let op = match *self.ops.as_slice() {
            [] => return Ok(false),
            [op] if op.count == 1 && self.scratch.passing.is_none() => op,
            [_, _, ..] => return self.match_many_calmly(sink),
            [_] => return self.match_staged(None, sink),
        };
        let course = self.alphas[op.kind as usize].course;
        match course {
            Course::Bare { rule, .. } | Course::Step { rule, .. } if !self.may_lose(rule, &op) => {
                self.meet_calmly(&op, course)
            }
            _ => self.match_staged(None, sink),
        }
    }

    /// Whether facts may lose what they stand on by an operation that only this rule hears of.
    #[inline]
    pub(super) fn may_lose(&self, rule: u32, op: &Op) -> bool {
        let RuleState { net, terminal, .. } = &self.rules[rule as usize];
        terminal.may_support()
            || !net.is_of_joins && self.lineage.may_shake(rule as usize, op.what == Change::Insert)
    }

    /// Takes an operation to those whom it meets, and forgets it; as [`guarded`](Self::guarded).
    #[expect(clippy::inline_always, reason = "it is what a run in a calm engine does")]
    #[inline(always)]
    fn meet_calmly(&mut self, op: &Op, course: Course) -> Result<bool, EvaluateError> {
        self.failed = true;
        self.scratch.at_work = None;
        let met = catch_unwind(AssertUnwindSafe(|| match course {
            Course::Bare { rule, salience, reads } => {
                self.meet_bare(op, (rule as usize, salience, reads));
                Ok(())
            }
            Course::Step { rule, level, salience } => {
                self.meet_step(op, (rule as usize, level, salience))
            }
            Course::Any | Course::Found | Course::One => unreachable!("the caller looked"),
        }));
        match met {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(panic) => return Err(self.condition_panicked(panic.as_ref())),
        }
        self.failed = false;
        #[cfg(test)]
        {
            self.scratch.calm_ops += 1;
        }
        // Everybody knows what the operation did.
        let kind = self.store.kind_mut(op.kind);
        kind.forget_op(SCOPE, op.slot, 0);
        if op.what == Change::Delete || op.before != NONE {
            forget_more(SCOPE, kind, op, &mut self.scratch.over);
        }
        self.ops.clear(SCOPE);
        self.live.end_flush();
        Ok(true)
    }

    /// How many operations were ever taken along a course that was known before.
    #[cfg(test)]
    pub(crate) fn calm_ops(&self) -> usize {
        self.scratch.calm_ops
    }

    /// The entry of the fact of an operation in the only memory of its kind, or `NONE`, and whether it passes the
    /// conditions there; nothing if the operation does not matter.
    #[expect(
        clippy::inline_always,
        reason = "it has two callers, and is most of what one of them does"
    )]
    #[inline(always)]
    fn ask_only(&self, op: &Op) -> Option<(u32, bool)> {
        let Alpha { memories, memberships, .. } = &self.alphas[op.kind as usize];
        let memory = &memories[0];
        debug_assert!(!memory.is_asleep(), "who listens is behind no gate");
        let passes = || memory.plan.takes(None, self.store.source(op.kind), op.slot);
        let entry = match op.what {
            Change::Insert => return passes().then_some((NONE, true)),
            Change::Update if !op.mask.intersects(memory.reads) => return None,
            Change::Update | Change::Delete => memberships.entry_in_only(op.slot),
        };
        let passes = match op.what {
            Change::Delete => false,
            // What no condition on the fact alone reads leaves it where it is.
            _ if !op.mask.intersects(memory.tests) => entry != NONE,
            _ => passes(),
        };
        (entry != NONE || passes).then_some((entry, passes))
    }

    /// Takes an operation to the only memory of its kind, to which a rule of one pattern listens alone: a fact that
    /// passes is a match, and pending as such.
    #[inline]
    fn meet_bare(&mut self, op: &Op, (rule, salience, reads): (usize, i32, FieldMask)) {
        let Some((entry, passes)) = self.ask_only(op) else { return };
        if entry != NONE && passes {
            self.stay_bare(op, rule, entry);
            return;
        }
        let last = self.last_seq();
        let Alpha { memories, memberships, .. } = &mut self.alphas[op.kind as usize];
        let right = &mut memories[0].right;
        let RuleState { net, terminal, .. } = &mut self.rules[rule];
        if passes {
            let entry = right.admit(SCOPE, op.slot);
            memberships.join(SCOPE, op.slot, 0, entry);
            let token = net.bare_enter(SCOPE, entry, op.slot);
            let is_read = op.what != Change::Update || op.mask.intersects(reads);
            if terminal.enqueue_calmly(token, if is_read { op.seq } else { last }, salience) {
                self.ranks.set_by(rule, true, || Some(salience));
            }
        } else {
            memberships.part(SCOPE, op.slot, 0);
            right.dismiss(SCOPE, entry);
            let token = net.bare_token(entry);
            debug_assert_ne!(token, NONE, "the unit tuple comes before all facts");
            net.bare_leave(SCOPE, entry, token);
            if terminal.drop_calmly(token) {
                self.ranks.set_by(rule, false, || None);
            }
        }
    }

    /// The same where a level of a rule listens alone that takes what happens straight down.
    #[inline]
    fn meet_step(
        &mut self,
        op: &Op,
        (rule, level, salience): (usize, u32, i32),
    ) -> Result<(), EvaluateError> {
        let Some((was, passes)) = self.ask_only(op) else { return Ok(()) };
        self.scratch.rounds = 1;
        self.scratch.kinds = KindSet::of(op.kind);
        self.scratch.only_inserts = op.what == Change::Insert;
        self.scratch.at_work = Some(rule);
        let at = (SCOPE, self.moment());
        let flush = self.scratch.flush(at, &self.store, self.ops.as_slice(), 0);
        let Alpha { memories, memberships, .. } = &mut self.alphas[op.kind as usize];
        let memory = &mut memories[0];
        let (entry, way) = match (was, passes) {
            (NONE, _) => {
                let entry = memory.right.admit(SCOPE, op.slot);
                memberships.join(SCOPE, op.slot, 0, entry);
                memory.right.link(&flush, &memory.plan, &[entry], &mut self.buffers);
                (entry, Way::Enters)
            }
            (entry, true) => {
                let mut moved = false;
                if memory.moves(op.mask) {
                    let note = |_, moves| moved = moves;
                    let (right, plan) = (&mut memory.right, &memory.plan);
                    right.relink(&flush, plan, &[entry], &mut self.buffers, note);
                }
                (entry, Way::Stays { moved })
            }
            (entry, false) => {
                memberships.part(SCOPE, op.slot, 0);
                memory.right.unlink(SCOPE, entry);
                (entry, Way::Leaves)
            }
        };
        let step = Step { level, entry, way };
        let net = &mut self.rules[rule].net;
        let taken = net.take_step(&flush, &mut self.alphas, &mut self.buffers, step);
        let became = taken.map_err(|source| self.no_result(rule, source))?;
        #[cfg(test)]
        self.count_step(became);
        self.settle_calmly((rule, salience), step, op, became);
        self.rules[rule].net.forget_step(SCOPE, step, became);
        if way == Way::Leaves {
            self.alphas[op.kind as usize].memories[0].right.dismiss(SCOPE, entry);
        }
        Ok(())
    }

    /// As [`settle_step`](Self::settle_step).
    #[inline]
    fn settle_calmly(
        &mut self,
        (rule, salience): (usize, i32),
        step: Step,
        op: &Op,
        became: Became,
    ) {
        let last = self.last_seq();
        let RuleState { net, terminal, .. } = &mut self.rules[rule];
        match became {
            Became::Nothing => {}
            Became::Came(token) => {
                let trigger = if net.touches(op, step, token) { op.seq } else { last };
                if terminal.enqueue_calmly(token, trigger, salience) {
                    self.ranks.set_by(rule, true, || Some(salience));
                }
            }
            Became::Stayed(token) if !net.touches(op, step, token) => {}
            Became::Stayed(token) if terminal.is_pending(token) => {
                self.enqueue(rule, [(op.seq.get(), token)]);
            }
            Became::Stayed(token) => {
                if terminal.rearm_calmly(token, op.seq, salience) {
                    self.ranks.set_by(rule, true, || Some(salience));
                }
            }
            Became::Went(token) => {
                if terminal.drop_calmly(token) {
                    self.ranks.set_by(rule, false, || None);
                }
            }
            Became::Listed => {
                self.settle_several(rule, step, op);
                self.buffers.shrink();
            }
        }
    }

    /// Fires pending matches in order while all is calm; says why it stops before none is left.
    #[inline]
    fn fire_calmly(&mut self, count: &mut u64, limit: u64) -> Option<Disturbed> {
        while *count < limit && !self.ranks.is_idle() {
            let rule = self.ranks.best(self.focus.top());
            let rule = rule.expect("a calm engine has one agenda group");
            let rule = rule as usize;
            let (info, terminal) = (&self.infos[rule], &self.rules[rule].terminal);
            if !info.is_calm || terminal.may_support() {
                return Some(Disturbed::Rule);
            }
            let (token, trigger) = terminal.first_queued().expect("the rule's queue is active");
            let firing = Firing { rule, token, trigger };
            let result = self.run_consequence(&firing);
            let drafts = self.drafts.as_ref().expect("the consequence had them");
            if result.is_err() || !drafts.list.is_empty() {
                return Some(Disturbed::Firing(firing, result));
            }
            let random = drafts.random;
            self.counters.change(SCOPE, |counters| {
                (counters.random, counters.firings) = (random, counters.firings + 1);
            });
            #[cfg(test)]
            self.count_firing(&firing);
            if self.rules[rule].terminal.use_up_calmly(token) {
                self.ranks.set_by(rule, false, || None);
            }
            *count += 1;
            if count.is_multiple_of(ABREAST as u64) {
                self.warm_next(rule);
            }
        }
        None
    }
}
