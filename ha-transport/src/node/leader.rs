//! A node that leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::snapshot::Sending;
use super::swap::Purpose;
use super::{Effect, Node, Role};
use crate::batch::{Batch, Kind};
use crate::epochs::Epochs;
use crate::group::GroupRecord;
use crate::ids::{Epoch, NodeId, Seq};
use crate::message::Message;
use crate::planted::Planted;
use crate::recent::Recent;
use crate::window::{UnderWay, Window};

/// What a leader knows.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    /// The batch that begins its epoch. What is before was adopted.
    pub(super) start: Seq,
    /// Whether the coordinator knows that it leads, so that it takes proposals.
    pub(super) active: bool,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// The last batches, as many as a window.
    recent: Recent,
    /// The batches of its epoch that are not committed.
    uncommitted: UnderWay,
    handing: Option<Handing>,
    last_beat: Duration,
}

/// A leader that lets another node take over.
#[derive(Clone, Copy, Debug)]
struct Handing {
    to: NodeId,
    /// When it was asked for, or the node was told.
    since: Duration,
    told: bool,
}

/// What a leader knows of another node.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The next batch to send; none as long as it is not known what the peer has.
    pub(super) next: Option<Seq>,
    /// What the peer has on its disk, and the same as here.
    pub(super) matched: Seq,
    /// What was sent and is not acknowledged, as long as it is known what comes next.
    under_way: UnderWay,
    /// Whether batches for it are being read.
    reading: bool,
    /// The snapshot that it gets since it lacks what is not kept any more.
    pub(super) sending: Option<Sending>,
    pub(super) heard: Duration,
    /// When it last got something onto its disk, or was sent something after it had everything.
    pub(super) progressed: Duration,
}

/// Why a batch cannot be proposed now. Nothing of it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// This node does not lead.
    #[error("this node does not lead{}", leader.map_or_else(String::new, |node| format!("; node {node} does")))]
    NotLeader {
        /// Who leads, as far as it knows.
        leader: Option<NodeId>,
    },
    /// The batch was to be proposed in another reign of this node: it may build on what this one does not have.
    #[error(
        "this node leads in epoch {epoch}, not in {wanted}: make what was proposed anew on what is committed"
    )]
    OtherReign {
        /// The epoch in which it was to be proposed.
        wanted: Epoch,
        /// The epoch in which the node leads.
        epoch: Epoch,
    },
    /// As many batches as a window wait to be committed.
    #[error("{waiting} batches wait to be committed; go on when some of them are")]
    WindowFull {
        /// How many.
        waiting: u64,
    },
    /// The group is smaller than it may be.
    #[error(
        "the group has {have} members, {need} are needed; bring one back, or make the group smaller on purpose"
    )]
    Unavailable {
        /// How many are needed.
        need: usize,
        /// How many there are.
        have: usize,
    },
    /// Another node is to take over.
    #[error("node {to} is taking over")]
    HandingOver {
        /// Which one.
        to: NodeId,
    },
}

/// Why the group cannot be changed, or handed over, now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// This node does not lead.
    #[error("this node does not lead; ask the leader")]
    NotLeader,
    /// The outcome of the change before is not known yet.
    #[error("another change of the group is on its way; try again")]
    InProgress,
    /// The leader cannot leave.
    #[error("node {node} leads; hand over first")]
    Leader {
        /// The leader.
        node: NodeId,
    },
    /// Not enough of the members would have what is committed.
    #[error(
        "{have} of the new members have everything up to batch {seq}, {need} are needed; wait until they have"
    )]
    TooFewCopies {
        /// How many have it.
        have: usize,
        /// How many are needed.
        need: usize,
        /// Up to where.
        seq: Seq,
    },
    /// The group would be too small.
    #[error("the group would have {have} members, {need} are needed")]
    TooSmall {
        /// How many it would have.
        have: usize,
        /// How many are needed.
        need: usize,
    },
    /// The node is no member.
    #[error("node {node} is no member")]
    NoMember {
        /// The node.
        node: NodeId,
    },
}

