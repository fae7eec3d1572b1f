//! Random rulesets and operations: small worlds in which joins, blockers, groups and derived facts
//! collide often.
//!
//! Crates above this one include this file in their tests: `super::api` is the engine's interface,
//! whatever it is called there.

#[path = "random_agenda.rs"]
pub(super) mod agenda;
#[path = "random_gates.rs"]
pub(super) mod gates;
#[path = "random_groups.rs"]
mod groups;
#[path = "random_steps.rs"]
mod steps;
#[path = "random_time.rs"]
mod time;
#[path = "random_unique.rs"]
pub(super) mod unique;

use proptest::prelude::*;

use super::api::ir::{
    Comparison, Late, OnError, RuleBuilder, RuleDef, Ruleset, Timer, Var, Window,
};
use super::api::{ChangeError, Failure, Ref, RuleError, Then};

pub use agenda::fire;
use agenda::{TurnSpec, take_turn, turn, turn_to};
pub(super) use gates::rules_with_gates;
use groups::close;
use steps::{A, B, EAST, L, Row3, U, kind};
pub use steps::{Kind, Step, fuse, stage, stage_on, steps};
pub(super) use time::rules_in_time;
use unique::{UniqueAction, rules_of_unique_facts, unique_action};

#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// A bound of its value, or the value itself.
    alpha: Option<(bool, i64)>,
    /// How it joins with the positive pattern before it: 0 not, 1 exact key, 2 hashed key, 3 two exact keys
    /// of which not all values fit into one code.
    key: u8,
    range: Option<bool>,
    /// So many milliseconds after the one before, from and to; before it, or as far from it.
    apart: Option<(Order, (i64, i64))>,
    residual: bool,
    distinct: bool,
    /// Which of the last facts count: of so many, or of so many milliseconds.
    window: Option<Window>,
    watch: Option<Watch>,
}

/// Which updates re-arm beside what conditions read, or do not although they do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Watch {
    Weight,
    NoValue,
    KeyAlone,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    After,
    Before,
    Within,
}

#[derive(Clone, Debug)]
pub(super) enum PartSpec {
    Each(Kind, Conditions),
    Not(Kind, Conditions),
    Exists(Kind, Conditions),
    /// A `not` (or `exists`, if true) over several parts, none of them a group.
    Nested(bool, Vec<PartSpec>),
    /// Elements, function, whether grouped by key, and an optional bound of the result.
    Group(Vec<(Kind, Conditions)>, u8, bool, bool),
}

/// What a consequence does with its first fact, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Nothing,
    Bump,
    Rekey,
    Weigh,
    Insert,
    Delete,
    Derive,
    DeriveByKey,
    DeriveAndDelete,
    DeriveTwo,
    Touch,
    /// Inserts what a rule may derive, here or there.
    State,
    InsertEast,
    /// Takes back that the first such fact is stated.
    Unstate,
    /// Deletes the last such fact.
    DeleteDerived,
    /// Does something that is undone, and then something else.
    Scoped,
    Draw,
    Fail,
    Panic,
    Halt,
    Focus(usize),
    ClearGroup(usize),
    /// Something with facts of the unique type: for even values, and for odd ones.
    Unique(UniqueAction, UniqueAction),
}

/// What becomes of a match whose consequence fails.
#[derive(Clone, Copy, Debug)]
pub(super) enum FailSpec {
    Abort,
    Skip,
    /// It is skipped if the consequence panicked.
    SkipPanics,
}

