//! Mending a manifest: what its segments say of themselves, in a new journal beside the old one.

mod chain;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::find::{find, load_manifest, own};
use super::{Ownership, skips_dir_sync};
use crate::bytes::size;
use crate::durable_slot::{self, Claims};
use crate::error::{At as _, Corrupt, CorruptReason, IoError, OpenError};
use crate::files::{Dir, FileKind, kind_of};
use crate::ids::{Lsn, Position, Uuid};
use crate::inspect::Inspection;
use crate::manifest::{self, Manifest};
use crate::options::{Create, Options};
use crate::segment::Format;
use crate::storage::{Access, Incarnation, StorageFile};

use chain::Chain;
use scan::Candidate;

/// In the new directory until it is a journal; says that it may be begun again.
const MARKER: &str = "mending.tmp";
/// Unit in which segments are copied.
const COPY_BYTES: usize = 64 << 10;

/// A journal without a manifest that fits it, examined and locked.
///
/// Every segment says where it begins and which frame it continues, so a manifest that is missing,
/// damaged or older than its segments can be made again. It is made in a **new** directory, with
/// copies of the segments: which of two histories a manifest listed can be a guess in the end, and no
/// byte of the old directory changes. The copy is not checked while it is made; opening it does, and
/// where that refuses, a [`Repair`](super::Repair) of the copy goes back to before the damage.
///
/// # Examples
///
/// ```
/// use steadfast_journal::{Batch, Journal, Level, Mend, OpenError, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let parent = tempfile::tempdir()?;
/// # let (dir, copy) = (parent.path().join("journal"), parent.path().join("mended"));
/// let (journal, _) = Journal::open(&dir, Options::new())?;
/// let mut batch = Batch::new();
/// batch.push(1, 1, b"payload")?;
/// let kept = journal.commit(&batch, Level::Batch)?;
/// journal.close()?;
/// std::fs::remove_file(dir.join("MANIFEST"))?;
/// let refused = Journal::open(&dir, Options::new());
/// assert!(matches!(refused, Err(OpenError::ManifestMissing { .. })));
///
/// let mend = Mend::examine(&dir, Options::new())?.expect("it has no manifest");
/// println!("{} segments, {} left out", mend.segments().len(), mend.left_out().len());
/// mend.copy_to(&copy)?;
/// let (_journal, opened) = Journal::open(&copy, Options::new())?;
/// assert_eq!(opened.safe_point.map(|safe| safe.lsn), Some(kept.lsn));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mend {
    dir: Dir,
    chain: Chain,
    left_out: Vec<PathBuf>,
    journal: Uuid,
    session: Uuid,
    generation: u64,
    /// The file of durable slots, if it can be used.
    slots: bool,
    _ownership: Ownership,
}

