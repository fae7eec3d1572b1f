//! Accumulates over restarts: what fired stays fired, what did not fires once, and values go on from
//! where they were.

use steadfast::aggregate::Rescan;
use steadfast::prelude::*;
use steadfast::{Aggregate, AggregateError};

use super::{World, step, survives};
use crate::support::{Disk, fire, said, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Amount {
    account: u64,
    value: i64,
    rate: f64,
}

fn amount(value: i64) -> Amount {
    Amount { account: 1, value, rate: 0.1 }
}

#[rule]
fn total(#[aggregate(sum(a.value))] g: Group<Amount, (), (i64,)>) {
    say(format!("total {}", g.0));
}

ruleset!(totals = 1: total);

/// Scenario 24.
#[test]
fn an_accumulate_that_fired_does_not_fire_again_after_a_restart_and_one_that_did_not_does_once() {
    let disk = Disk::new();
    let mut session = disk.open(totals());
    session.insert(amount(37)).unwrap();
    assert_eq!(fire(&mut session), ["total 37"]);
    drop(session);
    let mut session = disk.open(totals());
    assert_eq!(session.pending().len(), 0);
    assert!(fire(&mut session).is_empty(), "it fired");
    session.insert(amount(5)).unwrap();
    session.flush().unwrap();
    drop(session);
    let mut session = disk.open(totals());
    assert_eq!(session.pending().len(), 1);
    assert!(said().is_empty());
    assert_eq!(fire(&mut session), ["total 42"], "it did not fire");
    drop(session);
    assert!(fire(&mut disk.open(totals())).is_empty());
}

/// Scenario 25.
#[test]
fn an_accumulate_counts_what_fired_what_is_staged_and_what_comes_after_the_restart() {
    let steps = [
        step("of nothing", World::fire, ["total 0"]),
        step(
            "37 fired",
            |world| {
                world.insert("first", amount(37));
                world.fire();
            },
            ["total 37"],
        ),
        step("40 unfired", |world| world.insert("second", amount(40)), []),
        step("41 after the restart", |world| world.insert("third", amount(41)), []),
        step("all of it", World::fire, ["total 118"]),
        step("without a contributor", |world| world.delete::<Amount>("second"), []),
        step("the rest", World::fire, ["total 78"]),
        step(
            "none",
            |world| {
                world.delete::<Amount>("first");
                world.delete::<Amount>("third");
                world.fire();
            },
            ["total 0"],
        ),
        step(
            "25",
            |world| {
                world.insert("last", amount(25));
                world.fire();
            },
            ["total 25"],
        ),
    ];
    survives(totals, &steps);
}

#[rule]
fn rates(
    #[aggregate(sum(a.rate), min(a.value), collect(a.value))] g: Group<
        Amount,
        (),
        (f64, Option<i64>, Vec<i64>),
    >,
) {
    say(format!("{:?}", *g));
}

ruleset!(rating = 1: rates);

/// Scenarios 21 and 22 of transactions: what is given up was never in a sum, a minimum or a list.
#[test]
fn values_are_the_same_to_the_bit_after_work_that_was_given_up() {
    let disk = Disk::new();
    let mut session = disk.open(rating());
    for (value, rate) in [(5, 1e16), (2, 1.0), (9, -1e16)] {
        session.insert(Amount { rate, ..amount(value) }).unwrap();
    }
    assert_eq!(fire(&mut session), ["(1.0, Some(2), [5, 2, 9])"]);
    let digest = session.digest();
    let least = session.query::<Amount>().unwrap()[1].handle();
    let given_up = session.transact::<()>(|stage| {
        stage.insert(Amount { rate: 1e300, ..amount(1) })?;
        stage.delete(least)?;
        Err(steadfast::Error::give_up("enough"))
    });
    assert!(given_up.is_err());
    assert!(fire(&mut session).is_empty());
    assert_eq!(session.digest(), digest);
    // Done and taken back, over a restart in the middle.
    let huge = session.insert(Amount { rate: 1e300, ..amount(1) }).unwrap();
    assert_eq!(fire(&mut session), ["(1e300, Some(1), [5, 2, 9, 1])"]);
    drop(session);
    let mut session = disk.open(rating());
    session.delete(huge).unwrap();
    assert_eq!(fire(&mut session), ["(1.0, Some(2), [5, 2, 9])"]);
}

/// One of each kind of state: exact floats, moments, multisets, halves, lists.
#[rule]
fn everything(
    #[group_by(a.account)]
    #[aggregate(
        sum(a.rate), stddev(a.rate), median(a.value), percentile(a.value, 90),
        count_distinct(a.value), last(a.value)
    )]
    g: Group<Amount, u64, (f64, f64, f64, i64, u64, i64)>,
) {
    say(format!("{}: {} {:.3} {} {} {} {}", g.key, g.0, g.1, g.2, g.3, g.4, g.5));
}

#[rule]
fn lists(
    #[aggregate(top_k(a.value, 2), bottom_k(a.rate, 1), collect_set(a.value), collect(a.rate))]
    g: Group<Amount, (), (Vec<i64>, Vec<f64>, Vec<i64>, Vec<f64>)>,
    #[having(g.0.len() == 2)] _h: Having,
) {
    say(format!("{:?}", *g));
}

