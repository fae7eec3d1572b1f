//! Joins: every left token with every right fact that passes the conditions.

use std::any::Any;
use std::hint::black_box;
use std::sync::Arc;

use crate::chains::{ABREAST, NONE};
use crate::network::index::Index;
use crate::network::plan::{Answers, CodeScratch, Plan, Sources, alone};
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::Tokens;
use crate::rows::Rows;
use crate::store::{Ops, Store};
use crate::trail::{Cell, Column, Scope, clear, trailed};

/// The left tokens of a join: an index by key, and the children of each.
#[derive(Clone)]
struct LeftMemory {
    index: Index,
    children: Column<u32>,
}

trailed!(LeftMemory { index, children });

impl LeftMemory {
    /// Takes a token from the list of its parent's children. The unit tuple has none: it never goes.
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
    pub(crate) right: RightMemory,
    left: LeftMemory,
    /// Whether the right facts are in their index: from the first left token on. As long as there is none,
    /// nobody looks for them.
    indexed: Cell<bool>,
    /// Whether all key codes seen so far stood for their values alone; a property of the types.
    exact: bool,
}

trailed!(Join { right, left, indexed });

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
    }
}

/// What a node sees of the world while it works.
pub(crate) struct Context<'a> {
    pub(crate) scope: Scope,
    /// The moment that is evaluated.
    pub(crate) moment: i64,
    pub(crate) store: &'a Store,
    /// The operations of this flush, and where those of this round begin.
    pub(crate) ops: Ops<'a>,
    pub(crate) round_start: u32,
    /// Whether this is not the flush's first round.
    pub(crate) cascaded: bool,
    /// Sources of the left tokens' positions.
    pub(crate) left_sources: &'a [&'a dyn Any],
    pub(crate) buffers: &'a mut Buffers,
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
        tokens.iter().for_each(|&token| slots.extend_from_slice(left.row(token)));
        if self.left_sources.is_empty() {
            // Rows without positions: one per token, all alike; the root has just one.
            debug_assert!(tokens.len() <= 1, "only the root has no position");
        }
        evaluate(&Rows::new(self.left_sources, slots), codes, orders)
    }

    /// Evaluates over the rows of facts alone.
    pub(crate) fn right_rows<R>(
        &mut self,
        right: &RightMemory,
        kind: u32,
        entries: &[u32],
        evaluate: impl FnOnce(&Rows<'_>, &mut CodeScratch, &mut Vec<u64>) -> R,
    ) -> R {
        let Buffers { slots, codes, orders, .. } = self.buffers;
        slots.clear();
        slots.extend(entries.iter().map(|&entry| right.slot(entry)));
        evaluate(&Rows::new(alone(self.store, kind).as_slice(), slots), codes, orders)
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
        pairs.retain(|&(token, entry)| plan.differs(left.row(token), right.slot(entry)));
        slots.clear();
        for &(token, entry) in pairs.iter() {
            slots.extend_from_slice(left.row(token));
            slots.push(right.slot(entry));
        }
        let mut sources = Sources::new();
        self.left_sources.iter().for_each(|source| sources.push(*source));
        sources.push(self.store.source(plan.kind));
        plan.verify(exact, &Rows::new(sources.as_slice(), slots), answers);
        let mut passed = answers.passed.iter();
        pairs.retain(|_| *passed.next().expect("one answer per pair"));
    }
}

