//! Trailed state: every write of session state goes through these containers (INV-46).
//!
//! A container keeps, while a [`Scope`] is open, a log of the before-images of its own cells. Undoing
//! replays that log backwards; the containers are independent of each other, so the order between
//! them does not matter. Outside a scope a write costs one predictable branch.
//!
//! Transactions open scopes; nothing else in the engine knows about them. Scratch that a flush
//! builds and drops again is not state and is not trailed.

mod map;
mod sparse;

use std::hint::black_box;

pub(crate) use map::OrderedMap;
pub(crate) use sparse::Sparse;

/// A stretch of work on an engine that can be undone alone: all that is done from its opening on.
///
/// Scopes are numbered as they are opened, and what is written is logged under the number of the youngest one.
/// So undoing a scope undoes what was written in it and in all that were opened after it, and a scope of which
/// nobody wants to know any more need not be closed: what was done in it belongs to the one before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Scope(u32);

impl Scope {
    /// No scope is open: nothing is logged.
    pub(crate) const NONE: Self = Self(0);

    /// The scope that is opened when none is open.
    pub const FIRST: Self = Self(1);

    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 != 0
    }

    /// The scope that is opened after this one; none behind the last number.
    #[inline]
    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The scope that was opened before this one.
    pub(crate) fn previous(self) -> Self {
        Self(self.0 - 1)
    }
}

/// State that can be put back to what it was when a scope was opened.
pub(crate) trait Trailed {
    /// Undoes every write made in `scope` or one that was opened after it.
    fn undo(&mut self, scope: Scope);
    /// Drops the logs: what was written stays.
    fn forget(&mut self);
    /// How much memory the logs take, in bytes, without what values in them own elsewhere.
    fn trail_bytes(&self) -> usize;
}

/// Implements [`Trailed`] field by field.
macro_rules! trailed {
    ($type:ty { $($field:ident),* $(,)? }) => {
        impl $crate::trail::Trailed for $type {
            fn undo(&mut self, scope: $crate::trail::Scope) {
                $($crate::trail::Trailed::undo(&mut self.$field, scope);)*
            }
            fn forget(&mut self) {
                $($crate::trail::Trailed::forget(&mut self.$field);)*
            }
            fn trail_bytes(&self) -> usize {
                0 $(+ $crate::trail::Trailed::trail_bytes(&self.$field))*
            }
        }
    };
}
pub(crate) use trailed;

/// How many elements scratch may keep room for.
pub(crate) const KEPT: usize = 1 << 16;

/// For so many elements that come at once it is worth to make room before.
pub(crate) const BULK: usize = if cfg!(test) { 2 } else { 64 };

/// Empties scratch. After a bulk load its memory is given back: nobody knows when the next one comes.
#[inline]
pub(crate) fn clear<T>(scratch: &mut Vec<T>) {
    scratch.clear();
    if scratch.capacity() > KEPT {
        give_back(scratch);
    }
}

#[cold]
fn give_back<T>(scratch: &mut Vec<T>) {
    *scratch = Vec::new();
}

impl<T: Trailed> Trailed for Vec<T> {
    fn undo(&mut self, scope: Scope) {
        self.iter_mut().for_each(|part| part.undo(scope));
    }
    fn forget(&mut self) {
        self.iter_mut().for_each(Trailed::forget);
    }
    fn trail_bytes(&self) -> usize {
        self.iter().map(Trailed::trail_bytes).sum()
    }
}

impl<T: Trailed> Trailed for Option<Box<T>> {
    fn undo(&mut self, scope: Scope) {
        if let Some(part) = self {
            part.undo(scope);
        }
    }
    fn forget(&mut self) {
        if let Some(part) = self {
            part.forget();
        }
    }
    fn trail_bytes(&self) -> usize {
        self.as_ref().map_or(0, |part| part.trail_bytes())
    }
}

#[derive(Debug)]
enum Undo<T> {
    Set(u32, T),
    /// Cells were added behind so many.
    Grown(u32),
    Popped(T),
    Replaced(Vec<T>),
}

