//! Records: opaque byte strings, delimited inside a payload by their own envelope.
//!
//! An envelope is `varint tag, varint schema version, varint length, bytes`. The journal reads it
//! to find where a record ends and gives tag, version and bytes no meaning.

use thiserror::Error;

/// Bytes of one varint of 32 bits at most.
const VARINT_BYTES_MAX: usize = 5;

/// One record of a group, borrowed from the reader's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    tag: u32,
    version: u32,
    envelope: &'a [u8],
    payload_at: usize,
}

impl<'a> Record<'a> {
    /// The type tag, as it was pushed.
    #[must_use]
    pub const fn tag(&self) -> u32 {
        self.tag
    }

    /// The schema version, as it was pushed.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The bytes after the envelope's head.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.envelope[self.payload_at..]
    }

    /// The whole record: tag, version, length and payload.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.envelope
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum MalformedRecord {
    /// The bytes end inside a record's head.
    #[error("record head at byte {at} is cut short")]
    HeadCutShort {
        /// Where the record begins, in bytes from the begin of the payload.
        at: usize,
    },
    /// A number takes more bytes than it needs, or than 32 bits can hold.
    #[error("record head at byte {at} has an overlong varint")]
    Overlong {
        /// Where the record begins, in bytes from the begin of the payload.
        at: usize,
    },
    /// The length names more bytes than there are.
    #[error("record at byte {at} names {len} payload bytes, {available} follow")]
    LengthBeyondEnd {
        /// Where the record begins, in bytes from the begin of the payload.
        at: usize,
        /// The payload length that the head names.
        len: u32,
        /// How many bytes follow the head.
        available: usize,
    },
    /// The frame counts a different number of records than its payload has.
    #[error("frame counts {expected} records, its payload has {actual}")]
    Count {
        /// Records by the frame's header.
        expected: usize,
        /// Records in the payload; one more than expected stands for "more than expected".
        actual: usize,
    },
}

/// Reads a varint of at most 32 bits at `at`; returns it and the offset behind it.
#[inline]
fn take_varint(bytes: &[u8], at: usize, start: usize) -> Result<(u32, usize), MalformedRecord> {
    let cut = MalformedRecord::HeadCutShort { at: start };
    let first = *bytes.get(at).ok_or(cut)?;
    if first < 0x80 {
        return Ok((u32::from(first), at + 1));
    }
    let mut number = u32::from(first & 0x7f);
    for index in 1..VARINT_BYTES_MAX {
        let byte = *bytes.get(at + index).ok_or(cut)?;
        let bits = u32::from(byte & 0x7f);
        if byte == 0 || (index == VARINT_BYTES_MAX - 1 && byte > 0x0f) {
            return Err(MalformedRecord::Overlong { at: start });
        }
        number |= bits << (7 * index);
        if byte < 0x80 {
            return Ok((number, at + index + 1));
        }
    }
    Err(MalformedRecord::Overlong { at: start })
}

/// Writes `number` in its shortest form; returns how many bytes it took.
fn encode_varint(mut number: u32, out: &mut [u8; VARINT_BYTES_MAX]) -> usize {
    let mut len = 0;
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out[len] = low;
            return len + 1;
        }
        out[len] = low | 0x80;
        len += 1;
    }
}

/// Appends a record's envelope and payload to `out`. `payload` has at most `u32::MAX` bytes.
#[inline]
pub(crate) fn put(tag: u32, version: u32, payload: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(payload.len()).expect("the batch has checked the record's length");
    if tag | version | len < 0x80
        && let [Ok(tag), Ok(version), Ok(len)] = [tag, version, len].map(u8::try_from)
    {
        // The common case: each number takes one byte.
        out.reserve(3 + payload.len());
        out.extend_from_slice(&[tag, version, len]);
    } else {
        put_head(tag, version, len, out);
    }
    out.extend_from_slice(payload);
}

fn put_head(tag: u32, version: u32, len: u32, out: &mut Vec<u8>) {
    let mut number = [0; VARINT_BYTES_MAX];
    for field in [tag, version, len] {
        let bytes = encode_varint(field, &mut number);
        out.extend_from_slice(&number[..bytes]);
    }
}

/// Takes the record at `start` apart; returns it and the offset behind it.
#[inline]
pub(crate) fn take(payload: &[u8], start: usize) -> Result<(Record<'_>, usize), MalformedRecord> {
    if let Some(rest) = payload.get(start..)
        && let Some(len) = short_len(rest)
        && let Some(envelope @ &[tag, version, ..]) = rest.get(..len)
    {
        let (tag, version) = (u32::from(tag), u32::from(version));
        return Ok((Record { tag, version, envelope, payload_at: 3 }, start + len));
    }
    take_any(payload, start)
}