/// A rule to be built.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// None is one for each match: the value of its first fact.
    salience: Option<i32>,
    /// What its failure means.
    on_error: FailSpec,
    /// Which timer, and whether late matches are dropped.
    timer: Option<(u8, bool)>,
    turn: TurnSpec,
    parts: Vec<PartSpec>,
    /// Further branches.
    or: Vec<Vec<PartSpec>>,
    action: Action,
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let alpha = prop::option::weighted(0.5, (any::<bool>(), 0..3_i64));
    let range = prop::option::weighted(0.2, any::<bool>());
    let rare = || prop::bool::weighted(0.15);
    let order =
        prop_oneof![4 => Just(Order::After), 1 => Just(Order::Before), 1 => Just(Order::Within)];
    let apart = prop::option::weighted(0.3, (order, (-2..2_i64, 0..4_i64)));
    let window = prop_oneof![(1..4_u32).prop_map(Window::last), (1..6_i64).prop_map(Window::Time)];
    let window = prop::option::weighted(0.25, window);
    let watch = [Watch::Weight, Watch::NoValue, Watch::KeyAlone, Watch::Nothing];
    let watch = prop::option::weighted(0.2, prop::sample::select(watch.to_vec()));
    (alpha, 0..4_u8, range, apart, rare(), rare(), window, watch).prop_map(
        |(alpha, key, range, apart, residual, distinct, window, watch)| {
            let apart = apart.map(|(order, (from, width))| (order, (from, from + width)));
            Conditions { alpha, key, range, apart, residual, distinct, window, watch }
        },
    )
}

/// Parts that may stand inside of a `not` or `exists` over several, two deep at most.
fn inner_part() -> impl Strategy<Value = PartSpec> {
    let flat = prop_oneof![
        5 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Each(kind, when)),
        2 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Not(kind, when)),
        1 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Exists(kind, when)),
        1 => group_part(),
    ];
    flat.prop_recursive(1, 8, 3, |inner| {
        (prop::bool::weighted(0.3), prop::collection::vec(inner, 1..3))
            .prop_map(|(exists, parts)| PartSpec::Nested(exists, parts))
    })
}

fn part() -> impl Strategy<Value = PartSpec> {
    prop_oneof![
        5 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Each(kind, when)),
        2 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Not(kind, when)),
        2 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Exists(kind, when)),
        3 => (prop::bool::weighted(0.3), prop::collection::vec(inner_part(), 1..4))
            .prop_map(|(exists, parts)| PartSpec::Nested(exists, parts)),
        2 => group_part(),
    ]
}

fn group_part() -> impl Strategy<Value = PartSpec> {
    let elements = prop::collection::vec((kind(), conditions()), 1..3);
    (elements, 0..11_u8, any::<bool>(), any::<bool>())
        .prop_map(|(of, function, keyed, having)| PartSpec::Group(of, function, keyed, having))
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        2 => unique_action(),
        3 => Just(Action::Nothing), 2 => Just(Action::Bump), 1 => Just(Action::Rekey),
        1 => Just(Action::Weigh), 1 => Just(Action::Insert), 1 => Just(Action::Delete),
        3 => Just(Action::Derive), 3 => Just(Action::DeriveByKey),
        1 => Just(Action::DeriveAndDelete), 2 => Just(Action::DeriveTwo),
        1 => Just(Action::Touch), 1 => Just(Action::State), 1 => Just(Action::InsertEast),
        1 => Just(Action::Unstate), 1 => Just(Action::DeleteDerived), 1 => Just(Action::Scoped),
        1 => Just(Action::Draw),
        1 => Just(Action::Fail), 1 => Just(Action::Halt), 1 => Just(Action::Panic),
        1 => (0..3_usize).prop_map(Action::Focus), 1 => (0..3_usize).prop_map(Action::ClearGroup),
    ]
}

/// One to three rules of one to three parts.
pub fn rules() -> impl Strategy<Value = Vec<RuleSpec>> {
    let some = prop::collection::vec(rule_of(some_parts), 1..4);
    prop_oneof![
        5 => some, 3 => rules_alike(), 1 => rules_with_groups_inside(), 1 => rules_in_time(),
        1 => rules_of_unique_facts(), 2 => rules_with_gates(),
    ]
}

