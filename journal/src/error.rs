//! What can go wrong, one enum per operation.

mod damage;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::ids::{Position, Uuid};
use crate::manifest::ManifestDamage;
use crate::record::MalformedRecord;

pub use damage::{Corrupt, CorruptReason, NewerFormat};

/// A failed call to the storage: what was tried, and where.
#[derive(Debug, Error)]
#[error("failed to {verb} `{}`", path.display())]
pub struct IoError {
    /// What was tried.
    pub verb: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the storage answered.
    #[source]
    pub source: io::Error,
}

impl IoError {
    pub(crate) fn new(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self { verb, path: path.to_path_buf(), source }
    }

    /// Whether the cause is a full disk or a quota.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        is_out_of_space(&self.source)
    }
}

/// Whether an error says that the disk is full, or the quota.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Adds verb and path to a storage's answer.
pub(crate) trait At<T> {
    fn at(self, verb: &'static str, path: &Path) -> Result<T, IoError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, verb: &'static str, path: &Path) -> Result<T, IoError> {
        self.map_err(|source| IoError::new(verb, path, source))
    }
}

/// The first failure after which a journal stopped for good; every later call gets the same one.
///
/// After a failed sync the operating system may have dropped what it could not write, so neither a
/// retry nor a later success means anything. Only opening the journal again finds out what is on
/// the disk.
#[derive(Clone, Debug, Error)]
#[error("the journal stopped for good, open it again to go on")]
pub struct Poisoned {
    #[source]
    cause: Arc<IoError>,
}

impl Poisoned {
    pub(crate) fn new(cause: IoError) -> Self {
        Self { cause: Arc::new(cause) }
    }

    /// The failed call.
    #[must_use]
    pub fn cause(&self) -> &IoError {
        &self.cause
    }
}

