//! The functions alone: exactness, reversal, order (INV-49).

#![expect(clippy::float_cmp, reason = "floats are expected to the bit")]
#![expect(clippy::cast_precision_loss, reason = "small numbers")]

use proptest::prelude::*;

use super::*;

fn over<A: Aggregate>(function: &A, inputs: &[A::Input]) -> A::State {
    let mut state = A::State::default();
    for (at, input) in (0..).zip(inputs) {
        function.enter(&mut state, &[at], input);
    }
    state
}

fn shown<A: Aggregate>(function: &A, inputs: &[A::Input]) -> Option<A::Output> {
    function.output(&over(function, inputs)).unwrap()
}

fn sum(terms: &[f64]) -> f64 {
    shown(&Sum::<f64>::default(), terms).unwrap()
}

/// A power of 2.
fn power(exponent: i32) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap() << 52)
}

fn bits(value: Option<f64>) -> Option<u64> {
    value.map(f64::to_bits)
}

#[test]
fn sums_are_exact_and_refuse_to_wrap() {
    let sum = Sum::<i64, i64>::default();
    let mut state = over(&sum, &[i64::MAX, 1]);
    let exact = "9223372036854775808".to_owned();
    let error = AggregateError::Overflow { function: "sum", exact, target: "i64" };
    assert_eq!(sum.output(&state), Err(error));
    sum.leave(&mut state, &[], &1);
    assert_eq!(sum.output(&state), Ok(Some(i64::MAX)));
}

#[test]
fn sums_of_wide_integers_go_beyond_their_type_and_come_back() {
    let sum = Sum::<i128>::default();
    let mut state = over(&sum, &[i128::MIN, i128::MIN, i128::MIN, -1]);
    let error = sum.output(&state).unwrap_err().to_string();
    let exact = "-510423550381407695195061911147652317185";
    assert_eq!(error, format!("sum is {exact}, which does not fit i128"));
    sum.leave(&mut state, &[], &i128::MIN);
    sum.leave(&mut state, &[], &-1);
    sum.enter(&mut state, &[], &i128::MAX);
    sum.enter(&mut state, &[], &1);
    assert_eq!(sum.output(&state), Ok(Some(i128::MIN)));
}

#[test]
fn a_million_reversals_leave_no_trace() {
    let (sum, deviation) = (Sum::<f64>::default(), StdDev::<f64>::default());
    let kept = [0.1, 1e-300, 7e22];
    let (mut total, mut spread) = (over(&sum, &kept), over(&deviation, &kept));
    let mut random = 1_u64;
    for _ in 0..1_000_000 {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let term = f64::from_bits(random);
        let term = if term.is_finite() && term.abs() < 1e150 { term } else { 0.3 };
        sum.enter(&mut total, &[], &term);
        deviation.enter(&mut spread, &[], &term);
        sum.leave(&mut total, &[], &term);
        deviation.leave(&mut spread, &[], &term);
    }
    let (total, spread) = (sum.output(&total).unwrap(), deviation.output(&spread).unwrap());
    assert_eq!(bits(total), bits(shown(&sum, &kept)));
    assert_eq!(bits(spread), bits(shown(&deviation, &kept)));
}

