//! Replicas with real files over TCP that snapshot their state, trim their logs, and make others anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_ha_transport::{
    Apply, Epoch, LocalCoordinator, LogError, LogOptions, NodeId, Outcome, Policy, Replica,
    ReplicaLog, ReplicaOptions, Seq, SnapshotWriter, Status, TcpOptions, TcpTransport,
};

const GROUP: u64 = 44;
const PATIENCE: Duration = Duration::from_secs(30);

/// The payloads that were applied, and how many of them one by one.
#[derive(Default)]
struct Applied {
    payloads: Vec<Vec<u8>>,
    one_by_one: usize,
    installed: usize,
}

#[derive(Clone, Default)]
struct State(Arc<Mutex<Applied>>);

impl Apply for State {
    fn apply(&mut self, _: Seq, payload: &[u8]) -> Result<(), String> {
        let mut applied = self.0.lock().expect("no panic");
        applied.payloads.push(payload.to_vec());
        applied.one_by_one += 1;
        Ok(())
    }

    fn leads(&mut self, _: Epoch) {}

    fn reset(&mut self) {
        self.0.lock().expect("no panic").payloads.clear();
    }

    fn snapshot(&mut self) -> Option<SnapshotWriter> {
        let payloads = self.0.lock().expect("no panic").payloads.clone();
        Some(Box::new(move |out| {
            for payload in payloads {
                out.write_all(&u32::try_from(payload.len()).expect("short").to_le_bytes())?;
                out.write_all(&payload)?;
            }
            Ok(())
        }))
    }

    fn install(&mut self, snapshot: &mut dyn std::io::Read) -> Result<(), String> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let mut rest = &bytes[..];
        let mut applied = self.0.lock().expect("no panic");
        assert!(applied.payloads.is_empty(), "it was reset before");
        while let Some((length, tail)) = rest.split_first_chunk() {
            let (payload, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
            applied.payloads.push(payload.to_vec());
            rest = tail;
        }
        applied.installed += 1;
        Ok(())
    }
}

struct Node {
    id: NodeId,
    replica: Replica,
    state: State,
}

struct Cluster {
    dir: tempfile::TempDir,
    addresses: Vec<(NodeId, String)>,
    policy: Policy,
    founders: usize,
    snapshot_bytes: Option<u64>,
    retain_bytes: u64,
    nodes: Vec<Node>,
}

