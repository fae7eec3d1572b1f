#![doc = include_str!("../README.md")]

mod durable;
mod error;
mod events;
mod outbox;
mod primitives;
mod replicated;
mod session;
mod sink;
mod transaction;
mod upkeep;
mod writer;

pub use durable::{DurableBuilder, Recovery};
pub use error::{Error, Result};
pub use events::{Event, ListenerId, Match, Value};
pub use outbox::Delivery;
pub use replicated::{Replicated, ReplicatedBuilder};
pub use session::{EntryPoint, Fired, Halter, Live, Session};
pub use transaction::{Transaction, TransactionStatus};
pub use upkeep::{JournalStatus, Kept, Normalization, Normalized, SegmentKept};

/// What carries a session to other nodes: transports, coordinators, policies.
pub use steadfast_ha_transport as ha;

#[cfg(feature = "decimal")]
pub use steadfast_engine_core::Decimal;
pub use steadfast_engine_core::aggregate;
pub use steadfast_engine_core::ir;
pub use steadfast_engine_core::ir::{
    Absent, Either, Exists, Forall, Having, OnError, Query, Ruleset,
};
pub use steadfast_engine_core::{
    Activation, Aggregate, AggregateError, ChangeError, ConditionPlace, Effect, Engine,
    EvaluateError, Fact, Failure, FieldMask, FireError, Global, Group, Handle, Judgement, KeyOf,
    Keyed, Missed, NamedFact, Network, NetworkLevel, Outcome, Pending, ReadError, Ref,
    RestoreError, Restraint, Row, RowChanges, RowId, RuleError, RuleNetwork, RuleResult,
    RulesPolicy, Stage, Support, Then, Verdict, Waiting, Why, WhyNot,
};
pub use steadfast_journal::{Create, Level as Sync, OpenError, WriteMode};
pub use steadfast_macros::{Effect, Fact, Global, query, rule, ruleset};
pub use steadfast_replay::{Phase, Progress, RecoverError};
pub use steadfast_txn::{Options as TransactionOptions, SavepointId, TransactionError};
pub use steadfast_wm::{
    CommitSeq, Counters, Digest, EffectKey, FactHandle, MatchId, Member, RuleTag, Seq, SessionId,
};

/// What the macros' expansions name; not part of the public interface.
#[doc(hidden)]
pub use steadfast_engine_core::__macro;

/// Everything that a program with rules and a session usually names.
pub mod prelude {
    pub use crate::{
        Absent, Delivery, Effect, Either, Exists, Fact, Forall, Global, Group, Handle, Having, Ref,
        RuleError, RuleResult, RulesPolicy, Session, Sync, Then, query, rule, ruleset,
    };
    pub use serde::{Deserialize, Serialize};
}

/// Its example is one of the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/transactions.md")]
struct DocumentOfTransactions;

/// The same.
#[cfg(doctest)]
#[doc = include_str!("../docs/replication.md")]
struct DocumentOfReplication;
