//! What was proposed in a reign of this node, and what became of it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{Epoch, Seq};
use crate::node::ProposeError;
use crate::window::{UnderWay, Window};

/// How many reigns are remembered, for whoever asks late.
const REIGNS: usize = 16;

/// A batch that was proposed: in which reign, and its number. It has that number in the log, or is in no log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Proposed {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The batch.
    pub seq: Seq,
}

/// What became of a batch that was proposed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is committed: on as many disks as the policy asks for.
    Committed,
    /// The leader was deposed before that was known. It may be committed or not: ask the next leader.
    Unknown,
    /// The leader was deposed before it was in its log. It is in no log and will be in none, and neither will be what was
    /// proposed behind it in this reign.
    Refused,
    /// It is not known yet.
    Waiting,
}

/// The last reigns of a node, and the batches that wait for the replica's thread in the one that goes on.
///
/// Numbers are given when a batch is proposed, not when it is in the log: so whoever proposes waits for nobody. They are
/// those of the log, since nothing else is appended in a reign; and if a batch does not get there, none behind it does.
#[derive(Debug)]
pub(super) struct Reigns {
    window: Window,
    last: VecDeque<Reign>,
    /// Why nothing is taken at present, although the node leads.
    held_up: Option<ProposeError>,
    /// The last ones of those that were proposed.
    queue: VecDeque<Arc<[u8]>>,
}

#[derive(Debug)]
struct Reign {
    epoch: Epoch,
    /// The number of the next batch that is proposed.
    next: Seq,
    /// The last one that may be in the log.
    logged: Seq,
    committed: Seq,
    /// What is behind that, and the batch that begins the epoch until it is committed.
    under_way: UnderWay,
    is_over: bool,
}

impl Reigns {
    pub(super) const fn new(window: Window) -> Self {
        Self { window, last: VecDeque::new(), held_up: None, queue: VecDeque::new() }
    }

    /// The node leads from now on; the last batch of its log begins the epoch.
    pub(super) fn begin(&mut self, epoch: Epoch, start: Seq) {
        self.stop();
        if self.last.len() == REIGNS {
            self.last.pop_front();
        }
        self.held_up = None;
        let (next, logged, committed) = (start.next(), start, start.before());
        let mut under_way = UnderWay::default();
        under_way.add(start, 0);
        self.last.push_back(Reign { epoch, next, logged, committed, under_way, is_over: false });
    }

    /// The node leads no more. Of what it took, the batches up to this one are in its log.
    pub(super) fn end(&mut self, logged: Seq) {
        self.queue.clear();
        if let Some(reign) = self.last.back_mut().filter(|reign| !reign.is_over) {
            reign.is_over = true;
            reign.under_way.clear();
            reign.logged = reign.logged.min(logged);
        }
    }

    /// The node has stopped. What was handed out may be in its log or not.
    pub(super) fn stop(&mut self) {
        self.end(Seq(u64::MAX));
    }

    /// Nothing is taken as long as there is a reason; says whether that is news.
    pub(super) fn hold_up(&mut self, why: Option<ProposeError>) -> bool {
        let is_new = self.held_up != why;
        self.held_up = why;
        is_new
    }

    /// Whether a batch would be taken in the reign of this epoch.
    pub(super) fn takes(&self, epoch: Epoch) -> Result<(), ProposeError> {
        let Some(reign) = self.last.back().filter(|reign| !reign.is_over) else {
            return Err(ProposeError::NotLeader { leader: None });
        };
        if reign.epoch != epoch {
            return Err(ProposeError::OtherReign { wanted: epoch, epoch: reign.epoch });
        }
        match self.held_up {
            Some(why) => Err(why),
            None if reign.under_way.has_room(self.window) => Ok(()),
            None => Err(ProposeError::WindowFull { waiting: reign.under_way.count() }),
        }
    }

    /// Takes a batch, if it is to be proposed in the reign that goes on; says whether none waits before it.
    pub(super) fn propose(
        &mut self,
        epoch: Epoch,
        payload: Arc<[u8]>,
    ) -> Result<(Proposed, bool), ProposeError> {
        self.takes(epoch)?;
        let Some(reign) = self.last.back_mut() else {
            return Err(ProposeError::NotLeader { leader: None });
        };
        let proposed = Proposed { epoch, seq: reign.next };
        reign.next = reign.next.next();
        reign.under_way.add(proposed.seq, payload.len());
        let is_first = self.queue.is_empty();
        self.queue.push_back(payload);
        Ok((proposed, is_first))
    }

    /// Hands out what waits, behind what was handed out before.
    pub(super) fn take(&mut self, taken: &mut VecDeque<Arc<[u8]>>) {
        if let Some(reign) = self.last.back_mut()
            && !self.queue.is_empty()
        {
            reign.logged = reign.next.before();
            taken.append(&mut self.queue);
        }
    }

    /// The batches of this reign up to here are committed; says whether that is news.
    pub(super) fn commit(&mut self, seq: Seq) -> bool {
        match self.last.back_mut().filter(|reign| !reign.is_over) {
            Some(reign) if seq > reign.committed => {
                reign.committed = seq;
                reign.under_way.done(seq);
                true
            }
            _ => false,
        }
    }

