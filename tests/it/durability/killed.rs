//! Processes that are killed, with everything that goes with a process.

use std::ops::ControlFlow;

use steadfast::prelude::*;
use steadfast::{Phase, Ruleset};

use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::{Disk, durable, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Done {
    job: u64,
}

#[rule]
fn work(j: &Job, cx: &mut Then) -> RuleResult {
    say(format!("work {}", j.id));
    cx.insert(Done { job: j.id })?;
    if j.id == 3 && task().is_some() {
        tell("in the consequence");
        wait_for_the_end();
    }
    Ok(())
}

ruleset!(working = 1: work; facts: Done);

#[test]
fn killed_in_a_consequence_the_session_has_all_firings_before_it_and_nothing_of_that_one() {
    const NAME: &str = "durability::killed::killed_in_a_consequence_the_session_has_all_firings_before_it_and_nothing_of_that_one";
    if let Some((dir, _)) = task() {
        let mut session = durable(&dir).open(working()).unwrap();
        session.commit_every(1);
        for id in 1..=5 {
            session.insert(Job { id }).unwrap();
        }
        session.fire_all().unwrap();
    }
    let disk = Disk::new();
    let mut child = Child::start(NAME, &disk.path(), "");
    assert_eq!(child.hear().as_deref(), Some("in the consequence"));
    child.kill();
    let mut session = disk.open(working());
    assert!(said().is_empty());

    // The same, uninterrupted.
    let mut twin = memory(working());
    for id in 1..=5 {
        twin.insert(Job { id }).unwrap();
    }
    twin.fire(2).unwrap();
    said();
    assert_eq!(session.digest(), twin.digest());
    assert_eq!(fire(&mut session), ["work 3", "work 4", "work 5"]);
    twin.fire_all().unwrap();
    assert_eq!(session.digest(), twin.digest());
}

/// Without a commit after every firing, the run is one commit: all of it or nothing.
#[test]
fn killed_in_a_run_that_commits_at_its_end_the_session_is_as_before_the_run() {
    const NAME: &str = "durability::killed::killed_in_a_run_that_commits_at_its_end_the_session_is_as_before_the_run";
    if let Some((dir, _)) = task() {
        let mut session = durable(&dir).open(working()).unwrap();
        for id in 1..=5 {
            session.insert(Job { id }).unwrap();
        }
        session.fire_all().unwrap();
    }
    let disk = Disk::new();
    let mut child = Child::start(NAME, &disk.path(), "");
    assert_eq!(child.hear().as_deref(), Some("in the consequence"));
    child.kill();
    let mut session = disk.open(working());
    assert!(said().is_empty());
    assert_eq!(session.query::<Done>().unwrap().len(), 0);
    assert_eq!(fire(&mut session).len(), 5);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Count(u64);

#[rule]
fn counted(#[aggregate(count())] g: Group<Count, (), (u64,)>, cx: &mut Then) -> RuleResult {
    cx.insert_logical(Done { job: g.0 })?;
    Ok(())
}

ruleset!(counting = 1: counted; facts: Done);

#[test]
fn killed_at_any_moment_the_session_has_every_acknowledged_commit_and_no_half_of_one() {
    const NAME: &str = "durability::killed::killed_at_any_moment_the_session_has_every_acknowledged_commit_and_no_half_of_one";
    if let Some((dir, _)) = task() {
        let mut session = Session::durable(dir).segment_bytes(64 << 10).open(counting()).unwrap();
        for number in 1.. {
            session.insert(Count(number)).unwrap();
            session.fire_all().unwrap();
            tell(number);
        }
    }
    for acknowledged in [1, 10, 40] {
        let disk = Disk::real();
        let mut child = Child::start(NAME, &disk.path(), "");
        while child.hear().expect("it runs until it is killed") != acknowledged.to_string() {}
        child.kill();
        let session = disk.open(counting());

        // A session in memory does the same until it is where the other one is.
        let mut twin = memory(counting());
        let mut number = 0;
        loop {
            number += 1;
            assert!(number < acknowledged + 1000, "no moment of its life is like this");
            twin.insert(Count(number)).unwrap();
            if twin.digest() == session.digest() {
                break;
            }
            twin.fire_all().unwrap();
            if twin.digest() == session.digest() {
                break;
            }
        }
        assert!(number >= acknowledged, "{number} of {acknowledged}");
    }
}

#[test]
fn killed_in_a_transaction_the_session_has_nothing_of_it() {
    const NAME: &str = "durability::killed::killed_in_a_transaction_the_session_has_nothing_of_it";
    if let Some((dir, _)) = task() {
        let mut session = durable(&dir).open(working()).unwrap();
        session.insert(Job { id: 1 }).unwrap();
        let body = session.transact::<()>(|stage| {
            stage.insert(Job { id: 2 })?;
            tell("in the transaction");
            wait_for_the_end();
        });
        body.unwrap();
    }
    let disk = Disk::new();
    let mut child = Child::start(NAME, &disk.path(), "");
    assert_eq!(child.hear().as_deref(), Some("in the transaction"));
    child.kill();
    let mut session = disk.open(working());
    let jobs = session.query::<Job>().unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [1]);
}

/// A session with facts, derived facts and a pending match.
fn busy(rules: fn() -> Ruleset) -> (Disk, Session) {
    let disk = Disk::new();
    let mut session = disk.open(rules());
    for number in 1..=3 {
        session.insert(Count(number)).unwrap();
        session.fire_all().unwrap();
    }
    session.insert(Count(4)).unwrap();
    session.flush().unwrap();
    (disk, session)
}

#[test]
fn killed_in_its_recovery_the_session_recovers_all_the_same() {
    const NAME: &str =
        "durability::killed::killed_in_its_recovery_the_session_recovers_all_the_same";
    if let Some((dir, phase)) = task() {
        let killed_here = move |progress: steadfast::Progress| {
            if format!("{:?}", progress.phase) == phase {
                tell("in the recovery");
                wait_for_the_end();
            }
            ControlFlow::Continue(())
        };
        drop(durable(&dir).on_recovery(killed_here).open(counting()).unwrap());
    }
    let (disk, session) = busy(counting);
    let crashed = disk.crash();
    for phase in [Phase::Fold, Phase::Facts, Phase::Network] {
        let mut child = Child::start(NAME, &crashed.path(), &format!("{phase:?}"));
        assert_eq!(child.hear().as_deref(), Some("in the recovery"), "{phase:?}");
        child.kill();
    }
    let mut recovered = crashed.open(counting());
    assert_eq!(recovered.digest(), session.digest());
    assert_eq!(recovered.fire_all().unwrap().count, 1);
}