/// Two or three rules that begin with the same parts, so that they share memories.
pub(super) fn rules_alike() -> impl Strategy<Value = Vec<RuleSpec>> {
    let rules = prop::collection::vec(rule_of(some_parts), 2..4);
    (rules, 1..4_usize).prop_map(|(mut rules, alike)| {
        let first = rules[0].parts.clone();
        for rule in &mut rules[1..] {
            let own = std::mem::take(&mut rule.parts);
            rule.parts = first.iter().take(alike).cloned().chain(own.into_iter().take(1)).collect();
        }
        rules
    })
}

/// One or two rules, each with a group inside of a `not` or `exists`.
pub(super) fn rules_with_groups_inside() -> impl Strategy<Value = Vec<RuleSpec>> {
    prop::collection::vec(rule_of(group_inside), 1..3)
}

fn some_parts() -> impl Strategy<Value = Vec<PartSpec>> {
    prop::collection::vec(part(), 1..4)
}

fn group_inside() -> impl Strategy<Value = Vec<PartSpec>> {
    let others = || prop::collection::vec(inner_part(), 0..2);
    let inside = (others(), group_part(), others())
        .prop_map(|(before, group, behind)| [before, vec![group], behind].concat());
    let before = prop::collection::vec(part(), 0..2);
    (before, prop::bool::weighted(0.3), inside).prop_map(|(mut parts, exists, inside)| {
        parts.push(PartSpec::Nested(exists, inside));
        parts
    })
}

fn rule_of<S: Strategy<Value = Vec<PartSpec>>>(
    parts: fn() -> S,
) -> impl Strategy<Value = RuleSpec> {
    let none = Just(Vec::new());
    let or = prop_oneof![3 => none, 1 => prop::collection::vec(parts(), 1..3)];
    let salience = prop::option::weighted(0.7, -1..3_i32);
    let timer = prop::option::weighted(0.3, (0..4_u8, prop::bool::weighted(0.3)));
    let on_error = vec![FailSpec::Abort, FailSpec::Skip, FailSpec::SkipPanics];
    let on_error = prop::sample::select(on_error);
    (salience, on_error, timer, turn(), parts(), or, action()).prop_map(
        |(salience, on_error, timer, turn, parts, or, action)| RuleSpec {
            salience,
            on_error,
            timer,
            turn,
            parts,
            or,
            action,
        },
    )
}

/// The ruleset that specs stand for.
pub fn ruleset(specs: &[RuleSpec]) -> Ruleset {
    let rules = specs.iter().enumerate().map(|(at, spec)| rule(at, spec));
    let empty = Ruleset::new("random", 1).fact::<A>().fact::<B>().fact::<L>().fact::<U>();
    let empty = empty.fact_from::<A>(EAST).fact_from::<U>(EAST);
    rules.fold(empty, Ruleset::rule)
}

/// The positive pattern that later parts join with.
#[derive(Clone, Copy)]
enum Last {
    A(Var<A>),
    B(Var<B>),
    L(Var<L>),
    U(Var<U>),
}

impl Last {
    fn v(self, row: &super::api::Row<'_>) -> i32 {
        let value = match self {
            Self::A(var) => var.of(row).v,
            Self::B(var) => var.of(row).v,
            Self::L(var) => var.of(row).v,
            Self::U(var) => var.of(row).v,
        };
        i32::try_from(value).expect("a few values")
    }
}

