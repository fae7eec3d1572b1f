//! Invariants of docs/invariants.md that are sentences about the engine alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use steadfast::aggregate::{Average, Collect, Max, Min, Sum};
use steadfast::ir::{GroupVar, RuleBuilder, RuleDef, Ruleset};
use steadfast::wm::SessionId;
use steadfast::{
    ChangeError, Discard, Engine, Failure, FireError, FireOptions, Group, Handle, RuleError,
};
use steadfast_macros::Fact;

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: i64,
    amount: i64,
}

#[derive(Fact, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    order: i64,
}

fn order(id: i64) -> Order {
    Order { id, amount: id * 10 }
}

fn engine(rule: RuleDef) -> Engine {
    let rules = Ruleset::new("test", 1).rule(rule).fact::<Order>().fact::<Note>();
    Engine::new(&rules, SessionId::default(), &mut Discard).unwrap()
}

fn insert(engine: &mut Engine, orders: impl IntoIterator<Item = Order>) -> Vec<Handle<Order>> {
    let insert = |stage: &mut steadfast::Stage<'_>| {
        orders.into_iter().map(|order| stage.insert(order)).collect::<Result<_, ChangeError>>()
    };
    engine.stage(&mut Discard, insert).unwrap()
}

fn delete(engine: &mut Engine, handle: Handle<Order>) {
    engine.stage(&mut Discard, |stage| stage.delete(handle)).unwrap();
}

/// A rule for every pair of an order and another one after it.
fn pairs(condition: impl Fn(&Order) -> bool + Send + Sync + 'static) -> RuleDef {
    let mut rule = RuleBuilder::new("test::pairs");
    let first = rule.each::<Order>("first");
    rule.when(first, "condition(first)", &["amount"], condition);
    let second = rule.each::<Order>("second");
    let after = |second: &Order, first: &Order| second.id > first.id;
    rule.residual("second.id > first.id", (second, &["id"]), (first, &["id"]), after);
    rule.then(|_, _| Ok(()))
}

/// INV-44: looking at a session never evaluates it.
#[test]
fn a_digest_leaves_what_is_staged_staged() {
    let mut engine = engine(pairs(|_| true));
    insert(&mut engine, [order(1), order(2)]);
    let before = engine.digest();
    assert!(engine.has_staged());
    assert_eq!((engine.digest(), engine.pending_count()), (before, 0));
    engine.flush(&mut Discard).unwrap();
    assert_eq!(engine.pending_count(), 1);
    assert_ne!(engine.digest(), before);
}

/// INV-45: a deletion finds its matches by links, so that it works whatever conditions say by then.
#[test]
fn deleting_a_fact_evaluates_no_condition() {
    let armed = Arc::new(AtomicBool::new(false));
    let trap = Arc::clone(&armed);
    let mut engine = engine(pairs(move |_| {
        assert!(!trap.load(Ordering::Relaxed), "a condition was evaluated");
        true
    }));
    let orders = insert(&mut engine, [order(1), order(2), order(3)]);
    engine.flush(&mut Discard).unwrap();
    assert_eq!(engine.pending_count(), 3);
    armed.store(true, Ordering::Relaxed);
    delete(&mut engine, orders[1]);
    engine.flush(&mut Discard).unwrap();
    assert_eq!(engine.pending_count(), 1);
}

