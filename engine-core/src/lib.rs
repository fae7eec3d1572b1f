//! The match network, agenda and truth maintenance of Steadfast.

mod agenda;
pub mod aggregate;
mod chains;
#[cfg(feature = "decimal")]
mod decimal;
mod draw;
mod engine;
mod error;
mod explain;
mod fact;
mod globals;
pub mod ir;
mod key;
mod keyed;
mod lineage;
#[cfg(test)]
mod naive;
mod network;
mod rows;
mod sink;
mod stage;
mod store;
mod then;
mod tms;
mod trail;

pub use agenda::Pending;
pub use aggregate::{Aggregate, AggregateError, Group};
#[cfg(feature = "decimal")]
pub use decimal::Decimal;
pub use engine::{
    Activation, AgendaEvent, Engine, FactImage, FireOptions, FireRun, Fired, Missed, Network,
    NetworkLevel, RestoreOptions, RestoreProgress, Restoring, Restraint, RowChanges, RowId,
    RuleNetwork, RulesPolicy, StagedImage, Verdict, Waiting,
};
pub use error::{
    AdvanceError, ChangeError, ConditionPlace, EvaluateError, Failure, FireError, RestoreError,
    RuleError, RuleResult, RulesError,
};
pub use explain::{Judgement, NamedFact, Outcome, Support, Why, WhyNot};
pub use fact::{Effect, Fact, FieldMask, Global, Handle, ReadError};
pub use key::{ExactKey, OrderedKey};
pub use keyed::{KeyOf, Keyed};
pub use rows::{Facts, Groups, Rows};
pub use sink::{ActionSink, Discard};
pub use stage::Stage;
pub use store::{FactType, Table};
pub use then::{Ref, Row, Then};
pub use trail::Scope;

/// The vocabulary that the engine speaks with crates above it.
pub use steadfast_wm as wm;

/// What the macros' expansions name; not part of the public interface.
#[doc(hidden)]
pub mod __macro {
    pub use crate::aggregate::{
        Aggregate, Average, BottomK, Collect, CollectSet, Count, CountDistinct, First, Group,
        GroupSpec, Last, Max, Median, Min, Percentile, Rescan, Rescanned, SampleStdDev,
        SampleVariance, StdDev, Sum, TakeFloat, TakeOrdered, TopK, Variance,
    };
    pub use crate::error::{RuleError, RuleResult};
    pub use crate::fact::{DerivedKey, Effect, Fact, FieldMask, Global, ReadError, read_current};
    pub use crate::ir::{
        Absent, AgendaAttributes, Apart, Comparison, Conditions, Constant, Either, Enabled, Exists,
        Forall, GroupPattern, Having, KeyJoin, KnowNothing, KnowValue, KnownBy, Late, Meaning,
        Moment, Nested, OnError, Part, Pattern, Query, RangeJoin, Rule, RuleDef, Ruleset, Salience,
        Test, Timer, Timing, Window, Writes,
    };
    pub use crate::key::{
        Codes, ExactConstant, HashedConstant, OpaqueConstant, Probe, PushExact, PushExactConstant,
        PushHashed, PushHashedConstant, PushNothing, PushOrder, PushUnordered, code_of, compared,
        time_order,
    };
    pub use crate::keyed::Keyed;
    pub use crate::rows::Rows;
    pub use crate::store::FactType;
    pub use crate::then::{Ref, Row, Then};
    pub use serde;
    pub use steadfast_wm::Digest;

    /// The description of the type that a function takes, which is never called.
    pub fn fact_type_of<T: Fact>(_: fn(T)) -> FactType {
        FactType::of::<T>()
    }

    /// The topic of the effect that a function takes, which is never called.
    pub fn topic_of<E: Effect>(_: fn(E)) -> &'static str {
        E::TOPIC
    }

    /// The name of the global that a function takes, which is never called.
    pub fn global_of<G: Global>(_: fn(G)) -> &'static str {
        G::NAME
    }

    /// The timer of a cron expression; the feature `cron` is needed for it.
    #[cfg(feature = "cron")]
    pub fn cron(text: &str) -> Timer {
        Timer::cron(text)
    }
}
