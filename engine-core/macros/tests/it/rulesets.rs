//! `ruleset!`.

use steadfast_macros::{query, rule, ruleset};

use crate::shop::{Customer, Line, Order, Payment};

#[rule]
fn first(_o: &Order) {}

#[rule]
fn second(_p: &Payment) {}

#[query]
fn all(_c: &Customer) {}

mod nested {
    use super::{Order, rule};

    #[rule]
    pub(super) fn third(_o: &Order) {}
}

ruleset!(
    /// Everything.
    #[inline]
    pub(crate) full = 7: second, first, nested::third,; facts: Line,; queries: all;
);
ruleset!(none = 0:);
ruleset!(only_facts = 4_294_967_295: ; facts: Line);

#[test]
fn rulesets_keep_the_declared_order() {
    let full = full();
    assert_eq!((full.name(), full.version()), ("full", 7));
    let paths = |rules: &[steadfast::ir::RuleDef]| -> Vec<String> {
        rules.iter().map(|rule| rule.name().to_owned()).collect()
    };
    assert_eq!(paths(full.rules()), ["second", "first", "third"]);
    assert_eq!(paths(full.queries()), ["all"]);
    let types: Vec<_> = full.fact_types().iter().map(steadfast::FactType::name).collect();
    assert_eq!(types, ["Payment", "Order", "Customer", "Line"]);
    assert_eq!(full.check(), Ok(()));
}

#[test]
fn rulesets_may_have_no_rules() {
    assert!(none().rules().is_empty() && none().fact_types().is_empty());
    assert_eq!((only_facts().version(), only_facts().fact_types().len()), (u32::MAX, 1));
}
