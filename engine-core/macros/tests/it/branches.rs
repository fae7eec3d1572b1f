//! What named patterns, branches and entry points become.

use steadfast::ir::{Absent, Either, Exists, Forall, Part, Rule, RuleDef};
use steadfast_macros::rule;

use crate::describe::parts;
use crate::shop::{Customer, Line, Order, Payment};

#[rule]
fn absences(
    c: &Customer,
    #[not(o: Order, o.customer == c.id; not(p: Payment, p.order == o.id); o.amount > 10)]
    _unpaid: Absent<(Order, Payment)>,
    #[exists(o: Order from "east", o.customer == c.id)] _order: Exists<Order>,
    #[forall(o.customer == c.id; o.is_open())] o: Forall<Order>,
    #[forall(o: Order, o.customer == c.id; l: Line, l.order == o.id; o.amount > l.quantity)]
    _lines: Forall<(Order, Line)>,
    #[from("west")]
    #[when(o2.customer == c.id)]
    o2: &Order,
) {
}

#[rule(salience = o.amount as i32)]
fn branches(
    #[or(o.amount > 3)]
    #[or(o.amount < 0; p: Payment, p.order == o.id; exists(l: Line, l.order == p.order))]
    o: &Order,
    #[or(c: Customer, c.id == o.customer)]
    #[or(l: Line, l.order == o.id)]
    either: Either,
    #[when(last.order == o.id)] last: &Payment,
) {
}

/// A product that is meant, in a branch.
#[rule]
fn every_pair(
    c: &Customer,
    #[when(o.customer == c.id)]
    #[cross]
    #[or(p: Payment, p.amount > 3)]
    #[or(o.amount > 3)]
    o: &Order,
) {
}

#[test]
fn a_branch_may_be_a_product_where_that_is_said() {
    let rule = every_pair::definition();
    assert_eq!(branch(&rule, 0)[2], "each p: Payment; alpha p.amount > 3 [p.amount]");
    assert_eq!(branch(&rule, 1).len(), 2);
}

#[test]
fn named_patterns_nest_and_a_forall_is_an_absence_of_what_lacks_it() {
    assert_eq!(
        parts(&absences::definition()),
        [
            "each c: Customer",
            "not (",
            "each o: Order; alpha o.amount > 10 [o.amount]; \
             key o.customer == c.id [c.id o.customer]",
            "not p: Payment; key p.order == o.id [o.id p.order]",
            ")",
            "exists o: Order@east; key o.customer == c.id [c.id o.customer]",
            "not o: Order; alpha !(o.is_open()) [o.*]; key o.customer == c.id [c.id o.customer]",
            "not (",
            "each o: Order; key o.customer == c.id [c.id o.customer]",
            "not l: Line; key l.order == o.id [o.id l.order]; \
             at most o.amount > l.quantity [o.amount l.quantity]",
            ")",
            "each o2: Order@west; key o2.customer == c.id [c.id o2.customer]",
        ]
    );
}

fn branch(rule: &RuleDef, at: usize) -> Vec<String> {
    let branch = if at == 0 { rule } else { &rule.branches[at - 1] };
    parts(branch)
}

#[test]
fn branches_multiply_and_each_is_a_rule_with_positions_of_its_own() {
    let rule = branches::definition();
    assert_eq!(rule.branches.len(), 3);
    let last = "each last: Payment; key last.order == o.id [o.id last.order]";
    assert_eq!(
        branch(&rule, 0),
        [
            "each o: Order; alpha o.amount > 3 [o.amount]",
            "each c: Customer; key c.id == o.customer [o.customer c.id]",
            last
        ]
    );
    assert_eq!(
        branch(&rule, 3),
        [
            "each o: Order; alpha o.amount < 0 [o.amount]",
            "each p: Payment; key p.order == o.id [o.id p.order]",
            "exists l: Line; key l.order == p.order [p.order l.order]",
            "each l: Line; key l.order == o.id [o.id l.order]",
            last
        ]
    );
    let width = |at: usize| {
        let parts = &if at == 0 { &rule } else { &rule.branches[at - 1] }.parts;
        parts.iter().filter(|part| matches!(part, Part::Each(_))).count()
    };
    assert_eq!((width(0), width(3)), (3, 4));
    assert!(rule.branches.iter().all(|branch| branch.branches.is_empty()));
}
