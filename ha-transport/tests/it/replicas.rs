use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_ha_transport::{
    Apply, ChangeError, Epoch, LocalCoordinator, NodeId, Outcome, Policy, ProposeError, Replica,
    ReplicaError, ReplicaLog, ReplicaOptions, Seq, Status, TcpOptions, TcpTransport, Transport,
};

const GROUP: u64 = 42;
const PATIENCE: Duration = Duration::from_secs(30);

/// What was applied, in order, and what was said of leading.
#[derive(Default)]
struct Applied {
    payloads: Vec<Vec<u8>>,
    led: Vec<Epoch>,
    refuses: Option<Vec<u8>>,
    resets: u32,
}

#[derive(Clone, Default)]
struct State(Arc<Mutex<Applied>>, Duration);

impl Apply for State {
    fn apply(&mut self, _: Seq, payload: &[u8]) -> Result<(), String> {
        std::thread::park_timeout(self.1);
        let mut applied = self.0.lock().expect("no panic");
        if applied.refuses.as_deref() == Some(payload) {
            return Err("that cannot be".to_owned());
        }
        applied.payloads.push(payload.to_vec());
        Ok(())
    }

    fn leads(&mut self, epoch: Epoch) {
        self.0.lock().expect("no panic").led.push(epoch);
    }

    fn reset(&mut self) {
        let mut applied = self.0.lock().expect("no panic");
        applied.payloads.clear();
        applied.resets += 1;
    }
}

struct Node {
    id: NodeId,
    replica: Replica,
    state: State,
}

/// Nodes over TCP that can be stopped and started again.
struct Cluster {
    dir: tempfile::TempDir,
    addresses: Vec<(NodeId, String)>,
    policy: Policy,
    evict: Option<Duration>,
    founders: usize,
    /// How long each batch takes to be applied.
    slow: Duration,
    nodes: Vec<Node>,
}

impl Cluster {
    fn new(count: u32, founders: usize, policy: Policy, evict: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ids = (1..=count).map(NodeId);
        let addresses = ids.map(|id| (id, free_address())).collect();
        let mut cluster = Self {
            dir,
            addresses,
            policy,
            evict,
            founders,
            slow: Duration::ZERO,
            nodes: Vec::new(),
        };
        (1..=count).for_each(|id| cluster.start(NodeId(id)));
        cluster
    }

    fn start(&mut self, id: NodeId) {
        let (mut options, address) = options(id, &self.addresses, self.founders);
        options.node.policy = self.policy;
        options.node.evict = self.evict;
        let state = State(Arc::default(), self.slow);
        let replica = start(self.dir.path(), id, &address, options, Box::new(state.clone()));
        self.nodes.push(Node { id, replica, state });
    }

    fn stop(&mut self, id: NodeId) {
        self.nodes.retain(|node| node.id != id);
    }

    #[track_caller]
    fn leader(&self) -> &Node {
        until("a leader", || self.nodes.iter().find(|node| node.replica.status().leads))
    }

    #[track_caller]
    fn node(&self, id: NodeId) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("it runs")
    }

    /// Proposes one batch after the other, and waits until they are committed.
    #[track_caller]
    fn work(&self, payloads: std::ops::Range<u32>) {
        let leader = &self.leader().replica;
        let epoch = leader.status().epoch;
        let mut last = None;
        for number in payloads {
            last = Some(leader.propose(epoch, bytes(number).into(), PATIENCE).expect("it leads"));
        }
        let outcome = leader.wait(last.expect("there was one"), PATIENCE).expect("it works");
        assert_eq!(outcome, Outcome::Committed, "{:?}", leader.status());
    }

    /// All that run have applied these, and nothing else.
    #[track_caller]
    fn all_have(&self, payloads: std::ops::Range<u32>) {
        let expected: Vec<_> = payloads.map(bytes).collect();
        for node in &self.nodes {
            until("everything is applied", || {
                (node.state.0.lock().expect("no panic").payloads.len() >= expected.len())
                    .then_some(())
            });
            assert!(
                node.state.0.lock().expect("no panic").payloads == expected,
                "node {} has others",
                node.id
            );
        }
    }
}

