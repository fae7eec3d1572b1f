//! Functions over members in the order of their values: extremes, ranks, distinct values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use super::sums::functions;
use super::{Aggregate, AggregateError};
use crate::key::Probe;

/// A float in a total order, as functions that order their members take it.
///
/// -∞ < … < 0 < … < ∞ < NaN. Both zeros are 0, and there is one NaN.
#[derive(Clone, Copy)]
pub struct OrderedF64(f64);

impl OrderedF64 {
    /// Puts a float in its place.
    #[inline]
    pub fn new(value: f64) -> Self {
        // Adding 0 makes a negative zero positive.
        Self(if value.is_nan() { f64::NAN } else { value + 0.0 })
    }

    /// The float, with the one zero and the one NaN.
    #[inline]
    pub fn get(self) -> f64 {
        self.0
    }

    #[expect(clippy::cast_possible_truncation, reason = "it has been one before")]
    fn to_f32(self) -> f32 {
        self.0 as f32
    }
}

impl PartialEq for OrderedF64 {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for OrderedF64 {}
impl PartialOrd for OrderedF64 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for OrderedF64 {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}
impl fmt::Debug for OrderedF64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl Serialize for OrderedF64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl From<f64> for OrderedF64 {
    fn from(value: f64) -> Self {
        Self::new(value)
    }
}
impl From<OrderedF64> for f64 {
    fn from(value: OrderedF64) -> Self {
        value.0
    }
}

/// Gives a value whose type a macro cannot see an order: floats are made [`OrderedF64`], everything
/// else is cloned.
///
/// `(&Probe(&value)).ordered()` finds [`TakeFloat`] first and falls back to [`TakeOrdered`] by one more
/// reference.
#[doc(hidden)]
pub trait TakeFloat {
    fn ordered(&self) -> OrderedF64;
}
impl TakeFloat for Probe<'_, f64> {
    #[inline]
    fn ordered(&self) -> OrderedF64 {
        OrderedF64::new(*self.0)
    }
}
impl TakeFloat for Probe<'_, f32> {
    #[inline]
    fn ordered(&self) -> OrderedF64 {
        OrderedF64::new(f64::from(*self.0))
    }
}

#[doc(hidden)]
pub trait TakeOrdered {
    type Value;
    fn ordered(&self) -> Self::Value;
}
impl<T: Clone> TakeOrdered for &Probe<'_, T> {
    type Value = T;
    #[inline]
    fn ordered(&self) -> T {
        self.0.clone()
    }
}

/// What a value of `I` is shown as: itself, or a float for what orders floats.
pub trait Shown<I>: Clone + PartialEq + Serialize + Send + 'static {
    /// The value to show.
    fn shown(value: &I) -> Self;
}
impl<I: Clone + PartialEq + Serialize + Send + 'static> Shown<I> for I {
    fn shown(value: &I) -> Self {
        value.clone()
    }
}
impl Shown<OrderedF64> for f64 {
    fn shown(value: &OrderedF64) -> Self {
        value.get()
    }
}
impl Shown<OrderedF64> for f32 {
    fn shown(value: &OrderedF64) -> Self {
        value.to_f32()
    }
}

/// What a minimum, a median or the like of `I` may be declared as: its own type, or an `Option` of it to
/// propagate for no members.
pub trait Extreme<I>: Clone + PartialEq + Serialize + Send + 'static {
    /// From the member in question, if there is one; `None` does not propagate.
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
impl Extreme<OrderedF64> for f64 {
    fn from_extreme(extreme: Option<&OrderedF64>) -> Option<Self> {
        extreme.map(|value| value.get())
    }
}
impl Extreme<OrderedF64> for Option<f64> {
    fn from_extreme(extreme: Option<&OrderedF64>) -> Option<Self> {
        Some(extreme.map(|value| value.get()))
    }
}
impl Extreme<OrderedF64> for f32 {
    fn from_extreme(extreme: Option<&OrderedF64>) -> Option<Self> {
        extreme.map(|value| value.to_f32())
    }
}
impl Extreme<OrderedF64> for Option<f32> {
    fn from_extreme(extreme: Option<&OrderedF64>) -> Option<Self> {
        Some(extreme.map(|value| value.to_f32()))
    }
}

