//! A simulated disk: batches, and how many of them are durable.

use crate::batch::Batch;
use crate::epochs::Epochs;
use crate::ids::{Chain, Epoch, Seq};
use crate::node::Stored;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) promised: Epoch,
    pub(super) batches: Vec<Batch>,
    /// How many of the batches survive a crash for sure.
    pub(super) synced: usize,
}

impl Disk {
    pub(super) fn append(&mut self, batch: Batch) {
        assert_eq!(batch.seq.0, self.batches.len() as u64 + 1, "batches follow one another");
        assert_eq!(batch.prev_chain, self.chain(), "each knows what came before");
        self.batches.push(batch);
    }

    pub(super) fn truncate(&mut self, above: Seq) {
        self.batches.truncate(usize::try_from(above.0).expect("a small world"));
        self.synced = self.synced.min(self.batches.len());
    }

    /// What is left after a crash, if so many of the batches that were not durable are.
    pub(super) fn crash(&mut self, lucky: usize) {
        let left = self.batches.len().min(self.synced + lucky);
        self.batches.truncate(left);
        self.synced = left;
    }

    pub(super) fn chain(&self) -> Chain {
        self.batches.last().map_or(Chain(0), Batch::chain)
    }

    /// The chain at a batch, if it is there.
    pub(super) fn chain_at(&self, seq: Seq) -> Option<Chain> {
        let at = usize::try_from(seq.0.checked_sub(1)?).expect("a small world");
        self.batches.get(at).map(Batch::chain)
    }

    /// Some batches from one on.
    pub(super) fn read(&self, from: Seq, most: usize) -> Vec<Batch> {
        let at = usize::try_from(from.0 - 1).expect("a small world");
        self.batches.iter().skip(at).take(most).cloned().collect()
    }

    pub(super) fn stored(&self) -> Stored {
        let mut log = Epochs::new();
        self.batches.iter().for_each(|batch| log.push(batch.epoch));
        Stored { promised: self.promised, log, chain: self.chain(), committed: Seq(0) }
    }
}
