//! Columns of which most cells have one value.

use super::{Column, Scope, Trailed};

/// A column that is as long as its last cell that was ever set: cells behind have a default value.
#[derive(Clone, Debug)]
pub(crate) struct Sparse<T> {
    column: Column<T>,
    default: T,
}

impl<T: Clone + PartialEq> Sparse<T> {
    pub(crate) fn new(default: T) -> Self {
        Self { column: Column::default(), default }
    }

    /// Whether any cell was ever set to something else than the default.
    pub(crate) fn is_used(&self) -> bool {
        !self.column.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> &T {
        self.column.cells.get(at as usize).unwrap_or(&self.default)
    }

    #[inline]
    pub(crate) fn set(&mut self, scope: Scope, at: u32, value: T) {
        if at < self.column.len() {
            self.column.set(scope, at, value);
        } else if value != self.default {
            self.set_cell(scope, at, value);
        }
    }

    /// Sets a cell that may be the next one: that of something new.
    #[inline]
    pub(crate) fn set_next(&mut self, scope: Scope, at: u32, value: T) {
        if at == self.column.len() {
            if value != self.default {
                self.column.push(scope, value);
            }
        } else {
            self.set(scope, at, value);
        }
    }

    #[inline(never)] // rare outside of scopes: a column soon reaches its length
    fn set_cell(&mut self, scope: Scope, at: u32, value: T) {
        if at == self.column.len() {
            self.column.push(scope, value);
        } else {
            self.reach_and_set(scope, at, value);
        }
    }

    #[inline(never)] // as above
    fn reach_and_set(&mut self, scope: Scope, at: u32, value: T) {
        self.column.reach(scope, at, &self.default);
        self.column.set(scope, at, value);
    }
}

impl<T: Clone + PartialEq> Sparse<T> {
    /// Changes a cell in place; inside a scope its old value is cloned first.
    #[inline]
    pub(crate) fn change(&mut self, scope: Scope, at: u32, change: impl FnOnce(&mut T)) {
        self.column.reach(scope, at, &self.default);
        self.column.change(scope, at, change);
    }

    /// As [`Column::warm`].
    #[inline]
    pub(crate) fn warm(&self, at: u32)
    where
        T: Copy,
    {
        self.column.warm(at);
    }

    /// Makes room for so many cells more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.column.cells.reserve(more);
    }

    /// Sets a cell to the default, outside of scopes.
    #[inline]
    pub(crate) fn reset(&mut self, at: u32) {
        if let Some(cell) = self.column.cells.get_mut(at as usize) {
            *cell = self.default.clone();
        }
    }

    /// Sets all cells to the default, outside of scopes.
    pub(crate) fn clear(&mut self) {
        self.column.clear(Scope::NONE);
    }

    /// The same; it keeps its memory.
    pub(crate) fn drain(&mut self) {
        self.column.drain();
    }
}

impl<T> Trailed for Sparse<T> {
    fn undo(&mut self, scope: Scope) {
        self.column.undo(scope);
    }
    fn forget(&mut self) {
        self.column.forget();
    }
    fn trail_bytes(&self) -> usize {
        self.column.trail_bytes()
    }
}
