//! Tails: in this process and in another one, across new segments, cuts and crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use steadfast_journal::testing::{Fixed, Planted, Seeded, SimDisk};
use steadfast_journal::{
    Batch, End, From, Journal, Level, Options, Position, ReadError, Tail, WriteMode,
};

use crate::common::{append, batch, open, read_all, small};

const DIR: &str = "STEADFAST_TEST_TAIL_DIR";
const FROM: &str = "STEADFAST_TEST_TAIL_FROM";
/// So many groups go through a tail in another process; the last one completes a root.
const GROUPS: u64 = 3_002;

/// Group number `id`: one to four records of different lengths, now and then several frames.
fn group_of(id: u64) -> Batch {
    let records = id % 4 + 1;
    let len =
        if id.is_multiple_of(97) { 30_000 } else { usize::try_from(id * 37 % 900).expect("small") };
    let mut batch = Batch::new();
    for number in 0..records {
        let mut payload = [id.to_le_bytes(), number.to_le_bytes()].concat();
        payload.resize(16 + len, u8::try_from(id % 251).expect("a byte"));
        batch.push(1, 1, &payload).expect("short");
    }
    batch
}

/// Checks that a group is whole; returns its number.
fn id_of(group: &steadfast_journal::Group<'_>) -> u64 {
    let first = group.records().next().expect("every group has a record");
    let id = first.payload()[..8].try_into().map(u64::from_le_bytes).expect("8 bytes");
    let expected = group_of(id);
    assert!(group.records().map(|r| r.bytes()).eq(expected.records().map(|r| r.bytes())));
    id
}

/// Reads until the journal has ended; every group must come once, in order.
fn follow(mut tail: Tail, first: u64) -> u64 {
    let mut next = first;
    loop {
        match tail.next_group(Duration::MAX) {
            Ok(group) => {
                assert_eq!(id_of(&group.expect("it waits for ever")), next);
                next += 1;
            }
            Err(ReadError::Ended) => return next - first,
            Err(error) => panic!("after group {next}: {error}"),
        }
    }
}

#[test]
fn any_number_of_tails_sees_every_group_once_across_segments() {
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let journal = open(dir.path(), small().write_mode(mode));
        let early: Vec<_> = (0..3).map(|_| journal.tail(From::Start).expect("readable")).collect();
        let mut threads: Vec<_> =
            early.into_iter().map(|tail| std::thread::spawn(move || follow(tail, 0))).collect();
        for id in 0..2_000 {
            let end = if id % 3 == 0 { End::Batch } else { End::SafePoint };
            journal.append(&group_of(id), end).expect("room");
            if id == 1_000 {
                let late = journal.tail(From::Start).expect("readable");
                threads.push(std::thread::spawn(move || follow(late, 0)));
            }
        }
        journal.close().expect("closes");
        for thread in threads {
            assert_eq!(thread.join().expect("sees whole groups in order"), 2_000);
        }
    }
}

#[test]
fn a_tail_that_waits_is_woken_by_an_append_a_close_and_a_failure() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let mut tail = journal.tail(From::Start).expect("readable");
    assert!(tail.next_group(Duration::ZERO).expect("open").is_none());
    assert!(tail.next_group(Duration::from_micros(1)).expect("open").is_none());
    let waiter = std::thread::spawn(move || {
        let position = tail.next_group(Duration::MAX).expect("woken").map(|group| group.position());
        (position, tail.next_group(Duration::MAX).map(|group| group.is_some()))
    });
    let appended = append(&journal, b"wakes it");
    journal.close().expect("closes");
    let (position, then) = waiter.join().expect("no panic");
    assert_eq!(position, Some(appended.position));
    assert!(matches!(then, Err(ReadError::Ended)), "{then:?}");

    let disk = SimDisk::new(1);
    let options = small().storage(Arc::new(disk.clone())).without_background();
    let journal = Journal::open("/journal", options).expect("new").0;
    let mut tail = journal.tail(From::Start).expect("readable");
    let first = append(&journal, b"seen");
    assert!(tail.next_group(Duration::MAX).expect("sound").is_some());
    let waiter = std::thread::spawn(move || tail.next_group(Duration::MAX).map(|_| ()));
    disk.break_at(0);
    journal.wait_durable(first.position).expect_err("the disk is broken");
    let woken = waiter.join().expect("no panic");
    assert!(matches!(woken, Err(ReadError::Ended)), "{woken:?}");
}

