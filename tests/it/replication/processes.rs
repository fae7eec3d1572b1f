//! Three processes, of which leaders are killed and stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast::ha::{NodeId, Policy};
use steadfast::prelude::*;
use steadfast::{CommitSeq, Error, Session};

use super::{Addresses, PATIENCE, builder, lead, look_at, start, until};
use crate::child::{Child, task, tell, wait_for_the_end};
use crate::durability::kills::{Heard, Twin, waiting};
use crate::durability::life::{Draw, Life, Mail, orders};
use crate::support::{Disk, said, say};

const LEASE: Duration = Duration::from_millis(700);

/// Whoever is killed may have told half a line.
fn live(dir: &Path, task: &str) {
    let mut words = task.split(' ');
    let id = NodeId(words.next().and_then(|id| id.parse().ok()).expect("a number"));
    let addresses = Addresses(words.map(str::to_owned).collect());
    let builder = builder(dir, &addresses, id, Policy::Majority);
    let mut node = start(builder, dir, &addresses, id, LEASE, orders());
    loop {
        let Some(mut session) = lead(&mut node, orders, Duration::from_secs(3600)) else {
            continue;
        };
        tell(format!("leads {} {}", session.last_commit().get(), session.digest()));
        let ended = work(&mut session);
        assert!(matches!(ended, Error::Deposed | Error::Uncertain { .. }), "{}", ended.report());
    }
}

