//! A journal that another process may be writing, as a source of groups.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::probe::Probe;
use crate::durable_slot::{self, Claims};
use crate::error::{At as _, IoError, OpenError, ReadError};
use crate::files::Dir;
use crate::manifest::{Manifest, SegmentEntry};
use crate::open;
use crate::options::{Create, Options, WriteMode};
use crate::storage::{Access, Medium, StorageFile};

/// A journal that is only looked at, again and again.
#[derive(Debug)]
pub(crate) struct Watched {
    dir: Dir,
    maps: bool,
    /// The end of the last safe point that is known to be durable.
    limit: AtomicU64,
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    manifest: Manifest,
    slots: Option<Arc<dyn StorageFile>>,
    probe: Probe,
}

/// The directory, if it holds a journal that may be read.
pub(super) fn dir_of(path: &Path, options: Options) -> Result<Dir, OpenError> {
    let Options { storage, allow_network_fs, .. } = options;
    let dir = Dir { storage, path: path.to_path_buf(), skip_sync: false };
    if !open::find(&*dir.storage, path, Create::Never)? {
        return Err(OpenError::NotFound { dir: path.to_path_buf() });
    }
    let medium = dir.storage.medium(path).at("examine", path)?;
    if medium == Medium::Network && !allow_network_fs {
        return Err(OpenError::NetworkFileSystem { dir: path.to_path_buf() });
    }
    Ok(dir)
}

impl Watched {
    pub(super) fn new(dir: Dir, mode: Option<WriteMode>) -> Result<Self, OpenError> {
        let manifest = open::load_manifest(&dir)?;
        let in_place = dir.storage.medium(&dir.path).at("examine", &dir.path)? == Medium::InPlace;
        Ok(Self {
            maps: in_place && mode != Some(WriteMode::Pwrite),
            dir,
            limit: AtomicU64::new(0),
            generation: AtomicU64::new(manifest.generation),
            state: Mutex::new(State { manifest, slots: None, probe: Probe::default() }),
        })
    }

    /// Looks for more; whether there is any.
    pub(crate) fn look(&self) -> Result<bool, ReadError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let limit = self.limit.load(Ordering::Acquire);
        // The list first: a cut makes frames void that could still be found.
        let changed = self.take_manifest(state)?;
        let claim = self.claim(state)?;
        state.probe.claimed = state.probe.claimed.max(claim);
        let found = state.probe.walk(&self.dir, &state.manifest, limit);
        let found = found.at("read a segment of", &self.dir.path)?;
        if let Some(end) = found {
            self.limit.store(end, Ordering::Release);
        }
        Ok(changed || found.is_some())
    }

    /// Takes in the present list of segments; whether it is another one.
    fn take_manifest(&self, state: &mut State) -> Result<bool, ReadError> {
        let manifest = match open::load_manifest(&self.dir) {
            Ok(manifest) => manifest,
            Err(OpenError::Io(error)) => return Err(error.into()),
            Err(OpenError::NewerFormat(newer)) => return Err(newer.into()),
            Err(error) => {
                let damaged = io::Error::new(io::ErrorKind::InvalidData, error);
                return Err(IoError::new("read the manifest of", &self.dir.path, damaged).into());
            }
        };
        let changed = manifest.generation != state.manifest.generation;
        if changed {
            self.generation.store(manifest.generation, Ordering::Release);
            state.manifest = manifest;
        }
        Ok(changed)
    }

    /// What manifest and slots say is durable.
    fn claim(&self, state: &mut State) -> Result<u64, IoError> {
        let path = self.dir.file(durable_slot::NAME);
        let slots = if let Some(slots) = &state.slots {
            slots
        } else {
            state.slots.insert(self.dir.storage.open(&path, Access::Read).at("open", &path)?)
        };
        let claims = durable_slot::read(&**slots, state.manifest.journal).at("read", &path)?;
        let slot = match claims {
            Claims::Newest(slot) => slot.position,
            // Opening refuses that; what other claims cover can be read.
            Claims::Damaged => 0,
        };
        let sealed = state.manifest.segments.iter().filter_map(|entry| entry.seal);
        let sealed = sealed.map(|seal| seal.end_position).max().unwrap_or(0);
        Ok(slot.max(sealed).max(state.manifest.durable))
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(crate) const fn maps(&self) -> bool {
        self.maps
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn segments(&self) -> (u64, Vec<SegmentEntry>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.manifest.generation, state.manifest.segments.clone())
    }
}
