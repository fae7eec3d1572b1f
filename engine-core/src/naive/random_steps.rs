//! Random facts, and what happens to them.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::api::__macro::{DerivedKey, read_current};
use super::super::api::{
    ActionSink, ChangeError, Engine, Fact, FieldMask, Handle, ReadError, Ref, Stage,
};
use super::agenda::turn_to;
use super::unique;

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
// clock at its insertion as its time, the other says it itself, and that is not in its derived key. Of `U` there is one for each key, inserted or
// derived; the codes of some keys collide.
facts! {
    A { k 0, v 1, w 2 }
    B { k 0, v 1, w 2 } {
        const EVENT: bool = true;
        const EXPIRES: Option<i64> = Some(6);
    }
    L { k 0, v 1, w 2 } {
        const EVENT: bool = true;
        const EXPIRES: Option<i64> = Some(4);
        const LASTS: bool = true;
        const TIME_FIELDS: FieldMask = FieldMask::field(2);
        fn timestamp(&self) -> Option<i64> {
            Some(self.w)
        }
        fn duration(&self) -> i64 {
            1
        }
        const HAS_DERIVED_KEY: bool = true;
        fn derived_key(&self, key: &mut DerivedKey<'_>) {
            key.part(&self.k);
            key.part(&self.v);
        }
    }
    U { k 0, v 1, w 2 } {
        const KEYED: bool = true;
        const UNIQUE: bool = true;
        fn key_code(&self) -> Option<u64> {
            Some(u64::from(self.k == 1))
        }
        fn same_key(&self, other: &Self) -> bool {
            self.k == other.k
        }
    }
}

/// Makes one of the functions of the random worlds panic: conditions, keys, what groups take in, consequences.
pub mod fuse {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<u32> = const { Cell::new(0) };
    }

    /// From now on the so-manieth of them panics, once; none for 0.
    pub fn light(calls: u32) {
        LEFT.set(calls);
    }

    #[inline]
    pub(super) fn burn() {
        let left = LEFT.get();
        if left > 0 {
            LEFT.set(left - 1);
            // What the tests keep quiet about.
            assert!(left != 1, "the consequence's own");
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
        fn k(&self) -> i64 { fuse::burn(); self.k }
        fn v(&self) -> i64 { fuse::burn(); self.v }
        fn v_ref(&self) -> &i64 { fuse::burn(); &self.v }
        fn v_mut(&mut self) -> &mut i64 { &mut self.v }
        fn k_mut(&mut self) -> &mut i64 { &mut self.k }
        fn w_mut(&mut self) -> &mut i64 { &mut self.w }
    })* };
}
rows!(A B L U);

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
    /// A fact of a unique type, which users insert and rules derive.
    U,
    /// The same through the entry point.
    EastU,
}

/// The named entry point of the random worlds.
pub(super) const EAST: &str = "east";

/// One operation on a session.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Inserts a fact with this key and value.
    Insert(Kind, i64, i64),
    /// Inserts one unless there is one with its key.
    InsertUnique(Kind, i64, i64),
    /// Of a unique type: deletes one, inserts another one under its key, and one under the next key if there
    /// is none.
    Replace(Kind, usize, i64),
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
        8 => Just(Kind::A), 6 => Just(Kind::B), 4 => Just(Kind::L), 2 => Just(Kind::East),
        3 => Just(Kind::U), 1 => Just(Kind::EastU),
    ]
}

/// Up to fifteen operations.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (kind(), 0..3_i64, 0..4_i64).prop_map(|(kind, k, v)| Step::Insert(kind, k, v)),
        1 => (kind(), 0..3_i64, 0..4_i64).prop_map(|(kind, k, v)| Step::InsertUnique(kind, k, v)),
        1 => (kind(), 0..9_usize, 0..4_i64).prop_map(|(kind, at, v)| Step::Replace(kind, at, v)),
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