impl Cluster {
    fn new(count: u32, founders: usize, policy: Policy) -> Self {
        let address = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
            listener.local_addr().expect("bound").to_string()
        };
        let addresses = (1..=count).map(|id| (NodeId(id), address())).collect();
        let dir = tempfile::tempdir().expect("a directory");
        let (snapshot_bytes, retain_bytes, nodes) = (None, 0, Vec::new());
        Self { dir, addresses, policy, founders, snapshot_bytes, retain_bytes, nodes }
    }

    fn started(count: u32, founders: usize, policy: Policy) -> Self {
        let mut cluster = Self::new(count, founders, policy);
        (1..=count).for_each(|id| cluster.start(NodeId(id)));
        cluster
    }

    fn directory(&self, id: NodeId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    fn open(&self, id: NodeId) -> Result<ReplicaLog, LogError> {
        let mut options = LogOptions::default();
        options.segment_bytes = 64 << 10;
        ReplicaLog::open_with(self.directory(id), GROUP, id, options)
    }

    fn start(&mut self, id: NodeId) {
        let node = self.make(id);
        self.nodes.push(node);
    }

    fn make(&self, id: NodeId) -> Node {
        let own = self.addresses.iter().find(|it| it.0 == id).expect("one of them").1.clone();
        let peers = self.addresses.iter().filter(|it| it.0 != id).cloned().collect();
        let mut options = ReplicaOptions::founding(id, peers);
        options.founders = self.addresses[..self.founders].iter().map(|it| it.0).collect();
        if !options.founders.contains(&id) {
            options.founders.clear();
        }
        options.node.policy = self.policy;
        options.node.evict = None;
        options.node.beat = Duration::from_millis(20);
        options.node.resend = Duration::from_millis(200);
        // Several pieces, and several windows of them.
        options.node.snapshot_piece = 8 << 10;
        options.node.snapshot_window = 20 << 10;
        options.snapshot_bytes = self.snapshot_bytes;
        options.retain_bytes = self.retain_bytes;
        let log = self.open(id).expect("its own");
        let bind = || TcpTransport::bind(id, &own, TcpOptions::new(GROUP)).ok();
        let tcp = until("the address", bind);
        let lease = Duration::from_secs(2);
        let coordinator = LocalCoordinator::in_directory(self.dir.path().join("group"), id, lease);
        let (tcp, coordinator) = (Box::new(tcp), Box::new(coordinator.expect("a directory")));
        let state = State::default();
        let apply = Box::new(state.clone());
        let replica =
            Replica::start(options, GROUP, log, tcp, coordinator, apply).expect("threads");
        Node { id, replica, state }
    }

    fn stop(&mut self, id: NodeId) {
        self.nodes.retain(|node| node.id != id);
    }

    #[track_caller]
    fn leader(&self) -> &Node {
        until("a leader", || self.nodes.iter().find(|node| node.replica.status().leads))
    }

    fn follower(&self) -> NodeId {
        let leader = self.leader().id;
        self.nodes.iter().map(|node| node.id).find(|&id| id != leader).expect("there is one")
    }

    #[track_caller]
    fn node(&self, id: NodeId) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("it runs")
    }

    #[track_caller]
    fn work(&self, payloads: std::ops::Range<u32>) {
        let leader = &self.leader().replica;
        let epoch = leader.status().epoch;
        let mut last = None;
        for number in payloads {
            let proposed = leader.propose(epoch, payload(number).into(), PATIENCE);
            last = Some(proposed.expect("it leads"));
        }
        let outcome = leader.wait(last.expect("there was one"), PATIENCE).expect("it works");
        assert_eq!(outcome, Outcome::Committed, "{:?}", leader.status());
    }

    /// Works and takes snapshots until the leader has dropped what it had before.
    #[track_caller]
    fn trim(&self, payloads: std::ops::Range<u32>) {
        let (begin, end) = (payloads.start, payloads.end);
        let middle = u32::midpoint(begin, end);
        let leader = &self.leader().replica;
        let before = leader.status().last;
        self.work(begin..middle);
        leader.snapshot().expect("there is room").expect("there are snapshots");
        self.work(middle..end);
        leader.snapshot().expect("there is room").expect("there are snapshots");
        let trimmed = |status: &Status| status.trimmed > before;
        assert!(leader.watch(PATIENCE, trimmed).is_some(), "{:?}", leader.status());
    }

    #[track_caller]
    fn all_have(&self, payloads: std::ops::Range<u32>) {
        let expected: Vec<_> = payloads.map(payload).collect();
        for node in &self.nodes {
            let has = || node.state.0.lock().expect("no panic").payloads.len() >= expected.len();
            let end = Instant::now() + PATIENCE;
            while !has() {
                assert!(Instant::now() < end, "{}: {:?}", node.id, node.replica.status());
                std::thread::park_timeout(Duration::from_millis(2));
            }
            let applied = node.state.0.lock().expect("no panic");
            assert!(applied.payloads == expected, "node {} has others", node.id);
        }
    }
}

fn payload(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 300)
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Bytes of a directory's files.
fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("it is there");
    let files = entries.filter_map(|entry| entry.expect("readable").metadata().ok());
    files.filter(std::fs::Metadata::is_file).map(|it| it.len()).sum()
}

fn snapshots_of(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("snapshots")).expect("it is there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut paths: Vec<_> =
        paths.filter(|it| it.extension().is_some_and(|it| it == "snapshot")).collect();
    paths.sort();
    paths
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("it is ours");
}

#[test]
fn a_node_that_was_away_while_the_log_was_trimmed_gets_a_snapshot() {
    let mut cluster = Cluster::started(3, 3, Policy::Majority);
    cluster.work(0..100);
    let away = cluster.follower();
    cluster.stop(away);
    cluster.trim(100..900);
    cluster.start(away);
    cluster.work(900..950);
    cluster.all_have(0..950);
    let node = cluster.node(away);
    assert_eq!(node.state.0.lock().expect("no panic").installed, 1);
    assert!(node.replica.status().trimmed > Seq(101), "{:?}", node.replica.status());
    // It comes back from there.
    cluster.stop(away);
    cluster.start(away);
    cluster.work(950..960);
    cluster.all_have(0..960);
    // And leads with what it got.
    let leader = cluster.leader();
    until("it takes over", || {
        leader.replica.hand_over(away).ok();
        cluster.node(away).replica.status().leads.then_some(())
    });
    cluster.work(960..1000);
    cluster.all_have(0..1000);
}

