//! Repair: goes back to the last safe point before damage, on request, and keeps a copy of all that it
//! gives up.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::apply::Opening;
use super::find::{find, load_manifest, own};
use super::{Ownership, bugs_of, mode, skips_dir_sync, sync_unsealed};
use crate::bytes::size;
use crate::cut;
use crate::durable_slot;
use crate::error::{At as _, Corrupt, IoError, OpenError};
use crate::files::{Dir, QUARANTINE};
use crate::manifest::Manifest;
use crate::open::SafePoint;
use crate::options::{Create, Options};
use crate::recovery::{self, Finding, Subject};
use crate::shared::Bugs;
use crate::storage::{Access, Incarnation, Medium};

/// Unit in which a damaged file is copied; what cannot be read is zero in the copy.
const COPY_BYTES: usize = 4096;

/// A damaged journal, examined and locked, and what repairing it would give up.
///
/// Opening a journal never repairs it: what was durable and has changed is for a human to look at.
/// Better than a repair is a follower, a backup, or the other half of a mirror. When there is none,
/// this is the way back to the last safe point before the damage.
///
/// # Examples
///
/// ```
/// use steadfast_journal::{Batch, Journal, Level, Options, Repair};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let (journal, _) = Journal::open(dir.path(), Options::new())?;
/// let mut batch = Batch::new();
/// batch.push(1, 1, b"payload")?;
/// let kept = journal.commit(&batch, Level::Batch)?;
/// journal.commit(&batch, Level::Batch)?;
/// journal.close()?;
///
/// // A bit of the second group flips.
/// let segment = Journal::inspect(dir.path(), Options::new())?.segments()[0].file.clone();
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[4096 + 48 + 40] ^= 1;
/// std::fs::write(&segment, bytes)?;
/// assert!(Journal::open(dir.path(), Options::new()).is_err());
///
/// let repair = Repair::examine(dir.path(), Options::new())?.expect("it is damaged");
/// println!("{}", repair.loss());
/// repair.carry_out()?;
/// let (_journal, opened) = Journal::open(dir.path(), Options::new())?;
/// assert_eq!(opened.safe_point.map(|safe| safe.lsn), Some(kept.lsn));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Repair {
    dir: Dir,
    manifest: Manifest,
    medium: Medium,
    incarnation: Incarnation,
    bugs: Bugs,
    damage: recovery::Damage,
    loss: Loss,
    /// Held until the repair is done or given up.
    ownership: Ownership,
}

/// What a repair gives up.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Loss {
    /// The first damage.
    pub damage: Corrupt,
    /// The safe point that the journal goes back to; `None` if nothing is left.
    pub kept: Option<SafePoint>,
    /// Frames behind it that are still valid, and are given up with the damaged ones.
    pub frames: u64,
    /// Records in these frames.
    pub records: u64,
    /// Bytes between the safe point and the end of what was durable.
    pub bytes: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { damage, kept, frames, records, bytes } = self;
        writeln!(f, "damage: {damage}")?;
        match kept {
            Some(safe) => {
                writeln!(f, "kept: everything up to lsn {}, position {}", safe.lsn, safe.position)?;
            }
            None => writeln!(f, "kept: nothing")?,
        }
        write!(f, "given up: {bytes} bytes that were durable")?;
        write!(f, "; readable among them and behind: {frames} frames with {records} records")
    }
}

/// What a repair has done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// What was given up.
    pub loss: Loss,
    /// Whole files as they were before: copied, or moved because nothing of them counts any more.
    pub quarantined: Vec<PathBuf>,
    /// Bytes of damaged files that could not be read, and are zero in the copies.
    pub unreadable_bytes: u64,
}

impl Repair {
    /// Examines the journal in `dir` and changes nothing; `None` if it can be opened as it is.
    ///
    /// Of the options, `storage`, `after_power_loss`, `allow_network_fs` and `progress` count.
    ///
    /// # Errors
    ///
    /// [`OpenError`], but for [`Corrupt`](OpenError::Corrupt) and media errors in a segment, which
    /// are what can be repaired. A missing, damaged or old manifest is made again by
    /// [`Mend`](super::Mend).
    pub fn examine(dir: impl AsRef<Path>, mut options: Options) -> Result<Option<Self>, OpenError> {
        let path = dir.as_ref();
        let storage = std::sync::Arc::clone(&options.storage);
        if !find(&*storage, path, Create::Never)? {
            return Err(OpenError::NotFound { dir: path.to_path_buf() });
        }
        let ownership = own(&*storage, path)?;
        let medium = storage.medium(path).at("examine", path)?;
        if medium == Medium::Network && !options.allow_network_fs {
            return Err(OpenError::NetworkFileSystem { dir: path.to_path_buf() });
        }
        let dir = Dir { storage, path: path.to_path_buf(), skip_sync: skips_dir_sync(&options) };
        let incarnation = dir.storage.incarnation().at("identify the system of", path)?;
        let manifest = load_manifest(&dir)?;
        sync_unsealed(&dir, &manifest, true, false)?;
        let bugs = bugs_of(&options);
        let subject = Subject {
            storage: &*dir.storage,
            dir: &dir.path,
            manifest: &manifest,
            direct: true,
            zeros_from: u64::MAX,
            same_incarnation: manifest.incarnation == incarnation && !options.after_power_loss,
            bugs,
        };
        let damage = match recovery::examine(&subject, options.progress.as_mut())? {
            Finding::Sound => return Ok(None),
            Finding::Damaged(damage) => damage,
        };
        let loss = loss_of(&damage);
        Ok(Some(Self { dir, manifest, medium, incarnation, bugs, damage, loss, ownership }))
    }

