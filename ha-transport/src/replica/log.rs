//! A node's batches in a journal, beside its vote.
//!
//! Each batch is one group of the journal and a safe point: a record with tag 1 for what it is (epoch, number, epoch
//! and chain before, 8 bytes each, little-endian, and its kind), then its payload in records with tag 2. The first group
//! has one record with tag 3: group (8) and node (4).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use steadfast_journal::{
    AppendError, End, From, Group, Journal, OpenError, Options, Position, ReadError, Reader,
    TruncateError, WriteMode,
};

use super::vote::{Vote, VoteError};
use crate::batch::{Batch, Kind};
use crate::epochs::Epochs;
use crate::ids::{Chain, Epoch, NodeId, Seq};
use crate::node::Stored;

const TAG_BATCH: u32 = 1;
const TAG_PAYLOAD: u32 = 2;
const TAG_LOG: u32 = 3;
const VERSION: u32 = 1;
/// Bytes of a payload in one record.
const PIECE_BYTES: usize = 4 << 20;
/// How many batches lie between two places that are remembered.
const STRIDE: u64 = 64;
/// How many places are kept open where reading may go on: for some followers, and for what is applied.
const READERS: usize = 4;

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
    last: Seq,
    /// Where the log begins: behind its first group.
    begin: Position,
    /// Where each so many batches end, in order.
    places: Vec<(Seq, Position)>,
    end: Position,
    /// What was read last, with the batch that comes next.
    readers: Vec<(Seq, Reader)>,
    /// What is appended: kept for its memory.
    group: steadfast_journal::Batch,
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
        let dir = dir.as_ref();
        // Everything here is synced before anybody hears of it, so what waits for a sync may as well be written then, in one
        // call. With a map each sync takes pages from it that the next append wants: twice the processor time of a stream.
        let options = Options::new().write_mode(WriteMode::Pwrite);
        let (journal, _) = Journal::open(dir, options)?;
        let mut head = [0; 12];
        head[..8].copy_from_slice(&group.to_le_bytes());
        head[8..].copy_from_slice(&node.0.to_le_bytes());
        let other = |what: String| LogError::Other { path: dir.to_owned(), what, node, group };
        let (mut epochs, mut chain) = (Epochs::new(), Chain(0));
        let (mut begin, mut end, mut places) = (None, Position::default(), Vec::new());
        let mut reader = journal.read(From::Start)?;
        while let Some(found) = reader.next_group()? {
            end = found.position();
            if begin.is_none() {
                let first = found.records().next();
                if first.is_none_or(|it| (it.tag(), it.payload()) != (TAG_LOG, &head)) {
                    return Err(other("its first record is another one".to_owned()));
                }
                begin = Some(end);
                continue;
            }
            let batch = decode(&found);
            let fits = |it: &Batch| {
                it.seq == epochs.last().next()
                    && (it.prev_epoch, it.prev_chain) == (epochs.last_epoch(), chain)
                    && it.epoch >= it.prev_epoch
            };
            let Some(batch) = batch.filter(fits) else {
                return Err(other(format!("what follows batch {} is not the next", epochs.last())));
            };
            epochs.push(batch.epoch);
            chain = batch.chain();
            if batch.seq.0.is_multiple_of(STRIDE) {
                places.push((batch.seq, end));
            }
        }
        if begin.is_none() {
            let mut first = steadfast_journal::Batch::new();
            first.push(TAG_LOG, VERSION, &head).map_err(|error| other(error.to_string()))?;
            end = journal.append(&first, End::SafePoint)?.position;
            journal.wait_durable(end)?;
        }
        let last = epochs.last();
        let vote = Vote::open(dir, group, node, last > Seq(0))?;
        let (promised, committed) = (vote.promised, vote.committed);
        if committed > last || promised < epochs.last_epoch() {
            let what = format!(
                "it ends with batch {last} of epoch {}, although {committed} was committed and {promised} promised: \
                 one of both was restored from a backup",
                epochs.last_epoch(),
            );
            return Err(other(what));
        }
        let stored = Stored { promised, log: epochs, chain, committed };
        let (journal, begin) = (Arc::new(journal), begin.unwrap_or(end));
        let (readers, group) = (Vec::new(), steadfast_journal::Batch::new());
        Ok(Self { journal, vote, stored, last, begin, places, end, readers, group })
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
        if batch.seq.0.is_multiple_of(STRIDE) {
            self.places.push((batch.seq, end));
        }
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
        let mut place = self.place_before(above.next());
        if place.0 < above {
            let mut reader = self.journal.read(From::Position(place.1))?;
            while let Some(found) = reader.next_group()? {
                place = (place.0.next(), found.position());
                if place.0 == above {
                    break;
                }
            }
        }
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
        if from > self.last || from == Seq(0) {
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
        if from > self.last || from == Seq(0) {
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
        behind.checked_sub(1).map_or((Seq(0), self.begin), |at| self.places[at])
    }

    /// Keeps up to where batches are known to be committed.
    pub(super) fn note_committed(&mut self, committed: Seq) -> Result<(), LogError> {
        let promised = self.vote.promised;
        let stored = self.vote.store(promised, committed);
        stored.map_err(|source| LogError::Promise { epoch: promised, source })
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
mod tests {
    use super::*;

    /// Batches of these epochs, with payloads that say which they are.
    fn fill(log: &mut ReplicaLog, prev: Option<&Batch>, epochs: &[u64]) -> Vec<Batch> {
        let mut all: Vec<Batch> = Vec::new();
        for &epoch in epochs {
            let before = all.last().or(prev);
            let begins = before.is_none_or(|it| it.epoch < Epoch(epoch));
            let seq = before.map_or(Seq(1), |it| it.seq.next());
            let batch = Batch {
                epoch: Epoch(epoch),
                seq,
                prev_epoch: before.map_or(Epoch(0), |it| it.epoch),
                prev_chain: before.map_or(Chain(0), Batch::chain),
                kind: if begins { Kind::EpochStart } else { Kind::Work },
                payload: format!("{epoch} {seq}").repeat(usize::from(!begins)).into_bytes().into(),
            };
            log.append(&batch).unwrap();
            all.push(batch);
        }
        all
    }

    #[test]
    fn batches_come_back_and_are_read_from_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let open = || ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        let mut log = open();
        log.promise(Epoch(2)).unwrap();
        let batches = fill(&mut log, None, &[[1; 100].as_slice(), &[2; 100]].concat());
        for from in [1, 2, 63, 64, 65, 128, 199, 200] {
            let read = log.read(Seq(from), usize::MAX, usize::MAX).unwrap();
            assert_eq!(read, batches[usize::try_from(from).unwrap() - 1..], "{from}");
            assert_eq!(log.read(Seq(from), 7, 1).unwrap().len(), 1);
            assert_eq!(log.read(Seq(from), 1, usize::MAX).unwrap().len(), 1);
        }
        assert_eq!(log.read(Seq(201), 10, 1000).unwrap(), []);
        log.promise(Epoch(5)).unwrap();
        log.note_committed(Seq(150)).unwrap();
        drop(log);
        let stored = open().stored();
        let expected =
            Epochs::of(vec![(Epoch(1), Seq(1)), (Epoch(2), Seq(101))], Seq(200)).unwrap();
        assert_eq!((stored.log, stored.chain), (expected, batches[199].chain()));
        assert_eq!((stored.promised, stored.committed), (Epoch(5), Seq(150)));
    }

    #[test]
    fn what_is_dropped_is_gone_and_others_take_its_place() {
        for above in [0, 1, 63, 64, 65, 99, 100] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
            log.promise(Epoch(3)).unwrap();
            let batches = fill(&mut log, None, &[1; 100]);
            log.truncate(Seq(above)).unwrap();
            assert_eq!(log.last(), Seq(above));
            let kept = usize::try_from(above).unwrap();
            let others = fill(&mut log, kept.checked_sub(1).map(|at| &batches[at]), &[3; 70]);
            let all = [&batches[..kept], &others].concat();
            assert_eq!(log.read(Seq(1), usize::MAX, usize::MAX).unwrap(), all, "{above}");
            drop(log);
            let log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
            assert_eq!(log.read(Seq(1), usize::MAX, usize::MAX).unwrap(), all, "{above}");
            assert_eq!(log.stored().chain, all.last().unwrap().chain());
        }
    }

    #[test]
    fn reading_goes_on_where_it_ended_and_begins_anew_behind_a_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        log.promise(Epoch(3)).unwrap();
        let mut all = fill(&mut log, None, &[1; 40]);
        let read = |log: &mut ReplicaLog, from: u64, most| {
            let batches = log.read_on(Seq(from), most, usize::MAX).unwrap();
            let places = log.readers.iter().map(|known| known.0.0).collect::<Vec<_>>();
            (batches, places)
        };
        assert_eq!(read(&mut log, 1, 10), (all[..10].to_vec(), vec![11]));
        assert_eq!(read(&mut log, 21, 15), (all[20..35].to_vec(), vec![11, 36]));
        assert_eq!(read(&mut log, 11, 10), (all[10..20].to_vec(), vec![36, 21]));
        assert_eq!(read(&mut log, 36, 10), (all[35..].to_vec(), vec![21, 41]));
        assert_eq!(read(&mut log, 41, 10), (vec![], vec![21, 41]), "there are no more");
        let more = fill(&mut log, all.last(), &[1; 10]);
        all.extend(more);
        assert_eq!(read(&mut log, 41, 5), (all[40..45].to_vec(), vec![21, 46]));
        log.truncate(Seq(43)).unwrap();
        all.truncate(43);
        let more = fill(&mut log, all.last(), &[3; 10]);
        all.extend(more);
        assert_eq!(read(&mut log, 46, 100), (all[45..].to_vec(), vec![54]));
        for from in (1..=8).rev() {
            read(&mut log, from, 1);
        }
        assert_eq!(log.readers.len(), READERS);
    }

    #[test]
    fn a_payload_may_be_long() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        let mut batches = fill(&mut log, None, &[1]);
        let payload: Vec<u8> = (0..20_u32 << 20).map(|at| (at % 251) as u8).collect();
        let (seq, prev_chain) = (Seq(2), batches[0].chain());
        let kind = Kind::Work;
        let payload = payload.into();
        let long = Batch { epoch: Epoch(1), seq, prev_epoch: Epoch(1), prev_chain, kind, payload };
        log.append(&long).unwrap();
        batches.push(long);
        assert!(
            log.read(Seq(1), usize::MAX, usize::MAX).unwrap() == batches,
            "another payload came back"
        );
    }

    #[test]
    fn a_log_that_lacks_what_was_committed_or_promised_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        fill(&mut log, None, &[1, 1]);
        drop(log);
        let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
        assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");

        let dir = tempfile::tempdir().unwrap();
        let mut log = ReplicaLog::open(dir.path(), 7, NodeId(1)).unwrap();
        log.promise(Epoch(1)).unwrap();
        fill(&mut log, None, &[1, 1]);
        log.note_committed(Seq(3)).unwrap();
        drop(log);
        let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
        assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");
    }

    #[test]
    fn what_is_no_log_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path(), Options::new()).unwrap();
        let mut batch = steadfast_journal::Batch::new();
        batch.push(1, 1, b"something else").unwrap();
        journal.append(&batch, End::SafePoint).unwrap();
        journal.close().unwrap();
        let opened = ReplicaLog::open(dir.path(), 7, NodeId(1));
        assert!(matches!(opened, Err(LogError::Other { .. })), "{opened:?}");
        assert!(!dir.path().join("VOTE").exists());
    }
}
