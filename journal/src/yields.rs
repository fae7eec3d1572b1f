//! Giving the processor to others instead of falling asleep, as long as that is the cheaper way.
//!
//! Where threads take turns within microseconds, one that yields is back soon, and nobody has to wake
//! it: a third of what a commit costs when many threads commit. Beside somebody who computes, it is
//! back after the other's slice, milliseconds later, while one that sleeps takes the processor as soon
//! as it is woken. Which of both it is shows in how long a yield takes.

use std::time::{Duration, Instant};

use crate::primitives::atomic::{AtomicU64, Ordering};
use crate::primitives::thread;

/// A thread yields so often before it sleeps. More is no faster, and keeps a processor awake for
/// longer that has nothing else to do.
pub(crate) const YIELDS_MAX: u32 = 20;

/// A yield that takes longer has met somebody who computes: slices are 0.7 ms and more.
const LONG: Duration = Duration::from_micros(500);

/// After a long yield, nobody yields for so many times as long: they cost 6 % of the time then. Less
/// would cost more of it, and more would punish what is soon over, such as writing a segment's zeros.
const REST: u32 = 16;

/// Whether threads yield.
#[derive(Debug)]
pub(crate) struct Yields {
    start: Instant,
    /// Nobody yields before; nanoseconds since the start.
    rest_until: AtomicU64,
}

impl Default for Yields {
    fn default() -> Self {
        Self { start: Instant::now(), rest_until: AtomicU64::new(0) }
    }
}

impl Yields {
    /// Yields once; `false` if nobody does at present.
    pub(crate) fn turn(&self) -> bool {
        // Real time is no matter of interleavings.
        if cfg!(shuttle) {
            return false;
        }
        let before = self.start.elapsed();
        if nanoseconds(before) < self.rest_until.load(Ordering::Relaxed) {
            return false;
        }
        thread::yield_now();
        self.learn(before, self.start.elapsed())
    }

    /// Learns from a yield, given when it began and ended; whether others may follow.
    fn learn(&self, before: Duration, after: Duration) -> bool {
        let took = after.saturating_sub(before);
        let is_short = took < LONG;
        if !is_short {
            self.rest_until.fetch_max(nanoseconds(after + took * REST), Ordering::Relaxed);
        }
        is_short
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::scheduled;

    #[test]
    fn after_a_long_yield_nobody_yields_for_a_multiple_of_it() {
        scheduled(|| {
            let yields = Yields::default();
            let at = Duration::from_micros;
            assert!(yields.learn(at(1000), at(1499)));
            assert_eq!(yields.rest_until.load(Ordering::Relaxed), 0);
            assert!(!yields.learn(at(2000), at(2500)));
            assert!(!yields.learn(at(1900), at(2400)), "another thread met it as well");
            assert_eq!(yields.rest_until.load(Ordering::Relaxed), 10_500_000);
        });
    }

    #[test]
    #[cfg(not(shuttle))]
    fn while_it_rests_a_turn_is_none() {
        let yields = Yields::default();
        yields.rest_until.store(u64::MAX, Ordering::Relaxed);
        assert!(!yields.turn());
    }
}
