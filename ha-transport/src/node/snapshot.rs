//! Snapshots for those who lack what their leader does not keep any more.
//!
//! A leader *offers* its newest snapshot. The follower says how much of its file is on its disk already, *wants* the
//! rest, and acknowledges each piece by wanting what is behind it; so a window of pieces is under way, and after a
//! lost link it goes on where it was. When the file is there as a whole and is what was written, the follower's log and
//! state are replaced by it, and it says hello: what is behind the snapshot is streamed as to everybody.

use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Node, Role};
use crate::epochs::Epochs;
use crate::ids::{Chain, NodeId, Seq};
use crate::message::Message;
use crate::planted::Planted;
use crate::snapshot::{Offer, SnapshotId};

/// A snapshot on its way to a follower.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) offer: Offer,
    /// Since when the follower is being made anew.
    pub(super) since: Duration,
    /// Whether the follower has said where to begin.
    wanted: bool,
    /// Bytes that are on the follower's disk.
    acked: u64,
    /// Bytes that were sent.
    sent: u64,
    reading: bool,
}

/// A snapshot that comes from the leader.
#[derive(Clone, Debug)]
pub(super) struct Receiving {
    offer: Offer,
    /// Bytes that came; nothing as long as the disk has not said how much is there from an earlier attempt.
    written: Option<u64>,
    /// Bytes that are on the disk.
    durable: u64,
    checking: bool,
}

impl Sending {
    const fn new(offer: Offer, since: Duration) -> Self {
        Self { offer, since, wanted: false, acked: 0, sent: 0, reading: false }
    }

    /// Something got lost: begins again where the follower says.
    pub(super) const fn again(&mut self) {
        self.wanted = false;
        self.reading = false;
    }
}

impl Node {
    /// The newest snapshot, which this node offers to others.
    pub const fn snapshot(&self) -> Option<Offer> {
        self.snapshot
    }

    /// The last batch that the log does not have any more; 0 if it has all.
    pub const fn trimmed(&self) -> Seq {
        self.log.trimmed
    }

    /// The log up to a batch, for the head of a snapshot that is about to be taken there: nothing if that is not
    /// committed, or if there is one already that is as new.
    pub fn snapshot_at(&self, at: Seq) -> Option<Epochs> {
        let is_committed = at <= self.committed || self.plants(Planted::SnapshotsAboveCommitted);
        let is_newer = self.snapshot.is_none_or(|known| known.at < at);
        (is_committed && is_newer && at > self.log.trimmed && at <= self.log.epochs.last())
            .then(|| self.log.epochs.up_to(at))
    }

    /// Up to where batches may be dropped, if the older of the two kept snapshots is at `older` and those behind `cap`
    /// are to be kept in any case for followers that lack them; followers that lack others get a snapshot. The batch at
    /// `older` itself stays.
    pub fn trimmable(&self, older: Seq, cap: Seq) -> Seq {
        if self.plants(Planted::TrimsAboveSnapshot) {
            return self.committed.before();
        }
        let mut needed = Seq(u64::MAX);
        if let Role::Leader(leader) = &self.role {
            needed = leader.needed(self.now, self.options.resend * 8);
        }
        older.before().min(self.committed.before()).min(needed.max(cap)).max(self.log.trimmed)
    }

    /// Notes that the batches up to this one are dropped.
    ///
    /// # Panics
    ///
    /// If they are not committed.
    pub fn trim(&mut self, upto: Seq) {
        assert!(upto <= self.committed, "only what is committed is dropped");
        self.log.trimmed = self.log.trimmed.max(upto);
    }

    /// There is a newer snapshot, or only an older one because the newest was damaged, or none.
    pub(super) fn snapshot_is(&mut self, offer: Option<Offer>) {
        self.snapshot = offer;
    }

