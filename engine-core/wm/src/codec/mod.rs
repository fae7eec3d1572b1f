//! Bytes of records: a versioned envelope of our own around postcard payloads.
//!
//! An envelope is `varint tag, varint schema version, varint length, payload`. Postcard has no
//! schema evolution; the envelope has, so that a later reader can tell what it does not know.

mod room;
pub mod v1;
mod writer;

/// Why bytes are not a record. Decoding is total (INV-63): there is no other outcome.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a record.
    #[error("record cut short at byte {offset}: {needed} more bytes expected")]
    CutShort {
        /// Byte at which reading stopped, from the start of the record.
        offset: usize,
        /// How many bytes are missing at least.
        needed: usize,
    },
    /// A varint has more bytes than its type can hold, or is not in its shortest form.
    #[error("varint at byte {offset} of the record is overlong")]
    Overlong {
        /// Where the varint begins.
        offset: usize,
    },
    /// The record's kind is not known to this version.
    #[error("unknown record kind {tag} (version {version}): a newer version of steadfast wrote it")]
    UnknownKind {
        /// The tag found.
        tag: u32,
        /// The schema version found.
        version: u32,
    },
    /// The record's kind is known, its schema version is not.
    #[error("record kind {tag} has version {version}, this build reads up to {supported}")]
    UnknownVersion {
        /// The tag found.
        tag: u32,
        /// The schema version found.
        version: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// The payload does not have the fields of its kind.
    #[error("payload of record kind {tag} is malformed ({detail})")]
    Malformed {
        /// The tag found.
        tag: u32,
        /// What postcard says.
        detail: postcard::Error,
    },
    /// The payload is longer than its fields.
    #[error("payload of record kind {tag} has {extra} bytes after its last field")]
    TrailingBytes {
        /// The tag found.
        tag: u32,
        /// How many bytes are left over.
        extra: usize,
    },
}

/// Appends a number as a varint: 7 bits per byte, least significant first.
#[inline]
pub fn put_varint(number: u64, bytes: &mut Vec<u8>) {
    if number < 1 << 7 {
        bytes.push(low_byte(number));
    } else if number < 1 << 14 {
        bytes.extend_from_slice(&[low_byte(number) | 0x80, low_byte(number >> 7)]);
    } else {
        put_longer(number, bytes);
    }
}

/// Appends a number of at least three bytes.
fn put_longer(mut number: u64, bytes: &mut Vec<u8>) {
    if number < 1 << 28 {
        let (four, length) = room::short(number);
        let end = bytes.len() + length;
        bytes.extend_from_slice(&four);
        bytes.truncate(end);
        return;
    }
    while number >= 0x80 {
        bytes.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low_byte(number));
}

#[inline]
fn low_byte(number: u64) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}

/// Reads a varint of at most 32 bits at `*at` and moves `*at` behind it.
///
/// # Errors
///
/// [`DecodeError::CutShort`] at the end of the bytes, [`DecodeError::Overlong`] for a number above
/// 32 bits or one that is not in its shortest form.
pub fn take_varint(bytes: &[u8], at: &mut usize) -> Result<u32, DecodeError> {
    let start = *at;
    let mut number: u32 = 0;
    for shift in [0, 7, 14, 21, 28] {
        let Some(&byte) = bytes.get(*at) else {
            return Err(DecodeError::CutShort { offset: *at, needed: 1 });
        };
        *at += 1;
        let bits = u32::from(byte & 0x7f);
        if (shift == 28 && bits > 0x0f) || (shift > 0 && byte == 0) {
            return Err(DecodeError::Overlong { offset: start });
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError::Overlong { offset: start })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_edges() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u32::MAX - 1, u32::MAX] {
            let mut bytes = Vec::new();
            put_varint(u64::from(number), &mut bytes);
            let mut at = 0;
            assert_eq!(take_varint(&bytes, &mut at), Ok(number));
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn overlong_and_cut_varints_are_errors() {
        let take = |bytes: &[u8]| take_varint(bytes, &mut 0);
        assert_eq!(take(&[0x80, 0x00]), Err(DecodeError::Overlong { offset: 0 }));
        assert_eq!(take(&[0xff; 5]), Err(DecodeError::Overlong { offset: 0 }));
        assert_eq!(take(&[0xff, 0xff]), Err(DecodeError::CutShort { offset: 2, needed: 1 }));
    }
}
