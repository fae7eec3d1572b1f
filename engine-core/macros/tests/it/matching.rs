//! Expansions at work: facts go into an engine, what rules found comes out.

use steadfast::ir::{Absent, Exists, Having, OnError, Rule, RuleDef, Ruleset};
use steadfast::{
    ChangeError, Discard, Engine, Fact, FireOptions, Group, Ref, RuleError, RuleResult, Stage, Then,
};
use steadfast_macros::{query, rule};
use steadfast_wm::SessionId;

use crate::shop::{Customer, Found, Line, Order, Payment, Status};

/// Fires the rules over the facts; gives what they found in the order of finding.
fn found(rules: Vec<RuleDef>, facts: impl FnOnce(&mut Stage<'_>)) -> Vec<(String, Vec<i64>)> {
    let rules = rules
        .into_iter()
        .fold(Ruleset::new("test", 1), Ruleset::rule)
        .fact::<Found>()
        .fact::<Customer>();
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).expect("valid rules");
    let staged = engine.stage(&mut Discard, |stage| {
        facts(stage);
        Ok::<_, ChangeError>(())
    });
    staged.expect("staged");
    let fired = engine.fire(FireOptions::default(), &mut Discard);
    assert!(fired.error.is_none(), "{fired:?}");
    let found = engine.facts::<Found>().into_iter();
    found.map(|found| (found.0.clone(), found.1.clone())).collect()
}

fn insert<T: Fact>(stage: &mut Stage<'_>, facts: impl IntoIterator<Item = T>) {
    for fact in facts {
        stage.insert(fact).expect("inserted");
    }
}

fn customer(id: u64, gold: bool, name: &str) -> Customer {
    Customer { id, gold, name: name.to_owned() }
}

fn numbers(ids: &[u64]) -> Vec<i64> {
    ids.iter().map(|id| i64::try_from(*id).expect("small")).collect()
}

/// What one rule found, without its name.
fn found_by(rule: RuleDef, facts: impl FnOnce(&mut Stage<'_>)) -> Vec<Vec<i64>> {
    found(vec![rule], facts).into_iter().map(|(_, numbers)| numbers).collect()
}

#[rule(logical)]
fn joined(
    #[when(c.gold)] c: &Customer,
    #[when(o.customer == c.id)] o: Ref<Order>,
    #[when(p.amount >= o.amount && p.order == o.id)] p: &Payment,
) -> Found {
    Found::new("joined", &[numbers(&[c.id, o.id])[0], numbers(&[o.id])[0], p.amount])
}

#[test]
fn joins_by_key_and_range() {
    let matches = found_by(joined::definition(), |stage| {
        insert(stage, [customer(1, true, "a"), customer(2, false, "b")]);
        insert(stage, [Order::new(10, 1, 50), Order::new(11, 2, 50), Order::new(12, 1, 70)]);
        let payments = [(10, 50), (10, 49), (11, 90), (12, 80), (12, 69)];
        insert(stage, payments.map(|(order, amount)| Payment { order, amount }));
    });
    assert_eq!(matches, [[1, 10, 50], [1, 12, 80]]);
}

#[rule(logical)]
fn flipped(a: &Order, #[when(a.amount > b.amount)] b: &Order) -> Found {
    Found::new("flipped", &numbers(&[a.id, b.id]))
}

#[rule(logical)]
fn strings(a: &Customer, #[when(a.name.as_str() == l.article)] l: &Line) -> Found {
    Found::new("strings", &[numbers(&[a.id])[0], l.quantity])
}

#[rule(logical)]
fn several_parts(
    a: &Line,
    #[when((Some(&b.article), b.order) == (Some(&a.article), a.order))]
    #[when(a.quantity != b.quantity)]
    b: &Line,
) -> Found {
    Found::new("several_parts", &[a.quantity, b.quantity])
}

#[rule(logical)]
fn guarded(
    a: &Customer,
    #[when(let Some(first) = a.name.chars().next() && l.article.starts_with(first))]
    #[cross]
    l: &Line,
) -> Found {
    Found::new("guarded", &[numbers(&[a.id])[0], l.quantity])
}

#[test]
fn conditions_of_every_class_hold() {
    let orders = || [Order::new(1, 0, 5), Order::new(2, 0, 7), Order::new(3, 0, 6)];
    let matches = found_by(flipped::definition(), |stage| insert(stage, orders()));
    assert_eq!(matches, [[2, 1], [2, 3], [3, 1]]);

    let facts = |stage: &mut Stage<'_>| {
        insert(
            stage,
            [customer(1, false, "nut"), customer(2, false, "bolt"), customer(3, false, "")],
        );
        insert(stage, [Line::new(7, "bolt", 4), Line::new(7, "nut", 5), Line::new(7, "bolt", 6)]);
    };
    assert_eq!(found_by(strings::definition(), facts), [[2, 4], [1, 5], [2, 6]]);
    assert_eq!(found_by(several_parts::definition(), facts), [[4, 6], [6, 4]]);
    assert_eq!(found_by(guarded::definition(), facts), [[2, 4], [1, 5], [2, 6]]);
}