#[inline(never)] // heads of more than three bytes are few
fn take_any(payload: &[u8], start: usize) -> Result<(Record<'_>, usize), MalformedRecord> {
    let (tag, at) = take_varint(payload, start, start)?;
    let (version, at) = take_varint(payload, at, start)?;
    let (len, at) = take_varint(payload, at, start)?;
    let available = payload.len() - at;
    let wanted = usize::try_from(len).unwrap_or(usize::MAX);
    if wanted > available {
        return Err(MalformedRecord::LengthBeyondEnd { at: start, len, available });
    }
    let end = at + wanted;
    let record = Record { tag, version, envelope: &payload[start..end], payload_at: at - start };
    Ok((record, end))
}

/// Length of the record that the bytes begin with, if its head takes three bytes.
#[inline]
pub(crate) fn short_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [tag, version, len, rest @ ..] if tag | version | len < 0x80 => {
            (usize::from(*len) <= rest.len()).then_some(3 + usize::from(*len))
        }
        _ => None,
    }
}

/// Whether the bytes are exactly one record whose head takes three bytes.
#[inline]
pub(crate) fn is_one_short(bytes: &[u8]) -> bool {
    matches!(bytes, [tag, version, len, rest @ ..]
        if tag | version | len < 0x80 && rest.len() == usize::from(*len))
}

/// Checks that `payload` is exactly `expected` records.
pub(crate) fn check(payload: &[u8], expected: usize) -> Result<(), MalformedRecord> {
    let (mut at, mut actual) = (0, 0);
    while at < payload.len() {
        (_, at) = take(payload, at)?;
        actual += 1;
    }
    if actual == expected { Ok(()) } else { Err(MalformedRecord::Count { expected, actual }) }
}

/// The records of one group, in the order in which they were pushed.
///
/// Made by [`Group::records`](crate::Group::records). The reader has checked the payload before it
/// hands out the group, so iteration cannot fail.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    payload: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Records<'a> {
    pub(crate) const fn new(payload: &'a [u8], count: usize) -> Self {
        Self { payload, at: 0, left: count }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        if self.left == 0 {
            return None;
        }
        let (record, at) = take(self.payload, self.at).ok()?;
        self.at = at;
        self.left -= 1;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Records<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_at_their_edges() {
        for len in [0_usize, 1, 127, 128, 16_383, 16_384] {
            let mut bytes = Vec::new();
            put(u32::MAX, 0, &vec![7; len], &mut bytes);
            put(1, 2, b"next", &mut bytes);
            let (record, at) = take(&bytes, 0).expect("first");
            assert_eq!((record.tag(), record.version()), (u32::MAX, 0));
            assert_eq!(record.payload(), vec![7; len]);
            let (record, end) = take(&bytes, at).expect("second");
            assert_eq!(record.payload(), b"next");
            assert_eq!(record.bytes(), &bytes[at..]);
            assert_eq!(end, bytes.len());
            assert_eq!(check(&bytes, 2), Ok(()));
        }
    }

    #[test]
    fn lying_heads_are_errors() {
        let take = |bytes: &[u8]| take(bytes, 0).map(|_| ());
        assert_eq!(take(&[]), Err(MalformedRecord::HeadCutShort { at: 0 }));
        assert_eq!(take(&[1, 1]), Err(MalformedRecord::HeadCutShort { at: 0 }));
        assert_eq!(take(&[0x80, 0, 1, 0]), Err(MalformedRecord::Overlong { at: 0 }));
        assert_eq!(
            take(&[0xff, 0xff, 0xff, 0xff, 0x10, 1, 0]),
            Err(MalformedRecord::Overlong { at: 0 })
        );
        assert_eq!(take(&[0xff; 9]), Err(MalformedRecord::Overlong { at: 0 }));
        let far = MalformedRecord::LengthBeyondEnd { at: 0, len: 2, available: 1 };
        assert_eq!(take(&[1, 1, 2, 0]), Err(far));
    }

    #[test]
    fn what_is_left_of_a_group_is_told() {
        let mut bytes = Vec::new();
        put(1, 1, b"a", &mut bytes);
        put(300, 1, b"b", &mut bytes);
        let mut records = Records::new(&bytes, 2);
        assert_eq!((records.len(), records.next().map(|record| record.tag())), (2, Some(1)));
        assert_eq!((records.len(), records.next().map(|record| record.tag())), (1, Some(300)));
        assert_eq!((records.len(), records.next()), (0, None));
    }

    #[test]
    fn a_wrong_count_is_an_error() {
        let mut bytes = Vec::new();
        put(1, 1, b"a", &mut bytes);
        let wrong = |expected, actual| Err(MalformedRecord::Count { expected, actual });
        assert_eq!(check(&bytes, 0), wrong(0, 1));
        assert_eq!(check(&bytes, 2), wrong(2, 1));
    }
}
