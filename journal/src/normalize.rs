//! Normalization: replacing sealed segments by what remains of them, while others append and read.
//!
//! The journal does not know what records say; a [`Normalize`] does. The journal sees to it that a
//! crash leaves the old segments or the new ones and never a mix, that nothing that somebody still
//! reads is replaced, and that what is switched to is what was written. See
//! `docs/format.md#compacted-segments`.

mod input;
mod output;
mod status;
mod switch;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::error::{IoError, Poisoned, ReadError};
use crate::ids::{Lsn, Position};
use crate::reader::Group;
use crate::shared::Shared;

pub use output::Survivors;
pub use status::{Kept, SegmentState};

/// What a caller's part of normalization fails with.
pub type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// Says what remains of a range of groups.
///
/// The journal calls [`read`](Self::read) with every group of the range, in order, then
/// [`write`](Self::write) once. Then it reads both versions again, the new one from the disk, for
/// [`compare_old`](Self::compare_old) and [`compare_new`](Self::compare_new), and asks for the
/// verdict. Whatever is refused leaves the journal as it was.
pub trait Normalize {
    /// Takes in a group.
    ///
    /// # Errors
    ///
    /// Whatever makes normalizing impossible.
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal>;

    /// Whether it is worth while: `bytes` are those of the range's groups.
    fn is_worth(&mut self, bytes: u64) -> bool;

    /// Writes what remains, in the order of the groups that it came in.
    ///
    /// # Errors
    ///
    /// That of [`Survivors::push`].
    fn write(&mut self, survivors: &mut Survivors<'_>) -> Result<(), NormalizeError>;

    /// Whether the range must be read again for [`compare_old`](Self::compare_old): not if the first
    /// time was enough.
    fn reads_twice(&self) -> bool {
        true
    }

    /// Takes in a group of the range, again.
    ///
    /// # Errors
    ///
    /// Whatever makes comparing impossible.
    fn compare_old(&mut self, group: &Group<'_>) -> Result<(), Refusal>;

    /// Takes in a group of what was written, read back from the disk.
    ///
    /// # Errors
    ///
    /// Whatever makes comparing impossible.
    fn compare_new(&mut self, group: &Group<'_>) -> Result<(), Refusal>;

    /// Called when both versions were taken in.
    ///
    /// # Errors
    ///
    /// That they differ.
    fn verdict(&mut self) -> Result<(), Refusal>;
}

/// Why nothing was normalized. The journal is as it was, unless it is poisoned.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NormalizeError {
    /// The range does not begin with one sealed segment and end with another.
    #[error("no sealed segments make up positions {begin} to {end}")]
    NoSuchRange {
        /// The begin asked for.
        begin: Position,
        /// The end asked for.
        end: Position,
    },
    /// A segment of the range must stay as it is.
    #[error("a segment of the range is kept: {0}")]
    Kept(Kept),
    /// The range was changed meanwhile, by a truncation.
    #[error("the range was changed meanwhile")]
    Overtaken,
    /// The disk has no room for what remains. Free space, or normalize a shorter range.
    #[error("the disk is full: {needed} bytes are needed")]
    Full {
        /// Bytes of the file that did not fit.
        needed: u64,
    },
    /// The journal is being closed.
    #[error("the journal is being closed")]
    Closed,
    /// What was read back from the disk is not what was written.
    #[error("`{}` reads back other bytes than were written", file.display())]
    Unverified {
        /// The file; it was removed.
        file: std::path::PathBuf,
    },
    /// The caller's part refused.
    #[error("refused: {0}")]
    Refused(#[source] Refusal),
    /// The range could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be written.
    #[error(transparent)]
    Io(IoError),
    /// The journal stopped for good.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

impl NormalizeError {
    /// The answer to a failed call that concerns nothing but new files.
    fn of(error: IoError, needed: u64) -> Self {
        if error.is_out_of_space() { Self::Full { needed } } else { Self::Io(error) }
    }
}

/// What a normalization has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Normalized {
    /// Where the range begins.
    pub begin: Position,
    /// Where it ends.
    pub end: Position,
    /// How many segments made it up.
    pub segments_before: usize,
    /// How many make it up now; as many as before if nothing was done.
    pub segments_after: usize,
    /// Bytes of their files before.
    pub bytes_before: u64,
    /// Bytes of their files now.
    pub bytes_after: u64,
}

/// Bytes that are read or written at once, between two looks at the clock.
const STEP_BYTES: u64 = 256 << 10;

/// Keeps to a rate, and notices that the journal ends.
struct Pace<'a> {
    shared: &'a Shared,
    bytes_per_second: Option<u64>,
    start: Instant,
    bytes: u64,
    looked: u64,
}

impl Pace<'_> {
    /// Counts bytes that were read or written; pauses if it was too fast.
    fn step(&mut self, bytes: u64) -> Result<(), NormalizeError> {
        self.bytes += bytes;
        if self.bytes - self.looked < STEP_BYTES {
            return Ok(());
        }
        self.looked = self.bytes;
        if let Some(rate) = self.bytes_per_second {
            let due = Duration::from_secs(self.bytes / rate)
                + Duration::from_nanos((self.bytes % rate) * 1_000_000_000 / rate);
            if let Some(early) = due.checked_sub(self.start.elapsed()) {
                self.shared.upkeep.pause(early);
            }
        }
        self.check()
    }

    fn check(&self) -> Result<(), NormalizeError> {
        if self.shared.upkeep.has_ended() { Err(NormalizeError::Closed) } else { Ok(()) }
    }
}

/// A handle of an open journal for normalizing it, from any thread. It does not keep the journal
/// open: once that is closed, everything here answers so.
///
/// Made by [`Journal::maintenance`](crate::Journal::maintenance).
///
/// # Examples
///
/// ```
/// use steadfast_journal::{
///     Batch, Group, Journal, Level, Normalize, NormalizeError, Options, Refusal, Survivors,
/// };
///
/// /// Keeps the last record of all, whatever it says.
/// #[derive(Default)]
/// struct Last(Option<(steadfast_journal::Lsn, Vec<u8>)>, [usize; 2]);
///
/// impl Normalize for Last {
///     fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
///         let last = group.records().last();
///         self.0 = last.map(|record| (group.lsn(), record.bytes().to_vec())).or(self.0.take());
///         Ok(())
///     }
///     fn is_worth(&mut self, _bytes: u64) -> bool {
///         true
///     }
///     fn write(&mut self, survivors: &mut Survivors<'_>) -> Result<(), NormalizeError> {
///         let (lsn, bytes) = self.0.as_ref().expect("the range has a record");
///         survivors.push(*lsn, |buffer| buffer.extend_from_slice(bytes))
///     }
///     fn compare_old(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
///         self.1[0] = group.records().last().map_or(self.1[0], |record| record.bytes().len());
///         Ok(())
///     }
///     fn compare_new(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
///         self.1[1] = group.records().last().map_or(self.1[1], |record| record.bytes().len());
///         Ok(())
///     }
///     fn verdict(&mut self) -> Result<(), Refusal> {
///         if self.1[0] == self.1[1] { Ok(()) } else { Err("they differ".into()) }
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let (journal, _) = Journal::open(dir.path(), Options::new().segment_bytes(64 << 10))?;
/// let mut batch = Batch::new();
/// for number in 0..100_u64 {
///     batch.clear();
///     batch.push(1, 1, &number.to_le_bytes())?;
///     journal.append(&batch, steadfast_journal::End::SafePoint)?;
/// }
/// journal.roll()?;
/// let maintenance = journal.maintenance();
/// let sealed = maintenance.segments()?;
/// let range = sealed[0].begin..sealed[1].begin;
/// let done = maintenance.normalize(range, &mut Last::default(), None)?;
/// assert_eq!((done.bytes_before, done.bytes_after), (65536, 8192));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Maintenance {
    shared: Arc<Shared>,
}

