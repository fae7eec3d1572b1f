//! Sessions on disk: opening, recovering, and handing commits to the journal.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;

use steadfast_engine_core::ir::Ruleset;
use steadfast_engine_core::{Engine, RulesPolicy};
use steadfast_journal::{Batch, Create, Found, Journal, Level, Options, WriteMode};
use steadfast_replay::{Progress, Recovered};
use steadfast_wm::{CommitSeq, SafePoint, SessionId};

use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::session::Session;
use crate::sink::Recorder;
use crate::upkeep::{Housekeeping, Normalization};
use crate::writer::{JournalWriter, Writer};

type OnRecovery = Box<dyn FnMut(Progress) -> ControlFlow<()> + Send>;

/// Says how a session on disk is opened; made by [`Session::durable`].
pub struct DurableBuilder {
    dir: PathBuf,
    level: Level,
    policy: RulesPolicy,
    segment_bytes: Option<u64>,
    write_mode: Option<WriteMode>,
    create: Create,
    allow_network_fs: bool,
    after_power_loss: bool,
    pipelined: bool,
    normalization: Normalization,
    on_recovery: Option<OnRecovery>,
}

impl fmt::Debug for DurableBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableBuilder")
            .field("dir", &self.dir)
            .field("level", &self.level)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl DurableBuilder {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            level: Level::Batch,
            policy: RulesPolicy::Reject,
            segment_bytes: None,
            write_mode: None,
            create: Create::IfMissing,
            allow_network_fs: false,
            after_power_loss: false,
            pipelined: false,
            normalization: Normalization::default(),
            on_recovery: None,
        }
    }

    /// When a commit counts as acknowledged: [`Level::Batch`] unless told otherwise.
    #[must_use]
    pub fn sync(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// What it means that the ruleset differs from the journal's: refused unless told otherwise.
    #[must_use]
    pub fn on_changed_rules(mut self, policy: RulesPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Bytes of a journal segment, 64 KiB to 1 GiB; 64 MiB unless told otherwise.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = Some(bytes);
        self
    }

    /// How frames reach the page cache; by a self-test unless told otherwise.
    #[must_use]
    pub fn write_mode(mut self, mode: WriteMode) -> Self {
        self.write_mode = Some(mode);
        self
    }

    /// Opens an existing session only, or makes a new one only.
    #[must_use]
    pub fn create(mut self, create: Create) -> Self {
        self.create = create;
        self
    }

    /// Allows a network file system, whose locks and syncs are as good as its server.
    #[must_use]
    pub fn allow_network_fs(mut self, allow: bool) -> Self {
        self.allow_network_fs = allow;
        self
    }

    /// Says that page cache may have been lost although the system did not restart.
    #[must_use]
    pub fn after_power_loss(mut self, lost: bool) -> Self {
        self.after_power_loss = lost;
        self
    }

    /// Calls return before their commit is acknowledged; [`Session::wait_durable`] waits. Effects wait
    /// by themselves.
    #[must_use]
    pub fn pipelined(mut self, pipelined: bool) -> Self {
        self.pipelined = pipelined;
        self
    }

    /// When the journal is normalized in the background, so that it does not grow with its history.
    #[must_use]
    pub fn normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// Told how the recovery gets on; it can stop it.
    #[must_use]
    pub fn on_recovery(
        mut self,
        callback: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        self.on_recovery = Some(Box::new(callback));
        self
    }

    /// Opens the session: makes it, or brings it back at its last safe point.
    ///
    /// When this returns, everything that the session holds is durable. Nothing fires.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] if the journal is held by another process, damaged, of a newer format, or not
    /// a journal; [`Error::Recover`] if its records do not fit the ruleset's types or the ruleset
    /// changed; [`Error::Rules`] for an invalid ruleset. Nothing was changed then.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over a fresh ruleset")]
    pub fn open(self, ruleset: Ruleset) -> Result<Session> {
        ruleset.check().map_err(Error::Rules)?;
        let mut options = Options::new()
            .level(self.level)
            .create(self.create)
            .allow_network_fs(self.allow_network_fs)
            .after_power_loss(self.after_power_loss);
        if let Some(bytes) = self.segment_bytes {
            options = options.segment_bytes(bytes);
        }
        if let Some(mode) = self.write_mode {
            options = options.write_mode(mode);
        }
        let (journal, opened) = Journal::open(&self.dir, options).map_err(Error::Open)?;
        let mut on_recovery = self.on_recovery;
        let mut progress = |progress| match &mut on_recovery {
            Some(callback) => callback(progress),
            None => ControlFlow::Continue(()),
        };
        let mut recorder = Recorder {
            batch: Some(Batch::new()),
            record_bytes_max: journal.record_bytes_max(),
            ..Recorder::default()
        };
        let recovered = steadfast_replay::recover(
            &journal,
            &ruleset,
            self.policy,
            &mut recorder,
            &mut progress,
        )
        .map_err(Error::Recover)?;
        let recovery = Recovery {
            created: recovered.is_none(),
            records: recovered.as_ref().map_or(0, |recovered| recovered.records),
            cut: opened.found == Found::Cut,
            quarantined_bytes: opened.quarantined_bytes(),
        };
        let id = SessionId::from_bytes(*journal.session().as_bytes());
        let (engine, outbox, commit) = if let Some(Recovered { engine, image, .. }) = recovered {
            (engine, Outbox::restore(&image), image.commit())
        } else {
            let engine = Engine::new(&ruleset, id, &mut recorder).map_err(Error::Rules)?;
            (engine, Outbox::default(), CommitSeq::new(0))
        };
        let housekeeping = Housekeeping::start(&journal, self.normalization);
        let writer =
            JournalWriter::new(journal, housekeeping, self.level, self.pipelined, recovery);
        let writer = Some(Writer::Journal(writer));
        let mut session = Session::assemble(engine, outbox, commit, recorder, writer);
        // A new session's ruleset, or what a changed one did.
        session.commit_records(SafePoint::Evaluated)?;
        Ok(session)
    }
}

/// What opening a session found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Recovery {
    /// There was no session; it was made.
    pub created: bool,
    /// How many records were folded.
    pub records: u64,
    /// Whether what followed the last safe point, torn or incomplete, was cut off.
    pub cut: bool,
    /// How many bytes that were. They are kept in `quarantine/`.
    pub quarantined_bytes: u64,
}
