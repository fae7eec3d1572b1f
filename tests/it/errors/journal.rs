//! SF0005 to SF0008, SF0015 and SF0016: journals that do not open.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use steadfast::prelude::*;
use steadfast::{CommitSeq, Counters, Create, Phase};
use steadfast_journal::{Batch, End, Journal, Level, Options};
use steadfast_wm::{Record, SafePoint, codec};

use super::{files, report};
use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::{Disk, durable, fire, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[rule]
fn seen(o: &Order) {
    say(format!("seen {}", o.id));
}

ruleset!(sights = 1: seen);

/// A session that was closed in order, after a few commits.
fn closed() -> Disk {
    let disk = Disk::new();
    let mut session = disk.open(sights());
    for id in 0..20 {
        session.insert(Order { id }).unwrap();
    }
    fire(&mut session);
    session.close().unwrap();
    disk
}

/// What keeps a journal from being normalized is told, and the session goes on.
#[test]
fn sf0024_pins_that_cannot_be_read_keep_the_journal_as_it_is() {
    let disk = closed();
    let mut session = disk.open(sights());
    fs::write(disk.path().join("pins"), "not a directory").unwrap();
    let error = session.normalize().unwrap_err();
    assert_eq!(error.code(), "SF0024");
    let error = report(&error, &disk);
    assert!(error.starts_with("error SF0024: the journal was not normalized\n"), "{error}");
    assert!(error.contains("DIR/pins"), "{error}");
    assert_eq!(session.journal_status().unwrap_err().code(), "SF0024");
    fs::remove_file(disk.path().join("pins")).unwrap();
    session.insert(Order { id: 20 }).unwrap();
    assert!(session.normalize().unwrap().is_some());
    let digest = session.digest();
    drop(session);
    assert_eq!(disk.open(sights()).digest(), digest);
}

#[test]
fn sf0005_a_second_process_is_refused_and_told_who_the_first_one_is() {
    const NAME: &str =
        "errors::journal::sf0005_a_second_process_is_refused_and_told_who_the_first_one_is";
    if let Some((dir, _)) = task() {
        let session = durable(&dir).open(sights()).unwrap();
        tell(std::process::id());
        let _held = session;
        wait_for_the_end();
    }
    let disk = closed();
    let mut child = Child::start(NAME, &disk.path(), "");
    let holder = child.hear().expect("the child has it");
    let before = files(&disk.path());
    let error = disk.try_open(sights()).unwrap_err();
    let expected = format!(
        "error SF0005: the journal did not open
  `DIR` is locked by pid {holder}
  help: stop the holder, or choose another directory; the lock goes with its process"
    );
    assert_eq!(report(&error, &disk), expected);
    assert_eq!(files(&disk.path()), before);
    child.kill();
    assert_eq!(disk.open(sights()).fact_count(), 20);
}

#[test]
fn sf0005_a_second_open_in_the_same_process_is_refused() {
    let disk = Disk::new();
    let session = disk.open(sights());
    let expected = "error SF0005: the journal did not open
  `DIR` is open in this process already
  help: stop the holder, or choose another directory; the lock goes with its process";
    assert_eq!(report(&disk.try_open(sights()).unwrap_err(), &disk), expected);
    drop(session);
    disk.open(sights());
}

#[test]
fn sf0006_a_directory_that_is_not_what_was_asked_for_is_refused() {
    let refused = |disk: &Disk, create| {
        let error = durable(&disk.path()).create(create).open(sights()).unwrap_err();
        report(&error, disk)
    };
    let missing = Disk::new();
    let expected = "error SF0006: the journal did not open
  `DIR` holds no journal
  help: see the cause: choose another directory, or other options";
    assert_eq!(refused(&missing, Create::Never), expected);
    let expected = "error SF0006: the journal did not open
  `DIR` holds a journal already
  help: see the cause: choose another directory, or other options";
    assert_eq!(refused(&closed(), Create::New), expected);
    let foreign = Disk::new();
    fs::create_dir(foreign.path()).unwrap();
    fs::write(foreign.path().join("holiday.jpg"), b"sun").unwrap();
    let expected = "error SF0006: the journal did not open
  `DIR` is no journal: it holds `holiday.jpg`
  help: see the cause: choose another directory, or other options";
    assert_eq!(refused(&foreign, Create::IfMissing), expected);
    assert_eq!(files(&foreign.path()).len(), 1, "nothing was made");
}

#[test]
fn sf0025_a_path_that_can_be_no_directory_says_so() {
    let disk = Disk::new();
    fs::write(disk.path(), b"a file").unwrap();
    let error = disk.try_open(sights()).unwrap_err();
    let expected = "error SF0025: the journal did not open
  failed to list `DIR`
  Not a directory (os error 20)
  help: nothing was changed; see that the path is a directory that can be written";
    assert_eq!(report(&error, &disk), expected);
    assert_eq!(fs::read(disk.path()).unwrap(), b"a file");
}

/// The one segment of a small journal.
fn segment(disk: &Disk) -> PathBuf {
    let files = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|file| file.extension().is_some_and(|is| is == "jnl")).unwrap()
}