/// Equal values are counted: all changes are O(log n).
#[derive(Clone, Debug)]
pub struct Multiset<I> {
    counts: BTreeMap<I, u64>,
}

impl<I> Default for Multiset<I> {
    fn default() -> Self {
        Self { counts: BTreeMap::new() }
    }
}

impl<I: Ord + Clone> Multiset<I> {
    fn put(&mut self, value: &I) {
        if let Some(count) = self.counts.get_mut(value) {
            *count += 1;
        } else {
            self.counts.insert(value.clone(), 1);
        }
    }

    fn take(&mut self, value: &I) {
        let count = self.counts.get_mut(value).expect("what leaves has entered");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(value);
        }
    }

    fn first(&self) -> Option<&I> {
        self.counts.first_key_value().map(|(value, _)| value)
    }

    fn last(&self) -> Option<&I> {
        self.counts.last_key_value().map(|(value, _)| value)
    }

    fn distinct(&self) -> u64 {
        self.counts.len() as u64
    }

    /// The least members, ascending; equal ones as often as there are any.
    fn least<O: Shown<I>>(&self, count: usize) -> Vec<O> {
        Self::repeated(self.counts.iter(), count)
    }

    /// The greatest members, descending.
    fn greatest<O: Shown<I>>(&self, count: usize) -> Vec<O> {
        Self::repeated(self.counts.iter().rev(), count)
    }

    fn repeated<'a, O: Shown<I>>(
        counts: impl Iterator<Item = (&'a I, &'a u64)>,
        count: usize,
    ) -> Vec<O>
    where
        I: 'a,
    {
        let repeated = counts.flat_map(|(value, &times)| {
            let times = usize::try_from(times).unwrap_or(usize::MAX).min(count);
            std::iter::repeat_n(value, times)
        });
        repeated.take(count).map(O::shown).collect()
    }
}

functions! {
    /// The least member; none for no members.
    Min<I, O = I>;
    /// The greatest member; none for no members.
    Max<I, O = I>;
    /// The different values that the members have, ascending; empty for no members.
    CollectSet<I, O = I>;
    /// The member in the middle, in the order of values; none for no members.
    ///
    /// Of an even number of members it is the mean of the two in the middle, if it is declared as `f64`
    /// or `Option<f64>`, else the lower one of them.
    Median<I, O = I>;
}

/// Implements a function over a multiset: what is shown of it.
macro_rules! over_multisets {
    ($($name:ident<$bound:ident> as $text:expr, -> $output:ty: $shown:expr;)*) => {
        $(
            impl<I, O> Aggregate for $name<I, O>
            where
                I: Ord + Clone + Send + 'static,
                O: $bound<I>,
            {
                type Input = I;
                type State = Multiset<I>;
                type Output = $output;

                fn text(&self) -> String {
                    let text: fn(&Self) -> String = $text;
                    text(self)
                }
                fn enter(&self, state: &mut Multiset<I>, _facts: &[u64], input: &I) {
                    state.put(input);
                }
                fn leave(&self, state: &mut Multiset<I>, _facts: &[u64], input: &I) {
                    state.take(input);
                }
                fn output(
                    &self,
                    state: &Multiset<I>,
                ) -> Result<Option<Self::Output>, AggregateError> {
                    let shown: fn(&Self, &Multiset<I>) -> Option<Self::Output> = $shown;
                    Ok(shown(self, state))
                }
            }
        )*
    };
}
over_multisets! {
    Min<Extreme> as |_| "min".to_owned(), -> O: |_, state| O::from_extreme(state.first());
    Max<Extreme> as |_| "max".to_owned(), -> O: |_, state| O::from_extreme(state.last());
    CollectSet<Shown> as |_| "collect_set".to_owned(), -> Vec<O>: |_, state| Some(state.counts.keys().map(O::shown).collect());
    TopK<Shown> as |this| format!("top {}", this.count), -> Vec<O>: |this, state| Some(state.greatest(this.count));
    BottomK<Shown> as |this| format!("bottom {}", this.count), -> Vec<O>: |this, state| Some(state.least(this.count));
}

