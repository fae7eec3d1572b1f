//! Links between nodes: what a transport is to the protocol.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::ids::NodeId;

/// A link from one node to another. Each has a number of its own, which is never used again by its transport.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What a frame is about. Lanes do not wait for each other: signs of life and acknowledgements come through while
/// a snapshot is on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Lane {
    /// Acknowledgements, decisions, elections.
    Control = 0,
    /// Batches.
    Journal = 1,
    /// Snapshots.
    Bulk = 2,
}

impl Lane {
    /// All of them; those that come first go first.
    pub const ALL: [Self; 3] = [Self::Control, Self::Journal, Self::Bulk];

    /// The lane of a number, if there is one.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Control),
            1 => Some(Self::Journal),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }
}

/// A message's bytes. Cloning does not copy them, so that one frame may go to many.
pub type Frame = Arc<[u8]>;

/// Why a link is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side hung up.
    HungUp,
    /// The other side hung up, stopped, or cannot be reached any more.
    Lost,
    /// The other side sent what is no frame, or one that is too long.
    Broken,
}

/// What happened on a transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// There is a link to a peer.
    LinkUp {
        /// The link.
        link: LinkId,
        /// Who is at its other end. Authenticated if [`Caps::authenticated`] says so.
        peer: NodeId,
    },
    /// A frame came, as it was sent.
    Frame {
        /// The link.
        link: LinkId,
        /// The lane.
        lane: Lane,
        /// The frame.
        frame: Frame,
    },
    /// A lane that was full has room again.
    Writable {
        /// The link.
        link: LinkId,
        /// The lane.
        lane: Lane,
    },
    /// The link is gone. What was sent and has not come is lost.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why.
        why: CloseReason,
    },
    /// Somebody called [`Wake::wake`].
    Wake,
}

/// What a transport can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    /// The longest frame that it takes, in bytes.
    pub frame_bytes_max: usize,
    /// Whether a peer is who it says it is.
    pub authenticated: bool,
    /// Whether others cannot read or change what is sent.
    pub encrypted: bool,
}

/// Why a frame was not sent.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The lane is full; [`Event::Writable`] says when it is not any more.
    #[error("the lane is full")]
    Full(Frame),
    /// There is no such link any more.
    #[error("the link is gone")]
    Gone(Frame),
    /// The frame is longer than this transport takes.
    #[error("the frame has {bytes} bytes, {max} are the most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest.
        max: usize,
    },
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(frame) => write!(f, "Full({} bytes)", frame.len()),
            Self::Gone(frame) => write!(f, "Gone({} bytes)", frame.len()),
            Self::TooLong { bytes, max } => write!(f, "TooLong {{ bytes: {bytes}, max: {max} }}"),
        }
    }
}

/// Why a transport does not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The address is none of this transport's.
    #[error("`{address}` is no address of this transport; it takes {takes}")]
    Address {
        /// The address.
        address: String,
        /// What it takes.
        takes: &'static str,
    },
    /// Peers are not authenticated, and the address can be reached from elsewhere.
    #[error(
        "`{address}` can be reached from other machines, and this transport does not know who is there; \
         use an authenticated one, or allow plaintext if the network keeps others out"
    )]
    Plaintext {
        /// The address.
        address: String,
    },
    /// This node's certificate is none of this node's.
    #[error("this node's certificate cannot be used: {why}")]
    Certificate {
        /// Why.
        why: String,
    },
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes [`Transport::poll`] return. Calls that come before anybody polls count as one.
pub trait Wake: Send + Sync {
    /// Makes it return with [`Event::Wake`].
    fn wake(&self);
}

impl fmt::Debug for dyn Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

/// One node's links to others: bounded, of whole frames. One thread owns it.
///
/// # Contract
///
/// `testing::conformance` is this contract as tests, for transports of your own.
///
/// - Frames of one lane of one link come in the order in which they were sent, unchanged, each at most once. If one is
///   missing, so are all behind it, and the link goes down.
/// - A link's number is never used again. Between the `LinkUp` and the `LinkDown` of one pair of nodes there may be a
///   second link for a moment; the newer one is the one to use.
/// - No call but [`poll`](Self::poll) waits. Memory is bounded: a lane that nobody empties is full at some time.
/// - A lower lane does not wait for a higher one.
/// - A peer is authenticated, or [`Caps::authenticated`] is false.
///
/// The protocol's safety does not rest on any of this, only its progress does.
pub trait Transport: Send {
    /// This node.
    fn local(&self) -> NodeId;

    /// Holds a link to a peer from now on, again and again if it goes down.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the address is none. That nobody answers is no error.
    fn dial(&mut self, peer: NodeId, address: &str) -> Result<(), TransportError>;

    /// Does not dial a peer any more. A link that is there stays.
    fn undial(&mut self, peer: NodeId);

    /// Ends a link. If its peer is dialed, there will be another one.
    fn hang_up(&mut self, link: LinkId);

    /// Sends a frame, without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the frame: nothing of it was sent then.
    fn try_send(&mut self, link: LinkId, lane: Lane, frame: Frame) -> Result<(), SendError>;

    /// The next thing that happens, until a time; without one it waits for as long as it takes.
    fn poll(&mut self, deadline: Option<Instant>) -> Option<Event>;

    /// What makes `poll` return, for other threads.
    fn waker(&self) -> Arc<dyn Wake>;

    /// What it can do.
    fn caps(&self) -> Caps;
}