/// A vector of cells, addressed by `u32`.
#[derive(Debug)]
pub(crate) struct Column<T> {
    cells: Vec<T>,
    /// Made by the first write in a scope.
    log: Option<Box<Log<T>>>,
}

/// What undoes the writes of a column, the last one first.
#[derive(Debug)]
struct Log<T> {
    entries: Vec<(Scope, Undo<T>)>,
    /// For how many cells the vectors in it have room.
    replaced: usize,
    /// Cells from the second on have come in the first: undoing it takes them away, whatever they are.
    fresh: (Scope, u32),
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), replaced: 0, fresh: (Scope::NONE, 0) }
    }
}

impl<T> Log<T> {
    #[inline]
    fn is_fresh(&self, scope: Scope, at: u32) -> bool {
        let (since, from) = self.fresh;
        since == scope && at >= from
    }

    /// Whether the last entry is of a write to this cell in the scope.
    #[inline]
    fn is_set(&self, scope: Scope, at: u32) -> bool {
        matches!(self.entries.last(), Some((of, Undo::Set(last, _))) if (*of, *last) == (scope, at))
    }
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { cells: Vec::new(), log: None }
    }
}

/// A copy is in no scope, so that it has nothing to put back.
impl<T: Clone> Clone for Column<T> {
    fn clone(&self) -> Self {
        Self { cells: self.cells.clone(), log: None }
    }
}

impl<T> Column<T> {
    /// Logs what undoes a write to a cell. Apart from the writes themselves, as these are in all hot loops and most
    /// are made outside of scopes.
    #[cold]
    #[inline(never)]
    fn note(&mut self, scope: Scope, at: u32, old: T) {
        let log = self.log.get_or_insert_default();
        // Of a cell that is written over and over the first value before counts.
        if !log.is_fresh(scope, at) && !log.is_set(scope, at) {
            log.entries.push((scope, Undo::Set(at, old)));
        }
    }

    /// The same before a write to a cell that is to be cloned.
    #[cold]
    #[inline(never)]
    fn note_clone(&mut self, scope: Scope, at: u32)
    where
        T: Clone,
    {
        let log = self.log.get_or_insert_default();
        if !log.is_fresh(scope, at) && !log.is_set(scope, at) {
            log.entries.push((scope, Undo::Set(at, self.cells[at as usize].clone())));
        }
    }

    /// The same of cells that are added.
    #[cold]
    #[inline(never)]
    fn note_growth(&mut self, scope: Scope, from: u32) {
        let log = self.log.get_or_insert_default();
        if !log.is_fresh(scope, from) {
            log.entries.push((scope, Undo::Grown(from)));
            log.fresh = (scope, from);
        }
    }

    /// The same of the last cell, which is taken away.
    #[cold]
    #[inline(never)]
    fn note_pop(&mut self, scope: Scope, at: u32, value: &T)
    where
        T: Clone,
    {
        let log = self.log.get_or_insert_default();
        if !log.is_fresh(scope, at) {
            log.entries.push((scope, Undo::Popped(value.clone())));
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "whoever adds cells checks that they fit")]
    pub(crate) fn len(&self) -> u32 {
        self.cells.len() as u32
    }

