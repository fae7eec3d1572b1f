//! The probe of a tail in another process: walks the headers of frames ahead of the reader, to find
//! out how far the journal says that it is durable.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::bytes::size;
use crate::files::Dir;
use crate::frame::{HEADER, HEADER_BYTES, Header, Kind, Salt};
use crate::manifest::{Manifest, SegmentEntry};
use crate::recovery::read_header;
use crate::segment::SEGMENT_HEADER;
use crate::storage::{Access, StorageFile};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// One look walks at least so far once it has found something.
const LOOK_BYTES: u64 = 64 << 10;
/// Safe points that wait for a claim; when there are more, every other one is forgotten.
const WAITING_MAX: usize = 4096;

/// The walk over headers. Payloads are not read: a header's checksum covers its claim, and whoever
/// reads the group verifies the payload.
#[derive(Debug, Default)]
pub(super) struct Probe {
    current: Option<Current>,
    /// Ends of safe points that are not known to be durable yet, in order.
    waiting: VecDeque<u64>,
    /// Everything before this was durable, as frames claim.
    pub(super) claimed: u64,
}

/// The segment that is walked.
#[derive(Debug)]
struct Current {
    entry: SegmentEntry,
    file: Arc<dyn StorageFile>,
    salt: Salt,
    offset: u64,
    position: u64,
    next_lsn: u64,
    prev_crc: u32,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte, and how many bytes of it are the file's.
    start: u64,
    len: usize,
}

impl Probe {
    /// Walks on; returns the end of the last safe point that is durable as far as known, if it is
    /// news beyond `limit`.
    pub(super) fn walk(
        &mut self,
        dir: &Dir,
        manifest: &Manifest,
        limit: u64,
    ) -> io::Result<Option<u64>> {
        self.adopt(manifest);
        let mut found = self.take_durable();
        let mut walked = 0;
        while found.is_none_or(|found| found <= limit) || walked < LOOK_BYTES {
            let Some(step) = self.step(dir, manifest)? else {
                break;
            };
            walked += step;
            found = self.take_durable().max(found);
        }
        Ok(found.filter(|found| *found > limit))
    }

    /// Takes the safe points off that are durable; the end of the last one. INV-35: nothing else is
    /// ever handed out.
    fn take_durable(&mut self) -> Option<u64> {
        let mut last = None;
        while let Some(end) = self.waiting.front().copied().filter(|end| *end <= self.claimed) {
            self.waiting.pop_front();
            last = Some(end);
        }
        last
    }

    fn note_safe(&mut self, end: u64) {
        if self.waiting.len() >= WAITING_MAX {
            // Coarser is enough: the last one stays, and everything is delivered in the end.
            let mut index = 0;
            self.waiting.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
        self.waiting.push_back(end);
    }

    /// Finds its place in another list of segments.
    fn adopt(&mut self, manifest: &Manifest) {
        let Some(current) = &mut self.current else {
            return;
        };
        let listed = manifest.segments.iter().find(|listed| {
            listed.salt == current.entry.salt && listed.compacted == current.entry.compacted
        });
        match listed {
            Some(listed) if listed.seal.is_none_or(|seal| seal.bytes >= current.offset) => {
                current.entry = listed.clone();
            }
            // Cut off, or replaced: begin again where the segment is now that holds the place.
            _ => {
                self.current = None;
                self.waiting.clear();
            }
        }
    }

    /// Takes one frame in, or goes on in the next segment; `None` at the end of what is there.
    fn step(&mut self, dir: &Dir, manifest: &Manifest) -> io::Result<Option<u64>> {
        let Some(current) = &mut self.current else {
            return self.enter(dir, manifest, 0);
        };
        if let Some(seal) = current.entry.seal
            && (current.offset >= seal.bytes || current.entry.compacted)
        {
            let (next, end) = (current.entry.first_lsn + 1, seal.end_position);
            if current.entry.compacted && current.offset < seal.bytes {
                // Compacted is only what lies below a durable safe point, also where roots span it.
                current.offset = seal.bytes;
                self.claimed = self.claimed.max(end);
                self.note_safe(end);
                return Ok(Some(0));
            }
            return self.enter(dir, manifest, next);
        }
        let Some((header, crc)) = current.header()? else {
            return Ok(None);
        };
        let len = header.total_len();
        let position = current.position;
        current.offset += len;
        current.position += len;
        current.next_lsn += 1;
        current.prev_crc = crc;
        let end = current.position;
        if let Some(claim) = header.claim(position) {
            self.claimed = self.claimed.max(claim.get());
        }
        if header.kind() == Ok(Kind::SafePoint) && !header.more_follows() {
            self.note_safe(end);
        }
        Ok(Some(len))
    }

    /// Goes on in the first listed segment that begins at or behind a sequence number.
    fn enter(&mut self, dir: &Dir, manifest: &Manifest, lsn: u64) -> io::Result<Option<u64>> {
        let next = manifest.segments.iter().find(|entry| entry.first_lsn >= lsn);
        let Some(entry) = next else {
            return Ok(None);
        };
        let file = match dir.storage.open(&dir.file(&entry.name()), Access::Read) {
            Ok(file) => file,
            // Replaced since: the next look finds the new list.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let header = read_header(&*file)?;
        let Some(header) = header.filter(|header| header.salt == entry.salt) else {
            return Ok(None); // The reader tells what is wrong.
        };
        self.current = Some(Current {
            salt: Salt::new(entry.salt),
            file,
            offset: SEGMENT_HEADER,
            position: entry.first_position,
            next_lsn: entry.first_lsn,
            prev_crc: header.prev_crc,
            entry: entry.clone(),
            buffer: vec![0; READ_BYTES],
            start: 0,
            len: 0,
        });
        Ok(Some(0))
    }
}

impl Current {
    /// The next frame's header, if it is there.
    fn header(&mut self) -> io::Result<Option<(Header, u32)>> {
        let end = self.entry.seal.map_or(self.entry.physical_bytes, |seal| seal.bytes);
        if end.saturating_sub(self.offset) < HEADER {
            return Ok(None);
        }
        let buffered =
            self.offset >= self.start && self.offset + HEADER <= self.start + self.len as u64;
        if buffered && let Some(found) = self.decode(end) {
            return Ok(Some(found));
        }
        // Not read yet, or read before it was written.
        let len = size(end - self.offset).min(READ_BYTES);
        (self.start, self.len) = (self.offset, 0);
        self.len = self.file.read_at(&mut self.buffer[..len], self.offset)?;
        Ok(if self.len < HEADER_BYTES { None } else { self.decode(end) })
    }

    fn decode(&self, end: u64) -> Option<(Header, u32)> {
        let at = size(self.offset - self.start);
        let bytes = <&[u8; HEADER_BYTES]>::try_from(&self.buffer[at..at + HEADER_BYTES]).ok()?;
        let (header, crc) = Header::decode(bytes, self.salt, self.offset)?;
        let follows = header.lsn == self.next_lsn
            && header.prev_crc == self.prev_crc
            && header.total_len() <= end - self.offset;
        follows.then_some((header, crc))
    }
}
