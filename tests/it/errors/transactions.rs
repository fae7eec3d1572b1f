//! SF0026 to SF0031: what a transaction over several steps does not take.

use steadfast::prelude::*;
use steadfast::{Error, RuleError, TransactionOptions};

use super::report;
use crate::support::{Disk, memory};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[rule]
fn refuse(#[when(o.id == 13)] o: &Order) -> RuleResult {
    Err(RuleError::new(format!("order {}", o.id)))
}

ruleset!(shop = 1: refuse);

#[track_caller]
fn reports(error: &Error, disk: &Disk, expected: &str) {
    assert_eq!(report(error, disk), expected);
}

#[test]
fn sf0026_and_sf0027_what_has_failed_takes_no_work_and_does_not_commit() {
    let disk = Disk::new();
    let mut session = disk.open(shop());
    let (digest, commit) = (session.digest(), session.last_commit());
    let mut t = session.begin().unwrap();
    t.insert(Order { id: 13 }).unwrap();
    assert_eq!(t.fire_all().unwrap_err().code(), "SF0012");
    let expected = "error SF0026: the transaction failed earlier
  help: roll it back to a savepoint, or abort it";
    reports(&t.insert(Order { id: 1 }).unwrap_err(), &disk, expected);
    let expected = "error SF0027: the transaction had failed and was rolled back
  help: nothing was applied; see what failed in it, and do it again without that";
    reports(&t.commit().unwrap_err(), &disk, expected);
    assert_eq!((session.digest(), session.last_commit()), (digest, commit));
    session.insert(Order { id: 1 }).unwrap();
}

#[test]
fn sf0028_and_sf0029_savepoints_that_are_no_more_and_those_of_others_are_told_apart() {
    let disk = Disk::new();
    let mut session = disk.open(shop());
    let mut t = session.begin().unwrap();
    let first = t.savepoint("a").unwrap();
    let second = t.savepoint("b").unwrap();
    t.rollback_to(&first).unwrap();
    t.insert(Order { id: 1 }).unwrap();
    let digest = t.digest();
    let expected = format!(
        "error SF0028: savepoint {second} is no more
  help: roll back to a savepoint that is still there"
    );
    reports(&t.rollback_to(&second).unwrap_err(), &disk, &expected);
    let mut other = memory(shop());
    let mut of_other = other.begin().unwrap();
    let foreign = of_other.savepoint("a").unwrap();
    let expected = format!(
        "error SF0029: savepoint {foreign} is of another transaction
  help: use a savepoint in the transaction that made it"
    );
    reports(&t.release(&foreign).unwrap_err(), &disk, &expected);
    assert_eq!((t.digest(), t.depth()), (digest, 1), "nothing was done");
    drop(t);
    let mut t = session.begin().unwrap();
    assert_eq!(t.rollback_to(&first).unwrap_err().code(), "SF0029");
}

#[test]
fn sf0030_a_transaction_that_goes_too_far_is_told() {
    let disk = Disk::new();
    let mut session = disk.open(shop());
    let options = TransactionOptions::new().depth_max(1).trail_bytes_max(1000);
    let mut t = session.begin_with(options).unwrap();
    t.savepoint("a").unwrap();
    let expected = "error SF0030: no more than 1 savepoints may lie in each other
  help: commit what there is, roll back, or raise the limit";
    reports(&t.savepoint("b").unwrap_err(), &disk, expected);
    let error = (1..).find_map(|id| t.insert(Order { id }).err()).unwrap();
    let expected = format!(
        "error SF0030: undoing the transaction takes {} bytes, 1000 are allowed
  help: commit what there is, roll back, or raise the limit",
        t.trail_bytes()
    );
    reports(&error, &disk, &expected);
    t.commit().unwrap().unwrap();
    assert!(session.fact_count() > 1);
}

#[test]
fn sf0031_what_is_not_for_transactions_is_refused_in_one() {
    let disk = Disk::new();
    let mut session = disk.open(shop());
    let mut t = session.begin().unwrap();
    let expected = "error SF0031: `begin` is not for transactions
  help: call it before the transaction begins, or after it has ended";
    reports(&t.begin().map(drop).unwrap_err(), &disk, expected);
    t.insert(Order { id: 1 }).unwrap();
    t.commit().unwrap().unwrap();
}
