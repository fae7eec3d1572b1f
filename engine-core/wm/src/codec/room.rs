//! Room for a few numbers at the end of a vector, asked for once.

use super::low_byte;

/// Zeroed room of `N` bytes; what is not used is given back.
///
/// Short numbers are stored four bytes at once, so the room must have three bytes more than the numbers
/// in it take at most: ten bytes for one of 64 bits, five for one of 32.
#[derive(Debug)]
pub(super) struct Room<'a, const N: usize> {
    bytes: &'a mut [u8; N],
    at: usize,
}

impl<'a, const N: usize> Room<'a, N> {
    /// Room in an array of zeros.
    #[inline]
    pub(super) fn over(bytes: &'a mut [u8; N]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were put into it.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.at
    }

    /// Appends what `write` puts into the room.
    #[inline]
    pub(super) fn fill(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Room<'_, N>)) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; N]);
        let room = bytes.last_chunk_mut().expect("the room was just made");
        let mut room = Room { bytes: room, at: 0 };
        write(&mut room);
        let end = start + room.at;
        bytes.truncate(end);
    }

    /// A varint.
    #[inline]
    pub(super) fn number(&mut self, number: impl Into<u64>) {
        let number = number.into();
        if number < 0x80 {
            self.byte(low_byte(number));
        } else {
            self.several(number);
        }
    }

    /// A number of several bytes.
    fn several(&mut self, number: u64) {
        if number < 1 << 28 {
            let (four, length) = short(number);
            let room = self.bytes[self.at..].first_chunk_mut().expect("there is room for four");
            *room = four;
            self.at += length;
        } else {
            self.longer(number);
        }
    }

    #[cold]
    fn longer(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(low_byte(number) | 0x80);
            number >>= 7;
        }
        self.byte(low_byte(number));
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    /// A varint with the sign in its lowest bit.
    #[inline]
    pub(super) fn signed(&mut self, number: impl Into<i64>) {
        let number = number.into();
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    #[inline]
    pub(super) fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }
}

/// A varint of one to four bytes, with what stands behind it, and its length.
#[inline]
pub(super) fn short(number: u64) -> ([u8; 4], usize) {
    let number = u32::try_from(number).unwrap_or_default();
    // In each byte but the last the first bit says that more follow.
    let (four, length) = if number < 1 << 14 {
        if number < 1 << 7 {
            (number, 1)
        } else {
            (0x80 | (number & 0x7f) | (number << 1 & 0x7f00), 2)
        }
    } else {
        let low = (number & 0x7f) | (number << 1 & 0x7f00);
        if number < 1 << 21 {
            (0x8080 | low | (number << 2 & 0x7f_0000), 3)
        } else {
            (0x80_8080 | low | (number << 2 & 0x7f_0000) | (number << 3 & 0x7f00_0000), 4)
        }
    };
    (four.to_le_bytes(), length)
}

/// A varint of at most 56 bits, with what stands behind it, and its length.
#[inline]
pub(super) fn long(number: u64) -> ([u8; 8], usize) {
    // The sevens of bits move apart: first the halves, then the quarters, then the eighths.
    let halves = (number & 0x0fff_ffff) | (number << 4 & 0x0fff_ffff_0000_0000);
    let quarters = (halves & 0x0000_3fff_0000_3fff) | (halves << 2 & 0x3fff_0000_3fff_0000);
    let eighths = (quarters & 0x007f_007f_007f_007f) | (quarters << 1 & 0x7f00_7f00_7f00_7f00);
    let bits = (u64::BITS - number.leading_zeros()).max(1);
    let length = bits.div_ceil(7).min(8);
    // In each byte but the last the first bit says that more follow.
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * (length - 1))) - 1);
    ((eighths | more).to_le_bytes(), length as usize)
}
