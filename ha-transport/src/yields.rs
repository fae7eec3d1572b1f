//! Giving the processor to others for a moment before falling asleep.
//!
//! What a thread here waits for most often comes within microseconds, and nobody has to wake a thread that only yields.
//! Beside somebody who computes, though, it is back after the other's slice, milliseconds later, while one that sleeps
//! takes the processor as soon as it is woken; how long a yield takes shows which of both it is. The journal does the same
//! while it waits for its disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A thread yields so often before it sleeps.
const YIELDS: u32 = 20;
/// A yield that takes longer has met somebody who computes.
const LONG: Duration = Duration::from_micros(500);
/// After a long yield, nobody yields for so many times as long.
const REST: u32 = 16;

/// Whether threads yield where they wait.
#[derive(Debug)]
pub(crate) struct Yields {
    start: Instant,
    /// Nobody yields before; nanoseconds since the start.
    rest_until: AtomicU64,
}

impl Yields {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), rest_until: AtomicU64::new(0) }
    }

    /// Yields until there is something, as long as that is the cheaper way.
    pub(crate) fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let mut before = self.start.elapsed();
        if nanoseconds(before) < self.rest_until.load(Ordering::Relaxed) {
            return None;
        }
        for _ in 0..YIELDS {
            std::thread::yield_now();
            let found = look();
            if found.is_some() {
                return found;
            }
            let after = self.start.elapsed();
            if !self.learn(before, after) {
                return None;
            }
            before = after;
        }
        None
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

    #[test]
    fn after_a_long_yield_nobody_yields_for_a_multiple_of_it() {
        let yields = Yields::new();
        let at = Duration::from_micros;
        assert!(yields.learn(at(1000), at(1499)));
        assert_eq!(yields.rest_until.load(Ordering::Relaxed), 0);
        assert!(!yields.learn(at(2000), at(2500)));
        assert!(!yields.learn(at(1900), at(2400)), "another thread met it as well");
        assert_eq!(yields.rest_until.load(Ordering::Relaxed), 10_500_000);
        yields.rest_until.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(yields.until(|| -> Option<()> { panic!("it rests") }), None);
    }

    #[test]
    fn it_looks_after_each_yield_and_gives_up_at_some_time() {
        let (yields, mut looks) = (Yields::new(), 0);
        let found = yields.until(|| {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        // Somebody may compute beside it.
        assert!(found.is_none_or(|it| it == 3));
        let (yields, mut looks) = (Yields::new(), 0);
        assert_eq!(
            yields.until(|| -> Option<()> {
                looks += 1;
                None
            }),
            None
        );
        assert!((1..=YIELDS).contains(&looks));
    }
}
