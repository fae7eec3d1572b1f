//! A simulated disk: batches, and how many of them are durable; snapshots, and one that comes.

use crate::batch::Batch;
use crate::epochs::Epochs;
use crate::ids::{Chain, Epoch, Seq};
use crate::node::Stored;
use crate::snapshot::{Checking, Head, Offer, SnapshotId};

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) promised: Epoch,
    /// The log up to the last batch that is not kept, and the chain there.
    pub(super) before: (Epochs, Chain),
    /// The batches behind that.
    pub(super) batches: Vec<Batch>,
    /// How many of the batches survive a crash for sure.
    pub(super) synced: usize,
    /// Files, the newest last.
    pub(super) snapshots: Vec<File>,
    pub(super) incoming: Option<Incoming>,
}

/// A snapshot's file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) offer: Offer,
    pub(super) bytes: Vec<u8>,
    /// Whether it came from another node.
    pub(super) is_received: bool,
}

/// A snapshot that comes.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) offer: Offer,
    pub(super) bytes: Vec<u8>,
    /// How many of the bytes survive a crash for sure.
    pub(super) synced: usize,
    /// Whether it is to be looked through.
    pub(super) is_to_check: bool,
}

/// What a snapshot of the simulated state says: the chains of all batches up to its own.
pub(super) fn chains(body: &[u8]) -> Vec<Chain> {
    body.chunks(8).map(|it| Chain(it.try_into().map_or(0, u64::from_le_bytes))).collect()
}

/// The head and the state of a file, if it is whole.
pub(super) fn read(bytes: &[u8], is_checked: bool) -> Option<(Head, Vec<Chain>)> {
    let mut rest = bytes;
    let head = Head::read(&mut rest, bytes.len() as u64).ok()?.ok()?;
    if is_checked {
        Checking::new(rest, &head).finish().ok()?;
    }
    Some((head, chains(rest)))
}

impl Disk {
    pub(super) fn trimmed(&self) -> Seq {
        self.before.0.last()
    }

    pub(super) fn last(&self) -> Seq {
        Seq(self.trimmed().0 + self.batches.len() as u64)
    }

    /// Where a batch is in the vector; nothing if it is not kept.
    fn index(&self, seq: Seq) -> Option<usize> {
        let behind = seq.0.checked_sub(self.trimmed().0 + 1)?;
        Some(usize::try_from(behind).expect("a small world"))
    }

    pub(super) fn append(&mut self, batch: Batch) {
        assert_eq!(batch.seq, self.last().next(), "batches follow one another");
        assert_eq!(batch.prev_chain, self.chain(), "each knows what came before");
        self.batches.push(batch);
    }

    pub(super) fn truncate(&mut self, above: Seq) {
        assert!(above >= self.trimmed(), "what was trimmed is committed");
        self.batches.truncate(self.index(above.next()).unwrap_or(0));
        self.synced = self.synced.min(self.batches.len());
    }

    /// Drops the old end.
    pub(super) fn trim(&mut self, upto: Seq) {
        let count = self.index(upto.next()).expect("not yet trimmed");
        for batch in self.batches.drain(..count) {
            self.before.0.push(batch.epoch);
            self.before.1 = batch.chain();
        }
        self.synced = self.synced.checked_sub(count).expect("what is committed is durable");
    }

    /// The log is another one, of which no batch is kept.
    pub(super) fn replace(&mut self, log: Epochs, chain: Chain) {
        self.before = (log, chain);
        self.batches.clear();
        self.synced = 0;
    }

    /// What is left after a crash, if so many of the batches that were not durable are.
    pub(super) fn crash(&mut self, lucky: usize) {
        let left = self.batches.len().min(self.synced + lucky);
        self.batches.truncate(left);
        self.synced = left;
        if let Some(incoming) = &mut self.incoming {
            // What was not durable is there or not, and may be anything.
            incoming.bytes.truncate(incoming.synced + 5 * lucky);
            let synced = incoming.synced;
            incoming.bytes[synced..].iter_mut().step_by(3).for_each(|byte| *byte = 0);
            incoming.is_to_check = false;
        }
    }

    pub(super) fn chain(&self) -> Chain {
        self.batches.last().map_or(self.before.1, Batch::chain)
    }

    /// The chain at a batch, if it is known.
    pub(super) fn chain_at(&self, seq: Seq) -> Option<Chain> {
        if seq == self.trimmed() {
            return Some(self.before.1);
        }
        self.batches.get(self.index(seq)?).map(Batch::chain)
    }

    /// Some batches from one on.
    pub(super) fn read(&self, from: Seq, most: usize) -> Vec<Batch> {
        let Some(at) = self.index(from) else { return Vec::new() };
        self.batches.iter().skip(at).take(most).cloned().collect()
    }

    pub(super) fn epochs(&self) -> Epochs {
        let mut log = self.before.0.clone();
        self.batches.iter().for_each(|batch| log.push(batch.epoch));
        log
    }

    /// What a start finds: a snapshot that came is taken over if the log does not have its last batch, and damaged ones
    /// are dropped. Gives the state of the newest.
    pub(super) fn recover(&mut self) -> Vec<Chain> {
        self.snapshots.retain(|file| read(&file.bytes, true).is_some());
        let Some(newest) = self.snapshots.last() else { return Vec::new() };
        let (head, state) = read(&newest.bytes, true).expect("it was looked at");
        if newest.is_received && self.epochs().at(head.at()) != Some(head.log.last_epoch()) {
            self.replace(head.log, head.chain);
            self.snapshots.drain(..self.snapshots.len() - 1);
        }
        state
    }

    pub(super) fn stored(&self) -> Stored {
        let snapshot = self.snapshots.last().map(|file| file.offer);
        Stored {
            promised: self.promised,
            log: self.epochs(),
            trimmed: self.trimmed(),
            snapshot,
            chain: self.chain(),
            committed: snapshot.map_or(Seq(0), |offer| offer.at),
        }
    }

    /// The file of a snapshot.
    pub(super) fn file(&self, id: SnapshotId) -> Option<&File> {
        self.snapshots.iter().find(|file| file.offer.id == id)
    }
}
