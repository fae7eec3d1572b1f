//! The bytes of compacted segments, read and written by code that follows `docs/format.md` and shares
//! nothing with the crate.

use std::path::{Path, PathBuf};

use steadfast_journal::{CorruptReason, Journal, OpenError};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;

use crate::common::{open, payloads, read_all, small};
use crate::format::{Frame, put32, u32_at, u64_at};
use crate::golden;

const SEALED: u16 = 1;
const COMPACTED: u16 = 2;

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("golden files are small")
}

/// An entry of the manifest, as the document draws it.
struct Entry {
    first_lsn: u64,
    first_position: u64,
    salt: u64,
    physical_bytes: u64,
    generation: u16,
    flags: u16,
    end_crc: u32,
    sealed_bytes: u64,
    last_lsn: u64,
    end_position: u64,
    digest: u128,
}

impl Entry {
    fn decode(bytes: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        assert!(bytes[80..96].iter().all(|byte| *byte == 0));
        Self {
            first_lsn: u64_at(bytes, 0),
            first_position: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            physical_bytes: u64_at(bytes, 24),
            generation: u16_at(32),
            flags: u16_at(34),
            end_crc: u32_at(bytes, 36),
            sealed_bytes: u64_at(bytes, 40),
            last_lsn: u64_at(bytes, 48),
            end_position: u64_at(bytes, 56),
            digest: u128::from_le_bytes(bytes[64..80].try_into().expect("16 bytes")),
        }
    }

    fn is_compacted(&self) -> bool {
        self.flags & COMPACTED != 0
    }

    fn file_name(&self) -> String {
        format!("seg-{:020}-{:04x}.jnl", self.first_lsn, self.generation)
    }
}

fn entries(manifest: &[u8]) -> Vec<Entry> {
    let count = u32_at(manifest, 92) as usize;
    manifest[128..128 + count * 96].chunks(96).map(Entry::decode).collect()
}

/// A copy of the golden journal, and what its manifest lists.
fn golden_copy() -> (TempDir, Vec<Entry>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    golden::copy(&golden::directory().join("v1_0_compacted"), dir.path());
    let listed = entries(&std::fs::read(dir.path().join("MANIFEST")).expect("a manifest"));
    (dir, listed)
}

/// The frames of a segment up to its sealed length, each with its checksums.
fn frames(bytes: &[u8], entry: &Entry) -> Vec<(u64, Frame)> {
    let mut frames = Vec::new();
    let mut offset = 4096;
    while offset < entry.sealed_bytes {
        let frame = Frame::decode(bytes, entry.salt, offset);
        let end = offset + (32 + u64::from(frame.payload_len)).next_multiple_of(8);
        frames.push((offset, frame));
        offset = end;
    }
    assert_eq!(offset, entry.sealed_bytes, "frames end where the manifest says");
    frames
}

/// Checks one compacted segment that continues `prev_crc`; returns its frames and the checksum of the
/// last one.
fn check_segment(dir: &Path, entry: &Entry, prev_crc: u32) -> (Vec<Frame>, u32) {
    let bytes = std::fs::read(dir.join(entry.file_name())).expect("a listed segment");
    assert_eq!(bytes.len() as u64, entry.physical_bytes);
    assert_eq!(xxh3_128(&bytes), entry.digest);
    assert_eq!(entry.physical_bytes, entry.sealed_bytes.next_multiple_of(4096));
    assert!(bytes[size(entry.sealed_bytes)..].iter().all(|byte| *byte == 0), "zero-padded");
    assert_eq!(bytes[..128], bytes[3584..3584 + 128]);
    assert_eq!((u64_at(&bytes, 64), u64_at(&bytes, 72)), (entry.first_lsn, entry.first_position));
    assert_eq!((u64_at(&bytes, 56), u32_at(&bytes, 80)), (entry.salt, prev_crc));
    let [low, high] = entry.generation.to_le_bytes();
    assert_eq!(bytes[84..88], [low, high, 0, 1], "generation, no group goes on, normalized");
    let mut prev_crc = prev_crc;
    // Of a group that takes several frames, the rest may stand in the next segment of the run.
    let mut lsn = entry.first_lsn - 1;
    let frames = frames(&bytes, entry).into_iter().map(|(offset, frame)| {
        assert_eq!((frame.flags, frame.durable_back), (4, u32::MAX));
        assert_eq!(frame.prev_crc, prev_crc, "the chain goes on from frame to frame");
        assert!((lsn..=entry.last_lsn).contains(&frame.lsn), "numbers never fall");
        let position = entry.first_position + (offset - 4096);
        assert!(position < entry.end_position, "positions stay inside of the range");
        (prev_crc, lsn) = (u32_at(&bytes, size(offset)), frame.lsn);
        frame
    });
    (frames.collect(), prev_crc)
}

