//! The simulated disk: its state, its faults, and what a crash makes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::node::{Directory, Node, SECTOR};
use super::state::State;
use super::{Chooser, Seeded};
use crate::storage::Medium;

/// Tells disks apart in the registry of open journals.
static NEXT_DISK: AtomicU64 = AtomicU64::new(1);

/// What an I/O call does instead of working.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Fails with an I/O error. A write may have happened in part; of a sync, some sectors are
    /// written and all are marked clean.
    Io,
    /// Fails because the disk is full, or the quota.
    Full,
    /// A sync answers that all is well and does nothing.
    LostSync,
}

/// A disk in memory that forgets what was not synced.
///
/// Cloning the handle shares the disk; [`fork`](Self::fork) copies it. A handle belongs to one
/// simulated process: after a crash, its calls fail and [`kill`](Self::kill) or
/// [`power_cut`](Self::power_cut) yields the handle of the next process.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use std::sync::Arc;
/// use steadfast_journal::testing::{Fixed, SimDisk};
/// use steadfast_journal::{Batch, Journal, Level, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let disk = SimDisk::new(42);
/// let options = |disk: &SimDisk| {
///     Options::new().storage(Arc::new(disk.clone())).segment_bytes(64 << 10).without_background()
/// };
/// let (journal, _) = Journal::open(Path::new("/journal"), options(&disk))?;
/// let mut batch = Batch::new();
/// batch.push(1, 1, b"kept")?;
/// journal.commit(&batch, Level::Batch)?;
///
/// let disk = disk.power_cut(&mut Fixed::Nothing);
/// let (_journal, opened) = Journal::open(Path::new("/journal"), options(&disk))?;
/// assert!(opened.safe_point.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    process: u64,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk#{}", self.id())
    }
}

