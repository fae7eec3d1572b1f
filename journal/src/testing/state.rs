//! The state of a simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::node::{Change, Directory, Node};
use super::{Fault, Seeded};
use crate::storage::{Incarnation, Medium};

/// The state of a disk, and of the process that uses it.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct State {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) dirs: BTreeMap<PathBuf, Directory>,
    pub(super) next_node: u64,
    /// Calls so far: all of them, and those that change something.
    pub(super) calls: u64,
    pub(super) changes: u64,
    pub(super) bytes_read: u64,
    pub(super) longest_read: usize,
    pub(super) crash_after_changes: Option<u64>,
    pub(super) faults: BTreeMap<u64, Fault>,
    /// From this call on every call fails.
    pub(super) broken_from: Option<u64>,
    pub(super) capacity_sectors: Option<usize>,
    /// What a write that finds no room answers.
    pub(super) no_room: io::ErrorKind,
    /// The process with this number uses the disk; calls of others fail.
    pub(super) process: u64,
    pub(super) dead: bool,
    pub(super) boot: u64,
    pub(super) medium: Medium,
    pub(super) maps: bool,
    pub(super) cache_pinned: bool,
    pub(super) tells_every_handle: bool,
    /// Of which files the cache was asked to drop everything, by their names then.
    pub(super) forgotten: Vec<String>,
    pub(super) file_syncs: u64,
    pub(super) dir_syncs: u64,
    /// Locked files and what their holders call themselves.
    pub(super) locks: BTreeMap<PathBuf, String>,
    /// How many handles of each file are open.
    pub(super) handles: BTreeMap<u64, usize>,
    pub(super) random: Seeded,
    pub(super) id: u64,
}

fn split(path: &Path) -> (PathBuf, OsString) {
    let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
    (parent, path.file_name().map(OsString::from).unwrap_or_default())
}

pub(super) fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

fn crashed() -> io::Error {
    io::Error::other("the simulated process is dead")
}

fn injected() -> io::Error {
    io::Error::other("injected I/O error")
}

impl State {
    /// Counts a call of a process; the error if it fails instead of working.
    pub(super) fn call(&mut self, process: u64) -> io::Result<Option<Fault>> {
        if self.dead || process != self.process {
            return Err(crashed());
        }
        let number = self.calls;
        self.calls += 1;
        if self.broken_from.is_some_and(|from| number >= from) {
            return Ok(Some(Fault::Io));
        }
        Ok(self.faults.remove(&number))
    }

    /// As [`call`](Self::call), for calls that have no effect when they fail.
    pub(super) fn plain_call(&mut self, process: u64) -> io::Result<()> {
        match self.call(process)? {
            Some(Fault::Io) => Err(injected()),
            Some(Fault::Full) => Err(self.error_of(Fault::Full)),
            Some(Fault::LostSync) | None => Ok(()),
        }
    }

    pub(super) fn error_of(&self, fault: Fault) -> io::Error {
        match fault {
            Fault::Full => io::Error::from(self.no_room),
            Fault::Io | Fault::LostSync => injected(),
        }
    }

    /// Counts a call that has changed something; the process may stop behind it.
    pub(super) fn changed(&mut self) {
        self.changes += 1;
        self.dead |= self.crash_after_changes == Some(self.changes);
    }

    pub(super) fn used_sectors(&self) -> usize {
        let named = self.dirs.values().flat_map(|directory| directory.entries.values());
        named.filter_map(|node| self.nodes.get(node)).map(Node::sectors).sum()
    }

    /// Forgets files that have no name any more, cannot get one back by a power cut, and that nobody
    /// has open.
    pub(super) fn collect_garbage(&mut self) {
        let named: BTreeSet<u64> = self.dirs.values().flat_map(Directory::nodes).collect();
        let handles = &self.handles;
        self.nodes.retain(|node, _| named.contains(node) || handles.contains_key(node));
    }

    pub(super) fn handle_opened(&mut self, node: u64) {
        *self.handles.entry(node).or_default() += 1;
    }

    pub(super) fn handle_closed(&mut self, node: u64) {
        if let Some(count) = self.handles.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.handles.remove(&node);
            }
        }
    }

    /// Whether a write finds room.
    pub(super) fn has_room(&self, node: u64, offset: u64, len: usize) -> bool {
        let Some(capacity) = self.capacity_sectors else {
            return true;
        };
        let Some(file) = self.nodes.get(&node) else {
            return true;
        };
        let more = file.sectors_after(offset, len) - file.sectors();
        more == 0 || self.used_sectors() + more <= capacity
    }

    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        let (dir, name) = split(path);
        self.dirs.get(&dir)?.entries.get(&name).copied()
    }

    /// The name of a file, in whatever directory it is.
    pub(super) fn name_of(&self, node: u64) -> Option<String> {
        let mut entries = self.dirs.values().flat_map(|directory| &directory.entries);
        entries.find(|(_, of)| **of == node).map(|(name, _)| name.to_string_lossy().into_owned())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if let Some(node) = self.find(path) {
            return Ok(node);
        }
        let (dir, name) = split(path);
        let node = self.next_node;
        let directory = self.dirs.get_mut(&dir).ok_or_else(not_found)?;
        directory.change(Change::Set(name, node));
        self.next_node += 1;
        self.nodes.insert(node, Node::default());
        Ok(node)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from).ok_or_else(not_found)?;
        let (from_dir, from_name) = split(from);
        let (to_dir, to_name) = split(to);
        let target = self.dirs.get_mut(&to_dir).ok_or_else(not_found)?;
        if from_dir == to_dir {
            target.change(Change::Rename(from_name, to_name, node));
        } else {
            target.change(Change::Set(to_name, node));
            self.unlink(from);
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        let (dir, name) = split(path);
        if let Some(directory) = self.dirs.get_mut(&dir) {
            directory.change(Change::Remove(name));
        }
    }

    pub(super) fn link(&mut self, path: &Path, node: u64) {
        let (dir, name) = split(path);
        if let Some(directory) = self.dirs.get_mut(&dir) {
            directory.change(Change::Set(name, node));
        }
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation::from_bytes(u128::from(self.boot).to_le_bytes())
    }
}