    /// Columns are addressed by `u32`, and the last number means none.
    #[inline]
    fn check_room(&self, more: usize) {
        let room = u32::MAX as usize - self.cells.len();
        assert!(more <= room, "a column has fewer than 2³² cells");
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &T {
        &self.cells[at as usize]
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.cells
    }

    /// Reads a cell for nothing but to have it near when it is needed. Of many cells in many places memory
    /// brings several at a time; who reads each where it is needed waits for one after the other.
    #[inline]
    pub(crate) fn warm(&self, at: u32)
    where
        T: Copy,
    {
        black_box(self.cells.get(at as usize).copied());
    }

    #[inline]
    pub(crate) fn set(&mut self, scope: Scope, at: u32, value: T) {
        let old = std::mem::replace(&mut self.cells[at as usize], value);
        if scope.is_open() {
            self.note(scope, at, old);
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, scope: Scope, value: T) {
        self.check_room(1);
        self.cells.push(value);
        if scope.is_open() {
            self.note_growth(scope, self.len() - 1);
        }
    }

    /// Pushes several cells.
    #[inline]
    pub(crate) fn extend(&mut self, scope: Scope, values: impl IntoIterator<Item = T>) {
        let before = self.len();
        self.cells.extend(values);
        self.check_room(0);
        if scope.is_open() && self.len() > before {
            self.note_growth(scope, before);
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self, scope: Scope) -> Option<T>
    where
        T: Clone,
    {
        let value = self.cells.pop()?;
        if scope.is_open() {
            self.note_pop(scope, self.len(), &value);
        }
        Some(value)
    }

    /// Makes room for so many cells more.
    pub(crate) fn reserve(&mut self, more: u32) {
        self.cells.reserve(more as usize);
    }

    /// Empties the column; it keeps its memory, unless that is much or what a scope began with is in it.
    #[inline]
    pub(crate) fn clear(&mut self, scope: Scope) {
        if scope.is_open() && !self.is_new(scope) {
            self.replace(scope, Vec::new());
        } else {
            clear(&mut self.cells);
        }
    }

    /// Whether nothing is left of what the scope began with.
    fn is_new(&self, scope: Scope) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_fresh(scope, 0))
    }

    /// Empties the column outside of scopes; it keeps its memory.
    pub(crate) fn drain(&mut self) {
        self.cells.clear();
    }

    /// Sets all cells, outside of scopes.
    pub(crate) fn fill(&mut self, value: T)
    where
        T: Clone,
    {
        self.cells.fill(value);
    }

    /// The cells themselves, outside of scopes: whoever writes many looks once.
    #[inline]
    pub(crate) fn bare(&mut self, scope: Scope) -> Option<&mut Vec<T>> {
        (!scope.is_open()).then_some(&mut self.cells)
    }

    /// Drops the first cells.
    pub(crate) fn drop_first(&mut self, scope: Scope, count: u32)
    where
        T: Clone,
    {
        if scope.is_open() && !self.is_new(scope) {
            self.replace(scope, self.cells[count as usize..].to_vec());
        } else {
            self.cells.drain(..count as usize);
        }
    }

    /// Swaps in a whole new vector, for growth and compaction; the old one moves into the log.
    pub(crate) fn replace(&mut self, scope: Scope, cells: Vec<T>) {
        let old = std::mem::replace(&mut self.cells, cells);
        self.check_room(0);
        if scope.is_open() {
            let log = self.log.get_or_insert_default();
            if !log.is_fresh(scope, 0) {
                log.replaced += old.capacity();
                log.entries.push((scope, Undo::Replaced(old)));
                log.fresh = (scope, 0);
            }
        }
    }
}

impl<T: Copy> Column<T> {
    /// Sets the cells from `at` on.
    #[inline]
    pub(crate) fn set_all(&mut self, scope: Scope, at: u32, values: &[T]) {
        if scope.is_open() {
            (at..).zip(values).for_each(|(at, &value)| self.set(scope, at, value));
        } else {
            self.cells[at as usize..][..values.len()].copy_from_slice(values);
        }
    }
}

impl<T: Clone> Column<T> {
    /// Makes sure that `at` is a cell, filling with `value`.
    #[inline]
    pub(crate) fn reach(&mut self, scope: Scope, at: u32, value: &T) {
        if self.cells.len() == at as usize {
            self.push(scope, value.clone());
        } else if self.cells.len() < at as usize {
            self.grow_to(scope, at, value);
        }
    }

    #[inline(never)] // most are there, or the next ones
    fn grow_to(&mut self, scope: Scope, at: u32, value: &T) {
        self.extend(scope, (self.len()..=at).map(|_| value.clone()));
    }

