//! Rules as data: what the macros expand to, and what run-time rules are built from.
//!
//! A [`RuleDef`] is the one door into the engine. Conditions are visible: the engine knows their
//! text, which fields they read, and whether they are an index key, a range or a plain test, so
//! that it can index, print and explain them.
//!
//! # Positions
//!
//! A row has one position per positive pattern and per group, in their order; `not` and `exists`
//! have none. Inside a `not`, an `exists` or the elements of a group, the inner facts have the next
//! free positions. Conditions on one pattern alone see a row with just that fact, at position 0.

mod agenda;
mod builder;
mod check;
#[cfg(feature = "cron")]
mod cron;
mod impact;
mod markers;
mod meaning;
mod ruleset;
mod temporal;
mod timing;
mod warnings;
mod writes;

use std::any::Any;
use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use steadfast_wm::Digest;

use crate::aggregate::GroupSpec;
use crate::error::Failure;
use crate::fact::{Fact, FieldMask};
use crate::key::Codes;
use crate::rows::{Rows, fact_in};
use crate::store::FactType;
use crate::then::{Row, RuleResult, Then};

pub use agenda::{AgendaAttributes, Enabled, EnabledFn, MAIN};
pub use builder::{FieldsOf, GroupVar, RuleBuilder, Var};
pub use impact::{Access, Impact, Link};
pub use markers::{Absent, Either, Exists, Forall, Having};
pub use meaning::Meaning;
#[doc(hidden)]
pub use meaning::{KnowNothing, KnowValue, KnownBy};
pub use ruleset::{Ruleset, RulesetError};
pub use temporal::{Apart, Moment};
pub use timing::{Late, Schedule, Timer, Timing};
pub use warnings::Warning;
pub use writes::Writes;

/// Decides for each row of a batch: pushes one answer per row.
pub type TestFn = Arc<dyn Fn(&Rows<'_>, &mut Vec<bool>) + Send + Sync>;
/// Decides for one fact, given with the table in which it has this slot.
pub(crate) type FactTestFn = Arc<dyn Fn(&dyn Any, u32) -> bool + Send + Sync>;
/// Computes the key of each row of a batch.
pub type KeyFn = Arc<dyn Fn(&Rows<'_>, &mut Codes) + Send + Sync>;
/// Computes the order code of each row of a batch.
pub type OrderFn = Arc<dyn Fn(&Rows<'_>, &mut Vec<u64>) + Send + Sync>;
/// Computes the salience of a match.
pub type SalienceFn = Arc<dyn Fn(&Row<'_>) -> i32 + Send + Sync>;
/// What a rule does when it fires.
pub type ConsequenceFn = Arc<dyn Fn(&Row<'_>, &mut Then<'_>) -> RuleResult + Send + Sync>;

/// Which fields of which positions a condition reads.
pub type Reads = Vec<(usize, FieldMask)>;

/// A condition that is evaluated.
#[derive(Clone)]
pub struct Test {
    /// The condition as written.
    pub text: String,
    /// What it reads of the rule's positions.
    pub reads: Reads,
    /// The condition itself.
    pub evaluate: TestFn,
    /// The same for one fact without the batch around it, if the condition is about one alone.
    pub(crate) of_fact: Option<FactTestFn>,
    /// What it asks, if it is about one fact alone and that can be told.
    pub meaning: Option<Meaning>,
}

impl Test {
    /// A condition on rows of several positions.
    pub fn on_rows(text: impl Into<String>, reads: Reads, evaluate: TestFn) -> Self {
        Self { text: text.into(), reads, evaluate, of_fact: None, meaning: None }
    }

    /// A condition on one fact alone, and what it asks if that can be told.
    pub fn on_fact<T: Fact>(
        text: impl Into<String>,
        reads: Reads,
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
        meaning: Option<Meaning>,
    ) -> Self {
        let condition = Arc::new(condition);
        let of_fact: FactTestFn = {
            let condition = Arc::clone(&condition);
            Arc::new(move |table, slot| condition(fact_in::<T>(table, slot)))
        };
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let facts = rows.facts::<T>(0);
            passed.extend((0..rows.len()).map(|row| condition(facts.at(row))));
        });
        Self { text: text.into(), reads, evaluate, of_fact: Some(of_fact), meaning }
    }

    /// Whether one fact passes a condition on it alone.
    #[inline]
    pub(crate) fn takes(&self, table: &dyn Any, slot: u32) -> bool {
        let test = self.of_fact.as_ref().expect("a condition on one fact can be asked of one");
        test(table, slot)
    }
}

/// An equality between the inner fact and the tuple before it: `inner.path == expression(tuple)`.
#[derive(Clone)]
pub struct KeyJoin {
    /// The key of the inner fact, over rows with that fact alone.
    pub inner: KeyFn,
    /// The key of the tuple, over its rows.
    pub outer: KeyFn,
    /// What the key of the inner fact is, if that can be told.
    pub meaning: Option<Meaning>,
    /// The equality itself, over rows of the tuple and the inner fact.
    pub test: Test,
}

/// How the inner fact's value compares to the tuple's in a [`RangeJoin`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `inner < outer` or `inner <= outer`.
    AtMost,
    /// `inner > outer` or `inner >= outer`.
    AtLeast,
}

/// A comparison between the inner fact and the tuple before it: `inner.path < expression(tuple)`.
#[derive(Clone)]
pub struct RangeJoin {
    /// Which way.
    pub comparison: Comparison,
    /// Order code of the inner fact's side, over rows with that fact alone.
    pub inner: OrderFn,
    /// Order code of the tuple's side, over its rows.
    pub outer: OrderFn,
    /// What the inner fact's side is, if that can be told.
    pub meaning: Option<Meaning>,
    /// Of a temporal join: the inner fact's side is a time of at least the tuple's and at most so many
    /// milliseconds more. A `not` with one is decided when that time has passed.
    pub width: Option<u64>,
    /// Of a temporal join: what it says of the two events.
    pub apart: Option<Apart>,
    /// The comparison itself, over rows of the tuple and the inner fact.
    pub test: Test,
}

/// One of a pattern's conditions on the fact alone as the comparison that it is: `inner.path == constant`.
/// Where many patterns compare one path, facts find those that may take them.
#[derive(Clone)]
pub struct Constant {
    /// Its place among these conditions.
    pub test: usize,
    /// The path, as written.
    pub path: String,
    /// The path's key, over rows with that fact alone.
    pub inner: KeyFn,
    /// Code of the constant.
    pub code: u64,
    /// Whether codes stand for their values alone.
    pub exact: bool,
}

/// The conditions on the facts of one pattern.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Conditions on the inner fact alone.
    pub alpha: Vec<Test>,
    /// Those of them that compare a path to a constant, as far as that is known.
    pub constants: Vec<Constant>,
    /// Equalities with the tuple before it; together they are the index key.
    pub keys: Vec<KeyJoin>,
    /// Comparisons with the tuple before it; the first is indexed.
    pub ranges: Vec<RangeJoin>,
    /// Everything else, over rows of the tuple and the inner fact.
    pub residual: Vec<Test>,
}

