//! Writes what postcard writes, straight into a vector.
//!
//! Postcard's own serializer passes every byte through a flavor; most of what a session journals are
//! numbers of two to four bytes, and each of them is one store here. The bytes are postcard's: tests
//! compare them over the whole data model, and reading is left to postcard.

use std::fmt::{self, Display, Write as _};

use postcard::Error;
use serde::ser::{self, Serialize};

use super::{low_byte, room};

type Result<T> = std::result::Result<T, Error>;

/// Appends to a vector by way of a window of `N` bytes, at least 64, that it keeps itself: a number goes there
/// by one store for which nothing has to be looked up, and the vector gets many at once.
#[derive(Debug)]
pub(super) struct Writer<'a, const N: usize> {
    /// What has left the window.
    bytes: &'a mut Vec<u8>,
    window: [u8; N],
    /// What was written ends here in the window.
    at: usize,
}

/// Where a byte was left: behind so many bytes that had left the window, and there in it.
#[derive(Clone, Copy)]
pub(super) struct LeftByte {
    handed_over: usize,
    at: usize,
}

/// Window for one value.
pub(super) const ONE: usize = 64;

/// Window for many values in a row.
pub(super) const MANY: usize = 1024;

impl<'a, const N: usize> Writer<'a, N> {
    #[inline]
    pub(super) fn behind(bytes: &'a mut Vec<u8>) -> Self {
        const { assert!(N >= ONE, "a number of any length fits") };
        Self { bytes, window: [0; N], at: 0 }
    }

    /// Hands over what was written last.
    #[inline]
    pub(super) fn finish(&mut self) {
        if N == ONE {
            // A copy of a length that is known takes a few moves, and no call.
            let end = self.bytes.len() + self.at;
            self.bytes.extend_from_slice(&self.window);
            self.bytes.truncate(end);
        } else {
            self.bytes.extend_from_slice(&self.window[..self.at]);
        }
    }

    /// Appends an array in one piece.
    #[inline]
    fn array<const M: usize>(&mut self, bytes: [u8; M]) {
        if self.at > N - M {
            self.at = hand_over(self.bytes, &self.window, self.at);
        }
        self.window[self.at..self.at + M].copy_from_slice(&bytes);
        self.at += M;
    }

    #[inline]
    fn slice(&mut self, bytes: &[u8]) {
        self.at = put_slice(self.bytes, &mut self.window, self.at, bytes);
    }

    #[inline]
    fn number(&mut self, number: impl Into<u64>) {
        let (number, at) = (number.into(), self.at);
        if at <= N - 4 && number < 1 << 28 {
            let (four, length) = room::short(number);
            self.window[at..at + 4].copy_from_slice(&four);
            self.at = at + length;
        } else {
            self.at = put_long(self.bytes, &mut self.window, at, number);
        }
    }

    /// Leaves a byte for the length of what is written next.
    #[inline]
    pub(super) fn leave_length(&mut self) -> LeftByte {
        self.array([0]);
        LeftByte { handed_over: self.bytes.len(), at: self.at - 1 }
    }

    /// Puts the length of what was written since into the byte that was left for it.
    #[inline]
    pub(super) fn set_length(&mut self, LeftByte { handed_over, at }: LeftByte) {
        let length = self.at.wrapping_sub(at + 1);
        if self.bytes.len() == handed_over && length < 0x80 {
            self.window[at] = low_byte(length as u64);
        } else {
            self.at = set_long(self.bytes, &self.window, self.at, handed_over + at);
        }
    }

    /// The sign goes into the lowest bit.
    #[inline]
    fn signed(&mut self, number: impl Into<i64>) {
        let number = number.into();
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    #[inline]
    fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.slice(bytes);
    }

    #[inline]
    fn wide(&mut self, number: u128) {
        self.at = put_wide(self.bytes, &mut self.window, self.at, number);
    }
}

// What follows is seldom or long. It takes the writer apart, so that the compiler can keep `at` in a
// register from one field to the next: through memory each would wait for the one before it.

