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
                if record != swap.record {
                    self.swap = None;
                }
                self.learn(version, record, effects);
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
