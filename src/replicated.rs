//! Sessions of several nodes: one of them leads, the others follow and take over.

mod follow;
pub(crate) mod payload;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use steadfast_engine_core::ir::Ruleset;
use steadfast_engine_core::{Engine, RulesPolicy};
use steadfast_ha_transport::{
    self as ha, Coordinator, LogError, NodeId, Outcome, Policy, Replica, ReplicaError, ReplicaLog,
    ReplicaOptions, Transport,
};
use steadfast_journal::{Batch, RECORD_BYTES_MAX};
use steadfast_replay::RecoverError;
use steadfast_wm::{CommitSeq, SafePoint, SessionId};

use crate::durable::Recovery;
use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::session::Session;
use crate::sink::Recorder;
use crate::writer::{Reign, ReplicaWriter, Seat, Writer};

use follow::{Agreed, Follow};

/// Nobody waits longer than that: a century.
const PATIENCE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Says how a node of a group is started; made by [`Session::replicated`].
#[derive(Clone)]
pub struct ReplicatedBuilder {
    dir: PathBuf,
    group: u64,
    node: NodeId,
    options: ReplicaOptions,
    is_founder: bool,
    policy: RulesPolicy,
    pipelined: bool,
    patience: Duration,
}

impl fmt::Debug for ReplicatedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplicatedBuilder")
            .field("dir", &self.dir)
            .field("group", &self.group)
            .field("node", &self.node)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl ReplicatedBuilder {
    pub(crate) fn new(dir: PathBuf, group: u64, node: NodeId) -> Self {
        Self {
            dir,
            group,
            node,
            options: ReplicaOptions::default(),
            is_founder: true,
            policy: RulesPolicy::Reject,
            pipelined: false,
            patience: Duration::from_secs(30),
        }
    }

    /// Another node of the group, with its address on the transport. All nodes are named on all nodes.
    #[must_use]
    pub fn peer(mut self, node: NodeId, address: impl Into<String>) -> Self {
        self.options.peers.push((node, address.into()));
        self
    }

    /// Joins a group that exists: the node follows, and counts once the leader has [added](Replicated::add) it. Without
    /// this, the nodes make the group if there is none, all of them as its members.
    #[must_use]
    pub fn join(mut self) -> Self {
        self.is_founder = false;
        self
    }

    /// How many followers must have a commit on their disks before it is acknowledged: [`Policy::All`] unless told
    /// otherwise. The same on all nodes.
    #[must_use]
    pub fn ack(mut self, policy: Policy) -> Self {
        self.options.node.policy = policy;
        self
    }

    /// How the nodes talk to one another: signs of life, the window of commits under way, how long a silent member
    /// counts. Does not change what [`ack`](Self::ack) said.
    #[must_use]
    pub fn options(mut self, options: ha::Options) -> Self {
        let policy = self.options.node.policy;
        self.options.node = options;
        self.options.node.policy = policy;
        self
    }

    /// Bytes of commits behind which the node writes a snapshot of the state, or as many as the last one has, if that is
    /// more: 64 MiB unless told otherwise, never with `None`. Behind a snapshot the log is trimmed, and a node that starts
    /// again begins with it.
    #[must_use]
    pub fn snapshot_bytes(mut self, bytes: Option<u64>) -> Self {
        self.options.snapshot_bytes = bytes;
        self
    }

    /// Bytes of log that a node keeps, beyond what its snapshots need, for followers that lack them: 256 MiB unless told
    /// otherwise. Whoever lacks more gets a snapshot.
    #[must_use]
    pub fn retain_bytes(mut self, bytes: u64) -> Self {
        self.options.retain_bytes = bytes;
        self
    }

    /// What it means that the ruleset differs from the group's: refused unless told otherwise. Followers do not look at
    /// rules; whoever leads does.
    #[must_use]
    pub fn on_changed_rules(mut self, policy: RulesPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Calls return before their commit is acknowledged; [`Session::wait_durable`] waits. Effects wait by themselves.
    #[must_use]
    pub fn pipelined(mut self, pipelined: bool) -> Self {
        self.pipelined = pipelined;
        self
    }

    /// How long a call waits for followers before it says so ([`Error::Unreplicated`]): 30 s unless told otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience.min(PATIENCE_MAX);
        self
    }

    /// Starts the node: it brings its log back, finds the others, and follows or leads.
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] for an invalid ruleset; [`Error::Open`] if the log's journal does not open;
    /// [`Error::ReplicaLog`] if it is that of another node or group, or its vote is damaged. Nothing was changed then.
    pub fn start(
        mut self,
        ruleset: Ruleset,
        transport: impl Transport + 'static,
        coordinator: impl Coordinator + 'static,
    ) -> Result<Replicated> {
        ruleset.check().map_err(Error::Rules)?;
        if self.is_founder {
            let peers = self.options.peers.iter().map(|&(node, _)| node);
            self.options.founders = peers.chain([self.node]).collect();
        }
        let log =
            ReplicaLog::open(&self.dir, self.group, self.node).map_err(|error| match error {
                LogError::Open(error) => Error::Open(error),
                error => Error::ReplicaLog(error),
            })?;
        let own_id = SessionId::from_bytes(log.id());
        let follow = Follow::default();
        let (transport, coordinator) = (Box::new(transport), Box::new(coordinator));
        let apply = Box::new(follow.clone());
        let replica = Replica::start(self.options, self.group, log, transport, coordinator, apply)
            .map_err(Error::Replica)?;
        Ok(Replicated {
            replica: Arc::new(replica),
            follow,
            ruleset,
            own_id,
            policy: self.policy,
            pipelined: self.pipelined,
            patience: self.patience,
            seat: Mutex::default(),
        })
    }
}