fn constrain<T: Row3>(
    builder: &mut RuleBuilder,
    var: Var<T>,
    when: &Conditions,
    last: Option<Last>,
) {
    match when.alpha {
        Some((true, value)) => builder.when_is(var, "v", T::v_ref, value),
        // Functions without data: that they ask the same can be told.
        Some((false, 0)) => builder.when(var, "v >= 0", &["v"], |fact| fact.v() >= 0),
        Some((false, 1)) => builder.when(var, "v >= 1", &["v"], |fact| fact.v() >= 1),
        Some((false, bound)) => {
            builder.when(var, &format!("v >= {bound}"), &["v"], move |fact| fact.v() >= bound);
        }
        None => {}
    }
    if when.distinct {
        builder.distinct();
    }
    match when.window {
        Some(Window::Length(length)) => builder.window_length(length.get()),
        Some(Window::Time(millis)) => builder.window_time(millis),
        None => {}
    }
    match when.watch {
        Some(Watch::Weight) => builder.watch(var, &["w"]),
        Some(Watch::NoValue) => builder.ignore(var, &["v"]),
        Some(Watch::KeyAlone) => {
            builder.ignore(var, &["v", "w"]);
            builder.watch(var, &["k"]);
        }
        Some(Watch::Nothing) => builder.ignore(var, &["*"]),
        None => {}
    }
    match last {
        Some(Last::A(outer)) => join(builder, var, when, outer),
        Some(Last::B(outer)) => join(builder, var, when, outer),
        Some(Last::L(outer)) => join(builder, var, when, outer),
        Some(Last::U(outer)) => join(builder, var, when, outer),
        None => {}
    }
}

fn join<T: Row3, U: Row3>(
    builder: &mut RuleBuilder,
    var: Var<T>,
    when: &Conditions,
    outer: Var<U>,
) {
    match when.key {
        1 => builder.exact_key("k == k", (var, "k"), T::k, (outer, "k"), U::k),
        2 => builder.key(
            "k == k",
            (var, "k"),
            |fact: &T| fact.k().to_string(),
            (outer, "k"),
            |fact: &U| fact.k().to_string(),
        ),
        _ => {}
    }
    match when.apart.filter(|_| T::EVENT && U::EVENT) {
        Some((Order::After, times)) => builder.after("after", var, outer, times),
        Some((Order::Before, times)) => builder.before("before", var, outer, times),
        Some((Order::Within, (from, to))) => builder.within("within", var, outer, to - from),
        None => {}
    }
    if let Some(less) = when.range {
        let comparison = if less { Comparison::AtMost } else { Comparison::AtLeast };
        builder.range("v <> v", comparison, (var, "v"), T::v, (outer, "v"), U::v);
    }
    if when.residual {
        let odd = |inner: &T, outer: &U| (inner.v() + outer.v()) % 2 == 1;
        builder.residual("odd(v + v)", (var, &["v"]), (outer, &["v"]), odd);
    }
}

fn rule(at: usize, spec: &RuleSpec) -> RuleDef {
    let first = branch(at, spec, &spec.parts);
    spec.or.iter().fold(first, |rule, parts| rule.or(branch(at, spec, parts)))
}

fn branch(at: usize, spec: &RuleSpec, parts: &[PartSpec]) -> RuleDef {
    let on_error = match spec.on_error {
        FailSpec::Abort => OnError::Abort,
        FailSpec::Skip => OnError::Skip,
        FailSpec::SkipPanics => OnError::SkipIf(|failure| matches!(failure, Failure::Panic(_))),
    };
    let mut builder = RuleBuilder::new(format!("random::r{at}")).on_error(on_error);
    let mut last = None;
    let mut first = None;
    for part in parts {
        let bound = add(&mut builder, part, last);
        last = bound.or(last);
        first = first.or(bound);
    }
    let builder = match (spec.salience, first) {
        (Some(salience), _) => builder.salience(salience),
        (None, Some(first)) => builder.salience_of("v", move |row| first.v(row)),
        (None, None) => builder.salience_of("0", |_| 0),
    };
    let builder = match spec.timer {
        Some((timer, drops)) => timed(builder, timer, drops),
        None => builder,
    };
    let builder = take_turn(builder, &spec.turn, first);
    let action = spec.action;
    builder.then(move |row, cx| match first {
        Some(Last::A(var)) => act(action, var.reference(row), cx),
        Some(Last::B(var)) => act(action, var.reference(row), cx),
        Some(Last::L(var)) => act(action, var.reference(row), cx),
        Some(Last::U(var)) if unique::act_on(action, var.reference(row), cx) => Ok(()),
        Some(Last::U(var)) => act(action, var.reference(row), cx),
        None => act_alone(action, cx),
    })
}

