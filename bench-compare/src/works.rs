//! What all works share: their keys, what they give.

use std::time::Duration;

/// What a run of a work came to.
pub struct Outcome {
    pub time: Duration,
    pub operations: i64,
    /// What proves that the same was done: firings and their sum, say.
    pub checksum: String,
}

/// Key of the `at`-th fact `B` of joins.
pub fn k(at: i64, n: i64) -> i64 {
    (at * 7919 + 13) % n
}

/// Second key of the `at`-th fact `B` of joins.
pub fn j(at: i64, n: i64) -> i64 {
    (at * 104_729 + 7) % n
}

/// The fact that the `u`-th update is of.
pub fn updated(u: i64, n: i64) -> i64 {
    u * 7919 % n
}
