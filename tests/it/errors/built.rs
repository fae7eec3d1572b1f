//! SF0001 of rules that are built at run time: what a compiler says of others.

use steadfast::Ruleset;
use steadfast::aggregate::{Count, Sum};
use steadfast::ir::{Comparison, Late, RuleBuilder, Timer};
use steadfast::prelude::*;

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Big {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Small {
    order: u64,
}

#[derive(Fact, Clone, PartialEq, Debug, Serialize, Deserialize)]
#[fact(event)]
struct Ping {
    id: u64,
}

/// A rule that is built as it must not be.
fn built(build: impl FnOnce(&mut RuleBuilder)) -> Ruleset {
    let mut rule = RuleBuilder::new("it::built");
    build(&mut rule);
    Ruleset::new("built", 1).rule(rule.then(|_, _| Ok(())))
}

/// Which rule, which pattern, and what to do.
fn refused<const N: usize>(cases: [(Ruleset, &str); N]) {
    for (rules, expected) in cases {
        let error = Session::memory(rules).expect_err(expected);
        let report = error.report();
        assert_eq!(error.code(), "SF0001", "{report}");
        assert!(report.contains(expected), "{report}\n{expected}");
    }
}

#[test]
fn sf0001_conditions_on_variables_that_are_not_there_are_named_with_what_to_do() {
    refused([
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                let _b = rule.each::<Order>("b");
                rule.when(a, "a.amount > 3", &["amount"], |a| a.amount > 3);
            }),
            "rule `it::built`, pattern `b`: the condition `a.amount > 3` is on another variable than its own: \
             add it behind that variable's part",
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                let _b = rule.each::<Big>("b");
                rule.when(a, "a.amount > 3", &["amount"], |a| a.amount > 3);
            }),
            "rule `it::built`, pattern `b`: the condition `a.amount > 3` looks for a `it::errors::built::Order` at \
             position 0, where there is none: it sees the variables of its own part and those before it, of \
             this rule",
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.exact_key("a.id == a.id", (a, "id"), same, (a, "id"), same);
            }),
            "rule `it::built`, pattern `a`: the condition `a.id == a.id` joins with what is before, and there is \
             nothing",
        ),
        (
            built(|rule| {
                let mut hidden = None;
                rule.not_of(|rule| {
                    hidden = Some(rule.each::<Big>("h"));
                    rule.each::<Small>("s");
                });
                let a = rule.each::<Order>("a");
                rule.each::<Small>("b");
                let h = hidden.expect("it was made");
                rule.residual("h is a", (a, &["id"]), (h, &["order"]), |a, h| a.id == h.order);
            }),
            "rule `it::built`, pattern `b`: the condition `h is a` looks for a `it::errors::built::Big` at position \
             0, where there is none: it sees the variables of its own part and those before it, of this rule",
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                let b = rule.each::<Order>("b");
                rule.each::<Order>("c");
                rule.exact_key("a.id == b.id", (b, "id"), same, (a, "id"), same);
            }),
            "rule `it::built`, pattern `c`: the condition `a.id == b.id` is not on the variable of the last part, \
             which it joins",
        ),
        (
            built(|rule| {
                let mut other = RuleBuilder::new("it::other");
                other.each::<Order>("x");
                other.each::<Order>("y");
                let z = other.each::<Order>("z");
                rule.each::<Order>("a");
                let b = rule.each::<Order>("b");
                rule.residual("b.id == z.id", (b, &["id"]), (z, &["id"]), |b, z| b.id == z.id);
            }),
            "rule `it::built`, pattern `b`: the condition `b.id == z.id` reads a variable at position 2, which is \
             not there: it sees the variables of its own part and those before it, not what is inside of \
             another `not` or `exists`",
        ),
    ]);
}

const OF_ORDER: &str = "`Order` has no field `amont`; it has `id`, `amount`";

fn of_order_in(pattern: &str) -> String {
    format!("rule `it::built`, pattern `{pattern}`: {OF_ORDER}")
}

fn same(order: &Order) -> u64 {
    order.id
}

