//! Records: what one entry of the journal says happened.

use serde::{Deserialize, Serialize};

use crate::{CommitSeq, Digest, FactHandle, Inserts, MatchId, RuleTag, SafePoint, Seq, TypeTag};

/// What happened to a session: an effect on the object store, the agenda or the session itself.
///
/// Records say *what happened*, not what code ran, so that neither replay nor folding ever runs a
/// consequence. The operations `Insert`, `Update`, `Delete` and `Stated` are *staged* until the next
/// `Evaluated` or `Fired`, which closes a flush.
///
/// Bytes of facts, globals and effects are opaque here and borrowed from the input when decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// The session works under this ruleset from now on; itself an operation.
    Ruleset {
        /// Sequence number of this operation.
        seq: Seq,
        /// The rules in their declared order.
        manifest: RulesetManifest,
    },
    /// A fact, global or effect type gets its number in the dictionary.
    Type {
        /// Its number.
        tag: TypeTag,
        /// Its stable name; of facts that come through a named entry point, that behind an `@`:
        /// `Order@east`.
        name: &'a str,
    },
    /// A fact enters the object store.
    Insert {
        /// Its identity.
        handle: FactHandle,
        /// Its type.
        kind: TypeTag,
        /// Schema version of `bytes`.
        version: u32,
        /// The value.
        bytes: &'a [u8],
        /// Sequence number of this operation.
        seq: Seq,
        /// The rule whose consequence inserted it, if one did.
        origin: Option<RuleTag>,
        /// Stated by a user or a plain insert; false for a logical insert, which a `Justify` follows.
        stated: bool,
        /// The session's clock at insertion, in milliseconds.
        clock: i64,
    },
    /// Facts enter the object store, one right behind the other.
    Inserts(Inserts<'a>),
    /// A fact's value changes; its handle stays.
    Update {
        /// Its identity.
        handle: FactHandle,
        /// Schema version of `bytes`.
        version: u32,
        /// The whole new value.
        bytes: &'a [u8],
        /// The fields that differ, one bit each.
        mask: u64,
        /// Sequence number of this operation.
        seq: Seq,
        /// The rule whose consequence changed it, if one did.
        origin: Option<RuleTag>,
    },
    /// A fact leaves the object store, with all its justifications.
    Delete {
        /// Its identity.
        handle: FactHandle,
        /// Sequence number of this operation.
        seq: Seq,
        /// The rule whose consequence (or whose firing's cascade) deleted it, if one did.
        origin: Option<RuleTag>,
        /// Truth maintenance deleted it because its last support went.
        cascade: bool,
    },
    /// A fact becomes stated (also) or stops being stated; its value and handle stay.
    Stated {
        /// Its identity.
        handle: FactHandle,
        /// What it is from now on.
        stated: bool,
        /// Sequence number of this operation.
        seq: Seq,
    },
    /// A match supports a fact.
    Justify {
        /// The supported fact.
        handle: FactHandle,
        /// The supporting match.
        by: MatchId,
    },
    /// A match no longer supports a fact that lives on.
    Unjustify {
        /// The fact.
        handle: FactHandle,
        /// The match.
        by: MatchId,
    },
    /// A flush is closed: everything staged has been matched.
    Evaluated,
    /// A firing is closed: its operations, their flush and its cascades are complete.
    Fired {
        /// The match that fired; it is dormant now unless the firing re-armed it.
        by: MatchId,
    },
    /// Since the last commit boundary a match entered the pending set or changed its key.
    Pending {
        /// The match.
        by: MatchId,
        /// Its salience.
        salience: i32,
        /// Its trigger sequence number.
        trigger: Seq,
    },
    /// Since the last commit boundary a match left the pending set.
    Withdrawn {
        /// The match.
        by: MatchId,
    },
    /// Since the last commit boundary a match waits for another time, or none any more.
    Due {
        /// The match.
        by: MatchId,
        /// When it becomes pending, in milliseconds of the session's clock.
        at: Option<i64>,
    },
    /// Since the last commit boundary the focus changed: agenda groups above `MAIN`, which is always at
    /// its bottom.
    Focus {
        /// Names of the groups, the one that fires last.
        groups: Vec<&'a str>,
    },
    /// Since the last commit boundary the marks of an agenda group with lock-on-active rules changed. A
    /// group without a record is not active and was never active or cleared.
    GroupMarks {
        /// Name of the group.
        group: &'a str,
        /// Whether it is active: it has the focus and has had something to fire since it got it.
        active: bool,
        /// The last operation before it last became active; 0 for none.
        activated: Seq,
        /// The last operation before it was last cleared; 0 for none.
        cleared: Seq,
    },
    /// A global got a value.
    SetGlobal {
        /// Its name.
        name: &'a str,
        /// Schema version of `bytes`.
        version: u32,
        /// The value.
        bytes: &'a [u8],
        /// Sequence number of this operation.
        seq: Seq,
    },
    /// The session's clock was advanced.
    Clock {
        /// The new time, in milliseconds since an epoch of the application's choice.
        millis: i64,
        /// Sequence number of this operation.
        seq: Seq,
    },
    /// A consequence emitted an effect to the outside.
    Effect {
        /// Its place among the effects of its commit, from 0.
        ordinal: u32,
        /// Its topic: the stable name of its type.
        topic: &'a str,
        /// Schema version of `bytes`.
        version: u32,
        /// The payload.
        bytes: &'a [u8],
    },
    /// An effect was delivered; it is not delivered again.
    Acknowledge {
        /// The commit that it belongs to.
        commit: CommitSeq,
        /// Its place in that commit.
        ordinal: u32,
    },
    /// A commit is complete: the last record of its group.
    Commit {
        /// Its number.
        commit: CommitSeq,
        /// The kind of boundary that it ends at.
        point: SafePoint,
        /// The counters at that boundary.
        counters: Counters,
    },
    /// The commits up to and with this one are folded into the records around: normalization has left
    /// of them what the state at a later commit needs. Only in compacted segments.
    Folded {
        /// The last of them; the next commit has the number behind it.
        through: CommitSeq,
    },
}

/// Counters that the future depends on and that no fact can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The handle that the next insert gets.
    pub next_handle: u64,
    /// The sequence number that the next operation gets.
    pub next_seq: u64,
    /// How many matches have fired.
    pub firings: u64,
    /// State of the session's own generator of random numbers.
    pub random: u64,
}

/// The rules that a session works under, in their declared order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RulesetManifest {
    /// Name of the ruleset.
    pub name: String,
    /// Its declared version.
    pub version: u32,
    /// Its rules; the place in this list is the rule's index in conflict resolution.
    pub rules: Vec<RuleManifest>,
}

/// The identity of one rule for replay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleManifest {
    /// Its number in the journal's rule dictionary.
    pub tag: RuleTag,
    /// Its path, unique in the ruleset.
    pub path: String,
    /// Digest of its normalized conditions.
    pub conditions: Digest,
    /// Digest of its normalized consequence.
    pub consequence: Digest,
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
    }
}
