//! Group commit: one thread syncs for everybody who waits, then hands over.
//!
//! Syncing goes in rounds. The first waiter for whom a round may begin (`rounds.rs`) leads it: it
//! writes what is queued, notes how far the journal then reaches, and syncs without holding the lock.
//! Whoever waits for a position inside the round sleeps until its end; the others sleep for the next
//! round, and at the end of a round one of them is woken to lead it. Nobody else is woken in vain, all
//! of a round are woken by one call, and who is woken with its work done does not take the lock again.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::error::{At as _, IoError, WaitError};
use crate::ids::Position;
use crate::options::Level;
use crate::primitives::atomic::Ordering;
use crate::rounds::gate_of;
use crate::shared::{Guard, Shared};
use crate::writer::{Mark, Sink, Writer};
use crate::yields::YIELDS_MAX;

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
        self.wait_locked(self.lock(), position, want)
    }

    /// Waits, given the lock.
    pub(crate) fn wait_locked<'a>(
        &'a self,
        mut writer: Guard<'a>,
        position: Position,
        want: Want,
    ) -> Result<Durable, WaitError> {
        let (wanted, done) = (position.get(), Durable { position });
        if wanted > writer.end.position {
            let appended = Position::new(writer.end.position);
            return Err(WaitError::NotAppended { position, appended });
        }
        if want == Want::Slot {
            writer.rounds.slot_wanted = writer.rounds.slot_wanted.max(wanted);
        }
        loop {
            if let Some(poison) = &writer.poison {
                return Err(poison.clone().into());
            }
            let reached = match want {
                Want::Stored => writer.stored().position.max(writer.durable),
                Want::Durable if self.bugs.acknowledge_early => writer.end.position,
                Want::Durable => writer.durable,
                Want::Slot => writer.slotted,
            };
            if reached >= wanted {
                self.hand_over(&writer);
                return Ok(done);
            }
            match self.advance(writer, wanted, want) {
                Some(locked) => writer = locked,
                None => return Ok(done),
            }
        }
    }

    /// Does the next piece of work for a waiter, or sleeps until somebody has done it. Returns without
    /// the lock if the round that it slept for has brought what it wants.
    fn advance<'a>(&'a self, writer: Guard<'a>, wanted: u64, want: Want) -> Option<Guard<'a>> {
        if want == Want::Stored {
            return Some(self.drain(writer));
        }
        let flights_max = writer.active.syncs.len();
        let round = match writer.rounds.covering(wanted) {
            None if writer.rounds.may_begin(1, flights_max) => None,
            covering => Some(covering.unwrap_or(writer.rounds.next())),
        };
        let ended = if let Some(round) = round {
            self.sleep(writer, round)
        } else {
            self.lead(writer);
            true
        };
        let durable = self.published.durable.load(Ordering::Acquire);
        // Whoever was woken to lead a round looks after it, even if another one has done the work.
        if ended && want == Want::Durable && durable >= wanted && !self.is_poisoned() {
            return None;
        }
        let mut writer = self.lock();
        if let Some(round) = round {
            // Does nothing if the round has ended.
            writer.rounds.leave(round);
        }
        Some(writer)
    }

    /// Sleeps until a round has ended, or needs a leader, or everybody is woken; whether it has ended.
    fn sleep(&self, mut writer: Guard<'_>, round: u64) -> bool {
        writer.rounds.enter(round);
        let alarms = self.published.alarms.load(Ordering::Acquire);
        drop(writer);
        let ended = || self.published.rounds.load(Ordering::Acquire) > round;
        let must_lead = || self.published.leaderless.load(Ordering::Acquire) == round;
        let alarmed = || self.published.alarms.load(Ordering::Acquire) != alarms;
        // First without falling asleep.
        for _ in 0..YIELDS_MAX {
            if ended() {
                return true;
            }
            if must_lead() || alarmed() || !self.yields.turn() {
                break;
            }
        }
        let gate = &self.gates[gate_of(round)];
        loop {
            // Whoever wakes a sleeper has changed one of those before it moves the gate, and the gate
            // is looked at before them: no wake-up is lost.
            let turn = gate.turn();
            if ended() {
                return true;
            }
            if must_lead() || alarmed() {
                return false;
            }
            gate.sleep(turn);
        }
    }

    fn is_poisoned(&self) -> bool {
        self.published.poisoned.load(Ordering::Acquire)
    }

    /// Wakes a waiter to lead if nobody does and somebody waits: a waiter whose work was done by a
    /// roll goes away without leading the round that it was woken for.
    fn hand_over(&self, writer: &Writer) {
        if writer.rounds.may_begin(0, writer.active.syncs.len()) {
            let round = writer.rounds.next();
            // If another thread leads first, the one that is woken sleeps on to the round's end.
            self.published.leaderless.store(round, Ordering::Release);
            self.gates[gate_of(round)].wake_one();
        }
    }

    /// Leads one round.
    fn lead<'a>(&'a self, mut writer: Guard<'a>) {
        // Whoever comes while the round is being prepared belongs to it.
        let place = writer.rounds.begin();
        self.published.leaderless.store(u64::MAX, Ordering::Release);
        let rescue = Rescue { shared: self, place: Some(place), armed: true };
        writer = self.gather(writer, place);
        // Who comes while the queue is written is late: what it has appended is not in it.
        let end = writer.end.position;
        writer.rounds.close(place, end);
        writer = self.drain(writer);
        if writer.poison.is_none() {
            let mark = writer.stored();
            if self.bugs.slot_before_sync && self.write_slot(mark).is_ok() {
                writer.slotted = mark.position;
            }
            writer = self.sync_round(writer, place, mark);
        }
        rescue.disarm();
        self.end_round(writer, place);
    }

    /// Waits a little for the threads that the last rounds have released: with them on board, one sync
    /// serves more of them.
    fn gather<'a>(&'a self, mut writer: Guard<'a>, place: usize) -> Guard<'a> {
        let complete =
            |writer: &Writer| writer.rounds.is_complete(place, writer.active.syncs.len());
        if complete(&writer) {
            return writer;
        }
        // Real time is no matter of interleavings.
        let limit = if cfg!(shuttle) { Duration::ZERO } else { writer.rounds.patience.limit() };
        if limit.is_zero() {
            return writer;
        }
        let start = Instant::now();
        while !complete(&writer) && writer.poison.is_none() && start.elapsed() < limit {
            drop(writer);
            let has_yielded = self.yields.turn();
            writer = self.lock();
            if !has_yielded {
                return writer;
            }
        }
        let they_came = complete(&writer);
        writer.rounds.patience.learn(they_came);
        writer
    }

    /// Syncs the active segment up to `mark` and, if somebody wants one, writes a durable slot.
    fn sync_round<'a>(&'a self, mut writer: Guard<'a>, place: usize, mark: Mark) -> Guard<'a> {
        let release = writer.active.announce_sync();
        let file = writer.active.syncs[place].clone();
        drop(writer);
        // Others append meanwhile.
        if let Some(release) = release {
            release();
        }
        let synced = if self.bugs.skip_sync { Ok(()) } else { file.sync() };
        let mut writer = self.lock();
        match synced.at("sync", &writer.active.path) {
            Ok(()) => self.make_durable(&mut writer, mark),
            Err(error) => {
                self.fail(&mut writer, error);
                return writer;
            }
        }
        if writer.rounds.slot_wanted <= writer.slotted {
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

    /// Ends a round and hands over to the next one.
    fn end_round(&self, mut writer: Guard<'_>, place: usize) {
        let gates = writer.rounds.end(place);
        self.published.rounds.store(writer.rounds.ended(), Ordering::Release);
        self.hand_over(&writer);
        drop(writer);
        // Nobody is woken under the lock.
        for (gate, _) in self.gates.iter().zip(gates).filter(|(_, sleeps)| *sleeps) {
            gate.wake_all();
        }
        self.roles.notify_all();
    }

    fn make_durable(&self, writer: &mut Writer, mark: Mark) {
        if writer.poison.is_some() {
            return; // INV-22, INV-27: nothing is acknowledged after a failure.
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
        let Sink { queue, at, other, .. } = &mut writer.active.sink;
        if queue.is_empty() {
            writer.written = mark;
            self.publish(&mut writer);
            return writer;
        }
        let (full, at) = (std::mem::replace(queue, std::mem::take(other)), *at);
        let file = writer.active.file.clone();
        writer.writing = true;
        drop(writer);
        let rescue = Rescue { shared: self, place: None, armed: true };
        let written = file.write_at(&full, at);
        rescue.disarm();
        let mut writer = self.lock();
        writer.writing = false;
        match written.at("write", &writer.active.path) {
            Ok(()) => {
                writer.written = mark;
                self.publish(&mut writer);
            }
            Err(error) => {
                self.fail(&mut writer, error);
            }
        }
        let other = &mut writer.active.sink.other;
        *other = full;
        other.clear();
        self.roles.notify_all();
        writer
    }
}

/// Poisons the journal if a thread goes away while it syncs or writes for others, so that nobody
/// waits for it for ever.
struct Rescue<'a> {
    shared: &'a Shared,
    /// The place of the round that it leads.
    place: Option<usize>,
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
            let error = std::io::Error::other("the thread at work panicked");
            let mut writer = self.shared.lock();
            self.shared.fail(&mut writer, IoError::new("sync", &self.shared.dir.path, error));
            match self.place {
                Some(place) => drop(writer.rounds.end(place)),
                None => writer.writing = false,
            }
        }
    }
}
