//! Group commit under a scheduler that tries interleavings: no lost wake-up (the scheduler finds
//! threads that wait for ever), and no acknowledgement before the sync.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p steadfast-journal --test it interleavings::`; then every lock
//! of the journal belongs to the scheduler, so no other test can run. `cargo xtask ci shuttle` does it.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use steadfast_journal::testing::{Fixed, Planted, Seeded, SimDisk};
use steadfast_journal::{
    AppendError, CommitError, End, From, Journal, Level, Options, ReadError, WaitError, WriteMode,
};

use crate::common::{batch, payloads, read_all, small};

/// Interleavings of each scenario.
fn runs(few: usize) -> usize {
    if std::env::var_os("STEADFAST_SOAK").is_some() { few * 100 } else { few }
}

fn options(disk: &SimDisk, mode: WriteMode) -> Options {
    small().write_mode(mode).storage(Arc::new(disk.clone())).without_background()
}

fn open(disk: &SimDisk, mode: WriteMode, planted: Option<Planted>) -> Arc<Journal> {
    let options = options(disk, mode);
    let options = match planted {
        Some(bug) => options.planted(bug),
        None => options,
    };
    Arc::new(Journal::open("/journal", options).expect("new").0)
}

/// Three threads commit; at each acknowledgement the power goes, and the group must be there.
fn commits_survive(mode: WriteMode, planted: Option<Planted>, payload_bytes: usize) {
    let disk = SimDisk::new(1);
    let journal = open(&disk, mode, planted);
    let threads: Vec<_> = (0..3_u8)
        .map(|number| {
            let (journal, disk) = (Arc::clone(&journal), disk.clone());
            thread::spawn(move || {
                let level = [Level::Batch, Level::Paranoid, Level::Batch][usize::from(number)];
                let payload = vec![number; payload_bytes];
                let mut after = Vec::new();
                for _ in 0..2 {
                    journal.commit(&batch([&payload[..]]), level).expect("acknowledged");
                    after.push(disk.fork());
                }
                after
            })
        })
        .collect();
    for (number, thread) in (0..3).zip(threads) {
        let after = thread.join().expect("no panic");
        for (count, disk) in (1..).zip(after) {
            let disk = disk.power_cut(&mut Fixed::Nothing);
            let journal = Journal::open("/journal", options(&disk, mode)).expect("sound").0;
            let found = payloads(&read_all(&journal));
            let own = found.iter().filter(|payload| payload[0] == number).count();
            assert!(own >= count, "thread {number}: acknowledged {count}, found {own}");
        }
    }
}

#[test]
fn nothing_is_acknowledged_before_its_sync() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        shuttle::check_random(move || commits_survive(mode, None, 40), runs(150));
        shuttle::check_pct(move || commits_survive(mode, None, 40), runs(150), 3);
        // Every second group needs a new segment.
        shuttle::check_random(move || commits_survive(mode, None, 30_000), runs(60));
    }
    let lying = Some(Planted::AcknowledgeEarly);
    let found = catch_unwind(|| {
        shuttle::check_random(move || commits_survive(WriteMode::Map, lying, 40), runs(150));
    });
    assert!(found.is_err(), "the planted bug is found");
}

/// A sync fails while several wait: each is told, and nobody waits on.
#[test]
fn a_failed_sync_leaves_nobody_waiting() {
    let scenario = |seed: u64| {
        let mut random = Seeded::new(seed);
        let disk = SimDisk::new(seed);
        let mode = if random.below(2) == 0 { WriteMode::Map } else { WriteMode::Pwrite };
        let journal = open(&disk, mode, None);
        disk.break_at(random.below(4));
        let threads: Vec<_> = (0..3_u8)
            .map(|number| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    let level = if number == 0 { Level::Process } else { Level::Batch };
                    match journal.commit(&batch([&[number][..]]), level) {
                        Ok(_)
                        | Err(CommitError::Wait(WaitError::Poisoned(_)))
                        | Err(CommitError::Append(AppendError::Poisoned(_))) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    };
    for seed in 0..8 {
        shuttle::check_random(move || scenario(seed), runs(60));
    }
}

/// A tail waits, others append and close: it sees every group once and is told of the end.
#[test]
fn a_tail_misses_no_wake_up() {
    let scenario = |mode| {
        let disk = SimDisk::new(2);
        let journal = open(&disk, mode, None);
        let mut tail = journal.tail(From::Start).expect("readable");
        let reader = thread::spawn(move || {
            let mut seen = 0;
            loop {
                match tail.next_group(Duration::MAX) {
                    Ok(group) => seen += group.expect("it waits for ever").record_count(),
                    Err(ReadError::Ended) => return seen,
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let writers: Vec<_> = (0..2_u8)
            .map(|number| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    for _ in 0..2 {
                        journal.append(&batch([&[number][..]]), End::SafePoint).expect("room");
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
        drop(journal);
        assert_eq!(reader.join().expect("no panic"), 4);
    };
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        shuttle::check_random(move || scenario(mode), runs(200));
        shuttle::check_pct(move || scenario(mode), runs(100), 3);
    }
}

/// One thread rolls and truncates while others commit.
#[test]
fn rolls_and_truncations_lose_no_wake_up() {
    let scenario = |mode| {
        let disk = SimDisk::new(4);
        let journal = open(&disk, mode, None);
        let kept = journal.commit(&batch([&b"kept"[..]]), Level::Batch).expect("acknowledged");
        let committers: Vec<_> = (0..2_u8)
            .map(|number| {
                let journal = Arc::clone(&journal);
                thread::spawn(move || {
                    let level = [Level::Batch, Level::Process][usize::from(number)];
                    drop(journal.commit(&batch([&[number][..]]), level));
                })
            })
            .collect();
        journal.roll().expect("room");
        drop(journal.truncate(kept.position));
        committers.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let positions = journal.positions();
        assert!(positions.durable <= positions.appended, "{positions:?}");
    };
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        shuttle::check_random(move || scenario(mode), runs(150));
    }
}
