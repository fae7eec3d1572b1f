//! A flush of one operation: what it does to a rule of one pattern goes from the fact straight to the
//! agenda, without a change that is collected first and told to a network later.

use steadfast_wm::MatchId;

use super::distribute::FEW_MEMORIES;
use super::{Engine, RuleInfo};
use crate::chains::NONE;
use crate::network::alpha::Memory;
use crate::network::switch::Case;
use crate::rows::Rows;
use crate::store::{Change, KindSet, Op};

impl Engine {
    /// The only operation of a flush in which nothing else happens, and nobody listens to the order of
    /// what it does to several rules.
    #[inline]
    fn only_op(&self) -> Option<Op> {
        let [op] = *self.ops.as_slice() else { return None };
        let alone = *self.evaluated.get() && self.scratch.passing.is_none() && !self.is_heard();
        alone.then_some(op)
    }

    /// Matches a flush of one operation; says whether that was all. Otherwise its first round has begun, and
    /// networks have changes.
    ///
    /// What happens on the agenda is the same as by way of the networks, with less to remember.
    pub(super) fn match_op(&mut self) -> bool {
        let Some(op) = self.only_op() else { return false };
        self.scratch.rounds = 1;
        self.distribute_op(&op);
        if !self.scratch.dirty.is_empty() || !self.suspects.is_empty() {
            self.scratch.distributed = true;
            return false;
        }
        self.focus_automatically();
        if !self.scratch.busy.is_empty() {
            self.end_flush_of_memories();
        }
        self.forget_ops();
        self.live.end_flush();
        true
    }

