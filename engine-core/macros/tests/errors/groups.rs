extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Group;
use steadfast::ir::Having;
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule]
fn fewer_functions(#[aggregate(sum(o.amount))] _g: Group<Order, (), (i64, u64)>) {}

#[rule]
fn not_a_tuple(#[aggregate(count())] _g: Group<Order, (), u64>) {}

#[rule]
fn no_functions(#[group_by(o.id)] _g: Group<Order, u64, (i64,)>) {}

#[rule]
fn unknown_function(#[aggregate(mode(o.amount))] _g: Group<Order, (), (i64,)>) {}

#[rule]
fn ends_without_a_number(#[aggregate(top_k(o.amount))] _g: Group<Order, (), (Vec<i64>,)>) {}

#[rule]
fn more_than_all(#[aggregate(percentile(o.amount, 101))] _g: Group<Order, (), (i64,)>) {}

#[rule]
fn a_scan_by_nobody(#[aggregate(rescan(o.amount))] _g: Group<Order, (), (i64,)>) {}

#[rule]
fn key_without_parts(#[aggregate(count())] _g: Group<Order, u64, (u64,)>) {}

#[rule]
fn fewer_parts(
    #[group_by(o.id, o.customer)]
    #[aggregate(count())]
    _g: Group<Order, (u64, u64, u64), (u64,)>,
) {
}

#[rule]
fn two_variables(#[aggregate(sum(o.amount), max(p.amount))] _g: Group<Order, (), (i64, i64)>) {}

#[rule]
fn variable_of_a_parameter(
    o: &Order,
    #[group_by(o.id)]
    #[aggregate(sum(o.amount))]
    _g: Group<Order, u64, (i64,)>,
) {
}

#[rule]
fn unnamed_elements(#[aggregate(count())] _g: Group<(Order, Order), (), (u64,)>) {}

#[rule]
fn own_result(#[aggregate(count())] #[when(g.0 > 3)] g: Group<Order, (), (u64,)>) {}

#[rule]
fn having_without_group(_o: &Order, #[having(_o.id > 3)] _h: Having) {}

#[rule]
fn having_behind(
    #[aggregate(count())] g: Group<Order, (), (u64,)>,
    o: &Order,
    #[having(g.0 > o.id)] _h: Having,
) {
}

fn main() {}
