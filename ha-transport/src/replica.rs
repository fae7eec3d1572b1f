//! A node at work: protocol, journal, transport and coordinator, on a thread of their own.

mod driver;
mod keeper;
mod log;
mod reign;
mod snapshots;
mod syncer;
mod vote;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use log::{LogError, LogOptions, ReplicaLog};
pub use reign::{Outcome, Proposed};
pub use snapshots::RefusedSnapshot;
pub use vote::VoteError;

use crate::coordinator::Coordinator;
use crate::ids::{Epoch, NodeId, Seq};
use crate::node::{ChangeError, Options, ProposeError, Quarantine};
use crate::transport::{Transport, Wake};
use crate::window::Window;
use crate::yields::Yields;
use driver::{Command, Driver};
use reign::Reigns;

/// Whatever is replicated: it takes committed batches in their order, whole, on every node.
///
/// It is called by the replica's thread, which listens to others between two batches and not within one: a call had
/// better be much shorter than a lease.
pub trait Apply: Send {
    /// A committed batch that another leader has sealed, or this one in an earlier reign.
    ///
    /// # Errors
    ///
    /// The batch contradicts what was applied before, and why. The replica stops then ([`Status::stopped`]): it neither
    /// follows nor leads with a state that is another one than the group's. Its log is as good as before.
    fn apply(&mut self, seq: Seq, payload: &[u8]) -> Result<(), String>;

    /// A batch that this node has proposed and not been deposed since is committed: one after the other, in the order in which
    /// they were proposed, and before anybody who waits for one is told. Whoever works ahead has
    /// done it already; others apply it now, which is what happens without this.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    fn committed(&mut self, seq: Seq, payload: &[u8]) -> Result<(), String> {
        self.apply(seq, payload)
    }

    /// The node leads from now on: everything that was committed before has been applied, and perhaps more that is
    /// going to be.
    fn leads(&mut self, epoch: Epoch) {
        let _ = epoch;
    }

    /// The node leads no more. What it proposed and was not committed may be or not be later.
    fn deposed(&mut self) {}

    /// Forget everything: what is committed is applied again, from the first batch on, or from behind a snapshot, which
    /// is [installed](Self::install) before.
    fn reset(&mut self);

    /// The state after the last batch that was given to [`apply`](Self::apply) or [`committed`](Self::committed), and
    /// nothing of what came from working ahead. What is returned writes it, once, on another thread, while further
    /// batches are applied here: so this call takes the state cheaply (a clone of what is shared, a mark in a journal),
    /// and what it returns does the work.
    ///
    /// None if there are no snapshots of this state, now or ever, which is what happens without this: then every batch
    /// is kept. It is only called when all that was applied is committed.
    ///
    /// The bytes mean nothing to the replica, and need not be the same on every node. They are checksummed.
    fn snapshot(&mut self) -> Option<SnapshotWriter> {
        None
    }

    /// Replaces the state by that of a snapshot which some node of the group has made. The next batch that is applied is
    /// the one behind it. Called directly after [`reset`](Self::reset).
    ///
    /// Bytes that were damaged end with an error of the reader, at their end at the latest: whoever has read them to the
    /// end has read what was written. After an error the state is reset, and an older snapshot is tried, if there is one.
    ///
    /// # Errors
    ///
    /// Why the state cannot be that of the snapshot, for people.
    fn install(&mut self, snapshot: &mut dyn std::io::Read) -> Result<(), String> {
        let _ = snapshot;
        Err("this state has no snapshots".to_owned())
    }
}

/// Writes a snapshot; see [`Apply::snapshot`].
pub type SnapshotWriter =
    Box<dyn FnOnce(&mut dyn std::io::Write) -> std::io::Result<()> + Send + 'static>;

/// How a replica is started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReplicaOptions {
    /// How the protocol behaves.
    pub node: Options,
    /// The other nodes, with their addresses on the transport. Of each two the one with the lower number dials.
    pub peers: Vec<(NodeId, String)>,
    /// The first members of a group that does not exist yet. A node that has batches never makes a group.
    pub founders: Vec<NodeId>,
    /// Bytes of batches behind which the next snapshot is taken, or as many as the last one has if that is more; never by
    /// itself with `None`. 64 MiB by default.
    pub snapshot_bytes: Option<u64>,
    /// Bytes of log that a leader keeps, beyond what its snapshots need, for followers that lack them: whoever lacks more
    /// gets a snapshot. 256 MiB by default.
    pub retain_bytes: u64,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            node: Options::default(),
            peers: Vec::new(),
            founders: Vec::new(),
            snapshot_bytes: Some(64 << 20),
            retain_bytes: 256 << 20,
        }
    }
}

