//! Which facts of one kind are in which right memories.

use crate::chains::NONE;
use crate::trail::{Column, Scope, Sparse, trailed};

/// One fact in one right memory.
#[derive(Clone, Copy, Debug)]
struct Membership {
    /// Place of the memory among those of its kind; `NONE` of a fact that is in no memory.
    memory: u32,
    entry: u32,
}

const NOWHERE: Membership = Membership { memory: NONE, entry: NONE };

/// By fact its right memories, with its entry in each.
#[derive(Clone)]
pub(crate) struct Memberships {
    /// By fact the first of its memories, and the first of its other ones: most facts are in one.
    first: Column<Membership>,
    next: Sparse<u32>,
    /// The others, each with the next one.
    more: Column<(Membership, u32)>,
    free: Column<u32>,
}

trailed!(Memberships { first, next, more, free });

impl Default for Memberships {
    fn default() -> Self {
        Self {
            first: Column::default(),
            next: Sparse::new(NONE),
            more: Column::default(),
            free: Column::default(),
        }
    }
}

impl Memberships {
    /// Memories have other places from now on, or are gone.
    pub(crate) fn memories_moved(&mut self, places: &[Option<u32>]) {
        for slot in 0..self.first.len() {
            let before: Vec<(u32, u32)> = self.of(slot).collect();
            self.part_all(Scope::NONE, slot, |_, _| ());
            for (memory, entry) in before {
                if let Some(place) = places[memory as usize] {
                    self.join(Scope::NONE, slot, place, entry);
                }
            }
        }
    }

    /// Makes room for so many facts more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.first.reserve(u32::try_from(more).expect("facts are addressed by u32"));
    }

    /// Notes that a fact is in a memory.
    #[inline]
    pub(crate) fn join(&mut self, scope: Scope, slot: u32, memory: u32, entry: u32) {
        let membership = Membership { memory, entry };
        if slot == self.first.len() {
            self.first.push(scope, membership);
            return;
        }
        if slot < self.first.len() && self.first.get(slot).memory == NONE {
            self.first.set(scope, slot, membership);
        } else {
            self.join_more(scope, slot, membership);
        }
    }

    #[inline(never)] // most facts are in one memory, and come one behind the other
    fn join_more(&mut self, scope: Scope, slot: u32, membership: Membership) {
        self.first.reach(scope, slot, &NOWHERE);
        if self.first.get(slot).memory == NONE {
            self.first.set(scope, slot, membership);
            return;
        }
        let linked = (membership, *self.next.get(slot));
        let at = if let Some(at) = self.free.pop(scope) {
            self.more.set(scope, at, linked);
            at
        } else {
            self.more.push(scope, linked);
            self.more.len() - 1
        };
        self.next.set(scope, slot, at);
    }

    /// Notes that facts are in a memory, given with their entries there.
    pub(crate) fn join_all(
        &mut self,
        scope: Scope,
        memory: u32,
        facts: impl Iterator<Item = (u32, u32)>,
    ) {
        let mut facts = facts.peekable();
        while let Some(&(slot, entry)) = facts.peek() {
            self.join(scope, slot, memory, entry);
            facts.next();
            // New facts mostly lie one behind the other, and are in no other memory before.
            if let Some(first) = self.first.bare(scope) {
                while let Some((_, entry)) =
                    facts.next_if(|&(slot, _)| slot as usize == first.len())
                {
                    first.push(Membership { memory, entry });
                }
            }
        }
    }

    /// Has the first membership of a fact [near](Column::warm).
    #[inline]
    pub(crate) fn warm(&self, slot: u32) {
        self.first.warm(slot);
    }

    /// The first membership of a fact, if it has one.
    #[inline]
    fn first(&self, slot: u32) -> Option<Membership> {
        let first = self.first.as_slice().get(slot as usize)?;
        (first.memory != NONE).then_some(*first)
    }

    /// The entry of a fact in a memory.
    #[inline]
    pub(crate) fn entry(&self, slot: u32, memory: u32) -> Option<u32> {
        let first = self.first(slot)?;
        if first.memory == memory { Some(first.entry) } else { self.later_entry(slot, memory) }
    }

    /// The entry of a fact in the only memory that there is; `NONE` if it is not in it.
    #[inline]
    pub(crate) fn entry_in_only(&self, slot: u32) -> u32 {
        // Whoever is in none has no entry either.
        self.first.as_slice().get(slot as usize).map_or(NONE, |first| first.entry)
    }

    #[inline(never)] // most facts are in one memory
    fn later_entry(&self, slot: u32, memory: u32) -> Option<u32> {
        self.of(slot).find(|(of, _)| *of == memory).map(|(_, entry)| entry)
    }

    /// The entries of a fact in each of so many memories; `NONE` where it is in none.
    pub(crate) fn entries(&self, slot: u32, memories: usize, entries: &mut Vec<u32>) {
        if entries.len() < memories {
            entries.resize(memories, NONE);
        }
        entries[..memories].fill(NONE);
        for (memory, entry) in self.of(slot) {
            entries[memory as usize] = entry;
        }
    }

    /// All memories that a fact is in, with its entries.
    #[inline]
    pub(crate) fn of(&self, slot: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let first = self.first(slot).map(|first| (first, *self.next.get(slot)));
        let next = |&(_, next): &(Membership, u32)| (next != NONE).then(|| *self.more.get(next));
        std::iter::successors(first, next).map(|(Membership { memory, entry }, _)| (memory, entry))
    }

    /// Notes that a fact has left a memory.
    #[inline]
    pub(crate) fn part(&mut self, scope: Scope, slot: u32, memory: u32) {
        let at = *self.next.get(slot);
        if at == NONE && self.first.get(slot).memory == memory {
            self.first.set(scope, slot, NOWHERE);
        } else {
            self.part_of_several(scope, slot, memory, at);
        }
    }

    #[inline(never)] // as above
    fn part_of_several(&mut self, scope: Scope, slot: u32, memory: u32, mut at: u32) {
        if self.first.get(slot).memory == memory {
            let (first, next) = *self.more.get(at);
            self.first.set(scope, slot, first);
            self.next.set(scope, slot, next);
            self.free.push(scope, at);
            return;
        }
        let mut previous = NONE;
        while at != NONE {
            let (membership, next) = *self.more.get(at);
            if membership.memory == memory {
                if previous == NONE {
                    self.next.set(scope, slot, next);
                } else {
                    self.more.change(scope, previous, |previous| previous.1 = next);
                }
                self.free.push(scope, at);
                return;
            }
            (previous, at) = (at, next);
        }
    }

    /// Notes that a fact has left all memories, and calls `left` with each and its entry there.
    #[inline]
    pub(crate) fn part_all(&mut self, scope: Scope, slot: u32, mut left: impl FnMut(u32, u32)) {
        let Some(Membership { memory, entry }) = self.first(slot) else { return };
        left(memory, entry);
        self.first.set(scope, slot, NOWHERE);
        let mut at = *self.next.get(slot);
        if at == NONE {
            return;
        }
        self.next.set(scope, slot, NONE);
        while at != NONE {
            self.free.push(scope, at);
            let (Membership { memory, entry }, next) = *self.more.get(at);
            left(memory, entry);
            at = next;
        }
    }
}
