//! Functions over members in the order of their facts.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Serialize;

use super::ordered::{Extreme, Shown};
use super::sums::functions;
use super::{Aggregate, AggregateError};

/// How many members there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl Aggregate for Count {
    type Input = ();
    type State = u64;
    type Output = u64;

    fn text(&self) -> String {
        "count".to_owned()
    }
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

/// Contributions by the facts of their members.
#[derive(Clone, Debug)]
pub struct Listed<I> {
    by_facts: BTreeMap<Box<[u64]>, I>,
}

impl<I> Default for Listed<I> {
    fn default() -> Self {
        Self { by_facts: BTreeMap::new() }
    }
}

functions! {
    /// All contributions, in the order of the fact ids of their members; empty for no members.
    Collect<I, O = I>;
    /// The contribution of the member with the least fact ids: the one whose facts are there longest.
    /// None for no members.
    First<I, O = I>;
    /// The contribution of the member with the greatest fact ids; none for no members.
    Last<I, O = I>;
}

/// Implements a function over a list: what is shown of it.
macro_rules! over_lists {
    ($($name:ident<$bound:ident> as $text:literal -> $output:ty: $shown:expr;)*) => {
        $(
            impl<I, O> Aggregate for $name<I, O>
            where
                I: Clone + Send + 'static,
                O: $bound<I>,
            {
                type Input = I;
                type State = Listed<I>;
                type Output = $output;
                const USES_MEMBERS: bool = true;

                fn text(&self) -> String {
                    $text.to_owned()
                }
                fn enter(&self, state: &mut Listed<I>, facts: &[u64], input: &I) {
                    state.by_facts.insert(facts.into(), input.clone());
                }
                fn leave(&self, state: &mut Listed<I>, facts: &[u64], _input: &I) {
                    state.by_facts.remove(facts);
                }
                fn output(
                    &self,
                    state: &Listed<I>,
                ) -> Result<Option<Self::Output>, AggregateError> {
                    let shown: fn(&BTreeMap<Box<[u64]>, I>) -> Option<Self::Output> = $shown;
                    Ok(shown(&state.by_facts))
                }
            }
        )*
    };
}
over_lists! {
    Collect<Shown> as "collect" -> Vec<O>: |list| Some(list.values().map(O::shown).collect());
    First<Extreme> as "first" -> O: |list| O::from_extreme(list.first_key_value().map(|(_, input)| input));
    Last<Extreme> as "last" -> O: |list| O::from_extreme(list.last_key_value().map(|(_, input)| input));
}

/// A function that looks at all members whenever one changes: O(n) per change instead of the O(log n)
/// of an [`Aggregate`]. For what cannot take a member out again.
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// use serde::{Deserialize, Serialize};
/// use steadfast::{AggregateError, Group, aggregate::Rescan};
/// use steadfast_macros::{Fact, rule};
///
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Reading { sensor: u32, celsius: i64 }
///
/// /// How often a reading is higher than the one before it.
/// #[derive(Clone, Default)]
/// struct Rises;
///
/// impl Rescan for Rises {
///     type Input = i64;
///     type Output = u64;
///
///     fn scan<'a>(
///         &self,
///         members: impl Iterator<Item = &'a i64>,
///     ) -> Result<Option<u64>, AggregateError> {
///         let all: Vec<_> = members.collect();
///         Ok(Some(all.windows(2).filter(|pair| pair[0] < pair[1]).count() as u64))
///     }
/// }
///
/// #[rule]
/// fn unsteady(
///     #[group_by(r.sensor)]
///     #[aggregate(rescan(Rises, r.celsius))]
///     g: Group<Reading, u32, (u64,)>,
/// ) {
/// }
/// ```
pub trait Rescan: Clone + Send + Sync + 'static {
    /// What one member contributes.
    type Input: Clone + Send + 'static;
    /// What the group shows.
    type Output: Clone + PartialEq + Serialize + Send + 'static;

    /// As [`Aggregate::text`].
    fn text(&self) -> String {
        "scan".to_owned()
    }

    /// The output over all members, in the order of their fact ids; `None` does not propagate.
    ///
    /// It depends on the members alone.
    ///
    /// # Errors
    ///
    /// [`AggregateError`] when there is no result that could be shown; that stops the session.
    fn scan<'a>(
        &self,
        members: impl Iterator<Item = &'a Self::Input>,
    ) -> Result<Option<Self::Output>, AggregateError>;
}

/// Makes an [`Aggregate`] of a [`Rescan`].
#[derive(Clone, Debug, Default)]
pub struct Rescanned<R>(R);

impl<R: Rescan> Rescanned<R> {
    /// With this function.
    pub fn new(function: R) -> Self {
        Self(function)
    }
}

impl<R: Rescan> Aggregate for Rescanned<R> {
    type Input = R::Input;
    type State = Listed<R::Input>;
    type Output = R::Output;
    const USES_MEMBERS: bool = true;
    const RESCANS: bool = true;

    fn text(&self) -> String {
        format!("rescan({})", self.0.text())
    }
    fn enter(&self, state: &mut Self::State, facts: &[u64], input: &R::Input) {
        state.by_facts.insert(facts.into(), input.clone());
    }
    fn leave(&self, state: &mut Self::State, facts: &[u64], _input: &R::Input) {
        state.by_facts.remove(facts);
    }
    fn output(&self, state: &Self::State) -> Result<Option<R::Output>, AggregateError> {
        self.0.scan(state.by_facts.values())
    }
}