/// Which of the facts that pass a pattern's conditions on them alone count for it.
///
/// A fact that is not among them is for the pattern as if it did not exist: it blocks no `not` and is no
/// member of a group. What is in a window follows from the facts there are; it is the same after a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The last so many, in the order of their insertion. An update does not make a fact younger.
    Length(NonZeroU32),
    /// Those of the last so many milliseconds: a fact counts until the clock has come to its time and so
    /// many milliseconds more. The time of an event is its end, that of any other fact the clock at its
    /// insertion.
    Time(i64),
}

impl Window {
    /// The last so many.
    ///
    /// # Panics
    ///
    /// If that is 0.
    pub const fn last(length: u32) -> Self {
        Self::Length(NonZeroU32::new(length).expect("a window holds at least one fact"))
    }
}

/// One fact pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Name of its variable, for explanations.
    pub variable: String,
    /// Type of its facts.
    pub fact: FactType,
    /// Its conditions.
    pub conditions: Conditions,
    /// Its window, if only the last facts count.
    pub window: Option<Window>,
    /// Whether its fact is another one than every earlier fact of the match of the same type.
    pub distinct: bool,
    /// Fields whose updates re-arm matches beside those that conditions read.
    pub watch: FieldMask,
    /// Fields whose updates do not re-arm matches although conditions may read them.
    pub ignore: FieldMask,
}

impl Pattern {
    /// A pattern without conditions.
    pub fn new(variable: impl Into<String>, fact: FactType) -> Self {
        let (watch, ignore) = (FieldMask::NONE, FieldMask::NONE);
        let (conditions, window) = (Conditions::default(), None);
        let variable = variable.into();
        Self { variable, fact, conditions, window, distinct: false, watch, ignore }
    }
}

