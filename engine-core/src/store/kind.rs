//! The facts of one kind, column by column.

use steadfast_wm::{FactHandle, RuleTag, Seq, TypeTag};

use super::Entry;
use super::expiries::Expiries;
use super::fact_type::FactType;
use super::table::AnyTable;
use crate::chains::{Chains, NONE};
use crate::trail::{Cell, Column, Scope, Sparse, Trailed, trailed};

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
    pub(super) fn new(fact: FactType, entry: Entry, tag: TypeTag) -> Self {
        Self {
            fact,
            entry,
            tag,
            table: fact.new_table(),
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

    /// Whether a slot holds a fact.
    #[inline]
    pub(crate) fn is_taken(&self, slot: u32) -> bool {
        *self.handles.get(slot) != 0
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
        if self.fact.is_event() { self.table.end(slot) } else { self.clock(slot) }
    }

    pub(crate) fn slot_count(&self) -> u32 {
        self.handles.len()
    }

    /// Has near what an operation on a fact reads and writes beside its value.
    #[inline]
    pub(crate) fn warm(&self, slot: u32) {
        self.recency.warm(slot);
        self.standings.warm(slot);
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
        if self.fact.is_event() {
            self.table.set_born(scope, slot, birth.clock);
        }
        self.link_key(scope, slot);
        self.link_expiry(scope, slot);
    }

    /// Whether facts can be added as a run: no slot is free, no index by value is kept, and no time.
    pub(crate) fn takes_runs(&self) -> bool {
        let is_timeless = !self.fact.is_event() && self.fact.expires().is_none();
        is_timeless && self.free.is_empty() && !self.fact.is_keyed() && !*self.believed.get()
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
        if let Some(code) = self.fact.is_keyed().then(|| self.table.key_code(slot)).flatten() {
            self.keys.link(scope, slot, code);
        }
    }

    pub(crate) fn unlink_key(&mut self, scope: Scope, slot: u32) {
        if self.fact.is_keyed() {
            self.keys.unlink(scope, slot);
        }
    }

    pub(crate) fn link_expiry(&mut self, scope: Scope, slot: u32) {
        if let Some(expires) = self.fact.expires() {
            let deadline = self.table.end(slot).saturating_add(expires);
            self.expiries.link(scope, slot, self.handle(slot), deadline);
        }
    }

    pub(crate) fn unlink_expiry(&mut self, scope: Scope, slot: u32) {
        if self.fact.expires().is_some() {
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
