//! Codes of keys: what the indexes of the network compare instead of values.
//!
//! A code is 64 bits. Codes of equal values are equal. For integers and the like the code *is* the
//! value, so that equal codes mean equal values and no condition is evaluated again; for everything
//! else it is a hash, and the condition itself decides. No code is ever observable: indexes are for
//! lookup and are never iterated.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// The codes of a batch of keys.
#[derive(Debug, Default)]
pub struct Codes {
    codes: Vec<u64>,
    hashed: bool,
}

impl Codes {
    /// Adds a code that stands for its value alone.
    #[inline]
    pub fn push_exact(&mut self, code: u64) {
        self.codes.push(code);
    }

    /// Adds a code that other values may share.
    #[inline]
    pub fn push_hashed(&mut self, code: u64) {
        self.hashed = true;
        self.codes.push(code);
    }

    /// The codes, one per row.
    pub fn as_slice(&self) -> &[u64] {
        &self.codes
    }

    pub(crate) fn clear(&mut self) {
        self.codes.clear();
        self.hashed = false;
    }

    pub(crate) fn is_exact(&self) -> bool {
        !self.hashed
    }

    pub(crate) fn codes_mut(&mut self) -> &mut Vec<u64> {
        &mut self.codes
    }
}

/// Mixes a code into another: for keys of several parts.
#[inline]
pub(crate) fn combine(code: u64, part: u64) -> u64 {
    fold(code ^ 0x9e37_79b9_7f4a_7c15, part ^ 0xd1b5_4a32_d192_ed03)
}

/// Multiplies to 128 bits and folds: every bit of both inputs reaches every bit of the result.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let bytes = product.to_le_bytes();
    let low = u64::from_le_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ]);
    let high = u64::from_le_bytes([
        bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15],
    ]);
    low ^ high
}

/// Spreads a code over the slots of an index.
#[inline]
pub(crate) fn spread(code: u64) -> u64 {
    fold(code ^ 0x2545_f491_4f6c_dd1d, 0x9e37_79b9_7f4a_7c15)
}

/// Hashes with fixed constants: the same in every process.
#[derive(Debug, Default)]
pub(crate) struct CodeHasher(u64);

impl Hasher for CodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = combine(self.0, word);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

/// The hash code of a value.
pub fn code_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = CodeHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A type whose values fit into their codes.
pub trait ExactKey {
    /// The value as a code.
    fn code(&self) -> u64;
}

/// A type that an ordered index can hold: codes are in the order of the values.
pub trait OrderedKey {
    /// The value as a code whose unsigned order never contradicts the value's.
    fn order(&self) -> u64;
}

const SIGN: u64 = 1 << 63;

/// The order code of a time.
pub fn time_order(millis: i64) -> u64 {
    millis.order()
}

/// The time of an order code.
pub(crate) fn time_of(order: u64) -> i64 {
    (order ^ SIGN).cast_signed()
}

macro_rules! signed_keys {
    ($($int:ty),*) => {
        $(
            impl ExactKey for $int {
                #[inline]
                fn code(&self) -> u64 {
                    i64::from(*self).cast_unsigned()
                }
            }
            impl OrderedKey for $int {
                /// With the sign bit flipped the unsigned order is the signed one.
                #[inline]
                fn order(&self) -> u64 {
                    i64::from(*self).cast_unsigned() ^ SIGN
                }
            }
        )*
    };
}
signed_keys!(i8, i16, i32, i64);

macro_rules! unsigned_keys {
    ($($int:ty),*) => {
        $(
            impl ExactKey for $int {
                #[inline]
                fn code(&self) -> u64 {
                    u64::from(*self)
                }
            }
            impl OrderedKey for $int {
                #[inline]
                fn order(&self) -> u64 {
                    u64::from(*self)
                }
            }
        )*
    };
}
unsigned_keys!(u8, u16, u32, u64);

