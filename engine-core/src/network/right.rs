//! The right memory of a level: the facts that pass a pattern's own conditions.

use crate::ir::Window;
use crate::network::index::Index;
use crate::network::recent::Recent;
use crate::network::sliding::Sliding;
use crate::trail::{Column, Scope, clear, trailed};

use crate::chains::NONE;

/// Facts that pass a pattern's own conditions, by entry.
#[derive(Clone)]
pub(crate) struct RightMemory {
    slots: Column<u32>,
    free: Column<u32>,
    pub(crate) index: Index,
    /// By entry: the head of its tokens (join), or of the tuples that it blocks (`not`, `exists`).
    pub(crate) heads: Column<u32>,
    /// The window over the last facts that decides which of those that pass are in the memory.
    pub(crate) sliding: Option<Box<Sliding>>,
    /// The window over time, if only facts that it holds are in the memory.
    pub(crate) recent: Option<Box<Recent>>,
}

trailed!(RightMemory { slots, free, index, heads, sliding, recent });

/// What happened to the facts of one pattern in a round.
#[derive(Clone, Default)]
pub(crate) struct RightDelta {
    /// Entries of facts that entered, not yet in the index.
    pub(crate) inserted: Vec<u32>,
    /// Entries of facts that stay and of which a read field changed.
    pub(crate) updated: Vec<u32>,
    /// Entries of facts that left, still in the index.
    pub(crate) deleted: Vec<u32>,
    /// Left tokens of which an absence was decided by time alone.
    pub(crate) decided: Vec<u32>,
}

impl RightDelta {
    pub(crate) fn is_empty(&self) -> bool {
        self.inserted.is_empty()
            && self.updated.is_empty()
            && self.deleted.is_empty()
            && self.decided.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        clear(&mut self.inserted);
        clear(&mut self.updated);
        clear(&mut self.deleted);
        clear(&mut self.decided);
    }
}

impl RightMemory {
    pub(crate) fn new(index: Index, window: Option<Window>) -> Self {
        let (slots, free, heads) = (Column::default(), Column::default(), Column::default());
        let (sliding, recent) = match window {
            None => (None, None),
            Some(Window::Length(length)) => (Some(Box::new(Sliding::new(length))), None),
            Some(Window::Time(millis)) => (None, Some(Box::new(Recent::new(millis)))),
        };
        Self { slots, free, index, heads, sliding, recent }
    }

    #[inline]
    pub(crate) fn slot(&self, entry: u32) -> u32 {
        *self.slots.get(entry)
    }

    /// Has an entry near.
    #[inline]
    pub(crate) fn warm(&self, entry: u32) {
        self.slots.warm(entry);
        self.heads.warm(entry);
    }

    /// Gives a fact an entry; it is not in the index yet.
    #[inline]
    pub(crate) fn admit(&mut self, scope: Scope, slot: u32) -> u32 {
        if let Some(entry) = self.free.pop(scope) {
            self.slots.set(scope, entry, slot);
            self.heads.set(scope, entry, NONE);
            return entry;
        }
        self.slots.push(scope, slot);
        self.heads.push(scope, NONE);
        self.slots.len() - 1
    }

    pub(crate) fn fact_count(&self) -> u64 {
        u64::from(self.slots.len() - self.free.len())
    }

    /// Makes room for so many facts more.
    pub(crate) fn reserve(&mut self, more: usize) {
        if more >= 1024 {
            let more = u32::try_from(more).expect("entries are addressed by u32");
            self.slots.reserve(more);
            self.heads.reserve(more);
        }
    }

    /// Takes an entry that is not in the index any more back.
    pub(crate) fn dismiss(&mut self, scope: Scope, entry: u32) {
        self.slots.set(scope, entry, NONE);
        self.free.push(scope, entry);
    }

    /// All entries that hold a fact.
    pub(crate) fn entries(&self) -> Vec<u32> {
        let slots = (0..).zip(self.slots.as_slice());
        slots.filter_map(|(entry, &slot)| (slot != NONE).then_some(entry)).collect()
    }
}