    /// Changes a cell in place; inside a scope its old value is cloned first.
    #[inline]
    pub(crate) fn change<R>(
        &mut self,
        scope: Scope,
        at: u32,
        change: impl FnOnce(&mut T) -> R,
    ) -> R {
        if scope.is_open() {
            self.note_clone(scope, at);
        }
        change(&mut self.cells[at as usize])
    }
}

impl<T> Trailed for Column<T> {
    fn undo(&mut self, scope: Scope) {
        let Some(Log { entries, replaced, fresh }) = self.log.as_deref_mut() else { return };
        *fresh = (Scope::NONE, 0);
        while let Some((_, undo)) = entries.pop_if(|(written, _)| *written >= scope) {
            match undo {
                Undo::Set(at, old) => self.cells[at as usize] = old,
                Undo::Grown(from) => self.cells.truncate(from as usize),
                Undo::Popped(value) => self.cells.push(value),
                Undo::Replaced(old) => {
                    *replaced -= old.capacity();
                    self.cells = old;
                }
            }
        }
    }

    fn forget(&mut self) {
        if let Some(log) = &mut self.log {
            clear(&mut log.entries);
            (log.replaced, log.fresh) = (0, (Scope::NONE, 0));
        }
    }

    fn trail_bytes(&self) -> usize {
        let of = |log: &Log<T>| size_of_val(&*log.entries) + log.replaced * size_of::<T>();
        self.log.as_deref().map_or(0, of)
    }
}

/// One value.
#[derive(Debug, Default)]
pub(crate) struct Cell<T> {
    value: T,
    log: Vec<(Scope, T)>,
}

/// As that of a column.
impl<T: Clone> Clone for Cell<T> {
    fn clone(&self) -> Self {
        Self::new(self.value.clone())
    }
}

impl<T> Cell<T> {
    /// Whether the value from before a scope is logged.
    #[inline]
    fn is_noted(&self, scope: Scope) -> bool {
        self.log.last().is_some_and(|(of, _)| *of == scope)
    }

    /// As [`Column::note`].
    #[cold]
    #[inline(never)]
    fn note(&mut self, scope: Scope, old: T) {
        self.log.push((scope, old));
    }
}

impl<T: Clone> Cell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, log: Vec::new() }
    }

    #[inline]
    pub(crate) fn get(&self) -> &T {
        &self.value
    }

    #[inline]
    pub(crate) fn set(&mut self, scope: Scope, value: T) {
        let old = std::mem::replace(&mut self.value, value);
        if scope.is_open() && !self.is_noted(scope) {
            self.note(scope, old);
        }
    }

    /// Changes the value in place; inside a scope the old one is cloned first.
    #[inline]
    pub(crate) fn change<R>(&mut self, scope: Scope, change: impl FnOnce(&mut T) -> R) -> R {
        if scope.is_open() && !self.is_noted(scope) {
            self.note(scope, self.value.clone());
        }
        change(&mut self.value)
    }
}

impl<T> Trailed for Cell<T> {
    fn undo(&mut self, scope: Scope) {
        while let Some((_, old)) = self.log.pop_if(|(written, _)| *written >= scope) {
            self.value = old;
        }
    }

    fn forget(&mut self) {
        clear(&mut self.log);
    }

