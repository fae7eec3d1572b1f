//! The steps on a journal's directory that more than one operation takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::size;
use crate::error::{At as _, IoError};
use crate::manifest::{self, Manifest};
use crate::segment::{COPY_OFFSETS, SegmentHeader};
use crate::storage::{Access, Storage, StorageFile, write_zeros};

/// Where a cut and unknown files put what they take away.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Where readers of other processes say what they still need.
pub(crate) const PINS: &str = "pins";

/// The manifest before the present one has room for so many segments more than it lists: a roll and
/// a cut may have come since.
const PREVIOUS_MORE_SEGMENTS: u64 = 2;

/// A journal's directory on its storage.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) path: PathBuf,
    /// Whether directory syncs are skipped: the planted bug of the negative control.
    pub(crate) skip_sync: bool,
}

impl Dir {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file of this directory.
    pub(crate) fn open(&self, name: &str, access: Access) -> Result<Arc<dyn StorageFile>, IoError> {
        let path = self.file(name);
        let verb = if access == Access::Create { "create" } else { "open" };
        self.storage.open(&path, access).at(verb, &path)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        let (from, to) = (self.file(from), self.file(to));
        self.storage.rename(&from, &to).at("rename", &from)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), IoError> {
        let path = self.file(name);
        self.storage.remove(&path).at("remove", &path)
    }

    pub(crate) fn sync(&self) -> Result<(), IoError> {
        if self.skip_sync {
            return Ok(());
        }
        self.storage.sync_dir(&self.path).at("sync", &self.path)
    }

    /// Makes a file of `bytes` zeros, allocated and durable; its name is durable after
    /// [`sync`](Self::sync).
    pub(crate) fn fill(&self, name: &str, bytes: u64) -> Result<Arc<dyn StorageFile>, IoError> {
        let file = self.open(name, Access::Create)?;
        write_zeros(&*file, bytes).at("zero-fill", &self.file(name))?;
        self.synced(name, file)
    }

    /// Makes a file as [`fill`](Self::fill) does, and leaves its zeros to the storage.
    pub(crate) fn allocate(&self, name: &str, bytes: u64) -> Result<Arc<dyn StorageFile>, IoError> {
        let file = self.open(name, Access::Create)?;
        file.allocate(bytes).at("allocate", &self.file(name))?;
        self.synced(name, file)
    }

    fn synced(
        &self,
        name: &str,
        file: Arc<dyn StorageFile>,
    ) -> Result<Arc<dyn StorageFile>, IoError> {
        file.sync().at("sync", &self.file(name))?;
        Ok(file)
    }

    /// Makes a file of zeros the segment that `header` describes, durably (roll, step 2).
    pub(crate) fn make_segment(
        &self,
        from: &str,
        file: &dyn StorageFile,
        header: &SegmentHeader,
        name: &str,
    ) -> Result<(), IoError> {
        let path = self.file(from);
        let bytes = header.encode();
        for offset in COPY_OFFSETS {
            file.write_at(&bytes, offset).at("write", &path)?;
        }
        file.sync().at("sync", &path)?;
        self.rename(from, name)?;
        self.sync()
    }

    /// Makes `next` the journal's manifest. After an error the old one counts, or the new one.
    ///
    /// `prepared` is the name of a file with room for it, so that a full disk cannot interfere.
    /// Without one, and where the disk is full, it takes the room of the manifest before the present
    /// one.
    pub(crate) fn switch_manifest(
        &self,
        current: Option<&Manifest>,
        next: &Manifest,
        prepared: Option<&str>,
    ) -> Result<(), IoError> {
        let bytes = next.encode();
        let (name, access) = match prepared {
            Some(name) => (name, Access::Write),
            None => (manifest::TMP_NAME, Access::Create),
        };
        match (self.write_whole(name, access, &bytes), current) {
            (Ok(()), Some(current)) => self.rename_manifest(current, name)?,
            (Ok(()), None) => self.rename(name, manifest::NAME)?,
            (Err(full), Some(current)) if full.is_out_of_space() => {
                self.write_over_previous(&bytes, full)?;
                self.rename(manifest::PREVIOUS_NAME, manifest::NAME)?;
                self.sync()?;
                // What was renamed over has left its room, for the next time that it is needed.
                drop(self.keep_previous(current));
                return Ok(());
            }
            (Err(error), _) => return Err(error),
        }
        self.sync()
    }

    fn write_whole(&self, name: &str, access: Access, bytes: &[u8]) -> Result<(), IoError> {
        let (path, file) = (self.file(name), self.open(name, access)?);
        file.write_at(bytes, 0).at("write", &path)?;
        file.sync().at("sync", &path)
    }

