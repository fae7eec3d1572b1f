//! A node that wants to lead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::swap::Purpose;
use super::{Effect, Leader, Node, Quarantine, Role};
use crate::batch::{Batch, Kind};
use crate::epochs::Epochs;
use crate::group::{Forced, GroupRecord, Phase};
use crate::ids::{Epoch, NodeId, Seq};
use crate::message::Message;
use crate::planted::Planted;

/// What a candidate knows. The coordinator has its epoch, and its disk the promise.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Whether an operator wants it to lead without enough answers.
    forced: bool,
    since: Duration,
    /// When it last asked for something.
    asked: Duration,
    /// The logs of those who promised, its own among them, and up to where they are trimmed.
    answers: BTreeMap<NodeId, (Epochs, Seq)>,
    /// From whom it fetches the log that it adopts, and up to where that goes.
    fetching: Option<(NodeId, Epochs)>,
}

impl Node {
    /// Tries to be the next leader.
    pub(super) fn campaign(&mut self, forced: bool, effects: &mut Vec<Effect>) {
        let Some((version, record)) = &self.record else {
            effects.push(Effect::ReadRecord);
            return;
        };
        if self.swap.is_some() || !record.has(self.id) {
            return;
        }
        // A node that led in an epoch and does not know it any more does not lead in it again: others may have
        // batches of it that this node has lost.
        let mut epoch = record.epoch.max(self.promised).next();
        if self.plants(Planted::LeadsAgain) && record.leader == self.id && record.epoch.0 > 0 {
            epoch = record.epoch;
        }
        let new = GroupRecord { epoch, leader: self.id, phase: Phase::Electing, ..record.clone() };
        self.start_swap(*version, new, Purpose::Campaign { forced }, effects);
    }

    /// The coordinator has this node as a candidate: now the members are asked.
    pub(super) fn candidate(&mut self, forced: bool, effects: &mut Vec<Effect>) {
        let Some((_, record)) = &self.record else { return };
        let (epoch, members) = (record.epoch, record.members.clone());
        if epoch <= self.promised && !self.plants(Planted::LeadsAgain) {
            return;
        }
        self.promise(epoch, effects);
        self.role = Role::Candidate(Candidate {
            forced,
            since: self.now,
            asked: self.now,
            answers: BTreeMap::from([(self.id, (self.log.epochs.clone(), self.log.trimmed))]),
            fetching: None,
        });
        for to in members.into_iter().filter(|&member| member != self.id) {
            effects.push(Effect::Send { to, message: Message::Fence { epoch } });
        }
        self.choose(effects);
    }

