//! Facts and matches over restarts.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::{Disk, fire, memory, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    #[fact(key)]
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Payment {
    order: u64,
    amount: i64,
}

fn order(id: u64, amount: i64) -> Order {
    Order { id, amount }
}

fn payment(order: u64, amount: i64) -> Payment {
    Payment { order, amount }
}

#[rule]
fn big(#[when(o.amount > 100)] o: &Order) {
    say(format!("big {}", o.id));
}

#[rule]
fn paid(o: &Order, #[when(p.order == o.id && p.amount >= o.amount)] p: &Payment) {
    say(format!("paid {}", p.order));
}

#[rule]
fn total(#[aggregate(sum(o.amount))] g: Group<Order, (), (i64,)>) {
    say(format!("total {}", g.0));
}

ruleset!(sizes = 1: big);
ruleset!(payments = 1: paid);
ruleset!(totals = 1: total);

#[test]
fn what_was_inserted_and_never_fired_fires_together_with_what_comes_later() {
    survives(
        payments,
        &[
            step("an order", |w| w.insert("order", order(1, 10)), []),
            step("its payment", |w| w.insert("payment", payment(1, 10)), []),
            step("a second order", |w| w.insert("second", order(2, 10)), []),
            step("its payment", |w| w.insert("payment of it", payment(2, 10)), []),
            step("fire", World::fire, ["paid 1", "paid 2"]),
        ],
    );
}