#[test]
fn sums_of_floats_are_rounded_once() {
    assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
    assert_eq!(sum(&[0.1; 10]), 1.0);
    // Ties go to the even one; the least bit beyond a tie decides it.
    let two_53 = 9_007_199_254_740_992.0;
    assert_eq!(sum(&[two_53, 1.0]), two_53);
    assert_eq!(sum(&[two_53, 2.0, 1.0]), two_53 + 4.0);
    assert_eq!(sum(&[two_53, 1.0, f64::from_bits(1)]), two_53 + 2.0);
    assert_eq!(sum(&[-two_53, -1.0, -f64::from_bits(1)]), -two_53 - 2.0);
    // The ends of the range.
    assert_eq!(sum(&[f64::from_bits(1); 3]), f64::from_bits(3));
    assert_eq!(sum(&[f64::MIN_POSITIVE, -f64::from_bits(1)]), f64::from_bits((1 << 52) - 1));
    assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    assert_eq!(sum(&[f64::MAX, -f64::MAX, f64::MAX]), f64::MAX);
    assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
    assert_eq!(sum(&[f64::MIN, f64::MIN]), f64::NEG_INFINITY);
    // Half of the last bit beyond the greatest number is the first that rounds to infinity.
    let half = f64::from_bits(0x7c90_0000_0000_0000);
    assert_eq!(sum(&[f64::MAX, half]), f64::INFINITY);
    assert_eq!(sum(&[f64::MAX, half, -1.0]), f64::MAX);
}

#[test]
fn what_is_not_finite_leaves_again() {
    let sum = Sum::<f64>::default();
    let shows = |terms: &[f64]| bits(shown(&sum, terms));
    assert_eq!(shows(&[]), bits(Some(0.0)));
    assert_eq!(shows(&[-0.0, -0.0]), bits(Some(0.0)), "a sum of 0 is positive");
    assert_eq!(shows(&[1.0, -1.0]), bits(Some(0.0)));
    assert_eq!(shows(&[f64::INFINITY, 1.0]), bits(Some(f64::INFINITY)));
    assert_eq!(shows(&[f64::INFINITY, f64::NEG_INFINITY]), bits(Some(f64::NAN)));
    let mut state = over(&sum, &[0.1, f64::INFINITY, f64::NAN, -f64::NAN, f64::NEG_INFINITY]);
    for (leaves, expected) in [
        (f64::NEG_INFINITY, f64::NAN),
        (f64::NAN, f64::NAN),
        (f64::NAN, f64::INFINITY),
        (f64::INFINITY, 0.1),
    ] {
        sum.leave(&mut state, &[], &leaves);
        assert_eq!(bits(sum.output(&state).unwrap()), bits(Some(expected)));
    }
    let average = Average::<f64>::default();
    assert_eq!(shown(&average, &[f64::INFINITY, 1.0]), Some(f64::INFINITY));
    assert_eq!(
        bits(shown(&Variance::<f64>::default(), &[f64::INFINITY, 1.0])),
        bits(Some(f64::NAN))
    );
}

#[test]
fn singles_are_rounded_once_from_the_exact_sum() {
    let sum = Sum::<f32>::default();
    // As a `f64` first, the sum would be a tie, and go down.
    let above = f32::from_bits((127 - 60) << 23);
    assert_eq!(shown(&sum, &[16_777_216.0, 1.0, above]), Some(16_777_218.0));
    assert_eq!(shown(&sum, &[16_777_216.0, 1.0]), Some(16_777_216.0));
    assert_eq!(shown(&sum, &[f32::MAX, f32::MAX]), Some(f32::INFINITY));
    assert_eq!(shown(&sum, &[f32::from_bits(1); 5]), Some(f32::from_bits(5)));
}

#[test]
fn averages_and_variances_come_from_exact_parts() {
    let average = Average::<i64>::default();
    let mut state = over(&average, &[1, 2]);
    assert_eq!(average.output(&state), Ok(Some(1.5)));
    average.leave(&mut state, &[], &1);
    average.leave(&mut state, &[], &2);
    assert_eq!(average.output(&state), Ok(None));
    assert_eq!(shown(&average, &[i64::MAX; 3]), Some(9_223_372_036_854_775_807.0));

    let members = [2, 4, 4, 4, 5, 5, 7, 9];
    assert_eq!(shown(&Variance::<i64>::default(), &members), Some(4.0));
    assert_eq!(shown(&StdDev::<i64>::default(), &members), Some(2.0));
    assert_eq!(shown(&SampleVariance::<i64>::default(), &members), Some(32.0 / 7.0));
    assert_eq!(shown(&SampleStdDev::<i64, Option<f64>>::default(), &[3]), Some(None));
    assert_eq!(shown(&Variance::<i64>::default(), &[3]), Some(0.0));
    // The textbook's formula in floats gives 0, or less.
    let far = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
    assert_eq!(shown(&SampleVariance::<f64>::default(), &far), Some(30.0));
    let extremes = [i64::MIN, i64::MAX];
    assert_eq!(shown(&Variance::<i64>::default(), &extremes), Some(power(126)));
    assert_eq!(shown(&StdDev::<f64>::default(), &[3e-200, 9e-200]), Some(3e-200));
}

