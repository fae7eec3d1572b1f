//! A node's batches in a journal, beside its vote.
//!
//! Each batch is one group of the journal and a safe point: a record with tag 1 for what it is (epoch, number, epoch
//! and chain before, 8 bytes each, little-endian, and its kind), then its payload in records with tag 2. The first group
//! has one record with tag 3: group (8) and node (4).
//!
//! Where a log goes on behind batches that it does not have, a record with tag 4 says so: the number of the last of them (8),
//! the chain there (8), then each epoch with its first batch (8 each), from the first batch on. It stands in the first
//! group if the old end was trimmed, and in a group of its own, a safe point, where a snapshot replaced all that was
//! before.

mod trim;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use steadfast_journal::{
    AppendError, End, From, Group, Journal, Maintenance, OpenError, Options, Position, ReadError,
    Reader, TruncateError, WriteMode,
};

use super::snapshots::{RefusedSnapshot, Snapshots, listed};
use super::vote::{Vote, VoteError};
use crate::batch::{Batch, Kind};
use crate::epochs::Epochs;
use crate::ids::{Chain, Epoch, NodeId, Seq};
use crate::node::Stored;

const TAG_BATCH: u32 = 1;
const TAG_PAYLOAD: u32 = 2;
const TAG_LOG: u32 = 3;
const TAG_BASE: u32 = 4;
const VERSION: u32 = 1;
/// Bytes of a payload in one record.
const PIECE_BYTES: usize = 4 << 20;
/// How many batches lie between two places that are remembered, or how many bytes, whichever is less.
const STRIDE: u64 = 64;
const STRIDE_BYTES: u64 = 1 << 20;
/// How many places are kept open where reading may go on: for some followers, and for what is applied.
const READERS: usize = 4;

pub(super) use trim::Trimmer;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The journal does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The vote cannot be used.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The journal cannot be cut.
    #[error(transparent)]
    Truncate(#[from] TruncateError),
    /// What was appended does not become durable.
    #[error(transparent)]
    Wait(#[from] steadfast_journal::WaitError),
    /// It is no log of batches, or that of another node.
    #[error("{path}: {what}; this directory is not that of node {node} of group {group:016x}")]
    Other {
        /// The directory.
        path: PathBuf,
        /// What was found.
        what: String,
        /// The node that was wanted.
        node: NodeId,
        /// Its group.
        group: u64,
    },
    /// The snapshots cannot be looked at.
    #[error("the snapshots in {path}: {source}")]
    Snapshots {
        /// The directory of the log.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the log does not have any more is in no snapshot that is whole.
    #[error(
        "{path}: the batches up to {trimmed} are not kept, and no snapshot has them{}; \
         make this node anew from the leader's state, or bring the snapshot back",
        listed(refused)
    )]
    NoSnapshot {
        /// The directory.
        path: PathBuf,
        /// The last batch that is not kept.
        trimmed: Seq,
        /// The files that are damaged.
        refused: Vec<RefusedSnapshot>,
    },
    /// A promise could not be kept on the disk.
    #[error("the promise of epoch {epoch} cannot be stored: {source}")]
    Promise {
        /// The epoch.
        epoch: Epoch,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A node's batches and promises in a directory of its own.
#[derive(Debug)]
pub struct ReplicaLog {
    journal: Arc<Journal>,
    vote: Vote,
    stored: Stored,
    snapshots: Snapshots,
    last: Seq,
    /// The last batch that is not kept, and where the one behind it begins.
    begin: (Seq, Position),
    /// Where each so many batches end, in order.
    places: Vec<(Seq, Position)>,
    end: Position,
    /// What was read last, with the batch that comes next.
    readers: Vec<(Seq, Reader)>,
    /// What is appended: kept for its memory.
    group: steadfast_journal::Batch,
}

/// A log that is being read.
#[derive(Default)]
struct Reading {
    base: Base,
    begin: (Seq, Position),
    places: Vec<(Seq, Position)>,
    /// Nothing before the log is known to be that of the node.
    snapshots: Option<Snapshots>,
}

impl Reading {
    fn take(&mut self, group: &Group<'_>) -> Result<(), String> {
        let Self { base, begin, places, snapshots } = self;
        // What remains of groups that were trimmed may be none.
        let Some(record) = group.records().last() else { return Ok(()) };
        match record.tag() {
            TAG_LOG => {}
            TAG_BASE => {
                let found = Base::decode(record.payload());
                *base = found.ok_or("where it goes on makes no sense")?;
                *begin = (base.log.last(), group.position());
                places.clear();
            }
            _ => {
                let last = base.log.last();
                let fits = |it: &Batch| {
                    it.seq == last.next()
                        && (it.prev_epoch, it.prev_chain) == (base.log.last_epoch(), base.chain)
                        && it.epoch >= it.prev_epoch
                };
                let batch = decode(group).filter(fits);
                let batch =
                    batch.ok_or_else(|| format!("what follows batch {last} is not the next"))?;
                if begin.0 == last {
                    begin.1 = group.begin();
                }
                base.log.push(batch.epoch);
                base.chain = batch.chain();
                note_place(places, *begin, batch.seq, group.position());
            }
        }
        if let Some(snapshots) = snapshots {
            snapshots.see(base.log.last(), base.chain);
        }
        Ok(())
    }
}

/// How a log is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// Bytes of a segment of its journal, 64 KiB to 1 GiB: what is trimmed is dropped by whole ones. 64 MiB by default.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: steadfast_journal::SEGMENT_BYTES_DEFAULT }
    }
}

