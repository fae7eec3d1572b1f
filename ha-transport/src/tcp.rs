//! A transport over TCP, with threads, and with TLS if that is wanted.

mod link;
mod refusal;
#[cfg(feature = "tls")]
mod tls;
mod wire;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::ids::NodeId;
use crate::inbox::{Inbox, Next, Sender};
use crate::transport::{
    Caps, CloseReason, Event, Frame, Lane, LinkId, SendError, Transport, TransportError, Wake,
};

pub use refusal::{Refusal, Refusals, Refused};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};

use link::Link;
use wire::Wire;

/// How a [`TcpTransport`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TcpOptions {
    /// The group: links to nodes of other groups are refused.
    pub group: u64,
    /// Whether addresses may be used that other machines can reach, although nobody knows who is there.
    pub allow_plaintext: bool,
    /// The longest frame, in bytes; 64 MiB by default. A peer that announces a longer one is hung up.
    pub frame_bytes_max: usize,
    /// How long a peer may take to say who it is; 5 s by default.
    pub handshake: Duration,
    /// By which certificates nodes know each other, behind the feature `tls`. With them links are encrypted and both sides
    /// authenticated, and addresses may be any; without, nobody knows who is there.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
}

impl TcpOptions {
    /// The default options for a group.
    pub const fn new(group: u64) -> Self {
        Self {
            group,
            allow_plaintext: false,
            frame_bytes_max: 64 << 20,
            handshake: Duration::from_secs(5),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "without TLS there is nothing to look at")
    )]
    const fn is_secured(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

/// How many peers may be about to say who they are.
const UNKNOWN_MAX: usize = 16;
/// The shortest and the longest time between two attempts to reach a peer.
const REDIAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// One node's links over TCP. Each link has a thread that reads and one that writes; each peer that is dialed has
/// another one.
///
/// Without TLS it does not know who is at the other end: anybody who reaches the port may say that it is any node. So it
/// takes loopback addresses only, unless [`TcpOptions::allow_plaintext`] says that the network keeps others out. With
/// TLS (the feature `tls`, and `TcpOptions::tls`) both sides show certificates, nothing is said before they have been
/// looked at, and a peer is the node that its certificate is for. Why others were refused is in
/// [`refusals`](Self::refusals).
///
/// Bytes on a link, inside of TLS if there is any: 16 of the preface from both sides, then frames: lane (1), bytes (4, little-endian), the bytes.
#[derive(Debug)]
pub struct TcpTransport {
    local: NodeId,
    address: SocketAddr,
    shared: Arc<Shared>,
    inbox: Inbox<Item>,
    links: BTreeMap<LinkId, Arc<Link>>,
    dials: BTreeMap<NodeId, Arc<AtomicBool>>,
}

#[derive(Debug)]
struct Shared {
    local: NodeId,
    options: TcpOptions,
    to_inbox: Sender<Item>,
    refusals: Refusals,
    links: AtomicU64,
    unknown: AtomicUsize,
    /// Every link that is up, to end it when the transport goes.
    up: Mutex<BTreeMap<LinkId, Arc<Link>>>,
    stopped: AtomicBool,
}

#[derive(Debug)]
enum Item {
    Up { link: LinkId, peer: NodeId, end: Arc<Link> },
    Frame { link: LinkId, lane: Lane, frame: Frame },
    Writable { link: LinkId, lane: Lane },
    Down { link: LinkId, why: CloseReason },
}

impl TcpTransport {
    /// Listens at an address, `127.0.0.1:0` for any free port.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the address cannot be used, or must not be.
    ///
    /// # Example
    ///
    /// ```
    /// use steadfast_ha_transport::{Event, Lane, NodeId, TcpOptions, TcpTransport, Transport};
    ///
    /// let mut a = TcpTransport::bind(NodeId(1), "127.0.0.1:0", TcpOptions::new(7))?;
    /// let mut b = TcpTransport::bind(NodeId(2), "127.0.0.1:0", TcpOptions::new(7))?;
    /// a.dial(NodeId(2), &b.address().to_string())?;
    /// let Some(Event::LinkUp { link, .. }) = a.poll(None) else { panic!() };
    /// a.try_send(link, Lane::Control, b"hello"[..].into()).unwrap();
    /// assert!(matches!(b.poll(None), Some(Event::LinkUp { peer: NodeId(1), .. })));
    /// assert!(matches!(b.poll(None), Some(Event::Frame { frame, .. }) if *frame == *b"hello"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind(local: NodeId, address: &str, options: TcpOptions) -> Result<Self, TransportError> {
        let io = |what: &str| {
            let what = format!("{what} {address}");
            move |source| TransportError::Io { what, source }
        };
        let socket = resolve(address, &options)?;
        #[cfg(feature = "tls")]
        if let Some(Err(why)) = options.tls.as_ref().map(|tls| tls.is_own(local, options.group)) {
            return Err(TransportError::Certificate { why: why.to_string() });
        }
        let listener = TcpListener::bind(socket).map_err(io("listening at"))?;
        let bound = listener.local_addr().map_err(io("listening at"))?;
        let inbox = Inbox::new();
        let shared = Arc::new(Shared {
            local,
            options,
            to_inbox: inbox.sender(),
            refusals: Refusals::default(),
            links: AtomicU64::new(0),
            unknown: AtomicUsize::new(0),
            up: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        spawn("accept", move || accept(&listener, &accepting)).map_err(io("a thread for"))?;
        let (links, dials) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { local, address: bound, shared, inbox, links, dials })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The last connections that came to no link, and why.
    pub fn refusals(&self) -> Refusals {
        self.shared.refusals.clone()
    }

    fn event(&mut self, item: Item) -> Option<Event> {
        match item {
            Item::Up { link, peer, end } => {
                self.links.insert(link, end);
                Some(Event::LinkUp { link, peer })
            }
            Item::Frame { link, lane, frame } => {
                self.links.get(&link)?.handed_out(lane, frame.len());
                Some(Event::Frame { link, lane, frame })
            }
            Item::Writable { link, lane } => {
                self.links.contains_key(&link).then_some(Event::Writable { link, lane })
            }
            Item::Down { link, why } => {
                self.links.remove(&link)?;
                Some(Event::LinkDown { link, why })
            }
        }
    }
}

fn spawn(what: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(format!("sf-tcp-{what}")).spawn(work).map(drop)
}

/// The first address of this name, if it may be used.
fn resolve(address: &str, options: &TcpOptions) -> Result<SocketAddr, TransportError> {
    let resolved = address.to_socket_addrs().ok().and_then(|mut all| all.next());
    let takes = "a host and a port, `10.0.0.7:7400`";
    let socket =
        resolved.ok_or_else(|| TransportError::Address { address: address.to_owned(), takes })?;
    if !socket.ip().is_loopback() && !options.allow_plaintext && !options.is_secured() {
        return Err(TransportError::Plaintext { address: address.to_owned() });
    }
    Ok(socket)
}

/// Takes connections until the transport goes.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors, say: others may go.
            thread::sleep(REDIAL.0);
            continue;
        };
        if shared.unknown.fetch_add(1, Ordering::SeqCst) >= UNKNOWN_MAX {
            shared.unknown.fetch_sub(1, Ordering::SeqCst);
            shared.refusals.note(stream.peer_addr().ok(), None, Refusal::Crowded);
            continue;
        }
        let greeting = Arc::clone(shared);
        let greeted = spawn("greet", move || {
            let address = stream.peer_addr().ok();
            let greeted = wire::greet(stream, &greeting, None);
            greeting.unknown.fetch_sub(1, Ordering::SeqCst);
            match greeted {
                Ok((wire, peer)) => greeting.run(wire, peer),
                Err(why) => greeting.refusals.note(address, None, why),
            }
        });
        if greeted.is_err() {
            shared.unknown.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Shared {
    /// A link for as long as it is up.
    fn run(&self, wire: Wire, peer: NodeId) {
        let id = LinkId(self.links.fetch_add(1, Ordering::Relaxed) + 1);
        let link = Arc::new(Link::new(id, wire));
        self.up().insert(id, Arc::clone(&link));
        let is_wanted = !self.stopped.load(Ordering::SeqCst)
            && self
                .to_inbox
                .send(Lane::Control, Item::Up { link: id, peer, end: Arc::clone(&link) });
        if is_wanted {
            let (writing, to_inbox) = (Arc::clone(&link), self.to_inbox.clone());
            if spawn("write", move || writing.write_all(&to_inbox)).is_err() {
                link.close(&CloseReason::Lost);
            }
            link.read_all(&self.to_inbox, self.options.frame_bytes_max);
            let why = link.close(&CloseReason::Lost);
            self.to_inbox.send(Lane::Control, Item::Down { link: id, why });
        }
        self.up().remove(&id);
    }

    fn up(&self) -> std::sync::MutexGuard<'_, BTreeMap<LinkId, Arc<Link>>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to a peer that has said that it is the one.
    fn reach(&self, peer: NodeId, address: &str) -> Result<Wire, (Option<SocketAddr>, Refusal)> {
        let unreachable = |why: String| Refusal::Unreachable(why);
        let socket = resolve(address, &self.options);
        let socket = socket.map_err(|error| (None, unreachable(error.to_string())))?;
        let stream = TcpStream::connect_timeout(&socket, self.options.handshake);
        let stream = stream.map_err(|error| (Some(socket), unreachable(error.to_string())))?;
        let greeted = wire::greet(stream, self, Some(peer));
        greeted.map(|(wire, _)| wire).map_err(|why| (Some(socket), why))
    }

    /// Holds a link to a peer until it is not wanted any more.
    fn dial(&self, peer: NodeId, address: &str, ended: &AtomicBool) {
        let mut pause = REDIAL.0;
        let is_over = || ended.load(Ordering::SeqCst) || self.stopped.load(Ordering::SeqCst);
        while !is_over() {
            // Names are looked up again: an address may have moved.
            match self.reach(peer, address) {
                Ok(wire) if !is_over() => {
                    self.run(wire, peer);
                    pause = REDIAL.0;
                }
                Ok(_) => {}
                Err((socket, why)) => self.refusals.note(socket, Some(peer), why),
            }
            if is_over() {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(REDIAL.1);
        }
    }
}

impl Transport for TcpTransport {
    fn local(&self) -> NodeId {
        self.local
    }

    fn dial(&mut self, peer: NodeId, address: &str) -> Result<(), TransportError> {
        resolve(address, &self.shared.options)?;
        let ended = Arc::new(AtomicBool::new(false));
        if let Some(before) = self.dials.insert(peer, Arc::clone(&ended)) {
            before.store(true, Ordering::SeqCst);
        }
        let (shared, address) = (Arc::clone(&self.shared), address.to_owned());
        let what = format!("a thread for dialing {address}");
        spawn("dial", move || shared.dial(peer, &address, &ended))
            .map_err(|source| TransportError::Io { what, source })
    }

    fn undial(&mut self, peer: NodeId) {
        if let Some(ended) = self.dials.remove(&peer) {
            ended.store(true, Ordering::SeqCst);
        }
    }

    fn hang_up(&mut self, link: LinkId) {
        if let Some(end) = self.links.get(&link) {
            end.close(&CloseReason::HungUp);
        }
    }

    fn try_send(&mut self, link: LinkId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        // Its length goes before it in four bytes.
        let max = self.shared.options.frame_bytes_max.min(u32::MAX as usize);
        if frame.len() > max {
            return Err(SendError::TooLong { bytes: frame.len(), max });
        }
        match self.links.get(&link) {
            Some(end) => end.send(lane, frame),
            None => Err(SendError::Gone(frame)),
        }
    }

    fn poll(&mut self, deadline: Option<Instant>) -> Option<Event> {
        loop {
            match self.inbox.next(deadline)? {
                Next::Wake => return Some(Event::Wake),
                Next::Item(item) => {
                    if let Some(event) = self.event(item) {
                        return Some(event);
                    }
                }
            }
        }
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(self.inbox.sender())
    }

    fn caps(&self) -> Caps {
        let frame_bytes_max = self.shared.options.frame_bytes_max;
        let is_secured = self.shared.options.is_secured();
        Caps { frame_bytes_max, authenticated: is_secured, encrypted: is_secured }
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for link in self.shared.up().values() {
            link.close(&CloseReason::HungUp);
        }
        // So that whoever accepts looks up; if it cannot be reached, it has nothing to accept either.
        TcpStream::connect_timeout(&self.address, REDIAL.1).ok();
    }
}
