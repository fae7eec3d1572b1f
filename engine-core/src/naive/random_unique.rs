//! Attempts on facts of a unique type, and what came of each, for whoever compares.

use std::cell::RefCell;

use proptest::prelude::*;
use steadfast_wm::FactHandle;

use super::super::api::{ChangeError, Fact as _, Handle, KeyOf, Ref, RuleError, Stage, Then};
pub use super::steps::U;
use super::steps::{EAST, Kind, Row3, Step};
use super::{Action, Conditions, PartSpec, RuleSpec, conditions, rule_of, some_parts};

/// What was attempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// `insert`.
    Insert,
    /// `insert_unique`.
    InsertUnique,
    /// `insert_logical`.
    Derive,
    /// `update` of this fact to the value.
    Update(FactHandle),
    /// `delete` of this fact.
    Delete(FactHandle),
    /// `delete_stated` of this fact.
    DeleteStated(FactHandle),
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Came {
    /// This fact was made, found or changed.
    Fact(FactHandle),
    /// It was refused, for the sake of this fact if that was told.
    Refused(Option<FactHandle>),
}

/// One attempt on a fact `U`.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    /// Whether the fact is to come through the entry point `east`.
    pub east: bool,
    /// What was attempted.
    pub what: What,
    /// With which value.
    pub value: U,
    /// What came of it.
    pub came: Came,
}

thread_local!(static ATTEMPTS: RefCell<Vec<Attempt>> = const { RefCell::new(Vec::new()) });

/// What was attempted since this was last asked.
pub fn attempts() -> Vec<Attempt> {
    ATTEMPTS.take()
}

/// What a consequence does with facts of the unique type.
#[derive(Clone, Copy, Debug)]
pub enum UniqueAction {
    /// Derives one, and fails if it may not.
    Derive,
    /// Derives two under different keys.
    DeriveTwo,
    /// Derives two under one key, of which it may have derived the first before.
    DeriveOneKeyTwice,
    /// Inserts one, and derives another one under its key.
    StateAndDerive,
    /// Derives one, and then inserts it and another one under its key.
    DeriveAndState,
    /// Deletes one, and inserts another one under its key.
    Replace,
    /// Gives one another key, and derives one under its old one.
    Move,
    /// As an insertion that looks for the key, through the entry point.
    FindEast,
}

pub(super) fn unique_action() -> impl Strategy<Value = Action> {
    let all = [
        UniqueAction::Derive,
        UniqueAction::DeriveTwo,
        UniqueAction::DeriveOneKeyTwice,
        UniqueAction::StateAndDerive,
        UniqueAction::DeriveAndState,
        UniqueAction::Replace,
        UniqueAction::Move,
        UniqueAction::FindEast,
    ];
    let one = || prop::sample::select(all.to_vec());
    (one(), one()).prop_map(|(even, odd)| Action::Unique(even, odd))
}

/// One or two rules of few conditions, about facts of the unique type or making them.
pub fn rules_of_unique_facts() -> impl Strategy<Value = Vec<RuleSpec>> {
    let simple = conditions().prop_map(|when| Conditions {
        alpha: Some((false, 0)),
        key: 1,
        range: None,
        apart: None,
        residual: false,
        ..when
    });
    let kinds = vec![Kind::A, Kind::U, Kind::EastU];
    let first = (prop::sample::select(kinds), simple);
    let rule = (rule_of(some_parts), first, unique_action(), prop::bool::weighted(0.3));
    let rule = rule.prop_map(|(mut rule, (kind, when), action, more)| {
        rule.parts.insert(0, PartSpec::Each(kind, when));
        rule.parts.truncate(if more { 2 } else { 1 });
        rule.or.clear();
        RuleSpec { action, ..rule }
    });
    prop::collection::vec(rule, 1..3)
}

