//! Errors of the engine, one enum per thing that a caller does.

use std::fmt;

use steadfast_wm::FactHandle;

use crate::aggregate::AggregateError;
use crate::explain::NamedFact;
use crate::fact::ReadError;

/// Why the rules of an engine did not change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The rule does not fit in with the others.
    #[error(transparent)]
    Ruleset(#[from] crate::ir::RulesetError),
    /// There is no rule of this path.
    #[error("the ruleset has no rule `{path}`")]
    UnknownRule {
        /// The path.
        path: String,
    },
    /// A transaction is open: rules change between transactions only.
    #[error("rules cannot change within a transaction: commit it or roll it back first")]
    InTransaction,
    /// What was staged, or the facts under the new rules, could not be evaluated; the engine takes no
    /// more work.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// Why a change of the working memory was refused; nothing of it was applied.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The fact does not exist (any more): look it up again.
    #[error("fact {handle} of type `{kind}` does not exist (any more)")]
    StaleHandle {
        /// The handle.
        handle: FactHandle,
        /// Name of the fact type.
        kind: &'static str,
    },
    /// The handle was given out by another session.
    #[error(
        "fact {handle} of type `{kind}` belongs to another session ({found:08x}, this one is {own:08x})"
    )]
    WrongSession {
        /// The handle.
        handle: FactHandle,
        /// Name of the fact type.
        kind: &'static str,
        /// Fingerprint in the handle.
        found: u32,
        /// Fingerprint of this session.
        own: u32,
    },
    /// The handle's fact is of another type than the handle; it comes from a session that happens to
    /// share this one's fingerprint, or was forged.
    #[error("fact {handle} is not of type `{kind}`")]
    WrongType {
        /// The handle.
        handle: FactHandle,
        /// Name of the handle's type.
        kind: &'static str,
    },
    /// The ruleset does not know the type: a session that held such a fact could not be reopened.
    #[error(
        "the ruleset does not know facts of type `{kind}`: name it in the ruleset (`facts: {kind}`)"
    )]
    UnknownType {
        /// Name of the fact type.
        kind: &'static str,
    },
    /// The ruleset has no pattern for facts of the type from this entry point: a session that held such
    /// a fact could not be reopened.
    #[error(
        "the ruleset does not know facts of type `{kind}` from entry point `{entry}`: read them in a \
         rule, or name them in the ruleset (`facts: {kind} from \"{entry}\"`)"
    )]
    UnknownEntryPoint {
        /// Name of the fact type.
        kind: &'static str,
        /// Name of the entry point.
        entry: String,
    },
    /// The fact came through another entry point than the one that was asked: ask that one.
    #[error(
        "fact {handle} of type `{kind}` came through entry point `{found}`, not `{own}` (the default \
         one has no name)"
    )]
    WrongEntryPoint {
        /// The handle.
        handle: FactHandle,
        /// Name of the fact type.
        kind: &'static str,
        /// The entry point of the fact; empty for the default one.
        found: &'static str,
        /// The entry point that was asked; empty for the default one.
        own: String,
    },
    /// No rule is in an agenda group of this name.
    #[error("no rule of the ruleset is in an agenda group `{group}`")]
    UnknownGroup {
        /// The name.
        group: String,
    },
    /// A fact with the same key exists and the type is declared unique.
    #[error("a `{kind}` with the same key exists: {existing}")]
    KeyViolation {
        /// Name of the fact type.
        kind: &'static str,
        /// The fact that has the key.
        existing: FactHandle,
    },
    /// The fact exists only because rules derive it; state it first, or change what it derives from.
    #[error("`{kind}` {handle} is derived by rules; its value cannot be changed from outside them")]
    JustifiedModify {
        /// The handle.
        handle: FactHandle,
        /// Name of the fact type.
        kind: &'static str,
    },
    /// The value could not be serialized by its own `Serialize`.
    #[error("a value of type `{kind}` cannot be serialized: {detail}")]
    Unserializable {
        /// Name of the type.
        kind: &'static str,
        /// What the serializer says.
        detail: String,
    },
    /// The value is longer than can be journaled: split it, or open the session with larger segments.
    #[error("a value of type `{kind}` takes {bytes} bytes, at most {max} can be journaled")]
    TooLong {
        /// Name of the type.
        kind: &'static str,
        /// Bytes of the value.
        bytes: usize,
        /// Bytes of the longest value that is taken.
        max: usize,
    },
    /// The clock would go back.
    #[error("the clock is at {now} ms and cannot go back to {requested} ms")]
    ClockBackwards {
        /// The session's clock.
        now: i64,
        /// What was asked for.
        requested: i64,
    },
    /// The session stopped working after an earlier error in the middle of an evaluation; reopen it.
    #[error("the session failed earlier and takes no more work: reopen it")]
    Failed,
}

