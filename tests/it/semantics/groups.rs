//! S64 to S78: accumulates and groups.

use std::cell::Cell;

use steadfast::ir::{RuleBuilder, Ruleset};
use steadfast::prelude::*;
use steadfast::{Aggregate, AggregateError};

use crate::support::{fire, memory, pending, say};

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Line {
    order: u64,
    article: String,
    quantity: i64,
}

fn line(order: u64, quantity: i64) -> Line {
    Line { order, article: format!("a{quantity}"), quantity }
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    least: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Bulk {
    order: u64,
}

/// Inserts lines of order 1.
fn lines<const N: usize>(session: &mut Session, quantities: [i64; N]) -> [Handle<Line>; N] {
    quantities.map(|quantity| session.insert(line(1, quantity)).unwrap())
}

#[test]
fn s64_of_no_facts_there_is_a_count_a_sum_and_a_list_but_no_least_unless_it_may_be_none() {
    #[rule]
    fn sums(
        #[aggregate(count(), sum(l.quantity), collect(l.quantity))] g: Group<
            Line,
            (),
            (u64, i64, Vec<i64>),
        >,
    ) {
        say(format!("count {} sum {} list {:?}", g.0, g.1, g.2));
    }
    #[rule]
    fn least(
        #[aggregate(min(l.quantity), max(l.quantity), average(l.quantity))] g: Group<
            Line,
            (),
            (i64, i64, f64),
        >,
    ) {
        say(format!("{} to {}, {} on average", g.0, g.1, g.2));
    }
    #[rule]
    fn perhaps(
        #[aggregate(min(l.quantity), average(l.quantity))] g: Group<
            Line,
            (),
            (Option<i64>, Option<f64>),
        >,
    ) {
        say(format!("from {:?}, {:?} on average", g.0, g.1));
    }
    ruleset!(nothing = 1: sums, least, perhaps);
    let mut session = memory(nothing());
    assert_eq!(fire(&mut session), ["count 0 sum 0 list []", "from None, None on average"]);
    let all = lines(&mut session, [4, 2]);
    let expected =
        ["count 2 sum 6 list [4, 2]", "2 to 4, 3 on average", "from Some(2), Some(3.0) on average"];
    assert_eq!(fire(&mut session), expected);
    for one in all {
        session.delete(one).unwrap();
    }
    assert_eq!(fire(&mut session), ["count 0 sum 0 list []", "from None, None on average"]);
}

#[rule]
fn count(#[aggregate(count())] g: Group<Line, (), (u64,)>) {
    say(format!("count {}", g.0));
}

#[test]
fn s65_a_result_that_did_not_change_is_no_news() {
    ruleset!(counting = 1: count);
    let mut session = memory(counting());
    let [one, two] = lines(&mut session, [10, 20]);
    assert_eq!(fire(&mut session), ["count 2"]);
    session.update(one, |l| l.quantity = 11).unwrap();
    assert!(fire(&mut session).is_empty());
    // One for another between two evaluations: the count was never 1.
    session.delete(two).unwrap();
    lines(&mut session, [30]);
    assert!(fire(&mut session).is_empty());
    session.delete(one).unwrap();
    assert_eq!(fire(&mut session), ["count 1"]);
}

#[rule(logical)]
fn bulk(
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity))]
    g: Group<Line, u64, (i64,)>,
    #[having(g.0 > 100)] _h: Having,
) -> Bulk {
    say(format!("bulk {}: {}", g.key, g.0));
    Bulk { order: g.key }
}

ruleset!(bulks = 1: bulk);

#[test]
fn s66_a_condition_on_the_result_makes_and_ends_the_match() {
    let mut session = memory(bulks());
    let [one, two] = lines(&mut session, [60, 30]);
    assert!(fire(&mut session).is_empty());
    session.update(two, |l| l.quantity = 50).unwrap();
    assert_eq!(fire(&mut session), ["bulk 1: 110"]);
    let fact = session.query::<Bulk>().unwrap()[0].handle();
    // It holds with another value: the same match, which fires again and keeps what it supports.
    session.update(two, |l| l.quantity = 70).unwrap();
    assert_eq!(fire(&mut session), ["bulk 1: 130"]);
    assert_eq!(session.query::<Bulk>().unwrap()[0].handle(), fact);
    session.update(one, |l| l.quantity = 10).unwrap();
    assert!(fire(&mut session).is_empty());
    assert!(session.query::<Bulk>().unwrap().is_empty());
}

