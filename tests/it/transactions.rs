//! Transactions over several steps: what they are to whoever uses a session.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use steadfast::prelude::*;
use steadfast::{
    ChangeError, Error, Event, RuleError, TransactionError, TransactionOptions, TransactionStatus,
};

use crate::child::{Child, task, tell, wait_for_the_end};
use crate::support::{Disk, fire, memory, said, say};

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

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Total {
    of: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event, expires = "5s")]
struct Login {
    account: u64,
}

#[derive(Global, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Rate(i64);

#[derive(Effect, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Letter {
    account: u64,
}

#[rule(logical)]
fn broke(#[when(a.balance < 0)] a: &Account) -> Broke {
    say(format!("broke {}", a.id));
    Broke { account: a.id }
}

#[rule]
fn write_letter(b: &Broke, cx: &mut Then) -> RuleResult {
    if b.account == 13 {
        return Err(RuleError::new("nobody writes to them"));
    }
    cx.emit(Letter { account: b.account })?;
    Ok(())
}

#[rule(salience = -1, timer = "10s")]
fn remind(b: &Broke) {
    say(format!("remind {}", b.account));
}

#[rule(group = "audit")]
fn audit(a: &Account) {
    say(format!("audit {}", a.id));
}

#[rule(salience = -2)]
fn picky(#[when(judge(a.balance))] a: &Account) {
    say(format!("picky {}", a.id));
}

fn judge(balance: i64) -> bool {
    assert_ne!(balance, 666, "not this balance");
    balance == 1
}

#[query]
fn poor(#[when(a.balance < 10)] a: &Account) -> u64 {
    a.id
}

ruleset!(bank = 1: broke, write_letter, remind, audit, picky; facts: Login, Total; queries: poor);

fn insert(session: &mut Session, id: u64, balance: i64) -> Handle<Account> {
    session.insert(Account { id, balance }).unwrap()
}

/// Two accounts, a derived fact, a letter on its way, a match that waits, and something staged.
fn open_for_business(session: &mut Session) -> [Handle<Account>; 2] {
    let accounts = [insert(session, 1, 100), insert(session, 2, -5)];
    assert_eq!(fire(session), ["broke 2"]);
    session.insert(Login { account: 1 }).unwrap();
    session.update(accounts[0], |a| a.balance = 90).unwrap();
    accounts
}

/// Everything that a session does, each kind of it once.
fn work(session: &mut Session, [one, two]: [Handle<Account>; 2]) -> steadfast::Result<()> {
    let new = session.insert(Account { id: 3, balance: -1 })?;
    session.insert_unique(Account { id: 3, balance: 7 })?;
    session.update(one, |a| a.balance = -1000)?;
    session.touch(two)?;
    session.fire(1)?;
    session.transact(|stage| {
        stage.set_global(Rate(7))?;
        stage.emit(Letter { account: 99 })?;
        let drawn = i64::try_from(stage.random() % 100).expect("a small number");
        stage.insert(Total { of: drawn })?;
        Ok(())
    })?;
    session.advance_clock(6_000)?;
    session.focus("audit")?;
    session.fire_all()?;
    session.delete(two)?;
    session.flush()?;
    session.delete_stated(new)?;
    session.clear_group("audit")?;
    session.advance_clock(60_000)?;
    session.fire_filtered(None, |_| steadfast::Verdict::Fire)?;
    session.query::<Broke>()?;
    session.rows::<poor>()?;
    session.set_global(Rate(8))
}

fn letters(session: &mut Session) -> Vec<u64> {
    let letters = session.effects::<Letter>().unwrap();
    letters.iter().map(|letter| letter.account).collect()
}