impl ReplicaOptions {
    /// The options of a node with these peers, by address, as founders of a group together with it.
    pub fn founding(me: NodeId, peers: Vec<(NodeId, String)>) -> Self {
        let founders = peers.iter().map(|&(node, _)| node).chain([me]).collect();
        Self { peers, founders, ..Self::default() }
    }
}

/// How a replica is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Status {
    /// The epoch that it obeys.
    pub epoch: Epoch,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Whether it leads itself and takes proposals; not while it hands over.
    pub leads: bool,
    /// Who counts, as far as it knows.
    pub members: Vec<NodeId>,
    /// Up to where batches are known to be committed.
    pub committed: Seq,
    /// Up to where they are applied.
    pub applied: Seq,
    /// The last batch of its log.
    pub last: Seq,
    /// To whom it has a link.
    pub linked: Vec<NodeId>,
    /// Why it is set aside, if it is.
    pub quarantined: Option<Quarantine>,
    /// Whom this leader cannot send what they lack.
    pub too_far_behind: Vec<NodeId>,
    /// The last batch that its log does not have any more; 0 if it has all.
    pub trimmed: Seq,
    /// The last batch that is in its newest snapshot; 0 if it has none.
    pub snapshot: Seq,
    /// Files that are no snapshots of its log, or none any more, and why: they were put aside, and others are used.
    pub refused_snapshots: Vec<RefusedSnapshot>,
    /// Why it has stopped, if it has.
    pub stopped: Option<String>,
}

/// Why a replica does nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// Its log cannot be used any more.
    #[error("the replica has stopped: {why}; open its log again")]
    Stopped {
        /// Why.
        why: String,
    },
    /// It cannot be proposed now.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// A snapshot was not written. The log goes on.
    #[error("the snapshot was not written: {why}")]
    Snapshot {
        /// Why.
        why: String,
    },
    /// The group cannot be changed now.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The payload is longer than what a message takes.
    #[error("the batch has {bytes} bytes, {max} are the most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max: usize,
    },
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// A node of a group at work. Dropping it stops it; what it has on its disk stays.
///
/// # Example
///
/// Three nodes in one process, which keep the sum of what is proposed:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
/// use steadfast_ha_transport::*;
///
/// struct Sum(Arc<Mutex<u64>>);
/// impl Apply for Sum {
///     fn apply(&mut self, _: Seq, payload: &[u8]) -> Result<(), String> {
///         *self.0.lock().unwrap() += u64::from(*payload.first().ok_or("a batch without a number")?);
///         Ok(())
///     }
///     fn reset(&mut self) {
///         *self.0.lock().unwrap() = 0;
///     }
/// }
///
/// let dir = tempfile::tempdir()?;
/// let network = ChannelNetwork::new();
/// let ids = [1, 2, 3].map(NodeId);
/// let (mut replicas, mut sums) = (Vec::new(), Vec::new());
/// for (id, coordinator) in ids.into_iter().zip(LocalCoordinator::in_memory(ids, Duration::from_secs(2))) {
///     let log = ReplicaLog::open(dir.path().join(id.to_string()), 7, id)?;
///     let peers = ids.into_iter().filter(|&it| it != id).map(|it| (it, String::new())).collect();
///     let sum = Arc::new(Mutex::new(0));
///     let (options, transport) = (ReplicaOptions::founding(id, peers), network.join(id));
///     replicas.push(Replica::start(
///         options, 7, log, Box::new(transport), Box::new(coordinator), Box::new(Sum(Arc::clone(&sum))),
///     )?);
///     sums.push(sum);
/// }
/// // The first founder leads.
/// let patience = Duration::from_secs(20);
/// let epoch = replicas[0].watch(patience, |status| status.leads).expect("it leads soon").epoch;
/// replicas[0].propose(epoch, [40].into(), patience)?;
/// let proposed = replicas[0].propose(epoch, [2].into(), patience)?;
/// assert_eq!(replicas[0].wait(proposed, patience)?, Outcome::Committed);
/// for (replica, sum) in replicas.iter().zip(&sums) {
///     replica.watch(patience, |status| status.applied >= proposed.seq).expect("it follows");
///     assert_eq!(*sum.lock().unwrap(), 42);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Replica {
    node: NodeId,
    commands: crossbeam_channel::Sender<Command>,
    wake: Arc<dyn Wake>,
    shared: Arc<Shared>,
    frame_bytes_max: usize,
    thread: Option<JoinHandle<()>>,
}

/// What the replica's thread and others tell each other.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The status has changed.
    status_changed: Condvar,
    /// Something is known of what was proposed, or may be proposed.
    reigns_changed: Condvar,
    yields: Yields,
}

#[derive(Debug)]
struct State {
    status: Status,
    reigns: Reigns,
    /// How many sleep until the one or the other changes: to notify nobody costs a system call, too.
    sleeping: [u32; 2],
}

/// What somebody waits for.
#[derive(Clone, Copy)]
enum Of {
    Status = 0,
    Reigns = 1,
}

