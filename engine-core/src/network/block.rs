//! `not` and `exists`: left tokens that no right fact, or at least one, goes with.
//!
//! A left token is either *free*, and then in the index of free tokens, or it hangs at one right fact
//! that goes with it: its witness. When the witness leaves, another one is looked for; only if there
//! is none does the token become free. So nothing is counted, and a fact that comes while another
//! one is witness costs nothing.

use std::sync::Arc;

use steadfast_wm::Seq;

use crate::chains::{ABREAST, NONE};
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::index::Index;
use crate::network::plan::Plan;
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::{EntryHeads, Tokens};
use crate::network::turns::Turn;
use crate::network::undecided::Undecided;
use crate::rows::{BEFORE, Rows};
use crate::store::Store;
use crate::trail::{Column, Scope, Sparse, trailed};

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

/// By how much more candidates for a witness are looked at when those before did not pass.
const BATCH_GROWTH: usize = 4;

const FREE: Hang = Hang { witness: NONE, next: NONE, prev: NONE, child: NONE };

/// A `not` or `exists` node.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) plan: Arc<Plan>,
    /// Whether tokens with a witness pass (`exists`) or those without (`not`).
    exists: bool,
    /// Place of its right memory among those of its kind.
    pub(crate) memory: u32,
    /// By right entry: the head of the tuples that hang at it.
    heads: EntryHeads,
    free: Index,
    hangs: Column<Hang>,
    /// Of an absence that lets tuples pass only when it is decided.
    pub(crate) undecided: Option<Box<Undecided>>,
    exact: bool,
}

trailed!(Block { heads, free, hangs, undecided });

impl Block {
    /// Whether it is a `not`.
    pub(crate) fn is_absence(&self) -> bool {
        !self.exists
    }

    /// `waits` says whether tuples pass only when the absence is decided.
    pub(crate) fn new(plan: Arc<Plan>, exists: bool, waits: bool) -> Self {
        Self {
            exists,
            memory: NONE,
            heads: Sparse::new(NONE),
            free: Index::new(plan.is_ordered()),
            plan,
            hangs: Column::default(),
            undecided: waits.then(Box::default),
            exact: true,
        }
    }

