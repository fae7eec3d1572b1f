//! What replication costs: a commit on two disks beside one on one disk, batches under way beside a journal alone,
//! sessions with followers beside sessions without, and how long nobody leads.
//!
//! All nodes run in this process and share its disk, so that their syncs wait for each other, as those of nodes with a
//! disk each do not.

#[path = "replication/secured.rs"]
mod secured;
#[path = "replication/sessions.rs"]
mod sessions;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use steadfast_benches::{Args, Pair, median, print_note, timed};
use steadfast_ha_transport::{
    Apply, LocalCoordinator, NodeId, Outcome, Policy, Replica, ReplicaLog, ReplicaOptions, Seq,
    TcpOptions, TcpTransport,
};
use steadfast_journal::{Batch, End, Journal, Options, WriteMode};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const GROUP: u64 = 1;
const PATIENCE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_millis(500);
/// Where it is not about who leads: for longer than any disk that has much to write keeps a leader from its lease.
const LONG_LEASE: Duration = Duration::from_secs(10);
/// Bytes of a record.
const RECORD: usize = 100;

/// Counts what is applied.
struct Count(Arc<AtomicU64>);

impl Apply for Count {
    fn apply(&mut self, _: Seq, payload: &[u8]) -> std::result::Result<(), String> {
        self.0.fetch_add(payload.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn reset(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Nodes over TCP on loopback.
struct Nodes {
    replicas: Vec<(NodeId, Replica)>,
}

impl Nodes {
    fn start(dir: &Path, count: u32, policy: Policy, lease: Duration) -> Result<Self> {
        Self::start_with(dir, count, policy, lease, |_| Ok(TcpOptions::new(GROUP)))
    }

    fn start_with(
        dir: &Path,
        count: u32,
        policy: Policy,
        lease: Duration,
        tcp: impl Fn(NodeId) -> Result<TcpOptions>,
    ) -> Result<Self> {
        let ids = || (1..=count).map(NodeId);
        let mut transports = Vec::new();
        for id in ids() {
            transports.push(TcpTransport::bind(id, "127.0.0.1:0", tcp(id)?)?);
        }
        let addresses: Vec<_> =
            ids().zip(&transports).map(|(id, it)| (id, it.address().to_string())).collect();
        let mut replicas = Vec::new();
        let coordinators = LocalCoordinator::in_memory(ids(), lease);
        for ((id, transport), coordinator) in ids().zip(transports).zip(coordinators) {
            let log = ReplicaLog::open(dir.join(id.to_string()), GROUP, id)?;
            let peers = addresses.iter().filter(|it| it.0 != id).cloned().collect();
            let mut options = ReplicaOptions::founding(id, peers);
            options.node.policy = policy;
            options.node.evict = None;
            options.node.beat = Duration::from_millis(50);
            let (transport, coordinator) = (Box::new(transport), Box::new(coordinator));
            let apply = Box::new(Count(Arc::default()));
            replicas
                .push((id, Replica::start(options, GROUP, log, transport, coordinator, apply)?));
        }
        let nodes = Self { replicas };
        nodes.leader()?;
        Ok(nodes)
    }

    fn leader(&self) -> Result<&Replica> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            for (_, replica) in &self.replicas {
                if replica.watch(Duration::from_millis(1), |status| status.leads).is_some() {
                    return Ok(replica);
                }
            }
        }
        Err("nobody leads".into())
    }

    /// A commit on its own, from the proposal to the acknowledgement.
    fn commit(&self, payload: &Arc<[u8]>) -> Result<Duration> {
        let leader = self.leader()?;
        let (outcome, time) = timed(|| {
            let epoch = leader.status().epoch;
            let proposed = leader.propose(epoch, Arc::clone(payload), PATIENCE)?;
            leader.wait(proposed, PATIENCE)
        });
        if outcome? == Outcome::Committed { Ok(time) } else { Err("it was not committed".into()) }
    }

    /// So many batches, as many under way as there may be.
    fn stream(&self, count: u64, payload: &Arc<[u8]>) -> Result<Duration> {
        let leader = self.leader()?;
        let epoch = leader.status().epoch;
        let start = Instant::now();
        let mut last = None;
        for _ in 0..count {
            last = Some(leader.propose(epoch, Arc::clone(payload), PATIENCE)?);
        }
        let last = last.ok_or("nothing was sent")?;
        if leader.wait(last, PATIENCE)? != Outcome::Committed {
            return Err("it was not committed".into());
        }
        Ok(start.elapsed())
    }

    /// Until all have applied everything.
    fn settle(&self) -> Result<()> {
        let last = self.leader()?.status().last;
        for (_, replica) in &self.replicas {
            let is_even = replica.watch(PATIENCE, |status| status.applied >= last);
            is_even.ok_or("a follower does not catch up")?;
        }
        Ok(())
    }
}

/// A file of zeros, as the journal's segments are, and one write with its sync.
struct Raw {
    file: File,
    at: u64,
    bytes: u64,
}

impl Raw {
    fn new(dir: &Path) -> Result<Self> {
        let bytes = 16 << 20;
        let file = File::options().create(true).truncate(true).write(true).open(dir.join("raw"))?;
        file.write_all_at(&vec![0; 16 << 20], 0)?;
        file.sync_all()?;
        Ok(Self { file, at: 0, bytes })
    }

    fn commit(&mut self, payload: &[u8]) -> Result<Duration> {
        if self.at + payload.len() as u64 > self.bytes {
            self.at = 0;
        }
        let (done, time) = timed(|| {
            self.file.write_all_at(payload, self.at)?;
            self.file.sync_data()
        });
        done?;
        self.at += payload.len() as u64;
        Ok(time)
    }
}

/// So many batches into a journal, as many under way as replicas have.
fn journal_stream(journal: &Journal, count: u64, payload: &[u8]) -> Result<()> {
    let (mut batch, mut ends) = (Batch::new(), std::collections::VecDeque::new());
    let options = ReplicaOptions::default().node;
    let window = usize::try_from(options.window)?.min(options.window_bytes / payload.len());
    for _ in 0..count {
        batch.clear();
        batch.push(1, 1, payload)?;
        ends.push_back(journal.append(&batch, End::SafePoint)?.position);
        if ends.len() >= window {
            // As long as a replica: until there is room for one.
            journal.wait_durable(ends.pop_front().ok_or("there are more")?)?;
        }
    }
    if let Some(end) = ends.pop_back() {
        journal.wait_durable(end)?;
    }
    Ok(())
}

/// The same into several journals at once, which is what the one disk below all nodes has to do.
fn journal_streams(journals: &[Journal], count: u64, payload: &[u8]) -> Result<Duration> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let one = |journal| {
            scope.spawn(move || {
                journal_stream(journal, count, payload).map_err(|error| error.to_string())
            })
        };
        let all: Vec<_> = journals.iter().map(one).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "it panicked".to_owned())?)
    })?;
    Ok(start.elapsed())
}

