//! The facts of one kind, column by column.

use std::any::Any;
use std::hint::black_box;
use std::ops::Range;

use steadfast_wm::{FactHandle, RuleTag, Seq, TypeTag};

use super::Entry;
use super::expiries::Expiries;
use super::fact_type::FactType;
use super::table::{AnyTable, Table};
use crate::chains::{Chains, NONE};
use crate::fact::Fact;
use crate::trail::{Cell, Column, Scope, Sparse, Trailed, trailed};

/// All facts of one type that came through one entry point.
pub(crate) struct Kind {
    pub(crate) fact: FactType,
    /// The entry point, by its place in the store's list.
    pub(crate) entry: Entry,
    /// Its number in the journal's dictionary.
    pub(crate) tag: TypeTag,
    pub(crate) table: Box<dyn AnyTable>,
    /// Whether its facts are found by a key, or by the time at which they expire.
    by_value: bool,
    /// By slot. A deleted fact keeps its slot until the flush ends.
    facts: Column<FactState>,
    /// By slot: the inserting or last updating rule's tag plus one; 0 for the outside.
    issuers: Sparse<u32>,
    clocks: Sparse<i64>,
    free: Column<u32>,
    keys: Chains,
    /// Truth maintenance: by slot the head of the fact's supports; equal facts by code.
    pub(crate) first_support: Sparse<u32>,
    pub(crate) believed: Cell<bool>,
    pub(crate) beliefs: Chains,
    /// Events of the kind by the time at which they expire.
    pub(crate) expiries: Expiries,
}

trailed!(Kind {
    table,
    facts,
    issuers,
    clocks,
    free,
    keys,
    first_support,
    believed,
    beliefs,
    expiries
});

impl Trailed for Box<dyn AnyTable> {
    fn undo(&mut self, scope: Scope) {
        (**self).undo(scope);
    }
    fn forget(&mut self) {
        (**self).forget();
    }
    fn trail_bytes(&self) -> usize {
        (**self).trail_bytes()
    }
}

impl Clone for Kind {
    fn clone(&self) -> Self {
        Self {
            fact: self.fact,
            entry: self.entry,
            tag: self.tag,
            table: self.table.clone_box(),
            by_value: self.by_value,
            facts: self.facts.clone(),
            issuers: self.issuers.clone(),
            clocks: self.clocks.clone(),
            free: self.free.clone(),
            keys: self.keys.clone(),
            first_support: self.first_support.clone(),
            believed: self.believed.clone(),
            beliefs: self.beliefs.clone(),
            expiries: self.expiries.clone(),
        }
    }
}

/// What is known of each fact beside its value: one row, as whoever writes any of it mostly writes all of it.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))] // four bytes for each fact are more than a row that lies on two cache lines now and then
struct FactState {
    /// The handle, or 0 for a free slot.
    handle: u64,
    /// Number of the last operation on it.
    seq: u64,
    standing: Standing,
}

const _: () = assert!(size_of::<FactState>() == 20, "there is one for each fact");

