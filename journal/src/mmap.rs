//! Maps of segments: the crate's only unsafe code.
//!
//! What makes maps of journal files sound here: a segment is filled with zeros, allocated and synced
//! before it is mapped; a map never reaches past the length that `fstat` reports; no segment is
//! ever truncated, by anybody who holds the journal's lock, while it may be mapped. A process that
//! truncates the file in spite of that makes a later access fail with `SIGBUS`, and a medium error
//! under a map does the same; `ReadMode::Pread` and `WriteMode::Pwrite` avoid both.
#![expect(
    unsafe_code,
    reason = "mapping a file and storing through the map cannot be expressed safely"
)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

use crate::bytes::size;
use crate::pager::{self, Pager};

/// The right to map a segment, which only the journal can hand out.
///
/// It promises with each permit: the file is a segment whose mapped bytes are allocated; whoever
/// could truncate it is kept out by the journal's lock; a file has one writable map at a time, and
/// it stores only above the position that readers may slice.
#[derive(Debug)]
pub struct MapPermit(());

impl MapPermit {
    /// For a segment of a journal whose lock is held, or for reading below a published position.
    pub(crate) const fn for_segment() -> Self {
        Self(())
    }
}

/// A shared writable map: a store is a write into the page cache.
pub trait WriteMap: fmt::Debug + Send + Sync {
    /// Copies `bytes` to `offset`. A byte of a published frame is never stored again.
    ///
    /// # Panics
    ///
    /// If the range does not lie inside the map.
    fn store(&mut self, offset: u64, bytes: &[u8]);

    /// Copies a frame's header to `offset`, after every earlier store in the eyes of any reader.
    ///
    /// # Panics
    ///
    /// If the range does not lie inside the map, or `offset` is not a multiple of 8.
    fn publish(&mut self, offset: u64, header: &[u8; 32]);

    /// Copies a whole frame to `offset`: payload, then header.
    ///
    /// # Panics
    ///
    /// As [`store`](Self::store) and [`publish`](Self::publish).
    fn append(&mut self, offset: u64, header: &[u8; 32], payload: &[u8]) {
        if !payload.is_empty() {
            self.store(offset + header.len() as u64, payload);
        }
        self.publish(offset, header);
    }

    /// Says that a sync of this range comes next. A hint: a map may take the pages out of the page
    /// table, all at once, instead of having the sync write-protect them one by one. That takes a while:
    /// it is what is given back, for whoever syncs to do before, while others go on to store.
    fn before_sync(&mut self, from: u64, to: u64) -> Option<Release>;
}

/// What is left to do before a sync, by whoever syncs.
pub type Release = Box<dyn FnOnce() + Send>;

/// A shared read-only map.
pub trait ReadMap: fmt::Debug + Send + Sync {
    /// The bytes from `offset`, `len` of them; `None` if the map ends before.
    ///
    /// # Safety
    ///
    /// Nobody stores to the range while the slice lives: it belongs to frames that were published
    /// before, and nobody truncates the file.
    unsafe fn slice(&self, offset: u64, len: usize) -> Option<&[u8]>;
}

/// A map of a segment, together with the promise about what is sliced from it.
#[derive(Debug)]
pub(crate) struct PublishedMap(Arc<dyn ReadMap>);

impl PublishedMap {
    /// Wraps a map of a segment of this journal.
    pub(crate) fn new(map: Arc<dyn ReadMap>) -> Self {
        Self(map)
    }

    /// Bytes of the segment below its published end, which the caller has just read from
    /// [`Positions`](crate::Positions) or the manifest.
    pub(crate) fn below_end(&self, offset: u64, len: usize, end: u64) -> Option<&[u8]> {
        if offset.checked_add(u64::try_from(len).ok()?)? > end {
            return None;
        }
        // INV-29 is what makes this sound.
        // SAFETY: `end` is the end of published frames, and the range lies below it. The writer
        // stores only above that end (`WriteMap::store`), recovery never changes a listed segment,
        // and no code of this crate truncates one.
        unsafe { self.0.slice(offset, len) }
    }
}