/// How many different values the members have.
#[derive(Clone, Copy, Debug)]
pub struct CountDistinct<I>(PhantomData<fn(I)>);

impl<I> Default for CountDistinct<I> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<I: Ord + Clone + Send + 'static> Aggregate for CountDistinct<I> {
    type Input = I;
    type State = Multiset<I>;
    type Output = u64;

    fn text(&self) -> String {
        "count_distinct".to_owned()
    }
    fn enter(&self, state: &mut Multiset<I>, _facts: &[u64], input: &I) {
        state.put(input);
    }
    fn leave(&self, state: &mut Multiset<I>, _facts: &[u64], input: &I) {
        state.take(input);
    }
    fn output(&self, state: &Multiset<I>) -> Result<Option<u64>, AggregateError> {
        Ok(Some(state.distinct()))
    }
}

macro_rules! ends {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name<I, O = I> {
                count: usize,
                types: PhantomData<fn(I) -> O>,
            }

            impl<I, O> $name<I, O> {
                /// At most so many members.
                pub fn new(count: usize) -> Self {
                    Self { count, types: PhantomData }
                }
            }
        )*
    };
}
ends! {
    /// The greatest members, the greatest one first; equal ones as often as there are any.
    TopK;
    /// The least members, the least one first; equal ones as often as there are any.
    BottomK;
}

/// A multiset, cut where the member of a rank is: the last one of the lower half. O(log n) per change.
#[derive(Clone, Debug)]
pub struct Halves<I> {
    lower: Multiset<I>,
    upper: Multiset<I>,
    lower_count: u64,
    upper_count: u64,
}

impl<I> Default for Halves<I> {
    fn default() -> Self {
        let (lower, upper) = (Multiset::default(), Multiset::default());
        Self { lower, upper, lower_count: 0, upper_count: 0 }
    }
}

impl<I: Ord + Clone> Halves<I> {
    fn count(&self) -> u64 {
        self.lower_count + self.upper_count
    }

    fn put(&mut self, value: &I, rank: impl Fn(u64) -> u64) {
        if self.lower.last().is_some_and(|last| value <= last) {
            self.lower.put(value);
            self.lower_count += 1;
        } else {
            self.upper.put(value);
            self.upper_count += 1;
        }
        self.balance(rank(self.count()));
    }

    fn take(&mut self, value: &I, rank: impl Fn(u64) -> u64) {
        if self.lower.last().is_some_and(|last| value <= last) {
            self.lower.take(value);
            self.lower_count -= 1;
        } else {
            self.upper.take(value);
            self.upper_count -= 1;
        }
        self.balance(rank(self.count()));
    }

    /// Moves the cut; ranks grow with the count, by at most 1 for each member.
    fn balance(&mut self, lower_count: u64) {
        while self.lower_count > lower_count {
            let moved = self.lower.last().expect("it has members").clone();
            self.lower.take(&moved);
            self.upper.put(&moved);
            self.lower_count -= 1;
            self.upper_count += 1;
        }
        while self.lower_count < lower_count {
            let moved = self.upper.first().expect("there are as many members").clone();
            self.upper.take(&moved);
            self.lower.put(&moved);
            self.lower_count += 1;
            self.upper_count -= 1;
        }
    }
}

/// What a median of `I` may be declared as.
pub trait Middle<I>: Clone + PartialEq + Serialize + Send + 'static {
    /// From the two members in the middle, which are the same one if their number is odd. `None` does
    /// not propagate.
    fn from_middle(middle: Option<(&I, &I)>) -> Option<Self>;
}
impl<I: Clone + PartialEq + Serialize + Send + 'static> Middle<I> for I {
    fn from_middle(middle: Option<(&I, &I)>) -> Option<Self> {
        middle.map(|(lower, _)| lower.clone())
    }
}
impl<I: Clone + PartialEq + Serialize + Send + 'static> Middle<I> for Option<I> {
    fn from_middle(middle: Option<(&I, &I)>) -> Option<Self> {
        Some(middle.map(|(lower, _)| lower.clone()))
    }
}