#[test]
fn s67_an_update_takes_the_old_value_out_and_the_new_one_in() {
    #[rule]
    fn total(
        #[aggregate(sum(l.quantity), count(), min(l.quantity), max(l.quantity))]
        #[when(l.quantity > 0)]
        g: Group<Line, (), (i64, u64, Option<i64>, Option<i64>)>,
    ) {
        say(format!("{} in {}, {:?} to {:?}", g.0, g.1, g.2, g.3));
    }
    ruleset!(totals = 1: total);
    let mut session = memory(totals());
    let [one, ..] = lines(&mut session, [5, 5, 7]);
    assert_eq!(fire(&mut session), ["17 in 3, Some(5) to Some(7)"]);
    session.update(one, |l| l.quantity = 9).unwrap();
    assert_eq!(fire(&mut session), ["21 in 3, Some(5) to Some(9)"]);
    // Twice between two evaluations: only the last value ever counts.
    session.update(one, |l| l.quantity = 1000).unwrap();
    session.update(one, |l| l.quantity = 6).unwrap();
    assert_eq!(fire(&mut session), ["18 in 3, Some(5) to Some(7)"]);
    // Out of the conditions and back.
    session.update(one, |l| l.quantity = -1).unwrap();
    assert_eq!(fire(&mut session), ["12 in 2, Some(5) to Some(7)"]);
    session.update(one, |l| l.quantity = 1).unwrap();
    assert_eq!(fire(&mut session), ["13 in 3, Some(1) to Some(7)"]);
}

#[test]
fn s68_a_change_of_the_left_side_that_moves_the_range_gives_the_right_extremes() {
    #[rule]
    fn from(
        o: &Order,
        #[aggregate(min(l.quantity), max(l.quantity))]
        #[when(l.order == o.id && l.quantity >= o.least)]
        g: Group<Line, (), (Option<i64>, Option<i64>)>,
    ) {
        say(format!("{:?} to {:?}", g.0, g.1));
    }
    ruleset!(ranges = 1: from);
    let mut session = memory(ranges());
    lines(&mut session, [-2, 12, 40]);
    let order = session.insert(Order { id: 1, least: -10 }).unwrap();
    assert_eq!(fire(&mut session), ["Some(-2) to Some(40)"]);
    session.update(order, |o| o.least = 5).unwrap();
    assert_eq!(fire(&mut session), ["Some(12) to Some(40)"]);
    session.update(order, |o| o.least = 50).unwrap();
    assert_eq!(fire(&mut session), ["None to None"]);
    session.update(order, |o| o.least = -10).unwrap();
    assert_eq!(fire(&mut session), ["Some(-2) to Some(40)"]);
    session.update(order, |o| o.id = 2).unwrap();
    assert_eq!(fire(&mut session), ["None to None"]);
}

thread_local!(static LOOKS: Cell<u64> = const { Cell::new(0) });

fn looked_at(quantity: i64) -> i64 {
    LOOKS.set(LOOKS.get() + 1);
    quantity
}

#[test]
fn s69_losing_the_least_member_looks_at_no_other_one() {
    #[rule]
    fn least(#[aggregate(min(looked_at(l.quantity)))] g: Group<Line, (), (i64,)>) {
        say(format!("least {}", g.0));
    }
    ruleset!(leasts = 1: least);
    let mut session = memory(leasts());
    let handles: Vec<_> = (0..100).map(|at| session.insert(line(1, at)).unwrap()).collect();
    assert_eq!(fire(&mut session), ["least 0"]);
    LOOKS.set(0);
    for (at, handle) in handles.iter().take(50).enumerate() {
        session.delete(*handle).unwrap();
        assert_eq!(fire(&mut session), [format!("least {}", at + 1)]);
    }
    assert!(LOOKS.get() <= 50, "{} looks for 50 deletions", LOOKS.get());
}

#[test]
fn s70_a_list_is_in_the_order_of_its_facts() {
    #[rule]
    fn list(#[aggregate(collect(l.quantity))] g: Group<Line, (), (Vec<i64>,)>) {
        say(format!("{:?}", g.0));
    }
    ruleset!(lists = 1: list);
    let mut session = memory(lists());
    let [one, two, _] = lines(&mut session, [3, 1, 1]);
    assert_eq!(fire(&mut session), ["[3, 1, 1]"]);
    session.update(one, |l| l.quantity = 9).unwrap();
    assert_eq!(fire(&mut session), ["[9, 1, 1]"]);
    session.delete(two).unwrap();
    lines(&mut session, [1, 0]);
    assert_eq!(fire(&mut session), ["[9, 1, 1, 0]"]);
}

#[test]
fn s74_a_changed_key_moves_a_member_and_both_groups_change() {
    #[rule]
    fn total(
        #[group_by(l.order)]
        #[aggregate(sum(l.quantity))]
        g: Group<Line, u64, (i64,)>,
    ) {
        say(format!("order {}: {}", g.key, g.0));
    }
    ruleset!(totals = 1: total);
    let mut session = memory(totals());
    let moving = session.insert(line(1, 10)).unwrap();
    session.insert(line(1, 20)).unwrap();
    session.insert(line(2, 30)).unwrap();
    assert_eq!(fire(&mut session), ["order 1: 30", "order 2: 30"]);
    session.update(moving, |l| l.order = 2).unwrap();
    assert_eq!(fire(&mut session), ["order 1: 20", "order 2: 40"]);
    // To a group of its own, which is new.
    session.update(moving, |l| l.order = 3).unwrap();
    assert_eq!(fire(&mut session), ["order 2: 30", "order 3: 10"]);
}