/// Works on from where the session is, until another one leads.
fn work(session: &mut Session) -> Error {
    let disk = Disk::new();
    let mut twin = Twin::new(disk.open(orders()));
    twin.go_to(session.last_commit());
    assert_eq!(session.digest(), twin.session.digest(), "what this node leads with");
    let mut work = twin.work;
    loop {
        let mut deliver =
            |commit, ordinal, mail: &Mail| tell(format!("mail {commit} {ordinal} {mail:?}"));
        match (Life { session, deliver: &mut deliver }).part(work) {
            Ok(done) => {
                work += u64::from(done);
                tell(format!("done {} {}", session.last_commit().get(), session.digest()));
            }
            Err(ended) => return ended,
        }
        // Not so many that the twins take longer and longer.
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// What all of them have told.
#[derive(Default)]
struct Told {
    heard: Heard,
    /// Digests after commits that were acknowledged or led with.
    digests: BTreeMap<u64, String>,
    led: u64,
    faults: Vec<String>,
}

impl Told {
    fn take(&mut self, told: &str) {
        let words: Vec<_> = told.split(' ').collect();
        let [what, commit, digest] = words[..] else {
            if what_is_mail(told) {
                self.heard.take(told);
            }
            return; // Half a line.
        };
        let (Ok(commit), true) = (commit.parse(), digest.len() == 32) else { return };
        if what == "leads" {
            self.led += 1;
        }
        if what == "done" {
            self.heard.commit = self.heard.commit.max(commit);
        }
        let known = self.digests.entry(commit).or_insert_with(|| digest.to_owned());
        if known != digest {
            self.faults.push(format!("after commit {commit} there were {known} and {digest}"));
        }
    }
}

fn what_is_mail(told: &str) -> bool {
    told.starts_with("mail ") && told.ends_with('}')
}

struct Nodes {
    disk: Disk,
    addresses: Addresses,
    children: [Option<Child>; 3],
    told: Arc<Mutex<Told>>,
}

const NAME: &str = "replication::processes::whoever_is_killed_or_stopped_the_session_lives_on";

impl Nodes {
    fn start(&mut self, node: usize) {
        let task = format!("{} {}", node + 1, self.addresses.0.join(" "));
        let mut child = Child::start(NAME, &self.disk.path(), &task);
        let told = Arc::clone(&self.told);
        child.listen(move |line| told.lock().expect("no panic").take(line));
        self.children[node] = Some(child);
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
            assert!(Instant::now() < end, "{what} does not come");
            drop(told);
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

/// INV-71, INV-72, INV-79 for groups of processes.
#[test]
fn whoever_is_killed_or_stopped_the_session_lives_on() {
    if let Some((dir, task)) = task() {
        return live(&dir, &task);
    }
    let rounds = if std::env::var_os("STEADFAST_SOAK").is_some() { 200 } else { 10 };
    let mut nodes = Nodes {
        disk: Disk::new(),
        addresses: Addresses::free(3),
        children: [None, None, None],
        told: Arc::default(),
    };
    std::fs::create_dir_all(nodes.disk.path()).unwrap();
    (0..3).for_each(|node| nodes.start(node));
    nodes.until("the first commits", |told| told.heard.commit > 5);
    let mut draw = Draw(33);
    for round in 0..rounds {
        let node = usize::try_from(draw.next(3)).unwrap();
        std::thread::park_timeout(Duration::from_millis(draw.next(200)));
        if round % 4 == 3 {
            // Long enough for another one to lead; then it finds that it does not any more.
            let child = nodes.children[node].as_ref().unwrap();
            child.signal("-STOP");
            std::thread::park_timeout(Duration::from_secs(1));
            child.signal("-CONT");
        } else {
            nodes.children[node].take().unwrap().kill();
            std::thread::park_timeout(Duration::from_millis(draw.next(500)));
            nodes.start(node);
        }
        let before = nodes.told.lock().unwrap().heard.commit;
        nodes.until("the next commit", |told| told.heard.commit > before + 5);
    }
    for child in nodes.children.iter_mut().filter_map(Option::take) {
        child.kill();
    }
    // The pipes are empty once their threads have let go of what was told.
    until("all is heard", || (Arc::strong_count(&nodes.told) == 1).then_some(()));
    let told = nodes.told.lock().unwrap();
    assert_eq!(told.faults, [""; 0]);

    // Whoever leads now has everything that was acknowledged, and lives like one that nobody killed.
    let dir = nodes.disk.path();
    let mut started: Vec<_> = nodes
        .addresses
        .ids()
        .map(|id| {
            let builder = builder(&dir, &nodes.addresses, id, Policy::Majority);
            start(builder, &dir, &nodes.addresses, id, LEASE, orders())
        })
        .collect();
    let (at, mut session) = until("a leader", || {
        let at = started.iter().position(|node| node.status().leads)?;
        Some((at, lead(&mut started[at], orders, Duration::ZERO)?))
    });
    let last = session.last_commit();
    assert!(last.get() >= told.heard.commit, "acknowledged and lost");
    let twin_disk = Disk::new();
    let mut twin = Twin::new(twin_disk.open(orders()));
    for (&commit, digest) in told.digests.range(..=last.get()) {
        // Whoever added a rule and was killed has a commit less than the twin at once.
        twin.go_to(CommitSeq::new(commit));
        assert_eq!(twin.session.digest().to_string(), *digest, "after commit {commit}");
    }
    twin.go_to(last);
    assert_eq!(session.digest(), twin.session.digest());
    let left = waiting(&mut session);
    for (key, mail) in &twin.mails {
        assert!(left.get(key).or(told.heard.mails.get(key)) == Some(mail), "{key:?}");
    }
    assert!(told.heard.mails.keys().all(|key| twin.mails.contains_key(key)), "never emitted");
    for node in &mut started {
        assert_eq!(look_at(node, orders, last).digest(), session.digest());
    }
    assert!(told.led >= rounds / 4, "{} times somebody led", told.led);
    assert!(at < 3 && said().is_empty());
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Done {
    job: u64,
}

/// Stops for ever at one place of a child's life.
fn halt_at(place: &str) {
    let is_told = task().is_some_and(|(_, task)| task.split(' ').next() == Some(place));
    if is_told {
        tell(place);
        wait_for_the_end();
    }
}

#[rule]
fn work_on(
    #[when({ if j.id == 3 { halt_at("evaluating") } true })] j: &Job,
    cx: &mut Then,
) -> RuleResult {
    say(format!("work {}", j.id));
    cx.insert(Done { job: j.id })?;
    if j.id == 3 {
        halt_at("firing");
    }
    Ok(())
}

ruleset!(working = 1: work_on; facts: Done);

const DIES: &str =
    "replication::processes::a_leader_that_dies_in_its_work_leaves_the_last_safe_point";

fn first(dir: &Path, addresses: &Addresses) -> steadfast::Replicated {
    let builder = builder(dir, addresses, NodeId(1), Policy::All);
    start(builder, dir, addresses, NodeId(1), LEASE, working())
}

/// The leader fails in an evaluation, and in a firing: the other one goes on from the last safe point, and nothing fires
/// twice.
#[test]
fn a_leader_that_dies_in_its_work_leaves_the_last_safe_point() {
    if let Some((dir, task)) = task() {
        let addresses = Addresses(task.split(' ').skip(1).map(str::to_owned).collect());
        let node = first(&dir, &addresses);
        let mut session = node.lead(PATIENCE).unwrap().unwrap();
        session.commit_every(1);
        for id in 1..=5 {
            session.insert(Job { id }).unwrap();
        }
        session.fire_all().unwrap();
    }
    for (place, done, left) in [
        ("evaluating", 0, &["work 1", "work 2", "work 3", "work 4", "work 5"][..]),
        ("firing", 2, &["work 3", "work 4", "work 5"]),
    ] {
        let disk = Disk::new();
        let dir = disk.path();
        std::fs::create_dir_all(&dir).unwrap();
        let addresses = Addresses::free(2);
        let task = format!("{place} {}", addresses.0.join(" "));
        let mut child = Child::start(DIES, &dir, &task);
        let second = builder(&dir, &addresses, NodeId(2), Policy::All);
        let second = start(second, &dir, &addresses, NodeId(2), LEASE, working());
        assert_eq!(child.hear().as_deref(), Some(place));
        child.kill();
        let mut session = second.lead(PATIENCE).unwrap().expect("nobody else is left");
        assert!(said().is_empty(), "{place}: something ran in the fail-over");
        let jobs = session.query::<Job>();
        assert_eq!(jobs.unwrap().len(), 5, "{place}");
        assert_eq!(session.query::<Done>().unwrap().len(), done, "{place}");
        // A twin that nobody killed does the same.
        let mut twin = crate::support::memory(working());
        (1..=5).for_each(|id| _ = twin.insert(Job { id }).unwrap());
        twin.fire(u64::try_from(done).unwrap()).unwrap();
        twin.flush().unwrap();
        said();
        assert_eq!(session.digest(), twin.digest(), "{place}");
        let _first = first(&dir, &addresses);
        session.fire_all().unwrap();
        assert_eq!(said(), left, "{place}");
    }
}
