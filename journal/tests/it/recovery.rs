//! What recovery costs, reports and moves.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_journal::storage::Medium;
use steadfast_journal::testing::{Fixed, SimDisk};
use steadfast_journal::{
    CorruptReason, End, Found, Journal, Level, OpenError, Options, Position, SafePoint, WriteMode,
};

use crate::common::{append, batch, payloads, read_all};
use crate::world::{DIR, Setup};

fn setup() -> Setup {
    Setup::new(WriteMode::Map)
}

/// A journal of about so many bytes in segments of 1 MiB.
fn grown(bytes: u64) -> (SimDisk, impl Fn(&SimDisk) -> Options) {
    let options = |disk: &SimDisk| {
        Options::new().storage(Arc::new(disk.clone())).segment_bytes(1 << 20).without_background()
    };
    let disk = SimDisk::new(1);
    let journal = Journal::open(DIR, options(&disk)).expect("new").0;
    let payload = vec![5; 100_000];
    while journal.positions().appended.get() < bytes {
        append(&journal, &payload);
    }
    journal.wait_durable(journal.positions().appended).expect("durable");
    (disk.power_cut(&mut Fixed::Nothing), options)
}

#[test]
fn opening_reads_every_byte_about_once_and_little_at_a_time() {
    for mib in [2_u64, 8] {
        let (disk, options) = grown(mib << 20);
        let (read, _) = disk.bytes_read();
        drop(Journal::open(DIR, options(&disk)).expect("sound"));
        let (after, longest) = disk.bytes_read();
        assert!(after - read <= (mib << 20) * 3 / 2 + (2 << 20), "{} bytes", after - read);
        assert!(longest <= 1 << 20, "{longest} bytes at once");
    }
}

/// A journal of little in a large segment, closed in order.
fn closed() -> (SimDisk, PathBuf, impl Fn(&SimDisk) -> Options) {
    let options = |disk: &SimDisk| {
        Options::new().storage(Arc::new(disk.clone())).segment_bytes(8 << 20).without_background()
    };
    let disk = SimDisk::new(1);
    let journal = Journal::open(DIR, options(&disk)).expect("new").0;
    append(&journal, b"first");
    journal.reserve(7 << 20).expect("room");
    append(&journal, b"second");
    journal.close().expect("closes");
    let names = disk.names(DIR).into_iter().filter(|name| name.starts_with("seg-"));
    (disk, Path::new(DIR).join(names.max().expect("two segments")), options)
}

/// Of a journal that was closed, and of one whose process was killed, little is read behind the end; after
/// a power cut all of it.
#[test]
fn what_is_known_to_be_zero_behind_the_end_is_not_read() {
    let (disk, _, options) = closed();
    let (read, _) = disk.bytes_read();
    let (journal, opened) = Journal::open(DIR, options(&disk)).expect("sound");
    let (after, _) = disk.bytes_read();
    assert_eq!(opened.found, Found::Clean);
    assert!(after - read < 3 << 20, "{} bytes after a close", after - read);
    append(&journal, b"third");
    assert_eq!(payloads(&read_all(&journal)).len(), 3);
    drop(journal);
    let (killed, cut) = {
        let (journal, _) = Journal::open(DIR, options(&disk)).expect("sound");
        append(&journal, b"fourth");
        journal.wait(journal.positions().appended, Level::Batch).expect("it syncs");
        (disk.kill(), disk.power_cut(&mut Fixed::Nothing))
    };
    // Nobody says where it ended. What the cache shows is all there is after a kill; whatever is there
    // after a power cut may be a torn tail.
    for (disk, reads_all) in [(killed, false), (cut, true)] {
        let (read, _) = disk.bytes_read();
        let (journal, opened) = Journal::open(DIR, options(&disk)).expect("sound");
        let (after, _) = disk.bytes_read();
        assert_eq!((opened.found, payloads(&read_all(&journal)).len()), (Found::Clean, 4));
        let read = after - read;
        assert_eq!(read > 8 << 20, reads_all, "{read} bytes");
        assert!(reads_all || read < 3 << 20, "{read} bytes after a kill");
    }
}

/// What is not as it was made behind the place where a journal was closed is cut away, as it is
/// behind any other end.
#[test]
fn a_journal_that_was_closed_does_not_go_on_next_to_what_nobody_wrote() {
    for near in [0, 100, 120 << 10] {
        let (disk, segment, options) = closed();
        let end = disk.content(&segment).iter().rposition(|byte| *byte != 0).expect("a frame");
        disk.damage(&segment, |content| content[end + 9 + near] = 1);
        let (journal, opened) = Journal::open(DIR, options(&disk)).expect("nothing is lost");
        assert_eq!(opened.found, Found::Cut, "{near} bytes behind the end");
        assert_eq!(payloads(&read_all(&journal)).len(), 2);
    }
    let (disk, segment, options) = closed();
    disk.damage(&segment, |content| content.truncate(7 << 20));
    let (journal, opened) = Journal::open(DIR, options(&disk)).expect("nothing is lost");
    assert_eq!(opened.found, Found::Cut, "the file is shorter than it was made");
    assert_eq!(payloads(&read_all(&journal)).len(), 2);
}