    pub(super) fn outcome(&self, proposed: Proposed) -> Outcome {
        let reign = self.last.iter().rev().find(|reign| reign.epoch == proposed.epoch);
        match reign {
            // Of a reign of long ago, or another node's.
            None => Outcome::Unknown,
            Some(reign) if proposed.seq <= reign.committed => Outcome::Committed,
            Some(reign) if !reign.is_over => Outcome::Waiting,
            Some(reign) if proposed.seq <= reign.logged => Outcome::Unknown,
            Some(_) => Outcome::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(batches: u64) -> Window {
        Window { batches, bytes: 4 }
    }

    fn propose(reigns: &mut Reigns, epoch: u64) -> Result<u64, ProposeError> {
        Ok(reigns.propose(Epoch(epoch), [].into())?.0.seq.0)
    }

    fn outcomes(reigns: &Reigns, epoch: u64, seqs: std::ops::RangeInclusive<u64>) -> Vec<Outcome> {
        let of = |seq| Proposed { epoch: Epoch(epoch), seq: Seq(seq) };
        seqs.map(|seq| reigns.outcome(of(seq))).collect()
    }

    #[test]
    fn each_batch_has_the_outcome_that_it_had_when_its_reign_ended() {
        use Outcome::{Committed, Refused, Unknown, Waiting};
        let mut reigns = Reigns::new(window(10));
        assert_eq!(propose(&mut reigns, 3), Err(ProposeError::NotLeader { leader: None }));
        reigns.begin(Epoch(3), Seq(5));
        let mut taken = VecDeque::new();
        assert_eq!([(); 3].map(|()| propose(&mut reigns, 3)), [Ok(6), Ok(7), Ok(8)]);
        reigns.take(&mut taken);
        assert_eq!([(); 2].map(|()| propose(&mut reigns, 3)), [Ok(9), Ok(10)]);
        assert!(reigns.commit(Seq(6)) && !reigns.commit(Seq(6)));
        assert_eq!(outcomes(&reigns, 3, 6..=10), [Committed, Waiting, Waiting, Waiting, Waiting]);
        // Of those that were handed out, the last one is not in the log.
        reigns.end(Seq(7));
        let expected = [Committed, Unknown, Refused, Refused, Refused];
        assert_eq!(outcomes(&reigns, 3, 6..=10), expected);
        assert!(!reigns.commit(Seq(8)), "that is another leader's");
        // What is left of a reign is not proposed in the next one.
        reigns.begin(Epoch(5), Seq(9));
        reigns.take(&mut taken);
        assert_eq!(taken.len(), 3);
        let other = ProposeError::OtherReign { wanted: Epoch(3), epoch: Epoch(5) };
        assert_eq!(propose(&mut reigns, 3), Err(other));
        assert_eq!(propose(&mut reigns, 5), Ok(10));
        assert!(reigns.commit(Seq(10)));
        assert_eq!(outcomes(&reigns, 3, 6..=10), expected);
        assert_eq!(outcomes(&reigns, 5, 10..=11), [Committed, Waiting]);
        assert_eq!(outcomes(&reigns, 4, 6..=6), [Unknown], "another node's");
        // Whoever stops does not know what of that is in the log.
        assert_eq!([(); 2].map(|()| propose(&mut reigns, 5)), [Ok(11), Ok(12)]);
        reigns.take(&mut taken);
        assert_eq!(propose(&mut reigns, 5), Ok(13));
        reigns.stop();
        assert_eq!(outcomes(&reigns, 5, 10..=13), [Committed, Unknown, Unknown, Refused]);
    }

    #[test]
    fn no_more_than_a_window_is_taken_and_nothing_while_it_is_held_up() {
        let mut reigns = Reigns::new(window(3));
        reigns.begin(Epoch(1), Seq(1));
        // The batch that begins the epoch counts until it is committed.
        assert_eq!([(); 2].map(|()| propose(&mut reigns, 1)), [Ok(2), Ok(3)]);
        let full = Err(ProposeError::WindowFull { waiting: 3 });
        assert_eq!(propose(&mut reigns, 1), full);
        reigns.take(&mut VecDeque::new());
        assert_eq!(propose(&mut reigns, 1), full, "they are not committed");
        reigns.commit(Seq(2));
        assert_eq!([(); 2].map(|()| propose(&mut reigns, 1)), [Ok(4), Ok(5)]);
        assert_eq!(propose(&mut reigns, 1), full);
        reigns.commit(Seq(4));
        let why = ProposeError::Unavailable { need: 2, have: 1 };
        assert!(reigns.hold_up(Some(why)) && !reigns.hold_up(Some(why)));
        assert_eq!(propose(&mut reigns, 1), Err(why));
        assert!(reigns.hold_up(None));
        // Bytes are counted, too, until they are committed.
        assert_eq!(reigns.propose(Epoch(1), [0; 9].into()).map(|it| it.0.seq), Ok(Seq(6)));
        assert_eq!(propose(&mut reigns, 1), Err(ProposeError::WindowFull { waiting: 2 }));
        reigns.commit(Seq(6));
        assert_eq!(propose(&mut reigns, 1), Ok(7));
    }

    #[test]
    fn old_reigns_are_forgotten_at_some_time() {
        let mut reigns = Reigns::new(window(3));
        for epoch in 1..=100 {
            reigns.begin(Epoch(epoch), Seq(epoch));
        }
        assert_eq!(reigns.last.len(), REIGNS);
        assert_eq!(outcomes(&reigns, 85, 85..=86), [Outcome::Unknown, Outcome::Refused]);
        assert_eq!(outcomes(&reigns, 84, 85..=85), [Outcome::Unknown]);
    }
}