    fn trail_bytes(&self) -> usize {
        size_of_val(&*self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTER: Scope = Scope(1);
    const INNER: Scope = Scope(2);

    #[test]
    fn column_undoes_inner_then_outer_scopes() {
        let mut column = Column::default();
        column.push(Scope::NONE, 1);
        column.set(OUTER, 0, 2);
        column.push(INNER, 7);
        column.set(INNER, 0, 3);
        column.replace(INNER, vec![9]);
        column.undo(INNER);
        assert_eq!(column.as_slice(), [2]);
        column.pop(OUTER);
        column.undo(OUTER);
        assert_eq!(column.as_slice(), [1]);
    }

    #[test]
    fn what_was_written_in_a_scope_that_nobody_wants_to_undo_goes_with_the_one_before() {
        let (mut column, mut cell) = (Column::default(), Cell::new(1));
        column.push(Scope::NONE, 1);
        column.set(INNER, 0, 2);
        cell.set(INNER, 2);
        let last = INNER.next().unwrap();
        column.set(last, 0, 3);
        cell.set(last, 3);
        column.undo(last);
        cell.undo(last);
        assert_eq!((column.as_slice(), cell.get()), (&[2][..], &2));
        column.undo(OUTER);
        cell.undo(OUTER);
        assert_eq!((column.as_slice(), cell.get()), (&[1][..], &1));
    }

    #[test]
    fn cells_that_came_in_a_scope_are_not_logged_and_go_with_it() {
        let mut column = Column::default();
        column.extend(Scope::NONE, [1, 2, 3]);
        let before = column.clone();
        let entry = size_of::<(Scope, Undo<i32>)>();
        column.pop(OUTER);
        column.push(OUTER, 30);
        column.push(OUTER, 40);
        for value in 0..9 {
            column.set(OUTER, 2, value);
            column.set(OUTER, 3, value);
            column.pop(OUTER);
            column.push(OUTER, value);
        }
        assert_eq!(column.trail_bytes(), 2 * entry);
        let outer = column.clone();
        // In a scope behind it they are as all others.
        column.set(INNER, 2, 7);
        column.set(INNER, 3, 7);
        column.pop(INNER);
        column.replace(INNER, vec![8]);
        column.push(INNER, 9);
        column.replace(INNER, vec![]);
        assert_eq!(column.trail_bytes() / entry, 6);
        column.undo(INNER);
        assert_eq!(column.as_slice(), outer.as_slice());
        column.set(OUTER, 3, 5);
        column.undo(OUTER);
        assert_eq!(column.as_slice(), before.as_slice());
        // After that nothing is new in it.
        column.set(OUTER, 0, 9);
        column.undo(OUTER);
        assert_eq!(column.as_slice(), before.as_slice());
    }

    #[test]
    fn of_what_is_written_again_and_again_the_first_value_is_kept() {
        let (mut column, mut cell) = (Column::default(), Cell::new(0));
        column.extend(Scope::NONE, [0, 0]);
        let few = |column: &Column<u64>, cell: &Cell<u64>| {
            (column.trail_bytes() / size_of::<(Scope, Undo<u64>)>(), cell.trail_bytes() / 16)
        };
        for value in 1..100 {
            column.set(OUTER, 1, value);
            cell.change(OUTER, |cell| *cell = value);
        }
        assert_eq!(few(&column, &cell), (1, 1));
        column.set(INNER, 1, 7);
        cell.set(INNER, 7);
        assert_eq!(few(&column, &cell), (2, 2));
        column.undo(INNER);
        cell.undo(INNER);
        assert_eq!((column.as_slice(), cell.get()), (&[0, 99][..], &99));
        let before = column.trail_bytes();
        column.replace(OUTER, vec![1, 2, 3]);
        let entry = size_of::<(Scope, Undo<u64>)>();
        assert!(column.trail_bytes() >= before + entry + 2 * size_of::<u64>());
        column.undo(OUTER);
        cell.undo(OUTER);
        assert_eq!((column.as_slice(), cell.get(), column.trail_bytes()), (&[0, 0][..], &0, 0));
    }

    #[test]
    fn ordered_map_undoes_inserts_updates_and_removals() {
        let mut map = OrderedMap::default();
        map.insert(Scope::NONE, "a", 1);
        map.insert(OUTER, "a", 2);
        map.insert(OUTER, "b", 3);
        map.remove(OUTER, &"a");
        map.undo(OUTER);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"a", &1)]);
    }

    #[test]
    fn forgetting_keeps_what_was_written() {
        let mut cell = Cell::new(1);
        cell.set(OUTER, 2);
        cell.forget();
        cell.undo(OUTER);
        assert_eq!(*cell.get(), 2);
    }
}
