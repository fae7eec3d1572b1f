//! Random rulesets and operations, for property tests of this crate and of those above it.

mod random;

pub use random::{A, B, Kind, L, RuleSpec, Step, rules, ruleset, stage, steps};
