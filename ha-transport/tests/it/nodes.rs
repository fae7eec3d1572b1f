//! Real processes, to be killed and stopped, against what was acknowledged.
//!
//! A node is the test binary again, told by the environment to run `process::child` as its only test, which calls
//! [`child`].

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use steadfast_ha_transport::{
    Apply, Batch, Coordinator, LogOptions, NodeId, Outcome, Policy, Replica, ReplicaLog,
    ReplicaOptions, Seq, SnapshotWriter, Status, TcpOptions, TcpTransport,
};

const DIR: &str = "STEADFAST_TEST_REPLICA_DIR";
const NODE: &str = "STEADFAST_TEST_REPLICA_NODE";
const LIFE: &str = "STEADFAST_TEST_REPLICA_LIFE";
const ADDRESSES: &str = "STEADFAST_TEST_REPLICA_ADDRESSES";
/// Set where states have snapshots, and logs are trimmed to what those need.
const TRIMS: &str = "STEADFAST_TEST_REPLICA_TRIMS";
const GROUP: u64 = 43;
const PATIENCE: Duration = Duration::from_secs(60);

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then nobody needs to know.
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// Nothing may be applied twice, or again after something else.
#[derive(Default)]
struct Once {
    applied: BTreeSet<Vec<u8>>,
    last: Seq,
    /// Where it has snapshots: what was applied, for whoever asks for it.
    shown: Option<Arc<Mutex<BTreeSet<Vec<u8>>>>>,
}

impl Apply for Once {
    fn apply(&mut self, seq: Seq, payload: &[u8]) -> Result<(), String> {
        if !self.applied.insert(payload.to_vec()) || seq <= self.last {
            tell("fault twice");
        }
        if let Some(shown) = &self.shown {
            shown.lock().expect("no panic").insert(payload.to_vec());
        }
        self.last = seq;
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self { shown: self.shown.take(), ..Self::default() };
        if let Some(shown) = &self.shown {
            shown.lock().expect("no panic").clear();
        }
    }

    fn snapshot(&mut self) -> Option<SnapshotWriter> {
        self.shown.as_ref()?;
        let applied = self.applied.clone();
        Some(Box::new(move |out| {
            applied.iter().try_for_each(|payload| out.write_all(&[payload, &b"\n"[..]].concat()))
        }))
    }

    fn install(&mut self, snapshot: &mut dyn std::io::Read) -> Result<(), String> {
        for line in BufReader::new(snapshot).split(b'\n') {
            self.applied.insert(line.map_err(|error| error.to_string())?);
        }
        if let Some(shown) = &self.shown {
            shown.lock().expect("no panic").clone_from(&self.applied);
        }
        tell("installed");
        Ok(())
    }
}