/// A log up to a batch behind which it goes on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Base {
    log: Epochs,
    chain: Chain,
}

impl Base {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + 16 * self.log.starts().len());
        bytes.extend_from_slice(&self.log.last().0.to_le_bytes());
        bytes.extend_from_slice(&self.chain.0.to_le_bytes());
        for (epoch, first) in self.log.starts() {
            bytes.extend_from_slice(&epoch.0.to_le_bytes());
            bytes.extend_from_slice(&first.0.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (pairs, []) = bytes.as_chunks::<16>() else { return None };
        let numbers = |pair: &[u8; 16]| {
            let at = |at: usize| pair[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
            (at(0), at(8))
        };
        let ((last, chain), starts) = pairs.split_first().map(|(it, rest)| (numbers(it), rest))?;
        let starts = starts.iter().map(numbers).map(|it| (Epoch(it.0), Seq(it.1))).collect();
        Some(Self { log: Epochs::of(starts, Seq(last))?, chain: Chain(chain) })
    }
}

/// Where an appended batch ends, to wait for it.
pub(super) type Place = Position;

impl ReplicaLog {
    /// Opens a node's log in a directory, or makes it. When this returns, everything in it is durable.
    ///
    /// # Errors
    ///
    /// [`LogError`]; nothing was changed then.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_ha_transport::{NodeId, ReplicaLog, Seq};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let log = ReplicaLog::open(dir.path(), 7, NodeId(1))?;
    /// assert_eq!(log.last(), Seq(0));
    /// drop(log);
    /// // It is that of node 1.
    /// assert!(ReplicaLog::open(dir.path(), 7, NodeId(2)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(dir: impl AsRef<Path>, group: u64, node: NodeId) -> Result<Self, LogError> {
        Self::open_with(dir, group, node, LogOptions::default())
    }

    /// [Opens](Self::open) a node's log in a way of one's own.
    ///
    /// # Errors
    ///
    /// [`LogError`]; nothing was changed then.
    pub fn open_with(
        dir: impl AsRef<Path>,
        group: u64,
        node: NodeId,
        options: LogOptions,
    ) -> Result<Self, LogError> {
        let dir = dir.as_ref();
        // Everything here is synced before anybody hears of it, so what waits for a sync may as well be written then, in one
        // call. With a map each sync takes pages from it that the next append wants: twice the processor time of a stream.
        let options =
            Options::new().write_mode(WriteMode::Pwrite).segment_bytes(options.segment_bytes);
        let (journal, _) = Journal::open(dir, options)?;
        let mut head = [0; 12];
        head[..8].copy_from_slice(&group.to_le_bytes());
        head[8..].copy_from_slice(&node.0.to_le_bytes());
        let other = |what: String| LogError::Other { path: dir.to_owned(), what, node, group };
        let on_disk = |source| LogError::Snapshots { path: dir.to_owned(), source };
        let mut reading = Reading::default();
        let mut reader = journal.read(From::Start)?;
        while let Some(found) = reader.next_group()? {
            if reading.snapshots.is_none() {
                let first = found.records().next();
                if first.is_none_or(|it| (it.tag(), it.payload()) != (TAG_LOG, &head)) {
                    return Err(other("its first record is another one".to_owned()));
                }
                reading.snapshots = Some(Snapshots::open(dir, group, node).map_err(on_disk)?);
            }
            reading.take(&found).map_err(other)?;
        }
        let Reading { base, mut begin, mut places, snapshots } = reading;
        let Base { log: mut epochs, mut chain } = base;
        let mut snapshots = if let Some(snapshots) = snapshots {
            snapshots
        } else {
            let mut first = steadfast_journal::Batch::new();
            first.push(TAG_LOG, VERSION, &head).map_err(|error| other(error.to_string()))?;
            journal.wait_durable(journal.append(&first, End::SafePoint)?.position)?;
            Snapshots::open(dir, group, node).map_err(on_disk)?
        };
        let vote = Vote::open(dir, group, node, epochs.last() > Seq(0))?;
        let (promised, committed) = (vote.promised, vote.committed);
        // A snapshot that came and was about to replace the log when the node stopped: now it does.
        if let Some(head) = snapshots.to_adopt(&epochs, promised).map(|kept| kept.head.clone()) {
            append_base(&journal, &Base { log: head.log.clone(), chain: head.chain })?;
            (epochs, chain) = (head.log, head.chain);
            begin.0 = epochs.last();
            places.clear();
            snapshots.see(epochs.last(), chain);
        }
        let (last, end) = (epochs.last(), journal.positions().appended);
        if begin.0 == last {
            begin.1 = end;
        }
        if let Some(ahead) = snapshots.ahead_of(&epochs) {
            let what = format!("it ends with batch {last}, its own snapshot has {}", ahead.at);
            return Err(other(what));
        }
        snapshots.keep_seen(begin.0).map_err(on_disk)?;
        let trimmed = begin.0;
        if trimmed > Seq(0) && snapshots.newest().is_none() {
            let (path, refused) = (dir.to_owned(), std::mem::take(&mut snapshots.refused));
            return Err(LogError::NoSnapshot { path, trimmed, refused });
        }
        if committed > last || promised < epochs.last_epoch() {
            let what = format!(
                "it ends with batch {last} of epoch {}, although {committed} was committed and {promised} promised: \
                 one of both was restored from a backup",
                epochs.last_epoch(),
            );
            return Err(other(what));
        }
        let snapshot = snapshots.newest();
        // What is in a snapshot is committed, whether or not that was noted.
        let committed = committed.max(snapshot.map_or(Seq(0), |it| it.at));
        let stored = Stored { promised, log: epochs, trimmed, snapshot, chain, committed };
        let journal = Arc::new(journal);
        let (readers, group) = (Vec::new(), steadfast_journal::Batch::new());
        Ok(Self { journal, vote, stored, snapshots, last, begin, places, end, readers, group })
    }

    /// The last batch.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// A random number that it got when it was made. No other log has the same.
    pub fn id(&self) -> [u8; 16] {
        *self.journal.session().as_bytes()
    }

    /// What was found when it was opened.
    pub(super) fn stored(&self) -> Stored {
        self.stored.clone()
    }

    pub(super) fn promise(&mut self, epoch: Epoch) -> Result<(), LogError> {
        let committed = self.vote.committed;
        self.vote.store(epoch, committed).map_err(|source| LogError::Promise { epoch, source })
    }

    pub(super) fn append(&mut self, batch: &Batch) -> Result<Place, LogError> {
        let group = &mut self.group;
        group.clear();
        let mut head = [0; 33];
        let fields = [batch.epoch.0, batch.seq.0, batch.prev_epoch.0, batch.prev_chain.0];
        for (at, field) in fields.into_iter().enumerate() {
            head[at * 8..at * 8 + 8].copy_from_slice(&field.to_le_bytes());
        }
        head[32] = batch.kind as u8;
        let too_long = "pieces are short";
        group.push(TAG_BATCH, VERSION, &head).expect(too_long);
        for piece in batch.payload.chunks(PIECE_BYTES) {
            group.push(TAG_PAYLOAD, VERSION, piece).expect(too_long);
        }
        let end = self.journal.append(group, End::SafePoint)?.position;
        if batch.payload.len() > PIECE_BYTES {
            self.group = steadfast_journal::Batch::new();
        }
        (self.last, self.end) = (batch.seq, end);
        note_place(&mut self.places, self.begin, batch.seq, end);
        Ok(end)
    }

    /// What waits until a place is durable, for another thread.
    pub(super) fn waiter(&self) -> impl Fn(Place) -> Result<(), LogError> + Send + 'static {
        let journal = Arc::clone(&self.journal);
        move |place| Ok(journal.wait_durable(place).map(drop)?)
    }

    /// Drops everything above a batch; that is durable when this returns.
    pub(super) fn truncate(&mut self, above: Seq) -> Result<(), LogError> {
        if above >= self.last {
            return Ok(());
        }
        let place = self.place_of(above)?;
        self.readers.clear();
        self.journal.truncate(place.1)?;
        self.places.retain(|&(seq, _)| seq <= above);
        (self.last, self.end) = (above, place.1);
        Ok(())
    }

    /// Batches from one on, so many at most and about so many bytes of them, but at least one if it is there.
    ///
    /// # Errors
    ///
    /// [`LogError::Read`].
    pub fn read(&self, from: Seq, most: usize, bytes: usize) -> Result<Vec<Batch>, LogError> {
        if from > self.last || from <= self.begin.0 {
            return Ok(Vec::new());
        }
        collect(&mut self.reader_before(from)?, from, most, bytes)
    }

    /// As [`read`](Self::read), and goes on from where one of the last calls ended, if it begins there: a place is found by
    /// reading everything before it in its segment.
    pub(super) fn read_on(
        &mut self,
        from: Seq,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<Batch>, LogError> {
        if from > self.last || from <= self.begin.0 {
            return Ok(Vec::new());
        }
        let known = self.readers.iter().position(|known| known.0 == from);
        if let Some((_, mut reader)) = known.map(|at| self.readers.remove(at)) {
            // If it does not go on, it is looked for anew: what was appended last may not be there for it.
            let read = collect(&mut reader, from, most, bytes);
            if let Ok(batches) = read
                && batches.first().is_some_and(|batch| batch.seq == from)
            {
                self.keep(&batches, reader);
                return Ok(batches);
            }
        }
        let mut reader = self.reader_before(from)?;
        let batches = collect(&mut reader, from, most, bytes)?;
        self.keep(&batches, reader);
        Ok(batches)
    }

    fn keep(&mut self, read: &[Batch], reader: Reader) {
        if let Some(last) = read.last() {
            if self.readers.len() == READERS {
                self.readers.remove(0);
            }
            self.readers.push((last.seq.next(), reader));
        }
    }

    fn reader_before(&self, seq: Seq) -> Result<Reader, LogError> {
        Ok(self.journal.read(From::Position(self.place_before(seq).1))?)
    }

    /// A batch before this one, as near as is remembered, and where it ends.
    fn place_before(&self, seq: Seq) -> (Seq, Position) {
        let behind = self.places.partition_point(|&(known, _)| known < seq);
        behind.checked_sub(1).map_or(self.begin, |at| self.places[at])
    }

    /// Where a batch ends that is kept, or where the log begins.
    fn place_of(&self, seq: Seq) -> Result<(Seq, Position), LogError> {
        let mut place = self.place_before(seq.next());
        if place.0 < seq {
            let mut reader = self.journal.read(From::Position(place.1))?;
            while let Some(found) = reader.next_group()? {
                place = (place.0.next(), found.position());
                if place.0 == seq {
                    break;
                }
            }
        }
        Ok(place)
    }

    pub(super) const fn snapshots(&mut self) -> &mut Snapshots {
        &mut self.snapshots
    }

    /// Files that are no snapshots of this log, or none any more, and why. They are where they were, under a name that ends
    /// with `.damaged`.
    pub fn refused_snapshots(&self) -> &[RefusedSnapshot] {
        &self.snapshots.refused
    }

    /// The last batch that is not kept; 0 if all are.
    pub const fn trimmed(&self) -> Seq {
        self.begin.0
    }

    /// Does not read batches up to this one any more. Gives what drops them from the disk.
    pub(super) fn trim(&mut self, upto: Seq) -> Result<(Maintenance, Position), LogError> {
        if upto > self.begin.0 {
            self.begin = self.place_of(upto)?;
            self.readers.retain(|&(next, _)| next > upto);
            self.places.retain(|&(seq, _)| seq > upto);
        }
        Ok((self.journal.maintenance(), self.begin.1))
    }

    /// About the last batch behind which the log has no more than so many bytes.
    pub(super) fn last_before(&self, bytes: u64) -> Seq {
        let from = self.end.get().saturating_sub(bytes);
        let before = self.places.partition_point(|&(_, place)| place.get() <= from);
        before.checked_sub(1).map_or(self.begin.0, |at| self.places[at].0)
    }

    /// All batches are replaced by a snapshot that is on the disk. One group says so: a crash leaves the old log or the
    /// new one, and the old one is replaced when it is opened. What was promised stays.
    pub(super) fn replace(&mut self, log: Epochs, chain: Chain) -> Result<(), LogError> {
        let (at, base) = (log.last(), Base { log, chain });
        self.end = append_base(&self.journal, &base)?;
        (self.last, self.begin) = (at, (at, self.end));
        self.places.clear();
        self.readers.clear();
        Ok(())
    }

    /// Keeps up to where batches are known to be committed.
    pub(super) fn note_committed(&mut self, committed: Seq) -> Result<(), LogError> {
        let promised = self.vote.promised;
        let stored = self.vote.store(promised, committed);
        stored.map_err(|source| LogError::Promise { epoch: promised, source })
    }
}

