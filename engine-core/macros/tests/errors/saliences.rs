extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    amount: u8,
}

const BYTE: u8 = 3;

#[rule(salience = LIMIT)]
fn not_there(_o: &Order) {}

#[rule(salience = BYTE)]
fn constant_of_another_type(_o: &Order) {}

#[rule(salience = o.amount)]
fn field_of_another_type(o: &Order) {}

#[rule(salience = o.weight)]
fn unknown_field(o: &Order) {}

fn main() {}