    /// Offers a follower the newest snapshot, unless it gets one already.
    pub(super) fn offer_snapshot(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        let (epoch, snapshot) = (self.promised, self.snapshot);
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        peer.rewind(None);
        if peer.sending.is_some() {
            return;
        }
        match snapshot {
            Some(offer) => {
                peer.sending = Some(Sending::new(offer, self.now));
                peer.progressed = self.now;
                effects.push(Effect::Send { to, message: Message::SnapshotOffer { epoch, offer } });
            }
            None => effects.push(Effect::TooFarBehind(to)),
        }
    }

    /// Offers again what somebody has not asked for.
    pub(super) fn offer_again(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        let (epoch, newest) = (self.promised, self.snapshot);
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let Some(sending) = peer.sending.as_mut().filter(|it| !it.wanted) else { return };
        // Of one that was not begun there may be a newer one by now.
        if sending.acked == 0
            && let Some(newest) = newest
        {
            *sending = Sending::new(newest, sending.since);
        }
        let message = Message::SnapshotOffer { epoch, offer: sending.offer };
        effects.push(Effect::Send { to, message });
    }

    /// A follower says how much of a snapshot it has.
    pub(super) fn snapshot_wanted(
        &mut self,
        from: NodeId,
        id: SnapshotId,
        offset: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        peer.heard = self.now;
        let Some(sending) = peer.sending.as_mut().filter(|it| it.offer.id == id) else { return };
        if !sending.wanted {
            (sending.wanted, sending.reading) = (true, false);
            (sending.acked, sending.sent) = (offset, offset);
            peer.progressed = self.now;
        } else if offset > sending.acked {
            (sending.acked, sending.sent) = (offset, sending.sent.max(offset));
            peer.progressed = self.now;
        }
        self.send_pieces(from, effects);
    }

    /// Reads the next piece of a snapshot for a follower, as far as the window goes.
    fn send_pieces(&mut self, to: NodeId, effects: &mut Vec<Effect>) {
        let (piece, window) = (self.options.snapshot_piece, self.options.snapshot_window);
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(sending) = leader.peers.get_mut(&to).and_then(|it| it.sending.as_mut()) else {
            return;
        };
        let end = sending.offer.bytes.min(sending.acked.saturating_add(window));
        if sending.wanted && !sending.reading && sending.sent < end {
            sending.reading = true;
            let (id, offset, most) =
                (sending.offer.id, sending.sent, piece.min(end - sending.sent));
            effects.push(Effect::ReadSnapshot { to, id, offset, most });
        }
    }

    /// Sends a follower a piece that was read for it; one without bytes could not be read.
    pub(super) fn send_piece(
        &mut self,
        to: NodeId,
        id: SnapshotId,
        offset: u64,
        bytes: Arc<[u8]>,
        effects: &mut Vec<Effect>,
    ) {
        let epoch = self.promised;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let Some(sending) =
            peer.sending.as_mut().filter(|it| it.reading && (it.offer.id, it.sent) == (id, offset))
        else {
            return;
        };
        sending.reading = false;
        if bytes.is_empty() {
            // It is not kept any more. The follower is sent another one when it says again what it lacks.
            peer.sending = None;
            return;
        }
        sending.sent += bytes.len() as u64;
        let message = Message::SnapshotChunk { epoch, id, offset, bytes };
        effects.push(Effect::Send { to, message });
        self.send_pieces(to, effects);
    }

    /// A follower has a whole snapshot, or what came is not what was written.
    pub(super) fn snapshot_done(
        &mut self,
        from: NodeId,
        id: SnapshotId,
        is_whole: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        if peer.sending.take_if(|it| it.offer.id == id).is_some() && !is_whole {
            effects.push(Effect::VerifySnapshot { id });
        }
    }

    /// Whether a snapshot would bring this node further than its log does.
    fn lacks(&self, at: Seq, epoch: crate::ids::Epoch) -> bool {
        if self.plants(Planted::InstallsOlder) {
            return true;
        }
        let is_there = self.log.epochs.at(at) == Some(epoch);
        at > self.committed && (!is_there || self.plants(Planted::ReplacesMatchingLog))
    }

