//! Rows: batches of tuples on which conditions, keys and consequences are evaluated.

use std::any::Any;
use std::fmt;

use crate::aggregate::GroupTable;
use crate::fact::Fact;
use crate::store::Table;

/// Marks a slot that refers to the value before the current flush.
pub(crate) const BEFORE: u32 = 1 << 31;

/// A batch of rows. A row has one slot per *position*: positive patterns and groups have one, `not`
/// and `exists` have none.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    sources: &'a [&'a dyn Any],
    slots: &'a [u32],
}

/// A position does not hold what a closure looks for there.
#[derive(Debug)]
pub(crate) struct Misplaced {
    pub(crate) position: usize,
    /// Name of the type.
    pub(crate) wanted: &'static str,
}

/// The fact in a slot of a table of such facts.
#[inline]
pub(crate) fn fact_in<T: Fact>(table: &dyn Any, slot: u32) -> &T {
    match table.downcast_ref::<Table<T>>() {
        Some(table) => table.value(slot),
        None => Rows::new(&[table], &[slot]).misplaced::<T>(0),
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn new(sources: &'a [&'a dyn Any], slots: &'a [u32]) -> Self {
        debug_assert!(sources.is_empty() || slots.len().is_multiple_of(sources.len()));
        Self { sources, slots }
    }

    /// How many rows there are. A batch without positions has one row.
    #[inline]
    pub fn len(&self) -> usize {
        match self.sources.len() {
            0 => 1,
            // A division takes as long as all else that is done for a single row.
            1 => self.slots.len(),
            width => self.slots.len() / width,
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The facts at a position.
    ///
    /// # Panics
    ///
    /// If the position holds facts of another type; the macros and the builder rule that out.
    #[inline]
    pub fn facts<T: Fact>(&self, position: usize) -> Facts<'a, T> {
        let table = self.source(position).unwrap_or_else(|| self.misplaced::<T>(position));
        Facts { table, rows: *self, position }
    }

    /// The groups at a position.
    ///
    /// # Panics
    ///
    /// As [`Rows::facts`].
    #[inline]
    pub fn groups<G: 'static>(&self, position: usize) -> Groups<'a, G> {
        let table = self.source(position).unwrap_or_else(|| self.misplaced::<G>(position));
        Groups { table, rows: *self, position }
    }

    #[inline]
    fn source<S: 'static>(&self, position: usize) -> Option<&'a S> {
        self.sources.get(position)?.downcast_ref()
    }

    /// A closure takes a position for another one. Rulesets are asked about no rows, which tells it without
    /// a panic's message.
    #[cold]
    fn misplaced<T>(&self, position: usize) -> ! {
        let wanted = std::any::type_name::<T>();
        if self.is_empty() {
            std::panic::resume_unwind(Box::new(Misplaced { position, wanted }));
        }
        panic!("position {position} holds no `{wanted}`")
    }

    /// The slots of one row.
    pub(crate) fn slots_of(&self, row: usize) -> &'a [u32] {
        let width = self.sources.len();
        &self.slots[row * width..(row + 1) * width]
    }

    /// Other rows over the same sources.
    pub(crate) fn with_slots<'b>(&self, slots: &'b [u32]) -> Rows<'b>
    where
        'a: 'b,
    {
        Rows::new(self.sources, slots)
    }

    #[inline]
    fn slot(&self, row: usize, position: usize) -> u32 {
        self.slots[row * self.sources.len() + position]
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {} positions", self.len(), self.sources.len())
    }
}

/// The facts at one position of a batch of rows.
#[derive(Clone, Copy)]
pub struct Facts<'a, T> {
    table: &'a Table<T>,
    rows: Rows<'a>,
    position: usize,
}

impl<'a, T: Fact> Facts<'a, T> {
    /// The fact in this row.
    #[inline]
    pub fn at(&self, row: usize) -> &'a T {
        self.table.value(self.rows.slot(row, self.position))
    }

    /// When the event in this row began, in milliseconds: its timestamp, or the clock at its insertion.
    #[inline]
    pub fn start(&self, row: usize) -> i64 {
        self.table.start(self.rows.slot(row, self.position))
    }

    /// When the event in this row ended: its beginning and its duration.
    #[inline]
    pub fn end(&self, row: usize) -> i64 {
        self.table.end(self.rows.slot(row, self.position))
    }
}

impl<T> fmt::Debug for Facts<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "facts at position {} of {:?}", self.position, self.rows)
    }
}

/// The groups at one position of a batch of rows.
#[derive(Clone, Copy)]
pub struct Groups<'a, G> {
    table: &'a GroupTable<G>,
    rows: Rows<'a>,
    position: usize,
}

impl<'a, G> Groups<'a, G> {
    /// The group in this row.
    #[inline]
    pub fn at(&self, row: usize) -> &'a G {
        self.table.value(self.rows.slot(row, self.position))
    }
}

impl<G> fmt::Debug for Groups<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "groups at position {} of {:?}", self.position, self.rows)
    }
}