/// Hundredths.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Cents(i32);

impl Summable for Cents {
    type Total = Integers;
    const UNITS_PER_ONE: u64 = 100;

    fn term(&self) -> i128 {
        self.0.into()
    }
    fn of_total(total: &Integers) -> Option<Self> {
        i32::try_from(total.units()?).ok().map(Self)
    }
}

#[test]
fn decimals_are_summed_in_units_and_averaged_as_numbers() {
    let prices = [Cents(110), Cents(220)];
    assert_eq!(shown(&Sum::<Cents>::default(), &prices), Some(Cents(330)));
    assert_eq!(shown(&Average::<Cents>::default(), &prices), Some(1.65));
    assert_eq!(shown(&StdDev::<Cents>::default(), &prices), Some(0.55));
    let sum = Sum::<Cents>::default();
    let error = sum.output(&over(&sum, &[Cents(i32::MAX), Cents(1)]));
    assert!(error.unwrap_err().to_string().starts_with("sum is 2147483648, which does not fit"));
}

#[test]
fn extremes_survive_the_loss_of_one_of_two_equal_members() {
    let min = Min::<i64, Option<i64>>::default();
    let mut state = over(&min, &[3, 1, 1]);
    min.leave(&mut state, &[], &1);
    assert_eq!(min.output(&state), Ok(Some(Some(1))));
    min.leave(&mut state, &[], &1);
    min.leave(&mut state, &[], &3);
    assert_eq!(min.output(&state), Ok(Some(None)));
    assert_eq!(Max::<i64, i64>::default().output(&state), Ok(None));
}

#[test]
fn floats_are_ordered_with_nan_above_all_and_one_zero() {
    let floats = [2.0, f64::NAN, -0.0, f64::NEG_INFINITY, 0.0, -f64::NAN].map(OrderedF64::new);
    assert_eq!(shown(&Min::<_, f64>::default(), &floats), Some(f64::NEG_INFINITY));
    assert!(shown(&Max::<_, f64>::default(), &floats).unwrap().is_nan());
    assert_eq!(shown(&CountDistinct::default(), &floats), Some(4));
    let set: Vec<f64> = shown(&CollectSet::<_, f64>::default(), &floats).unwrap();
    assert_eq!(set[..3], [f64::NEG_INFINITY, 0.0, 2.0]);
    assert!(set[1].is_sign_positive());
}

#[test]
fn medians_of_even_numbers_are_means_where_they_are_floats() {
    assert_eq!(shown(&Median::<i64>::default(), &[4, 1, 3, 2]), Some(2));
    assert_eq!(shown(&Median::<i64, f64>::default(), &[4, 1, 3, 2]), Some(2.5));
    assert_eq!(shown(&Median::<i64, f64>::default(), &[4, 1, 3]), Some(3.0));
    assert_eq!(shown(&Median::<i64, Option<f64>>::default(), &[]), Some(None));
    assert_eq!(shown(&Median::<i64, i64>::default(), &[]), None);
    assert_eq!(shown(&Median::<i64, f64>::default(), &[i64::MAX, i64::MAX]), Some(power(63)));
    let floats = [-1.0, 1.0].map(OrderedF64::new);
    assert_eq!(bits(shown(&Median::<_, f64>::default(), &floats)), bits(Some(0.0)));
}

