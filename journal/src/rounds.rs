//! Who syncs, and for whom: the bookkeeping of group commit. What is done about it is in `group.rs`.
//!
//! Syncing goes in rounds. The threads that a round releases take a while until all of them have
//! appended again. If they are few, the next round waits for them: one sync serves all. If they are
//! many, that while is as long as a sync; then two rounds are in flight, each with half of the threads,
//! and one half appends while the device is at work for the other. A round may have taken more than its
//! half: then those that are left do not wait for it to end.

use std::time::Duration;

/// So many rounds are in flight at once, if the storage tells both of a failure.
pub(crate) const FLIGHTS: usize = 2;

/// From so many threads on, two rounds at once pay: fewer have appended again before a flush has ended.
/// An interleaving has no time for so many; the unit tests count without threads.
const CROWD_MIN: usize = if cfg!(all(shuttle, not(test))) { 2 } else { 20 };

/// Threads sleep for so many different rounds at once: those in flight, and the next one.
pub(crate) const GATES: usize = FLIGHTS + 1;

/// The gate at which threads sleep for a round.
pub(crate) fn gate_of(round: u64) -> usize {
    usize::try_from(round % GATES as u64).expect("less than GATES")
}

/// One round in flight.
#[derive(Clone, Copy, Debug)]
struct Flight {
    round: u64,
    /// Up to where it makes the journal durable; the maximum while it gathers its threads.
    target: u64,
    /// How many threads sleep for its end; its leader is not counted.
    waiting: usize,
}

/// All rounds of a journal.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// How many rounds have begun: the number of the next one.
    begun: u64,
    /// How many rounds have ended. A round that ends has done the work of those before it.
    ended: u64,
    flights: [Option<Flight>; FLIGHTS],
    /// How many threads sleep for the next round.
    waiting: usize,
    /// How many threads took part when the last round ended: so many may soon wait again.
    crowd: usize,
    /// How long a leader waits for them.
    pub(crate) patience: Patience,
    /// The furthest position for which somebody wants a durable slot.
    pub(crate) slot_wanted: u64,
}

impl Rounds {
    /// Number of the next round.
    pub(crate) const fn next(&self) -> u64 {
        self.begun
    }

    /// How many rounds have ended.
    pub(crate) const fn ended(&self) -> u64 {
        self.ended
    }

    fn in_flight(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().flatten()
    }

    /// Whether somebody is at work on a round.
    pub(crate) fn is_any_in_flight(&self) -> bool {
        self.in_flight().next().is_some()
    }

    /// Whether threads sleep for the next round.
    #[cfg(all(test, not(shuttle)))]
    pub(crate) const fn is_anybody_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// The first round in flight that makes `wanted` durable.
    pub(crate) fn covering(&self, wanted: u64) -> Option<u64> {
        let covers = |flight: &&Flight| flight.round >= self.ended && flight.target >= wanted;
        self.in_flight().filter(covers).map(|flight| flight.round).min()
    }

    /// Whether the next round may begin, given `more` threads beside those that sleep for it and how
    /// many rounds the storage takes at once.
    pub(crate) fn may_begin(&self, more: usize, flights_max: usize) -> bool {
        let threads = self.waiting + more;
        let flights = self.in_flight().count();
        let gathers = self.in_flight().any(|flight| flight.target == u64::MAX);
        if threads == 0 || gathers || flights >= flights_max {
            return false;
        }
        // If nobody is left who could join, there is nothing to wait for.
        let enough = self.share(flights_max).min(self.crowd.saturating_sub(self.on_board()));
        flights == 0 || (self.crowd >= CROWD_MIN && threads >= enough)
    }

    /// How many threads have their rounds in flight.
    fn on_board(&self) -> usize {
        self.in_flight().map(|flight| flight.waiting + 1).sum()
    }

    /// How many of the threads that take part make a round.
    fn share(&self, flights_max: usize) -> usize {
        if self.crowd < CROWD_MIN { self.crowd } else { self.crowd.div_ceil(flights_max) }
    }