fn flip(file: &PathBuf, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn sf0007_a_damaged_byte_is_refused_with_its_place_and_nothing_is_changed() {
    const HEADER_BYTES: usize = 4096;
    let whole = closed();
    let bytes = fs::read(segment(&whole)).unwrap();
    let end = (0..bytes.len()).rfind(|at| bytes[*at] != 0).unwrap();
    for at in (HEADER_BYTES..end).step_by(97) {
        let disk = whole.crash();
        flip(&segment(&disk), at);
        let before = files(&disk.path());
        let error = disk.try_open(sights()).unwrap_err();
        assert_eq!(error.code(), "SF0007", "byte {at}: {error:?}");
        let report = report(&error, &disk);
        let begin = "error SF0007: the journal did not open
  corrupt journal: `DIR/seg-00000000000000000001-0000.jnl` at offset ";
        assert!(report.starts_with(begin), "{report}");
        let help =
            "help: nothing was changed; restore a copy, or look at the damage before you decide";
        assert!(report.ends_with(help), "{report}");
        let offset = report[begin.len()..].split(':').next().unwrap().parse::<usize>().unwrap();
        assert!(offset <= at && at < offset + 1024, "byte {at}: {report}");
        assert_eq!(files(&disk.path()), before, "byte {at}");
        // The byte back in its place, and all is well.
        flip(&segment(&disk), at);
        assert_eq!(disk.open(sights()).fact_count(), 20);
    }
}

#[test]
fn sf0007_a_manifest_that_is_damaged_or_gone_is_never_taken_for_an_empty_session() {
    let damaged = closed();
    flip(&damaged.path().join("MANIFEST"), 60);
    let expected = "error SF0007: the journal did not open
  damaged manifest `DIR/MANIFEST`
  the checksum does not hold
  help: nothing was changed; restore a copy, or look at the damage before you decide";
    assert_eq!(report(&damaged.try_open(sights()).unwrap_err(), &damaged), expected);

    let gone = closed();
    fs::remove_file(gone.path().join("MANIFEST")).unwrap();
    let before = files(&gone.path());
    let error = gone.try_open(sights()).unwrap_err();
    assert_eq!(error.code(), "SF0007");
    assert!(report(&error, &gone).contains("and no MANIFEST"), "{error:?}");
    assert_eq!(files(&gone.path()), before);
}

/// Writes a 16-bit field of the manifest, as a newer version would.
fn rewrite_manifest(disk: &Disk, at: usize, value: u16) {
    let file = disk.path().join("MANIFEST");
    let mut bytes = fs::read(&file).unwrap();
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    let trailer = usize::try_from(length).unwrap() - 12;
    let crc = crc32c::crc32c(&bytes[..trailer]);
    bytes[trailer..trailer + 4].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn sf0008_a_journal_of_a_newer_format_is_refused_by_name() {
    const MAJOR_AT: usize = 8;
    const INCOMPAT_AT: usize = 12;
    let newer = closed();
    rewrite_manifest(&newer, MAJOR_AT, 7);
    let before = files(&newer.path());
    let expected = "error SF0008: the journal did not open
  `DIR/MANIFEST` has format 7.0, this build reads format 1
  help: open it with the version that wrote it, or a newer one";
    assert_eq!(report(&newer.try_open(sights()).unwrap_err(), &newer), expected);
    assert_eq!(files(&newer.path()), before);

    let featured = closed();
    rewrite_manifest(&featured, INCOMPAT_AT, 0x8000);
    let expected = "error SF0008: the journal did not open
  `DIR/MANIFEST` (format 1.0) needs the unknown incompatible features 0x8000
  help: open it with the version that wrote it, or a newer one";
    assert_eq!(report(&featured.try_open(sights()).unwrap_err(), &featured), expected);
}

/// Appends to a session's journal behind its back.
fn append(disk: &Disk, fill: impl FnOnce(&mut Batch)) {
    let options = Options::new().level(Level::Process);
    let (journal, _) = Journal::open(disk.path(), options).unwrap();
    let mut batch = Batch::new();
    fill(&mut batch);
    journal.append(&batch, End::SafePoint).unwrap();
    journal.close().unwrap();
}

#[test]
fn sf0008_a_kind_of_record_that_this_build_does_not_know_is_no_damage() {
    let disk = closed();
    append(&disk, |batch| batch.push(999, 1, b"from the future").unwrap());
    let error = disk.try_open(sights()).unwrap_err();
    let expected = "error SF0008: the session could not be recovered
  record 0 of the group that ends with lsn 23 cannot be decoded
  unknown record kind 999 (version 1): a newer version of steadfast wrote it
  help: open it with the version that wrote it, or a newer one";
    assert_eq!(report(&error, &disk), expected);
}

#[test]
fn sf0015_records_that_contradict_each_other_are_refused_with_their_place() {
    let disk = closed();
    append(&disk, |batch| {
        let counters = Counters::default();
        let commit = CommitSeq::new(1000);
        let record = Record::Commit { commit, point: SafePoint::Fired, counters };
        batch.push_with(|bytes| codec::v1::encode(&record, bytes)).unwrap();
    });
    let error = disk.try_open(sights()).unwrap_err();
    let expected = "error SF0015: the session could not be recovered
  record 0 of the group that ends with lsn 23 contradicts those before it
  commit c#1000 follows commit c#22
  help: report this with a copy of the directory; nothing was changed";
    assert_eq!(report(&error, &disk), expected);
}

#[test]
fn sf0016_a_recovery_that_the_caller_stops_changes_nothing() {
    for phase in [Phase::Fold, Phase::Facts, Phase::Network] {
        let disk = closed();
        let stop = move |progress: steadfast::Progress| {
            if progress.phase == phase { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = durable(&disk.path()).on_recovery(stop).open(sights()).unwrap_err();
        let expected = "error SF0016: the session could not be recovered
  stopped by the progress callback
  help: see the cause";
        assert_eq!(report(&error, &disk), expected, "{phase:?}");
        assert_eq!(disk.open(sights()).fact_count(), 20);
    }
}
