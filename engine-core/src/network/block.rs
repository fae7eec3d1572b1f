//! `not` and `exists`: left tokens that no right fact, or at least one, goes with.
//!
//! A left token is either *free*, and then in the index of free tokens, or it hangs at one right fact
//! that goes with it: its witness. When the witness leaves, another one is looked for; only if there
//! is none does the token become free. So nothing is counted, and a fact that comes while another
//! one is witness costs nothing.

use std::sync::Arc;

use steadfast_wm::Seq;

use crate::chains::{Chains, NONE};
use crate::network::index::Index;
use crate::network::join::{Buffers, Context};
use crate::network::plan::Plan;
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::Tokens;
use crate::network::undecided::Undecided;
use crate::rows::{BEFORE, Rows};
use crate::store::Store;
use crate::trail::{Column, Scope, trailed};

/// How a left token hangs.
#[derive(Clone, Copy)]
struct Hang {
    /// Its witness, or `NONE`.
    witness: u32,
    /// Neighbors in the witness's list.
    next: u32,
    prev: u32,
    /// Its token on the other side, or `NONE`.
    child: u32,
}

const FREE: Hang = Hang { witness: NONE, next: NONE, prev: NONE, child: NONE };

/// A right fact that was touched in this flush: what the trigger of a match is computed from.
#[derive(Clone, Copy)]
struct Turn {
    slot: u32,
    entry: u32,
    /// Its key code when the flush began, if it was in the memory.
    start: Option<u64>,
}

/// A `not` or `exists` node.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) plan: Arc<Plan>,
    /// Whether tokens with a witness pass (`exists`) or those without (`not`).
    exists: bool,
    pub(crate) right: RightMemory,
    free: Index,
    hangs: Column<Hang>,
    /// Of an absence that lets tuples pass only when it is decided.
    pub(crate) undecided: Option<Box<Undecided>>,
    exact: bool,
    /// Scratch of the current flush.
    turns: Vec<Turn>,
    /// Turns by the codes that they start and end with; made when it is needed.
    by_code: Option<Chains>,
}

/// Up to so many turns are looked through one by one.
const FEW_TURNS: usize = 8;

trailed!(Block { right, free, hangs, undecided });

impl Block {
    /// Whether it is a `not`.
    pub(crate) fn is_absence(&self) -> bool {
        !self.exists
    }

    /// `waits` says whether tuples pass only when the absence is decided.
    pub(crate) fn new(plan: Arc<Plan>, exists: bool, waits: bool) -> Self {
        let ordered = plan.is_ordered();
        let right = RightMemory::new(Index::new(ordered), plan.window);
        Self {
            plan,
            exists,
            right,
            free: Index::new(ordered),
            hangs: Column::default(),
            undecided: waits.then(Box::default),
            exact: true,
            turns: Vec::new(),
            by_code: None,
        }
    }

    /// Brings the tokens up to date with one round's changes on both sides.
    ///
    /// Right changes are all in the memory before any left token looks for a witness, so that a
    /// fact that replaces another in one flush leaves no trace.
    pub(crate) fn process(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        delta: &RightDelta,
        out: &mut Tokens,
    ) {
        left.deleted.iter().for_each(|&token| self.delete_left(cx.scope, token, out));
        let mut touched = Vec::new();
        self.delete_right(cx, &delta.deleted, &mut touched);
        self.update_right(cx, &delta.updated, &mut touched);
        self.insert_right(cx, &delta.inserted);
        let lefts: Vec<u32> =
            left.updated.iter().copied().filter(|&token| left.is_live(token)).collect();
        self.update_left(cx, left, &lefts, &mut touched);
        let orphans = touched.clone();
        orphans.iter().for_each(|&token| self.seek_witness(cx, left, token));
        self.insert_left(cx, left, left.inserted());
        touched.extend_from_slice(left.inserted());
        touched.extend_from_slice(&lefts);
        touched.extend(delta.decided.iter().copied().filter(|&token| left.is_live(token)));
        for &entry in delta.updated.iter().chain(&delta.inserted) {
            self.recruit(cx, left, entry, &mut touched);
        }
        for token in touched {
            self.settle(cx.scope, left, token, out);
        }
        for &token in &lefts {
            let child = self.hangs.get(token).child;
            if child != NONE {
                out.mark_updated(child);
            }
        }
    }