/// Puts the length of what follows `length_at` there, wherever that is by now.
#[inline(never)]
fn set_long(bytes: &mut Vec<u8>, window: &[u8], at: usize, length_at: usize) -> usize {
    bytes.extend_from_slice(&window[..at]);
    super::v1::set_length(bytes, length_at);
    0
}

/// Empties the window; gives where it then ends.
#[inline(never)]
fn hand_over(bytes: &mut Vec<u8>, window: &[u8], at: usize) -> usize {
    bytes.extend_from_slice(&window[..at]);
    0
}

/// Puts bytes at `at`; gives where they end.
#[inline(never)] // they are many, or the window is full
fn put_slice(bytes: &mut Vec<u8>, window: &mut [u8], at: usize, piece: &[u8]) -> usize {
    if window.len() - at >= piece.len() {
        let end = at + piece.len();
        window[at..end].copy_from_slice(piece);
        return end;
    }
    bytes.extend_from_slice(&window[..at]);
    bytes.extend_from_slice(piece);
    0
}

/// Puts a number that takes more than four bytes, as moments do, or for which there is no room.
#[inline(never)]
fn put_long(bytes: &mut Vec<u8>, window: &mut [u8], at: usize, number: u64) -> usize {
    match window.get_mut(at..).and_then(|room| room.first_chunk_mut()) {
        Some(room) if number < 1 << 56 => {
            let (eight, length) = room::long(number);
            *room = eight;
            at + length
        }
        _ => put_wide(bytes, window, at, number.into()),
    }
}

/// Puts a number of any length.
#[cold]
fn put_wide(bytes: &mut Vec<u8>, window: &mut [u8], at: usize, number: u128) -> usize {
    let mut digits = [0; WIDE_BYTES];
    let (mut rest, mut length) = (number, 0);
    while rest >= 0x80 {
        digits[length] = u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80;
        (rest, length) = (rest >> 7, length + 1);
    }
    digits[length] = u8::try_from(rest).unwrap_or_default();
    put_slice(bytes, window, at, &digits[..=length])
}

/// Bytes of a number of 128 bits.
const WIDE_BYTES: usize = 19;

/// Counts what a value's `Display` writes: its length stands before it.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

impl<const N: usize> fmt::Write for Writer<'_, N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.slice(text.as_bytes());
        Ok(())
    }
}

