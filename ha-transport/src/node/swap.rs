//! Changes of the group's record at the coordinator: one at a time, and until its outcome is known both the old and
//! the new record count.

use std::time::Duration;

use super::{Effect, Node, Role, Swapped};
use crate::group::{GroupRecord, Phase};
use crate::ids::Version;

/// A change whose outcome is not known yet.
#[derive(Clone, Debug)]
pub(super) struct Swap {
    ticket: u64,
    expect: Version,
    pub(super) record: GroupRecord,
    purpose: Purpose,
    /// When there was no answer; it is tried again then.
    unknown_since: Option<Duration>,
}

/// What a change is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The node wants to lead.
    Campaign { forced: bool },
    /// The node leads.
    Activate,
    /// The leader has other members.
    Change,
}

impl Node {
    pub(super) fn start_swap(
        &mut self,
        expect: Version,
        record: GroupRecord,
        purpose: Purpose,
        effects: &mut Vec<Effect>,
    ) {
        self.tickets += 1;
        let ticket = self.tickets;
        effects.push(Effect::Swap { ticket, expect, record: record.clone() });
        self.swap = Some(Swap { ticket, expect, record, purpose, unknown_since: None });
    }

    /// Tries again what got no answer: as it expects the same version, it cannot happen twice.
    pub(super) fn retry_swap(&mut self, effects: &mut Vec<Effect>) {
        let Some(swap) = &mut self.swap else { return };
        if swap.unknown_since.is_some_and(|since| self.now >= since + self.options.resend) {
            self.tickets += 1;
            swap.ticket = self.tickets;
            swap.unknown_since = None;
            let (expect, record) = (swap.expect, swap.record.clone());
            effects.push(Effect::Swap { ticket: self.tickets, expect, record });
        }
    }

    /// What became of a swap.
    pub(super) fn swapped(&mut self, ticket: u64, swapped: Swapped, effects: &mut Vec<Effect>) {
        let Some(swap) = self.swap.as_mut().filter(|swap| swap.ticket == ticket) else { return };
        match swapped {
            Swapped::Unknown => swap.unknown_since = Some(self.now),
            Swapped::Done(version) => {
                let record = swap.record.clone();
                self.learn(version, record, effects);
            }
            Swapped::Conflict(version, record) => {
                // Nobody but this node would have written what it wanted to write; else the attempt is over.
                let campaign = match swap.purpose {
                    Purpose::Campaign { forced } if record.epoch <= self.promised => Some(forced),
                    _ => None,
                };
                let is_other = record != swap.record;
                if is_other {
                    self.swap = None;
                }
                self.learn(version, record, effects);
                // Only the record was old, and nobody else has become a candidate meanwhile.
                if let Some(forced) = campaign.filter(|_| is_other)
                    && matches!(self.role, Role::Follower(_))
                {
                    self.campaign(forced, effects);
                }
            }
        }
    }

    /// Takes note of the group's record.
    pub(super) fn learn(
        &mut self,
        version: Version,
        record: GroupRecord,
        effects: &mut Vec<Effect>,
    ) {
        if self.record.as_ref().is_some_and(|&(known, _)| known > version) {
            return;
        }
        let is_news = self.record.as_ref().is_none_or(|&(known, _)| known < version);
        self.record = Some((version, record));
        let Some((_, record)) = &self.record else { return };
        let swap = self.swap.take_if(|swap| version > swap.expect);
        let done = swap.filter(|swap| swap.record == *record).map(|swap| swap.purpose);
        let is_candidate = record.leader == self.id && record.phase == Phase::Electing;
        let leads_there = record.leader == self.id && record.phase == Phase::Active;
        if record.epoch > self.promised && !matches!(self.role, Role::Follower(_)) && done.is_none()
        {
            self.step_down(effects);
        }
        match done {
            Some(Purpose::Campaign { forced }) => self.candidate(forced, effects),
            Some(Purpose::Activate) => self.activate(effects),
            Some(Purpose::Change) => self.advance(effects),
            None if !matches!(self.role, Role::Follower(_)) || self.swap.is_some() || !is_news => {}
            // It was a candidate or led before it was started anew, or nobody has led yet.
            None if is_candidate || leads_there => self.campaign(false, effects),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Options, Stored};
    use super::*;
    use crate::epochs::Epochs;
    use crate::ids::{Chain, Epoch, NodeId, Seq};

    /// The swap that a node wants.
    fn wanted(effects: &mut Vec<Effect>) -> Option<(u64, Version, GroupRecord)> {
        std::mem::take(effects).into_iter().find_map(|effect| match effect {
            Effect::Swap { ticket, expect, record } => Some((ticket, expect, record)),
            _ => None,
        })
    }

    #[test]
    fn a_candidate_whose_record_was_old_tries_again_unless_another_one_came() {
        let log = Epochs::of(vec![(Epoch(1), Seq(1))], Seq(1)).expect("a log");
        let stored = Stored { promised: Epoch(1), log, chain: Chain(1), ..Stored::default() };
        let mut node = Node::new(NodeId(2), Options::default(), stored);
        let electing = GroupRecord {
            epoch: Epoch(1),
            leader: NodeId(1),
            ..GroupRecord::new([NodeId(1), NodeId(2)])
        };
        let (now, mut effects) = (Duration::ZERO, Vec::new());
        let mut step = |input| {
            node.step(now, input, &mut effects);
            wanted(&mut effects)
        };
        assert_eq!(step(Input::Record(Version(2), electing.clone())), None);
        let (ticket, expect, _) = step(Input::LeaseExpired).expect("it wants to lead");
        assert_eq!(expect, Version(2));
        let active = GroupRecord { phase: Phase::Active, ..electing.clone() };
        let swapped = Swapped::Conflict(Version(3), active.clone());
        let again = step(Input::Swapped { ticket, swapped }).expect("it tries again");
        assert_eq!((again.1, again.2.epoch, again.2.leader), (Version(3), Epoch(2), NodeId(2)));
        let other = GroupRecord { epoch: Epoch(2), phase: Phase::Electing, ..active };
        let swapped = Swapped::Conflict(Version(4), other);
        assert_eq!(step(Input::Swapped { ticket: again.0, swapped }), None);
    }
}
