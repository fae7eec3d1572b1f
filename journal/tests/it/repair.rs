//! Repair: goes back to the last safe point before damage, and loses no byte of what it gives up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use steadfast_journal::testing::{Exhaustive, Fault, Fixed, SimDisk};
use steadfast_journal::{
    CorruptReason, End, From, Journal, Level, OpenError, Options, Position, Repair,
};

use crate::common::{append, batch, drain, payloads, read_all, small};

const DIR: &str = "/journal";
const HEADER: usize = 4096;

fn options(disk: &SimDisk) -> Options {
    small().storage(Arc::new(disk.clone())).without_background()
}

fn payload(id: u64) -> Vec<u8> {
    [&id.to_le_bytes()[..], &[7; 200]].concat()
}

/// Three segments of groups, closed in order: numbers 0..30, ten in each, every third of an open root.
fn journal() -> (SimDisk, Vec<PathBuf>) {
    let disk = SimDisk::new(1);
    let journal = Journal::open(DIR, options(&disk)).expect("new").0;
    for id in 0..30 {
        let end = if id % 3 == 1 { End::Batch } else { End::SafePoint };
        journal.append(&batch([&payload(id)[..]]), end).expect("room");
        if id % 10 == 9 && id < 29 {
            journal.roll().expect("room");
        }
    }
    journal.close().expect("closes");
    let inspection = Journal::inspect(DIR, options(&disk)).expect("sound");
    let files = inspection.segments().into_iter().map(|segment| segment.file).collect();
    (disk, files)
}

fn ids(journal: &Journal) -> Vec<u64> {
    let payloads = payloads(&read_all(journal));
    payloads.iter().map(|p| p[..8].try_into().map(u64::from_le_bytes).expect("8 bytes")).collect()
}

fn snapshot(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.names(DIR).into_iter().filter(|name| name != "LOCK");
    names.map(|name| (name.clone(), disk.content(Path::new(DIR).join(name)))).collect()
}

/// Damages the journal; it must refuse, and after the repair hold exactly the groups before `kept`.
fn check(what: &str, kept: u64, damage: impl Fn(&SimDisk, &[PathBuf])) {
    let (disk, files) = journal();
    let newest = Journal::inspect(DIR, options(&disk)).expect("sound").end();
    damage(&disk, &files);
    let damaged: Vec<Vec<u8>> = files.iter().map(|file| disk.content(file)).collect();
    let before = snapshot(&disk);
    let refused = Journal::open(DIR, options(&disk)).map(|_| ());
    assert!(matches!(refused, Err(OpenError::Corrupt(_))), "{what}: {refused:?}");
    let repair = Repair::examine(DIR, options(&disk)).expect("examined").expect("damaged");
    assert_eq!(snapshot(&disk), before, "{what}: examining changes nothing");
    let loss = repair.loss().clone();
    let repaired = repair.carry_out().unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(repaired.loss, loss);
    // Every damaged or dropped segment is in the quarantine as it was.
    let names = disk.names(Path::new(DIR).join("quarantine"));
    for (file, damaged) in files.iter().zip(&damaged).filter(|(_, bytes)| !bytes.is_empty()) {
        let same =
            |name: &String| disk.content(Path::new(DIR).join("quarantine").join(name)) == *damaged;
        let intact = disk.names(DIR).iter().any(|name| file.ends_with(name))
            && disk.content(file) == *damaged;
        assert!(intact || names.iter().any(same), "{what}: {} is in {names:?}", file.display());
    }
    let (journal, _) = Journal::open(DIR, options(&disk))
        .unwrap_or_else(|error| panic!("{what}: repaired, and yet {error:?}"));
    assert!(ids(&journal).into_iter().eq(0..kept), "{what}: {:?}", ids(&journal));
    // No position and no sequence number is given twice.
    let next = append(&journal, b"next");
    assert!(next.position > newest && next.lsn.get() > 32, "{what}: {next:?}");
    journal.close().expect("closes");
    assert!(Repair::examine(DIR, options(&disk)).expect("examined").is_none(), "{what}");
}

fn remove(disk: &SimDisk, file: &Path) {
    disk.displace(file, None);
}

/// INV-36.
#[test]
fn every_kind_of_damage_goes_back_to_the_safe_point_before_it() {
    let frame = 32 + 211 + 5; // Header, record with envelope, padding.
    let flip = |segment: usize, offset: usize| {
        move |disk: &SimDisk, files: &[PathBuf]| disk.damage(&files[segment], |b| b[offset] ^= 1)
    };
    check("first group", 0, flip(0, HEADER + 40));
    // Numbers 4 and 19 are of open roots: the safe points before are 3 and 18.
    check("payload in a sealed segment", 4, flip(0, HEADER + 5 * frame + 40));
    check("header of a frame in a sealed segment", 9, flip(0, HEADER + 9 * frame + 2));
    check("payload in the middle segment", 15, flip(1, HEADER + 5 * frame + 100));
    check("payload in the last segment", 24, flip(2, HEADER + 4 * frame + 100));
    check("a page of zeros", 10, |disk, files| disk.damage(&files[1], |b| b[HEADER..8192].fill(0)));
    check("a file cut short", 19, |disk, files| disk.damage(&files[2], |b| b.truncate(HEADER + 8)));
    check("middle segment missing", 10, |disk, files| remove(disk, &files[1]));
    check("first segment missing", 0, |disk, files| remove(disk, &files[0]));
    check("all segments missing", 0, |disk, files| {
        files.iter().for_each(|file| remove(disk, file));
    });
    check("both headers of the first segment", 0, |disk, files| {
        disk.damage(&files[0], |b| b[..HEADER].fill(0xff));
    });
    check("both headers of the last segment", 19, |disk, files| {
        disk.damage(&files[2], |b| b[..HEADER].fill(0));
    });
    check("two segments exchanged", 10, |disk, files| {
        let second = disk.content(&files[1]);
        disk.plant(&files[2], &second);
        disk.plant(&files[1], b"");
    });
    check("slots", 30, |disk, _| disk.damage(Path::new(DIR).join("DURABLE"), |b| b.fill(0xaa)));
    check("slots missing and a payload", 24, |disk, files| {
        remove(disk, &Path::new(DIR).join("DURABLE"));
        disk.damage(&files[2], |b| b[HEADER + 4 * frame + 100] ^= 1);
    });
}