#[test]
fn an_empty_node_joins_under_load() {
    let mut cluster = Cluster::new(4, 3, Policy::All);
    cluster.snapshot_bytes = Some(200 << 10);
    // What is behind the snapshot that the fourth gets is kept for it, as soon as it is heard of.
    cluster.retain_bytes = 64 << 20;
    (1..=3).for_each(|id| cluster.start(NodeId(id)));
    cluster.trim(0..1000);
    let done = AtomicBool::new(false);
    let (number, node) = std::thread::scope(|scope| {
        let (leader, done) = (&cluster.leader().replica, &done);
        let loading = scope.spawn(move || {
            let (epoch, mut number) = (leader.status().epoch, 1000);
            let end = Instant::now() + PATIENCE;
            while !done.load(Ordering::SeqCst) && Instant::now() < end {
                leader.propose(epoch, payload(number).into(), PATIENCE).expect("it leads");
                number += 1;
                // Steadily, and not as fast as it can be: others want the processors as well.
                std::thread::park_timeout(Duration::from_millis(1));
            }
            number
        });
        let node = cluster.make(NodeId(4));
        let end = Instant::now() + PATIENCE / 2;
        while let Err(error) = leader.add(NodeId(4)) {
            let status = node.replica.status();
            assert!(Instant::now() < end, "{error} {:?} {status:?}", leader.status());
            std::thread::park_timeout(Duration::from_millis(2));
        }
        until("the group is larger", || (leader.status().members.len() == 4).then_some(()));
        done.store(true, Ordering::SeqCst);
        (loading.join().expect("no panic"), node)
    });
    cluster.nodes.push(node);
    cluster.work(number..number + 10);
    cluster.all_have(0..number + 10);
    assert!(cluster.node(NodeId(4)).state.0.lock().expect("no panic").installed > 0);
}

#[test]
fn a_node_that_starts_again_applies_what_is_behind_its_snapshot() {
    let mut cluster = Cluster::started(1, 1, Policy::All);
    cluster.trim(0..600);
    cluster.work(600..650);
    cluster.stop(NodeId(1));
    cluster.start(NodeId(1));
    cluster.all_have(0..650);
    let (one_by_one, installed) = {
        let applied = cluster.node(NodeId(1)).state.0.lock().expect("no panic");
        (applied.one_by_one, applied.installed)
    };
    assert_eq!((one_by_one, installed), (50, 1));
}

#[test]
fn a_damaged_snapshot_is_put_aside_and_the_one_before_it_used() {
    let mut cluster = Cluster::started(1, 1, Policy::All);
    cluster.trim(0..600);
    cluster.work(600..610);
    // What is trimmed goes from the disk soon after.
    let dir = cluster.directory(NodeId(1));
    let is_new = |name: std::ffi::OsString| name.to_string_lossy().ends_with("-0001.jnl");
    let entries = || std::fs::read_dir(&dir).expect("it is there");
    until("a trimmed segment", || {
        entries().any(|entry| is_new(entry.expect("readable").file_name())).then_some(())
    });
    cluster.stop(NodeId(1));
    let snapshots = snapshots_of(&cluster.directory(NodeId(1)));
    assert_eq!(snapshots.len(), 2);
    flip(&snapshots[1]);
    cluster.start(NodeId(1));
    cluster.all_have(0..610);
    let refused = |cluster: &Cluster| {
        let status = cluster.node(NodeId(1)).replica.status();
        status.refused_snapshots.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    until("it says so", || (refused(&cluster).len() == 1).then_some(()));
    assert!(refused(&cluster)[0].ends_with("the checksum of its body does not fit"));
    assert!(snapshots[1].with_extension("damaged").exists());
    // With the other one damaged as well there is nothing to begin with, and that is said.
    cluster.stop(NodeId(1));
    flip(&snapshots[0]);
    cluster.start(NodeId(1));
    let stopped = |status: &Status| status.stopped.is_some();
    let status = cluster.nodes[0].replica.watch(PATIENCE, stopped).expect("it stops");
    let why = status.stopped.expect("it has");
    assert!(why.contains("are in no snapshot that is whole"), "{why}");
    cluster.stop(NodeId(1));
    let opened = cluster.open(NodeId(1));
    assert!(matches!(opened, Err(LogError::NoSnapshot { .. })), "{opened:?}");
}

#[test]
fn a_log_stays_as_long_as_what_was_done_since_the_last_snapshots() {
    let mut cluster = Cluster::new(1, 1, Policy::All);
    // The state grows, and so does what lies between two snapshots.
    cluster.snapshot_bytes = Some(100 << 10);
    cluster.start(NodeId(1));
    cluster.work(0..8000);
    let dir = cluster.directory(NodeId(1));
    let all: u64 = (0..8000).map(|number| payload(number).len() as u64).sum();
    let replica = &cluster.nodes[0].replica;
    replica.snapshot().expect("there is room");
    cluster.work(8000..8001);
    replica.snapshot().expect("there is room");
    let trimmed = replica.watch(PATIENCE, |status| status.trimmed > Seq(7000));
    assert!(trimmed.is_some(), "{:?}", replica.status());
    until("old segments go", || (bytes_in(&dir) < all / 2).then_some(()));
    assert_eq!(snapshots_of(&dir).len(), 2);
    cluster.stop(NodeId(1));
    cluster.start(NodeId(1));
    cluster.all_have(0..8001);
}