#[test]
fn sf0001_fields_that_there_are_not_are_named_with_those_there_are() {
    refused([
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.when(a, "a.amount > 3", &["id", "amont"], |a| a.amount > 3);
            }),
            &of_order_in("a"),
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.when_is(a, "amont", |a| &a.amount, 3);
            }),
            &of_order_in("a"),
        ),
        (
            built(|rule| {
                rule.each::<Big>("before");
                let a = rule.each::<Order>("a");
                let b = rule.each::<Order>("b");
                rule.exact_key("b.id == a.id", (b, "id"), same, (a, "amont"), same);
            }),
            &of_order_in("a"),
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                let b = rule.each::<Order>("b");
                rule.key("b.id == a.id", (b, "amont"), same, (a, "id"), same);
            }),
            &of_order_in("b"),
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                let n = rule.not::<Order>("n");
                rule.range("n <= a", Comparison::AtMost, (n, "amont"), same, (a, "id"), same);
            }),
            &of_order_in("n"),
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.not_of(|rule| {
                    rule.each::<Big>("x");
                    let e = rule.exists::<Order>("e");
                    rule.residual("e above a", (e, &["amont"]), (a, &[]), |e, a| e.id > a.id);
                });
            }),
            &of_order_in("e"),
        ),
    ]);
}

#[test]
fn sf0001_fields_of_watches_and_groups_that_there_are_not_are_named_too() {
    refused([
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.watch(a, &["amont"]);
            }),
            &of_order_in("a"),
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.ignore(a, &["amont"]);
            }),
            &of_order_in("a"),
        ),
        (
            built(|rule| {
                let x = rule.element::<Order>("x");
                rule.accumulate::<Order, _, _>(x, &["amont"], Sum::<i64>::default(), |x| x.amount);
            }),
            &of_order_in("x"),
        ),
        (
            built(|rule| {
                let x = rule.element::<Order>("x");
                let _ = rule.group_by::<Order, _, _, _>(x, &["amont"], same, Count, |_| ());
            }),
            &of_order_in("x"),
        ),
        (
            built(|rule| {
                rule.each::<Big>("b");
                let x = rule.element::<Order>("x");
                let _ = rule.group_by_tuple::<Order, u64, _>(
                    &[x.reads(&["amont"])],
                    move |rows, row| x.in_rows(rows, row).id,
                    Count,
                    |_, _| (),
                );
            }),
            &of_order_in("x"),
        ),
    ]);
}

#[test]
fn sf0001_fields_are_asked_for_in_branches_and_of_rules_that_come_late() {
    // A star is every field, wherever fields are named.
    let all = built(|rule| {
        let a = rule.each::<Order>("a");
        rule.when(a, "a is odd", &["*"], |a| (a.id + 1) % 2 == 0);
        rule.ignore(a, &["*"]);
    });
    assert!(Session::memory(all).is_ok());
    // A branch is as good as a rule.
    let branch = |field: &str| {
        let mut rule = RuleBuilder::new("it::built");
        let a = rule.each::<Order>("a");
        rule.when(a, "a.amount > 3", &[field], |a| a.amount > 3);
        rule.then(|_, _| Ok(()))
    };
    let rules = Ruleset::new("built", 1).rule(branch("amount").or(branch("amont")));
    refused([(rules, &of_order_in("a"))]);
    // A rule that comes while the session is open is refused, and the session goes on.
    let mut session = Session::memory(built(|rule| _ = rule.each::<Order>("a"))).unwrap();
    let mut late = branch("amont");
    late.path = "it::late".to_owned();
    let error = session.add_rule(&late).unwrap_err();
    assert_eq!(error.code(), "SF0001");
    assert!(error.report().contains(OF_ORDER), "{}", error.report());
    session.insert(Order { id: 1, amount: 5 }).unwrap();
    assert_eq!(session.fire_all().unwrap().count, 1);
}

