//! Windows over time: of the facts that pass a pattern's own conditions, those that are not older than so much.

use crate::network::memberships::Memberships;
use crate::store::Kind;
use crate::trail::{OrderedMap, Scope, Sparse, trailed};

/// The facts of one right memory by the moment at which each leaves its window.
///
/// A function of the facts as of the last flush and of the clock: it is neither journaled nor part of
/// the digest, and comes back with them (INV-72). What has left never comes back, for the clock does not.
#[derive(Clone)]
pub(crate) struct Recent {
    millis: i64,
    queue: OrderedMap<(i64, u32), ()>,
    /// By entry: the moment under which it is queued.
    ends: Sparse<i64>,
}

trailed!(Recent { queue, ends });

/// Facts of one kind that may enter or leave a right memory in a round.
pub(crate) struct Facts<'a> {
    pub(crate) columns: &'a Kind,
    pub(crate) memberships: &'a Memberships,
    /// Place of the memory among those of its kind.
    pub(crate) place: u32,
    pub(crate) slots: &'a [u32],
}

impl Recent {
    pub(crate) fn new(millis: i64) -> Self {
        Self { millis, queue: OrderedMap::default(), ends: Sparse::new(i64::MIN) }
    }

    /// When a fact of this time leaves.
    fn end(&self, time: i64) -> i64 {
        time.saturating_add(self.millis)
    }

    /// Of facts that passed, those do not that are too old at this moment; forgets those that do not pass.
    pub(crate) fn sift(
        &mut self,
        scope: Scope,
        moment: i64,
        facts: &Facts<'_>,
        passed: &mut [bool],
    ) {
        for (&slot, passed) in facts.slots.iter().zip(passed) {
            *passed &= self.end(facts.columns.time(slot)) > moment;
            if !*passed && let Some(entry) = facts.memberships.entry(slot, facts.place) {
                self.leave(scope, entry);
            }
        }
    }

    /// Notes when those facts will leave that passed, which are in the memory by now.
    pub(crate) fn admit(&mut self, scope: Scope, facts: &Facts<'_>, passed: &[bool]) {
        let passed = facts.slots.iter().zip(passed).filter(|(_, passed)| **passed);
        for (&slot, _) in passed {
            let entry =
                facts.memberships.entry(slot, facts.place).expect("what passes is in the memory");
            self.enter(scope, entry, self.end(facts.columns.time(slot)));
        }
    }

    /// A fact enters, or stays and leaves at another moment.
    fn enter(&mut self, scope: Scope, entry: u32, end: i64) {
        let old = *self.ends.get(entry);
        if old != end {
            self.queue.remove(scope, &(old, entry));
            self.queue.insert(scope, (end, entry), ());
            self.ends.set(scope, entry, end);
        }
    }

    /// A fact leaves, for whatever reason.
    pub(crate) fn leave(&mut self, scope: Scope, entry: u32) {
        self.queue.remove(scope, &(*self.ends.get(entry), entry));
        self.ends.set(scope, entry, i64::MIN);
    }

    /// The next moment at which a fact leaves.
    pub(crate) fn next_end(&self) -> Option<i64> {
        self.queue.first().map(|((end, _), ())| *end)
    }

    /// Takes out what leaves by this moment; gives its entries.
    pub(crate) fn take_until(&mut self, scope: Scope, moment: i64) -> Vec<u32> {
        let over = self.queue.range(..=(moment, u32::MAX)).map(|((_, entry), ())| *entry);
        let over: Vec<u32> = over.collect();
        over.iter().for_each(|&entry| self.leave(scope, entry));
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Scope = Scope::NONE;

    #[test]
    fn facts_leave_at_their_last_moment_and_entries_are_used_again() {
        let mut recent = Recent::new(10);
        recent.enter(NONE, 3, recent.end(5));
        recent.enter(NONE, 4, recent.end(2));
        recent.enter(NONE, 3, recent.end(1));
        assert_eq!(recent.next_end(), Some(11));
        assert_eq!(recent.take_until(NONE, 11), [3]);
        recent.enter(NONE, 3, 40);
        recent.leave(NONE, 4);
        assert_eq!((recent.next_end(), recent.take_until(NONE, 39)), (Some(40), vec![]));
    }
}
