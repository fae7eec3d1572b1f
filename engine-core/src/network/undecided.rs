//! Absences inside of a `not` or `exists` over several patterns that are bounded in time: a tuple passes when
//! that has passed, not before.

use crate::trail::{OrderedMap, Scope, Sparse, trailed};

/// The left tokens of one absence by the moment at which it is decided.
///
/// A function of the facts as of the last flush and of the clock, as [`Recent`](super::recent::Recent) is.
#[derive(Clone)]
pub(crate) struct Undecided {
    queue: OrderedMap<(i64, u32), ()>,
    /// By left token: when it is decided.
    decided: Sparse<i64>,
}

trailed!(Undecided { queue, decided });

impl Default for Undecided {
    fn default() -> Self {
        Self { queue: OrderedMap::default(), decided: Sparse::new(i64::MIN) }
    }
}

impl Undecided {
    /// A token is decided at this moment; those are queued that are not yet.
    pub(crate) fn set(&mut self, scope: Scope, token: u32, decided: i64, moment: i64) {
        self.forget(scope, token);
        if decided > moment {
            self.queue.insert(scope, (decided, token), ());
            self.decided.set(scope, token, decided);
        }
    }

    pub(crate) fn forget(&mut self, scope: Scope, token: u32) {
        if !self.is_decided(token) {
            self.queue.remove(scope, &(*self.decided.get(token), token));
            self.decided.set(scope, token, i64::MIN);
        }
    }

    pub(crate) fn is_decided(&self, token: u32) -> bool {
        *self.decided.get(token) == i64::MIN
    }

    /// The next moment at which something is decided.
    pub(crate) fn next(&self) -> Option<i64> {
        self.queue.first().map(|((decided, _), ())| *decided)
    }

    /// Takes out what is decided by this moment.
    pub(crate) fn take_until(&mut self, scope: Scope, moment: i64) -> Vec<u32> {
        let decided = self.queue.range(..=(moment, u32::MAX)).map(|((_, token), ())| *token);
        let decided: Vec<u32> = decided.collect();
        decided.iter().for_each(|&token| self.forget(scope, token));
        decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Scope = Scope::NONE;

    #[test]
    fn what_is_decided_is_given_once_and_what_is_set_anew_waits_anew() {
        let mut undecided = Undecided::default();
        undecided.set(NONE, 1, 10, 5);
        undecided.set(NONE, 2, 5, 5);
        undecided.set(NONE, 3, 12, 5);
        assert!(undecided.is_decided(2) && !undecided.is_decided(1));
        undecided.set(NONE, 1, 20, 5);
        assert_eq!((undecided.next(), undecided.take_until(NONE, 12)), (Some(12), vec![3]));
        undecided.forget(NONE, 1);
        assert_eq!((undecided.next(), undecided.is_decided(1)), (None, true));
    }
}
