//! A few operations on the alpha side: each fact is taken to its memories by itself.

use super::{Distribution, FEW_MEMORIES};
use crate::chains::NONE;
use crate::network::switch::{Arrangement, Case};
use crate::rows::Rows;
use crate::store::{Change, Op};

impl Distribution<'_> {
    /// Takes a new or updated fact, of a kind without windows, to all memories that may take or hold it.
    pub(in crate::engine) fn ask_all(&mut self, op: &Op) {
        let alpha = &mut self.alphas[op.kind as usize];
        let updates = op.what == Change::Update;
        // All entries are looked up at once if the fact is in many memories: in a large ruleset.
        let looked_up = updates && alpha.memories.len() > FEW_MEMORIES;
        if looked_up {
            let entries = &mut self.scratch.entries;
            alpha.memberships.entries(op.slot, alpha.memories.len(), entries);
        }
        let arrangement = alpha.arrangement();
        for &(place, reads) in &arrangement.plain {
            if (!updates || op.mask.intersects(reads)) && !self.is_asleep(op.kind, place) {
                self.ask_one(op, place, looked_up, None);
            }
        }
        if !arrangement.switches.is_empty() {
            self.ask_by_switches(op, looked_up, &arrangement);
        }
        self.alphas[op.kind as usize].arranged(arrangement);
    }

    #[inline]
    fn is_asleep(&self, kind: u32, place: u32) -> bool {
        self.alphas[kind as usize].memories[place as usize].is_asleep()
    }

    /// The same of those memories that a value of the fact finds.
    #[inline(never)] // few kinds have as many patterns
    fn ask_by_switches(&mut self, op: &Op, looked_up: bool, arrangement: &Arrangement) {
        let updates = op.what == Change::Update;
        for (at, switch) in arrangement.switches.iter().enumerate() {
            if updates && !op.mask.intersects(switch.reads) {
                continue;
            }
            let codes = &mut self.buffers.codes.codes;
            switch.codes(&Rows::new(&[self.flush.store.source(op.kind)], &[op.slot]), codes);
            let (code, exact) = (codes.as_slice()[0], codes.is_exact());
            if updates && op.mask.intersects(switch.decides) {
                let other = |case: Case| case.switch == at && case.code != code;
                self.leave_some(op, |place| arrangement.case(place).is_some_and(other));
            }
            for &place in switch.memories(code) {
                if self.is_asleep(op.kind, place) {
                    continue;
                }
                let decided = arrangement.case(place).and_then(|case| case.decided);
                self.ask_one(op, place, looked_up, decided.filter(|_| exact));
            }
        }
    }

    /// Asks one memory that is not asleep about the fact, apart from a condition that is decided already.
    pub(in crate::engine) fn ask_one(
        &mut self,
        op: &Op,
        place: u32,
        looked_up: bool,
        decided: Option<usize>,
    ) {
        let Op { kind, slot, mask, what, .. } = *op;
        let alpha = &self.alphas[kind as usize];
        let memory = &alpha.memories[place as usize];
        let updates = what == Change::Update;
        if updates && !mask.intersects(memory.reads) {
            return;
        }
        let entry = match (updates, looked_up) {
            (false, _) => NONE,
            (true, true) => self.scratch.entries[place as usize],
            (true, false) => alpha.memberships.entry(slot, place).unwrap_or(NONE),
        };
        // What no condition on the fact alone reads leaves it where it is.
        let passes = if updates && !mask.intersects(memory.tests) {
            entry != NONE
        } else {
            memory.plan.takes(decided, self.flush.store.source(kind), slot)
        };
        match (entry, passes) {
            (NONE, false) => {}
            (NONE, true) => self.enter(kind, place, slot),
            (entry, true) => self.stay(kind, place, entry, mask),
            (entry, false) => self.leave(kind, place, slot, entry),
        }
    }

    /// Takes the fact out of those of its memories.
    fn leave_some(&mut self, op: &Op, is_left: impl Fn(u32) -> bool) {
        let alpha = &self.alphas[op.kind as usize];
        let mut left = std::mem::take(&mut self.scratch.left);
        left.extend(alpha.memberships.of(op.slot).filter(|&(place, _)| {
            op.mask.intersects(alpha.memories[place as usize].reads) && is_left(place)
        }));
        for (place, entry) in left.drain(..) {
            self.leave(op.kind, place, op.slot, entry);
        }
        self.scratch.left = left;
    }
}