#[rule(logical)]
fn unpaid(o: &Order, #[not(p.order == o.id && p.amount > 0)] p: Absent<Payment>) -> Found {
    Found::new("unpaid", &numbers(&[o.id]))
}

#[rule(logical)]
fn touched(o: &Order, #[exists(p.order == o.id)] p: Exists<Payment>) -> Option<Found> {
    (o.amount != 0).then(|| Found::new("touched", &numbers(&[o.id])))
}

#[rule(logical)]
fn nothing_at_all(_none: Absent<Line>) -> Found {
    Found::new("nothing_at_all", &[])
}

#[rule(logical)]
fn twins(
    a: &Order,
    #[distinct]
    #[when(b.customer == a.customer)]
    b: &Order,
) -> Found {
    Found::new("twins", &numbers(&[a.id, b.id]))
}

#[rule(logical)]
fn alone(
    a: &Order,
    #[distinct]
    #[not(b.customer == a.customer)]
    b: Absent<Order>,
) -> Found {
    Found::new("alone", &numbers(&[a.id]))
}

#[test]
fn distinct_patterns_hold_other_facts() {
    let matches = found(vec![twins::definition(), alone::definition()], |stage| {
        insert(stage, [Order::new(1, 7, 0), Order::new(2, 7, 0), Order::new(3, 8, 0)]);
    });
    let rows: Vec<_> = matches.iter().map(|(name, ids)| (name.as_str(), ids.as_slice())).collect();
    let expected: [(&str, &[i64]); 3] = [("twins", &[1, 2]), ("twins", &[2, 1]), ("alone", &[3])];
    assert_eq!(rows, expected);
}

#[test]
fn negation_and_existence_hold() {
    let rules = vec![unpaid::definition(), touched::definition(), nothing_at_all::definition()];
    let matches = found(rules, |stage| {
        insert(stage, [Order::new(1, 0, 5), Order::new(2, 0, 7), Order::new(3, 0, 0)]);
        let payments = [(1, 3), (1, 4), (2, 0), (3, 3)];
        insert(stage, payments.map(|(order, amount)| Payment { order, amount }));
    });
    let expected: [(&str, &[i64]); 4] =
        [("unpaid", &[2]), ("touched", &[1]), ("touched", &[2]), ("nothing_at_all", &[])];
    assert_eq!(matches, expected.map(|(rule, numbers)| (rule.to_owned(), numbers.to_vec())));
}

#[rule(logical)]
fn bulk(
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity), count(), min(l.quantity), collect(l.quantity))]
    #[when(l.quantity > 0)]
    mut g: Group<Line, u64, (i64, u64, i64, Vec<i64>)>,
    #[having(g.0 > 10 && g.1 > 1)] _h: Having,
) -> Found {
    g.key += 1000;
    let mut numbers = vec![numbers(&[g.key])[0], g.0, g.2];
    numbers.extend(&g.3);
    Found::new("bulk", &numbers)
}

#[rule(logical)]
fn total(
    o: &Order,
    #[aggregate(sum(l.quantity), max(l.quantity))]
    #[when(l.order == o.id)]
    g: &Group<Line, (), (i64, Option<i64>)>,
    #[when(p.order == o.id && p.amount < g.0)] p: &Payment,
) -> Found {
    Found::new("total", &[g.0, g.1.unwrap_or(-1), p.amount])
}

