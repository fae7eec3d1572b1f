//! A segment's name and its header of 4096 bytes.
//!
//! The header stands twice, in sector 0 and in sector 7, each copy under its own checksum, so that
//! one bad sector does not take a segment's salt and identity with it. See
//! `docs/format.md#segment`.

use crate::bytes::{id_at, put, u16_at, u32_at, u64_at};
use crate::ids::Uuid;

/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER: u64 = 4096;
/// Where the two copies of the header stand.
pub(crate) const COPY_OFFSETS: [u64; 2] = [0, 7 * 512];
/// Bytes of one copy.
pub(crate) const COPY_BYTES: usize = 128;

/// The major version that this build writes and reads.
pub(crate) const FORMAT_MAJOR: u16 = 1;
/// The minor version that this build writes.
pub(crate) const FORMAT_MINOR: u16 = 0;
/// Incompatible features that this build knows.
pub(crate) const INCOMPAT_KNOWN: u32 = 0;
/// Features that a writer must know and a reader need not, as far as this build knows them.
pub(crate) const RO_COMPAT_KNOWN: u32 = 0;

const MAGIC: &[u8; 4] = b"STFJ";
/// Damaged by any transfer that takes the file for text.
const CANARY: &[u8; 4] = b"\r\n\x1a\n";
const CRC_AT: usize = COPY_BYTES - 4;

/// Version and feature words, the same in segments and manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Format {
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) incompat: u32,
    pub(crate) ro_compat: u32,
    pub(crate) compat: u32,
}

/// Why this build may not use a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unusable {
    /// A newer major version.
    Major,
    /// Incompatible feature bits that this build does not know.
    Incompat(u32),
}

impl Format {
    pub(crate) const CURRENT: Self =
        Self { major: FORMAT_MAJOR, minor: FORMAT_MINOR, incompat: 0, ro_compat: 0, compat: 0 };

    pub(crate) fn encode(&self, bytes: &mut [u8], at: usize) {
        put(bytes, at, &self.major.to_le_bytes());
        put(bytes, at + 2, &self.minor.to_le_bytes());
        put(bytes, at + 4, &self.incompat.to_le_bytes());
        put(bytes, at + 8, &self.ro_compat.to_le_bytes());
        put(bytes, at + 12, &self.compat.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8], at: usize) -> Self {
        Self {
            major: u16_at(bytes, at),
            minor: u16_at(bytes, at + 2),
            incompat: u32_at(bytes, at + 4),
            ro_compat: u32_at(bytes, at + 8),
            compat: u32_at(bytes, at + 12),
        }
    }

    /// Whether this build can read what the format describes.
    pub(crate) const fn check(&self) -> Result<(), Unusable> {
        if self.major != FORMAT_MAJOR {
            return Err(Unusable::Major);
        }
        match self.incompat & !INCOMPAT_KNOWN {
            0 => Ok(()),
            bits => Err(Unusable::Incompat(bits)),
        }
    }

    /// Features that forbid writing because this build does not know them.
    pub(crate) const fn unknown_ro_compat(&self) -> u32 {
        self.ro_compat & !RO_COMPAT_KNOWN
    }
}

/// Where a run of compacted segments ends, as the segments said that it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunEnd {
    /// The header checksum of their last frame: the `prev_crc` of what comes behind the run.
    pub(crate) crc: u32,
    pub(crate) last_lsn: u64,
    pub(crate) position: u64,
}

