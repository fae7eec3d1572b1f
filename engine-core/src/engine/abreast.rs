//! Many updates in a calm engine, each of a fact of its own, where facts of the kind go to one memory and one rule
//! listens there: they are taken along its [course](Course) side by side.
//!
//! What each of them does is the same as if it came alone, as nothing that one does concerns another; but groups
//! show what they come to at the end. So what has to be done to each is done to many, one thing after the other: it
//! is known once what is asked, and memory brings at the same time what they wait for.

use std::ops::Range;

use steadfast_wm::Seq;

use super::{Engine, RuleState};
use crate::chains::{ABREAST, NONE};
use crate::error::EvaluateError;
use crate::network::FactChanges;
use crate::network::alpha::{Alpha, Course, Memory};
use crate::network::descent::Descended;
use crate::network::straight::Became;
use crate::rows::Rows;
use crate::sink::ActionSink;
use crate::store::{Change, KindSet, Op};
use crate::trail::{Scope, clear};

/// A calm engine is outside of scopes.
const SCOPE: Scope = Scope::NONE;

/// How many operations are taken through a rule at a time.
const TOGETHER: usize = if cfg!(test) { 3 } else { 4 * ABREAST };

/// The course of many operations: kind, rule, level and salience.
#[derive(Clone, Copy)]
struct Way {
    kind: u32,
    rule: usize,
    level: u32,
    salience: i32,
}

/// Buffers for facts that are taken side by side.
#[derive(Default)]
pub(super) struct Abreast {
    slots: Vec<u32>,
    changes: FactChanges,
    descended: Descended,
    became: Vec<(u64, Became)>,
    queued: Vec<(u64, u32)>,
}

impl Engine {
    /// Matches several operations of a calm engine; says whether there was anything to match.
    #[inline(never)] // most runs in calm engines match one
    pub(super) fn match_many_calmly(
        &mut self,
        sink: &mut dyn ActionSink,
    ) -> Result<bool, EvaluateError> {
        let Some(way) = self.way_of_all() else { return self.match_staged(None, sink) };
        self.guarded(|engine| engine.take_all_abreast(way))?;
        #[cfg(test)]
        {
            self.scratch.calm_ops += self.ops.as_slice().len();
        }
        // Everybody knows what the operations did.
        let columns = self.store.kind_mut(way.kind);
        for (at, op) in (0..).zip(self.ops.as_slice()) {
            columns.forget_op(SCOPE, op.slot, at);
        }
        self.ops.clear(SCOPE);
        self.live.end_flush();
        Ok(true)
    }

    /// The way that all operations take side by side, if they do: none of them touches something that it does not
    /// read, and none of facts that may fall by it.
    fn way_of_all(&self) -> Option<Way> {
        let ops = self.ops.as_slice();
        let first = ops.first()?;
        let kind = first.kind;
        let alpha = &self.alphas[kind as usize];
        let (rule, level, salience) = match alpha.course {
            Course::Bare { rule, salience, .. } => (rule, 0, salience),
            Course::Step { rule, level, salience } => (rule, level, salience),
            Course::Any | Course::Found | Course::One => return None,
        };
        let (memory, net) = (&alpha.memories[0], &self.rules[rule as usize].net);
        let regroups = !net.is_of_joins;
        if self.may_lose(rule, first)
            || self.scratch.passing.is_some()
            || regroups && !net.regroups(level, &self.alphas)
        {
            return None;
        }
        let reads = net.levels[level as usize].node.plan().expect("courses begin at joins").reads;
        let goes = |op: &Op| {
            op.kind == kind
                && op.what == Change::Update
                && op.previous == 0
                && (op.mask.intersects(reads) || !op.mask.intersects(memory.reads))
                && !(regroups && memory.moves(op.mask))
        };
        let way = Way { kind, rule: rule as usize, level, salience };
        ops.iter().all(goes).then_some(way)
    }

