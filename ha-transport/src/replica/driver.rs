//! The thread that carries out what the protocol wants.

mod snapshots;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::keeper::Keeper;
use super::log::Place;
use super::syncer::Syncer;
use super::{Apply, Of, ReplicaLog, ReplicaOptions, Shared};
use crate::batch::{Batch, Kind};
use crate::codec;
use crate::coordinator::{Coordinator, CoordinatorEvent};
use crate::group::GroupRecord;
use crate::ids::{Epoch, NodeId, Seq, Version};
use crate::message::Message;
use crate::node::{ChangeError, Effect, Input, Node, ProposeError, Swapped};
use crate::planted::Planted;
use crate::recent::Recent;
use crate::transport::{Event, Frame, Lane, LinkId, SendError, Transport};
use crate::window::Window;
use snapshots::Snapshotting;

/// Bytes of batches that are read at once for a follower.
const READ_BYTES: usize = 1 << 20;
/// The same to apply them: finding the place in the log takes longer than reading much from there.
const APPLY_BYTES: usize = 4 << 20;
/// How long is applied before others are listened to.
const APPLY_TIME: Duration = Duration::from_millis(2);
/// How many events are taken in before anything else is looked at.
const EVENTS: usize = 256;
/// How often it is kept up to where batches are committed: what is kept is a lower bound.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// The swap that makes the group's first record. The protocol's own begin with 1.
const FOUNDING: u64 = 0;

type Answer<T, E> = Sender<Result<T, E>>;

/// What others want of the replica.
#[derive(Debug)]
pub(super) enum Command {
    Add(NodeId, Answer<(), ChangeError>),
    Remove(NodeId, Answer<(), ChangeError>),
    HandOver(NodeId, Answer<(), ChangeError>),
    Snapshot(Answer<Option<Seq>, String>),
    Force,
    Stop {
        /// Whether the lease is given back, so that others need not wait for its end.
        in_order: bool,
    },
}

/// A link, and frames that did not fit into it yet.
struct Link {
    id: LinkId,
    waiting: VecDeque<(Lane, Frame)>,
}

