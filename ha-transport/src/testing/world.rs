//! The world, and what must hold in it.

mod snapshots;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::disk::{Disk, File};
use crate::codec;
use crate::group::{GroupRecord, Policy};
use crate::ids::{Chain, Epoch, NodeId, Seq, Version};
use crate::message::Message;
use crate::node::{Effect, Input, Node, Options, Swapped};
use crate::planted::Planted;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// How many nodes there are.
    pub nodes: u32,
    /// How many of them are members at the beginning.
    pub members: u32,
    /// How many must acknowledge.
    pub policy: Policy,
    /// How much happens before everything heals.
    pub steps: u32,
    /// Whether nodes crash.
    pub crashes: bool,
    /// Whether members come and go.
    pub changes: bool,
    /// Whether nodes take snapshots and trim their logs, and files are damaged.
    pub snapshots: bool,
    /// A bug that all nodes have.
    pub planted: Option<Planted>,
}

/// What must not happen and did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A leader lacks what was committed.
    Lost {
        /// The leader.
        node: NodeId,
        /// The batch.
        seq: Seq,
    },
    /// Different batches were committed in one place.
    Differs {
        /// Where it was seen.
        node: NodeId,
        /// The batch.
        seq: Seq,
    },
    /// A follower applied what is not committed.
    Early {
        /// The follower.
        node: NodeId,
        /// The batch.
        seq: Seq,
    },
    /// Committed batches were dropped.
    Dropped {
        /// By whom.
        node: NodeId,
        /// The last one that stayed.
        above: Seq,
    },
    /// Two nodes committed in one epoch.
    TwoLeaders {
        /// The epoch.
        epoch: Epoch,
    },
    /// A node has batches of an epoch that it does not know to have promised.
    Forgot {
        /// The node.
        node: NodeId,
    },
    /// A follower acknowledged what a crash would take from it.
    Unsynced {
        /// The follower.
        node: NodeId,
    },
    /// A node was set aside though nothing was forced.
    SetAside {
        /// The node.
        node: NodeId,
    },
    /// Everything is well and yet nothing is committed.
    Stuck,
}

#[derive(Debug)]
struct Member {
    disk: Disk,
    /// Nothing while it is down.
    node: Option<Node>,
    applied: Seq,
    /// What was applied: the chains of all batches.
    state: Vec<Chain>,
    /// A snapshot that was taken and is not written yet.
    writing: Option<File>,
}

#[derive(Debug)]
struct Packet {
    from: NodeId,
    to: NodeId,
    message: Message,
}

#[derive(Debug)]
struct Request {
    node: NodeId,
    ticket: u64,
    expect: Version,
    record: GroupRecord,
    /// Whether the node was already told that nothing is known of it.
    unknown: bool,
}

