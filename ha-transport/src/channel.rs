//! A transport within one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::ids::NodeId;
use crate::inbox::{Inbox, Next, Sender};
use crate::transport::{
    Caps, CloseReason, Event, Frame, Lane, LinkId, SendError, Transport, TransportError, Wake,
};

/// How often somebody who is not there is dialed.
const REDIAL: Duration = Duration::from_millis(5);
/// The longest frame: as long as a message may be.
const FRAME_BYTES_MAX: usize = crate::codec::MESSAGE_BYTES_MAX;

/// Nodes of one process that can reach each other.
///
/// # Example
///
/// ```
/// use steadfast_ha_transport::{ChannelNetwork, Event, Lane, NodeId, Transport};
///
/// let network = ChannelNetwork::new();
/// let (mut a, mut b) = (network.join(NodeId(1)), network.join(NodeId(2)));
/// a.dial(NodeId(2), "")?;
/// let Some(Event::LinkUp { link, .. }) = a.poll(None) else { panic!() };
/// a.try_send(link, Lane::Control, b"hello"[..].into()).unwrap();
/// assert!(matches!(b.poll(None), Some(Event::LinkUp { peer: NodeId(1), .. })));
/// assert!(matches!(b.poll(None), Some(Event::Frame { frame, .. }) if *frame == *b"hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChannelNetwork {
    nodes: Arc<Mutex<BTreeMap<NodeId, Sender<Item>>>>,
    links: Arc<AtomicU64>,
}

/// One node's links in a [`ChannelNetwork`].
#[derive(Debug)]
pub struct ChannelTransport {
    network: ChannelNetwork,
    local: NodeId,
    inbox: Inbox<Item>,
    links: BTreeMap<LinkId, End>,
    /// Who is dialed and not linked now.
    dialing: BTreeSet<NodeId>,
    /// Who is dialed again when the link is gone.
    dialed: BTreeMap<LinkId, NodeId>,
    hung_up: BTreeSet<LinkId>,
}

/// One end of a link, as its owner has it.
#[derive(Debug)]
struct End {
    to: Sender<Item>,
    /// The number of the other end.
    other: LinkId,
    budgets: [Arc<Budget>; 3],
    /// Those of the other direction, which this end gives back.
    theirs: [Arc<Budget>; 3],
}

#[derive(Debug)]
enum Item {
    Up { link: LinkId, peer: NodeId, end: End },
    Frame { link: LinkId, lane: Lane, frame: Frame },
    Writable { link: LinkId, lane: Lane },
    Down { link: LinkId },
}

