//! `not` and `exists`: left tokens that no right fact, or at least one, goes with.
//!
//! A left token is either *free*, and then in the index of free tokens, or it hangs at one right fact
//! that goes with it: its witness. When the witness leaves, another one is looked for; only if there
//! is none does the token become free. So nothing is counted, and a fact that comes while another
//! one is witness costs nothing.

mod descent;
mod triggers;

use std::sync::Arc;

use crate::chains::{ABREAST, NONE};
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::index::Index;
use crate::network::plan::Plan;
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::{EntryHeads, Tokens};
use crate::network::undecided::Undecided;
use crate::rows::Rows;
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
        let lefts: Vec<u32> =
            left.updated.iter().copied().filter(|&token| left.is_live(token)).collect();
        // Tokens that hang nowhere and are not among the free ones until they have looked for a witness.
        let mut touched = Vec::with_capacity(left.inserted().len() + delta.deleted.len());
        self.update_left(cx, left, &lefts, &mut touched);
        delta.deleted.iter().for_each(|&entry| self.orphan(cx.scope, entry, &mut touched));
        let verifies = self.verifies(right);
        for &(entry, _) in delta.updated.iter().filter(|(_, moved)| *moved || verifies) {
            self.orphan(cx.scope, entry, &mut touched);
        }
        self.insert_left(cx, left, left.inserted());
        touched.extend_from_slice(left.inserted());
        // Those who look for a witness now find also those that come. Only others may be found by them.
        let anybody_waits = !self.free.is_empty();
        self.seek_witnesses(cx, (left, right), &touched);
        touched.extend(delta.decided.iter().copied().filter(|&token| left.is_live(token)));
        if anybody_waits {
            self.recruit_all(cx, (left, right), delta, &mut touched);
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

    /// Takes changed left tokens from where they are, and notes their codes of now.
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
        for &token in tokens {
            if self.is_free(token) {
                self.free.unlink(cx.scope, token);
            } else {
                self.detach(cx.scope, token);
            }
        }
        self.note_codes(cx, left, tokens);
        touched.extend_from_slice(tokens);
    }

    /// Takes new left tokens in; they hang nowhere, and are not among the free ones.
    fn insert_left(&mut self, cx: &mut Context<'_>, left: &Tokens, tokens: &[u32]) {
        let Some(&last) = tokens.iter().max() else { return };
        self.hangs.reach(cx.scope, last, &FREE);
        tokens.iter().for_each(|&token| self.hangs.set(cx.scope, token, FREE));
        self.note_codes(cx, left, tokens);
    }

    /// Notes the codes of left tokens: also who has a witness may look for another some day.
    fn note_codes(&mut self, cx: &mut Context<'_>, left: &Tokens, tokens: &[u32]) {
        self.bound(cx, left, tokens);
        let plan = &*self.plan;
        let exact = cx.left_rows(left, tokens, |rows, codes, orders| {
            plan.outer_orders(rows, orders);
            plan.outer_codes(rows, codes)
        });
        self.exact &= exact;
        let Buffers { codes, orders, .. } = &*cx.buffers;
        for ((&token, &code), &order) in tokens.iter().zip(codes.codes.as_slice()).zip(orders) {
            self.free.note(cx.scope, token, (code, order));
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

    /// Takes everything from an entry that hangs at it; it hangs nowhere then.
    fn orphan(&mut self, scope: Scope, entry: u32, touched: &mut Vec<u32>) {
        let mut token = *self.heads.get(entry);
        if token == NONE {
            return;
        }
        self.heads.set(scope, entry, NONE);
        while token != NONE {
            touched.push(token);
            token = self.hangs.change(scope, token, |hang| {
                (hang.witness, hang.prev) = (NONE, NONE);
                std::mem::replace(&mut hang.next, NONE)
            });
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

    /// Hangs a token that is in no list at a witness.
    fn hang(&mut self, scope: Scope, token: u32, entry: u32) {
        hang(scope, (&mut self.hangs, &mut self.heads), token, entry);
    }

    /// Gives left tokens that are in no list a right fact that goes with them, as far as there are any; the others
    /// are free. Their codes are known to the index.
    fn seek_witnesses(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
    ) {
        let may_pass = !right.index.is_empty();
        if may_pass && self.verifies(right) {
            self.ask_candidates(cx, (left, right), tokens);
        }
        let takes_any = may_pass && !self.verifies(right);
        for few in tokens.chunks(ABREAST) {
            let mut free = [0; ABREAST];
            let mut count = 0;
            if takes_any {
                right.index.warm_by(&self.free, few);
            }
            for &token in few {
                let found = if takes_any { self.any_candidate(right, token) } else { NONE };
                if found != NONE {
                    self.hang(cx.scope, token, found);
                } else if self.is_free(token) {
                    free[count] = token;
                    count += 1;
                }
            }
            self.free.link_noted(cx.scope, &free[..count]);
        }
    }

    /// One of the right facts that a left token finds, or `NONE`.
    #[inline]
    fn any_candidate(&self, right: &RightMemory, token: u32) -> u32 {
        let (code, order) = self.free.codes(token);
        let mut found = NONE;
        right.index.visit(code, self.plan.inner_bounds(order), |entry| {
            found = entry;
            false
        });
        found
    }

    /// Hangs left tokens at right facts that they find, and that pass the tests.
    fn ask_candidates(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
    ) {
        let exact = self.exact && right.exact;
        let mut seekers = std::mem::take(&mut cx.buffers.seekers);
        seekers.extend_from_slice(tokens);
        // Most often one of the first candidates passes: they are asked in batches that grow.
        let (mut asked, mut most) = (0, 2);
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
                    self.hang(cx.scope, token, entry);
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

    /// Makes right facts that came, or that may go with other tokens now, the witnesses of free ones.
    fn recruit_all(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        delta: &RightDelta,
        touched: &mut Vec<u32>,
    ) {
        let updated = delta.updated.iter().map(|(entry, _)| entry);
        updated.for_each(|&entry| self.recruit(cx, (left, right), entry, touched));
        for entries in delta.inserted.chunks(ABREAST) {
            self.free.warm_by(&right.index, entries);
            entries.iter().for_each(|&entry| self.recruit(cx, (left, right), entry, touched));
        }
    }

    /// Makes a right fact the witness of all free tokens that it goes with.
    #[inline]
    fn recruit(
        &mut self,
        cx: &mut Context<'_>,
        (left, right): (&Tokens, &RightMemory),
        entry: u32,
        touched: &mut Vec<u32>,
    ) {
        if self.verifies(right) {
            self.recruit_some(cx, (left, right), entry, touched);
            return;
        }
        let (code, order) = right.index.codes(entry);
        let Self { free, hangs, heads, plan, .. } = self;
        free.take(cx.scope, code, plan.outer_bounds(order), |token| {
            touched.push(token);
            hang(cx.scope, (hangs, heads), token, entry);
        });
    }

    /// The same, of those that pass the tests.
    fn recruit_some(
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
        for &(token, entry) in &cx.buffers.pairs {
            self.free.unlink(cx.scope, token);
            self.hang(cx.scope, token, entry);
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
}

/// Hangs a token that is in no list at a witness.
#[inline]
fn hang(
    scope: Scope,
    (hangs, heads): (&mut Column<Hang>, &mut EntryHeads),
    token: u32,
    entry: u32,
) {
    let head = *heads.get(entry);
    if head != NONE {
        hangs.change(scope, head, |hang| hang.prev = token);
    }
    hangs.change(scope, token, |hang| {
        (hang.witness, hang.next, hang.prev) = (entry, head, NONE);
    });
    heads.set(scope, entry, token);
}
