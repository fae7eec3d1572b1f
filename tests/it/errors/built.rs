//! SF0001 of rules that are built at run time: what a compiler says of others.

use steadfast::Ruleset;
use steadfast::ir::{Late, RuleBuilder, Timer};
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
    let same = |order: &Order| order.id;
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
