//! What the handle tells whoever normalizes: that a segment was sealed, that the journal ends.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::primitives::{Condvar, Mutex, MutexGuard};

/// News of the journal.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// How many segments were sealed since the journal was opened.
    sealed: u64,
    /// Whether the handle is being closed.
    ended: bool,
}

/// Shared by the handle and by those who normalize.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Held by the one normalization that runs.
    running: Mutex<()>,
    news: Mutex<News>,
    changed: Condvar,
}

impl Upkeep {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to normalize; one at a time.
    pub(crate) fn run(&self) -> MutexGuard<'_, ()> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a segment was sealed.
    pub(crate) fn sealed(&self) {
        self.news().sealed += 1;
        self.changed.notify_all();
    }

    /// Says that the journal is being closed, and waits until nobody normalizes.
    pub(crate) fn end(&self) {
        self.news().ended = true;
        self.changed.notify_all();
        drop(self.run());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.news().ended
    }

    /// Sleeps until more than `seen` segments were sealed; `None` once the journal ends.
    pub(crate) fn wait_sealed(&self, seen: u64) -> Option<u64> {
        let mut news = self.news();
        while !news.ended && news.sealed <= seen {
            news = self.changed.wait(news).unwrap_or_else(PoisonError::into_inner);
        }
        (!news.ended).then_some(news.sealed)
    }

    /// Sleeps for a time, or until the journal ends.
    pub(crate) fn pause(&self, time: Duration) {
        let start = Instant::now();
        let mut news = self.news();
        while !news.ended {
            let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero())
            else {
                return;
            };
            let woken = self.changed.wait_timeout(news, left);
            news = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
