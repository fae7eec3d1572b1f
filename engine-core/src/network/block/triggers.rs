//! How a `not` or an `exists` turned in a flush, for those tuples that it concerns: what triggers are computed
//! from.

use steadfast_wm::Seq;

use super::Block;
use crate::chains::NONE;
use crate::network::context::Context;
use crate::network::plan::{Plan, Sources};
use crate::network::right::RightMemory;
use crate::network::turns::Turn;
use crate::rows::{BEFORE, Rows};
use crate::store::Store;

impl Block {
    /// Whether anything may have begun to let a tuple pass in this flush.
    pub(crate) fn may_have_turned(&self, right: &RightMemory, only_inserts: bool) -> bool {
        !right.turns.list.is_empty() && (self.exists || !only_inserts)
    }

    /// Highest sequence number of this flush's operations that unblocked (`not`) or supported
    /// (`exists`) a left token as it is now: of the row `left`.
    #[inline]
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
        let (mut last, verifies) = (None, self.verifies(right));
        right.index.visit_mates(witness, |entry| {
            let slot = right.slot(entry);
            let came = cx.store.touched(cx.ops, self.plan.kind, slot, self.plan.reads);
            if came > last && (!verifies || self.passes(cx, (left, right), slot, slot)) {
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
        let goes_now = turn.entry != NONE
            && right.index.codes(turn.entry).0 == code
            && self.is_current(cx.store, right, turn)
            && (!self.verifies(right) || self.passes(cx, (left, right), turn.slot, turn.slot));
        if goes_now != begins {
            return None;
        }
        let went = turn.start == Some(code)
            && (!self.verifies(right) || {
                let before = slot_at_start(cx, &self.plan, turn.slot);
                self.passes(cx, (left, right), turn.slot, before)
            });
        let touched = || cx.store.touched(cx.ops, self.plan.kind, turn.slot, self.plan.reads);
        (went != begins).then(touched).flatten()
    }

    fn is_current(&self, store: &Store, right: &RightMemory, turn: Turn) -> bool {
        let handle = store.kind(self.plan.kind).handle(turn.slot);
        store.locate(handle).is_some() && right.slot(turn.entry) == turn.slot
    }

    /// Whether a fact passes the tests with a tuple of the same code. `slot` is where its value is looked up: its
    /// own, or that of its value before the flush.
    fn passes(
        &self,
        cx: &mut Context<'_>,
        (left, right): (&[u32], &RightMemory),
        fact: u32,
        slot: u32,
    ) -> bool {
        if !self.plan.differs(left, fact) {
            return false;
        }
        let mut row = left.to_vec();
        row.push(slot);
        let mut sources = Sources::new();
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
