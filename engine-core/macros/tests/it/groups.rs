//! What groups become.

use steadfast::Group;
use steadfast::ir::{Absent, Either, Exists, Forall, Having, Rule, RuleDef};
use steadfast_macros::rule;

use crate::describe::parts;
use crate::shop::{Customer, Line, Order};

#[rule]
fn by_one_key(
    #[group_by(l.order)]
    #[aggregate(sum(l.quantity), count())]
    g: Group<Line, u64, (i64, u64)>,
    #[having(g.0 > 100 && g.1 > 1)] _h: Having,
) {
}

#[rule]
fn by_several_keys(
    #[group_by(l.order, l.article)]
    #[aggregate(min(l.quantity), max(l.quantity), average(l.quantity), collect(l.quantity))]
    #[when(l.quantity != 0)]
    _g: &Group<Line, (u64, String), (Option<i64>, i64, f64, Vec<i64>)>,
) {
}

#[rule]
fn over_all_of_an_earlier_fact(
    o: &Order,
    #[aggregate(sum(l.quantity * o.amount),)]
    #[when(l.order == o.id)]
    total: Group<Line, (), (i64,)>,
    #[when(c.id == o.customer && c.gold == (total.0 > 0))] c: &Customer,
    #[when(other.amount > total.0)] other: &Order,
) {
}

#[rule]
fn over_joined_facts(
    c: &Customer,
    #[each(o: Order, o.customer == c.id, o.is_open())]
    #[each(l: Line, l.order == o.id && l.quantity > 0)]
    #[group_by(l.article)]
    #[aggregate(sum(l.quantity), count())]
    g: &Group<(Order, Line), String, (u64AsI64, u64)>,
    #[having(c.gold && g.1 > 3)] _h: Having,
) {
}

#[expect(non_camel_case_types, reason = "an alias hides which type it is")]
type u64AsI64 = i64;

#[rule]
fn counted(#[aggregate(count())] _g: Group<Line, (), (u64,)>) {}

#[rule]
fn two_groups(
    #[aggregate(count())] a: Group<Line, (), (u64,)>,
    #[aggregate(count())]
    #[each(o: Order)]
    b: Group<Order, (), (u64,)>,
    #[having(a.0 > 3 && b.0 > a.0)] _h: Having,
) {
}

#[rule]
fn inside_of_others(
    c: &Customer,
    #[not(
        o: Order, o.customer == c.id;
        g: Group<Line, String, (i64, u64)>
            when(l.order == o.id)
            group_by(l.article)
            aggregate(sum(l.quantity), count())
            window(length = 9),
            g.0 > o.amount && g.1 > 1;
        c.gold;
        other: Order, other.amount > g.0
    )]
    _n: Absent<(Order, Group<Line, String, (i64, u64)>, Order)>,
    #[exists(
        g: Group<(Order, Line), (), (u64,)>
            each(p: Order, p.customer == c.id)
            each(l: Line, l.order == p.id)
            aggregate(count()),
        g.0 > 3
    )]
    _e: Exists<Group<(Order, Line), (), (u64,)>>,
) {
}

#[rule]
fn of_every_one(
    #[forall(o: Order; o.amount > 0; g: Group<Line, (), (u64,)> aggregate(count()) when(l.order == o.id), g.0 > 3)]
    _f: Forall<(Order, Group<Line, (), (u64,)>)>,
) {
}

#[rule]
fn of_a_branch(
    c: &Customer,
    #[or(o: Order, o.customer == c.id)]
    #[or(
        g: Group<Order, u64, (i64,)> group_by(y.customer) aggregate(max(y.amount)), g.0 > 100;
        x: Customer, x.id == g.key
    )]
    _e: Either,
) {
}

/// A rule, and its parts as `describe` prints them.
fn table() -> Vec<(RuleDef, &'static [&'static str])> {
    vec![
        (
            by_one_key::definition(),
            &[
                "group g: sum(l.quantity), count(); by l.order; of l: Line; \
                 reads [l.order l.quantity]",
                "having g.0 > 100 [g.*]",
                "having g.1 > 1 [g.*]",
            ],
        ),
        (
            by_several_keys::definition(),
            &["group _g: min(l.quantity), max(l.quantity), average(l.quantity), \
               collect(l.quantity); by l.order, l.article; \
               of l: Line; alpha l.quantity != 0 [l.quantity]; \
               reads [l.order l.article l.quantity]"],
        ),
        (
            over_all_of_an_earlier_fact::definition(),
            &[
                "each o: Order",
                "group total: sum(l.quantity * o.amount); \
                 of l: Line; key l.order == o.id [o.id l.order]; reads [o.amount l.quantity]",
                "each c: Customer; key c.id == o.customer [o.customer c.id]; \
                 key c.gold == (total.0 > 0) [total.* c.gold]",
                "each other: Order; at least other.amount > total.0 [total.* other.amount]",
            ],
        ),
        (
            over_joined_facts::definition(),
            &[
                "each c: Customer",
                "group g: sum(l.quantity), count(); by l.article; \
                 of o: Order; alpha o.is_open() [o.*]; key o.customer == c.id [c.id o.customer]; \
                 of l: Line; alpha l.quantity > 0 [l.quantity]; key l.order == o.id [o.id l.order]; \
                 reads [l.article l.quantity]",
                "having c.gold [c.gold]",
                "having g.1 > 3 [g.*]",
            ],
        ),
        (counted::definition(), &["group _g: count(); of member: Line; reads []"]),
        (
            two_groups::definition(),
            &[
                "group a: count(); of member: Line; reads []",
                "having a.0 > 3 [a.*]",
                "group b: count(); of o: Order; reads []",
                "having b.0 > a.0 [a.* b.*]",
            ],
        ),
    ]
}

/// The same, of groups inside of others.
fn inner() -> Vec<(RuleDef, &'static [&'static str])> {
    vec![
        (
            inside_of_others::definition(),
            &[
                "each c: Customer",
                "not (",
                "each o: Order; key o.customer == c.id [c.id o.customer]",
                "group g: sum(l.quantity), count(); by l.article; \
                 of l: Line; key l.order == o.id [o.id l.order]; reads [l.article l.quantity]",
                "having g.0 > o.amount [o.amount g.*]",
                "having g.1 > 1 [g.*]",
                "having c.gold [c.gold]",
                "each other: Order; at least other.amount > g.0 [g.* other.amount]",
                ")",
                "exists (",
                "group g: count(); of p: Order; key p.customer == c.id [c.id p.customer]; \
                 of l: Line; key l.order == p.id [p.id l.order]; reads []",
                "having g.0 > 3 [g.*]",
                ")",
            ],
        ),
        (
            of_every_one::definition(),
            &[
                "not (",
                "each o: Order",
                "not (",
                "group g: count(); of l: Line; key l.order == o.id [o.id l.order]; reads []",
                "having o.amount > 0 [o.amount]",
                "having g.0 > 3 [g.*]",
                ")",
                ")",
            ],
        ),
        (
            of_a_branch::definition().branches[0].clone(),
            &[
                "each c: Customer",
                "group g: max(y.amount); by y.customer; of y: Order; \
                 reads [y.customer y.amount]",
                "having g.0 > 100 [g.*]",
                "each x: Customer; key x.id == g.key [g.* x.id]",
            ],
        ),
    ]
}

#[test]
fn groups_know_elements_keys_and_functions() {
    for (rule, expected) in table().into_iter().chain(inner()) {
        assert_eq!(parts(&rule), expected, "{}", rule.path);
    }
}
