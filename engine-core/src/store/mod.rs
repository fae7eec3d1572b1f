//! The object store: facts by type and slot, with what the engine knows about each.

mod expiries;
mod fact_type;
mod kind;
mod locations;
mod ops;
mod table;

use std::any::{Any, TypeId};
use std::ops::Range;

use steadfast_wm::{FactHandle, Seq, TypeTag};

pub use fact_type::FactType;
pub(crate) use kind::{Birth, Kind};
pub(crate) use locations::Place;
pub(crate) use ops::{Change, KindSet, Op, Ops};
pub use table::Table;
pub(crate) use table::{AnyArena, AnyTable, Arena, typed};

use crate::fact::{Fact, FieldMask};
use crate::trail::{Scope, trailed};
use locations::Locations;

/// The name of the default entry point.
pub(crate) const DEFAULT_ENTRY: &str = "";

/// An entry point, by its place in the store's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Entry(u32);

impl Entry {
    /// What facts come through unless said otherwise.
    pub(crate) const DEFAULT: Self = Self(0);
    /// One that no rule reads from.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);
}

/// All facts of a session.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) kinds: Vec<Kind>,
    /// For lookup only: there are few, and every change looks one up.
    by_type: Vec<((TypeId, Entry), u32)>,
    /// Named entry points, from 1 on.
    entries: Vec<&'static str>,
    /// The journal's dictionary of types, by tag.
    names: Vec<String>,
    places: Locations,
}

trailed!(Store { kinds, places });

impl Store {
    /// The kind of a type, made known if it was not; says whether the dictionary grew.
    pub(crate) fn register(&mut self, fact: FactType) -> (u32, bool) {
        if self.entry(fact.entry()) == Entry::UNKNOWN {
            self.entries.push(fact.entry());
        }
        let entry = self.entry(fact.entry());
        let of = (fact.id().0, entry);
        if let Some(&(_, kind)) = self.by_type.iter().find(|(known, _)| *known == of) {
            return (kind, false);
        }
        let stored = fact.stored_name();
        let known = self.names.iter().position(|name| *name == stored);
        let place = known.unwrap_or(self.names.len());
        if known.is_none() {
            self.names.push(stored.into_owned());
        }
        let tag = TypeTag::new(u32::try_from(place).expect("fewer than 2³² types"));
        let kind = u32::try_from(self.kinds.len()).expect("fewer than 2³² types");
        self.kinds.push(Kind::new(fact, entry, tag));
        self.by_type.push((of, kind));
        (kind, known.is_none())
    }

