//! A coordinator of replicated groups over etcd.
//!
//! etcd keeps one small record per group, changed by compare-and-swap, and one key that hangs on a lease. Nothing of what
//! is replicated goes through it: a few requests in each lease, one transaction for each new leader or member.
//!
//! # Guarantees
//!
//! - A swap is one transaction of etcd's, which compares the revision of the record's key. What etcd does not answer is
//!   `Unknown`, never guessed.
//! - The lease of a node ends by its own clock before it does by etcd's: it is counted from when its renewal was sent,
//!   less a margin. Nothing that is committed depends on it.
//! - When etcd is away, at the start or later, nothing panics and nothing waits: a leader with followers goes on
//!   committing, and nobody else leads before etcd is back.
//!
//! # What it is not
//!
//! It is no lock: a node that was stopped may believe for a moment that it leads. Epochs, which members promise to obey,
//! are what keeps it from committing.

mod client;
mod coordinator;
mod lease;
mod options;
mod shared;

pub use coordinator::{EtcdCoordinator, EtcdHealth};
pub use options::{EtcdError, EtcdOptions, EtcdTls};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
