//! Group commit: one thread syncs for everybody who waits, then hands over.
//!
//! Syncing goes in rounds. The first waiter who finds no round in flight leads one: it writes what
//! is queued, notes how far the journal then reaches, and syncs without holding the lock. Whoever
//! waits for a position inside the round sleeps until its end; the others sleep for the next round,
//! and at the end of a round one of them is woken to lead it. Nobody else is woken in vain.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::error::{At as _, IoError, WaitError};
use crate::ids::Position;
use crate::options::Level;
use crate::shared::{Guard, Shared};
use crate::writer::{Mark, Sink, Writer};

/// Proof that everything before a position survives what its level promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durable {
    position: Position,
}

impl Durable {
    /// The position waited for; more may be covered.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

/// What a waiter waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// In the page cache.
    Stored,
    /// Synced.
    Durable,
    /// Synced, and recorded in a durable slot.
    Slot,
}

impl From<Level> for Want {
    fn from(level: Level) -> Self {
        match level {
            Level::Process | Level::Interval(_) => Self::Stored,
            Level::Batch => Self::Durable,
            Level::Paranoid => Self::Slot,
        }
    }
}

impl Shared {
    pub(crate) fn wait(&self, position: Position, want: Want) -> Result<Durable, WaitError> {
        let wanted = position.get();
        let done = Durable { position };
        let published = match want {
            Want::Stored => Some(&self.published.readable),
            Want::Durable => Some(&self.published.durable),
            Want::Slot => None,
        };
        if !self.published.poisoned.load(Ordering::Acquire)
            && published.is_some_and(|reached| reached.load(Ordering::Acquire) >= wanted)
        {
            return Ok(done);
        }
        let mut writer = self.lock();
        if wanted > writer.end.position {
            let appended = Position::new(writer.end.position);
            return Err(WaitError::NotAppended { position, appended });
        }
        if want == Want::Slot {
            writer.sync.slot_wanted = writer.sync.slot_wanted.max(wanted);
        }
        loop {
            if let Some(poison) = &writer.poison {
                return Err(poison.clone().into());
            }
            let reached = match want {
                Want::Stored => writer.stored.position.max(writer.durable),
                Want::Durable if self.bugs.acknowledge_early => writer.stored.position,
                Want::Durable => writer.durable,
                Want::Slot => writer.slotted,
            };
            if reached >= wanted {
                self.hand_over(&writer);
                return Ok(done);
            }
            writer = self.advance(writer, wanted, want);
        }
    }

    /// Does the next piece of work for a waiter, or sleeps until somebody has done it.
    fn advance<'a>(&'a self, mut writer: Guard<'a>, wanted: u64, want: Want) -> Guard<'a> {
        if want == Want::Stored {
            return self.drain(writer);
        }
        let Some(target) = writer.sync.target else {
            return self.lead(writer);
        };
        let round = writer.sync.round + u64::from(wanted > target);
        let parity = usize::from(round % 2 == 1);
        writer.sync.waiting[parity] += 1;
        let mut writer = self.rounds[parity].wait(writer).unwrap_or_else(PoisonError::into_inner);
        writer.sync.waiting[parity] -= 1;
        writer
    }

    /// Wakes a waiter to lead if nobody does and somebody waits: a waiter whose work was done by a
    /// roll goes away without leading the round that it was woken for.
    fn hand_over(&self, writer: &Writer) {
        if writer.sync.target.is_none() {
            let parity = usize::from(writer.sync.round % 2 == 1);
            if writer.sync.waiting[parity] > 0 {
                self.rounds[parity].notify_one();
            }
        }
    }

    /// Leads one round.
    fn lead<'a>(&'a self, mut writer: Guard<'a>) -> Guard<'a> {
        writer.sync.target = Some(writer.end.position);
        let rescue = Rescue { shared: self, armed: true };
        writer = self.drain(writer);
        if writer.poison.is_none() {
            let mark = writer.stored;
            writer.sync.target = Some(mark.position);
            if self.bugs.slot_before_sync && self.write_slot(mark).is_ok() {
                writer.slotted = mark.position;
            }
            writer = self.sync_round(writer, mark);
        }
        rescue.disarm();
        self.end_round(&mut writer);
        writer
    }