    /// Writes a manifest into the room of the one before the present one, which nobody needs to open
    /// the journal. Overwriting takes no space. `full` is the error if there is no such room.
    fn write_over_previous(&self, bytes: &[u8], full: IoError) -> Result<(), IoError> {
        let Ok(file) = self.open(manifest::PREVIOUS_NAME, Access::Write) else { return Err(full) };
        let path = self.file(manifest::PREVIOUS_NAME);
        let room = file.len().at("examine", &path)?;
        if room < bytes.len() as u64 {
            return Err(full);
        }
        // The unfinished file would keep what room it got.
        drop(self.remove(manifest::TMP_NAME));
        let mut bytes = bytes.to_vec();
        bytes.resize(size(room), 0);
        file.write_at(&bytes, 0).at("write", &path)?;
        file.sync().at("sync", &path)
    }

    /// Makes a complete file the manifest instead of `current`; durable after [`sync`](Self::sync).
    pub(crate) fn rename_manifest(&self, current: &Manifest, name: &str) -> Result<(), IoError> {
        // For a human, and for its room: neither synced nor worth an error.
        drop(self.keep_previous(current));
        self.rename(name, manifest::NAME)
    }

    /// Removes a file that is not part of the journal any more, by way of a temporary name: nothing
    /// else is ever deleted. What stays is removed by the next open.
    pub(crate) fn discard(&self, name: &str) {
        if kind_of(name, false) == FileKind::Temporary {
            drop(self.remove(name));
            return;
        }
        let temporary = format!("{name}.tmp");
        if self.rename(name, &temporary).is_ok() {
            drop(self.remove(&temporary));
        }
    }

    fn keep_previous(&self, current: &Manifest) -> Result<(), IoError> {
        let file = self.open(manifest::PREVIOUS_TMP_NAME, Access::Create)?;
        let path = self.file(manifest::PREVIOUS_TMP_NAME);
        let mut bytes = current.encode();
        bytes.resize(size(current.file_bytes(PREVIOUS_MORE_SEGMENTS)), 0);
        file.write_at(&bytes, 0).at("write", &path)?;
        self.rename(manifest::PREVIOUS_TMP_NAME, manifest::PREVIOUS_NAME)
    }

    /// Copies a range of a file into the quarantine, durably. Repeating it changes nothing.
    pub(crate) fn quarantine_range(
        &self,
        name: &str,
        from: u64,
        to: u64,
    ) -> Result<PathBuf, IoError> {
        let source_path = self.file(name);
        let source = self.open(name, Access::Read)?;
        let quarantine = self.file(QUARANTINE);
        self.storage.create_dir(&quarantine).at("create", &quarantine)?;
        let path = quarantine.join(format!("{name}.{from:010}"));
        let copy = self.storage.open(&path, Access::Create).at("create", &path)?;
        let mut buffer = vec![0; 64 << 10];
        let mut at = from;
        while at < to {
            let step = size(to - at).min(buffer.len());
            let count = source.read_at(&mut buffer[..step], at).at("read", &source_path)?;
            if count == 0 {
                break;
            }
            copy.write_at(&buffer[..count], at - from).at("write", &path)?;
            at += count as u64;
        }
        copy.sync().at("sync", &path)?;
        self.storage.sync_dir(&quarantine).at("sync", &quarantine)?;
        Ok(path)
    }

    /// Moves a file into the quarantine under a name that is free there.
    pub(crate) fn quarantine_file(&self, name: &Path) -> Result<PathBuf, IoError> {
        let quarantine = self.file(QUARANTINE);
        self.storage.create_dir(&quarantine).at("create", &quarantine)?;
        let taken = self.storage.list(&quarantine).at("list", &quarantine)?;
        let from = self.path.join(name);
        let mut to = name.as_os_str().to_owned();
        let mut number = 0_u32;
        while taken.iter().any(|entry| entry.name == to) {
            number += 1;
            name.as_os_str().clone_into(&mut to);
            to.push(format!(".{number}"));
        }
        let to = quarantine.join(to);
        self.storage.rename(&from, &to).at("move to quarantine", &from)?;
        self.storage.sync_dir(&quarantine).at("sync", &quarantine)?;
        self.sync()?;
        Ok(to)
    }
}

/// What a file of a journal's directory is, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    /// Part of the format, whether or not this build uses it.
    Known,
    /// A segment or snapshot: known if the manifest lists it.
    Segment,
    Snapshot,
    /// Deleted at open.
    Temporary,
    Unknown,
}

/// Sorts a directory entry by its name.
pub(crate) fn kind_of(name: &str, is_dir: bool) -> FileKind {
    if is_dir {
        return match name {
            // The last are of whoever keeps a state beside the journal.
            QUARANTINE | PINS | "snapshots" => FileKind::Known,
            _ => FileKind::Unknown,
        };
    }
    match name {
        "LOCK" | manifest::NAME | manifest::PREVIOUS_NAME | crate::durable_slot::NAME | "VOTE" => {
            FileKind::Known
        }
        _ => match name.rsplit_once('.') {
            Some((_, "tmp")) => FileKind::Temporary,
            Some((stem, "jnl")) if stem.starts_with("seg-") => FileKind::Segment,
            Some((stem, "snp")) if stem.starts_with("snap-") => FileKind::Snapshot,
            _ => FileKind::Unknown,
        },
    }
}
