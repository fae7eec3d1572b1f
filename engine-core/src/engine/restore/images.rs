//! What an engine is rebuilt from.

use steadfast_wm::{Counters, FactHandle, RuleTag, RulesetManifest, Seq, SessionId, TypeTag};

/// What opening under another ruleset than the journal's does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RulesPolicy {
    /// Refuses, naming the first rule that changed and how.
    #[default]
    Reject,
    /// All current matches of new rules and of rules with changed conditions become pending.
    Reevaluate,
    /// All current matches of new rules become pending; of rules with changed conditions pending
    /// matches that still match stay pending and all others are dormant, including some that the old
    /// conditions did not match.
    KeepFired,
}

/// What an engine is rebuilt from, beside facts, pending matches, justifications and staged operations.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The session's identity.
    pub session: SessionId,
    /// The dictionary of types: names by tag.
    pub types: Vec<String>,
    /// The rules that the session last worked under.
    pub manifest: RulesetManifest,
    /// What a changed ruleset means.
    pub policy: RulesPolicy,
    /// Whether the session was ever evaluated.
    pub evaluated: bool,
    /// Its counters.
    pub counters: Counters,
    /// Its clock in milliseconds.
    pub clock: i64,
}

/// One stored fact.
#[derive(Clone, Copy, Debug)]
pub struct FactImage<'a> {
    /// Its identity.
    pub handle: FactHandle,
    /// Its type.
    pub kind: TypeTag,
    /// Schema version of `bytes`.
    pub version: u32,
    /// Its value.
    pub bytes: &'a [u8],
    /// The last operation on it.
    pub seq: Seq,
    /// The rule that issued that operation, if one did.
    pub origin: Option<RuleTag>,
    /// Whether it is stated, not only derived.
    pub stated: bool,
    /// The clock at its insertion, in milliseconds.
    pub clock: i64,
}

/// One operation that was staged and not yet flushed.
#[derive(Clone, Copy, Debug)]
pub enum StagedImage<'a> {
    /// An insertion.
    Insert(FactImage<'a>),
    /// An update.
    Update {
        /// The fact.
        handle: FactHandle,
        /// Schema version of `bytes`.
        version: u32,
        /// The new value.
        bytes: &'a [u8],
        /// The fields that changed.
        mask: u64,
        /// The operation.
        seq: Seq,
        /// The rule that issued it, if one did.
        origin: Option<RuleTag>,
    },
    /// A deletion.
    Delete {
        /// The fact.
        handle: FactHandle,
        /// The operation.
        seq: Seq,
        /// The rule that issued it, if one did.
        origin: Option<RuleTag>,
    },
    /// A fact became stated or ceased to be.
    Stated {
        /// The fact.
        handle: FactHandle,
        /// What it became.
        stated: bool,
    },
}
