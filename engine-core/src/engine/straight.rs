//! A flush of one operation: what it does goes from the fact straight to the agenda where a rule allows it,
//! without a change that is collected first and told to a network later.

use super::distribute::FEW_MEMORIES;
use super::{Engine, RuleInfo, RuleState};
use crate::chains::NONE;
use crate::error::EvaluateError;
use crate::ir::Salience;
use crate::network::alpha::{Alpha, Course, Listener, Memory};
#[cfg(test)]
use crate::network::straight::Became;
use crate::network::straight::{Step, Way};
use crate::network::switch::Case;
use crate::rows::Rows;
use crate::store::{Change, KindSet, Op};

impl Engine {
    /// The only operation of a flush in which nothing else happens, and nobody listens to the order of
    /// what it does to several rules.
    #[inline]
    fn only_op(&self) -> Option<Op> {
        let [ref op] = *self.ops.as_slice() else { return None };
        let alone = op.count == 1
            && *self.evaluated.get()
            && self.scratch.passing.is_none()
            && !self.is_heard();
        alone.then_some(*op)
    }

    /// Matches a flush of one operation; says whether that was all. Otherwise its first round has begun, and
    /// networks have changes.
    ///
    /// What happens on the agenda is the same as by way of rounds, with less to remember.
    pub(super) fn match_op(&mut self) -> Result<bool, EvaluateError> {
        let Some(op) = self.only_op() else { return Ok(self.has_few_ops() && self.match_few()) };
        self.scratch.rounds = 1;
        if self.take_op(&op)? {
            self.scratch.distributed = true;
            return Ok(false);
        }
        self.focus_automatically();
        self.forget_only_op(&op);
        Ok(true)
    }

    /// Takes an operation to all whom it concerns, without rounds as far as that goes; says whether the flush goes on
    /// with them.
    #[expect(clippy::inline_always, reason = "of many operations it is rare")]
    #[inline(always)]
    pub(super) fn take_op(&mut self, op: &Op) -> Result<bool, EvaluateError> {
        (self.scratch.steps.wanted, self.scratch.steps.only_op) = (true, true);
        self.distribute_op(op);
        (self.scratch.steps.wanted, self.scratch.steps.only_op) = (false, false);
        let mut goes_on = !self.scratch.dirty.is_empty() || !self.suspects.is_empty();
        if !self.scratch.steps.list.is_empty() {
            goes_on = self.take_steps(op, goes_on)?;
        }
        if !self.scratch.steps.descents.is_empty() {
            goes_on |= self.take_descents();
        }
        Ok(goes_on)
    }

    /// Takes the steps that the operation brings about straight down. Says whether the flush goes on after that;
    /// the networks of some are told instead then.
    #[inline(never)] // rules of one pattern take none
    fn take_steps(&mut self, op: &Op, mut goes_on: bool) -> Result<bool, EvaluateError> {
        let mut steps = std::mem::take(&mut self.scratch.steps.list);
        for &(rule, step) in &steps {
            goes_on |= self.may_cascade(rule as usize, step);
        }
        for &(rule, step) in &steps {
            let rule = rule as usize;
            if goes_on && self.waits(rule, step) {
                self.distribution(0).tell(rule, step);
            } else {
                self.take_step(rule, step, op)?;
            }
        }
        steps.clear();
        self.scratch.steps.list = steps;
        self.buffers.shrink();
        Ok(goes_on)
    }

    /// Whether a step is not taken before it is known what else happens in the flush: what a group shows
    /// counts at its end alone.
    fn waits(&self, rule: usize, step: Step) -> bool {
        !self.rules[rule].net.is_of_joins || self.may_cascade(rule, step)
    }

    /// Whether facts may lose what they stand on by a step.
    #[inline]
    pub(super) fn may_cascade(&self, rule: usize, step: Step) -> bool {
        let RuleState { net, terminal, .. } = &self.rules[rule];
        if net.is_of_joins {
            return terminal.may_support() && step.way != Way::Enters;
        }
        terminal.may_support() || self.lineage.may_shake(rule, self.scratch.only_inserts)
    }

