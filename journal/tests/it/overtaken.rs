//! Readers whose place is not pinned, in segments that normalization replaces beneath them: they go on
//! where that is right, and else are told that their place is gone. Never half a group, never a value
//! that was lost on the way.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use steadfast_journal::storage::{FileStorage, Storage};
use steadfast_journal::testing::{Seeded, SimDisk};
use steadfast_journal::{
    End, From, Group, Journal, Level, NormalizeError, Options, Position, ReadError, Reader, Tail,
    WriteMode,
};

use crate::common::{batch, open, small};
use crate::hooked::Hooked;
use crate::keyed::{GONE, Keyed, Values, fold};
use crate::world::DIR;

/// The options of a reader that cannot pin.
fn unpinned(storage: Arc<dyn Storage>) -> Options {
    small().storage(Arc::new(Hooked::that_refuses_pins(storage))).without_background()
}

/// The two kinds of readers that nothing is kept for.
enum Unpinned {
    Reader(Reader),
    /// As of another process.
    Tail(Tail),
}

impl Unpinned {
    fn new(journal: &Journal, storage: Arc<dyn Storage>, is_tail: bool, from: From) -> Self {
        if is_tail {
            let tail = Tail::open(DIR, from, unpinned(storage)).expect("readable");
            assert!(!tail.is_pinned());
            return Self::Tail(tail);
        }
        Self::Reader(journal.read(from).expect("readable"))
    }

    fn next(&mut self) -> Result<Option<Group<'_>>, ReadError> {
        match self {
            Self::Reader(reader) => reader.next_group(),
            Self::Tail(tail) => tail.next_group(Duration::ZERO),
        }
    }
}

/// A value of a key, each round another one.
fn value(key: u8, round: u64) -> Vec<u8> {
    let text = format!("{round:020}").repeat(1 + usize::from(key % 7) * 4);
    [&[key], text.as_bytes()].concat()
}

/// Appends as safe points `rounds` values of each of eight keys, and takes one of them away at last.
fn fill(journal: &Journal, rounds: std::ops::Range<u64>) {
    for round in rounds.clone() {
        for key in 0..8 {
            let value = if key == 3 && round + 1 == rounds.end {
                [&[key], GONE].concat()
            } else {
                value(key, round)
            };
            journal.append(&batch([value.as_slice()]), End::SafePoint).expect("room");
        }
    }
}

fn make_durable(journal: &Journal) {
    journal.wait(journal.positions().appended, Level::Paranoid).expect("durable");
}

/// Replaces the segments from `from` to `to` (not included) by what remains.
fn normalize(journal: &Journal, from: usize, to: usize) -> Result<(), NormalizeError> {
    let maintenance = journal.maintenance();
    let segments = maintenance.segments()?;
    let range = segments[from].begin..segments[to].begin;
    maintenance.normalize(range, &mut Keyed::default(), None).map(drop)
}

fn journal_on(disk: &SimDisk, mode: WriteMode) -> Journal {
    let options = small().storage(Arc::new(disk.clone())).without_background().write_mode(mode);
    Journal::open(DIR, options).expect("sound").0
}

fn values(journal: &Journal) -> Values {
    let mut values = Values::new();
    let mut reader = journal.read(From::Start).expect("readable");
    while let Some(group) = reader.next_group().expect("sound") {
        fold(&mut values, &group);
    }
    values
}

/// Four segments with groups, and their borders by numbers of groups.
fn four_segments(journal: &Journal) -> Vec<usize> {
    let mut borders = vec![0];
    for segment in 0..4 {
        fill(journal, segment * 2..segment * 2 + 2);
        journal.roll().expect("room");
        borders.push(borders[borders.len() - 1] + 16);
    }
    fill(journal, 100..102);
    make_durable(journal);
    borders
}

/// Reads what is left; the error if the place is gone.
fn drain(reader: &mut Unpinned, seen: &mut Values) -> Result<(), ReadError> {
    while let Some(group) = reader.next()? {
        fold(seen, &group);
    }
    Ok(())
}

/// Normalizes segments `range` of four after so many groups were read; whether the reader was told.
fn is_told(mode: WriteMode, is_tail: bool, range: (usize, usize), read: usize) -> bool {
    let disk = SimDisk::new(7);
    let journal = journal_on(&disk, mode);
    let borders = four_segments(&journal);
    let expected = values(&journal);
    let mut reader = Unpinned::new(&journal, Arc::new(disk.clone()), is_tail, From::Start);
    let mut seen = Values::new();
    for _ in 0..read {
        fold(&mut seen, &reader.next().expect("sound").expect("it was appended"));
    }
    normalize(&journal, range.0, range.1).expect("it works");
    let is_inside = read > borders[range.0] && read < borders[range.1];
    match drain(&mut reader, &mut seen) {
        Ok(()) => {
            assert!(seen == expected, "{range:?}, {read} groups read: a value was lost");
            false
        }
        Err(ReadError::Gone { .. }) => {
            assert!(is_inside, "{range:?}, {read} groups read: told without need");
            assert!(matches!(reader.next(), Err(ReadError::Gone { .. })), "gone for good");
            true
        }
        Err(error) => panic!("{range:?}, {read} groups read: {error}"),
    }
}

