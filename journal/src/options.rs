//! How a journal is opened.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{Position, Uuid};
use crate::storage::{FileStorage, Storage};

/// Bytes of the smallest segment: 64 KiB.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Bytes of the largest segment: 1 GiB.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a segment unless told otherwise: 64 MiB.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Bytes of a journal's first segment at most; later ones grow up to `segment_bytes`.
pub(crate) const SEGMENT_BYTES_FIRST: u64 = 1 << 20;

/// When a commit counts as acknowledged, and what the acknowledgement survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Level {
    /// In the page cache, with everything before it. Survives the death of the process, not that
    /// of the machine: a power cut loses what the operating system had not written yet.
    Process,
    /// As `Process`, and a background thread syncs at this interval. A power cut loses the commits
    /// of at most one interval plus one sync.
    Interval(Duration),
    /// After a shared `fdatasync`. Survives a power cut. Damage of the medium that reaches to the
    /// end of the journal, before any later frame tells how far it was durable, is taken for a torn
    /// tail.
    #[default]
    Batch,
    /// After a second sync that records the durable position in a file of its own: also damage that
    /// reaches to the end of the journal is told from a torn tail. Takes about twice as long.
    Paranoid,
}

impl Level {
    /// Whether a group counts as acknowledged only after a sync.
    pub(crate) const fn acknowledges_by_sync(self) -> bool {
        match self {
            Self::Process | Self::Interval(_) => false,
            Self::Batch | Self::Paranoid => true,
        }
    }
}

/// How frames reach the page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteMode {
    /// Stores into a shared map of the segment, payload first, header last, one frame at a time: a
    /// group is in the page cache when its append returns. What directly follows a sync goes there by
    /// a call instead, since the map would fault. Readers slice the map.
    Map,
    /// `pwrite` of everything queued.
    Pwrite,
}

/// Whether opening may make a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Create {
    /// Makes one if the directory is missing or empty.
    #[default]
    IfMissing,
    /// Opens an existing journal only.
    Never,
    /// Makes a new one only.
    New,
}

/// How far opening has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of segments checked so far.
    pub done_bytes: u64,
    /// Bytes of segments to check in all, as far as known.
    pub total_bytes: u64,
    /// The position that was reached.
    pub position: Position,
}

/// Called while a journal opens; `Break` stops with [`OpenError::Stopped`](crate::OpenError).
pub type ProgressFn = Box<dyn FnMut(Progress) -> ControlFlow<()> + Send>;

/// Options of [`Journal::open`](crate::Journal::open).
///
/// # Examples
///
/// ```
/// use steadfast_journal::{Level, Options};
///
/// let options = Options::new().level(Level::Paranoid).segment_bytes(1 << 20);
/// # let _ = options;
/// ```
pub struct Options {
    pub(crate) level: Level,
    pub(crate) segment_bytes: u64,
    pub(crate) write_mode: Option<WriteMode>,
    pub(crate) allow_network_fs: bool,
    pub(crate) after_power_loss: bool,
    pub(crate) create: Create,
    pub(crate) session: Option<Uuid>,
    pub(crate) background: bool,
    pub(crate) progress: Option<ProgressFn>,
    pub(crate) storage: Arc<dyn Storage>,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) planted: Option<crate::testing::Planted>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("level", &self.level)
            .field("segment_bytes", &self.segment_bytes)
            .field("write_mode", &self.write_mode)
            .field("allow_network_fs", &self.allow_network_fs)
            .field("after_power_loss", &self.after_power_loss)
            .field("create", &self.create)
            .field("session", &self.session)
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Level `Batch`, segments of 64 MiB, write mode by self-test, local file systems only, made if
    /// missing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            level: Level::default(),
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            write_mode: None,
            allow_network_fs: false,
            after_power_loss: false,
            create: Create::default(),
            session: None,
            background: true,
            progress: None,
            storage: Arc::new(FileStorage::new()),
            #[cfg(any(test, feature = "testing"))]
            planted: None,
        }
    }

    /// When a commit counts as acknowledged, unless a call says otherwise.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Bytes of a segment: a multiple of 4096 from [`SEGMENT_BYTES_MIN`] to [`SEGMENT_BYTES_MAX`].
    /// A journal's first segments are smaller and grow up to this.
    #[must_use]
    pub const fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Forces a write mode instead of the self-test's choice.
    #[must_use]
    pub const fn write_mode(mut self, mode: WriteMode) -> Self {
        self.write_mode = Some(mode);
        self
    }

    /// Allows network file systems. Their locks and syncs are as good as their servers.
    #[must_use]
    pub const fn allow_network_fs(mut self, allow: bool) -> Self {
        self.allow_network_fs = allow;
        self
    }

    /// Says that page cache may have been lost although the system did not restart: a volume that
    /// was detached by force, a file system that shut down, a failed `fsync`.
    #[must_use]
    pub const fn after_power_loss(mut self, lost: bool) -> Self {
        self.after_power_loss = lost;
        self
    }

    /// Whether opening may make a journal.
    #[must_use]
    pub const fn create(mut self, create: Create) -> Self {
        self.create = create;
        self
    }

    /// The session: recorded in a new journal, compared with that of an existing one. Drawn at
    /// random for a new journal unless given.
    #[must_use]
    pub const fn session(mut self, session: Uuid) -> Self {
        self.session = Some(session);
        self
    }

    /// Calls `progress` while the journal is checked, about once per MiB; it can stop the opening.
    #[must_use]
    pub fn progress(
        mut self,
        progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Stores the journal elsewhere than in files of the operating system.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Runs without background threads: spare segments are filled where they are needed, and the
    /// idle work happens in [`Journal::run_idle`](crate::Journal::run_idle). Makes the sequence of
    /// I/O calls a function of the calls on the journal.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub const fn without_background(mut self) -> Self {
        self.background = false;
        self
    }

    /// Plants a bug that a check must find.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub const fn planted(mut self, bug: crate::testing::Planted) -> Self {
        self.planted = Some(bug);
        self
    }
}
