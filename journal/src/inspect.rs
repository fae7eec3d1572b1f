//! Looking at a journal without opening it for writing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{OpenError, ReadError};
use crate::files::Dir;
use crate::ids::{Lsn, Position, Uuid};
use crate::manifest::{self, Manifest};
use crate::open::{self, SafePoint};
use crate::options::Options;
use crate::reader::{From, Reader, Source};
use crate::recovery::{self, Checkup, Subject};

/// What a look at a journal's directory has found.
///
/// Made by [`Journal::inspect`](crate::Journal::inspect), which takes no lock and changes no file. If
/// another process is writing the journal meanwhile, its last groups may look torn.
#[derive(Debug)]
pub struct Inspection {
    dir: Dir,
    manifest: Arc<Manifest>,
    checkup: Checkup,
}

/// One segment of a journal.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file.
    pub file: PathBuf,
    /// The first frame that it holds, or will hold.
    pub first_lsn: Lsn,
    /// Where its frames begin.
    pub begin: Position,
    /// Where its frames end; `None` if it takes further ones.
    pub end: Option<Position>,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Whether normalization has written it: it holds what remains of its range.
    pub compacted: bool,
}

impl Inspection {
    pub(crate) fn new(path: &Path, mut options: Options) -> Result<Self, OpenError> {
        let storage = Arc::clone(&options.storage);
        let dir = Dir { storage, path: path.to_path_buf(), skip_sync: false };
        if !open::find(&*dir.storage, path, crate::options::Create::Never)? {
            return Err(OpenError::NotFound { dir: path.to_path_buf() });
        }
        let manifest = open::load_manifest(&dir)?;
        let bugs = open::bugs_of(&options);
        let incarnation = dir.storage.incarnation();
        let same = incarnation.is_ok_and(|incarnation| incarnation == manifest.incarnation);
        let subject = Subject {
            storage: &*dir.storage,
            dir: &dir.path,
            manifest: &manifest,
            direct: false,
            zeros_from: u64::MAX,
            same_incarnation: same && !options.after_power_loss,
            bugs,
        };
        let checkup = recovery::check(&subject, options.progress.as_mut())?;
        open::check_unlisted(&dir, &manifest, &checkup, bugs)?;
        Ok(Self { dir, manifest: Arc::new(manifest), checkup })
    }

    /// The journal: one per directory.
    #[must_use]
    pub fn journal(&self) -> Uuid {
        self.manifest.journal
    }

    /// The session that the journal belongs to.
    #[must_use]
    pub fn session(&self) -> Uuid {
        self.manifest.session
    }

    /// Whether the journal was closed in order.
    #[must_use]
    pub fn was_closed(&self) -> bool {
        self.manifest.closed
    }

    /// The last complete safe point; `None` if there is none.
    #[must_use]
    pub fn safe_point(&self) -> Option<SafePoint> {
        (self.checkup.safe_lsn > 0).then(|| SafePoint {
            lsn: Lsn::new(self.checkup.safe_lsn),
            position: Position::new(self.checkup.safe.position),
        })
    }

    /// Everything before this was durable: as far as frames, slots and manifest tell.
    #[must_use]
    pub fn durable(&self) -> Position {
        Position::new(self.checkup.durable)
    }

    /// The end of the valid frames, complete safe point or not.
    #[must_use]
    pub fn end(&self) -> Position {
        Position::new(self.checkup.end.position)
    }

    /// Whether opening the journal would cut something off.
    #[must_use]
    pub fn would_cut(&self) -> bool {
        self.checkup.needs_cut()
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let info = |entry: &manifest::SegmentEntry| SegmentInfo {
            file: self.dir.file(&entry.name()),
            first_lsn: Lsn::new(entry.first_lsn),
            begin: Position::new(entry.first_position),
            end: entry.seal.map(|seal| Position::new(seal.end_position)),
            file_bytes: entry.physical_bytes,
            compacted: entry.compacted,
        };
        self.manifest.segments.iter().map(info).collect()
    }

    /// Makes a reader of the groups up to the last complete safe point.
    ///
    /// # Errors
    ///
    /// As [`Journal::read`](crate::Journal::read).
    pub fn read(&self, from: From) -> Result<Reader, ReadError> {
        let source = Source::Inspected {
            dir: self.dir.clone(),
            manifest: Arc::clone(&self.manifest),
            limit: self.checkup.safe.position,
            maps: false,
        };
        Reader::new(source, from)
    }
}

impl crate::Journal {
    /// Looks at the journal in `dir` without opening it: takes no lock, changes no file, checks
    /// everything that [`open`](Self::open) checks.
    ///
    /// Of the options, `storage`, `after_power_loss` and `progress` count.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). A journal with features that only a writer must know is fine.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_journal::{Journal, Options};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # Journal::open(dir.path(), Options::new())?.0.close()?;
    /// let inspection = Journal::inspect(dir.path(), Options::new())?;
    /// assert!(inspection.was_closed());
    /// assert!(!inspection.would_cut());
    /// # Ok(())
    /// # }
    /// ```
    pub fn inspect(dir: impl AsRef<Path>, options: Options) -> Result<Inspection, OpenError> {
        Inspection::new(dir.as_ref(), options)
    }
}
