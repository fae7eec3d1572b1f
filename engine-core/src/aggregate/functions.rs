//! The built-in functions. All of them are exact and reversible: nothing drifts, nothing is scanned
//! again.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Serialize;

use super::{Aggregate, AggregateError};

/// How many members there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl Aggregate for Count {
    type Input = ();
    type State = u64;
    type Output = u64;

    fn enter(&self, state: &mut u64, _facts: &[u64], (): &()) {
        *state += 1;
    }
    fn leave(&self, state: &mut u64, _facts: &[u64], (): &()) {
        *state -= 1;
    }
    fn output(&self, state: &u64) -> Result<Option<u64>, AggregateError> {
        Ok(Some(*state))
    }
}

/// A number that can be summed: an integer of up to 64 bits.
pub trait Summand: Clone + Send + 'static {
    /// The number, wide enough for any sum of up to 2⁶³ of them.
    fn widen(&self) -> i128;
    /// The sum as this type, if it fits.
    fn narrow(sum: i128) -> Option<Self>;
}

macro_rules! summands {
    ($($int:ty),*) => {
        $(impl Summand for $int {
            fn widen(&self) -> i128 {
                i128::from(*self)
            }
            fn narrow(sum: i128) -> Option<Self> {
                Self::try_from(sum).ok()
            }
        })*
    };
}
summands!(u8, u16, u32, u64, i8, i16, i32, i64);

/// The sum of integers, exact; 0 for no members.
///
/// A sum that does not fit the output's type is an error, never a wrapped number.
#[derive(Clone, Copy, Debug)]
pub struct Sum<I, O = I>(PhantomData<fn(I) -> O>);

impl<I, O> Default for Sum<I, O> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<I: Summand, O: Summand + PartialEq + Serialize> Aggregate for Sum<I, O> {
    type Input = I;
    type State = i128;
    type Output = O;

    fn enter(&self, state: &mut i128, _facts: &[u64], input: &I) {
        *state += input.widen();
    }
    fn leave(&self, state: &mut i128, _facts: &[u64], input: &I) {
        *state -= input.widen();
    }
    fn output(&self, state: &i128) -> Result<Option<O>, AggregateError> {
        let target = std::any::type_name::<O>();
        let overflow = AggregateError::Overflow { function: "sum", exact: *state, target };
        O::narrow(*state).ok_or(overflow).map(Some)
    }
}

/// The arithmetic mean of integers, from their exact sum and count; none for no members.
#[derive(Clone, Copy, Debug)]
pub struct Average<I, O = f64>(PhantomData<fn(I) -> O>);

impl<I, O> Default for Average<I, O> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// What an average may be declared as: `f64`, or `Option<f64>` to propagate for no members.
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

impl<I: Summand, O: Mean> Aggregate for Average<I, O> {
    type Input = I;
    type State = (i128, u64);
    type Output = O;

    fn enter(&self, (sum, count): &mut (i128, u64), _facts: &[u64], input: &I) {
        *sum += input.widen();
        *count += 1;
    }
    fn leave(&self, (sum, count): &mut (i128, u64), _facts: &[u64], input: &I) {
        *sum -= input.widen();
        *count -= 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "the mean is the nearest f64 of exact parts")]
    fn output(&self, (sum, count): &(i128, u64)) -> Result<Option<O>, AggregateError> {
        Ok(O::from_mean((*count > 0).then(|| *sum as f64 / *count as f64)))
    }
}

/// What a minimum or maximum of `I` may be declared as: `I`, or `Option<I>` to propagate for no members.
pub trait Extreme<I>: Clone + PartialEq + Serialize + Send + 'static {
    /// From the extreme member, if there is one; `None` does not propagate.
    fn from_extreme(extreme: Option<&I>) -> Option<Self>;
}
impl<I: Clone + PartialEq + Serialize + Send + 'static> Extreme<I> for I {
    fn from_extreme(extreme: Option<&I>) -> Option<Self> {
        extreme.cloned()
    }
}
impl<I: Clone + PartialEq + Serialize + Send + 'static> Extreme<I> for Option<I> {
    fn from_extreme(extreme: Option<&I>) -> Option<Self> {
        Some(extreme.cloned())
    }
}

