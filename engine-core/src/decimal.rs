//! Decimals as fields of facts: one value, one representation.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{
    Add, AddAssign, Deref, Div, DivAssign, Mul, MulAssign, Neg, Rem, RemAssign, Sub, SubAssign,
};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::OrderedKey;

/// A decimal number: up to 96 bits with up to 28 digits behind the point.
///
/// It is a [`rust_decimal::Decimal`] without trailing zeros, so that equal numbers are the same in every
/// respect: 1.0 and 1.00 serialize to the same bytes, are one key of a join or a group, and one derived
/// fact. That is what facts need and what a `rust_decimal::Decimal` itself does not give, which keeps its
/// zeros; so a field has this type. It dereferences to that type for what is not here.
///
/// Sums of decimals are exact, whatever the order, and an error where 96 bits do not hold them; averages are
/// rounded once, to as many digits as there are room for, if they are declared as decimals.
/// Arithmetic with operators panics when a number is too large: in a consequence that is an error of the
/// consequence, in a condition it stops the session, so that conditions are better off with
/// [`Decimal::checked_add`] and the like.
///
/// ```
/// use steadfast_engine_core::Decimal;
///
/// let price: Decimal = "1.50".parse()?;
/// assert_eq!(price, Decimal::new(15, 1));
/// assert_eq!((price * Decimal::from(3)).to_string(), "4.5");
/// assert_eq!(format!("{:.2}", price), "1.50");
/// # Ok::<(), rust_decimal::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Decimal(rust_decimal::Decimal);

impl Decimal {
    /// 0.
    pub const ZERO: Self = Self(rust_decimal::Decimal::ZERO);
    /// 1.
    pub const ONE: Self = Self(rust_decimal::Decimal::ONE);
    /// The greatest one, 79,228,162,514,264,337,593,543,950,335.
    pub const MAX: Self = Self(rust_decimal::Decimal::MAX);
    /// The least one.
    pub const MIN: Self = Self(rust_decimal::Decimal::MIN);

    /// So many units of the last of so many digits behind the point: 150 with 2 digits is 1.5.
    ///
    /// # Panics
    ///
    /// With more than 28 digits; in a constant it does not compile then.
    pub const fn new(units: i64, digits: u32) -> Self {
        let (mut units, mut digits) = (units, digits);
        while digits > 0 && units % 10 == 0 {
            units /= 10;
            digits -= 1;
        }
        assert!(digits <= 28, "a decimal has at most 28 digits behind the point");
        let magnitude = units.unsigned_abs();
        #[expect(clippy::cast_possible_truncation, reason = "it is taken apart")]
        let (low, middle) = (magnitude as u32, (magnitude >> 32) as u32);
        Self(rust_decimal::Decimal::from_parts(low, middle, 0, units < 0, digits))
    }

    /// The number in the type that does the arithmetic, without trailing zeros.
    pub const fn get(self) -> rust_decimal::Decimal {
        self.0
    }

    /// The sum, if 96 bits hold it.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self::from)
    }

    /// The difference, if 96 bits hold it.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self::from)
    }

    /// The product, if 96 bits hold it; rounded to 28 digits behind the point.
    pub fn checked_mul(self, other: Self) -> Option<Self> {
        self.0.checked_mul(other.0).map(Self::from)
    }

    /// The quotient, rounded to 28 digits behind the point; none of 0.
    pub fn checked_div(self, other: Self) -> Option<Self> {
        self.0.checked_div(other.0).map(Self::from)
    }

    /// From units of the last of up to 28 digits behind the point, if 96 bits hold them.
    pub(crate) fn of_units(units: i128, digits: u32) -> Option<Self> {
        rust_decimal::Decimal::try_from_i128_with_scale(units, digits).ok().map(Self::from)
    }
}

impl From<rust_decimal::Decimal> for Decimal {
    fn from(decimal: rust_decimal::Decimal) -> Self {
        Self(decimal.normalize())
    }
}
impl From<Decimal> for rust_decimal::Decimal {
    fn from(decimal: Decimal) -> Self {
        decimal.0
    }
}
macro_rules! from_integers {
    ($($int:ty),*) => {
        $(impl From<$int> for Decimal {
            fn from(integer: $int) -> Self {
                Self(integer.into())
            }
        })*
    };
}
from_integers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Deref for Decimal {
    type Target = rust_decimal::Decimal;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = rust_decimal::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<rust_decimal::Decimal>().map(Self::from)
    }
}
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! operators {
    ($($op:ident $method:ident $assign:ident $assign_method:ident;)*) => {
        $(
            impl $op for Decimal {
                type Output = Self;
                fn $method(self, other: Self) -> Self {
                    self.0.$method(other.0).into()
                }
            }
            impl $assign for Decimal {
                fn $assign_method(&mut self, other: Self) {
                    *self = $op::$method(*self, other);
                }
            }
        )*
    };
}
operators! {
    Add add AddAssign add_assign;
    Sub sub SubAssign sub_assign;
    Mul mul MulAssign mul_assign;
    Div div DivAssign div_assign;
    Rem rem RemAssign rem_assign;
}
impl Neg for Decimal {
    type Output = Self;
    fn neg(self) -> Self {
        // 0 has one sign.
        (-self.0).into()
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Words from the lowest one on, whatever the byte order of the machine.
        for word in self.0.mantissa().to_le_bytes().as_chunks::<8>().0 {
            u64::from_le_bytes(*word).hash(state);
        }
        self.0.scale().hash(state);
    }
}

