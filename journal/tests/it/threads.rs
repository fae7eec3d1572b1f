//! Many threads on one journal: order, acknowledgements, hand-over, and a leader that panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use steadfast_journal::testing::{Chooser, Fixed, Seeded, SimDisk};
use steadfast_journal::{
    Batch, End, From, Journal, Level, Options, Position, WaitError, WriteMode,
};

use crate::common::{append, open, payloads, read_all, small};
use crate::hooked::{Hooked, Moment};

const MODES: [WriteMode; 2] = [WriteMode::Map, WriteMode::Pwrite];

/// Appends groups of random sizes from one thread, waiting now and then; returns how many groups
/// were acknowledged against a power cut.
fn write(journal: &Journal, thread: u64, groups: u64) -> u64 {
    let mut random = Seeded::new(thread);
    let mut batch = Batch::new();
    let mut acknowledged = 0;
    for group in 0..groups {
        batch.clear();
        for record in 0..=random.below(5) {
            let mut payload = Vec::new();
            for number in [thread, group, record] {
                payload.extend_from_slice(&number.to_le_bytes());
            }
            payload.resize(24 + random.choose(300), 0);
            batch.push(1, 1, &payload).expect("short");
        }
        let appended = journal.append(&batch, End::SafePoint).expect("room");
        let level = match random.below(12) {
            0 => Level::Paranoid,
            1..4 => Level::Batch,
            4..7 => Level::Process,
            _ => continue,
        };
        journal.wait(appended.position, level).expect("acknowledged");
        if level != Level::Process {
            acknowledged = group + 1;
        }
    }
    acknowledged
}

/// How many groups of each thread there are; each thread's must be whole and in order.
fn count(journal: &Journal, threads: usize) -> Vec<u64> {
    let mut next = vec![0; threads];
    let mut reader = journal.read(From::Start).expect("readable");
    while let Some(group) = reader.next_group().expect("sound") {
        let mut of = None;
        for (index, record) in group.records().enumerate() {
            let word = |at: usize| {
                record.payload()[at..at + 8].try_into().map(u64::from_le_bytes).expect("8 bytes")
            };
            let (thread, number) = (word(0), word(8));
            let thread_index = usize::try_from(thread).expect("small");
            assert_eq!((number, word(16)), (next[thread_index], index as u64));
            assert_eq!(*of.get_or_insert(thread), thread);
        }
        next[usize::try_from(of.expect("a record")).expect("small")] += 1;
    }
    next
}

#[test]
fn sixty_four_threads_keep_their_order_and_their_acknowledgements() {
    for mode in MODES {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = || Options::new().segment_bytes(256 << 10).write_mode(mode);
        let journal = open(dir.path(), options());
        let threads = 64;
        let done = AtomicBool::new(false);
        let acknowledged: Vec<u64> = std::thread::scope(|scope| {
            let tail = scope.spawn(|| {
                // A reader that follows sees every group once, in order, and none half.
                let mut reader = journal.read(From::Start).expect("readable");
                let (mut last, mut seen) = (0, 0_u64);
                loop {
                    let finished = done.load(Ordering::Acquire);
                    while let Some(group) = reader.next_group().expect("sound") {
                        assert!(group.lsn().get() > last);
                        last = group.lsn().get();
                        seen += 1;
                    }
                    if finished {
                        return seen;
                    }
                    std::thread::yield_now();
                }
            });
            let journal = &journal;
            let start = |thread| scope.spawn(move || write(journal, thread, 60));
            let writers: Vec<_> = (0..threads).map(start).collect();
            let acknowledged = writers.into_iter().map(|writer| writer.join().expect("no panic"));
            let acknowledged: Vec<u64> = acknowledged.collect();
            journal.wait_durable(journal.positions().appended).expect("durable");
            done.store(true, Ordering::Release);
            assert_eq!(tail.join().expect("no panic"), threads * 60);
            acknowledged
        });
        journal.close().expect("closes");
        let journal = open(dir.path(), options());
        let counted = count(&journal, 64);
        assert!(counted.iter().all(|count| *count == 60), "{counted:?}");
        assert!(acknowledged.iter().zip(&counted).all(|(a, c)| a <= c));
    }
}

