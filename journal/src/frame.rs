//! The frame: one header of 32 bytes and a payload, both under seeded checksums.
//!
//! See `docs/format.md#frame` for the drawing. A frame's checksums are seeded with the salt of its
//! segment and its offset in the file, so a frame that is stale, misplaced or copied from elsewhere
//! fails even though its bytes are intact.

use crate::bytes::{put, round_up, u16_at, u32_at, u64_at};
use crate::ids::Position;

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 32;
/// [`HEADER_BYTES`] for offsets.
pub(crate) const HEADER: u64 = HEADER_BYTES as u64;
/// Frames begin at multiples of this many bytes, so that a header never straddles a sector.
pub(crate) const ALIGN: u64 = 8;
/// Payload bytes of one frame at most; a longer group is several frames.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;
/// Records of one frame at most; a longer group is several frames.
pub(crate) const RECORDS_MAX: usize = 65_535;

/// The group goes on in the next frame; this one counts only together with its last.
pub(crate) const FLAG_MORE_FOLLOWS: u8 = 0x02;
/// The frame is in a compacted segment: it holds what remains of a group.
const FLAG_COMPACTED: u8 = 0x04;
/// Flags that this version reads. Bit 0 (lz4) is reserved.
const FLAGS_KNOWN: u8 = FLAG_MORE_FOLLOWS | FLAG_COMPACTED;
/// Bit 7 of the kind: an older reader may skip the frame.
const KIND_SKIPPABLE: u8 = 0x80;
/// `durable_back` of a frame that claims nothing.
const NO_CLAIM: u32 = u32::MAX;

const _: () = assert!(512_usize.is_multiple_of(HEADER_BYTES), "headers tile a sector");
const _: () = assert!(HEADER.is_multiple_of(ALIGN), "a payload begins on a frame boundary");

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Records inside a root that is still open.
    Batch,
    /// Records that complete a root: recovery may stop here.
    SafePoint,
    /// No records; carries a claim of durability.
    Watermark,
    /// The last frame of a segment.
    Seal,
    /// No records; fills space.
    Pad,
    /// Unknown here, and marked as one that an older reader may skip.
    Skippable,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::SafePoint => 2,
            Self::Watermark => 3,
            Self::Seal => 4,
            Self::Pad => 5,
            Self::Skippable => KIND_SKIPPABLE,
        }
    }

    /// Whether frames of this kind carry records.
    pub(crate) const fn is_data(self) -> bool {
        matches!(self, Self::Batch | Self::SafePoint)
    }
}

/// A segment's share of its frames' checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Salt(u32);

impl Salt {
    /// Derives the seed base from the segment's salt.
    pub(crate) fn new(salt: u64) -> Self {
        Self(crc32c::crc32c(&salt.to_le_bytes()))
    }

    /// The seeds of the frame with `lsn` whose header is at a file offset.
    fn seeds(self, offset: u64, lsn: u64) -> Seeds {
        let header = crc32c::crc32c_append(self.0, &offset.to_le_bytes());
        Seeds { header, payload: crc32c::crc32c_append(header, &lsn.to_le_bytes()) }
    }

    /// Seed of the header at a file offset.
    fn header_seed(self, offset: u64) -> u32 {
        crc32c::crc32c_append(self.0, &offset.to_le_bytes())
    }
}

/// What a frame's two checksums begin with.
#[derive(Clone, Copy, Debug)]
struct Seeds {
    header: u32,
    payload: u32,
}

/// The fields of a frame's header, without its own checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) kind_code: u8,
    pub(crate) flags: u8,
    pub(crate) records: u16,
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) lsn: u64,
    pub(crate) prev_crc: u32,
    pub(crate) durable_back: u32,
}

/// What a writer knows of a frame; the rest follows from its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) more_follows: bool,
    pub(crate) compacted: bool,
    pub(crate) records: u16,
    pub(crate) payload_len: u32,
    /// crc32c of the payload, unseeded.
    pub(crate) payload_plain_crc: u32,
}

/// Where a frame stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) salt: Salt,
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) lsn: u64,
    pub(crate) prev_crc: u32,
    /// Everything before this position is known to be durable.
    pub(crate) durable: Option<u64>,
}

/// Encodes the header of a frame; returns its bytes and its checksum, the next frame's `prev_crc`.
pub(crate) fn encode(content: &Content, place: &Place) -> ([u8; HEADER_BYTES], u32) {
    let mut bytes = [0; HEADER_BYTES];
    let seeds = place.salt.seeds(place.offset, place.lsn);
    let payload_crc = content.payload_plain_crc ^ seeds.payload;
    let flags = if content.more_follows { FLAG_MORE_FOLLOWS } else { 0 }
        | if content.compacted { FLAG_COMPACTED } else { 0 };
    put(&mut bytes, 4, &[content.kind.code(), flags]);
    put(&mut bytes, 6, &content.records.to_le_bytes());
    put(&mut bytes, 8, &content.payload_len.to_le_bytes());
    put(&mut bytes, 12, &payload_crc.to_le_bytes());
    put(&mut bytes, 16, &place.lsn.to_le_bytes());
    put(&mut bytes, 24, &place.prev_crc.to_le_bytes());
    let back = place.durable.map_or(NO_CLAIM, |durable| durable_back(place.position, durable));
    put(&mut bytes, 28, &back.to_le_bytes());
    let crc = header_crc(&bytes, seeds.header);
    put(&mut bytes, 0, &crc.to_le_bytes());
    (bytes, crc)
}

