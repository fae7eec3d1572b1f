//! The simulated disk as a storage.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Seeded;
use super::disk::{Fault, SimDisk};
use super::node::Node;
use super::state::not_found;
use crate::files::{FileKind, kind_of};
use crate::mmap::{MapPermit, ReadMap, Release, WriteMap};
use crate::storage::{
    Access, DirEntry, Incarnation, Lock, LockError, Medium, Storage, StorageFile,
};

impl Storage for SimDisk {
    fn identity(&self, dir: &Path) -> io::Result<PathBuf> {
        Ok(PathBuf::from(format!("simulated disk {}{}", self.id(), dir.display())))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        // Directories are durable at once: the journal makes two, and syncs their parents.
        state.dirs.entry(dir.to_path_buf()).or_default();
        state.changed();
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        let directory = state.dirs.get(dir).ok_or_else(not_found)?;
        let mut entries: BTreeSet<DirEntry> = directory
            .entries
            .keys()
            .map(|name| DirEntry { name: name.clone(), is_dir: false })
            .collect();
        for inner in state.dirs.keys().filter(|path| path.parent() == Some(dir)) {
            let name = inner.file_name().unwrap_or_default().to_owned();
            entries.insert(DirEntry { name, is_dir: true });
        }
        Ok(entries.into_iter().collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        let node = if access == Access::Create {
            let node = state.create(path)?;
            state.nodes.entry(node).or_default().truncate();
            state.changed();
            node
        } else {
            state.find(path).ok_or_else(not_found)?
        };
        let direct = access == Access::ReadDirect;
        state.handle_opened(node);
        let told = state.nodes.get(&node).map_or(0, Node::failures);
        drop(state);
        let told = Arc::new(AtomicU64::new(told));
        Ok(Arc::new(SimFile { disk: self.clone(), node, direct, told }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        state.rename(from, to)?;
        state.changed();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        state.find(path).ok_or_else(not_found)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(
            matches!(kind_of(&name, false), FileKind::Temporary | FileKind::Unknown),
            "{name} is part of a journal, and only what is temporary is ever deleted"
        );
        state.unlink(path);
        state.changed();
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        match state.call(self.process())? {
            Some(Fault::LostSync) => return Ok(()),
            Some(fault) => return Err(state.error_of(fault)),
            None => {}
        }
        state.dir_syncs += 1;
        state.dirs.get_mut(dir).ok_or_else(not_found)?.sync();
        state.collect_garbage();
        state.changed();
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> Result<Box<dyn Lock>, LockError> {
        let mut state = self.state();
        state.plain_call(self.process()).map_err(LockError::Io)?;
        if let Some(holder) = state.locks.get(path) {
            return Err(LockError::Held { holder: Some(holder.clone()) });
        }
        state.locks.insert(path.to_path_buf(), holder.to_owned());
        state.create(path).map_err(LockError::Io)?;
        state.changed();
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_path_buf() }))
    }

    fn medium(&self, _dir: &Path) -> io::Result<Medium> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        Ok(state.medium)
    }

    fn tells_every_handle(&self, _dir: &Path) -> io::Result<bool> {
        Ok(self.state().tells_every_handle)
    }