#[test]
fn sf0001_what_stands_where_it_means_nothing_is_named_with_what_to_do() {
    // A variable of another rule, which makes it easy to begin with a condition.
    let stray = RuleBuilder::new("it::other").each::<Order>("a");
    let before = |what: &str| {
        format!("rule `it::built`: {what} stands before any pattern: add the pattern first")
    };
    refused([
        (
            built(|rule| rule.when(stray, "a.amount > 3", &["amount"], |a| a.amount > 3)),
            &before("the condition `a.amount > 3`"),
        ),
        (
            built(|rule| rule.exact_key("a is a", (stray, "id"), same, (stray, "id"), same)),
            &before("the condition `a is a`"),
        ),
        (built(|rule| rule.watch(stray, &["id"])), &before("`watch`")),
        (built(RuleBuilder::distinct), &before("`distinct`")),
        (built(|rule| rule.window_time(5)), &before("a window")),
        (built(|rule| rule.from_entry("east")), &before("the entry point `east`")),
        (
            built(|rule| {
                rule.each::<Order>("a");
                rule.window_length(0);
            }),
            "rule `it::built`: a window is over no facts: give it a length of 1 or more",
        ),
        (
            built(|rule| {
                rule.not_of(|rule| _ = rule.each::<Order>("a"));
                rule.when(stray, "a.amount > 3", &["amount"], |a| a.amount > 3);
            }),
            "rule `it::built`: the condition `a.amount > 3` stands behind a `not` or `exists` over several \
             patterns: say it inside, where its pattern is",
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                rule.accumulate::<Order, _, _>(a, &[], Count, |_| ());
            }),
            "rule `it::built` has a group of nothing: add an element before it",
        ),
        (
            built(|rule| {
                let a = rule.element::<Order>("a");
                let group = rule.accumulate::<Order, _, _>(a, &[], Count, |_| ());
                rule.each::<Big>("b");
                rule.having(group, "count > 3", |count| **count > 3);
            }),
            "rule `it::built`: the condition `count > 3` on a group stands behind something else: say it where \
             the group is closed",
        ),
        (
            built(|rule| {
                let a = rule.each::<Order>("a");
                let b = rule.each::<Order>("b");
                rule.after("b after a", b, a, (0, 5));
            }),
            "rule `it::built`: the condition `b after a` compares times, and facts of one of its types have \
             none: let that be an event",
        ),
        (
            built(|rule| {
                let a = rule.each::<Ping>("a");
                let b = rule.each::<Ping>("b");
                rule.before("b before a", b, a, (5, 0));
            }),
            "rule `it::built`: the condition `b before a` is about a stretch of time that ends before it begins: \
             exchange its bounds",
        ),
    ]);
}

#[test]
fn sf0001_parts_that_make_no_rule_are_named_with_what_to_do() {
    refused([
        (
            built(|rule| {
                rule.element::<Order>("a");
            }),
            "rule `it::built` has a group whose elements are never closed: call `group_by` or `accumulate` behind \
             them",
        ),
        (
            built(|rule| rule.not_of(|_| {})),
            "rule `it::built` has a `not` or `exists` without a pattern: add one inside",
        ),
        (
            built(|rule| {
                rule.each::<Order>("a");
                rule.window_time(0);
            }),
            "rule `it::built`, pattern `a`: its window is over no time: give it 1 ms or more",
        ),
        (
            built(|rule| {
                for at in 0..65 {
                    rule.each::<Order>(&format!("o{at}"));
                }
            }),
            "rule `it::built` has 65 parts, at most 64 are supported: let a rule of its own derive what some of \
             them say together",
        ),
        (
            built(|rule| {
                fn inside(rule: &mut RuleBuilder, depth: u32) {
                    if depth == 0 {
                        rule.each::<Order>("o");
                    } else {
                        rule.not_of(|rule| inside(rule, depth - 1));
                    }
                }
                inside(rule, 500);
            }),
            "rule `it::built` has 501 parts, at most 64 are supported: let a rule of its own derive what some of \
             them say together",
        ),
    ]);
}

#[test]
fn sf0001_times_that_there_are_not_are_named_with_what_to_do() {
    let timed = |timer: Option<Timer>, late: Late| {
        let mut rule = RuleBuilder::new("it::timed");
        rule.each::<Order>("a");
        let rule = match timer {
            Some(timer) => rule.timer(timer),
            None => rule,
        };
        Ruleset::new("timed", 1).rule(rule.late(late).then(|_, _| Ok(())))
    };
    let every = |initial, every| Some(Timer::Every { initial, every });
    let cases = [
        (timed(Some(Timer::After(-1)), Late::Fire), "waits -1 ms: give it a delay of 0 or more"),
        (timed(every(-5, 3), Late::Fire), "waits -5 ms at first: give it a delay of 0 or more"),
        (timed(every(5, 0), Late::Fire), "repeats every 0 ms: give it an interval of 1 or more"),
        (
            timed(None, Late::Drop { grace: -3 }),
            "drops what is -3 ms late: give it a grace of 0 or more",
        ),
    ];
    for (rules, expected) in cases {
        let report = Session::memory(rules).expect_err(expected).report();
        assert!(report.contains(&format!("rule `it::timed` {expected}")), "{report}");
    }
    assert!(Session::memory(timed(every(0, 1), Late::Drop { grace: 0 })).is_ok());
}
