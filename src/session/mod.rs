//! The session: rules, working memory and journal as one thing.

mod agenda;
mod effects;
mod entry;
mod facts;
mod firing;
mod listen;
mod live;
mod reads;
mod root;
mod rules;
mod upkeep;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use steadfast_engine_core::ir::Ruleset;
use steadfast_engine_core::{ChangeError, Engine};
use steadfast_journal::BatchError;
use steadfast_txn::Root;
use steadfast_wm::{CommitSeq, SafePoint, SessionId};

pub use entry::EntryPoint;
pub use firing::{Fired, Halter};
pub use live::Live;

use crate::durable::{DurableBuilder, Recovery};
use crate::error::{Error, Result};
use crate::events::Listeners;
use crate::outbox::Outbox;
use crate::replicated::ReplicatedBuilder;
use crate::sink::{Mark, Recorder};
use crate::writer::Writer;

/// A rule session: facts, pending matches and derived facts that outlive the process.
///
/// Every call that changes something is a commit of its own: when it returns `Ok`, what it did
/// survives what the session's level of durability promises ([`crate::Sync`]); when it returns an
/// error or panics, nothing of it happened, unless the error says otherwise. [`Session::transact`]
/// puts several changes into one commit, [`Session::begin`] everything that is done until it commits.
///
/// A session is `Send` and not `Sync`: one thread uses it at a time.
pub struct Session {
    engine: Engine,
    writer: Option<Writer>,
    recorder: Recorder,
    listeners: Listeners,
    outbox: Outbox,
    /// The transaction that is open.
    root: Option<Root<Mark>>,
    /// Whether there is a journal, or a transaction is open: what most sessions in memory ask no further.
    is_watched: bool,
    commit: CommitSeq,
    commit_every: u64,
    max_firings: u64,
    halt: Arc<AtomicBool>,
    failed: bool,
}

/// Sessions in memory are told apart by their number in the process.
static MEMORY_SESSIONS: AtomicU64 = AtomicU64::new(1);