    fn take_all_abreast(&mut self, way: Way) -> Result<(), EvaluateError> {
        self.scratch.rounds = 1;
        self.scratch.kinds = KindSet::of(way.kind);
        self.scratch.only_inserts = false;
        self.scratch.at_work = Some(way.rule);
        let mut abreast = std::mem::take(&mut self.scratch.abreast);
        let regroups = !self.rules[way.rule].net.is_of_joins;
        let count = self.ops.as_slice().len();
        for from in (0..count).step_by(TOGETHER) {
            let ops = from..count.min(from + TOGETHER);
            self.ask_abreast(way, ops.clone(), &mut abreast);
            if regroups {
                self.regroup_abreast(way, &mut abreast);
            } else if abreast.changes.staying.is_empty() {
                self.leave_abreast(way, &mut abreast);
                self.enter_abreast(way, &mut abreast);
            } else {
                // Their pairs may have to be found again.
                self.take_each(ops)?;
            }
            abreast.changes.clear();
        }
        if regroups {
            self.show_abreast(way, &mut abreast)?;
        }
        self.scratch.abreast = abreast;
        self.buffers.shrink();
        Ok(())
    }

    /// Takes operations one by one, as if each were alone.
    #[inline(never)] // mostly facts enter or leave
    fn take_each(&mut self, ops: Range<usize>) -> Result<(), EvaluateError> {
        for at in ops {
            let op = self.ops.as_slice()[at];
            self.take_op(&op)?;
        }
        self.forget_rest();
        Ok(())
    }

    /// Sorts out what becomes of the facts of some operations in the only memory of their kind.
    fn ask_abreast(&mut self, way: Way, ops: Range<usize>, abreast: &mut Abreast) {
        let Self { alphas, store, ops: all, buffers, .. } = self;
        let Alpha { memories, memberships, .. } = &alphas[way.kind as usize];
        let Memory { plan, reads, .. } = &memories[0];
        let Abreast { slots, changes, .. } = abreast;
        let ops = &all.as_slice()[ops];
        slots.clear();
        slots.extend(ops.iter().filter(|op| op.mask.intersects(*reads)).map(|op| op.slot));
        plan.alpha(None, &Rows::new(&[store.source(way.kind)], slots), &mut buffers.answers);
        for (&slot, &passes) in slots.iter().zip(&buffers.answers.passed) {
            match (memberships.entry_in_only(slot), passes) {
                (NONE, false) => {}
                (NONE, true) => changes.entering.push(slot),
                (entry, true) => changes.staying.push(entry),
                (entry, false) => changes.leaving.push(entry),
            }
        }
    }

    /// Takes facts out of their memory; their matches are forgotten.
    fn leave_abreast(&mut self, way: Way, Abreast { changes, descended, .. }: &mut Abreast) {
        let leaving = &mut changes.leaving;
        if leaving.is_empty() {
            return;
        }
        self.part_abreast(way.kind, leaving);
        let RuleState { net, terminal, .. } = &mut self.rules[way.rule];
        net.leave_abreast(SCOPE, way.level, leaving, descended);
        let mut is_idle = false;
        for &token in &descended.matches {
            is_idle |= terminal.drop_calmly(token);
        }
        if is_idle {
            self.ranks.set_by(way.rule, false, || None);
        }
        descended.clear();
        self.dismiss_abreast(way.kind, leaving);
    }

    fn part_abreast(&mut self, kind: u32, leaving: &[u32]) {
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        let right = &mut memories[0].right;
        for &entry in leaving {
            memberships.part(SCOPE, right.slot(entry), 0);
            right.unlink(SCOPE, entry);
        }
    }

    fn dismiss_abreast(&mut self, kind: u32, leaving: &[u32]) {
        let right = &mut self.alphas[kind as usize].memories[0].right;
        leaving.iter().for_each(|&entry| right.dismiss(SCOPE, entry));
    }

