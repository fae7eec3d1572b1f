//! Bounded growth: what is on disk depends on what lives, not on what has happened.

use std::sync::Arc;

use steadfast_journal::{Batch, End, Journal, Kept, Options};
use steadfast_snapshotter::{Image, Policy, SegmentKept, Upkeep, fold_journal};
use steadfast_wm::codec::v1;
use steadfast_wm::{
    CommitSeq, Counters, FactHandle, Record, RulesetManifest, SafePoint, Seq, TypeTag,
};

use crate::watched::Watched;

const LIVE: u64 = 1_000;
const SEGMENT: u64 = 64 << 10;

/// Insertions with deletions, and updates, over so many facts that stay.
struct Churn {
    batch: Batch,
    seq: u64,
    next_handle: u64,
    commit: u64,
}

impl Churn {
    fn begin(journal: &Journal) -> Self {
        let mut churn = Self { batch: Batch::new(), seq: 1, next_handle: 1, commit: 0 };
        churn.put(&Record::Ruleset { seq: Seq::new(1), manifest: RulesetManifest::default() });
        churn.put(&Record::Type { tag: TypeTag::new(0), name: "Fact" });
        for _ in 0..LIVE {
            churn.insert();
        }
        churn.commit(journal);
        churn
    }

    fn put(&mut self, record: &Record<'_>) {
        self.batch.push_with(|bytes| v1::encode(record, bytes)).expect("a small record");
    }

    fn value(&self) -> [u8; 100] {
        let mut value = [0x5a; 100];
        value[..8].copy_from_slice(&self.seq.to_le_bytes());
        value
    }

    fn insert(&mut self) -> FactHandle {
        self.seq += 1;
        let (handle, seq) = (FactHandle::new(self.next_handle), Seq::new(self.seq));
        self.next_handle += 1;
        let (kind, bytes) = (TypeTag::new(0), &self.value());
        let (version, origin, stated, clock) = (1, None, true, 0);
        self.put(&Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock });
        handle
    }

    /// One pair: a fact that comes and goes, or two updates of one that stays.
    fn pair(&mut self, number: u64) {
        if number.is_multiple_of(2) {
            let handle = self.insert();
            self.put(&Record::Evaluated);
            self.seq += 1;
            let seq = Seq::new(self.seq);
            self.put(&Record::Delete { handle, seq, origin: None, cascade: false });
        } else {
            for _ in 0..2 {
                self.seq += 1;
                let (handle, seq) = (FactHandle::new(1 + number * 7 % LIVE), Seq::new(self.seq));
                let (version, bytes, mask, origin) = (1, &self.value(), 1, None);
                self.put(&Record::Update { handle, version, bytes, mask, seq, origin });
            }
        }
    }

    fn commit(&mut self, journal: &Journal) {
        self.put(&Record::Evaluated);
        self.commit += 1;
        let (commit, point) = (CommitSeq::new(self.commit), SafePoint::Evaluated);
        let (next_handle, next_seq) = (self.next_handle, self.seq + 1);
        let counters = Counters { next_handle, next_seq, ..Counters::default() };
        self.put(&Record::Commit { commit, point, counters });
        journal.append(&self.batch, End::SafePoint).expect("there is room");
        self.batch.clear();
    }
}

/// Of a history of insertions alone nothing can be dead: it is read once, as it is sealed, and stays. Once
/// enough is deleted, all of it is normalized.
#[test]
fn insertions_alone_are_read_once_until_something_takes_them_away() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let watched = Watched::new(dir.path());
    let level = steadfast_journal::Level::Process;
    let options = Options::new().segment_bytes(SEGMENT).level(level);
    let (journal, _) =
        Journal::open(dir.path(), options.storage(Arc::new(watched.clone()))).expect("it opens");
    let mut policy = Policy::default();
    policy.bytes_per_second = None;
    let mut upkeep = Upkeep::new(journal.maintenance(), policy);
    let mut churn = Churn::begin(&journal);
    let read = watched.bytes_read();
    {
        for _ in 0..12_000 {
            churn.insert();
            if churn.seq.is_multiple_of(50) {
                churn.commit(&journal);
                assert_eq!(upkeep.step().expect("it tallies"), None);
            }
        }
    }
    let read = watched.bytes_read() - read;
    let written = journal.positions().appended.get();
    assert!(written > 20 * SEGMENT, "{written} bytes");
    // Whoever reads a segment opens the one behind it as well.
    assert!(read < 3 * written, "{read} bytes are read of {written}");
    let status = upkeep.status().expect("open");
    let (active, sealed) = status.kept.split_last().expect("there are segments");
    assert_eq!((&active.reason, status.segments), (&Kept::Active, sealed.len() + 1));
    let live = |kept: &SegmentKept| match kept.reason {
        Kept::TooLive { live_percent } => live_percent,
        ref other => panic!("{other}"),
    };
    // Insertions of a commit could be one record.
    assert!(sealed.iter().all(|kept| live(kept) > 75), "{sealed:?}");
    assert!(status.dead_percent_max < 20, "{status:?}");

    for handle in 1..churn.next_handle {
        churn.seq += 1;
        let (handle, seq) = (FactHandle::new(handle), Seq::new(churn.seq));
        churn.put(&Record::Delete { handle, seq, origin: None, cascade: false });
        if churn.seq.is_multiple_of(50) {
            churn.commit(&journal);
            upkeep.step().expect("it normalizes");
        }
    }
    let status = upkeep.status().expect("open");
    assert!(status.normalizations > 0 && status.freed_bytes > written / 3, "{status:?}");
    assert_eq!(status.last_error, None);
}

