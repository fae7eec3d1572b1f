//! What a temporal join says of two events.

/// How far apart two events are. `later - earlier` is at least `least` milliseconds, and at most `most`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Apart {
    /// The time that is later, unless `least` is negative.
    pub later: Moment,
    /// The other one.
    pub earlier: Moment,
    /// In milliseconds.
    pub least: i64,
    /// In milliseconds; none: however long after.
    pub most: Option<i64>,
}

/// A time of an event of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The event's position.
    pub position: usize,
    /// Whether it is when the event ended, not when it began.
    pub end: bool,
}
