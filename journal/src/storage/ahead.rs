//! Reading ahead where the system does not: past its cache.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::file::read_full_at;

/// Unit of reads that pass by the cache.
pub(super) const BLOCK: usize = 512;
/// Alignment of a buffer in memory that any device takes.
const ALIGN: usize = 4096;
/// Shorter reads are of somebody who looks here and there.
const READ_BYTES_MIN: usize = 1 << 20;
/// The next read begins so far before the end of the last one at most: what did not fit there whole.
const OVERLAP_BYTES: u64 = 64 << 10;

/// Bytes of a file that were read before anybody asked.
#[derive(Debug)]
struct Block {
    buffer: Vec<u8>,
    shift: usize,
    /// Where in the file they stand; shorter than was wanted at the file's end.
    range: Range<u64>,
    ends_file: bool,
}

impl Block {
    fn read(file: &File, start: u64, wanted: usize) -> io::Result<Self> {
        let mut buffer = vec![0; wanted + ALIGN];
        let shift = buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
        let count = read_full_at(file, &mut buffer[shift..shift + wanted], start, BLOCK)?;
        let range = start..start + count as u64;
        Ok(Self { buffer, shift, range, ends_file: count < wanted })
    }

    /// Copies what is wanted; `None` if that is not all here.
    fn copy(&self, bytes: &mut [u8], offset: u64) -> Option<usize> {
        let end = offset.checked_add(bytes.len() as u64)?;
        if offset < self.range.start || (end > self.range.end && !self.ends_file) {
            return None;
        }
        let from = crate::bytes::size(offset.min(self.range.end) - self.range.start);
        let to = crate::bytes::size(end.min(self.range.end) - self.range.start);
        let found = &self.buffer[self.shift + from..self.shift + to];
        bytes[..found.len()].copy_from_slice(found);
        Some(found.len())
    }
}

/// A file that is read past the cache. Whoever reads it from its begin to its end in long steps finds the
/// next one read already. Nobody writes to the file meanwhile.
#[derive(Debug)]
pub(super) struct ReadAhead {
    file: Arc<File>,
    next: Mutex<Option<JoinHandle<io::Result<Block>>>>,
}

impl ReadAhead {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self { file, next: Mutex::new(None) }
    }

    fn swap(&self, next: Option<JoinHandle<io::Result<Block>>>) -> Option<io::Result<Block>> {
        let mut place = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *place, next);
        drop(place);
        before.and_then(|thread| thread.join().ok())
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        if bytes.len() < READ_BYTES_MIN {
            return read_full_at(&self.file, bytes, offset, BLOCK);
        }
        // What went wrong ahead is read again, and then told.
        let ahead = self.swap(None).and_then(Result::ok);
        let found = ahead.and_then(|block| block.copy(bytes, offset));
        let count = match found {
            Some(count) => count,
            None => read_full_at(&self.file, bytes, offset, BLOCK)?,
        };
        if count == bytes.len() {
            self.start(offset + count as u64, bytes.len());
        }
        Ok(count)
    }

    /// Reads in another thread what comes next.
    fn start(&self, end: u64, len: usize) {
        let file = Arc::clone(&self.file);
        let start = end.saturating_sub(OVERLAP_BYTES);
        let start = start - start % ALIGN as u64;
        let wanted = len.next_multiple_of(ALIGN) + crate::bytes::size(end - start);
        let thread = std::thread::Builder::new().name("journal-ahead".to_owned());
        let thread = thread.spawn(move || Block::read(&file, start, wanted));
        drop(self.swap(thread.ok()));
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        // The file is closed when this returns.
        drop(self.swap(None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn steps_are_what_the_file_holds_wherever_they_begin() {
        const STEP: usize = READ_BYTES_MIN;
        // A period that no step is a multiple of.
        let content: Vec<u8> = (0..251).cycle().take(5 * STEP / 2 - 4096 - 512).collect();
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(&content).expect("room");
        let ahead = ReadAhead::new(Arc::new(file));
        let mut bytes = vec![0; STEP];
        let steps =
            [0, STEP - 4096, 2 * STEP - 8192, 0, STEP, 2 * STEP, 3 * STEP, STEP - (1 << 17)];
        for offset in steps {
            let count = ahead.read_at(&mut bytes, offset as u64).expect("readable");
            let expected = &content[offset.min(content.len())..content.len().min(offset + STEP)];
            assert_eq!(count, expected.len(), "at {offset}");
            assert!(bytes[..count] == *expected, "at {offset}");
        }
    }
}
