//! Sums, averages and variances: exact inside, rounded once when they are shown.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;

use super::exact::{DOUBLE, Exact, SINGLE, parts};
use super::{Aggregate, AggregateError};

/// A number that can be summed exactly: an integer, a float, a decimal of fixed scale.
///
/// Implement it for a number type of your own by saying how many units it is: a decimal with two
/// digits behind the point is so many hundredths.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use steadfast_engine_core::aggregate::{Integers, Summable};
///
/// #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
/// struct Money { cents: i64 }
///
/// impl Summable for Money {
///     type Total = Integers;
///     const UNITS_PER_ONE: u64 = 100;
///
///     fn term(&self) -> i128 {
///         self.cents.into()
///     }
///     fn of_total(total: &Integers) -> Option<Self> {
///         let cents = total.units()?.try_into().ok()?;
///         Some(Self { cents })
///     }
/// }
/// ```
pub trait Summable: Clone + Send + 'static {
    /// What is kept of many: [`Integers`] or [`Floats`], or `Decimals` with the feature `decimal`.
    type Total: Total;
    /// How many units make 1. An average or a variance, which is a `f64`, is of numbers, not of
    /// units. Not 0; 1 for floats.
    const UNITS_PER_ONE: u64 = 1;

    /// The number in units.
    fn term(&self) -> <Self::Total as Total>::Term;

    /// The number that a total is, if the type holds it. What it holds not is an error of the sum,
    /// never a wrapped number.
    fn of_total(total: &Self::Total) -> Option<Self>;
}

pub(super) mod sealed {
    pub trait Sealed {}
}

/// An exact total of numbers: terms are added and taken away without loss, in any order.
pub trait Total: Clone + Default + fmt::Debug + Send + sealed::Sealed + 'static {
    /// What is added.
    type Term: Copy;
    /// An exact total of squares.
    #[doc(hidden)]
    type Squares: Clone + Default + fmt::Debug + Send + 'static;

    #[doc(hidden)]
    fn enter(&mut self, term: Self::Term);
    #[doc(hidden)]
    fn leave(&mut self, term: Self::Term);
    #[doc(hidden)]
    fn enter_square(squares: &mut Self::Squares, term: Self::Term);
    #[doc(hidden)]
    fn leave_square(squares: &mut Self::Squares, term: Self::Term);
    /// The total in digits, for errors.
    #[doc(hidden)]
    fn text(&self) -> String;
    /// The total divided by all divisors.
    #[doc(hidden)]
    fn ratio(&self, divisors: &[u64]) -> f64;
    /// The squares of the deviations from the mean, summed and divided by the divisor, or the root of
    /// that.
    #[doc(hidden)]
    fn spread(&self, squares: &Self::Squares, moments: &Moments) -> f64;
}

/// What a variance is computed with beside the sums.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    count: u64,
    divisor: u64,
    units_per_one: u64,
    root: bool,
}

impl Moments {
    /// `(n · Σx² - (Σx)²) / (n · divisor)`, in numbers.
    fn of<const A: i32, const B: i32>(self, sum: &Exact<A>, squares: &Exact<B>) -> f64 {
        self.in_units(sum, squares, &[self.units_per_one])
    }

    /// The same where as many units make 1 as the product of these.
    pub(super) fn in_units<const A: i32, const B: i32>(
        self,
        sum: &Exact<A>,
        squares: &Exact<B>,
        units_per_one: &[u64],
    ) -> f64 {
        let deviations = squares.value().times(self.count).minus(&sum.value().squared());
        let divisors = [&[self.count, self.divisor], units_per_one, units_per_one].concat();
        if self.root { deviations.root_of_ratio(&divisors) } else { deviations.ratio(&divisors) }
    }
}

/// A total of integers, or of anything that is counted in units, however large.
#[derive(Clone, Debug, Default)]
pub struct Integers(Exact<0>);

impl Integers {
    /// The total in units, if an `i128` holds it.
    pub fn units(&self) -> Option<i128> {
        self.0.units()
    }
}

/// Integers up to this are exact in a `f64`.
const EXACT_MAX: u64 = 1 << 53;