#[test]
fn what_fired_before_does_not_fire_again() {
    survives(
        sizes,
        &[
            step("an order", |w| w.insert("order", order(1, 500)), []),
            step("fire", World::fire, ["big 1"]),
            step("fire", World::fire, []),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn exactly_what_has_not_fired_yet_fires() {
    survives(
        sizes,
        &[
            step("a", |w| w.insert("a", order(1, 500)), []),
            step("fire", World::fire, ["big 1"]),
            step("b", |w| w.insert("b", order(2, 500)), []),
            step("c", |w| w.insert("c", order(3, 500)), []),
            step("fire", World::fire, ["big 2", "big 3"]),
        ],
    );
}

#[test]
fn an_update_decides_which_match_waits() {
    survives(
        sizes,
        &[
            step("x", |w| w.insert("x", order(1, 5)), []),
            step("y", |w| w.insert("y", order(2, 500)), []),
            step("evaluate", World::flush, []),
            step("x grows", |w| w.update("x", |o: &mut Order| o.amount = 500), []),
            step("y shrinks", |w| w.update("y", |o: &mut Order| o.amount = 5), []),
            step("fire", World::fire, ["big 1"]),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn what_was_deleted_stays_deleted_whoever_comes_to_join_it() {
    survives(
        payments,
        &[
            step("an order", |w| w.insert("order", order(1, 10)), []),
            step("evaluate", World::flush, []),
            step("it goes", |w| w.delete::<Order>("order"), []),
            step("fire", World::fire, []),
            step("its payment", |w| w.insert("payment", payment(1, 10)), []),
            step("fire", World::fire, []),
        ],
    );
}

#[test]
fn a_restored_fact_can_be_found_by_its_value_and_deleted_with_its_pending_match() {
    survives(
        sizes,
        &[
            step(
                "two orders",
                |w| {
                    w.insert("a", order(1, 500));
                    w.insert("b", order(2, 500));
                },
                [],
            ),
            step("evaluate", World::flush, []),
            step(
                "the first goes",
                |w| {
                    let orders = w.session.query::<Order>().unwrap();
                    let found = orders.iter().find(|order| order.id == 1).unwrap().handle();
                    assert!(w.session.delete(found).unwrap());
                    assert_eq!(found, w.held("a"));
                },
                [],
            ),
            step("fire", World::fire, ["big 2"]),
        ],
    );
}

#[test]
fn a_value_can_be_replaced_as_a_whole() {
    survives(
        sizes,
        &[
            step("an order", |w| w.insert("order", order(1, 5)), []),
            step("fire", World::fire, []),
            step("another value", |w| w.update("order", |o: &mut Order| *o = order(7, 700)), []),
            step("it is there", |w| assert_eq!(w.get::<Order>("order"), Some(&order(7, 700))), []),
            step("fire", World::fire, ["big 7"]),
        ],
    );
}

#[test]
fn one_change_between_each_restart_counts_once() {
    survives(
        totals,
        &[
            step("fire", World::fire, ["total 0"]),
            step("1", |w| w.insert("1", order(1, 1)), []),
            step("10", |w| w.insert("2", order(2, 10)), []),
            step("fire", World::fire, ["total 11"]),
            step("100", |w| w.insert("3", order(3, 100)), []),
            step("1 becomes 2", |w| w.update("1", |o: &mut Order| o.amount = 2), []),
            step("fire", World::fire, ["total 112"]),
            step("10 goes", |w| w.delete::<Order>("2"), []),
            step("1000", |w| w.insert("4", order(4, 1000)), []),
            step("fire", World::fire, ["total 1102"]),
        ],
    );
}

#[test]
fn an_equal_value_inserted_after_a_deletion_is_the_only_one_that_matches() {
    survives(
        sizes,
        &[
            step("an order", |w| w.insert("old", order(1, 500)), []),
            step("it goes", |w| w.delete::<Order>("old"), []),
            step("an equal one", |w| w.insert("new", order(1, 500)), []),
            step("one is there", |w| assert_eq!(w.count::<Order>(), 1), []),
            step("fire", World::fire, ["big 1"]),
            step("the old handle is dead", |w| assert_eq!(w.get::<Order>("old"), None), []),
        ],
    );
}

#[test]
fn an_empty_session_is_restored_empty() {
    survives(
        sizes,
        &[
            step("nothing", |w| assert_eq!(w.session.fact_count(), 0), []),
            step("fire", World::fire, []),
            step("still nothing", |w| assert_eq!(w.count::<Order>(), 0), []),
        ],
    );
}

#[test]
fn what_comes_and_goes_before_an_evaluation_leaves_only_its_number() {
    survives(
        sizes,
        &[
            step("an order", |w| w.insert("passing", order(1, 500)), []),
            step("it goes", |w| w.delete::<Order>("passing"), []),
            step("fire", World::fire, []),
            step("none is there", |w| assert_eq!(w.count::<Order>(), 0), []),
            step("a second order", |w| w.insert("second", order(2, 500)), []),
            step("fire", World::fire, ["big 2"]),
        ],
    );
}

#[test]
fn clock_and_globals_are_restored_with_the_facts_of_their_commit() {
    #[derive(Global, Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Limit(i64);
    survives(
        sizes,
        &[
            step("a limit", |w| w.session.set_global(Limit(3)).unwrap(), []),
            step("a minute", |w| w.session.advance_clock(60_000).unwrap(), []),
            step(
                "both in one",
                |w| {
                    let both = w.session.transact(|stage| {
                        stage.set_global(Limit(4))?;
                        stage.insert(order(1, 500))?;
                        Ok(())
                    });
                    both.unwrap();
                },
                [],
            ),
            step(
                "they are there",
                |w| {
                    assert_eq!(w.session.global::<Limit>().unwrap(), Some(Limit(4)));
                    assert_eq!(w.session.now(), 60_000);
                },
                [],
            ),
            step("fire", World::fire, ["big 1"]),
        ],
    );
}

#[test]
fn a_session_in_memory_beside_one_on_disk_is_not_touched() {
    let disk = Disk::new();
    let mut memory = memory(sizes());
    memory.insert(order(1, 500)).unwrap();
    let digest = memory.digest();
    let mut durable = disk.open(sizes());
    durable.insert(order(2, 500)).unwrap();
    drop(durable);
    let mut durable = disk.open(sizes());
    assert_eq!(fire(&mut durable), ["big 2"]);
    assert_eq!(memory.digest(), digest);
    assert_eq!(fire(&mut memory), ["big 1"]);
}

#[test]
fn two_sessions_side_by_side_each_restore_their_own() {
    let disks = [Disk::new(), Disk::new()];
    let mut sessions = [disks[0].open(sizes()), disks[1].open(sizes())];
    for id in 0..4_u64 {
        let session = &mut sessions[usize::try_from(id % 2).unwrap()];
        session.insert(order(id, 500)).unwrap();
        session.fire(id % 2).unwrap();
    }
    let digests = [sessions[0].digest(), sessions[1].digest()];
    crate::support::said();
    drop(sessions);
    let mut sessions = [disks[0].open(sizes()), disks[1].open(sizes())];
    assert_eq!([sessions[0].digest(), sessions[1].digest()], digests);
    assert_ne!(sessions[0].id(), sessions[1].id());
    assert_eq!(fire(&mut sessions[0]), ["big 0", "big 2"]);
    assert!(fire(&mut sessions[1]).is_empty());
}

/// Scenario 46: a session is its directory.
#[test]
fn a_session_whose_directory_is_removed_is_gone_and_no_other_one_is() {
    let parent = Disk::new();
    let path = |name: &str| parent.path().join(name);
    let open = |name: &str| crate::support::durable(&path(name)).open(sizes()).unwrap();
    let mut sessions = ["a", "b"].map(open);
    let ids = [sessions[0].id(), sessions[1].id()];
    for (session, id) in sessions.iter_mut().zip([1, 2]) {
        session.insert(order(id, 500)).unwrap();
    }
    let [removed, kept] = sessions;
    removed.close().unwrap();
    drop(kept);
    std::fs::remove_dir_all(path("a")).unwrap();
    let mut kept = open("b");
    assert_eq!((kept.id(), fire(&mut kept)), (ids[1], vec!["big 2".to_owned()]));
    let mut new = open("a");
    assert!(!ids.contains(&new.id()), "it is another session");
    assert!(fire(&mut new).is_empty() && new.fact_count() == 0);
}

#[test]
fn doing_nothing_writes_nothing() {
    let disk = Disk::new();
    let mut session = disk.open(sizes());
    session.insert(order(1, 500)).unwrap();
    fire(&mut session);
    let commit = session.last_commit();
    session.fire_all().unwrap();
    session.flush().unwrap();
    session.query::<Order>().unwrap();
    session.transact(|stage| Ok(stage.query::<Order>().len())).unwrap();
    let one = session.query::<Order>().unwrap()[0].handle();
    session.update(one, |_| {}).unwrap();
    assert_eq!(session.last_commit(), commit);
}

#[test]
fn opening_says_what_it_found() {
    let disk = Disk::new();
    let found = |session: &Session| {
        let recovery = session.recovery().unwrap();
        (recovery.created, recovery.records > 0, recovery.cut, recovery.quarantined_bytes)
    };
    assert_eq!(found(&disk.open(sizes())), (true, false, false, 0));
    assert_eq!(found(&disk.open(sizes())), (false, true, false, 0));
    assert_eq!(memory(sizes()).recovery(), None);
}
