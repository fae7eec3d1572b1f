//! Rebuilds a Steadfast session from an image and the tail of its journal.
//!
//! [`recover`] folds a journal to its last safe point and rebuilds the engine from the image: the
//! object store under the old handles, the network over it, justifications, and the pending set in
//! its old order. Nothing fires and no consequence runs: what the journal says happened, happened.
//!
//! # What it is not
//!
//! It does not decide where a journal ends; opening the journal did. It opens no sockets and knows
//! no transactions.
//!
//! # Guarantees
//!
//! - The digest of what is rebuilt is the digest at the safe point, and its future is that of a
//!   session that never stopped.
//! - Recovery changes no file. If the ruleset changed, what that did is handed to the caller as
//!   records to commit.

mod recover;

pub use recover::{Phase, Progress, RebuildError, RecoverError, Recovered, rebuild, recover};
