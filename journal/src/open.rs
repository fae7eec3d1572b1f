//! Opening: find the journal or make it, check it, decide, and only then change something.

mod apply;
mod find;
mod mend;
mod mode;
mod repair;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cut::Quarantined;
use crate::durable_slot;
use crate::error::{At as _, IoError, NewerFormat, OpenError};
use crate::files::{Dir, FileKind, kind_of};
use crate::ids::{Lsn, Position, Uuid};
use crate::manifest::{self, Manifest};
use crate::options::{
    Create, Options, SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, WriteMode,
};
use crate::recovery::{self, Subject};
use crate::registry::Registration;
use crate::segment::Format;
use crate::shared::{Bugs, Shared};
use crate::storage::{Access, Incarnation, Lock, Medium};

use apply::Opening;
pub(crate) use find::{check_unlisted, find, load_manifest};
pub use mend::Mend;
pub use repair::{Loss, Repair, Repaired};

/// How the journal was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// There was none; it was made.
    Created,
    /// It ended with a safe point and goes on behind it.
    Clean,
    /// What followed the last safe point, torn or never completed, was cut off.
    Cut,
}

/// A complete safe point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SafePoint {
    /// Its last frame.
    pub lsn: Lsn,
    /// The end of the journal up to it. Frames without records may stand before this position.
    pub position: Position,
}

/// What opening found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// How the journal was found.
    pub found: Found,
    /// The last complete safe point; `None` if there is none.
    pub safe_point: Option<SafePoint>,
    /// What was cut off, and where it is now.
    pub quarantined: Vec<Quarantined>,
    /// Files that do not belong to the journal, and where they are now.
    pub moved_files: Vec<PathBuf>,
    /// The journal: one per directory.
    pub journal: Uuid,
    /// The session: shared by a leader and its followers.
    pub session: Uuid,
    /// The write mode that was chosen.
    pub write_mode: WriteMode,
    /// Whether page cache may have been lost since the journal was open last.
    pub after_power_loss: bool,
    /// Frames without records that a newer version wrote and this one may skip.
    pub skipped_frames: u64,
}

impl Opened {
    /// Bytes that were cut off.
    #[must_use]
    pub fn quarantined_bytes(&self) -> u64 {
        self.quarantined.iter().map(|range| range.bytes).sum()
    }
}

/// The right to write: held by the handle, given back when it is closed.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub(super) _lock: Box<dyn Lock>,
    pub(super) _registration: Registration,
}

/// Everything that opening yields.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) opened: Opened,
    pub(crate) ownership: Ownership,
    pub(crate) background: bool,
}

/// Opens or makes the journal in `path`.
pub(crate) fn open(path: &Path, mut options: Options) -> Result<Parts, OpenError> {
    check_options(&options)?;
    let bugs = bugs_of(&options);
    let storage = Arc::clone(&options.storage);
    let exists = find(&*storage, path, options.create)?;
    if !exists {
        storage.create_dir(path).at("create", path)?;
    }
    let ownership = find::own(&*storage, path)?;
    let medium = storage.medium(path).at("examine", path)?;
    if medium == Medium::Network && !options.allow_network_fs {
        return Err(OpenError::NetworkFileSystem { dir: path.to_path_buf() });
    }
    let dir = Dir { storage, path: path.to_path_buf(), skip_sync: skips_dir_sync(&options) };
    let incarnation = dir.storage.incarnation().at("identify the system of", path)?;
    // Another process may have made or removed the journal before the lock was taken.
    let manifest = if find(&*dir.storage, path, Create::IfMissing)? {
        load_manifest(&dir)?
    } else {
        create(&dir, &options, incarnation)?
    };
    check_session(path, &manifest, &options)?;
    let lost = options.after_power_loss || manifest.incarnation != incarnation;
    let mut zeros_from = u64::MAX;
    if !bugs.trust_open_read {
        zeros_from = sync_unsealed(&dir, &manifest, lost, options.background)?;
    }
    let checkup = {
        let subject = Subject {
            storage: &*dir.storage,
            dir: &dir.path,
            manifest: &manifest,
            direct: !bugs.trust_open_read,
            zeros_from,
            same_incarnation: !lost,
            bugs,
        };
        recovery::check(&subject, options.progress.take().as_mut())?
    };
    check_unlisted(&dir, &manifest, &checkup, bugs)?;
    // The decision is taken: from here on files change.
    let moved_files = tidy(&dir, &manifest)?;
    let write_mode = mode::choose(&dir, options.write_mode, medium)?;
    let mut opening = Opening { dir, manifest, checkup, write_mode, incarnation, bugs };
    let (active, quarantined) = opening.apply(first_bytes(&options))?;
    let opened = opening.opened(exists, lost, quarantined, moved_files);
    let background = options.background;
    let shared = Arc::new(opening.into_shared(active, &options)?);
    Ok(Parts { shared, opened, ownership, background })
}

fn check_options(options: &Options) -> Result<(), OpenError> {
    let bytes = options.segment_bytes;
    if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) {
        return Err(OpenError::Options { what: "segment_bytes is not within 64 KiB and 1 GiB" });
    }
    if !bytes.is_multiple_of(4096) {
        return Err(OpenError::Options { what: "segment_bytes is not a multiple of 4096" });
    }
    Ok(())
}

#[cfg(any(test, feature = "testing"))]
pub(crate) fn bugs_of(options: &Options) -> Bugs {
    options.planted.map_or_else(Bugs::default, crate::testing::Planted::bugs)
}

#[cfg(not(any(test, feature = "testing")))]
pub(crate) fn bugs_of(_options: &Options) -> Bugs {
    Bugs::default()
}