/// A group or an accumulate: a value over all tuples of its elements.
#[derive(Clone, Debug)]
pub struct GroupPattern {
    /// Name of its variable, for explanations.
    pub variable: String,
    /// The patterns whose tuples are its members; the rule's positions go on into them.
    pub elements: Vec<Pattern>,
    /// The key and the functions.
    pub spec: GroupSpec,
    /// What key and functions read of the rule's positions.
    pub reads: Reads,
    /// The key as written; empty for an accumulate over all.
    pub key_text: String,
    /// The functions as written.
    pub function_text: String,
    /// Conditions on the result, over rows of the outer tuple and the group.
    pub having: Vec<Test>,
}

/// A `not` or `exists` over several patterns: about tuples of facts instead of single ones.
///
/// Its inner parts extend the tuple before it; what they bind is not visible behind it.
#[derive(Clone)]
pub struct Nested {
    /// Whether there must be at least one such tuple, or none.
    pub exists: bool,
    /// Its patterns, in the order in which they join. Among them may be a `not`, an `exists`, and
    /// further nested parts, and groups, of which a tuple has one result each.
    pub parts: Vec<Part>,
}

/// One part of a rule's left-hand side.
#[derive(Clone)]
pub enum Part {
    /// A fact that the match holds.
    Each(Pattern),
    /// No such fact.
    Not(Pattern),
    /// At least one such fact.
    Exists(Pattern),
    /// A value over many facts.
    Group(GroupPattern),
    /// No such tuple of facts, or at least one.
    Nested(Nested),
}

impl Part {
    /// The variable that is visible behind it, if there is one: of a pattern that a match holds, or of a
    /// group.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Each(pattern) => Some(&pattern.variable),
            Self::Group(group) => Some(&group.variable),
            Self::Not(_) | Self::Exists(_) | Self::Nested(_) => None,
        }
    }

    /// Its patterns, those of nested parts and the elements of a group included, in their order.
    pub fn patterns(&self) -> Vec<&Pattern> {
        match self {
            Self::Each(pattern) | Self::Not(pattern) | Self::Exists(pattern) => vec![pattern],
            Self::Group(group) => group.elements.iter().collect(),
            Self::Nested(nested) => nested.parts.iter().flat_map(Self::patterns).collect(),
        }
    }
}

/// What happens to a match whose consequence fails.
#[derive(Clone, Copy, Debug, Default)]
pub enum OnError {
    /// Nothing of the consequence is applied, the match stays pending, the run stops with the error.
    #[default]
    Abort,
    /// Nothing of the consequence is applied, the match counts as fired, the run goes on.
    Skip,
    /// As `Skip` if this says so of the failure, else as `Abort`, also if it panics.
    SkipIf(fn(&Failure) -> bool),
}

impl OnError {
    /// Whether a match whose consequence failed so counts as fired.
    pub(crate) fn skips(self, failure: &Failure) -> bool {
        match self {
            Self::Abort => false,
            Self::Skip => true,
            Self::SkipIf(decide) => {
                catch_unwind(AssertUnwindSafe(|| decide(failure))).unwrap_or(false)
            }
        }
    }
}

/// How early the matches of a rule fire: those of higher salience first.
#[derive(Clone)]
pub enum Salience {
    /// The same for all matches.
    Fixed(i32),
    /// One for each match: computed when a flush makes it pending, and again with each new trigger.
    Of {
        /// The expression as written.
        text: String,
        /// The expression itself.
        evaluate: SalienceFn,
    },
}

impl fmt::Debug for Salience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(salience) => salience.fmt(f),
            Self::Of { text, .. } => f.write_str(text),
        }
    }
}

/// A rule.
#[derive(Clone)]
pub struct RuleDef {
    /// Its path: unique in a ruleset, stable over versions.
    pub path: String,
    /// How early its matches fire.
    pub salience: Salience,
    /// Where its matches stand on the agenda, and what keeps them from it.
    pub agenda: AgendaAttributes,
    /// What a failing consequence means.
    pub on_error: OnError,
    /// How it depends on time beside its conditions.
    pub timing: Timing,
    /// Its left-hand side; of a rule with branches, that of the first.
    pub parts: Vec<Part>,
    /// The further branches of an `or`; empty for a rule without. See [`RuleDef::or`].
    pub branches: Vec<RuleDef>,
    /// What its consequence writes, as far as known: the ruleset knows these types too.
    pub writes: Writes,
    /// What is wrong with it in itself: what [`RuleBuilder`] was told and cannot mean. Of a rule whose
    /// tokens a compiler has seen there is nothing.
    pub mistakes: Vec<RulesetError>,
    /// Its consequence; a query has none.
    pub consequence: ConsequenceFn,
    /// Digest of its normalized conditions.
    pub conditions_digest: Digest,
    /// Digest of its normalized consequence.
    pub consequence_digest: Digest,
}

