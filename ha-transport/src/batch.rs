//! Batches: what is replicated, whole or not at all.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use crate::ids::{Chain, Epoch, Seq};

/// What a batch is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The first batch of an epoch, without a payload. What was adopted before it is committed when it is.
    EpochStart = 1,
    /// What a session did between two safe points, opaque here.
    Work = 2,
}

impl Kind {
    /// The kind of this number, if there is one.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::EpochStart),
            2 => Some(Self::Work),
            _ => None,
        }
    }
}

/// A sealed batch in its place. It is the *prepare* of the two phases: nothing takes it back but a leader of a
/// higher epoch that never saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The epoch in which it was sealed.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// The epoch of the batch before it; 0 before the first one.
    pub prev_epoch: Epoch,
    /// The chain of the batch before it; 0 before the first one.
    pub prev_chain: Chain,
    /// What it is for.
    pub kind: Kind,
    /// What it says. Cloning a batch does not copy it.
    pub payload: Arc<[u8]>,
}

impl Batch {
    /// The chain at this batch. Costs time in proportion to the payload.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_ha_transport::{Batch, Chain, Epoch, Kind, Seq};
    ///
    /// let first = Batch {
    ///     epoch: Epoch(1),
    ///     seq: Seq(1),
    ///     prev_epoch: Epoch(0),
    ///     prev_chain: Chain(0),
    ///     kind: Kind::EpochStart,
    ///     payload: [].into(),
    /// };
    /// let other = Batch { epoch: Epoch(2), ..first.clone() };
    /// assert_eq!(first.chain(), first.clone().chain());
    /// assert_ne!(first.chain(), other.chain());
    /// ```
    pub fn chain(&self) -> Chain {
        let mut hash = Xxh3Default::new();
        hash.update(&self.prev_chain.0.to_le_bytes());
        hash.update(&self.epoch.0.to_le_bytes());
        hash.update(&self.seq.0.to_le_bytes());
        hash.update(&[self.kind as u8]);
        hash.update(&self.payload);
        Chain(hash.digest())
    }
}
