extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::ir::Either;
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: i64,
}

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    order: u64,
    done: bool,
}

#[rule]
fn one_branch(#[or(o.amount > 3)] o: &Order) {}

#[rule]
fn no_branch(_o: &Order, e: Either) {}

#[rule]
fn nothing_in_it(#[or()] #[or(o.amount > 3)] o: &Order) {}

#[rule]
fn condition_without_pattern(o: &Order, #[or(o.amount > 3)] #[or(l: Line, l.done)] _e: Either) {}

#[rule]
fn variable_of_a_branch(
    #[or(l: Line, l.order == o.id)]
    #[or(o.amount > 3)]
    o: &Order,
    #[when(p.id == l.order)] p: &Order,
) {
}

#[rule]
fn unknown_field_once(
    #[or(l: Line, l.order == o.id)]
    #[or(o.amount > 3)]
    o: &Order,
    #[when(p.total == o.amount)] p: &Order,
) {
}

#[rule]
fn too_many(
    #[or(a.id == 1)]
    #[or(a.id == 2)]
    #[or(a.id == 3)]
    a: &Order,
    #[when(b.id == a.id)]
    #[or(b.amount == 1)]
    #[or(b.amount == 2)]
    #[or(b.amount == 3)]
    b: &Order,
    #[when(c.id == a.id)]
    #[or(c.amount == 1)]
    #[or(c.amount == 2)]
    c: &Order,
) {
}

#[rule(allow_dnf = 9)]
fn more_than_allowed(
    #[or(a.id == 1)]
    #[or(a.id == 2)]
    #[or(a.id == 3)]
    a: &Order,
    #[when(b.id == a.id)]
    #[or(b.amount == 1)]
    #[or(b.amount == 2)]
    #[or(b.amount == 3)]
    #[or(b.amount == 4)]
    b: &Order,
) {
}

#[rule(allow_dnf = 1000)]
fn more_than_possible(_o: &Order) {}

fn main() {}
