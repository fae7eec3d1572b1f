//! The last batches of a log, in memory.

use std::collections::VecDeque;

use crate::batch::Batch;
use crate::ids::Seq;
use crate::window::Window;

/// The last batches of a log, which follow one another: as many as go into a window, and at least the last one.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    window: Window,
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Recent {
    pub(crate) const fn new(window: Window) -> Self {
        Self { window, batches: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        self.bytes += batch.payload.len();
        while self.batches.len() as u64 >= self.window.batches || self.bytes > self.window.bytes {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.payload.len();
        }
        self.batches.push_back(batch);
    }

    /// The batch of this number, if it is remembered.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Batch> {
        let first = self.batches.front()?.seq;
        let at = seq.0.checked_sub(first.0)?;
        self.batches.get(usize::try_from(at).ok()?)
    }

    /// Forgets what is above a batch.
    pub(crate) fn truncate(&mut self, above: Seq) {
        while let Some(last) = self.batches.pop_back() {
            if last.seq <= above {
                self.batches.push_back(last);
                return;
            }
            self.bytes -= last.payload.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Kind;
    use crate::ids::{Chain, Epoch};

    fn batch(seq: u64, bytes: usize) -> Batch {
        let (epoch, prev_epoch, prev_chain) = (Epoch(1), Epoch(1), Chain(0));
        let payload = vec![0; bytes].into();
        Batch { epoch, seq: Seq(seq), prev_epoch, prev_chain, kind: Kind::Work, payload }
    }

    fn kept(recent: &Recent) -> Vec<u64> {
        (0..20).filter(|&seq| recent.get(Seq(seq)).is_some_and(|it| it.seq.0 == seq)).collect()
    }

    #[test]
    fn it_keeps_no_more_than_a_window() {
        let mut recent = Recent::new(Window { batches: 3, bytes: 100 });
        (5..9).for_each(|seq| recent.push(batch(seq, 10)));
        assert_eq!(kept(&recent), [6, 7, 8]);
        recent.push(batch(9, 85));
        assert_eq!(kept(&recent), [8, 9]);
        recent.push(batch(10, 500));
        assert_eq!(kept(&recent), [10]);
        recent.push(batch(11, 1));
        assert_eq!(kept(&recent), [11]);
        recent.push(batch(12, 99));
        assert_eq!(kept(&recent), [11, 12]);
        recent.truncate(Seq(11));
        assert_eq!(kept(&recent), [11]);
        recent.push(batch(12, 99));
        assert_eq!(kept(&recent), [11, 12]);
        recent.truncate(Seq(3));
        assert_eq!(kept(&recent), [0; 0]);
        assert_eq!(recent.bytes, 0);
    }
}