    /// The same as `distribute`, of the only operation of a flush. Rules of one pattern are done with
    /// behind it.
    fn distribute_op(&mut self, op: &Op) {
        let Op { kind, slot, mask, what, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let (slides, elapses, straight) = (alpha.slides, alpha.elapses, alpha.straight > 0);
        self.scratch.kinds = KindSet::of(kind);
        self.scratch.only_inserts = what == Change::Insert && !slides;
        match what {
            Change::Delete if straight && !slides && !elapses => self.leave_all(op),
            Change::Delete => self.distribution(0).deleted(kind, &[slot]),
            Change::Insert | Change::Update if straight => self.ask_all(op),
            Change::Insert => self.distribution(0).inserted(kind, &[slot], 0),
            Change::Update => self.distribution(0).updated(kind, &[(slot, mask)]),
        }
        if slides {
            self.distribution(0).slide(kind);
        }
    }

    /// Takes a new or updated fact to all memories that may take or hold it.
    fn ask_all(&mut self, op: &Op) {
        let alpha = &mut self.alphas[op.kind as usize];
        let arrangement = alpha.arrangement();
        let updates = op.what == Change::Update;
        // All entries are looked up at once if the fact is in many memories: in a large ruleset.
        let looked_up = updates && alpha.memories.len() > FEW_MEMORIES;
        if looked_up {
            let entries = &mut self.scratch.distribute.entries;
            alpha.memberships.entries(op.slot, alpha.memories.len(), entries);
        }
        for &place in &arrangement.plain {
            self.ask_one(op, place, looked_up, None);
        }
        for (at, switch) in arrangement.switches.iter().enumerate() {
            if updates && !op.mask.intersects(switch.reads) {
                continue;
            }
            let codes = &mut self.buffers.codes.codes;
            switch.codes(&Rows::new(&[self.store.source(op.kind)], &[op.slot]), codes);
            let (code, exact) = (codes.as_slice()[0], codes.is_exact());
            if updates {
                let other = |case: Case| case.switch == at && case.code != code;
                self.leave_some(op, |place| arrangement.case(place).is_some_and(other));
            }
            for &place in switch.memories(code) {
                let decided = arrangement.case(place).and_then(|case| case.decided);
                self.ask_one(op, place, looked_up, decided.filter(|_| exact));
            }
        }
        self.alphas[op.kind as usize].arranged(arrangement);
    }

    /// The rule of one pattern that alone listens to a memory, if it is such a one.
    fn straight_rule(&self, memory: &Memory) -> Option<usize> {
        let [listener] = *memory.listeners else { return None };
        let rule = listener.net as usize;
        self.infos[rule].straight.then_some(rule)
    }

    /// Notes to how many memories of each kind a rule of one pattern listens alone.
    pub(super) fn note_straight(&mut self) {
        for kind in 0..self.alphas.len() {
            let memories = self.alphas[kind].memories.iter();
            let straight = memories.filter(|memory| self.straight_rule(memory).is_some());
            self.alphas[kind].straight = straight.count();
        }
    }

    /// Asks one memory about the fact, apart from a condition that is decided already.
    fn ask_one(&mut self, op: &Op, place: u32, looked_up: bool, decided: Option<usize>) {
        let Op { kind, slot, mask, what, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let memory = &alpha.memories[place as usize];
        let updates = what == Change::Update;
        if updates && !mask.intersects(memory.reads) {
            return;
        }
        let Some(rule) = self.straight_rule(memory) else {
            let mut distribution = self.distribution(0);
            if updates {
                let updated = std::iter::once((slot, mask));
                distribution.revise(kind, place, updated, looked_up, decided);
            } else {
                distribution.admit(kind, place, &[slot], 0, decided);
            }
            return;
        };
        let entry = if updates { alpha.memberships.entry(slot, place) } else { None };
        // What no condition on the fact alone reads leaves it where it is.
        let passes = if updates && !mask.intersects(memory.tests) {
            entry.is_some()
        } else {
            let (source, answers) = ([self.store.source(kind)], &mut self.buffers.answers);
            memory.plan.alpha(decided, &Rows::new(&source, &[slot]), answers);
            answers.passed[0]
        };
        match (entry, passes) {
            (None, true) => self.enter_straight(op, place, rule),
            (Some(entry), true) => {
                if self.is_read(op, rule) {
                    let token = self.rules[rule].net.straight_token(entry);
                    self.enqueue(rule, [(op.seq.get(), token)]);
                }
            }
            (Some(entry), false) => self.leave_one(op, place, entry),
            (None, false) => {}
        }
    }

    /// A fact that a rule of one pattern takes is a match.
    fn enter_straight(&mut self, op: &Op, place: u32, at: usize) {
        let (scope, alpha) = (self.scope, &mut self.alphas[op.kind as usize]);
        let entry = alpha.memories[place as usize].right.admit(scope, op.slot);
        alpha.memberships.join(scope, op.slot, place, entry);
        let rule = &mut self.rules[at];
        let token = rule.net.straight_enter(scope, entry, op.slot);
        rule.terminal.reset(scope, token);
        let trigger = if self.is_read(op, at) { op.seq } else { self.last_seq() };
        self.enqueue(at, [(trigger.get(), token)]);
    }

    /// Takes the fact out of those of its memories.
    fn leave_some(&mut self, op: &Op, is_left: impl Fn(u32) -> bool) {
        let alpha = &self.alphas[op.kind as usize];
        let mut left = std::mem::take(&mut self.scratch.distribute.left);
        left.extend(alpha.memberships.of(op.slot).filter(|&(place, _)| {
            op.mask.intersects(alpha.memories[place as usize].reads) && is_left(place)
        }));
        for (place, entry) in left.drain(..) {
            self.leave_one(op, place, entry);
        }
        self.scratch.distribute.left = left;
    }

    fn leave_all(&mut self, op: &Op) {
        self.leave_some(op, |_| true);
    }

    /// Takes the fact out of one memory. Of a rule of one pattern that listens alone the match goes with it,
    /// unless something has to be taken from what it supports: the network does that.
    fn leave_one(&mut self, op: &Op, place: u32, entry: u32) {
        let (scope, alpha) = (self.scope, &self.alphas[op.kind as usize]);
        let straight = self.straight_rule(&alpha.memories[place as usize]);
        let token = straight.map_or(NONE, |rule| self.rules[rule].net.straight_token(entry));
        let supports = |rule: usize| self.rules[rule].terminal.state(token).first_support != NONE;
        let at = match straight {
            Some(at) if token != NONE && !supports(at) => at,
            _ => {
                self.distribution(0).leave(op.kind, place, op.slot, entry);
                return;
            }
        };
        let rule = &mut self.rules[at];
        let (net, store) = (&rule.net, &self.store);
        let RuleInfo { tag, branch, .. } = self.infos[at];
        let members = || net.members(store, token);
        rule.terminal.bury(scope, token, || MatchId { rule: tag, branch, members: members() });
        rule.net.straight_leave(scope, entry, token);
        let alpha = &mut self.alphas[op.kind as usize];
        alpha.memberships.part(scope, op.slot, place);
        alpha.memories[place as usize].right.dismiss(scope, entry);
        self.enqueue(at, []);
    }

    /// Whether the operation touches what the pattern of such a rule reads: its own, for others may have made
    /// the memory.
    fn is_read(&self, op: &Op, rule: usize) -> bool {
        let plan = self.rules[rule].net.levels[0].node.plan().expect("joins have plans");
        op.what != Change::Update || op.mask.intersects(plan.reads)
    }
}
