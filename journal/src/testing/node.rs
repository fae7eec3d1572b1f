//! The content of one simulated file, and the entries of one simulated directory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use super::Chooser;
use crate::bytes::size;

/// The unit in which a simulated disk loses or keeps.
pub(super) const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

/// A file.
#[derive(Clone, Default)]
pub(super) struct Node {
    /// What a reader sees. Shared with other forks of the disk until it changes.
    cached: Arc<Vec<u8>>,
    /// What is on the disk.
    durable: Arc<Vec<u8>>,
    /// For each sector that was written since the last sync: its contents, oldest first.
    pending: BTreeMap<usize, Vec<Sector>>,
    /// How many syncs have failed. Each handle is told of each.
    failures: u64,
}

/// Copies a sector; what lies behind the end is zero.
fn sector_of(bytes: &[u8], index: usize) -> Sector {
    let mut sector = [0; SECTOR];
    let start = (index * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    sector[..end - start].copy_from_slice(&bytes[start..end]);
    sector
}

fn put_sector(bytes: &mut [u8], index: usize, sector: &Sector) {
    let start = (index * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    bytes[start..end].copy_from_slice(&sector[..end - start]);
}

/// Fills up with zeros; faster without optimization than `Vec::resize`.
fn lengthen(bytes: &mut Vec<u8>, len: usize) {
    let zeros = vec![0; len - bytes.len()];
    bytes.extend_from_slice(&zeros);
}

fn set_len(bytes: &mut Vec<u8>, len: usize) {
    bytes.truncate(len);
    lengthen(bytes, len);
}

impl Node {
    pub(super) fn len(&self) -> usize {
        self.cached.len()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Sectors that the file occupies.
    pub(super) fn sectors(&self) -> usize {
        self.cached.len().max(self.durable.len()).div_ceil(SECTOR)
    }

    /// Sectors that it would occupy after a write.
    pub(super) fn sectors_after(&self, offset: u64, len: usize) -> usize {
        self.sectors().max((size(offset) + len).div_ceil(SECTOR))
    }

    pub(super) fn read(&self, bytes: &mut [u8], offset: u64, direct: bool) -> usize {
        let start = size(offset).min(self.cached.len());
        let end = (start + bytes.len()).min(self.cached.len());
        let count = end - start;
        bytes[..count].copy_from_slice(&self.cached[start..end]);
        if direct {
            // A sector that is clean comes from the disk, whatever the cache believes.
            for index in start / SECTOR..end.div_ceil(SECTOR) {
                if !self.pending.contains_key(&index) {
                    let sector = sector_of(&self.durable, index);
                    let (from, to) = ((index * SECTOR).max(start), ((index + 1) * SECTOR).min(end));
                    let within = from - index * SECTOR..to - index * SECTOR;
                    bytes[from - start..to - start].copy_from_slice(&sector[within]);
                }
            }
        }
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let start = size(offset);
        let end = start + bytes.len();
        if self.cached.len() < end {
            lengthen(Arc::make_mut(&mut self.cached), end);
        }
        Arc::make_mut(&mut self.cached)[start..end].copy_from_slice(bytes);
        for index in start / SECTOR..end.div_ceil(SECTOR) {
            let sector = sector_of(&self.cached, index);
            let versions = self.pending.entry(index).or_default();
            if versions.last() != Some(&sector) {
                versions.push(sector);
            }
        }
    }

    pub(super) fn truncate(&mut self) {
        self.cached = Arc::default();
        self.pending.clear();
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        if self.durable.len() == self.cached.len() {
            let pending = std::mem::take(&mut self.pending);
            if pending.len() > self.cached.len() / SECTOR / 2 {
                self.durable.clone_from(&self.cached);
                return;
            }
            for index in pending.into_keys() {
                let sector = sector_of(&self.cached, index);
                put_sector(Arc::<Vec<u8>>::make_mut(&mut self.durable), index, &sector);
            }
        } else {
            self.pending.clear();
            self.durable.clone_from(&self.cached);
        }
    }

    /// A sync that failed: some sectors are written, all are marked clean, and the cache keeps what
    /// the disk does not have.
    pub(super) fn fail_sync(&mut self, chooser: &mut dyn Chooser) {
        self.failures += 1;
        let cached_len = self.cached.len();
        set_len(Arc::make_mut(&mut self.durable), cached_len);
        for (index, versions) in std::mem::take(&mut self.pending) {
            if chooser.choose(2) == 1
                && let Some(newest) = versions.last()
            {
                put_sector(Arc::<Vec<u8>>::make_mut(&mut self.durable), index, newest);
            }
        }
    }

    /// Forgets what is clean in the cache of the first `to` bytes.
    pub(super) fn drop_cache(&mut self, to: u64) {
        let mut content = (*self.durable).clone();
        set_len(&mut content, self.cached.len());
        for (index, versions) in &self.pending {
            if let Some(newest) = versions.last() {
                put_sector(&mut content, *index, newest);
            }
        }
        let kept = usize::try_from(to).unwrap_or(usize::MAX).min(content.len());
        content[kept..].copy_from_slice(&self.cached[kept..]);
        self.cached = Arc::new(content);
    }

    /// What a power cut leaves: of each sector one of its contents since the last sync.
    pub(super) fn power_cut(&mut self, chooser: &mut dyn Chooser) {
        if self.durable.len() != self.cached.len() && chooser.choose(2) == 1 {
            set_len(Arc::make_mut(&mut self.durable), self.cached.len());
        }
        for (index, versions) in std::mem::take(&mut self.pending) {
            // 0 keeps what is durable, n the n-th content after it.
            if let Some(kept) = chooser.choose(versions.len() + 1).checked_sub(1) {
                put_sector(Arc::<Vec<u8>>::make_mut(&mut self.durable), index, &versions[kept]);
            }
        }
        self.cached.clone_from(&self.durable);
    }

    /// Sectors that are not durable.
    pub(super) fn pending_sectors(&self) -> usize {
        self.pending.len()
    }

    /// The content on the disk, for damage.
    pub(super) fn bytes_mut(&mut self) -> (&mut Vec<u8>, &mut Vec<u8>) {
        (Arc::make_mut(&mut self.cached), Arc::make_mut(&mut self.durable))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cached
    }
}

/// One change of a directory.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(OsString, u64),
    Remove(OsString),
    Rename(OsString, OsString, u64),
}

/// A directory: names of nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    pub(super) entries: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    pending: Vec<Change>,
}

fn apply(entries: &mut BTreeMap<OsString, u64>, change: &Change) {
    match change {
        Change::Set(name, node) => {
            entries.insert(name.clone(), *node);
        }
        Change::Remove(name) => {
            entries.remove(name);
        }
        Change::Rename(from, to, node) => {
            entries.remove(from);
            entries.insert(to.clone(), *node);
        }
    }
}

impl Directory {
    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.entries, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.entries);
        self.pending.clear();
    }

    /// What a power cut leaves: any of the changes since the last sync, in their order.
    pub(super) fn power_cut(&mut self, chooser: &mut dyn Chooser) {
        for change in std::mem::take(&mut self.pending) {
            if chooser.choose(2) == 1 {
                apply(&mut self.durable, &change);
            }
        }
        self.entries.clone_from(&self.durable);
    }

    /// Every file that has a name here, or may have one after a power cut.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u64> {
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Set(_, node) | Change::Rename(_, _, node) => Some(*node),
            Change::Remove(_) => None,
        });
        self.entries.values().chain(self.durable.values()).copied().chain(pending)
    }

    pub(super) fn pending_changes(&self) -> usize {
        self.pending.len()
    }
}
