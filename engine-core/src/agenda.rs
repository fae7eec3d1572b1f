//! The agenda: which matches are pending, in which order they fire, and what the journal knows of it.
//!
//! Rules are ranked once, by salience and declared order. Within a rule matches fire by trigger,
//! then by members. Triggers of a flush are above those of all flushes before it, so that a rule's
//! queue is kept in order by appending each flush's matches sorted (INV-42).

use steadfast_wm::{MatchId, Seq};

use crate::chains::NONE;
use crate::trail::{Cell, Column, Scope, trailed};

/// What the agenda knows of a complete match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MatchState {
    /// Its trigger while it is pending, else 0.
    pub(crate) trigger: u64,
    /// Its place in the rule's queue, or `NONE`.
    place: u32,
    /// The trigger that the journal holds for it as pending, or 0.
    journaled: u64,
    /// Whether it is in the list of those that may differ from what the journal holds.
    dirty: bool,
    /// Head of the list of facts that it supports.
    pub(crate) first_support: u32,
}

const DORMANT: MatchState =
    MatchState { trigger: 0, place: NONE, journaled: 0, dirty: false, first_support: NONE };

#[derive(Clone, Copy, Debug)]
struct Queued {
    trigger: u64,
    token: u32,
}

/// The complete matches of one rule.
#[derive(Clone, Default)]
pub(crate) struct Terminal {
    states: Column<MatchState>,
    queue: Column<Queued>,
    head: Cell<u32>,
    pending: Cell<u32>,
    /// Tokens whose pending state may differ from what the journal holds.
    dirty: Column<u32>,
    /// Dead matches that the journal still holds as pending.
    withdrawn: Column<MatchId>,
}

trailed!(Terminal { states, queue, head, pending, dirty, withdrawn });

/// Consumed places at the front of a queue from which on it is compacted.
const COMPACT_FROM: u32 = 1024;

impl Terminal {
    pub(crate) fn state(&self, token: u32) -> MatchState {
        if token < self.states.len() { *self.states.get(token) } else { DORMANT }
    }

    pub(crate) fn set_first_support(&mut self, scope: Scope, token: u32, support: u32) {
        self.states.reach(scope, token, &DORMANT);
        self.states.change(scope, token, |state| state.first_support = support);
    }

    pub(crate) fn has_pending(&self) -> bool {
        *self.pending.get() > 0
    }

    pub(crate) fn pending_count(&self) -> u32 {
        *self.pending.get()
    }

    /// A new token is dormant until it is queued.
    pub(crate) fn reset(&mut self, scope: Scope, token: u32) {
        self.states.reach(scope, token, &DORMANT);
        self.states.set(scope, token, DORMANT);
    }

    /// Appends a match; the caller appends in order.
    pub(crate) fn enqueue(&mut self, scope: Scope, token: u32, trigger: u64) {
        self.states.reach(scope, token, &DORMANT);
        let old = *self.states.get(token);
        if old.trigger == 0 {
            self.pending.set(scope, *self.pending.get() + 1);
        }
        let place = self.queue.len();
        debug_assert!(
            place == 0 || self.queue.get(place - 1).trigger <= trigger,
            "INV-42: triggers of a flush are above those of all flushes before it"
        );
        self.queue.push(scope, Queued { trigger, token });
        self.states.set(scope, token, MatchState { trigger, place, dirty: true, ..old });
        if !old.dirty {
            self.dirty.push(scope, token);
        }
    }

    /// Makes a match dormant.
    pub(crate) fn dequeue(&mut self, scope: Scope, token: u32) {
        let old = self.state(token);
        if old.trigger == 0 {
            return;
        }
        self.states.set(scope, token, MatchState { trigger: 0, place: NONE, dirty: true, ..old });
        self.pending.set(scope, *self.pending.get() - 1);
        if !old.dirty {
            self.dirty.push(scope, token);
        }
        self.trim(scope);
    }

    /// Puts a new token in the place of a dead one with the same identity.
    pub(crate) fn inherit(&mut self, scope: Scope, dead: u32, heir: u32) {
        let state = MatchState { first_support: NONE, dirty: true, ..self.state(dead) };
        self.states.reach(scope, heir, &DORMANT);
        self.states.set(scope, heir, state);
        self.states.set(scope, dead, DORMANT);
        if state.place != NONE {
            self.queue.change(scope, state.place, |queued| queued.token = heir);
        }
        self.dirty.push(scope, heir);
    }

    /// Forgets a dead match; `identity` is asked for if the journal still holds it as pending.
    pub(crate) fn bury(&mut self, scope: Scope, token: u32, identity: impl FnOnce() -> MatchId) {
        self.dequeue(scope, token);
        if self.state(token).journaled != 0 {
            self.withdrawn.push(scope, identity());
        }
        if token < self.states.len() {
            self.states.set(scope, token, DORMANT);
        }
    }

    /// The match that fires next.
    pub(crate) fn first(&mut self, scope: Scope) -> Option<u32> {
        self.trim(scope);
        let head = *self.head.get();
        (head < self.queue.len()).then(|| self.queue.get(head).token)
    }

    /// Moves the head over consumed places.
    fn trim(&mut self, scope: Scope) {
        let start = *self.head.get();
        let mut head = start;
        while head < self.queue.len() && self.states.get(self.queue.get(head).token).place != head {
            head += 1;
        }
        if head == self.queue.len() {
            self.queue.clear(scope);
            head = 0;
        } else if head >= COMPACT_FROM && head > self.queue.len() / 2 {
            self.compact(scope, head);
            head = 0;
        }
        if head != start {
            self.head.set(scope, head);
        }
    }

