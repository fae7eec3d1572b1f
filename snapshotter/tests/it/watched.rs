//! A storage of real files that keeps count: what a directory takes at most, whenever its names are
//! made durable, and how many bytes were read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_journal::storage::{
    Access, DirEntry, FileStorage, Incarnation, Lock, LockError, MapPermit, Medium, ReadMap,
    Storage, StorageFile, WriteMap,
};

/// The counts of one directory.
#[derive(Debug, Default)]
struct Counts {
    dir: PathBuf,
    most_bytes: AtomicU64,
    bytes_read: AtomicU64,
}

impl Counts {
    /// New names are made durable before what they replace is removed: there is never more.
    fn look(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
        let bytes = files.map(|file| file.len()).sum();
        self.most_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    fn read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The storage of the operating system, watched.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    files: FileStorage,
    counts: Arc<Counts>,
}

impl Watched {
    pub(crate) fn new(dir: &Path) -> Self {
        let counts = Counts { dir: dir.to_path_buf(), ..Counts::default() };
        Self { files: FileStorage::new(), counts: Arc::new(counts) }
    }

    /// What the directory held at most so far.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.counts.most_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that were read or mapped so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.counts.bytes_read.load(Ordering::Relaxed)
    }
}

impl Storage for Watched {
    fn identity(&self, dir: &Path) -> io::Result<PathBuf> {
        self.files.identity(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.files.list(dir)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.files.open(path, access)?;
        Ok(Arc::new(WatchedFile { file, counts: Arc::clone(&self.counts) }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.counts.look();
        self.files.sync_dir(dir)
    }
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn Lock>, LockError> {
        self.files.lock(path, holder)
    }
    fn medium(&self, dir: &Path) -> io::Result<Medium> {
        self.files.medium(dir)
    }
    fn incarnation(&self) -> io::Result<Incarnation> {
        self.files.incarnation()
    }
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.files.random(bytes)
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn StorageFile>,
    counts: Arc<Counts>,
}

impl StorageFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(bytes, offset)?;
        self.counts.read(read as u64);
        Ok(read)
    }
    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let read = self.file.read_cached_at(bytes, offset)?;
        self.counts.read(read.unwrap_or_default() as u64);
        Ok(read)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn drop_cache(&self, to: u64) -> io::Result<()> {
        self.file.drop_cache(to)
    }
    fn map_write(&self, len: u64, permit: MapPermit) -> io::Result<Box<dyn WriteMap>> {
        self.file.map_write(len, permit)
    }
    fn map_read(&self, len: u64, permit: MapPermit) -> io::Result<Arc<dyn ReadMap>> {
        self.counts.read(len);
        self.file.map_read(len, permit)
    }
}