/// A rule as a type: what `#[rule]` makes of a function of the same name.
pub trait Rule {
    /// The rule's definition.
    fn definition() -> RuleDef;
}

/// A rule without a consequence: what `#[query]` makes of a function of the same name.
pub trait Query {
    /// What one match gives.
    type Output;
    /// The query's definition; its consequence is never called.
    fn definition() -> RuleDef;
    /// The output of one match.
    fn output(row: &Row<'_>) -> Self::Output;
}

impl RuleDef {
    /// The last segment of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or(&self.path)
    }

    /// Makes one rule of two: it matches what this one or the other matches, and a tuple that both
    /// match fires twice.
    ///
    /// The other becomes a branch: its own are its left-hand side, its salience as far as it depends
    /// on the match, and its consequence. Everything else is as this one says.
    #[must_use]
    pub fn or(mut self, mut other: Self) -> Self {
        let both = |a: Digest, b: Digest| Digest::of(&[a.to_bytes(), b.to_bytes()].concat());
        self.conditions_digest = both(self.conditions_digest, other.conditions_digest);
        self.consequence_digest = both(self.consequence_digest, other.consequence_digest);
        self.writes.append(std::mem::take(&mut other.writes));
        let mut further = std::mem::take(&mut other.branches);
        self.branches.push(other);
        self.branches.append(&mut further);
        self
    }

    /// The rule as its first branch, then the further ones.
    pub(crate) fn all_branches(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.branches)
    }

    /// All fact types that its patterns name, and those that its consequence is known to write.
    pub fn fact_types(&self) -> impl Iterator<Item = FactType> + '_ {
        let parts = self.all_branches().flat_map(|branch| &branch.parts);
        let read = parts.flat_map(Part::patterns).map(|pattern| pattern.fact);
        read.chain(self.writes.fact_types())
    }
}

impl fmt::Debug for RuleDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} (salience {:?})", self.path, self.salience)?;
        if let Some(timer) = &self.timing.timer {
            write!(f, " {timer:?}, late {:?}", self.timing.late)?;
        }
        for (at, branch) in self.all_branches().enumerate() {
            if at > 0 {
                f.write_str("\n  or")?;
            }
            branch.parts.iter().try_for_each(|part| write!(f, "\n  {part:?}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "window(length = {length})"),
            Self::Time(millis) => write!(f, "window(time = {millis} ms)"),
        }
    }
}

fn write_pattern(f: &mut fmt::Formatter<'_>, word: &str, pattern: &Pattern) -> fmt::Result {
    write!(f, "{word} {}: {}", pattern.variable, pattern.fact.stored_name())?;
    if let Some(window) = &pattern.window {
        write!(f, " {window}")?;
    }
    if pattern.distinct {
        f.write_str(" distinct")?;
    }
    let conditions = &pattern.conditions;
    let texts = (conditions.alpha.iter().map(|test| &test.text))
        .chain(conditions.keys.iter().map(|key| &key.test.text))
        .chain(conditions.ranges.iter().map(|range| &range.test.text))
        .chain(conditions.residual.iter().map(|test| &test.text));
    for (at, text) in texts.enumerate() {
        write!(f, "{}{text}", if at == 0 { " where " } else { " && " })?;
    }
    Ok(())
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each(pattern) => write_pattern(f, "each", pattern),
            Self::Not(pattern) => write_pattern(f, "not", pattern),
            Self::Exists(pattern) => write_pattern(f, "exists", pattern),
            Self::Group(group) => {
                write!(f, "group {}: {}", group.variable, group.function_text)?;
                if !group.key_text.is_empty() {
                    write!(f, " by {}", group.key_text)?;
                }
                for element in &group.elements {
                    write_pattern(f, " of", element)?;
                }
                group.having.iter().try_for_each(|test| write!(f, " having {}", test.text))
            }
            Self::Nested(nested) => nested.fmt(f),
        }
    }
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.exists { "exists (" } else { "not (" })?;
        for (at, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part:?}", if at == 0 { "" } else { "; " })?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for KeyJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.test.fmt(f)
    }
}

impl fmt::Debug for RangeJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.test.fmt(f)
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} == code {:x}", self.path, self.code)
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