#[test]
fn the_loss_is_told_before_it_is_taken() {
    let (disk, files) = journal();
    let frame = 32 + 211 + 5;
    disk.damage(&files[1], |b| b[HEADER + 5 * frame + 100] ^= 1);
    let repair = Repair::examine(DIR, options(&disk)).expect("examined").expect("damaged");
    let loss = repair.loss();
    assert_eq!(loss.damage.reason, CorruptReason::Payload);
    // Numbers 16 to 29, and the seal of the middle segment.
    assert_eq!((loss.frames, loss.records), (15, 14));
    assert_eq!(loss.bytes, (15 * frame + 32) as u64);
    let text = loss.to_string();
    assert!(
        text.contains("kept: everything up to lsn 16") && text.contains("14 records"),
        "{text}"
    );
    // Given up: nothing has changed, and the lock is free.
    drop(repair);
    assert!(matches!(Journal::open(DIR, options(&disk)), Err(OpenError::Corrupt(_))));
}

#[test]
fn a_sound_a_torn_and_a_missing_journal_are_not_repaired() {
    let (disk, files) = journal();
    assert!(Repair::examine(DIR, options(&disk)).expect("examined").is_none());
    let disk = SimDisk::new(2);
    let journal = Journal::open(DIR, options(&disk)).expect("new").0;
    let first = append(&journal, b"durable");
    journal.wait(first.position, Level::Batch).expect("durable");
    append(&journal, b"torn");
    let cut = disk.power_cut(&mut Fixed::Nothing);
    assert!(Repair::examine(DIR, options(&cut)).expect("examined").is_none());
    drop(journal);
    let missing = Repair::examine("/nowhere", options(&disk)).map(|_| ());
    assert!(matches!(missing, Err(OpenError::NotFound { .. })), "{missing:?}");
    drop(files);
}

#[test]
fn a_journal_that_is_open_is_not_repaired() {
    let disk = SimDisk::new(3);
    let _open = Journal::open(DIR, options(&disk)).expect("new").0;
    let refused = Repair::examine(DIR, options(&disk)).map(|_| ());
    assert!(matches!(refused, Err(OpenError::AlreadyOpen { .. })), "{refused:?}");
}

#[test]
fn a_repair_that_is_interrupted_anywhere_can_be_done_again() {
    let (base, files) = journal();
    base.damage(&files[1], |b| b[HEADER + 5 * 248 + 100] ^= 1);
    let mut crashes = 0;
    for changes in 1.. {
        let disk = base.fork();
        disk.crash_after(changes);
        let repair = Repair::examine(DIR, options(&disk));
        let done = repair.ok().flatten().is_some_and(|repair| repair.carry_out().is_ok());
        if done && !disk.has_crashed() {
            break;
        }
        crashes += 1;
        let mut chooser = Exhaustive::default();
        for _ in 0..3 {
            let after = disk.fork().power_cut(&mut chooser);
            if let Some(repair) = Repair::examine(DIR, options(&after)).expect("examined") {
                repair.carry_out().expect("done again");
            }
            let (journal, _) = Journal::open(DIR, options(&after)).expect("repaired");
            assert!(ids(&journal).into_iter().eq(0..15), "after {changes} changes");
            if !chooser.advance() {
                break;
            }
        }
    }
    assert!(crashes > 20, "the repair has that many steps: {crashes}");
}

#[test]
fn bytes_that_cannot_be_read_are_damage_for_a_repair_and_an_error_for_everybody_else() {
    let (disk, _) = journal();
    let mut found = 0;
    for call in 0..60 {
        let disk = disk.fork();
        disk.fail_call(call, Fault::Io);
        match Repair::examine(DIR, options(&disk)) {
            Ok(Some(repair)) => {
                assert_eq!(repair.loss().damage.reason, CorruptReason::Unreadable);
                found += 1;
            }
            Ok(None) | Err(OpenError::Io(_)) => {}
            Err(error) => panic!("call {call}: {error:?}"),
        }
    }
    assert!(found >= 3, "a read of each segment fails at some call: {found}");
}

/// What was read before is what is read after, also by those who know where they stood.
#[test]
fn readers_find_their_place_after_a_repair() {
    let (disk, files) = journal();
    disk.damage(&files[2], |b| b[HEADER + 4 * 248 + 100] ^= 1);
    let repair = Repair::examine(DIR, options(&disk)).expect("examined").expect("damaged");
    let kept = repair.loss().kept.expect("most of it");
    repair.carry_out().expect("done");
    let (journal, opened) = Journal::open(DIR, options(&disk)).expect("repaired");
    assert_eq!(opened.safe_point.map(|safe| safe.lsn), Some(kept.lsn));
    let mut reader =
        journal.read(From::Position(Position::new(kept.position.get() - 1))).expect("there");
    assert_eq!(drain(&mut reader), []);
}