impl sealed::Sealed for Integers {}
impl Total for Integers {
    type Term = i128;
    type Squares = Exact<0>;

    #[inline]
    fn enter(&mut self, term: i128) {
        self.0.add(term < 0, term.unsigned_abs(), 0);
    }
    #[inline]
    fn leave(&mut self, term: i128) {
        self.0.add(term >= 0, term.unsigned_abs(), 0);
    }
    fn enter_square(squares: &mut Exact<0>, term: i128) {
        squares.add_square(false, term.unsigned_abs(), 0);
    }
    fn leave_square(squares: &mut Exact<0>, term: i128) {
        squares.add_square(true, term.unsigned_abs(), 0);
    }
    fn text(&self) -> String {
        self.0.value().to_decimal()
    }
    #[expect(clippy::cast_precision_loss, reason = "small enough to be exact")]
    fn ratio(&self, divisors: &[u64]) -> f64 {
        let divisor = divisors.iter().try_fold(1_u64, |product, &by| product.checked_mul(by));
        match (self.0.near(), divisor) {
            (Some(sum), Some(divisor))
                if sum.unsigned_abs() <= u128::from(EXACT_MAX) && divisor <= EXACT_MAX =>
            {
                sum as f64 / divisor as f64
            }
            _ => self.0.value().ratio(divisors),
        }
    }
    fn spread(&self, squares: &Exact<0>, moments: &Moments) -> f64 {
        moments.of(&self.0, squares)
    }
}

/// A total of floats: exact for finite numbers, and a count for each kind of the others.
///
/// What it shows is a function of the members alone: NaN if there is a NaN among them, or infinities
/// of both signs; infinite if there are infinities of one sign; else the sum of the finite ones,
/// rounded once, to nearest, ties to even. A sum of 0 is positive, also that of negative zeros. One
/// beyond the greatest number is infinite, until members leave.
#[derive(Clone, Debug, Default)]
pub struct Floats {
    sum: Exact<FLOAT_UNIT>,
    others: Option<Box<Others>>,
}

/// Exponent of the unit of a sum of floats: a sum of up to 10¹⁴ of terms of 10⁻⁸ fits the word.
const FLOAT_UNIT: i32 = -80;
/// The same for squares, which have twice as many bits; most do not fit the word.
const SQUARE_UNIT: i32 = -100;

/// How many of those that are not finite there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Others {
    nan: u64,
    positive: u64,
    negative: u64,
}

impl Floats {
    fn count(&mut self, term: f64, by: impl FnOnce(&mut u64)) {
        let others = self.others.get_or_insert_default();
        by(match term {
            f64::INFINITY => &mut others.positive,
            f64::NEG_INFINITY => &mut others.negative,
            _ => &mut others.nan,
        });
        if **others == Others::default() {
            self.others = None;
        }
    }

    fn infinite(&self) -> Option<f64> {
        let Others { nan, positive, negative } = **self.others.as_ref()?;
        Some(match (nan, positive, negative) {
            (0, _, 0) => f64::INFINITY,
            (0, 0, _) => f64::NEG_INFINITY,
            _ => f64::NAN,
        })
    }

    /// The total as the nearest `f64`.
    #[expect(clippy::cast_precision_loss, reason = "it is where a sum is rounded, to nearest")]
    pub fn to_f64(&self) -> f64 {
        const SCALE: f64 = 1.0 / (1_u128 << -FLOAT_UNIT) as f64;
        self.infinite().unwrap_or_else(|| match self.sum.near() {
            // The scale is a power of 2: there is no second rounding.
            Some(units) => units as f64 * SCALE,
            None => self.sum.round(&DOUBLE),
        })
    }

    /// The total as the nearest `f32`.
    #[expect(clippy::cast_possible_truncation, reason = "it is rounded to what a f32 holds")]
    pub fn to_f32(&self) -> f32 {
        self.infinite().unwrap_or_else(|| self.sum.round(&SINGLE)) as f32
    }
}

impl sealed::Sealed for Floats {}
impl Total for Floats {
    type Term = f64;
    type Squares = Exact<SQUARE_UNIT>;