#[test]
fn what_is_aborted_was_never_there_in_memory_nor_on_disk() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let accounts = open_for_business(&mut session);
    let mut fork = session.fork();
    let (digest, commit) = (session.digest(), session.last_commit());
    let bytes = session.journal_status().unwrap().unwrap().bytes;
    let mut t = session.begin().unwrap();
    work(&mut t, accounts).unwrap();
    assert_ne!(t.digest(), digest);
    t.abort().unwrap();
    // Dropped, and by the way of an error or a panic.
    drop(session.begin().map(|mut t| work(&mut t, accounts)).unwrap());
    let given_up: steadfast::Result<()> = session.transaction(|t| {
        work(t, accounts)?;
        Err(Error::give_up("no"))
    });
    assert!(matches!(given_up, Err(Error::GivenUp(_))));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        session.transaction(|t| -> steadfast::Result<()> {
            work(t, accounts)?;
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    let asked = session.what_if(|t| work(t, accounts).map(|()| t.fact_count())).unwrap();
    assert_eq!(asked.unwrap(), 3);

    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
    assert_eq!(session.journal_status().unwrap().unwrap().bytes, bytes);
    assert_eq!(letters(&mut session), [2]);
    assert_eq!(session.global::<Rate>().unwrap(), None);
    let copy = disk.crash();
    let mut restored = copy.open(bank());
    said();
    let mut told = Vec::new();
    for session in [&mut session, &mut fork, &mut restored] {
        work(session, accounts).unwrap();
        told.push((said(), session.digest()));
    }
    assert!(told[0] == told[1] && told[0] == told[2], "the future is that of a copy");
}

#[test]
fn what_commits_is_as_without_a_transaction_and_one_commit() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let accounts = open_for_business(&mut session);
    let mut plain = session.fork();
    said();
    work(&mut plain, accounts).unwrap();
    plain.flush().unwrap();
    let without = said();
    let before = session.last_commit().get();
    let mut t = session.begin().unwrap();
    work(&mut t, accounts).unwrap();
    assert_eq!(letters(&mut t), [2], "what it emits does not leave before it commits");
    let commit = t.commit().unwrap().unwrap();
    assert_eq!((said(), session.digest()), (without, plain.digest()));
    assert_eq!((commit.get(), session.last_commit()), (before + 1, commit));
    assert_eq!(letters(&mut session), [2, 99, 3, 1]);
    let keys: Vec<_> = session.effects::<Letter>().unwrap().iter().map(|it| it.key).collect();
    assert!(keys[1..].iter().all(|key| key.commit == commit));
    let copy = disk.crash();
    let mut restored = copy.open(bank());
    assert_eq!((restored.digest(), restored.last_commit()), (session.digest(), commit));
    assert_eq!(letters(&mut restored), [2, 99, 3, 1]);
    restored.normalize().unwrap();
    assert_eq!(restored.digest(), session.digest());
}

#[test]
fn a_transaction_without_changes_is_no_commit_and_does_not_touch_what_was_staged() {
    let mut session = memory(bank());
    open_for_business(&mut session);
    let (digest, commit) = (session.digest(), session.last_commit());
    assert_eq!(session.begin().unwrap().commit().unwrap(), None);
    let mut t = session.begin().unwrap();
    let savepoint = t.savepoint("s").unwrap();
    insert(&mut t, 5, 5);
    t.flush().unwrap();
    t.rollback_to(&savepoint).unwrap();
    assert_eq!(t.commit().unwrap(), None);
    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
    assert!(session.engine().has_staged(), "it is staged again");
    // What is staged in it is evaluated at its end.
    let mut t = session.begin().unwrap();
    insert(&mut t, 5, 5);
    t.commit().unwrap().unwrap();
    assert!(!session.engine().has_staged());
}

#[test]
fn a_savepoint_can_be_rolled_back_to_again_and_again() {
    let mut session = memory(bank());
    let [one, _] = open_for_business(&mut session);
    let mut t = session.begin().unwrap();
    for id in 50..55 {
        insert(&mut t, id, -1);
        t.fire_all().unwrap();
    }
    let savepoint = t.savepoint("five").unwrap();
    let digest = t.digest();
    for _ in 0..2 {
        for id in 55..62 {
            insert(&mut t, id, -1);
        }
        t.fire_all().unwrap();
        assert_ne!(t.digest(), digest);
        t.rollback_to(&savepoint).unwrap();
        assert_eq!((t.digest(), t.depth()), (digest, 1));
    }
    // Released work goes with what is around it.
    let inner = t.savepoint("inner").unwrap();
    t.update(one, |a| a.balance = -7).unwrap();
    t.release(&inner).unwrap();
    assert_eq!(t.get(one).unwrap().balance, -7);
    t.rollback_to(&savepoint).unwrap();
    assert_eq!(t.get(one).unwrap().balance, 90);
    assert_eq!(t.savepoint_named("five"), Some(savepoint));
    assert_eq!(t.savepoint_named("inner"), None);
}