macro_rules! middles {
    ($($input:ty: $mean:expr;)*) => {
        $(
            impl Middle<$input> for f64 {
                fn from_middle(middle: Option<(&$input, &$input)>) -> Option<Self> {
                    let mean: fn($input, $input) -> f64 = $mean;
                    middle.map(|(lower, upper)| mean(*lower, *upper))
                }
            }
            impl Middle<$input> for Option<f64> {
                fn from_middle(middle: Option<(&$input, &$input)>) -> Option<Self> {
                    Some(f64::from_middle(middle))
                }
            }
        )*
    };
}
/// The mean of two integers, rounded once.
#[expect(clippy::cast_precision_loss, reason = "it is where the mean is rounded, to nearest")]
fn mean(lower: impl Into<i128>, upper: impl Into<i128>) -> f64 {
    // Halving is exact.
    (lower.into() + upper.into()) as f64 / 2.0
}
middles! {
    OrderedF64: |lower, upper| lower.get().midpoint(upper.get()) + 0.0;
    u8: mean; u16: mean; u32: mean; u64: mean; i8: mean; i16: mean; i32: mean; i64: mean;
}

/// The rank of the lower one of the two members in the middle.
fn middle_rank(count: u64) -> u64 {
    count.div_ceil(2)
}

impl<I, O> Aggregate for Median<I, O>
where
    I: Ord + Clone + Send + 'static,
    O: Middle<I>,
{
    type Input = I;
    type State = Halves<I>;
    type Output = O;

    fn text(&self) -> String {
        "median".to_owned()
    }
    fn enter(&self, state: &mut Halves<I>, _facts: &[u64], input: &I) {
        state.put(input, middle_rank);
    }
    fn leave(&self, state: &mut Halves<I>, _facts: &[u64], input: &I) {
        state.take(input, middle_rank);
    }
    fn output(&self, state: &Halves<I>) -> Result<Option<O>, AggregateError> {
        let middle = state.lower.last().map(|lower| {
            let even = state.lower_count == state.upper_count;
            (lower, if even { state.upper.first().unwrap_or(lower) } else { lower })
        });
        Ok(O::from_middle(middle))
    }
}

/// The least member that so many percent of the members do not exceed (the nearest rank); none for no
/// members.
#[derive(Clone, Copy, Debug)]
pub struct Percentile<I, O = I> {
    /// In millionths.
    part: u32,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Percentile<I, O> {
    /// Of so many percent: 0 is the least member, 100 the greatest. It is rounded to four digits behind
    /// the point.
    ///
    /// # Panics
    ///
    /// If it is not between 0 and 100.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million"
    )]
    pub fn new(percent: f64) -> Self {
        assert!((0.0..=100.0).contains(&percent), "expected 0 to 100 percent, found {percent}");
        Self { part: (percent * 10_000.0).round() as u32, types: PhantomData }
    }

    fn rank(&self, count: u64) -> u64 {
        let exact = u128::from(count) * u128::from(self.part);
        let rank = u64::try_from(exact.div_ceil(1_000_000)).expect("at most the count");
        rank.max(count.min(1))
    }
}

impl<I, O> Aggregate for Percentile<I, O>
where
    I: Ord + Clone + Send + 'static,
    O: Extreme<I>,
{
    type Input = I;
    type State = Halves<I>;
    type Output = O;

    fn text(&self) -> String {
        format!("percentile in millionths: {}", self.part)
    }
    fn enter(&self, state: &mut Halves<I>, _facts: &[u64], input: &I) {
        state.put(input, |count| self.rank(count));
    }
    fn leave(&self, state: &mut Halves<I>, _facts: &[u64], input: &I) {
        state.take(input, |count| self.rank(count));
    }
    fn output(&self, state: &Halves<I>) -> Result<Option<O>, AggregateError> {
        Ok(O::from_extreme(state.lower.last()))
    }
}