    #[inline]
    fn enter(&mut self, term: f64) {
        if term.is_finite() {
            let (negative, mantissa, exponent) = parts(term);
            self.sum.add(negative, mantissa, exponent);
        } else {
            self.count(term, |count| *count += 1);
        }
    }
    #[inline]
    fn leave(&mut self, term: f64) {
        if term.is_finite() {
            let (negative, mantissa, exponent) = parts(term);
            self.sum.add(!negative, mantissa, exponent);
        } else {
            self.count(term, |count| *count -= 1);
        }
    }
    fn enter_square(squares: &mut Self::Squares, term: f64) {
        if term.is_finite() {
            let (_, mantissa, exponent) = parts(term);
            squares.add_square(false, mantissa, exponent);
        }
    }
    fn leave_square(squares: &mut Self::Squares, term: f64) {
        if term.is_finite() {
            let (_, mantissa, exponent) = parts(term);
            squares.add_square(true, mantissa, exponent);
        }
    }
    fn text(&self) -> String {
        self.to_f64().to_string()
    }
    fn ratio(&self, divisors: &[u64]) -> f64 {
        self.infinite().unwrap_or_else(|| self.sum.value().ratio(divisors))
    }
    fn spread(&self, squares: &Self::Squares, moments: &Moments) -> f64 {
        // The deviation from an infinite mean is no number.
        self.infinite().map_or_else(|| moments.of(&self.sum, squares), |_| f64::NAN)
    }
}

macro_rules! integers {
    ($($int:ty),*) => {
        $(impl Summable for $int {
            type Total = Integers;
            #[inline]
            fn term(&self) -> i128 {
                i128::from(*self)
            }
            #[inline]
            fn of_total(total: &Integers) -> Option<Self> {
                Self::try_from(total.units()?).ok()
            }
        })*
    };
}
integers!(u8, u16, u32, u64, i8, i16, i32, i64, i128);

impl Summable for f64 {
    type Total = Floats;
    #[inline]
    fn term(&self) -> f64 {
        *self
    }
    fn of_total(total: &Floats) -> Option<Self> {
        Some(total.to_f64())
    }
}

impl Summable for f32 {
    type Total = Floats;
    #[inline]
    fn term(&self) -> f64 {
        f64::from(*self)
    }
    fn of_total(total: &Floats) -> Option<Self> {
        Some(total.to_f32())
    }
}

/// Declares functions with an input and a declared output.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident<I, O = $default:ty>;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name<I, O = $default>(PhantomData<fn(I) -> O>);

            impl<I, O> Default for $name<I, O> {
                fn default() -> Self {
                    Self(PhantomData)
                }
            }
        )*
    };
}
pub(super) use functions;

functions! {
    /// The sum, exact; 0 for no members.
    ///
    /// A sum that does not fit the output's type is an error, never a wrapped number. Sums of floats are
    /// as [`Floats`] says.
    Sum<I, O = I>;
    /// The arithmetic mean: the exact sum divided by the count, rounded once; none for no members.
    Average<I, O = f64>;
    /// The variance of all members: the mean of the squares of their deviations from the mean. From exact
    /// sums, rounded once; none for no members.
    Variance<I, O = f64>;
    /// The square root of [`Variance`], also where that is beyond the floats.
    StdDev<I, O = f64>;
    /// The variance of what the members are a sample of: as [`Variance`], but divided by one less than
    /// their number; none for less than two members.
    SampleVariance<I, O = f64>;
    /// The square root of [`SampleVariance`].
    SampleStdDev<I, O = f64>;
}

impl<I, O> Aggregate for Sum<I, O>
where
    I: Summable,
    O: Summable<Total = I::Total> + PartialEq + Serialize,
{
    type Input = I;
    type State = I::Total;
    type Output = O;

    fn text(&self) -> String {
        "sum".to_owned()
    }
    #[inline]
    fn enter(&self, state: &mut I::Total, _facts: &[u64], input: &I) {
        state.enter(input.term());
    }
    #[inline]
    fn leave(&self, state: &mut I::Total, _facts: &[u64], input: &I) {
        state.leave(input.term());
    }
    #[inline]
    fn output(&self, state: &I::Total) -> Result<Option<O>, AggregateError> {
        O::of_total(state).map(Some).ok_or_else(|| AggregateError::Overflow {
            function: "sum",
            exact: state.text(),
            target: std::any::type_name::<O>(),
        })
    }
}

