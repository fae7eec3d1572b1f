//! Faults for tests: planted bugs and a simulated disk. Only with the feature `testing`.

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
        }
    }
}
