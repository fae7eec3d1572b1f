//! A storage that calls back in the middle of a write, a sync or a switch.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_journal::storage::{
    Access, DirEntry, Incarnation, Lock, LockError, MapPermit, Medium, ReadMap, Storage,
    StorageFile, WriteMap,
};

/// Where a hook is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    BeforeWrite,
    BeforeSync,
    AfterSync,
    /// A new manifest is complete and about to be the journal's.
    BeforeSwitch,
    /// Somebody who wants to be sure that nobody switches finds that somebody does.
    SwitchHeld,
}

type Hook = Box<dyn FnOnce() + Send>;
type Armed = Arc<Mutex<Option<(Moment, Hook)>>>;

/// Another storage, with a hook that is called once.
#[derive(Clone)]
pub(crate) struct Hooked {
    storage: Arc<dyn Storage>,
    armed: Armed,
    /// Length of the longest file that was allocated without being written.
    allocated: Arc<AtomicU64>,
    refuses_pins: bool,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

fn reach(armed: &Armed, moment: Moment) {
    let hook = {
        let mut armed = armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.take_if(|(at, _)| *at == moment)
    };
    // The lock is free while the hook runs: it may do I/O itself.
    if let Some((_, hook)) = hook {
        hook();
    }
}

impl Hooked {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let (armed, allocated) = <(Armed, Arc<AtomicU64>)>::default();
        Self { storage, armed, allocated, refuses_pins: false }
    }

    /// As for a reader that may not write into the journal's directory: it cannot pin its place.
    pub(crate) fn that_refuses_pins(storage: Arc<dyn Storage>) -> Self {
        Self { refuses_pins: true, ..Self::new(storage) }
    }

    /// Calls the hook the next time that this moment comes.
    pub(crate) fn arm(&self, moment: Moment, hook: impl FnOnce() + Send + 'static) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        *armed = Some((moment, Box::new(hook)));
    }

    pub(crate) fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Storage for Hooked {
    fn identity(&self, dir: &Path) -> io::Result<PathBuf> {
        self.storage.identity(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.storage.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.storage.list(dir)
    }
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.storage.open(path, access)?;
        let (armed, allocated) = (self.armed.clone(), self.allocated.clone());
        Ok(Arc::new(HookedFile { file, armed, allocated }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if to.file_name().is_some_and(|name| name == "MANIFEST") {
            reach(&self.armed, Moment::BeforeSwitch);
        }
        self.storage.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.storage.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.storage.sync_dir(dir)
    }
    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn Lock>, LockError> {
        let is_pin = || path.parent().is_some_and(|parent| parent.ends_with("pins"));
        if self.refuses_pins && is_pin() {
            return Err(LockError::Io(io::ErrorKind::PermissionDenied.into()));
        }
        let locked = self.storage.lock(path, holder);
        let is_switch = || path.file_name().is_some_and(|name| name == "switch.lock");
        if matches!(locked, Err(LockError::Held { .. })) && is_switch() {
            reach(&self.armed, Moment::SwitchHeld);
        }
        locked
    }
    fn medium(&self, dir: &Path) -> io::Result<Medium> {
        self.storage.medium(dir)
    }
    fn incarnation(&self) -> io::Result<Incarnation> {
        self.storage.incarnation()
    }
    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.storage.random(bytes)
    }
}

struct HookedFile {
    file: Arc<dyn StorageFile>,
    armed: Armed,
    allocated: Arc<AtomicU64>,
}

impl std::fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookedFile")
    }
}

impl StorageFile for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        reach(&self.armed, Moment::BeforeWrite);
        self.file.write_at(bytes, offset)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.allocated.fetch_max(len, Ordering::Relaxed);
        self.file.allocate(len)
    }
    fn sync(&self) -> io::Result<()> {
        reach(&self.armed, Moment::BeforeSync);
        let synced = self.file.sync();
        reach(&self.armed, Moment::AfterSync);
        synced
    }
    fn drop_cache(&self, to: u64) -> io::Result<()> {
        self.file.drop_cache(to)
    }
    fn map_write(&self, len: u64, permit: MapPermit) -> io::Result<Box<dyn WriteMap>> {
        self.file.map_write(len, permit)
    }
    fn map_read(&self, len: u64, permit: MapPermit) -> io::Result<Arc<dyn ReadMap>> {
        self.file.map_read(len, permit)
    }
}
