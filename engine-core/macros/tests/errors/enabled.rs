extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: u8,
}

#[rule(enabled = o.amount)]
fn not_a_condition(o: &Order) {}

#[rule(enabled = o.weight > 3)]
fn unknown_field(o: &Order) {}

#[rule(enabled = LIMIT > 3)]
fn not_there(_o: &Order) {}

fn main() {}
