//! The values of one fact type.

use std::any::Any;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;

use steadfast_wm::codec::v1::{append_postcard, append_values};

use crate::fact::{Fact, FieldMask, ReadError, append_derived_key};
use crate::rows::BEFORE;
use crate::trail::{Column, Scope, Sparse, Trailed, clear};

/// The values of one fact type, by slot. Slots are reused and never observable.
pub struct Table<T> {
    values: Column<Option<T>>,
    /// Values as they were before what is staged, addressed with [`BEFORE`]; empty after a flush.
    before: Column<T>,
    /// Of events: the clock at their insertion, by slot and beside each value in `before`.
    born: Sparse<i64>,
    before_born: Column<i64>,
}

impl<T: Fact> Table<T> {
    #[inline]
    pub(crate) fn value(&self, slot: u32) -> &T {
        if slot & BEFORE == 0 {
            self.values.get(slot).as_ref().expect("rows name occupied slots")
        } else {
            self.before.get(slot & !BEFORE)
        }
    }

    /// When an event began.
    #[inline]
    pub(crate) fn start(&self, slot: u32) -> i64 {
        self.value(slot).timestamp().unwrap_or_else(|| {
            if slot & BEFORE == 0 {
                *self.born.get(slot)
            } else {
                *self.before_born.get(slot & !BEFORE)
            }
        })
    }

    /// When an event ended.
    #[inline]
    pub(crate) fn end(&self, slot: u32) -> i64 {
        let lasted = if T::LASTS { self.value(slot).duration() } else { 0 };
        self.start(slot).saturating_add(lasted)
    }

    #[inline]
    pub(crate) fn put(&mut self, scope: Scope, slot: u32, value: T) {
        if slot == self.values.len() {
            self.values.push(scope, Some(value));
        } else {
            self.values.set(scope, slot, Some(value));
        }
    }

    /// Replaces the value in an occupied slot.
    #[inline]
    pub(crate) fn replace(&mut self, scope: Scope, slot: u32, value: T) {
        self.values.set(scope, slot, Some(value));
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots", self.values.len())
    }
}

/// Values on their way into a table: what a consequence or a transaction wants to write.
pub(crate) trait AnyArena: Any + Send {
    fn len(&self) -> usize;
    fn clear(&mut self);
    fn truncate(&mut self, len: usize);
    /// Appends the bytes that decide which derived facts are one.
    fn append_derived_key(&self, at: u32, bytes: &mut Vec<u8>) -> Result<(), postcard::Error>;
    /// Appends the postcard bytes of values that follow one another, each behind its length.
    fn encode_all(&self, places: Range<u32>, bytes: &mut Vec<u8>) -> Result<(), postcard::Error>;
}

/// A typed arena: values by index, taken out when applied.
pub(crate) struct Arena<T>(pub(crate) Vec<Option<T>>);

impl<T: Fact> AnyArena for Arena<T> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn clear(&mut self) {
        clear(&mut self.0);
    }
    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
    fn append_derived_key(&self, at: u32, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        append_derived_key(self.0[at as usize].as_ref().expect("a staged value"), bytes)
    }
    fn encode_all(&self, places: Range<u32>, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        let values = &self.0[places.start as usize..places.end as usize];
        append_values(values.iter().map(|value| value.as_ref().expect("a staged value")), bytes)
    }
}

/// A table behind its type.
pub(crate) trait AnyTable: Any + Trailed + Send {
    fn clone_box(&self) -> Box<dyn AnyTable>;
    /// Appends the postcard bytes of a value.
    fn encode(&self, slot: u32, bytes: &mut Vec<u8>) -> Result<(), postcard::Error>;
    /// Appends the bytes that decide which derived facts are one.
    fn append_derived_key(&self, slot: u32, bytes: &mut Vec<u8>) -> Result<(), postcard::Error>;
    /// Puts a stored value into a free or new slot.
    fn decode_into(
        &mut self,
        scope: Scope,
        slot: u32,
        version: u32,
        bytes: &[u8],
    ) -> Result<FieldMask, ReadError>;
    /// Moves a value from an arena into a free or new slot.
    fn put_from(&mut self, scope: Scope, slot: u32, arena: &mut dyn AnyArena, at: u32);
    /// Moves values from an arena behind all others.
    fn append_from(&mut self, scope: Scope, arena: &mut dyn AnyArena, range: Range<u32>);
    /// Replaces a value by one from an arena.
    fn replace_from(&mut self, scope: Scope, slot: u32, arena: &mut dyn AnyArena, at: u32);
    /// Replaces the values in these slots by those of an arena from this place on, outside of scopes.
    fn replace_all_from(&mut self, slots: &[u32], arena: &mut dyn AnyArena, first: u32);
    /// Makes room for so many values more.
    fn reserve(&mut self, more: u32);
    fn clear_slot(&mut self, scope: Scope, slot: u32);
    /// Gives all slots back, outside of scopes.
    fn drain(&mut self);
    /// Has the values in some slots [near](Column::warm).
    fn warm(&self, slots: &[u32]);
    /// Keeps a copy of a value as the one before the flush; gives its slot there.
    fn keep_before(&mut self, scope: Scope, slot: u32) -> u32;
    fn drop_before(&mut self, scope: Scope);
    fn key_code(&self, slot: u32) -> Option<u64>;
    /// Notes the clock at an event's insertion.
    fn set_born(&mut self, scope: Scope, slot: u32, clock: i64);
    /// When an event ended, in milliseconds.
    fn end(&self, slot: u32) -> i64;
}