fn append_base(journal: &Journal, base: &Base) -> Result<Position, LogError> {
    let mut group = steadfast_journal::Batch::new();
    group.push(TAG_BASE, VERSION, &base.encode()).expect("there are few epochs");
    let end = journal.append(&group, End::SafePoint)?.position;
    journal.wait_durable(end)?;
    Ok(end)
}

/// Remembers where a batch ends, now and then.
fn note_place(places: &mut Vec<(Seq, Position)>, begin: (Seq, Position), seq: Seq, end: Position) {
    let before = places.last().unwrap_or(&begin).1.get();
    if seq.0.is_multiple_of(STRIDE) || end.get() - before >= STRIDE_BYTES {
        places.push((seq, end));
    }
}

/// Batches of a reader from one on, as [`ReplicaLog::read`] gives them.
fn collect(
    reader: &mut Reader,
    from: Seq,
    most: usize,
    bytes: usize,
) -> Result<Vec<Batch>, LogError> {
    let (mut batches, mut size) = (Vec::new(), 0);
    while size < bytes
        && batches.len() < most
        && let Some(found) = reader.next_group()?
    {
        let Some(batch) = decode(&found) else { break };
        if batch.seq >= from {
            size += batch.payload.len() + 64;
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn decode(group: &Group<'_>) -> Option<Batch> {
    let mut records = group.records();
    let head = records.next().filter(|record| record.tag() == TAG_BATCH)?;
    let head: &[u8; 33] = head.payload().try_into().ok()?;
    let u64_at = |at: usize| head[at..].first_chunk().copied().map_or(0, u64::from_le_bytes);
    let kind = Kind::of(head[32])?;
    let mut pieces = records.map(|record| (record.tag() == TAG_PAYLOAD).then(|| record.payload()));
    let payload = match pieces.next() {
        None => Arc::default(),
        Some(first) => {
            let mut payload = first?.to_vec();
            for piece in pieces {
                payload.extend_from_slice(piece?);
            }
            payload.into()
        }
    };
    let (epoch, seq) = (Epoch(u64_at(0)), Seq(u64_at(8)));
    let (prev_epoch, prev_chain) = (Epoch(u64_at(16)), Chain(u64_at(24)));
    Some(Batch { epoch, seq, prev_epoch, prev_chain, kind, payload })
}

#[cfg(test)]
mod tests;
