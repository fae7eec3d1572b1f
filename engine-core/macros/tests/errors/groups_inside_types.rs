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

type Count = Group<Line, (), (u64,)>;
type Sum = Group<Line, (), (i64,)>;

#[rule]
fn declared_as_its_facts(
    #[not(a: Order; g: Group<Line, (), (u64,)> aggregate(count()) when(l.order == a.id), g.0 > 3)]
    _n: Absent<(Order, Line)>,
) {
}

#[rule]
fn wrong_result(
    #[not(g: Group<Line, (), (f64,)> aggregate(sum(l.quantity)))]
    _n: Absent<Group<Line, (), (f64,)>>,
) {
}

#[rule]
fn wrong_condition(
    #[not(g: Group<Line, (), (i64,)> aggregate(sum(l.quantity)), g.0)] _n: Absent<Sum>,
) {
}

#[rule]
fn unknown_result(
    #[not(g: Group<Line, (), (i64,)> aggregate(sum(l.quantity)), g.1 > 3)] _n: Absent<Sum>,
) {
}

fn main() {}
