//! Random rulesets and operations: small worlds in which joins, blockers, groups and derived facts
//! collide often.
//!
//! Crates above this one include this file in their tests: `super::api` is the engine's interface,
//! whatever it is called there.

#[path = "random_agenda.rs"]
pub(super) mod agenda;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[path = "random_groups.rs"]
mod groups;

use groups::close;

use super::api::__macro::read_current;
use super::api::ir::{
    Comparison, Late, OnError, RuleBuilder, RuleDef, Ruleset, Timer, Var, Window,
};
use super::api::{ChangeError, Fact, FieldMask, Handle, ReadError, Ref, RuleError, Stage, Then};

pub use agenda::fire;
use agenda::{TurnSpec, take_turn, turn, turn_to};

macro_rules! facts {
    ($($name:ident { $($field:ident $at:tt),* } $({ $($event:tt)* })?)*) => {
        $(
            #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
            #[doc = "A fact with a key `k`, a value `v` and a weight `w` that no condition reads."]
            pub struct $name {
                $(#[doc = "A small number."] pub $field: i64),*
            }
            impl Fact for $name {
                const NAME: &'static str = stringify!($name);
                const VERSION: u32 = 1;
                const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
                $($($event)*)?
                fn diff(&self, other: &Self) -> FieldMask {
                    let mut mask = FieldMask::NONE;
                    $(if self.$field != other.$field { mask = mask.union(FieldMask::field($at)); })*
                    mask
                }
                fn read(version: u32, bytes: &[u8]) -> Result<Self, ReadError> {
                    read_current(Self::NAME, 1, version, bytes)
                }
            }
        )*
    };
}
// `A` and `B` are the users' facts, `L` is what rules derive. `B` and `L` are events: the one has the
// clock at its insertion as its time, the other says it itself.
facts! {
    A { k 0, v 1, w 2 }
    B { k 0, v 1, w 2 } {
        const EVENT: bool = true;
        const EXPIRES: Option<i64> = Some(6);
    }
    L { k 0, v 1, w 2 } {
        const EVENT: bool = true;
        const EXPIRES: Option<i64> = Some(4);
        const TIME_FIELDS: FieldMask = FieldMask::field(2);
        fn timestamp(&self) -> Option<i64> {
            Some(self.w)
        }
        fn duration(&self) -> i64 {
            1
        }
    }
}

pub(super) trait Row3: Fact {
    fn make(k: i64, v: i64) -> Self;
    fn k(&self) -> i64;
    fn v(&self) -> i64;
    fn v_ref(&self) -> &i64;
    fn v_mut(&mut self) -> &mut i64;
    fn k_mut(&mut self) -> &mut i64;
    fn w_mut(&mut self) -> &mut i64;
}
macro_rules! rows {
    ($($name:ident)*) => { $(impl Row3 for $name {
        fn make(k: i64, v: i64) -> Self { Self { k, v, w: 0 } }
        fn k(&self) -> i64 { self.k }
        fn v(&self) -> i64 { self.v }
        fn v_ref(&self) -> &i64 { &self.v }
        fn v_mut(&mut self) -> &mut i64 { &mut self.v }
        fn k_mut(&mut self) -> &mut i64 { &mut self.k }
        fn w_mut(&mut self) -> &mut i64 { &mut self.w }
    })* };
}
rows!(A B L);

/// The fact types of the random worlds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A user's fact.
    A,
    /// Another one.
    B,
    /// What rules derive, and users state now and then.
    L,
    /// An `A` that comes through the entry point `east`.
    East,
}

/// The named entry point of the random worlds.
const EAST: &str = "east";

#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// A bound of its value, or the value itself.
    alpha: Option<(bool, i64)>,
    /// How it joins with the positive pattern before it: 0 not, 1 exact key, 2 hashed key.
    key: u8,
    range: Option<bool>,
    /// So many milliseconds after the one before, from and to.
    after: Option<(i64, i64)>,
    residual: bool,
    distinct: bool,
    /// Which of the last facts count: of so many, or of so many milliseconds.
    window: Option<Window>,
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
    Fail,
    Panic,
    Halt,
    Focus(usize),
    ClearGroup(usize),
}

/// A rule to be built.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// None is one for each match: the value of its first fact.
    salience: Option<i32>,
    skip: bool,
    /// Which timer, and whether late matches are dropped.
    timer: Option<(u8, bool)>,
    turn: TurnSpec,
    parts: Vec<PartSpec>,
    /// Further branches.
    or: Vec<Vec<PartSpec>>,
    action: Action,
}

/// One operation on a session.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Inserts a fact with this key and value.
    Insert(Kind, i64, i64),
    /// Sets a field of one of the facts there are.
    Update(Kind, usize, u8, i64),
    /// Touches one of the facts there are.
    Touch(Kind, usize),
    /// Deletes one of the facts there are.
    Delete(Kind, usize),
    /// Matches what is staged.
    Flush,
    /// Advances the clock by so many milliseconds.
    Advance(i64),
    /// Fires at most so many matches.
    Fire(u64),
    /// The same, with a filter.
    FireFiltered(u64),
    /// Takes back that one of the facts there are is stated.
    DeleteStated(Kind, usize),
    /// Gives an agenda group the focus.
    Focus(usize),
    /// Cancels all pending matches of an agenda group.
    ClearGroup(usize),
}