impl Mend {
    /// Examines the journal in `dir` and changes nothing; `None` if its manifest fits its segments,
    /// whether or not they are damaged.
    ///
    /// Of the options, `storage` and `after_power_loss` count.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotFound`] if there is no journal, [`OpenError::ManifestMissing`] or
    /// [`OpenError::ManifestDamaged`] if there is no segment whose header holds either,
    /// [`OpenError::Corrupt`] if the begin of the journal is missing, and what reading and locking
    /// meet.
    pub fn examine(dir: impl AsRef<Path>, options: Options) -> Result<Option<Self>, OpenError> {
        let path = dir.as_ref();
        let storage = Arc::clone(&options.storage);
        let refused = match find(&*storage, path, Create::Never) {
            Ok(true) => None,
            Ok(false) => return Err(OpenError::NotFound { dir: path.to_path_buf() }),
            Err(missing @ OpenError::ManifestMissing { .. }) => Some(missing),
            Err(error) => return Err(error),
        };
        let ownership = own(&*storage, path)?;
        let dir = Dir { storage, path: path.to_path_buf(), skip_sync: skips_dir_sync(&options) };
        let (manifest, refused) = match refused.map_or_else(|| load_manifest(&dir), Err) {
            Ok(manifest) => (Some(manifest), None),
            Err(
                refused @ (OpenError::ManifestDamaged { .. } | OpenError::ManifestMissing { .. }),
            ) => (None, Some(refused)),
            Err(error) => return Err(error),
        };
        if manifest.is_some() {
            match Inspection::new(path, options) {
                Ok(_) => return Ok(None),
                // An old one lists segments that were replaced since, or not those that came.
                Err(OpenError::ManifestOld { .. } | OpenError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let known = known_manifests(&dir, manifest.as_ref());
        let (candidates, mut left_out) = candidates(&dir, &known)?;
        let Some(first) = candidates.first() else {
            // An old manifest that lists nothing which is there: segments are missing, not mended.
            return refused.map_or(Ok(None), Err);
        };
        let (journal, session) = (first.header.journal, first.header.session);
        let chain = Chain::of(&dir, &candidates, &known, &mut left_out)?;
        // If it lists all that is there, segments are damaged or missing, and the manifest is right.
        let lists_all = |manifest: &Manifest| {
            let is_listed = |entry: &manifest::SegmentEntry| {
                manifest.segments.iter().any(|listed| listed.name() == entry.name())
            };
            chain.entries.iter().all(is_listed)
        };
        if manifest.as_ref().is_some_and(lists_all) {
            return Ok(None);
        }
        if !chain.has_begin {
            return Err(OpenError::Corrupt(Box::new(begin_missing(&dir, &chain))));
        }
        left_out.sort();
        let generation = known.iter().map(|known| known.generation).max().unwrap_or(0) + 1;
        let slots = slots_hold(&dir, journal)?;
        Ok(Some(Self {
            dir,
            chain,
            left_out,
            journal,
            session,
            generation,
            slots,
            _ownership: ownership,
        }))
    }

    /// The segments that make up the journal, in order.
    #[must_use]
    pub fn segments(&self) -> Vec<PathBuf> {
        self.chain.entries.iter().map(|entry| self.dir.file(&entry.name())).collect()
    }

    /// Those of them that follow the one before by their numbers alone. What a normalization has left
    /// does not hold the frame that the next segment continues; it says which one that was, unless an
    /// older build wrote it.
    #[must_use]
    pub fn assumed(&self) -> Vec<PathBuf> {
        let assumed = self.chain.assumed.iter();
        assumed.map(|index| self.dir.file(&self.chain.entries[*index].name())).collect()
    }

    /// Segments in the directory that are not part of the journal: replaced, cut off, of another
    /// journal, or with headers that do not hold.
    #[must_use]
    pub fn left_out(&self) -> &[PathBuf] {
        &self.left_out
    }

    /// Whether what the journal says of its own durability could be kept. If not, damage at its end
    /// cannot be told from a torn tail.
    #[must_use]
    pub const fn keeps_durable_slots(&self) -> bool {
        self.slots
    }

    /// INV-36: makes the journal in the new directory `into`: copies of the segments, and a manifest.
    /// Interrupted, it can be done again: `into` is no journal until it is complete.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`] or [`OpenError::ForeignDirectory`] if `into` holds anything but what an
    /// interrupted call has left; what reading and writing meet.
    pub fn copy_to(self, into: impl AsRef<Path>) -> Result<(), OpenError> {
        let path = into.as_ref().to_path_buf();
        let to = Dir { path, ..self.dir.clone() };
        to.storage.create_dir(&to.path).at("create", &to.path)?;
        let _ownership = own(&*to.storage, &to.path)?;
        begin(&to)?;
        let mut entries = self.chain.entries.clone();
        for entry in &mut entries {
            let digest = copy(&self.dir, &to, &entry.name())?;
            if let Some(seal) = entry.seal.as_mut().filter(|_| entry.compacted) {
                seal.digest = digest;
            }
        }
        if self.slots {
            copy(&self.dir, &to, durable_slot::NAME)?;
        } else {
            drop(to.fill(durable_slot::NAME, durable_slot::FILE_BYTES)?);
        }
        to.sync()?;
        let next = Manifest {
            format: Format::CURRENT,
            journal: self.journal,
            session: self.session,
            generation: self.generation,
            // No start of the system: whatever the end looks like may be a torn tail.
            incarnation: Incarnation::from_bytes([0; 16]),
            durable: 0,
            closed: false,
            segments: entries,
            snapshots: Vec::new(),
        };
        to.switch_manifest(None, &next, None)?;
        to.remove(MARKER)?;
        Ok(to.sync()?)
    }
}

/// Without its first segment a journal says nothing.
fn begin_missing(dir: &Dir, chain: &Chain) -> Corrupt {
    let first = &chain.entries[0];
    Corrupt {
        file: dir.file(&first.name()),
        offset: 0,
        lsn: Some(Lsn::new(first.first_lsn)),
        expected_lsn: Lsn::new(1),
        durable_position: Position::new(first.first_position),
        reason: CorruptReason::SegmentMissing,
        bytes_after: 0,
    }
}

/// Takes an empty directory, or one in which this was begun before.
fn begin(to: &Dir) -> Result<(), OpenError> {
    let entries = to.storage.list(&to.path).at("list", &to.path)?;
    let begun = entries.iter().any(|entry| entry.name == MARKER);
    if entries.iter().any(|entry| entry.name == manifest::NAME) {
        return Err(OpenError::Exists { dir: to.path.clone() });
    }
    if let Some(other) = entries.iter().find(|entry| entry.name != "LOCK").filter(|_| !begun) {
        let (dir, example) = (to.path.clone(), PathBuf::from(&other.name));
        return Err(OpenError::ForeignDirectory { dir, example });
    }
    let path = to.file(MARKER);
    to.open(MARKER, Access::Create)?.sync().at("sync", &path)?;
    Ok(to.sync()?)
}

/// Copies a file durably; returns the digest of its bytes.
fn copy(from: &Dir, to: &Dir, name: &str) -> Result<u128, IoError> {
    let (source_path, path) = (from.file(name), to.file(name));
    let source = from.open(name, Access::Read)?;
    let len = source.len().at("examine", &source_path)?;
    // Zero-filled first, as every segment is: see `Dir::fill`.
    let file = to.fill(name, len)?;
    let mut digest = Xxh3Default::new();
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while at < len {
        let step = size(len - at).min(COPY_BYTES);
        let count = source.read_at(&mut buffer[..step], at).at("read", &source_path)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        file.write_at(&buffer[..count], at).at("write", &path)?;
        at += count as u64;
    }
    file.sync().at("sync", &path)?;
    Ok(digest.digest128())
}

/// Manifests that still say something: one that is there and old, and the one before it.
fn known_manifests(dir: &Dir, manifest: Option<&Manifest>) -> Vec<Manifest> {
    let previous = || -> Option<Manifest> {
        let file = dir.storage.open(&dir.file(manifest::PREVIOUS_NAME), Access::Read).ok()?;
        let len = file.len().ok().filter(|len| *len <= manifest::BYTES_MAX)?;
        let mut bytes = vec![0; size(len)];
        let count = file.read_at(&mut bytes, 0).ok()?;
        Manifest::decode(&bytes[..count]).ok()?.ok()
    };
    manifest.cloned().into_iter().chain(previous()).collect()
}

/// The segments of the directory that are of one journal and whose headers hold, by their first
/// frame; and the rest.
fn candidates(dir: &Dir, known: &[Manifest]) -> Result<(Vec<Candidate>, Vec<PathBuf>), OpenError> {
    let (mut candidates, mut left_out) = (Vec::new(), Vec::new());
    for entry in dir.storage.list(&dir.path).at("list", &dir.path)? {
        let name = entry.name.to_string_lossy();
        if kind_of(&name, entry.is_dir) != FileKind::Segment {
            continue;
        }
        match Candidate::open(dir, &name)? {
            Some(candidate) => candidates.push(candidate),
            None => left_out.push(dir.file(&name)),
        }
    }
    let bytes_of = |journal: Uuid| -> u64 {
        let own = candidates.iter().filter(|other| other.header.journal == journal);
        own.map(|other| other.bytes).sum()
    };
    let of_manifest = known.first().map(|known| known.journal);
    let largest = candidates.iter().map(|candidate| candidate.header.journal);
    let journal = of_manifest.or_else(|| largest.max_by_key(|journal| bytes_of(*journal)));
    let (mut own, foreign): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| Some(candidate.header.journal) == journal);
    left_out.extend(foreign.into_iter().map(|candidate| candidate.path));
    own.sort_by_key(|candidate| (candidate.header.first_lsn, candidate.header.generation));
    Ok((own, left_out))
}

/// Whether the file of durable slots can be used as it is.
fn slots_hold(dir: &Dir, journal: Uuid) -> Result<bool, IoError> {
    let path = dir.file(durable_slot::NAME);
    let Ok(file) = dir.storage.open(&path, Access::Read) else { return Ok(false) };
    let claims = durable_slot::read(&*file as &dyn StorageFile, journal).at("read", &path)?;
    Ok(matches!(claims, Claims::Newest(slot) if slot.generation > 0 || is_whole(&*file)))
}

fn is_whole(file: &dyn StorageFile) -> bool {
    file.len().is_ok_and(|len| len == durable_slot::FILE_BYTES)
}