pub(super) struct Driver<'a> {
    node: Node,
    group: u64,
    founders: Vec<NodeId>,
    log: ReplicaLog,
    transport: Box<dyn Transport>,
    coordinator: Box<dyn Coordinator>,
    apply: Box<dyn Apply>,
    shared: &'a Arc<Shared>,
    links: BTreeMap<NodeId, Link>,
    peers: BTreeMap<LinkId, NodeId>,
    syncer: Syncer,
    /// Where the last batch ends that was appended and that the syncer does not know yet.
    appended: Option<Place>,
    /// What is to be done, between two steps nothing: kept for its memory.
    effects: Vec<Effect>,
    /// The last batch that was sent, as what, and its bytes: it goes to several followers.
    encoded: Option<((Epoch, Seq, Seq), Frame)>,
    keeper: Keeper,
    snapshotting: Snapshotting,
    applied: Seq,
    /// The last batches that were appended: most are applied from here.
    recent: Recent,
    /// Batches to propose in the reign that goes on.
    proposing: VecDeque<Arc<[u8]>>,
    /// Batches that were read to be applied.
    read_ahead: VecDeque<Batch>,
    /// The epoch in which it is about to lead, and up to where that is to be applied before.
    leading: Option<(Epoch, Seq)>,
    /// The first batch of this node's reign, while it leads.
    own_from: Option<Seq>,
    too_far_behind: Vec<NodeId>,
    started: Instant,
    /// What the protocol is told of the time since then.
    now: Duration,
    ticked: Instant,
    noted: (Instant, Seq),
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        options: ReplicaOptions,
        group: u64,
        mut log: ReplicaLog,
        mut transport: Box<dyn Transport>,
        mut coordinator: Box<dyn Coordinator>,
        apply: Box<dyn Apply>,
        shared: &'a Arc<Shared>,
    ) -> Result<Self, String> {
        let me = transport.local();
        for (peer, address) in options.peers.iter().filter(|&&(peer, _)| me < peer) {
            transport.dial(*peer, address).map_err(|error| error.to_string())?;
        }
        coordinator.start(transport.waker());
        coordinator.read();
        let syncer = Syncer::start(&log, transport.waker())?;
        let keeper = Keeper::start(log.snapshots().files.clone(), transport.waker())?;
        let (now, Window { batches, bytes }) = (Instant::now(), options.node.under_way());
        // What is not committed, and as much that is and is not applied.
        let recent = Recent::new(Window { batches: batches * 2, bytes: bytes * 2 });
        let is_new = log.snapshots().newest().is_none();
        let mut driver = Self {
            node: Node::new(me, options.node, log.stored()),
            group,
            founders: options.founders,
            noted: (now, log.stored().committed),
            log,
            transport,
            coordinator,
            apply,
            shared,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            syncer,
            appended: None,
            effects: Vec::new(),
            encoded: None,
            keeper,
            snapshotting: Snapshotting::new(options.snapshot_bytes, options.retain_bytes),
            applied: Seq(0),
            recent,
            proposing: VecDeque::new(),
            read_ahead: VecDeque::new(),
            leading: None,
            own_from: None,
            too_far_behind: Vec::new(),
            started: now,
            now: Duration::ZERO,
            ticked: now,
        };
        // Nothing has been applied yet: without a snapshot there is nothing to forget.
        if !is_new {
            driver.rebuild()?;
        }
        Ok(driver)
    }

    /// Works until it is told to stop, or its log fails.
    pub(super) fn run(&mut self, commands: &Receiver<Command>) -> Result<(), String> {
        let tick = Duration::from_millis(10).min(self.coordinator.lease() / 8);
        let mut has_more = false;
        loop {
            let until = if has_more { Instant::now() } else { self.ticked + tick };
            let mut event = self.transport.poll(Some(until));
            // One time for all that comes together: the protocol's times are those of beats.
            self.now = self.started.elapsed();
            // What has come meanwhile goes together: one sync for all of it, and one look at everything else.
            for _ in 0..EVENTS {
                let Some(next) = event else { break };
                self.event(next)?;
                event = self.transport.poll(Some(self.started));
            }
            if let Some(last) = event {
                self.event(last)?;
            }
            self.propose()?;
            while let Ok(command) = commands.try_recv() {
                if let Command::Stop { in_order } = command {
                    if !in_order {
                        return Ok(());
                    }
                    self.coordinator.lead(false);
                    return self.note_committed(true);
                }
                self.command(command)?;
            }
            while let Some(synced) = self.syncer.done() {
                let (seq, chain) = synced?;
                self.input(Input::Durable { seq, chain })?;
            }
            while let Some(done) = self.keeper.done() {
                self.kept(done?)?;
            }
            while let Some(event) = self.coordinator.poll() {
                self.coordinated(event)?;
            }
            if self.ticked.elapsed() >= tick {
                self.ticked = Instant::now();
                self.input(Input::Tick)?;
                self.note_committed(false)?;
                if self.node.record().is_none() {
                    self.coordinator.read();
                }
            }
            if let Some(place) = self.appended.take() {
                self.syncer.wait_for(place, self.node.last(), self.node.chain());
            }
            has_more = self.apply_some()?;
            self.take_snapshot()?;
            self.tell();
        }
    }

    fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Wake => Ok(()),
            Event::LinkUp { link, peer } => {
                self.peers.insert(link, peer);
                self.links.insert(peer, Link { id: link, waiting: VecDeque::new() });
                self.input(Input::LinkUp(peer))
            }
            Event::LinkDown { link, .. } => {
                if let Some(peer) = self.peers.remove(&link)
                    && self.links.get(&peer).is_some_and(|it| it.id == link)
                {
                    self.links.remove(&peer);
                }
                Ok(())
            }
            Event::Writable { link, .. } => {
                if let Some(peer) = self.peers.get(&link).copied() {
                    self.send_waiting(peer);
                }
                Ok(())
            }
            Event::Frame { link, frame, .. } => {
                let Some(&from) = self.peers.get(&link) else { return Ok(()) };
                match codec::decode(&frame) {
                    Ok((group, message)) if group == self.group => {
                        self.input(Input::Message { from, message })
                    }
                    // Of a later build; it knows that others may not know it.
                    Err(codec::DecodeError::Unknown { .. }) => Ok(()),
                    Ok(_) | Err(_) => {
                        self.transport.hang_up(link);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Proposes what waits for it, as far as the protocol takes it; the rest goes on waiting, in its order, until the
    /// protocol does or the reign is over.
    fn propose(&mut self) -> Result<(), String> {
        if self.own_from.is_some() {
            self.shared.state().reigns.take(&mut self.proposing);
        }
        while let Some(payload) = self.proposing.front() {
            let (now, mut effects) = (self.now, std::mem::take(&mut self.effects));
            let proposed = self.node.propose(now, Arc::clone(payload), &mut effects);
            self.perform_all(effects)?;
            if proposed.is_err() {
                break;
            }
            self.proposing.pop_front();
        }
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<(), String> {
        let mut effects = Vec::new();
        // Nobody may wait for the answer any more.
        match command {
            Command::Add(node, answer) => {
                answer.send(self.node.add(node, &mut effects)).ok();
            }
            Command::Remove(node, answer) => {
                answer.send(self.node.remove(node, &mut effects)).ok();
            }
            Command::HandOver(node, answer) => {
                answer.send(self.node.hand_over(node, &mut effects)).ok();
            }
            Command::Snapshot(answer) => self.want_snapshot(answer),
            Command::Force => return self.input(Input::Force),
            Command::Stop { .. } => {}
        }
        self.perform_all(effects)
    }

    fn coordinated(&mut self, event: CoordinatorEvent) -> Result<(), String> {
        match event {
            CoordinatorEvent::Record(version, record) => self.input(Input::Record(version, record)),
            CoordinatorEvent::LeaseExpired => self.input(Input::LeaseExpired),
            CoordinatorEvent::Swapped { ticket: FOUNDING, swapped } => match swapped {
                Swapped::Done(version) => {
                    let record = GroupRecord::new(self.founders.clone());
                    self.input(Input::Record(version, record))
                }
                Swapped::Conflict(version, record) => self.input(Input::Record(version, record)),
                Swapped::Unknown => Ok(()),
            },
            CoordinatorEvent::Swapped { ticket, swapped } => {
                self.input(Input::Swapped { ticket, swapped })
            }
            CoordinatorEvent::NoRecord => {
                if !self.founders.is_empty() && self.log.last() == Seq(0) {
                    let record = GroupRecord::new(self.founders.clone());
                    self.coordinator.swap(FOUNDING, Version(0), record);
                }
                Ok(())
            }
        }
    }

    fn input(&mut self, input: Input) -> Result<(), String> {
        let (now, mut effects) = (self.now, std::mem::take(&mut self.effects));
        self.node.step(now, input, &mut effects);
        self.perform_all(effects)
    }

    fn perform_all(&mut self, mut effects: Vec<Effect>) -> Result<(), String> {
        let done = effects.drain(..).try_for_each(|effect| self.perform(effect));
        self.effects = effects;
        done
    }

    fn perform(&mut self, effect: Effect) -> Result<(), String> {
        let text = |error: super::LogError| error.to_string();
        match effect {
            Effect::Send { to, message } => self.send(to, &message),
            Effect::Promise(epoch) => self.log.promise(epoch).map_err(text)?,
            Effect::Append(batch) => {
                self.appended = Some(self.log.append(&batch).map_err(text)?);
                self.recent.push(batch);
            }
            Effect::Truncate { above } => {
                self.log.truncate(above).map_err(text)?;
                self.recent.truncate(above);
                self.read_ahead.retain(|batch| batch.seq <= above);
            }
            Effect::Read { to, from, most } => {
                let most = usize::try_from(most).unwrap_or(usize::MAX);
                let batches = self.log.read_on(from, most, READ_BYTES).map_err(text)?;
                return self.input(Input::Read { to, batches });
            }
            Effect::TooFarBehind(node) => self.too_far_behind(node),
            Effect::ReadSnapshot { .. }
            | Effect::VerifySnapshot { .. }
            | Effect::Receive(_)
            | Effect::StoreSnapshot { .. }
            | Effect::CheckSnapshot { .. }
            | Effect::Install { .. } => return self.perform_snapshot(effect),
            Effect::ReadRecord => self.coordinator.read(),
            Effect::Swap { ticket, expect, record } => {
                self.coordinator.swap(ticket, expect, record);
            }
            Effect::Committed(_) => {} // applied by and by
            Effect::Lead { epoch } => self.lead(epoch),
            Effect::Deposed => self.deposed()?,
            Effect::Quarantined(why) => {
                let mut state = self.shared.state();
                state.status.quarantined = Some(why);
                self.shared.notify(state, &[Of::Status]);
            }
        }
        Ok(())
    }

    /// Sends a message if there is a link; what does not fit waits, as far as the protocol's window goes.
    fn send(&mut self, to: NodeId, message: &Message) {
        let Some(link) = self.links.get_mut(&to) else { return };
        let (lane, frame) = match message {
            Message::Prepare { epoch, batch, committed } => {
                let as_what = (*epoch, batch.seq, *committed);
                let known = self.encoded.as_ref().filter(|known| known.0 == as_what);
                let frame = match known {
                    Some((_, frame)) => Arc::clone(frame),
                    None => codec::encode(self.group, message).into(),
                };
                self.encoded = Some((as_what, Arc::clone(&frame)));
                (Lane::Journal, frame)
            }
            Message::Tail { .. } => (Lane::Journal, codec::encode(self.group, message).into()),
            Message::SnapshotChunk { .. } => {
                (Lane::Bulk, codec::encode(self.group, message).into())
            }
            _ => (Lane::Control, codec::encode(self.group, message).into()),
        };
        // Behind others of its lane, which wait until they are told that there is room.
        if link.waiting.iter().any(|waiting| waiting.0 == lane) {
            link.waiting.push_back((lane, frame));
        } else if let Err(SendError::Full(frame)) = self.transport.try_send(link.id, lane, frame) {
            link.waiting.push_back((lane, frame));
        }
    }

    fn send_waiting(&mut self, to: NodeId) {
        let Some(link) = self.links.get_mut(&to) else { return };
        let mut full = [false; 3];
        let mut waiting = std::mem::take(&mut link.waiting);
        while let Some((lane, frame)) = waiting.pop_front() {
            if full[lane as usize] {
                link.waiting.push_back((lane, frame));
                continue;
            }
            match self.transport.try_send(link.id, lane, frame) {
                Err(SendError::Full(frame)) => {
                    full[lane as usize] = true;
                    link.waiting.push_back((lane, frame));
                }
                // It is said that a link is gone; and nothing is proposed that is too long.
                Ok(()) | Err(SendError::Gone(_) | SendError::TooLong { .. }) => {}
            }
        }
    }

    /// Applies some of what is committed, or was adopted by a leader that is about to lead, and is not applied; says
    /// whether there is more. Not all at once: while it lasts the node answers nobody.
    fn apply_some(&mut self) -> Result<bool, String> {
        let has_more = self.apply_until(Instant::now() + APPLY_TIME);
        if has_more == Ok(false)
            && let Some((epoch, _)) = self.leading.take()
        {
            self.begin_to_lead(epoch);
        }
        if self.own_from.is_some() {
            let mut state = self.shared.state();
            if state.reigns.commit(self.applied) {
                self.shared.notify(state, &[Of::Reigns]);
            }
        }
        has_more
    }

    fn apply_until(&mut self, until: Instant) -> Result<bool, String> {
        loop {
            let adopted = self.leading.map_or(Seq(0), |(_, adopted)| adopted);
            let upto = self.node.committed().max(adopted);
            if self.applied >= upto {
                return Ok(false);
            }
            if Instant::now() >= until {
                return Ok(true);
            }
            let batch = self.next_to_apply()?;
            let applied = if batch.kind != Kind::Work {
                Ok(())
            } else if self.own_from.is_some_and(|own| batch.seq >= own) {
                self.apply.committed(batch.seq, &batch.payload)
            } else {
                self.apply.apply(batch.seq, &batch.payload)
            };
            applied.map_err(|why| format!("batch {} cannot be applied: {why}", batch.seq))?;
            self.applied = batch.seq;
            self.snapshotting.applied(batch.payload.len());
        }
    }

    /// The batch behind the last one that is applied.
    fn next_to_apply(&mut self) -> Result<Batch, String> {
        let next = self.applied.next();
        if let Some(batch) = self.recent.get(next) {
            return Ok(batch.clone());
        }
        while self.read_ahead.front().is_some_and(|batch| batch.seq < next) {
            self.read_ahead.pop_front();
        }
        if self.read_ahead.front().is_none_or(|batch| batch.seq != next) {
            let read = self.log.read_on(next, usize::MAX, APPLY_BYTES);
            self.read_ahead = read.map_err(|error| error.to_string())?.into();
        }
        self.read_ahead
            .pop_front()
            .filter(|batch| batch.seq == next)
            .ok_or_else(|| format!("batch {next} is committed and not in the log"))
    }

    /// The node leads as soon as what it has adopted is applied.
    fn lead(&mut self, epoch: Epoch) {
        self.leading = Some((epoch, self.log.last()));
        self.coordinator.lead(true);
    }

    fn begin_to_lead(&mut self, epoch: Epoch) {
        let start = self.log.last();
        self.own_from = Some(start.next());
        let mut state = self.shared.state();
        state.reigns.begin(epoch, start);
        state.reigns.hold_up(self.node.held_up());
        (state.status.leads, state.status.epoch) = (true, epoch);
        self.shared.notify(state, &[Of::Status, Of::Reigns]);
        self.apply.leads(epoch);
    }

    /// The node leads no more.
    fn deposed(&mut self) -> Result<(), String> {
        self.coordinator.lead(false);
        let mut state = self.shared.state();
        state.status.leads = false;
        if self.node.plants(Planted::ProposesInLaterReigns) {
            state.reigns.take(&mut self.proposing);
        } else {
            self.proposing.clear();
        }
        // What the log has now is what it has of this reign. The rest never gets there.
        state.reigns.end(self.log.last());
        self.shared.notify(state, &[Of::Status, Of::Reigns]);
        self.leading = None;
        if self.own_from.take().is_some() {
            self.apply.deposed();
        }
        // What it applied before it was committed may never be: then the state is built again.
        if self.applied > self.node.committed() {
            self.rebuild()?;
        }
        Ok(())
    }

    fn note_committed(&mut self, now: bool) -> Result<(), String> {
        let committed = self.node.committed();
        let (when, noted) = self.noted;
        if committed == noted || !now && when.elapsed() < NOTE_EVERY {
            return Ok(());
        }
        self.noted = (Instant::now(), committed);
        self.log.note_committed(committed).map_err(|error| error.to_string())
    }

    /// Whether it takes proposals, if its group is large enough.
    fn leads(&self) -> bool {
        let hands_over = || matches!(self.node.held_up(), Some(ProposeError::HandingOver { .. }));
        self.node.leads() && self.leading.is_none() && !hands_over()
    }

    /// Tells how it is doing, if that has changed.
    fn tell(&self) {
        let mut state = self.shared.state();
        let held_up = self.own_from.and_then(|_| self.node.held_up());
        let is_held_up_anew = state.reigns.hold_up(held_up);
        let status = &mut state.status;
        let mut is_new = replace(&mut status.epoch, self.node.epoch());
        is_new |= replace(&mut status.leader, self.node.leader());
        is_new |= replace(&mut status.leads, self.leads());
        is_new |= replace(&mut status.committed, self.node.committed());
        is_new |= replace(&mut status.applied, self.applied);
        is_new |= replace(&mut status.last, self.node.last());
        is_new |= replace_all(&mut status.too_far_behind, self.too_far_behind.iter());
        is_new |= replace_all(&mut status.linked, self.links.keys());
        is_new |= replace(&mut status.trimmed, self.log.trimmed());
        let snapshot = self.node.snapshot().map_or(Seq(0), |it| it.at);
        is_new |= replace(&mut status.snapshot, snapshot);
        is_new |= replace_all(&mut status.refused_snapshots, self.log.refused_snapshots().iter());
        if let Some((_, record)) = self.node.record() {
            is_new |= replace_all(&mut status.members, record.members.iter());
        }
        match (is_new, is_held_up_anew) {
            (true, true) => self.shared.notify(state, &[Of::Status, Of::Reigns]),
            (true, false) => self.shared.notify(state, &[Of::Status]),
            (false, true) => self.shared.notify(state, &[Of::Reigns]),
            (false, false) => {}
        }
    }
}

/// Puts a value in place of another one; says whether it is another one.
fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let is_new = *place != value;
    *place = value;
    is_new
}

fn replace_all<'a, T: PartialEq + Clone + 'a>(
    place: &mut Vec<T>,
    items: impl Iterator<Item = &'a T> + Clone,
) -> bool {
    let is_new = !place.iter().eq(items.clone());
    if is_new {
        place.clear();
        place.extend(items.cloned());
    }
    is_new
}
