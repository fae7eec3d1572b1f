//! The one error type of the facade: a stable code, where, what, and what to do.

use std::error::Error as StdError;
use std::fmt::Write as _;

use steadfast_engine_core::ir::RulesetError;
use steadfast_engine_core::{
    AdvanceError, ChangeError, EvaluateError, FireError, ReadError, RestoreError,
};
use steadfast_ha_transport::{LogError, ReplicaError};
use steadfast_journal::{AppendError, CloseError, NormalizeError, OpenError, WaitError};
use steadfast_replay::{RebuildError, RecoverError};
use steadfast_txn::TransactionError;
use steadfast_wm::{CommitSeq, EffectKey};

/// What the facade's calls give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on a session failed. Each has a stable code ([`Error::code`], explained in
/// `docs/errors.md`) and says what to do ([`Error::help`]); [`Error::report`] puts all of it together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rules do not make a ruleset.
    #[error("the ruleset is not valid")]
    Rules(#[source] RulesetError),
    /// The journal did not open. Nothing that counts was changed.
    #[error("the journal did not open")]
    Open(#[source] OpenError),
    /// The session could not be rebuilt from its journal. Nothing was changed.
    #[error("the session could not be recovered")]
    Recover(#[source] RecoverError),
    /// A change was refused; nothing of its transaction was applied.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A run of firings stopped; what fired before it stands and is committed. A transaction has failed then.
    #[error(transparent)]
    Fire(FireError),
    /// The network could not be evaluated; the session takes no more work. A transaction in which it could not
    /// has failed, and can be rolled back.
    #[error(transparent)]
    Evaluate(EvaluateError),
    /// A stored value does not fit the type that it is read as.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk is full. The change is applied in memory and waits to be journaled: every call tries
    /// that first and answers this until there is space. It is not durable before that.
    #[error("the disk is full: {needed} bytes are needed")]
    Full {
        /// How many bytes the journal needs.
        needed: u64,
    },
    /// The journal could not take a commit. The session takes no more work; reopen it.
    #[error("the journal did not take the commit")]
    Append(#[source] AppendError),
    /// A commit was journaled and its durability could not be had. The session takes no more work;
    /// after reopening it is there as a whole or not at all.
    #[error("the commit did not become durable")]
    Wait(#[source] WaitError),
    /// The journal did not close in order; what was acknowledged is safe.
    #[error("the journal did not close in order")]
    Close(#[source] CloseError),
    /// The journal was not normalized. It is as it was, and the session goes on, unless the cause says
    /// that the journal stopped for good.
    #[error("the journal was not normalized")]
    Normalize(#[source] NormalizeError),
    /// A transaction does not take the call, or did not commit.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The call is not for transactions; nothing was done.
    #[error("`{call}` is not for transactions")]
    InTransaction {
        /// The call.
        call: &'static str,
    },
    /// An earlier error stopped the session for good.
    #[error("the session stopped after an earlier error")]
    Failed,
    /// The transaction's own code gave up; nothing of it was applied.
    #[error("the transaction was given up: {0}")]
    GivenUp(String),
    /// Another node leads the group now, or is about to. Nothing of the commit was taken, here or anywhere. The session takes
    /// no more work.
    #[error("this node does not lead any more; the commit was not taken")]
    Deposed,
    /// Another node leads the group now, and may have the commit as a whole, or not at all: it was under way. The session
    /// takes no more work.
    #[error("this node was deposed before commit {commit} was known to be replicated")]
    Uncertain {
        /// The commit.
        commit: CommitSeq,
    },
    /// Followers have not acknowledged in time, or are too few. The commit is made and on its way, or waits for room; the
    /// session goes on, and [`Session::wait_durable`](crate::Session::wait_durable) waits on.
    #[error("commit {commit} is not replicated yet")]
    Unreplicated {
        /// The commit.
        commit: CommitSeq,
    },
    /// The node does not take part in its group any more, or does not take what was asked of it.
    #[error("the node of the group did not do it")]
    Replica(#[source] ReplicaError),
    /// The node's log cannot be used. Nothing was changed.
    #[error("the log of the node cannot be used")]
    ReplicaLog(#[source] LogError),
    /// The session that leads on this node is still there.
    #[error("the session of this node is open already")]
    SessionOpen,
    /// No effect with this key waits for an acknowledgement.
    #[error("no effect {key} waits for an acknowledgement")]
    UnknownEffect {
        /// The key.
        key: EffectKey,
    },
    /// The ruleset does not have the rule.
    #[error("the ruleset has no rule `{path}`")]
    UnknownRule {
        /// Path of the rule.
        path: String,
    },
    /// The ruleset does not have the query.
    #[error("the ruleset has no query `{path}`")]
    UnknownQuery {
        /// Path of the query.
        path: String,
    },
}

impl Error {
    /// An error with which a transaction's own code gives up.
    pub fn give_up(why: impl Into<String>) -> Self {
        Self::GivenUp(why.into())
    }

    /// The stable code: `SF` and four digits.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rules(_) => "SF0001",
            Self::Open(error) => open_code(error),
            Self::Recover(error) => recover_code(error),
            Self::Read(_) => "SF0004",
            Self::Full { .. } => "SF0009",
            Self::Append(_)
            | Self::Wait(_)
            | Self::Close(_)
            | Self::Normalize(NormalizeError::Poisoned(_)) => "SF0010",
            Self::Normalize(_) => "SF0024",
            Self::Change(_) => "SF0011",
            Self::Fire(FireError::Consequence { .. }) => "SF0012",
            Self::Fire(FireError::SuspectedLoop { .. }) => "SF0020",
            Self::Fire(FireError::Undecided { .. }) => "SF0021",
            Self::Fire(_) | Self::Evaluate(_) => "SF0013",
            Self::Failed | Self::Transaction(TransactionError::Broken) => "SF0014",
            Self::GivenUp(_) => "SF0017",
            Self::UnknownEffect { .. } => "SF0018",
            Self::UnknownQuery { .. } => "SF0019",
            Self::UnknownRule { .. } => "SF0022",
            Self::Transaction(TransactionError::RolledBack) => "SF0027",
            Self::Transaction(TransactionError::InvalidSavepoint(_)) => "SF0028",
            Self::Transaction(TransactionError::ForeignSavepoint(_)) => "SF0029",
            Self::Transaction(
                TransactionError::TooDeep { .. } | TransactionError::TooLarge { .. },
            ) => "SF0030",
            Self::Transaction(_) => "SF0026",
            Self::InTransaction { .. } => "SF0031",
            Self::Deposed => "SF0032",
            Self::Uncertain { .. } => "SF0033",
            Self::Unreplicated { .. } => "SF0034",
            Self::Replica(_) => "SF0035",
            Self::ReplicaLog(_) => "SF0036",
            Self::SessionOpen => "SF0037",
        }
    }

    /// Whether a commit that ends with it is the session's last. Others wait for what they need, and the session goes on.
    pub(crate) const fn stops_session(&self) -> bool {
        !matches!(self, Self::Full { .. } | Self::Unreplicated { .. })
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self.code() {
            "SF0001" => "correct the ruleset",
            "SF0002" => {
                "open with the journal's rules, or choose RulesPolicy::Reevaluate or ::KeepFired"
            }
            "SF0003" => "name the type in the ruleset (`facts: …`), or open with the old program",
            "SF0004" => "deploy a build that knows this version, or add an upcaster",
            "SF0005" => {
                "stop the holder, or choose another directory; the lock goes with its process"
            }
            "SF0006" => "see the cause: choose another directory, or other options",
            "SF0007" => {
                "nothing was changed; restore a copy, or look at the damage before you decide"
            }
            "SF0008" => "open it with the version that wrote it, or a newer one",
            "SF0009" => "free space and try again; nothing that was acknowledged is lost",
            "SF0010" | "SF0014" => "reopen the session: it comes back at its last safe point",
            "SF0013" => {
                "reopen the session: nothing is evaluated by that, so that the fact can be corrected \
                 or deleted first; or correct the rule"
            }
            "SF0011" => "nothing was applied; correct the change",
            "SF0012" => {
                "the match is still pending: correct what it needs and fire again, or declare the \
                 rule on_error = skip"
            }
            "SF0015" => "report this with a copy of the directory; nothing was changed",
            "SF0017" => "nothing was applied",
            "SF0018" => "acknowledge each delivered effect once",
            "SF0020" => {
                "see whether the rules trigger each other without end; if not, raise max_firings or \
                 fire again"
            }
            "SF0021" => "the match is still pending: correct what panicked and fire again",
            "SF0024" => "nothing was changed; see the cause, and try again when it is gone",
            "SF0025" => "nothing was changed; see that the path is a directory that can be written",
            "SF0019" => "name the query in the ruleset (`queries: …`)",
            "SF0026" => "roll it back to a savepoint, or abort it",
            "SF0027" => "nothing was applied; see what failed in it, and do it again without that",
            "SF0028" => "roll back to a savepoint that is still there",
            "SF0029" => "use a savepoint in the transaction that made it",
            "SF0030" => "commit what there is, roll back, or raise the limit",
            "SF0031" => "call it before the transaction begins, or after it has ended",
            "SF0032" => "drop the session, and wait until a node leads: it goes on there",
            "SF0033" => {
                "drop the session, and ask the next one that leads whether it has the commit (`last_commit`)"
            }
            "SF0034" => "wait for it again, or see why the followers do not answer",
            "SF0035" => "see the cause; start the node again if it has stopped",
            "SF0036" => "see the cause: nothing was changed",
            "SF0037" => "drop that session first",
            "SF0022" => "name a rule by its whole path, as `engine().rule_paths()` gives it",
            _ => "see the cause",
        }
    }

    /// Code, message, all causes and what to do, on several lines.
    pub fn report(&self) -> String {
        let mut report = format!("error {}: {self}", self.code());
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !report.ends_with(&text) {
                let _infallible = write!(report, "\n  {text}");
            }
            cause = error.source();
        }
        let _infallible = write!(report, "\n  help: {}", self.help());
        report
    }
}

fn open_code(error: &OpenError) -> &'static str {
    match error {
        OpenError::Locked { .. } | OpenError::AlreadyOpen { .. } => "SF0005",
        OpenError::ManifestMissing { .. }
        | OpenError::ManifestDamaged { .. }
        | OpenError::Corrupt(_) => "SF0007",
        OpenError::NewerFormat(_) => "SF0008",
        OpenError::Stopped { .. } => "SF0016",
        OpenError::Io(error) if error.is_out_of_space() => "SF0009",
        OpenError::Io(_) => "SF0025",
        _ => "SF0006",
    }
}

fn recover_code(error: &RecoverError) -> &'static str {
    use steadfast_snapshotter::{FoldJournalError, RecordError};
    match error {
        RecoverError::Rebuild(RebuildError::Restore(error)) => match error {
            RestoreError::RulesChanged(_) => "SF0002",
            RestoreError::UnknownType { .. } => "SF0003",
            RestoreError::Fact { .. } => "SF0004",
            RestoreError::Ruleset(_) => "SF0001",
            RestoreError::Evaluate(_) => "SF0013",
            RestoreError::Stopped => "SF0016",
            _ => "SF0015",
        },
        RecoverError::Fold(FoldJournalError::Stopped) => "SF0016",
        RecoverError::Fold(FoldJournalError::Read(_)) => "SF0007",
        RecoverError::Fold(FoldJournalError::Record(RecordError::Decode { .. })) => "SF0008",
        _ => "SF0015",
    }
}

impl From<AdvanceError> for Error {
    fn from(error: AdvanceError) -> Self {
        match error {
            AdvanceError::Change(error) => Self::Change(error),
            AdvanceError::Evaluate(error) => Self::Evaluate(error),
            // The enum may grow; nothing of the session is lost by asking to reopen it.
            _ => Self::Failed,
        }
    }
}

impl From<FireError> for Error {
    fn from(error: FireError) -> Self {
        match error {
            FireError::Evaluate(error) => Self::Evaluate(error),
            other => Self::Fire(other),
        }
    }
}
