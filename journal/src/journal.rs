//! The handle.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::PoisonError;

use crate::append::Appended;
use crate::background::Watcher;
use crate::batch::{Batch, End};
use crate::error::{
    AppendError, CloseError, CommitError, IoError, OpenError, ReadError, TruncateError, WaitError,
};
use crate::group::{Durable, Want};
use crate::ids::{Position, Uuid};
use crate::normalize::Maintenance;
use crate::open::{self, Opened, Ownership};
use crate::options::{Level, Options, WriteMode};
use crate::pins::Pinned;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::reader::{From, Reader, Source};
use crate::shared::Shared;
use crate::spare::Filler;
use crate::tail::Tail;
use crate::truncate::Truncated;
use crate::writer::Sink;

/// A journal that is open for writing.
///
/// Any number of threads may append and wait at once. One process at a time has a journal open, and
/// has it open once; the lock goes with the process, however it ends.
///
/// Dropping the handle closes the journal as [`close`](Self::close) does, without telling whether
/// that worked.
///
/// # Examples
///
/// ```
/// use steadfast_journal::{Batch, Found, From, Journal, Level, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let dir = tempfile::tempdir()?;
/// let (journal, opened) = Journal::open(dir.path(), Options::new())?;
/// assert_eq!(opened.found, Found::Created);
///
/// let mut batch = Batch::new();
/// batch.push(1, 1, b"hello")?;
/// journal.commit(&batch, Level::Batch)?;
///
/// let mut reader = journal.read(From::Start)?;
/// let group = reader.next_group()?.expect("one group was committed");
/// let payloads: Vec<&[u8]> = group.records().map(|record| record.payload()).collect();
/// assert_eq!(payloads, [b"hello"]);
/// journal.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Journal {
    shared: Arc<Shared>,
    watcher: Option<Watcher>,
    filler: Option<Filler>,
    /// `None` once closed.
    ownership: Option<Ownership>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.shared.dir.path)
            .field("positions", &self.positions())
            .finish_non_exhaustive()
    }
}

/// How far a journal has come: `trimmed ≤ safe ≤ durable ≤ appended`.
///
/// `safe` may lag behind `durable` although more safe points are durable, until the next sync tells.
/// Without followers, what is safe is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Positions {
    /// The begin of the oldest group that can be read.
    pub trimmed: Position,
    /// The end of the last durable safe point that is known.
    pub safe: Position,
    /// Everything before survives a power cut.
    pub durable: Position,
    /// The end of the last group appended.
    pub appended: Position,
}

