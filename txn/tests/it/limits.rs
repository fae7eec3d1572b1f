//! Ids of savepoints, names, and how far a root goes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_engine_core::Engine;
use steadfast_txn::{CommitError, MarkedSink as _, Options, Root, TransactionError};
use steadfast_wm::{CommitSeq, SafePoint};

use crate::random::{Kind, Step, ruleset};
use crate::world::{Log, SESSION, take};

const INSERT: Step = Step::Insert(Kind::A, 1, 1);

fn begin(options: Options) -> (Engine, Log, Root<(usize, usize, usize)>) {
    let mut log = Log::default();
    let mut engine = Engine::new(&ruleset(&[]), SESSION, &mut log).unwrap();
    let root = Root::begin(&mut engine, &log, options);
    (engine, log, root)
}

fn insert(engine: &mut Engine, log: &mut Log, root: &mut Root<(usize, usize, usize)>) {
    take(engine, INSERT, log);
    root.did(SafePoint::Staged);
}

#[test]
fn of_savepoints_with_one_name_the_last_one_counts() {
    let (mut engine, mut log, mut root) = begin(Options::default());
    let mut ids = Vec::new();
    for name in ["a", "b", "a"] {
        ids.push(root.savepoint(&mut engine, &log, name).unwrap());
        insert(&mut engine, &mut log, &mut root);
    }
    assert_eq!(root.find("a"), Some(ids[2]));
    assert_eq!((root.name(&ids[1]), root.find("c")), (Some("b"), None));
    root.rollback_to(&mut engine, &mut log, &ids[2]).unwrap();
    assert_eq!(engine.fact_count(), 2);
    root.release(&ids[2]).unwrap();
    assert_eq!(root.find("a"), Some(ids[0]));
    root.rollback_to(&mut engine, &mut log, &ids[0]).unwrap();
    assert_eq!((engine.fact_count(), root.find("b")), (0, None));
    let gone = root.rollback_to(&mut engine, &mut log, &ids[1]);
    assert_eq!(gone, Err(TransactionError::InvalidSavepoint(ids[1])));
    let again = root.savepoint(&mut engine, &log, "b").unwrap();
    assert_ne!(again, ids[1], "an id is given once");
    assert_eq!(root.release(&ids[1]), Err(TransactionError::InvalidSavepoint(ids[1])));
    root.abort(&mut engine, &mut log).unwrap();
}

#[test]
fn a_savepoint_of_another_root_is_foreign() {
    let (mut engine, mut log, mut root) = begin(Options::default());
    let first = root.savepoint(&mut engine, &log, "s").unwrap();
    root.abort(&mut engine, &mut log).unwrap();
    let mut root = Root::begin(&mut engine, &log, Options::default());
    let (mut other, other_log, mut others) = begin(Options::default());
    let of_other = others.savepoint(&mut other, &other_log, "s").unwrap();
    root.savepoint(&mut engine, &log, "s").unwrap();
    for id in [first, of_other] {
        let foreign = TransactionError::ForeignSavepoint(id);
        assert_eq!(root.rollback_to(&mut engine, &mut log, &id), Err(foreign.clone()));
        assert_eq!(root.release(&id), Err(foreign));
    }
    assert_eq!(root.depth(), 1);
    root.abort(&mut engine, &mut log).unwrap();
}

#[test]
fn no_more_savepoints_lie_in_each_other_than_allowed() {
    let (mut engine, mut log, mut root) = begin(Options::new().depth_max(2));
    let one = root.savepoint(&mut engine, &log, "").unwrap();
    let two = root.savepoint(&mut engine, &log, "").unwrap();
    let too_deep = Err(TransactionError::TooDeep { max: 2 });
    assert_eq!(root.savepoint(&mut engine, &log, ""), too_deep);
    root.release(&two).unwrap();
    root.savepoint(&mut engine, &log, "").unwrap();
    root.rollback_to(&mut engine, &mut log, &one).unwrap();
    root.savepoint(&mut engine, &log, "").unwrap();
    assert_eq!(root.savepoint(&mut engine, &log, ""), too_deep);
    root.abort(&mut engine, &mut log).unwrap();
}

#[test]
fn a_root_that_has_become_too_large_takes_no_more_work_and_rolls_back() {
    let (mut engine, mut log, mut root) = begin(Options::new().trail_bytes_max(4096));
    let savepoint = root.savepoint(&mut engine, &log, "").unwrap();
    let mut inserted = 0;
    while root.check(&engine).is_ok() {
        insert(&mut engine, &mut log, &mut root);
        inserted += 1;
    }
    let bytes = engine.trail_bytes();
    assert!(inserted > 3 && bytes > 4096, "{inserted} facts in {bytes} bytes");
    assert_eq!(root.check(&engine), Err(TransactionError::TooLarge { bytes, max: 4096 }));
    root.rollback_to(&mut engine, &mut log, &savepoint).unwrap();
    assert_eq!((root.check(&engine), engine.trail_bytes(), engine.fact_count()), (Ok(()), 0, 0));
    for _ in 0..inserted {
        insert(&mut engine, &mut log, &mut root);
    }
    let commit = root.commit(&mut engine, &mut log, CommitSeq::new(1)).unwrap();
    assert_eq!((commit, engine.trail_bytes()), (Some(CommitSeq::new(1)), 0));
}

#[test]
fn what_is_rolled_back_altogether_is_no_commit() {
    let (mut engine, mut log, mut root) = begin(Options::default());
    let (digest, mark) = (engine.digest(), log.mark());
    let savepoint = root.savepoint(&mut engine, &log, "").unwrap();
    insert(&mut engine, &mut log, &mut root);
    root.rollback_to(&mut engine, &mut log, &savepoint).unwrap();
    assert_eq!(root.commit(&mut engine, &mut log, CommitSeq::new(1)).unwrap(), None);
    assert_eq!((engine.digest(), log.mark()), (digest, mark));
}

#[test]
fn a_root_that_has_failed_does_not_commit() {
    let (mut engine, mut log, mut root) = begin(Options::default());
    let (digest, mark) = (engine.digest(), log.mark());
    insert(&mut engine, &mut log, &mut root);
    root.fail();
    let error = root.commit(&mut engine, &mut log, CommitSeq::new(1)).unwrap_err();
    assert!(matches!(error, CommitError::Transaction(TransactionError::RolledBack)), "{error}");
    assert_eq!((engine.digest(), log.mark()), (digest, mark));
}

#[test]
fn one_root_at_a_time_is_open_on_an_engine() {
    let (mut engine, log, _root) = begin(Options::default());
    let second = AssertUnwindSafe(|| drop(Root::begin(&mut engine, &log, Options::default())));
    let panic = catch_unwind(second).unwrap_err();
    let message = panic.downcast_ref::<&str>().unwrap();
    assert_eq!(*message, "one root at a time is open on an engine");
}
