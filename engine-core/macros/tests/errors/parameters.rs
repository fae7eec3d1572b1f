extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::{Ref, Then};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule]
fn by_value(o: Order) {}

#[rule]
fn in_place(o: &mut Order) {}

#[rule]
fn reference_to_a_handle(o: &Ref<Order>) {}

#[rule]
fn two_contexts(_o: &Order, _a: &mut Then, b: &mut Then) {}

#[rule]
fn no_pattern(_cx: &mut Then) {}

#[rule]
fn wrong_attribute(#[not(o.id == 3)] o: &Order) {}

#[rule]
fn two_conditions(#[when(o.id == 3, o.amount > 3)] o: &Order) {}

#[rule]
fn needless_cross(a: &Order, #[cross] #[when(b.id == a.id)] b: &Order) {}

#[rule]
fn generic<T: Clone>(_o: &T) {}

fn main() {}
