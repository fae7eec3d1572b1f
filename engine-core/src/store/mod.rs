//! The object store: facts by type and slot, with what the engine knows about each.

mod expiries;
mod locations;
mod ops;
mod table;

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use steadfast_wm::{FactHandle, RuleTag, Seq, TypeTag};

pub(crate) use locations::Place;
pub(crate) use ops::{Change, KindSet, Op, Ops};
pub use table::Table;
pub(crate) use table::{AnyArena, AnyTable, Arena};

use crate::chains::{Chains, NONE};
use crate::fact::{Fact, FieldMask};
use crate::trail::{Cell, Column, Scope, Sparse, Trailed, trailed};
use expiries::Expiries;
use locations::Locations;

/// What the engine must know about a fact type before it has seen a fact of it; and through which
/// entry point its facts come, as the same type from two entry points is two kinds of facts.
#[derive(Clone, Copy)]
pub struct FactType {
    id: TypeId,
    name: &'static str,
    /// The name of the entry point; empty for the default one.
    entry: &'static str,
    version: u32,
    fields: &'static [&'static str],
    keyed: bool,
    event: bool,
    lasts: bool,
    time_fields: FieldMask,
    expires: Option<i64>,
    create: fn() -> Box<dyn AnyTable>,
    arena: fn() -> Box<dyn AnyArena>,
}

impl FactType {
    /// The description of `T`.
    pub fn of<T: Fact>() -> Self {
        Self {
            id: TypeId::of::<T>(),
            name: T::NAME,
            entry: DEFAULT_ENTRY,
            version: T::VERSION,
            fields: T::FIELDS,
            keyed: T::KEYED,
            event: T::EVENT,
            lasts: T::LASTS,
            time_fields: T::TIME_FIELDS,
            expires: T::EXPIRES,
            create: || Box::new(Table::<T>::default()),
            arena: || Box::new(Arena::<T>(Vec::new())),
        }
    }

    /// The same type from a named entry point.
    #[must_use]
    pub fn from_entry(self, entry: &'static str) -> Self {
        Self { entry, ..self }
    }

    /// The type's stable name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The entry point that its facts come through; empty for the default one.
    pub fn entry(&self) -> &'static str {
        self.entry
    }

    /// What journals call its facts: the type's name, with `@` and the entry point if that has one.
    pub fn stored_name(&self) -> Cow<'static, str> {
        match self.entry {
            DEFAULT_ENTRY => Cow::Borrowed(self.name),
            entry => Cow::Owned(format!("{}@{entry}", self.name)),
        }
    }

    /// Its schema version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Names of its fields.
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// Whether its facts are events.
    pub fn is_event(&self) -> bool {
        self.event
    }

    /// Whether an event of the type may last, so that it ends later than it begins.
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    /// How many milliseconds after its end an event of the type leaves, if it does.
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// The fields that say when an event of the type happened.
    pub(crate) fn time_fields(&self) -> FieldMask {
        self.time_fields
    }

    pub(crate) fn new_arena(&self) -> Box<dyn AnyArena> {
        (self.arena)()
    }

    /// What tells it from others in one ruleset.
    pub(crate) fn id(&self) -> (TypeId, &'static str) {
        (self.id, self.entry)
    }
}

impl fmt::Debug for FactType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.stored_name(), self.version)
    }
}

/// The name of the default entry point.
pub(crate) const DEFAULT_ENTRY: &str = "";

/// All facts of one type that came through one entry point.
pub(crate) struct Kind {
    pub(crate) fact: FactType,
    /// The entry point, by its place in the store's list.
    pub(crate) entry: Entry,
    /// Its number in the journal's dictionary.
    pub(crate) tag: TypeTag,
    pub(crate) table: Box<dyn AnyTable>,
    /// By slot: the handle, or 0 for a free slot. A deleted fact keeps its slot until the flush ends.
    handles: Column<u64>,
    recency: Column<u64>,
    standings: Column<Standing>,
    /// By slot: the inserting or last updating rule's tag plus one; 0 for the outside.
    issuers: Sparse<u32>,
    clocks: Sparse<i64>,
    free: Column<u32>,
    keys: Chains,
    /// Truth maintenance: by slot the head of the fact's supports; equal facts by code.
    pub(crate) first_support: Sparse<u32>,
    pub(crate) believed: Cell<bool>,
    pub(crate) beliefs: Chains,
    /// By slot: its value before what is staged.
    pub(crate) before: Sparse<u32>,
    /// Events of the kind by the time at which they expire.
    pub(crate) expiries: Expiries,
}

trailed!(Kind {
    table,
    handles,
    recency,
    standings,
    issuers,
    clocks,
    free,
    keys,
    first_support,
    believed,
    beliefs,
    before,
    expiries
});

impl Trailed for Box<dyn AnyTable> {
    fn undo(&mut self, scope: Scope) {
        (**self).undo(scope);
    }
    fn forget(&mut self) {
        (**self).forget();
    }
}

