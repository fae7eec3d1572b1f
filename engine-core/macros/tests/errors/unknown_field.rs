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
fn alpha(#[when(o.costumer == 3)] o: &Order) {}

#[rule]
fn key(a: &Order, #[when(b.customer == a.identity)] b: &Order) {}

fn main() {}