#[test]
fn a_firing_that_fails_leaves_the_transaction_failed_until_it_is_rolled_back() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    open_for_business(&mut session);
    let digest = session.digest();
    let mut t = session.begin().unwrap();
    insert(&mut t, 3, -3);
    t.fire_all().unwrap();
    let savepoint = t.savepoint("s").unwrap();
    let inside = t.digest();
    insert(&mut t, 13, -3);
    insert(&mut t, 14, -3);
    let error = t.fire_all().unwrap_err();
    assert!(matches!(error, Error::Fire(_)), "{error:?}");
    assert_eq!(t.status(), TransactionStatus::Failed);
    let refused = [
        t.insert(Account { id: 4, balance: 4 }).unwrap_err(),
        t.fire_all().unwrap_err(),
        t.flush().unwrap_err(),
        t.advance_clock(1).unwrap_err(),
        t.query::<Account>().unwrap_err(),
        t.savepoint("no").unwrap_err(),
        t.release(&savepoint).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, Error::Transaction(TransactionError::Failed)), "{error:?}");
    }
    t.rollback_to(&savepoint).unwrap();
    assert_eq!((t.status(), t.digest()), (TransactionStatus::Active, inside));
    insert(&mut t, 13, -3);
    t.fire_all().unwrap_err();
    let error = t.commit().unwrap_err();
    assert!(matches!(error, Error::Transaction(TransactionError::RolledBack)), "{error:?}");
    assert_eq!(session.digest(), digest);
    assert_eq!(disk.crash().open(bank()).digest(), digest);
    insert(&mut session, 4, 4);
}

#[test]
fn an_evaluation_that_fails_is_rolled_back_as_anything_else() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    let [one, _] = open_for_business(&mut session);
    let digest = session.digest();
    let mut t = session.begin().unwrap();
    let savepoint = t.savepoint("s").unwrap();
    t.update(one, |a| a.balance = 666).unwrap();
    assert!(matches!(t.fire_all(), Err(Error::Evaluate(_))));
    t.rollback_to(&savepoint).unwrap();
    t.update(one, |a| a.balance = 1).unwrap();
    assert_eq!(fire(&mut t), ["picky 1"]);
    // Also if it is the commit that evaluates.
    t.update(one, |a| a.balance = 666).unwrap();
    assert!(matches!(t.commit(), Err(Error::Evaluate(_))));
    assert_eq!(session.digest(), digest);
    session.update(one, |a| a.balance = 1).unwrap();
    assert_eq!(fire(&mut session), ["picky 1"]);
    assert_eq!(disk.crash().open(bank()).digest(), session.digest());
}

#[test]
fn a_change_that_is_refused_leaves_the_transaction_as_it_was() {
    let mut session = memory(bank());
    let [one, _] = open_for_business(&mut session);
    let mut t = session.begin().unwrap();
    t.delete(one).unwrap();
    let error = t.update(one, |a| a.balance = 1).unwrap_err();
    assert!(matches!(error, Error::Change(ChangeError::StaleHandle { .. })));
    assert_eq!(t.status(), TransactionStatus::Active);
    t.commit().unwrap().unwrap();
    assert!(session.get(one).is_none());
}

#[test]
fn a_handle_of_work_that_was_rolled_back_is_refused_although_its_number_is_given_again() {
    let mut session = memory(bank());
    open_for_business(&mut session);
    let mut t = session.begin().unwrap();
    let kept = insert(&mut t, 20, 20);
    let savepoint = t.savepoint("s").unwrap();
    let gone = insert(&mut t, 21, 21);
    t.rollback_to(&savepoint).unwrap();
    let other = insert(&mut t, 22, 22);
    assert_eq!(gone.fact(), other.fact());
    assert!(t.get(gone).is_none() && t.get(other).is_some());
    let stale = t.update(gone, |a| a.balance = 0).unwrap_err();
    assert!(matches!(stale, Error::Change(ChangeError::StaleHandle { .. })));
    t.commit().unwrap();
    let aborted = session.what_if(|t| insert(t, 23, 23)).unwrap();
    let next = insert(&mut session, 24, 24);
    assert_eq!(aborted.fact(), next.fact());
    assert!(session.get(aborted).is_none() && !session.delete(aborted).unwrap());
    assert_eq!(session.get(kept).unwrap().id, 20);
    assert_eq!(session.get(other).unwrap().id, 22);
}

