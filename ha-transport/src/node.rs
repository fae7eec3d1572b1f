//! The protocol of one node, without any I/O: what comes in, and what is to be done about it.
//!
//! A [`Node`] is a state machine. It has no clock, no thread, no file and no socket; a driver tells it what happened
//! ([`Input`]) and carries out what it wants ([`Effect`]), so that a simulation owns time, disk and network.

mod candidate;
mod follower;
mod io;
mod leader;
mod log;
mod snapshot;
mod swap;

use std::time::Duration;

use crate::batch::Batch;
use crate::group::{GroupRecord, Policy};
use crate::ids::{Chain, Epoch, NodeId, Seq, Version};
use crate::message::Message;
use crate::planted::Planted;
use crate::snapshot::Offer;
use crate::window::Window;

use candidate::Candidate;
use follower::Follower;
pub use io::{Effect, Input, Quarantine, Stored, Swapped};
use leader::Leader;
pub use leader::{ChangeError, ProposeError};
use log::Log;
use swap::Swap;

/// How a node behaves. All nodes of a group have the same policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many followers must have a batch before it is committed; all without this.
    pub policy: Policy,
    /// How many batches a leader is ahead of what is committed, and of what a follower has acknowledged; 1024 by default.
    /// More of them under way share a sync, and more are of unknown outcome when the leader goes.
    pub window: u64,
    /// How many bytes of batches it is ahead, and one batch more; 8 MiB by default.
    pub window_bytes: usize,
    /// How often a leader gives a sign of life; 100 ms by default.
    pub beat: Duration,
    /// How long nothing may come of what was sent before it is sent again; 500 ms by default.
    pub resend: Duration,
    /// How long a member may be silent before the leader takes it out of the group; 10 s by default. Never with `None`.
    pub evict: Option<Duration>,
    /// How long a new leader that takes over by force waits for answers; 300 ms by default.
    pub force_wait: Duration,
    /// Bytes of a snapshot's file in one message; 256 KiB by default.
    pub snapshot_piece: u64,
    /// Bytes of a snapshot's file that are on their way to a follower at once; 2 MiB by default.
    pub snapshot_window: u64,
    #[doc(hidden)]
    pub planted: Option<Planted>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            window: 1024,
            window_bytes: 8 << 20,
            beat: Duration::from_millis(100),
            resend: Duration::from_millis(500),
            evict: Some(Duration::from_secs(10)),
            force_wait: Duration::from_millis(300),
            snapshot_piece: 256 << 10,
            snapshot_window: 2 << 20,
            planted: None,
        }
    }
}

impl Options {
    pub(crate) const fn under_way(&self) -> Window {
        Window { batches: self.window, bytes: self.window_bytes }
    }
}

/// The protocol of one node.
///
/// # Example
///
/// A group of one node elects itself and commits what it has on its disk:
///
/// ```
/// use std::time::Duration;
/// use steadfast_ha_transport::*;
///
/// let mut node = Node::new(NodeId(1), Options::default(), Stored::default());
/// let now = Duration::ZERO;
/// let mut effects = Vec::new();
/// node.step(now, Input::Record(Version(1), GroupRecord::new([NodeId(1)])), &mut effects);
/// assert!(matches!(effects[..], [Effect::Swap { ticket: 1, expect: Version(1), .. }]));
/// effects.clear();
/// node.step(now, Input::Swapped { ticket: 1, swapped: Swapped::Done(Version(2)) }, &mut effects);
/// let [Effect::Promise(Epoch(1)), Effect::Append(start), Effect::Swap { ticket: 2, .. }] = &effects[..] else {
///     panic!("{effects:?}");
/// };
/// let durable = Input::Durable { seq: start.seq, chain: start.chain() };
/// effects.clear();
/// node.step(now, Input::Swapped { ticket: 2, swapped: Swapped::Done(Version(3)) }, &mut effects);
/// node.step(now, durable, &mut effects);
/// assert_eq!(effects, [Effect::Lead { epoch: Epoch(1) }, Effect::Committed(Seq(1))]);
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    id: NodeId,
    options: Options,
    /// The last known record of the group.
    record: Option<(Version, GroupRecord)>,
    promised: Epoch,
    log: Log,
    committed: Seq,
    /// The newest snapshot.
    snapshot: Option<Offer>,
    role: Role,
    /// The swap whose outcome is not known yet.
    swap: Option<Swap>,
    tickets: u64,
    now: Duration,
}

