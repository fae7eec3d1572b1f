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
fn twice(#[watch(amount, id, !amount)] o: &Order) {}

#[rule]
fn not_alone(#[watch(id, none)] o: &Order) {}

#[rule]
fn unknown_field(#[watch(amont)] o: &Order) {}

fn main() {}
