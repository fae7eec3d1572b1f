//! Joins: every left token with every right fact that passes the conditions.

use std::any::Any;
use std::hint::black_box;
use std::sync::Arc;

use crate::chains::{ABREAST, NONE};
use crate::network::index::Index;
use crate::network::plan::{Answers, CodeScratch, Plan, Sources};
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::{EntryHeads, Tokens};
use crate::rows::Rows;
use crate::store::{Ops, Store};
use crate::trail::{Cell, Column, Scope, Sparse, clear, trailed};

/// The left tokens of a join: an index by key, and the children of each.
#[derive(Clone)]
struct LeftMemory {
    index: Index,
    children: Column<u32>,
}

trailed!(LeftMemory { index, children });

impl LeftMemory {
    #[inline]
    fn take_in(&mut self, scope: Scope, token: u32, (code, order): (u64, u64)) {
        self.children.reach(scope, token, &NONE);
        self.children.set(scope, token, NONE);
        self.index.link(scope, token, code, order);
    }

    /// Takes a token from the list of its parent's children. The unit tuple has none: all go with it.
    #[inline]
    fn unlink_child(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        if !matches!(self.index, Index::Root(_)) {
            out.unlink_sibling(scope, token, &mut self.children);
        }
    }
}

/// A join node: one positive pattern.
#[derive(Clone)]
pub(crate) struct Join {
    pub(crate) plan: Arc<Plan>,
    /// Place of its right memory among those of its kind.
    pub(crate) memory: u32,
    /// By right entry: the head of its tokens.
    pub(crate) heads: EntryHeads,
    left: LeftMemory,
    /// Whether all key codes of left tokens seen so far stood for their values alone; a property of the types.
    exact: bool,
}

trailed!(Join { heads, left });

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
    pub(crate) ops: Ops<'a>,
    /// Sources of the left tokens' positions.
    pub(crate) left_sources: &'a [&'a dyn Any],
    pub(crate) buffers: &'a mut Buffers,
}

/// Rows are so short that to call for a copy costs more than to make one.
#[inline]
fn put_row(slots: &mut Vec<u32>, row: &[u32]) {
    row.iter().for_each(|&slot| slots.push(slot));
}

impl Context<'_> {
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

