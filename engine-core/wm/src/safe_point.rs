//! Safe points: the boundaries at which a session may be restored.

use serde::{Deserialize, Serialize};

/// A boundary at which a session may be restored, a follower may stop and a snapshot may stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SafePoint {
    /// A user transaction is applied to the object store; its operations are not matched yet.
    Staged,
    /// The network has been evaluated; nothing is staged.
    Evaluated,
    /// One firing, or a run of firings, is complete.
    Fired,
}
