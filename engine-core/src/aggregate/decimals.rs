//! Sums and averages of decimals: exact inside, in units of the last digit that there is.

use super::exact::{Exact, Quotient};
use super::sums::{MeanOf, Moments, Summable, Total, sealed};
use crate::decimal::Decimal;

/// Digits behind the point of the units that totals are kept in.
const DIGITS: u32 = 28;

/// How many units make 1, as factors that a word holds.
const UNITS_PER_ONE: [u64; 2] = [10_u64.pow(14), 10_u64.pow(14)];

/// The greatest magnitude of a decimal in units of its own.
const MAX: u128 = (1 << 96) - 1;

/// A total of decimals, however large.
#[derive(Clone, Debug, Default)]
pub struct Decimals(Exact<0>);

/// A decimal as a product, so that it is not one before it has to be.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Term {
    negative: bool,
    units: u128,
    times: u128,
}

impl sealed::Sealed for Decimals {}
impl Total for Decimals {
    type Term = Term;
    type Squares = Exact<0>;

    #[inline]
    fn enter(&mut self, term: Term) {
        self.0.add_product(term.negative, term.units, term.times);
    }
    #[inline]
    fn leave(&mut self, term: Term) {
        self.0.add_product(!term.negative, term.units, term.times);
    }
    fn enter_square(squares: &mut Exact<0>, term: Term) {
        squares.add_square_of_product(false, term.units, term.times);
    }
    fn leave_square(squares: &mut Exact<0>, term: Term) {
        squares.add_square_of_product(true, term.units, term.times);
    }
    fn text(&self) -> String {
        let units = self.0.value().to_decimal();
        let (sign, digits) = units.strip_prefix('-').map_or(("", &*units), |digits| ("-", digits));
        let point = DIGITS as usize;
        let digits = format!("{digits:0>width$}", width = point + 1);
        let (whole, rest) = digits.split_at(digits.len() - point);
        let text = format!("{sign}{whole}.{rest}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
    fn ratio(&self, divisors: &[u64]) -> f64 {
        self.0.value().ratio(&[divisors, &UNITS_PER_ONE].concat())
    }
    fn spread(&self, squares: &Exact<0>, moments: &Moments) -> f64 {
        moments.in_units(&self.0, squares, &UNITS_PER_ONE)
    }
}

impl Decimals {
    /// The total divided by this, rounded once to as many digits as 96 bits hold; how it says whether that is
    /// the quotient exactly.
    fn quotient(&self, divisor: u64) -> Option<(Decimal, bool)> {
        let value = self.0.value();
        for dropped in 0..=DIGITS {
            let (low, high) = (dropped.min(14), dropped.saturating_sub(14));
            let divisors = [divisor, 10_u64.pow(low), 10_u64.pow(high)];
            let Some((Quotient { negative, magnitude }, exact)) = value.quotient(&divisors) else {
                continue;
            };
            if magnitude <= MAX {
                let units = magnitude.cast_signed();
                let units = if negative { -units } else { units };
                return Decimal::of_units(units, DIGITS - dropped).map(|decimal| (decimal, exact));
            }
        }
        None
    }

    /// The total, if it fits a word in units and a decimal without trailing zeros: as nearly all do.
    fn near(&self) -> Option<Decimal> {
        let units = self.0.near()?;
        let (mut units, mut digits) = (units, DIGITS);
        for zeros in [16, 8, 4, 2, 1] {
            let power = 10_i128.pow(zeros);
            if digits >= zeros && units % power == 0 {
                units /= power;
                digits -= zeros;
            }
        }
        Decimal::of_units(units, digits)
    }
}

impl Summable for Decimal {
    type Total = Decimals;

    #[inline]
    fn term(&self) -> Term {
        let units = self.mantissa();
        let times = 10_u128.pow(DIGITS - self.scale());
        Term { negative: units < 0, units: units.unsigned_abs(), times }
    }
    fn of_total(total: &Decimals) -> Option<Self> {
        total
            .near()
            .or_else(|| total.quotient(1).and_then(|(decimal, exact)| exact.then_some(decimal)))
    }
}

impl MeanOf<Decimals> for Decimal {
    fn mean_of(total: &Decimals, count: u64, units_per_one: u64) -> Option<Self> {
        debug_assert_eq!(units_per_one, 1, "decimals count in units of their own");
        let members = (count > 0).then_some(count)?;
        let (mean, _) = total.quotient(members).expect("a mean is no greater than the greatest");
        Some(mean)
    }
}
impl MeanOf<Decimals> for Option<Decimal> {
    fn mean_of(total: &Decimals, count: u64, units_per_one: u64) -> Option<Self> {
        Some(Decimal::mean_of(total, count, units_per_one))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::{Aggregate, Average, SampleVariance, Spread, StdDev, Sum, Variance};

    fn shown<F: Aggregate<Input = Decimal>>(function: &F, members: &[Decimal]) -> F::State {
        let mut state = F::State::default();
        members.iter().for_each(|member| function.enter(&mut state, &[], member));
        state
    }

    fn decimals(texts: &[&str]) -> Vec<Decimal> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn sums_are_exact_or_an_error() {
        let sum = Sum::<Decimal>::default();
        let of = |texts: &[&str]| sum.output(&shown(&sum, &decimals(texts)));
        let text = |texts: &[&str]| of(texts).unwrap().unwrap().to_string();
        assert_eq!(text(&[]), "0");
        assert_eq!(text(&["0.1", "0.2"]), "0.3");
        assert_eq!(text(&["1.10", "2.20", "-3.3"]), "0");
        assert_eq!(
            text(&["0.0000000000000000000000000001", "7"]),
            "7.0000000000000000000000000001"
        );
        let max = "79228162514264337593543950335";
        assert_eq!(text(&[max, "-0.5", "0.5"]), max);
        // Beyond 96 bits, by magnitude and by digits: the error has all of them.
        for (too_large, exact) in [
            ([max, "1"], "79228162514264337593543950336"),
            ([max, "0.1"], "79228162514264337593543950335.1"),
            (["-79228162514264337593543950335", "-0.1"], "-79228162514264337593543950335.1"),
        ] {
            let error = of(&too_large).unwrap_err().to_string();
            assert!(error.contains(exact), "{error}");
        }
    }

    #[test]
    fn averages_are_rounded_once_to_what_there_is_room_for() {
        let average = Average::<Decimal, Decimal>::default();
        let of = |texts: &[&str]| average.output(&shown(&average, &decimals(texts))).unwrap();
        let text = |texts: &[&str]| of(texts).unwrap().to_string();
        assert_eq!(of(&[]), None);
        assert_eq!(text(&["1", "2"]), "1.5");
        assert_eq!(text(&["1", "1", "0"]), "0.6666666666666666666666666667");
        assert_eq!(text(&["-1", "-1", "0"]), "-0.6666666666666666666666666667");
        // Ties go to the even digit, also where room is short.
        let least = "0.0000000000000000000000000001";
        assert_eq!(text(&[least, "0"]), "0");
        assert_eq!(text(&[least, least, least, "0"]), least);
        let max = "79228162514264337593543950335";
        assert_eq!(text(&[max, max, max]), max);
        assert_eq!(text(&[max, "0"]), "39614081257132168796771975168");
        let as_float = Average::<Decimal, Option<f64>>::default();
        let state = shown(&as_float, &decimals(&["0.1", "0.2"]));
        assert_eq!(as_float.output(&state).unwrap(), Some(Some(0.15)));
    }

    #[test]
    fn variances_are_of_numbers_not_of_units() {
        let members = decimals(&["1000000004", "1000000007", "1000000013.0", "1000000016"]);
        let variance = Variance::<Decimal>::default();
        assert_eq!(variance.output(&shown(&variance, &members)).unwrap(), Some(22.5));
        let deviation = StdDev::<Decimal>::default();
        assert_eq!(deviation.output(&shown(&deviation, &members)).unwrap(), Some(22.5_f64.sqrt()));
        let sample = SampleVariance::<Decimal, Option<f64>>::default();
        assert_eq!(sample.output(&shown(&sample, &members[..1])).unwrap(), Some(None));
        let max = [Decimal::MAX, Decimal::MIN];
        let expected = 7.922_816_251_426_434e28 * 7.922_816_251_426_434e28;
        assert_eq!(variance.output(&shown(&variance, &max)).unwrap(), Some(expected));
    }

    proptest! {
        /// What enters and leaves in any order leaves nothing behind, and sums are those of integers.
        #[test]
        fn totals_depend_on_the_members_alone(
            members in prop::collection::vec((-1_000_000..1_000_000_i64, 0..7_u32), 0..12),
            others in prop::collection::vec((any::<i64>(), 0..29_u32), 0..6),
        ) {
            let (sum, variance) = (Sum::<Decimal>::default(), Variance::<Decimal>::default());
            let (mut state, mut spread) = (Decimals::default(), Spread::default());
            let mut millionths = 0_i128;
            let make = |&(units, digits): &(i64, u32)| Decimal::new(units, digits);
            others.iter().map(make).for_each(|other| sum.enter(&mut state, &[], &other));
            others.iter().map(make).for_each(|other| variance.enter(&mut spread, &[], &other));
            for member in &members {
                sum.enter(&mut state, &[], &make(member));
                variance.enter(&mut spread, &[], &make(member));
                millionths += i128::from(member.0) * 10_i128.pow(6 - member.1);
            }
            others.iter().rev().map(make).for_each(|other| sum.leave(&mut state, &[], &other));
            others.iter().rev().map(make).for_each(|other| variance.leave(&mut spread, &[], &other));
            let expected = Decimal::of_units(millionths, 6).unwrap();
            prop_assert_eq!(sum.output(&state).unwrap(), Some(expected));
            let members: Vec<Decimal> = members.iter().map(make).collect();
            let alone = variance.output(&shown(&variance, &members)).unwrap();
            prop_assert_eq!(variance.output(&spread).unwrap(), alone);
        }
    }
}