impl fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maintenance").field("dir", &self.shared.dir.path).finish_non_exhaustive()
    }
}

impl Maintenance {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Sleeps until more segments were sealed than `seen`, and says how many have been since the
    /// journal was opened; `None` once it is being closed.
    #[must_use]
    pub fn wait_sealed(&self, seen: u64) -> Option<u64> {
        self.shared.upkeep.wait_sealed(seen)
    }

    /// Replaces a run of sealed segments by what remains of them. `range` is the begin of the first
    /// and the begin of the one behind the last.
    ///
    /// Others append and read meanwhile; they wait for the switch of the manifest at most. Writes
    /// and reads at most `bytes_per_second`. When this returns, the new segments are durable and the
    /// old ones gone.
    ///
    /// # Errors
    ///
    /// See [`NormalizeError`]: nothing was changed, unless the journal is poisoned; then the old
    /// segments or the new ones are there after it was opened again.
    pub fn normalize(
        &self,
        range: Range<Position>,
        normalize: &mut dyn Normalize,
        bytes_per_second: Option<u64>,
    ) -> Result<Normalized, NormalizeError> {
        let shared = &self.shared;
        let _one = shared.upkeep.run();
        let bytes_per_second = bytes_per_second.map(|rate| rate.max(1));
        let (start, bytes, looked) = (Instant::now(), 0, 0);
        let mut pace = Pace { shared, bytes_per_second, start, bytes, looked };
        pace.check()?;
        let input = self.input(&range)?;
        let mut bytes = 0;
        let last = input.each(shared, &mut pace, |group| {
            bytes += group.position().get() - group.begin().get();
            normalize.read(group)
        })?;
        if !normalize.is_worth(bytes) {
            return Ok(input.unchanged(&range));
        }
        let mut output = output::Output::new(shared, &input, pace)?;
        let written = output.write(normalize, last).and_then(|()| {
            if normalize.reads_twice() {
                input.each(shared, &mut output.pace, |group| normalize.compare_old(group))?;
            }
            output.read_back(&mut |group| normalize.compare_new(group))?;
            normalize.verdict().map_err(NormalizeError::Refused)?;
            output.adopt(&input)
        });
        let done = match written {
            Ok(entries) => Ok(input.replaced_by(&range, &entries)),
            Err(error) => {
                output.remove();
                Err(error)
            }
        };
        shared.spares.refill();
        done
    }

    /// The segments of the range, if each may be normalized.
    fn input(&self, range: &Range<Position>) -> Result<input::Input, NormalizeError> {
        let segments = self.segments()?;
        let no_such = NormalizeError::NoSuchRange { begin: range.start, end: range.end };
        let begin = segments.iter().position(|segment| segment.begin == range.start);
        let end = segments.iter().position(|segment| segment.begin == range.end);
        let Some((begin, end)) = begin.zip(end).filter(|(begin, end)| begin < end) else {
            return Err(no_such);
        };
        for segment in &segments[begin..end] {
            if let Some(kept) = &segment.kept {
                return Err(NormalizeError::Kept(kept.clone()));
            }
        }
        let manifest = self.shared.lock().manifest.clone();
        input::Input::new(manifest, begin..end).ok_or(no_such)
    }
}

/// The last group of a range.
#[derive(Clone, Copy, Debug)]
struct LastGroup {
    lsn: Lsn,
    /// Where it ends; frames without records may follow.
    end: u64,
}