    /// Takes facts into their memory; what comes of them is pending.
    fn enter_abreast(&mut self, way: Way, abreast: &mut Abreast) {
        let Abreast { changes, descended, queued, .. } = abreast;
        if changes.entering.is_empty() {
            return;
        }
        self.join_abreast(way.kind, &mut changes.entering);
        let at = (SCOPE, self.moment());
        let flush = self.scratch.flush(at, &self.store, self.ops.as_slice(), 0);
        let RuleState { net, .. } = &mut self.rules[way.rule];
        let of = (&mut *self.alphas, &mut self.buffers);
        net.enter_abreast(&flush, of, (way.level, &changes.entering), descended);
        let position = net.position_of(way.level);
        let columns = self.store.kind(way.kind);
        queued.extend(descended.matches.iter().map(|&token| {
            // The last operation on a fact is the only one here.
            (columns.recency(net.terminal().row(token)[position]).get(), token)
        }));
        descended.clear();
        self.queue_abreast(way, queued);
    }

    /// Gives facts, given by their slots, entries in their memory, which are given instead.
    fn join_abreast(&mut self, kind: u32, entering: &mut [u32]) {
        let at = (SCOPE, self.moment());
        let flush = self.scratch.flush(at, &self.store, self.ops.as_slice(), 0);
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        let Memory { right, plan, .. } = &mut memories[0];
        for slot in &mut *entering {
            let entry = right.admit(SCOPE, *slot);
            memberships.join(SCOPE, *slot, 0, entry);
            *slot = entry;
        }
        right.link(&flush, plan, entering, &mut self.buffers);
    }

    /// Makes dormant matches pending, given with their triggers.
    fn queue_abreast(&mut self, way: Way, queued: &mut Vec<(u64, u32)>) {
        let RuleState { net, terminal, .. } = &mut self.rules[way.rule];
        if !queued.is_sorted_by(|before, after| before.0 < after.0) {
            net.sort_matches(&self.store, queued);
        }
        let mut is_only = false;
        for &(trigger, token) in &*queued {
            is_only |= terminal.enqueue_calmly(token, Seq::new(trigger), way.salience);
        }
        if is_only {
            self.ranks.set_by(way.rule, true, || Some(way.salience));
        }
        clear(queued);
    }

    /// Tells a group of members that came, stayed or went.
    fn regroup_abreast(&mut self, way: Way, Abreast { changes, descended, .. }: &mut Abreast) {
        self.part_abreast(way.kind, &changes.leaving);
        self.join_abreast(way.kind, &mut changes.entering);
        let at = (SCOPE, self.moment());
        let flush = self.scratch.flush(at, &self.store, self.ops.as_slice(), 0);
        let of = (&*self.alphas, &mut self.buffers);
        self.rules[way.rule].net.regroup(&flush, of, (way.level, changes), descended);
        self.dismiss_abreast(way.kind, &changes.leaving);
    }

    /// Shows what groups came to that were told of members.
    fn show_abreast(&mut self, way: Way, abreast: &mut Abreast) -> Result<(), EvaluateError> {
        let Abreast { became, queued, .. } = abreast;
        let RuleState { net, terminal, .. } = &mut self.rules[way.rule];
        if let Err(source) = net.show_groups(SCOPE, way.level, became) {
            return Err(self.no_result(way.rule, source));
        }
        let mut is_idle = false;
        for (trigger, became) in became.drain(..) {
            match became {
                Became::Came(token) => queued.push((trigger, token)),
                Became::Stayed(token) => {
                    // It is pending again, behind all others.
                    is_idle |= terminal.rest_calmly(token);
                    queued.push((trigger, token));
                }
                Became::Went(token) => is_idle |= terminal.drop_calmly(token),
                Became::Nothing | Became::Listed => {}
            }
        }
        if is_idle {
            self.ranks.set_by(way.rule, false, || None);
        }
        self.queue_abreast(way, queued);
        Ok(())
    }
}
