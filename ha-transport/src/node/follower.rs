//! A node that follows.

use super::snapshot::Receiving;
use super::{Effect, Node, Quarantine, Role};
use crate::batch::Batch;
use crate::ids::{NodeId, Seq};
use crate::message::Message;
use crate::planted::Planted;

/// What a follower knows of its leader, in the epoch that it has promised.
#[derive(Clone, Debug, Default)]
pub(super) struct Follower {
    pub(super) leader: Option<NodeId>,
    /// Up to where its log is known to be that of the leader. What is behind may be of an earlier leader.
    pub(super) matched: Seq,
    /// Up to where the leader says that batches are committed.
    decided: Seq,
    /// The snapshot that comes from it.
    pub(super) receiving: Option<Receiving>,
}

impl Node {
    /// The follower that this node is, of this leader from now on; nothing if it is none.
    pub(super) fn following(&mut self, leader: NodeId) -> Option<&mut Follower> {
        match &mut self.role {
            Role::Follower(follower) => {
                follower.leader = Some(leader);
                Some(follower)
            }
            _ => None,
        }
    }

    /// A batch came.
    pub(super) fn prepare(
        &mut self,
        from: NodeId,
        committed: Seq,
        batch: &Batch,
        effects: &mut Vec<Effect>,
    ) {
        let Some(follower) = self.following(from) else { return };
        follower.decided = follower.decided.max(committed);
        let matched = follower.matched;
        let prev = batch.seq.before();
        if batch.seq <= matched && !self.plants(Planted::StalePrepareTruncates) {
            self.acknowledge(effects);
            return;
        }
        match self.log.epochs.at(prev) {
            Some(at) if at == batch.prev_epoch => {}
            // Between them is something that got lost, or another leader's. Who has matched nothing yet says what he
            // has; others are sent everything again when they are silent for long.
            _ if matched == Seq(0) => return self.say_hello(from, effects),
            _ => return,
        }
        if prev == self.log.epochs.last() && self.log.chain != batch.prev_chain {
            return self.quarantine(Quarantine::Diverged { at: prev }, effects);
        }
        let is_there = self.log.epochs.at(batch.seq) == Some(batch.epoch);
        if !is_there || self.plants(Planted::StalePrepareTruncates) {
            let is_behind = prev == self.log.epochs.last();
            if !is_behind && !self.cut_behind(prev, batch.prev_chain, effects) {
                return;
            }
            self.append(batch.clone(), effects);
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.matched = batch.seq;
        }
        if self.log.durable >= batch.seq || self.plants(Planted::AcknowledgesBeforeSync) {
            self.acknowledge(effects);
        }
    }

    /// Tells the leader what is on the disk and the same as there, and notes what of that is committed.
    pub(super) fn acknowledge(&mut self, effects: &mut Vec<Effect>) {
        let Role::Follower(follower) = &self.role else { return };
        let leader = follower.leader;
        let mut durable = follower.matched.min(self.log.durable);
        if self.plants(Planted::AcknowledgesBeforeSync) {
            durable = follower.matched;
        }
        if self.plants(Planted::AcknowledgesOwnLength) {
            durable = self.log.epochs.last();
        }
        if let Some(to) = leader
            && durable > Seq(0)
        {
            let message = Message::Acknowledge { epoch: self.promised, durable };
            effects.push(Effect::Send { to, message });
        }
        self.note_decided(effects);
    }

    /// Notes what is committed of that which is on the disk and the same as at the leader.
    fn note_decided(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Follower(follower) = &self.role {
            let committed = follower.decided.min(follower.matched).min(self.log.durable);
            self.commit(committed, effects);
        }
    }

    /// The leader lives, and says what is committed.
    pub(super) fn decide(&mut self, from: NodeId, committed: Seq, effects: &mut Vec<Effect>) {
        let durable = self.log.durable;
        let Some(follower) = self.following(from) else { return };
        let has_it = committed <= follower.matched.min(durable);
        let is_news = committed > follower.decided;
        follower.decided = follower.decided.max(committed);
        if follower.matched == Seq(0) {
            self.say_hello(from, effects);
        } else if is_news && has_it {
            // That was acknowledged just now. What is only a sign of life is answered.
            self.note_decided(effects);
        } else {
            self.acknowledge(effects);
        }
    }

    pub(super) fn say_hello(&self, to: NodeId, effects: &mut Vec<Effect>) {
        let message = Message::Hello {
            epoch: self.promised,
            log: self.log.epochs.clone(),
            committed: self.committed,
        };
        effects.push(Effect::Send { to, message });
    }

    /// A candidate asks. The promise is on the disk.
    pub(super) fn fenced(&mut self, from: NodeId, effects: &mut Vec<Effect>) {
        if !matches!(self.role, Role::Follower(_)) {
            return;
        }
        let message = Message::Promise {
            epoch: self.promised,
            log: self.log.on_disk(),
            trimmed: self.log.trimmed,
        };
        effects.push(Effect::Send { to: from, message });
        if self.plants(Planted::PromisesBeforeStoring)
            && let Some(at) = effects.iter().position(|it| matches!(it, Effect::Promise(_)))
        {
            let promise = effects.remove(at);
            effects.push(promise);
        }
    }

    /// A candidate wants what is behind a batch.
    pub(super) fn fetched(&mut self, from: NodeId, behind: Seq, effects: &mut Vec<Effect>) {
        let is_there = (self.log.trimmed..self.log.durable).contains(&behind);
        if matches!(self.role, Role::Follower(_)) && is_there {
            let most = self.options.window;
            effects.push(Effect::Read { to: from, from: behind.next(), most });
        }
    }

    /// Sends a candidate what it wanted.
    pub(super) fn send_tail(
        &mut self,
        to: NodeId,
        mut batches: Vec<Batch>,
        effects: &mut Vec<Effect>,
    ) {
        let durable = self.log.durable;
        batches.retain(|batch| batch.seq <= durable);
        if !batches.is_empty() {
            let message = Message::Tail { epoch: self.promised, batches };
            effects.push(Effect::Send { to, message });
        }
    }

    /// The leader wants this node to take over, or a candidate that lacks what this node does not keep any more.
    pub(super) fn handed_over(&mut self, from: NodeId, last: Seq, effects: &mut Vec<Effect>) {
        if self.following(from).is_none() {
            return;
        }
        if self.log.epochs.last() == last && self.log.durable >= last {
            self.campaign(false, effects);
        }
    }
}
