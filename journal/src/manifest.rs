//! The manifest: which segments make up the journal, and how much of each counts.
//!
//! Replaced whole, by rename, and only by the holder of the lock. See `docs/format.md#manifest`.

use crate::bytes::{id_at, put, round_up, size, u16_at, u32_at, u64_at, u128_at};
use crate::frame::ALIGN;
use crate::ids::Uuid;
use crate::options::SEGMENT_BYTES_MAX;
use crate::segment::{Format, SEGMENT_HEADER, segment_name};
use crate::storage::Incarnation;

/// The file that is read.
pub(crate) const NAME: &str = "MANIFEST";
/// The one before it, for a human.
pub(crate) const PREVIOUS_NAME: &str = "MANIFEST.prev";
/// What a new one is called until it is complete.
pub(crate) const TMP_NAME: &str = "MANIFEST.tmp";
/// What a copy of the old one is called until it is complete.
pub(crate) const PREVIOUS_TMP_NAME: &str = "MANIFEST.prev.tmp";

const MAGIC: &[u8; 4] = b"STFM";
const TRAILER: &[u8; 4] = b"MFTS";
const HEAD_BYTES: usize = 128;
const SEGMENT_BYTES: usize = 96;
const SNAPSHOT_BYTES: usize = 48;
const TRAIL_BYTES: usize = 12;
/// A manifest file is a multiple of this, zeros behind the trailer.
const FILE_UNIT: u64 = 4096;
/// Bytes of the longest manifest that is read: room for half a million segments.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

const FLAG_SEALED: u16 = 1;
const FLAG_COMPACTED: u16 = 2;
const FLAG_CONTINUES_GROUP: u16 = 4;

/// No journal grows to a number or position beyond this; larger ones on disk are damage.
const NUMBER_MAX: u64 = 1 << 60;

/// The content of a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    pub(crate) format: Format,
    pub(crate) journal: Uuid,
    pub(crate) session: Uuid,
    /// One more with each switch.
    pub(crate) generation: u64,
    /// The start of the system in which the journal was last opened.
    pub(crate) incarnation: Incarnation,
    /// Everything before this was durable when the manifest was written.
    pub(crate) durable: u64,
    /// Whether the journal was closed in order after this.
    pub(crate) closed: bool,
    pub(crate) segments: Vec<SegmentEntry>,
    pub(crate) snapshots: Vec<SnapshotEntry>,
}

/// One segment of the journal, in order. Only the last may be unsealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentEntry {
    pub(crate) first_lsn: u64,
    pub(crate) first_position: u64,
    pub(crate) salt: u64,
    /// Length of the file, which was zero-filled to it.
    pub(crate) physical_bytes: u64,
    pub(crate) generation: u16,
    /// Whether normalization has written it: its frames are what remains of its range.
    pub(crate) compacted: bool,
    /// Of a compacted segment, what the next one's `prev_crc` is: the header checksum of the last
    /// frame of its range, which may be gone.
    pub(crate) end_crc: u32,
    /// Whether the first frame goes on with a group that began in the segment before.
    pub(crate) continues_group: bool,
    pub(crate) seal: Option<SealEntry>,
}

/// What is fixed once a segment takes no more frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SealEntry {
    /// File offset behind the last frame that counts. Bytes beyond are never read.
    pub(crate) bytes: u64,
    pub(crate) last_lsn: u64,
    pub(crate) end_position: u64,
    /// The last frame's header checksum; of a compacted segment, the digest of the whole file.
    pub(crate) digest: u128,
}

/// One snapshot of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotEntry {
    pub(crate) lsn: u64,
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    pub(crate) generation: u16,
    pub(crate) digest: u128,
}

impl SegmentEntry {
    pub(crate) fn name(&self) -> String {
        segment_name(self.first_lsn, self.generation)
    }

    /// Whether `next` may be of the same run of compacted segments. Only the last of a run says less
    /// than its range by its length, so the answer can be wrongly yes, and never wrongly no.
    pub(crate) fn goes_on_in(&self, next: &Self) -> bool {
        self.seal.is_some_and(|seal| {
            self.compacted
                && next.compacted
                && seal.end_position == next.first_position
                && seal.end_position - self.first_position == seal.bytes - SEGMENT_HEADER
        })
    }

    /// The header checksum of the last frame of a sealed segment's range.
    pub(crate) fn chain_end(&self) -> Option<u32> {
        let seal = self.seal?;
        if self.compacted { Some(self.end_crc) } else { u32::try_from(seal.digest).ok() }
    }