/// A node of a group that keeps a session: it follows, and leads when it is its turn.
///
/// Dropping it, and the session if it leads, ends the node in order: the others need not wait for the end of its lease.
/// What is on its disk stays; it is a node again when it is started again.
///
/// # Example
///
/// Two nodes in one process. `docs/replication.md` has the loop of a node in a process of its own.
///
/// ```
/// use std::time::Duration;
/// use steadfast::ha::{ChannelNetwork, LocalCoordinator, NodeId};
/// use steadfast::prelude::*;
///
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Order { #[fact(key)] id: u64 }
/// ruleset!(shop = 1: ; facts: Order);
///
/// let dir = tempfile::tempdir()?;
/// let (ids, network) = ([NodeId(1), NodeId(2)], ChannelNetwork::new());
/// let mut nodes = Vec::new();
/// for (id, coordinator) in ids.into_iter().zip(LocalCoordinator::in_memory(ids, Duration::from_secs(1))) {
///     let other = if id == ids[0] { ids[1] } else { ids[0] };
///     nodes.push(
///         Session::replicated(dir.path().join(id.to_string()), 7, id)
///             .peer(other, "")
///             .start(shop(), network.join(id), coordinator)?,
///     );
/// }
/// let patience = Duration::from_secs(20);
/// let mut session = nodes[0].lead(patience)?.expect("the first node leads at first");
/// session.insert(Order { id: 7 })?; // On both disks when this returns.
///
/// // The first node goes; the second one leads, with everything that was acknowledged.
/// drop(session);
/// nodes.remove(0);
/// let session = nodes[0].lead(patience)?.expect("nobody else is left");
/// assert!(session.find::<Order>(&7).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replicated {
    replica: Arc<Replica>,
    follow: Follow,
    ruleset: Ruleset,
    /// The session's identity, if this node makes it.
    own_id: SessionId,
    policy: RulesPolicy,
    pipelined: bool,
    patience: Duration,
    /// The place of this node's session; locked while one is made.
    seat: Mutex<Arc<Seat>>,
}