fn bytes(number: u32) -> Vec<u8> {
    // Some are longer than others.
    number.to_le_bytes().repeat(1 + number as usize % 300)
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("bound").to_string()
}

fn options(
    id: NodeId,
    addresses: &[(NodeId, String)],
    founders: usize,
) -> (ReplicaOptions, String) {
    let address = addresses.iter().find(|it| it.0 == id).expect("one of them").1.clone();
    let peers = addresses.iter().filter(|it| it.0 != id).cloned().collect();
    let mut options = ReplicaOptions::founding(id, peers);
    options.founders = addresses[..founders].iter().map(|it| it.0).collect();
    if !options.founders.contains(&id) {
        options.founders.clear();
    }
    (options, address)
}

fn start(
    dir: &Path,
    id: NodeId,
    address: &str,
    mut options: ReplicaOptions,
    apply: Box<dyn Apply>,
) -> Replica {
    options.node.beat = Duration::from_millis(20);
    options.node.resend = Duration::from_millis(200);
    // Long enough for a loaded machine: these tests are not about who is slow.
    let lease = Duration::from_secs(2);
    let log = ReplicaLog::open(dir.join(id.to_string()), GROUP, id).expect("its own");
    let tcp = until("the address", || TcpTransport::bind(id, address, TcpOptions::new(GROUP)).ok());
    let coordinator =
        LocalCoordinator::in_directory(dir.join("group"), id, lease).expect("a directory");
    let (tcp, coordinator): (Box<dyn Transport>, _) = (Box::new(tcp), Box::new(coordinator));
    Replica::start(options, GROUP, log, tcp, coordinator, apply).expect("threads")
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

#[test]
fn what_is_proposed_is_applied_everywhere_in_order() {
    let cluster = Cluster::new(3, 3, Policy::All, None);
    cluster.work(0..500);
    cluster.all_have(0..500);
    let status = cluster.leader().replica.status();
    assert_eq!((status.committed, status.members.len()), (Seq(501), 3));
}

#[test]
fn a_node_that_was_away_gets_what_it_missed() {
    let mut cluster = Cluster::new(3, 3, Policy::Majority, None);
    cluster.work(0..100);
    let away = cluster.nodes.iter().map(|node| node.id).find(|&id| id != cluster.leader().id);
    cluster.stop(away.unwrap());
    cluster.work(100..400);
    cluster.start(away.unwrap());
    cluster.work(400..450);
    cluster.all_have(0..450);
}

#[test]
fn when_the_leader_goes_another_one_leads_and_nothing_is_lost() {
    let mut cluster = Cluster::new(3, 3, Policy::Majority, None);
    let mut done = 0;
    for round in 0..3 {
        cluster.work(done..done + 60);
        done += 60;
        let leader = cluster.leader().id;
        let epoch = cluster.leader().replica.status().epoch;
        cluster.stop(leader);
        assert!(cluster.leader().replica.status().epoch > epoch, "round {round}");
        cluster.work(done..done + 60);
        done += 60;
        cluster.start(leader);
        cluster.all_have(0..done);
    }
}

#[test]
fn a_leader_hands_over() {
    let cluster = Cluster::new(3, 3, Policy::All, None);
    cluster.work(0..50);
    let before = cluster.leader();
    let epoch = before.replica.status().epoch;
    let to = cluster.nodes.iter().map(|node| node.id).find(|&id| id != before.id).unwrap();
    let no_member = before.replica.hand_over(NodeId(9));
    let expected = ChangeError::NoMember { node: NodeId(9) };
    assert!(matches!(no_member, Err(ReplicaError::Change(error)) if error == expected));
    before.replica.hand_over(to).unwrap();
    until("the other one leads", || cluster.node(to).replica.status().leads.then_some(()));
    until("the leader knows", || (!before.replica.status().leads).then_some(()));
    let refused = before.replica.propose(epoch, bytes(50).into(), Duration::ZERO);
    assert!(matches!(refused, Err(ReplicaError::Propose(ProposeError::NotLeader { .. }))));
    cluster.work(50..100);
    cluster.all_have(0..100);
    // Everything that the old one had applied was committed: there is nothing to make anew.
    assert_eq!(before.state.0.lock().unwrap().resets, 0);
    // It leads again, and what was to be proposed in its first reign is not proposed in this one.
    until("it takes over", || cluster.node(to).replica.hand_over(before.id).ok());
    let again = until("it leads", || Some(before.replica.status()).filter(|it| it.leads)).epoch;
    let refused = before.replica.propose(epoch, bytes(100).into(), Duration::ZERO);
    let other = ProposeError::OtherReign { wanted: epoch, epoch: again };
    assert!(matches!(refused, Err(ReplicaError::Propose(error)) if error == other));
    cluster.work(100..110);
    cluster.all_have(0..110);
}

#[test]
fn whoever_cannot_apply_a_batch_stops_and_leads_no_more() {
    let mut cluster = Cluster::new(3, 3, Policy::Majority, None);
    cluster.work(0..20);
    let refuses = cluster.leader().id;
    cluster.leader().state.0.lock().unwrap().refuses = Some(bytes(20));
    let replica = &cluster.node(refuses).replica;
    let epoch = replica.status().epoch;
    let proposed = replica.propose(epoch, bytes(20).into(), Duration::ZERO).unwrap();
    // It stops before it tells anybody that the batch is committed.
    let stopped = replica.wait(proposed, PATIENCE).unwrap_err().to_string();
    assert!(stopped.contains("cannot be applied: that cannot be"), "{stopped}");
    cluster.stop(refuses);
    // The others have it, and go on.
    cluster.work(21..40);
    cluster.all_have(0..40);
    cluster.start(refuses);
    cluster.all_have(0..40);
}

#[test]
fn members_come_and_go() {
    let mut cluster = Cluster::new(4, 3, Policy::All, Some(Duration::from_millis(600)));
    cluster.work(0..200);
    let members = |cluster: &Cluster| cluster.leader().replica.status().members;
    assert_eq!(members(&cluster), [1, 2, 3].map(NodeId));
    // The fourth one follows and does not count. Now it does.
    until("the fourth is a member", || cluster.leader().replica.add(NodeId(4)).ok());
    until("the group is larger", || (members(&cluster).len() == 4).then_some(()));
    cluster.work(200..300);
    cluster.all_have(0..300);
    // One that is gone is waited for, then it counts no more.
    let gone = cluster.nodes.iter().map(|node| node.id).find(|&id| id != cluster.leader().id);
    cluster.stop(gone.unwrap());
    cluster.work(300..310);
    until("the group is smaller", || (members(&cluster).len() == 3).then_some(()));
    // It comes back, follows, and is taken in again.
    cluster.start(gone.unwrap());
    until("it is a member again", || cluster.leader().replica.add(gone.unwrap()).ok());
    until("the group is larger", || (members(&cluster).len() == 4).then_some(()));
    cluster.work(310..350);
    cluster.all_have(0..350);
    let leader = cluster.leader();
    let refused = leader.replica.remove(leader.id);
    let expected = ChangeError::Leader { node: leader.id };
    assert!(matches!(refused, Err(ReplicaError::Change(error)) if error == expected));
}

/// With `All` any one member may go on alone, once the others have been silent for long enough.
#[test]
fn the_last_member_leads_when_the_others_have_been_silent() {
    for founders in [2, 3] {
        let evict = Some(Duration::from_millis(600));
        let mut cluster = Cluster::new(founders, founders as usize, Policy::All, evict);
        cluster.work(0..50);
        let left = cluster.nodes.iter().map(|node| node.id).find(|&id| id != cluster.leader().id);
        let left = left.unwrap();
        let gone: Vec<_> = cluster.nodes.iter().map(|it| it.id).filter(|&id| id != left).collect();
        gone.iter().for_each(|&id| cluster.stop(id));
        assert_eq!(cluster.leader().id, left);
        if founders == 2 {
            cluster.work(50..60);
            cluster.all_have(0..60);
        }
    }
}

#[test]
fn without_followers_nothing_is_committed_and_nothing_is_pretended() {
    let mut cluster = Cluster::new(3, 3, Policy::All, None);
    cluster.work(0..10);
    let leader = cluster.leader().id;
    let others: Vec<_> =
        cluster.nodes.iter().map(|node| node.id).filter(|&id| id != leader).collect();
    others.iter().for_each(|&id| cluster.stop(id));
    let replica = &cluster.node(leader).replica;
    let epoch = replica.status().epoch;
    let proposed = replica.propose(epoch, bytes(10).into(), Duration::ZERO).unwrap();
    let outcome = replica.wait(proposed, Duration::from_millis(300)).unwrap();
    assert_eq!(outcome, Outcome::Waiting);
    let mut waiting = 1;
    let refused = loop {
        match replica.propose(epoch, bytes(11).into(), Duration::from_millis(20)) {
            Ok(_) => waiting += 1,
            Err(error) => break error,
        }
    };
    let full = ProposeError::WindowFull { waiting };
    assert!(matches!(refused, ReplicaError::Propose(error) if error == full), "{refused}");
    assert_eq!(waiting, 1024);
    // What was proposed is committed when they are back.
    others.iter().for_each(|&id| cluster.start(id));
    let replica = &cluster.node(leader).replica;
    assert_eq!(replica.wait(proposed, PATIENCE).unwrap(), Outcome::Committed);
}

#[test]
fn an_operator_may_force_what_the_policy_does_not_allow_and_who_knew_better_is_set_aside() {
    let mut cluster = Cluster::new(2, 2, Policy::Async, None);
    cluster.work(0..20);
    cluster.all_have(0..20);
    let leader = cluster.leader().id;
    let other = cluster.nodes.iter().map(|node| node.id).find(|&id| id != leader).unwrap();
    cluster.stop(other);
    cluster.work(20..30);
    // Nobody but the leader has the last ten, and the leader is lost.
    cluster.stop(leader);
    cluster.start(other);
    let replica = &cluster.node(other).replica;
    let alone = replica.watch(Duration::from_secs(5), |status| status.leads);
    assert_eq!(alone, None, "the policy asks for the old leader");
    replica.force();
    until("it leads", || replica.status().leads.then_some(()));
    cluster.all_have(0..20);
    // The old leader comes back, and knows of commits that are none any more.
    cluster.start(leader);
    let quarantined = |status: Status| status.quarantined;
    until("it is set aside", || quarantined(cluster.node(leader).replica.status()));
    let epoch = cluster.node(other).replica.status().epoch;
    let proposed = cluster.node(other).replica.propose(epoch, bytes(30).into(), PATIENCE).unwrap();
    let outcome = cluster.node(other).replica.wait(proposed, PATIENCE).unwrap();
    assert_eq!(outcome, Outcome::Committed);
}

#[test]
fn applying_for_longer_than_a_lease_does_not_keep_a_node_from_leading() {
    let mut cluster = Cluster::new(3, 3, Policy::Majority, None);
    cluster.work(0..1500);
    (1..=3).for_each(|id| cluster.stop(NodeId(id)));
    // Everything is applied anew, for twice as long as a lease lasts.
    cluster.slow = Duration::from_millis(3);
    (1..=3).for_each(|id| cluster.start(NodeId(id)));
    // It goes on listening meanwhile, and tells how far it is.
    let is_halfway = |status: &Status| (100..1400).contains(&status.applied.0);
    let halfway = cluster.nodes[0].replica.watch(PATIENCE, is_halfway);
    assert!(halfway.is_some(), "nothing is heard before everything is applied");
    cluster.work(1500..1510);
    cluster.all_have(0..1510);
    let led = cluster.nodes.iter().map(|it| it.state.0.lock().unwrap().led.len()).sum::<usize>();
    assert_eq!(led, 1, "one after the other led");
}
