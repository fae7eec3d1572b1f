extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Then;
use steadfast::ir::Absent;
use steadfast_macros::{Fact, query, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    customer: u64,
    amount: i64,
    weight: f64,
}

#[rule(salience = 2147483648)]
fn too_high(_o: &Order) {}

#[rule(salience = "high")]
fn not_a_number(_o: &Order) {}

#[rule(salience = p.amount as i32)]
fn not_in_the_match(_o: &Order, #[not(p.id == _o.id)] p: Absent<Order>) {}

#[rule(salience = cx.now() as i32)]
fn not_the_context(_o: &Order, cx: &mut Then) {}

#[rule(no_loop)]
fn not_yet(_o: &Order) {}

#[rule(saliense = 3)]
fn unknown(_o: &Order) {}

#[rule(logical)]
fn derives_nothing(_o: &Order) {}

#[query(salience = 3)]
fn no_arguments(_o: &Order) {}

#[query]
fn no_context(_o: &Order, _cx: &mut Then) {}

fn main() {}
