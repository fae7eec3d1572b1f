//! How far a transaction may go.

/// How many savepoints may lie in each other unless told otherwise.
const DEPTH_MAX: usize = 65_536;

/// How far a transaction may go.
///
/// # Example
///
/// ```
/// use steadfast_txn::Options;
///
/// let options = Options::new().depth_max(100).trail_bytes_max(64 << 20);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    pub(crate) depth_max: usize,
    pub(crate) trail_bytes_max: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { depth_max: DEPTH_MAX, trail_bytes_max: None }
    }
}

impl Options {
    /// 65,536 savepoints in each other, and as much memory as it takes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many savepoints may lie in each other; one more is [refused](crate::TransactionError::TooDeep).
    #[must_use]
    pub fn depth_max(mut self, savepoints: usize) -> Self {
        self.depth_max = savepoints;
        self
    }

    /// From so many bytes on that undoing takes, without what values own elsewhere, more work is
    /// [refused](crate::TransactionError::TooLarge). It can still be rolled back, or committed.
    ///
    /// It is asked before each operation and between firings, so that one operation or firing may go beyond. Asking
    /// takes time in proportion to the number of rules and types; without this limit nobody does.
    #[must_use]
    pub fn trail_bytes_max(mut self, bytes: usize) -> Self {
        self.trail_bytes_max = Some(bytes);
        self
    }

    /// Whether what undoing takes is bounded.
    #[must_use]
    pub fn bounds_trail(&self) -> bool {
        self.trail_bytes_max.is_some()
    }
}