    /// Its right memory.
    #[inline]
    pub(crate) fn right<'a>(&self, alphas: &'a [Alpha]) -> &'a RightMemory {
        &alphas[self.plan.kind as usize].memories[self.memory as usize].right
    }

    /// Whether tuples hang at a right fact.
    #[inline]
    pub(crate) fn has_tokens(&self, entry: u32) -> bool {
        *self.heads.get(entry) != NONE
    }

    /// Whether some free left token may go with a right fact of these codes.
    #[inline]
    pub(crate) fn expects(&self, (code, order): (u64, u64)) -> bool {
        self.free.holds(code, self.plan.outer_bounds(order))
    }

    /// Whether candidates still have to pass a test.
    #[inline]
    pub(crate) fn verifies(&self, right: &RightMemory) -> bool {
        self.plan.verifies(self.exact && right.exact)
    }

    /// Brings the tokens up to date with one round's changes on both sides.
    ///
    /// Right changes are all in the memory before any left token looks for a witness, so that a
    /// fact that replaces another in one flush leaves no trace.
    pub(crate) fn process(
        &mut self,
        cx: &mut Context<'_>,
        left: &Tokens,
        (right, delta): (&RightMemory, &RightDelta),
        out: &mut Tokens,
    ) {
        if self.undecided.is_none()
            && left.are_all_gone()
            && self.free.can_be_reset(cx.scope, left.deleted.len())
        {
            self.delete_all_left(cx.scope, &left.deleted, out);
        } else {
            left.deleted.iter().for_each(|&token| self.delete_left(cx.scope, token, out));
        }
        let mut touched = Vec::new();
        for entries in delta.deleted.chunks(ABREAST) {
            self.warm_orphans(entries);
            entries.iter().for_each(|&entry| self.orphan(cx.scope, entry, &mut touched));
        }
        let verifies = self.verifies(right);
        for &(entry, _) in delta.updated.iter().filter(|(_, moved)| *moved || verifies) {
            self.orphan(cx.scope, entry, &mut touched);
        }
        let lefts: Vec<u32> =
            left.updated.iter().copied().filter(|&token| left.is_live(token)).collect();
        self.update_left(cx, left, &lefts, &mut touched);
        let orphans = touched.clone();
        self.seek_witnesses(cx, (left, right), &orphans, Self::attach);
        self.insert_left(cx, (left, right), left.inserted());
        touched.extend_from_slice(left.inserted());
        touched.extend_from_slice(&lefts);
        touched.extend(delta.decided.iter().copied().filter(|&token| left.is_live(token)));
        let updated = delta.updated.iter().map(|(entry, _)| entry);
        updated.for_each(|&entry| self.recruit(cx, (left, right), entry, &mut touched));
        for entries in delta.inserted.chunks(ABREAST) {
            self.free.warm_by(&right.index, entries);
            entries.iter().for_each(|&entry| self.recruit(cx, (left, right), entry, &mut touched));
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

    /// The same of all left tokens there are: nothing has to be taken from what goes as a whole.
    fn delete_all_left(&mut self, scope: Scope, tokens: &[u32], out: &mut Tokens) {
        self.free.reset();
        for &token in tokens {
            let Hang { witness, child, .. } = *self.hangs.get(token);
            if witness != NONE {
                self.heads.set(scope, witness, NONE);
            }
            if child != NONE {
                out.kill(scope, child);
            }
            self.hangs.set(scope, token, FREE);
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

    fn insert_left(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
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
        let Buffers { codes, orders, .. } = &*cx.buffers;
        for ((&token, &code), &order) in tokens.iter().zip(codes.codes.as_slice()).zip(orders) {
            self.hangs.reach(cx.scope, token, &FREE);
            self.hangs.set(cx.scope, token, FREE);
            // Also one that has a witness may look for another some day.
            self.free.note(cx.scope, token, (code, order));
        }
        self.seek_witnesses(cx, (left, right), tokens, Self::hang);
        for &token in tokens {
            if self.is_free(token) {
                let (code, order) = self.free.codes(token);
                self.free.link(cx.scope, token, code, order);
            }
        }
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

    /// Whether a left token has no witness.
    #[inline]
    pub(crate) fn is_free(&self, token: u32) -> bool {
        self.hangs.get(token).witness == NONE
    }

    /// Has near what it takes to free the first of what hangs at each of a few entries.
    fn warm_orphans(&self, entries: &[u32]) {
        if entries.len() == 1 || !self.free.is_far() {
            return;
        }
        let mut tokens = [0; ABREAST];
        let heads = entries.iter().map(|&entry| *self.heads.get(entry));
        let mut count = 0;
        for token in heads.filter(|&token| token != NONE) {
            tokens[count] = token;
            count += 1;
        }
        self.free.warm_by(&self.free, &tokens[..count]);
    }

    /// Frees everything that hangs at an entry.
    fn orphan(&mut self, scope: Scope, entry: u32, touched: &mut Vec<u32>) {
        let mut token = *self.heads.get(entry);
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
            self.heads.set(scope, witness, next);
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
        self.hang(scope, token, entry);
    }

    /// Hangs a token at a witness that is not among the free ones.
    fn hang(&mut self, scope: Scope, token: u32, entry: u32) {
        let head = *self.heads.get(entry);
        if head != NONE {
            self.hangs.change(scope, head, |hang| hang.prev = token);
        }
        self.hangs.change(scope, token, |hang| {
            (hang.witness, hang.next, hang.prev) = (entry, head, NONE);
        });
        self.heads.set(scope, entry, token);
    }

    /// Gives left tokens without a witness a right fact that goes with them, as far as there are any; their
    /// codes are known to the index.
    fn seek_witnesses(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
        found: fn(&mut Self, Scope, u32, u32),
    ) {
        let exact = self.exact && right.exact;
        let mut seekers = std::mem::take(&mut cx.buffers.seekers);
        seekers.extend(tokens.iter().filter(|&&token| self.is_free(token)));
        // Most often one of the first candidates passes: they are asked in batches that grow.
        let (mut asked, mut most) = (0, if self.verifies(right) { 2 } else { 1 });
        while !seekers.is_empty() {
            let pairs = &mut cx.buffers.pairs;
            pairs.clear();
            // Whoever has had all of them looks no further.
            let mut left_over = 0;
            for from in (0..seekers.len()).step_by(ABREAST) {
                let until = seekers.len().min(from + ABREAST);
                right.index.warm_by(&self.free, &seekers[from..until]);
                for at in from..until {
                    let token = seekers[at];
                    let (code, order) = self.free.codes(token);
                    let mut seen = 0;
                    right.index.visit(code, self.plan.inner_bounds(order), |entry| {
                        seen += 1;
                        if seen > asked {
                            pairs.push((token, entry));
                        }
                        seen < most
                    });
                    seekers[left_over] = token;
                    left_over += usize::from(seen == most);
                }
            }
            seekers.truncate(left_over);
            cx.verify_pairs(&self.plan, exact, left, right);
            for &(token, entry) in &cx.buffers.pairs {
                if self.is_free(token) {
                    found(self, cx.scope, token, entry);
                }
            }
            seekers.retain(|&token| self.is_free(token));
            (asked, most) = (most, most * BATCH_GROWTH);
        }
        cx.buffers.seekers = seekers;
    }

    /// Whether tokens pass that some fact goes with (`exists`), not those with none (`not`).
    pub(crate) fn is_exists(&self) -> bool {
        self.exists
    }

    /// The slots of all right facts that go with a left token.
    pub(crate) fn supporters(
        &self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        token: u32,
    ) -> Vec<u32> {
        let (code, order) = self.free.codes(token);
        cx.buffers.pairs.clear();
        let pairs = &mut cx.buffers.pairs;
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            pairs.push((token, entry));
            true
        });
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
        cx.buffers.pairs.iter().map(|&(_, entry)| right.slot(entry)).collect()
    }

    /// Makes a right fact the witness of all free tokens that it goes with.
    fn recruit(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entry: u32,
        touched: &mut Vec<u32>,
    ) {
        let (code, order) = right.index.codes(entry);
        let pairs = &mut cx.buffers.pairs;
        pairs.clear();
        self.free.visit(code, self.plan.outer_bounds(order), |token| {
            pairs.push((token, entry));
            true
        });
        cx.verify_pairs(&self.plan, self.exact && right.exact, left, right);
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
        &self,
        cx: &mut Context<'_>,
        right: &RightMemory,
        left: &[u32],
        token: u32,
    ) -> Option<Seq> {
        if right.turns.list.is_empty() {
            return None;
        }
        let (code, _) = self.free.codes(token);
        let witness = self.hangs.get(token).witness;
        self.last_turn(cx, (left, right), (code, witness), self.exists)
    }

    /// Highest sequence number of this flush's operations that blocked (`not`) a tuple of row `left`,
    /// or took its support (`exists`). It is no left token any more, maybe.
    pub(crate) fn closing_trigger(
        &mut self,
        cx: &mut Context<'_>,
        right: &RightMemory,
        left: &[u32],
    ) -> Option<Seq> {
        if right.turns.list.is_empty() {
            return None;
        }
        let codes = &mut cx.buffers.codes;
        self.exact &= self.plan.outer_codes(&Rows::new(cx.left_sources, left), codes);
        let code = codes.codes.as_slice()[0];
        self.last_turn(cx, (left, right), (code, NONE), !self.exists)
    }

    /// Highest sequence number of this flush's operations by which a fact began to go with a tuple of
    /// this key code and witness (`begins`), or ceased to.
    fn last_turn(
        &self,
        cx: &mut Context<'_>,
        (left, right): (&[u32], &RightMemory),
        (code, witness): (u64, u32),
        begins: bool,
    ) -> Option<Seq> {
        if cx.ops.only_inserts && !begins {
            return None;
        }
        if cx.ops.only_inserts && witness != NONE && right.are_most_new() {
            return self.last_arrival(cx, (left, right), witness);
        }
        let now = |turn: Turn| (turn.entry != NONE).then(|| right.index.codes(turn.entry).0);
        let turned = |turn| self.turned(cx, (left, right), code, begins, turn);
        right.turns.greatest(code, now, turned)
    }

    /// Highest sequence number of a flush of insertions alone by which a fact began to go with a tuple that has
    /// this witness: those that do now are looked through, which saves an index of those that came.
    fn last_arrival(
        &self,
        cx: &mut Context<'_>,
        (left, right): (&[u32], &RightMemory),
        witness: u32,
    ) -> Option<Seq> {
        let mut last = None;
        right.index.visit_mates(witness, |entry| {
            let slot = right.slot(entry);
            let came = cx.store.touched(cx.ops, self.plan.kind, slot, self.plan.reads);
            if came > last && self.goes(cx, (left, right), (slot, slot)) {
                last = came;
            }
        });
        last
    }

    /// The number of a turn by which a fact began to go with such a tuple, or ceased to.
    fn turned(
        &self,
        cx: &mut Context<'_>,
        (left, right): (&[u32], &RightMemory),
        code: u64,
        begins: bool,
        turn: Turn,
    ) -> Option<Seq> {
        let goes_now = self.is_current(cx.store, right, turn)
            && right.index.codes(turn.entry).0 == code
            && self.goes(cx, (left, right), (turn.slot, turn.slot));
        let before = slot_at_start(cx, &self.plan, turn.slot);
        let went = turn.start == Some(code) && self.goes(cx, (left, right), (turn.slot, before));
        let turned = goes_now == begins && went != begins;
        let touched = || cx.store.touched(cx.ops, self.plan.kind, turn.slot, self.plan.reads);
        turned.then(touched).flatten()
    }

    fn is_current(&self, store: &Store, right: &RightMemory, turn: Turn) -> bool {
        let handle = store.kind(self.plan.kind).handle(turn.slot);
        turn.entry != NONE && store.locate(handle).is_some() && right.slot(turn.entry) == turn.slot
    }

    /// Whether a fact goes with a tuple of the same code.
    /// `slot` is where its value is looked up: its own, or that of its value before the flush.
    fn goes(
        &self,
        cx: &mut Context<'_>,
        (left, right): (&[u32], &RightMemory),
        (fact, slot): (u32, u32),
    ) -> bool {
        if !self.verifies(right) {
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
        self.plan.verify(self.exact && right.exact, &rows, &mut cx.buffers.answers);
        cx.buffers.answers.passed[0]
    }
}

/// The slot under which a fact's value before this flush is found.
fn slot_at_start(cx: &Context<'_>, plan: &Plan, slot: u32) -> u32 {
    let last = cx.store.kind(plan.kind).last_op(slot);
    let last = last.and_then(|op| cx.ops.list.get(op as usize));
    match last.map_or(NONE, |op| op.before) {
        NONE => slot,
        before => {
            debug_assert!(before & BEFORE != 0);
            before
        }
    }
}
