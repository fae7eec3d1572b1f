//! What stands behind the first failure: zeros, garbage, or frames that tell more.

use std::io;
use std::ops::Range;

use crate::bytes::{round_up, size};
use crate::frame::{ALIGN, HEADER, Salt};
use crate::manifest::SegmentEntry;
use crate::segment::SEGMENT_HEADER;
use crate::storage::StorageFile;
use crate::window::{Checked, Window};

/// Zeros are skipped in blocks of this many bytes. No header begins in such a block: wherever it begins
/// at a multiple of eight, its kind would stand there too.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Bytes that are looked for in the page cache at once.
const CACHED_BYTES: usize = 64 << 10;

/// The rest of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rest {
    /// The greatest position that a frame in it claims as durable.
    pub(crate) durable: u64,
    /// How many frames in it are valid.
    pub(crate) frames: u64,
    /// How many records they have.
    pub(crate) records: u64,
    /// Whether all of it is there and zero.
    pub(crate) is_zero: bool,
    /// File offset behind its last byte that is not zero.
    pub(crate) written_end: u64,
}

impl Rest {
    pub(crate) const NOTHING: Self =
        Self { durable: 0, frames: 0, records: 0, is_zero: true, written_end: 0 };
}

/// Tries every eighth byte of a range: up to the segment's physical end, or as far as it is not known
/// to be zero; of a sealed one to its sealed length, since bytes beyond are never read.
pub(crate) fn scan(
    window: &mut Window,
    entry: &SegmentEntry,
    salt: Salt,
    range: Range<u64>,
) -> io::Result<Rest> {
    let limit = range.end;
    let mut rest = Rest { written_end: range.start, ..Rest::NOTHING };
    let mut offset = range.start;
    while offset < limit {
        let step = size(limit - offset).min(BLOCK);
        let bytes = window.bytes(offset, step)?;
        if bytes.len() < step {
            rest.is_zero = false; // The file is shorter than it was made.
        }
        if *bytes == ZEROS[..bytes.len()] {
            offset += step as u64;
            continue;
        }
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        rest.is_zero = false;
        rest.written_end = offset + last as u64 + 1;
        let block_end = offset + step as u64;
        while offset < block_end {
            offset = match frame_at(window, entry, salt, offset, limit)? {
                Some(Found { end, claim, records }) => {
                    rest.frames += 1;
                    rest.records += records;
                    rest.durable = rest.durable.max(claim);
                    rest.written_end = rest.written_end.max(end);
                    end
                }
                None => offset + ALIGN,
            };
        }
    }
    Ok(rest)
}

/// Whether a range is there and zero.
pub(crate) fn is_zero(window: &mut Window, from: u64, to: u64) -> io::Result<bool> {
    let mut offset = from;
    while offset < to {
        let step = size(to - offset).min(BLOCK);
        if *window.bytes(offset, step)? != ZEROS[..step] {
            return Ok(false);
        }
        offset += step as u64;
    }
    Ok(true)
}

/// Whether the page cache holds nothing but zeros of a range. What it does not hold is not read.
pub(crate) fn is_zero_in_cache(file: &dyn StorageFile, from: u64, to: u64) -> io::Result<bool> {
    let mut buffer = vec![0; CACHED_BYTES];
    let mut offset = from;
    while offset < to {
        let step = size(to - offset).min(CACHED_BYTES);
        match file.read_cached_at(&mut buffer[..step], offset)? {
            None => offset = round_up(offset + 1, BLOCK as u64),
            Some(0) => return Ok(false), // The file is shorter than it was made.
            Some(count) if buffer[..count].iter().any(|byte| *byte != 0) => return Ok(false),
            Some(count) => offset += count as u64,
        }
    }
    Ok(true)
}

/// From where on the page cache holds all of a file of so many bytes, and nothing but zeros.
///
/// No byte of a file's end that the cache shows as zero can be anything else to whoever reads the file,
/// as long as the system runs.
pub(crate) fn zeros_in_cache(file: &dyn StorageFile, file_bytes: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CACHED_BYTES];
    let mut from = file_bytes;
    while from > 0 {
        let start = from.saturating_sub(CACHED_BYTES as u64);
        let step = size(from - start);
        let cached = file.read_cached_at(&mut buffer[..step], start)?;
        if cached != Some(step)
            || buffer[..step].chunks(BLOCK).any(|block| *block != ZEROS[..block.len()])
        {
            break;
        }
        from = start;
    }
    Ok(from)
}

