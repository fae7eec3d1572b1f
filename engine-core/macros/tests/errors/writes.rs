extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
}

struct NoFact;

#[rule(writes())]
fn nothing(_o: &Order) {}

#[rule(writes = Order)]
fn without_parens(_o: &Order) {}

#[rule(writes(&Order))]
fn no_type(_o: &Order) {}

#[rule(writes(Order), writes(Order))]
fn twice(_o: &Order) {}

#[rule(writes(NoFact))]
fn no_fact(_o: &Order) {}

fn main() {}
