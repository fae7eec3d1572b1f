//! Normalization: what remains is what counts, and nothing comes in between.

use std::path::Path;
use std::sync::Arc;

use steadfast_journal::testing::{Exhaustive, Fault, Fixed, Planted, Seeded, SimDisk};
use steadfast_journal::{
    AppendError, CorruptReason, End, Found, From, Journal, Kept, Level, Normalize, NormalizeError,
    OpenError, Options, Position, Repair, WriteMode,
};

use crate::common::{batch, open, read_all, small};
use crate::crash::crash_everywhere;
use crate::keyed::{Keyed, Values, Verbatim, fold};
use crate::world::{DIR, Setup, limited};

const MODES: [WriteMode; 2] = [WriteMode::Map, WriteMode::Pwrite];

/// Writes `rounds` values of every key and seals them.
fn fill(journal: &Journal, rounds: u8) {
    for round in 0..rounds {
        for key in 0..8 {
            let value = [&[key], [round].repeat(usize::from(key) * 30).as_slice()].concat();
            journal.append(&batch([value.as_slice()]), End::SafePoint).expect("there is room");
        }
        if round % 20 == 19 {
            journal.roll().expect("there is room");
        }
    }
    journal.wait(journal.positions().appended, Level::Batch).expect("it syncs");
}

fn values(journal: &Journal) -> Values {
    let mut values = Values::new();
    let mut reader = journal.read(From::Start).expect("readable");
    while let Some(group) = reader.next_group().expect("intact") {
        fold(&mut values, &group);
    }
    values
}

/// Normalizes everything that is sealed.
fn normalize(journal: &Journal, meaning: &mut dyn Normalize) -> Result<(u64, u64), NormalizeError> {
    let maintenance = journal.maintenance();
    let segments = maintenance.segments()?;
    let (first, active) = (&segments[0], &segments[segments.len() - 1]);
    let done = maintenance.normalize(first.begin..active.begin, meaning, None)?;
    Ok((done.bytes_before, done.bytes_after))
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("readable")
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".jnl"))
        .map(|entry| {
            let bytes = std::fs::read(entry.path()).expect("readable");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}

/// INV-34: what remains has its numbers, and everything else goes on as if nothing had happened.
#[test]
fn what_remains_counts_and_keeps_its_number() {
    for mode in MODES {
        let dir = tempfile::tempdir().expect("a directory");
        let options = || small().write_mode(mode);
        let journal = open(dir.path(), options());
        fill(&journal, 40);
        let (before, expected) = (read_all(&journal), values(&journal));
        let positions = journal.positions();
        let (bytes_before, bytes_after) =
            normalize(&journal, &mut Keyed::default()).expect("it works");
        assert!(bytes_after * 3 < bytes_before, "{bytes_after} of {bytes_before}");
        let after = read_all(&journal);
        assert_eq!(values(&journal), expected);
        assert_eq!(journal.positions(), positions);
        assert_eq!(after.len(), 8);
        for group in &after {
            let old = before.iter().find(|old| old.lsn == group.lsn).expect("numbers stay");
            assert_eq!(old.records, group.records);
        }
        let appended =
            journal.append(&batch([b"\x01new".as_slice()]), End::SafePoint).expect("room");
        journal.close().expect("it closes");
        let (journal, opened) = Journal::open(dir.path(), options()).expect("it opens");
        assert_eq!((opened.found, opened.moved_files), (Found::Clean, Vec::new()));
        assert_eq!(opened.safe_point.map(|safe| safe.lsn), Some(appended.lsn));
        assert_eq!(values(&journal)[&1], b"new");
    }
}

/// Normalizing twice is normalizing once; tiers merge.
#[test]
fn twice_is_once_and_new_segments_are_merged_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    fill(&journal, 40);
    normalize(&journal, &mut Keyed::default()).expect("it works");
    let once = files(dir.path());
    normalize(&journal, &mut Keyed::default()).expect("it works");
    let twice = files(dir.path());
    // Salts differ, and what they seed.
    let sizes = |files: &[(String, Vec<u8>)]| -> Vec<usize> {
        files.iter().map(|(_, bytes)| bytes.len()).collect()
    };
    assert_eq!(sizes(&once), sizes(&twice));
    let groups = read_all(&journal);
    fill(&journal, 20);
    let expected = values(&journal);
    normalize(&journal, &mut Keyed::default()).expect("it works");
    assert_eq!(values(&journal), expected);
    assert!(read_all(&journal).iter().all(|group| !groups.contains(group)));
    let inspection = Journal::inspect(dir.path(), Options::new()).expect("readable");
    let compacted: Vec<bool> =
        inspection.segments().iter().map(|segment| segment.compacted).collect();
    assert_eq!(compacted, [true, false]);
}

