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
