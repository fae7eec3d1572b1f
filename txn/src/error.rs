//! Why a transaction does not go on.

use steadfast_engine_core::EvaluateError;

use crate::SavepointId;

/// Why a call on a transaction was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// A firing or an evaluation failed in it. It takes no more work until it is rolled back to a savepoint.
    #[error("the transaction failed earlier")]
    Failed,
    /// It had failed, so that it could not commit: nothing of it was applied.
    #[error("the transaction had failed and was rolled back")]
    RolledBack,
    /// The savepoint is no more: the transaction was rolled back to an earlier one, or this or an earlier one was
    /// released.
    #[error("savepoint {0} is no more")]
    InvalidSavepoint(SavepointId),
    /// The savepoint is of another transaction, of this session or another one.
    #[error("savepoint {0} is of another transaction")]
    ForeignSavepoint(SavepointId),
    /// So many savepoints lie in each other already.
    #[error("no more than {max} savepoints may lie in each other")]
    TooDeep {
        /// How many may.
        max: usize,
    },
    /// Undoing the transaction takes as much memory as was allowed.
    #[error("undoing the transaction takes {bytes} bytes, {max} are allowed")]
    TooLarge {
        /// How many bytes it takes.
        bytes: usize,
        /// How many it may.
        max: usize,
    },
    /// What was done could not be undone, as a function of an accumulate panicked in the middle of a step. The engine
    /// takes no more work.
    #[error("the transaction could not be rolled back")]
    Broken,
}

/// Why a transaction did not commit. Nothing of it was applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It had failed, or could not be rolled back.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// What was staged could not be evaluated.
    #[error("the transaction was rolled back, as what was staged could not be evaluated")]
    Evaluate(#[source] EvaluateError),
}