/// Nothing is switched to that differs from what it replaces, or reads back differently.
#[test]
fn what_differs_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    fill(&journal, 20);
    let before = files(dir.path());
    let error = normalize(&journal, &mut Keyed::that_forgets());
    assert!(matches!(error, Err(NormalizeError::Refused(_))), "{error:?}");
    assert_eq!(files(dir.path()), before);
    let left = std::fs::read_dir(dir.path()).expect("readable");
    let norm = left.filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("norm"))
    });
    assert_eq!(norm.count(), 0);
}

/// Why segments are kept: the active one, and those that an open root reaches into.
#[test]
fn what_is_kept_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    journal.append(&batch([b"\x01a".as_slice()]), End::SafePoint).expect("room");
    journal.append(&batch([b"\x01b".as_slice()]), End::Batch).expect("room");
    journal.roll().expect("room");
    let maintenance = journal.maintenance();
    let kept = || -> Vec<Option<Kept>> {
        let segments = maintenance.segments().expect("open");
        segments.into_iter().map(|segment| segment.kept).collect()
    };
    assert_eq!(kept(), [Some(Kept::OpenTransaction), Some(Kept::Active)]);
    journal.commit(&batch([b"\x01c".as_slice()]), Level::Batch).expect("room");
    assert_eq!(kept(), [None, Some(Kept::Active)]);
    // The root is complete, but not in this segment.
    let error = normalize(&journal, &mut Keyed::default()).expect_err("it ends in a root");
    assert!(matches!(error, NormalizeError::Kept(Kept::OpenTransaction)), "{error:?}");
    journal.roll().expect("room");
    normalize(&journal, &mut Keyed::default()).expect("it ends with a safe point");
    let begin = Position::new(8);
    let error = maintenance.normalize(begin..begin, &mut Keyed::default(), None);
    assert!(matches!(error, Err(NormalizeError::NoSuchRange { .. })), "{error:?}");
    drop(journal);
    assert!(matches!(maintenance.segments(), Err(NormalizeError::Closed)));
    assert_eq!(maintenance.wait_sealed(0), None);
}

/// Every damaged bit of a compacted segment refuses; so do a cut and a foreign one.
#[test]
fn damage_to_a_compacted_segment_refuses_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    fill(&journal, 20);
    normalize(&journal, &mut Keyed::default()).expect("it works");
    journal.close().expect("it closes");
    let (name, bytes) = files(dir.path()).remove(0);
    let path = dir.path().join(name);
    let mut places = std::collections::BTreeSet::new();
    let mut refused = |bytes: &[u8]| -> (u64, CorruptReason) {
        std::fs::write(&path, bytes).expect("writable");
        match Journal::open(dir.path(), small()) {
            Err(OpenError::Corrupt(corrupt)) => {
                assert_eq!(corrupt.file, path);
                places.insert((corrupt.offset, corrupt.expected_lsn));
                (corrupt.offset, corrupt.reason)
            }
            other => panic!("{other:?}"),
        }
    };
    for bit in (0..bytes.len() * 8).step_by(101) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let (offset, reason) = refused(&flipped);
        assert!(offset <= bit as u64 / 8, "bit {bit}: {offset} {reason}");
    }
    assert_eq!(refused(&bytes[..bytes.len() - 1]).1, CorruptReason::CompactedLength);
    assert_eq!(refused(&[bytes.as_slice(), &[0]].concat()).1, CorruptReason::CompactedLength);
    // Each frame is a place of its own, behind the number of the frame before it.
    let numbers: std::collections::BTreeSet<_> = places.iter().map(|(_, lsn)| lsn).collect();
    assert!(places.len() > 5 && places.iter().is_sorted_by_key(|(_, lsn)| lsn), "{places:?}");
    assert_eq!(numbers.len(), places.len() - 1, "the file itself and its first frame have one");
    std::fs::write(&path, &bytes).expect("writable");
    let (journal, opened) = Journal::open(dir.path(), small()).expect("the undamaged one opens");
    let safe = opened.safe_point.expect("there are groups");
    let mut reader = journal.read(From::Start).expect("readable");
    let mut last = None;
    while let Some(group) = reader.next_group().expect("sound") {
        last = Some(group.lsn());
    }
    assert_eq!(Some(safe.lsn), last, "that of the last group that remains");
}