impl Clone for Kind {
    fn clone(&self) -> Self {
        Self {
            fact: self.fact,
            entry: self.entry,
            tag: self.tag,
            table: self.table.clone_box(),
            handles: self.handles.clone(),
            recency: self.recency.clone(),
            standings: self.standings.clone(),
            issuers: self.issuers.clone(),
            clocks: self.clocks.clone(),
            free: self.free.clone(),
            keys: self.keys.clone(),
            first_support: self.first_support.clone(),
            believed: self.believed.clone(),
            beliefs: self.beliefs.clone(),
            before: self.before.clone(),
            expiries: self.expiries.clone(),
        }
    }
}

/// Whether somebody inserted a fact, not rules alone, in the lowest bit; above it the last staged operation
/// on the fact plus one.
#[derive(Clone, Copy, Debug)]
struct Standing(u32);

impl Standing {
    fn new(stated: bool, last_op: Option<u32>) -> Self {
        let last_op = last_op.map_or(0, |op| op + 1);
        debug_assert!(last_op < 1 << 31, "a flush has fewer than 2³¹ operations");
        Self(last_op << 1 | u32::from(stated))
    }

    #[inline]
    fn stated(self) -> bool {
        self.0 & 1 == 1
    }

    #[inline]
    fn last_op(self) -> Option<u32> {
        (self.0 >> 1).checked_sub(1)
    }
}

/// What is known about a new fact beside its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) handle: FactHandle,
    pub(crate) seq: Seq,
    pub(crate) issuer: Option<RuleTag>,
    pub(crate) stated: bool,
    pub(crate) clock: i64,
}

impl Kind {
    fn new(fact: FactType, entry: Entry, tag: TypeTag) -> Self {
        Self {
            fact,
            entry,
            tag,
            table: (fact.create)(),
            handles: Column::default(),
            recency: Column::default(),
            standings: Column::default(),
            issuers: Sparse::new(0),
            clocks: Sparse::new(0),
            free: Column::default(),
            keys: Chains::default(),
            first_support: Sparse::new(NONE),
            believed: Cell::new(false),
            beliefs: Chains::default(),
            before: Sparse::new(NONE),
            expiries: Expiries::default(),
        }
    }

    #[inline]
    pub(crate) fn handle(&self, slot: u32) -> FactHandle {
        FactHandle::new(*self.handles.get(slot))
    }

    #[inline]
    pub(crate) fn recency(&self, slot: u32) -> Seq {
        Seq::new(*self.recency.get(slot))
    }

    pub(crate) fn issuer(&self, slot: u32) -> Option<RuleTag> {
        self.issuers.get(slot).checked_sub(1).map(RuleTag::new)
    }

    pub(crate) fn clock(&self, slot: u32) -> i64 {
        *self.clocks.get(slot)
    }

    /// When a fact happened: the end of an event, the clock at the insertion of any other fact.
    pub(crate) fn time(&self, slot: u32) -> i64 {
        if self.fact.event { self.table.end(slot) } else { self.clock(slot) }
    }

    pub(crate) fn slot_count(&self) -> u32 {
        self.handles.len()
    }

    pub(crate) fn touch(&mut self, scope: Scope, slot: u32, seq: Seq, issuer: Option<RuleTag>) {
        self.recency.set(scope, slot, seq.get());
        self.issuers.set(scope, slot, issuer.map_or(0, |tag| tag.get() + 1));
    }

    pub(crate) fn next_slot(&mut self, scope: Scope) -> u32 {
        self.free.pop(scope).unwrap_or(self.handles.len())
    }

    /// Fills the columns of a slot whose value is already in the table.
    pub(crate) fn bear(&mut self, scope: Scope, slot: u32, birth: Birth) {
        let standing = Standing::new(birth.stated, None);
        if slot == self.handles.len() {
            self.handles.push(scope, birth.handle.get());
            self.recency.push(scope, birth.seq.get());
            self.standings.push(scope, standing);
        } else {
            self.handles.set(scope, slot, birth.handle.get());
            self.recency.set(scope, slot, birth.seq.get());
            self.standings.set(scope, slot, standing);
        }
        self.issuers.set(scope, slot, birth.issuer.map_or(0, |tag| tag.get() + 1));
        self.clocks.set(scope, slot, birth.clock);
        if self.fact.event {
            self.table.set_born(scope, slot, birth.clock);
        }
        self.link_key(scope, slot);
        self.link_expiry(scope, slot);
    }

    /// Whether facts can be added as a run: no slot is free, no index by value is kept, and no time.
    pub(crate) fn takes_runs(&self) -> bool {
        let is_timeless = !self.fact.event && self.fact.expires.is_none();
        is_timeless && self.free.is_empty() && !self.fact.keyed && !*self.believed.get()
    }

