//! Insertions that have most of their record in common.

use crate::codec::take_varint;
use crate::{FactHandle, Record, RuleTag, Seq, TypeTag};

/// Insertions of one kind that come one right behind the other: their handles and numbers count up, and
/// the rest is the same. It says what as many [`Record::Insert`] say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inserts<'a> {
    /// Identity of the first.
    pub handle: FactHandle,
    /// Their type.
    pub kind: TypeTag,
    /// Schema version of their values.
    pub version: u32,
    /// The values: at least one.
    pub values: Values<'a>,
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
    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let Self { handle, kind, version, seq, origin, stated, clock, .. } = *self;
        self.values.iter().zip(0..).map(move |(bytes, nth)| {
            let (handle, seq) = (FactHandle::new(handle.get() + nth), Seq::new(seq.get() + nth));
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock }
        })
    }

    /// Bytes of values that a record has at most, unless its only one is longer.
    pub const BYTES_MAX: usize = 8 << 10;

    /// The same in pieces that are each short enough for a record: a batch is cut between records.
    pub fn pieces(&self) -> impl Iterator<Item = Self> + use<'a> {
        let mut rest = *self;
        std::iter::from_fn(move || {
            if rest.values.0.len() <= Self::BYTES_MAX {
                // What is left, however many they are.
                let last =
                    Self { values: std::mem::replace(&mut rest.values, Values(&[])), ..rest };
                return (!last.values.0.is_empty()).then_some(last);
            }
            let (values, count) = rest.values.split_off_start(Self::BYTES_MAX);
            let piece = Self { values, ..rest };
            rest.handle = FactHandle::new(rest.handle.get() + count);
            rest.seq = Seq::new(rest.seq.get() + count);
            Some(piece)
        })
    }
}

/// Values one behind the other, each behind its length, a varint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// Takes bytes for values; `None` if they are something else.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut values = Self(bytes);
        while values.take().is_some() {}
        values.0.is_empty().then_some(Self(bytes))
    }

    /// Takes bytes that were written as such: each value behind its length.
    #[must_use]
    pub fn written(bytes: &'a [u8]) -> Self {
        debug_assert!(Self::new(bytes).is_some(), "each value is behind its length");
        Self(bytes)
    }

    /// The values with their lengths.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Takes values from the start, at least one, and no more bytes than `max` if that is several; gives them
    /// and how many they are.
    fn split_off_start(&mut self, max: usize) -> (Self, u64) {
        let (all, mut count) = (self.0, 0);
        while let (before, Some(_)) = (self.0, self.take()) {
            if count > 0 && all.len() - self.0.len() > max {
                self.0 = before;
                break;
            }
            count += 1;
        }
        (Self(&all[..all.len() - self.0.len()]), count)
    }

    /// The values, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self;
        std::iter::from_fn(move || rest.take())
    }

    /// Takes the first value.
    #[inline]
    fn take(&mut self) -> Option<&'a [u8]> {
        let (length, at) = match self.0 {
            [length, ..] if *length < 0x80 => (usize::from(*length), 1),
            _ => {
                let mut at = 0;
                let length = take_varint(self.0, &mut at).ok()?;
                (usize::try_from(length).ok()?, at)
            }
        };
        let (value, rest) = self.0[at..].split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind_lengths(lengths: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (length, nth) in lengths.into_iter().zip(0_u8..) {
            crate::codec::put_varint(length as u64, &mut bytes);
            bytes.resize(bytes.len() + length, nth);
        }
        bytes
    }

    #[test]
    fn values_are_read_as_they_were_put_down_and_nothing_else_is() {
        let bytes = behind_lengths([0, 1, 127, 128, 16_384, 3]);
        let values = Values::new(&bytes).expect("they are values");
        let read: Vec<_> =
            values.iter().map(|value| (value.len(), value.last().copied())).collect();
        let expected = [(0, None), (1, Some(1)), (127, Some(2)), (128, Some(3))];
        assert_eq!(read[..4], expected);
        assert_eq!(read[4..], [(16_384, Some(4)), (3, Some(5))]);
        assert!(Values::new(&bytes[..bytes.len() - 1]).is_none(), "cut short");
        assert!(Values::new(&[0x80]).is_none(), "a length that is cut short");
        assert!(Values::new(&[0x80, 0]).is_none(), "a length that is overlong");
    }

    #[test]
    fn pieces_are_short_and_say_the_same() {
        let max = Inserts::BYTES_MAX;
        let bytes = behind_lengths([max / 2 - 2, max / 2 - 2, 0, max, max + 1, max - 2, 1, 1]);
        let inserts = Inserts {
            handle: FactHandle::new(7),
            kind: TypeTag::new(1),
            version: 2,
            values: Values::new(&bytes).expect("they are values"),
            seq: Seq::new(100),
            origin: None,
            stated: true,
            clock: 5,
        };
        let lengths = |piece: Inserts<'_>| piece.values.iter().map(<[u8]>::len).collect::<Vec<_>>();
        let pieces: Vec<_> = inserts.pieces().map(lengths).collect();
        let halves = vec![max / 2 - 2, max / 2 - 2];
        assert_eq!(pieces, [halves, vec![0], vec![max], vec![max + 1], vec![max - 2], vec![1, 1]]);
        assert!(inserts.pieces().flat_map(|piece| piece.records()).eq(inserts.records()));
    }
}
