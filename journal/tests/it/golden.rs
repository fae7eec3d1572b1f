//! Journals of every released format open for ever.
//!
//! `tests/golden/v1_0` was written by this code with the format at 1.0 and is never written again. A
//! newer format adds a directory: run this test with `STEADFAST_GOLDEN_NEW` naming it.

use std::path::{Path, PathBuf};

use steadfast_journal::{End, Found, From, Journal, Lsn};

use crate::common::{Seen, append, batch, drain, open, read_all, small};

/// What a golden journal holds: single records, a group over two segments, a root in two groups.
fn contents() -> Vec<(End, Vec<Vec<u8>>)> {
    let large = (0..3_u8).map(|number| vec![number; 30_000]).collect();
    vec![
        (End::SafePoint, vec![b"hello".to_vec()]),
        (End::SafePoint, (0..300_u16).map(|number| number.to_le_bytes().to_vec()).collect()),
        (End::SafePoint, large),
        (End::Batch, vec![b"first half".to_vec()]),
        (End::SafePoint, vec![b"second half".to_vec(), Vec::new()]),
        (End::SafePoint, vec![b"after a cut".to_vec()]),
    ]
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Writes the journal whose contents these are; the last group comes after an open root was cut off.
fn write(dir: &Path) {
    let journal = open(dir, small());
    let contents = contents();
    let (last, before) = contents.split_last().expect("not empty");
    for (end, records) in before {
        let batch = batch(records.iter().map(Vec::as_slice));
        journal.append(&batch, *end).expect("room");
    }
    journal.append(&batch([&b"never completed"[..]]), End::Batch).expect("room");
    journal.close().expect("closes");
    let journal = open(dir, small());
    append(&journal, &last.1[0]);
    journal.close().expect("closes");
}

fn check(groups: &[Seen]) {
    let found: Vec<_> = groups.iter().map(|group| (group.end, group.records.clone())).collect();
    assert!(found == contents(), "the contents of a golden journal have changed");
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("golden files") {
        let entry = entry.expect("a golden file");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("room");
    }
}

#[test]
fn every_released_format_opens() {
    if let Some(name) = std::env::var_os("STEADFAST_GOLDEN_NEW") {
        let dir = directory().join(name);
        write(&dir);
        std::fs::remove_file(dir.join("LOCK")).expect("no lock is left");
        std::fs::remove_file(dir.join("MANIFEST.prev")).expect("nor an old manifest");
        std::fs::remove_dir_all(dir.join("quarantine")).expect("nor what was cut");
    }
    let mut versions = 0;
    for version in std::fs::read_dir(directory()).expect("golden journals") {
        let golden = version.expect("a golden journal").path();
        let dir = tempfile::tempdir().expect("a temporary directory");
        copy(&golden, dir.path());
        let inspection = Journal::inspect(dir.path(), small()).expect("readable");
        assert!(inspection.was_closed() && !inspection.would_cut());
        check(&drain(&mut inspection.read(From::Start).expect("readable")));
        let (journal, opened) = Journal::open(dir.path(), small()).expect("sound");
        assert_eq!(opened.found, Found::Clean);
        check(&read_all(&journal));
        let last = opened.safe_point.map_or(Lsn::default(), |safe| safe.lsn);
        assert!(append(&journal, b"and it goes on").lsn > last);
        journal.close().expect("closes");
        assert_eq!(read_all(&open(dir.path(), small())).len(), contents().len() + 1);
        versions += 1;
    }
    assert!(versions > 0, "there are golden journals");
}