    /// A member has promised.
    pub(super) fn promised_by(
        &mut self,
        from: NodeId,
        log: Epochs,
        trimmed: Seq,
        effects: &mut Vec<Effect>,
    ) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        candidate.answers.entry(from).or_insert((log, trimmed));
        self.choose(effects);
    }

    /// Adopts the log that has everything which may have been committed, once enough members have promised.
    fn choose(&mut self, effects: &mut Vec<Effect>) {
        let (Role::Candidate(candidate), Some((_, record))) = (&mut self.role, &self.record) else {
            return;
        };
        if candidate.fetching.is_some() {
            return;
        }
        let answers = || candidate.answers.iter().filter(|&(&node, _)| record.has(node));
        let members = record.members.len();
        let mut needed = self.options.policy.promises(members);
        if candidate.forced {
            let waited = self.now >= candidate.since + self.options.force_wait;
            needed = if waited { 1 } else { members };
        }
        if self.options.planted == Some(Planted::LeadsWithoutPromises) {
            needed = 1;
        }
        if answers().count() < needed {
            return;
        }
        let longest = self.options.planted == Some(Planted::ChoosesLongest);
        let rank = |log: &Epochs| if longest { (Epoch(0), log.last()) } else { log.rank() };
        let best = answers().max_by_key(|&(&node, (log, _))| (rank(log), node == self.id));
        let (&node, (log, trimmed)) = best.expect("its own is there");
        if rank(log) == rank(&self.log.epochs) {
            self.adopt(effects);
            return;
        }
        let (common, log) = (self.log.epochs.common(log), log.clone());
        if common < *trimmed {
            // What this node lacks is not kept there any more. Whoever has it had better lead itself, and gets this
            // one going with a snapshot.
            let message = Message::HandOver { epoch: self.promised, last: log.last() };
            effects.push(Effect::Send { to: node, message });
            self.step_down(effects);
            return;
        }
        candidate.fetching = Some((node, log));
        candidate.asked = self.now;
        let message = Message::Fetch { epoch: self.promised, behind: common };
        effects.push(Effect::Send { to: node, message });
    }

    /// What was fetched came.
    pub(super) fn tail(&mut self, from: NodeId, batches: &[Batch], effects: &mut Vec<Effect>) {
        let Role::Candidate(candidate) = &mut self.role else { return };
        let Some((node, log)) = candidate.fetching.clone() else { return };
        if node != from {
            return;
        }
        candidate.asked = self.now;
        for batch in batches {
            let prev = batch.seq.before();
            let is_of_log = log.at(batch.seq) == Some(batch.epoch);
            if !is_of_log || self.log.epochs.at(batch.seq) == Some(batch.epoch) {
                continue;
            }
            if self.log.epochs.at(prev) != Some(batch.prev_epoch) {
                break;
            }
            if prev == self.log.epochs.last() {
                if self.log.chain != batch.prev_chain {
                    return self.quarantine(Quarantine::Diverged { at: prev }, effects);
                }
            } else if !self.cut_behind(prev, batch.prev_chain, effects) {
                return;
            }
            self.append(batch.clone(), effects);
        }
        if self.log.epochs == log {
            self.adopt(effects);
        } else {
            let behind = self.log.epochs.common(&log);
            let message = Message::Fetch { epoch: self.promised, behind };
            effects.push(Effect::Send { to: node, message });
        }
    }

    /// Leads, with the log as it is. What it adopts is committed when the batch is that begins the epoch.
    fn adopt(&mut self, effects: &mut Vec<Effect>) {
        let Role::Candidate(candidate) = &self.role else { return };
        let Some((version, record)) = self.record.clone() else { return };
        let adopted = self.log.epochs.last();
        let answered = candidate.answers.keys().filter(|&&node| record.has(node)).count();
        let is_forced =
            candidate.forced && answered < self.options.policy.promises(record.members.len());
        let window = self.options.under_way();
        let leader = Leader::new(adopted.next(), self.id, &record, window, self.now);
        self.role = Role::Leader(leader);
        let batch = self.next_batch(Kind::EpochStart, [].into());
        self.seal(batch, effects);
        let forced = Forced { epoch: self.promised, adopted };
        let forced = if is_forced { Some(forced) } else { record.forced };
        let new = GroupRecord { phase: Phase::Active, forced, ..record };
        self.start_swap(version, new, Purpose::Activate, effects);
        // So that followers say at once what they have.
        self.beat_all(effects);
    }

    pub(super) fn tick_candidate(&mut self, effects: &mut Vec<Effect>) {
        let (Role::Candidate(candidate), Some((_, record))) = (&mut self.role, &self.record) else {
            return;
        };
        let epoch = self.promised;
        if self.now >= candidate.asked + self.options.resend {
            candidate.asked = self.now;
            if let Some((node, _)) = candidate.fetching.take() {
                // Whoever does not answer any more counts for nothing; others may have as much.
                candidate.answers.remove(&node);
            }
            let silent = record.members.iter().filter(|node| !candidate.answers.contains_key(node));
            for &to in silent {
                effects.push(Effect::Send { to, message: Message::Fence { epoch } });
            }
            // What was fetched so far is part of the log now.
            let own = (self.log.epochs.clone(), self.log.trimmed);
            candidate.answers.insert(self.id, own);
        }
        self.choose(effects);
    }

    /// The batch that would come next.
    pub(super) fn next_batch(&self, kind: Kind, payload: Arc<[u8]>) -> Batch {
        Batch {
            epoch: self.promised,
            seq: self.log.epochs.last().next(),
            prev_epoch: self.log.epochs.last_epoch(),
            prev_chain: self.log.chain,
            kind,
            payload,
        }
    }
}