#[test]
fn progress_is_reported_and_can_stop_the_opening() {
    let (disk, options) = grown(6 << 20);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&reports);
    let watched = options(&disk).progress(move |progress| {
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(progress);
        ControlFlow::Continue(())
    });
    drop(Journal::open(DIR, watched).expect("sound"));
    let reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
    assert!((5..=7).contains(&reports.len()), "{reports:?}");
    assert!(reports.windows(2).all(|pair| pair[0].position < pair[1].position));
    assert!(reports.iter().all(|report| report.done_bytes <= report.total_bytes));
    let before: Vec<String> = disk.names(DIR);
    let stopped = options(&disk).progress(|_| ControlFlow::Break(()));
    let stopped = Journal::open(DIR, stopped);
    assert!(matches!(stopped, Err(OpenError::Stopped { .. })), "{stopped:?}");
    assert_eq!(disk.names(DIR), before);
    drop(Journal::open(DIR, options(&disk)).expect("sound"));
}

#[test]
fn a_cut_says_what_it_took_and_keeps_it() {
    let disk = SimDisk::new(1);
    let journal = setup().open(&disk).expect("a new journal");
    let kept = append(&journal, b"kept");
    let segment = path_of(&disk, "seg-");
    journal.append(&batch([&b"open root"[..]]), End::Batch).expect("room");
    journal.wait(journal.positions().appended, Level::Batch).expect("durable");
    let before = disk.content(&segment);
    let disk = disk.power_cut(&mut Fixed::Nothing);
    drop(journal);
    let (journal, opened) = Journal::open(DIR, setup().options(&disk)).expect("sound");
    assert_eq!(opened.found, Found::Cut);
    assert!(opened.after_power_loss);
    let safe = SafePoint { lsn: kept.lsn, position: kept.position };
    assert_eq!(opened.safe_point, Some(safe));
    let [range] = &opened.quarantined[..] else { panic!("{opened:?}") };
    assert_eq!((&range.segment, range.offset), (&segment, 4096 + 40));
    let taken = disk.content(&range.file);
    assert_eq!(taken.len() as u64, range.bytes);
    assert_eq!(taken[..], before[4136..4136 + taken.len()]);
    assert!(before[4136 + taken.len()..].iter().all(|byte| *byte == 0));
    // The old segment is as long as what counts of it.
    let inspection = Journal::inspect(DIR, setup().options(&disk)).expect("sound");
    let segments = inspection.segments();
    assert_eq!((segments.len(), segments[0].file_bytes), (2, 8192));
    assert_eq!(payloads(&read_all(&journal)), [b"kept"]);
}

#[test]
fn a_root_that_spans_segments_is_cut_at_its_begin() {
    let disk = SimDisk::new(1);
    let journal = setup().open(&disk).expect("a new journal");
    append(&journal, b"kept");
    for number in 0..5_u8 {
        journal.append(&batch([&vec![number; 20_000][..]]), End::Batch).expect("room");
    }
    let end = journal.positions().appended;
    journal.wait(end, Level::Batch).expect("durable");
    let disk = disk.power_cut(&mut Fixed::Nothing);
    drop(journal);
    let (journal, opened) = Journal::open(DIR, setup().options(&disk)).expect("sound");
    assert_eq!(opened.quarantined.len(), 2, "{:?}", opened.quarantined);
    for range in &opened.quarantined {
        assert!(range.file.starts_with("/journal/quarantine"), "{range:?}");
        assert!(!disk.content(&range.file).is_empty(), "{range:?}");
    }
    assert_eq!(payloads(&read_all(&journal)), [b"kept"]);
    assert!(journal.positions().appended > end);
    append(&journal, b"next");
    drop(journal);
    let journal = setup().open(&disk).expect("sound");
    assert_eq!(payloads(&read_all(&journal)), [&b"kept"[..], b"next"]);
}

#[test]
fn a_roll_that_was_interrupted_behind_its_seal_is_completed() {
    let mut torn = 0;
    for changes in 0..200 {
        let disk = SimDisk::new(1);
        let journal = setup().open(&disk).expect("a new journal");
        append(&journal, b"before");
        disk.crash_after(changes);
        drop(journal.roll());
        let died = disk.has_crashed();
        let disk = disk.kill();
        drop(journal);
        let (journal, opened) = Journal::open(DIR, setup().options(&disk)).expect("sound");
        // Only between the two stores of the seal's header is there something torn.
        if opened.found == Found::Cut {
            assert!(opened.quarantined_bytes() <= 32, "{opened:?}");
            torn += 1;
        }
        append(&journal, b"behind");
        assert_eq!(payloads(&read_all(&journal)), [&b"before"[..], b"behind"]);
        if !died {
            assert_eq!(torn, 1);
            return;
        }
    }
    panic!("a roll has an end");
}