impl Leader {
    pub(super) fn new(
        start: Seq,
        me: NodeId,
        record: &GroupRecord,
        window: Window,
        now: Duration,
    ) -> Self {
        let peers = record.members.iter().filter(|&&node| node != me);
        Self {
            start,
            active: false,
            peers: peers.map(|&node| (node, Peer::new(now))).collect(),
            recent: Recent::new(window),
            uncommitted: UnderWay::default(),
            handing: None,
            last_beat: now,
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn glance(&self) -> String {
        let Self { start, active, peers, handing, .. } = self;
        format!("Leader from {start:?}, active: {active}, {handing:?}, {peers:?}")
    }

    fn matched(&self, node: NodeId) -> Seq {
        self.peers.get(&node).map_or(Seq(0), |peer| peer.matched)
    }
}

impl Peer {
    fn new(now: Duration) -> Self {
        Self {
            next: None,
            matched: Seq(0),
            under_way: UnderWay::default(),
            reading: false,
            sending: None,
            heard: now,
            progressed: now,
        }
    }

    /// What was sent may be lost: this comes next.
    pub(super) fn rewind(&mut self, next: Option<Seq>) {
        self.next = next;
        self.under_way.clear();
    }
}

impl Node {
    /// Seals what a session did up to a safe point as the next batch, and sends it to everybody. It is committed
    /// when [`Effect::Committed`] says so; if the node is deposed before that, it may be or not be.
    ///
    /// # Errors
    ///
    /// [`ProposeError`]; nothing has happened then.
    pub fn propose(
        &mut self,
        now: Duration,
        payload: Arc<[u8]>,
        effects: &mut Vec<Effect>,
    ) -> Result<Seq, ProposeError> {
        self.now = self.now.max(now);
        let leader = self.proposes()?;
        if !leader.uncommitted.has_room(self.options.under_way()) {
            return Err(ProposeError::WindowFull { waiting: leader.uncommitted.count() });
        }
        let batch = self.next_batch(Kind::Work, payload);
        let seq = batch.seq;
        self.seal(batch, effects);
        Ok(seq)
    }

    /// Why nothing can be proposed, whatever the window.
    pub(crate) fn held_up(&self) -> Option<ProposeError> {
        self.proposes().err()
    }

    fn proposes(&self) -> Result<&Leader, ProposeError> {
        let leader = self.leader();
        let not_leader = ProposeError::NotLeader { leader };
        let (Role::Leader(leader), Some((_, record))) = (&self.role, &self.record) else {
            return Err(not_leader);
        };
        if !leader.active {
            return Err(ProposeError::NotLeader { leader: None });
        }
        if let Some(Handing { to, .. }) = leader.handing {
            return Err(ProposeError::HandingOver { to });
        }
        let (need, have) = (record.members_min as usize, record.members.len());
        if have < need { Err(ProposeError::Unavailable { need, have }) } else { Ok(leader) }
    }

    /// Appends a batch of this epoch, and sends it.
    pub(super) fn seal(&mut self, batch: Batch, effects: &mut Vec<Effect>) {
        self.append(batch.clone(), effects);
        if let Role::Leader(leader) = &mut self.role {
            leader.uncommitted.add(batch.seq, batch.payload.len());
            leader.recent.push(batch);
        }
        self.stream_all(effects);
    }

    /// The coordinator knows that this node leads.
    pub(super) fn activate(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.active = true;
            effects.push(Effect::Lead { epoch: self.promised });
            self.advance(effects);
        }
    }

    /// There is a new link.
    pub(super) fn link_up(&mut self, node: NodeId, effects: &mut Vec<Effect>) {
        match &mut self.role {
            Role::Leader(leader) => {
                if let Some(peer) = leader.peers.get_mut(&node) {
                    peer.rewind(None);
                    self.beat(node, effects);
                }
            }
            Role::Candidate(_) => {
                let message = Message::Fence { epoch: self.promised };
                effects.push(Effect::Send { to: node, message });
            }
            Role::Follower(_) => self.say_hello(node, effects),
            Role::Quarantined => {}
        }
    }

    fn beat(&self, to: NodeId, effects: &mut Vec<Effect>) {
        let message = Message::Decide { epoch: self.promised, committed: self.committed };
        effects.push(Effect::Send { to, message });
    }

    /// Gives everybody a sign of life.
    pub(super) fn beat_all(&self, effects: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &self.role {
            leader.peers.keys().for_each(|&node| self.beat(node, effects));
        }
    }

    /// A follower says what it has.
    pub(super) fn hello(&mut self, from: NodeId, log: &Epochs, effects: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let peer = leader.peers.entry(from).or_insert_with(|| Peer::new(self.now));
        let common = self.log.epochs.common(log);
        peer.heard = self.now;
        if common < self.log.trimmed {
            return self.offer_snapshot(from, effects);
        }
        peer.sending = None;
        if peer.next.is_none() || peer.matched == Seq(0) {
            // The last one that both have comes again, so that the follower knows that it is the leader's. If that is
            // not kept any more, the next one does as well: it tells the chain before it.
            peer.rewind(Some(common.max(self.log.trimmed.next())));
            peer.progressed = self.now;
            self.stream(from, effects);
        }
    }

    /// A follower has something on its disk.
    pub(super) fn acknowledged(&mut self, from: NodeId, durable: Seq, effects: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        peer.heard = self.now;
        if durable >= self.log.trimmed {
            peer.sending = None;
        }
        let next = *peer.next.get_or_insert(durable.next());
        peer.next = Some(next.max(durable.next()));
        peer.under_way.done(durable);
        if durable > peer.matched {
            (peer.matched, peer.progressed) = (durable, self.now);
            self.advance(effects);
        }
        self.stream(from, effects);
    }

    /// Commits what is on enough disks, the leader's among them.
    pub(super) fn advance(&mut self, effects: &mut Vec<Effect>) {
        let (Role::Leader(leader), Some((_, record))) = (&self.role, &self.record) else { return };
        let mut seq = self.copied(leader, record);
        // As long as it is not known which record counts, both do.
        if let Some(swap) = &self.swap {
            if self.plants(Planted::ShrinksAtOnce) {
                seq = self.copied(leader, &swap.record);
            } else {
                seq = seq.min(self.copied(leader, &swap.record));
            }
        }
        // INV-78. What was adopted is committed with the batch that begins the epoch, and not before: until then another
        // leader may adopt a log without it.
        if seq >= leader.start || self.plants(Planted::CommitsEarlierEpochs) {
            let before = self.committed;
            self.commit(seq, effects);
            if let Role::Leader(leader) = &mut self.role {
                leader.uncommitted.done(seq);
            }
            if self.committed > before {
                self.decide_all(effects);
                self.stream_all(effects);
            }
        }
        self.go_on_handing_over(effects);
    }

    /// The last batch that is on as many members of a group as the policy asks for.
    fn copied(&self, leader: &Leader, record: &GroupRecord) -> Seq {
        let needed = self.options.policy.acknowledgements(record.members.len());
        let others = record.members.iter().filter(|&&node| node != self.id);
        let mut matched: Vec<_> = others.map(|&node| leader.matched(node)).collect();
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let others = needed.checked_sub(1).map_or(Seq(u64::MAX), |at| matched[at]);
        others.min(self.log.durable)
    }

    /// Tells followers that have everything what is committed; others learn it with the next batch.
    fn decide_all(&self, effects: &mut Vec<Effect>) {
        let Role::Leader(leader) = &self.role else { return };
        let end = Some(self.log.epochs.last().next());
        for (&node, _) in leader.peers.iter().filter(|(_, peer)| peer.next == end) {
            self.beat(node, effects);
        }
    }

    fn stream_all(&mut self, effects: &mut Vec<Effect>) {
        let Role::Leader(leader) = &self.role else { return };
        let peers: Vec<_> = leader.peers.keys().copied().collect();
        peers.into_iter().for_each(|node| self.stream(node, effects));
    }

    /// Sends a follower what it lacks, as far as the window goes.
    fn stream(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        let (epoch, committed, last) = (self.promised, self.committed, self.log.epochs.last());
        let window = self.options.under_way();
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        if peer.next.is_some_and(|next| next <= self.log.trimmed) {
            return self.offer_snapshot(to, effects);
        }
        while let Some(next) = peer.next
            && next <= last
            && peer.under_way.has_room(window)
        {
            let Some(batch) = leader.recent.get(next).cloned() else {
                // Not for each that is acknowledged: many are read at once.
                if !peer.reading && peer.under_way.is_half_empty(window) {
                    peer.reading = true;
                    let most = window.batches - peer.under_way.count();
                    effects.push(Effect::Read { to, from: next, most });
                }
                return;
            };
            peer.under_way.add(next, batch.payload.len());
            peer.next = Some(next.next());
            effects
                .push(Effect::Send { to, message: Message::Prepare { epoch, batch, committed } });
        }
    }

    /// Sends a follower what was read for it.
    pub(super) fn stream_read(
        &mut self,
        to: NodeId,
        batches: Vec<Batch>,
        effects: &mut Vec<Effect>,
    ) {
        let (epoch, committed) = (self.promised, self.committed);
        let window = self.options.under_way();
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        if !std::mem::take(&mut peer.reading) {
            return;
        }
        if batches.is_empty() {
            return self.offer_snapshot(to, effects);
        }
        for batch in batches {
            if peer.next == Some(batch.seq) && peer.under_way.has_room(window) {
                peer.under_way.add(batch.seq, batch.payload.len());
                peer.next = Some(batch.seq.next());
                let message = Message::Prepare { epoch, batch, committed };
                effects.push(Effect::Send { to, message });
            }
        }
        self.stream(to, effects);
    }

    pub(super) fn tick_leader(&mut self, effects: &mut Vec<Effect>) {
        let (now, last) = (self.now, self.log.epochs.last());
        let Role::Leader(leader) = &mut self.role else { return };
        if now < leader.last_beat + self.options.beat {
            return;
        }
        leader.last_beat = now;
        let resend = self.options.resend;
        for peer in leader.peers.values_mut() {
            if peer.matched >= last {
                peer.progressed = now;
            } else if now >= peer.progressed + resend {
                // Something got lost. From what the peer is known to have on; if that is nothing, it says so again.
                peer.progressed = now;
                peer.reading = false;
                peer.rewind((peer.matched > Seq(0)).then(|| peer.matched.next()));
                peer.sending.as_mut().map(Sending::again);
            }
        }
        let nodes: Vec<_> = leader.peers.keys().copied().collect();
        self.beat_all(effects);
        for node in nodes {
            self.stream(node, effects);
            self.offer_again(node, effects);
        }
        self.evict_silent(effects);
        self.go_on_handing_over(effects);
    }

    /// Takes the member out that has been silent for longest, if it has been for too long.
    fn evict_silent(&mut self, effects: &mut Vec<Effect>) {
        let (Role::Leader(leader), Some((_, record))) = (&self.role, &self.record) else { return };
        let Some(evict) = self.options.evict.filter(|_| leader.active) else { return };
        let members = leader.peers.iter().filter(|&(&node, _)| record.has(node));
        // Nothing is committed without whoever is made anew, if all must have it: that is as if it were silent.
        let needs_all =
            self.options.policy.acknowledgements(record.members.len()) + 1 == record.members.len();
        let heard = |peer: &Peer| match &peer.sending {
            Some(sending) if needs_all => peer.heard.min(sending.since),
            _ => peer.heard,
        };
        let silent = members.filter(|(_, peer)| self.now >= heard(peer) + evict);
        if let Some((&node, _)) = silent.min_by_key(|(_, peer)| heard(peer)) {
            // If not now, then later.
            let _ = self.remove(node, effects);
        }
    }

    /// Makes a node a member: it counts for commits and for the choice of a leader from then on. It follows already,
    /// since it said hello, and has what is committed.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing has happened then.
    pub fn add(&mut self, node: NodeId, effects: &mut Vec<Effect>) -> Result<(), ChangeError> {
        let (leader, version, record) = self.changeable()?;
        let new = record.with(node);
        if new == *record {
            return Ok(());
        }
        if !self.plants(Planted::GrowsWithoutCopies) {
            self.has_copies(leader, &new)?;
            let seq = self.committed.max(leader.start);
            if leader.matched(node) < seq {
                return Err(ChangeError::TooFewCopies { have: 0, need: 1, seq });
            }
        }
        self.start_swap(version, new, Purpose::Change, effects);
        Ok(())
    }

    /// Takes a member out of the group: it counts no more once the coordinator has the new record.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing has happened then.
    pub fn remove(&mut self, node: NodeId, effects: &mut Vec<Effect>) -> Result<(), ChangeError> {
        let (leader, version, record) = self.changeable()?;
        if node == self.id {
            return Err(ChangeError::Leader { node });
        }
        let new = record.without(node);
        if new == *record {
            return Ok(());
        }
        let (need, have) = (record.members_min as usize, new.members.len());
        if have < need {
            return Err(ChangeError::TooSmall { have, need });
        }
        if !self.plants(Planted::ShrinksWithoutCopies) && !self.plants(Planted::ShrinksAtOnce) {
            self.has_copies(leader, &new)?;
        }
        self.start_swap(version, new, Purpose::Change, effects);
        self.advance(effects);
        Ok(())
    }

    fn changeable(&self) -> Result<(&Leader, crate::ids::Version, &GroupRecord), ChangeError> {
        match (&self.role, &self.record) {
            (Role::Leader(leader), Some((version, record))) if leader.active => {
                if self.swap.is_some() {
                    return Err(ChangeError::InProgress);
                }
                Ok((leader, *version, record))
            }
            _ => Err(ChangeError::NotLeader),
        }
    }

    /// Whether enough members of a new group have everything that is committed, and everything that was adopted,
    /// which is what another leader might count on.
    fn has_copies(&self, leader: &Leader, new: &GroupRecord) -> Result<(), ChangeError> {
        let mut seq = self.committed.max(leader.start);
        if self.plants(Planted::ShrinksWithoutAdopted) {
            seq = self.committed;
        }
        let need = self.options.policy.acknowledgements(new.members.len()) + 1;
        let has = |node: NodeId| {
            if node == self.id { self.log.durable >= seq } else { leader.matched(node) >= seq }
        };
        let have = new.members.iter().filter(|&&node| has(node)).count();
        if have < need { Err(ChangeError::TooFewCopies { have, need, seq }) } else { Ok(()) }
    }

    /// Lets a member take over: no more proposals from now on, and when everything is committed and on its disk the
    /// member is told. If that, or its taking over, lasts longer than twice [`resend`](super::Options::resend), this node goes on
    /// to lead.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing has happened then.
    pub fn hand_over(&mut self, to: NodeId, effects: &mut Vec<Effect>) -> Result<(), ChangeError> {
        let (_, _, record) = self.changeable()?;
        if to == self.id {
            return Err(ChangeError::Leader { node: to });
        }
        if !record.has(to) {
            return Err(ChangeError::NoMember { node: to });
        }
        let since = self.now;
        if let Role::Leader(leader) = &mut self.role {
            leader.handing = Some(Handing { to, since, told: false });
        }
        self.go_on_handing_over(effects);
        Ok(())
    }

    fn go_on_handing_over(&mut self, effects: &mut Vec<Effect>) {
        let (epoch, last) = (self.promised, self.log.epochs.last());
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(Handing { to, since, told }) = leader.handing else { return };
        if self.now >= since + self.options.resend * 2 {
            leader.handing = None;
        } else if !told && self.committed == last && leader.matched(to) == last {
            leader.handing = Some(Handing { to, since: self.now, told: true });
            effects.push(Effect::Send { to, message: Message::HandOver { epoch, last } });
        }
    }
}
