//! Patterns that ask the same of their facts share a memory, whatever their rules and their names for things.

use steadfast::ir::{Rule, RuleDef, Ruleset};
use steadfast::{Discard, Engine};
use steadfast_macros::rule;
use steadfast_wm::SessionId;

use crate::shop::{Customer, Order, Payment, Status};

/// By rule and level, how many levels have the memory in common.
fn listeners(rules: &[RuleDef]) -> Vec<Vec<u64>> {
    let rules = rules.iter().cloned().fold(Ruleset::new("test", 1), Ruleset::rule);
    let engine = Engine::new(&rules, SessionId::default(), &mut Discard).expect("valid rules");
    let rules = engine.network().rules.into_iter();
    let of_levels = |rule: steadfast::RuleNetwork| {
        rule.levels.iter().map(|level| level.listeners.expect("it has a memory")).collect()
    };
    rules.map(of_levels).collect()
}

#[rule]
fn one(
    #[when(c.gold)] c: &Customer,
    #[when(o.customer == c.id && o.status == Status::Open && o.amount > 3)] o: &Order,
    #[when(p.order == o.id && p.amount < o.amount)] p: &Payment,
) {
}

/// The same in other words.
#[rule]
fn other(
    #[when(customer.gold)] customer: &Customer,
    #[when((order.status == Status::Open) && order.amount > 3 && customer.id == order.customer)]
    order: &Order,
    #[when(paid.amount <= order.amount && paid.order == order.id)] paid: &Payment,
) {
}

#[test]
fn what_asks_the_same_is_shared_whatever_the_names() {
    let rules = [one::definition(), other::definition()];
    assert_eq!(listeners(&rules), [[2, 2, 2], [2, 2, 2]]);
}

#[rule]
fn not_gold(
    #[when(!c.gold)] c: &Customer,
    #[when(o.customer == c.id && o.status == Status::Paid && o.amount > 3)] o: &Order,
    #[when(p.amount == o.amount)] p: &Payment,
) {
}

#[rule]
fn not_gold_either(
    #[when(!(c.gold))] c: &Customer,
    #[when(o.customer == c.id && o.status == Status::Paid && o.amount > 4)] o: &Order,
    #[when(p.order == o.id)] p: &Payment,
) {
}

#[test]
fn other_constants_other_signs_and_other_keys_are_not() {
    let rules = [one::definition(), not_gold::definition(), not_gold_either::definition()];
    assert_eq!(listeners(&rules), [[1, 1, 1], [2, 1, 1], [2, 1, 1]]);
}

mod here {
    use super::*;
    const LIMIT: i64 = 5;
    pub(super) const SAME: Status = Status::Open;
    fn is_big(amount: i64) -> bool {
        amount > LIMIT
    }
    #[rule]
    fn bounded(
        #[when(o.amount > LIMIT)] o: &Order,
        #[when(p.amount > LIMIT as i64 && p.order == o.id)] p: &Payment,
        #[when(is_big(q.amount) && q.order == o.id)] q: &Payment,
        #[when(s.status == SAME && s.id == o.id)] s: &Order,
    ) {
    }
    pub(super) fn rule() -> RuleDef {
        bounded::definition()
    }
}

mod there {
    use super::*;
    const LIMIT: i64 = 6;
    use super::here::SAME as ALIKE;
    fn is_big(amount: i64) -> bool {
        amount > LIMIT
    }
    #[rule]
    fn bounded(
        #[when(o.amount > LIMIT)] o: &Order,
        #[when(p.amount > LIMIT as i64 && p.order == o.id)] p: &Payment,
        #[when(is_big(q.amount) && q.order == o.id)] q: &Payment,
        #[when(s.status == ALIKE && s.id == o.id)] s: &Order,
    ) {
    }
    pub(super) fn rule() -> RuleDef {
        RuleDef { path: "there".to_owned(), ..bounded::definition() }
    }
}

#[test]
fn names_that_stand_for_something_else_elsewhere_do_not_deceive() {
    // Neither constants of another value nor functions of the same name; but constants of the same value.
    let rules = [here::rule(), there::rule()];
    assert_eq!(listeners(&rules), [[1, 1, 1, 2], [1, 1, 1, 2]]);
}
