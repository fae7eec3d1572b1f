//! Real processes, killed and stopped at random, against what was acknowledged.
//!
//! A node is this test binary again, told by the environment to run [`child`] as its only test.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_ha_transport::{
    Apply, LocalCoordinator, NodeId, Outcome, Policy, Replica, ReplicaLog, ReplicaOptions, Seq,
    TcpOptions, TcpTransport,
};

const DIR: &str = "STEADFAST_TEST_REPLICA_DIR";
const NODE: &str = "STEADFAST_TEST_REPLICA_NODE";
const LIFE: &str = "STEADFAST_TEST_REPLICA_LIFE";
const ADDRESSES: &str = "STEADFAST_TEST_REPLICA_ADDRESSES";
const GROUP: u64 = 43;
const PATIENCE: Duration = Duration::from_secs(60);

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then nobody needs to know.
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Nothing may be applied twice, or again after something else.
#[derive(Default)]
struct Once(BTreeSet<Vec<u8>>, Seq);

impl Apply for Once {
    fn apply(&mut self, seq: Seq, payload: &[u8]) -> Result<(), String> {
        if !self.0.insert(payload.to_vec()) || seq <= self.1 {
            tell("fault twice");
        }
        self.1 = seq;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A node's part: proposes what nobody has proposed before whenever it leads, and tells what was committed. Without a
/// parent it is an empty test.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let number = |name| std::env::var(name).expect("set").parse().expect("a number");
    let (id, life) = (NodeId(number(NODE)), number(LIFE));
    let addresses = std::env::var(ADDRESSES).expect("set");
    let addresses: Vec<_> =
        (1..).map(NodeId).zip(addresses.split(',').map(str::to_owned)).collect();
    let own = addresses[id.0 as usize - 1].1.clone();
    let peers = addresses.into_iter().filter(|it| it.0 != id).collect();
    let mut options = ReplicaOptions::founding(id, peers);
    options.node.policy = Policy::Majority;
    options.node.evict = None;
    options.node.beat = Duration::from_millis(20);
    options.node.resend = Duration::from_millis(200);
    let dir = Path::new(&dir);
    let log = ReplicaLog::open(dir.join(id.to_string()), GROUP, id).expect("its own directory");
    let lease = Duration::from_millis(300);
    let coordinator = LocalCoordinator::in_directory(dir.join("group"), id, lease).expect("there");
    let end = Instant::now() + PATIENCE;
    let transport = loop {
        // The system may take a moment to let go of what a killed process had.
        match TcpTransport::bind(id, &own, TcpOptions::new(GROUP)) {
            Ok(transport) => break transport,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    };
    let (transport, coordinator, apply) =
        (Box::new(transport), Box::new(coordinator), Box::new(Once::default()));
    let replica =
        Replica::start(options, GROUP, log, transport, coordinator, apply).expect("threads");
    let quiet = Arc::new(AtomicBool::new(false));
    let hearing = Arc::clone(&quiet);
    // What the parent says is that it has seen enough.
    std::thread::spawn(move || {
        std::io::stdin().lines().next();
        hearing.store(true, Ordering::SeqCst);
    });
    tell("\nup");
    let (mut count, mut waiting) = (0_u64, std::collections::VecDeque::new());
    let mut told = Instant::now();
    loop {
        if told.elapsed() > Duration::from_millis(50) {
            told = Instant::now();
            let status = replica.status();
            if let Some(why) = status.stopped {
                tell(&format!("fault stopped: {why}"));
            }
            if let Some(why) = status.quarantined {
                tell(&format!("fault set aside: {why}"));
            }
            let (applied, last, leader) = (status.applied, status.last, status.leader);
            let more = format!("epoch {}, {} are linked", status.epoch, status.linked.len());
            tell(&format!("at {applied} of {last} led by {leader:?}, {more}"));
        }
        let (payload, epoch) = (format!("{id}.{life}.{count}"), replica.status().epoch);
        if !quiet.load(Ordering::SeqCst)
            && waiting.len() < 8
            && let Ok(proposed) = replica.propose(epoch, payload.as_bytes().into(), Duration::ZERO)
        {
            count += 1;
            waiting.push_back((proposed, payload));
            continue;
        }
        let Some((proposed, payload)) = waiting.pop_front() else {
            replica.watch(Duration::from_millis(2), |_| false);
            continue;
        };
        match replica.wait(proposed, Duration::from_millis(20)) {
            Ok(Outcome::Committed) => tell(&format!("ack {payload}")),
            Ok(Outcome::Waiting) => waiting.push_front((proposed, payload)),
            Ok(Outcome::Unknown | Outcome::Refused) | Err(_) => {}
        }
    }
}

/// What all children have told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<String>,
    faults: Vec<String>,
    /// What each node has applied, of how much, and who leads it, when it last told.
    at: [String; 3],
}

struct Nodes {
    dir: tempfile::TempDir,
    addresses: String,
    children: [Option<Child>; 3],
    lives: u64,
    told: Arc<Mutex<Told>>,
}

impl Nodes {
    fn start(&mut self, node: usize) {
        self.lives += 1;
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["process::child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(DIR, self.dir.path()).env(ADDRESSES, &self.addresses);
        command.env(NODE, (node + 1).to_string()).env(LIFE, self.lives.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this binary runs");
        let (lines, told) =
            (BufReader::new(child.stdout.take().expect("piped")).lines(), Arc::clone(&self.told));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut told = told.lock().expect("no panic");
                if let Some(payload) = line.strip_prefix("ack ") {
                    told.acknowledged.insert(payload.to_owned());
                } else if line.starts_with("fault ") {
                    told.faults.push(format!("node {}: {line}", node + 1));
                } else if let Some(at) = line.strip_prefix("at ") {
                    at.clone_into(&mut told.at[node]);
                }
            }
        });
        self.children[node] = Some(child);
    }