/// INV-45, also where the fact is of a tuple that blocks, and its end decides a turn.
#[test]
fn deleting_a_fact_of_a_blocking_tuple_evaluates_no_condition() {
    let armed = Arc::new(AtomicBool::new(false));
    let trap = Arc::clone(&armed);
    let sprung = move |holds: bool| {
        assert!(!trap.load(Ordering::Relaxed), "a condition was evaluated");
        holds
    };
    let mut rule = RuleBuilder::new("test::no_pair");
    rule.not_of(|inside| {
        let first = inside.each::<Order>("first");
        let second = inside.each::<Order>("second");
        let spring = sprung.clone();
        let after = move |second: &Order, first: &Order| spring(second.id > first.id);
        inside.residual("second.id > first.id", (second, &["id"]), (first, &["id"]), after);
        let third = inside.not::<Order>("third");
        let far = move |third: &Order, second: &Order| sprung(third.id > second.id + 100);
        inside.residual("third.id > second.id + 100", (third, &["id"]), (second, &["id"]), far);
    });
    let mut engine = engine(rule.then(|_, _| Ok(())));
    let orders = insert(&mut engine, [order(1), order(2)]);
    engine.flush(&mut Discard).unwrap();
    assert_eq!(engine.pending_count(), 0);
    armed.store(true, Ordering::Relaxed);
    delete(&mut engine, orders[0]);
    engine.flush(&mut Discard).unwrap();
    assert_eq!(engine.pending_count(), 1);
}

/// INV-47: a consequence that fails or panics after any number of its actions leaves nothing.
#[test]
fn a_failing_consequence_leaves_everything_as_it_was() {
    for step in 0..5 {
        for panics in [false, true] {
            let mut rule = RuleBuilder::new("test::fails");
            let of = rule.each::<Order>("order");
            let fail = move |at: i64| match (at == step, panics) {
                (false, _) => Ok(()),
                (true, false) => Err(RuleError::new("given up")),
                (true, true) => panic!("given up"),
            };
            let mut engine = engine(rule.then(move |row, cx| {
                let order = of.reference(row);
                fail(0)?;
                cx.insert(Note { order: order.id })?;
                fail(1)?;
                cx.modify(order, |order| order.amount += 1)?;
                fail(2)?;
                cx.insert_logical(Note { order: -order.id })?;
                fail(3)?;
                let _drawn = cx.random();
                cx.delete(order)?;
                fail(4)
            }));
            insert(&mut engine, [order(7)]);
            engine.flush(&mut Discard).unwrap();
            let before = engine.digest();
            let fired = engine.fire(FireOptions::default(), &mut Discard);
            let Some(FireError::Consequence { failure, .. }) = fired.error.map(|error| *error)
            else {
                panic!("the consequence fails at step {step}");
            };
            match failure {
                Failure::Error(error) => assert_eq!((error.message(), panics), ("given up", false)),
                Failure::Panic(message) => assert_eq!((&*message, panics), ("given up", true)),
            }
            assert_eq!(engine.digest(), before, "after step {step}");
        }
    }
}

type Totals = Group<Order, (), (i64, i64, i64, f64, Vec<i64>)>;

fn totals() -> RuleDef {
    let mut rule = RuleBuilder::new("test::totals");
    let element = rule.element::<Order>("order");
    let functions = (
        Sum::<i64>::default(),
        Min::<i64>::default(),
        Max::<i64>::default(),
        Average::<i64>::default(),
        Collect::<i64>::default(),
    );
    let input =
        |order: &Order| (order.amount, order.amount, order.amount, order.amount, order.amount);
    let group: GroupVar<Totals> = rule.accumulate(element, &["amount"], functions, input);
    rule.then(move |row, cx| {
        cx.insert_logical(Note { order: group.of(row).0 })?;
        Ok(())
    })
}

/// INV-49: values depend on who is a member, not on the way to there.
#[test]
fn accumulated_values_do_not_depend_on_the_order_of_changes() {
    let amounts = [40, 10, 30, 10, 20];
    let all: Vec<Order> = (0..).zip(amounts).map(|(id, amount)| Order { id, amount }).collect();
    let mut digests = Vec::new();
    // Every order of deletion of what is not to stay, and some detours.
    for detour in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]] {
        let mut engine = engine(totals());
        let handles = insert(&mut engine, all.clone());
        for at in detour {
            engine.flush(&mut Discard).unwrap();
            delete(&mut engine, handles[at]);
        }
        engine.fire(FireOptions::default(), &mut Discard);
        let notes: Vec<i64> = engine.facts::<Note>().iter().map(|note| note.order).collect();
        assert_eq!(notes, [30], "the sum of what stays");
        digests.push((engine.facts::<Order>().len(), notes));
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}
