//! Random rules with gates: first patterns of which the rest of the rule asks nothing.

use proptest::prelude::*;

use super::{Conditions, PartSpec, RuleSpec, conditions, kind, rule_of};

/// One to three rules that are at work as long as there is some fact.
pub(in super::super) fn rules_with_gates() -> impl Strategy<Value = Vec<RuleSpec>> {
    prop::collection::vec(rule_of(behind_gate), 1..4)
}

fn behind_gate() -> impl Strategy<Value = Vec<PartSpec>> {
    let other = prop_oneof![
        4 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Each(kind, when)),
        1 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Not(kind, when)),
        1 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Exists(kind, when)),
    ];
    let gate = (kind(), conditions(), 0..3_i64);
    (gate, prop::collection::vec(other, 1..4)).prop_map(|((of, mut when, value), mut others)| {
        // Updates open and close it.
        when.alpha = when.alpha.or(Some((true, value)));
        set_apart(&mut when);
        for part in &mut others {
            let (PartSpec::Each(_, when) | PartSpec::Not(_, when) | PartSpec::Exists(_, when)) =
                part
            else {
                continue;
            };
            // The first fact behind it is what the others join with.
            set_apart(when);
            if matches!(part, PartSpec::Each(..)) {
                break;
            }
        }
        std::iter::once(PartSpec::Each(of, when)).chain(others).collect()
    })
}

/// Takes the conditions on a fact before away.
fn set_apart(when: &mut Conditions) {
    (when.key, when.residual, when.distinct) = (0, false, false);
    (when.range, when.apart) = (None, None);
}
