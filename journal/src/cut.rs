//! The cut: drops the new end of a journal without changing a byte of it.
//!
//! One operation for a torn tail, for a root that was never completed, and for a follower's
//! truncation. The old segment is sealed in the manifest at the last safe point that stays, and the
//! journal goes on in a new segment with a new salt. Sequence numbers and positions go on behind
//! everything that the discarded bytes can have used, so that no claim about them (in a slot, in a
//! frame, in somebody's memory) is ever mistaken for a claim about what follows.

use std::io;
use std::path::PathBuf;

use crate::bytes::{round_up, size};
use crate::error::{At as _, IoError};
use crate::files::Dir;
use crate::frame::{HEADER, Salt};
use crate::manifest::{Manifest, SealEntry, SegmentEntry};
use crate::recovery::{Boundary, read_header};
use crate::roll::Begin;
use crate::segment::{COPY_OFFSETS, SEGMENT_HEADER};
use crate::storage::Access;
use crate::window::{Checked, Window};

/// The copy of a segment until it is complete.
const COPY_NAME: &str = "copy.tmp";

/// A cut segment is replaced by a shorter one if that frees so many bytes.
const WORTH_BYTES: u64 = 16 << 10;

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
    // INV-20: every frame takes a header at least: so many numbers can have been used, and no more.
    let used_lsns = (used_end - safe.position) / HEADER;
    let mut next = manifest.clone();
    next.segments.truncate(safe.segment + 1);
    let kept = next.segments.last_mut().expect("the cut is in a listed segment");
    let last_lsn = safe.last_lsn.max(kept.first_lsn - 1);
    // A segment that was sealed right there keeps its seal, as a compacted one does.
    if kept.seal.is_none_or(|seal| seal.end_position != safe.position) {
        kept.seal = Some(SealEntry {
            bytes: safe.offset,
            last_lsn,
            end_position: safe.position,
            digest: u128::from(safe.prev_crc),
        });
    }
    next.durable = safe.position;
    let begin = Begin {
        first_lsn: last_lsn + 1 + used_lsns,
        first_position: used_end,
        prev_crc: safe.prev_crc,
        continues_group: false,
    };
    (next, begin)
}

/// What a cut has done to a segment that stays listed, or leaves to be done.
#[derive(Debug, Default)]
pub(crate) struct Leftover {
    /// The file that was replaced by one of the sealed length.
    replaced: Option<String>,
}

/// Replaces the sealed segment by a copy of the sealed length, in a manifest that is not written
/// yet. INV-28: the old file stays as it is until [`finish`] unlinks it, for it may be mapped. The name is
/// durable with that of the new segment, which is made next.
pub(crate) fn shorten(
    dir: &Dir,
    next: &mut Manifest,
    drop_salt: bool,
) -> Result<Leftover, IoError> {
    let entry = next.segments.last_mut().expect("the cut has sealed a segment");
    let seal = entry.seal.expect("the cut has sealed the segment");
    let bytes = round_up(seal.bytes, SEGMENT_HEADER);
    if entry.compacted || entry.physical_bytes - bytes < WORTH_BYTES || entry.generation == u16::MAX
    {
        return Ok(Leftover::default());
    }
    let old = entry.name();
    let mut shorter = entry.clone();
    shorter.generation += 1;
    shorter.physical_bytes = bytes;
    copy(dir, &old, &shorter, seal.bytes)?;
    verify(dir, &shorter, &seal, drop_salt)?;
    dir.rename(COPY_NAME, &shorter.name())?;
    *entry = shorter;
    Ok(Leftover { replaced: Some(old) })
}

