//! The records that journals consist of for the most part, read field by field.
//!
//! It reads what [`encode`](super::encode) writes, and nothing else: whatever is unusual is left to
//! postcard, which decides and says what is wrong.

use super::tag;
use crate::{FactHandle, Record, RuleTag, Seq, TypeTag};

/// The record; `None` if postcard has to look at it.
#[inline]
pub(super) fn decode(tag: u32, payload: &[u8]) -> Option<Record<'_>> {
    let mut fields = Fields(payload);
    // Fields are evaluated in the order that they are written in, which is that of the bytes.
    let record = match tag {
        tag::EVALUATED => Record::Evaluated,
        tag::UPDATE => Record::Update {
            handle: FactHandle::new(fields.number()?),
            version: fields.small()?,
            bytes: fields.bytes()?,
            mask: fields.number()?,
            seq: Seq::new(fields.number()?),
            origin: fields.origin()?,
        },
        tag::INSERT => Record::Insert {
            handle: FactHandle::new(fields.number()?),
            kind: TypeTag::new(fields.small()?),
            version: fields.small()?,
            bytes: fields.bytes()?,
            seq: Seq::new(fields.number()?),
            origin: fields.origin()?,
            stated: fields.flag()?,
            clock: fields.signed()?,
        },
        tag::DELETE => Record::Delete {
            handle: FactHandle::new(fields.number()?),
            seq: Seq::new(fields.number()?),
            origin: fields.origin()?,
            cascade: fields.flag()?,
        },
        _ => return None,
    };
    fields.0.is_empty().then_some(record)
}

/// The fields of a payload that were not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A varint in its shortest form.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for index in 1..10 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                let is_shortest = byte != 0 && (index < 9 || byte == 1);
                return is_shortest.then_some(number);
            }
        }
        None
    }

    #[inline]
    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Zigzag: the sign is the lowest bit.
    #[inline]
    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        let half = (number >> 1).cast_signed();
        Some(if number & 1 == 0 { half } else { !half })
    }

    #[inline]
    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    #[inline]
    #[expect(clippy::option_option, reason = "the inner one is the field's value")]
    fn origin(&mut self) -> Option<Option<RuleTag>> {
        if self.flag()? { Some(Some(RuleTag::new(self.small()?))) } else { Some(None) }
    }

    #[inline]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}
