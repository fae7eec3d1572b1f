//! The segment that is being read, and the next frame in it.

use std::io;
use std::path::PathBuf;

use super::source::Bytes;
use crate::bytes::size;
use crate::error::CorruptReason;
use crate::frame::{HEADER_BYTES, Header, Salt};
use crate::ids::Lsn;
use crate::payload_crc::payload_crc;

/// The segment that is being read.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) index: usize,
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
    pub(super) salt: Salt,
    /// Of a compacted segment, numbers are missing, and one may come several times.
    pub(super) compacted: bool,
}

/// The next frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At {
    pub(super) offset: u64,
    pub(super) position: u64,
    pub(super) next_lsn: u64,
    pub(super) prev_crc: u32,
}

/// A frame's payload in the current segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// A frame as its header describes it, or what is wrong with it.
pub(super) type Verified = Result<(Header, u32, Payload), (CorruptReason, Option<Lsn>)>;

impl Current {
    /// Verifies the frame at `at`, which ends at or before the file offset `end`.
    pub(super) fn frame(&mut self, at: &At, end: u64) -> io::Result<Verified> {
        let salt = self.salt;
        let head = self.bytes.get(at.offset, HEADER_BYTES, end)?;
        let head = head.and_then(|bytes| <&[u8; HEADER_BYTES]>::try_from(bytes).ok());
        let Some((header, crc)) = head.and_then(|bytes| Header::decode(bytes, salt, at.offset))
        else {
            return Ok(Err((CorruptReason::FrameHeader, None)));
        };
        let fail = |reason| Ok(Err((reason, Some(Lsn::new(header.lsn)))));
        if header.total_len() > end - at.offset {
            return fail(CorruptReason::Length);
        }
        let payload = Payload {
            offset: at.offset + HEADER_BYTES as u64,
            len: size(u64::from(header.payload_len)),
        };
        let bytes = self.bytes.get(payload.offset, payload.len, end)?;
        let plain = bytes.map(payload_crc);
        if !plain.is_some_and(|plain| header.payload_matches(plain, salt, at.offset)) {
            return fail(CorruptReason::Payload);
        }
        let is_next =
            if self.compacted { header.lsn + 1 >= at.next_lsn } else { header.lsn == at.next_lsn };
        if !is_next {
            return fail(CorruptReason::Sequence);
        }
        if header.prev_crc != at.prev_crc {
            return fail(CorruptReason::Chain);
        }
        Ok(Ok((header, crc, payload)))
    }
}
