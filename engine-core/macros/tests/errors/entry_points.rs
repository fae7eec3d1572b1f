extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Then;
use steadfast::ir::Absent;
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[rule]
fn not_a_name(#[from(east)] _o: &Order) {}

#[rule]
fn no_name(#[from("")] _o: &Order) {}

#[rule]
fn twice(#[from("east")] #[from("west")] _o: &Order) {}

#[rule]
fn of_the_context(_o: &Order, #[from("east")] _cx: &mut Then) {}

#[rule]
fn of_named_patterns(
    #[from("east")]
    #[not(a: Order; b: Order, b.id == a.id)]
    _n: Absent<(Order, Order)>,
) {
}

fn main() {}
