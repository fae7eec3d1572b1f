//! When the events of one kind expire, and how many pending matches hold each of them.

use steadfast_wm::FactHandle;

use crate::trail::{OrderedMap, Scope, Sparse, trailed};

/// Events of one kind by their deadline.
#[derive(Clone)]
pub(crate) struct Expiries {
    queue: OrderedMap<(i64, FactHandle), u32>,
    /// By slot: the deadline under which it is queued.
    deadlines: Sparse<i64>,
    /// By slot: how many pending matches hold it.
    holds: Sparse<u32>,
}

trailed!(Expiries { queue, deadlines, holds });

impl Default for Expiries {
    fn default() -> Self {
        Self {
            queue: OrderedMap::default(),
            deadlines: Sparse::new(i64::MAX),
            holds: Sparse::new(0),
        }
    }
}

impl Expiries {
    pub(crate) fn link(&mut self, scope: Scope, slot: u32, handle: FactHandle, deadline: i64) {
        self.queue.insert(scope, (deadline, handle), slot);
        self.deadlines.set(scope, slot, deadline);
    }

    pub(crate) fn unlink(&mut self, scope: Scope, slot: u32, handle: FactHandle) {
        self.queue.remove(scope, &(self.deadline(slot), handle));
    }

    /// When the event in a slot expires.
    pub(crate) fn deadline(&self, slot: u32) -> i64 {
        *self.deadlines.get(slot)
    }

    /// The first deadline after a moment.
    pub(crate) fn first_after(&self, moment: i64) -> Option<i64> {
        let from = (moment.checked_add(1)?, FactHandle::new(0));
        self.queue.range(from..).next().map(|((deadline, _), _)| *deadline)
    }

    /// Events whose deadline is at most this.
    pub(crate) fn until(&self, moment: i64) -> impl Iterator<Item = (i64, FactHandle, u32)> + '_ {
        let all = self.queue.range(..=(moment, FactHandle::new(u64::MAX)));
        all.map(|((deadline, handle), slot)| (*deadline, *handle, *slot))
    }

    /// Whether some pending match holds the event.
    pub(crate) fn is_held(&self, slot: u32) -> bool {
        *self.holds.get(slot) > 0
    }

    pub(crate) fn hold(&mut self, scope: Scope, slot: u32) {
        self.holds.set(scope, slot, self.holds.get(slot) + 1);
    }

    pub(crate) fn release(&mut self, scope: Scope, slot: u32) {
        self.holds.set(scope, slot, self.holds.get(slot) - 1);
    }
}
