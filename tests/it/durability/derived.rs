//! Derived facts that stand on each other, on absences and on accumulates, over restarts.

use steadfast::prelude::*;

use super::{World, step, survives};
use crate::support::say;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Edge {
    from: u32,
    to: u32,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Path {
    from: u32,
    to: u32,
}

#[rule(logical)]
fn near(e: &Edge) -> Path {
    say(format!("{} to {}", e.from, e.to));
    Path { from: e.from, to: e.to }
}

#[rule(logical)]
fn far(p: &Path, #[when(e.from == p.to)] e: &Edge) -> Path {
    say(format!("{} by {} to {}", p.from, p.to, e.to));
    Path { from: p.from, to: e.to }
}

ruleset!(paths = 1: near, far);

#[test]
fn facts_that_support_only_each_other_fall_after_a_crash_too() {
    survives(
        paths,
        &[
            step("a way in", |w| w.insert("gate", Edge { from: 1, to: 2 }), []),
            step("there", |w| w.insert("there", Edge { from: 2, to: 3 }), []),
            step("and back", |w| w.insert("back", Edge { from: 3, to: 2 }), []),
            step("one firing", |w| w.fire_some(1), ["1 to 2"]),
            step(
                "fire",
                World::fire,
                [
                    "2 to 3",
                    "3 to 2",
                    "1 by 2 to 3",
                    "2 by 3 to 2",
                    "3 by 2 to 3",
                    "1 by 3 to 2",
                    "2 by 2 to 3",
                    "3 by 3 to 2",
                ],
            ),
            step("the way in is closed", |w| w.delete::<Edge>("gate"), []),
            step("evaluate", World::flush, []),
            step("the circle is left", |w| assert_eq!(w.count::<Path>(), 4), []),
            step("fire", World::fire, []),
            step("the circle opens", |w| w.delete::<Edge>("back"), []),
            step("what stood on it fell", |w| assert_eq!(w.count::<Path>(), 1), []),
        ],
    );
}

#[test]
fn a_statement_that_is_taken_back_is_remembered_until_the_next_evaluation() {
    survives(
        paths,
        &[
            step("a loop", |w| w.insert("loop", Edge { from: 7, to: 7 }), []),
            step("a stated path", |w| w.insert("path", Path { from: 1, to: 7 }), []),
            step("fire", World::fire, ["7 to 7", "1 by 7 to 7", "7 by 7 to 7"]),
            // It supports itself from now on; nothing is evaluated yet.
            step("not stated any more", |w| w.delete::<Path>("path"), []),
            step("it is there", |w| assert!(w.get::<Path>("path").is_some()), []),
            step("evaluate", World::flush, []),
            step("it is gone", |w| assert!(w.get::<Path>("path").is_none()), []),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Payment {
    order: u64,
    amount: i64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Open {
    order: u64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Paying {
    order: u64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Total {
    amount: i64,
}

#[rule(logical)]
fn open(o: &Order, #[not(p.order == o.id)] p: Absent<Payment>) -> Open {
    say(format!("open {}", o.id));
    Open { order: o.id }
}

#[rule(logical)]
fn paying(o: &Order, #[exists(p.order == o.id)] p: Exists<Payment>) -> Paying {
    say(format!("paying {}", o.id));
    Paying { order: o.id }
}

#[rule(logical)]
fn total(#[aggregate(sum(p.amount))] g: Group<Payment, (), (i64,)>) -> Total {
    say(format!("total {}", g.0));
    Total { amount: g.0 }
}

ruleset!(ledger = 1: open, paying, total);

#[test]
fn facts_derived_from_absence_presence_and_sums_are_replaced_as_those_change() {
    fn totals(world: &mut World) -> Vec<i64> {
        world.session.query::<Total>().unwrap().iter().map(|total| total.amount).collect()
    }
    survives(
        ledger,
        &[
            step("an order", |w| w.insert("order", Order { id: 1 }), []),
            step("fire", World::fire, ["open 1", "total 0"]),
            step("a payment", |w| w.insert("first", Payment { order: 1, amount: 5 }), []),
            step("it is not open", |w| assert_eq!(w.count::<Open>(), 0), []),
            step("the old total is there until its rule fires", |w| assert_eq!(totals(w), [0]), []),
            step("fire", World::fire, ["paying 1", "total 5"]),
            step("the new total is there alone", |w| assert_eq!(totals(w), [5]), []),
            step("another", |w| w.insert("second", Payment { order: 1, amount: 2 }), []),
            step("the first one goes", |w| w.delete::<Payment>("first"), []),
            step("fire", World::fire, ["total 2"]),
            step("the other goes", |w| w.delete::<Payment>("second"), []),
            step("nobody is paying", |w| assert_eq!(w.count::<Paying>(), 0), []),
            step("fire", World::fire, ["open 1", "total 0"]),
            step("the order goes", |w| w.delete::<Order>("order"), []),
            step("so does what it held", |w| assert_eq!(w.count::<Open>(), 0), []),
        ],
    );
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Reading {
    sensor: u32,
    celsius: i64,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Hot {
    sensor: u32,
}
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Burning {
    sensor: u32,
}

/// Supports one fact or two, as its reading demands.
#[rule]
fn judge(#[watch(celsius)] r: &Reading, cx: &mut Then) -> RuleResult {
    say(format!("{} is at {}", r.sensor, r.celsius));
    if r.celsius > 50 {
        cx.insert_logical(Hot { sensor: r.sensor })?;
    }
    if r.celsius > 100 {
        cx.insert_logical(Burning { sensor: r.sensor })?;
    }
    Ok(())
}

ruleset!(judging = 1: judge; facts: Hot, Burning);

#[test]
fn a_match_that_fires_again_after_a_crash_keeps_what_it_issues_again_and_no_more() {
    survives(
        judging,
        &[
            step("a fire", |w| w.insert("it", Reading { sensor: 3, celsius: 300 }), []),
            step("fire", World::fire, ["3 is at 300"]),
            step("it is stated, too", |w| w.insert("hot", Hot { sensor: 3 }), []),
            step("cooler", |w| w.update("it", |r: &mut Reading| r.celsius = 70), []),
            step("evaluate", World::flush, []),
            step("as it was until it fires", |w| assert_eq!(w.count::<Burning>(), 1), []),
            step("fire", World::fire, ["3 is at 70"]),
            step("not burning", |w| assert_eq!(w.count::<Burning>(), 0), []),
            step("cold", |w| w.update("it", |r: &mut Reading| r.celsius = 7), []),
            step("fire", World::fire, ["3 is at 7"]),
            step("somebody said so", |w| assert_eq!(w.count::<Hot>(), 1), []),
            step("and takes it back", |w| w.delete::<Hot>("hot"), []),
            step("it is not hot", |w| assert_eq!(w.count::<Hot>(), 0), []),
        ],
    );
}

#[test]
fn a_derived_fact_that_was_deleted_stays_away_until_its_match_has_a_new_trigger() {
    survives(
        judging,
        &[
            step("hot", |w| w.insert("it", Reading { sensor: 3, celsius: 70 }), []),
            step("fire", World::fire, ["3 is at 70"]),
            step(
                "the derived fact is deleted",
                |w| {
                    let hot = w.session.query::<Hot>().unwrap()[0].handle();
                    assert!(w.session.delete(hot).unwrap());
                },
                [],
            ),
            step("fire", World::fire, []),
            step("it is away", |w| assert_eq!(w.count::<Hot>(), 0), []),
            step("hotter", |w| w.update("it", |r: &mut Reading| r.celsius = 71), []),
            step("fire", World::fire, ["3 is at 71"]),
            step("it is back", |w| assert_eq!(w.count::<Hot>(), 1), []),
        ],
    );
}

/// What an order costs: one for each order, here and through the counter.
#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(unique)]
struct Cost {
    #[fact(key)]
    order: u64,
    amount: i64,
}

#[rule(logical)]
fn cost(#[watch(amount)] p: &Payment) -> Cost {
    Cost { order: p.order, amount: p.amount }
}

#[rule]
fn at_the_counter(#[from("counter")] c: &Cost) {
    say(format!("{} at the counter", c.order));
}

ruleset!(costs = 1: cost, at_the_counter);

/// The facts, each of which is found by its key.
fn amounts(w: &mut World) -> Vec<(u64, i64)> {
    let facts: Vec<_> = w.session.query::<Cost>().unwrap().iter().map(Ref::handle).collect();
    let found = facts.into_iter().map(|fact| {
        let order = w.session.get(fact).unwrap().order;
        let found = w.session.find::<Cost>(&order).unwrap();
        assert_eq!(found.handle(), fact);
        (order, found.amount)
    });
    found.collect()
}

fn refused<T: std::fmt::Debug>(outcome: steadfast::Result<T>) {
    let report = outcome.unwrap_err().report();
    assert!(report.contains("a `Cost` with the same key exists"), "{report}");
}

fn at_counter(w: &mut World, amount: i64) -> steadfast::Result<Handle<Cost>> {
    w.session.entry("counter").insert(Cost { order: 1, amount })
}

/// S24 and S82 over restarts: who has a key is not journaled, it follows from the facts.
#[test]
fn keys_of_a_unique_type_are_taken_given_up_and_replaced_over_restarts() {
    survives(
        costs,
        &[
            step("one is stated", |w| w.insert("one", Cost { order: 1, amount: 5 }), []),
            step(
                "a second is refused",
                |w| refused(w.session.insert(Cost { order: 1, amount: 6 })),
                [],
            ),
            step("not at the counter", |w| _ = at_counter(w, 7).unwrap(), []),
            step("but there a second is", |w| refused(at_counter(w, 8)), []),
            step("a payment", |w| w.insert("payment", Payment { order: 2, amount: 10 }), []),
            step("its cost is derived", World::fire, ["1 at the counter"]),
            step(
                "whose key nobody takes",
                |w| {
                    refused(w.session.insert(Cost { order: 2, amount: 1 }));
                    refused(w.session.update(w.held::<Cost>("one"), |cost| cost.order = 2));
                },
                [],
            ),
            step("it is another one", |w| w.update("payment", |p: &mut Payment| p.amount = 11), []),
            step("which replaces it", World::fire, []),
            step("under its key", |w| assert_eq!(amounts(w), [(1, 5), (2, 11)]), []),
            step(
                "the order of the first",
                |w| {
                    w.update("payment", |p: &mut Payment| (p.order, p.amount) = (1, 12));
                },
                [],
            ),
            step("has a cost that is stated", |w| drop(w.session.fire_all().unwrap_err()), []),
            step("so that all stays", |w| assert_eq!(amounts(w), [(1, 5), (2, 11)]), []),
            step(
                "which gets another key",
                |w| w.update("one", |cost: &mut Cost| cost.order = 3),
                [],
            ),
            step("so that the rule can", World::fire, []),
            step("derive under it", |w| assert_eq!(amounts(w), [(3, 5), (1, 12)]), []),
            step(
                "an equal one states it",
                |w| {
                    let derived = w.session.query::<Cost>().unwrap()[1].handle();
                    let stated = w.session.insert_unique(Cost { order: 1, amount: 12 }).unwrap();
                    assert_eq!(stated, derived);
                },
                [],
            ),
            step("its payment goes", |w| w.delete::<Payment>("payment"), []),
            step(
                "it stays, with its key",
                |w| {
                    assert_eq!(amounts(w), [(3, 5), (1, 12)]);
                    refused(w.session.insert(Cost { order: 1, amount: 1 }));
                },
                [],
            ),
        ],
    );
}
