//! What happens to a node, and what it wants done.

use std::sync::Arc;

use crate::batch::Batch;
use crate::epochs::Epochs;
use crate::group::GroupRecord;
use crate::ids::{Chain, Epoch, NodeId, Seq, Version};
use crate::message::Message;
use crate::snapshot::{Offer, SnapshotId};

/// What a node finds on its disk when it starts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// The highest epoch that it has promised to obey.
    pub promised: Epoch,
    /// Its log, from the first batch on, whether or not they are kept.
    pub log: Epochs,
    /// The last batch that is not kept any more; 0 if all are.
    pub trimmed: Seq,
    /// Its newest snapshot.
    pub snapshot: Option<Offer>,
    /// The chain of the last one.
    pub chain: Chain,
    /// Up to where it knew batches to be committed. A lower one is right, too, but not below a snapshot.
    pub committed: Seq,
}

/// What happened to a swap of the group's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Swapped {
    /// The record is the new one, at this version.
    Done(Version),
    /// The record was not as expected; it is this one.
    Conflict(Version, GroupRecord),
    /// There was no answer: it may have happened, or happen still.
    Unknown,
}

/// What happens to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Time has passed. Comes a few times per [`beat`](crate::Options::beat).
    Tick,
    /// A message came. The driver vouches for who sent it.
    Message {
        /// Who sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// There is a new link to a node; what was sent before may be lost.
    LinkUp(NodeId),
    /// The log is durable up to the batch with this number and chain.
    Durable {
        /// The number.
        seq: Seq,
        /// The chain.
        chain: Chain,
    },
    /// What [`Effect::Read`] asked for.
    Read {
        /// For whom.
        to: NodeId,
        /// The batches, following one another.
        batches: Vec<Batch>,
    },
    /// The newest snapshot of this node is this one from now on.
    Snapshot(Option<Offer>),
    /// What [`Effect::ReadSnapshot`] asked for.
    SnapshotRead {
        /// For whom.
        to: NodeId,
        /// Which snapshot.
        id: SnapshotId,
        /// Where the piece begins.
        offset: u64,
        /// The piece; empty if it cannot be read.
        bytes: Arc<[u8]>,
    },
    /// So much of a snapshot that comes is durable: of what was there when [`Effect::Receive`] came, and of what
    /// [`Effect::StoreSnapshot`] has added.
    SnapshotStored {
        /// Which snapshot.
        id: SnapshotId,
        /// Bytes from its begin on.
        durable: u64,
    },
    /// What [`Effect::CheckSnapshot`] found.
    SnapshotChecked {
        /// Which snapshot.
        id: SnapshotId,
        /// The log up to its last batch, and the chain there; nothing if it is damaged. It was dropped then.
        is_of: Option<(Epochs, Chain)>,
    },
    /// What became of [`Effect::Swap`].
    Swapped {
        /// Which one.
        ticket: u64,
        /// What became of it.
        swapped: Swapped,
    },
    /// The group's record, read or watched.
    Record(Version, GroupRecord),
    /// Nobody holds the leader's lease.
    LeaseExpired,
    /// An operator's order: lead with what can be reached. What was committed on other nodes alone is lost.
    Force,
}

/// What a driver does for a node, in the order in which it is told to.
///
/// Where it says *durable*, it is before anything behind it happens. A driver that cannot do so stops the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a message. It may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Keep, durable, that no lower epoch is obeyed any more.
    Promise(Epoch),
    /// Append a batch behind the last one. Sometime later it is durable, and [`Input::Durable`] says so.
    Append(Batch),
    /// Drop, durable, all batches above this one.
    Truncate {
        /// The last one that stays.
        above: Seq,
    },
    /// Read some batches from this one on, and give them to [`Input::Read`]; none if the log begins behind it.
    Read {
        /// For whom.
        to: NodeId,
        /// The first one.
        from: Seq,
        /// How many at most.
        most: u64,
    },
    /// A node needs batches that the log does not have any more, and there is no snapshot either: it must be made anew
    /// from a later state.
    TooFarBehind(NodeId),
    /// Read a piece of a snapshot's file, and give it to [`Input::SnapshotRead`].
    ReadSnapshot {
        /// For whom.
        to: NodeId,
        /// Which snapshot.
        id: SnapshotId,
        /// Where the piece begins.
        offset: u64,
        /// Bytes at most.
        most: u64,
    },
    /// Somebody got this snapshot damaged: look whether it is, and tell [`Input::Snapshot`] if so.
    VerifySnapshot {
        /// Which snapshot.
        id: SnapshotId,
    },
    /// A snapshot is going to come: tell [`Input::SnapshotStored`] how much of it is there from an earlier attempt.
    Receive(Offer),
    /// Add a piece to the snapshot that comes. Sometime later it is durable, and [`Input::SnapshotStored`] says so.
    StoreSnapshot {
        /// Which snapshot.
        id: SnapshotId,
        /// Where the piece begins: where the one before ended.
        offset: u64,
        /// The piece.
        bytes: Arc<[u8]>,
    },
    /// All of a snapshot is there: look whether it is what was written, and tell [`Input::SnapshotChecked`].
    CheckSnapshot {
        /// Which snapshot.
        id: SnapshotId,
    },
    /// Replace log and state by a snapshot that was checked, durable: the snapshot first, so that a crash in between
    /// leaves the old log with it, from which the rest follows. What was promised stays.
    Install {
        /// Which snapshot.
        id: SnapshotId,
        /// The log up to its last batch, of which no batch is kept.
        log: Epochs,
        /// The chain there.
        chain: Chain,
    },
    /// Read the group's record, and give it to [`Input::Record`].
    ReadRecord,
    /// Replace the group's record if it has the expected version, and tell [`Input::Swapped`].
    Swap {
        /// Which swap this is.
        ticket: u64,
        /// The version.
        expect: Version,
        /// The new record.
        record: GroupRecord,
    },
    /// Everything up to here is committed: apply it, release effects, tell who waits.
    Committed(Seq),
    /// The node leads. Its session goes on behind the last batch of its log.
    Lead {
        /// The epoch.
        epoch: Epoch,
    },
    /// The node leads no more. Its session is thrown away and built again from what is committed; what was not
    /// committed may be or not be later.
    Deposed,
    /// The node's log contradicts that of the group. It does nothing any more until it is made anew.
    Quarantined(Quarantine),
}

/// Why a node is set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Quarantine {
    /// A leader has other batches than those that this node knows to be committed.
    #[error(
        "batch {at} of the leader is not the one that this node knows to be committed: \
         a leader took over by force without it, or a journal was restored from a backup; \
         make this node anew from the leader's state"
    )]
    Committed {
        /// The first other one.
        at: Seq,
    },
    /// Batches of the same epoch and number differ.
    #[error(
        "the log up to batch {at} is not the leader's although the epochs agree: one of them was \
         damaged or changed; make this node anew from the leader's state"
    )]
    Diverged {
        /// The last batch before the difference was seen.
        at: Seq,
    },
}
