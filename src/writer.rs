//! Where a session's commits go.

mod journal;
mod replicas;

use steadfast_journal::{Batch, GROUP_BYTES_MAX};
use steadfast_wm::{CommitSeq, Record};

pub(crate) use journal::JournalWriter;
pub(crate) use replicas::{Reign, ReplicaWriter, Seat};

use crate::durable::Recovery;
use crate::error::Result;
use crate::upkeep::{JournalStatus, Normalized};

/// The way out of a session that is not in memory only.
#[derive(Debug)]
pub(crate) enum Writer {
    /// A journal of its own.
    Journal(JournalWriter),
    /// The logs of a group.
    Replicas(ReplicaWriter),
}

impl Writer {
    /// What opening the session found.
    pub(crate) fn recovery(&self) -> Recovery {
        match self {
            Self::Journal(journal) => journal.recovery(),
            Self::Replicas(replicas) => replicas.recovery(),
        }
    }

    /// Appends a commit, and waits for it unless the session is pipelined.
    pub(crate) fn append(&mut self, commit: CommitSeq, batch: &mut Batch) -> Result<()> {
        match self {
            Self::Journal(journal) => journal.append(commit, batch),
            Self::Replicas(replicas) => replicas.append(commit, batch),
        }
    }

    /// Bytes that a commit has at most.
    pub(crate) fn commit_bytes_max(&self) -> usize {
        match self {
            Self::Journal(_) => GROUP_BYTES_MAX,
            Self::Replicas(replicas) => replicas.commit_bytes_max(),
        }
    }

    /// Makes room for so many bytes.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        match self {
            Self::Journal(journal) => journal.reserve(bytes),
            Self::Replicas(_) => Ok(()),
        }
    }

    /// Appends what found no place earlier.
    pub(crate) fn retry(&mut self) -> Result<()> {
        match self {
            Self::Journal(journal) => journal.retry(),
            Self::Replicas(replicas) => replicas.retry(),
        }
    }

    /// Appends an acknowledgement.
    pub(crate) fn acknowledge(&mut self, record: &Record<'_>) -> Result<()> {
        match self {
            Self::Journal(journal) => journal.acknowledge(record),
            Self::Replicas(replicas) => replicas.acknowledge(record),
        }
    }

    /// Waits until a commit is acknowledged.
    pub(crate) fn wait(&mut self, commit: CommitSeq) -> Result<()> {
        match self {
            Self::Journal(journal) => journal.wait(commit),
            Self::Replicas(replicas) => replicas.wait(commit),
        }
    }

    /// Makes what there is smaller.
    pub(crate) fn normalize(&self) -> Result<Option<Normalized>> {
        match self {
            Self::Journal(journal) => journal.normalize(),
            Self::Replicas(_) => Ok(None),
        }
    }

    /// The same without the segment that takes commits.
    pub(crate) fn normalize_sealed(&self) -> Result<Option<Normalized>> {
        match self {
            Self::Journal(journal) => journal.normalize_sealed(),
            Self::Replicas(_) => Ok(None),
        }
    }

    /// What the journal holds; none for the logs of a group.
    pub(crate) fn status(&self) -> Result<Option<JournalStatus>> {
        match self {
            Self::Journal(journal) => journal.status().map(Some),
            Self::Replicas(_) => Ok(None),
        }
    }

    pub(crate) fn close(self) -> Result<()> {
        match self {
            Self::Journal(journal) => journal.close(),
            Self::Replicas(replicas) => replicas.close(),
        }
    }
}