fn header_crc(bytes: &[u8; HEADER_BYTES], seed: u32) -> u32 {
    crc32c::crc32c_append(seed, &bytes[4..])
}

/// The distance of `durable` behind `position` in 8-byte units; a distance that does not fit makes
/// no claim rather than a wrong one.
fn durable_back(position: u64, durable: u64) -> u32 {
    debug_assert!(durable <= position, "what is durable was written before");
    let units = position.saturating_sub(durable) / ALIGN;
    u32::try_from(units).unwrap_or(NO_CLAIM)
}

/// Bytes that a frame with this payload occupies.
pub(crate) const fn frame_len(payload_len: u64) -> u64 {
    round_up(HEADER + payload_len, ALIGN)
}

impl Header {
    /// Decodes a header whose checksum holds; returns it with that checksum. `None` otherwise.
    pub(crate) fn decode(
        bytes: &[u8; HEADER_BYTES],
        salt: Salt,
        offset: u64,
    ) -> Option<(Self, u32)> {
        // Cheap tests first: recovery tries every eighth byte of a damaged segment.
        if bytes[4] == 0 {
            return None;
        }
        let crc = header_crc(bytes, salt.header_seed(offset));
        if crc != u32_at(bytes, 0) {
            return None;
        }
        let header = Self {
            kind_code: bytes[4],
            flags: bytes[5],
            records: u16_at(bytes, 6),
            payload_len: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            lsn: u64_at(bytes, 16),
            prev_crc: u32_at(bytes, 24),
            durable_back: u32_at(bytes, 28),
        };
        Some((header, crc))
    }

    /// The frame's kind, or the code that this version does not know and may not skip.
    pub(crate) fn kind(&self) -> Result<Kind, u8> {
        match self.kind_code {
            1 => Ok(Kind::Batch),
            2 => Ok(Kind::SafePoint),
            3 => Ok(Kind::Watermark),
            4 => Ok(Kind::Seal),
            5 => Ok(Kind::Pad),
            code if code & KIND_SKIPPABLE != 0 => Ok(Kind::Skippable),
            code => Err(code),
        }
    }

    /// Flags that this version does not know.
    pub(crate) const fn unknown_flags(&self) -> u8 {
        self.flags & !FLAGS_KNOWN
    }

    pub(crate) const fn more_follows(&self) -> bool {
        self.flags & FLAG_MORE_FOLLOWS != 0
    }

    /// Bytes from this frame's begin to the next one's.
    pub(crate) fn total_len(&self) -> u64 {
        frame_len(u64::from(self.payload_len))
    }

    /// Whether a payload with this unseeded checksum belongs to the frame at `offset`.
    pub(crate) fn payload_matches(&self, plain_crc: u32, salt: Salt, offset: u64) -> bool {
        plain_crc ^ salt.seeds(offset, self.lsn).payload == self.payload_crc
    }

    /// The position that was durable when the frame at `position` was built, if it claims one.
    pub(crate) fn claim(&self, position: u64) -> Option<Position> {
        if self.durable_back == NO_CLAIM {
            return None;
        }
        let back = u64::from(self.durable_back) * ALIGN;
        position.checked_sub(back).map(Position::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            salt: Salt::new(7),
            offset: 4096,
            position: 1024,
            lsn: 3,
            prev_crc: 0xabcd,
            durable: Some(1000),
        }
    }

    fn content(payload: &[u8]) -> Content {
        Content {
            kind: Kind::SafePoint,
            more_follows: false,
            compacted: false,
            records: 1,
            payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload_plain_crc: crc32c::crc32c(payload),
        }
    }

    #[test]
    fn header_survives_encoding() {
        let (bytes, crc) = encode(&content(b"hello"), &place());
        let (header, found) = Header::decode(&bytes, Salt::new(7), 4096).expect("valid");
        assert_eq!(found, crc);
        assert_eq!(header.kind(), Ok(Kind::SafePoint));
        assert_eq!(header.lsn, 3);
        assert_eq!(header.total_len(), 40);
        assert_eq!(header.claim(1024), Some(Position::new(1000)));
        assert!(header.payload_matches(crc32c::crc32c(b"hello"), Salt::new(7), 4096));
        assert!(!header.payload_matches(crc32c::crc32c(b"hellp"), Salt::new(7), 4096));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let (bytes, _) = encode(&content(b"hello"), &place());
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, Salt::new(7), 4096).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_elsewhere_or_of_another_segment_fails() {
        let (bytes, _) = encode(&content(b"hello"), &place());
        assert!(Header::decode(&bytes, Salt::new(7), 4104).is_none());
        assert!(Header::decode(&bytes, Salt::new(8), 4096).is_none());
    }

    #[test]
    fn zeros_are_no_frame() {
        assert!(Header::decode(&[0; HEADER_BYTES], Salt::new(7), 4096).is_none());
    }

    #[test]
    fn a_claim_too_far_back_is_no_claim() {
        let mut place = place();
        place.position = 1 << 40;
        place.durable = Some(0);
        let (bytes, _) = encode(&content(b""), &place);
        let (header, _) = Header::decode(&bytes, Salt::new(7), 4096).expect("valid");
        assert_eq!(header.claim(1 << 40), None);
    }
}
