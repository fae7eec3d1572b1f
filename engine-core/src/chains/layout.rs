//! How the heads of chains lie in their table: hashed, or one behind the other where codes are.
//!
//! Numbers that are given out one after the other are what keys mostly are. Where there are many of them in
//! a range that is not much larger, each number of the range has a slot of its own: a lookup touches one place of
//! memory and not two, neighbors lie side by side, and nothing is compared.

use super::{Chains, NONE, SLOTS_MIN};
use crate::trail::Scope;

/// How the heads lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// By a hash of the code; where another code is in the way, further behind.
    Hashed,
    /// Each code that many behind the first slot's as it is above this one.
    Dense(u64),
}

/// From so many codes on it is worth to see whether they are dense: a smaller table is near anyway.
const DENSE_FROM: usize = if cfg!(test) { 4 } else { 32 };

/// A dense table has so many slots for each code, or fewer: as many as a hash table has when it has just grown.
const DENSE_SLOTS: u64 = 4;

/// Codes from the first to the last one, in the order of signed numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRange {
    first: i64,
    last: i64,
}

impl CodeRange {
    /// The least range that holds these codes; one without codes, if there are none.
    pub(crate) fn of(codes: impl Iterator<Item = u64>) -> Self {
        codes.map(u64::cast_signed).fold(Self { first: i64::MAX, last: i64::MIN }, Self::with)
    }

    fn with(self, code: i64) -> Self {
        Self { first: self.first.min(code), last: self.last.max(code) }
    }

    /// Its first code.
    pub(crate) fn first(self) -> u64 {
        self.first.cast_unsigned()
    }

    /// How many codes are in it, less one.
    fn reach(self) -> u64 {
        self.last.wrapping_sub(self.first).cast_unsigned()
    }

    /// How many slots a dense table of so many of its codes has; none if it would be too large.
    pub(crate) fn slots(self, codes: usize) -> Option<usize> {
        let (reach, codes) = (self.reach(), codes as u64);
        if self.first > self.last || reach >= codes * DENSE_SLOTS {
            return None;
        }
        usize::try_from((reach + reach / 4 + 1).max(codes)).ok()
    }
}

impl Chains {
    /// The slot of a code in a dense table, if it has one.
    #[inline]
    pub(super) fn dense_slot(&self, first: u64, code: u64) -> Option<u32> {
        let slot = code.wrapping_sub(first);
        if slot < u64::from(self.heads.len()) { u32::try_from(slot).ok() } else { None }
    }

    /// How many codes there will be when those have come that a bulk load still brings: if most members so far
    /// have a code of their own, they will, too.
    pub(super) fn codes_to_be(&self) -> usize {
        let occupied = *self.occupied.get() as usize;
        let are_own = occupied * 2 > self.codes.len() as usize;
        occupied + if are_own { self.coming as usize } else { 0 }
    }

    /// Lays the heads of a hash table out anew if their codes are dense; says whether they are.
    pub(super) fn condense(&mut self, scope: Scope) -> bool {
        if (*self.occupied.get() as usize) < DENSE_FROM {
            return false;
        }
        let heads = self.heads.as_slice().iter().filter(|head| **head != NONE);
        let range = CodeRange::of(heads.map(|&head| self.code(head)));
        let Some(slots) = range.slots(self.codes_to_be()) else { return false };
        let newest = self.codes.as_slice().last().map_or(0, |code| code.cast_signed());
        self.lay_dense(scope, range, newest, slots);
        true
    }

    /// Makes a slot for a code that a dense table has none for, and gives it. The table is hashed from now on if it
    /// would be too large.
    #[cold]
    #[inline(never)]
    pub(super) fn widened_for(&mut self, scope: Scope, first: u64, code: u64) -> u32 {
        self.widen(scope, first, code);
        match *self.layout.get() {
            Layout::Hashed => self.own_slot(code),
            Layout::Dense(first) => self.dense_slot(first, code).expect("it has been made"),
        }
    }

    fn widen(&mut self, scope: Scope, first: u64, code: u64) {
        let (first, code) = (first.cast_signed(), code.cast_signed());
        let last = first.checked_add(i64::from(self.heads.len()) - 1);
        let range = last.map(|last| CodeRange { first, last }.with(code));
        // What was ever in the range stays in it: whoever comes and goes at its ends makes it larger by half each
        // time, until it is too large.
        let codes = self.codes_to_be() + 1;
        let laid = range.and_then(|range| Some((range, range.slots(codes)?)));
        match laid {
            Some((range, slots)) => {
                let slots = slots + usize::try_from(range.reach()).unwrap_or(0) / 4;
                self.lay_dense(scope, range, code, slots);
            }
            None => self.lay_hashed(scope),
        }
    }

    /// Lays the heads out densely. The slots that are more than the range has are on the side where this code is.
    fn lay_dense(&mut self, scope: Scope, range: CodeRange, code: i64, slots: usize) {
        let spare = i64::try_from(slots as u64 - range.reach() - 1).expect("tables have 32 bits");
        let is_above = code.wrapping_sub(range.first).cast_unsigned() >= range.reach() / 2;
        let lowest = if is_above { range.first } else { range.first.saturating_sub(spare) };
        let lowest = lowest.cast_unsigned();
        let mut heads = vec![NONE; slots];
        for &head in self.heads.as_slice().iter().filter(|head| **head != NONE) {
            let slot = self.code(head).wrapping_sub(lowest);
            heads[usize::try_from(slot).expect("the range is of all codes")] = head;
        }
        self.heads.replace(scope, heads);
        self.layout.set(scope, Layout::Dense(lowest));
    }

    /// Lays the heads out by hashes, with so much room that the table does not become dense again before it has
    /// half as many codes more: what comes and goes does not have it laid out each time.
    fn lay_hashed(&mut self, scope: Scope) {
        let slots = (self.codes_to_be() * 3).next_power_of_two();
        self.layout.set(scope, Layout::Hashed);
        self.rehash(scope, slots.max(SLOTS_MIN));
    }
}
