//! Transactions, forks, and how commits are cut.

use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast::prelude::*;
use steadfast::{ChangeError, Error};

use crate::support::{Disk, durable, fire, memory, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Account {
    #[fact(key)]
    id: u64,
    balance: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Broke {
    account: u64,
}

#[derive(Global, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Rate(i64);

#[rule(logical)]
fn broke(#[when(a.balance < 0)] a: &Account) -> Broke {
    say(format!("broke {}", a.id));
    Broke { account: a.id }
}

ruleset!(bank = 1: broke);

fn account(session: &mut Session, id: u64, balance: i64) -> Handle<Account> {
    session.insert(Account { id, balance }).unwrap()
}

/// Two accounts, one of them with a derived fact, and something staged.
fn open_for_business(session: &mut Session) -> [Handle<Account>; 2] {
    let accounts = [account(session, 1, 100), account(session, 2, -5)];
    assert_eq!(fire(session), ["broke 2"]);
    session.update(accounts[0], |a| a.balance = 90).unwrap();
    accounts
}

#[test]
fn a_transaction_that_fails_leaves_nothing_and_its_numbers_are_given_again() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let [one, two] = open_for_business(&mut session);
    let (digest, commit) = (session.digest(), session.last_commit());
    let work = |stage: &mut steadfast::Stage<'_>| -> steadfast::Result<(Handle<Account>, u64)> {
        let new = stage.insert(Account { id: 3, balance: -1 })?;
        stage.update(one, |a| a.balance -= 1000)?;
        stage.delete(two)?;
        stage.set_global(Rate(7))?;
        Ok((new, stage.random()))
    };
    let mut first = None;
    let error = session.transact::<()>(|stage| {
        first = Some(work(stage)?);
        Err(Error::give_up("no"))
    });
    assert!(matches!(error, Err(Error::GivenUp(_))), "{error:?}");
    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
    assert_eq!(session.global::<Rate>().unwrap(), None);
    let mut restored = disk.crash().open(bank());
    assert_eq!(restored.digest(), digest);

    // What it drew and what it was given are drawn and given again.
    for session in [&mut session, &mut restored] {
        assert_eq!(Some(session.transact(work).unwrap()), first);
        assert_eq!(fire(session), ["broke 3", "broke 1"]);
    }
    assert_eq!(restored.digest(), session.digest());
}

