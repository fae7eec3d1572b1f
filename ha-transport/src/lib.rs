//! Replication: batches go from a leader to followers in two phases, and a follower can take over.
//!
//! A leader seals what its session did between two safe points as a **batch**, appends it to its journal and sends it
//! to its followers at the same time (*prepare*). Each of them appends it and, once it is on its disk,
//! *acknowledges* it. When as many have as the [`Policy`] asks for, the batch is **committed**: the leader answers
//! whoever waits for it and lets effects out, and followers, who hear of it with the next batch (*decide*), apply it. A
//! leader does not wait between batches; a window of them may be under way.
//!
//! Who leads is decided by a **coordinator**, which keeps one small [`GroupRecord`] per group and changes it by
//! compare-and-swap: etcd, a database, whatever is linearizable. Each leader has an **epoch** of its own. A candidate
//! has its members promise to obey nobody of a lower epoch, so that a deposed leader cannot commit anything
//! any more, wherever it is and whatever its clock says; then it adopts the log that has everything which may have been
//! committed.
//!
//! # What it is not
//!
//! It knows nothing of facts, rules and sessions: a batch is bytes. It is no consensus of its own: *agreement* is the
//! coordinator's. It never degrades silently: with too few followers it waits, until the group is made smaller.
//!
//! # Guarantees
//!
//! As long as no more disks lose what was synced than the policy allows for, and nobody takes over by
//! [force](Input::Force):
//!
//! - What is committed is in the log of every later leader, in its place.
//! - What is applied anywhere is committed, and the same everywhere.
//! - Nothing that was committed is ever dropped from a log.
//!
//! Messages may be lost, doubled, late and out of order, nodes may stop anywhere and come back, and an answer of the
//! coordinator may be lost. `tests/it/` holds this against a simulated world in which all of that happens, and each of
//! its checks is shown to find the bug that it is for.
//!
//! # Limits
//!
//! A log is kept for ever unless the state has snapshots ([`Apply::snapshot`]): then it is trimmed, and a follower that
//! lacks what its leader does not have any more gets a snapshot in place of it. If there is none, it is told so
//! ([`Effect::TooFarBehind`]).
//!
//! The protocol is that of primary and backup with an external configuration manager (Lin and others, `PacificA`, 2008),
//! with the log matching of Raft (Ongaro and Ousterhout, 2014) and the arithmetic of Patroni's quorum commit.

mod batch;
mod budget;
mod channel;
pub mod codec;
mod coordinator;
mod epochs;
mod group;
mod ids;
mod inbox;
mod message;
mod node;
mod planted;
mod recent;
mod replica;
pub mod snapshot;
mod tcp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transport;
mod window;
mod yields;

pub use batch::{Batch, Kind};
pub use channel::{ChannelNetwork, ChannelTransport};
pub use coordinator::{Coordinator, CoordinatorEvent, LocalCoordinator};
pub use epochs::Epochs;
pub use group::{Forced, GroupRecord, Phase, Policy};
pub use ids::{Chain, Epoch, NodeId, Seq, Version};
pub use message::Message;
pub use node::{
    ChangeError, Effect, Input, Node, Options, ProposeError, Quarantine, Stored, Swapped,
};
#[doc(hidden)]
pub use planted::Planted;
pub use replica::{
    Apply, LogError, LogOptions, Outcome, Proposed, RefusedSnapshot, Replica, ReplicaError,
    ReplicaLog, ReplicaOptions, SnapshotWriter, Status, VoteError,
};
pub use tcp::{Refusal, Refusals, Refused, TcpOptions, TcpTransport};
#[cfg(feature = "tls")]
pub use tcp::{Tls, TlsError};
pub use transport::{
    Caps, CloseReason, Event, Frame, Lane, LinkId, SendError, Transport, TransportError, Wake,
};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
