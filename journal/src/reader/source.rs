//! Where a reader gets its segments and bytes from.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::size;
use crate::files::Dir;
use crate::manifest::{Manifest, SegmentEntry};
use crate::mmap::{MapPermit, PublishedMap};
use crate::options::WriteMode;
use crate::shared::Shared;
use crate::storage::{Access, StorageFile};

/// Bytes that are read ahead without a map.
const BUFFER_BYTES: usize = 256 << 10;

/// A journal that is open for writing, or one that is only looked at.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Open(Arc<Shared>),
    Inspected { dir: Dir, manifest: Arc<Manifest>, limit: u64 },
}

impl Source {
    /// The position up to which groups are complete and never change.
    pub(crate) fn limit(&self) -> u64 {
        match self {
            Self::Open(shared) => shared.published.readable.load(Ordering::Acquire),
            Self::Inspected { limit, .. } => *limit,
        }
    }

    /// Changes with the list of segments.
    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Open(shared) => shared.published.generation.load(Ordering::Acquire),
            Self::Inspected { manifest, .. } => manifest.generation,
        }
    }

    /// The list of segments and its generation.
    pub(crate) fn segments(&self) -> (u64, Vec<SegmentEntry>) {
        match self {
            Self::Open(shared) => {
                let writer = shared.lock();
                (writer.manifest.generation, writer.manifest.segments.clone())
            }
            Self::Inspected { manifest, .. } => (manifest.generation, manifest.segments.clone()),
        }
    }

    fn dir(&self) -> &Dir {
        match self {
            Self::Open(shared) => &shared.dir,
            Self::Inspected { dir, .. } => dir,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().file(name)
    }

    /// The salt of a segment's frames.
    pub(crate) fn salt(&self, entry: &SegmentEntry) -> u64 {
        match self {
            Self::Open(shared) if shared.bugs.drop_salt => 0,
            _ => entry.salt,
        }
    }

    /// Opens a segment. Maps are for journals whose lock this process holds: nobody truncates their
    /// files.
    pub(crate) fn open(
        &self,
        entry: &SegmentEntry,
        path: &Path,
    ) -> io::Result<(Arc<dyn StorageFile>, Bytes)> {
        let file = self.dir().storage.open(path, Access::Read)?;
        if let Self::Open(shared) = self
            && shared.mode == WriteMode::Map
            && let Ok(map) = file.map_read(entry.physical_bytes, MapPermit::for_segment())
        {
            return Ok((file, Bytes::Map(PublishedMap::new(map))));
        }
        let bytes = Bytes::Buffer {
            file: file.clone(),
            buffer: vec![0; size(entry.physical_bytes).min(BUFFER_BYTES)],
            start: 0,
            len: 0,
        };
        Ok((file, bytes))
    }
}

/// A segment's bytes.
#[derive(Debug)]
pub(crate) enum Bytes {
    Map(PublishedMap),
    Buffer {
        file: Arc<dyn StorageFile>,
        buffer: Vec<u8>,
        /// File offset of the buffer's first byte.
        start: u64,
        /// How many bytes of the buffer hold the file's content.
        len: usize,
    },
}

impl Bytes {
    /// Forgets what was read ahead: it may be the reading that went wrong.
    pub(crate) fn forget(&mut self) {
        if let Self::Buffer { len, .. } = self {
            *len = 0;
        }
    }

    /// The bytes from `offset`, `wanted` of them; `None` if they reach past `end`, the end of what
    /// never changes, or past the end of the file.
    #[inline]
    pub(crate) fn get(
        &mut self,
        offset: u64,
        wanted: usize,
        end: u64,
    ) -> io::Result<Option<&[u8]>> {
        let (file, buffer, start, len) = match self {
            Self::Map(map) => return Ok(map.below_end(offset, wanted, end)),
            Self::Buffer { file, buffer, start, len } => (file, buffer, start, len),
        };
        if offset.checked_add(wanted as u64).is_none_or(|wanted_end| wanted_end > end) {
            return Ok(None);
        }
        let inside = offset >= *start && offset + wanted as u64 <= *start + *len as u64;
        if !inside {
            // `wanted` is bounded by the segment, whose end the caller knows.
            if buffer.len() < wanted {
                buffer.resize(wanted, 0);
            }
            let ahead = size(end - offset).min(buffer.len());
            (*start, *len) = (offset, 0);
            *len = file.read_at(&mut buffer[..ahead], offset)?;
            if *len < wanted {
                return Ok(None);
            }
        }
        let from = size(offset - *start);
        Ok(Some(&buffer[from..from + wanted]))
    }
}