#[test]
fn a_match_that_fired_in_work_that_was_rolled_back_fires_again_once() {
    let mut session = memory(bank());
    insert(&mut session, 2, -5);
    let digest = session.digest();
    for _ in 0..2 {
        session.what_if(|t| assert_eq!(fire(t), ["broke 2"])).unwrap();
        assert_eq!(session.digest(), digest);
    }
    assert_eq!(fire(&mut session), ["broke 2"]);
    assert_eq!(fire(&mut session), [""; 0]);
    // And one that waits has its time again.
    let due = session.waiting();
    session
        .what_if(|t| {
            t.advance_clock(10_000).unwrap();
            assert_eq!(fire(t), ["remind 2"]);
        })
        .unwrap();
    assert_eq!((session.waiting(), session.now()), (due, 0));
    session.advance_clock(10_000).unwrap();
    assert_eq!(fire(&mut session), ["remind 2"]);
}

#[test]
fn an_event_that_expired_in_work_that_was_rolled_back_is_there_until_its_time() {
    let mut session = memory(bank());
    let login = session.insert(Login { account: 1 }).unwrap();
    session.flush().unwrap();
    session
        .what_if(|t| {
            t.advance_clock(6_000).unwrap();
            assert!(t.get(login).is_none());
        })
        .unwrap();
    assert!(session.get(login).is_some());
    session.advance_clock(4_999).unwrap();
    assert!(session.get(login).is_some());
    session.advance_clock(5_000).unwrap();
    assert!(session.get(login).is_none());
}

#[test]
fn listeners_and_live_queries_are_told_of_what_committed_and_of_nothing_else() {
    let mut session = memory(bank());
    let [one, _] = open_for_business(&mut session);
    session.flush().unwrap();
    let live = session.live::<poor>().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    session.listen(move |event| {
        let told = match event {
            Event::Inserted { value, .. } => {
                value.read::<Account>().unwrap().map(|account| format!("account {}", account.id))
            }
            Event::Fired(of) => of.rule.rsplit("::").next().map(str::to_owned),
            Event::Committed { commit, .. } => Some(format!("commit {}", commit.get())),
            _ => None,
        };
        hears.lock().unwrap().extend(told);
    });
    let next = session.last_commit().get() + 1;
    session.what_if(|t| work(t, [one, one]).map(drop)).unwrap().unwrap();
    assert!(heard.lock().unwrap().is_empty());
    assert!(session.changes(&live).unwrap().is_empty());
    let mut t = session.begin().unwrap();
    insert(&mut t, 30, 5);
    t.flush().unwrap();
    let savepoint = t.savepoint("s").unwrap();
    insert(&mut t, 31, -5);
    t.fire_all().unwrap();
    t.rollback_to(&savepoint).unwrap();
    insert(&mut t, 32, 7);
    assert!(matches!(t.changes(&live), Err(Error::InTransaction { call: "changes" })));
    assert!(heard.lock().unwrap().is_empty(), "nothing is told before the commit");
    t.commit().unwrap();
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    assert_eq!(heard, ["account 30".to_owned(), "account 32".into(), format!("commit {next}")]);
    let added: Vec<Vec<u64>> = session
        .changes(&live)
        .unwrap()
        .iter()
        .map(|change| change.added.iter().map(|(_, id)| *id).collect())
        .collect();
    assert_eq!(added, [[30], [32]]);
}