impl Session {
    /// A session without a disk: for tests and what-if questions. It ends with its value.
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] for an invalid ruleset.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over a fresh ruleset")]
    pub fn memory(ruleset: Ruleset) -> Result<Self> {
        let mut id = [0; 16];
        let number = MEMORY_SESSIONS.fetch_add(1, Ordering::Relaxed);
        id[..8].copy_from_slice(&number.to_le_bytes());
        let mut recorder = Recorder::default();
        let engine = Engine::new(&ruleset, SessionId::from_bytes(id), &mut recorder)
            .map_err(Error::Rules)?;
        Ok(Self::assemble(engine, Outbox::default(), CommitSeq::new(0), recorder, None))
    }

    /// A session in a directory of its own; [`DurableBuilder::open`] makes it or brings it back.
    pub fn durable(dir: impl Into<PathBuf>) -> DurableBuilder {
        DurableBuilder::new(dir.into())
    }

    /// A session that a group of nodes keeps, and this node of it, whose log is in this directory. The number of the group
    /// and those of its nodes are the user's to give, and stay as they are; [`ReplicatedBuilder::start`] starts the node.
    pub fn replicated(
        dir: impl Into<PathBuf>,
        group: u64,
        node: steadfast_ha_transport::NodeId,
    ) -> ReplicatedBuilder {
        ReplicatedBuilder::new(dir.into(), group, node)
    }

    pub(crate) fn assemble(
        engine: Engine,
        outbox: Outbox,
        commit: CommitSeq,
        recorder: Recorder,
        writer: Option<Writer>,
    ) -> Self {
        Self {
            engine,
            is_watched: writer.is_some(),
            writer,
            recorder,
            listeners: Listeners::default(),
            outbox,
            root: None,
            commit,
            commit_every: u64::MAX,
            max_firings: 1_000_000,
            halt: Arc::new(AtomicBool::new(false)),
            failed: false,
        }
    }

    /// The session's identity: the same after every restart.
    pub fn id(&self) -> SessionId {
        self.engine.session()
    }

    /// What opening found; none for a session in memory.
    pub fn recovery(&self) -> Option<Recovery> {
        self.writer.as_ref().map(Writer::recovery)
    }

    /// The last commit; 0 before the first.
    pub fn last_commit(&self) -> CommitSeq {
        self.commit
    }

    /// Closes the session: everything becomes durable and the journal records that it ended in order.
    ///
    /// Dropping a session closes it too, without telling whether that worked.
    ///
    /// # Errors
    ///
    /// [`Error::Close`]; what was acknowledged is safe. [`Error::Full`] if a commit still waits for
    /// space on the disk.
    pub fn close(mut self) -> Result<()> {
        self.abort_root()?;
        match self.writer.take() {
            Some(mut writer) => {
                writer.retry()?;
                writer.close()
            }
            None => Ok(()),
        }
    }

    /// Whether the session takes work: not after a failure, and not while a commit finds no space. In a
    /// transaction the same of that.
    #[inline]
    fn ready(&mut self) -> Result<()> {
        if self.failed || self.engine.has_failed() {
            return Err(self.why_failed());
        }
        if self.is_watched { self.watched_ready() } else { Ok(()) }
    }

    #[cold]
    fn why_failed(&self) -> Error {
        self.root_ready().err().unwrap_or(Error::Failed)
    }

    fn watched_ready(&mut self) -> Result<()> {
        if self.root.is_some() { self.root_ready() } else { self.writer_ready() }
    }

    fn writer_ready(&mut self) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let retried = writer.retry();
        self.failed |= matches!(&retried, Err(error) if error.stops_session());
        if retried.is_ok() {
            // Of a commit that had found the disk full.
            self.tell_listeners();
        }
        retried
    }

    /// Commits the records that opening made, if there are any.
    pub(crate) fn commit_records(&mut self, point: SafePoint) -> Result<()> {
        if self.recorder.has_records() {
            self.commit_work(point)?;
        }
        Ok(())
    }

    /// Commits what was done; in a transaction that commits as a whole.
    #[inline]
    fn commit_work(&mut self, point: SafePoint) -> Result<Option<CommitSeq>> {
        if self.is_watched
            && let Some(root) = &mut self.root
        {
            root.did(point);
            return Ok(None);
        }
        let commit = CommitSeq::new(self.commit.get() + 1);
        self.engine.commit(commit, point, &mut self.recorder);
        self.publish(commit)?;
        Ok(Some(commit))
    }

    /// An evaluation failed, or did not: the session stops if it did, or its transaction does.
    #[inline]
    fn note_failure(&mut self) {
        if self.engine.has_failed() {
            self.fail();
        }
    }

    #[cold]
    fn fail(&mut self) {
        match &mut self.root {
            Some(root) => root.fail(),
            None => self.failed = true,
        }
    }

    /// Gives what was recorded of a commit to all who want it.
    #[inline]
    fn publish(&mut self, commit: CommitSeq) -> Result<()> {
        self.commit = commit;
        if self.recorder.is_idle() { Ok(()) } else { self.publish_recorded(commit) }
    }

    fn publish_recorded(&mut self, commit: CommitSeq) -> Result<()> {
        if !self.recorder.effects.is_empty() {
            self.outbox.add(commit, self.recorder.effects.drain(..));
        }
        if self.writer.is_some() {
            self.append_commit(commit)?;
        }
        self.tell_listeners();
        Ok(())
    }

    /// Why a commit has a record that the journal does not take.
    fn refused(why: &BatchError) -> Error {
        let detail = why.to_string();
        ChangeError::Unserializable { kind: "a record", detail }.into()
    }

    /// Appends the records of a commit to the journal, if there is one.
    fn append_commit(&mut self, commit: CommitSeq) -> Result<()> {
        let (Some(writer), Some(batch)) = (&mut self.writer, &mut self.recorder.batch) else {
            return Ok(());
        };
        if let Some(refused) = self.recorder.refused.take() {
            self.failed = true;
            return Err(Self::refused(&refused));
        }
        let appended = writer.append(commit, batch);
        self.failed |= matches!(&appended, Err(error) if error.stops_session());
        appended
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("engine", &self.engine)
            .field("commit", &self.commit)
            .field("effects", &self.outbox.len())
            .finish_non_exhaustive()
    }
}
