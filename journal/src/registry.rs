//! Which journals this process has open.

use std::path::PathBuf;
use std::sync::LazyLock;

use dashmap::DashSet;

/// Directories by the name that their storage gives them.
static OPEN: LazyLock<DashSet<PathBuf>> = LazyLock::new(DashSet::new);

/// The right of one journal of this process to be open in a directory; given back when dropped.
#[derive(Debug)]
pub(crate) struct Registration(PathBuf);

impl Registration {
    /// `None` if the directory is open already.
    pub(crate) fn new(identity: PathBuf) -> Option<Self> {
        OPEN.insert(identity.clone()).then_some(Self(identity))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        OPEN.remove(&self.0);
    }
}