impl ChannelNetwork {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node. One that was there under the same number cannot be reached by new links any more.
    pub fn join(&self, node: NodeId) -> ChannelTransport {
        let inbox = Inbox::new();
        self.nodes().insert(node, inbox.sender());
        ChannelTransport {
            network: self.clone(),
            local: node,
            inbox,
            links: BTreeMap::new(),
            dialing: BTreeSet::new(),
            dialed: BTreeMap::new(),
            hung_up: BTreeSet::new(),
        }
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Sender<Item>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

fn budgets() -> [Arc<Budget>; 3] {
    Lane::ALL.map(|lane| Arc::new(Budget::of(lane)))
}

impl ChannelTransport {
    /// Links to those that are dialed and there.
    fn dial_all(&mut self) {
        for peer in self.dialing.clone() {
            let Some(to) = self.network.nodes().get(&peer).cloned() else { continue };
            let (mine, theirs) = (self.network.link(), self.network.link());
            let (there, here) = (budgets(), budgets());
            let back = self.inbox.sender();
            let end = End { to: back, other: mine, budgets: here.clone(), theirs: there.clone() };
            let up = Item::Up { link: theirs, peer: self.local, end };
            if !to.send(Lane::Control, up) {
                continue; // it is going right now
            }
            let end = End { to, other: theirs, budgets: there, theirs: here };
            let up = Item::Up { link: mine, peer, end };
            if self.inbox.sender().send(Lane::Control, up) {
                self.dialing.remove(&peer);
                self.dialed.insert(mine, peer);
            }
        }
    }

    fn event(&mut self, item: Item) -> Option<Event> {
        match item {
            Item::Up { link, peer, end } => {
                self.links.insert(link, end);
                Some(Event::LinkUp { link, peer })
            }
            Item::Frame { link, lane, frame } => {
                let end = self.links.get(&link)?;
                if end.theirs[lane as usize].give_back(frame.len()) {
                    let link = end.other;
                    end.to.send(Lane::Control, Item::Writable { link, lane });
                }
                Some(Event::Frame { link, lane, frame })
            }
            Item::Writable { link, lane } => {
                self.links.contains_key(&link).then_some(Event::Writable { link, lane })
            }
            Item::Down { link } => {
                self.links.remove(&link)?;
                self.dialing.extend(self.dialed.remove(&link));
                let is_ours = self.hung_up.remove(&link);
                let why = if is_ours { CloseReason::HungUp } else { CloseReason::Lost };
                Some(Event::LinkDown { link, why })
            }
        }
    }
}

impl Transport for ChannelTransport {
    fn local(&self) -> NodeId {
        self.local
    }

    fn dial(&mut self, peer: NodeId, _address: &str) -> Result<(), TransportError> {
        if !self.dialed.values().any(|&dialed| dialed == peer) {
            self.dialing.insert(peer);
            self.dial_all();
        }
        Ok(())
    }

    fn undial(&mut self, peer: NodeId) {
        self.dialing.remove(&peer);
        self.dialed.retain(|_, dialed| *dialed != peer);
    }

    fn hang_up(&mut self, link: LinkId) {
        if let Some(end) = self.links.get(&link) {
            end.to.send(Lane::Control, Item::Down { link: end.other });
            self.inbox.sender().send(Lane::Control, Item::Down { link });
            self.hung_up.insert(link);
        }
    }

    fn try_send(&mut self, link: LinkId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLong { bytes: frame.len(), max: FRAME_BYTES_MAX });
        }
        let Some(end) = self.links.get(&link) else { return Err(SendError::Gone(frame)) };
        let budget = &end.budgets[lane as usize];
        if !budget.take(frame.len()) {
            return Err(SendError::Full(frame));
        }
        let item = Item::Frame { link: end.other, lane, frame: Arc::clone(&frame) };
        if end.to.send(lane, item) { Ok(()) } else { Err(SendError::Gone(frame)) }
    }

    fn poll(&mut self, deadline: Option<Instant>) -> Option<Event> {
        loop {
            self.dial_all();
            let redial = (!self.dialing.is_empty()).then(|| Instant::now() + REDIAL);
            let until = [deadline, redial].into_iter().flatten().min();
            match self.inbox.next(until) {
                Some(Next::Wake) => return Some(Event::Wake),
                Some(Next::Item(item)) => {
                    if let Some(event) = self.event(item) {
                        return Some(event);
                    }
                }
                None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return None,
                None => {}
            }
        }
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(self.inbox.sender())
    }

    fn caps(&self) -> Caps {
        // Nobody else is in this process.
        Caps { frame_bytes_max: FRAME_BYTES_MAX, authenticated: true, encrypted: true }
    }
}

impl Drop for ChannelTransport {
    fn drop(&mut self) {
        let mut nodes = self.network.nodes();
        if nodes.get(&self.local).is_some_and(|it| it.is(&self.inbox.sender())) {
            nodes.remove(&self.local);
        }
        drop(nodes);
        // Also those that are up and were not polled yet.
        while let Some(next) = self.inbox.next(Some(Instant::now())) {
            if let Next::Item(item) = next {
                self.event(item);
            }
        }
        for end in self.links.values() {
            end.to.send(Lane::Control, Item::Down { link: end.other });
        }
    }
}