pub(super) fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::A), 3 => Just(Kind::B), 2 => Just(Kind::L), 1 => Just(Kind::East)
    ]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let alpha = prop::option::weighted(0.5, (any::<bool>(), 0..3_i64));
    let range = prop::option::weighted(0.2, any::<bool>());
    let rare = || prop::bool::weighted(0.15);
    let after = prop::option::weighted(0.3, (-2..2_i64, 0..4_i64));
    let window = prop_oneof![(1..4_u32).prop_map(Window::last), (1..6_i64).prop_map(Window::Time)];
    let window = prop::option::weighted(0.25, window);
    (alpha, 0..3_u8, range, after, rare(), rare(), window).prop_map(
        |(alpha, key, range, after, residual, distinct, window)| {
            let after = after.map(|(from, width)| (from, from + width));
            Conditions { alpha, key, range, after, residual, distinct, window }
        },
    )
}

/// Parts that may stand inside of a `not` or `exists` over several, two deep at most.
fn inner_part() -> impl Strategy<Value = PartSpec> {
    let flat = prop_oneof![
        5 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Each(kind, when)),
        2 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Not(kind, when)),
        1 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Exists(kind, when)),
    ];
    flat.prop_recursive(1, 8, 3, |inner| {
        (prop::bool::weighted(0.3), prop::collection::vec(inner, 1..3))
            .prop_map(|(exists, parts)| PartSpec::Nested(exists, parts))
    })
}

fn part() -> impl Strategy<Value = PartSpec> {
    let elements = prop::collection::vec((kind(), conditions()), 1..3);
    prop_oneof![
        5 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Each(kind, when)),
        2 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Not(kind, when)),
        2 => (kind(), conditions()).prop_map(|(kind, when)| PartSpec::Exists(kind, when)),
        3 => (prop::bool::weighted(0.3), prop::collection::vec(inner_part(), 1..4))
            .prop_map(|(exists, parts)| PartSpec::Nested(exists, parts)),
        2 => (elements, 0..11_u8, any::<bool>(), any::<bool>())
            .prop_map(|(of, function, keyed, having)| PartSpec::Group(of, function, keyed, having)),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => Just(Action::Nothing), 2 => Just(Action::Bump), 1 => Just(Action::Rekey),
        1 => Just(Action::Weigh), 1 => Just(Action::Insert), 1 => Just(Action::Delete),
        3 => Just(Action::Derive), 3 => Just(Action::DeriveByKey),
        1 => Just(Action::DeriveAndDelete), 2 => Just(Action::DeriveTwo),
        1 => Just(Action::Fail), 1 => Just(Action::Halt), 1 => Just(Action::Panic),
        1 => (0..3_usize).prop_map(Action::Focus), 1 => (0..3_usize).prop_map(Action::ClearGroup),
    ]
}

/// One to three rules of one to three parts.
pub fn rules() -> impl Strategy<Value = Vec<RuleSpec>> {
    let parts = || prop::collection::vec(part(), 1..4);
    let none = Just(Vec::new());
    let or = prop_oneof![3 => none, 1 => prop::collection::vec(parts(), 1..3)];
    let salience = prop::option::weighted(0.7, -1..3_i32);
    let timer = prop::option::weighted(0.3, (0..4_u8, prop::bool::weighted(0.3)));
    let rule = (salience, any::<bool>(), timer, turn(), parts(), or, action()).prop_map(
        |(salience, skip, timer, turn, parts, or, action)| RuleSpec {
            salience,
            skip,
            timer,
            turn,
            parts,
            or,
            action,
        },
    );
    prop::collection::vec(rule, 1..4)
}

/// Up to fifteen operations.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (kind(), 0..3_i64, 0..4_i64).prop_map(|(kind, k, v)| Step::Insert(kind, k, v)),
        4 => (kind(), 0..9_usize, 0..3_u8, 0..4_i64)
            .prop_map(|(kind, which, field, value)| Step::Update(kind, which, field, value)),
        1 => (kind(), 0..9_usize).prop_map(|(kind, which)| Step::Touch(kind, which)),
        3 => (kind(), 0..9_usize).prop_map(|(kind, which)| Step::Delete(kind, which)),
        1 => Just(Step::Flush),
        3 => prop_oneof![Just(1_i64), Just(2), Just(3), Just(15)].prop_map(Step::Advance),
        4 => prop_oneof![Just(0_u64), Just(1), Just(2), Just(12)].prop_map(Step::Fire),
        1 => prop_oneof![Just(1_u64), Just(12)].prop_map(Step::FireFiltered),
        1 => (kind(), 0..9_usize).prop_map(|(kind, which)| Step::DeleteStated(kind, which)),
        1 => (0..3_usize).prop_map(Step::Focus),
        1 => (0..3_usize).prop_map(Step::ClearGroup),
    ];
    prop::collection::vec(step, 1..16)
}

