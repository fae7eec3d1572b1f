//! The two queues of a rule's pending matches: by age, and by a salience of each match.
//!
//! The states of the matches say where in the queue they are; the owner of both keeps them.

use std::cmp::Reverse;

use steadfast_wm::Seq;

use super::MatchState;
use crate::chains::ABREAST;
use crate::trail::{Cell, Column, OrderedMap, Scope, Trailed, trailed};

/// Places of matches that left from which on a queue is compacted.
const COMPACT_FROM: u32 = if cfg!(test) { 4 } else { 1024 };

/// Oldest trigger first.
///
/// Triggers of a flush are above those of all flushes before it, so that the queue is in order if each
/// flush's matches are appended sorted. A place that a match left, also for the queue of another salience,
/// stays a hole until the queue is compacted.
#[derive(Clone, Default)]
pub(super) struct ByAge {
    places: Column<Place>,
    ends: Cell<Ends>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    trigger: u64,
    token: u32,
}

#[derive(Clone, Copy, Default, Debug)]
struct Ends {
    /// Index of the match that fires next.
    head: u32,
    /// Number of the place at index 0: what leaves at the front changes no other match's place.
    base: u32,
    /// How many matches are in the queue.
    live: u32,
}

trailed!(ByAge { places, ends });

impl ByAge {
    /// Appends a match and gives its place.
    #[expect(
        clippy::inline_always,
        reason = "it is most of what is done for a match that comes or goes"
    )]
    #[inline(always)]
    pub(super) fn push(&mut self, scope: Scope, token: u32, trigger: u64) -> u32 {
        let at = self.places.len();
        debug_assert!(
            at == 0 || self.places.get(at - 1).trigger <= trigger,
            "INV-42: triggers of a flush are above those of all flushes before it"
        );
        self.places.push(scope, Place { trigger, token });
        let ends = *self.ends.get();
        self.ends.set(scope, Ends { live: ends.live + 1, ..ends });
        ends.base + at
    }

    /// Takes in matches in the order of their triggers, where there are none; the first one's place is 0.
    pub(super) fn fill(&mut self, scope: Scope, matches: Vec<(u64, u32)>) {
        debug_assert!(self.places.is_empty(), "there are none");
        let places = matches.into_iter().map(|(trigger, token)| Place { trigger, token });
        // In the same memory: there are many.
        self.places.replace(scope, places.collect());
        self.ends.set(scope, Ends { live: self.places.len(), ..Ends::default() });
    }

    /// Calls `visit` with the next matches, and with some that have left.
    pub(super) fn next_few(&self, visit: impl FnMut(u32)) {
        let next = self.places.as_slice().get(self.ends.get().head as usize..);
        next.into_iter().flatten().take(ABREAST).map(|place| place.token).for_each(visit);
    }

    /// Gives a match's place to another token.
    pub(super) fn replace(&mut self, scope: Scope, state: &MatchState, heir: u32) {
        let at = state.place - self.ends.get().base;
        self.places.change(scope, at, |place| place.token = heir);
    }

    /// The match that fires next.
    pub(super) fn first(&self) -> Option<u32> {
        let first = self.places.as_slice().get(self.ends.get().head as usize);
        first.map(|first| first.token)
    }

    /// The same with its trigger.
    #[inline]
    pub(super) fn first_queued(&self) -> Option<(u32, Seq)> {
        let first = self.places.as_slice().get(self.ends.get().head as usize);
        first.map(|first| (first.token, Seq::new(first.trigger)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.get().live == 0
    }

    /// Whether the match at this index has not left; `salience` is the queue's, if it is one of several.
    #[inline]
    fn is_there(&self, states: &Column<MatchState>, salience: Option<i32>, at: u32) -> bool {
        let state = states.get(self.places.get(at).token);
        state.place == self.ends.get().base + at
            && salience.is_none_or(|salience| state.salience == salience)
    }

    /// All matches leave.
    pub(super) fn clear(&mut self, scope: Scope) {
        if !self.places.is_empty() {
            self.places.clear(scope);
            self.ends.set(scope, Ends::default());
        }
    }

    /// Takes a match out that has another place by now, or none.
    #[expect(
        clippy::inline_always,
        reason = "it is most of what is done for a match that comes or goes"
    )]
    #[inline(always)]
    pub(super) fn leave(
        &mut self,
        scope: Scope,
        states: &mut Column<MatchState>,
        salience: Option<i32>,
        place: u32,
    ) {
        let Ends { head, base, live } = *self.ends.get();
        if live == 1 {
            self.places.clear(scope);
            self.ends.set(scope, Ends::default());
        } else if place == base + head
            && self.places.len() - head == live
            && (head + 1 < COMPACT_FROM || head + 1 < live)
        {
            // The first one fires, and there are no holes behind it.
            self.ends.set(scope, Ends { head: head + 1, base, live: live - 1 });
        } else {
            self.leave_others(scope, states, salience, place);
        }
    }

    #[inline(never)] // mostly the first one leaves
    fn leave_others(
        &mut self,
        scope: Scope,
        states: &mut Column<MatchState>,
        salience: Option<i32>,
        place: u32,
    ) {
        let Ends { mut head, base, live } = *self.ends.get();
        let live = live - 1;
        if place == base + head {
            head += 1;
            // Without holes the next one is there.
            while self.places.len() - head > live && !self.is_there(states, salience, head) {
                head += 1;
            }
        }
        self.ends.set(scope, Ends { head, base, live });
        let left = self.places.len() - live;
        if left >= COMPACT_FROM && left > live {
            self.compact(scope, states, salience);
        }
    }

    /// Drops the places that were left. Only where there are some in between, or numbers become large, matches
    /// get other places.
    #[inline(never)]
    fn compact(&mut self, scope: Scope, states: &mut Column<MatchState>, salience: Option<i32>) {
        const LARGE: u32 = if cfg!(test) { 16 } else { 1 << 31 };
        let Ends { head, base, live } = *self.ends.get();
        let behind = head..self.places.len();
        if self.places.len() - head == live && base + head < LARGE {
            self.places.drop_first(scope, head);
            self.ends.set(scope, Ends { head: 0, base: base + head, live });
            return;
        }
        let there = behind.filter(|&at| self.is_there(states, salience, at));
        let places: Vec<Place> = there.map(|at| *self.places.get(at)).collect();
        for (place, queued) in (0..).zip(&places) {
            states.change(scope, queued.token, |state| state.place = place);
        }
        self.places.replace(scope, places);
        self.ends.set(scope, Ends { head: 0, base: 0, live });
    }

    pub(super) fn in_order(
        &self,
        states: &Column<MatchState>,
        salience: Option<i32>,
    ) -> impl Iterator<Item = u32> {
        let places = self.ends.get().head..self.places.len();
        let there = places.filter(move |&at| self.is_there(states, salience, at));
        there.map(|at| self.places.get(at).token)
    }

    /// How many places it has, for tests.
    #[cfg(test)]
    pub(super) fn len(&self) -> u32 {
        self.places.len()
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
    fn trail_bytes(&self) -> usize {
        self.numbers.trail_bytes() + self.queues.trail_bytes() + self.free.trail_bytes()
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

    /// Takes a match out, given as it was queued, that has another place by now, or none.
    pub(super) fn leave(
        &mut self,
        scope: Scope,
        states: &mut Column<MatchState>,
        queued: &MatchState,
    ) {
        let salience = queued.salience;
        let number = self.numbers.get(&Reverse(salience));
        let number = *number.expect("a salience with matches has a queue");
        let queue = &mut self.queues[number as usize];
        queue.leave(scope, states, Some(salience), queued.place);
        if queue.is_empty() {
            self.numbers.remove(scope, &Reverse(salience));
            self.free.push(scope, number);
        }
    }

    /// All matches leave.
    pub(super) fn clear(&mut self, scope: Scope) {
        while let Some((&salience, &number)) = self.numbers.first() {
            self.queues[number as usize].clear(scope);
            self.numbers.remove(scope, &salience);
            self.free.push(scope, number);
        }
    }

    /// Gives a match's place to another token.
    pub(super) fn replace(&mut self, scope: Scope, state: &MatchState, heir: u32) {
        let number = self.numbers.get(&Reverse(state.salience));
        let number = *number.expect("a salience with matches has a queue");
        self.queues[number as usize].replace(scope, state, heir);
    }

    #[inline(never)] // few rules have matches with a salience each
    pub(super) fn first(&self) -> Option<u32> {
        let (_, &number) = self.numbers.first()?;
        self.queues[number as usize].first()
    }

    #[inline(never)] // as above
    pub(super) fn first_salience(&self) -> Option<i32> {
        self.numbers.first().map(|(Reverse(salience), _)| *salience)
    }

    pub(super) fn in_order(&self, states: &Column<MatchState>) -> impl Iterator<Item = u32> {
        self.numbers.iter().flat_map(move |(&Reverse(salience), &number)| {
            self.queues[number as usize].in_order(states, Some(salience))
        })
    }
}