/// INV-37, testing list 32: at each group of a journal, with each range of segments normalized.
#[test]
fn a_reader_goes_on_at_the_borders_of_what_is_normalized_and_is_told_inside() {
    let told =
        |mode, is_tail, range| (0..=64).filter(|read| is_told(mode, is_tail, range, *read)).count();
    for (range, inside) in [((0, 1), 15), ((0, 2), 31), ((1, 3), 31), ((2, 4), 31), ((0, 4), 63)] {
        for mode in [WriteMode::Map, WriteMode::Pwrite] {
            assert_eq!(told(mode, false, range), inside, "{range:?}");
        }
        // Who looks at the list now and then reads the segment to its end that it has open.
        assert_eq!(told(WriteMode::Map, true, range), inside - 15, "{range:?}");
    }
}

/// A new reader that is to go on behind what another one has read, by number or by position.
#[test]
fn a_reader_that_begins_inside_of_what_was_normalized_is_told() {
    let disk = SimDisk::new(7);
    let journal = journal_on(&disk, WriteMode::Pwrite);
    // Values so long that what remains of a run takes several segments.
    let long = |key: u8, round: u8| [[key].as_slice(), &vec![round; 9_000]].concat();
    let mut places = Vec::new();
    let mut seen = Values::new();
    for round in 0..4 {
        for key in 0..16 {
            let record = long(key, round);
            let appended = journal.append(&batch([record.as_slice()]), End::SafePoint);
            seen.insert(key, record[1..].to_vec());
            places.push((appended.expect("room"), seen.clone()));
        }
        journal.roll().expect("room");
    }
    make_durable(&journal);
    let expected = values(&journal);
    let before = journal.maintenance().segments().expect("open");
    let (from, to) = (before.len() / 4, before.len() - 3);
    normalize(&journal, from, to).expect("it works");
    let after = journal.maintenance().segments().expect("open");
    assert!(after.iter().filter(|segment| segment.compacted).count() > 1, "several segments");
    let (begin, end) = (before[from].begin, before[to].begin);
    let (mut told, mut inside) = (0, 0);
    for (place, seen) in &places {
        let is_inside = place.position > begin && place.position < Position::new(end.get() - 32);
        let next = steadfast_journal::Lsn::new(place.lsn.get() + 1);
        for from in [From::Position(place.position), From::Lsn(next)] {
            inside += u32::from(is_inside);
            match journal.read(from) {
                Ok(reader) => {
                    assert!(!is_inside, "{from:?} is inside");
                    let mut seen = seen.clone();
                    drain(&mut Unpinned::Reader(reader), &mut seen).expect("sound");
                    assert!(seen == expected, "{from:?}: a value was lost");
                }
                Err(ReadError::Gone { .. }) => {
                    assert!(is_inside, "{from:?}: told without need");
                    told += 1;
                }
                Err(error) => panic!("{from:?}: {error}"),
            }
        }
    }
    assert_eq!(told, inside);
    assert!(told > 20, "{told}");
}

/// A reader, and what it makes of what it reads; it begins again when its place is gone.
struct Follower {
    is_tail: bool,
    reader: Unpinned,
    seen: Values,
    told: u32,
}

impl Follower {
    fn new(journal: &Journal, disk: &SimDisk, is_tail: bool) -> Self {
        let reader = Unpinned::new(journal, Arc::new(disk.clone()), is_tail, From::Start);
        Self { is_tail, reader, seen: Values::new(), told: 0 }
    }

    /// Reads so many groups, or to the end.
    fn read(&mut self, journal: &Journal, disk: &SimDisk, groups: u64) {
        for _ in 0..groups {
            match self.reader.next() {
                Ok(Some(group)) => fold(&mut self.seen, &group),
                Ok(None) => return,
                Err(ReadError::Gone { .. }) => {
                    let told = self.told + 1;
                    *self = Self { told, ..Self::new(journal, disk, self.is_tail) };
                }
                Err(error) => panic!("tail {}: {error:?}", self.is_tail),
            }
        }
    }
}