fn count_in<I: Ord + Clone>(counts: &mut BTreeMap<I, u64>, input: &I) {
    if let Some(count) = counts.get_mut(input) {
        *count += 1;
    } else {
        counts.insert(input.clone(), 1);
    }
}

fn count_out<I: Ord>(counts: &mut BTreeMap<I, u64>, input: &I) {
    let count = counts.get_mut(input).expect("what leaves has entered");
    *count -= 1;
    if *count == 0 {
        counts.remove(input);
    }
}

macro_rules! extremes {
    ($($(#[$doc:meta])* $name:ident by $end:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name<I, O = I>(PhantomData<fn(I) -> O>);

            impl<I, O> Default for $name<I, O> {
                fn default() -> Self {
                    Self(PhantomData)
                }
            }

            impl<I: Ord + Clone + Send + 'static, O: Extreme<I>> Aggregate for $name<I, O> {
                type Input = I;
                type State = BTreeMap<I, u64>;
                type Output = O;

                fn enter(&self, state: &mut Self::State, _facts: &[u64], input: &I) {
                    count_in(state, input);
                }
                fn leave(&self, state: &mut Self::State, _facts: &[u64], input: &I) {
                    count_out(state, input);
                }
                fn output(&self, state: &Self::State) -> Result<Option<O>, AggregateError> {
                    Ok(O::from_extreme(state.$end().map(|(value, _)| value)))
                }
            }
        )*
    };
}
extremes! {
    /// The least member, from an ordered multiset; none for no members. O(log n) per change.
    Min by first_key_value;
    /// The greatest member, from an ordered multiset; none for no members. O(log n) per change.
    Max by last_key_value;
}

/// All contributions, in the order of the fact ids of their members; empty for no members.
#[derive(Clone, Copy, Debug)]
pub struct Collect<I>(PhantomData<fn(I)>);

impl<I> Default for Collect<I> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<I: Clone + PartialEq + Serialize + Send + 'static> Aggregate for Collect<I> {
    type Input = I;
    type State = BTreeMap<Box<[u64]>, I>;
    type Output = Vec<I>;
    const USES_MEMBERS: bool = true;

    fn enter(&self, state: &mut Self::State, facts: &[u64], input: &I) {
        state.insert(facts.into(), input.clone());
    }
    fn leave(&self, state: &mut Self::State, facts: &[u64], _input: &I) {
        state.remove(facts);
    }
    fn output(&self, state: &Self::State) -> Result<Option<Vec<I>>, AggregateError> {
        Ok(Some(state.values().cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over<A: Aggregate>(function: &A, inputs: &[A::Input]) -> A::State {
        let mut state = A::State::default();
        for (at, input) in inputs.iter().enumerate() {
            function.enter(&mut state, &[at as u64], input);
        }
        state
    }

    #[test]
    fn sums_are_exact_and_refuse_to_wrap() {
        let sum = Sum::<i64, i64>::default();
        let mut state = over(&sum, &[i64::MAX, 1]);
        let error = AggregateError::Overflow { function: "sum", exact: 1 << 63, target: "i64" };
        assert_eq!(sum.output(&state), Err(error));
        sum.leave(&mut state, &[], &1);
        assert_eq!(sum.output(&state), Ok(Some(i64::MAX)));
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
    fn collections_are_ordered_by_fact() {
        let collect = Collect::<&str>::default();
        let mut state = BTreeMap::new();
        collect.enter(&mut state, &[9], &"late");
        collect.enter(&mut state, &[2], &"early");
        assert_eq!(collect.output(&state), Ok(Some(vec!["early", "late"])));
    }

    #[test]
    fn averages_come_from_exact_parts() {
        let average = Average::<i64, f64>::default();
        let mut state = over(&average, &[1, 2]);
        assert_eq!(average.output(&state), Ok(Some(1.5)));
        average.leave(&mut state, &[], &1);
        average.leave(&mut state, &[], &2);
        assert_eq!(average.output(&state), Ok(None));
    }
}