impl<T: Fact> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Column::default(),
            before: Column::default(),
            born: Sparse::new(0),
            before_born: Column::default(),
        }
    }
}

impl<T> Trailed for Table<T> {
    fn undo(&mut self, scope: Scope) {
        self.values.undo(scope);
        self.before.undo(scope);
        self.born.undo(scope);
        self.before_born.undo(scope);
    }
    fn forget(&mut self) {
        self.values.forget();
        self.before.forget();
        self.born.forget();
        self.before_born.forget();
    }
    fn trail_bytes(&self) -> usize {
        self.values.trail_bytes()
            + self.before.trail_bytes()
            + self.born.trail_bytes()
            + self.before_born.trail_bytes()
    }
}

/// An arena of values of this type.
#[inline]
pub(crate) fn typed<T: Fact>(arena: &mut dyn AnyArena) -> &mut Arena<T> {
    let arena: &mut dyn Any = arena;
    arena.downcast_mut().expect("arenas are typed")
}

fn take_from<T: Fact>(arena: &mut dyn AnyArena, at: u32) -> T {
    let arena = typed::<T>(arena);
    arena.0[at as usize].take().expect("a value is taken once")
}

impl<T: Fact> AnyTable for Table<T> {
    fn clone_box(&self) -> Box<dyn AnyTable> {
        Box::new(Self {
            values: self.values.clone(),
            before: self.before.clone(),
            born: self.born.clone(),
            before_born: self.before_born.clone(),
        })
    }

    fn encode(&self, slot: u32, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        append_postcard(self.value(slot), bytes)
    }

    fn append_derived_key(&self, slot: u32, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        append_derived_key(self.value(slot), bytes)
    }

    fn decode_into(
        &mut self,
        scope: Scope,
        slot: u32,
        version: u32,
        bytes: &[u8],
    ) -> Result<FieldMask, ReadError> {
        let value = T::read(version, bytes)?;
        let occupied = slot < self.values.len() && self.values.get(slot).is_some();
        let mask = if occupied { self.value(slot).diff(&value) } else { FieldMask::ALL };
        self.put(scope, slot, value);
        Ok(mask)
    }

    fn put_from(&mut self, scope: Scope, slot: u32, arena: &mut dyn AnyArena, at: u32) {
        let value = take_from::<T>(arena, at);
        self.put(scope, slot, value);
    }

    fn append_from(&mut self, scope: Scope, arena: &mut dyn AnyArena, range: Range<u32>) {
        let arena = typed::<T>(arena);
        if self.values.is_empty()
            && range.len() == arena.len()
            && let Some(values) = self.values.bare(scope)
        {
            // A table without facts takes them over as they lie.
            std::mem::swap(values, &mut arena.0);
            return;
        }
        let values = &mut arena.0[range.start as usize..range.end as usize];
        debug_assert!(values.iter().all(Option::is_some), "a value is taken once");
        self.values.extend(scope, values.iter_mut().map(Option::take));
    }

    fn replace_from(&mut self, scope: Scope, slot: u32, arena: &mut dyn AnyArena, at: u32) {
        let value = take_from::<T>(arena, at);
        self.replace(scope, slot, value);
    }

    fn replace_all_from(&mut self, slots: &[u32], arena: &mut dyn AnyArena, first: u32) {
        let values = &mut typed::<T>(arena).0[first as usize..][..slots.len()];
        debug_assert!(values.iter().all(Option::is_some), "a value is taken once");
        let cells = self.values.bare(Scope::NONE).expect("no scope is open");
        for (&slot, value) in slots.iter().zip(values) {
            cells[slot as usize] = value.take();
        }
    }

    fn reserve(&mut self, more: u32) {
        self.values.reserve(more);
    }

    fn clear_slot(&mut self, scope: Scope, slot: u32) {
        self.values.set(scope, slot, None);
    }

    fn drain(&mut self) {
        self.values.drain();
        self.born.drain();
        self.drop_before(Scope::NONE);
    }

    fn warm(&self, slots: &[u32]) {
        for &slot in slots.iter().filter(|&slot| slot & BEFORE == 0) {
            black_box(self.values.get(slot).is_some());
        }
    }

    fn keep_before(&mut self, scope: Scope, slot: u32) -> u32 {
        let value = self.value(slot).clone();
        self.before.push(scope, value);
        if T::EVENT {
            let born = *self.born.get(slot);
            self.before_born.push(scope, born);
        }
        (self.before.len() - 1) | BEFORE
    }

    fn drop_before(&mut self, scope: Scope) {
        if !self.before.is_empty() {
            self.before.clear(scope);
            self.before_born.clear(scope);
        }
    }

    fn key_code(&self, slot: u32) -> Option<u64> {
        self.value(slot).key_code()
    }

    fn set_born(&mut self, scope: Scope, slot: u32, clock: i64) {
        self.born.set(scope, slot, clock);
    }

    fn end(&self, slot: u32) -> i64 {
        Self::end(self, slot)
    }
}