    fn incarnation(&self) -> io::Result<Incarnation> {
        let mut state = self.state();
        state.plain_call(self.process())?;
        Ok(state.incarnation())
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        for chunk in bytes.chunks_mut(8) {
            let number = state.random.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.process == self.disk.process() {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: u64,
    direct: bool,
    /// How many failures to write back this handle was told of, or has not lived through.
    told: Arc<AtomicU64>,
}

impl Clone for SimFile {
    fn clone(&self) -> Self {
        self.disk.state().handle_opened(self.node);
        Self { disk: self.disk.clone(), told: Arc::clone(&self.told), ..*self }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.process == self.disk.process() {
            state.handle_closed(self.node);
        }
    }
}

impl StorageFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.plain_call(self.disk.process())?;
        let node = state.nodes.get(&self.node).ok_or_else(not_found)?;
        Ok(node.len() as u64)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.plain_call(self.disk.process())?;
        let node = state.nodes.get(&self.node).ok_or_else(not_found)?;
        let count = node.read(bytes, offset, self.direct);
        state.bytes_read += count as u64;
        state.longest_read = state.longest_read.max(bytes.len());
        Ok(count)
    }

    fn read_cached_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        // The cache holds everything; nothing is read from the medium.
        let mut state = self.disk.state();
        state.plain_call(self.disk.process())?;
        let node = state.nodes.get(&self.node).ok_or_else(not_found)?;
        Ok(Some(node.read(bytes, offset, false)))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.call(self.disk.process())?;
        if !state.has_room(self.node, offset, bytes.len()) {
            return Err(state.error_of(Fault::Full));
        }
        let written = match fault {
            Some(Fault::Full) => return Err(state.error_of(Fault::Full)),
            // A write that fails has happened in part.
            Some(Fault::Io) => &bytes[..bytes.len() / 2],
            Some(Fault::LostSync) | None => bytes,
        };
        state.nodes.entry(self.node).or_default().write(written, offset);
        state.changed();
        match fault {
            Some(Fault::Io) => Err(state.error_of(Fault::Io)),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.call(self.disk.process())?;
        // A sync that works draws no numbers, so that faults change nothing before them.
        let seed = fault.map_or(0, |_| state.random.next());
        state.file_syncs += 1;
        let node = state.nodes.entry(self.node).or_default();
        match fault {
            Some(Fault::LostSync) => {}
            Some(fault) => {
                node.fail_sync(&mut Seeded::new(seed));
                self.told.store(node.failures(), Ordering::Relaxed);
                state.changed();
                return Err(state.error_of(fault));
            }
            None if self.told.swap(node.failures(), Ordering::Relaxed) < node.failures() => {
                return Err(state.error_of(Fault::Io));
            }
            None => node.sync(),
        }
        state.changed();
        Ok(())
    }

    fn drop_cache(&self, to: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.plain_call(self.disk.process())?;
        if to == u64::MAX {
            let name = state.name_of(self.node);
            state.forgotten.extend(name);
        }
        if !state.cache_pinned {
            state.nodes.entry(self.node).or_default().drop_cache(to);
        }
        Ok(())
    }

    fn map_write(&self, len: u64, _permit: MapPermit) -> io::Result<Box<dyn WriteMap>> {
        let mut state = self.disk.state();
        state.plain_call(self.disk.process())?;
        let actual = state.nodes.get(&self.node).map_or(0, Node::len) as u64;
        if !state.maps {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        if len > actual {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        drop(state);
        Ok(Box::new(SimMap { file: self.clone(), len }))
    }

    fn map_read(&self, _len: u64, _permit: MapPermit) -> io::Result<Arc<dyn ReadMap>> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// A map whose stores are writes into the simulated page cache. Stores of a dead process vanish.
#[derive(Debug)]
struct SimMap {
    file: SimFile,
    len: u64,
}

impl SimMap {
    fn write(&self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.len, "a store ends inside the map");
        let mut state = self.file.disk.state();
        if state.dead || state.process != self.file.disk.process() {
            return;
        }
        state.nodes.entry(self.file.node).or_default().write(bytes, offset);
        state.changed();
    }
}

impl WriteMap for SimMap {
    fn store(&mut self, offset: u64, bytes: &[u8]) {
        self.write(offset, bytes);
    }

    fn publish(&mut self, offset: u64, header: &[u8; 32]) {
        // The checksum comes last, as with a real map: a crash may fall between the two stores.
        self.write(offset + 4, &header[4..]);
        self.write(offset, &header[..4]);
    }

    fn before_sync(&mut self, _from: u64, _to: u64) -> Option<Release> {
        None
    }
}
