extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::ir::{Absent, Forall};
use steadfast::{Group, Then};
use steadfast_macros::{Fact, rule};

#[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
}

#[rule]
fn of_nothing(#[window()] _o: &Order) {}

#[rule]
fn of_no_fact(#[window(length = 0)] _o: &Order) {}

#[rule]
fn of_too_many(#[window(length = 5000000000)] _o: &Order) {}

#[rule]
fn of_no_time(#[window(time = "0s")] _o: &Order) {}

#[rule]
fn of_no_duration(#[window(time = 300)] _o: &Order) {}

#[rule]
fn of_a_word(#[window(len = 3)] _o: &Order) {}

#[rule]
fn and_more(#[window(length = 3, 4)] _o: &Order) {}

#[rule]
fn twice(#[window(length = 3)] #[window(length = 4)] _o: &Order) {}

#[rule]
fn of_the_context(_o: &Order, #[window(length = 3)] _cx: &mut Then) {}

#[rule]
fn of_named_patterns(
    #[window(length = 3)]
    #[not(a: Order; b: Order, b.id == a.id)]
    _n: Absent<(Order, Order)>,
) {
}

#[rule]
fn of_named_elements(
    #[window(length = 3)]
    #[each(o: Order)]
    #[aggregate(count())]
    _g: Group<Order, (), (u64,)>,
) {
}

#[rule]
fn of_what_lacks_a_condition(
    #[forall(o: Order window(length = 3); o.id > 0)] _f: Forall<Order>,
) {
}

#[rule]
fn in_a_named_pattern(#[not(a: Order window(size = 3))] _n: Absent<Order>) {}

fn main() {}