#[test]
fn unknown_files_are_moved_and_temporary_ones_removed() {
    let disk = SimDisk::new(1);
    setup().open(&disk).expect("a new journal").close().expect("closes");
    let name = |name: &str| Path::new(DIR).join(name);
    for strange in ["notes.txt", "spare-7.tmp", "snap-00000000000000000001-0000.snp"] {
        disk.plant(name(strange), b"strange");
    }
    let (_journal, opened) = Journal::open(DIR, setup().options(&disk)).expect("sound");
    assert_eq!(opened.moved_files, [name("quarantine/notes.txt")]);
    let names = disk.names(DIR);
    assert!(!names.iter().any(|name| name == "spare-7.tmp" || name == "notes.txt"), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("snap-")), "{names:?}");
}

#[test]
fn inspection_changes_no_file() {
    let disk = SimDisk::new(1);
    let journal = setup().open(&disk).expect("a new journal");
    append(&journal, b"kept");
    journal.append(&batch([&b"open root"[..]]), End::Batch).expect("room");
    let disk = disk.kill();
    drop(journal);
    let changes = disk.changes();
    let inspection = Journal::inspect(DIR, setup().options(&disk)).expect("sound");
    assert!(inspection.would_cut() && !inspection.was_closed());
    let mut reader = inspection.read(steadfast_journal::From::Start).expect("readable");
    assert_eq!(payloads(&crate::common::drain(&mut reader)), [b"kept"]);
    assert_eq!(disk.changes(), changes);
    assert!(inspection.end() > Position::START);
}

#[test]
fn the_medium_decides_the_write_mode() {
    let open = |medium, maps, allow| {
        let disk = SimDisk::new(1);
        disk.set_medium(medium);
        disk.set_maps(maps);
        let options = Options::new().storage(Arc::new(disk)).without_background();
        Journal::open(DIR, options.allow_network_fs(allow)).map(|(_, opened)| opened.write_mode)
    };
    assert_eq!(open(Medium::InPlace, true, false).expect("new"), WriteMode::Map);
    assert_eq!(open(Medium::InPlace, false, false).expect("new"), WriteMode::Pwrite);
    assert_eq!(open(Medium::CopyOnWrite, true, false).expect("new"), WriteMode::Pwrite);
    assert_eq!(open(Medium::Network, true, true).expect("new"), WriteMode::Pwrite);
    let refused = open(Medium::Network, true, false);
    assert!(matches!(refused, Err(OpenError::NetworkFileSystem { .. })), "{refused:?}");
}

/// The first file whose name begins like this.
fn path_of(disk: &SimDisk, begin: &str) -> PathBuf {
    let name = disk.names(DIR).into_iter().find(|name| name.starts_with(begin));
    Path::new(DIR).join(name.expect("such a file"))
}

/// Rule 7: as long as the system runs, nothing that was written is lost; only the very last frame can be
/// torn, by the end of the process in the middle of it. Whoever knows of a power loss says so.
#[test]
fn a_hole_that_no_power_cut_explains_is_corruption() {
    let disk = SimDisk::new(1);
    let journal = setup().open(&disk).expect("a new journal");
    for payload in [b"first", b"other", b"third"] {
        journal.commit(&batch([&payload[..]]), Level::Process).expect("room");
    }
    let names = disk.names(DIR);
    let segment = names.iter().find(|name| name.starts_with("seg-")).expect("a segment");
    let segment = Path::new(DIR).join(segment);
    let found = |disk: &SimDisk, setup: Setup| -> usize {
        read_all(&setup.open(disk).expect("a torn tail")).len()
    };
    // Frames of 40 bytes: the second is damaged, and then the last.
    let damaged = |disk: &SimDisk, frame: usize| {
        disk.damage(&segment, |bytes| bytes[4096 + 40 * frame + 34] ^= 1);
    };
    let (killed, cut) = (disk.kill(), disk.power_cut(&mut Fixed::Everything));
    for disk in [&killed, &cut] {
        damaged(disk, 1);
    }
    match setup().open(&killed.fork()) {
        Err(OpenError::Corrupt(corrupt)) => {
            assert_eq!(corrupt.reason, CorruptReason::HoleWithoutPowerLoss);
            assert_eq!((corrupt.offset, corrupt.bytes_after), (4096 + 40, 80));
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
    assert_eq!(found(&cut, setup()), 1, "another start of the system");
    let told = Setup { after_power_loss: true, ..setup() };
    assert_eq!(found(&killed, told), 1, "the option says so");
    let killed = disk.kill();
    damaged(&killed, 2);
    assert_eq!(found(&killed, setup()), 2, "nothing follows");
}
