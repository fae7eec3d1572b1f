//! The journal's normalization, in the background and on request.

use std::sync::{Arc, PoisonError};

use steadfast_journal::{Journal, Maintenance, NormalizeError};
use steadfast_snapshotter::{Policy, Upkeep};

pub use steadfast_journal::{Kept, Normalized};
pub use steadfast_snapshotter::{SegmentKept, Status as JournalStatus};

use crate::error::{Error, Result};
use crate::primitives::thread::{self, JoinHandle};
use crate::primitives::{Mutex, MutexGuard};

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
            let thread = thread::Builder::new().name("normalizer".to_owned());
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

/// Run by `cargo xtask ci shuttle`.
#[cfg(all(test, shuttle))]
mod interleavings {
    use std::ops::ControlFlow;

    use steadfast_journal::testing::SimDisk;
    use steadfast_journal::{Batch, End, Level, Options};
    use steadfast_snapshotter::{Image, fold_journal};
    use steadfast_wm::codec::v1;
    use steadfast_wm::{
        CommitSeq, Counters, FactHandle, Record, RulesetManifest, SafePoint, Seq, TypeTag,
    };

    use super::*;

    fn open(disk: &SimDisk) -> Journal {
        let options = Options::new().storage(Arc::new(disk.clone())).segment_bytes(64 << 10);
        let options = options.level(Level::Process).without_background();
        Journal::open("/session", options).expect("it opens").0
    }

    fn image(journal: &Journal) -> Image {
        let folded = fold_journal(journal, |_, _| ControlFlow::Continue(()));
        folded.expect("a journal that folds").image
    }

    /// A commit: one fact, inserted by the first and updated by each later one.
    fn commit(journal: &Journal, number: u64) {
        let mut batch = Batch::new();
        let mut put = |record: &Record<'_>| {
            batch.push_with(|bytes| v1::encode(record, bytes)).expect("a small record");
        };
        let (handle, seq) = (FactHandle::new(1), Seq::new(1 + number));
        let (kind, version, origin) = (TypeTag::new(0), 1, None);
        let bytes = &vec![u8::try_from(number).expect("few"); 15_000];
        if number == 1 {
            put(&Record::Ruleset { seq: Seq::new(1), manifest: RulesetManifest::default() });
            put(&Record::Type { tag: kind, name: "Fact" });
            let (stated, clock) = (true, 0);
            put(&Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock });
        } else {
            put(&Record::Update { handle, version, bytes, mask: 1, seq, origin });
        }
        put(&Record::Evaluated);
        let (commit, point) = (CommitSeq::new(number), SafePoint::Evaluated);
        let counters = Counters { next_handle: 2, next_seq: 2 + number, ..Counters::default() };
        put(&Record::Commit { commit, point, counters });
        journal.append(&batch, End::SafePoint).expect("there is room");
    }

    /// A session's thread works, asks and normalizes while the upkeep's does; then the journal is closed
    /// under it, wherever it is.
    fn life() {
        let disk = SimDisk::new(1);
        let journal = open(&disk);
        let busy = Normalization::default().dead_percent(1).bytes_per_second(None);
        let housekeeping = Housekeeping::start(&journal, busy);
        for number in 1..=14 {
            commit(&journal, number);
            if number == 9 {
                assert_eq!(housekeeping.status().expect("open").last_error, None);
            }
            if number == 12 {
                housekeeping.normalize_all().expect("open");
                assert!(housekeeping.status().expect("open").normalizations > 0);
            }
        }
        drop(journal);
        drop(housekeeping);
        // Whatever it was at is done or undone.
        let twin = open(&SimDisk::new(2));
        (1..=14).for_each(|number| commit(&twin, number));
        assert_eq!(image(&open(&disk)), image(&twin));
    }

    #[test]
    fn the_thread_normalizes_beside_a_session_and_ends_with_its_journal() {
        let runs = if std::env::var_os("STEADFAST_SOAK").is_some() { 5_000 } else { 50 };
        shuttle::check_random(life, runs);
        shuttle::check_pct(life, runs, 3);
    }
}
