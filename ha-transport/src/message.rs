//! What nodes say to each other.

use std::sync::Arc;

use crate::batch::Batch;
use crate::epochs::Epochs;
use crate::ids::{Epoch, Seq};
use crate::snapshot::{Offer, SnapshotId};

/// What one node says to another. Any message may be lost, doubled, or arrive late or out of order: safety does not
/// depend on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A follower to its leader: what is on its disk, so that the leader knows where to go on.
    Hello {
        /// The highest epoch that it has promised to obey.
        epoch: Epoch,
        /// The batches on its disk.
        log: Epochs,
        /// Up to where it knows them to be committed.
        committed: Seq,
    },
    /// A leader to a follower: one batch.
    Prepare {
        /// The leader's epoch, not that of the batch, which it may have adopted.
        epoch: Epoch,
        /// The batch.
        batch: Batch,
        /// Up to where batches are committed.
        committed: Seq,
    },
    /// A follower to its leader: everything up to here is on its disk, and the same as the leader's.
    Acknowledge {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last batch.
        durable: Seq,
    },
    /// A leader to a follower: up to where batches are committed; also sent when nothing happens, as a sign of life.
    Decide {
        /// The leader's epoch.
        epoch: Epoch,
        /// The last committed batch.
        committed: Seq,
    },
    /// A candidate to a member: obey nobody of a lower epoch any more.
    Fence {
        /// The candidate's epoch.
        epoch: Epoch,
    },
    /// A member to a candidate: it has promised, on its disk.
    Promise {
        /// The candidate's epoch.
        epoch: Epoch,
        /// The log on the member's disk.
        log: Epochs,
        /// The batches up to here are not kept any more: what they led to is in a snapshot.
        trimmed: Seq,
    },
    /// A candidate to a member: send the batches behind this one.
    Fetch {
        /// The candidate's epoch.
        epoch: Epoch,
        /// The last batch that both have.
        behind: Seq,
    },
    /// A member to a candidate: batches that follow one another.
    Tail {
        /// The candidate's epoch.
        epoch: Epoch,
        /// The batches, as many as go into one message.
        batches: Vec<Batch>,
    },
    /// A node to one whose epoch is over.
    Refuse {
        /// The epoch that was promised to somebody else.
        epoch: Epoch,
    },
    /// A leader to a member: everything is committed, take over. Or a candidate, that cannot get what it lacks from this
    /// member because that does not keep it any more.
    HandOver {
        /// The leader's epoch.
        epoch: Epoch,
        /// The leader's last batch.
        last: Seq,
    },
    /// A leader to a follower that lacks what the leader does not keep any more: there is this snapshot.
    SnapshotOffer {
        /// The leader's epoch.
        epoch: Epoch,
        /// The snapshot.
        offer: Offer,
    },
    /// A follower to its leader: so much of the snapshot is on its disk; go on from there.
    SnapshotWant {
        /// The leader's epoch.
        epoch: Epoch,
        /// Which snapshot.
        id: SnapshotId,
        /// Bytes of the file that are durable.
        offset: u64,
    },
    /// A leader to a follower: a piece of a snapshot's file.
    SnapshotChunk {
        /// The leader's epoch.
        epoch: Epoch,
        /// Which snapshot.
        id: SnapshotId,
        /// Where the piece begins.
        offset: u64,
        /// The piece.
        bytes: Arc<[u8]>,
    },
    /// A follower to its leader: the snapshot is there as a whole.
    SnapshotDone {
        /// The leader's epoch.
        epoch: Epoch,
        /// Which snapshot.
        id: SnapshotId,
        /// Whether it is what was written, and the follower has taken it over; else it was dropped.
        is_whole: bool,
    },
}

impl Message {
    /// The epoch in which it was said.
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Hello { epoch, .. }
            | Self::Prepare { epoch, .. }
            | Self::Acknowledge { epoch, .. }
            | Self::Decide { epoch, .. }
            | Self::Fence { epoch }
            | Self::Promise { epoch, .. }
            | Self::Fetch { epoch, .. }
            | Self::Tail { epoch, .. }
            | Self::Refuse { epoch }
            | Self::HandOver { epoch, .. }
            | Self::SnapshotOffer { epoch, .. }
            | Self::SnapshotWant { epoch, .. }
            | Self::SnapshotChunk { epoch, .. }
            | Self::SnapshotDone { epoch, .. } => *epoch,
        }
    }
}
