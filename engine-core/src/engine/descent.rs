//! Flushes of a few operations, each on a fact of its own: what facts that enter or leave right memories do to
//! rules descends from level to level down to the agenda.

use super::{Engine, RuleState};
use crate::network::descent::Descent;
use crate::store::{Change, KindSet, Op};
use crate::trail::clear;

/// So many facts are few.
const FEW: u32 = 8;

impl Engine {
    /// Whether a flush has few operations, each on a fact of its own, of kinds in which nothing slides, and nobody
    /// listens to the order of what they do.
    pub(super) fn has_few_ops(&self) -> bool {
        let ops = self.ops.as_slice();
        let are_plain = || {
            ops.iter().map(|op| op.count).sum::<u32>() <= FEW
                && ops.iter().all(|op| {
                    let alpha = &self.alphas[op.kind as usize];
                    op.previous == 0 && !alpha.slides && !alpha.elapses
                })
        };
        ops.len() <= FEW as usize
            && *self.evaluated.get()
            && self.scratch.passing.is_none()
            && !self.is_heard()
            && are_plain()
    }

    /// Matches such a flush; says whether that was all. Otherwise its first round has begun, and networks have
    /// changes.
    pub(super) fn match_few(&mut self) -> bool {
        self.scratch.rounds = 1;
        self.scratch.kinds = KindSet::default();
        let ops = self.ops.as_slice();
        ops.iter().for_each(|op| self.scratch.kinds.insert(op.kind));
        self.scratch.only_inserts = ops.iter().all(|op| op.what == Change::Insert);
        self.scratch.steps.wanted = true;
        for at in 0..self.ops.len() {
            let op = *self.ops.get(at);
            for slot in op.slots() {
                self.distribute_one(&Op { slot, count: 1, ..op });
            }
        }
        self.scratch.steps.wanted = false;
        let mut goes_on = !self.scratch.dirty.is_empty() || !self.suspects.is_empty();
        if !self.scratch.steps.descents.is_empty() {
            goes_on |= self.take_descents();
        }
        if goes_on {
            self.scratch.distributed = true;
            return false;
        }
        self.focus_automatically();
        self.forget_flush();
        true
    }

    fn distribute_one(&mut self, op: &Op) {
        match op.what {
            Change::Delete => self.distribution(0).deleted(op.kind, &[op.slot]),
            Change::Insert | Change::Update => self.distribution(0).ask_all(op),
        }
    }

    /// Takes what was noted down to the matches of its rules. Says whether the flush goes on after that; the
    /// networks of some rules are told instead then.
    #[inline(never)] // not all flushes have any
    pub(super) fn take_descents(&mut self) -> bool {
        let mut descents = std::mem::take(&mut self.scratch.steps.descents);
        if descents.len() > 1 {
            descents.sort_unstable();
        }
        let mut goes_on = false;
        for steps in descents.chunk_by(|step, next| step.rule() == next.rule()) {
            let at = steps[0].rule();
            let (leaving, entering) = steps.split_at(steps.partition_point(|it| !it.enters()));
            if self.may_descend(at, leaving) {
                self.descend(at, leaving, entering);
            } else {
                let mut distribution = self.distribution(0);
                steps.iter().for_each(|descent| distribution.tell(at, descent.step()));
                goes_on = true;
            }
        }
        descents.clear();
        self.scratch.steps.descents = descents;
        self.buffers.shrink();
        goes_on
    }

    /// Whether the steps of a rule are taken at once: nothing else happens in its network, and no facts lose what
    /// they stand on.
    #[inline]
    fn may_descend(&self, at: usize, leaving: &[Descent]) -> bool {
        let RuleState { net, terminal, .. } = &self.rules[at];
        (leaving.is_empty() || !terminal.may_support()) && net.is_at_rest(&self.alphas)
    }

    /// Takes the steps of a rule down to the matches: those that go are forgotten, and those that come queued.
    fn descend(&mut self, at: usize, leaving: &[Descent], entering: &[Descent]) {
        self.scratch.at_work = Some(at);
        let mut descended = std::mem::take(&mut self.scratch.steps.descended);
        #[cfg(test)]
        {
            self.scratch.steps.descents_taken += 1;
        }
        if !leaving.is_empty() {
            let net = &mut self.rules[at].net;
            net.descend_leaving(self.scope, &self.alphas, leaving, &mut descended);
            if !descended.matches.is_empty() {
                self.bury_settled(at, &descended.matches);
                descended.clear();
            }
        }
        if !entering.is_empty() {
            let now = (self.scope, self.moment());
            let flush = self.scratch.flush(now, &self.store, self.ops.as_slice(), 0);
            let (net, of) = (&mut self.rules[at].net, (&mut self.alphas, &mut self.buffers));
            net.descend_entering(&flush, of.0, of.1, entering, &mut descended);
            if !descended.matches.is_empty() {
                self.queue_descended(at, entering, &descended.matches);
                descended.clear();
            }
        }
        self.scratch.steps.descended = descended;
    }

    /// Queues the matches of a rule that came, with their triggers.
    fn queue_descended(&mut self, at: usize, entering: &[Descent], matches: &[u32]) {
        let mut queued = std::mem::take(&mut self.scratch.queued);
        match self.ops.as_slice() {
            [op] if op.count == 1 && self.rules[at].net.are_touched_by(op, entering) => {
                queued.extend(matches.iter().map(|&token| (op.seq.get(), token)));
            }
            _ => self.find_triggers(at, matches, &mut queued),
        }
        self.enqueue_all_new(at, &mut queued);
        clear(&mut queued);
        self.scratch.queued = queued;
    }

    /// Adds new matches of a rule with their triggers.
    fn find_triggers(&mut self, at: usize, matches: &[u32], queued: &mut Vec<(u64, u32)>) {
        let last = self.last_seq().get();
        let now = (self.scope, self.moment());
        let flush = self.scratch.flush(now, &self.store, self.ops.as_slice(), 0);
        queued.extend(matches.iter().map(|&token| (0, token)));
        let net = &mut self.rules[at].net;
        let touching = net.touching(&flush, &self.alphas);
        let of = (&*self.alphas, &mut self.buffers);
        net.triggers(&flush, touching.as_ref(), of, queued, last);
    }
}
