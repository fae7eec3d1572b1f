//! Real files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[cfg(target_os = "linux")]
use rustix::fs::FallocateFlags;
use rustix::fs::{Advice, Mode, OFlags};
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::io::ReadWriteFlags;

use super::ahead::ReadAhead;
use super::file_system;
#[cfg(target_os = "linux")]
use super::write_zeros;
use super::{Access, DirEntry, Incarnation, Lock, LockError, Medium, Storage, StorageFile};
use crate::error::is_out_of_space;
use crate::mmap::{FileReadMap, FileWriteMap, MapPermit, ReadMap, WriteMap};

/// Where Linux names the current start of the system.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Bytes of a holder's note that are read from a lock file.
const HOLDER_BYTES_MAX: u64 = 64;

/// The storage of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileStorage;

impl FileStorage {
    /// Makes the storage; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Storage for FileStorage {
    fn identity(&self, dir: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.create_dir(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sync_dir(parent),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            entries.push(DirEntry { name: entry.file_name(), is_dir });
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::ReadDirect => return open_direct(path),
            Access::Write => {
                options.write(true);
            }
            Access::Create => {
                options.write(true).create(true).truncate(true);
            }
        }
        let file = retry(|| options.open(path))?;
        Ok(Arc::new(OpenFile::new(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = File::open(dir)?;
        retry(|| dir.sync_all())
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn Lock>, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut note = String::new();
                let read = (&file).take(HOLDER_BYTES_MAX).read_to_string(&mut note);
                // What follows the first line is not the holder's name.
                let first = |_| note.lines().next().unwrap_or_default().trim().to_owned();
                let holder = read.ok().map(first);
                return Err(LockError::Held { holder: holder.filter(|note| !note.is_empty()) });
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // The note serves only the message of a process that finds the file locked: a disk that has no
        // room for it is no reason not to give the lock.
        let note = format!("{holder}\n");
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()));
        match written {
            Err(error) if !is_out_of_space(&error) => return Err(LockError::Io(error)),
            _ => {}
        }
        Ok(Box::new(FileLock { file }))
    }

    fn medium(&self, dir: &Path) -> io::Result<Medium> {
        Ok(file_system::medium_of(file_system::magic_of(dir)?))
    }

    #[cfg(target_os = "linux")]
    fn tells_every_handle(&self, dir: &Path) -> io::Result<bool> {
        file_system::tells_every_handle(dir)
    }

    fn incarnation(&self) -> io::Result<Incarnation> {
        let text = fs::read_to_string(BOOT_ID)?;
        parse_boot_id(&text).ok_or_else(|| {
            let what = format!("{BOOT_ID} holds no boot id");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }
}

/// Reads the 32 hexadecimal digits of a boot id, hyphens anywhere between them.
fn parse_boot_id(text: &str) -> Option<Incarnation> {
    let mut bytes = [0_u8; 16];
    let mut digits = text.trim().chars().filter(|c| *c != '-');
    for byte in &mut bytes {
        let high = digits.next()?.to_digit(16)?;
        let low = digits.next()?.to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    digits.next().is_none().then(|| Incarnation::from_bytes(bytes))
}

/// Keeps the kernel's lock; it goes with the handle, or with the process.
#[derive(Debug)]
struct FileLock {
    file: File,
}

impl Drop for FileLock {
    /// Closing the descriptor alone would leave the lock to a child that was forked meanwhile and has
    /// not yet executed its program: it holds a duplicate.
    fn drop(&mut self) {
        // A lock that cannot be given back goes with the process.
        drop(self.file.unlock());
    }
}

impl Lock for FileLock {}

#[derive(Debug)]
struct OpenFile {
    file: Arc<File>,
    /// Reads pass by the cache, in whole blocks.
    direct: Option<Direct>,
}

/// A file that is read past the cache.
#[derive(Debug)]
struct Direct {
    ahead: ReadAhead,
    path: PathBuf,
    /// The same through the cache: some file systems open for such reads and then refuse one, however
    /// it is aligned, as FUSE ones do that hand the flag on to another.
    through: OnceLock<File>,
}

impl Direct {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.ahead.read_at(bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                read_full_at(self.through()?, bytes, offset, 1)
            }
            read => read,
        }
    }

    fn through(&self) -> io::Result<&File> {
        if let Some(file) = self.through.get() {
            return Ok(file);
        }
        let file = File::open(&self.path)?;
        Ok(self.through.get_or_init(|| file))
    }
}

impl OpenFile {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), direct: None }
    }

    fn direct(file: File, path: &Path) -> Self {
        let file = Arc::new(file);
        let (ahead, path) = (ReadAhead::new(Arc::clone(&file)), path.to_path_buf());
        Self { direct: Some(Direct { ahead, path, through: OnceLock::new() }), file }
    }
}