/// Why a journal did not open. Nothing that counts was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options contradict the limits: fix the call.
    #[error("invalid options: {what}")]
    Options {
        /// What is wrong.
        what: &'static str,
    },
    /// Another process writes the journal: stop it, or open another journal.
    #[error("`{}` is locked by {}", dir.display(), holder.as_deref().unwrap_or("another process"))]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
        /// The holder as it named itself, normally `pid` and a number.
        holder: Option<String>,
    },
    /// This process has the journal open already: share that handle.
    #[error("`{}` is open in this process already", dir.display())]
    AlreadyOpen {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// There is no journal, and [`Create::Never`](crate::Create::Never) forbids making one.
    #[error("`{}` holds no journal", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a journal, and [`Create::New`](crate::Create::New) wants none.
    #[error("`{}` holds a journal already", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds files and no journal: choose an empty directory.
    #[error("`{}` is no journal: it holds `{}`", dir.display(), example.display())]
    ForeignDirectory {
        /// The directory.
        dir: PathBuf,
        /// One of the files.
        example: PathBuf,
    },
    /// The journal belongs to another session.
    #[error("`{}` belongs to session {found}, not to {expected}", dir.display())]
    WrongSession {
        /// The directory.
        dir: PathBuf,
        /// The session of the options.
        expected: Uuid,
        /// The session of the journal.
        found: Uuid,
    },
    /// Locks and syncs of a network file system cannot be trusted; allow it in the options to
    /// accept that.
    #[error("`{}` is on a network file system", dir.display())]
    NetworkFileSystem {
        /// The directory.
        dir: PathBuf,
    },
    /// There are segments and no manifest. Restore it, or make it again: [`Mend`](crate::Mend).
    #[error("`{}` holds `{}` and no MANIFEST", dir.display(), example.display())]
    ManifestMissing {
        /// The directory.
        dir: PathBuf,
        /// A file that only a journal has.
        example: PathBuf,
    },
    /// The manifest is damaged. Restore it, or make it again: [`Mend`](crate::Mend).
    #[error("damaged manifest `{}`", file.display())]
    ManifestDamaged {
        /// The manifest.
        file: PathBuf,
        /// What is wrong.
        #[source]
        damage: ManifestDamage,
    },
    /// The manifest is older than a segment that it does not list and that holds frames. Restore the
    /// newest one, or make it again: [`Mend`](crate::Mend).
    #[error("old manifest `{}`: it does not list `{}`", file.display(), segment.display())]
    ManifestOld {
        /// The manifest.
        file: PathBuf,
        /// The segment.
        segment: PathBuf,
    },
    /// Bytes that were durable are damaged.
    #[error(transparent)]
    Corrupt(#[from] Box<Corrupt>),
    /// A newer version wrote the journal.
    #[error(transparent)]
    NewerFormat(#[from] NewerFormat),
    /// The progress callback stopped the opening.
    #[error("stopped on request at position {position}")]
    Stopped {
        /// How far the check had come.
        position: Position,
    },
    /// A tail cannot begin where it was asked to.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The storage failed. A medium error while reading always refuses.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a group was not appended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk is full, and what exists has no room for the group. Nothing of it was written. Free
    /// space and append again; the journal goes on without being opened again.
    #[error("the disk is full: {needed} bytes are needed")]
    Full {
        /// Bytes that a new segment needs.
        needed: u64,
    },
    /// A record is longer than a segment of this journal can hold: split it, or open the journal
    /// with larger segments.
    #[error("record of {bytes} bytes is longer than the {max} bytes that a segment can hold")]
    RecordTooLong {
        /// Bytes of the record with its envelope.
        bytes: usize,
        /// What a segment can hold.
        max: usize,
    },
    /// The group is longer than [`GROUP_BYTES_MAX`](crate::GROUP_BYTES_MAX): split it.
    #[error("group of {bytes} bytes is longer than {max} bytes")]
    GroupTooLong {
        /// Bytes of all records.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The journal stopped for good.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why an acknowledgement did not come.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Nothing was appended up to that position.
    #[error("position {position} is beyond the end at {appended}")]
    NotAppended {
        /// The position waited for.
        position: Position,
        /// The end of the journal.
        appended: Position,
    },
    /// The journal stopped for good; what was not acknowledged before may be lost.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why a commit failed: not appended, or not acknowledged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing was appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Appended, not acknowledged: after reopening it is there as a whole, or not at all.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// Why the new end of the journal was not dropped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// No safe point ends at that position. Nothing was changed.
    #[error("no safe point ends at position {position}")]
    NoSafePoint {
        /// The position asked for.
        position: Position,
    },
    /// The disk is full: no new segment can be made. Nothing was changed.
    #[error("the disk is full: {needed} bytes are needed")]
    Full {
        /// Bytes that a new segment needs.
        needed: u64,
    },
    /// Reading the journal failed. Nothing was changed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal stopped for good.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why a journal did not close in order. What was acknowledged is safe; the next open recovers.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The journal stopped for good before, or while closing.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The manifest could not be replaced.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a group could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The place is not in the journal any more: it was cut off, or it is inside of a range of which
    /// normalization has left only what remains.
    #[error("position {position} is not part of the journal")]
    Gone {
        /// The position.
        position: Position,
    },
    /// Bytes that were verified before are damaged now.
    #[error(transparent)]
    Corrupt(#[from] Box<Corrupt>),
    /// The frame's checksums hold, its records do not: a defect of the writer.
    #[error("malformed records in `{}` at offset {offset}", file.display())]
    Malformed {
        /// The segment.
        file: PathBuf,
        /// Where the group's first frame begins.
        offset: u64,
        /// What is wrong, in bytes from the begin of the group's payload.
        #[source]
        malformed: MalformedRecord,
    },
    /// A newer version wrote the journal.
    #[error(transparent)]
    NewerFormat(#[from] NewerFormat),
    /// Everything was read and nothing more will come: the writer's handle was closed, or the
    /// journal stopped for good.
    #[error("the journal was closed, and everything in it was read")]
    Ended,
    /// The storage failed.
    #[error(transparent)]
    Io(#[from] IoError),
}