impl SimDisk {
    /// Makes an empty disk. Salts and names are drawn from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            nodes: BTreeMap::new(),
            dirs: BTreeMap::new(),
            next_node: 1,
            calls: 0,
            changes: 0,
            bytes_read: 0,
            longest_read: 0,
            crash_after_changes: None,
            faults: BTreeMap::new(),
            broken_from: None,
            capacity_sectors: None,
            no_room: io::ErrorKind::StorageFull,
            process: 1,
            dead: false,
            boot: 1,
            medium: Medium::InPlace,
            maps: true,
            cache_pinned: false,
            tells_every_handle: true,
            forgotten: Vec::new(),
            file_syncs: 0,
            dir_syncs: 0,
            locks: BTreeMap::new(),
            handles: BTreeMap::new(),
            random: Seeded::new(seed),
            id: NEXT_DISK.fetch_add(1, Ordering::Relaxed),
        };
        Self { state: Arc::new(Mutex::new(state)), process: 1 }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn process(&self) -> u64 {
        self.process
    }

    pub(super) fn id(&self) -> u64 {
        self.state().id
    }

    /// Copies the disk as it is, for another future.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        // Those who have files open have them on the other disk.
        state.handles.clear();
        state.id = NEXT_DISK.fetch_add(1, Ordering::Relaxed);
        Self { state: Arc::new(Mutex::new(state)), process: self.process }
    }

    /// How many I/O calls there were, reads included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many I/O calls there were that change something or sync.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Bytes that were read so far, and the most at once.
    #[must_use]
    pub fn bytes_read(&self) -> (u64, usize) {
        let state = self.state();
        (state.bytes_read, state.longest_read)
    }

    /// Stops the process after so many more calls that change something or sync.
    pub fn crash_after(&self, changes: u64) {
        let mut state = self.state();
        state.crash_after_changes = Some(state.changes + changes);
        state.dead |= changes == 0;
    }

    /// Whether the process was stopped by [`crash_after`](Self::crash_after).
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.state().dead
    }

    /// Makes the call with this number, counted from now and from 0, fail.
    pub fn fail_call(&self, number: u64, fault: Fault) {
        let mut state = self.state();
        let call = state.calls + number;
        state.faults.insert(call, fault);
    }

    /// Makes this and every later call fail, counted from now and from 0.
    pub fn break_at(&self, number: u64) {
        let mut state = self.state();
        state.broken_from = Some(state.calls + number);
    }

    /// Takes back all faults that have not happened.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.broken_from = None;
        state.capacity_sectors = None;
    }

    /// Limits the disk to what it holds now and so many bytes more.
    pub fn limit_free_bytes(&self, bytes: u64) {
        let mut state = self.state();
        let free = crate::bytes::size(bytes) / SECTOR;
        state.capacity_sectors = Some(state.used_sectors() + free);
    }

    /// From now on a write that finds no room says that a quota is used up, not the disk.
    pub fn set_quota(&self) {
        self.state().no_room = io::ErrorKind::QuotaExceeded;
    }

    /// Chooses what kind of file system the disk pretends to have.
    pub fn set_medium(&self, medium: Medium) {
        self.state().medium = medium;
    }

    /// Chooses whether the cache keeps what it was asked to drop, as it does of files that somebody
    /// maps.
    pub fn set_cache_pinned(&self, pinned: bool) {
        self.state().cache_pinned = pinned;
    }

    /// Chooses what the disk says of failures to write back: whether each handle of a file is told.
    pub fn set_tells_every_handle(&self, tells: bool) {
        self.state().tells_every_handle = tells;
    }

    /// Names of files of which the cache was asked to drop everything, in order.
    #[must_use]
    pub fn forgotten(&self) -> Vec<String> {
        self.state().forgotten.clone()
    }

    /// How many syncs of files and of directories there were.
    #[must_use]
    pub fn syncs(&self) -> (u64, u64) {
        let state = self.state();
        (state.file_syncs, state.dir_syncs)
    }

    /// Chooses whether files can be mapped.
    pub fn set_maps(&self, maps: bool) {
        self.state().maps = maps;
    }

    /// The disk after the process was killed: nothing is lost, nothing more is durable.
    #[must_use]
    pub fn kill(&self) -> Self {
        let disk = self.fork();
        disk.next_process()
    }

    /// The disk after the power was cut: of what was not synced, the chooser picks what survives.
    #[must_use]
    pub fn power_cut(&self, chooser: &mut dyn Chooser) -> Self {
        let disk = self.fork();
        {
            let mut state = disk.state();
            for directory in state.dirs.values_mut() {
                directory.power_cut(chooser);
            }
            for node in state.nodes.values_mut() {
                node.power_cut(chooser);
            }
            state.boot += 1;
        }
        disk.next_process()
    }

    fn next_process(self) -> Self {
        let mut state = self.state();
        state.process += 1;
        state.dead = false;
        state.crash_after_changes = None;
        state.locks.clear();
        state.handles.clear();
        let process = state.process;
        drop(state);
        Self { state: self.state, process }
    }

    /// How many choices the next power cut has: sectors, lengths and directory changes that are not
    /// durable.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.state();
        let sectors = state.nodes.values().map(Node::pending_sectors).sum::<usize>();
        sectors + state.dirs.values().map(Directory::pending_changes).sum::<usize>()
    }

    /// The names in a directory, in order.
    #[must_use]
    pub fn names(&self, dir: impl AsRef<Path>) -> Vec<String> {
        let state = self.state();
        let entries = state.dirs.get(dir.as_ref()).map(|directory| directory.entries.keys());
        let names = entries.into_iter().flatten();
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The content of a file as a reader sees it; empty if there is none.
    #[must_use]
    pub fn content(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let state = self.state();
        let node = state.find(path.as_ref()).and_then(|node| state.nodes.get(&node));
        node.map(|node| node.bytes().to_vec()).unwrap_or_default()
    }

    /// Damages a file behind everybody's back, durably. Does nothing if there is none.
    pub fn damage(&self, path: impl AsRef<Path>, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state();
        let node = state.find(path.as_ref());
        if let Some(node) = node.and_then(|node| state.nodes.get_mut(&node)) {
            let (cached, durable) = node.bytes_mut();
            change(cached);
            change(durable);
        }
    }

    /// Makes a file with this content, durably, replacing another one.
    pub fn plant(&self, path: impl AsRef<Path>, content: &[u8]) {
        let mut state = self.state();
        let node = state.create(path.as_ref());
        let Ok(node) = node else { return };
        let file = state.nodes.entry(node).or_default();
        *file = Node::default();
        file.write(content, 0);
        file.sync();
        state.dirs.values_mut().for_each(Directory::sync);
    }

    /// Removes or renames a file behind everybody's back, durably.
    pub fn displace(&self, from: impl AsRef<Path>, to: Option<&Path>) {
        let mut state = self.state();
        if let Some(node) = state.find(from.as_ref()) {
            state.unlink(from.as_ref());
            if let Some(to) = to {
                state.link(to, node);
            }
        }
        state.dirs.values_mut().for_each(Directory::sync);
    }
}
