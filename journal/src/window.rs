//! A sliding window over a file: constant memory, blocks aligned for reads past the cache.

use std::io;
use std::sync::Arc;

use crate::bytes::{round_up, size};
use crate::error::CorruptReason;
use crate::frame::{HEADER, HEADER_BYTES, Header, Salt};
use crate::payload_crc::payload_crc;
use crate::storage::StorageFile;

/// Alignment of address, offset and length of every read.
const BLOCK: usize = 4096;
/// Bytes that the window holds at most: enough for a disk to be read at its speed.
const WINDOW_BYTES: u64 = 1 << 20;

/// Bytes of a file, read ahead a window at a time.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn StorageFile>,
    buffer: Vec<u8>,
    /// Where in `buffer` the aligned part begins.
    shift: usize,
    /// Bytes of the aligned part.
    room: usize,
    /// File offset of the aligned part.
    start: u64,
    /// Bytes of the aligned part that hold the file's content.
    len: usize,
}

impl Window {
    /// A window over a file of about so many bytes; no larger than the file is worth.
    pub(crate) fn new(file: Arc<dyn StorageFile>, file_bytes: u64) -> Self {
        let room = round_up(file_bytes, BLOCK as u64).clamp(2 * BLOCK as u64, WINDOW_BYTES);
        let room = size(room);
        let buffer = vec![0; room + BLOCK];
        let shift = buffer.as_ptr().align_offset(BLOCK);
        assert!(shift < BLOCK, "bytes can be aligned to a block");
        Self { file, buffer, shift, room, start: 0, len: 0 }
    }

    /// Goes on with another file; keeps the buffer if it is large enough.
    pub(crate) fn switch_to(&mut self, file: Arc<dyn StorageFile>, file_bytes: u64) {
        if (self.room as u64) < file_bytes.min(WINDOW_BYTES) {
            *self = Self::new(file, file_bytes);
        } else {
            self.file = file;
            (self.start, self.len) = (0, 0);
        }
    }

    /// Length of the file.
    pub(crate) fn file_len(&self) -> io::Result<u64> {
        self.file.len()
    }

    /// The bytes from `offset`, `len` of them or up to the end of the file. `len` is at most
    /// one block less than the window.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        assert!(len <= self.room - BLOCK, "the window holds what is asked for");
        let inside = offset >= self.start
            && offset.saturating_add(len as u64) <= self.start + self.len as u64;
        if !inside {
            self.start = offset - offset % BLOCK as u64;
            self.len = 0;
            let range = self.shift..self.shift + self.room;
            self.len = self.file.read_at(&mut self.buffer[range], self.start)?;
        }
        let from = size(offset - self.start).min(self.len);
        let to = (from + len).min(self.len);
        Ok(&self.buffer[self.shift + from..self.shift + to])
    }

    /// The frame at `offset` if its two checksums hold and it ends at or before `limit`.
    pub(crate) fn frame(&mut self, salt: Salt, offset: u64, limit: u64) -> io::Result<Checked> {
        let no_header = Ok(Checked::Damaged { reason: CorruptReason::FrameHeader, lsn: None });
        if limit.checked_sub(offset).is_none_or(|left| left < HEADER) {
            return no_header;
        }
        let bytes = self.bytes(offset, HEADER_BYTES)?;
        let Ok(bytes) = <&[u8; HEADER_BYTES]>::try_from(bytes) else {
            return no_header;
        };
        let Some((header, crc)) = Header::decode(bytes, salt, offset) else {
            return no_header;
        };
        let damaged = |reason| Ok(Checked::Damaged { reason, lsn: Some(header.lsn) });
        // INV-23: the length is bounded by the segment before anything is done with it.
        if header.total_len() > limit - offset {
            return damaged(CorruptReason::Length);
        }
        let plain = self.crc(offset + HEADER, u64::from(header.payload_len))?;
        if plain.is_none_or(|plain| !header.payload_matches(plain, salt, offset)) {
            return damaged(CorruptReason::Payload);
        }
        Ok(Checked::Frame { header, crc })
    }

    /// crc32c of a range, `None` if the file ends inside it.
    fn crc(&mut self, mut offset: u64, mut left: u64) -> io::Result<Option<u32>> {
        let mut crc = None;
        while left > 0 {
            let step = size(left).min(self.room - BLOCK);
            let bytes = self.bytes(offset, step)?;
            if bytes.len() < step {
                return Ok(None);
            }
            crc = Some(match crc {
                None => payload_crc(bytes),
                Some(crc) => crc32c::crc32c_append(crc, bytes),
            });
            offset += step as u64;
            left -= step as u64;
        }
        Ok(Some(crc.unwrap_or_default()))
    }
}

/// What stands at an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Checked {
    /// A frame whose checksums hold, and its header's checksum.
    Frame { header: Header, crc: u32 },
    /// Anything else; with the sequence number if at least the header holds.
    Damaged { reason: CorruptReason, lsn: Option<u64> },
}