/// Writes the copy: the header with its new generation, and the frames as they are.
fn copy(dir: &Dir, old: &str, shorter: &SegmentEntry, end: u64) -> Result<(), IoError> {
    let (from_path, to_path) = (dir.file(old), dir.file(COPY_NAME));
    let from = dir.open(old, Access::Read)?;
    let to = dir.fill(COPY_NAME, shorter.physical_bytes)?;
    let mut header = read_header(&*from).at("read", &from_path)?.ok_or_else(|| {
        let gone = io::Error::new(io::ErrorKind::InvalidData, "the header was valid before");
        IoError::new("copy", &from_path, gone)
    })?;
    header.generation = shorter.generation;
    for offset in COPY_OFFSETS {
        to.write_at(&header.encode(), offset).at("write", &to_path)?;
    }
    let mut buffer = vec![0; 64 << 10];
    let mut at = SEGMENT_HEADER;
    while at < end {
        let step = size(end - at).min(buffer.len());
        let count = from.read_at(&mut buffer[..step], at).at("read", &from_path)?;
        to.write_at(&buffer[..count], at).at("write", &to_path)?;
        if count == 0 {
            break; // The verification says what is missing.
        }
        at += count as u64;
    }
    to.sync().at("sync", &to_path)
}

/// Reads the copy back: its frames must end where, and as, the old segment's do.
fn verify(
    dir: &Dir,
    entry: &SegmentEntry,
    seal: &SealEntry,
    drop_salt: bool,
) -> Result<(), IoError> {
    let path = dir.file(COPY_NAME);
    let mut window = Window::new(dir.open(COPY_NAME, Access::Read)?, entry.physical_bytes);
    let salt = Salt::new(if drop_salt { 0 } else { entry.salt });
    let mut offset = SEGMENT_HEADER;
    let mut digest = None;
    while offset < seal.bytes {
        match window.frame(salt, offset, seal.bytes).at("read", &path)? {
            Checked::Frame { header, crc } => {
                digest = Some(u128::from(crc));
                offset += header.total_len();
            }
            Checked::Damaged { .. } => break,
        }
    }
    if offset == seal.bytes && digest.is_none_or(|digest| digest == seal.digest) {
        return Ok(());
    }
    let wrong = io::Error::new(io::ErrorKind::InvalidData, "the copy differs from the segment");
    Err(IoError::new("verify", &path, wrong))
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
    Ok(vec![Quarantined { file, segment: dir.file(&name), offset: safe.offset, bytes }])
}

/// What remains after the manifest was switched: moves the segments that it does not list any more
/// and removes the file that a shorter one has replaced. A crash before that leaves files that no
/// manifest lists; the next open moves them.
pub(crate) fn finish(
    dir: &Dir,
    manifest: &Manifest,
    safe: &Boundary,
    written_end: u64,
    leftover: Leftover,
) -> Result<Vec<Quarantined>, IoError> {
    let mut moved = Vec::new();
    for entry in &manifest.segments[safe.segment + 1..] {
        let name = entry.name();
        let end = entry.seal.map_or(written_end, |seal| seal.bytes);
        let file = dir.quarantine_file(name.as_ref())?;
        let bytes = end.saturating_sub(SEGMENT_HEADER);
        let segment = dir.file(&name);
        moved.push(Quarantined { file, segment, offset: SEGMENT_HEADER, bytes });
    }
    remove_replaced(dir, leftover)?;
    Ok(moved)
}

/// Removes the file that a shorter one has replaced. If it is there again after a crash, the next open
/// takes it away.
pub(crate) fn remove_replaced(dir: &Dir, leftover: Leftover) -> Result<(), IoError> {
    if let Some(old) = leftover.replaced {
        // Only temporary files are ever deleted.
        let temporary = format!("{old}.tmp");
        dir.rename(&old, &temporary)?;
        dir.remove(&temporary)?;
    }
    Ok(())
}

#[cfg(all(test, not(shuttle)))] // they open a journal outside of a schedule
mod tests {
    use super::*;
    use crate::testing::SimDisk;
    use crate::{Batch, End, Journal, Level, Options};
    use std::path::Path;
    use std::sync::Arc;

    const DIR: &str = "/journal";