    /// The leader offers a snapshot.
    pub(super) fn offered(&mut self, from: NodeId, offer: Offer, effects: &mut Vec<Effect>) {
        let lacks = self.lacks(offer.at, offer.epoch);
        let Some(follower) = self.following(from) else { return };
        if !lacks {
            follower.receiving = None;
            return self.say_hello(from, effects);
        }
        if let Some(receiving) = follower.receiving.as_ref().filter(|it| it.offer == offer) {
            if receiving.written.is_some() && !receiving.checking {
                self.want(effects);
            }
            return;
        }
        let (written, durable, checking) = (None, 0, false);
        follower.receiving = Some(Receiving { offer, written, durable, checking });
        effects.push(Effect::Receive(offer));
    }

    /// Tells the leader how much is there. What came behind that comes again.
    fn want(&mut self, effects: &mut Vec<Effect>) {
        let epoch = self.promised;
        let early = self.plants(Planted::AcknowledgesPieceBeforeSync);
        let Role::Follower(follower) = &mut self.role else { return };
        let (Some(receiving), Some(to)) = (&mut follower.receiving, follower.leader) else {
            return;
        };
        let mut offset = receiving.durable;
        if early {
            offset = receiving.written.unwrap_or(0);
        }
        let message = Message::SnapshotWant { epoch, id: receiving.offer.id, offset };
        effects.push(Effect::Send { to, message });
    }

    /// So much of a snapshot is on the disk.
    pub(super) fn stored(&mut self, id: SnapshotId, durable: u64, effects: &mut Vec<Effect>) {
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(receiving) = follower.receiving.as_mut().filter(|it| it.offer.id == id) else {
            return;
        };
        receiving.durable = receiving.durable.max(durable);
        receiving.written = Some(receiving.written.unwrap_or(0).max(durable));
        if receiving.durable >= receiving.offer.bytes {
            if !std::mem::replace(&mut receiving.checking, true) {
                effects.push(Effect::CheckSnapshot { id });
            }
            return;
        }
        self.want(effects);
    }

    /// A piece of a snapshot came.
    pub(super) fn piece(
        &mut self,
        from: NodeId,
        id: SnapshotId,
        offset: u64,
        bytes: Arc<[u8]>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(follower) = self.following(from) else { return };
        let Some(receiving) = follower.receiving.as_mut().filter(|it| it.offer.id == id) else {
            return;
        };
        // What comes twice is there, and what comes behind a gap comes again.
        if receiving.written != Some(offset) || receiving.checking {
            return;
        }
        let written = offset.saturating_add(bytes.len() as u64);
        if written > receiving.offer.bytes {
            return;
        }
        receiving.written = Some(written);
        effects.push(Effect::StoreSnapshot { id, offset, bytes });
        if self.plants(Planted::AcknowledgesPieceBeforeSync) {
            self.want(effects);
        }
    }

    /// A snapshot that is there as a whole was looked through: it is of this log with this chain, or damaged.
    pub(super) fn checked(
        &mut self,
        id: SnapshotId,
        is_of: Option<(Epochs, Chain)>,
        effects: &mut Vec<Effect>,
    ) {
        let epoch = self.promised;
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(receiving) = follower.receiving.take_if(|it| it.offer.id == id) else { return };
        let leader = follower.leader;
        let Offer { at, epoch: of, .. } = receiving.offer;
        let is_of =
            is_of.filter(|(log, _)| (log.last(), log.last_epoch()) == (at, of) && of <= epoch);
        let is_whole = is_of.is_some();
        if let Some((log, chain)) = is_of
            && self.lacks(at, of)
        {
            // INV-78. No batch that this node has acknowledged and its leader may count on is lost: those up to `at` are
            // in the snapshot, and those behind are not the group's, as the one at `at` is another one or not there.
            self.log.replace(log.clone(), chain);
            self.committed = self.committed.max(at);
            if self.plants(Planted::InstallsOlder) {
                self.committed = at;
            }
            self.snapshot = Some(receiving.offer);
            effects.push(Effect::Install { id, log, chain });
        }
        if let Some(to) = leader {
            let message = Message::SnapshotDone { epoch, id, is_whole };
            effects.push(Effect::Send { to, message });
            self.say_hello(to, effects);
        }
    }
}

