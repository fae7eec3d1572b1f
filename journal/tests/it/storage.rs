//! Both storages keep the contract, and the background threads do their work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steadfast_journal::storage::{FileStorage, Storage as _};
use steadfast_journal::testing::{Fault, Fixed, SimDisk, check_storage};
use steadfast_journal::{
    AppendError, CloseError, CorruptReason, End, Found, From, Journal, Level, Options, ReadError,
    Reader, WriteMode,
};

use crate::common::{append, batch, open, payloads, read_all, small};
use crate::hooked::Hooked;
use crate::world::{DIR, Setup};

#[test]
fn files_keep_the_contract() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    check_storage(&FileStorage::new(), &dir.path().join("new/journal")).expect("the contract");
}

#[test]
fn the_simulated_disk_keeps_the_contract() {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("/")).expect("a root");
    check_storage(&disk, Path::new("/new")).expect("the contract");
}

#[test]
fn handles_may_be_shared_and_sent() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>() {}
    shared::<Journal>();
    sent::<Reader>();
}

#[test]
fn one_acknowledged_group_takes_one_sync() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        let setup = Setup::new(mode);
        let disk = SimDisk::new(1);
        let journal = setup.open(&disk).expect("a new journal");
        let before = disk.syncs();
        for _ in 0..100 {
            journal.commit(&batch([&b"x"[..]]), Level::Batch).expect("room");
        }
        assert_eq!(disk.syncs(), (before.0 + 100, before.1));
        // Many groups that wait together take one, groups at level `Process` none.
        for _ in 0..100 {
            journal.commit(&batch([&b"x"[..]]), Level::Process).expect("room");
        }
        journal.wait_durable(journal.positions().appended).expect("durable");
        assert_eq!(disk.syncs().0, before.0 + 101);
        journal.commit(&batch([&b"x"[..]]), Level::Paranoid).expect("room");
        assert_eq!(disk.syncs().0, before.0 + 103);
        // Idleness syncs once, and then no more.
        append(&journal, b"x");
        for _ in 0..3 {
            journal.run_idle();
        }
        assert_eq!(disk.syncs().0, before.0 + 105);
    }
}

/// Waits for the background; without it this never ends.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

#[test]
fn idleness_and_intervals_make_durable_without_anybody_waiting() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let journal = open(dir.path(), small().write_mode(mode).level(Level::Process));
        for _ in 0..3 {
            append(&journal, b"left alone");
            until(|| journal.positions().durable == journal.positions().appended);
        }
        assert_eq!(journal.positions().safe, journal.positions().appended);
        drop(journal);
        let interval = Level::Interval(Duration::from_millis(2));
        let journal = open(dir.path(), small().write_mode(mode).level(interval));
        let first = append(&journal, b"first");
        journal.wait(first.position, interval).expect("stored");
        until(|| {
            append(&journal, b"never idle");
            journal.positions().durable >= first.position
        });
    }
}

/// Pipelined commits become durable on the way: whoever waits for the last waits for little.
#[test]
fn a_stream_that_nobody_waits_for_is_synced_on_the_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), Options::new().level(Level::Batch));
    append(&journal, b"first");
    journal.reserve(40 << 20).expect("room");
    let start = journal.positions().appended.get();
    let reached = || journal.positions().durable.get() - start;
    let payload = vec![7; 64 << 10];
    while journal.positions().appended.get() - start < 6 << 20 {
        append(&journal, &payload);
    }
    // Never idle, and not yet at the middle of the segment.
    while reached() < 4 << 20 {
        append(&journal, b"more");
        assert!(journal.positions().appended.get() - start < 30 << 20, "nothing was synced");
        std::thread::yield_now();
    }
}

#[test]
fn reserved_segments_are_there_before_they_are_needed() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    journal.reserve(300 << 10).expect("room");
    disk.limit_free_bytes(0);
    for number in 0..30_u8 {
        append(&journal, &[number; 9000]);
    }
    assert_eq!(read_all(&journal).len(), 30);
    let refused = journal.reserve(1 << 20);
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    disk.heal();
    journal.close().expect("closes");
    let spares = disk.names(DIR).into_iter().filter(|name| name.contains(".tmp"));
    assert_eq!(spares.count(), 0, "what was not needed is gone");
}

/// Zeros are written ahead for small syncs alone.
#[test]
fn segments_of_a_stream_are_allocated_and_not_written_ahead() {
    const SEGMENT_BYTES: u64 = 2 << 20;
    for streams in [true, false] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let storage = Hooked::new(Arc::new(FileStorage::new()));
        let options =
            || Options::new().segment_bytes(SEGMENT_BYTES).storage(Arc::new(storage.clone()));
        let (journal, _) = Journal::open(dir.path(), options()).expect("a new journal");
        let payload = |number: u8| vec![number; 60_000];
        for number in 0..200 {
            let appended = append(&journal, &payload(number));
            if !streams {
                journal.wait_durable(appended.position).expect("durable");
            }
        }
        assert_eq!(storage.allocated() >= SEGMENT_BYTES, streams, "{}", storage.allocated());
        drop(journal);
        let (journal, _) = Journal::open(dir.path(), options()).expect("sound");
        assert!(payloads(&read_all(&journal)).into_iter().eq((0..200).map(payload)));
    }
}

