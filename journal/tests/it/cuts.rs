//! What a cut takes away: it is kept to the byte, durably, and nothing else stays behind.

use std::collections::BTreeMap;
use std::path::Path;

use steadfast_journal::testing::{Fixed, SimDisk};
use steadfast_journal::{End, Journal, Level, Position, Quarantined, WriteMode};

use crate::common::{append, batch};
use crate::world::{DIR, Setup};

const QUARANTINE: &str = "/journal/quarantine";
const HEADER: u64 = 4096;

/// The files of a directory.
fn files(disk: &SimDisk, dir: &str) -> BTreeMap<String, Vec<u8>> {
    let content = |name: String| (name.clone(), disk.content(Path::new(dir).join(name)));
    disk.names(dir).into_iter().map(content).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// A journal with safe points over several segments; gives where each of them ends.
fn fill(journal: &Journal) -> Vec<Position> {
    let mut ends = Vec::new();
    for number in 0..10_u8 {
        ends.push(append(journal, &vec![number + 1; 15_000]).position);
    }
    journal.wait(ends[9], Level::Batch).expect("durable");
    ends
}

/// Holds the quarantine against what the segments were before the cut. `written` is how far the last of
/// them was written.
fn check(
    disk: &SimDisk,
    before: &BTreeMap<String, Vec<u8>>,
    quarantined: &[Quarantined],
    (cut_at, written): (&str, u64),
) {
    // As they are after the power was cut the moment the cut was done.
    let disk = disk.power_cut(&mut Fixed::Nothing);
    let last = before.keys().rfind(|name| name.starts_with("seg-")).expect("segments");
    for Quarantined { file, segment, offset, bytes, .. } in quarantined {
        assert!(file.starts_with(QUARANTINE), "{}", file.display());
        let name = name_of(segment);
        assert_eq!(segment, &Path::new(DIR).join(&name));
        let (kept, original) = (disk.content(file), &before[&name]);
        let end = if name == *last { written } else { sealed_at(original) };
        assert_eq!(offset + bytes, end, "{name}");
        if name == cut_at {
            let range =
                usize::try_from(*offset).expect("small")..usize::try_from(end).expect("small");
            assert!(*offset > HEADER && kept == original[range], "{name}: what is behind the cut");
        } else {
            assert!(*offset == HEADER && kept == *original, "{name}: all of it");
            assert!(!disk.names(DIR).contains(&name), "{name} is moved, not copied");
        }
    }
}

/// Where the frames of a segment end.
fn sealed_at(segment: &[u8]) -> u64 {
    let last = segment.iter().rposition(|byte| *byte != 0).expect("something");
    (last as u64 + 1).next_multiple_of(8)
}

/// No file is left that nobody needs.
fn nothing_stays(disk: &SimDisk, journal: Journal, opened: impl Fn(&SimDisk) -> Vec<String>) {
    let is_left = |name: &String| name.contains(".jnl.tmp") || name == "copy.tmp";
    assert!(!disk.names(DIR).iter().any(is_left), "{:?}", disk.names(DIR));
    journal.close().expect("closes");
    assert_eq!(opened(disk), Vec::<String>::new(), "everything that is there is listed");
}

fn open_again(setup: Setup) -> impl Fn(&SimDisk) -> Vec<String> {
    move |disk| {
        let (_, opened) = Journal::open(DIR, setup.options(disk)).expect("sound");
        opened.moved_files.iter().map(|path| name_of(path)).collect()
    }
}

#[test]
fn what_a_truncation_takes_away_is_in_the_quarantine_to_the_byte() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        for kept in 0..9 {
            let (setup, disk) = (Setup::new(mode), SimDisk::new(1));
            let journal = setup.open(&disk).expect("a new journal");
            let ends = fill(&journal);
            let before = files(&disk, DIR);
            let segments: Vec<_> = before.keys().filter(|name| name.starts_with("seg-")).collect();
            assert!(segments.len() >= 3, "{segments:?}");
            let written = sealed_at(&before[*segments.last().expect("several")]);
            let truncated = journal.truncate(ends[kept]).expect("a safe point");
            // Four groups fit a segment.
            let (first, position) = (kept / 4, ends[kept].get());
            let quarantined = truncated.quarantined;
            check(&disk, &before, &quarantined, (segments[first], written));
            let taken: Vec<_> = quarantined.iter().map(|it| name_of(&it.segment)).collect();
            let expected = segments[first..].iter().map(|name| (*name).clone());
            assert_eq!(taken, expected.collect::<Vec<_>>(), "{position}");
            assert!(
                disk.names(DIR)
                    .iter()
                    .all(|name| segments[first + 1..].iter().all(|it| *it != name))
            );
            nothing_stays(&disk, journal, open_again(setup));
        }
    }
}

