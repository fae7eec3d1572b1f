//! What a crash in the middle of a normalization leaves is deleted when the journal is opened, and nothing
//! else ever is.

use std::path::{Path, PathBuf};

use steadfast_journal::{Journal, Level};

use crate::common::{batch, open, small};
use crate::keyed::Keyed;

/// The segments of a directory, by name.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("readable");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    segments.sort();
    segments
}

fn first_lsn(segment: &Path) -> u64 {
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    name[4..24].parse().expect("twenty digits")
}

fn fill_segment(journal: &Journal) {
    for key in 0..8 {
        let value = [key; 100];
        journal.commit(&batch([&value[..]]), Level::Process).expect("there is room");
    }
    journal.roll().expect("there is room");
}

/// A segment with another header, whose checksums hold.
fn with_header(segment: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut segment = segment.to_vec();
    for copy in [0, 3584] {
        let copy = &mut segment[copy..copy + 128];
        change(copy);
        let crc = crc32c::crc32c(&copy[..124]);
        copy[124..].copy_from_slice(&crc.to_le_bytes());
    }
    segment
}

#[test]
fn nothing_is_deleted_but_what_a_listed_segment_stands_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), small());
    fill_segment(&journal);
    fill_segment(&journal);
    let old = std::fs::read(&segments(dir.path())[0]).expect("readable");
    let maintenance = journal.maintenance();
    assert_eq!(maintenance.wait_sealed(0), Some(2), "whoever waits for segments is told at once");
    let sealed = maintenance.segments().expect("open");
    let range = sealed[0].begin..sealed[2].begin;
    maintenance.normalize(range, &mut Keyed::default(), None).expect("it works");
    fill_segment(&journal);
    journal.close().expect("it closes");
    let listed = segments(dir.path());
    // What was normalized, what was sealed since, and what takes further frames.
    let [compacted, sealed, active] = &listed[..] else { panic!("{listed:?}") };
    let (behind_run, behind_sealed) = (first_lsn(sealed), first_lsn(active));
    let begin_at =
        |lsn: u64| with_header(&old, |header| header[64..72].copy_from_slice(&lsn.to_le_bytes()));
    let other_journal = with_header(&old, |header| header[24] ^= 1);
    let newer_format = with_header(&old, |header| header[8] = 2);
    let cases = [
        ("replaced", old.clone(), true),
        ("begins with the last frame of the run", begin_at(behind_run - 1), true),
        ("begins behind the run", begin_at(behind_run), false),
        ("begins in what was never normalized", begin_at(behind_sealed - 1), false),
        ("of another journal", other_journal, false),
        ("of a newer format", newer_format, false),
        ("the listed one itself", std::fs::read(compacted).expect("readable"), false),
        ("without a header", vec![0; old.len()], false),
    ];
    for (what, bytes, is_left_over) in cases {
        let path = dir.path().join(format!("seg-{:020}-00ff.jnl", 1));
        std::fs::write(&path, bytes).expect("there is room");
        let (journal, opened) = Journal::open(dir.path(), small()).expect("it opens");
        assert!(!path.exists(), "{what}");
        assert_eq!(opened.moved_files.is_empty(), is_left_over, "{what}");
        journal.close().expect("it closes");
        assert_eq!(segments(dir.path()), listed, "{what}");
    }
}