/// Adds a pattern of a kind through a method of the builder, with its conditions.
macro_rules! pattern {
    ($builder:ident.$method:ident, $kind:expr, $when:expr, $last:expr) => {
        match $kind {
            Kind::A => pattern!($builder.$method, A, "a", $when, $last, Last::A),
            Kind::B => pattern!($builder.$method, B, "b", $when, $last, Last::B),
            Kind::L => pattern!($builder.$method, L, "l", $when, $last, Last::L),
            Kind::U => pattern!($builder.$method, U, "u", $when, $last, Last::U),
            Kind::East => pattern!($builder.$method, A, "e", $when, $last, Last::A, EAST),
            Kind::EastU => pattern!($builder.$method, U, "f", $when, $last, Last::U, EAST),
        }
    };
    (
        $builder:ident.$method:ident, $type:ty, $name:literal, $when:expr, $last:expr, $made:path
        $(, $entry:expr)?
    ) => {{
        let var = $builder.$method::<$type>($name);
        $($builder.from_entry($entry);)?
        constrain($builder, var, $when, $last);
        $made(var)
    }};
}

/// Adds a part; gives the pattern that it binds.
fn add(builder: &mut RuleBuilder, part: &PartSpec, last: Option<Last>) -> Option<Last> {
    match part {
        PartSpec::Each(kind, when) => return Some(pattern!(builder.each, kind, when, last)),
        PartSpec::Not(kind, when) => {
            pattern!(builder.not, kind, when, last);
        }
        PartSpec::Exists(kind, when) => {
            pattern!(builder.exists, kind, when, last);
        }
        PartSpec::Nested(exists, parts) => {
            let inside = |builder: &mut RuleBuilder| {
                let mut last = last;
                for part in parts {
                    last = add(builder, part, last).or(last);
                }
            };
            if *exists {
                builder.exists_of(inside);
            } else {
                builder.not_of(inside);
            }
        }
        PartSpec::Group(elements, function, keyed, having) => {
            group(builder, elements, (*function, *keyed, *having), last);
        }
    }
    None
}

fn timed(builder: RuleBuilder, timer: u8, drops: bool) -> RuleBuilder {
    let every = |initial, every| Timer::Every { initial, every };
    let timers = [Timer::After(0), Timer::After(2), every(0, 3), every(2, 1)];
    let timer = timers[usize::from(timer)].clone();
    builder.timer(timer).late(if drops { Late::Drop { grace: 1 } } else { Late::Fire })
}

fn group(
    builder: &mut RuleBuilder,
    elements: &[(Kind, Conditions)],
    shape: (u8, bool, bool),
    last: Option<Last>,
) {
    let mut inner = last;
    for (kind, when) in elements {
        inner = Some(pattern!(builder.element, kind, when, inner));
    }
    match inner {
        Some(Last::A(var)) => close(builder, var, shape),
        Some(Last::B(var)) => close(builder, var, shape),
        Some(Last::L(var)) => close(builder, var, shape),
        Some(Last::U(var)) => close(builder, var, shape),
        None => unreachable!("groups have elements"),
    }
}