#[test]
fn the_ends_are_shown_with_their_repetitions() {
    assert_eq!(shown(&TopK::<i64>::new(3), &[5, 1, 5, 2]), Some(vec![5, 5, 2]));
    assert_eq!(shown(&BottomK::<i64>::new(9), &[5, 1, 5]), Some(vec![1, 5, 5]));
    assert_eq!(shown(&TopK::<i64>::new(0), &[5]), Some(vec![]));
}

#[test]
fn collections_are_ordered_by_fact() {
    let collect = Collect::<&str>::default();
    let mut state = Listed::default();
    collect.enter(&mut state, &[9], &"late");
    collect.enter(&mut state, &[2], &"early");
    assert_eq!(collect.output(&state), Ok(Some(vec!["early", "late"])));
    assert_eq!(First::<&str>::default().output(&state), Ok(Some("early")));
    assert_eq!(Last::<&str, Option<&str>>::default().output(&state), Ok(Some(Some("late"))));
}

/// The exactly rounded sum by Shewchuk's partials: another algorithm for the same number.
fn shewchuk(terms: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for &term in terms {
        let mut high = term;
        let mut kept = 0;
        for at in 0..partials.len() {
            let (mut x, mut y) = (high, partials[at]);
            if x.abs() < y.abs() {
                (x, y) = (y, x);
            }
            high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                partials[kept] = low;
                kept += 1;
            }
        }
        partials.truncate(kept);
        partials.push(high);
    }
    let mut high = 0.0;
    let mut low = 0.0;
    while let Some(next) = partials.pop() {
        let x = high;
        high = x + next;
        low = next - (high - x);
        if low != 0.0 {
            break;
        }
    }
    // A tie that was rounded to even although what is left says otherwise.
    if let Some(&next) = partials.last()
        && (low < 0.0) == (next < 0.0)
        && low != 0.0
    {
        let twice = low * 2.0;
        if twice == (high + twice) - high {
            high += twice;
        }
    }
    high + 0.0
}

/// Floats of all magnitudes, of which many are near each other.
fn float() -> impl Strategy<Value = f64> {
    let wild =
        (any::<bool>(), any::<u64>(), 0..2040_u64).prop_map(|(negative, mantissa, exponent)| {
            f64::from_bits(u64::from(negative) << 63 | exponent << 52 | mantissa >> 12)
        });
    let near = (-1_000_000..1_000_000_i32).prop_map(|cents| f64::from(cents) / 100.0);
    let powers = (any::<bool>(), -60..60_i32)
        .prop_map(|(negative, exponent)| power(exponent) * if negative { -1.0 } else { 1.0 });
    prop_oneof![2 => wild, 2 => near, 3 => powers]
}

/// The rank by its words: the least member that so many percent do not exceed.
fn nearest_rank(members: &[i64], percent: f64) -> Option<i64> {
    let count = |limit: i64| members.iter().filter(|member| **member <= limit).count();
    let enough = |limit: &i64| count(*limit) as f64 >= percent / 100.0 * members.len() as f64;
    let mut sorted = members.to_vec();
    sorted.sort_unstable();
    sorted.into_iter().find(enough)
}

