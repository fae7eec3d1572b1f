//! How much of a lane may be on its way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::transport::Lane;

/// Bytes of each lane that may be under way on a link; a single longer frame may, too.
const LANE_BYTES_MAX: [usize; 3] = [1 << 20, 8 << 20, 4 << 20];
/// What a frame takes beyond its bytes.
const FRAME_EXTRA: usize = 64;

/// What is under way on one lane of one link.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    used: AtomicUsize,
    /// Whether somebody was refused and wants to know when there is room.
    refused: AtomicBool,
}

impl Budget {
    pub(crate) const fn of(lane: Lane) -> Self {
        let max = LANE_BYTES_MAX[lane as usize];
        Self { max, used: AtomicUsize::new(0), refused: AtomicBool::new(false) }
    }

    /// Takes room for a frame; says whether there was any. One thread takes.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let wanted = bytes + FRAME_EXTRA;
        if self.fits(wanted) {
            self.used.fetch_add(wanted, Ordering::SeqCst);
            return true;
        }
        // Whoever gives back looks at this behind its giving back, so one of the two sees the other.
        self.refused.store(true, Ordering::SeqCst);
        if !self.fits(wanted) {
            return false;
        }
        self.refused.store(false, Ordering::SeqCst);
        self.used.fetch_add(wanted, Ordering::SeqCst);
        true
    }

    fn fits(&self, wanted: usize) -> bool {
        let used = self.used.load(Ordering::SeqCst);
        used == 0 || used + wanted <= self.max
    }

    /// Gives a frame's room back; says whether somebody who was refused is to be told.
    pub(crate) fn give_back(&self, bytes: usize) -> bool {
        let before = self.used.fetch_sub(bytes + FRAME_EXTRA, Ordering::SeqCst);
        let left = before - bytes - FRAME_EXTRA;
        left <= self.max / 2 && self.refused.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_full_at_some_time_and_says_when_it_is_not() {
        let budget = Budget::of(Lane::Control);
        let frames = (0..10_000).take_while(|_| budget.take(1000)).count();
        assert_eq!(frames, (1 << 20) / 1064);
        let told = (0..frames).filter(|_| budget.give_back(1000)).count();
        assert_eq!(told, 1, "once, when half of it is free");
        assert!(budget.take(5 << 20), "a long frame goes alone");
        assert!(!budget.take(0));
        assert!(budget.give_back(5 << 20));
    }
}
