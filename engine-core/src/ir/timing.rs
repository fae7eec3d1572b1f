//! Timers of rules: when their matches fall due, and what becomes of those that are late.

use std::fmt;
use std::sync::Arc;

/// When the matches of a rule become pending, counted from when they come about.
///
/// All times are milliseconds of the session's clock, which only [`advance_clock`] moves.
///
/// [`advance_clock`]: crate::Engine::advance_clock
#[derive(Clone)]
pub enum Timer {
    /// Once, after so many milliseconds.
    After(i64),
    /// First after `initial` milliseconds, then every `every` milliseconds for as long as the match lasts.
    Every {
        /// Until the first time.
        initial: i64,
        /// From one time to the next; at least 1.
        every: i64,
    },
    /// At the times of a schedule, for as long as the match lasts.
    Schedule {
        /// The schedule as written.
        text: String,
        /// The schedule itself.
        times: Arc<dyn Schedule>,
    },
    /// A schedule that could not be read: a ruleset with it is not valid.
    Unreadable {
        /// The schedule as written.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Times that are known ahead, such as those of a cron expression.
///
/// # Contract
///
/// Both answers depend on nothing but the arguments: recovery asks again.
pub trait Schedule: Send + Sync {
    /// The first time after this one, in milliseconds; none if there is no more.
    fn after(&self, millis: i64) -> Option<i64>;
    /// The last time at or before this one; none if there was none.
    fn until(&self, millis: i64) -> Option<i64>;
}

/// What becomes of a match whose time the clock has passed by more than a little, as after an outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Late {
    /// It becomes pending all the same, once, however many times of a timer were passed.
    #[default]
    Fire,
    /// Within so many milliseconds it becomes pending; beyond, it does not, and a
    /// [`Missed`](crate::Missed) says so.
    Drop {
        /// How late is not yet too late.
        grace: i64,
    },
}

/// How a rule depends on time beside its conditions.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// When its matches fall due; without, as soon as they come about.
    pub timer: Option<Timer>,
    /// What becomes of late ones.
    pub late: Late,
}

impl Timer {
    /// When a match falls due that came about at `from`.
    pub(crate) fn first(&self, from: i64) -> Option<i64> {
        match self {
            Self::After(delay) => Some(from.saturating_add(*delay)),
            Self::Every { initial, .. } => Some(from.saturating_add(*initial)),
            Self::Schedule { times, .. } => times.after(from),
            Self::Unreadable { .. } => None,
        }
    }

    /// Of the times from `due` on the last one that `now` has reached, and the one behind it.
    pub(crate) fn reached(&self, due: i64, now: i64) -> (i64, Option<i64>) {
        match self {
            Self::After(_) | Self::Unreadable { .. } => (due, None),
            Self::Every { every, .. } => {
                let every = (*every).max(1);
                let passed = now.saturating_sub(due) / every;
                let last = due.saturating_add(passed.saturating_mul(every));
                (last, last.checked_add(every))
            }
            Self::Schedule { times, .. } => {
                let last = times.until(now).filter(|&last| last >= due).unwrap_or(due);
                (last, times.after(now.max(due)))
            }
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(delay) => write!(f, "after {delay} ms"),
            Self::Every { initial, every } => write!(f, "after {initial} ms, every {every} ms"),
            Self::Schedule { text, .. } | Self::Unreadable { text, .. } => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_catches_up_in_one_step() {
        let timer = Timer::Every { initial: 20, every: 30 };
        assert_eq!(timer.first(100), Some(120));
        assert_eq!(timer.reached(120, 120), (120, Some(150)));
        assert_eq!(timer.reached(120, 149), (120, Some(150)));
        assert_eq!(timer.reached(120, 239), (210, Some(240)));
        assert_eq!(timer.reached(i64::MAX - 1, i64::MAX), (i64::MAX - 1, None));
    }

    #[test]
    fn a_delay_comes_once() {
        let timer = Timer::After(20);
        assert_eq!((timer.first(5), timer.reached(25, 900)), (Some(25), (25, None)));
    }
}
