//! A flush of one operation: what it does to a rule of one pattern goes from the fact straight to the
//! agenda, without a change that is collected first and told to a network later.

use steadfast_wm::MatchId;

use super::distribute::{FEW_INPUTS, leave};
use super::{Engine, RuleInfo};
use crate::chains::NONE;
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
        self.distribute_op(&op);
        if !self.scratch.dirty.is_empty() || !self.suspects.is_empty() {
            self.scratch.distributed = true;
            return false;
        }
        self.focus_automatically();
        self.forget_ops();
        self.live.end_flush();
        true
    }

    /// The same as `distribute`, of the only operation of a flush. Rules of one pattern are done with
    /// behind it.
    fn distribute_op(&mut self, op: &Op) {
        let Op { kind, slot, what, .. } = *op;
        let alpha = &mut self.alphas[kind as usize];
        let (slides, elapses) = (alpha.slides, alpha.elapses);
        self.scratch.kinds = KindSet::of(kind);
        self.scratch.only_inserts = what == Change::Insert && !slides;
        match what {
            Change::Delete if slides || elapses => self.distribute_deleted(kind, &[slot]),
            Change::Delete => self.leave_all(op),
            Change::Insert | Change::Update => self.ask_all(op),
        }
        if slides {
            self.slide(kind);
        }
    }

    /// Takes a new or updated fact to all inputs that may take or hold it.
    fn ask_all(&mut self, op: &Op) {
        let alpha = &mut self.alphas[op.kind as usize];
        let arrangement = alpha.arrangement();
        let updates = op.what == Change::Update;
        // All entries are looked up at once if the fact is in many memories: in a large ruleset.
        let looked_up = updates && alpha.inputs.len() > FEW_INPUTS;
        if looked_up {
            alpha.entries(op.slot, &mut self.scratch.entries);
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
            for &place in switch.inputs(code) {
                let decided = arrangement.case(place).and_then(|case| case.decided);
                self.ask_one(op, place, looked_up, decided.filter(|_| exact));
            }
        }
        self.alphas[op.kind as usize].arranged(arrangement);
    }

    /// Asks one input about the fact, apart from a condition that is decided already.
    fn ask_one(&mut self, op: &Op, place: u32, looked_up: bool, decided: Option<usize>) {
        let Op { kind, slot, mask, what, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let input = alpha.inputs[place as usize];
        let updates = what == Change::Update;
        if updates && !mask.intersects(input.reads) {
            return;
        }
        let rule = input.net as usize;
        if !self.infos[rule].straight {
            if updates {
                self.revise(kind, place, std::iter::once((slot, mask)), looked_up, decided);
            } else {
                self.admit(kind, place, &[slot], 0, decided);
            }
            return;
        }
        let entry = if updates { alpha.entry(slot, place) } else { None };
        // What no condition on the fact alone reads leaves it where it is.
        let passes = if updates && !mask.intersects(input.tests) {
            entry.is_some()
        } else {
            let (source, answers) = ([self.store.source(kind)], &mut self.buffers.answers);
            alpha.plans[place as usize].alpha(decided, &Rows::new(&source, &[slot]), answers);
            answers.passed[0]
        };
        match (entry, passes) {
            (None, true) => self.enter_straight(op, place),
            (Some(entry), true) => {
                if self.is_read(op, place) {
                    let token = self.rules[rule].net.straight_token(entry);
                    self.enqueue(rule, [(op.seq.get(), token)]);
                }
            }
            (Some(entry), false) => self.leave_one(op, place, entry),
            (None, false) => {}
        }
    }

    /// A fact that a rule of one pattern takes is a match.
    fn enter_straight(&mut self, op: &Op, place: u32) {
        let (scope, alpha) = (self.scope, &mut self.alphas[op.kind as usize]);
        let at = alpha.inputs[place as usize].net as usize;
        let rule = &mut self.rules[at];
        let (entry, token) = rule.net.straight_enter(scope, op.slot);
        alpha.join(scope, op.slot, place, entry);
        rule.terminal.reset(scope, token);
        let trigger = if self.is_read(op, place) { op.seq } else { self.last_seq() };
        self.enqueue(at, [(trigger.get(), token)]);
    }

    /// Takes the fact out of those of its memories.
    fn leave_some(&mut self, op: &Op, is_left: impl Fn(u32) -> bool) {
        let alpha = &self.alphas[op.kind as usize];
        let mut left = std::mem::take(&mut self.scratch.left);
        left.extend(alpha.memberships(op.slot).filter(|&(place, _)| {
            op.mask.intersects(alpha.inputs[place as usize].reads) && is_left(place)
        }));
        for (place, entry) in left.drain(..) {
            self.leave_one(op, place, entry);
        }
        self.scratch.left = left;
    }

    fn leave_all(&mut self, op: &Op) {
        self.leave_some(op, |_| true);
    }

    /// Takes the fact out of the memory of one input. Of a rule of one pattern the match goes with it, unless
    /// something has to be taken from what it supports: the network does that.
    fn leave_one(&mut self, op: &Op, place: u32, entry: u32) {
        let (scope, alpha) = (self.scope, &mut self.alphas[op.kind as usize]);
        let input = alpha.inputs[place as usize];
        alpha.part(scope, op.slot, place);
        let at = input.net as usize;
        let rule = &mut self.rules[at];
        let info = &self.infos[at];
        let token = if info.straight { rule.net.straight_token(entry) } else { NONE };
        if token == NONE || rule.terminal.state(token).first_support != NONE {
            let is_deaf = rule.net.is_deaf(input.level);
            let (right, delta) = rule.net.right_mut(input.level);
            leave(scope, right, delta, is_deaf, entry);
            if !is_deaf {
                rule.net.wake(input.level);
                self.scratch.dirty.insert(at);
            }
            return;
        }
        let (net, store) = (&rule.net, &self.store);
        let RuleInfo { tag, branch, .. } = *info;
        let members = || net.members(store, token);
        rule.terminal.bury(scope, token, || MatchId { rule: tag, branch, members: members() });
        rule.net.straight_leave(scope, entry, token);
        self.enqueue(at, []);
    }

    /// Whether the operation touches what a pattern reads.
    fn is_read(&self, op: &Op, place: u32) -> bool {
        let plan = &self.alphas[op.kind as usize].plans[place as usize];
        op.what != Change::Update || op.mask.intersects(plan.reads)
    }
}
