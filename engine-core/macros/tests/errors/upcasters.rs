extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::Fact;

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(version = 3)]
struct OrderV3 {
    id: u64,
}

#[derive(Fact, Clone, Serialize, Deserialize)]
#[fact(version = 3, from = OrderV3)]
struct Order {
    id: u64,
}

impl From<OrderV3> for Order {
    fn from(old: OrderV3) -> Self {
        Self { id: old.id }
    }
}

fn main() {}
