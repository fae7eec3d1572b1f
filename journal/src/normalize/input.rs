//! The segments that are normalized.

use std::ops::Range;
use std::sync::Arc;

use super::{Kept, LastGroup, NormalizeError, Normalized, Pace, Refusal};
use crate::batch::End;
use crate::error::At as _;
use crate::ids::Position;
use crate::manifest::{Manifest, SealEntry, SegmentEntry};
use crate::options::WriteMode;
use crate::reader::{From, Group, Reader, Source};
use crate::recovery::read_header;
use crate::shared::Shared;
use crate::storage::Access;

/// A run of sealed segments.
pub(super) struct Input {
    /// The journal when the run was chosen.
    manifest: Arc<Manifest>,
    /// Indices in that manifest.
    range: Range<usize>,
}

impl Input {
    /// The run; `None` if its borders cut through a group.
    pub(super) fn new(manifest: Manifest, range: Range<usize>) -> Option<Self> {
        let clean = |index: usize| !manifest.segments[index].continues_group;
        let sealed = manifest.segments[range.clone()].iter().all(|segment| segment.seal.is_some());
        let whole = range.end < manifest.segments.len() && clean(range.start) && clean(range.end);
        (sealed && whole).then(|| Self { manifest: Arc::new(manifest), range })
    }

    pub(super) fn entries(&self) -> &[SegmentEntry] {
        &self.manifest.segments[self.range.clone()]
    }

    pub(super) fn first(&self) -> &SegmentEntry {
        &self.entries()[0]
    }

    pub(super) fn last(&self) -> &SegmentEntry {
        &self.entries()[self.entries().len() - 1]
    }

    pub(super) fn end(&self) -> SealEntry {
        self.last().seal.expect("the run is sealed")
    }

    /// What the first frame of the run continues.
    pub(super) fn prev_crc(&self, shared: &Shared) -> Result<u32, NormalizeError> {
        let name = self.first().name();
        let path = shared.dir.file(&name);
        let file = shared.dir.open(&name, Access::Read).map_err(NormalizeError::Io)?;
        let header = read_header(&*file).at("read", &path).map_err(NormalizeError::Io)?;
        header.map(|header| header.prev_crc).ok_or(NormalizeError::Overtaken)
    }

    /// Hands every group to `take`; returns the last. The range must begin and end between roots.
    pub(super) fn each(
        &self,
        shared: &Arc<Shared>,
        pace: &mut Pace<'_>,
        mut take: impl FnMut(&Group<'_>) -> Result<(), Refusal>,
    ) -> Result<LastGroup, NormalizeError> {
        // The list as it was chosen: nobody else changes these segments while this one runs.
        let source = Source::Inspected {
            dir: shared.dir.clone(),
            manifest: Arc::clone(&self.manifest),
            limit: self.end().end_position,
            maps: shared.mode == WriteMode::Map,
        };
        let begin = Position::new(self.first().first_position);
        let mut reader = Reader::new(source, From::Position(begin))?;
        let mut last = None;
        while let Some(group) = reader.next_group()? {
            take(&group).map_err(NormalizeError::Refused)?;
            last = Some((group.lsn(), group.end(), group.position().get()));
            let bytes = group.position().get() - group.begin().get();
            pace.step(bytes)?;
        }
        match last {
            // Inside a compacted segment, positions are those of what remains.
            Some((lsn, End::SafePoint, _)) if self.last().compacted => {
                Ok(LastGroup { lsn, end: self.end().end_position })
            }
            Some((lsn, End::SafePoint, end)) => Ok(LastGroup { lsn, end }),
            _ => Err(NormalizeError::Kept(Kept::OpenTransaction)),
        }
    }

    fn file_bytes(&self) -> u64 {
        self.entries().iter().map(|entry| entry.physical_bytes).sum()
    }

    pub(super) fn unchanged(&self, range: &Range<Position>) -> Normalized {
        let (segments, bytes) = (self.entries().len(), self.file_bytes());
        Normalized {
            begin: range.start,
            end: range.end,
            segments_before: segments,
            segments_after: segments,
            bytes_before: bytes,
            bytes_after: bytes,
        }
    }

    pub(super) fn replaced_by(&self, range: &Range<Position>, by: &[SegmentEntry]) -> Normalized {
        Normalized {
            segments_after: by.len(),
            bytes_after: by.iter().map(|entry| entry.physical_bytes).sum(),
            ..self.unchanged(range)
        }
    }
}