fn latencies(args: Args, dir: &Path) -> Result<()> {
    let commits = if args.quick { 200 } else { 1000 };
    let payload: Arc<[u8]> = vec![7; RECORD].into();
    let nodes = Nodes::start(&dir.join("one of two"), 3, Policy::SemiSync(1), LONG_LEASE)?;
    let every = Nodes::start(&dir.join("both"), 3, Policy::All, LONG_LEASE)?;
    let mut raw = Raw::new(dir)?;
    let (mut lone, mut ours, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..commits + 20 {
        let times = (raw.commit(&payload)?, nodes.commit(&payload)?, every.commit(&payload)?);
        // The first ones find everything cold.
        if round >= 20 {
            lone.push(times.0);
            ours.push(times.1);
            all.push(times.2);
        }
    }
    let theirs = median(&mut lone) * 1e6;
    for (work, times, target) in [
        ("commit, one of two followers", &mut ours, Some(2.5)),
        ("commit, both followers", &mut all, None),
    ] {
        let (against, size, unit) = ("write and fdatasync", RECORD as u64, "µs");
        let ours = median(times) * 1e6;
        // How many times as long as the other one: the table divides theirs by ours.
        let target = target.map(|times| 1.0 / times);
        let pair =
            Pair { work, size, against, ours, theirs, unit, higher_is_better: false, target };
        pair.print();
    }
    Ok(())
}

fn streams(args: Args, dir: &Path) -> Result<()> {
    let works = [
        ("batches of one record", 1, 200_000_u64),
        ("batches of 10 records", 10, 100_000),
        ("batches of 100 records", 100, 20_000),
    ];
    let groups = [
        ("Async, one follower", 2, Policy::Async, Some(0.9)),
        ("Async, two followers", 3, Policy::Async, Some(0.9)),
        ("All, one follower", 2, Policy::All, Some(0.7)),
        ("one of two followers", 3, Policy::SemiSync(1), None),
        ("All, two followers", 3, Policy::All, None),
    ];
    for (name, count, policy, target) in groups {
        let nodes = Nodes::start(&dir.join(name), count, policy, LONG_LEASE)?;
        // As whoever needs no followers has one, and as many as the nodes have, written as theirs.
        let open = |number: u32, options| -> Result<Journal> {
            Ok(Journal::open(dir.join(format!("{name}.{number}")), options)?.0)
        };
        let journal = [open(0, Options::new())?];
        let as_theirs = || Options::new().write_mode(WriteMode::Pwrite);
        let journals = (1..=count).map(|number| open(number, as_theirs()));
        let journals = journals.collect::<Result<Vec<_>>>()?;
        for (records, each, batches) in works {
            let batches = if args.quick { batches / 10 } else { batches };
            let payload: Arc<[u8]> = vec![7; RECORD * each].into();
            let (mut ours, mut alone, mut side_by_side) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..args.samples {
                alone.push(journal_streams(&journal, batches, &payload)?);
                ours.push(nodes.stream(batches, &payload)?);
                nodes.settle()?;
                side_by_side.push(journal_streams(&journals, batches, &payload)?);
            }
            let rate = |times: &mut Vec<Duration>| {
                #[expect(clippy::cast_precision_loss, reason = "some thousands")]
                let records = (batches * each as u64) as f64;
                records / median(times)
            };
            let work = format!("{records}, {name}");
            let ours = rate(&mut ours);
            let beside = format!("{count} journals on one disk");
            for (against, theirs, target) in [
                ("a journal alone", rate(&mut alone), target),
                (&beside, rate(&mut side_by_side), None),
            ] {
                let (unit, higher_is_better) = ("records/s", true);
                Pair {
                    work: &work,
                    size: batches,
                    against,
                    ours,
                    theirs,
                    unit,
                    higher_is_better,
                    target,
                }
                .print();
            }
        }
    }
    Ok(())
}

/// How long nothing is committed when the leader goes, and when it hands over.
fn gaps(args: Args, dir: &Path) -> Result<()> {
    let payload: Arc<[u8]> = vec![7; RECORD].into();
    let (mut lost, mut handed) = (Vec::new(), Vec::new());
    for round in 0..args.samples.max(5) {
        let mut nodes =
            Nodes::start(&dir.join(format!("gap {round}")), 3, Policy::Majority, LEASE)?;
        nodes.commit(&payload)?;
        let first = nodes.leader()?.status().leader.ok_or("it leads")?;
        let next = nodes.replicas.iter().find(|it| it.0 != first).ok_or("there are three")?.0;
        let start = Instant::now();
        nodes.leader()?.hand_over(next)?;
        let leads = &nodes.replicas.iter().find(|it| it.0 == next).ok_or("it is there")?.1;
        leads.watch(PATIENCE, |status| status.leads).ok_or("it does not take over")?;
        while nodes.commit(&payload).is_err() {}
        handed.push(start.elapsed());
        // As a crash: nothing is said, the lease stays.
        let start = Instant::now();
        let at = nodes.replicas.iter().position(|it| it.0 == next).ok_or("it is there")?;
        nodes.replicas.remove(at).1.abandon();
        while nodes.commit(&payload).is_err() {}
        lost.push(start.elapsed());
    }
    let lease = LEASE.as_secs_f64();
    for (work, times, against, theirs) in [
        ("the leader stops, until the next commit", &mut lost, "lease and 500 ms", lease + 0.5),
        ("handing over, until the next commit", &mut handed, "50 ms", 0.05),
    ] {
        Pair {
            work,
            size: 3,
            against,
            ours: median(times) * 1e3,
            theirs: theirs * 1e3,
            unit: "ms",
            higher_is_better: false,
            target: Some(1.0),
        }
        .print();
    }
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::from_env();
    let dir = tempfile::tempdir()?;
    print_note("all nodes of a group share one disk and two processors here");
    let only = std::env::args().skip_while(|it| it != "--only").nth(1);
    let is_wanted = |name| only.as_deref().is_none_or(|only| only == name);
    if is_wanted("latencies") {
        latencies(args, dir.path())?;
    }
    if is_wanted("streams") {
        streams(args, dir.path())?;
    }
    if is_wanted("gaps") {
        gaps(args, dir.path())?;
    }
    if is_wanted("sessions") {
        sessions::run(args)?;
    }
    if is_wanted("secured") {
        secured::run(args, dir.path())?;
    }
    Ok(())
}
