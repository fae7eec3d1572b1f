//! Where a fact lies, by handle.

use std::ops::Range;

use steadfast_wm::FactHandle;

use crate::trail::{Scope, Trailed};

const PAGE: usize = 1024;
const NOWHERE: u64 = u64::MAX;

/// A fact's kind and its slot in the kind's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) kind: u32,
    pub(crate) slot: u32,
}

#[derive(Clone)]
struct Page {
    cells: Box<[u64; PAGE]>,
    live: u32,
}

impl Page {
    fn empty() -> Self {
        Self { cells: Box::new([NOWHERE; PAGE]), live: 0 }
    }
}

/// A direct table from handles to places, in pages; a page without a live fact takes no memory.
///
/// Handles only grow, so that the directory costs eight bytes per thousand facts that ever were.
#[derive(Clone, Default)]
pub(crate) struct Locations {
    pages: Vec<Option<Page>>,
    live: u64,
    log: Vec<(Scope, FactHandle, u64)>,
}

fn index(handle: FactHandle) -> (usize, usize) {
    let number = usize::try_from(handle.get()).expect("usize has 64 bits");
    (number / PAGE, number % PAGE)
}

impl Locations {
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    #[inline]
    pub(crate) fn get(&self, handle: FactHandle) -> Option<Place> {
        let (page, cell) = index(handle);
        let packed = self.pages.get(page)?.as_ref()?.cells[cell];
        (packed != NOWHERE).then(|| unpack(packed))
    }

    #[inline]
    pub(crate) fn set(&mut self, scope: Scope, handle: FactHandle, place: Option<Place>) {
        let old = self.write(handle, place.map_or(NOWHERE, pack));
        if scope.is_open() {
            self.log.push((scope, handle, old));
        }
    }

    /// Places facts that were nowhere, with handles from `first` on, at these slots of a kind.
    pub(crate) fn set_run(
        &mut self,
        scope: Scope,
        first: FactHandle,
        kind: u32,
        slots: Range<u32>,
    ) {
        if scope.is_open() {
            let handles = (first.get()..).map(FactHandle::new).zip(slots.clone());
            self.log.extend(handles.map(|(handle, _)| (scope, handle, NOWHERE)));
        }
        let mut next = first.get();
        let mut slots = slots.peekable();
        while slots.peek().is_some() {
            let (page, cell) = index(FactHandle::new(next));
            if self.pages.len() <= page {
                self.pages.resize(page + 1, None);
            }
            let page = self.pages[page].get_or_insert_with(Page::empty);
            let mut placed = 0;
            for (cell, slot) in page.cells[cell..].iter_mut().zip(slots.by_ref()) {
                debug_assert_eq!(*cell, NOWHERE, "INV-41: a handle is given once");
                *cell = pack(Place { kind, slot });
                placed += 1;
            }
            page.live += placed;
            self.live += u64::from(placed);
            next += u64::from(placed);
        }
    }

    fn write(&mut self, handle: FactHandle, packed: u64) -> u64 {
        let (page, cell) = index(handle);
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        let slot = &mut self.pages[page];
        let target = slot.get_or_insert_with(Page::empty);
        let old = std::mem::replace(&mut target.cells[cell], packed);
        match (old == NOWHERE, packed == NOWHERE) {
            (true, false) => {
                target.live += 1;
                self.live += 1;
            }
            (false, true) => {
                target.live -= 1;
                self.live -= 1;
                if target.live == 0 {
                    *slot = None;
                }
            }
            _ => {}
        }
        old
    }
}

impl Trailed for Locations {
    fn undo(&mut self, scope: Scope) {
        while let Some((_, handle, old)) = self.log.pop_if(|(written, ..)| *written >= scope) {
            self.write(handle, old);
        }
    }
    fn forget(&mut self) {
        self.log.clear();
    }
}

fn pack(place: Place) -> u64 {
    u64::from(place.kind) << 32 | u64::from(place.slot)
}

fn unpack(packed: u64) -> Place {
    let bytes = packed.to_le_bytes();
    Place {
        kind: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        slot: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_vanish_with_their_last_fact() {
        let mut locations = Locations::default();
        let (near, far) = (FactHandle::new(1), FactHandle::new(5_000));
        let place = Place { kind: 3, slot: 7 };
        locations.set(Scope::NONE, near, Some(place));
        locations.set(Scope::NONE, far, Some(place));
        assert_eq!(locations.get(far), Some(place));
        locations.set(Scope::NONE, near, None);
        assert!(locations.pages[0].is_none());
        assert_eq!((locations.get(near), locations.live()), (None, 1));
    }
}
