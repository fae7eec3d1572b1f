//! Compacted segments: known to be what normalization wrote, or damaged. There is no torn tail.

use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

use super::Walk;
use super::{Boundary, check_format, known_kind, read_header};
use crate::error::{At as _, CorruptReason, OpenError};
use crate::frame::{Kind, Salt};
use crate::manifest::{SealEntry, SegmentEntry};
use crate::segment::SEGMENT_HEADER;
use crate::storage::{Access, Storage};
use crate::window::{Checked, Window};

impl Walk<'_, '_> {
    /// Checks one compacted segment by its length and its digest. Its frames are looked at to say
    /// where it is damaged, and for the number of its last group. It is good as a whole or not at all.
    pub(super) fn compacted(
        &mut self,
        index: usize,
        entry: &SegmentEntry,
        seal: &SealEntry,
        path: &Path,
    ) -> Result<(), OpenError> {
        let file = self.open(index, entry, path)?;
        if file.len().at("examine", path)? != entry.physical_bytes {
            return Err(self.unreadable(index, path, CorruptReason::CompactedLength));
        }
        let header = self.header(index, entry, path, &*file)?;
        // Its begin is no place to cut at: going back goes behind the segment before.
        let safe = self.safe;
        self.enter(index, entry, &header);
        self.safe = safe;
        let mut is_safe = false;
        let mut safe_lsn = self.safe_lsn;
        match &mut self.window {
            Some(window) => window.switch_to(file, entry.physical_bytes),
            window => *window = Some(Window::new(file, entry.physical_bytes)),
        }
        let salt = Salt::new(if self.subject.bugs.drop_salt { 0 } else { entry.salt });
        while self.at.offset < seal.bytes {
            let window = self.window.as_mut().expect("it was made just now");
            let checked = window.frame(salt, self.at.offset, seal.bytes).at("read", path)?;
            let (header, crc) = match checked {
                Checked::Frame { header, crc } if header.prev_crc == self.at.prev_crc => {
                    (header, crc)
                }
                Checked::Frame { header, .. } => {
                    return Err(self.damaged(path, seal, CorruptReason::Chain, Some(header.lsn)));
                }
                Checked::Damaged { reason, lsn } => {
                    return Err(self.damaged(path, seal, reason, lsn));
                }
            };
            is_safe = known_kind(&header, self.at.offset, path)? == Kind::SafePoint;
            if is_safe {
                safe_lsn = header.lsn;
            }
            self.at.offset += header.total_len();
            self.at.last_lsn = header.lsn;
            self.at.prev_crc = crc;
            self.next_lsn = header.lsn + 1;
            self.done_bytes += header.total_len();
            self.report()?;
        }
        let window = self.window.as_mut().expect("it was made just now");
        if digest(window, entry.physical_bytes).at("read", path)? != seal.digest {
            return Err(self.unreadable(index, path, CorruptReason::CompactedDigest));
        }
        self.at = Boundary {
            segment: index,
            offset: seal.bytes,
            position: seal.end_position,
            last_lsn: seal.last_lsn,
            prev_crc: entry.end_crc,
        };
        self.next_lsn = seal.last_lsn + 1;
        self.safe_lsn = safe_lsn;
        // Of several segments that replace one run, only the last ends with the run's safe point.
        if is_safe {
            self.safe = self.at;
        }
        Ok(())
    }

    fn damaged(
        &self,
        path: &Path,
        seal: &SealEntry,
        reason: CorruptReason,
        lsn: Option<u64>,
    ) -> OpenError {
        let rest = super::Rest { written_end: seal.bytes, ..super::Rest::NOTHING };
        self.corrupt_at(path, reason, lsn, &rest)
    }
}

/// Digest of the first `len` bytes of a file.
fn digest(window: &mut Window, len: u64) -> std::io::Result<u128> {
    let mut digest = Xxh3Default::new();
    let mut at = 0;
    while at < len {
        let step = crate::bytes::size((len - at).min(SEGMENT_HEADER));
        let bytes = window.bytes(at, step)?;
        if bytes.is_empty() {
            break;
        }
        digest.update(bytes);
        at += bytes.len() as u64;
    }
    Ok(digest.digest128())
}

/// Whether an unlisted segment is what a crash has left of a normalization: a segment that a listed
/// one has replaced, or one that was to replace listed ones. Either way what it holds is listed.
pub(crate) fn is_left_over(
    storage: &dyn Storage,
    path: &Path,
    manifest: &crate::manifest::Manifest,
) -> Result<bool, OpenError> {
    let file = storage.open(path, Access::Read).at("open", path)?;
    let Some(header) = read_header(&*file).at("read", path)? else { return Ok(false) };
    if check_format(&header.format, path).is_err() || header.journal != manifest.journal {
        return Ok(false);
    }
    let covers = |entry: &SegmentEntry| {
        let last = entry.seal.map_or(0, |seal| seal.last_lsn);
        (entry.compacted || header.compacted)
            && (entry.first_lsn..=last).contains(&header.first_lsn)
            && entry.salt != header.salt
    };
    Ok(manifest.segments.iter().any(covers))
}
