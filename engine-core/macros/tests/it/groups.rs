//! What groups become.

use steadfast::Group;
use steadfast::ir::{Having, Rule, RuleDef};
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

#[test]
fn groups_know_elements_keys_and_functions() {
    for (rule, expected) in table() {
        assert_eq!(parts(&rule), expected, "{}", rule.path);
    }
}
