//! Sliding windows: of the facts that pass a pattern's own conditions, the last ones.

use std::num::NonZeroU32;

use steadfast_wm::FactHandle;

use crate::trail::{OrderedMap, Scope, trailed};

/// The facts that pass a pattern's own conditions, parted into those in its window and those before it.
///
/// A function of the facts as of the last flush: it is neither journaled nor part of the digest, and
/// comes back with the facts (INV-72).
#[derive(Clone)]
pub(crate) struct Sliding {
    length: usize,
    /// Slots by handle, which is the order of insertion. All of them are younger than those before.
    inside: OrderedMap<FactHandle, u32>,
    before: OrderedMap<FactHandle, u32>,
    /// Of one round: what may have entered or left the window, and members that were updated.
    pub(crate) moved: Vec<(FactHandle, u32)>,
    pub(crate) updated: Vec<(FactHandle, u32)>,
}

trailed!(Sliding { inside, before });

impl Sliding {
    pub(crate) fn new(length: NonZeroU32) -> Self {
        Self {
            length: usize::try_from(length.get()).unwrap_or(usize::MAX),
            inside: OrderedMap::default(),
            before: OrderedMap::default(),
            moved: Vec::new(),
            updated: Vec::new(),
        }
    }

    /// Whether the fact is in the window.
    pub(crate) fn holds(&self, handle: FactHandle) -> bool {
        self.inside.get(&handle).is_some()
    }

    /// A fact passes; says whether it did already.
    pub(crate) fn pass(&mut self, scope: Scope, handle: FactHandle, slot: u32) -> bool {
        if self.holds(handle) || self.before.get(&handle).is_some() {
            return true;
        }
        let is_older = self.before.last().is_some_and(|(last, _)| *last > handle);
        let side = if is_older { &mut self.before } else { &mut self.inside };
        side.insert(scope, handle, slot);
        self.moved.push((handle, slot));
        false
    }

    /// A fact does not pass any more, or is gone.
    pub(crate) fn fail(&mut self, scope: Scope, handle: FactHandle) {
        if self.inside.remove(scope, &handle).is_none() {
            self.before.remove(scope, &handle);
        }
    }

    /// Slides the window, so that it holds the last facts again.
    pub(crate) fn slide(&mut self, scope: Scope) {
        while self.inside.len() > self.length
            && let Some((&handle, &slot)) = self.inside.first()
        {
            self.inside.remove(scope, &handle);
            self.before.insert(scope, handle, slot);
            self.moved.push((handle, slot));
        }
        while self.inside.len() < self.length
            && let Some((&handle, &slot)) = self.before.last()
        {
            self.before.remove(scope, &handle);
            self.inside.insert(scope, handle, slot);
            self.moved.push((handle, slot));
        }
        if self.moved.len() > 1 {
            self.moved.sort_unstable();
            self.moved.dedup();
        }
    }
}