    /// A journal of three groups, closed, and what a cut behind the second one would list.
    fn cut_behind_the_second() -> (SimDisk, Dir, Manifest) {
        let disk = SimDisk::new(1);
        let options = || Options::new().storage(Arc::new(disk.clone())).without_background();
        let (journal, _) = Journal::open(DIR, options()).expect("a new journal");
        let mut ends = Vec::new();
        for number in 0..3_u8 {
            let mut batch = Batch::new();
            batch.push(1, 1, &[number; 50]).expect("short");
            ends.push(journal.append(&batch, End::SafePoint).expect("room"));
        }
        journal.wait(ends[2].position, Level::Batch).expect("durable");
        let safe = ends[1].position.get();
        journal.close().expect("closes");
        let path = Path::new(DIR).to_path_buf();
        let dir = Dir { storage: Arc::new(disk.clone()), path, skip_sync: false };
        let content = disk.content(dir.file(crate::manifest::NAME));
        let manifest = Manifest::decode(&content).expect("a manifest").expect("of this format");
        let entry = &manifest.segments[0];
        let mut window = Window::new(
            dir.open(&entry.name(), Access::Read).expect("there"),
            entry.physical_bytes,
        );
        let (mut offset, mut prev_crc) = (SEGMENT_HEADER, 0);
        while offset - SEGMENT_HEADER < safe {
            let checked = window.frame(Salt::new(entry.salt), offset, entry.physical_bytes);
            let Checked::Frame { header, crc } = checked.expect("readable") else {
                panic!("valid")
            };
            (offset, prev_crc) = (offset + header.total_len(), crc);
        }
        let safe = Boundary { segment: 0, offset, position: safe, last_lsn: 2, prev_crc };
        let (next, _) = cut(&manifest, &safe);
        (disk, dir, next)
    }

    #[test]
    fn a_shortened_copy_is_taken_only_if_it_has_all_frames_as_they_were() {
        let (disk, dir, next) = cut_behind_the_second();
        let old = next.segments[0].name();
        let seal = next.segments[0].seal.expect("sealed by the cut");
        let attempt = |next: &Manifest| {
            let mut next = next.clone();
            shorten(&dir, &mut next, false).map(|leftover| (leftover, next))
        };
        let (leftover, shorter) = attempt(&next).expect("it is sound");
        assert_eq!(leftover.replaced.as_ref(), Some(&old));
        let copied = disk.content(dir.file(&shorter.segments[0].name()));
        let end = size(seal.bytes);
        assert_eq!(copied[4096..end], disk.content(dir.file(&old))[4096..end]);
        assert!(copied[end..].iter().all(|byte| *byte == 0) && copied.len() == 8192);
        // Any damage that the copy takes over, or that befalls it.
        // A frame takes 85 bytes, and three of padding.
        for at in (4096..end).filter(|at| (at - 4096) % 88 < 85) {
            disk.damage(dir.file(&old), |content| content[at] ^= 0x10);
            assert!(attempt(&next).is_err(), "byte {at}");
            disk.damage(dir.file(&old), |content| content[at] ^= 0x10);
        }
        let lie = |change: &dyn Fn(&mut SealEntry)| {
            let mut next = next.clone();
            change(next.segments[0].seal.as_mut().expect("sealed"));
            attempt(&next)
        };
        assert!(lie(&|seal| seal.digest ^= 1).is_err(), "it ends in another frame");
        assert!(lie(&|seal| seal.bytes -= 8).is_err(), "in the middle of a frame");
        assert!(lie(&|seal| seal.bytes += 8).is_err(), "in the middle of the next one");
    }

    #[test]
    fn either_header_of_a_shortened_segment_suffices() {
        let (disk, dir, mut next) = cut_behind_the_second();
        shorten(&dir, &mut next, false).expect("it is sound");
        let name = next.segments[0].name();
        for damaged in COPY_OFFSETS {
            disk.damage(dir.file(&name), |content| content[size(damaged)] ^= 1);
            let file = dir.open(&name, Access::Read).expect("there");
            let header = read_header(&*file).expect("readable").expect("the other one holds");
            assert_eq!(header.generation, 1);
            disk.damage(dir.file(&name), |content| content[size(damaged)] ^= 1);
        }
    }
}