impl fmt::Debug for Replicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl Replicated {
    /// Waits until this node leads, for so long at most, and gives its session then: as of the last commit that the group
    /// has agreed on, with everything that was ever acknowledged. Nothing fires by that.
    ///
    /// Each commit is on the disks that the [policy](ReplicatedBuilder::ack) asks for before it is acknowledged. When the
    /// node is deposed, calls say [`Error::Deposed`] or [`Error::Uncertain`]: drop the session then and come back here.
    ///
    /// # Errors
    ///
    /// [`Error::SessionOpen`] while the session that was given before is there; [`Error::Replica`] if the node has stopped
    /// or was set aside; [`Error::Recover`] if the state does not fit the ruleset: the node leads then without a session, so
    /// stop it and let one with the right build lead.
    pub fn lead(&self, time: Duration) -> Result<Option<Session>> {
        let until = Instant::now() + time.min(PATIENCE_MAX);
        let left = || until.saturating_duration_since(Instant::now());
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&seat) > 1 {
            return Err(Error::SessionOpen);
        }
        loop {
            let over =
                |it: &ha::Status| it.leads || it.stopped.is_some() || it.quarantined.is_some();
            let Some(status) = self.replica.watch(left(), over) else { return Ok(None) };
            if let Some(why) = stopped(&status) {
                return Err(Error::Replica(ReplicaError::Stopped { why }));
            }
            // What the session before had under way, in the same reign, is part of the state.
            let last = *seat.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = last.filter(|last| last.epoch == status.epoch) {
                match self.replica.wait(last, left()).map_err(Error::Replica)? {
                    Outcome::Committed => {}
                    Outcome::Waiting => return Ok(None),
                    Outcome::Refused | Outcome::Unknown => continue, // deposed meanwhile
                }
            }
            match self.session(status.epoch, &seat) {
                // It was deposed while the session was made.
                Err(Error::Deposed | Error::Uncertain { .. }) => {}
                made => return made.map(Some),
            }
        }
    }

    /// A session that leads in this epoch.
    fn session(&self, epoch: ha::Epoch, seat: &Arc<Seat>) -> Result<Session> {
        let agreed = self.agreed()?;
        let mut recorder = Recorder {
            batch: Some(Batch::new()),
            record_bytes_max: RECORD_BYTES_MAX,
            ..Recorder::default()
        };
        let session = agreed.session.unwrap_or(self.own_id);
        let created = agreed.session.is_none();
        let (engine, outbox, commit) = if created {
            let engine = Engine::new(&self.ruleset, session, &mut recorder);
            (engine.map_err(Error::Rules)?, Outbox::default(), CommitSeq::new(0))
        } else {
            let engine = self.rebuild(&agreed, session, &mut recorder)?;
            (engine, Outbox::restore(&agreed.image), agreed.image.commit())
        };
        let recovery =
            Recovery { created, records: agreed.records, cut: false, quarantined_bytes: 0 };
        drop(agreed); // The node folds on.
        let reign = Reign {
            replica: Arc::clone(&self.replica),
            epoch,
            session,
            pipelined: self.pipelined,
            patience: self.patience,
            seat: Arc::clone(seat),
        };
        let writer = Writer::Replicas(ReplicaWriter::new(reign, recovery));
        let mut session = Session::assemble(engine, outbox, commit, recorder, Some(writer));
        // A new session's ruleset, or what a changed one did.
        session.commit_records(SafePoint::Evaluated)?;
        Ok(session)
    }

    /// The ruleset under which this node leads from now on: for sessions to which rules were added, or from which some were
    /// removed, while they were open.
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] for an invalid one; the old one stays.
    pub fn set_ruleset(&mut self, ruleset: Ruleset) -> Result<()> {
        ruleset.check().map_err(Error::Rules)?;
        self.ruleset = ruleset;
        Ok(())
    }

    fn agreed(&self) -> Result<Agreed> {
        let stopped = |why| Error::Replica(ReplicaError::Stopped { why });
        self.follow.look().map_err(stopped)
    }

    fn rebuild(
        &self,
        agreed: &Agreed,
        session: SessionId,
        recorder: &mut Recorder,
    ) -> Result<Engine> {
        let (ruleset, policy) = (&self.ruleset, self.policy);
        let mut on = |_| ControlFlow::Continue(());
        let rebuilt =
            steadfast_replay::rebuild(&agreed.image, ruleset, session, policy, recorder, &mut on);
        Ok(rebuilt.map_err(|error| Error::Recover(RecoverError::Rebuild(error)))?.0)
    }

    /// A copy of the session to look at, in memory, as of the last commit that this node knows to be agreed on; `None`
    /// before the first. What is done with it stays in it. It has no effects to deliver.
    ///
    /// On a follower it lags behind the leader by as much as commits take to come here; [`Status::applied`](ha::Status) says
    /// how far it is. It takes as long as opening a session of that size does.
    ///
    /// # Errors
    ///
    /// [`Error::Recover`] if the state does not fit the ruleset; [`Error::Replica`] if this node cannot apply what was
    /// committed.
    pub fn look(&self) -> Result<Option<Session>> {
        let agreed = self.agreed()?;
        let Some(session) = agreed.session else { return Ok(None) };
        let mut recorder = Recorder::default();
        let engine = self.rebuild(&agreed, session, &mut recorder)?;
        let commit = agreed.image.commit();
        Ok(Some(Session::assemble(engine, Outbox::default(), commit, recorder, None)))
    }

    /// How the node is doing.
    pub fn status(&self) -> ha::Status {
        self.replica.status()
    }

    /// Waits until its status is as wanted, for so long at most; gives that status, if it came.
    pub fn watch(
        &self,
        time: Duration,
        is_wanted: impl Fn(&ha::Status) -> bool,
    ) -> Option<ha::Status> {
        self.replica.watch(time.min(PATIENCE_MAX), is_wanted)
    }

    /// Writes a snapshot of what is agreed on and waits until it is on this node's disk; then its log is trimmed. Gives the
    /// batch up to which it goes; `None` if there is nothing new. Nodes do this by themselves as well
    /// ([`ReplicatedBuilder::snapshot_bytes`]).
    ///
    /// # Errors
    ///
    /// [`Error::Replica`] if it was not written; the node goes on.
    pub fn snapshot(&self) -> Result<Option<ha::Seq>> {
        self.replica.snapshot().map_err(Error::Replica)
    }

    /// Makes a node that follows a member, which counts for commits; on the leader. It is one once the status says so.
    ///
    /// # Errors
    ///
    /// [`Error::Replica`]; nothing has happened then.
    pub fn add(&self, node: NodeId) -> Result<()> {
        self.replica.add(node).map_err(Error::Replica)
    }

    /// Takes a member out, on the leader. It is none once the status says so.
    ///
    /// # Errors
    ///
    /// [`Error::Replica`]; nothing has happened then.
    pub fn remove(&self, node: NodeId) -> Result<()> {
        self.replica.remove(node).map_err(Error::Replica)
    }

    /// Lets a member take over, on the leader: commits that are under way are finished first. The session of this node
    /// takes no more then.
    ///
    /// # Errors
    ///
    /// [`Error::Replica`]; nothing has happened then.
    pub fn hand_over(&self, to: NodeId) -> Result<()> {
        self.replica.hand_over(to).map_err(Error::Replica)
    }

    /// An operator's order: lead with the nodes that can be reached. **What was acknowledged on other nodes alone is
    /// lost**, and the group's record says so for ever.
    pub fn force(&self) {
        self.replica.force();
    }
}

/// Why a node will not lead any more.
fn stopped(status: &ha::Status) -> Option<String> {
    let quarantined =
        || status.quarantined.as_ref().map(|why| format!("it was set aside: {why:?}"));
    status.stopped.clone().or_else(quarantined)
}