    /// Whether the numbers can be those of a segment; what passes can be added without overflow.
    fn is_plausible(&self) -> bool {
        let aligned = self.first_position.is_multiple_of(ALIGN)
            && self.physical_bytes.is_multiple_of(SEGMENT_HEADER);
        let bounded = (1..=NUMBER_MAX).contains(&self.first_lsn)
            && self.first_position <= NUMBER_MAX
            && (SEGMENT_HEADER..=SEGMENT_BYTES_MAX).contains(&self.physical_bytes);
        // Evaluated last: the subtraction below needs the bounds above.
        let seal_fits = || {
            self.seal.is_none_or(|seal| {
                (SEGMENT_HEADER..=self.physical_bytes).contains(&seal.bytes)
                    && seal.bytes.is_multiple_of(ALIGN)
                    && (self.first_lsn - 1..=NUMBER_MAX).contains(&seal.last_lsn)
                    && (self.compacted
                        || seal.end_position - self.first_position.min(seal.end_position)
                            == seal.bytes - SEGMENT_HEADER)
                    && (self.first_position..=NUMBER_MAX).contains(&seal.end_position)
            })
        };
        aligned && bounded && seal_fits()
    }
}

/// Why bytes are not a manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestDamage {
    /// The file is shorter than any manifest.
    #[error("the file ends before its head")]
    Short,
    /// The first bytes are not those of a manifest.
    #[error("the file does not begin like a manifest")]
    Magic,
    /// The length in the head is impossible, or the file is shorter.
    #[error("the length in its head does not fit the file")]
    Length,
    /// The trailing bytes are missing.
    #[error("the trailer is missing")]
    Trailer,
    /// The checksum does not hold.
    #[error("the checksum does not hold")]
    Checksum,
    /// The checksum holds, the fields contradict each other.
    #[error("its fields contradict each other")]
    Fields,
}

impl Manifest {
    /// Bytes that a manifest of `segments` and the present snapshots takes on disk.
    pub(crate) fn file_bytes(&self, more_segments: u64) -> u64 {
        let more = more_segments * SEGMENT_BYTES as u64;
        round_up(self.content_bytes() as u64 + more, FILE_UNIT)
    }

    fn content_bytes(&self) -> usize {
        HEAD_BYTES
            + self.segments.len() * SEGMENT_BYTES
            + self.snapshots.len() * SNAPSHOT_BYTES
            + TRAIL_BYTES
    }

    /// The manifest's bytes, padded with zeros to a multiple of 4096.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let content = self.content_bytes();
        let mut bytes = vec![0; size(self.file_bytes(0))];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 4, &count(content).to_le_bytes());
        self.format.encode(&mut bytes, 8);
        put(&mut bytes, 24, self.journal.as_bytes());
        put(&mut bytes, 40, self.session.as_bytes());
        put(&mut bytes, 56, &self.generation.to_le_bytes());
        put(&mut bytes, 64, self.incarnation.as_bytes());
        put(&mut bytes, 80, &self.durable.to_le_bytes());
        put(&mut bytes, 88, &[u8::from(self.closed)]);
        put(&mut bytes, 92, &count(self.segments.len()).to_le_bytes());
        put(&mut bytes, 96, &count(self.snapshots.len()).to_le_bytes());
        let mut at = HEAD_BYTES;
        for segment in &self.segments {
            segment.encode(&mut bytes[at..at + SEGMENT_BYTES]);
            at += SEGMENT_BYTES;
        }
        for snapshot in &self.snapshots {
            snapshot.encode(&mut bytes[at..at + SNAPSHOT_BYTES]);
            at += SNAPSHOT_BYTES;
        }
        let crc = crc32c::crc32c(&bytes[..at]);
        put(&mut bytes, at, &crc.to_le_bytes());
        put(&mut bytes, at + 4, &count(content).to_le_bytes());
        put(&mut bytes, at + 8, TRAILER);
        bytes
    }

    /// Decodes a manifest. One of another major version yields its format alone, as an error, since
    /// nothing else of it can be relied on.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Result<Self, Format>, ManifestDamage> {
        if bytes.len() < HEAD_BYTES + TRAIL_BYTES {
            return Err(ManifestDamage::Short);
        }
        if &bytes[..4] != MAGIC {
            return Err(ManifestDamage::Magic);
        }
        let content = size(u64::from(u32_at(bytes, 4)));
        if content < HEAD_BYTES + TRAIL_BYTES || content > bytes.len() {
            return Err(ManifestDamage::Length);
        }
        let trail = content - TRAIL_BYTES;
        if &bytes[trail + 8..content] != TRAILER {
            return Err(ManifestDamage::Trailer);
        }
        if u32_at(bytes, trail + 4) != u32_at(bytes, 4) {
            return Err(ManifestDamage::Length);
        }
        if crc32c::crc32c(&bytes[..trail]) != u32_at(bytes, trail) {
            return Err(ManifestDamage::Checksum);
        }
        let format = Format::decode(bytes, 8);
        if format.check().is_err() {
            return Ok(Err(format));
        }
        Self::decode_fields(&bytes[..trail], format).map(Ok)
    }

    fn decode_fields(bytes: &[u8], format: Format) -> Result<Self, ManifestDamage> {
        let segments = size(u64::from(u32_at(bytes, 92)));
        let snapshots = size(u64::from(u32_at(bytes, 96)));
        let entries = segments
            .checked_mul(SEGMENT_BYTES)
            .zip(snapshots.checked_mul(SNAPSHOT_BYTES))
            .and_then(|(a, b)| a.checked_add(b));
        if entries != Some(bytes.len() - HEAD_BYTES) {
            return Err(ManifestDamage::Fields);
        }
        let (segment_bytes, snapshot_bytes) =
            bytes[HEAD_BYTES..].split_at(segments * SEGMENT_BYTES);
        let manifest = Self {
            format,
            journal: Uuid::from_bytes(id_at(bytes, 24)),
            session: Uuid::from_bytes(id_at(bytes, 40)),
            generation: u64_at(bytes, 56),
            incarnation: Incarnation::from_bytes(id_at(bytes, 64)),
            durable: u64_at(bytes, 80),
            closed: bytes[88] != 0,
            segments: segment_bytes.chunks(SEGMENT_BYTES).map(SegmentEntry::decode).collect(),
            snapshots: snapshot_bytes.chunks(SNAPSHOT_BYTES).map(SnapshotEntry::decode).collect(),
        };
        if manifest.is_consistent() { Ok(manifest) } else { Err(ManifestDamage::Fields) }
    }

    /// Whether segments follow each other and only the last is unsealed.
    fn is_consistent(&self) -> bool {
        let mut next_lsn = 1;
        let mut next_position = 0;
        let last = self.segments.len().saturating_sub(1);
        for (index, segment) in self.segments.iter().enumerate() {
            let follows = segment.first_lsn >= next_lsn && segment.first_position >= next_position;
            if !follows || !segment.is_plausible() || (segment.seal.is_none() && index < last) {
                return false;
            }
            if let Some(seal) = &segment.seal {
                (next_lsn, next_position) = (seal.last_lsn + 1, seal.end_position);
            }
        }
        self.durable <= NUMBER_MAX
    }
}

