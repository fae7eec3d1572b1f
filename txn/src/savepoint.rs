//! Savepoints: places in a transaction, and their names.

use std::fmt;

use steadfast_engine_core::Scope;
use steadfast_wm::SafePoint;

/// Names a savepoint exactly: no other savepoint of this process ever has the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SavepointId {
    /// The root that it is in, by its number in the process.
    pub(crate) root: u64,
    pub(crate) serial: u64,
}

impl fmt::Display for SavepointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s#{}.{}", self.root, self.serial)
    }
}

/// A place to which everything can be put back.
#[derive(Debug)]
pub(crate) struct Place<M> {
    pub(crate) scope: Scope,
    /// What the sink had.
    pub(crate) sink: M,
    /// What the root had done.
    pub(crate) done: Option<SafePoint>,
}

#[derive(Debug)]
pub(crate) struct Savepoint<M> {
    pub(crate) serial: u64,
    pub(crate) name: Box<str>,
    pub(crate) place: Place<M>,
}
