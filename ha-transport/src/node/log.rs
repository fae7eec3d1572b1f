//! What a node knows of its own log.

use std::collections::VecDeque;

use crate::batch::Batch;
use crate::epochs::Epochs;
use crate::ids::{Chain, Seq};

/// What a node knows of its own log: not the batches, which its driver keeps.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) epochs: Epochs,
    /// The chain of the last batch.
    pub(super) chain: Chain,
    /// The last batch that is not kept any more, of which only its epoch is known; 0 if all are.
    pub(super) trimmed: Seq,
    /// Up to where it is durable.
    pub(super) durable: Seq,
    /// The batches behind that, with their chains: a number alone may be that of a batch which was dropped since.
    unsynced: VecDeque<(Seq, Chain)>,
}

impl Log {
    pub(super) fn new(epochs: Epochs, chain: Chain, trimmed: Seq) -> Self {
        Self { durable: epochs.last(), epochs, chain, trimmed, unsynced: VecDeque::new() }
    }

    /// The log is another one from now on, of which no batch is kept: what they led to is in a snapshot.
    pub(super) fn replace(&mut self, epochs: Epochs, chain: Chain) {
        let at = epochs.last();
        *self = Self::new(epochs, chain, at);
    }

    pub(super) fn push(&mut self, batch: &Batch) {
        debug_assert_eq!((batch.seq.before(), batch.prev_chain), (self.epochs.last(), self.chain));
        self.epochs.push(batch.epoch);
        self.chain = batch.chain();
        self.unsynced.push_back((batch.seq, self.chain));
    }

    pub(super) fn truncate(&mut self, above: Seq, chain: Chain) {
        self.epochs.truncate(above);
        self.chain = chain;
        self.durable = self.durable.min(above);
        while self.unsynced.back().is_some_and(|&(seq, _)| seq > above) {
            self.unsynced.pop_back();
        }
    }

    /// Notes that a batch is durable, with all before it; says whether that is news.
    pub(super) fn synced(&mut self, seq: Seq, chain: Chain) -> bool {
        let Some(at) = self.unsynced.iter().position(|&it| it == (seq, chain)) else {
            return false;
        };
        self.unsynced.drain(..=at);
        self.durable = seq;
        true
    }

    /// The log as it is on the disk.
    pub(super) fn on_disk(&self) -> Epochs {
        self.epochs.up_to(self.durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Kind;
    use crate::ids::Epoch;

    fn push(log: &mut Log, epoch: u64) -> (Seq, Chain) {
        let batch = Batch {
            epoch: Epoch(epoch),
            seq: log.epochs.last().next(),
            prev_epoch: log.epochs.last_epoch(),
            prev_chain: log.chain,
            kind: Kind::Work,
            payload: [].into(),
        };
        log.push(&batch);
        (batch.seq, batch.chain())
    }

    #[test]
    fn a_sync_of_what_was_dropped_since_is_none() {
        let mut log = Log::new(Epochs::new(), Chain(0), Seq(0));
        let first = push(&mut log, 1);
        let dropped = push(&mut log, 1);
        assert!(log.synced(first.0, first.1));
        log.truncate(first.0, first.1);
        let other = push(&mut log, 2);
        assert_eq!(dropped.0, other.0);
        assert!(!log.synced(dropped.0, dropped.1));
        assert_eq!(log.on_disk().last(), Seq(1));
        assert!(log.synced(other.0, other.1));
        assert_eq!(log.on_disk(), log.epochs);
        assert!(!log.synced(first.0, first.1), "it was known");
    }
}
