//! Faults for tests: planted bugs and a simulated disk. Only with the feature `testing`.
//!
//! [`SimDisk`] keeps three states of every 512-byte sector and of every directory entry: what a
//! reader sees, what was written and not synced, and what is durable. Killing the process loses
//! nothing of it; cutting the power keeps an arbitrary part of what was not synced, chosen by a
//! [`Chooser`], which enumerates all choices or draws them from a seed. Errors, full disks and lost
//! flushes are injected by the number of the I/O call.

mod choose;
mod conformance;
mod disk;
mod fuzz;
mod node;
mod sim;
mod state;

pub use choose::{Chooser, Exhaustive, Fixed, Seeded};
pub use conformance::check_storage;
pub use disk::{Fault, SimDisk};
pub use fuzz::{FuzzTarget, fuzz};

use crate::shared::Bugs;

/// A bug that a check must find: the negative controls of this crate's tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Planted {
    /// Acknowledges without syncing.
    SkipSync,
    /// Acknowledges before the sync.
    AcknowledgeEarly,
    /// Ignores a segment's salt in its frames' checksums.
    DropSalt,
    /// Never syncs the directory.
    SkipDirSync,
    /// Takes for durable what opening has read from the page cache.
    TrustOpenRead,
    /// Takes any bad frame for the end of the journal.
    IgnoreClaims,
    /// Seals a segment in the manifest without syncing it.
    RollWithoutSync,
    /// Syncs two rounds at once through one handle, of which only one is told of a failure.
    ShareSyncHandle,
    /// Records in a slot that something is durable before it is synced.
    SlotBeforeSync,
    /// Switches to compacted segments that were never synced.
    NormalizeWithoutSync,
    /// Unlinks what was normalized before the manifest lists what replaces it.
    UnlinkBeforeSwitch,
}

impl Planted {
    pub(crate) fn bugs(self) -> Bugs {
        Bugs {
            skip_sync: self == Self::SkipSync,
            acknowledge_early: self == Self::AcknowledgeEarly,
            drop_salt: self == Self::DropSalt,
            trust_open_read: self == Self::TrustOpenRead,
            ignore_claims: self == Self::IgnoreClaims,
            roll_without_sync: self == Self::RollWithoutSync,
            share_sync_handle: self == Self::ShareSyncHandle,
            slot_before_sync: self == Self::SlotBeforeSync,
            normalize_without_sync: self == Self::NormalizeWithoutSync,
            unlink_before_switch: self == Self::UnlinkBeforeSwitch,
        }
    }
}
