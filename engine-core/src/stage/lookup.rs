//! What drafts are looked up by: the fact, and the key that they give it.

use steadfast_wm::FactHandle;

use super::drafts::Draft;
use crate::chains::Chains;
use crate::key::{combine, spread};
use crate::trail::{KEPT, Scope, clear};

/// From this many drafts on, the latest draft of a fact is found through a map.
pub(super) const SCAN_MAX: usize = 16;

/// An index of the first `indexed` drafts: by fact the latest of them.
///
/// Insertions are the first drafts of their facts and come in the order of handles: they are looked for among
/// each other. For the others there is a table with open addressing, at most half full. What earlier buffers
/// left behind in it has another stamp, so that forgetting costs nothing.
#[derive(Default)]
pub(super) struct Latest {
    /// Stamp and place of an update or a deletion.
    slots: Vec<(u32, u32)>,
    stamp: u32,
    occupied: usize,
    /// Places of insertions.
    inserts: Vec<u32>,
    indexed: usize,
    /// The fact that was looked for last and not found, and the slot where it belongs: mostly it is the next one
    /// that is drafted.
    missed: Option<(FactHandle, usize)>,
}

impl Latest {
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.indexed > 0 {
            self.forget();
        }
    }

    fn forget(&mut self) {
        (self.occupied, self.indexed, self.missed) = (0, 0, None);
        clear(&mut self.inserts);
        // A stamp that was used before must not come back.
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 || self.slots.len() > KEPT {
            (self.slots, self.stamp) = (Vec::new(), 0);
        }
    }

    pub(super) fn find(&mut self, drafts: &[Draft], handle: FactHandle) -> Option<u32> {
        for place in self.indexed..drafts.len() {
            let at = u32::try_from(place).expect("fewer than 2³² drafts");
            match drafts[place] {
                Draft::Insert { .. } => self.inserts.push(at),
                Draft::Update { handle, .. } | Draft::Delete { handle, .. } => {
                    self.put(drafts, handle, at);
                }
                _ => {}
            }
        }
        self.indexed = drafts.len();
        self.find_change(drafts, handle).or_else(|| self.find_insert(drafts, handle))
    }

    fn find_change(&mut self, drafts: &[Draft], handle: FactHandle) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slot(drafts, handle);
        let (stamp, at) = self.slots[slot];
        if stamp == self.stamp {
            return Some(at);
        }
        self.missed = Some((handle, slot));
        None
    }

    fn find_insert(&self, drafts: &[Draft], handle: FactHandle) -> Option<u32> {
        let begins_before = |&at: &u32| matches!(drafts[at as usize], Draft::Insert { handle: first, .. } if first <= handle);
        let before = self.inserts.partition_point(begins_before);
        let last = self.inserts[..before].last().copied();
        last.filter(|&at| decides(&drafts[at as usize], handle))
    }

    fn put(&mut self, drafts: &[Draft], handle: FactHandle, at: u32) {
        // What is put in between may take the slot.
        let missed = self.missed.take().filter(|(missed, _)| *missed == handle);
        let slot = if (self.occupied + 1) * 2 > self.slots.len() {
            self.grow(drafts);
            self.slot(drafts, handle)
        } else {
            missed.map_or_else(|| self.slot(drafts, handle), |(_, slot)| slot)
        };
        self.occupied += usize::from(self.slots[slot].0 != self.stamp);
        self.slots[slot] = (self.stamp, at);
    }

    /// The slot of a fact's latest update or deletion, or the free one where that belongs.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps the low bits")]
    fn slot(&self, drafts: &[Draft], handle: FactHandle) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = spread(handle.get()) as usize & mask;
        loop {
            let (stamp, at) = self.slots[slot];
            if stamp != self.stamp || decides(&drafts[at as usize], handle) {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self, drafts: &[Draft]) {
        // The stamp of a slot that was never used is 0.
        let stamp = self.stamp.max(1);
        let slots = vec![(0, 0); (self.slots.len() * 2).max(4 * SCAN_MAX)];
        let old = std::mem::replace(&mut self.slots, slots);
        let old_stamp = std::mem::replace(&mut self.stamp, stamp);
        for (_, at) in old.into_iter().filter(|(of, _)| *of == old_stamp) {
            let handle = subjects(&drafts[at as usize]).next().expect("it is of a fact");
            let slot = self.slot(drafts, handle);
            self.slots[slot] = (stamp, at);
        }
    }
}

/// The facts that drafts gave a key, of which some have another one since; the first `indexed` by it.
#[derive(Default)]
pub(super) struct Keyed {
    pub(super) facts: Vec<(u32, u64, FactHandle)>,
    by_key: Chains,
    indexed: usize,
}

impl Keyed {
    pub(super) fn clear(&mut self) {
        if !self.facts.is_empty() {
            clear(&mut self.facts);
            self.by_key.reset();
            self.indexed = 0;
        }
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.facts.truncate(length);
        if self.indexed > length {
            self.by_key.reset();
            self.indexed = 0;
        }
    }

    pub(super) fn index(&mut self) {
        for (at, &(kind, code, _)) in self.facts.iter().enumerate().skip(self.indexed) {
            let at = u32::try_from(at).expect("fewer than 2³² drafts");
            self.by_key.link(Scope::NONE, at, combine(code, u64::from(kind)));
        }
        self.indexed = self.facts.len();
    }

    /// Facts of a kind that were given a key of this code.
    pub(super) fn find(&self, kind: u32, code: u64) -> impl Iterator<Item = FactHandle> + '_ {
        debug_assert_eq!(self.indexed, self.facts.len(), "it is indexed before it is asked");
        let members = self.by_key.members(combine(code, u64::from(kind)));
        members.map(|at| self.facts[at as usize]).filter(move |it| it.0 == kind).map(|it| it.2)
    }
}

/// The facts whose values a draft decides.
pub(super) fn subjects(draft: &Draft) -> impl Iterator<Item = FactHandle> + use<> {
    let (first, count) = match *draft {
        Draft::Insert { handle, count, .. } => (handle.get(), u64::from(count)),
        Draft::Update { handle, .. } | Draft::Delete { handle, .. } => (handle.get(), 1),
        _ => (0, 0),
    };
    (first..first + count).map(FactHandle::new)
}

/// Whether a draft decides the value of a fact.
#[inline]
pub(super) fn decides(draft: &Draft, fact: FactHandle) -> bool {
    match *draft {
        Draft::Insert { handle, count, .. } => {
            fact.get().checked_sub(handle.get()).is_some_and(|nth| nth < u64::from(count))
        }
        Draft::Update { handle, .. } | Draft::Delete { handle, .. } => handle == fact,
        _ => false,
    }
}

/// The kind of a fact and the place of its value in the arena, of the draft that decides it; nothing if it is
/// deleted.
#[inline]
pub(super) fn place_of(draft: &Draft, fact: FactHandle) -> Option<(u32, u32)> {
    match *draft {
        Draft::Insert { kind, handle, at, .. } => {
            let nth = u32::try_from(fact.get() - handle.get()).expect("a run has fewer than 2³²");
            Some((kind, at + nth))
        }
        Draft::Update { kind, at, .. } => Some((kind, at)),
        _ => None,
    }
}
