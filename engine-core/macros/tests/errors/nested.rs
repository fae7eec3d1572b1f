extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::ir::{Absent, Exists, Forall};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    order: u64,
    done: bool,
}

#[rule]
fn variable_used_outside(
    #[not(a: Order, a.amount > 3; b: Line, b.order == a.id)] _n: Absent<(Order, Line)>,
    #[when(o.id == a.id)] o: &Order,
) {
}

#[rule]
fn unnamed_patterns(#[not(a.id == 3)] a: Absent<(Order, Line)>) {}

#[rule]
fn other_count(#[not(a: Order; b: Line, b.order == a.id)] _n: Absent<Order>) {}

#[rule]
fn other_type(#[exists(a: Order; b: Line, b.order == a.id)] _e: Exists<(Line, Order)>) {}

#[rule]
fn condition_first(#[not(a.id == 3; b: Line)] a: Absent<Order>) {}

#[rule]
fn two_conditions(#[not(a.id == 3, a.amount > 3)] a: Absent<Order>) {}

#[rule]
fn unnamed_inside(#[not(a: Order; not(b.order == a.id))] _n: Absent<(Order, Line)>) {}

#[rule]
fn or_inside(#[not(a: Order; or(b: Line, b.order == a.id))] _n: Absent<(Order, Line)>) {}

#[rule]
fn or_of_a_condition(
    #[not(a: Order; or(b: Line, b.order == a.id); or(a.amount > 3))] _n: Absent<(Order, Line)>,
) {
}

#[rule]
fn variable_of_another_branch(
    #[not(a: Order; or(b: Line, b.order == a.id); or(c: Line, c.order == b.order))]
    _n: Absent<(Order, Line, Line)>,
) {
}

#[rule]
fn name_taken(o: &Order, #[not(o: Line, o.done)] _n: Absent<Line>) {}

#[rule]
fn forall_without_claim(#[forall(l: Line)] _f: Forall<Line>) {}

#[rule]
fn forall_without_anything(_f: Forall<Line>) {}

#[rule]
fn unknown_field(#[forall(l: Line; l.ready)] _f: Forall<Line>) {}

#[rule]
fn wrong_type(#[forall(l: Line; l.order)] _f: Forall<Line>) {}

#[rule]
fn float_key(#[not(a: Order; b: Order, b.weight == a.weight)] _n: Absent<(Order, Order)>) {}

fn main() {}