impl Shared {
    fn new(window: Window) -> Self {
        let (status, reigns) = (Status::default(), Reigns::new(window));
        Self {
            state: Mutex::new(State { status, reigns, sleeping: [0; 2] }),
            status_changed: Condvar::new(),
            reigns_changed: Condvar::new(),
            yields: Yields::new(),
        }
    }

    /// Lets go of the state, and tells whoever sleeps that something of these has changed.
    fn notify(&self, state: MutexGuard<'_, State>, of: &[Of]) {
        let sleeping = state.sleeping;
        drop(state);
        for &of in of {
            if sleeping[of as usize] > 0 {
                self.changed(of).notify_all();
            }
        }
    }

    const fn changed(&self, of: Of) -> &Condvar {
        match of {
            Of::Status => &self.status_changed,
            Of::Reigns => &self.reigns_changed,
        }
    }

    /// Looks until there is something to see, for so long at most.
    fn look<T>(
        &self,
        of: Of,
        time: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let found = look(&mut self.state());
        if found.is_some() || time.is_zero() {
            return found;
        }
        let until = Instant::now().checked_add(time);
        let found = self.yields.until(|| look(&mut self.state()));
        if found.is_some() {
            return found;
        }
        let mut state = self.state();
        loop {
            let found = look(&mut state);
            // A time that never comes is a long one.
            let left = until.map_or(time, |it| it.saturating_duration_since(Instant::now()));
            if found.is_some() || left.is_zero() {
                return found;
            }
            state.sleeping[of as usize] += 1;
            let waited = self.changed(of).wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping[of as usize] -= 1;
        }
    }

    /// The replica does nothing any more.
    fn stopped(&self, why: String) {
        let mut state = self.state();
        state.status.leads = false;
        state.status.leader = None;
        state.status.stopped = Some(why);
        state.reigns.stop();
        self.notify(state, &[Of::Status, Of::Reigns]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says why a replica has stopped, when its thread ends.
struct End<'a> {
    shared: &'a Shared,
    why: String,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.shared.stopped(std::mem::take(&mut self.why));
    }
}

impl Replica {
    /// Starts a node of a group: it finds its peers, and follows or leads.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Thread`]; addresses of peers that are none stop the replica, see [`Status::stopped`].
    pub fn start(
        options: ReplicaOptions,
        group: u64,
        log: ReplicaLog,
        transport: Box<dyn Transport>,
        coordinator: Box<dyn Coordinator>,
        apply: Box<dyn Apply>,
    ) -> Result<Self, ReplicaError> {
        let shared = Arc::new(Shared::new(options.node.under_way()));
        let (node, wake) = (transport.local(), transport.waker());
        let frame_bytes_max = transport.caps().frame_bytes_max;
        let (commands, receiver) = crossbeam_channel::unbounded();
        let telling = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("sf-replica".to_owned()).spawn(move || {
            // Whoever waits hears of it also if something panics here.
            let mut end = End { shared: &telling, why: "its thread panicked".to_owned() };
            let running = Driver::new(options, group, log, transport, coordinator, apply, &telling)
                .and_then(|mut driver| driver.run(&receiver));
            end.why = running.err().unwrap_or_else(|| "it was told to".to_owned());
        });
        let thread = Some(thread.map_err(ReplicaError::Thread)?);
        Ok(Self { node, commands, wake, shared, frame_bytes_max, thread })
    }

    fn ask<T>(
        &self,
        command: impl FnOnce(crossbeam_channel::Sender<T>) -> Command,
    ) -> Result<T, ReplicaError> {
        let (answer, answered) = crossbeam_channel::bounded(1);
        // If it has stopped, there is no answer either.
        self.commands.send(command(answer)).ok();
        self.wake.wake();
        answered.recv().map_err(|_| {
            let why = self.status().stopped.unwrap_or_default();
            ReplicaError::Stopped { why }
        })
    }