/// Digits behind the point that the codes of ordered indexes tell apart.
const CODE_DIGITS: u32 = 6;

impl OrderedKey for Decimal {
    /// Millionths, rounded down, as far as a word holds them: numbers that differ by less, or are beyond,
    /// share a code, and the condition itself decides.
    fn order(&self) -> u64 {
        let (units, digits) = (self.0.mantissa(), self.0.scale());
        let millionths = match digits.checked_sub(CODE_DIGITS) {
            None => units.saturating_mul(10_i128.pow(CODE_DIGITS - digits)),
            Some(more) => units.div_euclid(10_i128.pow(more)),
        };
        let nearest = if units < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(millionths).unwrap_or(nearest).order()
    }
}

/// In text as text; in bytes as the number of digits behind the point and the units.
impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(&self.0);
        }
        let digits = u8::try_from(self.0.scale()).expect("at most 28");
        (digits, self.0.mantissa()).serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
            return text.parse().map_err(D::Error::custom);
        }
        let (digits, units) = <(u8, i128)>::deserialize(deserializer)?;
        Self::of_units(units, digits.into()).ok_or_else(|| {
            D::Error::custom(format_args!(
                "no decimal: {units} units of {digits} digits behind the point; expected at most 96 bits \
                 and 28 digits"
            ))
        })
    }
}

impl PartialEq<rust_decimal::Decimal> for Decimal {
    fn eq(&self, other: &rust_decimal::Decimal) -> bool {
        self.0 == *other
    }
}
impl PartialOrd<rust_decimal::Decimal> for Decimal {
    fn partial_cmp(&self, other: &rust_decimal::Decimal) -> Option<Ordering> {
        self.0.partial_cmp(other)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::code_of;

    fn decimals() -> impl Strategy<Value = rust_decimal::Decimal> {
        let units = prop_oneof![-200..200_i128, -(1_i128 << 95)..1 << 95];
        (units, 0..29_u32)
            .prop_map(|(units, digits)| rust_decimal::Decimal::from_i128_with_scale(units, digits))
    }

    proptest! {
        #[test]
        fn equal_numbers_are_the_same_in_every_respect(number in decimals(), more in 0..29_u32) {
            let decimal = Decimal::from(number);
            let mut padded = number;
            // As many zeros more as 96 bits have room for.
            padded.rescale(number.scale().saturating_add(more).min(28));
            prop_assume!(padded == number);
            let other = Decimal::from(padded);
            prop_assert_eq!(decimal, other);
            let bytes = postcard::to_allocvec(&decimal).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_allocvec(&other).unwrap());
            prop_assert_eq!(code_of(&decimal), code_of(&other));
            prop_assert_eq!(decimal.to_string(), other.to_string());
            prop_assert_eq!(postcard::from_bytes::<Decimal>(&bytes).unwrap(), decimal);
            prop_assert_eq!(decimal.to_string().parse::<Decimal>().unwrap(), decimal);
        }

        #[test]
        fn codes_of_an_order_never_contradict_it(one in decimals(), other in decimals()) {
            let (one, other) = (Decimal::from(one), Decimal::from(other));
            if one < other {
                prop_assert!(one.order() <= other.order(), "{one} {other}");
            }
            let apart = rust_decimal::Decimal::new(2, CODE_DIGITS);
            if let (Some(next), true) = (one.0.checked_add(apart), one.0.abs() < 1_000_000.into()) {
                prop_assert!(one.order() < Decimal::from(next).order(), "{one}");
            }
        }
    }

    #[test]
    fn constants_have_no_trailing_zeros_and_0_has_no_sign() {
        const PRICE: Decimal = Decimal::new(15_000, 4);
        assert_eq!((PRICE.mantissa(), PRICE.scale()), (15, 1));
        assert_eq!(Decimal::new(0, 28), Decimal::ZERO);
        let nothing = -Decimal::ZERO;
        assert!(nothing.is_sign_positive());
        assert_eq!(Decimal::new(7, 1) - Decimal::new(70, 2), Decimal::ZERO);
        assert_eq!(Decimal::MAX.checked_add(Decimal::ONE), None);
    }

    #[test]
    fn bytes_that_are_no_decimal_are_refused() {
        for (digits, units) in [(29_u8, 1_i128), (0, 1 << 96), (0, i128::MIN)] {
            let bytes = postcard::to_allocvec(&(digits, units)).unwrap();
            assert!(postcard::from_bytes::<Decimal>(&bytes).is_err(), "{units} of {digits}");
        }
        // Zeros that somebody else has written are taken off.
        let bytes = postcard::to_allocvec(&(2_u8, 100_i128)).unwrap();
        let decimal: Decimal = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((decimal.mantissa(), decimal.scale()), (1, 0));
    }
}
