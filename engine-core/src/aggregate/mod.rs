//! Accumulates and groups: values computed over many tuples, kept by reversible steps.

mod contexts;
#[cfg(feature = "decimal")]
mod decimals;
mod exact;
mod grouping;
mod listed;
mod ordered;
mod states;
mod sums;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::Serialize;

#[cfg(feature = "decimal")]
pub use decimals::Decimals;
pub use grouping::{GroupSpec, GroupTable};
pub(crate) use grouping::{Grouping, Member, Refreshed};
pub use listed::{Collect, Count, First, Last, Listed, Rescan, Rescanned};
pub use ordered::{
    BottomK, CollectSet, CountDistinct, Extreme, Halves, Max, Median, Middle, Min, Multiset,
    OrderedF64, Percentile, Shown, TopK,
};
#[doc(hidden)]
pub use ordered::{TakeFloat, TakeOrdered};
pub use sums::{
    Average, Floats, Integers, Mean, MeanOf, SampleStdDev, SampleVariance, Spread, StdDev, Sum,
    Summable, Total, Variance,
};

/// A function over the members of a group, kept by entering and leaving members.
///
/// # Contract
///
/// The implementor ensures that `leave` with the same arguments exactly undoes `enter`, whatever
/// entered and left in between, so that the output depends on the members alone and never drifts
/// (INV-49).
///
/// Values that are equal – keys of groups, and inputs of functions that order or count them – serialize
/// to the same bytes: which one of two equal values is kept depends on what came first. A decimal that
/// keeps its trailing zeros is to be normalized before it is a key; `Decimal` (feature `decimal`) is.
///
/// A function that panics while it enters a member or lets one go leaves a state that nobody can put back: the
/// engine takes no more work then, not even after a roll back. A panic or an error of the output is harmless.
pub trait Aggregate: Clone + Send + Sync + 'static {
    /// What one member contributes.
    type Input: Clone + Send + 'static;
    /// What is kept per group.
    type State: Clone + Default + Send + 'static;
    /// What the group shows.
    type Output: Clone + PartialEq + Serialize + Send + 'static;

    /// Whether the function depends on which facts contribute, not only on what they contribute.
    const USES_MEMBERS: bool = false;
    /// Whether the output is computed from all members anew whenever one changes: O(n) per change.
    const RESCANS: bool = false;

    /// The function as rules built at run time show it: part of their identity, so it names what the
    /// result depends on.
    fn text(&self) -> String {
        "accumulate".to_owned()
    }

    /// Adds a member. `facts` are its fact ids if [`Aggregate::USES_MEMBERS`], else empty.
    fn enter(&self, state: &mut Self::State, facts: &[u64], input: &Self::Input);

    /// Takes a member away.
    fn leave(&self, state: &mut Self::State, facts: &[u64], input: &Self::Input);

    /// The output, or `None` when there is none: the group then does not propagate.
    ///
    /// # Errors
    ///
    /// [`AggregateError`] when the exact result does not fit the output's type.
    fn output(&self, state: &Self::State) -> Result<Option<Self::Output>, AggregateError>;
}

/// Why an accumulate has no result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AggregateError {
    /// The exact result does not fit the declared type.
    #[error("{function} is {exact}, which does not fit {target}")]
    Overflow {
        /// The function.
        function: &'static str,
        /// The exact result, in the input's units.
        exact: String,
        /// The declared type.
        target: &'static str,
    },
    /// A function of the user's has no result that could be shown.
    #[error("{function} has no result: {reason}")]
    NoResult {
        /// The function.
        function: &'static str,
        /// Why.
        reason: String,
    },
}

/// A group of facts `S` (or of tuples of facts) with its key and its accumulated value.
///
/// Dereferences to the value, so that `group.0` is the first function's output. An accumulate
/// without a key is a group with the key `()`.
pub struct Group<S, K, A> {
    /// The group's key.
    pub key: K,
    value: A,
    source: PhantomData<fn() -> S>,
}

impl<S, K, A> Group<S, K, A> {
    /// Makes a group; useful to call a consequence as the plain function that it is.
    pub fn new(key: K, value: A) -> Self {
        Self { key, value, source: PhantomData }
    }
}

impl<S, K, A> Deref for Group<S, K, A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.value
    }
}

impl<S, K: Clone, A: Clone> Clone for Group<S, K, A> {
    fn clone(&self) -> Self {
        Self::new(self.key.clone(), self.value.clone())
    }
}

impl<S, K: fmt::Debug, A: fmt::Debug> fmt::Debug for Group<S, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("key", &self.key).field("value", &self.value).finish()
    }
}

/// Several functions share one pass and one result.
macro_rules! aggregate_tuples {
    ($($name:ident $at:tt),+) => {
        impl<$($name: Aggregate),+> Aggregate for ($($name,)+) {
            type Input = ($($name::Input,)+);
            type State = ($($name::State,)+);
            type Output = ($($name::Output,)+);
            const USES_MEMBERS: bool = $($name::USES_MEMBERS)||+;
            const RESCANS: bool = $($name::RESCANS)||+;

            fn text(&self) -> String {
                [$(self.$at.text()),+].join(", ")
            }
            fn enter(&self, state: &mut Self::State, facts: &[u64], input: &Self::Input) {
                $(self.$at.enter(&mut state.$at, facts, &input.$at);)+
            }
            fn leave(&self, state: &mut Self::State, facts: &[u64], input: &Self::Input) {
                $(self.$at.leave(&mut state.$at, facts, &input.$at);)+
            }
            fn output(&self, state: &Self::State) -> Result<Option<Self::Output>, AggregateError> {
                Ok(Some(($(
                    match self.$at.output(&state.$at)? {
                        Some(output) => output,
                        None => return Ok(None),
                    },
                )+)))
            }
        }
    };
}
aggregate_tuples!(A 0);
aggregate_tuples!(A 0, B 1);
aggregate_tuples!(A 0, B 1, C 2);
aggregate_tuples!(A 0, B 1, C 2, D 3);
aggregate_tuples!(A 0, B 1, C 2, D 3, E 4);
aggregate_tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