    /// Proposes a batch in the reign of this epoch, and does not wait for anything but room: batches get their numbers in
    /// the order of the calls, and are in the log in that order, soon, or are refused from one of them on for the rest of the
    /// reign. [`wait`](Self::wait) says what became of one; nothing of it is durable before.
    ///
    /// The epoch is what [`Apply::leads`] said, or [`Status::epoch`] of a status that [leads](Status::leads). What was to be
    /// proposed in a reign is never proposed in a later one: it may build on what that does not have.
    ///
    /// As many batches as a [window](Options::window) may wait to be committed, and [so many bytes](Options::window_bytes). If they do, this waits until there is room,
    /// for so long at most; not at all with [`Duration::ZERO`].
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; nothing has happened then. [`ProposeError::WindowFull`] if there was no room in that time.
    pub fn propose(
        &self,
        epoch: Epoch,
        payload: Arc<[u8]>,
        time: Duration,
    ) -> Result<Proposed, ReplicaError> {
        let (bytes, max) = (payload.len(), self.payload_bytes_max());
        if bytes > max {
            return Err(ReplicaError::TooLong { bytes, max });
        }
        let mut payload = Some(payload);
        let mut why_not = ProposeError::NotLeader { leader: None };
        let known = self.shared.look(Of::Reigns, time, |state| {
            if let Some(why) = &state.status.stopped {
                return Some(Err(ReplicaError::Stopped { why: why.clone() }));
            }
            match state.reigns.takes(epoch) {
                Ok(()) => Some(Ok(state.reigns.propose(epoch, payload.take()?))),
                Err(ProposeError::NotLeader { .. }) => {
                    let leader = state.status.leader.filter(|&it| it != self.node);
                    Some(Err(ProposeError::NotLeader { leader }.into()))
                }
                Err(full @ ProposeError::WindowFull { .. }) => {
                    why_not = full;
                    None
                }
                Err(why) => Some(Err(why.into())),
            }
        });
        let (proposed, is_first) = known.unwrap_or(Err(why_not.into()))??;
        // If it is not the first one, the thread was woken and has not looked yet.
        if is_first {
            self.wake.wake();
        }
        Ok(proposed)
    }

    /// Waits until it is known what became of a batch, for so long at most. Of batches of one reign, those with lower numbers
    /// are committed no later: whoever waits for many waits for the last one.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Stopped`]: it may be committed or not.
    pub fn wait(&self, proposed: Proposed, time: Duration) -> Result<Outcome, ReplicaError> {
        let known = self.shared.look(Of::Reigns, time, |state| {
            match (state.reigns.outcome(proposed), &state.status.stopped) {
                (Outcome::Waiting, _) => None,
                (Outcome::Unknown, Some(why)) => {
                    Some(Err(ReplicaError::Stopped { why: why.clone() }))
                }
                (known, _) => Some(Ok(known)),
            }
        });
        known.unwrap_or(Ok(Outcome::Waiting))
    }

    /// Bytes of a payload at most: what the transport's frames take.
    pub const fn payload_bytes_max(&self) -> usize {
        self.frame_bytes_max.saturating_sub(256)
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared.state().status.clone()
    }

    /// Waits until its status is as wanted, for so long at most; gives that status, if it came.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # fn waits(replica: &steadfast_ha_transport::Replica) {
    /// let leads = replica.watch(std::time::Duration::from_secs(10), |status| status.leads);
    /// # }
    /// ```
    pub fn watch(&self, time: Duration, is_wanted: impl Fn(&Status) -> bool) -> Option<Status> {
        self.shared
            .look(Of::Status, time, |state| is_wanted(&state.status).then(|| state.status.clone()))
    }

    /// Makes a node that follows a member; see [`Node::add`](crate::Node::add). It is one once the status says so.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; nothing has happened then.
    pub fn add(&self, node: NodeId) -> Result<(), ReplicaError> {
        Ok(self.ask(|answer| Command::Add(node, answer))??)
    }

    /// Takes a member out; see [`Node::remove`](crate::Node::remove). It is none once the status says so.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; nothing has happened then.
    pub fn remove(&self, node: NodeId) -> Result<(), ReplicaError> {
        Ok(self.ask(|answer| Command::Remove(node, answer))??)
    }

    /// Lets a member take over; see [`Node::hand_over`](crate::Node::hand_over).
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; nothing has happened then.
    pub fn hand_over(&self, to: NodeId) -> Result<(), ReplicaError> {
        Ok(self.ask(|answer| Command::HandOver(to, answer))??)
    }

    /// Takes a snapshot of what is committed and applied, and waits until it is on the disk; then old batches are
    /// dropped. Gives the last batch that is in it; nothing if the state has none to give, or nothing was applied.
    ///
    /// # Errors
    ///
    /// [`ReplicaError`]; there is no new snapshot then.
    pub fn snapshot(&self) -> Result<Option<Seq>, ReplicaError> {
        self.ask(Command::Snapshot)?.map_err(|why| ReplicaError::Snapshot { why })
    }

    /// Stops without a word, as a crash does: the lease stays until it ends. What is on the disk stays, too.
    pub fn abandon(mut self) {
        self.stop(false);
    }

    fn stop(&mut self, in_order: bool) {
        self.commands.send(Command::Stop { in_order }).ok();
        self.wake.wake();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was said where it did.
            thread.join().ok();
        }
    }

    /// An operator's order: lead with what can be reached. **What was committed on other nodes alone is lost**, and the
    /// record says so for ever ([`GroupRecord::forced`](crate::GroupRecord::forced)).
    pub fn force(&self) {
        self.commands.send(Command::Force).ok();
        self.wake.wake();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(true);
        }
    }
}