#[test]
fn what_normalization_wrote_is_as_the_document_draws_it() {
    let (dir, entries) = golden_copy();
    let flags: Vec<u16> = entries.iter().map(|entry| entry.flags).collect();
    let both = SEALED | COMPACTED;
    assert_eq!(flags, [both, both, both, both, SEALED, 0]);
    let (mut kinds, mut lsns, mut run_ends) = (Vec::new(), Vec::new(), Vec::new());
    // The first frame of all has no predecessor.
    let mut prev_crc = 0;
    for (entry, next) in entries.iter().zip(&entries[1..]).filter(|(entry, _)| entry.is_compacted())
    {
        assert_eq!(next.first_lsn, entry.last_lsn + 1, "ranges follow each other");
        let (frames, last_crc) = check_segment(dir.path(), entry, prev_crc);
        kinds.extend(frames.iter().map(|frame| frame.kind));
        lsns.extend(frames.iter().map(|frame| frame.lsn));
        // Inside of a run the chain goes on in the files; behind it, with the frames that are gone.
        let run_ends_here = frames.last().is_some_and(|frame| frame.kind == 2);
        run_ends.push(run_ends_here);
        assert_eq!(entry.end_crc == last_crc, !run_ends_here);
        // The seal behind the last group of a run is left out, but its position stays used.
        let left_out = if run_ends_here { 32 } else { 0 };
        assert_eq!(next.first_position, entry.end_position + left_out);
        prev_crc = entry.end_crc;
        if run_ends_here && !next.is_compacted() {
            let next = std::fs::read(dir.path().join(next.file_name())).expect("listed");
            assert_eq!(u32_at(&next, 80), prev_crc, "what follows a run continues what is gone");
        }
    }
    assert_eq!(run_ends, [false, true, false, true]);
    let (first, second) = kinds.split_at(10);
    assert_eq!(first, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2], "only a run's last frame is a safe point");
    assert_eq!(second, [1, 1, 2]);
    // Of the last round the keys 1 to 7; the two groups of a root; the last group, of which nothing
    // remains; one group that takes two frames.
    assert_eq!(lsns.windows(2).filter(|pair| pair[0] == pair[1]).count(), 1);
    assert_eq!(lsns[10], lsns[11]);
}

/// Changes bytes of the first compacted segment, and makes the checksums of its frames fit.
fn change_payload(dir: &Path, entry: &Entry) -> Vec<u8> {
    let path = dir.join(entry.file_name());
    let mut bytes = std::fs::read(&path).expect("a listed segment");
    let mut prev_crc = u32_at(&bytes, 80);
    for (number, (offset, mut frame)) in frames(&bytes, entry).into_iter().enumerate() {
        frame.prev_crc = prev_crc;
        if number == 0 {
            *frame.payload.last_mut().expect("a record") = 0x77;
        }
        let encoded = frame.encode(entry.salt, offset);
        bytes[size(offset)..][..encoded.len()].copy_from_slice(&encoded);
        prev_crc = u32_at(&encoded, 0);
    }
    std::fs::write(&path, &bytes).expect("writable");
    bytes
}

/// Writes the digest of a segment into the manifest, and the manifest's checksum.
fn change_digest(dir: &Path, index: usize, digest: u128) {
    let path = dir.join("MANIFEST");
    let mut manifest = std::fs::read(&path).expect("a manifest");
    manifest[128 + index * 96 + 64..][..16].copy_from_slice(&digest.to_le_bytes());
    let trail = u32_at(&manifest, 4) as usize - 12;
    let crc = crc32c::crc32c(&manifest[..trail]);
    put32(&mut manifest, trail, crc);
    std::fs::write(&path, manifest).expect("writable");
}

/// The digest is over all bytes of the file, and what fits it is what the journal holds.
#[test]
fn a_compacted_segment_written_by_hand_is_read_if_its_digest_is_listed() {
    let (dir, entries) = golden_copy();
    // The last of its run: nothing is chained to it but by the manifest.
    let index = 3;
    let changed = change_payload(dir.path(), &entries[index]);
    let refused = |dir: &Path| -> (PathBuf, CorruptReason) {
        match Journal::open(dir, small()) {
            Err(OpenError::Corrupt(corrupt)) => (corrupt.file, corrupt.reason),
            other => panic!("{other:?}"),
        }
    };
    let path = dir.path().join(entries[index].file_name());
    assert_eq!(refused(dir.path()), (path.clone(), CorruptReason::CompactedDigest));
    change_digest(dir.path(), index, xxh3_128(&changed));
    let records = payloads(&read_all(&open(dir.path(), small())));
    let expected = [&[22][..], &[3].repeat(29_999), &[0x77]].concat();
    assert!(records.contains(&expected), "the changed record is read");
    // Zeros behind the last frame count, too.
    let mut padded = changed;
    *padded.last_mut().expect("not empty") = 1;
    std::fs::write(&path, padded).expect("writable");
    assert_eq!(refused(dir.path()), (path, CorruptReason::CompactedDigest));
}
