//! What the check is asked, and what it answers.

use std::path::Path;

use crate::durable_slot::Slot;
use crate::manifest::Manifest;
use crate::shared::Bugs;
use crate::storage::Storage;

/// A boundary between frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Boundary {
    /// Index of the segment in the manifest.
    pub(crate) segment: usize,
    /// File offset in that segment.
    pub(crate) offset: u64,
    pub(crate) position: u64,
    /// The last sequence number used before the boundary.
    pub(crate) last_lsn: u64,
    /// That frame's header checksum.
    pub(crate) prev_crc: u32,
}

/// The answer of the check: the journal may be opened.
#[derive(Clone, Debug)]
pub(crate) struct Checkup {
    /// P: the end of the valid frames.
    pub(crate) end: Boundary,
    /// S: the end of the last complete safe point, and of frames without records behind it.
    pub(crate) safe: Boundary,
    /// The last frame of the last complete safe point; 0 if there is none.
    pub(crate) safe_lsn: u64,
    /// Whether nothing follows the end.
    pub(crate) clean_end: bool,
    /// File offset in the last segment behind everything that is not zero.
    pub(crate) written_end: u64,
    /// Whether the last segment ends with a seal that the manifest does not know yet.
    pub(crate) ends_with_seal: bool,
    /// D: everything before this was durable.
    pub(crate) durable: u64,
    /// Frames without records that this version skipped.
    pub(crate) skipped_frames: u64,
    pub(crate) slot: Slot,
}

impl Checkup {
    /// Whether what follows the last safe point must be cut off.
    pub(crate) fn needs_cut(&self) -> bool {
        !self.clean_end || self.safe.position != self.end.position
    }
}

/// What the check needs to know.
pub(crate) struct Subject<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) dir: &'a Path,
    pub(crate) manifest: &'a Manifest,
    /// Read unsealed segments from the medium instead of the cache.
    pub(crate) direct: bool,
    /// From here on, what follows in the segment that takes frames is known to be zero.
    pub(crate) zeros_from: u64,
    /// Page cache cannot have been lost since the journal was opened last (7.).
    pub(crate) same_incarnation: bool,
    pub(crate) bugs: Bugs,
}