/// Counts in a manifest are bounded by [`BYTES_MAX`].
fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a manifest is far below 4 GiB")
}

impl SegmentEntry {
    fn encode(&self, bytes: &mut [u8]) {
        let sealed = if self.seal.is_some() { FLAG_SEALED } else { 0 };
        let compacted = if self.compacted { FLAG_COMPACTED } else { 0 };
        let continues = if self.continues_group { FLAG_CONTINUES_GROUP } else { 0 };
        put(bytes, 0, &self.first_lsn.to_le_bytes());
        put(bytes, 8, &self.first_position.to_le_bytes());
        put(bytes, 16, &self.salt.to_le_bytes());
        put(bytes, 24, &self.physical_bytes.to_le_bytes());
        put(bytes, 32, &self.generation.to_le_bytes());
        put(bytes, 34, &(sealed | compacted | continues).to_le_bytes());
        put(bytes, 36, &self.end_crc.to_le_bytes());
        if let Some(seal) = &self.seal {
            put(bytes, 40, &seal.bytes.to_le_bytes());
            put(bytes, 48, &seal.last_lsn.to_le_bytes());
            put(bytes, 56, &seal.end_position.to_le_bytes());
            put(bytes, 64, &seal.digest.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Self {
        let flags = u16_at(bytes, 34);
        Self {
            first_lsn: u64_at(bytes, 0),
            first_position: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            physical_bytes: u64_at(bytes, 24),
            generation: u16_at(bytes, 32),
            compacted: flags & FLAG_COMPACTED != 0,
            end_crc: u32_at(bytes, 36),
            continues_group: flags & FLAG_CONTINUES_GROUP != 0,
            seal: (flags & FLAG_SEALED != 0).then(|| SealEntry {
                bytes: u64_at(bytes, 40),
                last_lsn: u64_at(bytes, 48),
                end_position: u64_at(bytes, 56),
                digest: u128_at(bytes, 64),
            }),
        }
    }
}

impl SnapshotEntry {
    fn encode(&self, bytes: &mut [u8]) {
        put(bytes, 0, &self.lsn.to_le_bytes());
        put(bytes, 8, &self.position.to_le_bytes());
        put(bytes, 16, &self.bytes.to_le_bytes());
        put(bytes, 24, &self.generation.to_le_bytes());
        put(bytes, 32, &self.digest.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            lsn: u64_at(bytes, 0),
            position: u64_at(bytes, 8),
            bytes: u64_at(bytes, 16),
            generation: u16_at(bytes, 24),
            digest: u128_at(bytes, 32),
        }
    }
}

#[cfg(test)]
mod tests;
