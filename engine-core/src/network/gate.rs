//! Gates: the first pattern of a rule, where the rule asks nothing else about its fact.
//!
//! Such a pattern says when a rule is at work: that a phase has come, that something is switched on. Its
//! facts go with all tuples of the other patterns, so that it is joined behind them, whatever its place in
//! the rule. When its facts go, the *gate is closed*: matches go with them, the tuples before it stay, and
//! are brought up to date as if it were open. So a rule that is at work again finds its tuples as they
//! were, apart from what happened meanwhile.
//!
//! What nobody needs costs nothing: as long as a gate has never been open there is no unit tuple, from
//! which everything hangs. It is taken away again when more work was done behind a closed gate than it
//! takes to make all tuples anew. So keeping them costs at most twice what the better choice would have.
//! INV-51: what is kept is no state. A session that was restored has made anew what open gates need.

use std::sync::Arc;

use crate::chains::NONE;
use crate::network::alpha::Alpha;
use crate::network::context::{Buffers, Context};
use crate::network::net::{Flush, Level, Net, Node};
use crate::network::plan::Plan;
use crate::network::right::{RightDelta, RightMemory};
use crate::network::tokens::{EntryHeads, Heads, Tokens};
use crate::trail::{Column, Scope, Sparse, trailed};

/// What a tuple before a gate has in the place of the gate's fact; nobody asks for it.
pub(crate) const BLANK: u32 = NONE;

/// So much work is done behind a closed gate before anybody asks whether that is too much.
const LITTLE: u64 = if cfg!(test) { 3 } else { 64 };

/// A gate: every left token with every right fact, which gets the first position.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) plan: Arc<Plan>,
    /// Place of its right memory among those of its kind.
    pub(crate) memory: u32,
    /// By right entry: the head of its tokens.
    heads: EntryHeads,
    /// By left token: the head of its tokens.
    children: Heads,
    /// Tuples that came and went since it was closed. Nothing depends on it but how much is kept, so that it is
    /// not trailed.
    idle: u64,
}

trailed!(Gate { heads, children });

impl Gate {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let (heads, children) = (Sparse::new(NONE), Column::default());
        Self { plan, memory: NONE, heads, children, idle: 0 }
    }

    /// Its right memory.
    #[inline]
    pub(crate) fn right<'a>(&self, alphas: &'a [Alpha]) -> &'a RightMemory {
        &alphas[self.plan.kind as usize].memories[self.memory as usize].right
    }

    /// Whether a right fact has tokens.
    #[inline]
    pub(crate) fn has_tokens(&self, entry: u32) -> bool {
        *self.heads.get(entry) != NONE
    }

    /// Notes how many tuples came and went behind it while it was closed.
    #[inline]
    pub(crate) fn note_idle(&mut self, tuples: usize) {
        self.idle += tuples as u64;
    }

    /// It is open: what is done is needed.
    #[inline]
    pub(crate) fn is_needed(&mut self) {
        self.idle = 0;
    }

    /// Whether more was done while it was closed than it takes to make so many tuples anew.
    #[inline]
    pub(crate) fn is_idle(&self, tuples: impl FnOnce() -> u64) -> bool {
        self.idle > LITTLE && self.idle > tuples()
    }

    /// Whether nothing was noted since it [was needed](Self::is_needed).
    #[inline]
    pub(super) fn is_in_use(&self) -> bool {
        self.idle == 0
    }

    /// Left tokens have come: each gets a token with every right fact, which are added to `came`.
    pub(super) fn meet_lefts(
        &mut self,
        scope: Scope,
        (left, right): (&Tokens, &RightMemory),
        tokens: &[u32],
        (out, came): (&mut Tokens, &mut Vec<u32>),
    ) {
        for &token in tokens {
            self.children.reach(scope, token, &NONE);
            self.children.set(scope, token, NONE);
        }
        if right.fact_count() == 0 {
            return;
        }
        for &parent in tokens {
            for entry in right.live_entries() {
                let token = out.add_settled(scope, parent, entry, left.row(parent), None);
                self.hang(scope, right, (token, (parent, entry)), out);
                came.push(token);
            }
        }
    }

    /// Left tokens are gone: their tokens go, which are added to `gone`.
    pub(super) fn drop_of_lefts(
        &mut self,
        scope: Scope,
        lefts: &[u32],
        out: &mut Tokens,
        gone: &mut Vec<u32>,
    ) {
        for &left in lefts {
            let mut child = *self.children.get(left);
            self.children.set(scope, left, NONE);
            while child != NONE {
                let next = out.next_sibling(child);
                out.unlink_entry(scope, child, &mut self.heads);
                out.kill_settled(scope, child);
                gone.push(child);
                child = next;
            }
        }
    }

    /// Brings the tokens up to date with one round's changes on both sides. No condition is evaluated.
    pub(crate) fn process(
        &mut self,
        cx: &Context<'_>,
        left: &Tokens,
        (right, delta): (&RightMemory, &RightDelta),
        out: &mut Tokens,
    ) {
        let scope = cx.scope;
        let closes = right.fact_count() == 0 && !delta.deleted.is_empty();
        // Of few among many that are free, each is taken alone.
        let is_many = || left.deleted.len() >= out.count() as usize / 16;
        if closes || left.are_all_gone() && is_many() {
            self.delete_all(scope, out);
        } else {
            left.deleted.iter().for_each(|&token| self.delete_left(scope, token, out));
            delta.deleted.iter().for_each(|&entry| self.delete_right(scope, entry, out));
        }
        for &token in left.updated.iter().filter(|&&token| left.is_live(token)) {
            self.mark_children(token, out);
        }
        for &(entry, _) in &delta.updated {
            let mut token = *self.heads.get(entry);
            while token != NONE {
                out.mark_updated(token);
                token = out.next_of_entry(token);
            }
        }
        if !delta.inserted.is_empty() {
            out.reserve(left.live_count() * delta.inserted.len());
            for token in left.live().filter(|&token| !left.is_inserted(token)) {
                for &entry in &delta.inserted {
                    self.add(scope, (left, right), (token, entry), out);
                }
            }
        }
        for &token in left.inserted() {
            self.children.reach(scope, token, &NONE);
            self.children.set(scope, token, NONE);
        }
        if right.fact_count() > 0 {
            for &token in left.inserted() {
                for entry in right.live_entries() {
                    self.add(scope, (left, right), (token, entry), out);
                }
            }
        }
    }

    /// Nothing has to be taken from what goes as a whole.
    fn delete_all(&mut self, scope: Scope, out: &mut Tokens) {
        for token in 0..out.count() {
            if out.is_live(token) {
                self.heads.set(scope, out.entry(token), NONE);
                self.children.set(scope, out.parent(token), NONE);
                out.kill(scope, token);
            }
        }
    }

    fn delete_left(&mut self, scope: Scope, token: u32, out: &mut Tokens) {
        let mut child = *self.children.get(token);
        self.children.set(scope, token, NONE);
        while child != NONE {
            let next = out.next_sibling(child);
            out.unlink_entry(scope, child, &mut self.heads);
            out.kill(scope, child);
            child = next;
        }
    }

    fn delete_right(&mut self, scope: Scope, entry: u32, out: &mut Tokens) {
        let mut token = *self.heads.get(entry);
        self.heads.set(scope, entry, NONE);
        while token != NONE {
            let next = out.next_of_entry(token);
            out.unlink_sibling(scope, token, &mut self.children);
            out.kill(scope, token);
            token = next;
        }
    }

    fn mark_children(&self, token: u32, out: &mut Tokens) {
        let mut child = *self.children.get(token);
        while child != NONE {
            out.mark_updated(child);
            child = out.next_sibling(child);
        }
    }

    #[inline]
    fn add(
        &mut self,
        scope: Scope,
        (left, right): (&Tokens, &RightMemory),
        (parent, entry): (u32, u32),
        out: &mut Tokens,
    ) {
        let token = out.add(scope, parent, entry, left.row(parent), None);
        self.hang(scope, right, (token, (parent, entry)), out);
    }

    /// Links a new token of a pair, and gives it the fact.
    #[inline]
    fn hang(
        &mut self,
        scope: Scope,
        right: &RightMemory,
        (token, (parent, entry)): (u32, (u32, u32)),
        out: &mut Tokens,
    ) {
        out.set_first(scope, token, right.slot(entry));
        out.link_sibling(scope, token, &mut self.children, parent);
        out.link_entry(scope, token, &mut self.heads, entry);
    }
}