    /// Begins the next round, for which `may_begin` has answered; returns its place.
    pub(crate) fn begin(&mut self) -> usize {
        let place = self.flights.iter().position(Option::is_none).expect("a place is free");
        let (round, waiting) = (self.begun, std::mem::take(&mut self.waiting));
        self.begun += 1;
        self.flights[place] = Some(Flight { round, target: u64::MAX, waiting });
        place
    }

    /// Whether the round at `place` has its share of the threads.
    pub(crate) fn is_complete(&self, place: usize, flights_max: usize) -> bool {
        self.flights[place].is_none_or(|flight| flight.waiting + 1 >= self.share(flights_max))
    }

    /// Whoever comes from now on with something behind `target` waits for the next round.
    pub(crate) fn close(&mut self, place: usize, target: u64) {
        if let Some(flight) = &mut self.flights[place] {
            flight.target = target;
        }
    }

    /// How many threads sleep for a round that has not ended.
    fn sleepers(&mut self, round: u64) -> Option<&mut usize> {
        if round == self.begun {
            return Some(&mut self.waiting);
        }
        let ended = self.ended;
        let is_it = |flight: &&mut Flight| flight.round == round && round >= ended;
        self.flights.iter_mut().flatten().find(is_it).map(|flight| &mut flight.waiting)
    }

    /// Counts a thread that is about to sleep for a round.
    pub(crate) fn enter(&mut self, round: u64) {
        if let Some(sleepers) = self.sleepers(round) {
            *sleepers += 1;
        }
    }

    /// Takes back [`enter`](Self::enter) for a thread that was woken before the round has ended.
    pub(crate) fn leave(&mut self, round: u64) {
        if let Some(sleepers) = self.sleepers(round) {
            *sleepers -= 1;
        }
    }

    /// Ends the round at `place`, and those before it, whose leaders are at work still; returns at
    /// which gates somebody sleeps for one of them.
    pub(crate) fn end(&mut self, place: usize) -> [bool; GATES] {
        self.crowd = self.waiting + self.on_board();
        let mut gates = [false; GATES];
        let Some(ended) = self.flights[place].take() else {
            return gates; // Somebody has given it up.
        };
        gates[gate_of(ended.round)] = ended.waiting > 0;
        for earlier in self.flights.iter_mut().flatten() {
            if earlier.round < ended.round {
                gates[gate_of(earlier.round)] |= std::mem::take(&mut earlier.waiting) > 0;
            }
        }
        self.ended = self.ended.max(ended.round + 1);
        gates
    }
}

/// How long a leader waits for those whose sync has just ended, so that one sync serves them all
/// instead of every other one. Learns whether they come.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Rounds since waiting was given up.
    given_up: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { limit: Self::LONGEST, given_up: 0 }
    }
}

impl Patience {
    /// About one sync of a fast disk: waiting longer cannot pay.
    const LONGEST: Duration = Duration::from_micros(100);
    const SHORTEST: Duration = Duration::from_micros(6);
    /// After so many rounds, waiting is tried again.
    const RETRY: u32 = 64;

    /// How long the next leader waits.
    pub(crate) fn limit(&mut self) -> Duration {
        if self.limit >= Self::SHORTEST {
            return self.limit;
        }
        self.given_up += 1;
        if self.given_up < Self::RETRY {
            return Duration::ZERO;
        }
        self.given_up = 0;
        self.limit = 4 * Self::SHORTEST;
        self.limit
    }

