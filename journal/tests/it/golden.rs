//! Journals of every released format open for ever.
//!
//! The directories under `tests/golden/` were written by this code and are never written again: `v1_0`
//! with the format at 1.0, `v1_0_compacted` with the same format and normalized. A newer format adds one
//! of each: run this test with `STEADFAST_GOLDEN_NEW` naming the directory.

use std::path::{Path, PathBuf};

use steadfast_journal::{End, Found, From, Journal, Lsn};

use crate::common::{Seen, append, batch, drain, open, read_all, small};
use crate::keyed::{GONE, Keyed};

/// What a golden journal holds, in order.
type Contents = Vec<(End, Vec<Vec<u8>>)>;

/// The kinds of golden journals.
struct Kind {
    write: fn(&Path),
    contents: fn() -> Contents,
}

const PLAIN: Kind = Kind { write, contents };
const COMPACTED: Kind = Kind { write: write_compacted, contents: compacted_contents };

fn kind_of(name: &str) -> Kind {
    if name.ends_with("_compacted") { COMPACTED } else { PLAIN }
}

/// Single records, a group over two segments, a root in two groups.
fn contents() -> Contents {
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

pub(crate) fn directory() -> PathBuf {
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
    std::fs::remove_dir_all(dir.join("quarantine")).expect("what was cut is there");
}

/// A record of a key and a value.
fn keyed(key: u8, value: &[u8]) -> Vec<u8> {
    [&[key], value].concat()
}

fn long(key: u8, round: u8, len: usize) -> Vec<u8> {
    keyed(key, &vec![round; len])
}

/// What is left of two runs of segments, a segment that is only sealed, and the active one.
fn compacted_contents() -> Contents {
    let last_round = (1..8).map(|key| (End::Batch, vec![long(key, 9, 9_000)]));
    let mut contents: Contents = last_round.collect();
    contents.extend([
        (End::Batch, vec![keyed(8, b"first half")]),
        (End::Batch, vec![keyed(9, b"second half")]),
        // The run's last group took a value away: it ends with the run, and nothing remains of it.
        (End::SafePoint, Vec::new()),
        // What remains of one group, in as many frames as it takes.
        (End::Batch, vec![long(20, 1, 30_000), long(21, 2, 30_000)]),
        (End::Batch, vec![long(22, 3, 30_000)]),
        (End::SafePoint, vec![keyed(23, b"the end of the second run")]),
        (End::SafePoint, vec![keyed(24, b"sealed")]),
        (End::SafePoint, vec![keyed(25, b"active")]),
    ]);
    contents
}

/// Writes a journal, and normalizes it twice meanwhile.
fn write_compacted(dir: &Path) {
    let journal = open(dir, small());
    let put = |records: &[Vec<u8>], end| {
        let batch = batch(records.iter().map(Vec::as_slice));
        journal.append(&batch, end).expect("room");
    };
    let normalize = |from: usize| {
        journal.roll().expect("room");
        let maintenance = journal.maintenance();
        let segments = maintenance.segments().expect("open");
        let range = segments[from].begin..segments[segments.len() - 1].begin;
        let done = maintenance.normalize(range, &mut Keyed::default(), None);
        done.expect("it works").segments_after
    };
    for round in 0..10 {
        for key in 0..8 {
            put(&[long(key, round, 9_000)], End::SafePoint);
        }
    }
    put(&[keyed(8, b"first half")], End::Batch);
    put(&[keyed(9, b"second half")], End::SafePoint);
    put(&[keyed(0, GONE)], End::SafePoint);
    let first_run = normalize(0);
    assert!(first_run > 1, "the first run takes several segments");
    put(&[long(20, 1, 30_000), long(21, 2, 30_000), long(22, 3, 30_000)], End::SafePoint);
    put(&[keyed(23, b"overwritten")], End::SafePoint);
    put(&[keyed(23, b"the end of the second run")], End::SafePoint);
    normalize(first_run);
    put(&[keyed(24, b"sealed")], End::SafePoint);
    journal.roll().expect("room");
    put(&[keyed(25, b"active")], End::SafePoint);
    journal.close().expect("closes");
}

fn check(groups: &[Seen], contents: &Contents) {
    let found: Vec<_> = groups.iter().map(|group| (group.end, group.records.clone())).collect();
    let shape = |contents: &Contents| -> Vec<(End, Vec<usize>)> {
        contents
            .iter()
            .map(|(end, records)| (*end, records.iter().map(Vec::len).collect()))
            .collect()
    };
    assert_eq!(shape(&found), shape(contents));
    assert!(found == *contents, "the contents of a golden journal have changed");
}

/// Copies the files of a golden journal.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("golden files") {
        let entry = entry.expect("a golden file");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("room");
    }
}

#[test]
fn every_released_format_opens() {
    if let Some(name) = std::env::var_os("STEADFAST_GOLDEN_NEW") {
        let dir = directory().join(&name);
        (kind_of(&name.to_string_lossy()).write)(&dir);
        std::fs::remove_file(dir.join("LOCK")).expect("no lock is left");
        std::fs::remove_file(dir.join("MANIFEST.prev")).expect("nor an old manifest");
    }
    let mut versions = 0;
    for version in std::fs::read_dir(directory()).expect("golden journals") {
        let golden = version.expect("a golden journal").path();
        let name = golden.file_name().expect("a name").to_string_lossy();
        let contents = (kind_of(&name).contents)();
        let dir = tempfile::tempdir().expect("a temporary directory");
        copy(&golden, dir.path());
        let inspection = Journal::inspect(dir.path(), small()).expect("readable");
        assert!(inspection.was_closed() && !inspection.would_cut());
        check(&drain(&mut inspection.read(From::Start).expect("readable")), &contents);
        let (journal, opened) = Journal::open(dir.path(), small()).expect("sound");
        assert_eq!(opened.found, Found::Clean);
        check(&read_all(&journal), &contents);
        let last = opened.safe_point.map_or(Lsn::default(), |safe| safe.lsn);
        assert!(append(&journal, b"and it goes on").lsn > last);
        journal.close().expect("closes");
        assert_eq!(read_all(&open(dir.path(), small())).len(), contents.len() + 1);
        versions += 1;
    }
    assert!(versions > 1, "there are golden journals of both kinds");
}