/// Why the clock could not be advanced.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// The change was refused; nothing happened.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// What time brought about could not be evaluated; the engine takes no more work.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// The error of a consequence: a message, and the type-erased cause's own words.
///
/// Any error converts into it with `?`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleError {
    message: String,
}

impl RuleError {
    /// An error with a message of your own.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for RuleError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { message }
    }
}

/// What a consequence gives back.
pub type RuleResult = Result<(), RuleError>;

/// How a consequence failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It returned an error.
    Error(RuleError),
    /// It panicked with this message.
    Panic(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error}"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
        }
    }
}

/// Why a run of firings stopped.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FireError {
    /// A consequence failed. Nothing of it was applied, its match is still pending, everything before
    /// it stands; the session goes on working.
    #[error("rule `{rule}` failed on {members}: {failure}")]
    Consequence {
        /// Path of the rule.
        rule: String,
        /// The match's members.
        members: String,
        /// What happened.
        failure: Failure,
        /// How many matches fired before it in this call.
        fired: u64,
    },
    /// `enabled` or a filter panicked, so that nobody knows whether a match fires. It is still pending,
    /// everything before it stands; the session goes on working.
    #[error("whether rule `{rule}` fires on {members} could not be told: {message}")]
    Undecided {
        /// Path of the rule.
        rule: String,
        /// The match's members.
        members: String,
        /// Who panicked, and the panic's message.
        message: String,
        /// How many matches fired before it in this call.
        fired: u64,
    },
    /// A run fired more matches that it had triggered itself than it may: it seems to go round in a
    /// circle. What fired stands, and the next match is still pending; the session goes on working.
    #[error("after {fired} firings the run seems not to end: {} fires again and again", cycle.join(", "))]
    SuspectedLoop {
        /// Paths of the rules that fired last, as one turn of the circle if there is one.
        cycle: Vec<String>,
        /// How many matches fired in this call.
        fired: u64,
    },
    /// The network could not be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// The condition that panicked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConditionPlace {
    /// Path of its rule; if several ask the same, of the first of them.
    pub rule: String,
    /// The condition as written, if it is one on a fact alone.
    pub condition: Option<String>,
    /// The fact on which it panics, if it is one on a fact alone.
    pub fact: Option<NamedFact>,
}

/// Why an evaluation failed. The session takes no more work: reopen it at its last safe point.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// A condition, key or accumulate function panicked.
    #[error("{}: {message}; the session takes no more work", ConditionPlace::tell(place.as_ref()))]
    ConditionPanicked {
        /// Where, as far as it can be told.
        place: Option<ConditionPlace>,
        /// The panic's message.
        message: String,
    },
    /// An accumulate has no result.
    #[error("an accumulate of rule `{rule}` has no result; the session takes no more work")]
    Aggregate {
        /// Path of the rule.
        rule: String,
        /// Why.
        source: AggregateError,
    },
    /// The session failed earlier.
    #[error("the session failed earlier and takes no more work: reopen it")]
    Failed,
}

/// Why a session could not be rebuilt from an image. Nothing was changed anywhere.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Facts of a type are stored that the ruleset does not name.
    #[error(
        "the journal holds {facts} facts of type `{name}`, which this ruleset does not know: \
         name it in the ruleset (`facts: {}`)",
        declaration(name)
    )]
    UnknownType {
        /// Name of the type, with `@` and the entry point if that has a name.
        name: String,
        /// How many live facts it has.
        facts: u64,
    },
    /// A stored value does not fit its type.
    #[error("fact {handle} cannot be read")]
    Fact {
        /// The fact.
        handle: FactHandle,
        /// Why.
        source: ReadError,
    },
    /// The image contradicts itself or the rules that it names.
    #[error("the image is inconsistent: {detail}")]
    Inconsistent {
        /// What contradicts what.
        detail: String,
    },
    /// The ruleset differs from the one in the journal and the policy is to reject that.
    #[error(
        "the ruleset has changed: {0}; choose a policy (Reevaluate or KeepFired) or open with the old rules"
    )]
    RulesChanged(
        /// What changed.
        String,
    ),
    /// The network could not be evaluated over the stored facts.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The ruleset itself is not valid.
    #[error(transparent)]
    Ruleset(#[from] crate::ir::RulesetError),
    /// The caller stopped it.
    #[error("stopped by the progress callback")]
    Stopped,
}

/// How a ruleset names facts that journals call this.
fn declaration(stored: &str) -> String {
    match stored.split_once('@') {
        Some((name, entry)) => format!("{name} from \"{entry}\""),
        None => stored.to_owned(),
    }
}