/// A simulated world. Everything that happens in it follows from its seed.
#[derive(Debug)]
pub struct World {
    options: WorldOptions,
    random: u64,
    now: Duration,
    members: BTreeMap<NodeId, Member>,
    net: Vec<Packet>,
    cut: BTreeSet<(NodeId, NodeId)>,
    record: (Version, GroupRecord),
    requests: Vec<Request>,
    committed: Vec<Chain>,
    reigns: BTreeMap<Epoch, NodeId>,
    proposals: u64,
    /// How often what was committed had been sealed after a leader had changed.
    later_commits: u64,
    /// How often batches were dropped from a log.
    cuts: u64,
    /// How often snapshots were taken, logs trimmed, snapshots taken over, transfers resumed, snapshots found damaged.
    snapshots: u64,
    trims: u64,
    installs: u64,
    resumed: u64,
    damaged: u64,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(seed: u64, options: WorldOptions) -> Self {
        let record = GroupRecord::new((1..=options.members).map(NodeId));
        let mut world = Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Duration::ZERO,
            members: BTreeMap::new(),
            net: Vec::new(),
            cut: BTreeSet::new(),
            record: (Version(1), record),
            requests: Vec::new(),
            committed: Vec::new(),
            reigns: BTreeMap::new(),
            proposals: 0,
            later_commits: 0,
            cuts: 0,
            snapshots: 0,
            trims: 0,
            installs: 0,
            resumed: 0,
            damaged: 0,
            options,
        };
        for id in (1..=world.options.nodes).map(NodeId) {
            let disk = Disk::default();
            let (state, writing) = (Vec::new(), None);
            let member = Member { disk, node: None, applied: Seq(0), state, writing };
            world.members.insert(id, member);
        }
        world
    }

    /// Lets a random history happen, then heals everything and waits until all have everything.
    ///
    /// # Errors
    ///
    /// [`Fault`]: what must not happen and did.
    pub fn run(&mut self) -> Result<(), Fault> {
        for id in self.ids() {
            self.start(id)?;
        }
        for _ in 0..self.options.steps {
            self.happen()?;
        }
        self.heal()
    }

    /// How many batches were committed by a leader that was not the first, and how often batches were dropped.
    pub const fn seen(&self) -> (u64, u64) {
        (self.later_commits, self.cuts)
    }

    /// The state of the world in a few lines, for whoever looks into a fault.
    pub fn glance(&self) -> String {
        use std::fmt::Write as _;
        let (version, record) = &self.record;
        let mut text = format!("{version:?} {record:?}, {} committed\n", self.committed.len());
        for (id, Member { disk, node, applied, .. }) in &self.members {
            let kept = (disk.trimmed(), disk.synced, disk.batches.len());
            let on_disk = (disk.promised, kept, snapshots::offers(&disk.snapshots));
            let role = node.as_ref().map(Node::glance);
            writeln!(text, "{id:?}: {on_disk:?} applied {applied:?} {role:?}").expect("a string");
        }
        text
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*: fixed here, so that a seed means the same for ever.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).expect("a small world")]
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("a small world")
    }

    fn ids(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    fn up(&self) -> Vec<NodeId> {
        self.members.iter().filter(|(_, it)| it.node.is_some()).map(|(&id, _)| id).collect()
    }

    fn happen(&mut self) -> Result<(), Fault> {
        let millis = self.below(12);
        self.now += Duration::from_millis(millis);
        let ids = self.ids();
        let id = self.pick(&ids);
        if self.options.snapshots && self.below(4) == 0 {
            return self.keep_house(id);
        }
        match self.below(100) {
            0..=44 if !self.net.is_empty() => self.deliver(),
            45..=59 => self.input(id, Input::Tick),
            60..=74 => self.sync(id),
            75..=82 => self.propose(id),
            83..=88 if !self.requests.is_empty() => self.answer(),
            89..=90 => {
                let (version, record) = self.record.clone();
                self.input(id, Input::Record(version, record))
            }
            91 => self.expire(),
            92 if self.options.crashes => {
                self.crash(id);
                Ok(())
            }
            93..=94 if self.members[&id].node.is_none() => self.start(id),
            95 => {
                let other = self.pick(&ids);
                self.cut.insert((id, other));
                if self.below(2) == 0 {
                    self.cut.insert((other, id));
                }
                Ok(())
            }
            96..=97 => self.reconnect(),
            98 if self.options.changes => self.change(id),
            99 if self.below(8) == 0 => {
                let other = self.pick(&ids);
                self.with(id, |node, effects| {
                    node.hand_over(other, effects).ok();
                })
            }
            _ => Ok(()),
        }
    }

    fn deliver(&mut self) -> Result<(), Fault> {
        // Mostly in order, now and then any, and some are lost or come twice.
        let near = if self.below(4) == 0 { self.net.len() } else { self.net.len().min(3) };
        let at = self.index(near);
        let Packet { from, to, message } = if self.below(20) == 0 {
            let Packet { from, to, message } = &self.net[at];
            Packet { from: *from, to: *to, message: message.clone() }
        } else {
            self.net.remove(at)
        };
        if self.cut.contains(&(from, to)) || self.below(30) == 0 {
            return Ok(());
        }
        self.input(to, Input::Message { from, message })
    }

    fn sync(&mut self, id: NodeId) -> Result<(), Fault> {
        let ahead = self.members[&id].disk.batches.len() - self.members[&id].disk.synced;
        if ahead == 0 || self.members[&id].node.is_none() {
            return Ok(());
        }
        let more = 1 + self.index(ahead);
        let disk = &mut self.members.get_mut(&id).expect("it is there").disk;
        disk.synced += more;
        let batch = &disk.batches[disk.synced - 1];
        let input = Input::Durable { seq: batch.seq, chain: batch.chain() };
        self.input(id, input)
    }

    fn propose(&mut self, id: NodeId) -> Result<(), Fault> {
        self.proposals += 1;
        let (now, payload) = (self.now, self.proposals.to_le_bytes());
        self.with(id, |node, effects| {
            node.propose(now, payload[..].into(), effects).ok();
        })
    }

    fn change(&mut self, id: NodeId) -> Result<(), Fault> {
        let ids = self.ids();
        let other = self.pick(&ids);
        let grows = self.below(2) == 0;
        self.with(id, |node, effects| {
            if grows { node.add(other, effects) } else { node.remove(other, effects) }.ok();
        })
    }

    /// The coordinator does what it was asked for, and the answer comes, or does not.
    fn answer(&mut self) -> Result<(), Fault> {
        let at = self.index(self.requests.len());
        if self.below(6) == 0 && !self.requests[at].unknown {
            self.requests[at].unknown = true;
            let (node, ticket) = (self.requests[at].node, self.requests[at].ticket);
            return self.input(node, Input::Swapped { ticket, swapped: Swapped::Unknown });
        }
        let Request { node, ticket, expect, record, unknown } = self.requests.remove(at);
        let (version, current) = &mut self.record;
        let swapped = if *version == expect {
            assert!(record.epoch >= current.epoch, "epochs rise");
            (*version, *current) = (Version(version.0 + 1), record);
            Swapped::Done(*version)
        } else {
            Swapped::Conflict(*version, current.clone())
        };
        if unknown {
            return Ok(());
        }
        let swapped = if self.below(8) == 0 { Swapped::Unknown } else { swapped };
        self.input(node, Input::Swapped { ticket, swapped })
    }

    fn expire(&mut self) -> Result<(), Fault> {
        let leads = |id: &NodeId| self.members[id].node.as_ref().is_some_and(Node::leads);
        let is_led = self.up().iter().any(leads);
        let up = self.up();
        // Leases say little: now and then one expires although somebody leads.
        if up.is_empty() || is_led && self.below(3) > 0 {
            return Ok(());
        }
        let id = self.pick(&up);
        let (version, record) = self.record.clone();
        self.input(id, Input::Record(version, record))?;
        self.input(id, Input::LeaseExpired)
    }

    fn reconnect(&mut self) -> Result<(), Fault> {
        let cut: Vec<_> = self.cut.iter().copied().collect();
        let Some(&(from, to)) = cut.first() else { return Ok(()) };
        self.cut.remove(&(from, to));
        self.input(from, Input::LinkUp(to))?;
        self.input(to, Input::LinkUp(from))
    }

    fn crash(&mut self, id: NodeId) {
        let lucky = self.index(4);
        let member = self.members.get_mut(&id).expect("it is there");
        if member.node.take().is_some() {
            member.disk.crash(lucky);
            if self.options.planted == Some(Planted::TruncatesToCommitted) {
                member.disk.truncate(member.applied);
            }
            (member.applied, member.writing) = (Seq(0), None);
            member.state.clear();
            // What it asked for may still happen, but nobody hears of it.
            let asked = self.requests.iter_mut().filter(|request| request.node == id);
            asked.for_each(|request| request.unknown = true);
        }
    }

    fn start(&mut self, id: NodeId) -> Result<(), Fault> {
        let options = Options {
            policy: self.options.policy,
            planted: self.options.planted,
            window: 8,
            snapshot_piece: 48,
            snapshot_window: 150,
            evict: self.options.changes.then_some(Duration::from_secs(2)),
            ..Options::default()
        };
        let member = self.members.get_mut(&id).expect("it is there");
        let state = member.disk.recover();
        if member.disk.epochs().last_epoch() > member.disk.promised {
            return Err(Fault::Forgot { node: id });
        }
        member.node = Some(Node::new(id, options, member.disk.stored()));
        self.has_state(id, state)?;
        let (version, record) = self.record.clone();
        self.input(id, Input::Record(version, record))?;
        for other in self.up().into_iter().filter(|&other| other != id) {
            self.input(other, Input::LinkUp(id))?;
            self.input(id, Input::LinkUp(other))?;
        }
        Ok(())
    }

    fn input(&mut self, id: NodeId, input: Input) -> Result<(), Fault> {
        let now = self.now;
        self.with(id, |node, effects| node.step(now, input, effects))
    }

    /// Lets something happen to a node, if it is up, and does what it wants.
    fn with(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut Node, &mut Vec<Effect>),
    ) -> Result<(), Fault> {
        let Some(node) = self.members.get_mut(&id).and_then(|it| it.node.as_mut()) else {
            return Ok(());
        };
        let mut effects = Vec::new();
        act(node, &mut effects);
        for effect in effects {
            // It may stop between any two of them.
            // Most often there where something must have been kept before it is told.
            let rarely = if matches!(effect, Effect::Promise(_)) { 6 } else { 400 };
            if self.options.crashes && self.below(rarely) == 0 {
                self.crash(id);
                return Ok(());
            }
            self.perform(id, effect)?;
        }
        Ok(())
    }

    fn perform(&mut self, id: NodeId, effect: Effect) -> Result<(), Fault> {
        let lost = self.below(2) == 0;
        let member = self.members.get_mut(&id).expect("it is there");
        match effect {
            Effect::Send { to, message } => {
                if let Message::SnapshotWant { id: of, offset, .. } = &message {
                    self.vouches(id, *of, *offset)?;
                }
                // What nobody takes out of the way is lost, oldest first.
                if self.net.len() > 60 && lost {
                    self.net.remove(0);
                }
                // Over the wire: what a bug says may make no sense, and is dropped then.
                let arrives = codec::decode(&codec::encode(1, &message));
                assert!(
                    arrives == Ok((1, message)) || self.options.planted.is_some(),
                    "{arrives:?}"
                );
                if let Ok((_, message)) = arrives {
                    self.net.push(Packet { from: id, to, message });
                }
            }
            Effect::Promise(epoch) => {
                assert!(epoch >= member.disk.promised, "promises rise");
                member.disk.promised = epoch;
            }
            Effect::Append(batch) => member.disk.append(batch),
            Effect::Truncate { above } => {
                if above < member.applied {
                    return Err(Fault::Dropped { node: id, above });
                }
                self.cuts += 1;
                member.disk.truncate(above);
            }
            Effect::Read { to, from, most } => {
                let batches = member.disk.read(from, usize::try_from(most).unwrap_or(3).min(3));
                return self.input(id, Input::Read { to, batches });
            }
            Effect::ReadRecord => {
                let (version, record) = self.record.clone();
                return self.input(id, Input::Record(version, record));
            }
            Effect::Swap { ticket, expect, record } => {
                self.requests.push(Request { node: id, ticket, expect, record, unknown: false });
            }
            Effect::Committed(seq) => return self.commit(id, seq),
            Effect::Lead { .. } => {
                let disk = &member.disk;
                let lost = |&(at, &chain): &(usize, &Chain)| {
                    disk.chain_at(Seq(at as u64 + 1)) != Some(chain)
                };
                // The chain at the last one that is not kept says what all before were.
                let dropped = usize::try_from(disk.trimmed().0).expect("a small world");
                let kept = self.committed.iter().enumerate().skip(dropped.saturating_sub(1));
                if let Some((at, _)) = kept.into_iter().find(lost) {
                    return Err(Fault::Lost { node: id, seq: Seq(at as u64 + 1) });
                }
            }
            Effect::Deposed | Effect::TooFarBehind(_) => {}
            Effect::Quarantined(_) => return Err(Fault::SetAside { node: id }),
            snapshots => return self.perform_snapshot(id, snapshots),
        }
        Ok(())
    }

    /// A node says that everything up to a batch is committed.
    fn commit(&mut self, id: NodeId, upto: Seq) -> Result<(), Fault> {
        let member = self.members.get_mut(&id).expect("it is there");
        let leads = member.node.as_ref().filter(|node| node.leader() == Some(id));
        if let Some(node) = leads {
            let epoch = node.epoch();
            if *self.reigns.entry(epoch).or_insert(id) != id {
                return Err(Fault::TwoLeaders { epoch });
            }
        }
        for seq in (member.applied.0 + 1..=upto.0).map(Seq) {
            let chain = member.disk.chain_at(seq);
            let chain = chain.ok_or(Fault::Differs { node: id, seq })?;
            let at = usize::try_from(seq.0 - 1).expect("a small world");
            match self.committed.get(at) {
                Some(&known) if known == chain => {}
                Some(_) => return Err(Fault::Differs { node: id, seq }),
                None if leads.is_some() => {
                    self.committed.push(chain);
                    self.later_commits += u64::from(self.reigns.len() > 1);
                }
                None => return Err(Fault::Early { node: id, seq }),
            }
            member.state.push(chain);
        }
        member.applied = upto;
        Ok(())
    }

    /// Everything is well from now on: what happens then?
    fn heal(&mut self) -> Result<(), Fault> {
        self.cut.clear();
        self.options.crashes = false;
        for id in self.ids() {
            if self.members[&id].node.is_none() {
                self.start(id)?;
            }
        }
        let ids = self.ids();
        for (&from, &to) in ids.iter().flat_map(|from| ids.iter().map(move |to| (from, to))) {
            if from != to {
                self.input(from, Input::LinkUp(to))?;
            }
        }
        let before = self.committed.len();
        for round in 0..400_u32 {
            self.now += Duration::from_millis(60);
            while !self.net.is_empty() {
                let Packet { from, to, message } = self.net.remove(0);
                self.input(to, Input::Message { from, message })?;
                for id in self.up() {
                    self.sync(id)?;
                    self.settle(id)?;
                }
            }
            while !self.requests.is_empty() {
                self.answer()?;
            }
            for id in self.ids() {
                self.input(id, Input::Tick)?;
                self.sync(id)?;
                self.settle(id)?;
                let (version, record) = self.record.clone();
                self.input(id, Input::Record(version, record))?;
                if round % 8 == 0 {
                    self.propose(id)?;
                }
            }
            if round % 40 == 20 {
                self.expire()?;
            }
            if self.committed.len() > before && self.is_even() {
                return Ok(());
            }
        }
        Err(Fault::Stuck)
    }

    /// Whether all members have applied everything.
    fn is_even(&self) -> bool {
        let all = Seq(self.committed.len() as u64);
        let members = &self.record.1.members;
        members.iter().all(|id| self.members[id].applied == all)
    }
}
