//! The commits of a session that leads a group.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_ha_transport::{Epoch, Outcome, ProposeError, Proposed, Replica, ReplicaError};
use steadfast_journal::Batch;
use steadfast_wm::codec::v1;
use steadfast_wm::{CommitSeq, Record, SessionId};

use crate::durable::Recovery;
use crate::error::{Error, Result};
use crate::replicated::payload;

/// Proposes commits to a group, in one reign of this node.
#[derive(Debug)]
pub(crate) struct ReplicaWriter {
    replica: Arc<Replica>,
    epoch: Epoch,
    session: SessionId,
    pipelined: bool,
    /// How long a call waits for followers.
    patience: Duration,
    /// Commits that were proposed and are not known to be committed by the group.
    unacknowledged: VecDeque<(CommitSeq, Proposed)>,
    /// A commit that the group does not take now.
    unwritten: Option<(CommitSeq, Arc<[u8]>)>,
    recovery: Recovery,
    seat: Arc<Seat>,
    /// The last thing that was proposed.
    last: Option<Proposed>,
}

/// The place of a node's session. Whoever has it is the node's only session.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// The last thing that the session before has proposed: until it is applied, the state that this node knows is older
    /// than what it has proposed itself.
    pub(crate) last: Mutex<Option<Proposed>>,
}

impl Drop for ReplicaWriter {
    fn drop(&mut self) {
        if self.last.is_some() {
            *self.seat.last.lock().unwrap_or_else(PoisonError::into_inner) = self.last;
        }
    }
}

/// What the writer of a session goes by.
#[derive(Debug)]
pub(crate) struct Reign {
    pub(crate) replica: Arc<Replica>,
    pub(crate) epoch: Epoch,
    pub(crate) session: SessionId,
    pub(crate) pipelined: bool,
    pub(crate) patience: Duration,
    pub(crate) seat: Arc<Seat>,
}

impl ReplicaWriter {
    pub(crate) fn new(reign: Reign, recovery: Recovery) -> Self {
        let Reign { replica, epoch, session, pipelined, patience, seat } = reign;
        let unacknowledged = VecDeque::new();
        Self {
            replica,
            epoch,
            session,
            pipelined,
            patience,
            unacknowledged,
            unwritten: None,
            recovery,
            seat,
            last: None,
        }
    }

    pub(crate) fn recovery(&self) -> Recovery {
        self.recovery
    }

    pub(crate) fn commit_bytes_max(&self) -> usize {
        self.replica.payload_bytes_max().saturating_sub(payload::HEADER_BYTES)
    }

    pub(crate) fn append(&mut self, commit: CommitSeq, batch: &mut Batch) -> Result<()> {
        let payload = payload::of(self.session, batch.as_bytes());
        batch.clear();
        self.propose(commit, payload)
    }

    /// Proposes a commit, and waits for it unless the session is pipelined.
    fn propose(&mut self, commit: CommitSeq, payload: Arc<[u8]>) -> Result<()> {
        match self.replica.propose(self.epoch, Arc::clone(&payload), self.patience) {
            Ok(proposed) => {
                self.last = Some(proposed);
                if self.unacknowledged.len() == self.unacknowledged.capacity() {
                    self.forget_committed();
                }
                self.unacknowledged.push_back((commit, proposed));
                if self.pipelined { Ok(()) } else { self.wait(commit) }
            }
            Err(error) => {
                let error = Self::why_not(error, commit);
                if !error.stops_session() {
                    self.unwritten = Some((commit, payload));
                }
                Err(error)
            }
        }
    }

    /// Forgets what is committed, so that a session that never waits does not remember all of it.
    fn forget_committed(&mut self) {
        while let Some((_, proposed)) = self.unacknowledged.front()
            && matches!(self.replica.wait(*proposed, Duration::ZERO), Ok(Outcome::Committed))
        {
            self.unacknowledged.pop_front();
        }
    }

    pub(crate) fn retry(&mut self) -> Result<()> {
        let Some((commit, payload)) = self.unwritten.take() else { return Ok(()) };
        self.propose(commit, payload)
    }

    /// It is before every later commit. Nobody waits for it: if a fail-over loses it, the effect is delivered once
    /// more, under the same key, as may happen anyway.
    pub(crate) fn acknowledge(&mut self, record: &Record<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        v1::encode(record, &mut bytes);
        let payload = payload::of(self.session, &bytes);
        match self.replica.propose(self.epoch, payload, self.patience) {
            Ok(proposed) => {
                self.last = Some(proposed);
                Ok(())
            }
            Err(error) => Err(Self::why_not(error, self.last_unacknowledged())),
        }
    }

    /// Why something is not taken.
    fn why_not(error: ReplicaError, commit: CommitSeq) -> Error {
        match error {
            ReplicaError::Propose(
                ProposeError::WindowFull { .. } | ProposeError::Unavailable { .. },
            ) => Error::Unreplicated { commit },
            ReplicaError::Propose(_) => Error::Deposed,
            error => Error::Replica(error),
        }
    }

    fn last_unacknowledged(&self) -> CommitSeq {
        self.unacknowledged.back().map(|(commit, _)| *commit).unwrap_or_default()
    }

    fn wait_for(&self, proposed: Proposed, commit: CommitSeq) -> Result<()> {
        match self.replica.wait(proposed, self.patience) {
            Ok(Outcome::Committed) => Ok(()),
            Ok(Outcome::Waiting) => Err(Error::Unreplicated { commit }),
            Ok(Outcome::Refused) => Err(Error::Deposed),
            Ok(_) => Err(Error::Uncertain { commit }),
            Err(error) => Err(Error::Replica(error)),
        }
    }

    /// Waits until a commit is on as many disks as was asked for.
    pub(crate) fn wait(&mut self, commit: CommitSeq) -> Result<()> {
        let waiting = self.unacknowledged.iter().take_while(|(waiting, _)| *waiting <= commit);
        let Some((last, proposed)) = waiting.last().copied() else { return Ok(()) };
        self.wait_for(proposed, last)?;
        while self.unacknowledged.front().is_some_and(|(waiting, _)| *waiting <= commit) {
            self.unacknowledged.pop_front();
        }
        Ok(())
    }

    /// Waits for everything.
    pub(crate) fn close(mut self) -> Result<()> {
        let last = self.last_unacknowledged();
        self.wait(last)
    }
}
