extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule]
fn not_a_condition(#[when(o.amount)] o: &Order) {}

#[rule]
fn not_comparable(#[when(o.amount > "3")] o: &Order) {}

fn main() {}