fn image(journal: &Journal) -> (Image, u64) {
    let folded = fold_journal(journal, |_, _| std::ops::ControlFlow::Continue(()));
    let folded = folded.expect("a journal that folds");
    (folded.image, folded.records)
}

/// `STEADFAST_PAIRS`, or 10^8 in soak.
fn pairs() -> u64 {
    if let Ok(pairs) = std::env::var("STEADFAST_PAIRS") {
        return pairs.parse().expect("a number of pairs");
    }
    if std::env::var_os("STEADFAST_SOAK").is_some() { 100_000_000 } else { 60_000 }
}

/// Testing list 30, INV-74: whatever happens, the directory holds at most twice what lives, three
/// segments and the reserves, also in the middle of a normalization; and opening reads what is there,
/// not what has happened.
#[test]
fn the_journal_stays_within_twice_what_lives() {
    let pairs = pairs();
    let dir = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::TempDir::new());
    let dir = dir.expect("a temporary directory");
    let watched = Watched::new(dir.path());
    let options = || {
        let options =
            Options::new().segment_bytes(SEGMENT).level(steadfast_journal::Level::Process);
        options.storage(Arc::new(watched.clone()))
    };
    let (journal, _) = Journal::open(dir.path(), options()).expect("it opens");
    let mut churn = Churn::begin(&journal);
    // A rate would be slept for between the pairs here, and is not what is tested.
    let mut policy = Policy::default();
    policy.bytes_per_second = None;
    let mut upkeep = Upkeep::new(journal.maintenance(), policy);
    // What lives: the facts, with what a record has beside its value.
    let live = LIVE * (100 + 24);
    // Made ahead by the journal: the next segment, two reserves, and their manifests.
    let reserve = 3 * (SEGMENT + 8192);
    // The manifest, the one before and the one after it, and `DURABLE`.
    let fixed = 4 * 8192;
    let bound = 2 * live + 3 * SEGMENT + reserve + fixed;
    for number in 0..pairs {
        churn.pair(number);
        // Commits of one pair to seven.
        if number % 7 <= number / 7 % 7 {
            churn.commit(&journal);
        }
        if number.is_multiple_of(64) {
            while upkeep.step().expect("it normalizes").is_some() {}
            let most = watched.most_bytes();
            assert!(most <= bound, "{most} bytes at some moment of {number} pairs");
        }
    }
    churn.commit(&journal);
    let (written, most) = (journal.positions().appended.get(), watched.most_bytes());
    assert!(written > 10 * most, "there was much more to keep: {written} of {most}");
    let status = upkeep.status().expect("open");
    assert!(status.normalizations > 20 && status.freed_bytes > written / 2, "{status:?}");
    assert_eq!(status.last_error, None);
    assert!(matches!(status.kept.last().map(|kept| &kept.reason), Some(Kept::Active)));
    let (expected, _) = image(&journal);
    assert_eq!(expected.facts().len() as u64, LIVE);
    journal.close().expect("it closes");
    let (read, start) = (watched.bytes_read(), std::time::Instant::now());
    let (journal, _) = Journal::open(dir.path(), options()).expect("it opens");
    let (image, records) = image(&journal);
    let (read, took) = (watched.bytes_read() - read, start.elapsed());
    assert_eq!(image, expected);
    assert!(records < 4 * LIVE, "{records} records are read for {LIVE} facts");
    // Once to check it, once to fold it, and the open segment up to its end for both.
    assert!(read < 3 * bound, "{read} bytes are read of at most {bound}");
    println!("{pairs} pairs: {written} bytes written, at most {most} of {bound} kept");
    println!("restart: {records} records, {read} bytes, {} us", took.as_micros());
}