#[test]
fn a_transaction_that_panics_leaves_nothing() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let [one, _] = open_for_business(&mut session);
    let digest = session.digest();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        session.transact::<()>(|stage| {
            stage.update(one, |a| a.balance = 0)?;
            stage.insert(Account { id: 9, balance: 9 })?;
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(session.digest(), digest);
    // Also in the middle of one change.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        session.update(one, |a| {
            a.balance = 0;
            panic!("halfway");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(session.digest(), digest);
    assert_eq!(session.get(one).unwrap().balance, 90);
    // The session goes on.
    session.update(one, |a| a.balance = -1).unwrap();
    assert_eq!(fire(&mut session), ["broke 1"]);
    assert_eq!(disk.crash().open(bank()).digest(), session.digest());
}

#[test]
fn a_transaction_reads_its_own_writes_and_nobody_else_does_before_it_ends() {
    let mut session = memory(bank());
    let [one, two] = open_for_business(&mut session);
    let new = session.transact(|stage| {
        let new = stage.insert(Account { id: 3, balance: 30 })?;
        assert_eq!(stage.get(new).map(|a| a.balance), Some(30));
        stage.update(new, |a| a.balance += 1)?;
        stage.update(one, |a| a.balance = 1)?;
        assert!(stage.delete(two)?);
        assert!(!stage.delete(two)?, "it is gone already");
        let seen: Vec<_> = stage.query::<Account>().iter().map(|a| (a.id, a.balance)).collect();
        assert_eq!(seen, [(1, 1), (3, 31)]);
        let error = stage.update(two, |a| a.balance = 0).unwrap_err();
        assert!(matches!(error, ChangeError::StaleHandle { .. }), "{error:?}");
        stage.set_global(Rate(5))?;
        assert_eq!(stage.global::<Rate>()?, Some(Rate(5)));
        // What rules derive is as of the last evaluation: nothing is matched in here.
        assert_eq!(stage.query::<Broke>().len(), 1);
        Ok(new)
    });
    assert_eq!(session.get(new.unwrap()).unwrap().balance, 31);
    assert!(session.query::<Broke>().unwrap().is_empty());
}

#[test]
fn insert_unique_finds_what_the_transaction_itself_has_done() {
    let mut session = memory(bank());
    let one = account(&mut session, 1, 100);
    session
        .transact(|stage| {
            assert_eq!(stage.insert_unique(Account { id: 1, balance: 0 })?, one);
            let two = stage.insert_unique(Account { id: 2, balance: 0 })?;
            assert_eq!(stage.insert_unique(Account { id: 2, balance: 9 })?, two);
            stage.update(two, |a| a.id = 3)?;
            assert_ne!(stage.insert_unique(Account { id: 2, balance: 0 })?, two);
            assert_eq!(stage.insert_unique(Account { id: 3, balance: 0 })?, two);
            stage.delete(one)?;
            assert_ne!(stage.insert_unique(Account { id: 1, balance: 0 })?, one);
            Ok(())
        })
        .unwrap();
    assert_eq!(session.query::<Account>().unwrap().len(), 3);
}

#[test]
fn a_transaction_is_one_commit_and_one_without_changes_is_none() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let before = session.last_commit();
    session.transact(|stage| Ok(stage.query::<Account>().len())).unwrap();
    assert_eq!(session.last_commit(), before);
    session
        .transact(|stage| {
            for id in 0..100 {
                stage.insert(Account { id, balance: 1 })?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(session.last_commit().get(), before.get() + 1);
    session.transact(|stage| Ok(stage.random())).unwrap();
    assert_eq!(session.last_commit().get(), before.get() + 2, "a number that was drawn is gone");
    assert_eq!(disk.crash().open(bank()).digest(), session.digest());
}

#[test]
fn a_fork_shares_nothing_and_has_the_same_future() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let [one, two] = open_for_business(&mut session);
    let digest = session.digest();
    let mut fork = session.fork();
    assert_eq!(fork.digest(), digest);

    // What happens in it happens nowhere else.
    fork.update(one, |a| a.balance = -1).unwrap();
    fork.delete(two).unwrap();
    assert_eq!(fire(&mut fork), ["broke 1"]);
    assert_eq!(session.digest(), digest);
    assert_eq!(disk.crash().open(bank()).digest(), digest);

    // The same happens in both.
    let mut fork = session.fork();
    for session in [&mut session, &mut fork] {
        session.update(one, |a| a.balance = -1).unwrap();
        let three = account(session, 3, -3);
        assert_eq!(three.fact().get(), 4, "handles are given alike");
        assert_eq!(fire(session), ["broke 1", "broke 3"]);
    }
    assert_eq!(fork.digest(), session.digest());
    // A fork of a fork is one, too; its original may go first.
    let mut inner = fork.fork();
    drop(fork);
    inner.update(one, |a| a.balance = -2).unwrap();
    assert_eq!(fire(&mut inner), ["broke 1"]);
}

#[test]
fn a_pipelined_session_returns_early_and_can_be_waited_for() {
    let disk = Disk::real();
    let mut session = Session::durable(disk.path()).pipelined(true).open(bank()).unwrap();
    for id in 0..50 {
        account(&mut session, id, -1);
    }
    let commit = session.fire_all().unwrap().commit.unwrap();
    said();
    assert_eq!(commit, session.last_commit());
    session.wait_durable(commit).unwrap();
    let digest = session.digest();
    assert_eq!(disk.crash().open(bank()).digest(), digest);
    // To wait for what is durable already, or for less, is nothing.
    session.wait_durable(commit).unwrap();
    account(&mut session, 50, 1);
    let digest = session.digest();
    session.close().unwrap();
    assert_eq!(disk.open(bank()).digest(), digest);
}

#[test]
fn firings_are_committed_at_the_end_of_their_run_or_after_every_so_many() {
    let commits = |every: Option<u64>| {
        let disk = Disk::new();
        let mut session = disk.open(bank());
        if let Some(firings) = every {
            session.commit_every(firings);
        }
        for id in 0..10 {
            account(&mut session, id, -1);
        }
        let before = session.last_commit().get();
        let fired = session.fire_all().unwrap();
        assert_eq!((fired.count, said().len()), (10, 10));
        assert_eq!(fired.commit, Some(session.last_commit()));
        let restored = disk.crash().open(bank());
        assert_eq!(restored.digest(), session.digest());
        (session.last_commit().get() - before, session.digest())
    };
    let (one, digest) = commits(None);
    assert_eq!(one, 1);
    for (every, expected) in [(1, 10), (3, 4), (10, 1), (100, 1)] {
        assert_eq!(commits(Some(every)), (expected, digest), "how commits are cut is no state");
    }
}

#[test]
fn sessions_of_every_level_hold_the_same() {
    use std::time::Duration;
    let mut digests = Vec::new();
    let levels =
        [Sync::Process, Sync::Interval(Duration::from_millis(5)), Sync::Batch, Sync::Paranoid];
    for level in levels {
        let disk = Disk::real();
        let mut session = durable(&disk.path()).sync(level).open(bank()).unwrap();
        open_for_business(&mut session);
        digests.push(session.digest());
        assert_eq!(disk.crash().open(bank()).digest(), session.digest(), "{level:?}");
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn a_session_moves_to_another_thread_and_is_halted_from_there() {
    let mut session = memory(bank());
    account(&mut session, 1, -1);
    let halter = session.halter();
    halter.halt();
    let mut session = std::thread::spawn(move || {
        assert!(session.fire_all().unwrap().halted);
        session
    })
    .join()
    .unwrap();
    assert_eq!(fire(&mut session), ["broke 1"]);
}
