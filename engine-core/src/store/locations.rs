//! Where a fact lies, by handle.

use std::ops::Range;

use steadfast_wm::FactHandle;

use crate::trail::{Scope, Trailed, clear};

const PAGE: usize = 1024;
const PAGE_CELLS: u32 = 1024;
const NOWHERE: u64 = u64::MAX;

/// A fact's kind and its slot in the kind's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) kind: u32,
    pub(crate) slot: u32,
}

/// The places of so many facts with handles that follow one another, of which at least one lives.
#[derive(Clone)]
enum Page {
    Run(Run),
    Cells { cells: Box<[u64; PAGE]>, live: u32 },
}

/// Facts of one kind that lie in its slots as they came: where each is need not be kept, and who looks for one
/// has not to wait for memory that nobody was at before. So lie facts that were inserted one behind the other, until some
/// between them go.
#[derive(Clone)]
struct Run {
    kind: u32,
    /// The slot of the first cell, if that were part of the run; wrapping.
    base: u32,
    /// The cells of its facts.
    cells: Range<u32>,
}

impl Run {
    fn of(cell: u32, place: Place) -> Self {
        let base = place.slot.wrapping_sub(cell);
        Self { kind: place.kind, base, cells: cell..cell + 1 }
    }

    #[inline]
    fn get(&self, cell: u32) -> Option<Place> {
        let slot = self.base.wrapping_add(cell);
        self.cells.contains(&cell).then_some(Place { kind: self.kind, slot })
    }

    /// Where the next fact would lie.
    #[inline]
    fn next(&self) -> Place {
        Place { kind: self.kind, slot: self.base.wrapping_add(self.cells.end) }
    }

    /// Takes in a fact that lies behind all others, or loses the first or the last one of several; says
    /// whether that is what was asked for.
    fn adapt(&mut self, cell: u32, place: Option<Place>) -> bool {
        let Range { start, end } = self.cells;
        match place {
            Some(Place { kind, slot }) => {
                let follows = kind == self.kind && slot == self.base.wrapping_add(cell);
                let follows = follows && cell == end;
                self.cells.end += u32::from(follows);
                follows
            }
            None if cell == start => {
                self.cells.start += 1;
                true
            }
            None if cell + 1 == end => {
                self.cells.end -= 1;
                true
            }
            None => false,
        }
    }

    /// The same with a cell for each fact.
    fn spell_out(&self) -> Page {
        let mut cells = Box::new([NOWHERE; PAGE]);
        for cell in self.cells.clone() {
            cells[cell as usize] = self.get(cell).map_or(NOWHERE, pack);
        }
        Page::Cells { cells, live: self.cells.end - self.cells.start }
    }
}

impl Page {
    #[inline]
    fn get(&self, cell: u32) -> Option<Place> {
        match self {
            Self::Run(run) => run.get(cell),
            Self::Cells { cells, .. } => {
                let packed = cells[cell as usize];
                (packed != NOWHERE).then(|| unpack(packed))
            }
        }
    }
}

/// A direct table from handles to places, in pages; a page without a live fact takes no memory.
///
/// Handles only grow, so that the directory costs 24 bytes per thousand facts that ever were.
#[derive(Default)]
pub(crate) struct Locations {
    pages: Vec<Option<Page>>,
    live: u64,
    log: Vec<(Scope, FactHandle, Option<Place>)>,
}

const _: () = assert!(size_of::<Option<Page>>() == 24, "old ones are never given back");

/// The page of a handle and its cell there.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a page has few cells")]
fn index(handle: FactHandle) -> (usize, u32) {
    let number = usize::try_from(handle.get()).expect("usize has 64 bits");
    (number / PAGE, (number % PAGE) as u32)
}

/// As that of a [column](crate::trail::Column).
impl Clone for Locations {
    fn clone(&self) -> Self {
        Self { pages: self.pages.clone(), live: self.live, log: Vec::new() }
    }
}

impl Locations {
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    #[inline]
    pub(crate) fn get(&self, handle: FactHandle) -> Option<Place> {
        let (page, cell) = index(handle);
        self.pages.get(page)?.as_ref()?.get(cell)
    }

    #[inline]
    pub(crate) fn set(&mut self, scope: Scope, handle: FactHandle, place: Option<Place>) {
        let (at, cell) = index(handle);
        if !scope.is_open()
            && let Some(Some(Page::Run(run))) = self.pages.get_mut(at)
        {
            // Most facts come behind those that came before, and many go in the order in which they came.
            match place {
                Some(place) if run.cells.end == cell && run.next() == place => {
                    run.cells.end += 1;
                    self.live += 1;
                    return;
                }
                None if run.cells.start == cell && run.cells.len() > 1 => {
                    run.cells.start += 1;
                    self.live -= 1;
                    return;
                }
                _ => {}
            }
        }
        self.set_any(scope, handle, place);
    }

