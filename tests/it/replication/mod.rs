//! Sessions that a group of nodes keeps: whoever leads, it is the same session.

mod lives;
mod processes;

use std::path::Path;
use std::time::Duration;

use steadfast::ha::{LocalCoordinator, NodeId, Options, Policy, TcpOptions, TcpTransport};
use steadfast::{CommitSeq, Replicated, ReplicatedBuilder, Ruleset, Session};

use crate::durability::life::with_warn;

pub(crate) const GROUP: u64 = 11;
/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A group's nodes, by number from 1, and their addresses.
#[derive(Clone)]
pub(crate) struct Addresses(Vec<String>);

impl Addresses {
    pub(crate) fn free(count: usize) -> Self {
        let listeners: Vec<_> = (0..count)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports"))
            .collect();
        let address = |it: &std::net::TcpListener| it.local_addr().expect("bound").to_string();
        Self(listeners.iter().map(address).collect())
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=u32::try_from(self.0.len()).expect("few")).map(NodeId)
    }

    /// A node listens at an address that the others do not know.
    pub(crate) fn move_away(&mut self, node: NodeId) {
        self.0[node.0 as usize - 1] = Self::free(1).0.remove(0);
    }

    pub(crate) fn of(&self, node: NodeId) -> &str {
        &self.0[node.0 as usize - 1]
    }
}

/// A node of a group whose files are below `dir`.
pub(crate) fn builder(
    dir: &Path,
    addresses: &Addresses,
    node: NodeId,
    policy: Policy,
) -> ReplicatedBuilder {
    let mut options = Options::default();
    options.beat = Duration::from_millis(20);
    options.resend = Duration::from_millis(200);
    let mut builder = Session::replicated(dir.join(node.to_string()), GROUP, node)
        .options(options)
        .ack(policy)
        .snapshot_bytes(Some(10_000))
        .patience(PATIENCE);
    for peer in addresses.ids().filter(|&peer| peer != node) {
        builder = builder.peer(peer, addresses.of(peer));
    }
    builder
}

/// Starts it over TCP.
pub(crate) fn start(
    builder: ReplicatedBuilder,
    dir: &Path,
    addresses: &Addresses,
    node: NodeId,
    lease: Duration,
    rules: Ruleset,
) -> Replicated {
    let tcp = until("the address", || {
        TcpTransport::bind(node, addresses.of(node), TcpOptions::new(GROUP)).ok()
    });
    let coordinator = LocalCoordinator::in_directory(dir.join("group"), node, lease);
    builder.start(rules, tcp, coordinator.expect("a directory")).expect("a node that starts")
}

/// The session of a node that leads, under whichever of the rules it has by now.
fn lead(node: &mut Replicated, rules: fn() -> Ruleset, time: Duration) -> Option<Session> {
    match node.lead(time) {
        Err(steadfast::Error::Recover(_)) => {
            node.set_ruleset(with_warn()).expect("valid rules");
            let led = node.lead(time).expect("one of both");
            node.set_ruleset(rules()).expect("valid rules");
            led
        }
        led => led.expect("a session"),
    }
}

/// The same to look at, once it is there.
fn look(node: &mut Replicated, rules: fn() -> Ruleset) -> Option<Session> {
    match node.look() {
        Err(steadfast::Error::Recover(_)) => {
            node.set_ruleset(with_warn()).expect("valid rules");
            let seen = node.look().expect("one of both");
            node.set_ruleset(rules()).expect("valid rules");
            seen
        }
        seen => seen.expect("a session"),
    }
}

/// The same once it has come to a commit.
#[track_caller]
fn look_at(node: &mut Replicated, rules: fn() -> Ruleset, commit: CommitSeq) -> Session {
    until("the commit", || look(node, rules).filter(|seen| seen.last_commit() == commit))
}

#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "{what} does not come");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