impl ExactKey for bool {
    fn code(&self) -> u64 {
        u64::from(*self)
    }
}
impl ExactKey for char {
    fn code(&self) -> u64 {
        u64::from(*self)
    }
}
impl OrderedKey for char {
    fn order(&self) -> u64 {
        u64::from(*self)
    }
}
impl OrderedKey for f64 {
    /// IEEE order: negative numbers have all bits flipped, positive ones the sign bit. Zeros are
    /// made equal, as they compare equal.
    fn order(&self) -> u64 {
        let bits = (*self + 0.0).to_bits();
        if bits & SIGN == 0 { bits | SIGN } else { !bits }
    }
}
impl OrderedKey for f32 {
    fn order(&self) -> u64 {
        f64::from(*self).order()
    }
}
impl<T: ExactKey + ?Sized> ExactKey for &T {
    fn code(&self) -> u64 {
        (**self).code()
    }
}
impl<T: OrderedKey + ?Sized> OrderedKey for &T {
    fn order(&self) -> u64 {
        (**self).order()
    }
}

/// Picks the best code for a value whose type a macro cannot see: exact if there is one, else hashed.
///
/// `(&Probe(&value)).push_code(&mut codes)` finds [`PushExact`] first and falls back to
/// [`PushHashed`] by one more reference.
#[doc(hidden)]
#[derive(Debug)]
pub struct Probe<'a, T: ?Sized>(pub &'a T);

#[doc(hidden)]
pub trait PushExact {
    fn push_code(&self, codes: &mut Codes);
}
impl<T: ExactKey + ?Sized> PushExact for Probe<'_, T> {
    fn push_code(&self, codes: &mut Codes) {
        codes.push_exact(self.0.code());
    }
}

#[doc(hidden)]
pub trait PushHashed {
    fn push_code(&self, codes: &mut Codes);
}
impl<T: Hash + ?Sized> PushHashed for &Probe<'_, T> {
    fn push_code(&self, codes: &mut Codes) {
        codes.push_hashed(code_of(self.0));
    }
}

#[doc(hidden)]
pub trait PushOrder {
    fn push_order(&self, orders: &mut Vec<u64>);
}
impl<T: OrderedKey + ?Sized> PushOrder for Probe<'_, T> {
    fn push_order(&self, orders: &mut Vec<u64>) {
        orders.push(self.0.order());
    }
}

#[doc(hidden)]
pub trait PushUnordered {
    fn push_order(&self, orders: &mut Vec<u64>);
}
impl<T: ?Sized> PushUnordered for &Probe<'_, T> {
    /// One code for all values: the index then holds nothing back and the condition decides.
    fn push_order(&self, orders: &mut Vec<u64>) {
        orders.push(0);
    }
}

/// A constant, and the type of what it is compared to: for a code of the constant that is equal to that
/// of an equal value, if their types have such codes.
///
/// `(&&&compared(|fact: &F| &fact.path, &constant)).code()` finds [`ExactConstant`] first, then
/// [`HashedConstant`], and falls back to [`OpaqueConstant`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Compared<'a, K, C: ?Sized> {
    constant: &'a C,
    to: PhantomData<fn() -> K>,
}

#[doc(hidden)]
pub fn compared<T, K, C: ?Sized>(_: fn(&T) -> &K, constant: &C) -> Compared<'_, K, C> {
    Compared { constant, to: PhantomData }
}

#[doc(hidden)]
pub trait ExactConstant {
    /// The code, and whether it stands for its value alone.
    fn code(&self) -> Option<(u64, bool)>;
}
impl<K: ExactKey> ExactConstant for &&Compared<'_, K, K> {
    fn code(&self) -> Option<(u64, bool)> {
        Some((self.constant.code(), true))
    }
}

#[doc(hidden)]
pub trait HashedConstant {
    fn code(&self) -> Option<(u64, bool)>;
}
impl<K: Hash + Eq> HashedConstant for &Compared<'_, K, K> {
    fn code(&self) -> Option<(u64, bool)> {
        Some((code_of(self.constant), false))
    }
}
impl HashedConstant for &Compared<'_, String, &str> {
    fn code(&self) -> Option<(u64, bool)> {
        Some((code_of(self.constant), false))
    }
}