/// Operations on few such facts, and runs of the rules in between.
pub fn steps_of_unique_facts() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop_oneof![3 => Just(Kind::A), 3 => Just(Kind::U), 1 => Just(Kind::EastU)];
    let step = prop_oneof![
        4 => (kind(), 0..2_i64, 0..4_i64).prop_map(|(kind, k, v)| Step::Insert(kind, k, v)),
        1 => (kind(), 0..2_i64, 0..4_i64).prop_map(|(kind, k, v)| Step::InsertUnique(kind, k, v)),
        1 => (kind(), 0..3_usize, 0..4_i64).prop_map(|(kind, at, v)| Step::Replace(kind, at, v)),
        6 => (kind(), 0..3_usize, 0..2_u8, 0..4_i64)
            .prop_map(|(kind, which, field, value)| Step::Update(kind, which, field, value)),
        1 => (kind(), 0..3_usize).prop_map(|(kind, which)| Step::Delete(kind, which)),
        1 => (kind(), 0..3_usize).prop_map(|(kind, which)| Step::DeleteStated(kind, which)),
        6 => prop_oneof![Just(1_u64), Just(12)].prop_map(Step::Fire),
    ];
    prop::collection::vec(step, 1..16)
}

fn note(east: bool, what: What, value: U, came: Result<FactHandle, Option<FactHandle>>) {
    let came = came.map_or_else(Came::Refused, Came::Fact);
    ATTEMPTS.with_borrow_mut(|attempts| attempts.push(Attempt { east, what, value, came }));
}

fn refusal(error: &ChangeError) -> Option<FactHandle> {
    match error {
        ChangeError::KeyViolation { existing, .. } => Some(*existing),
        _ => None,
    }
}

fn insert(stage: &mut Stage<'_>, east: bool, value: U) {
    let came =
        if east { stage.entry(EAST).insert(value.clone()) } else { stage.insert(value.clone()) };
    let came = came.map(Handle::fact).map_err(|error| refusal(&error));
    note(east, What::Insert, value, came);
}

fn insert_unique(stage: &mut Stage<'_>, east: bool, value: U) {
    let came = if east {
        stage.entry(EAST).insert_unique(value.clone())
    } else {
        stage.insert_unique(value.clone())
    };
    let came = came.map(Handle::fact).map_err(|error| refusal(&error));
    note(east, What::InsertUnique, value, came);
}

fn update(stage: &mut Stage<'_>, fact: Handle<U>, change: impl FnOnce(&mut U)) {
    let mut value = stage.get(fact).cloned().unwrap_or_else(|| U::make(0, 0));
    change(&mut value);
    let came = stage.update(fact, |fact| fact.clone_from(&value));
    let came = came.map(|()| fact.fact()).map_err(|error| refusal(&error));
    note(false, What::Update(fact.fact()), value, came);
}

fn delete(stage: &mut Stage<'_>, fact: Handle<U>, stated: bool) {
    let deleted = if stated { stage.delete_stated(fact) } else { stage.delete(fact) };
    let came = if deleted.is_ok_and(|deleted| deleted) { Ok(fact.fact()) } else { Err(None) };
    let what = if stated { What::DeleteStated } else { What::Delete };
    note(false, what(fact.fact()), U::make(0, 0), came);
}

fn derive(cx: &mut Then<'_>, value: U) -> Result<(), RuleError> {
    let came = cx.insert_logical(value.clone());
    let handle = came.as_ref().map(|handle| handle.fact()).map_err(|_| None);
    note(false, What::Derive, value, handle);
    came.map(drop)
}

/// The key of such a fact, with a code that collides as its own does.
struct Key(i64);

impl KeyOf<U> for Key {
    fn code(&self) -> u64 {
        U::make(self.0, 0).key_code().expect("they have keys")
    }

    fn is_of(&self, fact: &U) -> bool {
        fact.k == self.0
    }
}

/// All facts; each is found by its key, staged or not, and no other.
fn facts(stage: &Stage<'_>) -> Vec<Handle<U>> {
    let facts = stage.query::<U>();
    for key in (0..3).map(Key) {
        let with_key = facts.iter().find(|fact| key.is_of(fact)).map(Ref::handle);
        assert_eq!(stage.find::<U>(&key).map(|fact| fact.handle()), with_key);
    }
    facts.iter().map(Ref::handle).collect()
}

