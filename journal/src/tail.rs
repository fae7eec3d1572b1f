//! Tails: readers that wait for what comes next, in this process or another one.

mod probe;
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{IoError, OpenError, ReadError};
use crate::ids::Position;
use crate::options::Options;
use crate::pins::{FilePin, Pin};
use crate::primitives::atomic::Ordering;
use crate::primitives::thread;
use crate::reader::{From, Group, Reader, Source};
use crate::shared::Shared;

pub(crate) use watched::Watched;

/// How long a tail in another process sleeps between two looks, at first and at last.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(20)];

/// Reads groups in order and waits for the next ones; never half a group, never one twice, across
/// new segments and compacted ones.
///
/// There are two kinds. [`Journal::tail`](crate::Journal::tail) makes one in the writer's process:
/// it sees every group once that is in the page cache, durable or not, and wakes up at once.
/// [`Tail::open`] makes one in another process, also while nobody writes: it takes no lock, and sees
/// only what a crash cannot take back: groups of completed roots that the journal's own claims say
/// are durable. While groups follow each other it is one group behind, and after 20 ms of the
/// writer's idleness it has them all.
///
/// While it lives, a tail keeps the segments from its place on from being normalized.
#[derive(Debug)]
pub struct Tail {
    reader: Reader,
    pin: Pin,
    /// First position of the segment that was pinned last.
    pinned: u64,
}

/// What a wait for more has brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waited {
    /// Look again.
    More,
    TimedOut,
    /// The handle was closed, or the journal stopped for good.
    Ended,
}

impl Tail {
    pub(crate) fn of_open(shared: &Arc<Shared>, from: From) -> Result<Self, ReadError> {
        // Pinned first: whatever the list of segments says afterwards stays.
        let pin = shared.pins.pin(0);
        let reader = Reader::new(Source::Open(Arc::clone(shared)), from)?;
        Self { reader, pin, pinned: 0 }.pinned()
    }

    /// Follows the journal in `dir`, which another process may be writing.
    ///
    /// Of the options, `storage`, `allow_network_fs` and `write_mode` count: with
    /// [`Pwrite`](crate::WriteMode::Pwrite) it reads without maps. Nothing is checked but what is
    /// read. It writes one small file into `pins/`; where it may not, its place can be normalized
    /// meanwhile and then be [gone](ReadError::Gone), see [`is_pinned`](Self::is_pinned). If a
    /// normalization is about to switch the list of segments, opening waits until it has.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotFound`] if there is no journal; else as [`Journal::open`](crate::Journal::open),
    /// and [`OpenError::Read`] if the place to begin with is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast_journal::{Batch, From, Journal, Level, Options, Tail};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let (journal, _) = Journal::open(dir.path(), Options::new())?;
    /// let mut batch = Batch::new();
    /// batch.push(1, 1, b"seen by others once it is durable")?;
    /// journal.commit(&batch, Level::Paranoid)?;
    ///
    /// // In another process:
    /// let mut tail = Tail::open(dir.path(), From::Start, Options::new())?;
    /// let group = tail.next_group(Duration::from_secs(1))?.expect("one is durable");
    /// assert_eq!(group.record_count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(dir: impl AsRef<Path>, from: From, options: Options) -> Result<Self, OpenError> {
        let mode = options.write_mode;
        let dir = watched::dir_of(dir.as_ref(), options)?;
        let pin = match FilePin::new(&dir, 0) {
            Ok(pin) => Pin::File(pin),
            Err(error) if is_refused(&error) => Pin::None,
            Err(error) => return Err(error.into()),
        };
        let watched = Arc::new(Watched::new(dir, mode)?);
        let reader = Reader::new(Source::Watched(watched), from)?;
        Ok(Self { reader, pin, pinned: 0 }.pinned()?)
    }

    /// The next group; waits for it at most `timeout`. With [`Duration::ZERO`] it only looks, with
    /// [`Duration::MAX`] it waits for ever.
    ///
    /// # Errors
    ///
    /// As [`Reader::next_group`]. [`ReadError::Ended`] if the writer's handle was closed, or the
    /// journal stopped for good, and everything was read; a tail of another process waits on.
    pub fn next_group(&mut self, timeout: Duration) -> Result<Option<Group<'_>>, ReadError> {
        if self.wait(timeout)? { self.reader.group().map(Some) } else { Ok(None) }
    }

    /// Where the next group begins, or the end of what was read so far.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.reader.position()
    }

    /// Whether the segments from its place on are kept for it.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        !matches!(self.pin, Pin::None)
    }

    /// Moves behind the next group; `false` if the time is over before there is one.
    fn wait(&mut self, timeout: Duration) -> Result<bool, ReadError> {
        // `None` is never: the time is beyond what the clock can tell.
        let mut deadline: Option<Option<Instant>> = None;
        let mut pause = LOOK_AGAIN[0];
        loop {
            let seen = self.reader.seen();
            if self.reader.advance()? {
                self.move_pin()?;
                return Ok(true);
            }
            if timeout.is_zero() && !self.reader.source().is_watched() {
                return if self.reader.source().ended(seen) {
                    Err(ReadError::Ended)
                } else {
                    Ok(false)
                };
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now().checked_add(timeout));
            let waited = match self.reader.source() {
                Source::Open(shared) => shared.wait_for_more(seen, deadline),
                Source::Watched(watched) if watched.look()? => Waited::More,
                Source::Watched(_) => sleep(&mut pause, deadline),
                Source::Inspected { .. } => Waited::Ended,
            };
            match waited {
                Waited::More => {}
                Waited::TimedOut => return Ok(false),
                Waited::Ended => return Err(ReadError::Ended),
            }
        }
    }

    fn pinned(mut self) -> Result<Self, ReadError> {
        self.move_pin()?;
        Ok(self)
    }

    /// Lets go of the segments before the one that is being read.
    fn move_pin(&mut self) -> Result<(), ReadError> {
        let begin = self.reader.segment_begin();
        if begin > self.pinned {
            self.pin.advance(begin)?;
            self.pinned = begin;
        }
        Ok(())
    }
}

/// Whether a pin cannot be made because the directory may only be read.
fn is_refused(error: &IoError) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let is_denied = matches!(error.source.kind(), PermissionDenied | ReadOnlyFilesystem);
    is_denied || error.is_out_of_space()
}

/// Sleeps a little longer each time.
fn sleep(pause: &mut Duration, deadline: Option<Instant>) -> Waited {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Waited::TimedOut;
    }
    thread::sleep(left.map_or(*pause, |left| left.min(*pause)));
    *pause = (*pause * 2).min(LOOK_AGAIN[1]);
    Waited::More
}

/// What a reader knew when it looked: how far groups could be read, and of which manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) limit: u64,
    pub(crate) generation: u64,
}

impl Shared {
    /// Sleeps until more can be read than was seen.
    fn wait_for_more(&self, seen: Seen, deadline: Option<Instant>) -> Waited {
        let me = thread::current();
        let mut writer = self.lock();
        loop {
            writer.tails.retain(|tail| tail.id() != me.id());
            let limit = self.published.readable.load(Ordering::Acquire);
            let generation = self.published.generation.load(Ordering::Acquire);
            if limit > seen.limit || generation != seen.generation {
                return Waited::More;
            }
            if self.published.ended.load(Ordering::Acquire) || writer.poison.is_some() {
                return Waited::Ended;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Waited::TimedOut;
            }
            // Under the lock: whoever publishes more after this look finds the name.
            writer.tails.push(me.clone());
            drop(writer);
            match left {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
            writer = self.lock();
        }
    }
}
