extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Group;
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule]
fn count_is_u64(#[aggregate(count())] _g: Group<Order, (), (i64,)>) {}

#[rule]
fn collect_is_vec(#[aggregate(collect(o.id))] _g: Group<Order, (), (u64,)>) {}

#[rule]
fn distinct_is_u64(#[aggregate(count_distinct(o.id))] _g: Group<Order, (), (usize,)>) {}

#[rule]
fn top_k_is_vec(#[aggregate(top_k(o.id, 3))] _g: Group<Order, (), (u64,)>) {}

#[derive(Clone, Default)]
struct Highest;

impl steadfast::Aggregate for Highest {
    type Input = u64;
    type State = u64;
    type Output = u64;

    fn enter(&self, _: &mut u64, _: &[u64], _: &u64) {}
    fn leave(&self, _: &mut u64, _: &[u64], _: &u64) {}
    fn output(&self, _: &u64) -> Result<Option<u64>, steadfast::AggregateError> {
        Ok(None)
    }
}

#[rule]
fn result_of_our_own(#[aggregate(Highest(o.id))] _g: Group<Order, (), (i64,)>) {}

#[rule]
fn type_of_the_key(#[group_by(o.id)] #[aggregate(count())] _g: Group<Order, i64, (u64,)>) {}

#[rule]
fn type_of_the_element(
    #[each(o: Other)]
    #[aggregate(count())]
    _g: Group<Order, (), (u64,)>,
) {
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Other;

fn main() {}
