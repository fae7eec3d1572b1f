//! How much may be under way.

use std::collections::VecDeque;

use crate::ids::Seq;

/// The most that may be under way: so many batches, and so many bytes of them and one batch more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) batches: u64,
    pub(crate) bytes: usize,
}

/// Batches under way, oldest first, and how many bytes they have.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay {
    batches: VecDeque<(Seq, usize)>,
    bytes: usize,
}

impl UnderWay {
    /// A batch is under way from now on.
    pub(crate) fn add(&mut self, seq: Seq, bytes: usize) {
        self.batches.push_back((seq, bytes));
        self.bytes += bytes;
    }

    /// All up to here are not any more.
    pub(crate) fn done(&mut self, upto: Seq) {
        while let Some(&(seq, bytes)) = self.batches.front()
            && seq <= upto
        {
            self.batches.pop_front();
            self.bytes -= bytes;
        }
    }

    /// None are.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }

    /// Whether another batch may be.
    pub(crate) fn has_room(&self, window: Window) -> bool {
        self.count() < window.batches && self.bytes < window.bytes.max(1)
    }

    /// Whether so many may be that it is worth while to read them.
    pub(crate) fn is_half_empty(&self, window: Window) -> bool {
        self.count() <= window.batches / 2 && self.bytes <= window.bytes / 2
    }

    pub(crate) fn count(&self) -> u64 {
        self.batches.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_full_by_batches_and_by_bytes() {
        let window = Window { batches: 4, bytes: 100 };
        let mut under_way = UnderWay::default();
        let mut add = |seq, bytes| {
            under_way.add(Seq(seq), bytes);
            (under_way.has_room(window), under_way.is_half_empty(window))
        };
        assert_eq!(
            [add(1, 0), add(2, 50), add(3, 49)],
            [(true, true), (true, true), (true, false)]
        );
        assert_eq!(add(4, 0), (false, false));
        under_way.done(Seq(1));
        assert!(under_way.has_room(window));
        under_way.add(Seq(5), 1);
        under_way.done(Seq(1));
        assert!(!under_way.has_room(window), "by batches");
        under_way.done(Seq(2));
        assert!(under_way.has_room(window) && !under_way.is_half_empty(window));
        under_way.done(Seq(9));
        // One that is longer than the window goes alone.
        under_way.add(Seq(6), 5000);
        assert!(!under_way.has_room(window));
        under_way.clear();
        assert!(under_way.has_room(window));
        let none = Window { batches: 4, bytes: 0 };
        assert!(under_way.has_room(none));
    }
}
