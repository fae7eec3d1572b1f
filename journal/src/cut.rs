//! The cut: drops the new end of a journal without changing a byte of it.
//!
//! One operation for a torn tail, for a root that was never completed, and for a follower's
//! truncation. The old segment is sealed in the manifest at the last safe point that stays, and the
//! journal goes on in a new segment with a new salt. Sequence numbers and positions go on behind
//! everything that the discarded bytes can have used, so that no claim about them (in a slot, in a
//! frame, in somebody's memory) is ever mistaken for a claim about what follows.

use std::path::PathBuf;

use crate::error::IoError;
use crate::files::Dir;
use crate::frame::HEADER;
use crate::manifest::{Manifest, SealEntry};
use crate::recovery::Boundary;
use crate::roll::Begin;
use crate::segment::SEGMENT_HEADER;

/// Bytes that a cut has taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Where they are now.
    pub file: PathBuf,
    /// The segment that they come from.
    pub segment: PathBuf,
    /// Where they began in that segment.
    pub offset: u64,
    /// How many they are.
    pub bytes: u64,
}

/// The manifest after a cut at `safe`, and where its new segment begins.
pub(crate) fn cut(manifest: &Manifest, safe: &Boundary) -> (Manifest, Begin) {
    let last = manifest.segments.last().expect("a cut is in a segment");
    let used_end = last.first_position + (last.physical_bytes - SEGMENT_HEADER);
    // Every frame takes a header at least: so many numbers can have been used, and no more.
    let used_lsns = (used_end - safe.position) / HEADER;
    let mut next = manifest.clone();
    next.segments.truncate(safe.segment + 1);
    let kept = next
        .segments
        .last_mut()
        .expect("the cut is in a listed segment");
    let last_lsn = safe.last_lsn.max(kept.first_lsn - 1);
    kept.seal = Some(SealEntry {
        bytes: safe.offset,
        last_lsn,
        end_position: safe.position,
        digest: u128::from(safe.prev_crc),
    });
    next.durable = safe.position;
    let begin = Begin {
        first_lsn: last_lsn + 1 + used_lsns,
        first_position: used_end,
        prev_crc: safe.prev_crc,
        continues_group: false,
    };
    (next, begin)
}

/// Copies what the cut takes from a segment that stays listed. Repeating it changes nothing.
/// `written_end` is the end of what was written to the last segment.
pub(crate) fn quarantine_tail(
    dir: &Dir,
    manifest: &Manifest,
    safe: &Boundary,
    written_end: u64,
) -> Result<Vec<Quarantined>, IoError> {
    let entry = &manifest.segments[safe.segment];
    let end = entry.seal.map_or(written_end, |seal| seal.bytes);
    if end <= safe.offset {
        return Ok(Vec::new());
    }
    let name = entry.name();
    let file = dir.quarantine_range(&name, safe.offset, end)?;
    let bytes = end - safe.offset;
    Ok(vec![Quarantined {
        file,
        segment: dir.file(&name),
        offset: safe.offset,
        bytes,
    }])
}

/// Moves the segments that the cut has dropped from the manifest. A crash before that leaves files
/// that no manifest lists; the next open moves them.
pub(crate) fn quarantine_dropped(
    dir: &Dir,
    manifest: &Manifest,
    safe: &Boundary,
    written_end: u64,
) -> Result<Vec<Quarantined>, IoError> {
    let mut moved = Vec::new();
    for entry in &manifest.segments[safe.segment + 1..] {
        let name = entry.name();
        let end = entry.seal.map_or(written_end, |seal| seal.bytes);
        let file = dir.quarantine_file(name.as_ref())?;
        let bytes = end.saturating_sub(SEGMENT_HEADER);
        let segment = dir.file(&name);
        moved.push(Quarantined {
            file,
            segment,
            offset: SEGMENT_HEADER,
            bytes,
        });
    }
    Ok(moved)
}