#[derive(Clone, Debug)]
enum Role {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
    Quarantined,
}

impl Node {
    /// A node as it is after a start: a follower of whoever leads.
    ///
    /// # Panics
    ///
    /// If the log has a batch of a higher epoch than the promised one: then a promise was not kept, or is lost.
    pub fn new(id: NodeId, options: Options, stored: Stored) -> Self {
        let Stored { promised, log, trimmed, snapshot, chain, committed } = stored;
        assert!(log.last_epoch() <= promised, "no batch is of an epoch that was not promised");
        Self {
            id,
            options,
            record: None,
            promised,
            committed: committed.min(log.last()),
            log: Log::new(log, chain, trimmed),
            snapshot,
            role: Role::Follower(Follower::default()),
            swap: None,
            tickets: 0,
            now: Duration::ZERO,
        }
    }

    /// Its number.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The epoch that it obeys.
    pub const fn epoch(&self) -> Epoch {
        self.promised
    }

    /// Up to where batches are known to be committed.
    pub const fn committed(&self) -> Seq {
        self.committed
    }

    /// The last batch of its log.
    pub const fn last(&self) -> Seq {
        self.log.epochs.last()
    }

    /// The chain of the last batch.
    pub const fn chain(&self) -> Chain {
        self.log.chain
    }