/// Checks that the first `len` bytes of the file exist before they are mapped.
fn checked_len(file: &File, len: u64) -> io::Result<usize> {
    let actual = file.metadata()?.len();
    if len > actual {
        let what = format!("cannot map {len} bytes of a file of {actual} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(size(len))
}

/// The bytes of a map: of a file, or in tests of memory, where an interpreter can follow.
trait Region {
    fn start(&self) -> *mut u8;

    fn len(&self) -> usize;

    /// Address of `offset`, of which `len` bytes lie inside the map.
    fn at(&self, offset: u64, len: usize) -> *mut u8 {
        let offset = size(offset);
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len()),
            "a store ends inside the segment that is mapped"
        );
        self.start().wrapping_add(offset)
    }

    /// Copies `bytes` to `offset`, which only the writer may: it has the one writable map.
    fn copy(&self, offset: u64, bytes: &[u8]) {
        let to = self.at(offset, bytes.len());
        // SAFETY: `at` has checked that `bytes.len()` bytes at `to` lie inside the live map, which
        // is writable; `bytes` is ordinary memory of this process, so the two do not overlap. No
        // reference to the range exists: readers slice only below the published position, and the
        // writer stores only at or above it, one thread at a time.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Copies a header to `offset`, its first word last.
    fn copy_header(&self, offset: u64, header: &[u8; 32]) {
        let to = self.at(offset, header.len());
        assert!(to.addr().is_multiple_of(8), "frames begin at multiples of eight");
        self.copy(offset + 4, &header[4..]);
        let first = crate::bytes::u32_at(header, 0).to_le();
        #[expect(clippy::cast_ptr_alignment, reason = "asserted above")]
        let to = to.cast::<u32>();
        // SAFETY: `to` is aligned (asserted above), its four bytes lie inside the live map (checked by
        // `at`), and every access to them that may be concurrent is atomic or goes through `pread`,
        // since they are above the published position.
        let word = unsafe { AtomicU32::from_ptr(to) };
        word.store(first, Ordering::Release);
    }

    /// The bytes from `offset`, `len` of them; `None` if the map ends before.
    ///
    /// # Safety
    ///
    /// As of [`ReadMap::slice`].
    unsafe fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let offset = size(offset);
        let end = offset.checked_add(len)?;
        if end > self.len() {
            return None;
        }
        let from = self.start().wrapping_add(offset).cast_const();
        // SAFETY: the range lies inside the live map (checked above), which outlives the slice by
        // the borrow of `self`. The caller promises that nobody stores to it meanwhile.
        Some(unsafe { slice::from_raw_parts(from, len) })
    }
}