impl<const N: usize> ser::Serializer for &mut Writer<'_, N> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.serialize_u8(u8::from(value))
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<()> {
        self.serialize_u8(value.cast_unsigned())
    }

    #[inline]
    fn serialize_i16(self, value: i16) -> Result<()> {
        self.signed(value);
        Ok(())
    }

    #[inline]
    fn serialize_i32(self, value: i32) -> Result<()> {
        self.signed(value);
        Ok(())
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Result<()> {
        self.signed(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        self.wide(((value << 1) ^ (value >> 127)).cast_unsigned());
        Ok(())
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<()> {
        self.array([value]);
        Ok(())
    }

    #[inline]
    fn serialize_u16(self, value: u16) -> Result<()> {
        self.number(value);
        Ok(())
    }

    #[inline]
    fn serialize_u32(self, value: u32) -> Result<()> {
        self.number(value);
        Ok(())
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<()> {
        self.number(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        self.wide(value);
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<()> {
        self.array(value.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<()> {
        self.array(value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.blob(value.as_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.blob(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.array([1]);
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<()> {
        self.serialize_u32(index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.number(index);
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self> {
        self.number(length.ok_or(Error::SerializeSeqLengthUnknown)? as u64);
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self> {
        self.number(index);
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self> {
        self.number(index);
        Ok(self)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        let mut length = Length(0);
        write!(length, "{value}").map_err(|_| Error::CollectStrError)?;
        self.number(length.0 as u64);
        write!(self, "{value}").map_err(|_| Error::CollectStrError)
    }
}

/// The parts of a compound value follow one another, with nothing between or behind them.
macro_rules! compound {
    ($($kind:ident, $part:ident $(, $key:ty)?;)*) => {$(
        impl<const N: usize> ser::$kind for &mut Writer<'_, N> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $part<T: Serialize + ?Sized>(&mut self, $(_key: $key,)? value: &T) -> Result<()> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<()> {
                Ok(())
            }
        }
    )*};
}

compound! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
    SerializeStruct, serialize_field, &'static str;
    SerializeStructVariant, serialize_field, &'static str;
}

impl<const N: usize> ser::SerializeMap for &mut Writer<'_, N> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        key.serialize(&mut **self)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut **self)
    }

    #[inline]
    fn end(self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use postcard::Error;
    use serde::Serialize;

    use super::{MANY, ONE, Writer};

    #[derive(Serialize)]
    enum Choice {
        Unit,
        Newtype(i8),
        Tuple(u16, bool),
        Struct { text: String, inner: Option<Box<Choice>> },
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Newtype(f32);

    #[derive(Serialize)]
    struct Pair(u8, i16);

    /// Written through its `Display`.
    struct Shown(u64);

    impl Serialize for Shown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&format_args!("<{}>", self.0))
        }
    }

    /// Something whose length is not known ahead.
    struct Endless;

    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq((0..9).filter(|number| number % 2 == 0))
        }
    }

    struct Bytes(&'static [u8]);

    impl Serialize for Bytes {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    fn written_by<const N: usize>(value: &impl Serialize) -> Result<Vec<u8>, Error> {
        let mut bytes = b"before".to_vec();
        let mut writer = Writer::<N>::behind(&mut bytes);
        let result = value.serialize(&mut writer);
        writer.finish();
        result.map(|()| bytes.split_off("before".len()))
    }

    fn written(value: &impl Serialize) -> Result<Vec<u8>, Error> {
        let one = written_by::<ONE>(value);
        assert_eq!(one, written_by::<MANY>(value), "whatever the window");
        one
    }

    #[track_caller]
    fn same(value: &impl Serialize) {
        assert_eq!(written(value), postcard::to_stdvec(value));
        // Wherever it begins in the window, so that each of its parts is the one that finds it full.
        for before in 0..ONE {
            let before = vec![7_u8; before];
            let shifted = (before, value);
            assert_eq!(written_by::<ONE>(&shifted), postcard::to_stdvec(&shifted));
        }
    }

    #[test]
    fn numbers_are_postcards_at_all_of_their_edges() {
        for bit in 0..128 {
            let edge = 1_u128 << bit;
            for number in [edge - 1, edge, edge + 1, !edge] {
                let low = u64::try_from(number & u128::from(u64::MAX)).expect("64 bits");
                let signed = low.cast_signed();
                same(&(number, number.cast_signed(), low, signed));
                same(&(low.to_le_bytes(), f64::from_bits(low)));
                let [a, b, c, d, ..] = low.to_le_bytes();
                let (word, half) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([a, b]));
                same(&(word, word.cast_signed(), half, half.cast_signed(), a, a.cast_signed()));
                same(&f32::from_bits(word));
            }
        }
    }

    #[test]
    fn every_part_of_the_data_model_is_postcards() {
        let inner = Some(Box::new(Choice::Tuple(300, true)));
        let map: BTreeMap<String, (char, Option<u32>)> =
            [("a", ('\u{1f600}', Some(7))), ("long".repeat(50).as_str(), ('x', None))]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
        same(&vec![Choice::Unit, Choice::Newtype(-1), Choice::Struct { text: "t".into(), inner }]);
        same(&(Unit, Newtype(1.5), Pair(1, -300), (), map, Shown(17)));
        same(&(Bytes(b"raw"), [1_u64, 1 << 20, u64::MAX], vec!["x".repeat(200)]));
    }

    #[test]
    fn what_postcard_refuses_is_refused() {
        assert_eq!(written(&Endless), Err(Error::SerializeSeqLengthUnknown));
        assert_eq!(postcard::to_stdvec(&Endless), Err(Error::SerializeSeqLengthUnknown));
    }
}