/// Whether somebody inserted a fact, not rules alone, in the lowest bit; above it the last staged operation
/// on the fact plus one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    pub(super) fn new(fact: FactType, entry: Entry, tag: TypeTag) -> Self {
        Self {
            fact,
            entry,
            tag,
            table: fact.new_table(),
            by_value: fact.is_keyed() || fact.expires().is_some(),
            facts: Column::default(),
            issuers: Sparse::new(0),
            clocks: Sparse::new(0),
            free: Column::default(),
            keys: Chains::default(),
            first_support: Sparse::new(NONE),
            believed: Cell::new(false),
            beliefs: Chains::default(),
            expiries: Expiries::default(),
        }
    }

    /// The values of its facts, which are of this type.
    #[inline]
    pub(crate) fn values_mut<T: Fact>(&mut self) -> &mut Table<T> {
        let table: &mut dyn Any = &mut *self.table;
        table.downcast_mut().expect("a kind holds facts of its type")
    }

    /// The same if they are of this type.
    #[inline]
    pub(crate) fn values_if<T: Fact>(&mut self) -> Option<&mut Table<T>> {
        let table: &mut dyn Any = &mut *self.table;
        table.downcast_mut()
    }

    #[inline]
    pub(crate) fn handle(&self, slot: u32) -> FactHandle {
        FactHandle::new(self.facts.get(slot).handle)
    }

    /// Has what is known of a fact [near](Column::warm).
    #[inline]
    pub(crate) fn warm(&self, slot: u32) {
        black_box(self.facts.as_slice().get(slot as usize).map_or(0, |fact| fact.standing.0));
    }

    /// Whether a slot holds a fact.
    #[inline]
    pub(crate) fn is_taken(&self, slot: u32) -> bool {
        self.facts.get(slot).handle != 0
    }

    #[inline]
    pub(crate) fn recency(&self, slot: u32) -> Seq {
        Seq::new(self.facts.get(slot).seq)
    }

    pub(crate) fn issuer(&self, slot: u32) -> Option<RuleTag> {
        self.issuers.get(slot).checked_sub(1).map(RuleTag::new)
    }

    pub(crate) fn clock(&self, slot: u32) -> i64 {
        *self.clocks.get(slot)
    }

    /// When a fact happened: the end of an event, the clock at the insertion of any other fact.
    pub(crate) fn time(&self, slot: u32) -> i64 {
        if self.fact.is_event() { self.table.end(slot) } else { self.clock(slot) }
    }

    pub(crate) fn slot_count(&self) -> u32 {
        self.facts.len()
    }

    /// Notes an update: its number, the rule that issued it, and its place among the staged operations; gives the one
    /// before it on the same fact.
    #[inline]
    pub(crate) fn touch(
        &mut self,
        scope: Scope,
        slot: u32,
        seq: Seq,
        issuer: Option<RuleTag>,
        op: u32,
    ) -> Option<u32> {
        self.issuers.set(scope, slot, issuer.map_or(0, |tag| tag.get() + 1));
        self.facts.change(scope, slot, |fact| {
            let before = fact.standing;
            (fact.seq, fact.standing) = (seq.get(), Standing::new(before.stated(), Some(op)));
            before.last_op()
        })
    }

    pub(crate) fn next_slot(&mut self, scope: Scope) -> u32 {
        self.free.pop(scope).unwrap_or(self.facts.len())
    }

    /// Fills the columns of a slot whose value is already in the table; `op` is the place of its operation,
    /// if that is of this flush.
    pub(crate) fn bear(&mut self, scope: Scope, slot: u32, birth: Birth, op: Option<u32>) {
        let standing = Standing::new(birth.stated, op);
        let (handle, seq) = (birth.handle.get(), birth.seq.get());
        let state = FactState { handle, seq, standing };
        if slot == self.facts.len() {
            self.facts.push(scope, state);
        } else {
            self.facts.set(scope, slot, state);
        }
        self.issuers.set_next(scope, slot, birth.issuer.map_or(0, |tag| tag.get() + 1));
        self.clocks.set_next(scope, slot, birth.clock);
        if self.fact.is_event() {
            self.table.set_born(scope, slot, birth.clock);
        }
        self.link(scope, slot);
    }

    /// Whether facts can be added as a run: no slot is free, no index by value is kept, and no time.
    pub(crate) fn takes_runs(&self) -> bool {
        let is_timeless = !self.fact.is_event() && self.fact.expires().is_none();
        is_timeless && self.free.is_empty() && !self.fact.is_keyed() && !*self.believed.get()
    }

    /// Fills the columns of new slots behind all others whose values are already in the table; `birth` is
    /// that of the first, and `op` the place of their operation.
    pub(crate) fn bear_run(&mut self, scope: Scope, birth: Birth, count: u32, op: u32) {
        let Birth { handle, seq, issuer, stated, clock } = birth;
        let slot = self.facts.len();
        let standing = Standing::new(stated, Some(op));
        let numbers = (handle.get()..).zip(seq.get()..).zip(0..count);
        let states = numbers.map(|((handle, seq), _)| FactState { handle, seq, standing });
        self.facts.extend(scope, states);
        let issuer = issuer.map_or(0, |tag| tag.get() + 1);
        if issuer != 0 || clock != 0 {
            for slot in slot..slot + count {
                self.issuers.set(scope, slot, issuer);
                self.clocks.set(scope, slot, clock);
            }
        }
    }

    /// Whether its facts expire.
    #[inline]
    pub(crate) fn expires(&self) -> bool {
        self.fact.expires().is_some()
    }

    /// Whether its facts are found by more than their handles, so that who changes a value has to
    /// [unlink](Kind::unlink) it before and to [link](Kind::link) it then; by derived keys too if rules derive
    /// some of them.
    #[inline]
    pub(crate) fn is_indexed(&self) -> bool {
        self.by_value || *self.believed.get()
    }

    /// Whether nothing has to be looked after but the value if a fact changes: it came through the default entry
    /// point, is stated, is in no index by value, and nothing was done to it in this flush.
    #[inline]
    pub(crate) fn is_plain(&self, slot: u32) -> bool {
        let is_untouched = self.facts.get(slot).standing == Standing::new(true, None);
        is_untouched && !self.is_indexed() && self.entry == Entry::DEFAULT
    }

    /// Whether it is known that no fact has a derived key of this code.
    #[inline]
    pub(crate) fn has_no_belief(&self, code: u64) -> bool {
        *self.believed.get() && self.beliefs.first(code) == NONE
    }

    /// Lets a fact be found by its key, and by the time at which it expires.
    #[inline]
    pub(crate) fn link(&mut self, scope: Scope, slot: u32) {
        if self.by_value {
            self.link_value(scope, slot);
        }
    }

    #[inline(never)] // most facts have neither
    fn link_value(&mut self, scope: Scope, slot: u32) {
        if let Some(code) = self.fact.is_keyed().then(|| self.table.key_code(slot)).flatten() {
            self.keys.link(scope, slot, code);
        }
        if let Some(expires) = self.fact.expires() {
            let deadline = self.table.end(slot).saturating_add(expires);
            self.expiries.link(scope, slot, self.handle(slot), deadline);
        }
    }

    /// The opposite of [`link`](Kind::link), while the value is the old one.
    pub(crate) fn unlink(&mut self, scope: Scope, slot: u32) {
        if self.fact.is_keyed() {
            self.keys.unlink(scope, slot);
        }
        if self.fact.expires().is_some() {
            self.expiries.unlink(scope, slot, self.handle(slot));
        }
    }

    /// Makes room for so many facts more.
    pub(crate) fn reserve(&mut self, more: u32) {
        self.facts.reserve(more);
        self.table.reserve(more);
    }

    /// Gives a dead fact's slot back.
    pub(crate) fn free_slot(&mut self, scope: Scope, slot: u32) {
        self.table.clear_slot(scope, slot);
        let old = *self.facts.get(slot);
        self.facts.set(scope, slot, FactState { handle: 0, ..old });
        self.free.push(scope, slot);
    }

    /// Gives all slots back if so many facts are dead, and no other is there: those that come then lie one behind
    /// the other again. Outside of scopes; events may still be known by their slots.
    pub(crate) fn vacate(&mut self, dead: u32) {
        if dead < self.facts.len() - self.free.len() || self.fact.is_event() || self.expires() {
            return;
        }
        self.table.drain();
        self.facts.drain();
        self.free.drain();
        self.issuers.drain();
        self.clocks.drain();
    }

    /// Live or dying facts with an equal key, by slot.
    pub(crate) fn with_key(&self, code: u64) -> impl Iterator<Item = u32> + '_ {
        self.keys.members(code)
    }

    /// Operations that were done on a fact in this flush are reachable from here.
    #[inline]
    pub(crate) fn last_op(&self, slot: u32) -> Option<u32> {
        self.facts.get(slot).standing.last_op()
    }

    /// Notes an operation on a fact, by its place among those of the flush; gives the one before it.
    #[inline]
    pub(crate) fn note_op(&mut self, scope: Scope, slot: u32, op: u32) -> Option<u32> {
        self.facts.change(scope, slot, |fact| {
            let before = fact.standing;
            fact.standing = Standing::new(before.stated(), Some(op));
            before.last_op()
        })
    }

    /// Forgets the operations on a fact if this one is its last; says whether it is.
    #[inline]
    pub(crate) fn forget_op(&mut self, scope: Scope, slot: u32, op: u32) -> bool {
        let standing = self.facts.get(slot).standing;
        let is_last = standing.last_op() == Some(op);
        if is_last {
            self.set_standing(scope, slot, Standing::new(standing.stated(), None));
        }
        is_last
    }

    /// The same of a run of insertions, which leave nothing else behind.
    #[inline(never)] // runs are few
    pub(crate) fn forget_run(&mut self, scope: Scope, slots: Range<u32>, op: u32) {
        debug_assert!(!self.expires(), "as it takes runs");
        for slot in slots {
            self.forget_op(scope, slot, op);
        }
    }

    /// Whether somebody inserted the fact, not rules alone.
    #[inline]
    pub(crate) fn is_stated(&self, slot: u32) -> bool {
        self.facts.get(slot).standing.stated()
    }

    pub(crate) fn set_stated(&mut self, scope: Scope, slot: u32, stated: bool) {
        self.set_standing(scope, slot, Standing::new(stated, self.last_op(slot)));
    }

    #[inline]
    fn set_standing(&mut self, scope: Scope, slot: u32, standing: Standing) {
        self.facts.change(scope, slot, |fact| fact.standing = standing);
    }
}
