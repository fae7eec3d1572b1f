//! Insertions that have most of their record in common.

use std::ops::Range;

use crate::{FactHandle, Record, RuleTag, Seq, TypeTag};

/// Insertions of one kind that come one right behind the other: their handles and numbers count up, and
/// the rest is the same. It says what as many [`Record::Insert`] say.
#[derive(Clone, Copy, Debug)]
pub struct Inserts<'a> {
    /// Identity of the first.
    pub handle: FactHandle,
    /// Their type.
    pub kind: TypeTag,
    /// Schema version of their values.
    pub version: u32,
    /// The values, some way or other one behind the other.
    pub bytes: &'a [u8],
    /// Where each value stands in `bytes`, in order.
    pub ranges: &'a [Range<usize>],
    /// Sequence number of the first.
    pub seq: Seq,
    /// The rule whose consequence inserted them, if one did.
    pub origin: Option<RuleTag>,
    /// As [`Record::Insert`] has it.
    pub stated: bool,
    /// Session clock in milliseconds.
    pub clock: i64,
}

impl<'a> Inserts<'a> {
    /// The values, in order.
    pub fn values(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { bytes, ranges, .. } = *self;
        ranges.iter().map(move |range| &bytes[range.clone()])
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let Self { handle, kind, version, seq, origin, stated, clock, .. } = *self;
        self.values().zip(0..).map(move |(bytes, nth)| {
            let (handle, seq) = (FactHandle::new(handle.get() + nth), Seq::new(seq.get() + nth));
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock }
        })
    }
}