#[rule(logical)]
fn by_customer(
    #[each(o: Order, o.is_open())]
    #[each(l: Line, l.order == o.id)]
    #[group_by(o.customer, l.article)]
    #[aggregate(sum(l.quantity * o.amount))]
    g: &Group<(Order, Line), (u64, String), (i64,)>,
) -> Result<Option<Found>, RuleError> {
    let (customer, article) = &g.key;
    Ok((article == "nut").then(|| Found::new("by_customer", &[numbers(&[*customer])[0], g.0])))
}

#[test]
fn groups_hold() {
    let rules = vec![bulk::definition(), total::definition(), by_customer::definition()];
    let matches = found(rules, |stage| {
        let paid = Order { status: Status::Paid, ..Order::new(3, 9, 2) };
        insert(stage, [Order::new(1, 9, 2), Order::new(2, 9, 3), paid]);
        insert(stage, [Line::new(1, "nut", 8), Line::new(1, "bolt", 4), Line::new(1, "nut", -2)]);
        insert(stage, [Line::new(2, "nut", 20), Line::new(3, "nut", 1)]);
        let payments = [(1, 9), (1, 10), (2, 5)];
        insert(stage, payments.map(|(order, amount)| Payment { order, amount }));
    });
    let expected: [(&str, &[i64]); 4] = [
        ("bulk", &[1001, 12, 4, 8, 4]),
        ("total", &[10, 8, 9]),
        ("total", &[20, 20, 5]),
        ("by_customer", &[9, 72]),
    ];
    assert_eq!(matches, expected.map(|(rule, numbers)| (rule.to_owned(), numbers.to_vec())));
}

#[rule(on_error = "skip")]
fn fails(o: Ref<Order>, cx: &mut Then) -> Result<(), std::num::ParseIntError> {
    drop(cx.delete(o));
    "x".parse::<u8>()?;
    Ok(())
}

#[rule(salience = -1)]
fn closes(#[when(o.is_open())] o: Ref<Order>, cx: &mut Then) -> RuleResult {
    cx.modify(o, |o| o.status = Status::Paid)?;
    cx.insert(Found::new("closes", &numbers(&[o.id])))?;
    Ok(())
}

#[rule(salience = -2)]
fn silent(_o: &Order) {}

#[test]
fn consequences_return_results_or_nothing() {
    assert!(matches!(fails::definition().on_error, OnError::Skip));
    let rules = vec![silent::definition(), closes::definition(), fails::definition()];
    let matches = found(rules, |stage| insert(stage, [Order::new(1, 0, 5)]));
    assert_eq!(matches, [("closes".to_owned(), vec![1])]);
}

#[query]
fn expensive(
    #[when(o.amount > 5)] o: &Order,
    #[when(c.id == o.customer)] c: &Customer,
) -> (u64, String) {
    (o.id, c.name.clone())
}

#[test]
fn queries_give_what_their_function_returns() {
    use steadfast::ir::Query;
    let rules = Ruleset::new("test", 1).query(expensive::definition());
    let mut engine = Engine::new(&rules, SessionId::default(), &mut Discard).expect("valid rules");
    let staged = engine.stage(&mut Discard, |stage| {
        insert(stage, [customer(1, true, "ann")]);
        insert(stage, [Order::new(1, 1, 5), Order::new(2, 1, 6), Order::new(3, 2, 7)]);
        Ok::<_, ChangeError>(())
    });
    staged.expect("staged");
    engine.flush(&mut Discard).expect("evaluated");
    assert_eq!(engine.rows::<expensive>(), Some(vec![(2, "ann".to_owned())]));
}

/// A rule is a function: it can be tested without an engine.
#[test]
fn rules_are_plain_functions() {
    let group = Group::new(7, (20, 2, 4, vec![16, 4]));
    assert_eq!(bulk(group, Having), Found::new("bulk", &[1007, 20, 4, 16, 4]));
    assert_eq!(unpaid(&Order::new(7, 1, 30), Absent::default()), Found::new("unpaid", &[7]));
    assert_eq!(touched(&Order::new(7, 1, 0), Exists::default()), None);
    assert_eq!(expensive(&Order::new(7, 1, 9), &customer(1, true, "ann")), (7, "ann".to_owned()));
}