impl super::leader::Leader {
    /// What the followers lack that were heard of lately: all behind this.
    fn needed(&self, now: Duration, lately: Duration) -> Seq {
        let heard = self.peers.values().filter(|peer| now <= peer.heard + lately);
        let lacks = heard.map(|peer| peer.sending.as_ref().map_or(peer.matched, |it| it.offer.at));
        lacks.min().unwrap_or(Seq(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Options, Stored};
    use super::*;
    use crate::ids::Epoch;

    const LEADER: NodeId = NodeId(1);

    fn of_epochs(of: &[u64]) -> Epochs {
        let mut log = Epochs::new();
        of.iter().for_each(|&epoch| log.push(Epoch(epoch)));
        log
    }

    /// What a follower with this log does about a snapshot at 3 of epoch 2, once it is there.
    fn offer(of: &[u64], committed: u64, planted: Option<Planted>) -> (Vec<Effect>, Vec<Effect>) {
        let options = Options { planted, ..Options::default() };
        let (log, committed, chain) = (of_epochs(of), Seq(committed), Chain(7));
        let stored = Stored { promised: Epoch(3), log, committed, chain, ..Stored::default() };
        let mut node = Node::new(NodeId(2), options, stored);
        let (id, epoch) = (SnapshotId(5), Epoch(4));
        let offer = Offer { id, at: Seq(3), epoch: Epoch(2), bytes: 9 };
        let mut step = |input| {
            let mut effects = Vec::new();
            node.step(Duration::ZERO, input, &mut effects);
            effects
        };
        let message = Message::SnapshotOffer { epoch, offer };
        let offered = step(Input::Message { from: LEADER, message });
        step(Input::SnapshotStored { id, durable: 9 });
        let is_of = Some((of_epochs(&[1, 2, 2]), Chain(9)));
        (offered, step(Input::SnapshotChecked { id, is_of }))
    }

    fn installs(effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::Install { .. }))
    }

    fn receives(effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::Receive(_)))
    }

    #[test]
    fn a_log_that_is_too_short_or_of_others_is_replaced() {
        for of in [&[][..], &[1], &[1, 2], &[1, 1, 1], &[1, 1, 1, 3]] {
            let (offered, checked) = offer(of, 0, None);
            assert!(receives(&offered) && installs(&checked), "{of:?}: {offered:?} {checked:?}");
            // The promise came first, and none comes after.
            assert!(matches!(offered[0], Effect::Promise(Epoch(4))));
            assert!(!checked.iter().any(|effect| matches!(effect, Effect::Promise(_))));
        }
    }

    // INV-78: its leader may count on the fourth and fifth, which it has acknowledged.
    #[test]
    fn a_log_that_has_the_snapshots_last_batch_stays() {
        let (of, planted) = (&[1, 2, 2, 2, 3], Some(Planted::ReplacesMatchingLog));
        let (offered, checked) = offer(of, 0, None);
        assert!(!receives(&offered) && !installs(&checked), "{offered:?} {checked:?}");
        assert!(matches!(offered[1], Effect::Send { message: Message::Hello { .. }, .. }));
        assert!(installs(&offer(of, 0, planted).1), "the check finds nothing");
    }

    #[test]
    fn a_snapshot_of_less_than_is_committed_here_is_declined() {
        let (offered, checked) = offer(&[1, 1, 1], 3, None);
        assert!(!receives(&offered) && !installs(&checked), "{offered:?} {checked:?}");
        assert!(installs(&offer(&[1, 1, 1], 3, Some(Planted::InstallsOlder)).1));
    }
}
