//! What the operations of a round come to: each fact's are folded to one net change.

use std::ops::Range;

use super::Engine;
use crate::fact::FieldMask;
use crate::store::{Change, Kind, KindSet, Op};

/// Net changes of one kind's facts in a round.
#[derive(Default)]
pub(super) struct KindDelta {
    /// Slots of new facts.
    pub(super) inserted: Vec<Range<u32>>,
    pub(super) updated: Vec<(u32, FieldMask)>,
    pub(super) deleted: Vec<u32>,
}

impl KindDelta {
    pub(super) fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.updated.is_empty() && self.deleted.is_empty()
    }

    /// Adds what operations on facts of the kind come to that follow one another, given where they begin among all of
    /// the flush; the round begins before them.
    fn fold(&mut self, kind: &Kind, all: &[Op], (from, ops): (u32, &[Op]), round_start: u32) {
        for (at, op) in (from..).zip(ops) {
            for slot in op.slots() {
                if kind.last_op(slot) != Some(at) {
                    continue;
                }
                if op.previous == 0 && op.what == Change::Delete {
                    self.deleted.push(slot);
                    continue;
                }
                let (mut mask, mut first) = (op.mask, op);
                while let Some(before) =
                    first.previous.checked_sub(1).filter(|&op| op >= round_start)
                {
                    first = &all[before as usize];
                    mask = mask.union(first.mask);
                }
                let existed = first.what != Change::Insert;
                let exists = op.what != Change::Delete;
                match (existed, exists) {
                    (false, true) => self.inserted.push(slot..slot + 1),
                    (true, true) => self.updated.push((slot, mask)),
                    (true, false) => self.deleted.push(slot),
                    (false, false) => {}
                }
            }
        }
    }
}

impl Engine {
    /// Folds the round's operations to net changes by kind.
    #[inline(never)] // of a single operation nobody asks for them
    pub(super) fn net_changes(&mut self, round_start: u32) {
        if self.scratch.deltas.len() < self.store.kinds.len() {
            self.scratch.deltas.resize_with(self.store.kinds.len(), KindDelta::default);
        }
        let ops = &self.ops.as_slice()[round_start as usize..];
        if round_start == 0 {
            self.scratch.kinds = KindSet::default();
        }
        ops.iter().for_each(|op| self.scratch.kinds.insert(op.kind));
        // Where a window slides, facts leave a pattern although nothing but insertions happened.
        let inserts = self.scratch.passing.is_none()
            && !self.alphas.iter().any(|alpha| alpha.slides)
            && ops.iter().all(|op| op.what == Change::Insert);
        self.scratch.only_inserts = inserts && (round_start == 0 || self.scratch.only_inserts);
        if inserts {
            for op in ops {
                self.scratch.deltas[op.kind as usize].inserted.push(op.slots());
            }
            return;
        }
        let all = self.ops.as_slice();
        let mut from = round_start;
        for ops in ops.chunk_by(|op, next| op.kind == next.kind) {
            let kind = ops[0].kind;
            let delta = &mut self.scratch.deltas[kind as usize];
            delta.fold(self.store.kind(kind), all, (from, ops), round_start);
            from += u32::try_from(ops.len()).expect("a flush has fewer than 2³² operations");
        }
    }
}
