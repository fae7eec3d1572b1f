//! What the handle, its readers and its background threads share.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::background::Wake;
use crate::durable_slot::DurableSlots;
use crate::error::{IoError, Poisoned};
use crate::files::Dir;
use crate::gate::Gate;
use crate::ids::Uuid;
use crate::options::{Level, WriteMode};
use crate::pins::Pins;
use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::primitives::{Condvar, Mutex, MutexGuard};
use crate::rounds::GATES;
use crate::spare::Spares;
use crate::upkeep::Upkeep;
use crate::writer::{Published, Writer};
use crate::yields::Yields;

/// The writer, locked.
pub(crate) type Guard<'a> = MutexGuard<'a, Writer>;

/// Bugs that the negative controls plant. All off outside tests.
#[derive(Clone, Copy, Default, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Bugs {
    pub(crate) skip_sync: bool,
    pub(crate) acknowledge_early: bool,
    pub(crate) drop_salt: bool,
    pub(crate) trust_open_read: bool,
    pub(crate) ignore_claims: bool,
    pub(crate) roll_without_sync: bool,
    pub(crate) share_sync_handle: bool,
    pub(crate) slot_before_sync: bool,
    pub(crate) normalize_without_sync: bool,
    pub(crate) unlink_before_switch: bool,
}

/// One open journal.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dir: Dir,
    pub(crate) journal: Uuid,
    pub(crate) session: Uuid,
    pub(crate) level: Level,
    pub(crate) mode: WriteMode,
    pub(crate) segment_bytes: u64,
    /// Payload bytes of one frame at most, by the size of segments.
    pub(crate) payload_bytes_max: usize,
    pub(crate) bugs: Bugs,
    pub(crate) writer: Mutex<Writer>,
    /// Where threads sleep for rounds of syncing; see `gate_of`.
    pub(crate) gates: [Gate; GATES],
    /// How they spare themselves that.
    pub(crate) yields: Yields,
    /// Where threads wait for the queue to be written.
    pub(crate) roles: Condvar,
    pub(crate) published: Published,
    pub(crate) spares: Arc<Spares>,
    pub(crate) slots: Mutex<DurableSlots>,
    /// The shortest interval that a level has asked for, in nanoseconds; the maximum for none.
    pub(crate) interval_ns: AtomicU64,
    /// What normalization needs to know and to hold.
    pub(crate) upkeep: Upkeep,
    /// Held while the journal is truncated, and while normalization switches the manifest.
    pub(crate) truncating: Mutex<()>,
    /// Wakes the background thread, if there is one.
    pub(crate) watch: Mutex<Option<crossbeam_channel::Sender<Wake>>>,
    pub(crate) pins: Pins,
}

impl Shared {
    pub(crate) fn lock(&self) -> Guard<'_> {
        // A panic inside the lock is a defect of ours; `fail` has poisoned the journal by then.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interval at which the background thread syncs.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let nanoseconds = self.interval_ns.load(Ordering::Relaxed);
        (nanoseconds != u64::MAX).then(|| Duration::from_nanos(nanoseconds))
    }

    /// Takes in the interval of a level.
    pub(crate) fn use_level(&self, level: Level) {
        if let Level::Interval(interval) = level {
            let nanoseconds = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX - 1);
            self.interval_ns.fetch_min(nanoseconds, Ordering::Relaxed);
        }
    }

    /// INV-27: stops the journal for good; the first cause counts. Wakes everybody.
    pub(crate) fn fail(&self, writer: &mut Writer, cause: IoError) -> Poisoned {
        let poison = writer.poison.get_or_insert_with(|| Poisoned::new(cause)).clone();
        self.published.poisoned.store(true, Ordering::Release);
        self.wake_all(writer);
        poison
    }

    /// Wakes everybody, to look again.
    pub(crate) fn wake_all(&self, writer: &mut Writer) {
        self.published.alarms.fetch_add(1, Ordering::AcqRel);
        Self::wake_tails(writer);
        for gate in &self.gates {
            gate.wake_all();
        }
        self.roles.notify_all();
    }

    /// Publishes how far the writer has come, and wakes whoever sleeps until there is more to read.
    #[inline]
    pub(crate) fn publish(&self, writer: &mut Writer) {
        self.published.update(writer);
        if !writer.tails.is_empty() {
            Self::wake_tails(writer);
        }
    }

    fn wake_tails(writer: &mut Writer) {
        for tail in writer.tails.drain(..) {
            tail.unpark();
        }
    }

    /// Says that nothing more will be appended.
    pub(crate) fn end(&self) {
        let mut writer = self.lock();
        self.published.ended.store(true, Ordering::Release);
        Self::wake_tails(&mut writer);
    }

    /// Refuses what would change a journal that has failed.
    pub(crate) fn writable(writer: &Writer) -> Result<(), Poisoned> {
        writer.poison.clone().map_or(Ok(()), Err)
    }
}