/// Testing list 6, 8, 22: a crash at every call leaves the old segments or the new ones.
#[test]
fn every_crash_of_a_normalization_leaves_old_or_new() {
    for mode in MODES {
        for steps in ["asrarzasa", "aBarzasraz", "abrarzt", "asrzkrzx"] {
            crash_everywhere(Setup::new(mode), steps).unwrap_or_else(|found| panic!("{found}"));
        }
    }
}

/// The planted bugs are found by the crashes.
#[test]
fn a_switch_to_segments_that_were_not_synced_is_found() {
    let mut setup = Setup::new(WriteMode::Map);
    setup.planted = Some(Planted::NormalizeWithoutSync);
    crash_everywhere(setup, "asraz").expect_err("a crash finds the planted bug");
    setup.planted = Some(Planted::UnlinkBeforeSwitch);
    crash_everywhere(setup, "asraz").expect_err("a crash finds the planted bug");
}

/// Nothing of an interrupted normalization stays behind once the journal was opened again.
#[test]
fn what_a_crash_leaves_is_removed_not_quarantined() {
    for changes in 0..400 {
        let disk = SimDisk::new(3);
        let setup = Setup::new(WriteMode::Pwrite);
        let journal = setup.open(&disk).expect("it opens");
        fill(&journal, 40);
        let expected = values(&journal);
        disk.crash_after(changes);
        let done = normalize(&journal, &mut Keyed::default());
        drop(journal);
        let mut choices = Seeded::new(changes);
        for disk in [disk.kill(), disk.power_cut(&mut choices)] {
            let storage = Arc::new(disk.clone());
            let options =
                Options::new().storage(storage).segment_bytes(64 << 10).without_background();
            let (journal, opened) = Journal::open(Path::new(DIR), options).expect("it opens");
            assert_eq!(opened.moved_files, Vec::<std::path::PathBuf>::new());
            assert_eq!(values(&journal), expected, "after {changes} changes");
        }
        if done.is_ok() {
            assert!(changes > 10, "{changes}");
            return;
        }
    }
    panic!("a normalization has an end");
}

/// Testing list 17: what remains is longer than the reserve and what is free, so a full disk refuses;
/// both appending and normalizing go on afterwards.
#[test]
fn a_full_disk_refuses_and_what_was_written_is_removed() {
    let mut refused = 0;
    for (free, disk) in limited((0..122_880).step_by(4096)) {
        let journal = Setup::new(WriteMode::Pwrite).open(&disk).expect("it opens");
        fill(&journal, 120);
        let expected = values(&journal);
        disk.limit_free_bytes(free);
        match normalize(&journal, &mut Verbatim::default()) {
            Ok(_) => {}
            Err(NormalizeError::Full { .. }) => refused += 1,
            Err(other) => panic!("{free} bytes free: {other:?}"),
        }
        assert!(disk.names(DIR).iter().all(|name| !name.starts_with("norm")), "{free}");
        journal
            .commit(&batch([b"\x00more".as_slice()]), Level::Batch)
            .expect("the journal goes on");
        disk.heal();
        normalize(&journal, &mut Verbatim::default()).expect("there is room again");
        assert!(values(&journal).iter().skip(1).eq(expected.iter().skip(1)));
    }
    assert!((8..56).contains(&refused), "{refused}");
}

/// A disk that is full to its last byte is made emptier, and again after it has filled up again:
/// normalization has room of its own, and takes it back.
#[test]
fn a_full_disk_is_normalized_in_the_room_of_the_reserve() {
    for (mode, disk) in limited(0..2) {
        let setup = Setup::new(MODES[usize::from(mode == 1)]);
        let journal = setup.open(&disk).expect("it opens");
        fill(&journal, 100);
        for _ in 0..3 {
            disk.limit_free_bytes(0);
            let before = values(&journal);
            let (bytes, left) = normalize(&journal, &mut Keyed::default()).expect("in the reserve");
            assert!(left < bytes, "{left} of {bytes}");
            assert_eq!(values(&journal), before);
            // What became free is filled up.
            let full = (0..=u8::MAX).cycle().find_map(|round| {
                let value = [&[round % 8][..], &[round; 900]].concat();
                journal.append(&batch([value.as_slice()]), End::SafePoint).err()
            });
            assert!(matches!(full, Some(AppendError::Full { .. })), "{full:?}");
        }
        let expected = values(&journal);
        journal.wait(journal.positions().appended, Level::Batch).expect("it syncs");
        let left_over = disk.names(DIR).into_iter().filter(|name| name.starts_with("norm"));
        assert_eq!(left_over.count(), 0);
        drop(journal);
        let journal = setup.open(&disk.power_cut(&mut Fixed::Nothing)).expect("it opens");
        assert_eq!(values(&journal), expected);
    }
}