    /// Takes one step down to the matches of its rule, and settles those.
    #[inline]
    fn take_step(&mut self, rule: usize, step: Step, op: &Op) -> Result<(), EvaluateError> {
        let at = (self.scope, self.moment());
        let flush = self.scratch.flush(at, &self.store, self.ops.as_slice(), 0);
        self.scratch.at_work = Some(rule);
        let net = &mut self.rules[rule].net;
        let taken = net.take_step(&flush, &mut self.alphas, &mut self.buffers, step);
        let became = taken.map_err(|source| self.no_result(rule, source))?;
        #[cfg(test)]
        self.count_step(became);
        self.settle_step(rule, step, op, became);
        self.rules[rule].net.forget_step(self.scope, step, became);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn count_step(&mut self, became: Became) {
        let (singly, listed) = &mut self.scratch.steps.taken;
        *if became == Became::Listed { listed } else { singly } += 1;
    }

    /// How many steps were ever taken token by token, and how many with lists of what happened.
    #[cfg(test)]
    pub(crate) fn steps_taken(&self) -> (usize, usize) {
        self.scratch.steps.taken
    }

    /// How many times steps of a rule ever descended, and in how many rounds networks were told of changes.
    #[cfg(test)]
    pub(crate) fn descents_taken(&self) -> (usize, usize) {
        let steps = &self.scratch.steps;
        (steps.descents_taken, steps.rounds)
    }

    /// The same as `distribute`, of the only operation of a flush.
    #[inline]
    fn distribute_op(&mut self, op: &Op) {
        self.scratch.kinds = KindSet::of(op.kind);
        self.scratch.only_inserts = op.what == Change::Insert;
        match self.alphas[op.kind as usize].course {
            Course::Found if op.what == Change::Insert => self.enter_found(op),
            Course::One | Course::Bare { .. } | Course::Step { .. }
                if op.what != Change::Delete =>
            {
                self.ask_one(op, 0, false, None);
            }
            _ => self.distribute_to_all(op),
        }
    }

    /// Takes a new fact to the memories that a value of it finds, which are all that there are of its kind.
    #[inline(never)] // few kinds have as many patterns
    fn enter_found(&mut self, op: &Op) {
        let Op { kind, slot, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let Some((arrangement, switch)) = alpha.arranged_for() else {
            self.distribute_to_all(op);
            return;
        };
        let (source, codes) = (self.store.source(kind), &mut self.buffers.codes.codes);
        switch.codes(&Rows::new(&[source], &[slot]), codes);
        let [place] = *switch.memories(codes.as_slice()[0]) else {
            self.distribute_to_all(op);
            return;
        };
        let decided = arrangement.case(place).and_then(|case| case.decided);
        let decided = decided.filter(|_| codes.is_exact());
        let memory = &alpha.memories[place as usize];
        if memory.bare == NONE {
            self.ask_this(op, place, false, decided);
        } else if memory.plan.takes(decided, source, slot) {
            self.enter_bare(op, place, memory.bare as usize);
        }
    }

    #[inline(never)] // facts of most types are in one memory
    fn distribute_to_all(&mut self, op: &Op) {
        let Op { kind, slot, what, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let (slides, elapses, bare) = (alpha.slides, alpha.elapses, alpha.bare > 0);
        self.scratch.only_inserts &= !slides;
        match what {
            Change::Delete if bare && !slides && !elapses => self.leave_some(op, |_| true),
            Change::Delete => self.distribution(0).deleted(kind, &[slot]),
            Change::Insert | Change::Update if bare || slides || elapses => self.ask_all(op),
            Change::Insert | Change::Update => self.distribution(0).ask_all(op),
        }
        if slides {
            self.distribution(0).slide(kind);
        }
    }

    /// Takes a new or updated fact to all memories that may take or hold it.
    fn ask_all(&mut self, op: &Op) {
        let alpha = &mut self.alphas[op.kind as usize];
        let (plain, switches) = alpha.arrange().counts();
        let updates = op.what == Change::Update;
        // All entries are looked up at once if the fact is in many memories: in a large ruleset.
        let looked_up = updates && alpha.memories.len() > FEW_MEMORIES;
        if looked_up {
            let entries = &mut self.scratch.distribute.entries;
            alpha.memberships.entries(op.slot, alpha.memories.len(), entries);
        }
        for at in 0..plain {
            let (place, _) = self.alphas[op.kind as usize].arrange().plain[at];
            self.ask_this(op, place, looked_up, None);
        }
        if switches > 0 {
            self.ask_by_switches(op, looked_up);
        }
    }

    /// The same of those memories that a value of the fact finds.
    #[inline(never)] // few kinds have as many patterns
    fn ask_by_switches(&mut self, op: &Op, looked_up: bool) {
        let updates = op.what == Change::Update;
        let arrangement = self.alphas[op.kind as usize].arrangement();
        for (at, switch) in arrangement.switches.iter().enumerate() {
            if updates && !op.mask.intersects(switch.reads) {
                continue;
            }
            let codes = &mut self.buffers.codes.codes;
            switch.codes(&Rows::new(&[self.store.source(op.kind)], &[op.slot]), codes);
            let (code, exact) = (codes.as_slice()[0], codes.is_exact());
            if updates && op.mask.intersects(switch.decides) {
                let other = |case: Case| case.switch == at && case.code != code;
                self.leave_some(op, |place| arrangement.case(place).is_some_and(other));
            }
            for &place in switch.memories(code) {
                let decided = arrangement.case(place).and_then(|case| case.decided);
                self.ask_this(op, place, looked_up, decided.filter(|_| exact));
            }
        }
        self.alphas[op.kind as usize].arranged(arrangement);
    }

    /// As [`ask_one`](Self::ask_one): the only memory of a kind has its own copy.
    #[inline(never)]
    fn ask_this(&mut self, op: &Op, place: u32, looked_up: bool, decided: Option<usize>) {
        self.ask_one(op, place, looked_up, decided);
    }

    /// Asks one memory about the fact, apart from a condition that is decided already.
    #[inline]
    fn ask_one(&mut self, op: &Op, place: u32, looked_up: bool, decided: Option<usize>) {
        let Op { kind, slot, mask, what, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let memory = &alpha.memories[place as usize];
        let updates = what == Change::Update;
        if updates && !mask.intersects(memory.reads) || memory.is_asleep() {
            return;
        }
        if memory.slides || memory.elapses {
            self.ask_window(op, place, looked_up, decided);
            return;
        }
        let entry = match (updates, looked_up) {
            (false, _) => NONE,
            (true, true) => self.scratch.distribute.entries[place as usize],
            (true, false) => alpha.memberships.entry(slot, place).unwrap_or(NONE),
        };
        // What no condition on the fact alone reads leaves it where it is.
        let passes = if updates && !mask.intersects(memory.tests) {
            entry != NONE
        } else {
            memory.plan.takes(decided, self.store.source(kind), slot)
        };
        match (entry, passes, memory.bare) {
            (NONE, false, _) => {}
            (NONE, true, NONE) => self.distribution(0).enter(kind, place, slot),
            (NONE, true, rule) => self.enter_bare(op, place, rule as usize),
            (entry, true, NONE) => self.distribution(0).stay(kind, place, entry, mask),
            (entry, true, rule) => self.stay_bare(op, rule as usize, entry),
            (entry, false, _) => self.leave_one(op, place, entry),
        }
    }

    /// The same of a memory with a window, which knows more than what passes.
    #[inline(never)] // few memories have windows
    fn ask_window(&mut self, op: &Op, place: u32, looked_up: bool, decided: Option<usize>) {
        let Op { kind, slot, mask, what, .. } = *op;
        let mut distribution = self.distribution(0);
        if what == Change::Update {
            let updated = std::iter::once((slot, mask));
            distribution.revise(kind, place, updated, looked_up, decided);
        } else {
            distribution.admit(kind, place, &[slot], 0, decided);
        }
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

    /// Notes to which memories of each kind a rule of one pattern listens alone, and which levels take what the
    /// only operation of a flush does straight down: not those of queries, nor of rules of which matches that
    /// something triggers may stay dormant or wait.
    pub(super) fn note_straight(&mut self) {
        for alpha in &mut self.alphas {
            alpha.bare = 0;
            for memory in &mut alpha.memories {
                memory.bare = bare_rule(&self.infos, memory);
                alpha.bare += usize::from(memory.bare != NONE);
            }
        }
        let memories = self.alphas.iter_mut().flat_map(|alpha| &mut alpha.memories);
        for listener in memories.flat_map(|memory| &mut memory.listeners) {
            let rule = listener.net as usize;
            let is_plain = !self.infos[rule].is_query && !self.infos[rule].holds_back;
            let (net, level) = (&self.rules[rule].net, listener.level as usize);
            listener.straight = is_plain && net.is_straight_from(level);
            listener.descends = is_plain && net.descends_from(level);
        }
        for alpha in &mut self.alphas {
            alpha.course = course(&self.rules, &self.infos, alpha);
        }
    }
}

/// What an operation on one fact of a kind meets.
fn course(rules: &[RuleState], infos: &[RuleInfo], alpha: &mut Alpha) -> Course {
    if !alpha.asks_one() {
        return if alpha.asks_found() { Course::Found } else { Course::Any };
    }
    let memory = &alpha.memories[0];
    let [Listener { net: rule, level, straight, .. }] = *memory.listeners else {
        return Course::One;
    };
    let RuleInfo { is_calm, ref salience, .. } = infos[rule as usize];
    let Salience::Fixed(salience) = *salience else { return Course::One };
    if !is_calm || memory.blocks {
        return Course::One;
    }
    if memory.bare != NONE {
        let plan = rules[rule as usize].net.levels[0].node.plan().expect("joins have plans");
        return Course::Bare { rule, salience, reads: plan.reads };
    }
    if straight { Course::Step { rule, level, salience } } else { Course::One }
}

/// The rule of one pattern that alone listens to a memory, if it is such a one, else `NONE`.
fn bare_rule(infos: &[RuleInfo], memory: &Memory) -> u32 {
    match *memory.listeners {
        [Listener { net, .. }] if infos[net as usize].bare => net,
        _ => NONE,
    }
}