fn act<T: Row3>(action: Action, fact: Ref<'_, T>, cx: &mut Then<'_>) -> Result<(), RuleError> {
    match action {
        Action::Bump => swallow(cx.update(fact, |fact| *fact.v_mut() = (*fact.v_mut() + 1).min(4))),
        Action::Rekey => swallow(cx.update(fact, |fact| *fact.k_mut() = (*fact.k_mut() + 1) % 3)),
        Action::Weigh => swallow(cx.update(fact, |fact| *fact.w_mut() += 1)),
        Action::Insert if fact.v() > 1 => drop(cx.insert(B::make(fact.k(), fact.v() - 2))?),
        Action::Delete => drop(cx.delete(fact)?),
        Action::Derive => drop(cx.insert_logical(L::make(fact.k(), fact.v()))?),
        Action::DeriveByKey => drop(cx.insert_logical(L::make(fact.k(), 0))?),
        Action::DeriveAndDelete => {
            cx.insert_logical(L::make(fact.k(), 1))?;
            cx.delete(fact)?;
        }
        Action::DeriveTwo => {
            cx.insert_logical(L::make(0, fact.v() % 2))?;
            cx.insert_logical(L::make(fact.k(), 2))?;
        }
        Action::Touch => cx.touch(fact)?,
        Action::InsertEast if fact.v() > 1 => {
            cx.entry(EAST).insert(A::make(fact.k(), fact.v() - 1))?;
        }
        Action::State => drop(cx.insert(L::make(fact.k(), fact.v()))?),
        Action::Scoped => {
            let undone = cx.scope(|cx| {
                cx.insert_logical(L::make(1, 3))?;
                cx.delete(fact)?;
                Err::<(), _>(RuleError::new("no"))
            });
            assert!(undone.is_err());
            cx.insert_logical(L::make(fact.k(), 2))?;
        }
        Action::Draw => {
            let drawn = i64::try_from(cx.random() % 4).expect("a small number");
            swallow(cx.update(fact, |fact| *fact.w_mut() = drawn));
        }
        Action::Unstate | Action::DeleteDerived => of_derived(action, cx)?,
        Action::Fail => {
            cx.insert(B::make(0, 0))?;
            return Err(RuleError::new("no"));
        }
        Action::Panic if fact.v() == 3 => panic!("the consequence's own"),
        Action::Halt => cx.halt(),
        Action::Focus(group) => turn_to(cx, group, false),
        Action::ClearGroup(group) => turn_to(cx, group, true),
        Action::Unique(even, odd) => unique::act((even, odd), (fact.k(), fact.v()), cx)?,
        Action::Nothing | Action::Insert | Action::InsertEast | Action::Panic => {}
    }
    Ok(())
}

/// Of what rules derive, stated or not.
fn of_derived(action: Action, cx: &mut Then<'_>) -> Result<(), RuleError> {
    let facts: Vec<_> = cx.query::<L>().iter().map(Ref::handle).collect();
    match (action, facts.first(), facts.last()) {
        (Action::Unstate, Some(&first), _) => drop(cx.delete_stated(first)?),
        (_, _, Some(&last)) => drop(cx.delete(last)?),
        _ => {}
    }
    Ok(())
}

fn act_alone(action: Action, cx: &mut Then<'_>) -> Result<(), RuleError> {
    match action {
        Action::Derive | Action::DeriveByKey => drop(cx.insert_logical(L::make(1, 1))?),
        Action::DeriveTwo => {
            cx.insert_logical(L::make(0, 0))?;
            cx.insert_logical(L::make(2, 0))?;
        }
        Action::Unstate | Action::DeleteDerived => of_derived(action, cx)?,
        Action::State if cx.query::<L>().len() < 3 => drop(cx.insert(L::make(1, 1))?),
        Action::Insert if cx.query::<B>().len() < 3 => {
            cx.insert(B::make(2, 2))?;
        }
        Action::Fail => return Err(RuleError::new("no")),
        Action::Halt => cx.halt(),
        Action::Focus(group) => turn_to(cx, group, false),
        Action::ClearGroup(group) => turn_to(cx, group, true),
        Action::Unique(even, odd) => unique::act((even, odd), (1, 1), cx)?,
        _ => {}
    }
    Ok(())
}

/// Derived facts refuse to be changed; the rule does not care.
fn swallow(result: Result<(), ChangeError>) {
    drop(result);
}
