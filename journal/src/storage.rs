//! The boundary between the journal and what stores its bytes.
//!
//! Everything that the journal does to a disk goes through [`Storage`], so that the same code runs
//! on files and on a simulated disk that loses what was not made durable.

mod ahead;
mod file;
mod file_system;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::bytes::size;

pub use crate::mmap::{MapPermit, ReadMap, Release, WriteMap};

pub use file::FileStorage;

/// Which start of the operating system the storage has lived through since; Linux' boot id.
///
/// Within one incarnation a process may have died, but nothing that reached the page cache was
/// lost. Two incarnations with the same bytes are the same one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Incarnation([u8; 16]);

impl Incarnation {
    /// Wraps sixteen bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a directory's file system does to a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Medium {
    /// Overwriting an allocated block needs no space and keeps its place.
    InPlace,
    /// Overwriting allocates. Full disks and write amplification follow; writing is by `pwrite`.
    CopyOnWrite,
    /// Another machine holds the bytes: neither locks nor `fsync` can be trusted.
    Network,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Reading only; must exist.
    Read,
    /// Reading from the medium instead of the cache, where the storage can; must exist. The reader
    /// aligns address, length and offset to 4096 bytes.
    ReadDirect,
    /// Reading and writing; must exist.
    Write,
    /// Reading and writing; made anew, an older file of that name is emptied.
    Create,
}

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirEntry {
    /// The name without its directory.
    pub name: std::ffi::OsString,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// Why a lock was not given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody holds it.
    #[error("held by {}", .holder.as_deref().unwrap_or("an unknown process"))]
    Held {
        /// What the holder wrote into the file.
        holder: Option<String>,
    },
    /// The file could not be locked.
    #[error("the file could not be locked")]
    Io(#[source] io::Error),
}

/// A lock that is held until it is dropped, or until the process dies.
pub trait Lock: fmt::Debug + Send + Sync {}

/// Something that stores files in directories.
///
/// What an implementation ensures: a call that returned without error is visible to every later
/// call in any process; nothing is durable before the sync that covers it. What the journal
/// promises: paths stay inside the directory that it was opened with; one journal at a time writes
/// (it holds [`lock`](Self::lock)); calls may come from several threads at once.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Names the directory the same way for every path that leads to it; unique in this process.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers, among it `NotFound`.
    fn identity(&self, dir: &Path) -> io::Result<PathBuf>;

    /// Makes a directory and its missing parents, durably. It may exist.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Lists a directory, in no particular order.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers; the name of a created file is durable only after
    /// [`sync_dir`](Self::sync_dir).
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames a file, replacing another at once; durable only after [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    ///
    /// Whatever the storage answers; then nothing was renamed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; maps and handles of it stay valid.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers; then nothing was removed.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers; then nothing may be assumed of earlier changes.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of the file at `path`, made if missing, and writes `holder` into it.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] at once if another process or handle has it.
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn Lock>, LockError>;

    /// What kind of file system holds the directory.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers.
    fn medium(&self, dir: &Path) -> io::Result<Medium>;

    /// Whether each handle of a file in the directory is told of a failure to write back, whoever else
    /// was told: a [`sync`](StorageFile::sync) through one of them succeeds only if everything that was
    /// written to the file since its last success is durable.
    ///
    /// Where that holds, two syncs are in flight at once. Whoever does not know answers `false`.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers.
    fn tells_every_handle(&self, dir: &Path) -> io::Result<bool> {
        let _ = dir;
        Ok(false)
    }

    /// Which start of the operating system this is.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers.
    fn incarnation(&self) -> io::Result<Incarnation>;

    /// Fills `bytes` at random. Nothing that is replayed depends on them.
    ///
    /// # Errors
    ///
    /// Whatever the source of randomness answers.
    fn random(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// An open file. Any number of threads may use it at once.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// As [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at an offset; fewer bytes than asked for only at the end of the file.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers, never `Interrupted`.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads at an offset what the page cache holds, and nothing from the medium: `None` if the first
    /// byte is not there. Fewer bytes than asked for say nothing of those behind them.
    ///
    /// A storage that cannot tell reads: that is slower, and as right.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.read_at(bytes, offset).map(Some)
    }

    /// Writes all bytes at an offset into the page cache.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers; then any part of the range may hold the new bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes a shorter file `len` bytes long: what is new reads as zero and has room on the medium, so
    /// that writing it finds no full disk. How the medium notes what of it was written is its own
    /// affair; it makes the next syncs slower than where zeros were written.
    ///
    /// A storage that knows no such thing writes zeros.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    fn allocate(&self, len: u64) -> io::Result<()> {
        write_zeros(self, len)
    }

    /// Makes the bytes and the length durable.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers; then nothing may be assumed of bytes written since the last
    /// success, not even after a later success.
    fn sync(&self) -> io::Result<()>;

    /// Asks the cache to forget what is durable already of the first `to` bytes.
    ///
    /// # Errors
    ///
    /// Whatever the storage answers.
    fn drop_cache(&self, to: u64) -> io::Result<()>;

    /// Maps the first `len` bytes for writing; all of them exist and are allocated.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the storage has no maps.
    fn map_write(&self, len: u64, permit: MapPermit) -> io::Result<Box<dyn WriteMap>>;

    /// Maps the first `len` bytes for reading; all of them exist.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the storage has no maps.
    fn map_read(&self, len: u64, permit: MapPermit) -> io::Result<Arc<dyn ReadMap>>;
}

/// Zeros are written in pieces of this size: larger ones make the file system cache them in large
/// folios, and then a store of one kilobyte through a map flushes a whole folio.
const ZEROS_BYTES: usize = 4096;

/// Makes a shorter file `len` bytes long by writing zeros.
pub(crate) fn write_zeros<F: StorageFile + ?Sized>(file: &F, len: u64) -> io::Result<()> {
    let zeros = [0; ZEROS_BYTES];
    let mut at = file.len()?;
    while at < len {
        let step = size(len - at).min(ZEROS_BYTES);
        file.write_at(&zeros[..step], at)?;
        at += step as u64;
    }
    Ok(())
}