/// A valid frame whose sequence number is plausible.
struct Found {
    end: u64,
    claim: u64,
    records: u64,
}

/// The frame at an offset, if there is one.
fn frame_at(
    window: &mut Window,
    entry: &SegmentEntry,
    salt: Salt,
    offset: u64,
    limit: u64,
) -> io::Result<Option<Found>> {
    let Checked::Frame { header, .. } = window.frame(salt, offset, limit)? else {
        return Ok(None);
    };
    let frames_before_max = (offset - SEGMENT_HEADER) / HEADER;
    let plausible =
        header.lsn.checked_sub(entry.first_lsn).is_some_and(|before| before <= frames_before_max);
    if !plausible {
        return Ok(None);
    }
    let position = entry.first_position + (offset - SEGMENT_HEADER);
    let claim = header.claim(position).map_or(0, crate::ids::Position::get);
    let (end, records) = (offset + header.total_len(), u64::from(header.records));
    Ok(Some(Found { end, claim, records }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{MapPermit, ReadMap, WriteMap};
    use std::sync::Arc;

    /// What the page cache has of a file's pages: nothing, or this byte all over.
    #[derive(Debug)]
    struct Cached(Vec<Option<u8>>);

    impl StorageFile for Cached {
        fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
            let mut pages = self.0.iter().skip(size(offset / BLOCK as u64));
            let mut count = 0;
            while count < bytes.len() {
                match pages.next() {
                    Some(None) if count == 0 => return Ok(None),
                    Some(None) | None => break,
                    Some(Some(byte)) => {
                        let to = (count + BLOCK).min(bytes.len());
                        bytes[count..to].fill(*byte);
                        count = to;
                    }
                }
            }
            Ok(Some(count))
        }

        fn len(&self) -> io::Result<u64> {
            unreachable!("only the cache is looked at")
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            unreachable!("only the cache is looked at")
        }
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            unreachable!("only the cache is looked at")
        }
        fn sync(&self) -> io::Result<()> {
            unreachable!("only the cache is looked at")
        }
        fn drop_cache(&self, _: u64) -> io::Result<()> {
            unreachable!("only the cache is looked at")
        }
        fn map_write(&self, _: u64, _: MapPermit) -> io::Result<Box<dyn WriteMap>> {
            unreachable!("only the cache is looked at")
        }
        fn map_read(&self, _: u64, _: MapPermit) -> io::Result<Arc<dyn ReadMap>> {
            unreachable!("only the cache is looked at")
        }
    }

    const ZERO: Option<u8> = Some(0);

    #[test]
    fn what_the_cache_holds_is_found_wherever_it_stands() {
        let is_zero = |pages: &[Option<u8>], from: u64, to: u64| {
            let cached = Cached(pages.to_vec());
            is_zero_in_cache(&cached, from, to * BLOCK as u64).expect("readable")
        };
        assert!(is_zero(&[Some(1), ZERO, None, ZERO], 4096, 4));
        assert!(is_zero(&[None, None, None, Some(1)], 0, 3), "nobody asks for the last page");
        assert!(!is_zero(&[ZERO, Some(1)], 8, 2));
        assert!(!is_zero(&[None, None, ZERO, Some(1)], 8, 4), "behind what it does not hold");
        assert!(!is_zero(&[ZERO, ZERO], 0, 3), "the file is shorter");
    }

    #[test]
    fn from_where_on_the_cache_holds_zeros_is_told_by_whole_steps() {
        const STEP: usize = CACHED_BYTES / BLOCK;
        let zeros_from = |pages: &[Option<u8>], count: usize| {
            let from = zeros_in_cache(&Cached(pages.to_vec()), (count * BLOCK) as u64);
            size(from.expect("readable")) / BLOCK
        };
        let mut pages = vec![ZERO; 3 * STEP + 1];
        assert_eq!(zeros_from(&pages, 3 * STEP + 1), 0);
        assert_eq!(zeros_from(&pages, 3 * STEP + 2), 3 * STEP + 2, "the file is shorter");
        pages[0] = Some(1);
        assert_eq!(zeros_from(&pages, 3 * STEP + 1), 1, "the last step is a short one");
        pages[STEP] = None;
        assert_eq!(zeros_from(&pages, 3 * STEP + 1), STEP + 1);
        pages[3 * STEP] = Some(1);
        assert_eq!(zeros_from(&pages, 3 * STEP + 1), 3 * STEP + 1);
    }
}
