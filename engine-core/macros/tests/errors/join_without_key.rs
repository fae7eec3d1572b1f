#![deny(deprecated)]

extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::{Fact, rule, ruleset};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
}

#[rule]
fn twins(a: &Order, #[when(a.id != b.id)] b: &Order) {}

#[rule]
fn meant(a: &Order, #[cross] #[when(a.id != b.id)] b: &Order) {}

ruleset!(orders = 1: twins, meant);

fn main() {
    drop(orders());
}