#[doc(hidden)]
pub trait OpaqueConstant {
    fn code(&self) -> Option<(u64, bool)>;
}
impl<K, C: ?Sized> OpaqueConstant for Compared<'_, K, C> {
    fn code(&self) -> Option<(u64, bool)> {
        None
    }
}

/// The last resort of a [`Probe`] where a key without a code is no error: nobody asks for it.
#[doc(hidden)]
pub trait PushNothing {
    fn push_constant(&self, codes: &mut Codes);
}
impl<T: ?Sized> PushNothing for Probe<'_, T> {
    fn push_constant(&self, _: &mut Codes) {}
}

#[doc(hidden)]
pub trait PushHashedConstant {
    fn push_constant(&self, codes: &mut Codes);
}
impl<T: Hash + ?Sized> PushHashedConstant for &Probe<'_, T> {
    fn push_constant(&self, codes: &mut Codes) {
        codes.push_hashed(code_of(self.0));
    }
}

#[doc(hidden)]
pub trait PushExactConstant {
    fn push_constant(&self, codes: &mut Codes);
}
impl<T: ExactKey + ?Sized> PushExactConstant for &&Probe<'_, T> {
    #[inline]
    fn push_constant(&self, codes: &mut Codes) {
        codes.push_exact(self.0.code());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::needless_borrow, reason = "as macros write it, who do not see the type")]
    fn constants_have_the_codes_of_equal_values() {
        struct Fact {
            int: i64,
            text: String,
            real: f64,
        }
        assert_eq!((&&&compared(|it: &Fact| &it.int, &-7)).code(), Some((code(-7), true)));
        let of_text = (&&&compared(|it: &Fact| &it.text, &"EWR")).code();
        assert_eq!(of_text, Some((code_of("EWR"), false)));
        assert_eq!((&&&compared(|it: &Fact| &it.real, &1.5)).code(), None);
        let mut codes = Codes::default();
        let fact = Fact { int: -7, text: "EWR".to_owned(), real: 1.5 };
        (&&&Probe(&fact.int)).push_constant(&mut codes);
        assert!(codes.is_exact());
        (&&&Probe(&fact.text)).push_constant(&mut codes);
        (&&&Probe(&fact.real)).push_constant(&mut codes);
        assert_eq!(codes.as_slice(), [code(-7), code_of("EWR")]);
    }

    fn code(value: i64) -> u64 {
        ExactKey::code(&value)
    }

    fn probed<T>(push: impl Fn(&mut Codes) -> T) -> (u64, bool) {
        let mut codes = Codes::default();
        push(&mut codes);
        (codes.as_slice()[0], codes.is_exact())
    }

    #[test]
    fn integers_are_exact_and_strings_are_hashed() {
        assert_eq!(probed(|codes| Probe(&-1_i32).push_code(codes)), (u64::MAX, true));
        let (owned, exact) = probed(|codes| (&Probe(&String::from("EWR"))).push_code(codes));
        let (borrowed, _) = probed(|codes| (&Probe(&"EWR")).push_code(codes));
        assert!(!exact);
        assert_eq!(owned, borrowed);
    }

    #[test]
    fn orders_follow_the_values() {
        let floats = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY];
        assert!(floats.windows(2).all(|pair| pair[0].order() <= pair[1].order()));
        assert_eq!((-0.0_f64).order(), 0.0_f64.order());
        assert!(i64::MIN.order() < (-1_i64).order() && (-1_i64).order() < 0_i64.order());
    }

    #[test]
    fn types_without_an_order_share_one() {
        let mut orders = Vec::new();
        (&Probe(&"b")).push_order(&mut orders);
        Probe(&7_u8).push_order(&mut orders);
        assert_eq!(orders, [0, 7]);
    }
}