/// One history of appends, rolls, cuts and normalizations with readers all over it.
fn follow_history(seed: u64) -> [u32; 2] {
    let mut random = Seeded::new(seed);
    let disk = SimDisk::new(seed);
    let mode = if seed.is_multiple_of(2) { WriteMode::Map } else { WriteMode::Pwrite };
    let journal = journal_on(&disk, mode);
    let mut ends = vec![Position::START];
    let mut followers: Vec<_> =
        (0..6).map(|number| Follower::new(&journal, &disk, number % 2 == 0)).collect();
    for round in 0..120 {
        let key = u8::try_from(random.below(12)).expect("small");
        let record = if random.below(6) == 0 { [&[key], GONE].concat() } else { value(key, round) };
        let appended = journal.append(&batch([record.as_slice()]), End::SafePoint).expect("room");
        ends.push(appended.position);
        match random.below(12) {
            0 | 1 => journal.roll().expect("room"),
            2 | 3 => make_durable(&journal),
            4 => {
                let segments = journal.maintenance().segments().expect("open");
                let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
                if ready > 0 {
                    // From the begin on: what is taken away has nothing before it.
                    let to = 1 + usize::try_from(random.below(ready as u64)).expect("small");
                    normalize(&journal, 0, to).expect("ranges end with safe points");
                }
            }
            5 if random.below(3) == 0 => {
                let dropped = usize::try_from(random.below(4)).expect("small");
                let kept = (ends.len() - 1).saturating_sub(dropped);
                // Inside of what was normalized there is no place to cut at.
                if kept > 0 && journal.truncate(ends[kept]).is_ok() {
                    ends.truncate(kept + 1);
                }
            }
            _ => {}
        }
        let follower = usize::try_from(random.below(followers.len() as u64)).expect("small");
        let groups = random.below(9);
        followers[follower].read(&journal, &disk, groups);
    }
    make_durable(&journal);
    let expected = values(&journal);
    let mut told = [0; 2];
    for mut follower in followers {
        follower.read(&journal, &disk, u64::MAX);
        assert!(follower.seen == expected, "seed {seed}, tail {}", follower.is_tail);
        told[usize::from(follower.is_tail)] += follower.told;
    }
    told
}

#[test]
fn readers_all_over_a_history_see_what_counts_in_the_end() {
    let seeds = if std::env::var_os("STEADFAST_SOAK").is_some() { 20_000 } else { 200 };
    let mut told = [0; 2];
    for seed in 0..seeds {
        let more = follow_history(seed);
        told = [told[0] + more[0], told[1] + more[1]];
    }
    assert!(told.iter().all(|told| *told > 20), "readers were overtaken: {told:?}");
}

const CHILD_DIR: &str = "STEADFAST_TEST_OVERTAKEN_DIR";
/// The key that ends the story.
const LAST: u8 = 250;

/// The child's part: follows without a pin until the last key comes, and says what it has seen.
/// Without a parent it is an empty test.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let open = || {
        let options = unpinned(Arc::new(FileStorage::new()));
        Tail::open(&dir, From::Start, options).expect("there is a journal")
    };
    let mut tail = open();
    assert!(!tail.is_pinned());
    println!("\nopen");
    let (mut seen, mut told) = (Values::new(), 0);
    while !seen.contains_key(&LAST) {
        match tail.next_group(Duration::MAX) {
            Ok(group) => fold(&mut seen, &group.expect("it waits for ever")),
            Err(ReadError::Gone { .. }) => {
                (tail, seen) = (open(), Values::new());
                told += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    println!("saw {:08x} told {told}", crc_of(&seen));
}

fn crc_of(values: &Values) -> u32 {
    values.iter().fold(0, |crc, (key, value)| {
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &[*key]), value)
    })
}

/// Testing list 32: real files, real processes, whatever the scheduler makes of it.
#[test]
fn tails_of_other_processes_without_pins_see_what_counts_in_the_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    fill(&journal, 0..1);
    make_durable(&journal);
    let spawn = |dir: &Path| {
        Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["overtaken::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary can be run")
    };
    let children = [spawn(dir.path()), spawn(dir.path())];
    // One in this process, too.
    let mut reader = journal.read(From::Start).expect("readable");
    let (mut seen, mut told) = (Values::new(), 0);
    for round in 1..150 {
        fill(&journal, round..round + 1);
        if round % 3 == 0 {
            journal.roll().expect("room");
        }
        if round % 10 == 0 {
            let segments = journal.maintenance().segments().expect("open");
            let ready = segments.iter().take_while(|segment| segment.kept.is_none()).count();
            normalize(&journal, 0, ready).expect("nobody pins");
        }
        for _ in 0..round % 13 {
            match reader.next_group() {
                Ok(Some(group)) => fold(&mut seen, &group),
                Ok(None) => break,
                Err(ReadError::Gone { .. }) => {
                    (reader, seen) = (journal.read(From::Start).expect("there"), Values::new());
                    told += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    journal.append(&batch([[LAST].as_slice()]), End::SafePoint).expect("room");
    make_durable(&journal);
    let expected = values(&journal);
    drain(&mut Unpinned::Reader(reader), &mut seen).expect("nothing is normalized any more");
    assert!(seen == expected && told > 0, "told {told} times");
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let saw = format!("saw {:08x}", crc_of(&expected));
        assert!(output.status.success() && text.contains(&saw), "{text}");
    }
}
