//! Streams of proposals while leaders change: what becomes of each batch, and in which order.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_ha_transport::{
    Apply, ChannelNetwork, LocalCoordinator, NodeId, Outcome, Planted, Policy, ProposeError,
    Replica, ReplicaError, ReplicaLog, ReplicaOptions, Seq,
};

const GROUP: u64 = 43;
const PATIENCE: Duration = Duration::from_secs(30);

/// The reign in which a batch was proposed, and which batch of that reign it is.
type Name = (u64, u64);

/// What was applied, in order. It takes its time, so that batches wait to be proposed meanwhile.
#[derive(Clone, Default)]
struct State(Arc<Mutex<Vec<Name>>>);

impl Apply for State {
    fn apply(&mut self, _: Seq, payload: &[u8]) -> Result<(), String> {
        std::thread::park_timeout(Duration::from_micros(200));
        let number = |at: usize| u64::from_le_bytes(*payload[at..].first_chunk().expect("8 bytes"));
        self.0.lock().expect("no panic").push((number(0), number(8)));
        Ok(())
    }

    fn reset(&mut self) {
        self.0.lock().expect("no panic").clear();
    }
}

/// What became of the batches of one reign, in order, until one was not taken any more.
struct Reign {
    epoch: u64,
    outcomes: Vec<Outcome>,
}

/// Proposes whenever the node leads, as much as it takes, and does not wait for anything.
fn stream(replica: &Replica, ends: &AtomicBool) -> Vec<Reign> {
    let mut reigns = Vec::new();
    while !ends.load(Ordering::SeqCst) {
        let soon = Duration::from_millis(5);
        let Some(status) = replica.watch(soon, |status| status.leads) else { continue };
        let (epoch, mut proposed) = (status.epoch, Vec::new());
        while !ends.load(Ordering::SeqCst) {
            let name = [epoch.0, proposed.len() as u64].map(u64::to_le_bytes).concat();
            match replica.propose(epoch, name.into(), soon) {
                Ok(one) => proposed.push(one),
                Err(ReplicaError::Propose(
                    ProposeError::WindowFull { .. } | ProposeError::HandingOver { .. },
                )) => {}
                Err(_) => break,
            }
        }
        let known = |one| replica.wait(one, PATIENCE).expect("it goes on");
        let outcomes = proposed.into_iter().map(known).collect();
        reigns.push(Reign { epoch: epoch.0, outcomes });
    }
    reigns
}

/// What is wrong with what was applied on a node, if something is.
fn fault(reigns: &[Reign], applied: &[Name]) -> Option<String> {
    let mut expected = (0, 0);
    for &name in applied {
        let begins = name.0 > expected.0 && name.1 == 0;
        if name != expected && !begins {
            return Some(format!("{name:?} is applied where {expected:?} is awaited"));
        }
        expected = (name.0, name.1 + 1);
    }
    let is_applied = applied.iter().copied().collect::<BTreeSet<_>>();
    for Reign { epoch, outcomes } in reigns {
        let rank = |outcome: &Outcome| match outcome {
            Outcome::Committed => 0,
            Outcome::Unknown => 1,
            Outcome::Refused => 2,
            Outcome::Waiting => 3,
        };
        if !outcomes.is_sorted_by_key(rank) {
            return Some(format!("one was refused and a later one was not: {outcomes:?}"));
        }
        for (name, outcome) in (0..).map(|number| (*epoch, number)).zip(outcomes) {
            let is_there = is_applied.contains(&name);
            if *outcome == Outcome::Waiting
                || is_there && *outcome == Outcome::Refused
                || !is_there && *outcome == Outcome::Committed
            {
                return Some(format!("{name:?} is {outcome:?}, applied: {is_there}"));
            }
        }
    }
    None
}