impl Join {
    /// A join; `at_root` if its left side is the root.
    pub(crate) fn new(plan: Arc<Plan>, at_root: bool) -> Self {
        let ordered = plan.is_ordered();
        let (left, right) = if at_root && !ordered && plan.conditions.keys.is_empty() {
            (Index::Root(Cell::new(None)), Index::Unvisited)
        } else {
            (Index::new(ordered), Index::new(ordered))
        };
        Self {
            right: RightMemory::new(right, plan.window),
            plan,
            indexed: Cell::new(matches!(left, Index::Root(_))),
            left: LeftMemory { index: left, children: Column::default() },
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

    /// Whether its right facts are in their index, so that changes of them matter.
    pub(crate) fn is_indexed(&self) -> bool {
        *self.indexed.get()
    }

    /// Brings the tokens up to date with one round's changes on both sides.
    ///
    /// Deletions come first, so that no token is born and dies in one round. Of new pairs, those
    /// with an old right fact are found before new right facts are linked, the others after: so
    /// tokens come in the order of their newest facts if patterns are loaded in their order.
    pub(crate) fn process(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        delta: &RightDelta,
        out: &mut Tokens,
    ) {
        left.deleted.iter().for_each(|&token| self.delete_left(cx.scope, token, out));
        delta.deleted.iter().for_each(|&entry| self.delete_right(cx.scope, entry, out));
        if !left.updated.is_empty() || !delta.updated.is_empty() {
            let lefts: Vec<u32> =
                left.updated.iter().copied().filter(|&token| left.is_live(token)).collect();
            let lefts_again = self.relink_left(cx, left, &lefts, out);
            let rights_again = self.relink_right(cx, delta, out);
            lefts_again.iter().for_each(|&token| self.rematch_left(cx, left, token, out));
            rights_again.iter().for_each(|&entry| self.rematch_right(cx, left, entry, out));
        }
        if !self.is_indexed() && !left.inserted().is_empty() {
            debug_assert!(delta.is_empty(), "changes of a deaf memory are told to nobody");
            self.index_right(cx);
        }
        self.insert_left(cx, left, left.inserted(), out);
        self.insert_right(cx, left, &delta.inserted, out);
    }

    fn delete_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.left.index.unlink(scope, token);
        let mut child = *self.left.children.get(token);
        self.left.children.set(scope, token, NONE);
        while child != NONE {
            let next = out.next_sibling(child);
            out.unlink_entry(scope, child, &mut self.right.heads);
            out.kill(scope, child);
            child = next;
        }
    }

    /// Finds the tokens of a fact by links; no condition is evaluated (INV-45).
    fn delete_right(&mut self, scope: Scope, entry: u32, out: &mut Tokens) {
        self.right.index.unlink(scope, entry);
        let mut token = *self.right.heads.get(entry);
        while token != NONE {
            let next = out.next_of_entry(token);
            self.left.unlink_child(scope, token, out);
            out.kill(scope, token);
            token = next;
        }
        self.right.dismiss(scope, entry);
    }

    fn drop_token(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        self.left.unlink_child(scope, token, out);
        out.unlink_entry(scope, token, &mut self.right.heads);
        out.kill(scope, token);
    }

    /// Moves updated left tokens to their new keys. Gives those whose pairs must be found again; the
    /// children of the others are marked.
    fn relink_left(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
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
        let verifies = plan.verifies(self.exact);
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

    fn relink_right(
        &mut self,
        cx: &mut Context<'_>,
        delta: &RightDelta,
        out: &mut Tokens,
    ) -> Vec<u32> {
        if delta.updated.is_empty() {
            return Vec::new();
        }
        let plan = &*self.plan;
        let exact = cx.right_rows(&self.right, plan.kind, &delta.updated, |rows, codes, orders| {
            plan.inner_orders(rows, orders);
            plan.inner_codes(rows, codes)
        });
        self.exact &= exact;
        let verifies = plan.verifies(self.exact);
        let mut again = Vec::new();
        for (at, &entry) in delta.updated.iter().enumerate() {
            let code = (cx.buffers.codes.codes.as_slice()[at], cx.buffers.orders[at]);
            let moved = self.right.index.codes(entry) != code;
            if moved {
                self.right.index.unlink(cx.scope, entry);
                self.right.index.link(cx.scope, entry, code.0, code.1);
            }
            if moved || verifies {
                again.push(entry);
            } else {
                let mut token = *self.right.heads.get(entry);
                while token != NONE {
                    out.mark_updated(token);
                    token = out.next_of_entry(token);
                }
            }
        }
        again
    }

    /// Finds the pairs of an updated left token again: keeps, drops and adds children.
    fn rematch_left(&mut self, cx: &mut Context<'_>, left: &Tokens, token: u32, out: &mut Tokens) {
        let (code, order) = self.left.index.codes(token);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        self.right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        cx.buffers.existing.clear();
        let mut child = *self.left.children.get(token);
        while child != NONE {
            cx.buffers.existing.push((out.entry(child), child));
            child = out.next_sibling(child);
        }
        self.reconcile(cx, left, out, |(_, entry)| entry);
    }

    fn rematch_right(&mut self, cx: &mut Context<'_>, left: &Tokens, entry: u32, out: &mut Tokens) {
        let (code, order) = self.right.index.codes(entry);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        self.left.index.visit(code, self.plan.outer_bounds(order), |token| {
            pairs.push((token, entry));
            true
        });
        cx.buffers.existing.clear();
        let mut token = *self.right.heads.get(entry);
        while token != NONE {
            cx.buffers.existing.push((out.parent(token), token));
            token = out.next_of_entry(token);
        }
        self.reconcile(cx, left, out, |(token, _)| token);
    }

    /// Compares the pairs that should be with the tokens that are; `side` is what tells them apart.
    fn reconcile(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        out: &mut Tokens,
        side: impl Fn((u32, u32)) -> u32,
    ) {
        cx.verify_pairs(&self.plan, self.exact, left, &self.right);
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
                None => self.add(cx.scope, left, pair, out),
            }
        }
        old.for_each(|(_, token)| self.drop_token(cx.scope, token, out));
        cx.buffers.pairs = pairs;
        cx.buffers.existing = existing;
    }

