//! Where a reader gets its segments and bytes from.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::bytes::size;
use crate::error::ReadError;
use crate::files::Dir;
use crate::manifest::{Manifest, SegmentEntry};
use crate::mmap::{MapPermit, PublishedMap};
use crate::options::WriteMode;
use crate::shared::Shared;
use crate::storage::{Access, StorageFile};
use crate::tail::{Seen, Watched};

/// Bytes that are read ahead without a map.
const BUFFER_BYTES: usize = 256 << 10;

/// A journal that is open for writing, or one that is only looked at.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Open(Arc<Shared>),
    Inspected {
        dir: Dir,
        manifest: Arc<Manifest>,
        limit: u64,
        /// Whether segments may be mapped: whoever holds the journal's lock may.
        maps: bool,
    },
    /// One that another process may be writing.
    Watched(Arc<Watched>),
}

impl Source {
    /// The position up to which groups are complete and never change.
    pub(crate) fn limit(&self) -> u64 {
        match self {
            Self::Open(shared) => shared.published.readable.load(Ordering::Acquire),
            Self::Inspected { limit, .. } => *limit,
            Self::Watched(watched) => watched.limit(),
        }
    }

    /// Changes with the list of segments.
    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Open(shared) => shared.published.generation.load(Ordering::Acquire),
            Self::Inspected { manifest, .. } => manifest.generation,
            Self::Watched(watched) => watched.generation(),
        }
    }

    /// Whether there is another list of segments than the one of `generation`; looks for it where
    /// nobody says so.
    pub(crate) fn renew(&self, generation: u64) -> Result<bool, ReadError> {
        if let Self::Watched(watched) = self {
            watched.look()?;
        }
        Ok(self.generation() != generation)
    }

    /// The list of segments and its generation.
    pub(crate) fn segments(&self) -> (u64, Vec<SegmentEntry>) {
        match self {
            Self::Open(shared) => {
                let writer = shared.lock();
                (writer.manifest.generation, writer.manifest.segments.clone())
            }
            Self::Inspected { manifest, .. } => (manifest.generation, manifest.segments.clone()),
            Self::Watched(watched) => watched.segments(),
        }
    }

    fn dir(&self) -> &Dir {
        match self {
            Self::Open(shared) => &shared.dir,
            Self::Inspected { dir, .. } => dir,
            Self::Watched(watched) => watched.dir(),
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

    fn maps(&self) -> bool {
        match self {
            Self::Open(shared) => shared.mode == WriteMode::Map,
            Self::Inspected { maps, .. } => *maps,
            Self::Watched(watched) => watched.maps(),
        }
    }

    pub(crate) const fn is_watched(&self) -> bool {
        matches!(self, Self::Watched(_))
    }

    /// Whether nothing more than was seen will ever be there.
    pub(crate) fn ended(&self, seen: Seen) -> bool {
        match self {
            Self::Open(shared) => {
                let ended = shared.published.ended.load(Ordering::Acquire)
                    || shared.published.poisoned.load(Ordering::Acquire);
                ended && self.limit() == seen.limit
            }
            Self::Inspected { .. } => true,
            Self::Watched(_) => false,
        }
    }

    /// Opens a segment. What a map may hold is never truncated by anybody who keeps to the journal's
    /// rules (INV-28); a journal that is only inspected may be under repair.
    pub(crate) fn open(
        &self,
        entry: &SegmentEntry,
        path: &Path,
    ) -> io::Result<(Arc<dyn StorageFile>, Bytes)> {
        let file = self.dir().storage.open(path, Access::Read)?;
        if self.maps()
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
