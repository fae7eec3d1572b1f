extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::{Fact, query, rule, ruleset};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule]
fn first(_o: &Order) {}

#[query]
fn all(_o: &Order) {}

ruleset!(without_version: first);
ruleset!(with_zero_words = one: first);
ruleset!(with_another_section = 1: first; query: all);
ruleset!(with_a_section_twice = 1: first; queries: all; queries: all);

fn main() {}