    fn compact(&mut self, scope: Scope, head: u32) {
        let live: Vec<Queued> = (head..self.queue.len())
            .filter(|&at| self.states.get(self.queue.get(at).token).place == at)
            .map(|at| *self.queue.get(at))
            .collect();
        for (place, queued) in live.iter().enumerate() {
            let place = u32::try_from(place).expect("shorter than before");
            self.states.change(scope, queued.token, |state| state.place = place);
        }
        self.queue.replace(scope, live);
    }

    /// All pending matches in firing order.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (u32, Seq)> + '_ {
        let places = *self.head.get()..self.queue.len();
        places.filter_map(|at| {
            let queued = self.queue.get(at);
            let current = self.states.get(queued.token).place == at;
            current.then(|| (queued.token, Seq::new(queued.trigger)))
        })
    }

    /// What changed in the pending set since this was last called: matches that left, and tokens
    /// that entered or changed their key with their trigger.
    pub(crate) fn net_change(&mut self, scope: Scope) -> NetChange {
        let mut change = NetChange::default();
        for at in 0..self.dirty.len() {
            let token = *self.dirty.get(at);
            let state = *self.states.get(token);
            // The list may name a token twice, or one that was used again since.
            self.states.change(scope, token, |state| {
                state.journaled = state.trigger;
                state.dirty = false;
            });
            if state.trigger == state.journaled {
                continue;
            }
            if state.trigger == 0 {
                change.left.push(token);
            } else {
                change.entered.push((token, Seq::new(state.trigger)));
            }
        }
        self.dirty.clear(scope);
        change.dead = self.withdrawn.as_slice().to_vec();
        self.withdrawn.clear(scope);
        change
    }

    /// Declares that the journal holds exactly what is pending now.
    pub(crate) fn mark_journaled(&mut self, scope: Scope) {
        for at in 0..self.states.len() {
            self.states.change(scope, at, |state| {
                state.journaled = state.trigger;
                state.dirty = false;
            });
        }
        self.dirty.clear(scope);
        self.withdrawn.clear(scope);
    }
}

/// Net change of one rule's pending matches since the last commit boundary.
#[derive(Default, Debug)]
pub(crate) struct NetChange {
    pub(crate) entered: Vec<(u32, Seq)>,
    pub(crate) left: Vec<u32>,
    pub(crate) dead: Vec<MatchId>,
}

/// The ranks of rules: which one goes first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranks {
    /// Rules by rank.
    by_rank: Vec<u32>,
    rank_of: Vec<u32>,
    /// One bit per rank: its rule has pending matches. Derived; not state.
    active: Vec<u64>,
}

impl Ranks {
    /// Ranks rules by salience, highest first, then by their place.
    pub(crate) fn new(saliences: &[i32]) -> Self {
        let count = u32::try_from(saliences.len()).expect("fewer than 2³² rules");
        let mut by_rank: Vec<u32> = (0..count).collect();
        by_rank.sort_by_key(|&rule| (std::cmp::Reverse(saliences[rule as usize]), rule));
        let mut rank_of = vec![0; saliences.len()];
        for (rank, &rule) in (0..).zip(&by_rank) {
            rank_of[rule as usize] = rank;
        }
        Self { by_rank, rank_of, active: vec![0; saliences.len().div_ceil(64)] }
    }

    pub(crate) fn set_active(&mut self, rule: u32, active: bool) {
        let rank = self.rank_of[rule as usize];
        let (word, bit) = (rank as usize / 64, rank % 64);
        if active {
            self.active[word] |= 1 << bit;
        } else {
            self.active[word] &= !(1 << bit);
        }
    }

    /// The rule of the best rank that has pending matches.
    pub(crate) fn best(&self) -> Option<u32> {
        let (word, bits) = self.active.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Some(self.by_rank[word * 64 + bits.trailing_zeros() as usize])
    }

    /// Rules in the order of their ranks.
    pub(crate) fn in_order(&self) -> &[u32] {
        &self.by_rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_salience_then_place() {
        let mut ranks = Ranks::new(&[0, 10, 0, i32::MIN]);
        assert_eq!(ranks.in_order(), [1, 0, 2, 3]);
        ranks.set_active(3, true);
        ranks.set_active(2, true);
        assert_eq!(ranks.best(), Some(2));
        ranks.set_active(2, false);
        assert_eq!(ranks.best(), Some(3));
    }

    #[test]
    fn requeued_matches_move_to_the_end() {
        let (scope, mut terminal) = (Scope::NONE, Terminal::default());
        terminal.enqueue(scope, 0, 5);
        terminal.enqueue(scope, 1, 6);
        terminal.enqueue(scope, 0, 7);
        assert_eq!(terminal.pending_count(), 2);
        assert_eq!(terminal.first(scope), Some(1));
        terminal.dequeue(scope, 1);
        assert_eq!(terminal.first(scope), Some(0));
        assert_eq!(terminal.in_order().collect::<Vec<_>>(), [(0, Seq::new(7))]);
    }

    #[test]
    fn net_change_hides_what_came_and_went() {
        let (scope, mut terminal) = (Scope::NONE, Terminal::default());
        terminal.enqueue(scope, 0, 5);
        terminal.enqueue(scope, 1, 5);
        terminal.dequeue(scope, 0);
        assert_eq!(terminal.net_change(scope).entered, [(1, Seq::new(5))]);
        terminal.dequeue(scope, 1);
        terminal.enqueue(scope, 1, 9);
        let change = terminal.net_change(scope);
        assert_eq!((change.entered.as_slice(), change.left.len()), (&[(1, Seq::new(9))][..], 0));
    }
}
