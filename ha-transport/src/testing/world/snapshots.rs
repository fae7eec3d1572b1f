//! What nodes of a world do with snapshots, and what may go wrong with them.

use super::super::disk::{File, Incoming, read};
use super::{Fault, World};
use crate::epochs::Epochs;
use crate::ids::{Chain, NodeId, Seq};
use crate::node::{Effect, Input};
use crate::planted::Planted;
use crate::snapshot::{Head, Offer, SnapshotId};
use xxhash_rust::xxh3::xxh3_128;

impl World {
    /// Something happens to a node's snapshots.
    pub(super) fn keep_house(&mut self, id: NodeId) -> Result<(), Fault> {
        if self.members[&id].node.is_none() {
            return Ok(());
        }
        match self.below(12) {
            0..=2 => self.take(id),
            3..=5 => return self.write(id),
            6..=7 => self.trim(id),
            8..=10 => return self.settle(id),
            _ => self.damage(id),
        }
        Ok(())
    }

    /// A node takes its state, which is written later.
    fn take(&mut self, id: NodeId) {
        let member = self.members.get_mut(&id).expect("it is there");
        let Some(node) = &member.node else { return };
        let mut at = Seq(member.state.len() as u64);
        let mut state = member.state.clone();
        if self.options.planted == Some(Planted::SnapshotsAboveCommitted) {
            at = member.disk.last();
            let ahead = (state.len() as u64 + 1..=at.0).map(Seq);
            state.extend(ahead.map(|seq| member.disk.chain_at(seq).expect("it is there")));
        }
        let Some(log) = node.snapshot_at(at) else { return };
        let body: Vec<_> = state.iter().flat_map(|chain| chain.0.to_le_bytes()).collect();
        let chain = state.last().copied().unwrap_or(Chain(0));
        let (body_bytes, digest) = (body.len() as u64, xxh3_128(&body));
        let head = Head { group: 1, node: id, log, chain, body_bytes, digest };
        let bytes = [head.encode(), body].concat();
        member.writing = Some(File { offer: head.offer(), bytes, is_received: false });
    }

    /// What a node has taken is written.
    fn write(&mut self, id: NodeId) -> Result<(), Fault> {
        let member = self.members.get_mut(&id).expect("it is there");
        let newest = member.disk.snapshots.last().map_or(Seq(0), |file| file.offer.at);
        let Some(file) = member.writing.take().filter(|file| file.offer.at > newest) else {
            return Ok(());
        };
        let offer = file.offer;
        member.disk.snapshots.push(file);
        let old = member.disk.snapshots.len().saturating_sub(2);
        member.disk.snapshots.drain(..old);
        self.snapshots += 1;
        self.input(id, Input::Snapshot(Some(offer)))
    }

    /// A node drops what it needs no more.
    fn trim(&mut self, id: NodeId) {
        // Often all that followers lack is dropped.
        let committed = self.committed.len() as u64;
        let cap = Seq(if self.below(2) == 0 { committed } else { self.below(committed + 1) });
        let member = self.members.get_mut(&id).expect("it is there");
        let (Some(node), [older, _]) = (&mut member.node, &member.disk.snapshots[..]) else {
            return;
        };
        let upto = node.trimmable(older.offer.at, cap);
        if upto > member.disk.trimmed() {
            node.trim(upto);
            member.disk.trim(upto);
            self.trims += 1;
        }
    }

    /// What came of a snapshot becomes durable, and is looked through when all of it is there.
    pub(super) fn settle(&mut self, id: NodeId) -> Result<(), Fault> {
        let is_checked = self.options.planted != Some(Planted::InstallsUnchecked);
        let member = self.members.get_mut(&id).expect("it is there");
        let (true, Some(incoming)) = (member.node.is_some(), &mut member.disk.incoming) else {
            return Ok(());
        };
        let of = incoming.offer.id;
        if incoming.is_to_check {
            incoming.is_to_check = false;
            let is_of = read(&incoming.bytes, is_checked).map(|(head, _)| (head.log, head.chain));
            if is_of.is_none() {
                member.disk.incoming = None;
                self.damaged += 1;
            }
            return self.input(id, Input::SnapshotChecked { id: of, is_of });
        }
        if incoming.synced < incoming.bytes.len() {
            incoming.synced = incoming.bytes.len();
            let durable = incoming.synced as u64;
            return self.input(id, Input::SnapshotStored { id: of, durable });
        }
        Ok(())
    }

    /// A bit of a file flips: of the newer of two snapshots, if the log goes back to the older one, or of one that comes.
    fn damage(&mut self, id: NodeId) {
        let (at, incoming) = (self.below(1 << 20), self.below(3) == 0);
        let member = self.members.get_mut(&id).expect("it is there");
        let trimmed = member.disk.trimmed();
        let bytes = match (&mut member.disk.incoming, &mut member.disk.snapshots[..]) {
            (Some(coming), _) if incoming => &mut coming.bytes,
            (_, [older, newer])
                if trimmed < older.offer.at && read(&older.bytes, true).is_some() =>
            {
                &mut newer.bytes
            }
            _ => return,
        };
        if !bytes.is_empty() {
            let at = usize::try_from(at).expect("small") % bytes.len();
            bytes[at] ^= 1 << (at % 8);
        }
    }