impl Join {
    /// A join; at the root if nobody looks for its right facts.
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let index =
            if plan.visited { Index::new(plan.is_ordered()) } else { Index::Root(Cell::new(None)) };
        Self {
            plan,
            memory: NONE,
            heads: Sparse::new(NONE),
            left: LeftMemory { index, children: Column::default() },
            exact: true,
        }
    }

    /// Whether every right fact goes with the unit tuple: nothing is looked for.
    pub(crate) fn takes_all(&self) -> bool {
        matches!(self.left.index, Index::Root(_)) && !self.plan.verifies(true)
    }

    /// The unit tuple, if the left side is the root and it is there.
    pub(crate) fn unit(&self) -> Option<u32> {
        match &self.left.index {
            Index::Root(unit) => *unit.get(),
            Index::Hash(_) | Index::Ordered(_) | Index::Unvisited => None,
        }
    }

    /// Whether there is no left token: nothing that happens to right facts matters then.
    #[inline]
    pub(crate) fn is_deaf(&self) -> bool {
        self.left.index.is_empty()
    }

    /// Whether a right fact has tokens.
    #[inline]
    pub(crate) fn has_tokens(&self, entry: u32) -> bool {
        *self.heads.get(entry) != NONE
    }

    /// Whether some left token may go with a right fact of these codes.
    #[inline]
    pub(crate) fn expects(&self, (code, order): (u64, u64)) -> bool {
        self.left.index.holds(code, self.plan.outer_bounds(order))
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
        let mut rematched = false;
        if !left.updated.is_empty() || !delta.updated.is_empty() {
            let lefts: Vec<u32> =
                left.updated.iter().copied().filter(|&token| left.is_live(token)).collect();
            let lefts_again = self.relink_left(cx, (left, right), &lefts, out);
            rematched = !lefts_again.is_empty();
            let sides = (left, right);
            lefts_again.iter().for_each(|&token| self.rematch_left(cx, sides, token, out));
            self.update_right(cx, sides, &delta.updated, out);
        }
        if rematched {
            // Updated left tokens have met the new right facts already.
            let entries = delta.inserted.iter();
            entries.for_each(|&entry| self.rematch_right(cx, (left, right), entry, out));
        } else {
            self.insert_right(cx, (left, right), &delta.inserted, out);
        }
        self.insert_left(cx, (left, right), left.inserted(), out);
    }

    fn delete_lefts(&mut self, scope: Scope, left: &Tokens, out: &mut Tokens) {
        if matches!(self.left.index, Index::Root(_)) {
            self.delete_unit(scope, out);
        } else if left.are_all_gone() && self.left.index.can_be_reset(scope, left.deleted.len()) {
            self.delete_all_left(scope, &left.deleted, out);
        } else {
            left.deleted.iter().for_each(|&token| self.delete_left(scope, token, out));
        }
    }

    fn delete_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.left.index.unlink(scope, token);
        let mut child = *self.left.children.get(token);
        self.left.children.set(scope, token, NONE);
        while child != NONE {
            let next = out.next_sibling(child);
            out.unlink_entry(scope, child, &mut self.heads);
            out.kill(scope, child);
            child = next;
        }
    }

    /// The same of all left tokens there are: nothing has to be taken from what goes as a whole.
    fn delete_all_left(&mut self, scope: Scope, tokens: &[u32], out: &mut Tokens) {
        self.left.index.reset();
        for &token in tokens {
            let mut child = *self.left.children.get(token);
            while child != NONE {
                self.heads.set(scope, out.entry(child), NONE);
                out.kill(scope, child);
                child = out.next_sibling(child);
            }
        }
    }

    /// The unit tuple goes, and everything with it.
    #[cold]
    fn delete_unit(&mut self, scope: Scope, out: &mut Tokens) {
        if let Index::Root(unit) = &mut self.left.index {
            unit.set(scope, None);
        }
        for token in 0..out.count() {
            if out.is_live(token) {
                self.heads.set(scope, out.entry(token), NONE);
                out.kill(scope, token);
            }
        }
    }

    /// Finds the tokens of a fact by links; no condition is evaluated (INV-45).
    fn delete_right(&mut self, scope: Scope, entry: u32, out: &mut Tokens) {
        let mut token = *self.heads.get(entry);
        self.heads.set(scope, entry, NONE);
        while token != NONE {
            let next = out.next_of_entry(token);
            self.left.unlink_child(scope, token, out);
            out.kill(scope, token);
            token = next;
        }
    }

    fn drop_token(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.left.unlink_child(scope, token, out);
        out.unlink_entry(scope, token, &mut self.heads);
        out.kill(scope, token);
    }

    /// Moves updated left tokens to their new keys. Gives those whose pairs must be found again; the
    /// children of the others are marked.
    fn relink_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
        out: &mut Tokens,
    ) -> Vec<u32> {
        if tokens.is_empty() {
            return Vec::new();
        }
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        let verifies = self.verifies(right);
        let mut again = Vec::new();
        for (at, &token) in tokens.iter().enumerate() {
            let code = (cx.buffers.codes.codes.as_slice()[at], cx.buffers.orders[at]);
            let moved = self.left.index.codes(token) != code;
            if moved {
                self.left.index.unlink(cx.scope, token);
                self.left.index.link(cx.scope, token, code.0, code.1);
            }
            if moved || verifies {
                again.push(token);
            } else {
                let mut child = *self.left.children.get(token);
                while child != NONE {
                    out.mark_updated(child);
                    child = out.next_sibling(child);
                }
            }
        }
        again
    }

    /// Finds the pairs of updated right facts again where that may matter; marks the tokens of the others.
    fn update_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entries: &[(u32, bool)],
        out: &mut Tokens,
    ) {
        let verifies = self.verifies(right);
        for &(entry, moved) in entries {
            if moved || verifies {
                self.rematch_right(cx, (left, right), entry, out);
                continue;
            }
            let mut token = *self.heads.get(entry);
            while token != NONE {
                out.mark_updated(token);
                token = out.next_of_entry(token);
            }
        }
    }

    /// Finds the pairs of an updated left token again: keeps, drops and adds children.
    fn rematch_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
        out: &mut Tokens,
    ) {
        let (code, order) = self.left.index.codes(token);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        cx.buffers.existing.clear();
        let mut child = *self.left.children.get(token);
        while child != NONE {
            cx.buffers.existing.push((out.entry(child), child));
            child = out.next_sibling(child);
        }
        self.reconcile(cx, (left, right), out, |(_, entry)| entry);
    }

    fn rematch_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entry: u32,
        out: &mut Tokens,
    ) {
        let (code, order) = right.index.codes(entry);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        self.left.index.visit(code, self.plan.outer_bounds(order), |token| {
            pairs.push((token, entry));
            true
        });
        cx.buffers.existing.clear();
        let mut token = *self.heads.get(entry);
        while token != NONE {
            cx.buffers.existing.push((out.parent(token), token));
            token = out.next_of_entry(token);
        }
        self.reconcile(cx, (left, right), out, |(token, _)| token);
    }

    /// Compares the pairs that should be with the tokens that are; `side` is what tells them apart.
    fn reconcile(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        out: &mut Tokens,
        side: impl Fn((u32, u32)) -> u32,
    ) {
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        let mut pairs = std::mem::take(&mut cx.buffers.pairs);
        let mut existing = std::mem::take(&mut cx.buffers.existing);
        pairs.sort_unstable_by_key(|&pair| side(pair));
        existing.sort_unstable();
        let mut old = existing.iter().copied().peekable();
        for &pair in &pairs {
            while let Some((_, token)) = old.next_if(|&(key, _)| key < side(pair)) {
                self.drop_token(cx.scope, token, out);
            }
            match old.next_if(|&(key, _)| key == side(pair)) {
                Some((_, token)) => out.mark_updated(token),
                None => self.add(cx.scope, (left, right), pair, out),
            }
        }
        old.for_each(|(_, token)| self.drop_token(cx.scope, token, out));
        cx.buffers.pairs = pairs;
        cx.buffers.existing = existing;
    }

    fn insert_right(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entries: &[u32],
        out: &mut Tokens,
    ) {
        if entries.is_empty() {
            return;
        }
        if let Some(unit) = self.unit().filter(|_| self.takes_all()) {
            self.take_all(cx.scope, (left, unit), right, entries, out);
            return;
        }
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        let mut seek = |entry: u32| {
            let (code, order) = right.index.codes(entry);
            self.left.index.visit(code, self.plan.outer_bounds(order), |token| {
                pairs.push((token, entry));
                true
            });
        };
        if let [entry] = *entries {
            seek(entry);
        } else {
            for entries in entries.chunks(ABREAST) {
                let mut codes = [0; ABREAST];
                let ahead = codes.iter_mut().zip(entries);
                ahead.for_each(|(code, &entry)| *code = right.index.codes(entry).0);
                self.left.index.warm(&codes[..entries.len()]);
                entries.iter().for_each(|&entry| seek(entry));
            }
        }
        self.add_pairs(cx, (left, right), out);
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
        out.reserve(entries.len());
        self.heads.reserve(entries.len());
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
        if let Index::Root(unit) = &mut self.left.index {
            let [token] = *tokens else { unreachable!("there is one unit tuple") };
            unit.set(cx.scope, Some(token));
            self.insert_right(cx, (left, right), &right.entries(), out);
            return;
        }
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        let Buffers { codes, orders, pairs, .. } = cx.buffers;
        pairs.clear();
        if let [token] = *tokens {
            let (code, order) = (codes.codes.as_slice()[0], orders[0]);
            right.index.visit(code, plan.inner_bounds(order), |entry| {
                pairs.push((token, entry));
                true
            });
            self.left.take_in(cx.scope, token, (code, order));
            self.add_pairs(cx, (left, right), out);
            return;
        }
        self.left.index.reserve(tokens.len());
        let codes = codes.codes.as_slice().chunks(ABREAST);
        let tokens = tokens.chunks(ABREAST).zip(orders.chunks(ABREAST));
        for ((tokens, orders), codes) in tokens.zip(codes) {
            right.index.warm(codes);
            for ((&token, &order), &code) in tokens.iter().zip(orders).zip(codes) {
                right.index.visit(code, plan.inner_bounds(order), |entry| {
                    pairs.push((token, entry));
                    true
                });
            }
            self.left.index.warm(codes);
            for ((&token, &order), &code) in tokens.iter().zip(orders).zip(codes) {
                self.left.take_in(cx.scope, token, (code, order));
            }
        }
        self.add_pairs(cx, (left, right), out);
    }

    /// Makes tokens of the candidate pairs that pass.
    fn add_pairs(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        out: &mut Tokens,
    ) {
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        if let [pair] = *cx.buffers.pairs {
            self.add(cx.scope, (left, right), pair, out);
            return;
        }
        out.reserve(cx.buffers.pairs.len());
        for pairs in cx.buffers.pairs.chunks(ABREAST) {
            for &(token, entry) in pairs.iter().filter(|_| pairs.len() > 1) {
                right.warm(entry);
                self.heads.warm(entry);
                self.left.children.warm(token);
                black_box(left.row(token).first().copied());
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
        let token = out.add(scope, parent, entry, left.row(parent), Some(slot));
        if !matches!(self.left.index, Index::Root(_)) {
            out.link_sibling(scope, token, &mut self.left.children, parent);
        }
        out.link_entry(scope, token, &mut self.heads, entry);
    }
}