    /// Syncs the active segment up to `mark` and, if somebody wants one, writes a durable slot.
    fn sync_round<'a>(&'a self, mut writer: Guard<'a>, mark: Mark) -> Guard<'a> {
        writer.active.announce_sync();
        let file = writer.active.file.clone();
        drop(writer);
        let synced = if self.bugs.skip_sync { Ok(()) } else { file.sync() };
        let mut writer = self.lock();
        match synced.at("sync", &writer.active.path) {
            Ok(()) => self.make_durable(&mut writer, mark),
            Err(error) => {
                self.fail(&mut writer, error);
                return writer;
            }
        }
        if writer.sync.slot_wanted <= writer.slotted {
            return writer;
        }
        drop(writer);
        let written = self.write_slot(mark);
        let mut writer = self.lock();
        match written {
            Ok(()) => writer.slotted = writer.slotted.max(mark.position),
            Err(error) => {
                self.fail(&mut writer, error);
            }
        }
        writer
    }

    fn write_slot(&self, mark: Mark) -> Result<(), IoError> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.newest().position >= mark.position {
            return Ok(());
        }
        let path = self.dir.file(crate::durable_slot::NAME);
        slots.write(mark.position, mark.lsn).at("write", &path)
    }

    /// Ends the round in flight and hands over to the next one.
    fn end_round(&self, writer: &mut Writer) {
        let parity = usize::from(writer.sync.round % 2 == 1);
        writer.sync.target = None;
        writer.sync.round += 1;
        self.rounds[parity].notify_all();
        self.roles.notify_all();
        self.hand_over(writer);
    }

    fn make_durable(&self, writer: &mut Writer, mark: Mark) {
        if writer.poison.is_some() {
            return; // Nothing is acknowledged after a failure.
        }
        writer.durable = writer.durable.max(mark.position);
        self.publish_durable(writer, mark.safe);
    }

    /// Publishes the writer's durable position, and `safe` if it is news.
    pub(crate) fn publish_durable(&self, writer: &Writer, safe: u64) {
        self.published.durable.store(writer.durable, Ordering::Release);
        self.published.safe.fetch_max(safe, Ordering::AcqRel);
    }

    /// Brings everything appended into the page cache. With a map it is there already.
    pub(crate) fn drain<'a>(&'a self, mut writer: Guard<'a>) -> Guard<'a> {
        while writer.writing && writer.poison.is_none() {
            writer = self.roles.wait(writer).unwrap_or_else(PoisonError::into_inner);
        }
        if writer.poison.is_some() {
            return writer;
        }
        let mark = writer.end;
        let Sink::Queue { bytes, at, other } = &mut writer.active.sink else {
            return writer;
        };
        if bytes.is_empty() {
            writer.stored = mark;
            self.published.update(&writer);
            return writer;
        }
        let (full, at) = (std::mem::replace(bytes, std::mem::take(other)), *at);
        let file = writer.active.file.clone();
        writer.writing = true;
        drop(writer);
        let written = file.write_at(&full, at);
        let mut writer = self.lock();
        writer.writing = false;
        match written.at("write", &writer.active.path) {
            Ok(()) => {
                writer.stored = mark;
                self.published.update(&writer);
            }
            Err(error) => {
                self.fail(&mut writer, error);
            }
        }
        if let Sink::Queue { other, .. } = &mut writer.active.sink {
            *other = full;
            other.clear();
        }
        self.roles.notify_all();
        writer
    }
}

/// Poisons the journal if a leader goes away in the middle of its round, so that nobody waits for
/// it for ever.
struct Rescue<'a> {
    shared: &'a Shared,
    armed: bool,
}

impl Rescue<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Rescue<'_> {
    fn drop(&mut self) {
        if self.armed {
            let error = std::io::Error::other("the syncing thread panicked");
            let mut writer = self.shared.lock();
            self.shared.fail(&mut writer, IoError::new("sync", &self.shared.dir.path, error));
            writer.sync.target = None;
            writer.writing = false;
        }
    }
}