/// INV-38: with nothing sealed there is no reserve for normalization; then it comes first, and without
/// it appending ends with the segment that is there.
#[test]
fn the_reserve_of_normalization_comes_before_the_spare_behind_a_sealed_segment() {
    let spares =
        |disk: &SimDisk| disk.names(DIR).iter().filter(|name| name.starts_with("spare")).count();
    let value = [&[7][..], &[7; 9000]].concat();
    let append = |journal: &Journal| journal.append(&batch([value.as_slice()]), End::SafePoint);
    // Bytes that are free when the second segment asks for a third, and whether there is one then.
    for (free, goes_on) in [(None, true), (Some(68 << 10), false), (Some(8 << 10), false)] {
        let disk = SimDisk::new(5);
        let journal = Setup::new(WriteMode::Map).open(&disk).expect("it opens");
        for _ in 0..4 {
            append(&journal).expect("there is room");
        }
        assert_eq!(spares(&disk), 2, "the next segment, and the reserve of roots");
        journal.roll().expect("there is a spare");
        assert_eq!(spares(&disk), 1, "nothing was made for a segment that has just begun");
        if let Some(free) = free {
            disk.limit_free_bytes(free);
        }
        let ended = (0..20).find_map(|_| append(&journal).err());
        match ended {
            None => assert!(goes_on, "{free:?}: further segments were made without the reserve"),
            Some(AppendError::Full { .. }) => assert!(!goes_on, "{free:?}"),
            Some(error) => panic!("{error:?}"),
        }
        if goes_on {
            assert_eq!(spares(&disk), 3, "the reserve of normalization has come");
            disk.limit_free_bytes(0);
        }
        let before = values(&journal);
        let segments = journal.maintenance().segments().expect("readable");
        let done = normalize(&journal, &mut Keyed::default());
        assert!(done.is_ok() || free == Some(8 << 10), "{free:?}: {done:?} of {segments:?}");
        assert_eq!(values(&journal), before);
    }
}

/// A call that fails stops the journal only if it leaves open which manifest counts.
#[test]
fn a_failed_call_changes_nothing_or_stops_the_journal() {
    let mut poisoned = 0;
    for call in 0.. {
        let disk = SimDisk::new(3);
        let setup = Setup::new(WriteMode::Pwrite);
        let journal = setup.open(&disk).expect("it opens");
        fill(&journal, 20);
        let expected = values(&journal);
        let calls = disk.calls();
        disk.fail_call(call, Fault::Io);
        let done = normalize(&journal, &mut Keyed::default());
        let last = disk.calls() < calls + call;
        if matches!(done, Err(NormalizeError::Poisoned(_))) {
            poisoned += 1;
            drop(journal);
            for mut choice in [Fixed::Nothing, Fixed::Everything] {
                let journal = setup.open(&disk.power_cut(&mut choice)).expect("it opens");
                assert_eq!(values(&journal), expected, "call {call}");
            }
        } else {
            disk.heal();
            assert_eq!(values(&journal), expected, "call {call}: {done:?}");
            normalize(&journal, &mut Keyed::default()).expect("the disk is well again");
            assert_eq!(values(&journal), expected);
        }
        if last {
            break;
        }
    }
    assert_eq!(poisoned, 1, "the sync of the directory behind the switch");
}

/// A cut right behind a compacted segment keeps it, and one inside it is no place to cut.
#[test]
fn truncation_stops_at_a_compacted_segment() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    fill(&journal, 19);
    let inside = read_all(&journal)[3].position;
    let end = read_all(&journal).last().expect("groups").position;
    journal.roll().expect("room");
    normalize(&journal, &mut Keyed::default()).expect("it works");
    let expected = values(&journal);
    journal.commit(&batch([b"\x01gone".as_slice()]), Level::Batch).expect("room");
    let error = journal.truncate(Position::new(inside));
    assert!(
        matches!(error, Err(steadfast_journal::TruncateError::NoSafePoint { .. })),
        "{error:?}"
    );
    assert!(matches!(
        journal.read(From::Position(Position::new(inside))),
        Err(steadfast_journal::ReadError::Gone { .. })
    ));
    journal.truncate(Position::new(end)).expect("a safe point ends there");
    assert_eq!(values(&journal), expected);
    journal.close().expect("it closes");
    assert_eq!(values(&open(dir.path(), small())), expected);
}