    /// Whether it leads and takes proposals.
    pub const fn leads(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.active)
    }

    /// Whether it is set aside.
    pub const fn is_quarantined(&self) -> bool {
        matches!(self.role, Role::Quarantined)
    }

    /// Who leads, as far as the node knows.
    pub const fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.id),
            Role::Follower(follower) => follower.leader,
            Role::Candidate(_) | Role::Quarantined => None,
        }
    }

    /// The last known record of the group.
    pub const fn record(&self) -> Option<&(Version, GroupRecord)> {
        self.record.as_ref()
    }

    /// Takes in what happened at a time since the driver began, and adds to `effects` what is to be done about it.
    pub fn step(&mut self, now: Duration, input: Input, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        if self.is_quarantined() {
            return;
        }
        match input {
            Input::Tick => self.tick(effects),
            Input::Message { from, message } => self.receive(from, message, effects),
            Input::LinkUp(node) => self.link_up(node, effects),
            Input::Durable { seq, chain } => {
                if self.log.synced(seq, chain) {
                    match self.role {
                        Role::Follower(_) => self.acknowledge(effects),
                        Role::Leader(_) => self.advance(effects),
                        Role::Candidate(_) | Role::Quarantined => {}
                    }
                }
            }
            Input::Read { to, batches } => match self.role {
                Role::Leader(_) => self.stream_read(to, batches, effects),
                Role::Follower(_) => self.send_tail(to, batches, effects),
                Role::Candidate(_) | Role::Quarantined => {}
            },
            Input::Snapshot(offer) => self.snapshot_is(offer),
            Input::SnapshotRead { to, id, offset, bytes } => {
                self.send_piece(to, id, offset, bytes, effects);
            }
            Input::SnapshotStored { id, durable } => self.stored(id, durable, effects),
            Input::SnapshotChecked { id, is_of } => self.checked(id, is_of, effects),
            Input::Swapped { ticket, swapped } => self.swapped(ticket, swapped, effects),
            Input::Record(version, record) => self.learn(version, record, effects),
            Input::LeaseExpired => {
                if matches!(self.role, Role::Follower(_)) {
                    self.campaign(false, effects);
                }
            }
            Input::Force => {
                if !matches!(self.role, Role::Leader(_)) {
                    self.step_down(effects);
                    self.swap = None;
                    self.campaign(true, effects);
                }
            }
        }
    }

    fn tick(&mut self, effects: &mut Vec<Effect>) {
        self.retry_swap(effects);
        match self.role {
            Role::Leader(_) => self.tick_leader(effects),
            Role::Candidate(_) => self.tick_candidate(effects),
            Role::Follower(_) | Role::Quarantined => {}
        }
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Vec<Effect>) {
        let epoch = message.epoch();
        let to_obey = matches!(
            message,
            Message::Prepare { .. }
                | Message::Decide { .. }
                | Message::Fence { .. }
                | Message::Fetch { .. }
                | Message::HandOver { .. }
                | Message::SnapshotOffer { .. }
                | Message::SnapshotChunk { .. }
        );
        if to_obey && epoch < self.promised && !self.plants(Planted::IgnoresEpochs) {
            let message = Message::Refuse { epoch: self.promised };
            effects.push(Effect::Send { to: from, message });
            return;
        }
        if to_obey && epoch > self.promised {
            self.promise(epoch, effects);
        }
        match message {
            Message::Prepare { batch, committed, .. } => {
                self.prepare(from, committed, &batch, effects);
            }
            Message::Decide { committed, .. } => self.decide(from, committed, effects),
            Message::Fence { .. } => self.fenced(from, effects),
            Message::Fetch { behind, .. } => self.fetched(from, behind, effects),
            Message::HandOver { last, .. } => self.handed_over(from, last, effects),
            Message::Hello { log, .. } => {
                if epoch > self.promised {
                    self.overtaken(effects);
                } else {
                    self.hello(from, &log, effects);
                }
            }
            Message::Acknowledge { durable, .. } => {
                if epoch == self.promised {
                    self.acknowledged(from, durable, effects);
                }
            }
            Message::Promise { log, trimmed, .. } => {
                if epoch == self.promised {
                    self.promised_by(from, log, trimmed, effects);
                }
            }
            Message::Tail { batches, .. } => {
                if epoch == self.promised {
                    self.tail(from, &batches, effects);
                }
            }
            Message::SnapshotOffer { offer, .. } => self.offered(from, offer, effects),
            Message::SnapshotChunk { id, offset, bytes, .. } => {
                self.piece(from, id, offset, bytes, effects);
            }
            Message::SnapshotWant { id, offset, .. } => {
                if epoch == self.promised {
                    self.snapshot_wanted(from, id, offset, effects);
                }
            }
            Message::SnapshotDone { id, is_whole, .. } => {
                if epoch == self.promised {
                    self.snapshot_done(from, id, is_whole, effects);
                }
            }
            Message::Refuse { .. } => {
                if epoch > self.promised {
                    self.overtaken(effects);
                }
            }
        }
    }

    /// Promises to obey nobody of a lower epoch, and follows whoever this one belongs to.
    fn promise(&mut self, epoch: Epoch, effects: &mut Vec<Effect>) {
        self.step_down(effects);
        self.promised = epoch;
        effects.push(Effect::Promise(epoch));
    }

    /// Somebody has promised a higher epoch to somebody else.
    fn overtaken(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.role, Role::Follower(_)) {
            self.step_down(effects);
            effects.push(Effect::ReadRecord);
        }
    }

    /// Follows again, nobody in particular yet.
    fn step_down(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &self.role
            && leader.active
        {
            effects.push(Effect::Deposed);
        }
        if !matches!(self.role, Role::Follower(_)) {
            self.swap = None;
        }
        self.role = Role::Follower(Follower::default());
    }

    /// Sets the node aside.
    fn quarantine(&mut self, why: Quarantine, effects: &mut Vec<Effect>) {
        self.step_down(effects);
        self.role = Role::Quarantined;
        effects.push(Effect::Quarantined(why));
    }

    /// Notes up to where batches are committed.
    fn commit(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        if seq > self.committed {
            self.committed = seq;
            effects.push(Effect::Committed(seq));
        }
    }

    /// Drops all batches behind `prev`, whose chain is known; says whether nothing committed was among them.
    fn cut_behind(&mut self, prev: Seq, chain: Chain, effects: &mut Vec<Effect>) -> bool {
        if prev < self.committed {
            self.quarantine(Quarantine::Committed { at: prev.next() }, effects);
            return false;
        }
        self.log.truncate(prev, chain);
        effects.push(Effect::Truncate { above: prev });
        true
    }

    /// Appends a batch.
    fn append(&mut self, batch: Batch, effects: &mut Vec<Effect>) {
        self.log.push(&batch);
        effects.push(Effect::Append(batch));
    }

    /// The node's state without its batches, for whoever looks into a fault.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn glance(&self) -> String {
        let role = match &self.role {
            Role::Leader(leader) => leader.glance(),
            other => format!("{other:?}"),
        };
        let (version, log) = (self.record.as_ref().map(|it| it.0), &self.log.epochs);
        format!(
            "knows {version:?}, {role}, {log:?}, committed {:?}, {:?}",
            self.committed, self.swap
        )
    }

    /// Whether a test has planted this bug.
    pub(crate) fn plants(&self, bug: Planted) -> bool {
        cfg!(any(test, feature = "testing")) && self.options.planted == Some(bug)
    }
}