    /// Adopts a journal's dictionary; before any type is registered.
    pub(crate) fn adopt_names(&mut self, names: Vec<String>) {
        debug_assert!(self.kinds.is_empty(), "tags are given once");
        self.names = names;
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The entry point of this name, or [`Entry::UNKNOWN`].
    pub(crate) fn entry(&self, name: &str) -> Entry {
        if name == DEFAULT_ENTRY {
            return Entry::DEFAULT;
        }
        let known = (1..).zip(&self.entries).find(|(_, known)| **known == name);
        known.map_or(Entry::UNKNOWN, |(place, _)| Entry(place))
    }

    pub(crate) fn kind_of<T: Fact>(&self, entry: Entry) -> Option<u32> {
        let of = (TypeId::of::<T>(), entry);
        // Equality is cheaper than order, and there are few types.
        self.by_type.iter().find(|(known, _)| *known == of).map(|(_, kind)| *kind)
    }

    pub(crate) fn kind_with_tag(&self, tag: TypeTag) -> Option<u32> {
        let kind = self.kinds.iter().position(|kind| kind.tag == tag)?;
        Some(u32::try_from(kind).expect("fewer than 2³² types"))
    }

    #[inline]
    pub(crate) fn kind(&self, kind: u32) -> &Kind {
        &self.kinds[kind as usize]
    }

    #[inline]
    pub(crate) fn kind_mut(&mut self, kind: u32) -> &mut Kind {
        &mut self.kinds[kind as usize]
    }

    #[inline]
    pub(crate) fn locate(&self, handle: FactHandle) -> Option<Place> {
        self.places.get(handle)
    }

    #[inline]
    pub(crate) fn set_place(&mut self, scope: Scope, handle: FactHandle, place: Option<Place>) {
        self.places.set(scope, handle, place);
    }

    /// Places new facts of one kind, with handles from `first` on, at these slots.
    pub(crate) fn set_places(
        &mut self,
        scope: Scope,
        first: FactHandle,
        kind: u32,
        slots: Range<u32>,
    ) {
        self.places.set_run(scope, first, kind, slots);
    }

    /// How many facts live.
    pub(crate) fn live(&self) -> u64 {
        self.places.live()
    }

    #[inline]
    pub(crate) fn value<T: Fact>(&self, place: Place) -> Option<&T> {
        let table = self.source(place.kind).downcast_ref::<Table<T>>()?;
        Some(table.value(place.slot))
    }

    /// The live facts of a kind in the order of their handles.
    pub(crate) fn in_order(&self, kind: u32) -> Vec<(FactHandle, u32)> {
        let columns = self.kind(kind);
        let facts = self.live_slots(kind).map(|slot| (columns.handle(slot), slot));
        let mut facts: Vec<(FactHandle, u32)> = facts.collect();
        facts.sort_unstable();
        facts
    }

    /// The slots of the facts of a kind, in no order that anybody may depend on.
    pub(crate) fn live_slots(&self, kind: u32) -> impl Iterator<Item = u32> {
        let columns = self.kind(kind);
        let lives = move |slot: &u32| {
            self.locate(columns.handle(*slot)) == Some(Place { kind, slot: *slot })
        };
        (0..columns.slot_count()).filter(lives)
    }

    /// As [`Store::live_slots`], in a flush: of facts that none of its operations touched nobody asks whether
    /// they live.
    pub(crate) fn live_slots_in_flush(&self, kind: u32) -> Vec<u32> {
        let columns = self.kind(kind);
        let lives = move |slot: u32| {
            let here = Some(Place { kind, slot });
            columns.last_op(slot).is_none() || self.locate(columns.handle(slot)) == here
        };
        let mut slots = Vec::with_capacity(columns.slot_count() as usize);
        for slot in 0..columns.slot_count() {
            if columns.is_taken(slot) && lives(slot) {
                slots.push(slot);
            }
        }
        slots
    }

    /// The source of a position that holds facts of this kind.
    #[inline]
    pub(crate) fn source(&self, kind: u32) -> &dyn Any {
        &*self.kind(kind).table
    }

    /// Highest sequence number of the operations of this flush that touched these fields of a fact.
    #[inline]
    pub(crate) fn touched(
        &self,
        ops: &Ops<'_>,
        kind: u32,
        slot: u32,
        reads: FieldMask,
    ) -> Option<Seq> {
        if !ops.kinds.may_hold(kind) {
            return None;
        }
        let kind = self.kind(kind);
        if ops.only_inserts {
            // A bulk load asks this once per member of every match: one column instead of two.
            let seq = kind.recency(slot);
            return (seq >= ops.first_seq).then_some(seq);
        }
        let mut at = kind.last_op(slot)?;
        loop {
            let op = &ops.list[at as usize];
            if op.mask.intersects(reads) || op.what != Change::Update {
                return Some(op.seq_of(slot));
            }
            at = op.previous.checked_sub(1)?;
        }
    }

    /// Whether a fact had an operation in this flush before the round that begins at `round_start`.
    pub(crate) fn was_touched_before(
        &self,
        ops: &Ops<'_>,
        kind: u32,
        slot: u32,
        round_start: u32,
    ) -> bool {
        let mut at = self.kind(kind).last_op(slot).filter(|_| ops.kinds.may_hold(kind));
        while let Some(op) = at.filter(|&op| op >= round_start) {
            at = ops.list[op as usize].previous.checked_sub(1);
        }
        at.is_some()
    }
}
