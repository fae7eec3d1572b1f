//! Random absences over several events that time decides.

use proptest::prelude::*;

use super::steps::Kind;
use super::{Conditions, Order, PartSpec, RuleSpec, rule_of};

/// One or two rules, each with an absence over several events that time decides, as far as it does.
pub fn rules_in_time() -> impl Strategy<Value = Vec<RuleSpec>> {
    prop::collection::vec(rule_of(absence_in_time), 1..3)
}

fn absence_in_time() -> impl Strategy<Value = Vec<PartSpec>> {
    let event = || (prop_oneof![3 => Just(Kind::B), 1 => Just(Kind::L)], in_time());
    let flat = prop_oneof![
        4 => event().prop_map(|(kind, when)| PartSpec::Each(kind, when)),
        2 => event().prop_map(|(kind, when)| PartSpec::Not(kind, when)),
        1 => event().prop_map(|(kind, when)| PartSpec::Exists(kind, when)),
    ];
    let inside = flat.prop_recursive(2, 6, 3, |inner| {
        (prop::bool::weighted(0.3), prop::collection::vec(inner, 1..4))
            .prop_map(|(exists, parts)| PartSpec::Nested(exists, parts))
    });
    let inside = prop::collection::vec(inside, 1..4);
    (event(), inside).prop_map(|((kind, mut when), inside)| {
        when.apart = None;
        vec![PartSpec::Each(kind, when), PartSpec::Nested(false, inside)]
    })
}

/// Conditions of which one nearly always is about time.
fn in_time() -> impl Strategy<Value = Conditions> {
    let order =
        prop_oneof![4 => Just(Order::After), 1 => Just(Order::Before), 1 => Just(Order::Within)];
    let apart = prop::option::weighted(0.9, (order, (0..2_i64, 0..4_i64)));
    (prop::option::weighted(0.2, (any::<bool>(), 0..3_i64)), 0..2_u8, apart).prop_map(
        |(alpha, key, apart)| Conditions {
            alpha,
            key,
            range: None,
            apart: apart.map(|(order, (from, width))| (order, (from, from + width))),
            residual: false,
            distinct: false,
            window: None,
            watch: None,
        },
    )
}
