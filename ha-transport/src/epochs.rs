//! Which epoch each batch of a log is of.

use crate::ids::{Epoch, Seq};

/// Which epoch each batch of a log is of. As each epoch has one leader, two logs that have a batch of the same epoch
/// and number are the same up to there (the log matching property of Raft, §5.3 of its paper; KIP-101 is what
/// happened to a log that compared positions instead).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epochs {
    /// Each epoch with its first batch, both rising.
    starts: Vec<(Epoch, Seq)>,
    last: Seq,
}

impl Epochs {
    /// Those of a log without batches.
    pub const fn new() -> Self {
        Self { starts: Vec::new(), last: Seq(0) }
    }

    /// From each epoch with its first batch, and the last batch; nothing if that is no log's.
    pub fn of(starts: Vec<(Epoch, Seq)>, last: Seq) -> Option<Self> {
        let first = starts.first().map(|&(epoch, seq)| (epoch > Epoch(0), seq));
        let begins = if last == Seq(0) { first.is_none() } else { first == Some((true, Seq(1))) };
        let rises = starts.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1);
        let ends = starts.last().is_none_or(|&(_, seq)| seq <= last);
        (begins && rises && ends).then_some(Self { starts, last })
    }

    /// Each epoch with its first batch.
    pub fn starts(&self) -> &[(Epoch, Seq)] {
        &self.starts
    }

    /// The last batch; 0 if there is none.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// The epoch of the last batch; 0 if there is none.
    pub fn last_epoch(&self) -> Epoch {
        self.starts.last().map_or(Epoch(0), |&(epoch, _)| epoch)
    }

    /// What decides which of two logs has everything that may have been committed: not the longer one, but the one
    /// whose last batch is of the higher epoch, and of two such the longer one.
    pub fn rank(&self) -> (Epoch, Seq) {
        (self.last_epoch(), self.last)
    }

    /// The epoch of a batch; 0 of what is before the first one, and nothing behind the last one.
    pub fn at(&self, seq: Seq) -> Option<Epoch> {
        if seq > self.last {
            return None;
        }
        let behind = self.starts.partition_point(|&(_, first)| first <= seq);
        Some(behind.checked_sub(1).map_or(Epoch(0), |i| self.starts[i].0))
    }

    /// Adds a batch of this epoch behind the last one.
    ///
    /// # Panics
    ///
    /// If the epoch is lower than that of the last one.
    pub fn push(&mut self, epoch: Epoch) {
        let last_epoch = self.last_epoch();
        assert!(epoch >= last_epoch, "epochs of a log rise: {epoch:?} behind {last_epoch:?}");
        self.last = self.last.next();
        if epoch > last_epoch {
            self.starts.push((epoch, self.last));
        }
    }

    /// Forgets all batches above this one.
    pub fn truncate(&mut self, above: Seq) {
        self.last = self.last.min(above);
        while self.starts.last().is_some_and(|&(_, first)| first > self.last) {
            self.starts.pop();
        }
    }

    /// Those of the log up to this batch.
    #[must_use]
    pub fn up_to(&self, seq: Seq) -> Self {
        let mut these = self.clone();
        these.truncate(seq);
        these
    }

    /// The last batch that both logs have; 0 if there is none.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_ha_transport::{Epoch, Epochs, Seq};
    ///
    /// // Both have 1 to 3 of the first epoch; then one went on in it, the other one in the second.
    /// let old = Epochs::of(vec![(Epoch(1), Seq(1))], Seq(5)).unwrap();
    /// let new = Epochs::of(vec![(Epoch(1), Seq(1)), (Epoch(2), Seq(4))], Seq(4)).unwrap();
    /// assert_eq!(new.common(&old), Seq(3));
    /// assert!(new.rank() > old.rank());
    /// ```
    pub fn common(&self, other: &Self) -> Seq {
        let both = other
            .starts
            .iter()
            .rev()
            .find_map(|&(epoch, _)| Some(self.end_of(epoch)?.min(other.end_of(epoch)?)));
        both.unwrap_or(Seq(0))
    }

    /// The last batch of an epoch, if it has any.
    fn end_of(&self, epoch: Epoch) -> Option<Seq> {
        let at = self.starts.binary_search_by_key(&epoch, |&(epoch, _)| epoch).ok()?;
        Some(self.starts.get(at + 1).map_or(self.last, |&(_, next)| next.before()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(of: &[u64]) -> Epochs {
        let mut epochs = Epochs::new();
        of.iter().for_each(|&epoch| epochs.push(Epoch(epoch)));
        epochs
    }

    #[test]
    fn each_batch_has_its_epoch() {
        let these = epochs(&[1, 1, 3, 3, 3, 7]);
        let at: Vec<_> = (0..8).map(|seq| these.at(Seq(seq)).map(|epoch| epoch.0)).collect();
        let expected = [Some(0), Some(1), Some(1), Some(3), Some(3), Some(3), Some(7), None];
        assert_eq!(at, expected);
        assert_eq!((these.last(), these.last_epoch()), (Seq(6), Epoch(7)));
        assert_eq!(these.up_to(Seq(2)), epochs(&[1, 1]));
        assert_eq!(these.up_to(Seq(0)), Epochs::new());
        assert_eq!(these.up_to(Seq(9)), these);
    }

    #[test]
    fn logs_have_in_common_what_is_of_one_epoch() {
        for (one, other, common) in [
            (&[1, 1, 1, 1][..], &[1, 1, 2][..], 2),
            (&[1, 1, 2, 2], &[1, 1, 2, 2, 2], 4),
            (&[1, 2, 4], &[1, 3, 3], 1),
            (&[], &[1], 0),
            (&[2], &[3], 0),
        ] {
            let (one, other) = (epochs(one), epochs(other));
            assert_eq!(one.common(&other), Seq(common), "{one:?} {other:?}");
            assert_eq!(other.common(&one), Seq(common), "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let of = |starts: &[(u64, u64)], last| {
            Epochs::of(starts.iter().map(|&(e, s)| (Epoch(e), Seq(s))).collect(), Seq(last))
        };
        assert_eq!(of(&[(1, 1), (3, 3)], 5), Some(epochs(&[1, 1, 3, 3, 3])));
        assert_eq!(of(&[], 0), Some(Epochs::new()));
        for (starts, last) in [
            (&[][..], 1),
            (&[(1, 1)], 0),
            (&[(0, 1)], 1),
            (&[(1, 2)], 2),
            (&[(2, 1), (1, 2)], 2),
            (&[(1, 1), (2, 1)], 2),
            (&[(1, 1), (2, 3)], 2),
        ] {
            assert_eq!(of(starts, last), None, "{starts:?} {last}");
        }
    }
}