/// The way out of a small first segment, with its syncs, is behind a burst that room was made for.
#[test]
fn what_was_reserved_does_not_wait_for_a_roll() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let options = setup.options(&disk).segment_bytes(4 << 20);
    let (journal, _) = Journal::open(DIR, options).expect("a new journal");
    append(&journal, b"the first segment has something in it");
    journal.reserve(3 << 20).expect("room");
    let rolled = journal.positions();
    assert_eq!(rolled.durable, rolled.appended, "a roll makes everything durable");
    for number in 0..60_u8 {
        append(&journal, &vec![number; 50_000]);
    }
    assert_eq!(journal.positions().durable, rolled.durable, "there was no other");
    assert_eq!(read_all(&journal).len(), 61);
}

#[test]
fn damage_since_the_opening_is_found_by_the_reader() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    append(&journal, b"first");
    append(&journal, b"second");
    let segment = Path::new(DIR).join("seg-00000000000000000001-0000.jnl");
    for (at, reason) in
        [(4096 + 40 + 33, CorruptReason::Payload), (4136, CorruptReason::FrameHeader)]
    {
        disk.damage(&segment, |content| content[at] ^= 1);
        let mut reader = journal.read(From::Start).expect("readable");
        assert!(reader.next_group().expect("intact").is_some());
        for _ in 0..2 {
            match reader.next_group() {
                Err(ReadError::Corrupt(corrupt)) => {
                    assert_eq!((corrupt.offset, corrupt.reason), (4136, reason));
                }
                other => panic!("{other:?}"),
            }
        }
        disk.damage(&segment, |content| content[at] ^= 1);
        assert!(reader.next_group().expect("intact again").is_some());
    }
}

#[test]
fn closing_tells_what_went_wrong() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    append(&journal, b"x");
    disk.fail_call(0, Fault::Io);
    let failed = journal.close();
    assert!(matches!(failed, Err(CloseError::Poisoned(_))), "{failed:?}");
    let journal = setup.open(&disk.power_cut(&mut Fixed::Everything)).expect("sound");
    assert!(read_all(&journal).len() < 2);
    let disk = SimDisk::new(2);
    let journal = setup.open(&disk).expect("a new journal");
    append(&journal, b"kept");
    // Nor is there the manifest before this one, in whose room the next one would go.
    disk.displace(Path::new(DIR).join("MANIFEST.prev"), None);
    disk.fail_call(1, Fault::Full);
    let failed = journal.close();
    assert!(matches!(&failed, Err(CloseError::Io(error)) if error.is_out_of_space()), "{failed:?}");
    let journal = setup.open(&disk.power_cut(&mut Fixed::Nothing)).expect("sound");
    assert_eq!(payloads(&read_all(&journal)), [b"kept"]);
}

#[test]
fn frames_do_not_go_next_to_what_only_the_cache_holds() {
    // A sync fails; somebody maps the segment, so the cache keeps the groups that the disk lacks.
    let mut setup = Setup::new(WriteMode::Map);
    setup.after_power_loss = true;
    let mut lost = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let journal = setup.open(&disk).expect("a new journal");
        append(&journal, b"kept");
        journal.wait_durable(journal.positions().appended).expect("durable");
        // In the same sector, which the failed sync writes or not.
        append(&journal, &[7; 200]);
        disk.set_cache_pinned(true);
        disk.fail_call(0, Fault::Io);
        journal.wait_durable(journal.positions().appended).expect_err("the sync fails");
        drop(journal);
        let disk = disk.kill();
        let (journal, opened) = Journal::open(DIR, setup.options(&disk)).expect("sound");
        let before = payloads(&read_all(&journal));
        let on_disk = before.len() == 2;
        assert_eq!(opened.found, if on_disk { Found::Clean } else { Found::Cut });
        lost += usize::from(!on_disk);
        let next = journal.append(&batch([&b"next"[..]]), End::SafePoint).expect("room");
        journal.wait_durable(next.position).expect("durable");
        let disk = disk.power_cut(&mut Fixed::Everything);
        drop(journal);
        let journal = setup.open(&disk).expect("sound");
        let after = payloads(&read_all(&journal));
        assert_eq!(after[..before.len()], before);
        assert_eq!(after[before.len()..], [b"next"]);
    }
    assert!((1..20).contains(&lost), "{lost}");
}

#[test]
fn options_are_printed_without_their_callbacks() {
    let options = Options::new().storage(Arc::new(SimDisk::new(1)));
    let printed = format!("{options:?}");
    assert!(printed.contains("segment_bytes: 67108864"), "{printed}");
}