/// The ruleset that specs stand for.
pub fn ruleset(specs: &[RuleSpec]) -> Ruleset {
    let rules = specs.iter().enumerate().map(|(at, spec)| rule(at, spec));
    let empty = Ruleset::new("random", 1).fact::<A>().fact::<B>().fact::<L>().fact_from::<A>(EAST);
    rules.fold(empty, Ruleset::rule)
}

/// The positive pattern that later parts join with.
#[derive(Clone, Copy)]
enum Last {
    A(Var<A>),
    B(Var<B>),
    L(Var<L>),
}

impl Last {
    fn v(self, row: &super::api::Row<'_>) -> i32 {
        let value = match self {
            Self::A(var) => var.of(row).v,
            Self::B(var) => var.of(row).v,
            Self::L(var) => var.of(row).v,
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
    match last {
        Some(Last::A(outer)) => join(builder, var, when, outer),
        Some(Last::B(outer)) => join(builder, var, when, outer),
        Some(Last::L(outer)) => join(builder, var, when, outer),
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
    if let Some(times) = when.after.filter(|_| T::EVENT && U::EVENT) {
        builder.after("after", var, outer, times);
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
    let on_error = if spec.skip { OnError::Skip } else { OnError::Abort };
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
            Kind::East => {
                let var = $builder.$method::<A>("e");
                $builder.from_entry(EAST);
                constrain($builder, var, $when, $last);
                Last::A(var)
            }
        }
    };
    ($builder:ident.$method:ident, $type:ty, $name:literal, $when:expr, $last:expr, $made:path) => {{
        let var = $builder.$method::<$type>($name);
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
        Action::Fail => {
            cx.insert(B::make(0, 0))?;
            return Err(RuleError::new("no"));
        }
        Action::Panic if fact.v() == 3 => panic!("the consequence's own"),
        Action::Halt => cx.halt(),
        Action::Focus(group) => turn_to(cx, group, false),
        Action::ClearGroup(group) => turn_to(cx, group, true),
        Action::Nothing | Action::Insert | Action::Panic => {}
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
        Action::Insert if cx.query::<B>().len() < 3 => {
            cx.insert(B::make(2, 2))?;
        }
        Action::Fail => return Err(RuleError::new("no")),
        Action::Halt => cx.halt(),
        Action::Focus(group) => turn_to(cx, group, false),
        Action::ClearGroup(group) => turn_to(cx, group, true),
        _ => {}
    }
    Ok(())
}

/// Derived facts refuse to be changed; the rule does not care.
fn swallow(result: Result<(), ChangeError>) {
    drop(result);
}

/// Stages one step; both engines see the same view, so they do the same.
pub fn stage(step: Step, stage: &mut Stage<'_>) {
    match step {
        Step::Insert(kind, ..)
        | Step::Update(kind, ..)
        | Step::Touch(kind, _)
        | Step::Delete(kind, _)
        | Step::DeleteStated(kind, _) => match kind {
            Kind::A => change::<A>(step, stage),
            Kind::B => change::<B>(step, stage),
            Kind::L => change::<L>(step, stage),
            Kind::East => change::<A>(step, &mut stage.entry(EAST)),
        },
        Step::Focus(group) => turn_to(stage, group, false),
        Step::ClearGroup(group) => turn_to(stage, group, true),
        Step::Flush | Step::Fire(_) | Step::FireFiltered(_) | Step::Advance(_) => {}
    }
}

fn change<T: Row3>(step: Step, stage: &mut Stage<'_>) {
    match step {
        Step::Insert(_, k, v) => drop(stage.insert(T::make(k, v))),
        Step::Update(_, at, field, value) => update::<T>(stage, at, field, value),
        Step::Touch(_, at) => with(stage, at, |stage, fact: Handle<T>| drop(stage.touch(fact))),
        Step::Delete(_, at) => with(stage, at, |stage, fact: Handle<T>| drop(stage.delete(fact))),
        Step::DeleteStated(_, at) => {
            with(stage, at, |stage, fact: Handle<T>| drop(stage.delete_stated(fact)));
        }
        _ => {}
    }
}

fn with<T: Fact>(stage: &mut Stage<'_>, at: usize, body: impl FnOnce(&mut Stage<'_>, Handle<T>)) {
    let facts: Vec<Handle<T>> = stage.query::<T>().iter().map(Ref::handle).collect();
    if !facts.is_empty() {
        body(stage, facts[at % facts.len()]);
    }
}

fn update<T: Row3>(stage: &mut Stage<'_>, at: usize, field: u8, value: i64) {
    with(stage, at, |stage, fact: Handle<T>| {
        drop(stage.update(fact, |fact| match field {
            0 => *fact.k_mut() = value % 3,
            1 => *fact.v_mut() = value,
            _ => *fact.w_mut() = value,
        }));
    });
}