    /// What carrying the repair out gives up.
    #[must_use]
    pub const fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Copies every damaged file to `quarantine/`, then goes back to the safe point: as a cut, with
    /// new files and one switch of the manifest. No byte of an existing file changes. Interrupted, it
    /// can be done again.
    ///
    /// # Errors
    ///
    /// [`IoError`]; then the journal is as damaged as before, or repaired.
    pub fn carry_out(self) -> Result<Repaired, IoError> {
        let Self { dir, manifest, medium, incarnation, bugs, damage, loss, ownership } = self;
        // INV-36: everything is in the quarantine, durably, before anything is decided.
        let mut copies = Copies::new(&dir, manifest.generation);
        copies.copy(crate::manifest::NAME)?;
        copies.copy(durable_slot::NAME)?;
        if let Some(tail) = &damage.tail {
            for entry in &manifest.segments[tail.safe.segment..] {
                copies.copy(&entry.name())?;
            }
        }
        if damage.slots {
            renew_slots(&dir)?;
        }
        let Copies { mut made, unreadable_bytes, .. } = copies;
        if let Some(tail) = damage.tail {
            let write_mode = mode::choose(&dir, None, medium)?;
            let checkup = tail.checkup(damage.durable);
            let mut opening = Opening { dir, manifest, checkup, write_mode, incarnation, bugs };
            made.extend(opening.go_back(&tail)?);
        }
        drop(ownership);
        Ok(Repaired { loss, quarantined: made, unreadable_bytes })
    }
}

fn loss_of(damage: &recovery::Damage) -> Loss {
    let behind = |tail: &recovery::DamagedTail| damage.durable.saturating_sub(tail.safe.position);
    Loss {
        damage: (*damage.corrupt).clone(),
        kept: damage.kept,
        frames: damage.frames,
        records: damage.records,
        bytes: damage.tail.as_ref().map_or(0, behind),
    }
}

/// Makes the file of durable slots anew, beside the damaged one.
fn renew_slots(dir: &Dir) -> Result<(), IoError> {
    const NEW_NAME: &str = "durable.tmp";
    drop(dir.fill(NEW_NAME, durable_slot::FILE_BYTES)?);
    dir.rename(NEW_NAME, durable_slot::NAME)?;
    dir.sync()
}

/// Whole files, copied before anything is done.
struct Copies<'a> {
    dir: &'a Dir,
    generation: u64,
    made: Vec<PathBuf>,
    unreadable_bytes: u64,
}

impl<'a> Copies<'a> {
    const fn new(dir: &'a Dir, generation: u64) -> Self {
        Self { dir, generation, made: Vec::new(), unreadable_bytes: 0 }
    }

    /// Copies a file durably. Its name says of which generation of the manifest it is, so that
    /// repeating an interrupted repair changes nothing.
    fn copy(&mut self, name: &str) -> Result<(), IoError> {
        let from = self.dir.file(name);
        let source = match self.dir.storage.open(&from, Access::Read) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(IoError::new("open", &from, error)),
        };
        let quarantine = self.dir.file(QUARANTINE);
        self.dir.storage.create_dir(&quarantine).at("create", &quarantine)?;
        let to = quarantine.join(format!("{name}.before-repair-{}", self.generation));
        let copy = self.dir.storage.open(&to, Access::Create).at("create", &to)?;
        let len = source.len().at("examine", &from)?;
        let mut buffer = [0; COPY_BYTES];
        let mut at = 0;
        while at < len {
            let step = size(len - at).min(COPY_BYTES);
            let count = source.read_at(&mut buffer[..step], at);
            if !count.is_ok_and(|count| count == step) {
                buffer[..step].fill(0);
                self.unreadable_bytes += step as u64;
            }
            copy.write_at(&buffer[..step], at).at("write", &to)?;
            at += step as u64;
        }
        copy.sync().at("sync", &to)?;
        self.dir.storage.sync_dir(&quarantine).at("sync", &quarantine)?;
        self.made.push(to);
        Ok(())
    }
}

impl Opening {
    /// Cuts at the last safe point before damage. What the cut drops moves to the quarantine.
    fn go_back(&mut self, tail: &recovery::DamagedTail) -> Result<Vec<PathBuf>, IoError> {
        let (mut next, begin) = cut::cut(&self.manifest, &tail.safe);
        let mut leftover = cut::Leftover::default();
        if tail.drops_first {
            // Not even its header holds: nothing of it can be listed.
            next.segments.clear();
        } else {
            leftover = cut::shorten(&self.dir, &mut next, self.bugs.drop_salt)?;
        }
        self.begin_segment(&mut next, &begin, crate::options::SEGMENT_BYTES_MIN)?;
        let before = self.switch(next)?;
        let kept = if tail.drops_first { 0 } else { tail.safe.segment + 1 };
        cut::remove_replaced(&self.dir, leftover)?;
        let mut moved = Vec::new();
        for entry in &before.segments[kept..] {
            let there = self.dir.storage.open(&self.dir.file(&entry.name()), Access::Read);
            if there.is_ok() {
                moved.push(self.dir.quarantine_file(entry.name().as_ref())?);
            }
        }
        Ok(moved)
    }
}