/// A power cut while nothing but compacted segments is durable, in every way.
#[test]
fn a_torn_tail_behind_a_compacted_segment_is_cut_there() {
    let disk = SimDisk::new(5);
    let setup = Setup::new(WriteMode::Pwrite);
    let journal = setup.open(&disk).expect("it opens");
    fill(&journal, 20);
    normalize(&journal, &mut Keyed::default()).expect("it works");
    let expected = values(&journal);
    journal.append(&batch([b"\x01torn".as_slice()]), End::SafePoint).expect("room");
    drop(journal.wait(journal.positions().appended, Level::Process));
    let mut choices = Exhaustive::default();
    loop {
        let journal = setup.open(&disk.power_cut(&mut choices)).expect("it opens");
        let values = values(&journal);
        assert!(values == expected || values[&1] == b"torn");
        if !choices.advance() {
            break;
        }
    }
    drop(setup.open(&disk.power_cut(&mut Fixed::Nothing)).expect("it opens"));
}

/// What remains can take several segments; each is good as a whole or not at all, also for a repair.
#[test]
fn a_repair_gives_up_a_damaged_compacted_run_as_a_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    let value = |number: u8| [number; 9_000];
    let fill = |numbers: std::ops::Range<u8>| {
        for number in numbers {
            journal.append(&batch([value(number).as_slice()]), End::SafePoint).expect("room");
        }
        journal.roll().expect("room");
    };
    let normalize = |from: usize| {
        let maintenance = journal.maintenance();
        let segments = maintenance.segments().expect("open");
        let range = segments[from].begin..segments[segments.len() - 1].begin;
        let done = maintenance.normalize(range, &mut Verbatim::default(), None);
        done.expect("it works").segments_after
    };
    fill(0..30);
    let base = normalize(0);
    fill(30..60);
    let young = normalize(base);
    assert!(base > 1 && young > 1, "{base} and {young}");
    let before = values(&journal).len();
    assert_eq!(before, 60);
    journal.close().expect("it closes");
    let sound = files(dir.path());
    for (index, (name, bytes)) in sound.iter().enumerate().take(base + young) {
        let copy = tempfile::tempdir().expect("a directory");
        for entry in std::fs::read_dir(dir.path()).expect("readable") {
            let entry = entry.expect("readable");
            if entry.file_type().expect("a type").is_file() {
                std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copied");
            }
        }
        let mut damaged = bytes.clone();
        damaged[5000] ^= 1;
        std::fs::write(copy.path().join(name), damaged).expect("writable");
        let refused = Journal::open(copy.path(), small());
        assert!(matches!(refused, Err(OpenError::Corrupt(_))), "{index}: {refused:?}");
        let repair = Repair::examine(copy.path(), small()).expect("readable").expect("damaged");
        repair.carry_out().expect("it works");
        let kept = values(&open(copy.path(), small())).len();
        assert_eq!(kept, if index < base { 0 } else { 30 }, "segment {index}");
    }
}

/// Testing list 28, 32: a tail keeps what it has not read, sees every group once whatever is
/// normalized behind it, and says so; once it is gone, or further on, nothing is kept for it.
#[test]
fn a_tail_pins_what_it_has_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    fill(&journal, 60);
    let groups = read_all(&journal);
    for read in [0, 1, groups.len() / 3, groups.len() / 2, groups.len()] {
        let mut tail = journal.tail(From::Start).expect("readable");
        let seen: Vec<Vec<Vec<u8>>> =
            (0..read).map(|_| next(&mut tail).expect("it was read before")).collect();
        let maintenance = journal.maintenance();
        let segments = maintenance.segments().expect("open");
        let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
        for segment in &segments[ready..segments.len() - 1] {
            let kept = segment.kept.as_ref();
            assert!(matches!(kept, Some(Kept::Pin { holder: None, .. })), "{read}: {kept:?}");
        }
        assert_eq!(ready > 0, read > groups.len() / 3, "{read}: {ready} segments");
        if ready > 0 {
            let range = segments[0].begin..segments[ready].begin;
            maintenance.normalize(range, &mut Verbatim::default(), None).expect("it works");
        }
        let rest = std::iter::from_fn(|| next(&mut tail));
        let all: Vec<_> = seen.into_iter().chain(rest).collect();
        let expected: Vec<_> = groups.iter().map(|group| group.records.clone()).collect();
        assert_eq!(all, expected, "after {read} groups");
    }
    normalize(&journal, &mut Keyed::default()).expect("nobody is left");
}

/// The records of the next group that is there.
fn next(tail: &mut steadfast_journal::Tail) -> Option<Vec<Vec<u8>>> {
    let group = tail.next_group(std::time::Duration::ZERO).expect("readable")?;
    Some(group.records().map(|record| record.payload().to_vec()).collect())
}