    /// Fills the columns of new slots behind all others whose values are already in the table; `birth` is
    /// that of the first, and `op` the place of its operation.
    pub(crate) fn bear_run(&mut self, scope: Scope, birth: Birth, count: u32, op: u32) {
        let Birth { handle, seq, issuer, stated, clock } = birth;
        let slot = self.handles.len();
        let numbers = |first: u64| first..first + u64::from(count);
        self.handles.extend(scope, numbers(handle.get()));
        self.recency.extend(scope, numbers(seq.get()));
        let ops = op..op + count;
        self.standings.extend(scope, ops.map(|op| Standing::new(stated, Some(op))));
        let issuer = issuer.map_or(0, |tag| tag.get() + 1);
        if issuer != 0 || clock != 0 {
            for slot in slot..slot + count {
                self.issuers.set(scope, slot, issuer);
                self.clocks.set(scope, slot, clock);
            }
        }
    }

    pub(crate) fn link_key(&mut self, scope: Scope, slot: u32) {
        if let Some(code) = self.fact.keyed.then(|| self.table.key_code(slot)).flatten() {
            self.keys.link(scope, slot, code);
        }
    }

    pub(crate) fn unlink_key(&mut self, scope: Scope, slot: u32) {
        if self.fact.keyed {
            self.keys.unlink(scope, slot);
        }
    }

    pub(crate) fn link_expiry(&mut self, scope: Scope, slot: u32) {
        if let Some(expires) = self.fact.expires {
            let deadline = self.table.end(slot).saturating_add(expires);
            self.expiries.link(scope, slot, self.handle(slot), deadline);
        }
    }

    pub(crate) fn unlink_expiry(&mut self, scope: Scope, slot: u32) {
        if self.fact.expires.is_some() {
            self.expiries.unlink(scope, slot, self.handle(slot));
        }
    }

    /// Makes room for so many facts more.
    pub(crate) fn reserve(&mut self, more: u32) {
        self.handles.reserve(more);
        self.recency.reserve(more);
        self.standings.reserve(more);
        self.table.reserve(more);
    }

    /// Gives a dead fact's slot back.
    pub(crate) fn free_slot(&mut self, scope: Scope, slot: u32) {
        self.table.clear_slot(scope, slot);
        self.handles.set(scope, slot, 0);
        self.free.push(scope, slot);
    }

    /// Live or dying facts with an equal key, by slot.
    pub(crate) fn with_key(&self, code: u64) -> impl Iterator<Item = u32> + '_ {
        self.keys.members(code)
    }

    /// Operations that were done on a fact in this flush are reachable from here.
    pub(crate) fn last_op(&self, slot: u32) -> Option<u32> {
        self.standings.get(slot).last_op()
    }

    #[inline]
    pub(crate) fn set_last_op(&mut self, scope: Scope, slot: u32, op: Option<u32>) {
        self.standings.set(scope, slot, Standing::new(self.is_stated(slot), op));
    }

    /// Whether somebody inserted the fact, not rules alone.
    #[inline]
    pub(crate) fn is_stated(&self, slot: u32) -> bool {
        self.standings.get(slot).stated()
    }

    pub(crate) fn set_stated(&mut self, scope: Scope, slot: u32, stated: bool) {
        self.standings.set(scope, slot, Standing::new(stated, self.last_op(slot)));
    }
}

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
        if self.entry(fact.entry) == Entry::UNKNOWN {
            self.entries.push(fact.entry);
        }
        let entry = self.entry(fact.entry);
        let of = (fact.id, entry);
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

    pub(crate) fn value<T: Fact>(&self, place: Place) -> Option<&T> {
        let table = self.kind(place.kind).table.as_any().downcast_ref::<Table<T>>()?;
        Some(table.value(place.slot))
    }

    /// The live facts of a kind in the order of their handles.
    pub(crate) fn in_order(&self, kind: u32) -> Vec<(FactHandle, u32)> {
        let columns = self.kind(kind);
        let mut facts: Vec<(FactHandle, u32)> = (0..columns.slot_count())
            .map(|slot| (columns.handle(slot), slot))
            .filter(|(handle, slot)| self.locate(*handle) == Some(Place { kind, slot: *slot }))
            .collect();
        facts.sort_unstable();
        facts
    }

    /// The source of a position that holds facts of this kind.
    #[inline]
    pub(crate) fn source(&self, kind: u32) -> &dyn Any {
        self.kind(kind).table.as_any()
    }

    /// Highest sequence number of the operations of this flush that touched these fields of a fact.
    #[inline]
    pub(crate) fn touched(
        &self,
        ops: Ops<'_>,
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
                return Some(op.seq);
            }
            at = op.previous.checked_sub(1)?;
        }
    }

    /// Whether a fact had an operation in this flush before the round that begins at `round_start`.
    pub(crate) fn was_touched_before(
        &self,
        ops: Ops<'_>,
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