impl Net {
    /// Whether its gate is open; turns it if it was not before.
    #[inline]
    pub(super) fn is_at_work(
        &mut self,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
    ) -> bool {
        let Some(Level { node: Node::Gate(gate), .. }) = self.levels.last() else { return true };
        let right = &alphas[gate.plan.kind as usize].memories[gate.memory as usize].right;
        let stays_open = gate.idle == 0 && right.fact_count() > 0 && self.root.live_count() > 0;
        stays_open || self.turn_gate(flush, alphas, buffers)
    }

    /// Puts the unit tuple in if a gate is open, and takes it away if too much is done behind a closed one.
    /// Says whether it is open.
    #[inline(never)] // few rules have gates, and of those few are turned
    fn turn_gate(
        &mut self,
        flush: &Flush<'_>,
        alphas: &mut [Alpha],
        buffers: &mut Buffers,
    ) -> bool {
        let (last, before) = self.levels.split_last_mut().expect("rules have parts");
        let is_open = last.node.memory(alphas).is_some_and(|it| it.right.fact_count() > 0);
        let Node::Gate(gate) = &mut last.node else { unreachable!("the last level is a gate") };
        let unit = self.root.live().next();
        if is_open {
            gate.is_needed();
            if unit.is_none() {
                self.put_unit(flush.scope, &[BLANK]);
                self.wake_memories(flush, alphas, buffers);
            }
        } else if let Some(unit) = unit {
            let tuples = || before.iter().map(|level| level.tokens.live_count() as u64).sum();
            if gate.is_idle(tuples) {
                gate.is_needed();
                self.root.kill(flush.scope, unit);
                self.waiting.union(self.root_feeds);
            }
        }
        is_open
    }

    /// The levels in the order of the rule's parts: a gate is the first.
    #[cfg(test)]
    pub(crate) fn in_order_of_parts(&self) -> impl Iterator<Item = &Level> {
        let (first, last) = self.levels.split_at(self.levels.len() - usize::from(self.is_gated));
        last.iter().chain(first)
    }

    /// What has slept as long as the gate was closed has its facts from now on.
    fn wake_memories(&self, flush: &Flush<'_>, alphas: &mut [Alpha], buffers: &mut Buffers) {
        for level in &self.levels {
            let Some((kind, place)) = level.node.memory_place() else { continue };
            let alpha = &mut alphas[kind as usize];
            if alpha.memories[place as usize].is_asleep() {
                alpha.wake(place, flush, buffers);
            }
        }
    }

    /// Notes how many tuples came and went behind a closed gate in this round, all levels taken together.
    pub(super) fn note_moves(&mut self, moves: usize) {
        let last = self.levels.last_mut().expect("rules have parts");
        let own = last.tokens.moves();
        let Node::Gate(gate) = &mut last.node else { unreachable!("the last level is a gate") };
        gate.note_idle(moves - own);
    }
}