    fn signal(&self, node: usize, name: &str) {
        let Some(child) = &self.children[node] else { return };
        let killed = Command::new("kill").args([name, &child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }

    fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node].take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Told) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let told = self.told.lock().expect("no panic");
            assert_eq!(told.faults, [""; 0]);
            if is_so(&told) {
                return;
            }
            assert!(Instant::now() < end, "{what} does not come: {:?}", told.at);
            drop(told);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn acknowledged(&self) -> usize {
        self.told.lock().expect("no panic").acknowledged.len()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..3).for_each(|node| self.kill(node));
    }
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("bound").to_string()
}

/// xorshift64*, for a seed that means the same for ever.
fn below(random: &mut u64, end: u64) -> u64 {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
}

#[test]
fn what_was_acknowledged_outlives_killed_and_stopped_processes() {
    let rounds = if std::env::var_os("STEADFAST_SOAK").is_some() { 300 } else { 12 };
    let addresses = [free_address(), free_address(), free_address()].join(",");
    let mut nodes = Nodes {
        dir: tempfile::tempdir().expect("a directory"),
        addresses,
        children: [None, None, None],
        lives: 0,
        told: Arc::default(),
    };
    (0..3).for_each(|node| nodes.start(node));
    nodes.until("the first commits", |told| told.acknowledged.len() > 20);
    let mut random = 0x5eed;
    for round in 0..rounds {
        let node = usize::try_from(below(&mut random, 3)).expect("small");
        std::thread::park_timeout(Duration::from_millis(below(&mut random, 150)));
        if round % 4 == 3 {
            // Long enough for another one to lead; then it finds that it does not any more.
            nodes.signal(node, "-STOP");
            std::thread::park_timeout(Duration::from_millis(700));
            nodes.signal(node, "-CONT");
        } else {
            nodes.kill(node);
            // Now and then two are gone, and nothing goes on until one is back.
            let other = (node + 1) % 3;
            let both = below(&mut random, 4) == 0;
            if both {
                nodes.kill(other);
            }
            std::thread::park_timeout(Duration::from_millis(below(&mut random, 400)));
            nodes.start(node);
            if both {
                nodes.start(other);
            }
        }
        let before = nodes.acknowledged();
        nodes.until("the next commit", |told| told.acknowledged.len() > before + 5);
    }
    // Nothing new from now on; then all have all of it.
    for child in nodes.children.iter_mut().flatten() {
        child.stdin.as_mut().expect("piped").write_all(b"enough\n").expect("it reads");
    }
    std::thread::park_timeout(Duration::from_millis(500));
    nodes.until("the same everywhere", |told| {
        let end = told.at[0].split(" led by ").next().unwrap_or_default();
        let (applied, last) = end.split_once(" of ").unwrap_or(("", "-"));
        applied == last && told.at.iter().all(|at| at == &told.at[0])
    });
    (0..3).for_each(|node| nodes.kill(node));

    let logs: Vec<_> = (1..=3_u32)
        .map(|node| {
            let dir = nodes.dir.path().join(node.to_string());
            let log = ReplicaLog::open(dir, GROUP, NodeId(node)).expect("it is whole");
            log.read(Seq(1), usize::MAX, usize::MAX).expect("it can be read")
        })
        .collect();
    assert!(logs[0] == logs[1] && logs[1] == logs[2], "the logs differ");
    let payload = |batch: &steadfast_ha_transport::Batch| {
        String::from_utf8(batch.payload.to_vec()).expect("it was text")
    };
    let kept: Vec<_> = logs[0].iter().map(payload).filter(|it| !it.is_empty()).collect();
    let once: BTreeSet<_> = kept.iter().cloned().collect();
    assert_eq!(kept.len(), once.len(), "something is there twice");
    let told = nodes.told.lock().expect("no panic");
    let lost: Vec<_> = told.acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "{} acknowledged batches are lost: {lost:?}", lost.len());
    let epochs = logs[0].last().map_or(0, |batch| batch.epoch.0);
    assert!(epochs > 2, "nobody but the first ever led");
}
