extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Group;
use steadfast::ir::Absent;
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    order: u64,
    quantity: i64,
}

type Sum = Group<Line, (), (i64,)>;

#[rule]
fn member_outside_of_the_group(
    #[not(g: Group<Line, (), (i64,)> aggregate(sum(l.quantity)), g.0 > l.quantity)]
    _n: Absent<Sum>,
) {
}

fn main() {}