    /// The state of a node is that of a snapshot: it must be what was committed.
    pub(super) fn has_state(&mut self, id: NodeId, state: Vec<Chain>) -> Result<(), Fault> {
        let member = self.members.get_mut(&id).expect("it is there");
        let at = Seq(state.len() as u64);
        if at < member.applied {
            return Err(Fault::Dropped { node: id, above: at });
        }
        if at < member.disk.trimmed() {
            return Err(Fault::Lost { node: id, seq: at.next() });
        }
        if state.len() > self.committed.len() {
            return Err(Fault::Early { node: id, seq: at });
        }
        if state != self.committed[..state.len()] {
            return Err(Fault::Differs { node: id, seq: at });
        }
        (member.applied, member.state) = (at, state);
        Ok(())
    }

    /// Does what a node wants with snapshots.
    pub(super) fn perform_snapshot(&mut self, id: NodeId, effect: Effect) -> Result<(), Fault> {
        let member = self.members.get_mut(&id).expect("it is there");
        match effect {
            Effect::ReadSnapshot { to, id: of, offset, most } => {
                let file = member.disk.file(of).map(|file| &file.bytes[..]).unwrap_or_default();
                let begin = usize::try_from(offset).expect("small").min(file.len());
                let end = begin + usize::try_from(most).expect("small");
                let bytes = file[begin..end.min(file.len())].into();
                self.input(id, Input::SnapshotRead { to, id: of, offset, bytes })
            }
            Effect::VerifySnapshot { id: of } => {
                let is_damaged = |file: &File| read(&file.bytes, true).is_none();
                member.disk.snapshots.retain(|file| file.offer.id != of || !is_damaged(file));
                let newest = member.disk.snapshots.last().map(|file| file.offer);
                self.input(id, Input::Snapshot(newest))
            }
            Effect::Receive(offer) => {
                let incoming = member.disk.incoming.take_if(|it| it.offer == offer);
                let mut incoming = incoming.unwrap_or_else(|| Incoming {
                    offer,
                    bytes: Vec::new(),
                    synced: 0,
                    is_to_check: false,
                });
                incoming.synced = incoming.bytes.len();
                self.resumed += u64::from(incoming.synced > 0);
                let (of, durable) = (offer.id, incoming.synced as u64);
                member.disk.incoming = Some(incoming);
                self.input(id, Input::SnapshotStored { id: of, durable })
            }
            Effect::StoreSnapshot { id: of, offset, bytes } => {
                if let Some(incoming) = member.disk.incoming.as_mut().filter(|it| it.offer.id == of)
                {
                    assert_eq!(incoming.bytes.len() as u64, offset, "pieces follow one another");
                    incoming.bytes.extend_from_slice(&bytes);
                }
                Ok(())
            }
            Effect::CheckSnapshot { id: of } => {
                let incoming = member.disk.incoming.as_mut().filter(|it| it.offer.id == of);
                incoming.expect("it was stored").is_to_check = true;
                Ok(())
            }
            Effect::Install { id: of, log, chain } => self.install(id, of, log, chain),
            _ => unreachable!("only those that concern snapshots"),
        }
    }

    /// A snapshot replaces log and state, and the node may stop at each step.
    fn install(
        &mut self,
        id: NodeId,
        of: SnapshotId,
        log: Epochs,
        chain: Chain,
    ) -> Result<(), Fault> {
        let crashes = self.options.crashes;
        let stops = [self.below(4) == 0 && crashes, self.below(4) == 0 && crashes];
        let member = self.members.get_mut(&id).expect("it is there");
        let incoming = member.disk.incoming.take().expect("it was looked through");
        let Incoming { offer, bytes, .. } = incoming;
        assert_eq!(offer.id, of, "that one");
        member.disk.snapshots.push(File { offer, bytes, is_received: true });
        self.installs += 1;
        if stops[0] {
            self.crash(id);
            return Ok(());
        }
        let epoch = log.last_epoch();
        member.disk.replace(log, chain);
        if self.options.planted == Some(Planted::ReplacesPromise) {
            member.disk.promised = epoch;
        }
        if stops[1] {
            self.crash(id);
            return Ok(());
        }
        let file = member.disk.snapshots.pop().expect("it was put there");
        let is_checked = self.options.planted != Some(Planted::InstallsUnchecked);
        let (_, state) = read(&file.bytes, is_checked).expect("it was looked through");
        member.disk.snapshots = vec![file];
        member.writing = None;
        self.has_state(id, state)
    }

    /// What a follower says is durable of a snapshot must be.
    pub(super) fn vouches(&self, id: NodeId, of: SnapshotId, offset: u64) -> Result<(), Fault> {
        let incoming = self.members[&id].disk.incoming.as_ref();
        let synced = incoming.filter(|it| it.offer.id == of).map_or(0, |it| it.synced as u64);
        if offset > synced { Err(Fault::Unsynced { node: id }) } else { Ok(()) }
    }

    /// Whom nothing helps but another node's state has it: how often snapshots were taken, logs trimmed, snapshots
    /// taken over, transfers resumed, and snapshots found damaged on their way.
    pub const fn snapshots_seen(&self) -> [u64; 5] {
        [self.snapshots, self.trims, self.installs, self.resumed, self.damaged]
    }
}

/// What is on a node's disk, in short.
pub(super) fn offers(files: &[File]) -> Vec<Offer> {
    files.iter().map(|file| file.offer).collect()
}