/// An accumulator of our own: the parity of all values.
#[derive(Clone, Default)]
struct Parity;

impl Aggregate for Parity {
    type Input = i64;
    type State = i64;
    type Output = bool;

    fn enter(&self, state: &mut i64, _facts: &[u64], input: &i64) {
        *state ^= input;
    }
    fn leave(&self, state: &mut i64, _facts: &[u64], input: &i64) {
        *state ^= input;
    }
    fn output(&self, state: &i64) -> Result<Option<bool>, AggregateError> {
        Ok(Some(state & 1 == 1))
    }
}

/// One that looks at all: how often a value is greater than the one before it.
#[derive(Clone, Default)]
struct Rises;

impl Rescan for Rises {
    type Input = i64;
    type Output = u64;

    fn scan<'a>(
        &self,
        members: impl Iterator<Item = &'a i64>,
    ) -> Result<Option<u64>, AggregateError> {
        let all: Vec<&i64> = members.collect();
        Ok(Some(all.windows(2).filter(|pair| pair[0] < pair[1]).count() as u64))
    }
}

#[rule]
fn of_our_own(
    #[aggregate(Parity(a.value), rescan(Rises, a.value))] g: Group<Amount, (), (bool, u64)>,
) {
    say(format!("{} {}", g.0, g.1));
}

#[rule]
fn moments(
    #[aggregate(
        average(a.rate), variance(a.rate), sample_variance(a.rate), sample_stddev(a.rate)
    )]
    g: Group<Amount, (), (f64, f64, Option<f64>, Option<f64>)>,
) {
    say(format!("{:?}", *g));
}

#[rule]
fn ends(
    #[aggregate(count(), min(a.rate), max(a.value), first(a.value))] g: Group<
        Amount,
        (),
        (u64, Option<f64>, Option<i64>, Option<i64>),
    >,
) {
    say(format!("{:?}", *g));
}

#[test]
fn every_other_result_and_functions_of_the_users_go_on_over_restarts() {
    ruleset!(others = 1: of_our_own, moments, ends);
    let steps = [
        step("of nothing", World::fire, ["false 0", "(0, None, None, None)"]),
        step(
            "two",
            |world| {
                world.insert("a", Amount { rate: 1e9 + 4.0, ..amount(5) });
                world.insert("b", Amount { rate: 1e9 + 7.0, ..amount(8) });
            },
            [],
        ),
        step(
            "fire",
            World::fire,
            [
                "true 1",
                "(1000000005.5, 2.25, Some(4.5), Some(2.1213203435596424))",
                "(2, Some(1000000004.0), Some(8), Some(5))",
            ],
        ),
        step("one changes", |world| world.update("a", |amount: &mut Amount| amount.value = 9), []),
        step(
            "and is evaluated",
            |world| {
                world.flush();
                assert_eq!(world.session.pending().len(), 2);
            },
            [],
        ),
        step("fire", World::fire, ["true 0", "(2, Some(1000000004.0), Some(9), Some(9))"]),
        step(
            "one leaves",
            |world| {
                world.delete::<Amount>("a");
                world.fire();
            },
            [
                "false 0",
                "(1000000007.0, 0.0, None, None)",
                "(1, Some(1000000007.0), Some(8), Some(8))",
            ],
        ),
    ];
    survives(others, &steps);
}

#[test]
fn every_kind_of_state_goes_on_over_restarts() {
    ruleset!(all = 1: everything, lists);
    let steps = [
        step(
            "three",
            |world| {
                world.insert("a", Amount { rate: 1e16, ..amount(5) });
                world.insert("b", Amount { rate: 0.5, ..amount(7) });
                world.insert("c", Amount { rate: -1e16, ..amount(5) });
            },
            [],
        ),
        step(
            "fire",
            World::fire,
            [
                "1: 0.5 8164965809277260.000 5 7 2 5",
                "([7, 5], [-1e16], [5, 7], [1e16, 0.5, -1e16])",
            ],
        ),
        step(
            "what is not finite",
            |world| {
                world.update("b", |amount: &mut Amount| amount.rate = f64::INFINITY);
                world.flush();
            },
            [],
        ),
        step(
            "and its end",
            |world| {
                world.update("b", |amount: &mut Amount| {
                    amount.rate = 0.25;
                    amount.value = 4;
                });
                world.fire();
            },
            [
                "1: 0.25 8164965809277260.000 5 5 2 5",
                "([5, 5], [-1e16], [4, 5], [1e16, 0.25, -1e16])",
            ],
        ),
        step(
            "one leaves",
            |world| {
                world.delete::<Amount>("c");
                world.fire();
            },
            [
                "1: 10000000000000000 5000000000000000.000 4.5 5 2 4",
                "([5, 4], [0.25], [4, 5], [1e16, 0.25])",
            ],
        ),
        step(
            "an account of its own",
            |world| {
                world.update("a", |amount: &mut Amount| amount.account = 2);
                world.fire();
            },
            ["1: 0.25 0.000 4 4 1 4", "2: 10000000000000000 0.000 5 5 1 5"],
        ),
    ];
    survives(all, &steps);
}