impl Region for MmapRaw {
    fn start(&self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// Unit of the page table.
const PAGE_BYTES: usize = 4096;
/// After so many bytes without a sync, pages are made writable ahead.
const STREAM_BYTES: usize = 64 << 10;
/// So many bytes ahead: one call instead of a page fault for each page.
const AHEAD_BYTES: usize = 256 << 10;
/// After so many bytes without a sync, another thread does that, farther ahead.
const PAGER_BYTES: usize = 1 << 20;
/// So far ahead: what a sync in the middle of a stream writes in vain.
const PAGER_AHEAD_BYTES: usize = 512 << 10;

/// Fewer bytes than this are not taken out of the page table before a sync.
const RELEASE_BYTES: usize = 2 * PAGE_BYTES;

/// A writable map of a whole segment.
///
/// A store into a page that was synced faults first, and the file system prepares the page anew: that
/// takes longer than a call that writes a few kilobytes. So what follows a sync is written by
/// `pwrite`, into the same page cache, and only who appends much without a sync stores into the map.
#[derive(Debug)]
pub(crate) struct FileWriteMap {
    /// Once somebody streams.
    pager: Option<Pager>,
    map: Arc<MmapRaw>,
    file: File,
    /// Whether something was stored through the map since the last sync.
    stored: bool,
    /// Up to where the last sync reached; before the first, where storing began.
    synced: Option<usize>,
    /// So many bytes behind it a pager pays: few if the last sync has covered much, since the next one
    /// probably will.
    pager_pays: usize,
    /// Pages before this were made writable ahead.
    ready: usize,
    /// Pages before this the pager was asked for.
    asked: usize,
}

impl FileWriteMap {
    pub(crate) fn new(file: &File, len: u64) -> io::Result<Self> {
        let len = checked_len(file, len)?;
        let map = MmapOptions::new().len(len).map_raw(file)?;
        // A child of fork(2) has no part in the journal: its stores must not reach the file.
        #[cfg(target_os = "linux")]
        map.advise(memmap2::Advice::DontFork)?;
        Ok(Self {
            pager: None,
            map: Arc::new(map),
            file: file.try_clone()?,
            stored: false,
            synced: None,
            pager_pays: PAGER_BYTES,
            ready: 0,
            asked: 0,
        })
    }

    /// Whether so much was appended since the last sync that the map pays.
    fn streams(&mut self, offset: u64, len: usize) -> bool {
        let offset = size(offset);
        let synced = *self.synced.get_or_insert(offset);
        offset + len >= synced + STREAM_BYTES
    }

    /// Makes the pages that come next writable. A journal that syncs often would gain nothing by it:
    /// the sync takes the pages away again, and writes them.
    fn look_ahead(&mut self, offset: usize, len: usize) {
        let end = offset + len;
        if end + PAGER_AHEAD_BYTES / 2 > self.asked
            && self.synced.is_some_and(|synced| end >= synced + self.pager_pays)
        {
            self.ask_pager(end);
        }
        if end <= self.ready {
            return;
        }
        if let Some(pager) = self.pager.as_ref().filter(|_| end <= self.asked) {
            self.ready = self.ready.max(pager.ready().min(self.asked));
            if end > self.ready {
                // Both at the same pages would be in each other's way.
                pager.help(offset - offset % PAGE_BYTES);
            }
            return;
        }
        let to = (end + AHEAD_BYTES).min(self.map.len());
        let from = self.ready.max(offset - offset % PAGE_BYTES);
        self.ready = to;
        pager::populate(&self.map, from..to);
    }

    /// Asks the pager for what follows `end`, and for a pager if there is none yet.
    fn ask_pager(&mut self, end: usize) {
        let to = (end + PAGER_AHEAD_BYTES).min(self.map.len());
        let from = self.ready.max(end - end % PAGE_BYTES);
        self.asked = to;
        if self.pager.is_none() {
            self.pager = Pager::start(&self.map);
        }
        if let Some(pager) = self.pager.as_ref().filter(|_| from < to) {
            pager.ask(from, to);
        }
    }

    /// Writes a frame by one call; `false` if that did not work, or only in part. Until the position
    /// behind it is published, whoever sees the header checks the payload by its checksum.
    fn write_frame(&self, header: &[u8; 32], payload: &[u8], offset: u64) -> bool {
        let slices = [io::IoSlice::new(header), io::IoSlice::new(payload)];
        let written = rustix::io::pwritev(&self.file, &slices, offset);
        written == Ok(header.len() + payload.len())
    }

    /// Writes `bytes` by a call; `false` if that did not work, and the map has to do.
    fn write(&self, bytes: &[u8], offset: u64) -> bool {
        self.file.write_all_at(bytes, offset).is_ok()
    }
}

impl WriteMap for FileWriteMap {
    fn append(&mut self, offset: u64, header: &[u8; 32], payload: &[u8]) {
        let len = header.len() + payload.len();
        // Asserts that the range is inside.
        let _inside = self.map.at(offset, len);
        if !self.streams(offset, len) && self.write_frame(header, payload, offset) {
            return;
        }
        if !payload.is_empty() {
            self.store(offset + header.len() as u64, payload);
        }
        self.publish(offset, header);
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) {
        // Asserts that the range is inside.
        let _inside = self.map.at(offset, bytes.len());
        if !self.streams(offset, bytes.len()) && self.write(bytes, offset) {
            return;
        }
        self.look_ahead(size(offset), bytes.len());
        self.stored = true;
        self.map.copy(offset, bytes);
    }

    fn publish(&mut self, offset: u64, header: &[u8; 32]) {
        // Asserts that the range is inside.
        let _inside = self.map.at(offset, header.len());
        if !self.streams(offset, header.len()) && self.write(header, offset) {
            return; // One call after the other: whoever sees the header sees the payload.
        }
        self.stored = true;
        self.map.copy_header(offset, header);
    }

    fn before_sync(&mut self, from: u64, to: u64) -> Option<Release> {
        let (from, to) = (size(from), size(to).min(self.map.len()));
        if from >= to {
            return None;
        }
        (self.synced, self.ready, self.asked) = (Some(to), 0, 0);
        self.pager_pays = if to - from >= PAGER_BYTES { STREAM_BYTES } else { PAGER_BYTES };
        let stored = std::mem::replace(&mut self.stored, false);
        if !stored || to - from < RELEASE_BYTES {
            return None; // A call for a page or two costs more than it saves.
        }
        let map = Arc::clone(&self.map);
        Some(Box::new(move || {
            // SAFETY: the map is a shared map of a file, so its content stays in the page cache and
            // comes back at the next access, also at that of a store into the last page that comes
            // meanwhile; no reference into this map exists, only the pointers of `store` and
            // `publish`. The map lives as long as this closure.
            let released =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from) };
            // A hint that was not taken costs time only.
            drop(released);
        }))
    }
}

/// A read-only map of a segment.
#[derive(Debug)]
pub(crate) struct FileReadMap {
    map: MmapRaw,
}

impl FileReadMap {
    pub(crate) fn new(file: &File, len: u64) -> io::Result<Self> {
        let len = checked_len(file, len)?;
        Ok(Self { map: MmapOptions::new().len(len).map_raw_read_only(file)? })
    }
}