    /// Learns from one round.
    pub(crate) fn learn(&mut self, they_came: bool) {
        self.limit = if they_came { (self.limit * 2).min(Self::LONGEST) } else { self.limit / 2 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `count` threads sleep for the next round.
    fn enter(rounds: &mut Rounds, count: usize) {
        for _ in 0..count {
            rounds.enter(rounds.next());
        }
    }

    /// Ends a round that so many others slept for.
    fn end(rounds: &mut Rounds, others: usize) {
        let place = rounds.begin();
        (0..others).for_each(|_| rounds.enter(0));
        let _gates = rounds.end(place);
    }

    #[test]
    fn few_threads_have_one_round_at_a_time() {
        let mut rounds = Rounds::default();
        assert!(!rounds.may_begin(0, FLIGHTS) && rounds.may_begin(1, FLIGHTS));
        end(&mut rounds, CROWD_MIN - 2);
        let place = rounds.begin();
        assert!(!rounds.is_complete(place, FLIGHTS), "it waits for the others");
        rounds.close(place, 100);
        enter(&mut rounds, CROWD_MIN - 2);
        assert!(!rounds.may_begin(1, FLIGHTS));
        assert_eq!(rounds.end(place), [false; GATES]);
        assert!(rounds.may_begin(0, FLIGHTS));
    }

    #[test]
    fn of_many_threads_each_of_two_rounds_takes_half() {
        let mut rounds = Rounds::default();
        end(&mut rounds, CROWD_MIN - 1);
        let first = rounds.begin();
        enter(&mut rounds, 1);
        assert!(!rounds.may_begin(CROWD_MIN, FLIGHTS), "the first gathers its threads");
        rounds.close(first, 100);
        assert!(!rounds.may_begin(CROWD_MIN / 2 - 2, FLIGHTS), "too few");
        assert!(!rounds.may_begin(CROWD_MIN, 1), "the storage takes one");
        assert!(rounds.may_begin(CROWD_MIN / 2 - 1, FLIGHTS));
        let second = rounds.begin();
        rounds.close(second, 200);
        assert!(!rounds.may_begin(CROWD_MIN, FLIGHTS), "no third");
        assert_eq!([100, 101, 200].map(|at| rounds.covering(at)), [Some(1), Some(2), Some(2)]);
        assert_eq!(rounds.covering(201), None);
    }

    /// Otherwise they would sleep until the round is over that they have missed.
    #[test]
    fn whoever_is_left_over_by_a_round_that_took_most_syncs_at_once() {
        let mut rounds = Rounds::default();
        end(&mut rounds, CROWD_MIN - 1);
        let most = rounds.begin();
        let others = CROWD_MIN - CROWD_MIN / 4 - 1;
        (0..others).for_each(|_| rounds.enter(1));
        rounds.close(most, 100);
        let left = CROWD_MIN / 4;
        enter(&mut rounds, left - 2);
        assert!(!rounds.may_begin(1, FLIGHTS), "one more will come");
        enter(&mut rounds, 1);
        assert!(rounds.may_begin(1, FLIGHTS), "nobody else can");
        assert!(!rounds.may_begin(0, FLIGHTS), "the last one has not come");
    }

    #[test]
    fn a_round_that_ends_early_releases_those_of_the_one_before() {
        let mut rounds = Rounds { crowd: CROWD_MIN, ..Rounds::default() };
        enter(&mut rounds, 3);
        let first = rounds.begin();
        rounds.close(first, 100);
        enter(&mut rounds, CROWD_MIN);
        let second = rounds.begin();
        rounds.close(second, 200);
        let gates = rounds.end(second);
        assert_eq!((gates[gate_of(0)], gates[gate_of(1)], gates[gate_of(2)]), (true, true, false));
        assert_eq!((rounds.ended(), rounds.covering(100)), (2, None), "nobody joins it any more");
        assert!(rounds.is_any_in_flight(), "its leader is at work");
        rounds.leave(0);
        enter(&mut rounds, 1);
        assert_eq!(rounds.end(first), [false; GATES]);
        assert_eq!(rounds.ended(), 2);
    }

    #[test]
    fn whoever_is_woken_early_is_not_counted() {
        let mut rounds = Rounds::default();
        enter(&mut rounds, 2);
        rounds.leave(0);
        let place = rounds.begin();
        rounds.leave(0);
        assert_eq!(rounds.end(place), [false; GATES]);
    }
}
