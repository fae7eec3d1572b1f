//! The two queues of a rule's pending matches: by age, and by a salience of each match.
//!
//! The states of the matches say where in the queue they are; the owner of both keeps them.

use std::cmp::Reverse;

use super::MatchState;
use crate::trail::{Cell, Column, OrderedMap, Scope, Trailed, trailed};

/// Consumed places at the front of a queue from which on it is compacted.
const COMPACT_FROM: u32 = 1024;

/// Oldest trigger first.
///
/// Triggers of a flush are above those of all flushes before it, so that the queue is in order if each
/// flush's matches are appended sorted. Places of matches that left, also for the queue of another
/// salience, are skipped when they are met.
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

    /// The match that fires next: whoever leaves a place [trims](ByAge::trim), so that the first one is never
    /// left.
    pub(super) fn first(&self) -> Option<u32> {
        let first = self.places.as_slice().get(*self.head.get() as usize);
        first.map(|first| first.token)
    }

    /// Whether nothing is in it; asked when it is trimmed.
    fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the match in this place has not left; `salience` is the queue's, if it is one of several.
    #[inline]
    fn is_there(&self, states: &Column<MatchState>, salience: Option<i32>, at: u32) -> bool {
        let state = states.get(self.places.get(at).token);
        state.place == at && salience.is_none_or(|salience| state.salience == salience)
    }

    /// Moves the head over places that were left.
    pub(super) fn trim(
        &mut self,
        scope: Scope,
        states: &mut Column<MatchState>,
        salience: Option<i32>,
    ) {
        let start = *self.head.get();
        let mut head = start;
        while head < self.places.len() && !self.is_there(states, salience, head) {
            head += 1;
        }
        if head == self.places.len() {
            self.places.clear(scope);
            head = 0;
        } else if head >= COMPACT_FROM && head > self.places.len() / 2 {
            self.compact(scope, head, states, salience);
            head = 0;
        }
        if head != start {
            self.head.set(scope, head);
        }
    }

    fn compact(
        &mut self,
        scope: Scope,
        head: u32,
        states: &mut Column<MatchState>,
        salience: Option<i32>,
    ) {
        let live: Vec<Place> = (head..self.places.len())
            .filter(|&at| self.is_there(states, salience, at))
            .map(|at| *self.places.get(at))
            .collect();
        for (place, queued) in (0..).zip(&live) {
            states.change(scope, queued.token, |state| state.place = place);
        }
        self.places.replace(scope, live);
    }

    pub(super) fn in_order(
        &self,
        states: &Column<MatchState>,
        salience: Option<i32>,
    ) -> impl Iterator<Item = u32> {
        let places = *self.head.get()..self.places.len();
        let there = places.filter(move |&at| self.is_there(states, salience, at));
        there.map(|at| self.places.get(at).token)
    }
}

/// Highest salience first, of equal ones the oldest trigger: a queue by age for each salience.
#[derive(Clone, Default)]
pub(super) struct BySalience {
    /// By salience the number of its queue; only those with matches.
    numbers: OrderedMap<Reverse<i32>, u32>,
    queues: Vec<ByAge>,
    /// Queues without matches.
    free: Column<u32>,
}

impl Trailed for BySalience {
    fn undo(&mut self, scope: Scope) {
        self.numbers.undo(scope);
        self.queues.undo(scope);
        self.free.undo(scope);
        // A queue that was made since has no salience now, and was never free before.
        let known = |number: u32| {
            self.free.as_slice().contains(&number)
                || self.numbers.iter().any(|(_, known)| *known == number)
        };
        while let Some(last) = self.queues.len().checked_sub(1)
            && !known(u32::try_from(last).expect("fewer than 2³² queues"))
        {
            self.queues.pop();
        }
    }
    fn forget(&mut self) {
        self.numbers.forget();
        self.queues.forget();
        self.free.forget();
    }
}

impl BySalience {
    /// Queues a match and gives its place.
    pub(super) fn push(&mut self, scope: Scope, token: u32, trigger: u64, salience: i32) -> u32 {
        let known = self.numbers.get(&Reverse(salience)).copied();
        let number = known.unwrap_or_else(|| {
            let number = self.free.pop(scope).unwrap_or_else(|| {
                self.queues.push(ByAge::default());
                u32::try_from(self.queues.len() - 1).expect("fewer than 2³² queues")
            });
            self.numbers.insert(scope, Reverse(salience), number);
            number
        });
        self.queues[number as usize].push(scope, token, trigger)
    }

    /// A match of this salience has left.
    pub(super) fn trim(&mut self, scope: Scope, states: &mut Column<MatchState>, salience: i32) {
        let Some(&number) = self.numbers.get(&Reverse(salience)) else { return };
        let queue = &mut self.queues[number as usize];
        queue.trim(scope, states, Some(salience));
        if queue.is_empty() {
            self.numbers.remove(scope, &Reverse(salience));
            self.free.push(scope, number);
        }
    }

    /// Gives a match's place to another token.
    pub(super) fn replace(&mut self, scope: Scope, state: &MatchState, heir: u32) {
        let number = self.numbers.get(&Reverse(state.salience));
        let number = *number.expect("a salience with matches has a queue");
        self.queues[number as usize].replace(scope, state, heir);
    }

    pub(super) fn first(&self) -> Option<u32> {
        let (_, &number) = self.numbers.first()?;
        self.queues[number as usize].first()
    }

    pub(super) fn first_salience(&self) -> Option<i32> {
        self.numbers.first().map(|(Reverse(salience), _)| *salience)
    }

    pub(super) fn in_order(&self, states: &Column<MatchState>) -> impl Iterator<Item = u32> {
        self.numbers.iter().flat_map(move |(&Reverse(salience), &number)| {
            self.queues[number as usize].in_order(states, Some(salience))
        })
    }
}