    fn delete_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        if let Some(undecided) = &mut self.undecided {
            undecided.forget(scope, token);
        }
        if self.hangs.get(token).witness == NONE {
            self.free.unlink(scope, token);
        } else {
            self.detach(scope, token);
        }
        let child = self.hangs.get(token).child;
        if child != NONE {
            out.kill(scope, child);
        }
        self.hangs.set(scope, token, FREE);
    }

    fn delete_right(&mut self, cx: &Context<'_>, entries: &[u32], touched: &mut Vec<u32>) {
        for &entry in entries {
            let start = self.code_at_start(cx, entry);
            self.turns.push(Turn { slot: self.right.slot(entry), entry: NONE, start });
            self.right.index.unlink(cx.scope, entry);
            self.orphan(cx.scope, entry, touched);
            self.right.dismiss(cx.scope, entry);
        }
    }

    fn update_right(&mut self, cx: &mut Context<'_>, entries: &[u32], touched: &mut Vec<u32>) {
        if entries.is_empty() {
            return;
        }
        let plan = &*self.plan;
        let exact = cx.right_rows(&self.right, plan.kind, entries, |rows, codes, orders| {
            plan.inner_orders(rows, orders);
            plan.inner_codes(rows, codes)
        });
        self.exact &= exact;
        let verifies = plan.verifies(self.exact);
        for (at, &entry) in entries.iter().enumerate() {
            let code = (cx.buffers.codes.codes.as_slice()[at], cx.buffers.orders[at]);
            let start = self.code_at_start(cx, entry);
            self.turns.push(Turn { slot: self.right.slot(entry), entry, start });
            let moved = self.right.index.codes(entry) != code;
            if moved {
                self.right.index.unlink(cx.scope, entry);
                self.right.index.link(cx.scope, entry, code.0, code.1);
            }
            if moved || verifies {
                self.orphan(cx.scope, entry, touched);
            }
        }
    }

    fn insert_right(&mut self, cx: &mut Context<'_>, entries: &[u32]) {
        if entries.is_empty() {
            return;
        }
        let plan = &*self.plan;
        let exact = cx.right_rows(&self.right, plan.kind, entries, |rows, codes, orders| {
            plan.inner_orders(rows, orders);
            plan.inner_codes(rows, codes)
        });
        self.exact &= exact;
        let Buffers { codes, orders, .. } = cx.buffers;
        for (at, &entry) in entries.iter().enumerate() {
            self.right.index.link(cx.scope, entry, codes.codes.as_slice()[at], orders[at]);
            let slot = self.right.slot(entry);
            if cx.cascaded && self.plan.window.is_some() {
                // A later round may slide a fact back in: what counts is where it was at the start.
                let turns = self.turns.iter_mut().filter(|turn| turn.slot == slot);
                if turns.map(|turn| turn.entry = entry).count() > 0 {
                    continue;
                }
            }
            self.turns.push(Turn { slot, entry, start: None });
        }
    }

    /// The key code that a fact had in this memory when the flush began.
    fn code_at_start(&self, cx: &Context<'_>, entry: u32) -> Option<u64> {
        let slot = self.right.slot(entry);
        // Only a fact that has an earlier operation in this flush can have taken an earlier turn.
        // Or one that an earlier round slid in or out.
        let earlier = self.plan.window.is_some() && cx.cascaded
            || cx.store.was_touched_before(cx.ops, self.plan.kind, slot, cx.round_start);
        let turn = earlier.then(|| self.turns.iter().find(|turn| turn.slot == slot)).flatten();
        match turn {
            Some(turn) => turn.start,
            None => Some(self.right.index.codes(entry).0),
        }
    }

    fn update_left(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        tokens: &[u32],
        touched: &mut Vec<u32>,
    ) {
        if tokens.is_empty() {
            return;
        }
        self.bound(cx, left, tokens);
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        for (at, &token) in tokens.iter().enumerate() {
            let code = (cx.buffers.codes.codes.as_slice()[at], cx.buffers.orders[at]);
            if self.hangs.get(token).witness == NONE {
                self.free.unlink(cx.scope, token);
            } else {
                self.detach(cx.scope, token);
                // The index keeps a token's codes while it hangs at a witness, so that it can look
                // for another; linking and unlinking records the new ones.
            }
            self.free.link(cx.scope, token, code.0, code.1);
            touched.push(token);
        }
    }

    fn insert_left(&mut self, cx: &mut Context<'_>, left: &Tokens, tokens: &[u32]) {
        if tokens.is_empty() {
            return;
        }
        self.bound(cx, left, tokens);
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        for (at, &token) in tokens.iter().enumerate() {
            let Buffers { codes, orders, .. } = &*cx.buffers;
            self.free.link(cx.scope, token, codes.codes.as_slice()[at], orders[at]);
            self.hangs.reach(cx.scope, token, &FREE);
            self.hangs.set(cx.scope, token, FREE);
        }
        tokens.iter().for_each(|&token| self.seek_witness(cx, left, token));
    }

    /// Notes when the absence of left tokens is decided.
    fn bound(&mut self, cx: &Context<'_>, left: &Tokens, tokens: &[u32]) {
        let Some(undecided) = &mut self.undecided else { return };
        for &token in tokens {
            let rows = Rows::new(cx.left_sources, left.row(token));
            let decided = self.plan.conditions.decided(&rows).expect("it is bounded in time");
            undecided.set(cx.scope, token, decided, cx.moment);
        }
    }

    /// Whether a left token that was taken from the queue passes now that it is decided.
    pub(crate) fn is_free(&self, token: u32) -> bool {
        self.hangs.get(token).witness == NONE
    }

    /// Frees everything that hangs at an entry.
    fn orphan(&mut self, scope: Scope, entry: u32, touched: &mut Vec<u32>) {
        let mut token = *self.right.heads.get(entry);
        while token != NONE {
            let next = self.hangs.get(token).next;
            self.detach(scope, token);
            let (code, order) = self.free.codes(token);
            self.free.link(scope, token, code, order);
            touched.push(token);
            token = next;
        }
    }

    /// Takes a token from its witness; it is in no list then.
    fn detach(&mut self, scope: Scope, token: u32) {
        let Hang { witness, next, prev, .. } = *self.hangs.get(token);
        if next != NONE {
            self.hangs.change(scope, next, |hang| hang.prev = prev);
        }
        if prev == NONE {
            self.right.heads.set(scope, witness, next);
        } else {
            self.hangs.change(scope, prev, |hang| hang.next = next);
        }
        self.hangs.change(scope, token, |hang| {
            (hang.witness, hang.next, hang.prev) = (NONE, NONE, NONE);
        });
    }

    /// Hangs a free token at a witness.
    fn attach(&mut self, scope: Scope, token: u32, entry: u32) {
        self.free.unlink(scope, token);
        let head = *self.right.heads.get(entry);
        if head != NONE {
            self.hangs.change(scope, head, |hang| hang.prev = token);
        }
        self.hangs.change(scope, token, |hang| {
            (hang.witness, hang.next, hang.prev) = (entry, head, NONE);
        });
        self.right.heads.set(scope, entry, token);
    }

    /// Looks for a right fact that goes with a free token.
    fn seek_witness(&mut self, cx: &mut Context<'_>, left: &Tokens, token: u32) {
        if self.hangs.get(token).witness != NONE {
            return;
        }
        let (code, order) = self.free.codes(token);
        let verifies = self.plan.verifies(self.exact);
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        self.right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            verifies
        });
        cx.verify_pairs(&self.plan, self.exact, left, &self.right);
        if let Some(&(_, entry)) = cx.buffers.pairs.first() {
            self.attach(cx.scope, token, entry);
        }
    }

    /// Whether tokens pass that some fact goes with (`exists`), not those with none (`not`).
    pub(crate) fn is_exists(&self) -> bool {
        self.exists
    }

    /// The slots of all right facts that go with a left token.
    pub(crate) fn supporters(&self, cx: &mut Context<'_>, left: &Tokens, token: u32) -> Vec<u32> {
        let (code, order) = self.free.codes(token);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        self.right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        cx.verify_pairs(&self.plan, self.exact, left, &self.right);
        cx.buffers.pairs.iter().map(|&(_, entry)| self.right.slot(entry)).collect()
    }

    /// Makes a right fact the witness of all free tokens that it goes with.
    fn recruit(&mut self, cx: &mut Context<'_>, left: &Tokens, entry: u32, touched: &mut Vec<u32>) {
        let (code, order) = self.right.index.codes(entry);
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        self.free.visit(code, self.plan.outer_bounds(order), |token| {
            pairs.push((token, entry));
            true
        });
        cx.verify_pairs(&self.plan, self.exact, left, &self.right);
        for at in 0..cx.buffers.pairs.len() {
            let (token, entry) = cx.buffers.pairs[at];
            self.attach(cx.scope, token, entry);
            touched.push(token);
        }
    }

    /// Makes or kills a left token's child as its witness demands.
    fn settle(&mut self, scope: Scope, left: &Tokens, token: u32, out: &mut Tokens) {
        let Hang { witness, child, .. } = *self.hangs.get(token);
        let waits = self.undecided.as_ref().is_some_and(|it| !it.is_decided(token));
        let passes = (witness != NONE) == self.exists && !waits;
        if passes && child == NONE {
            let child = out.add(scope, token, NONE, left.row(token), None);
            self.hangs.change(scope, token, |hang| hang.child = child);
        } else if !passes && child != NONE {
            out.kill(scope, child);
            self.hangs.change(scope, token, |hang| hang.child = NONE);
        }
    }

    /// Highest sequence number of this flush's operations that unblocked (`not`) or supported
    /// (`exists`) a left token as it is now: of the row `left`.
    pub(crate) fn trigger(
        &mut self,
        cx: &mut Context<'_>,
        left: &[u32],
        token: u32,
    ) -> Option<Seq> {
        if self.turns.is_empty() {
            return None;
        }
        let (code, _) = self.free.codes(token);
        self.last_turn(cx, left, code, self.exists)
    }

    /// Highest sequence number of this flush's operations that blocked (`not`) a tuple of row `left`,
    /// or took its support (`exists`). It is no left token any more, maybe.
    pub(crate) fn closing_trigger(&mut self, cx: &mut Context<'_>, left: &[u32]) -> Option<Seq> {
        if self.turns.is_empty() {
            return None;
        }
        let codes = &mut cx.buffers.codes;
        self.exact &= self.plan.outer_codes(&Rows::new(cx.left_sources, left), codes);
        let code = codes.codes.as_slice()[0];
        self.last_turn(cx, left, code, !self.exists)
    }

    /// Highest sequence number of this flush's operations by which a fact began to go with a tuple of
    /// this key code (`begins`), or ceased to.
    fn last_turn(
        &mut self,
        cx: &mut Context<'_>,
        left: &[u32],
        code: u64,
        begins: bool,
    ) -> Option<Seq> {
        if self.turns.len() <= FEW_TURNS {
            let turns = 0..self.turns.len();
            return turns.filter_map(|at| self.turned(cx, left, code, begins, at)).max();
        }
        let by_code = self.by_code.take().unwrap_or_else(|| self.index_turns());
        let turns = by_code.members(code).map(|member| member as usize / 2);
        let trigger = turns.filter_map(|at| self.turned(cx, left, code, begins, at)).max();
        self.by_code = Some(by_code);
        trigger
    }

    /// The number of a turn by which a fact began to go with such a tuple, or ceased to.
    fn turned(
        &self,
        cx: &mut Context<'_>,
        left: &[u32],
        code: u64,
        begins: bool,
        at: usize,
    ) -> Option<Seq> {
        let turn = self.turns[at];
        let now = self.is_current(cx.store, turn).then_some(turn.slot);
        let goes_now = now.is_some_and(|slot| {
            self.right.index.codes(turn.entry).0 == code && self.goes(cx, left, (slot, slot))
        });
        let before = slot_at_start(cx.store, &self.plan, turn.slot);
        let went = turn.start == Some(code) && self.goes(cx, left, (turn.slot, before));
        let turned = goes_now == begins && went != begins;
        let touched = || cx.store.touched(cx.ops, self.plan.kind, turn.slot, self.plan.reads);
        turned.then(touched).flatten()
    }

    fn is_current(&self, store: &Store, turn: Turn) -> bool {
        let handle = store.kind(self.plan.kind).handle(turn.slot);
        turn.entry != NONE
            && store.locate(handle).is_some()
            && self.right.slot(turn.entry) == turn.slot
    }

    /// A turn is found by each of its codes, as two members.
    fn index_turns(&self) -> Chains {
        let mut by_code = Chains::default();
        by_code.reserve(u32::try_from(self.turns.len() * 2).expect("fewer than 2³¹ turns"));
        for (member, turn) in (0..).step_by(2).zip(&self.turns) {
            let now = (turn.entry != NONE).then(|| self.right.index.codes(turn.entry).0);
            if let Some(start) = turn.start {
                by_code.link(Scope::NONE, member, start);
            }
            if let Some(now) = now.filter(|&now| turn.start != Some(now)) {
                by_code.link(Scope::NONE, member + 1, now);
            }
        }
        by_code
    }

    /// Whether a fact goes with a tuple of the same code.
    /// `slot` is where its value is looked up: its own, or that of its value before the flush.
    fn goes(&self, cx: &mut Context<'_>, left: &[u32], (fact, slot): (u32, u32)) -> bool {
        if !self.plan.verifies(self.exact) {
            return true;
        }
        if !self.plan.differs(left, fact) {
            return false;
        }
        let mut row = left.to_vec();
        row.push(slot);
        let mut sources = crate::network::plan::Sources::new();
        cx.left_sources.iter().for_each(|source| sources.push(*source));
        sources.push(cx.store.source(self.plan.kind));
        let rows = Rows::new(sources.as_slice(), &row);
        self.plan.verify(self.exact, &rows, &mut cx.buffers.answers);
        cx.buffers.answers.passed[0]
    }

    pub(crate) fn end_flush(&mut self) {
        self.turns.clear();
        self.by_code = None;
    }
}

/// The slot under which a fact's value before this flush is found.
fn slot_at_start(store: &Store, plan: &Plan, slot: u32) -> u32 {
    let before = *store.kind(plan.kind).before.get(slot);
    if before == NONE {
        slot
    } else {
        debug_assert!(before & BEFORE != 0);
        before
    }
}
