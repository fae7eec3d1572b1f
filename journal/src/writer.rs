//! The state behind the lock: where the next frame goes, and who is at work on what.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::{End, Part};
use crate::error::Poisoned;
use crate::frame::{self, Content, HEADER, Kind, Place, Salt};
use crate::manifest::Manifest;
use crate::mmap::{Release, WriteMap};
use crate::primitives::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::primitives::thread::Thread;
use crate::rounds::Rounds;
use crate::segment::SEGMENT_HEADER;
use crate::spare::Fill;
use crate::storage::StorageFile;

/// Bytes that every segment keeps free for its seal.
pub(crate) const SEAL_BYTES: u64 = HEADER;

/// A boundary between groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) position: u64,
    /// The last frame before it.
    pub(crate) lsn: u64,
    /// The end of the last safe point at or before it.
    pub(crate) safe: u64,
}

/// The way of frames into the page cache: through a map at once, or in a queue until somebody writes
/// it. All of them go in order, so whatever comes behind something queued is queued too.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// `None` if everything is queued.
    pub(crate) map: Option<Box<dyn WriteMap>>,
    pub(crate) queue: Vec<u8>,
    /// File offset of the queue's first byte.
    pub(crate) at: u64,
    /// The other buffer, empty while it is being written.
    pub(crate) other: Vec<u8>,
}

/// Where a sync covers so many bytes, writing zeros ahead for them costs more than it saves: a sync that
/// changes metadata of the file writes and flushes once more.
const STREAM_BYTES: u64 = 256 << 10;

/// The segment that takes frames.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn StorageFile>,
    /// A handle for each round of syncing that may be in flight: whatever another one is told of, it
    /// is told of too.
    pub(crate) syncs: Vec<Arc<dyn StorageFile>>,
    pub(crate) sink: Sink,
    pub(crate) salt: Salt,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
    /// Up to here the map knows of a sync.
    pub(crate) sync_announced: u64,
    /// How many syncs were begun.
    pub(crate) syncs_begun: u64,
    /// Where the background thread is asked to sync ahead of the next roll.
    pub(crate) sync_early_at: u64,
    /// Whether the next segment was asked for.
    pub(crate) next_requested: bool,
}

impl Active {
    /// Tells the map that what was stored is about to be synced; gives what is left to do before, if
    /// anything is. The lock need not be held for that.
    pub(crate) fn announce_sync(&mut self) -> Option<Release> {
        self.syncs_begun += 1;
        let from = std::mem::replace(&mut self.sync_announced, self.offset);
        self.sink.map.as_mut()?.before_sync(from, self.offset)
    }

    /// Whether each sync covers much.
    pub(crate) fn streams(&self) -> bool {
        (self.offset - SEGMENT_HEADER) / (self.syncs_begun + 1) >= STREAM_BYTES
    }

    /// How the next segment is best prepared, if its syncs will cover as much as those of this one.
    pub(crate) fn fill_of_next(&self) -> Fill {
        if self.streams() { Fill::Room } else { Fill::Zeros }
    }

    /// Whether a frame with this payload fits, with the seal behind it.
    pub(crate) fn fits(&self, payload_len: usize) -> bool {
        fits(self.offset, self.bytes, payload_len)
    }
}

/// Whether a frame with this payload fits at `offset` of a segment of `bytes`, its seal behind it.
pub(crate) fn fits(offset: u64, bytes: u64, payload_len: usize) -> bool {
    offset + frame::frame_len(payload_len as u64) + SEAL_BYTES <= bytes
}

/// Bytes of the smallest segment that holds a frame with this payload.
pub(crate) fn segment_bytes_for(payload_len: usize) -> u64 {
    let bytes = SEGMENT_HEADER + frame::frame_len(payload_len as u64) + SEAL_BYTES;
    crate::bytes::round_up(bytes, 4096)
}

/// Bytes of sealed segments that a stream leaves in the page cache, for those who read behind it.
const STREAMED_BYTES: u64 = if cfg!(test) { 2 << 20 } else { 256 << 20 };

/// The sealed segments of a stream that are still in the page cache, oldest first. Whoever streams on
/// would else fill all memory with what hardly anybody reads again.
#[derive(Debug, Default)]
pub(crate) struct Streamed {
    segments: VecDeque<(String, u64)>,
    bytes: u64,
}

impl Streamed {
    /// Adds a segment, by name and length, and has those forgotten that are one too many.
    pub(crate) fn push(&mut self, name: String, bytes: u64, mut forget: impl FnMut(String)) {
        self.segments.push_back((name, bytes));
        self.bytes += bytes;
        while self.bytes > STREAMED_BYTES
            && let Some((oldest, bytes)) = self.segments.pop_front()
        {
            self.bytes -= bytes;
            forget(oldest);
        }
    }
}