/// A node's part: proposes what nobody has proposed before whenever it leads, and tells what was committed. Without a
/// parent it does nothing.
pub(crate) fn child(coordinator: impl Fn(NodeId, &Path) -> Box<dyn Coordinator>) {
    let Ok(dir) = std::env::var(DIR) else { return };
    let number = |name| std::env::var(name).expect("set").parse().expect("a number");
    let (id, life) = (NodeId(number(NODE)), number(LIFE));
    let addresses = addresses();
    let own = addresses[id.0 as usize - 1].1.clone();
    let peers = addresses.into_iter().filter(|it| it.0 != id).collect();
    let mut options = ReplicaOptions::founding(id, peers);
    options.node.policy = Policy::Majority;
    options.node.evict = None;
    options.node.beat = Duration::from_millis(20);
    options.node.resend = Duration::from_millis(200);
    let dir = Path::new(&dir);
    let trims = std::env::var_os(TRIMS).is_some();
    if trims {
        // A node that comes back finds little of what it lacks in a log; and a transfer takes a while.
        (options.snapshot_bytes, options.retain_bytes) = (Some(8 << 10), 0);
        (options.node.snapshot_piece, options.node.snapshot_window) = (512, 1024);
    }
    let log = open(dir, id);
    let coordinator = coordinator(id, dir);
    let end = Instant::now() + PATIENCE;
    let transport = loop {
        // The system may take a moment to let go of what a killed process had.
        match TcpTransport::bind(id, &own, TcpOptions::new(GROUP)) {
            Ok(transport) => break transport,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    };
    let shown: Option<Arc<Mutex<_>>> = trims.then(Arc::default);
    let apply = Box::new(Once { shown: shown.clone(), ..Once::default() });
    let transport = Box::new(transport);
    let replica =
        Replica::start(options, GROUP, log, transport, coordinator, apply).expect("threads");
    let quiet = Arc::new(AtomicBool::new(false));
    let hearing = Arc::clone(&quiet);
    // What the parent says is that it has seen enough. When it is gone, so is this.
    std::thread::spawn(move || {
        if std::io::stdin().lines().next().is_none() {
            std::process::exit(0);
        }
        hearing.store(true, Ordering::SeqCst);
    });
    tell("\nup");
    let (mut count, mut waiting) = (0_u64, std::collections::VecDeque::new());
    let mut told = Instant::now();
    loop {
        if told.elapsed() > Duration::from_millis(50) {
            told = Instant::now();
            let status = replica.status();
            if let Some(shown) = shown.as_ref().filter(|_| quiet.load(Ordering::SeqCst)) {
                // Before it is told: whoever hears it may look at once.
                show(&shown.lock().expect("no panic"), &dir.join(format!("state-{id}")));
            }
            tell_status(status);
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

/// All nodes, with where they are.
fn addresses() -> Vec<(NodeId, String)> {
    let addresses = std::env::var(ADDRESSES).expect("set");
    (1..).map(NodeId).zip(addresses.split(',').map(str::to_owned)).collect()
}

/// Writes down what was applied.
fn show(applied: &BTreeSet<Vec<u8>>, file: &Path) {
    let lines: Vec<_> = applied.iter().cloned().collect();
    let tmp = file.with_extension("tmp");
    std::fs::write(&tmp, lines.join(&b'\n')).expect("there is room");
    std::fs::rename(tmp, file).expect("it was written");
}

fn tell_status(status: Status) {
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

fn open(dir: &Path, id: NodeId) -> ReplicaLog {
    let mut options = LogOptions::default();
    options.segment_bytes = 64 << 10;
    let dir = dir.join(id.to_string());
    ReplicaLog::open_with(dir, GROUP, id, options).expect("its own directory")
}

/// What all children have told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: BTreeSet<String>,
    faults: Vec<String>,
    /// How often one began, or went on, with a snapshot.
    installed: usize,
    /// What each node has applied, of how much, and who leads it, when it last told.
    pub(crate) at: [String; 3],
}

pub(crate) struct Nodes {
    dir: tempfile::TempDir,
    addresses: String,
    /// What their coordinators are told.
    more: Vec<(&'static str, String)>,
    /// With the threads that hear what they tell.
    children: [Option<(Child, JoinHandle<()>)>; 3],
    lives: u64,
    told: Arc<Mutex<Told>>,
}

impl Nodes {
    /// Three of them whose states have snapshots.
    pub(crate) fn that_trim() -> Vec<(&'static str, String)> {
        vec![(TRIMS, "1".to_owned())]
    }

    /// Three of them, that have committed something.
    pub(crate) fn begin(more: Vec<(&'static str, String)>) -> Self {
        let addresses = [free_address(), free_address(), free_address()].join(",");
        let dir = tempfile::tempdir().expect("a directory");
        let (children, told) = ([None, None, None], Arc::default());
        let mut nodes = Self { dir, addresses, more, children, lives: 0, told };
        (0..3).for_each(|node| nodes.start(node));
        nodes.until("the first commits", |told| told.acknowledged.len() > 20);
        nodes
    }

    pub(crate) fn start(&mut self, node: usize) {
        self.lives += 1;
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["process::child", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(DIR, self.dir.path()).env(ADDRESSES, &self.addresses);
        command.env(NODE, (node + 1).to_string()).env(LIFE, self.lives.to_string());
        command.envs(self.more.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this binary runs");
        let (lines, told) =
            (BufReader::new(child.stdout.take().expect("piped")).lines(), Arc::clone(&self.told));
        let hearing = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut told = told.lock().expect("no panic");
                if let Some(payload) = line.strip_prefix("ack ") {
                    told.acknowledged.insert(payload.to_owned());
                } else if line == "installed" {
                    told.installed += 1;
                } else if line.starts_with("fault ") {
                    told.faults.push(format!("node {}: {line}", node + 1));
                } else if let Some(at) = line.strip_prefix("at ") {
                    at.clone_into(&mut told.at[node]);
                }
            }
        });
        self.children[node] = Some((child, hearing));
    }

    pub(crate) fn signal(&self, node: usize, name: &str) {
        let Some((child, _)) = &self.children[node] else { return };
        let killed = Command::new("kill").args([name, &child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }

    pub(crate) fn kill(&mut self, node: usize) {
        if let Some((mut child, hearing)) = self.children[node].take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
            // What it told last is heard, and how it was doing is over.
            hearing.join().expect("it only listens");
            self.told.lock().expect("no panic").at[node].clear();
        }
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Told) -> bool) {
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

    pub(crate) fn acknowledged(&self) -> usize {
        self.told.lock().expect("no panic").acknowledged.len()
    }

    /// Commits go on.
    #[track_caller]
    pub(crate) fn until_more(&self) {
        let before = self.acknowledged();
        self.until("the next commit", |told| told.acknowledged.len() > before + 5);
    }

    /// Who leads, from 0, and in which epoch, once all three say so and it is a later one than this.
    #[track_caller]
    pub(crate) fn leader(&self, after: u64) -> (usize, u64) {
        let agreed = |told: &Told| {
            let led = |at: &String| {
                let (_, at) = at.split_once(" led by Some(n")?;
                let (leader, at) = at.split_once("), epoch ")?;
                let epoch = at.split_once(',')?.0.parse::<u64>().ok()?;
                Some((leader.parse::<usize>().ok()? - 1, epoch))
            };
            let all = told.at.each_ref().map(led);
            let same = all.iter().all(|it| *it == all[0]).then_some(all[0]).flatten();
            same.filter(|it| it.1 > after)
        };
        self.until("one leader", |told| agreed(told).is_some());
        agreed(&self.told.lock().expect("no panic")).expect("it was so just now")
    }

    /// Lets them come to an end, and compares their logs with each other and with what was acknowledged; gives the last
    /// epoch.
    #[track_caller]
    pub(crate) fn end(mut self) -> u64 {
        // Nothing new from now on; then all have all of it.
        for (child, _) in self.children.iter_mut().flatten() {
            child.stdin.as_mut().expect("piped").write_all(b"enough\n").expect("it reads");
        }
        std::thread::park_timeout(Duration::from_millis(500));
        self.until("the same everywhere", |told| {
            let end = told.at[0].split(" led by ").next().unwrap_or_default();
            let (applied, last) = end.split_once(" of ").unwrap_or(("", "-"));
            applied == last && told.at.iter().all(|at| at == &told.at[0])
        });
        let at = self.told.lock().expect("no panic").at[0].clone();
        (0..3).for_each(|node| self.kill(node));
        if self.more == Self::that_trim() {
            self.compare_states();
            let epoch = at.split_once("), epoch ").and_then(|(_, rest)| rest.split_once(','));
            return epoch.and_then(|(epoch, _)| epoch.parse().ok()).expect("it was told");
        }
        let read = |node| open(self.dir.path(), NodeId(node)).read(Seq(1), usize::MAX, usize::MAX);
        let logs: Vec<_> = (1..=3).map(|node| read(node).expect("it can be read")).collect();
        assert!(logs[0] == logs[1] && logs[1] == logs[2], "the logs differ");
        let payload =
            |batch: &Batch| String::from_utf8(batch.payload.to_vec()).expect("it was text");
        let kept: Vec<_> = logs[0].iter().map(payload).filter(|it| !it.is_empty()).collect();
        let once: BTreeSet<_> = kept.iter().cloned().collect();
        assert_eq!(kept.len(), once.len(), "something is there twice");
        let told = self.told.lock().expect("no panic");
        let lost: Vec<_> = told.acknowledged.difference(&once).collect();
        assert!(lost.is_empty(), "{} acknowledged batches are lost: {lost:?}", lost.len());
        logs[0].last().map_or(0, |batch| batch.epoch.0)
    }

    /// Compares states of which no log has everything.
    #[track_caller]
    fn compare_states(&self) {
        let state = |node| {
            let path = self.dir.path().join(format!("state-{}", NodeId(node)));
            std::fs::read_to_string(path).expect("it was told to write it")
        };
        let states: Vec<_> = (1..=3).map(state).collect();
        let lengths = states.iter().map(|it| it.lines().count()).collect::<Vec<_>>();
        assert!(states[0] == states[1] && states[1] == states[2], "they differ: {lengths:?}");
        let once: BTreeSet<_> = states[0].lines().map(str::to_owned).collect();
        let told = self.told.lock().expect("no panic");
        let lost: Vec<_> = told.acknowledged.difference(&once).collect();
        assert!(lost.is_empty(), "{} acknowledged batches are lost: {lost:?}", lost.len());
        assert!(told.installed > 0, "nobody ever began with a snapshot");
        let trimmed = (1..=3).map(|node| open(self.dir.path(), NodeId(node)).trimmed());
        assert!(trimmed.max() > Some(Seq(0)), "everybody has kept everything");
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