proptest! {
    #[test]
    fn sums_of_floats_are_correctly_rounded_in_any_order(
        terms in prop::collection::vec(float(), 0..40),
        rotation in 0..40_usize,
    ) {
        let expected = shewchuk(&terms).to_bits();
        prop_assert_eq!(sum(&terms).to_bits(), expected);
        let mut others = terms.clone();
        others.rotate_left(rotation.min(terms.len()));
        prop_assert_eq!(sum(&others).to_bits(), expected);
        others.reverse();
        prop_assert_eq!(sum(&others).to_bits(), expected);
    }

    #[test]
    fn what_left_was_never_there(
        kept in prop::collection::vec(float(), 0..10),
        gone in prop::collection::vec(float(), 0..20),
    ) {
        let (sum, average) = (Sum::<f64>::default(), Average::<f64>::default());
        let deviation = StdDev::<f64>::default();
        let all: Vec<f64> = gone.iter().chain(&kept).copied().collect();
        let (mut total, mut mean) = (over(&sum, &all), over(&average, &all));
        let mut spread = over(&deviation, &all);
        for term in gone.iter().rev() {
            sum.leave(&mut total, &[], term);
            average.leave(&mut mean, &[], term);
            deviation.leave(&mut spread, &[], term);
        }
        prop_assert_eq!(bits(sum.output(&total).unwrap()), bits(shown(&sum, &kept)));
        prop_assert_eq!(bits(average.output(&mean).unwrap()), bits(shown(&average, &kept)));
        prop_assert_eq!(bits(deviation.output(&spread).unwrap()), bits(shown(&deviation, &kept)));
    }

    /// A quotient is the nearest one if it misses by half of its last bit at most.
    #[test]
    fn averages_are_the_nearest_quotients(terms in prop::collection::vec(-1_i64 << 40..1 << 40, 1..9)) {
        let (sum, count) = (terms.iter().sum::<i64>(), terms.len() as i128);
        for scale in [1, 1 << 22] {
            let terms: Vec<i64> = terms.iter().map(|term| term * scale).collect();
            let average = shown(&Average::<i64>::default(), &terms).unwrap();
            let (negative, mantissa, exponent) = exact::parts(average);
            let mantissa = i128::try_from(mantissa).unwrap() * if negative { -1 } else { 1 };
            let total = i128::from(sum) * i128::from(scale);
            let (missed, last_bit) = match u32::try_from(exponent) {
                Ok(up) => (total - ((mantissa * count) << up), count << up),
                _ if exponent > -60 => ((total << -exponent) - mantissa * count, count),
                _ => (total, count),
            };
            prop_assert!(missed.abs() * 2 <= last_bit, "{average} misses by {missed}");
        }
    }

    /// Integers, halves of them as floats, and units of a decimal have variances that differ by their
    /// scales alone.
    #[test]
    fn variances_are_those_of_integers(members in prop::collection::vec(-1000..1000_i32, 1..20)) {
        let exact = shown(&Variance::<i32>::default(), &members).unwrap();
        let halves: Vec<f64> = members.iter().map(|member| f64::from(*member) / 2.0).collect();
        prop_assert_eq!(shown(&Variance::<f64>::default(), &halves), Some(exact / 4.0));
        let (count, total) = (members.len() as i128, i128::from(members.iter().sum::<i32>()));
        let squares: i128 = members.iter().map(|member| i128::from(*member).pow(2)).sum();
        let numerator = count * squares - total * total;
        prop_assert_eq!(exact, numerator as f64 / (count * count) as f64);
    }

    #[test]
    fn ranks_are_those_of_a_sorted_list(
        members in prop::collection::vec(-5..6_i64, 1..30),
        leave in 0..30_usize,
    ) {
        let leave = leave.min(members.len() - 1);
        for percent in [0.0, 1.0, 25.0, 50.0, 90.0, 100.0] {
            let percentile = Percentile::<i64>::new(percent);
            let mut state = over(&percentile, &members);
            for member in &members[..leave] {
                percentile.leave(&mut state, &[], member);
            }
            let rest = &members[leave..];
            prop_assert_eq!(percentile.output(&state).unwrap(), nearest_rank(rest, percent));
        }
        let mut sorted = members.clone();
        sorted.sort_unstable();
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        prop_assert_eq!(shown(&Median::<i64>::default(), &members), Some(lower));
        let mean = (lower + upper) as f64 / 2.0;
        prop_assert_eq!(shown(&Median::<i64, f64>::default(), &members), Some(mean));
        sorted.reverse();
        sorted.truncate(4);
        prop_assert_eq!(shown(&TopK::<i64>::new(4), &members), Some(sorted));
    }
}
