//! What a group refuses, and what is left then.

use std::time::Duration;

use steadfast::Error;
use steadfast::ha::{NodeId, Policy};
use steadfast::prelude::*;

use super::report;
use crate::replication::{Addresses, GROUP, PATIENCE, builder, start, until};
use crate::support::{Disk, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Job {
    #[fact(key)]
    id: u64,
    text: String,
}

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Done {
    job: u64,
}

#[rule]
fn work(j: &Job, cx: &mut Then) -> RuleResult {
    say(format!("work {}", j.id));
    cx.emit(Done { job: j.id })?;
    Ok(())
}

ruleset!(working = 1: work);
ruleset!(working_no_more = 2: ; facts: Job);

const LEASE: Duration = Duration::from_secs(1);

fn job(id: u64) -> Job {
    Job { id, text: String::new() }
}

/// The first node of so many that are named; the others are not there.
fn alone(disk: &Disk, named: usize, policy: Policy, patience: Duration) -> steadfast::Replicated {
    let dir = disk.path();
    let addresses = Addresses::free(named);
    let builder = builder(&dir, &addresses, NodeId(1), policy).patience(patience);
    start(builder, &dir, &addresses, NodeId(1), LEASE, working())
}

/// Another thread may do the work, and another one may ask how the node is doing.
#[test]
fn a_node_and_its_session_go_from_thread_to_thread() {
    let disk = Disk::new();
    let node = std::sync::Arc::new(alone(&disk, 1, Policy::All, PATIENCE));
    let mut session = node.lead(PATIENCE).unwrap().unwrap();
    let work = std::thread::spawn(move || {
        session.insert(job(1)).unwrap();
        session
    });
    until("it is applied", || (node.status().applied.0 >= 3).then_some(()));
    assert_eq!(node.look().unwrap().unwrap().fact_count(), 1);
    assert_eq!(work.join().unwrap().fact_count(), 1);
}

#[test]
fn a_node_has_one_session_at_a_time() {
    let disk = Disk::new();
    let node = alone(&disk, 1, Policy::All, PATIENCE);
    let mut session = node.lead(PATIENCE).unwrap().unwrap();
    assert!(session.recovery().unwrap().created);
    session.insert(job(1)).unwrap();
    let again = node.lead(Duration::ZERO).unwrap_err();
    assert_eq!(
        report(&again, &disk),
        "error SF0037: the session of this node is open already\n  help: drop that session first"
    );
    session.fire_all().unwrap();
    assert_eq!(said(), ["work 1"]);
    let (id, commit) = (session.id(), session.last_commit());
    session.close().unwrap();
    let mut session = node.lead(PATIENCE).unwrap().unwrap();
    assert_eq!((session.id(), session.last_commit()), (id, commit));
    assert!(!session.recovery().unwrap().created);
    assert!(said().is_empty(), "nothing fires by leading");
    let effects = session.effects::<Done>().unwrap();
    assert_eq!(effects.iter().map(|effect| effect.job).collect::<Vec<_>>(), [1]);
    // Its journal is the group's.
    assert!(session.normalize().unwrap().is_none() && session.journal_status().unwrap().is_none());
}

#[test]
fn without_followers_a_commit_waits_and_says_so() {
    let disk = Disk::new();
    let addresses = Addresses::free(2);
    let dir = disk.path();
    let node = |id: u32, patience| {
        let builder = builder(&dir, &addresses, NodeId(id), Policy::All).patience(patience);
        start(builder, &dir, &addresses, NodeId(id), LEASE, working())
    };
    let first = node(1, Duration::from_millis(200));
    let second = node(2, PATIENCE);
    let mut session = first.lead(PATIENCE).unwrap().unwrap();
    session.insert(job(1)).unwrap();
    drop(second);
    let waits = session.insert(job(2)).unwrap_err();
    let commit = session.last_commit();
    assert_eq!(
        report(&waits, &disk),
        "error SF0034: commit c#3 is not replicated yet\n  \
         help: wait for it again, or see why the followers do not answer"
    );
    assert!(matches!(waits, Error::Unreplicated { commit: it } if it == commit));
    // It is made, and the session goes on; its effects do not leave.
    assert_eq!(session.fact_count(), 2);
    assert_eq!(session.wait_durable(commit).unwrap_err().code(), "SF0034");
    assert_eq!(session.fire_all().unwrap_err().code(), "SF0034");
    assert_eq!(session.effects::<Done>().unwrap_err().code(), "SF0034");
    assert_eq!(said(), ["work 1", "work 2"]);
    let _second = node(2, PATIENCE);
    until("the follower", || session.wait_durable(session.last_commit()).ok());
    assert_eq!(session.effects::<Done>().unwrap().len(), 2);
    session.insert(job(3)).unwrap();
}

/// The node goes on as a follower, and has no place for the session's work.
#[test]
fn a_leader_that_hands_over_takes_no_more_work_and_one_that_is_deposed_does_not_know_what_is_under_way()
 {
    let disk = Disk::new();
    let dir = disk.path();
    let (mut addresses, policy) = (Addresses::free(2), Policy::All);
    let node = |addresses: &Addresses, id: u32| {
        let patience = Duration::from_millis(200);
        let builder = builder(&dir, addresses, NodeId(id), policy).patience(patience);
        start(builder, &dir, addresses, NodeId(id), LEASE, working())
    };
    let (first, second) = (node(&addresses, 1), node(&addresses, 2));
    let mut session = first.lead(PATIENCE).unwrap().unwrap();
    session.insert(job(1)).unwrap();
    first.hand_over(NodeId(2)).unwrap();
    let deposed = until("another leader", || session.flush().and(session.insert(job(2))).err());
    assert_eq!(
        report(&deposed, &disk),
        "error SF0032: this node does not lead any more; the commit was not taken\n  \
         help: drop the session, and wait until a node leads: it goes on there"
    );
    assert_eq!(session.insert(job(3)).unwrap_err().code(), "SF0014");
    drop(session);
    let mut session = second.lead(PATIENCE).unwrap().unwrap();
    until("the news", || (first.status().leader == Some(NodeId(2))).then_some(()));
    let not_here = first.add(NodeId(2)).unwrap_err();
    assert_eq!(
        report(&not_here, &disk),
        "error SF0035: the node of the group did not do it\n  this node does not lead; ask the leader\n  \
         help: see the cause; start the node again if it has stopped"
    );
    // What it says while nobody follows is under way; then an operator has the other one lead.
    drop(first);
    let commit = session.last_commit();
    assert_eq!(session.insert(job(4)).unwrap_err().code(), "SF0034");
    addresses.move_away(NodeId(2)); // Who has the lower number dials.
    let first = node(&addresses, 1);
    until("it knows the group", || (!first.status().members.is_empty()).then_some(()));
    first.force();
    let mut forced = first.lead(PATIENCE).unwrap().unwrap();
    assert_eq!(forced.last_commit(), commit, "the forced leader knows nothing of it");
    let uncertain = until("the news", || {
        session.wait_durable(session.last_commit()).err().filter(|it| it.code() != "SF0034")
    });
    assert_eq!(
        report(&uncertain, &disk),
        format!(
            "error SF0033: this node was deposed before commit {} was known to be replicated\n  help: drop the \
             session, and ask the next one that leads whether it has the commit (`last_commit`)",
            session.last_commit()
        )
    );
    assert_eq!(forced.fire_all().unwrap_err().code(), "SF0034", "it has no follower, either");
    assert_eq!(said(), ["work 1"]);
}

#[test]
fn a_leader_whose_build_has_other_rules_says_so_and_the_group_keeps_its_state() {
    let disk = Disk::new();
    let mut node = alone(&disk, 1, Policy::All, PATIENCE);
    let mut session = node.lead(PATIENCE).unwrap().unwrap();
    session.insert(job(1)).unwrap();
    drop(session);
    node.set_ruleset(working_no_more()).unwrap();
    let changed = node.lead(PATIENCE).unwrap_err();
    assert_eq!(changed.code(), "SF0002", "{}", changed.report());
    assert_eq!(node.look().unwrap_err().code(), "SF0002");
    node.set_ruleset(working()).unwrap();
    let mut session = node.lead(PATIENCE).unwrap().unwrap();
    session.fire_all().unwrap();
    assert_eq!(said(), ["work 1"]);
}

#[test]
fn a_log_of_another_node_is_refused() {
    let disk = Disk::new();
    drop(alone(&disk, 1, Policy::All, PATIENCE).lead(PATIENCE).unwrap().unwrap());
    let dir = disk.path();
    std::fs::rename(dir.join("1"), dir.join("2")).unwrap();
    let addresses = Addresses::free(2);
    let tcp = steadfast::ha::TcpTransport::bind(
        NodeId(2),
        addresses.of(NodeId(2)),
        steadfast::ha::TcpOptions::new(GROUP),
    );
    let coordinator =
        steadfast::ha::LocalCoordinator::in_directory(dir.join("group"), NodeId(2), LEASE);
    let refused = builder(&dir, &addresses, NodeId(2), Policy::All)
        .start(working(), tcp.unwrap(), coordinator.unwrap())
        .unwrap_err();
    assert_eq!(
        report(&refused, &disk),
        "error SF0036: the log of the node cannot be used\n  DIR/2: its first record is another one; this \
         directory is not that of node 2 of group 000000000000000b\n  help: see the cause: nothing was changed"
    );
}

#[test]
fn a_commit_that_no_frame_takes_is_refused_before_it_is_made() {
    let disk = Disk::new();
    let node = alone(&disk, 1, Policy::All, PATIENCE);
    let mut session = node.lead(PATIENCE).unwrap().unwrap();
    let before = session.digest();
    let text = "x".repeat(9 << 20);
    let refused = session.transaction(|t| {
        for id in 0..8 {
            t.insert(Job { id, text: text.clone() })?;
        }
        Ok(())
    });
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Append(_)), "{}", refused.report());
    assert_eq!(session.digest(), before);
    session.insert(job(1)).unwrap();
}
