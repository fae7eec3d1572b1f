//! A disk that is really full: a file system of a few megabytes.
//!
//! Mounting one needs rights that tests seldom have; without them the test says so and is empty. What
//! it checks, `faults.rs` checks on the simulated disk at every write.

use std::path::Path;

use steadfast_journal::{AppendError, From, Journal, Level, Options, WriteMode};

use crate::common::{batch, read_all};
use crate::mounted::{Mounted, skipped};

fn fill_up(journal: &Journal, payload: &[u8]) -> u64 {
    for appended in 0.. {
        match journal.commit(&batch([payload]), Level::Process) {
            Ok(_) => {}
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("disk is full"), "{text}");
                return appended;
            }
        }
    }
    unreachable!("the disk is small")
}

fn run(mode: WriteMode, segment_bytes: u64, disk: &Mounted) {
    let dir: &Path = &disk.path("journal");
    let ballast = disk.path("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).expect("room");
    let options = || Options::new().segment_bytes(segment_bytes).write_mode(mode);
    let journal = Journal::open(dir, options()).expect("room").0;
    let payload = vec![7; 10_000];
    let mut count = fill_up(&journal, &payload);
    assert!(count > 20, "something fits: {count}");
    // Again and again, without harm.
    for _ in 0..3 {
        count += fill_up(&journal, &payload);
    }
    let before = journal.positions().appended;
    let full = journal.append(&batch([&payload[..]]), steadfast_journal::End::SafePoint);
    assert!(matches!(full, Err(AppendError::Full { .. })), "{full:?}");
    assert_eq!(journal.positions().appended, before);
    assert_eq!(read_all(&journal).len() as u64, count);
    // With room again it goes on without being opened again.
    std::fs::remove_file(&ballast).expect("there");
    let more = fill_up(&journal, &payload);
    assert!(more > 20, "it goes on: {more}");
    drop(journal);
    let journal = Journal::open(dir, options()).expect("sound").0;
    assert_eq!(read_all(&journal).len() as u64, count + more);
    drop(journal.read(From::Start).expect("readable"));
    drop(journal);
    std::fs::remove_dir_all(dir).expect("there");
}

#[test]
fn a_disk_that_is_really_full_refuses_whole_groups_and_goes_on_with_room() {
    let Some(disk) = Mounted::in_memory(8 << 20) else {
        skipped("a file system in memory");
        return;
    };
    for mode in [WriteMode::Map, WriteMode::Pwrite] {
        // Of the longer ones, all but the first few are allocated without being written.
        for segment_bytes in [256 << 10, 1 << 20] {
            run(mode, segment_bytes, &disk);
        }
    }
}