impl ReadMap for FileReadMap {
    unsafe fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        // SAFETY: the caller promises the same.
        unsafe { Region::slice(&self.map, offset, len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::atomic::AtomicU64;

    /// Memory of this process that maps share as they share the pages of a file.
    #[derive(Clone, Debug)]
    struct Memory(Arc<[AtomicU64]>);

    impl Region for Memory {
        fn start(&self) -> *mut u8 {
            self.0.as_ptr().cast_mut().cast()
        }

        fn len(&self) -> usize {
            self.0.len() * 8
        }
    }

    impl ReadMap for Memory {
        unsafe fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
            // SAFETY: the caller promises the same.
            unsafe { Region::slice(self, offset, len) }
        }
    }

    /// INV-29, under Miri (`cargo xtask ci miri`): readers keep slices below the published end while
    /// the writer stores above it, in other threads, through pointers into the same bytes.
    #[test]
    fn slices_below_the_published_end_live_while_the_writer_stores_above_it() {
        const FRAMES: u64 = 40;
        const FRAME: u64 = 72;
        let zeros: Vec<AtomicU64> = (0..FRAMES * FRAME / 8).map(|_| AtomicU64::new(0)).collect();
        let memory = Memory(zeros.into());
        let published = AtomicU64::new(0);
        let header = |frame: u64| -> [u8; 32] {
            let byte = u8::try_from(frame + 1).expect("few frames");
            [byte; 32]
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let map = PublishedMap::new(Arc::new(memory.clone()));
                scope.spawn({
                    let published = &published;
                    move || {
                        let mut seen: Vec<&[u8]> = Vec::new();
                        while (seen.len() as u64) < FRAMES {
                            let end = published.load(Ordering::Acquire);
                            while (seen.len() as u64) < end / FRAME {
                                let at = seen.len() as u64 * FRAME;
                                seen.push(map.below_end(at, 72, end).expect("published"));
                            }
                            assert_eq!(map.below_end(end, 1, end), None);
                            std::thread::yield_now();
                        }
                        for (frame, bytes) in (0..).zip(&seen) {
                            assert_eq!(bytes[..32], header(frame));
                            assert_eq!(bytes[32..], [0xa5; 40]);
                        }
                    }
                });
            }
            for frame in 0..FRAMES {
                memory.copy(frame * FRAME + 32, &[0xa5; 40]);
                memory.copy_header(frame * FRAME, &header(frame));
                published.store((frame + 1) * FRAME, Ordering::Release);
            }
        });
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("room for a page");
        file
    }

    #[test]
    fn stores_are_seen_by_readers_of_the_file() {
        let file = file_of(&[0; 8192]);
        let mut map = FileWriteMap::new(&file, 8192).expect("mappable");
        map.store(4096 + 32, b"payload");
        map.publish(4096, b"HEADER..HEADER..HEADER..HEADER..");
        let read = FileReadMap::new(&file, 8192).expect("mappable");
        let read = PublishedMap::new(Arc::new(read));
        let frame = &b"HEADER..HEADER..HEADER..HEADER..payload"[..];
        assert_eq!(read.below_end(4096, 39, 4135), Some(frame));
        assert_eq!(read.below_end(4096, 39, 4134), None);
        assert_eq!(read.below_end(8190, 3, u64::MAX), None);
        assert_eq!(read.below_end(u64::MAX, 3, u64::MAX), None);
    }

    #[test]
    fn what_follows_a_sync_is_written_by_calls_and_what_streams_by_the_map() {
        let file = file_of(&vec![0; 256 << 10]);
        let mut map = FileWriteMap::new(&file, 256 << 10).expect("mappable");
        let frame = [7; 992];
        let mut offset = 4096;
        let (mut through_map, mut release) = (Vec::new(), None);
        for number in 0..200_u8 {
            if number % 3 == 0 {
                map.publish(offset, &[number; 32]);
                map.store(offset + 32, &frame);
            } else {
                map.append(offset, &[number; 32], &frame);
            }
            through_map.push(map.stored);
            offset += 1024;
            if number == 150 {
                // Whoever syncs may be late with it: what is stored meanwhile stays.
                release = map.before_sync(4096, offset);
            }
            if number == 152
                && let Some(release) = release.take()
            {
                release();
            }
        }
        let stream = STREAM_BYTES / 1024;
        let changes = through_map.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((through_map[stream - 2], through_map[stream]), (false, true));
        assert_eq!((through_map[151], changes), (false, 2));
        let read = FileReadMap::new(&file, 256 << 10).expect("mappable");
        let read = PublishedMap::new(Arc::new(read));
        for number in 0..200_u8 {
            let at = 4096 + 1024 * u64::from(number);
            assert_eq!(read.below_end(at, 32, at + 32), Some(&[number; 32][..]));
            assert_eq!(read.below_end(at + 32, 992, at + 1024), Some(&frame[..]));
        }
    }

    #[test]
    fn a_map_past_the_end_is_refused() {
        let file = file_of(&[0; 100]);
        assert!(FileWriteMap::new(&file, 101).is_err());
        assert!(FileReadMap::new(&file, 101).is_err());
    }
}
