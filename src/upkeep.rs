//! The journal's normalization, in the background and on request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use steadfast_journal::{Journal, Maintenance, NormalizeError};
use steadfast_snapshotter::{Policy, Upkeep};

pub use steadfast_journal::{Kept, Normalized};
pub use steadfast_snapshotter::{SegmentKept, Status as JournalStatus};

use crate::error::{Error, Result};

/// When a session's journal is normalized in the background.
///
/// On unless told otherwise: a range of the journal is replaced by its normal form when a third of it
/// may be dead, at 64 MiB per second at most. What the session does is not changed by it: the same
/// firings, the same handles, the same state after every opening.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Normalization {
    policy: Policy,
    background: bool,
}

impl Default for Normalization {
    fn default() -> Self {
        Self { policy: Policy::default(), background: true }
    }
}

impl Normalization {
    /// Nothing happens by itself; [`Session::normalize`](crate::Session::normalize) is there still.
    #[must_use]
    pub fn off() -> Self {
        Self { background: false, ..Self::default() }
    }

    /// How much of a range must be dead, in percent from 1 to 99. Lower shares keep less on disk and
    /// write more: with 33, what is on disk stays below one and a half times what lives, and a few
    /// segments.
    #[must_use]
    pub fn dead_percent(mut self, percent: u8) -> Self {
        self.policy.dead_percent = percent.clamp(1, 99);
        self
    }

    /// Bytes that the background reads and writes per second at most; `None` for as fast as it goes.
    /// A bounded journal comes first: when it holds more than twice what it should, there is no limit
    /// until it is small again.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: Option<u64>) -> Self {
        self.policy.bytes_per_second = bytes;
        self
    }
}

/// The upkeep of one session's journal. The thread, if there is one, ends once the journal is
/// closed; the value is dropped after the journal.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    upkeep: Arc<Mutex<Upkeep>>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeping {
    pub(crate) fn start(journal: &Journal, normalization: Normalization) -> Self {
        let maintenance = journal.maintenance();
        let upkeep = Upkeep::new(maintenance.clone(), normalization.policy);
        let upkeep = Arc::new(Mutex::new(upkeep));
        let mut housekeeping = Self { upkeep: Arc::clone(&upkeep), thread: None };
        if normalization.background {
            let thread = std::thread::Builder::new().name("normalizer".to_owned());
            match thread.spawn(move || run(&maintenance, &upkeep)) {
                Ok(thread) => housekeeping.thread = Some(thread),
                // The session works without; the status tells.
                Err(error) => housekeeping.lock().fail(&error),
            }
        }
        housekeeping
    }

    fn lock(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn normalize_all(&self) -> Result<Option<Normalized>> {
        self.lock().normalize_all().map_err(error_of)
    }

    pub(crate) fn status(&self) -> Result<JournalStatus> {
        self.lock().status().map_err(error_of)
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Whatever it was at is undone or done; a panic in it changed nothing.
            drop(thread.join());
        }
    }
}

fn error_of(error: NormalizeError) -> Error {
    match error {
        NormalizeError::Full { needed } => Error::Full { needed },
        error => Error::Normalize(error),
    }
}

/// Normalizes what there is, and then whenever a segment was sealed, until the journal is closed.
fn run(maintenance: &Maintenance, upkeep: &Mutex<Upkeep>) {
    let mut sealed = Some(0);
    while let Some(seen) = sealed {
        let step = || upkeep.lock().unwrap_or_else(PoisonError::into_inner).step();
        // An error is in the status; the next sealed segment is the next attempt.
        while let Ok(Some(_)) = step() {}
        sealed = maintenance.wait_sealed(seen);
    }
}