/// Opens for reading past the cache, or through it where the file system has nothing behind it.
fn open_direct(path: &Path) -> io::Result<Arc<dyn StorageFile>> {
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    Ok(Arc::new(match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => OpenFile::direct(File::from(fd), path),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => OpenFile::new(File::open(path)?),
        Err(error) => return Err(error.into()),
    }))
}

/// Reads until `bytes` are full or the file ends.
pub(super) fn read_full_at(
    file: &File,
    bytes: &mut [u8],
    offset: u64,
    block: usize,
) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        let at = offset + u64::try_from(done).unwrap_or(u64::MAX);
        match retry(|| file.read_at(&mut bytes[done..], at))? {
            0 => break,
            count => done += count,
        }
        if !done.is_multiple_of(block) {
            break; // Only the end of the file cuts a block short.
        }
    }
    Ok(done)
}

impl StorageFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.direct {
            Some(direct) => direct.read_at(bytes, offset),
            None => read_full_at(&self.file, bytes, offset, 1),
        }
    }

    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let mut slices = [io::IoSliceMut::new(bytes)];
        match rustix::io::preadv2(&self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN) => Ok(None),
            // The file system cannot tell, or a signal came.
            Err(_) => self.read_at(bytes, offset).map(Some),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, len: u64) -> io::Result<()> {
        let all = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        match retry(|| all().map_err(io::Error::from)) {
            // The file system knows no such thing.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => write_zeros(self, len),
            done => done,
        }
    }

    fn sync(&self) -> io::Result<()> {
        retry(|| self.file.sync_data())
    }

    fn drop_cache(&self, to: u64) -> io::Result<()> {
        // Only whole pages are dropped; no length means all of them.
        let whole = to.checked_next_multiple_of(4096).and_then(std::num::NonZeroU64::new);
        match rustix::fs::fadvise(&self.file, 0, whole, Advice::DontNeed) {
            // A file system without a cache to drop has nothing to forget.
            Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn map_write(&self, len: u64, _permit: MapPermit) -> io::Result<Box<dyn WriteMap>> {
        Ok(Box::new(FileWriteMap::new(&self.file, len)?))
    }

    fn map_read(&self, len: u64, _permit: MapPermit) -> io::Result<Arc<dyn ReadMap>> {
        Ok(Arc::new(FileReadMap::new(&self.file, len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids_are_read_and_nonsense_is_not() {
        let text = "00010203-0405-0607-0809-0a0b0c0d0eff\n";
        let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
        assert_eq!(parse_boot_id(text), Some(Incarnation::from_bytes(expected)));
        assert_eq!(parse_boot_id("00"), None);
        assert_eq!(parse_boot_id(&format!("{}0", text.trim())), None);
    }

    #[test]
    fn a_second_lock_names_the_first_holder() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        let first = FileStorage.lock(&path, "pid 1").expect("free");
        let Err(LockError::Held { holder }) = FileStorage.lock(&path, "pid 2") else {
            panic!("the lock is held");
        };
        assert_eq!(holder.as_deref(), Some("pid 1"));
        drop(first);
        FileStorage.lock(&path, "pid 3").expect("free again");
    }
}