    fn insert_right(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        entries: &[u32],
        out: &mut Tokens,
    ) {
        if entries.is_empty() {
            return;
        }
        let plan = &*self.plan;
        if let Index::Root(unit) = &self.left.index
            && !plan.verifies(true)
        {
            // Every fact goes with the unit tuple: nothing is looked for.
            let unit = unit.get().expect("the unit tuple comes before all facts");
            out.reserve(entries.len());
            for &entry in entries {
                let token = out.add(cx.scope, unit, entry, &[], Some(self.right.slot(entry)));
                self.right.heads.set(cx.scope, entry, token);
            }
            return;
        }
        let exact = cx.right_rows(&self.right, plan.kind, entries, |rows, codes, orders| {
            plan.inner_orders(rows, orders);
            plan.inner_codes(rows, codes)
        });
        self.exact &= exact;
        let Buffers { codes, orders, pairs, .. } = cx.buffers;
        pairs.clear();
        self.right.index.reserve(entries.len());
        let codes = codes.codes.as_slice().chunks(ABREAST);
        let entries = entries.chunks(ABREAST).zip(orders.chunks(ABREAST));
        for ((entries, orders), codes) in entries.zip(codes) {
            self.left.index.warm(codes);
            for ((&entry, &order), &code) in entries.iter().zip(orders).zip(codes) {
                self.left.index.visit(code, plan.outer_bounds(order), |token| {
                    pairs.push((token, entry));
                    true
                });
            }
            self.right.index.warm(codes);
            for ((&entry, &order), &code) in entries.iter().zip(orders).zip(codes) {
                self.right.index.link(cx.scope, entry, code, order);
            }
        }
        self.add_pairs(cx, left, out);
    }

    fn insert_left(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        tokens: &[u32],
        out: &mut Tokens,
    ) {
        if tokens.is_empty() {
            return;
        }
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        self.left.index.reserve(tokens.len());
        let Buffers { codes, orders, pairs, .. } = cx.buffers;
        pairs.clear();
        let codes = codes.codes.as_slice().chunks(ABREAST);
        let tokens = tokens.chunks(ABREAST).zip(orders.chunks(ABREAST));
        for ((tokens, orders), codes) in tokens.zip(codes) {
            self.right.index.warm(codes);
            for ((&token, &order), &code) in tokens.iter().zip(orders).zip(codes) {
                self.right.index.visit(code, plan.inner_bounds(order), |entry| {
                    pairs.push((token, entry));
                    true
                });
            }
            self.left.index.warm(codes);
            for ((&token, &order), &code) in tokens.iter().zip(orders).zip(codes) {
                self.left.children.reach(cx.scope, token, &NONE);
                self.left.children.set(cx.scope, token, NONE);
                self.left.index.link(cx.scope, token, code, order);
            }
        }
        self.add_pairs(cx, left, out);
    }

    /// Puts the right facts into their index, for the first left token.
    #[cold]
    fn index_right(&mut self, cx: &mut Context<'_>) {
        self.indexed.set(cx.scope, true);
        let entries = self.right.entries();
        if entries.is_empty() {
            return;
        }
        let plan = &*self.plan;
        let exact = cx.right_rows(&self.right, plan.kind, &entries, |rows, codes, orders| {
            plan.inner_orders(rows, orders);
            plan.inner_codes(rows, codes)
        });
        self.exact &= exact;
        let Buffers { codes, orders, .. } = &*cx.buffers;
        self.right.index.reserve(entries.len());
        let codes = codes.codes.as_slice().chunks(ABREAST);
        let entries = entries.chunks(ABREAST).zip(orders.chunks(ABREAST));
        for ((entries, orders), codes) in entries.zip(codes) {
            self.right.index.warm(codes);
            for ((&entry, &order), &code) in entries.iter().zip(orders).zip(codes) {
                self.right.index.link(cx.scope, entry, code, order);
            }
        }
    }

    /// Makes tokens of the candidate pairs that pass.
    fn add_pairs(&mut self, cx: &mut Context<'_>, left: &Tokens, out: &mut Tokens) {
        cx.verify_pairs(&self.plan, self.exact, left, &self.right);
        out.reserve(cx.buffers.pairs.len());
        for pairs in cx.buffers.pairs.chunks(ABREAST) {
            for &(token, entry) in pairs {
                self.right.warm(entry);
                self.left.children.warm(token);
                black_box(left.row(token).first().copied());
            }
            pairs.iter().for_each(|&pair| self.add(cx.scope, left, pair, out));
        }
    }

    #[inline]
    fn add(&mut self, scope: Scope, left: &Tokens, pair: (u32, u32), out: &mut Tokens) {
        let (parent, entry) = pair;
        let slot = self.right.slot(entry);
        let token = out.add(scope, parent, entry, left.row(parent), Some(slot));
        if !matches!(self.left.index, Index::Root(_)) {
            out.link_sibling(scope, token, &mut self.left.children, parent);
        }
        out.link_entry(scope, token, &mut self.right.heads, entry);
    }
}
