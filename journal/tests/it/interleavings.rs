//! Group commit under a scheduler that tries interleavings: no lost wake-up (the scheduler finds
//! threads that wait for ever), and no acknowledgement before the sync.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p steadfast-journal --test it interleavings::`; then every lock
//! of the journal belongs to the scheduler, so no other test can run. `cargo xtask ci shuttle` does it.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use steadfast_journal::testing::{Fault, Fixed, Planted, Seeded, SimDisk};
use steadfast_journal::{
    AppendError, CommitError, End, From, Journal, Level, Maintenance, NormalizeError, Options,
    ReadError, WaitError, WriteMode,
};

use crate::common::{batch, payloads, read_all, small};
use crate::keyed::{Keyed, Values, fold};

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

/// One sync fails while others are in flight: what is acknowledged all the same survives a power cut.
fn acknowledged_despite_a_failure(seed: u64, planted: Option<Planted>) {
    let mut random = Seeded::new(seed);
    let disk = SimDisk::new(seed);
    let journal = open(&disk, WriteMode::Pwrite, planted);
    disk.fail_call(3 + random.below(12), Fault::Io);
    let threads: Vec<_> = (0..5_u8)
        .map(|number| {
            let (journal, disk) = (Arc::clone(&journal), disk.clone());
            thread::spawn(move || {
                let mut after = Vec::new();
                while after.len() < 3
                    && journal.commit(&batch([&[number][..]]), Level::Batch).is_ok()
                {
                    after.push(disk.fork());
                }
                after
            })
        })
        .collect();
    for (number, thread) in (0..5).zip(threads) {
        for (count, disk) in (1..).zip(thread.join().expect("no panic")) {
            let disk = disk.power_cut(&mut Fixed::Nothing);
            disk.heal();
            let options = options(&disk, WriteMode::Pwrite);
            let journal = Journal::open("/journal", options).expect("sound").0;
            let found = payloads(&read_all(&journal));
            let own = found.iter().filter(|payload| payload[0] == number).count();
            assert!(own >= count, "thread {number}: acknowledged {count}, found {own}");
        }
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing_that_is_lost() {
    for seed in 0..12 {
        shuttle::check_random(move || acknowledged_despite_a_failure(seed, None), runs(40));
    }
    let sharing = Some(Planted::ShareSyncHandle);
    let found = catch_unwind(|| {
        for seed in 0..100 {
            shuttle::check_random(move || acknowledged_despite_a_failure(seed, sharing), 100);
        }
    });
    assert!(found.is_err(), "the planted bug is found");
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

/// What a reader sees, if its place is not normalized or cut off meanwhile.
fn values_if_there(journal: &Journal) -> Option<Values> {
    let mut values = Values::new();
    let mut reader = journal.read(From::Start).expect("readable");
    loop {
        match reader.next_group() {
            Ok(Some(group)) => fold(&mut values, &group),
            Ok(None) => return Some(values),
            Err(ReadError::Gone { .. }) => return None,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn values(journal: &Journal) -> Values {
    loop {
        if let Some(values) = values_if_there(journal) {
            return values;
        }
    }
}

/// Normalizes whenever a segment was sealed, as whoever does that in the background, until the
/// journal is closed; how often something was done.
fn normalize_until_the_end(maintenance: &Maintenance) -> usize {
    let (mut seen, mut done) = (0, 0);
    while let Some(sealed) = maintenance.wait_sealed(seen) {
        seen = sealed;
        let Ok(segments) = maintenance.segments() else { break };
        let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
        if ready == 0 {
            continue;
        }
        let range = segments[0].begin..segments[ready].begin;
        match maintenance.normalize(range, &mut Keyed::default(), None) {
            Ok(_) => done += 1,
            Err(
                NormalizeError::Kept(_)
                | NormalizeError::Overtaken
                | NormalizeError::NoSuchRange { .. }
                | NormalizeError::Closed,
            ) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    done
}

/// Normalization beside appends, rolls, a pinned tail and the close: no lost wake-up, no value lost,
/// the tail sees every group once.
#[test]
fn normalization_beside_everything_loses_no_value_and_no_wake_up() {
    let scenario = |mode| {
        let disk = SimDisk::new(5);
        let journal = open(&disk, mode, None);
        let normalizers: Vec<_> = (0..2)
            .map(|_| {
                let maintenance = journal.maintenance();
                thread::spawn(move || normalize_until_the_end(&maintenance))
            })
            .collect();
        let mut tail = journal.tail(From::Start).expect("readable");
        let reader = thread::spawn(move || {
            let mut seen = 0;
            while seen < 6 {
                let group = tail.next_group(Duration::MAX).expect("sound");
                seen += group.expect("it waits for ever").record_count();
            }
        });
        let mut expected = Values::new();
        for round in 0..3_u8 {
            for key in 0..2_u8 {
                journal.commit(&batch([&[key, round][..]]), Level::Batch).expect("acknowledged");
                expected.insert(key, vec![round]);
            }
            journal.roll().expect("room");
        }
        reader.join().expect("no panic");
        assert_eq!(values(&journal), expected);
        let maintenance = journal.maintenance();
        drop(journal);
        normalizers.into_iter().for_each(|thread| drop(thread.join().expect("no panic")));
        assert!(maintenance.segments().is_err(), "closed, and nobody normalizes any more");
        let journal = open(&disk.kill(), mode, None);
        assert_eq!(values(&journal), expected);
    };
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        shuttle::check_random(move || scenario(mode), runs(60));
        shuttle::check_pct(move || scenario(mode), runs(60), 3);
    }
}

/// A reader without a pin and a truncation beside normalization: told, or everything is seen.
#[test]
fn a_reader_that_is_overtaken_by_normalization_or_a_cut_is_told() {
    let scenario = |mode| {
        let disk = SimDisk::new(6);
        let journal = open(&disk, mode, None);
        let put = |key: u8, round: u8| {
            journal.commit(&batch([&[key, round][..]]), Level::Batch).expect("acknowledged")
        };
        put(0, 0);
        put(1, 0);
        journal.roll().expect("room");
        let kept = put(0, 1);
        let maintenance = journal.maintenance();
        let normalizer = thread::spawn(move || normalize_until_the_end(&maintenance));
        let other = Arc::clone(&journal);
        let reader = thread::spawn(move || values_if_there(&other));
        put(2, 0);
        drop(journal.truncate(kept.position));
        journal.roll().expect("room");
        if let Some(seen) = reader.join().expect("no panic") {
            assert_eq!((&seen[&0][..], &seen[&1][..]), (&[1][..], &[0][..]));
        }
        let expected = values(&journal);
        assert_eq!((&expected[&0][..], &expected[&1][..]), (&[1][..], &[0][..]));
        drop(journal);
        drop(normalizer.join().expect("no panic"));
    };
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        shuttle::check_random(move || scenario(mode), runs(100));
        shuttle::check_pct(move || scenario(mode), runs(60), 3);
    }
}
