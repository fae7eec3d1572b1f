//! Errors of folding.

use steadfast_journal::{Lsn, ReadError};
use steadfast_wm::codec::DecodeError;
use steadfast_wm::{CommitSeq, Digest, FactHandle, TypeTag};

/// A history that contradicts itself. The image is as it was before the record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// A fact is inserted twice.
    #[error("fact {handle} is inserted twice")]
    DuplicateFact {
        /// The fact.
        handle: FactHandle,
    },
    /// A record names a fact that does not exist at that point.
    #[error("{what} of fact {handle}, which does not exist")]
    UnknownFact {
        /// What the record does.
        what: &'static str,
        /// The fact.
        handle: FactHandle,
    },
    /// A fact's type is not in the dictionary.
    #[error("fact {handle} has type {kind}, which the dictionary does not name")]
    UnknownType {
        /// The fact.
        handle: FactHandle,
        /// Its type.
        kind: TypeTag,
    },
    /// The dictionary names types out of order, or one twice.
    #[error("type `{name}` has number {found}, expected {expected}")]
    DictionaryOrder {
        /// Name of the type.
        name: String,
        /// Number found.
        found: u32,
        /// Number expected.
        expected: u32,
    },
    /// Commits are not numbered one after the other.
    #[error("commit {found} follows commit {last}")]
    CommitOrder {
        /// The commit found.
        found: CommitSeq,
        /// The one before it.
        last: CommitSeq,
    },
    /// An acknowledgement names an effect that was never emitted or is acknowledged already.
    #[error("effect {ordinal} of commit {commit} is acknowledged and was not waiting")]
    UnknownEffect {
        /// Its commit.
        commit: CommitSeq,
        /// Its place in the commit.
        ordinal: u32,
    },
}

/// Why a record of a journal was refused, and where it stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A record's bytes are not a record.
    #[error("record {index} of the group that ends with lsn {lsn} cannot be decoded")]
    Decode {
        /// Last frame of the record's group.
        lsn: Lsn,
        /// The record's place in its group, from 0.
        index: usize,
        /// Why.
        source: DecodeError,
    },
    /// A record contradicts those before it.
    #[error("record {index} of the group that ends with lsn {lsn} contradicts those before it")]
    Contradiction {
        /// Last frame of the record's group.
        lsn: Lsn,
        /// The record's place in its group, from 0.
        index: usize,
        /// Why.
        source: FoldError,
    },
}

/// Why one of several records in a row was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// Its bytes are not a record.
    #[error("record {index} cannot be decoded: {source}")]
    Decode {
        /// Its place, from 0.
        index: usize,
        /// Why.
        source: DecodeError,
    },
    /// It contradicts those before it.
    #[error("record {index} contradicts those before it: {source}")]
    Contradiction {
        /// Its place, from 0.
        index: usize,
        /// Why.
        source: FoldError,
    },
}

/// Why a range of a journal was not normalized: the journal stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NormalFormError {
    /// A record was refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What was written folds to another state than what it was to replace: a defect.
    #[error("the normal form folds to {found}, the range to {expected}")]
    Differs {
        /// Digest of the range's fold.
        expected: Digest,
        /// Digest of the normal form's.
        found: Digest,
    },
}

/// Why a journal could not be folded. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoldJournalError {
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record was refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The progress callback stopped it.
    #[error("stopped by the progress callback")]
    Stopped,
}