/// Stages one step; both engines see the same view, so they do the same.
pub fn stage(step: Step, stage: &mut Stage<'_>) {
    match step {
        Step::Insert(kind, ..)
        | Step::InsertUnique(kind, ..)
        | Step::Replace(kind, ..)
        | Step::Update(kind, ..)
        | Step::Touch(kind, _)
        | Step::Delete(kind, _)
        | Step::DeleteStated(kind, _) => match kind {
            Kind::A => change::<A>(step, stage),
            Kind::B => change::<B>(step, stage),
            Kind::L => change::<L>(step, stage),
            Kind::East => change::<A>(step, &mut stage.entry(EAST)),
            Kind::U => unique::change(step, stage, false),
            Kind::EastU => unique::change(step, stage, true),
        },
        Step::Focus(group) => turn_to(stage, group, false),
        Step::ClearGroup(group) => turn_to(stage, group, true),
        Step::Flush | Step::Fire(_) | Step::FireFiltered(_) | Step::Advance(_) => {}
    }
}

fn change<T: Row3>(step: Step, stage: &mut Stage<'_>) {
    match step {
        Step::Insert(_, k, v) => drop(stage.insert(T::make(k, v))),
        Step::InsertUnique(_, k, v) => drop(stage.insert_unique(T::make(k, v))),
        Step::Update(_, at, field, value) => update::<T>(stage, at, field, value),
        Step::Touch(_, at) => with(stage, at, |stage, fact: Handle<T>| drop(stage.touch(fact))),
        Step::Delete(_, at) => with(stage, at, |stage, fact: Handle<T>| drop(stage.delete(fact))),
        Step::DeleteStated(_, at) => {
            with(stage, at, |stage, fact: Handle<T>| drop(stage.delete_stated(fact)));
        }
        _ => {}
    }
}

/// One step on an engine: every other change of one fact goes the way without drafts, which must not make
/// a difference.
pub fn stage_on(engine: &mut Engine, step: Step, sink: &mut dyn ActionSink) {
    let alone = match step {
        Step::Insert(kind, _, v) if v % 2 == 0 => Some(kind),
        Step::Update(kind, at, ..) | Step::Delete(kind, at) if at % 2 == 0 => Some(kind),
        _ => None,
    };
    match alone {
        Some(Kind::A) => change_alone::<A>(engine, step, sink),
        Some(Kind::B) => change_alone::<B>(engine, step, sink),
        Some(Kind::L) => change_alone::<L>(engine, step, sink),
        _ => stage_step(engine, step, sink),
    }
}

fn stage_step(engine: &mut Engine, step: Step, sink: &mut dyn ActionSink) {
    let staged = engine.stage(sink, |view| {
        stage(step, view);
        Ok::<(), ChangeError>(())
    });
    staged.unwrap();
}

fn change_alone<T: Row3>(engine: &mut Engine, step: Step, sink: &mut dyn ActionSink) {
    let fact = |engine: &Engine, at: usize| {
        let facts: Vec<Handle<T>> = engine.facts::<T>().iter().map(Ref::handle).collect();
        (!facts.is_empty()).then(|| facts[at % facts.len()])
    };
    match step {
        Step::Insert(_, k, v) => drop(engine.stage_insert(sink, T::make(k, v))),
        Step::Update(_, at, field, value) => {
            if let Some(fact) = fact(engine, at) {
                drop(engine.stage_update(sink, fact, |fact| set(fact, field, value)));
            }
        }
        Step::Delete(_, at) => {
            if let Some(fact) = fact(engine, at) {
                drop(engine.stage_delete(sink, fact));
            }
        }
        _ => unreachable!("it changes one fact"),
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
        drop(stage.update(fact, |fact| set(fact, field, value)));
    });
}

fn set<T: Row3>(fact: &mut T, field: u8, value: i64) {
    match field {
        0 => *fact.k_mut() = value % 3,
        1 => *fact.v_mut() = value,
        _ => *fact.w_mut() = value,
    }
}