#[test]
fn acknowledged_groups_of_many_threads_survive_a_power_cut() {
    for seed in 0..12 {
        for mode in MODES {
            let disk = SimDisk::new(seed);
            let options = |disk: &SimDisk| {
                small().write_mode(mode).storage(Arc::new(disk.clone())).without_background()
            };
            let journal = Journal::open("/journal", options(&disk)).expect("new").0;
            let acknowledged: Vec<AtomicU64> = (0..6).map(|_| AtomicU64::new(0)).collect();
            std::thread::scope(|scope| {
                for (thread, acknowledged) in (0..).zip(&acknowledged) {
                    let journal = &journal;
                    scope.spawn(move || {
                        let done = write(journal, thread + seed * 6, 25);
                        acknowledged.store(done, Ordering::Release);
                    });
                }
            });
            let disk = disk.power_cut(&mut Seeded::new(seed));
            drop(journal);
            let journal = Journal::open("/journal", options(&disk)).expect("sound").0;
            let first = usize::try_from(seed * 6).expect("small");
            let counted = count(&journal, first + 6);
            for (thread, acknowledged) in acknowledged.iter().enumerate() {
                assert!(counted[first + thread] >= acknowledged.load(Ordering::Acquire));
            }
        }
    }
}

/// INV-28, INV-29: readers keep what they have mapped and meet no byte that is being written.
#[test]
fn readers_meet_rolls_and_truncations() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let kept = append(&journal, b"kept");
    let mut before = journal.read(From::Start).expect("readable");
    append(&journal, b"dropped");
    let mut behind = journal.read(From::Start).expect("readable");
    while behind.next_group().expect("sound").is_some() {}
    let truncated = journal.truncate(kept.position).expect("a safe point ends there");
    assert_eq!(truncated.quarantined.len(), 1);
    assert!(truncated.next > kept.position);
    append(&journal, b"next");
    // One that stood before the cut goes on; one that had read what is gone is told.
    let mut seen = Vec::new();
    while let Some(group) = before.next_group().expect("sound") {
        seen.extend(group.records().map(|record| record.payload().to_vec()));
    }
    assert_eq!(seen, [&b"kept"[..], b"next"]);
    let gone = behind.next_group();
    assert!(gone.is_err(), "{gone:?}");
    drop(journal);
    let journal = open(dir.path(), small());
    assert_eq!(payloads(&read_all(&journal)), [&b"kept"[..], b"next"]);
}

#[test]
fn truncation_takes_only_the_end_of_a_safe_point() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let first = append(&journal, b"first");
    let batch = crate::common::batch([&b"open"[..]]);
    let open_root = journal.append(&batch, End::Batch).expect("room");
    let last = append(&journal, b"last");
    for refused in [8, 24, open_root.position.get(), last.position.get() + 8] {
        assert!(journal.truncate(Position::new(refused)).is_err(), "{refused}");
    }
    let none = journal.truncate(last.position).expect("nothing to drop");
    assert_eq!((none.next, none.quarantined.len()), (last.position, 0));
    journal.truncate(first.position).expect("a safe point ends there");
    journal.truncate(Position::START).expect("the begin is one");
    assert!(read_all(&journal).is_empty());
    append(&journal, b"again");
    drop(journal);
    assert_eq!(payloads(&read_all(&open(dir.path(), small()))), [b"again"]);
}

/// A journal whose storage calls back.
fn hooked(mode: WriteMode) -> (Arc<Journal>, Hooked, SimDisk) {
    let disk = SimDisk::new(1);
    let storage = Hooked::new(Arc::new(disk.clone()));
    let options = small().write_mode(mode).storage(Arc::new(storage.clone())).without_background();
    let journal = Journal::open("/journal", options).expect("a new journal").0;
    (Arc::new(journal), storage, disk)
}

