//! Reading a segment's header, and refusing what only a newer version reads.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::NewerFormat;
use crate::frame::{Header, Kind};
use crate::segment::{COPY_BYTES, COPY_OFFSETS, FORMAT_MAJOR, Format, SegmentHeader, Unusable};
use crate::storage::StorageFile;

/// The header of a segment: the first of its two copies that holds.
pub(crate) fn read_header(file: &dyn StorageFile) -> io::Result<Option<SegmentHeader>> {
    // One aligned block, so that files that pass by the cache can be read as well.
    let mut window = AlignedBlock::new();
    let block = window.read(file)?;
    for offset in COPY_OFFSETS {
        let at = crate::bytes::size(offset);
        let Some(copy) = block.get(at..at + COPY_BYTES) else {
            continue;
        };
        let copy = <&[u8; COPY_BYTES]>::try_from(copy).expect("the range has that length");
        if let Some(header) = SegmentHeader::decode(copy) {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

/// The first 4096 bytes of a file at an aligned address.
struct AlignedBlock {
    bytes: Vec<u8>,
    shift: usize,
}

impl AlignedBlock {
    const LEN: usize = 4096;

    fn new() -> Self {
        let bytes = vec![0; 2 * Self::LEN];
        let shift = bytes.as_ptr().align_offset(Self::LEN);
        Self { bytes, shift }
    }

    fn read(&mut self, file: &dyn StorageFile) -> io::Result<&[u8]> {
        let block = &mut self.bytes[self.shift..self.shift + Self::LEN];
        let count = file.read_at(block, 0)?;
        Ok(&block[..count])
    }
}

/// Refuses files that only a newer version reads.
pub(crate) fn check_format(format: &Format, path: &Path) -> Result<(), NewerFormat> {
    let (file, major, minor) = (PathBuf::from(path), format.major, format.minor);
    match format.check() {
        Ok(()) => Ok(()),
        Err(Unusable::Major) => {
            Err(NewerFormat::Major { file, major, minor, supported: FORMAT_MAJOR })
        }
        Err(Unusable::Incompat(bits)) => Err(NewerFormat::Incompat { file, major, minor, bits }),
    }
}

/// Refuses frames that only a newer version reads; those marked as skippable pass.
pub(crate) fn known_kind(header: &Header, offset: u64, path: &Path) -> Result<Kind, NewerFormat> {
    let unknown = || NewerFormat::Frame {
        file: PathBuf::from(path),
        offset,
        kind: header.kind_code,
        flags: header.flags,
    };
    let kind = header.kind().map_err(|_| unknown())?;
    if kind != Kind::Skippable && header.unknown_flags() != 0 {
        return Err(unknown());
    }
    Ok(kind)
}