/// One operation, or two, on facts of the unique type.
pub(super) fn change(step: Step, stage: &mut Stage<'_>, east: bool) {
    let at = |stage: &mut Stage<'_>, at: usize| {
        let facts = if east { facts(&stage.entry(EAST)) } else { facts(stage) };
        (!facts.is_empty()).then(|| facts[at % facts.len()])
    };
    let gate = |stage: &mut Stage<'_>, body: &mut dyn FnMut(&mut Stage<'_>)| {
        if east { body(&mut stage.entry(EAST)) } else { body(stage) }
    };
    match step {
        Step::Insert(_, k, v) => insert(stage, east, U::make(k, v)),
        Step::InsertUnique(_, k, v) => insert_unique(stage, east, U::make(k, v)),
        Step::Replace(_, which, v) => {
            if let Some(fact) = at(stage, which) {
                let k = stage.get(fact).map_or(0, |fact| fact.k);
                gate(stage, &mut |stage| delete(stage, fact, false));
                insert(stage, east, U::make(k, v));
                insert_unique(stage, east, U::make((k + 1) % 3, v));
            }
        }
        Step::Update(_, which, field, value) => {
            if let Some(fact) = at(stage, which) {
                gate(stage, &mut |stage| {
                    update(stage, fact, |fact| match field {
                        0 => fact.k = value % 3,
                        1 => fact.v = value,
                        _ => fact.w = value,
                    });
                });
            }
        }
        Step::Touch(_, which) => {
            if let Some(fact) = at(stage, which) {
                gate(stage, &mut |stage| drop(stage.touch(fact)));
            }
        }
        Step::Delete(_, which) | Step::DeleteStated(_, which) => {
            let stated = matches!(step, Step::DeleteStated(..));
            if let Some(fact) = at(stage, which) {
                gate(stage, &mut |stage| delete(stage, fact, stated));
            }
        }
        _ => {}
    }
}

/// What a consequence does with a fact of the unique type that its match holds, if it is a matter of keys.
pub(super) fn act_on(action: Action, fact: Ref<'_, U>, cx: &mut Then<'_>) -> bool {
    let fact = fact.handle();
    match action {
        Action::Bump => update(cx, fact, |fact| fact.v = (fact.v + 1).min(4)),
        Action::Rekey => update(cx, fact, |fact| fact.k = (fact.k + 1) % 3),
        Action::Delete => delete(cx, fact, false),
        _ => return false,
    }
    true
}

/// What a consequence does with such facts, by the key and the value of another one: of two values the same
/// key and value, and something else.
pub(super) fn act(
    (even, odd): (UniqueAction, UniqueAction),
    (k, v): (i64, i64),
    cx: &mut Then<'_>,
) -> Result<(), RuleError> {
    let (action, v) = (if v % 2 == 0 { even } else { odd }, v / 2);
    let try_to_derive = |cx: &mut Then<'_>, k, v| drop(derive(cx, U::make(k, v)));
    match action {
        UniqueAction::Derive => derive(cx, U::make(k, v))?,
        UniqueAction::DeriveTwo => {
            try_to_derive(cx, k, v);
            try_to_derive(cx, (k + 1) % 3, v % 2);
        }
        UniqueAction::DeriveOneKeyTwice => {
            try_to_derive(cx, k, v);
            try_to_derive(cx, k, 1);
        }
        UniqueAction::StateAndDerive => {
            insert(cx, false, U::make(k, v));
            try_to_derive(cx, k, (v + 1) % 3);
        }
        UniqueAction::DeriveAndState => {
            try_to_derive(cx, k, v);
            insert(cx, false, U::make(k, v));
            insert_unique(cx, false, U::make(k, (v + 1) % 3));
        }
        UniqueAction::Replace => {
            if let Some(&fact) = facts(cx).first() {
                let k = cx.get(fact).map_or(0, |fact| fact.k);
                delete(cx, fact, false);
                insert(cx, false, U::make(k, v));
            }
        }
        UniqueAction::Move => {
            if let Some(&fact) = facts(cx).first() {
                let old = cx.get(fact).map_or(0, |fact| fact.k);
                update(cx, fact, |fact| fact.k = k);
                try_to_derive(cx, old, v);
            }
        }
        UniqueAction::FindEast => insert_unique(cx, true, U::make(k, v)),
    }
    Ok(())
}