#[test]
fn what_is_appended_during_a_sync_is_not_durable_after_it() {
    for mode in MODES {
        for moment in [Moment::BeforeSync, Moment::AfterSync] {
            let (journal, storage, disk) = hooked(mode);
            let first = append(&journal, b"first");
            let (during, seen) = (Arc::clone(&journal), Arc::new(AtomicU64::new(0)));
            let noted = Arc::clone(&seen);
            storage.arm(moment, move || {
                // Nothing is acknowledged while the sync is on its way.
                assert_eq!(during.positions().durable, Position::START);
                noted.store(append(&during, b"during").position.get(), Ordering::Release);
            });
            journal.wait_durable(first.position).expect("durable");
            let during = Position::new(seen.load(Ordering::Acquire));
            assert!(journal.positions().durable < during, "{:?}", journal.positions());
            assert_eq!(journal.positions().durable, first.position);
            let cut = disk.power_cut(&mut Fixed::Nothing);
            let options = small().write_mode(mode).storage(Arc::new(cut)).without_background();
            let after = Journal::open("/journal", options).expect("sound").0;
            assert_eq!(payloads(&read_all(&after))[0], b"first");
            journal.wait_durable(during).expect("durable");
            assert_eq!(journal.positions().durable, during);
        }
    }
}

#[test]
fn nobody_is_told_that_a_group_is_stored_while_it_is_being_written() {
    let (journal, storage, _) = hooked(WriteMode::Pwrite);
    let first = append(&journal, b"first");
    let written = Arc::new(AtomicBool::new(false));
    let (second, done) = (Arc::clone(&journal), Arc::clone(&written));
    let (sender, waiter) = crossbeam_channel::bounded(1);
    storage.arm(Moment::BeforeWrite, move || {
        let done = Arc::clone(&done);
        let told_in_time = Arc::clone(&done);
        let waiting = std::thread::spawn(move || {
            second.wait(first.position, Level::Process).expect("stored");
            told_in_time.load(Ordering::Acquire)
        });
        // Time enough for a wait that does not wait.
        for _ in 0..1000 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Release);
        sender.send(waiting).expect("the test waits for it");
    });
    journal.wait(first.position, Level::Process).expect("stored");
    let waiting = waiter.recv().expect("the hook was called");
    assert!(waiting.join().expect("no panic"), "told before the write");
}

#[test]
fn a_writer_that_panics_leaves_nobody_waiting() {
    let (journal, storage, _) = hooked(WriteMode::Pwrite);
    let first = append(&journal, b"first");
    storage.arm(Moment::BeforeWrite, || panic!("a panic on purpose"));
    let writer = Arc::clone(&journal);
    let writer = std::thread::spawn(move || writer.wait(first.position, Level::Process));
    assert!(writer.join().is_err());
    for level in [Level::Process, Level::Batch] {
        let refused = journal.wait(first.position, level);
        assert!(matches!(refused, Err(WaitError::Poisoned(_))), "{refused:?}");
    }
}

#[test]
fn a_leader_that_panics_leaves_nobody_waiting() {
    for (mode, moment) in [
        (WriteMode::Map, Moment::BeforeSync),
        (WriteMode::Pwrite, Moment::BeforeWrite),
        (WriteMode::Pwrite, Moment::AfterSync),
    ] {
        let (journal, storage, _) = hooked(mode);
        let appended: Vec<_> = (0..8_u8).map(|n| append(&journal, &[n])).collect();
        storage.arm(moment, || panic!("a panic on purpose"));
        let results: Vec<_> = std::thread::scope(|scope| {
            let wait = |position| {
                let journal = &journal;
                scope.spawn(move || journal.wait_durable(position))
            };
            let waiters: Vec<_> = appended.iter().map(|place| wait(place.position)).collect();
            waiters.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        assert!(!storage.is_armed());
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1, "one led");
        for result in results.into_iter().flatten() {
            assert!(matches!(result, Err(WaitError::Poisoned(_))), "{result:?}");
        }
    }
}
