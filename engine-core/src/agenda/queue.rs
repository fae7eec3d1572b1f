//! The two queues of a rule's pending matches: by age, and by a salience of each match.
//!
//! The states of the matches say where in the queue they are; the owner of both keeps them.

use std::cmp::Reverse;

use super::MatchState;
use crate::trail::{Cell, Column, OrderedMap, Scope, trailed};

/// Consumed places at the front of a queue from which on it is compacted.
const COMPACT_FROM: u32 = 1024;

/// Oldest trigger first.
///
/// Triggers of a flush are above those of all flushes before it, so that the queue is in order if each
/// flush's matches are appended sorted. Places of matches that left are skipped when they are met.
#[derive(Clone, Default)]
pub(super) struct ByAge {
    places: Column<Place>,
    head: Cell<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    trigger: u64,
    token: u32,
}

trailed!(ByAge { places, head });

impl ByAge {
    /// Appends a match and gives its place.
    pub(super) fn push(&mut self, scope: Scope, token: u32, trigger: u64) -> u32 {
        let place = self.places.len();
        debug_assert!(
            place == 0 || self.places.get(place - 1).trigger <= trigger,
            "INV-42: triggers of a flush are above those of all flushes before it"
        );
        self.places.push(scope, Place { trigger, token });
        place
    }

    /// Gives a match's place to another token.
    pub(super) fn replace(&mut self, scope: Scope, state: &MatchState, heir: u32) {
        self.places.change(scope, state.place, |place| place.token = heir);
    }

    pub(super) fn first(&mut self, scope: Scope, states: &mut Column<MatchState>) -> Option<u32> {
        self.trim(scope, states);
        let head = *self.head.get();
        (head < self.places.len()).then(|| self.places.get(head).token)
    }

    /// Moves the head over places that were left.
    pub(super) fn trim(&mut self, scope: Scope, states: &mut Column<MatchState>) {
        let start = *self.head.get();
        let mut head = start;
        while head < self.places.len() && states.get(self.places.get(head).token).place != head {
            head += 1;
        }
        if head == self.places.len() {
            self.places.clear(scope);
            head = 0;
        } else if head >= COMPACT_FROM && head > self.places.len() / 2 {
            self.compact(scope, head, states);
            head = 0;
        }
        if head != start {
            self.head.set(scope, head);
        }
    }

    fn compact(&mut self, scope: Scope, head: u32, states: &mut Column<MatchState>) {
        let live: Vec<Place> = (head..self.places.len())
            .filter(|&at| states.get(self.places.get(at).token).place == at)
            .map(|at| *self.places.get(at))
            .collect();
        for (place, queued) in (0..).zip(&live) {
            states.change(scope, queued.token, |state| state.place = place);
        }
        self.places.replace(scope, live);
    }

    pub(super) fn in_order(&self, states: &Column<MatchState>) -> impl Iterator<Item = u32> {
        (*self.head.get()..self.places.len()).filter_map(|at| {
            let token = self.places.get(at).token;
            (states.get(token).place == at).then_some(token)
        })
    }
}

/// Highest salience first, of equal ones the oldest trigger.
#[derive(Clone, Default)]
pub(super) struct BySalience {
    tokens: OrderedMap<Key, u32>,
    /// The trigger of the last match and its place among those with this trigger.
    last: Cell<(u64, u32)>,
}

/// Salience, trigger, place among matches of one trigger.
type Key = (Reverse<i32>, u64, u32);

trailed!(BySalience { tokens, last });

fn key(state: &MatchState) -> Key {
    (Reverse(state.salience), state.trigger, state.place)
}

impl BySalience {
    /// Queues a match and gives its place.
    pub(super) fn push(&mut self, scope: Scope, token: u32, trigger: u64, salience: i32) -> u32 {
        let (last, before) = *self.last.get();
        let place = if last == trigger { before + 1 } else { 0 };
        self.last.set(scope, (trigger, place));
        self.tokens.insert(scope, (Reverse(salience), trigger, place), token);
        place
    }

    pub(super) fn remove(&mut self, scope: Scope, state: &MatchState) {
        self.tokens.remove(scope, &key(state));
    }

    /// Gives a match's place to another token.
    pub(super) fn replace(&mut self, scope: Scope, state: &MatchState, heir: u32) {
        self.tokens.insert(scope, key(state), heir);
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.tokens.iter().next().map(|(_, token)| *token)
    }

    pub(super) fn first_salience(&self) -> Option<i32> {
        self.tokens.iter().next().map(|((Reverse(salience), ..), _)| *salience)
    }

    pub(super) fn in_order(&self) -> impl Iterator<Item = u32> {
        self.tokens.iter().map(|(_, token)| *token)
    }
}
