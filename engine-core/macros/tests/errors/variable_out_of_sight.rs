extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Then;
use steadfast::ir::{Absent, Exists};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule]
fn of_a_not(#[not(n.amount > 3)] n: Absent<Order>, #[when(o.id == n.id)] o: &Order) {}

#[rule]
fn of_an_exists(#[exists(e.amount > 3)] e: Exists<Order>, #[when(o.id == e.id)] o: &Order) {}

#[rule]
fn of_a_later_pattern(#[when(a.id == b.id)] a: &Order, b: &Order) {}

#[rule]
fn of_the_context(#[when(cx.now() > 3)] a: &Order, cx: &mut Then) {}

fn main() {}