/// What a segment says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) format: Format,
    pub(crate) journal: Uuid,
    pub(crate) session: Uuid,
    pub(crate) salt: u64,
    pub(crate) first_lsn: u64,
    pub(crate) first_position: u64,
    /// The header checksum of the predecessor's last frame: the first frame's `prev_crc`.
    pub(crate) prev_crc: u32,
    pub(crate) generation: u16,
    /// Whether the first frame goes on with a group that began in the predecessor.
    pub(crate) continues_group: bool,
    /// Whether normalization has written the segment.
    pub(crate) compacted: bool,
    /// Of a compacted segment, the end of its run: its own last frame is not the one that was last.
    pub(crate) run_end: Option<RunEnd>,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; COPY_BYTES] {
        let mut bytes = [0; COPY_BYTES];
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 4, CANARY);
        self.format.encode(&mut bytes, 8);
        put(&mut bytes, 24, self.journal.as_bytes());
        put(&mut bytes, 40, self.session.as_bytes());
        put(&mut bytes, 56, &self.salt.to_le_bytes());
        put(&mut bytes, 64, &self.first_lsn.to_le_bytes());
        put(&mut bytes, 72, &self.first_position.to_le_bytes());
        put(&mut bytes, 80, &self.prev_crc.to_le_bytes());
        put(&mut bytes, 84, &self.generation.to_le_bytes());
        put(&mut bytes, 86, &[u8::from(self.continues_group), u8::from(self.compacted)]);
        if let Some(end) = self.run_end {
            put(&mut bytes, 88, &end.crc.to_le_bytes());
            put(&mut bytes, 96, &end.last_lsn.to_le_bytes());
            put(&mut bytes, 104, &end.position.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        put(&mut bytes, CRC_AT, &crc.to_le_bytes());
        bytes
    }

    /// Decodes one copy; `None` if magic, canary or checksum do not hold. A header of another major
    /// version decodes, so that the caller can name the version.
    pub(crate) fn decode(bytes: &[u8; COPY_BYTES]) -> Option<Self> {
        if &bytes[..4] != MAGIC || &bytes[4..8] != CANARY {
            return None;
        }
        if crc32c::crc32c(&bytes[..CRC_AT]) != u32_at(bytes, CRC_AT) {
            return None;
        }
        Some(Self {
            format: Format::decode(bytes, 8),
            journal: Uuid::from_bytes(id_at(bytes, 24)),
            session: Uuid::from_bytes(id_at(bytes, 40)),
            salt: u64_at(bytes, 56),
            first_lsn: u64_at(bytes, 64),
            first_position: u64_at(bytes, 72),
            prev_crc: u32_at(bytes, 80),
            generation: u16_at(bytes, 84),
            continues_group: bytes[86] != 0,
            compacted: bytes[87] != 0,
            run_end: Some(RunEnd {
                crc: u32_at(bytes, 88),
                last_lsn: u64_at(bytes, 96),
                position: u64_at(bytes, 104),
            })
            .filter(|end| end.last_lsn > 0),
        })
    }
}

/// `seg-<first lsn, 20 digits>-<generation, 4 hex>.jnl`.
pub(crate) fn segment_name(first_lsn: u64, generation: u16) -> String {
    format!("seg-{first_lsn:020}-{generation:04x}.jnl")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            format: Format::CURRENT,
            journal: Uuid::from_bytes([1; 16]),
            session: Uuid::from_bytes([2; 16]),
            salt: 3,
            first_lsn: 4,
            first_position: 5,
            prev_crc: 6,
            generation: 7,
            continues_group: true,
            compacted: true,
            run_end: Some(RunEnd { crc: 9, last_lsn: 700, position: 90_000 }),
        }
    }

    #[test]
    fn header_survives_encoding() {
        assert_eq!(SegmentHeader::decode(&header().encode()), Some(header()));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = header().encode();
        for bit in 0..COPY_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_decoded_and_named() {
        let mut header = header();
        header.format.major += 1;
        let found = SegmentHeader::decode(&header.encode()).expect("decodes");
        assert_eq!(found.format.check(), Err(Unusable::Major));
        header.format.major -= 1;
        header.format.incompat = 4;
        assert_eq!(header.format.check(), Err(Unusable::Incompat(4)));
    }

    #[test]
    fn names_sort_by_lsn() {
        assert_eq!(segment_name(42, 10), "seg-00000000000000000042-000a.jnl");
    }
}
