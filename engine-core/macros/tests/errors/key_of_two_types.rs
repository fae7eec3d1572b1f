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

#[derive(Clone, PartialEq, Hash, Serialize, Deserialize)]
struct OrderId(u64);

impl PartialEq<u64> for OrderId {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Payment {
    order: OrderId,
}

#[rule]
fn paid(o: &Order, #[when(p.order == o.id)] p: &Payment) {}

fn main() {}