    #[inline(never)] // as a place in a run is known
    fn set_any(&mut self, scope: Scope, handle: FactHandle, place: Option<Place>) {
        let old = self.write(handle, place);
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
        let Range { start: mut slot, end } = slots;
        if scope.is_open() {
            let handles = (first.get()..).map(FactHandle::new).zip(slot..end);
            self.log.extend(handles.map(|(handle, _)| (scope, handle, None)));
        }
        let mut next = first.get();
        while slot < end {
            self.write(FactHandle::new(next), Some(Place { kind, slot }));
            (next, slot) = (next + 1, slot + 1);
            // The others of the page follow the first one.
            let (page, cell) = index(FactHandle::new(next));
            if let Some(Some(Page::Run(run))) = self.pages.get_mut(page)
                && run.cells.end == cell
                && run.get(cell - 1) == Some(Place { kind, slot: slot - 1 })
            {
                let more = (end - slot).min(PAGE_CELLS - cell);
                run.cells.end += more;
                self.live += u64::from(more);
                (next, slot) = (next + u64::from(more), slot + more);
            }
        }
    }

    fn write(&mut self, handle: FactHandle, place: Option<Place>) -> Option<Place> {
        let (at, cell) = index(handle);
        if self.pages.len() <= at {
            self.pages.resize(at + 1, None);
        }
        let page = &mut self.pages[at];
        let old = page.as_ref().and_then(|page| page.get(cell));
        self.live = self.live + u64::from(place.is_some()) - u64::from(old.is_some());
        match (page.as_mut(), place) {
            (None, _) => *page = place.map(|place| Page::Run(Run::of(cell, place))),
            (Some(Page::Run(_)), _) if old == place => {}
            (Some(Page::Run(run)), None) if run.cells.len() == 1 => *page = None,
            (Some(Page::Run(run)), _) => {
                if !run.adapt(cell, place) {
                    *page = Some(run.spell_out());
                    write_cell(page, cell, place);
                }
            }
            (Some(Page::Cells { .. }), _) => write_cell(page, cell, place),
        }
        old
    }
}

/// Writes a cell of a page that has one for each fact.
fn write_cell(page: &mut Option<Page>, cell: u32, place: Option<Place>) {
    let Some(Page::Cells { cells, live }) = page else { unreachable!("it is spelled out") };
    let packed = place.map_or(NOWHERE, pack);
    let old = std::mem::replace(&mut cells[cell as usize], packed);
    *live = *live + u32::from(place.is_some()) - u32::from(old != NOWHERE);
    if *live == 0 {
        *page = None;
    }
}

impl Trailed for Locations {
    fn undo(&mut self, scope: Scope) {
        while let Some((_, handle, old)) = self.log.pop_if(|(written, ..)| *written >= scope) {
            self.write(handle, old);
        }
    }
    fn forget(&mut self) {
        clear(&mut self.log);
    }
    fn trail_bytes(&self) -> usize {
        size_of_val(&*self.log)
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
    fn facts_that_lie_as_they_came_need_no_cells_until_one_between_them_goes() {
        let mut locations = Locations::default();
        let place = |slot| Some(Place { kind: 1, slot });
        let handle = |number: u32| FactHandle::new(u64::from(number));
        let is_run = |locations: &Locations, page: usize| {
            matches!(locations.pages[page], Some(Page::Run(_)))
        };
        locations.set(Scope::NONE, handle(1000), place(5));
        locations.set_run(Scope::NONE, handle(1001), 1, 6..3000);
        for number in 1000..3995 {
            assert_eq!(locations.get(handle(number)), place(number - 995), "{number}");
        }
        assert_eq!((locations.get(handle(999)), locations.get(handle(3995))), (None, None));
        assert_eq!(locations.live(), 2995);
        // From both ends, and then from the middle.
        locations.set(Scope::NONE, handle(1024), None);
        locations.set(Scope::NONE, handle(2047), None);
        assert!(is_run(&locations, 1));
        locations.set(Scope::NONE, handle(1500), None);
        assert!(!is_run(&locations, 1) && is_run(&locations, 2));
        locations.set(Scope::NONE, handle(1025), place(9000));
        for (number, slot) in
            [(1024, None), (1025, Some(9000)), (1499, Some(504)), (1500, None), (2047, None)]
        {
            assert_eq!(locations.get(handle(number)), slot.and_then(place), "{number}");
        }
        assert_eq!(locations.live(), 2992);
    }

    #[test]
    fn undoing_brings_a_page_back_that_was_a_run() {
        let outer = Scope::NONE.next().unwrap();
        let mut locations = Locations::default();
        locations.set_run(Scope::NONE, FactHandle::new(10), 0, 0..20);
        locations.set_run(outer, FactHandle::new(30), 0, 20..2000);
        (10..30).for_each(|number| locations.set(outer, FactHandle::new(number), None));
        locations.undo(outer);
        for number in 0..20 {
            let place = Some(Place { kind: 0, slot: number });
            assert_eq!(locations.get(FactHandle::new(u64::from(number) + 10)), place);
        }
        assert_eq!((locations.live(), locations.get(FactHandle::new(30))), (20, None));
    }

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