#[test]
fn what_a_recovery_cuts_off_is_in_the_quarantine_to_the_byte() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        let (setup, disk) = (Setup::new(mode), SimDisk::new(1));
        let journal = setup.open(&disk).expect("a new journal");
        append(&journal, b"kept");
        // A root that nobody completes, over several segments.
        for number in 0..6_u8 {
            let appended = journal.append(&batch([&vec![number + 1; 20_000][..]]), End::Batch);
            journal.wait(appended.expect("room").position, Level::Batch).expect("durable");
        }
        drop(journal);
        let disk = disk.power_cut(&mut Fixed::Everything);
        let before = files(&disk, DIR);
        let segments: Vec<_> = before.keys().filter(|name| name.starts_with("seg-")).collect();
        assert!(segments.len() >= 2, "{segments:?}");
        let written = sealed_at(&before[*segments.last().expect("several")]);
        let (journal, opened) = Journal::open(DIR, setup.options(&disk)).expect("sound");
        check(&disk, &before, &opened.quarantined, (segments[0], written));
        let taken: Vec<_> = opened.quarantined.iter().map(|it| name_of(&it.segment)).collect();
        assert_eq!(taken, segments.iter().map(|name| (*name).clone()).collect::<Vec<_>>());
        assert_eq!(opened.quarantined_bytes(), opened.quarantined.iter().map(|it| it.bytes).sum());
        nothing_stays(&disk, journal, open_again(setup));
    }
}

/// Story: what was never written is no tail.
#[test]
fn nothing_is_put_aside_where_nothing_was_written() {
    let (setup, disk) = (Setup::new(WriteMode::Map), SimDisk::new(1));
    let journal = setup.open(&disk).expect("a new journal");
    let ends = fill(&journal);
    // The next group begins another segment: the cut is where the one before was sealed.
    let truncated = journal.truncate(ends[3]).expect("a safe point");
    let tail = &truncated.quarantined[0];
    // Of the segment that stays, its seal alone.
    assert_eq!(tail.bytes, 32, "{tail:?}");
    let again = journal.truncate(ends[2]).expect("a safe point");
    assert_eq!(again.quarantined.len(), 2, "{again:?}");
    assert_eq!(again.quarantined[1].bytes, 0, "the new segment has nothing in it: {again:?}");
    let names = disk.names(QUARANTINE);
    let tails = names.iter().filter(|name| name.contains(".jnl.")).count();
    assert_eq!(tails, 2, "the second has not taken the place of the first: {names:?}");
}

#[test]
fn a_segment_that_ends_where_the_cut_is_loses_nothing() {
    let (setup, disk) = (Setup::new(WriteMode::Map), SimDisk::new(1));
    let journal = setup.open(&disk).expect("a new journal");
    let ends = fill(&journal);
    for number in 0..3_u8 {
        let truncated = journal.truncate(ends[1]).expect("a safe point");
        let taken: Vec<_> = truncated.quarantined.iter().map(|it| it.offset).collect();
        if number == 0 {
            assert!(taken[0] > HEADER && taken[1..] == [HEADER; 2], "{taken:?}");
        } else {
            assert_eq!(taken, [HEADER], "it was sealed there by the first: {truncated:?}");
        }
        append(&journal, &[number]);
    }
}

/// More than is copied at once, and behind the last frame what is none.
#[test]
fn a_long_tail_and_what_is_no_frame_are_kept_to_the_last_byte() {
    let (setup, disk) = (Setup::new(WriteMode::Pwrite), SimDisk::new(1));
    let options = |disk: &SimDisk| setup.options(disk).segment_bytes(1 << 20);
    let (journal, _) = Journal::open(DIR, options(&disk)).expect("a new journal");
    journal.reserve(600 << 10).expect("room");
    append(&journal, b"kept");
    for number in 0..9_u8 {
        let appended = journal.append(&batch([&vec![number + 1; 30_000][..]]), End::Batch);
        journal.wait(appended.expect("room").position, Level::Batch).expect("durable");
    }
    drop(journal);
    let disk = disk.power_cut(&mut Fixed::Everything);
    let segment = disk.names(DIR).into_iter().rfind(|name| name.starts_with("seg-")).expect("one");
    let written = sealed_at(&disk.content(Path::new(DIR).join(&segment)));
    let garbage = usize::try_from(written).expect("small") + 1000;
    disk.damage(Path::new(DIR).join(&segment), |content| content[garbage] = 7);
    let before = files(&disk, DIR);
    let (_, opened) = Journal::open(DIR, options(&disk)).expect("sound");
    let [tail] = &opened.quarantined[..] else { panic!("{:?}", opened.quarantined) };
    assert_eq!(tail.offset + tail.bytes, garbage as u64 + 1);
    let from = usize::try_from(tail.offset).expect("small");
    assert!(disk.content(&tail.file) == before[&segment][from..=garbage]);
}

#[test]
fn files_of_one_name_are_all_kept() {
    let (setup, disk) = (Setup::new(WriteMode::Map), SimDisk::new(1));
    for number in 1..4_u8 {
        setup.open(&disk).expect("sound").close().expect("closes");
        disk.plant(Path::new(DIR).join("stranger"), &[number]);
    }
    setup.open(&disk).expect("sound").close().expect("closes");
    let kept: Vec<_> = files(&disk, QUARANTINE).into_values().collect();
    assert_eq!(kept, [[1], [2], [3]]);
}