#[test]
fn what_is_not_for_transactions_is_refused_there_and_works_behind_them() {
    use steadfast::ir::Rule as _;
    let disk = Disk::new();
    let mut session = disk.open(bank());
    open_for_business(&mut session);
    let key = session.effects::<Letter>().unwrap()[0].key;
    let digest = session.digest();
    let mut t = session.begin().unwrap();
    let refused = [
        t.begin().map(drop),
        t.transaction(|_| Ok(())),
        t.what_if(|_| ()),
        t.add_rule(&audit::definition()),
        t.remove_rule(&audit::definition().path),
        t.live::<poor>().map(drop),
        t.acknowledge(key),
        t.normalize().map(drop),
    ];
    let calls =
        ["begin", "begin", "begin", "add_rule", "remove_rule", "live", "acknowledge", "normalize"];
    for (refused, expected) in refused.into_iter().zip(calls) {
        let is = matches!(refused, Err(Error::InTransaction { call }) if call == expected);
        assert!(is, "{refused:?}, not {expected}");
    }
    assert_eq!(t.commit().unwrap(), None);
    assert_eq!(session.digest(), digest);
    session.acknowledge(key).unwrap();
    session.remove_rule(&audit::definition().path).unwrap();
    session.normalize().unwrap();
}

#[test]
fn a_copy_that_is_made_in_a_transaction_outlives_it() {
    let mut session = memory(bank());
    let accounts = open_for_business(&mut session);
    let mut t = session.begin().unwrap();
    insert(&mut t, 40, -40);
    let mut copy = t.fork();
    let inside = t.digest();
    t.abort().unwrap();
    assert_eq!(copy.digest(), inside);
    said();
    work(&mut copy, accounts).unwrap();
    assert!(said().contains(&"broke 40".to_owned()));
    let mut of_copy = copy.begin().unwrap();
    insert(&mut of_copy, 41, 41);
    of_copy.commit().unwrap().unwrap();
}

#[test]
fn a_run_in_a_transaction_is_cut_by_nothing_but_its_limit() {
    let disk = Disk::new();
    let mut session = disk.open(bank());
    session.commit_every(1);
    let before = session.last_commit();
    let mut t = session.begin().unwrap();
    for id in 0..5 {
        insert(&mut t, 100 + id, -1);
    }
    assert_eq!(t.fire_all().unwrap().commit, None);
    t.commit().unwrap();
    assert_eq!(session.last_commit().get(), before.get() + 1);

    let mut t = session.begin_with(TransactionOptions::new().trail_bytes_max(100_000)).unwrap();
    for id in 0..2000 {
        insert(&mut t, 200 + id, -1);
    }
    let error = t.fire_all().unwrap_err();
    let Error::Transaction(TransactionError::TooLarge { bytes, max: 100_000 }) = error else {
        panic!("{error:?}");
    };
    assert!(bytes > 100_000 && t.trail_bytes() == bytes);
    let (facts, status) = (t.fact_count(), t.status());
    assert_eq!(status, TransactionStatus::Active);
    assert!(t.insert(Account { id: 9, balance: 9 }).is_err() && t.fire_all().is_err());
    // What has fired is whole, and can be committed.
    t.commit().unwrap().unwrap();
    assert_eq!(session.fact_count(), facts);
    let broke = session.query::<Broke>().unwrap().len();
    assert!((6..2005).contains(&broke), "{broke}");
    session.fire_all().unwrap();
    assert_eq!(session.query::<Broke>().unwrap().len(), 2005);
}

const KILLED: &str = "transactions::killed_in_a_transaction_the_session_is_as_before_it";

/// INV-71: a transaction is there after its commit, or not at all.
#[test]
fn killed_in_a_transaction_the_session_is_as_before_it() {
    let accounts = |session: &Session| {
        [
            session.find::<Account>(&1).unwrap().handle(),
            session.find::<Account>(&2).unwrap().handle(),
        ]
    };
    if let Some((dir, task)) = task() {
        let mut session = crate::support::durable(&dir).open(bank()).unwrap();
        open_for_business(&mut session);
        let of = accounts(&session);
        let mut t = session.begin().unwrap();
        work(&mut t, of).unwrap();
        if task == "committed" {
            t.commit().unwrap();
            tell("committed");
        } else {
            tell("in it");
        }
        wait_for_the_end();
    }
    let mut twin = memory(bank());
    open_for_business(&mut twin);
    for task in ["open", "committed"] {
        let disk = Disk::new();
        let mut child = Child::start(KILLED, &disk.path(), task);
        child.hear().unwrap();
        child.kill();
        let session = disk.open(bank());
        if task == "committed" {
            let of = accounts(&twin);
            work(&mut twin, of).unwrap();
            twin.flush().unwrap();
        }
        assert_eq!(session.digest(), twin.digest(), "{task}");
    }
}
