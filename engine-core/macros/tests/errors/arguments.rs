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

#[rule(salience = -2147483649)]
fn too_low(_o: &Order) {}

#[rule(salience = "high")]
fn not_a_number(_o: &Order) {}

#[rule(salience = p.amount as i32)]
fn not_in_the_match(_o: &Order, #[not(p.id == _o.id)] p: Absent<Order>) {}

#[rule(salience = cx.now() as i32)]
fn not_the_context(_o: &Order, cx: &mut Then) {}

#[rule(module = "pricing")]
fn not_yet(_o: &Order) {}

#[rule(no_loop = true)]
fn a_flag_has_no_value(_o: &Order) {}

#[rule(group = billing)]
fn a_group_is_named_in_quotes(_o: &Order) {}

#[rule(activation_group = "")]
fn a_group_has_a_name(_o: &Order) {}

#[rule(agenda_group = "billing")]
fn a_word_of_others(_o: &Order) {}

#[rule(enabled = p.amount > 3)]
fn not_in_the_match_either(_o: &Order, #[not(p.id == _o.id)] p: Absent<Order>) {}

#[rule(saliense = 3)]
fn unknown(_o: &Order) {}

#[rule(logical)]
fn derives_nothing(_o: &Order) {}

#[query(salience = 3)]
fn no_arguments(_o: &Order) {}

#[query]
fn no_context(_o: &Order, _cx: &mut Then) {}

fn main() {}