#[test]
fn facts_of_a_group_may_have_a_name_that_attributes_of_others_use() {
    #[rule]
    fn complete(
        #[not(l: Line, l.order == 2)] _second: Absent<(Line,)>,
        #[group_by(l.order)]
        #[aggregate(sum(l.quantity))]
        #[when(l.quantity > 0)]
        g: Group<Line, u64, (i64,)>,
        #[not(l: Line, l.order == g.key && l.quantity == 0)] _empty: Absent<(Line,)>,
        #[each(l: Line, l.order == g.key)]
        #[aggregate(count())]
        all: Group<Line, (), (u64,)>,
    ) {
        say(format!("order {}: {} in {}", g.key, g.0, all.0));
    }
    ruleset!(completing = 1: complete);
    let mut session = memory(completing());
    for (order, quantity) in [(1, 10), (1, 20), (3, 5), (3, 0)] {
        session.insert(line(order, quantity)).unwrap();
    }
    assert_eq!(fire(&mut session), ["order 1: 30 in 2"]);
}

#[test]
fn s75_a_group_without_members_does_not_exist() {
    #[rule(logical)]
    fn known(
        #[group_by(l.order)]
        #[aggregate(count())]
        g: Group<Line, u64, (u64,)>,
    ) -> Bulk {
        say(format!("order {}: {}", g.key, g.0));
        Bulk { order: g.key }
    }
    ruleset!(knowing = 1: known);
    let mut session = memory(knowing());
    assert!(fire(&mut session).is_empty());
    let [one] = lines(&mut session, [10]);
    assert_eq!(fire(&mut session), ["order 1: 1"]);
    session.delete(one).unwrap();
    assert!(fire(&mut session).is_empty());
    assert!(session.query::<Bulk>().unwrap().is_empty());
    lines(&mut session, [10]);
    assert_eq!(fire(&mut session), ["order 1: 1"], "a group that comes back is new");
}

#[test]
fn s76_groups_fire_by_trigger_and_then_by_the_bytes_of_their_key() {
    #[rule]
    fn named(
        #[group_by(l.article.clone())]
        #[aggregate(count())]
        g: Group<Line, String, (u64,)>,
    ) {
        say(g.key.clone());
    }
    ruleset!(naming = 1: named);
    let mut session = memory(naming());
    let named = |name: &str| Line { order: 1, article: name.to_owned(), quantity: 1 };
    let [pear, ..] =
        ["pear", "fig", "apple", "kiwi"].map(|name| session.insert(named(name)).unwrap());
    assert_eq!(fire(&mut session), ["pear", "fig", "apple", "kiwi"]);
    session.update(pear, |l| "apple".clone_into(&mut l.article)).unwrap();
    assert_eq!(fire(&mut session), ["apple"]);
    // Two groups changed by one operation: the bytes of a string begin with its length.
    session.update(pear, |l| "kiwi".clone_into(&mut l.article)).unwrap();
    assert_eq!(fire(&mut session), ["kiwi", "apple"]);
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Counted(u64);

#[test]
fn s77_an_accumulate_over_derived_facts_follows_their_end_in_the_same_evaluation() {
    #[rule(logical)]
    fn counted(#[aggregate(count())] g: Group<Bulk, (), (u64,)>) -> Counted {
        say(format!("{} bulks", g.0));
        Counted(g.0)
    }
    ruleset!(chain = 1: bulk, counted);
    let mut session = memory(chain());
    lines(&mut session, [200]);
    let two = session.insert(line(2, 300)).unwrap();
    assert_eq!(fire(&mut session), ["bulk 1: 200", "bulk 2: 300", "2 bulks"]);
    session.delete(two).unwrap();
    assert_eq!(pending(&mut session).len(), 1);
    assert_eq!(session.query::<Bulk>().unwrap().len(), 1);
    assert_eq!(fire(&mut session), ["1 bulks"]);
}

/// An accumulator of our own: the parity of all quantities.
#[derive(Clone)]
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

#[test]
fn s78_an_accumulator_of_the_users_says_how_members_enter_and_leave() {
    let mut rule = RuleBuilder::new("it::parity");
    let element = rule.element::<Line>("l");
    let group =
        rule.accumulate::<Line, _, _>(element, &["quantity"], Parity, |l: &Line| l.quantity);
    let rule = rule.then(move |row, _| {
        say(if **group.of(row) { "odd" } else { "even" });
        Ok(())
    });
    let mut session = memory(Ruleset::new("parity", 1).rule(rule));
    assert_eq!(fire(&mut session), ["even"]);
    let [one, ..] = lines(&mut session, [3, 4]);
    assert_eq!(fire(&mut session), ["odd"]);
    session.update(one, |l| l.quantity = 5).unwrap();
    assert!(fire(&mut session).is_empty());
    session.delete(one).unwrap();
    assert_eq!(fire(&mut session), ["even"]);
}