/// What an average, a variance or the like may be declared as: `f64`, or `Option<f64>` to propagate for
/// no members.
pub trait Mean: Clone + PartialEq + Serialize + Send + 'static {
    /// From the mean, if there is one; `None` does not propagate.
    fn from_mean(mean: Option<f64>) -> Option<Self>;
}
impl Mean for f64 {
    fn from_mean(mean: Option<f64>) -> Option<Self> {
        mean
    }
}
impl Mean for Option<f64> {
    fn from_mean(mean: Option<f64>) -> Option<Self> {
        Some(mean)
    }
}

/// What an average of numbers with such totals may be declared as: a [`Mean`], or of decimals a decimal.
pub trait MeanOf<T: Total>: Clone + PartialEq + Serialize + Send + 'static {
    /// The total divided by the number of members and by how many units make 1, rounded once; `None` does
    /// not propagate.
    fn mean_of(total: &T, count: u64, units_per_one: u64) -> Option<Self>;
}
impl<T: Total, M: Mean> MeanOf<T> for M {
    fn mean_of(total: &T, count: u64, units_per_one: u64) -> Option<Self> {
        M::from_mean((count > 0).then(|| total.ratio(&[count, units_per_one])))
    }
}

impl<I: Summable, O: MeanOf<I::Total>> Aggregate for Average<I, O> {
    type Input = I;
    type State = (I::Total, u64);
    type Output = O;

    fn text(&self) -> String {
        "average".to_owned()
    }
    fn enter(&self, (sum, count): &mut Self::State, _facts: &[u64], input: &I) {
        sum.enter(input.term());
        *count += 1;
    }
    fn leave(&self, (sum, count): &mut Self::State, _facts: &[u64], input: &I) {
        sum.leave(input.term());
        *count -= 1;
    }
    fn output(&self, (sum, count): &Self::State) -> Result<Option<O>, AggregateError> {
        Ok(O::mean_of(sum, *count, I::UNITS_PER_ONE))
    }
}

/// The exact moments of a group: count, sum, sum of squares.
#[derive(Clone, Debug, Default)]
pub struct Spread<T: Total> {
    count: u64,
    sum: T,
    squares: T::Squares,
}

impl<T: Total> Spread<T> {
    fn enter(&mut self, term: T::Term) {
        self.count += 1;
        self.sum.enter(term);
        T::enter_square(&mut self.squares, term);
    }

    fn leave(&mut self, term: T::Term) {
        self.count -= 1;
        self.sum.leave(term);
        T::leave_square(&mut self.squares, term);
    }

    /// The variance, or its root, with `less` degrees of freedom less than there are members.
    fn shown(&self, less: u64, root: bool, units_per_one: u64) -> Option<f64> {
        let divisor = self.count.checked_sub(less).filter(|&divisor| divisor > 0)?;
        let moments = Moments { count: self.count, divisor, units_per_one, root };
        Some(self.sum.spread(&self.squares, &moments))
    }
}

macro_rules! spreads {
    ($($name:ident as $text:literal: $less:literal, $root:literal;)*) => {
        $(
            impl<I: Summable, O: Mean> Aggregate for $name<I, O> {
                type Input = I;
                type State = Spread<I::Total>;
                type Output = O;

                fn text(&self) -> String {
                    $text.to_owned()
                }
                fn enter(&self, state: &mut Self::State, _facts: &[u64], input: &I) {
                    state.enter(input.term());
                }
                fn leave(&self, state: &mut Self::State, _facts: &[u64], input: &I) {
                    state.leave(input.term());
                }
                fn output(&self, state: &Self::State) -> Result<Option<O>, AggregateError> {
                    Ok(O::from_mean(state.shown($less, $root, I::UNITS_PER_ONE)))
                }
            }
        )*
    };
}
spreads! {
    Variance as "variance": 0, false;
    StdDev as "stddev": 0, true;
    SampleVariance as "sample_variance": 1, false;
    SampleStdDev as "sample_stddev": 1, true;
}