/// Everything that the lock protects.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) active: Active,
    pub(crate) streamed: Streamed,
    pub(crate) manifest: Manifest,
    /// The end of everything appended.
    pub(crate) end: Mark,
    /// The end of what was written from the queue; see [`stored`](Writer::stored).
    pub(crate) written: Mark,
    /// The end of what is durable.
    pub(crate) durable: u64,
    /// The end of what a durable slot covers.
    pub(crate) slotted: u64,
    pub(crate) prev_crc: u32,
    /// Whether a thread writes the queue.
    pub(crate) writing: bool,
    pub(crate) rounds: Rounds,
    /// Whether the background thread watches for idleness.
    pub(crate) watched: bool,
    pub(crate) poison: Option<Poisoned>,
    /// Tails that sleep until more can be read.
    pub(crate) tails: Vec<Thread>,
}

impl Writer {
    /// Places one frame behind the last one. The caller has checked that it fits.
    ///
    /// It goes through the map at once, if there is one, unless it may be queued or follows what is.
    /// Only a group of one frame may be.
    #[inline]
    pub(crate) fn place(
        &mut self,
        part: &Part<'_>,
        kind: Kind,
        more_follows: bool,
        may_queue: bool,
    ) {
        let active = &mut self.active;
        assert!(
            kind == Kind::Seal || active.fits(part.payload.len()),
            "a frame is placed only where it fits"
        );
        let content = Content {
            kind,
            more_follows,
            compacted: false,
            records: part.records,
            payload_len: u32::try_from(part.payload.len()).expect("a part is at most 16 MiB"),
            payload_plain_crc: part.plain_crc,
        };
        // INV-20: one number more than the last; where numbers were used and discarded, `cut` goes on
        // behind them.
        let place = Place {
            salt: active.salt,
            offset: active.offset,
            position: self.end.position,
            lsn: self.end.lsn + 1,
            prev_crc: self.prev_crc,
            durable: Some(self.durable),
        };
        let (header, crc) = frame::encode(&content, &place);
        let len = frame::frame_len(part.payload.len() as u64);
        let Sink { map, queue, at, .. } = &mut active.sink;
        let is_idle = queue.is_empty() && !self.writing;
        match map {
            Some(map) if is_idle && !may_queue => map.append(active.offset, &header, part.payload),
            _ => {
                if is_idle && map.is_some() {
                    self.written = self.end;
                }
                if queue.is_empty() {
                    *at = active.offset;
                }
                let start = queue.len();
                queue.extend_from_slice(&header);
                queue.extend_from_slice(part.payload);
                queue.resize(start + crate::bytes::size(len), 0);
            }
        }
        let was_safe = !self.root_open();
        let active = &mut self.active;
        active.offset += len;
        self.end.position += len;
        if was_safe && !kind.is_data() {
            self.end.safe = self.end.position;
        }
        self.end.lsn += 1;
        self.prev_crc = crc;
    }

    /// Whether records were appended since the last safe point.
    pub(crate) fn root_open(&self) -> bool {
        self.end.safe != self.end.position
    }

    /// The end of what is in the page cache. With a map, that is everything unless something is queued.
    #[inline]
    pub(crate) fn stored(&self) -> Mark {
        let Sink { map, queue, .. } = &self.active.sink;
        if map.is_some() && queue.is_empty() && !self.writing { self.end } else { self.written }
    }

    /// Notes the end of a group.
    #[inline]
    pub(crate) fn end_group(&mut self, end: End) {
        if end == End::SafePoint {
            self.end.safe = self.end.position;
        }
    }
}

/// What threads without the lock may know. Each only grows, except through a cut.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) appended: AtomicU64,
    /// Readers may slice below this.
    pub(crate) readable: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) safe: AtomicU64,
    pub(crate) trimmed: AtomicU64,
    /// Generation of the manifest.
    pub(crate) generation: AtomicU64,
    /// How many rounds of syncing have ended.
    pub(crate) rounds: AtomicU64,
    /// How often everybody was woken out of turn.
    pub(crate) alarms: AtomicU64,
    /// A round that somebody must lead who sleeps for it; the maximum for none.
    pub(crate) leaderless: AtomicU64,
    pub(crate) poisoned: AtomicBool,
    /// Nothing more is appended: the handle was closed.
    pub(crate) ended: AtomicBool,
}

impl Published {
    /// Publishes the state of the writer, whose lock the caller holds.
    #[inline]
    pub(crate) fn update(&self, writer: &Writer) {
        self.appended.store(writer.end.position, Ordering::Release);
        self.readable.store(writer.stored().position, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stream_the_newest_segments_stay_in_the_cache() {
        let mut streamed = Streamed::default();
        let mut forgotten = Vec::new();
        for number in 0..10 {
            streamed.push(number.to_string(), STREAMED_BYTES / 4, |name| forgotten.push(name));
        }
        assert_eq!(forgotten, ["0", "1", "2", "3", "4", "5"]);
        streamed.push("long".to_owned(), 2 * STREAMED_BYTES, |name| forgotten.push(name));
        assert_eq!(forgotten[6..], ["6", "7", "8", "9", "long"]);
        streamed.push("next".to_owned(), 1, |name| panic!("{name} stays"));
    }
}
