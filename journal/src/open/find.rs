//! Finding a journal, and taking the right to write it.

use std::io;
use std::path::{Path, PathBuf};

use super::Ownership;
use crate::bytes::size;
use crate::error::{At as _, IoError, OpenError};
use crate::files::{Dir, FileKind, kind_of};
use crate::frame::Salt;
use crate::manifest::{self, Manifest, ManifestDamage};
use crate::options::Create;
use crate::recovery::{self, Checkup};
use crate::registry::Registration;
use crate::segment::SEGMENT_HEADER;
use crate::shared::Bugs;
use crate::storage::{Access, LockError, Storage};
use crate::window::{Checked, Window};

/// The file whose lock makes a process the writer.
const LOCK_NAME: &str = "LOCK";

/// Whether there is a journal. Refuses a directory that holds only a part of one, or something
/// else.
pub(crate) fn find(storage: &dyn Storage, path: &Path, create: Create) -> Result<bool, OpenError> {
    let dir = || path.to_path_buf();
    let entries = match storage.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(IoError::new("list", path, error).into()),
    };
    if entries.iter().any(|entry| entry.name == manifest::NAME) {
        return match create {
            Create::New => Err(OpenError::Exists { dir: dir() }),
            Create::IfMissing | Create::Never => Ok(true),
        };
    }
    let mut foreign = None;
    for entry in &entries {
        let name = entry.name.to_string_lossy();
        let example = || PathBuf::from(&entry.name);
        match kind_of(&name, entry.is_dir) {
            FileKind::Segment | FileKind::Snapshot => {
                // INV-30: never a new journal over the files of an old one.
                return Err(OpenError::ManifestMissing { dir: dir(), example: example() });
            }
            FileKind::Known if name == manifest::PREVIOUS_NAME || name == "VOTE" => {
                return Err(OpenError::ManifestMissing { dir: dir(), example: example() });
            }
            FileKind::Unknown => foreign = Some(example()),
            FileKind::Known | FileKind::Temporary => {}
        }
    }
    match (create, foreign) {
        (Create::Never, _) => Err(OpenError::NotFound { dir: dir() }),
        (_, Some(example)) => Err(OpenError::ForeignDirectory { dir: dir(), example }),
        (_, None) => Ok(false),
    }
}

/// INV-31: registers the directory in this process and locks it against others.
pub(super) fn own(storage: &dyn Storage, path: &Path) -> Result<Ownership, OpenError> {
    let dir = || path.to_path_buf();
    let identity = storage.identity(path).at("resolve", path)?;
    let registration =
        Registration::new(identity).ok_or_else(|| OpenError::AlreadyOpen { dir: dir() })?;
    let lock_path = path.join(LOCK_NAME);
    let holder = format!("pid {}", std::process::id());
    let lock = storage.lock(&lock_path, &holder).map_err(|error| match error {
        LockError::Held { holder } => OpenError::Locked { dir: dir(), holder },
        LockError::Io(source) => IoError::new("lock", &lock_path, source).into(),
    })?;
    Ok(Ownership { _lock: lock, _registration: registration })
}

/// Reads the manifest; missing, damaged or newer ones refuse.
pub(crate) fn load_manifest(dir: &Dir) -> Result<Manifest, OpenError> {
    let file = dir.file(manifest::NAME);
    let damaged = |damage| OpenError::ManifestDamaged { file: file.clone(), damage };
    let handle = dir.open(manifest::NAME, Access::Read)?;
    let len = handle.len().at("examine", &file)?;
    if len > manifest::BYTES_MAX {
        return Err(damaged(ManifestDamage::Length));
    }
    let mut bytes = vec![0; size(len)];
    let read = handle.read_at(&mut bytes, 0).at("read", &file)?;
    bytes.truncate(read);
    let manifest = match Manifest::decode(&bytes).map_err(damaged)? {
        Ok(manifest) => manifest,
        Err(format) => {
            recovery::check_format(&format, &file)?;
            return Err(damaged(ManifestDamage::Fields));
        }
    };
    Ok(manifest)
}

/// Refuses a manifest that is older than the segments beside it.
///
/// Frames go into a segment only once a manifest lists it. So an unlisted segment with frames was
/// either dropped by a cut, and begins before the end of the journal; or a newer manifest listed it.
pub(crate) fn check_unlisted(
    dir: &Dir,
    manifest: &Manifest,
    checkup: &Checkup,
    bugs: Bugs,
) -> Result<(), OpenError> {
    for entry in dir.storage.list(&dir.path).at("list", &dir.path)? {
        let name = entry.name.to_string_lossy();
        let listed = manifest.segments.iter().any(|segment| segment.name() == name);
        if kind_of(&name, entry.is_dir) != FileKind::Segment || listed {
            continue;
        }
        let segment = dir.path.join(&entry.name);
        let file = dir.storage.open(&segment, Access::Read).at("open", &segment)?;
        let Some(header) = recovery::read_header(&*file).at("read", &segment)? else {
            continue;
        };
        if header.journal != manifest.journal || header.first_position < checkup.end.position {
            continue;
        }
        let len = file.len().at("examine", &segment)?;
        let salt = Salt::new(if bugs.drop_salt { 0 } else { header.salt });
        let first = Window::new(file, len).frame(salt, SEGMENT_HEADER, len);
        if matches!(first.at("read", &segment)?, Checked::Frame { .. }) {
            return Err(OpenError::ManifestOld { file: dir.file(manifest::NAME), segment });
        }
    }
    Ok(())
}