impl Journal {
    /// Opens the journal in `dir`, or makes one if the directory is missing or empty.
    ///
    /// Checks every byte of it, in constant memory and linear time. When this returns, everything
    /// that can be read is durable, and what was not a complete safe point is gone for good.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Damage to bytes that were durable refuses and changes nothing.
    ///
    /// **Source:** `docs/format.md#recovery`.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<(Self, Opened), OpenError> {
        let parts = open::open(dir.as_ref(), options)?;
        let mut journal = Self {
            shared: parts.shared,
            watcher: None,
            filler: None,
            ownership: Some(parts.ownership),
        };
        if parts.background {
            let path = dir.as_ref();
            let start = |source| IoError::new("start the threads of", path, source);
            journal.filler = Some(journal.shared.spares.start().map_err(start)?);
            journal.watcher = Some(Watcher::start(&journal.shared).map_err(start)?);
        }
        Ok((journal, parts.opened))
    }

    /// Appends a group and returns at once.
    ///
    /// Nothing is durable until [`wait_durable`](Self::wait_durable) returns for the position. With
    /// write mode `Map` the group is in the page cache already, so it survives the process; with
    /// `Pwrite` it is once a wait of any level returns, at the latest 20 ms later.
    ///
    /// An empty batch writes nothing, except for a safe point that completes an open root.
    ///
    /// # Errors
    ///
    /// [`AppendError::Full`] and the limits leave the journal as it was; after
    /// [`AppendError::Poisoned`] only opening the journal again helps.
    pub fn append(&self, batch: &Batch, end: End) -> Result<Appended, AppendError> {
        self.shared.append(batch, end)
    }

    /// Makes segments ahead for `bytes` of frames, and waits until they are there.
    ///
    /// The journal keeps one segment ahead by itself; a burst that is faster than the disk can
    /// zero-fill profits from more. They stay until they are used or the journal is closed. A young
    /// journal, whose segments are small yet, goes on in the first of them at once, so that the burst
    /// does not wait for that either.
    ///
    /// # Errors
    ///
    /// [`AppendError::Full`] if the disk has no room; the journal is as it was.
    pub fn reserve(&self, bytes: u64) -> Result<(), AppendError> {
        self.shared.reserve(bytes)
    }

    /// Waits until everything before `position` is durable; with level `Paranoid`, until a durable
    /// slot records it.
    ///
    /// # Errors
    ///
    /// [`WaitError::NotAppended`] if nothing was appended up to there; [`WaitError::Poisoned`] if
    /// syncing failed, now or before.
    pub fn wait_durable(&self, position: Position) -> Result<Durable, WaitError> {
        let want = match self.shared.level {
            Level::Paranoid => Want::Slot,
            Level::Process | Level::Interval(_) | Level::Batch => Want::Durable,
        };
        self.shared.wait(position, want)
    }

    /// Waits until everything before `position` is acknowledged at a level.
    ///
    /// # Errors
    ///
    /// As [`wait_durable`](Self::wait_durable).
    pub fn wait(&self, position: Position, level: Level) -> Result<Durable, WaitError> {
        self.shared.use_level(level);
        self.shared.wait(position, level.into())
    }

    /// Appends a group as a safe point and waits until it is acknowledged at a level.
    ///
    /// # Errors
    ///
    /// [`CommitError::Append`] if nothing was appended; [`CommitError::Wait`] if the group was
    /// appended and not acknowledged.
    pub fn commit(&self, batch: &Batch, level: Level) -> Result<Appended, CommitError> {
        self.shared.commit(batch, level)
    }

    /// The level of commits that do not name one.
    #[must_use]
    pub fn level(&self) -> Level {
        self.shared.level
    }

    /// How frames reach the page cache.
    #[must_use]
    pub fn write_mode(&self) -> WriteMode {
        self.shared.mode
    }

    /// Bytes of the longest record, its envelope included, that a segment of this journal can hold.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        self.shared.payload_bytes_max.min(crate::RECORD_BYTES_MAX)
    }

    /// The journal's own name.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.shared.journal
    }

    /// The session that the journal belongs to.
    #[must_use]
    pub fn session(&self) -> Uuid {
        self.shared.session
    }

    /// How far the journal has come. Takes no lock.
    #[must_use]
    pub fn positions(&self) -> Positions {
        let published = &self.shared.published;
        // In this order, so that the inequalities hold although others go on meanwhile.
        let at = |position: &AtomicU64| Position::new(position.load(Ordering::Acquire));
        let trimmed = at(&published.trimmed);
        let safe = at(&published.safe);
        let durable = at(&published.durable);
        let appended = at(&published.appended);
        Positions { trimmed, safe, durable, appended: appended.max(durable) }
    }

    /// Makes a reader of the groups that are complete, from `from` on. It outlives the handle and
    /// sees what is appended later, once that is in the page cache.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gone`] if the place is before the oldest group; else as
    /// [`Reader::next_group`].
    pub fn read(&self, from: From) -> Result<Reader, ReadError> {
        // With write mode `Pwrite` the last groups may still be queued. A failure to write them is
        // in the poison; what is in the page cache can be read all the same.
        drop(self.shared.wait(self.positions().appended, Want::Stored));
        Reader::new(Source::Open(Arc::clone(&self.shared)), from)
    }

    /// Makes a reader that waits for what comes next: it sees every group once that is in the page
    /// cache, durable or not. Any number of them, each for one thread.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_journal::{Batch, End, From, Journal, Options, ReadError};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let (journal, _) = Journal::open(dir.path(), Options::new())?;
    /// let mut tail = journal.tail(From::Start)?;
    /// let follower = std::thread::spawn(move || {
    ///     let mut records = 0;
    ///     loop {
    ///         match tail.next_group(Duration::MAX) {
    ///             Ok(group) => records += group.map_or(0, |group| group.record_count()),
    ///             Err(ReadError::Ended) => return Ok(records),
    ///             Err(error) => return Err(error),
    ///         }
    ///     }
    /// });
    /// let mut batch = Batch::new();
    /// batch.push(1, 1, b"seen at once")?;
    /// journal.append(&batch, End::SafePoint)?;
    /// journal.close()?;
    /// assert_eq!(follower.join().expect("no panic")?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn tail(&self, from: From) -> Result<Tail, ReadError> {
        Tail::of_open(&self.shared, from)
    }

    /// The places that tails hold, in order: of this process, and of others by their files in
    /// `pins/`. Files that a dead process has left there are removed.
    ///
    /// # Errors
    ///
    /// [`IoError`] if the directory cannot be read.
    pub fn pins(&self) -> Result<Vec<Pinned>, IoError> {
        self.shared.pins.all(&self.shared.dir)
    }

    /// A handle for the thread that normalizes the journal while others append.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance {
        Maintenance::new(&self.shared)
    }

    /// Drops the new end of the journal: everything behind the safe point that ends at `position`,
    /// durable or not. A follower does that with what its leader never committed.
    ///
    /// No file is truncated; what is dropped moves to `quarantine/`. The journal goes on in a new
    /// segment, with sequence numbers and positions behind all that were used before. Readers that
    /// stand in the dropped part answer [`ReadError::Gone`]. When this returns, the cut is durable.
    ///
    /// # Errors
    ///
    /// See [`TruncateError`]. Nothing was changed unless the journal is poisoned; then it is cut or
    /// not after it was opened again.
    pub fn truncate(&self, position: Position) -> Result<Truncated, TruncateError> {
        self.shared.truncate(position)
    }

    /// Goes on in a new segment although the active one has room, so that what was appended so far
    /// can be normalized.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn roll(&self) -> Result<(), AppendError> {
        self.shared.roll_now()
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Does what the background thread does after 20 ms without an append.
    #[cfg(any(test, feature = "testing"))]
    pub fn run_idle(&self) {
        self.shared.run_idle();
    }

    /// Closes the journal in order: everything appended becomes durable, and the manifest records
    /// it, so that damage to any byte of it will be noticed.
    ///
    /// # Errors
    ///
    /// See [`CloseError`]. The lock is given back in any case.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.shut_down()
    }

    fn shut_down(&mut self) -> Result<(), CloseError> {
        let Some(ownership) = self.ownership.take() else {
            return Ok(());
        };
        if let Some(mut watcher) = self.watcher.take() {
            watcher.stop(&self.shared);
        }
        // A normalization under way stops, before the lock is given back.
        self.shared.upkeep.end();
        if let Some(mut filler) = self.filler.take() {
            filler.stop(&self.shared.spares);
        }
        let closed = self.shared.close();
        self.shared.unmap();
        self.shared.end();
        drop(ownership);
        closed
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // `close` tells; a failure here is found by the next open.
        drop(self.shut_down());
    }
}

impl Shared {
    /// Gives up the writable map, which readers would else keep: the next open could not drop what
    /// the page cache holds behind it.
    fn unmap(&self) {
        let mut writer = self.lock();
        writer.written = writer.stored();
        writer.active.sink = Sink::default();
    }

    fn close(&self) -> Result<(), CloseError> {
        let end = self.lock().end.position;
        let synced = self.wait(Position::new(end), Want::Durable);
        let mut writer = self.lock();
        while writer.writing || writer.rounds.is_any_in_flight() {
            // Another thread is still at work for somebody; it ends with or without success.
            writer = self.roles.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        if let Err(WaitError::Poisoned(poison)) = synced {
            return Err(poison.into());
        }
        let mut next = writer.manifest.clone();
        next.generation += 1;
        next.durable = writer.durable;
        next.closed = true;
        self.dir.switch_manifest(Some(&writer.manifest), &next, None)?;
        self.published.generation.store(next.generation, Ordering::Release);
        writer.manifest = next;
        self.spares.remove_all();
        Ok(())
    }
}