#[test]
fn a_tail_behind_a_cut_is_told_and_one_before_it_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let kept = append(&journal, b"kept");
    let mut before = journal.tail(From::Start).expect("readable");
    append(&journal, b"dropped");
    let mut behind = journal.tail(From::Start).expect("readable");
    while behind.next_group(Duration::ZERO).expect("sound").is_some() {}
    journal.truncate(kept.position).expect("a safe point ends there");
    append(&journal, b"next");
    let mut seen = Vec::new();
    while let Some(group) = before.next_group(Duration::ZERO).expect("sound") {
        seen.extend(group.records().map(|record| record.payload().to_vec()));
    }
    assert_eq!(seen, [&b"kept"[..], b"next"]);
    let gone = behind.next_group(Duration::ZERO);
    assert!(matches!(gone, Err(ReadError::Gone { .. })), "{gone:?}");
}

#[test]
fn tails_pin_the_segment_that_they_read() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let mut own = journal.tail(From::Start).expect("readable");
    let mut other = Tail::open(dir.path(), From::Start, small()).expect("readable");
    assert!(other.is_pinned());
    let mut second = Position::START;
    for id in 0..400 {
        second = journal.append(&group_of(id), End::SafePoint).expect("room").position;
    }
    journal.wait(second, Level::Paranoid).expect("durable");
    let pins = |journal: &Journal| -> Vec<(Position, bool)> {
        let pins = journal.pins().expect("readable");
        pins.into_iter().map(|pin| (pin.position, pin.holder.is_some())).collect()
    };
    assert_eq!(pins(&journal).iter().filter(|pin| pin.0 == Position::START).count(), 2);
    while own.next_group(Duration::ZERO).expect("sound").is_some() {}
    while other.next_group(Duration::ZERO).expect("sound").is_some() {}
    assert_eq!((own.position(), other.position()), (second, second));
    let moved = pins(&journal);
    assert!(moved.iter().all(|pin| pin.0 > Position::START && pin.0 <= second), "{moved:?}");
    assert_eq!(moved.iter().filter(|pin| pin.1).count(), 1, "{moved:?}");
    drop((own, other));
    assert_eq!(pins(&journal), []);
}

/// The child's part: follows the journal until the last group, and says how many it saw. Without a
/// parent it is an empty test.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let first: u64 = std::env::var(FROM).expect("set").parse().expect("a number");
    let mut tail = Tail::open(&dir, From::Start, small()).expect("there is a journal");
    let mut next = 0;
    println!("\nopen");
    while next < GROUPS {
        let group = tail.next_group(Duration::MAX).expect("sound").expect("it waits for ever");
        assert_eq!(id_of(&group), next);
        assert_eq!(group.end(), if next % 3 == 0 { End::Batch } else { End::SafePoint });
        next += 1;
    }
    println!("saw {}", next - first);
}

fn spawn(dir: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().expect("this binary has a path"))
        .args(["tail::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(FROM, "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("this binary can be run")
}

#[test]
fn tails_in_other_processes_see_every_group_of_a_live_journal_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    let children = [spawn(dir.path()), spawn(dir.path())];
    for id in 0..GROUPS {
        let end = if id % 3 == 0 { End::Batch } else { End::SafePoint };
        let appended = journal.append(&group_of(id), end).expect("room");
        if id % 50 == 0 {
            journal.wait_durable(appended.position).expect("durable");
        }
    }
    // The journal goes idle, and the others learn how far it is durable.
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(&format!("saw {GROUPS}")), "{text}");
    }
    journal.close().expect("closes");
}

fn options(disk: &SimDisk, planted: Option<Planted>) -> Options {
    let options = small().storage(Arc::new(disk.clone())).without_background();
    match planted {
        Some(bug) => options.planted(bug),
        None => options,
    }
}

