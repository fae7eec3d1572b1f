//! What a segment says of itself.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::bytes::size;
use crate::error::{At as _, OpenError};
use crate::files::Dir;
use crate::frame::{ALIGN, HEADER, Header, Kind, Salt};
use crate::manifest::{SealEntry, SegmentEntry};
use crate::options::SEGMENT_BYTES_MAX;
use crate::recovery::{check_format, read_header};
use crate::segment::{SEGMENT_HEADER, SegmentHeader};
use crate::storage::{Access, StorageFile};
use crate::window::{Checked, Window};

/// Zeros are skipped in blocks of this many bytes.
const BLOCK: u64 = 4096;

/// A segment whose header holds.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) bytes: u64,
    file: Arc<dyn StorageFile>,
}

/// The end of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameEnd {
    pub(super) crc: u32,
    pub(super) offset: u64,
    pub(super) lsn: u64,
}

/// What is in a segment.
#[derive(Clone, Debug)]
pub(super) struct Scanned {
    /// The end of the frames that follow each other from the begin on.
    pub(super) end: FrameEnd,
    /// Whether the last of these completes a root.
    pub(super) ends_safe: bool,
    /// Whether nothing but zeros follows them.
    pub(super) is_whole: bool,
    /// Valid frames that another segment may continue, wherever they are.
    pub(super) wanted: Vec<FrameEnd>,
}

impl Candidate {
    /// `None` if there is no header, or one of a file that cannot be a segment.
    pub(super) fn open(dir: &Dir, name: &str) -> Result<Option<Self>, OpenError> {
        let path = dir.file(name);
        let file = dir.open(name, Access::Read)?;
        let Some(header) = read_header(&*file).at("read", &path)? else { return Ok(None) };
        check_format(&header.format, &path)?;
        let bytes = file.len().at("examine", &path)?;
        let is_segment = bytes.is_multiple_of(BLOCK)
            && (SEGMENT_HEADER..=SEGMENT_BYTES_MAX).contains(&bytes)
            && header.first_lsn > 0;
        let candidate = Self { path, header, bytes, file };
        Ok((is_segment && candidate.entry(None, 0).name() == name).then_some(candidate))
    }

    /// The entry of the manifest. The digest of a compacted segment comes when it is copied.
    pub(super) fn entry(&self, seal: Option<SealEntry>, end_crc: u32) -> SegmentEntry {
        SegmentEntry {
            first_lsn: self.header.first_lsn,
            first_position: self.header.first_position,
            salt: self.header.salt,
            physical_bytes: self.bytes,
            generation: self.header.generation,
            compacted: self.header.compacted,
            end_crc,
            continues_group: self.header.continues_group,
            seal,
        }
    }

    /// Whether it continues nothing: the first segment of a journal.
    pub(super) const fn is_begin(&self) -> bool {
        self.header.prev_crc == 0 && !self.header.continues_group
    }

    /// The position of a file offset.
    pub(super) fn position(&self, offset: u64) -> u64 {
        self.header.first_position + (offset - SEGMENT_HEADER)
    }

    /// Reads all of the segment. `wanted` are the header checksums that some segment continues.
    pub(super) fn scan(&self, wanted: &BTreeSet<u32>) -> Result<Scanned, OpenError> {
        self.try_scan(wanted).at("read", &self.path).map_err(OpenError::from)
    }

    fn try_scan(&self, wanted: &BTreeSet<u32>) -> io::Result<Scanned> {
        let header = &self.header;
        let begin =
            FrameEnd { crc: header.prev_crc, offset: SEGMENT_HEADER, lsn: header.first_lsn - 1 };
        let mut scanned =
            Scanned { end: begin, ends_safe: false, is_whole: true, wanted: Vec::new() };
        let mut window = Window::new(Arc::clone(&self.file), self.bytes);
        let salt = Salt::new(header.salt);
        let mut offset = SEGMENT_HEADER;
        while offset < self.bytes {
            let Checked::Frame { header, crc } = window.frame(salt, offset, self.bytes)? else {
                offset += self.skip(&mut window, offset, &mut scanned.is_whole)?;
                continue;
            };
            let end = FrameEnd { crc, offset: offset + header.total_len(), lsn: header.lsn };
            if self.follows(&scanned.end, offset, &header) {
                scanned.end = end;
                scanned.ends_safe = header.kind() == Ok(Kind::SafePoint) && !header.more_follows();
            } else {
                scanned.is_whole = false;
            }
            // Of a compacted segment, only the last frame can be continued.
            if wanted.contains(&crc) && !self.header.compacted {
                scanned.wanted.push(end);
            }
            offset = end.offset;
        }
        if self.header.compacted && scanned.is_whole && wanted.contains(&scanned.end.crc) {
            scanned.wanted.push(scanned.end);
        }
        Ok(scanned)
    }

    /// Whether a frame is the next one of those that follow each other.
    fn follows(&self, before: &FrameEnd, offset: u64, header: &Header) -> bool {
        let numbered = if self.header.compacted {
            header.lsn >= before.lsn
        } else {
            header.lsn == before.lsn + 1
        };
        offset == before.offset && header.prev_crc == before.crc && numbered
    }

    /// How far to go on where no frame is.
    fn skip(&self, window: &mut Window, offset: u64, is_whole: &mut bool) -> io::Result<u64> {
        let step = (self.bytes - offset).min(BLOCK - offset % BLOCK);
        let is_zero = window.bytes(offset, size(step))?.iter().all(|byte| *byte == 0);
        *is_whole &= is_zero;
        Ok(if is_zero { step } else { ALIGN })
    }

    /// Room that so many frames take at least.
    pub(super) const fn room_of(frames: u64) -> u64 {
        frames.saturating_mul(HEADER)
    }
}
