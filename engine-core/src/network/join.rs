//! Joins: every left token with every right fact that passes the conditions.

mod update;

use std::sync::Arc;

use crate::chains::{ABREAST, BATCH, NONE};
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::index::Index;
use crate::network::left::LeftMemory;
use crate::network::plan::Plan;
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::{EntryHeads, Tokens};
use crate::store::Ops;
use crate::trail::{Cell, Scope, Sparse, trailed};

/// A join node: one positive pattern.
#[derive(Clone)]
pub(crate) struct Join {
    pub(crate) plan: Arc<Plan>,
    /// Place of its right memory among those of its kind.
    pub(crate) memory: u32,
    /// By right entry: the head of its tokens.
    pub(crate) heads: EntryHeads,
    pub(super) left: LeftMemory,
    /// Whether all key codes of left tokens seen so far stood for their values alone; a property of the types.
    pub(super) exact: bool,
}

trailed!(Join { heads, left });

impl Join {
    /// A join; at the root if nobody looks for its right facts.
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let index =
            if plan.visited { Index::new(plan.is_ordered()) } else { Index::Root(Cell::new(None)) };
        Self {
            plan,
            memory: NONE,
            heads: Sparse::new(NONE),
            left: LeftMemory::new(index),
            exact: true,
        }
    }

    /// Its right memory.
    #[inline]
    pub(crate) fn right<'a>(&self, alphas: &'a [Alpha]) -> &'a RightMemory {
        &alphas[self.plan.kind as usize].memories[self.memory as usize].right
    }

    /// Whether every right fact goes with the unit tuple: nothing is looked for.
    pub(crate) fn takes_all(&self) -> bool {
        self.left.is_root() && !self.plan.verifies(true)
    }

    /// The unit tuple, if the left side is the root and it is there.
    pub(crate) fn unit(&self) -> Option<u32> {
        self.left.unit()
    }

    /// Whether there is no left token: nothing that happens to right facts matters then.
    #[inline]
    pub(crate) fn is_deaf(&self) -> bool {
        self.left.is_empty()
    }

    /// Whether a right fact has tokens.
    #[inline]
    pub(crate) fn has_tokens(&self, entry: u32) -> bool {
        *self.heads.get(entry) != NONE
    }

    /// Whether some left token may go with a right fact of these codes.
    #[inline]
    pub(crate) fn expects(&self, (code, order): (u64, u64)) -> bool {
        self.left.may_hold(code, self.plan.outer_bounds(order))
    }

    /// Whether candidates still have to pass a test.
    #[inline]
    pub(crate) fn verifies(&self, right: &RightMemory) -> bool {
        self.plan.verifies(self.exact && right.exact)
    }

    /// Brings the tokens up to date with one round's changes on both sides.
    ///
    /// Deletions come first, so that no token is born and dies in one round. The right memory is as it is
    /// after the round; so new right facts are paired with the old left tokens, and new left tokens with
    /// all right facts.
    pub(crate) fn process(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        (right, delta): (&RightMemory, &RightDelta),
        out: &mut Tokens,
    ) {
        if !left.deleted.is_empty() {
            self.delete_lefts(cx.scope, left, out);
        }
        delta.deleted.iter().for_each(|&entry| self.delete_right(cx.scope, entry, out));
        let any_updated = !left.updated.is_empty() || !delta.updated.is_empty();
        let sides = (left, right);
        if any_updated && self.update(cx, sides, &delta.updated, out) {
            // Updated left tokens have met the new right facts already.
            let entries = delta.inserted.iter();
            entries.for_each(|&entry| self.rematch_right(cx, sides, entry, out));
        } else if !delta.inserted.is_empty() {
            self.insert_right(cx, sides, &delta.inserted, out);
        }
        if !left.inserted().is_empty() {
            self.insert_left(cx, sides, left.inserted(), out);
        }
    }

    /// The left tokens that went in this round.
    #[inline(never)] // many changes take none away, and it needs much
    fn delete_lefts(&mut self, scope: Scope, left: &Tokens, out: &mut Tokens) {
        if self.left.is_root() {
            self.delete_unit(scope, out);
        } else if left.are_all_gone() && self.left.can_be_reset(scope, left.deleted.len()) {
            self.delete_all_left(scope, &left.deleted, out);
        } else {
            for tokens in left.deleted.chunks(ABREAST) {
                self.warm_left(tokens, out);
                tokens.iter().for_each(|&token| self.delete_left(scope, token, out));
            }
        }
    }

    /// Has near what goes with a few left tokens.
    fn warm_left(&self, tokens: &[u32], out: &Tokens) {
        if !self.left.warm_by_tokens(tokens) {
            return;
        }
        for &token in tokens {
            let child = self.left.children.peek(token);
            if child != NONE {
                self.heads.warm(out.entry(child));
            }
        }
    }

    pub(super) fn delete_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.left.take_out(scope, token);
        let mut child = self.left.children.take(scope, token, out);
        while child != NONE {
            let next = out.next_sibling(child);
            out.unlink_entry(scope, child, &mut self.heads);
            out.kill(scope, child);
            child = next;
        }
    }

    /// The same of all left tokens there are: nothing has to be taken from what goes as a whole.
    fn delete_all_left(&mut self, scope: Scope, tokens: &[u32], out: &mut Tokens) {
        if !self.left.children.are_listed() {
            self.left.reset();
            self.delete_all(scope, out);
            return;
        }
        for &token in tokens {
            let mut child = self.left.children.peek(token);
            while child != NONE {
                self.heads.set(scope, out.entry(child), NONE);
                out.kill(scope, child);
                child = out.next_sibling(child);
            }
        }
        self.left.reset();
    }

    /// The unit tuple goes, and everything with it.
    #[cold]
    fn delete_unit(&mut self, scope: Scope, out: &mut Tokens) {
        self.left.set_unit(scope, None);
        self.delete_all(scope, out);
    }

    fn delete_all(&mut self, scope: Scope, out: &mut Tokens) {
        for token in 0..out.count() {
            if out.is_live(token) {
                self.heads.set(scope, out.entry(token), NONE);
                out.kill(scope, token);
            }
        }
    }

    /// Finds the tokens of a fact by links; no condition is evaluated (INV-45).
    pub(super) fn delete_right(&mut self, scope: Scope, entry: u32, out: &mut Tokens) {
        let mut token = *self.heads.get(entry);
        self.heads.set(scope, entry, NONE);
        while token != NONE {
            let next = out.next_of_entry(token);
            self.left.children.remove(scope, token, out);
            out.kill(scope, token);
            token = next;
        }
    }

    pub(super) fn insert_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entries: &[u32],
        out: &mut Tokens,
    ) {
        for (at, batch) in (0..).step_by(BATCH).zip(entries.chunks(BATCH)) {
            self.insert_batch(cx, (left, right), batch, (at, entries.len()), out);
        }
    }

    /// All right facts that there are come.
    fn insert_all_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        out: &mut Tokens,
    ) {
        let facts = usize::try_from(right.fact_count()).expect("entries are addressed by u32");
        let mut at = 0;
        right.in_batches(|batch| {
            self.insert_batch(cx, (left, right), batch, (at, facts), out);
            at += batch.len();
        });
    }

    /// A batch of right facts comes, the one from `at` on of so many.
    fn insert_batch(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entries: &[u32],
        (at, all): (usize, usize),
        out: &mut Tokens,
    ) {
        if let Some(unit) = self.unit().filter(|_| self.takes_all()) {
            if at == 0 {
                out.reserve(all);
                self.heads.reserve(all);
            }
            self.take_all(cx.scope, (left, unit), right, entries, out);
            return;
        }
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        for few in entries.chunks(ABREAST) {
            self.left.opened(cx.scope, left).warm_by(&right.index, few);
            few.iter().for_each(|&entry| self.seek_left(cx.scope, (left, right), entry, pairs));
        }
        self.add_pairs(cx, (left, right), out);
        make_room(out, cx.buffers.pairs.len(), (at, all));
    }

    /// Adds the pairs of a right fact with those left tokens that may go with it.
    #[inline]
    pub(super) fn seek_left(
        &mut self,
        scope: Scope,
        (left, right): (&Tokens, &RightMemory),
        entry: u32,
        pairs: &mut Vec<(u32, u32)>,
    ) {
        let (code, order) = right.index.codes(entry);
        self.left.opened(scope, left).visit(code, self.plan.outer_bounds(order), |token| {
            pairs.push((token, entry));
            true
        });
    }

    /// Every fact goes with the unit tuple: nothing is looked for.
    fn take_all(
        &mut self,
        scope: Scope,
        (left, unit): (&Tokens, u32),
        right: &RightMemory,
        entries: &[u32],
        out: &mut Tokens,
    ) {
        if left.row(unit).is_empty() && out.is_full() {
            let first = out.count();
            out.add_all_alone(scope, unit, entries, entries.iter().map(|&entry| right.slot(entry)));
            (first..).zip(entries).for_each(|(token, &entry)| self.heads.set(scope, entry, token));
            return;
        }
        for &entry in entries {
            let token = out.add(scope, unit, entry, left.row(unit), Some(right.slot(entry)));
            self.heads.set(scope, entry, token);
        }
    }

    fn insert_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
        out: &mut Tokens,
    ) {
        if tokens.is_empty() {
            return;
        }
        if self.left.is_root() {
            let [token] = *tokens else { unreachable!("there is one unit tuple") };
            self.left.set_unit(cx.scope, Some(token));
            self.insert_all_right(cx, (left, right), out);
            return;
        }
        // Alone or in a batch: each has its own copy of the lookup, or both would call for it.
        if let [token] = *tokens {
            self.insert_one_left(cx, (left, right), token);
            self.add_pairs(cx, (left, right), out);
            return;
        }
        let is_by_right = self.goes_by_right(cx.ops, right, tokens.len());
        if is_by_right {
            self.left.opened(cx.scope, left);
        }
        self.left.reserve(tokens.len());
        for (at, batch) in (0..).step_by(BATCH).zip(tokens.chunks(BATCH)) {
            self.take_batch_in(cx, (left, right), batch, !is_by_right);
            if !is_by_right {
                self.add_pairs(cx, (left, right), out);
                make_room(out, cx.buffers.pairs.len(), (at, tokens.len()));
            }
        }
        if is_by_right {
            self.insert_all_right(cx, (left, right), out);
        }
    }

    /// Takes in a batch of left tokens; if they are asked for, the candidate pairs are their pairs with right
    /// facts then.
    pub(super) fn take_batch_in(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
        asks_for_pairs: bool,
    ) {
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        let Buffers { codes, orders, pairs, .. } = &mut *cx.buffers;
        pairs.clear();
        let codes = codes.codes.as_slice();
        let tokens = tokens.chunks(ABREAST).zip(orders.chunks(ABREAST));
        for ((tokens, orders), codes) in tokens.zip(codes.chunks(ABREAST)) {
            if asks_for_pairs {
                right.index.warm(codes);
                for ((&token, &order), &code) in tokens.iter().zip(orders).zip(codes) {
                    right.index.visit(code, plan.inner_bounds(order), |entry| {
                        pairs.push((token, entry));
                        true
                    });
                }
            }
            self.left.take_all_in(cx.scope, tokens, (codes, orders));
        }
    }

    /// Whether the pairs of so many left tokens are found from the side of the right facts. If the left tokens are
    /// the first ones and the facts came last, matches come in the order in which they fire then, and neither have to
    /// be sorted nor are found in many places of memory later.
    pub(super) fn goes_by_right(&self, ops: &Ops<'_>, right: &RightMemory, tokens: usize) -> bool {
        let came_last = || ops.list.last().is_some_and(|op| op.kind == self.plan.kind);
        tokens > 1
            && self.is_deaf()
            && !self.left.is_root()
            && came_last()
            && right.fact_count() <= 2 * tokens as u64
    }

    /// Makes tokens of the candidate pairs that pass.
    fn add_pairs(
        &mut self,
        cx: &mut Context<'_>,
        sides: (&Tokens, &RightMemory),
        out: &mut Tokens,
    ) {
        cx.verify_pairs(&self.plan, self.exact && sides.1.exact, sides.0, sides.1);
        if let [pair] = *cx.buffers.pairs {
            self.add(cx.scope, sides, pair, out);
        } else {
            self.add_all(cx, sides, out);
        }
    }

    /// Has near what tokens of these pairs are made of.
    #[inline]
    pub(super) fn warm_pairs(&self, (left, right): (&Tokens, &RightMemory), pairs: &[(u32, u32)]) {
        for &(token, entry) in pairs {
            right.warm(entry);
            self.heads.warm(entry);
            self.left.children.warm(token);
            left.warm(token);
        }
    }

    /// Makes tokens of the candidate pairs, which have passed.
    pub(super) fn add_all(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        out: &mut Tokens,
    ) {
        out.reserve(cx.buffers.pairs.len());
        for pairs in cx.buffers.pairs.chunks(ABREAST) {
            if pairs.len() > 1 {
                self.warm_pairs((left, right), pairs);
            }
            pairs.iter().for_each(|&pair| self.add(cx.scope, (left, right), pair, out));
        }
    }

    #[inline]
    fn add(
        &mut self,
        scope: Scope,
        (left, right): (&Tokens, &RightMemory),
        pair: (u32, u32),
        out: &mut Tokens,
    ) {
        let (parent, entry) = pair;
        let slot = right.slot(entry);
        let mut own = [0];
        let row = left.known_row(parent, &mut own);
        let token = out.add(scope, parent, entry, row, Some(slot));
        self.hang(scope, token, pair, out);
    }

    /// Links a new token of a pair.
    #[inline]
    pub(super) fn hang(
        &mut self,
        scope: Scope,
        token: u32,
        (parent, entry): (u32, u32),
        out: &mut Tokens,
    ) {
        self.left.children.add(scope, token, parent, out);
        out.link_entry(scope, token, &mut self.heads, entry);
    }
}

/// Makes room for the tokens of all batches of a bulk load when the first one has brought so many.
fn make_room(out: &mut Tokens, of_first: usize, (at, all): (usize, usize)) {
    if at == 0 && all > BATCH {
        out.reserve(of_first * (all / BATCH));
    }
}