/// INV-35.
#[test]
fn another_process_sees_completed_roots_that_are_durable() {
    let disk = SimDisk::new(1);
    let journal = Journal::open("/journal", options(&disk, None)).expect("new").0;
    let mut tail = Tail::open("/journal", From::Start, options(&disk, None)).expect("readable");
    let mut poll = || {
        let mut count = 0;
        while tail.next_group(Duration::ZERO).expect("sound").is_some() {
            count += 1;
        }
        count
    };
    let first = append(&journal, b"not durable");
    assert_eq!(poll(), 0);
    journal.wait_durable(first.position).expect("durable");
    // Nothing on the disk says so yet.
    assert_eq!(poll(), 0);
    journal.append(&batch([&b"of an open root"[..]]), End::Batch).expect("room");
    assert_eq!(poll(), 1);
    let open_root = journal.append(&batch([&b"too"[..]]), End::Batch).expect("room");
    journal.wait(open_root.position, Level::Paranoid).expect("durable");
    assert_eq!(poll(), 0, "a crash takes back what is durable of an open root");
    let done = append(&journal, b"completes it");
    journal.wait(done.position, Level::Paranoid).expect("durable");
    assert_eq!(poll(), 3);
}

/// Appends, waits, rolls and tails at random, then cuts the power: whatever a tail in another process
/// has seen must be there. The error says what is missing.
fn run_with_power_cut(seed: u64, planted: Option<Planted>) -> Result<u64, String> {
    let mut random = Seeded::new(seed);
    let disk = SimDisk::new(seed);
    let journal = Journal::open("/journal", options(&disk, planted)).expect("new").0;
    let mut tail = Tail::open("/journal", From::Start, options(&disk, planted)).expect("readable");
    let mut seen = BTreeMap::new();
    for id in 0..60 {
        let end = if random.below(3) == 0 { End::Batch } else { End::SafePoint };
        let appended = journal.append(&group_of(id), end).expect("room");
        match random.below(8) {
            0 => drop(journal.wait(appended.position, Level::Paranoid).expect("durable")),
            1 | 2 => drop(journal.wait(appended.position, Level::Batch).expect("durable")),
            3 => journal.roll().expect("room"),
            4 => journal.run_idle(),
            _ => {}
        }
        while let Some(group) = tail.next_group(Duration::ZERO).expect("sound") {
            seen.insert(group.lsn().get(), id_of(&group));
        }
    }
    let disk = disk.power_cut(&mut Fixed::Nothing);
    drop((journal, tail));
    let journal = Journal::open("/journal", options(&disk, None));
    let journal = journal.map_err(|error| error.to_string())?.0;
    let kept: BTreeSet<u64> = read_all(&journal).iter().map(|group| group.lsn).collect();
    match seen.keys().find(|lsn| !kept.contains(lsn)) {
        Some(lsn) => Err(format!("seed {seed}: lsn {lsn} was seen and is gone")),
        None => Ok(seen.len() as u64),
    }
}

/// INV-35: what is handed out is never taken back.
#[test]
fn what_another_process_has_seen_survives_a_power_cut() {
    let mut seen = 0;
    for seed in 0..60 {
        seen += run_with_power_cut(seed, None).expect("nothing that was seen is lost");
    }
    assert!(seen > 1_000, "the tails saw something: {seen}");
    // The check finds the bug that it looks for.
    let lying = Some(Planted::SkipSync);
    assert!((0..60).any(|seed| run_with_power_cut(seed, lying).is_err()), "not found");
}

#[test]
fn a_tail_outlives_the_writer_and_meets_the_next_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = open(dir.path(), small());
    append(&journal, b"of the first");
    journal.close().expect("closes");
    let mut tail = Tail::open(dir.path(), From::Start, small()).expect("readable");
    let mut poll = || {
        let group = tail.next_group(Duration::ZERO).expect("sound");
        group
            .map(|group| group.records().map(|r| r.payload().to_vec()).collect::<Vec<_>>().concat())
    };
    assert_eq!(poll(), Some(b"of the first".to_vec()));
    assert_eq!(poll(), None);
    let journal = open(dir.path(), small());
    let appended = append(&journal, b"of the second");
    journal.wait(appended.position, Level::Paranoid).expect("durable");
    assert_eq!(poll(), Some(b"of the second".to_vec()));
    assert_eq!(poll(), None);
}

#[test]
fn there_is_no_tail_of_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let missing = Tail::open(dir.path(), From::Start, small());
    assert!(missing.is_err(), "{missing:?}");
}
