//! What the nodes of networks share while they work: what they see of a flush, and buffers.

use std::any::Any;

use crate::network::net::Flush;
use crate::network::plan::{Answers, CodeScratch, Plan, Sources};
use crate::network::right::RightMemory;
use crate::network::tokens::Tokens;
use crate::rows::Rows;
use crate::store::{Ops, Store};
use crate::trail::{Scope, clear};

/// Buffers that every node uses in turn.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) codes: CodeScratch,
    pub(crate) orders: Vec<u64>,
    pub(crate) answers: Answers,
    pub(crate) slots: Vec<u32>,
    /// Candidate pairs of left token and right entry.
    pub(crate) pairs: Vec<(u32, u32)>,
    pub(crate) existing: Vec<(u32, u32)>,
    /// Left tokens that look for a witness.
    pub(crate) seekers: Vec<u32>,
}

impl Buffers {
    /// Gives back what a bulk load took. The other buffers are never longer than these.
    #[inline]
    pub(crate) fn shrink(&mut self) {
        let longest =
            self.slots.capacity().max(self.pairs.capacity()).max(self.existing.capacity());
        if longest.max(self.answers.passed.capacity()) > crate::trail::KEPT {
            self.clear();
        }
    }

    #[cold]
    fn clear(&mut self) {
        self.codes.clear();
        self.answers.clear();
        clear(&mut self.orders);
        clear(&mut self.slots);
        clear(&mut self.pairs);
        clear(&mut self.existing);
        clear(&mut self.seekers);
    }
}

/// What a node sees of the world while it works.
pub(crate) struct Context<'a> {
    pub(crate) scope: Scope,
    /// The moment that is evaluated.
    pub(crate) moment: i64,
    pub(crate) store: &'a Store,
    /// The operations of this flush.
    pub(crate) ops: &'a Ops<'a>,
    /// Sources of the left tokens' positions.
    pub(crate) left_sources: &'a [&'a dyn Any],
    pub(crate) buffers: &'a mut Buffers,
}

/// Rows are so short that to call for a copy costs more than to make one.
#[inline]
fn put_row(slots: &mut Vec<u32>, row: &[u32]) {
    row.iter().for_each(|&slot| slots.push(slot));
}

impl<'a> Context<'a> {
    /// What a node sees in a flush, with the sources of its left tokens if it asks about them.
    #[inline]
    pub(crate) fn new(
        flush: &'a Flush<'_>,
        left_sources: &'a [&'a dyn Any],
        buffers: &'a mut Buffers,
    ) -> Self {
        let Flush { scope, moment, store, ref ops, .. } = *flush;
        Self { scope, moment, store, ops, left_sources, buffers }
    }

    /// Evaluates over the rows of left tokens.
    pub(crate) fn left_rows<R>(
        &mut self,
        left: &Tokens,
        tokens: &[u32],
        evaluate: impl FnOnce(&Rows<'_>, &mut CodeScratch, &mut Vec<u64>) -> R,
    ) -> R {
        let Buffers { slots, codes, orders, .. } = self.buffers;
        slots.clear();
        tokens.iter().for_each(|&token| put_row(slots, left.row(token)));
        if self.left_sources.is_empty() {
            // Rows without positions: one per token, all alike; the root has just one.
            debug_assert!(tokens.len() <= 1, "only the root has no position");
        }
        evaluate(&Rows::new(self.left_sources, slots), codes, orders)
    }

    /// Keeps of the candidate pairs those that pass the plan's tests.
    pub(crate) fn verify_pairs(
        &mut self,
        plan: &Plan,
        exact: bool,
        left: &Tokens,
        right: &RightMemory,
    ) {
        let Buffers { slots, answers, pairs, .. } = self.buffers;
        if pairs.is_empty() || !plan.verifies(exact) {
            return;
        }
        if !plan.differs_from.is_empty() {
            pairs.retain(|&(token, entry)| plan.differs(left.row(token), right.slot(entry)));
        }
        slots.clear();
        for &(token, entry) in pairs.iter() {
            put_row(slots, left.row(token));
            slots.push(right.slot(entry));
        }
        let mut sources = Sources::new();
        self.left_sources.iter().for_each(|source| sources.push(*source));
        sources.push(self.store.source(plan.kind));
        plan.verify(exact, &Rows::new(sources.as_slice(), slots), answers);
        if answers.passed.contains(&false) {
            let mut passed = answers.passed.iter();
            pairs.retain(|_| *passed.next().expect("one answer per pair"));
        }
    }
}