#[cfg(any(test, feature = "testing"))]
fn skips_dir_sync(options: &Options) -> bool {
    options.planted == Some(crate::testing::Planted::SkipDirSync)
}

#[cfg(not(any(test, feature = "testing")))]
fn skips_dir_sync(_options: &Options) -> bool {
    false
}

/// Bytes of a journal's first segment.
fn first_bytes(options: &Options) -> u64 {
    options.segment_bytes.min(SEGMENT_BYTES_FIRST)
}

/// Makes an empty journal: first everything else, then its manifest, so that a crash leaves either
/// an empty directory or a journal. The first segment comes with the first roll.
fn create(dir: &Dir, options: &Options, incarnation: Incarnation) -> Result<Manifest, OpenError> {
    drop(dir.fill(durable_slot::NAME, durable_slot::FILE_BYTES)?);
    dir.sync()?;
    let draw = || {
        let mut bytes = [0; 16];
        let drawn = dir.storage.random(&mut bytes).at("draw a name for", &dir.path);
        drawn.map(|()| Uuid::from_bytes(bytes))
    };
    let manifest = Manifest {
        format: Format::CURRENT,
        journal: draw()?,
        session: match options.session {
            Some(session) => session,
            None => draw()?,
        },
        generation: 1,
        incarnation,
        durable: 0,
        closed: false,
        segments: Vec::new(),
        snapshots: Vec::new(),
    };
    dir.switch_manifest(None, &manifest, None)?;
    Ok(manifest)
}

fn check_session(path: &Path, manifest: &Manifest, options: &Options) -> Result<(), OpenError> {
    let bits = manifest.format.unknown_ro_compat();
    if bits != 0 {
        let (major, minor) = (manifest.format.major, manifest.format.minor);
        let file = path.join(manifest::NAME);
        return Err(NewerFormat::ReadOnly { file, major, minor, bits }.into());
    }
    match options.session {
        Some(expected) if expected != manifest.session => Err(OpenError::WrongSession {
            dir: path.to_path_buf(),
            expected,
            found: manifest.session,
        }),
        _ => Ok(()),
    }
}

/// Makes durable what a killed process left in the page cache, and drops what the cache holds, so
/// that what is read next is what is on the disk (6.).
///
/// The directory is part of it: a manifest that was renamed and whose directory was never synced
/// could vanish in a power cut that keeps a segment made after it.
///
/// If the system was not started again since (`lost` says that it was), and nothing else has lost what
/// the cache held, two things of it are kept:
///
/// - All of a journal that was closed in order: it was synced to its end without a failure, so what the
///   cache holds is what is on the disk, and serves whoever reads it next. The check reads past the
///   cache all the same.
/// - The zeros behind what was written: nobody can have written there what the cache does not show. The
///   check need not read them, which is most of what a killed process leaves. Gives where they begin.
fn sync_unsealed(
    dir: &Dir,
    manifest: &Manifest,
    lost: bool,
    background: bool,
) -> Result<u64, OpenError> {
    dir.sync()?;
    let mut zeros_from = u64::MAX;
    for entry in manifest.segments.iter().filter(|entry| entry.seal.is_none()) {
        let path = dir.file(&entry.name());
        let file = match dir.storage.open(&path, Access::Write) {
            Ok(file) => file,
            // The check names what is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(IoError::new("open", &path, error).into()),
        };
        if lost || manifest.closed {
            file.sync().at("sync", &path)?;
        } else {
            let look = || recovery::zeros_in_cache(&*file, entry.physical_bytes);
            let (synced, zeros) = beside(background, || file.sync(), look);
            synced.at("sync", &path)?;
            zeros_from = zeros.at("read", &path)?;
        }
        if manifest.closed && !lost {
            continue;
        }
        file.drop_cache(zeros_from).at("drop the cache of", &path)?;
    }
    Ok(zeros_from)
}

/// Does two things, at the same time if threads are wanted.
fn beside<A, B: Send>(
    background: bool,
    here: impl FnOnce() -> A,
    there: impl FnOnce() -> B + Send,
) -> (A, B) {
    if !background {
        return (here(), there());
    }
    std::thread::scope(|scope| {
        let there = scope.spawn(there);
        let here = here();
        match there.join() {
            Ok(there) => (here, there),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Removes temporary files and moves what does not belong here; the decision to open is taken.
fn tidy(dir: &Dir, manifest: &Manifest) -> Result<Vec<PathBuf>, OpenError> {
    let mut moved = Vec::new();
    let mut removed = false;
    let mut entries = dir.storage.list(&dir.path).at("list", &dir.path)?;
    entries.sort();
    for entry in entries {
        let name = entry.name.to_string_lossy();
        let listed = || manifest.segments.iter().any(|segment| segment.name() == name);
        match kind_of(&name, entry.is_dir) {
            FileKind::Known | FileKind::Snapshot => {}
            FileKind::Segment if listed() => {}
            FileKind::Segment
                if recovery::is_left_over(&*dir.storage, &dir.file(&name), manifest)? =>
            {
                dir.discard(&name);
                removed = true;
            }
            FileKind::Segment | FileKind::Unknown => {
                match dir.quarantine_file(entry.name.as_ref()) {
                    // It is in nobody's way, and moved when there is room.
                    Err(error) if error.is_out_of_space() => {}
                    moved_to => moved.push(moved_to?),
                }
            }
            FileKind::Temporary => {
                dir.remove(&name)?;
                removed = true;
            }
        }
    }
    if removed {
        dir.sync()?;
    }
    Ok(moved)
}
