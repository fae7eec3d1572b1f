extern crate steadfast_engine_core as steadfast;

use serde::{Deserialize, Serialize};
use steadfast::Group;
use steadfast::ir::{Absent, Either, Forall};
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
fn no_functions(#[not(g: Group<Line, (), (u64,)>)] _n: Absent<Count>) {}

#[rule]
fn other_number_of_functions(
    #[not(g: Group<Line, (), (u64,)> aggregate(count(), sum(l.quantity)))] _n: Absent<Count>,
) {
}

#[rule]
fn unknown_word(
    #[not(g: Group<Line, (), (u64,)> aggregate(count()) distinct)] _n: Absent<Count>,
) {
}

#[rule]
fn word_without_anything(#[not(g: Group<Line, (), (u64,)> aggregate)] _n: Absent<Count>) {}

#[rule]
fn functions_twice(
    #[not(g: Group<Line, (), (u64,)> aggregate(count()) aggregate(count()))] _n: Absent<Count>,
) {
}

#[rule]
fn having_as_an_attribute(
    #[not(g: Group<Line, (), (u64,)> aggregate(count()) having(g.0 > 3))] _n: Absent<Count>,
) {
}

#[rule]
fn condition_without_a_comma(
    #[not(g: Group<Line, (), (u64,)> aggregate(count()) && g.0 > 3)] _n: Absent<Count>,
) {
}

#[rule]
fn result_before_it_is_there(
    #[not(g: Group<Line, (), (u64,)> aggregate(count()) when(l.quantity > g.0))] _n: Absent<Count>,
) {
}

#[rule]
fn group_used_outside(
    #[not(g: Group<Line, (), (i64,)> aggregate(sum(l.quantity)))] _n: Absent<Sum>,
    #[when(o.amount > g.0)] o: &Order,
) {
}

#[rule]
fn group_of_another_branch(
    o: &Order,
    #[or(g: Group<Line, (), (i64,)> aggregate(sum(m.quantity)))]
    #[or(l: Line, l.quantity > g.0)]
    _e: Either,
) {
}

#[rule]
fn of_groups(
    #[forall(g: Group<Line, u64, (i64,)> group_by(l.order) aggregate(sum(l.quantity)); g.0 > 3)]
    _f: Forall<Group<Line, u64, (i64,)>>,
) {
}

#[rule]
fn group_of_groups(
    #[not(g: Group<Line, (), (u64,)> aggregate(count()) each(h: Group<Line, (), (u64,)>))]
    _n: Absent<Count>,
) {
}

#[rule]
fn name_taken(
    g: &Order,
    #[not(g: Group<Line, (), (u64,)> aggregate(count()))] _n: Absent<Count>,
) {
}

fn main() {}
