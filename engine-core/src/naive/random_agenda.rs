//! What random rules say of their turn on the agenda, and runs with a filter.

use proptest::prelude::*;

use super::super::api::ir::{MAIN, RuleBuilder};
use super::super::api::{
    ActionSink, Activation, ChangeError, Engine, FireOptions, FireRun, Fired, Row, Stage, Verdict,
};
use super::Last;

/// The agenda groups; a ruleset has some of them.
const GROUPS: [&str; 3] = [MAIN, "g1", "g2"];

/// What a rule says of its turn.
#[derive(Clone, Debug, Default)]
pub(super) struct TurnSpec {
    group: usize,
    activation_group: Option<bool>,
    says: Vec<Says>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Says {
    AutoFocus,
    LockOnActive,
    NoLoop,
    Enabled,
}

/// Half of the rules say nothing.
pub(super) fn turn() -> impl Strategy<Value = TurnSpec> {
    let all = vec![Says::AutoFocus, Says::LockOnActive, Says::NoLoop, Says::Enabled];
    let says = prop::sample::subsequence(all, 0..=3);
    let activation_group = prop::option::weighted(0.3, any::<bool>());
    let turn = (0..3_usize, activation_group, says)
        .prop_map(|(group, activation_group, says)| TurnSpec { group, activation_group, says });
    prop_oneof![Just(TurnSpec::default()), turn]
}

/// Tells it to the rule, whose first fact `enabled` looks at.
pub(super) fn take_turn(builder: RuleBuilder, turn: &TurnSpec, first: Option<Last>) -> RuleBuilder {
    let mut builder = builder.group(GROUPS[turn.group]);
    if let Some(group) = turn.activation_group {
        builder = builder.activation_group(if group { "x" } else { "y" });
    }
    for says in &turn.says {
        builder = match (says, first) {
            (Says::AutoFocus, _) => builder.auto_focus(),
            (Says::LockOnActive, _) => builder.lock_on_active(),
            (Says::NoLoop, _) => builder.no_loop(),
            (Says::Enabled, Some(first)) => {
                builder.enabled("odd(v)", move |row: &Row<'_>| first.v(row) % 2 == 1)
            }
            (Says::Enabled, None) => builder,
        };
    }
    builder
}

/// Gives a group the focus, or clears it, if the ruleset has it.
pub(super) fn turn_to(stage: &mut Stage<'_>, group: usize, clear: bool) {
    let group = GROUPS[group % GROUPS.len()];
    let known = if clear { stage.clear_group(group) } else { stage.focus(group) };
    drop::<Result<(), ChangeError>>(known);
}

/// What the filter of a run says; a match is known by its trigger.
pub fn verdict(trigger: u64) -> Verdict {
    match trigger % 4 {
        0 => Verdict::Keep,
        1 => Verdict::Consume,
        _ => Verdict::Fire,
    }
}

/// Fires at most so many matches, with the filter or without.
pub fn fire(engine: &mut Engine, limit: u64, filtered: bool, sink: &mut dyn ActionSink) -> Fired {
    let options = FireOptions { limit: Some(limit) };
    if !filtered {
        return engine.fire(options, sink);
    }
    let mut filter = |activation: &Activation<'_>| verdict(activation.trigger.get());
    engine.fire_part(&mut FireRun::new(options).filter(&mut filter), u64::MAX, sink)
}