/// Nodes among which leading goes around for a while, and what was proposed at each of them meanwhile.
fn go_around(dir: &Path, planted: Option<Planted>, rounds: usize) -> (Vec<Reign>, Vec<Vec<Name>>) {
    let ids = [1, 2].map(NodeId);
    let network = ChannelNetwork::new();
    let (mut replicas, mut states) = (Vec::new(), Vec::new());
    let lease = Duration::from_secs(2);
    for (id, coordinator) in ids.into_iter().zip(LocalCoordinator::in_memory(ids, lease)) {
        let peers = ids.into_iter().filter(|&it| it != id).map(|it| (it, String::new())).collect();
        let mut options = ReplicaOptions::founding(id, peers);
        options.node.policy = Policy::All;
        options.node.evict = None;
        options.node.beat = Duration::from_millis(10);
        options.node.planted = planted;
        let log = ReplicaLog::open(dir.join(id.to_string()), GROUP, id).expect("its own");
        let state = State::default();
        let (transport, coordinator) = (Box::new(network.join(id)), Box::new(coordinator));
        let apply = Box::new(state.clone());
        let replica = Replica::start(options, GROUP, log, transport, coordinator, apply);
        replicas.push(replica.expect("threads"));
        states.push(state);
    }
    let ends = AtomicBool::new(false);
    let reigns = std::thread::scope(|scope| {
        let streams: Vec<_> = replicas.iter().map(|it| scope.spawn(|| stream(it, &ends))).collect();
        for round in 0..rounds {
            let (from, to) = (round % 2, 1 - round % 2);
            replicas[from].watch(PATIENCE, |status| status.leads).expect("it leads");
            // Something is under way.
            replicas[from].watch(Duration::from_millis(20), |_| false);
            let end = Instant::now() + PATIENCE;
            while replicas[from].hand_over(ids[to]).is_err() {
                assert!(Instant::now() < end, "it does not hand over");
                replicas[from].watch(Duration::from_millis(2), |_| false);
            }
            replicas[to].watch(PATIENCE, |status| status.leads).expect("the other one leads");
        }
        ends.store(true, Ordering::SeqCst);
        streams.into_iter().flat_map(|it| it.join().expect("no panic")).collect()
    });
    let last = replicas.iter().map(|it| it.status().last).max().expect("there are some");
    let is_even = |replica: &Replica| replica.watch(PATIENCE, |status| status.applied >= last);
    assert!(replicas.iter().all(|it| is_even(it).is_some()), "they do not catch up");
    drop(replicas);
    (reigns, states.iter().map(|state| state.0.lock().expect("no panic").clone()).collect())
}

/// What is wrong, if something is; and how many were refused after they had been taken.
fn look(planted: Option<Planted>, rounds: usize) -> (Option<String>, usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let (reigns, applied) = go_around(dir.path(), planted, rounds);
    let all = reigns.iter().flat_map(|reign| &reign.outcomes);
    let refused = all.filter(|&&it| it == Outcome::Refused).count();
    (applied.iter().find_map(|applied| fault(&reigns, applied)), refused)
}

// INV-78
#[test]
fn streams_keep_their_order_and_outcomes_hold_while_leaders_change() {
    let mut refused = 0;
    let end = Instant::now() + PATIENCE;
    while refused == 0 {
        let (fault, some) = look(None, 8);
        assert_eq!(fault, None);
        refused += some;
        assert!(Instant::now() < end, "nothing is ever refused after it was taken");
    }
}

#[test]
fn a_batch_of_an_old_reign_that_is_proposed_in_a_new_one_is_found() {
    let end = Instant::now() + PATIENCE;
    while look(Some(Planted::ProposesInLaterReigns), 8).0.is_none() {
        assert!(Instant::now() < end, "it is not found");
    }
}

/// Panics at the first batch.
struct Panics;

impl Apply for Panics {
    fn apply(&mut self, _: Seq, _: &[u8]) -> Result<(), String> {
        panic!("as it was meant to");
    }

    fn reset(&mut self) {}
}

#[test]
fn whoever_waits_hears_that_the_replica_panicked() {
    let dir = tempfile::tempdir().expect("a directory");
    let id = NodeId(1);
    let coordinator =
        LocalCoordinator::in_memory([id], Duration::from_secs(2)).next().expect("one");
    let log = ReplicaLog::open(dir.path(), GROUP, id).expect("its own");
    let (options, transport) =
        (ReplicaOptions::founding(id, Vec::new()), ChannelNetwork::new().join(id));
    let (transport, coordinator) = (Box::new(transport), Box::new(coordinator));
    let replica = Replica::start(options, GROUP, log, transport, coordinator, Box::new(Panics));
    let replica = replica.expect("threads");
    let epoch = replica.watch(PATIENCE, |status| status.leads).expect("it leads").epoch;
    let proposed = replica.propose(epoch, [7].into(), PATIENCE).expect("it leads");
    let is_told = |error| match error {
        ReplicaError::Stopped { why } => why == "its thread panicked",
        _ => false,
    };
    assert!(is_told(replica.wait(proposed, PATIENCE).expect_err("nobody knows")));
    assert!(is_told(replica.propose(epoch, [8].into(), PATIENCE).expect_err("it is gone")));
    assert!(is_told(replica.add(NodeId(2)).expect_err("it is gone")));
}
