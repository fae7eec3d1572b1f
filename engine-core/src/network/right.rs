//! Right memories: the facts that pass a pattern's own conditions, by key.

use crate::chains::{ABREAST, BATCH, NONE};
use crate::ir::Window;
use crate::network::context::Buffers;
use crate::network::index::Index;
use crate::network::net::Flush;
use crate::network::plan::{Plan, alone};
use crate::network::recent::Recent;
use crate::network::sliding::Sliding;
use crate::network::turns::{Turn, Turns};
use crate::rows::Rows;
use crate::trail::{BULK, Cell, Column, Scope, clear, trailed};

/// Facts that pass a pattern's own conditions, by entry.
#[derive(Clone)]
pub(crate) struct RightMemory {
    /// By entry: the fact, or `NONE`.
    slots: Column<u32>,
    free: Column<u32>,
    pub(crate) index: Index,
    known: Cell<Known>,
    /// Whether all key codes seen so far stood for their values alone; a property of the types.
    pub(crate) exact: bool,
    /// The window over the last facts that decides which of those that pass are in the memory.
    pub(crate) sliding: Option<Box<Sliding>>,
    /// The window over time, if only facts that it holds are in the memory.
    pub(crate) recent: Option<Box<Recent>>,
    /// Scratch of the round: entries of facts that left. Those who listen still know them.
    dying: Vec<u32>,
    /// Scratch of the flush, if a `not` or an `exists` listens.
    pub(crate) turns: Turns,
}

trailed!(RightMemory { slots, free, index, known, sliding, recent });

/// What the index knows of the facts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Known {
    /// Nothing: there was no left token of a listener yet.
    Nothing,
    /// Their codes. Left tokens came, but were looked for from the side of the facts.
    Codes,
    /// All: a left token has looked for facts, or may any time.
    Places,
}

/// What a level is told of its right facts in a round. The memory is as it is after all of it.
#[derive(Clone, Default)]
pub(crate) struct RightDelta {
    /// Entries of facts that entered.
    pub(crate) inserted: Vec<u32>,
    /// Entries of facts that stay and of which a read field changed, and whether their key did.
    pub(crate) updated: Vec<(u32, bool)>,
    /// Entries of facts that left.
    pub(crate) deleted: Vec<u32>,
    /// Left tokens of which an absence was decided by time alone.
    pub(crate) decided: Vec<u32>,
}

impl RightDelta {
    pub(crate) fn is_empty(&self) -> bool {
        self.inserted.is_empty()
            && self.updated.is_empty()
            && self.deleted.is_empty()
            && self.decided.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        clear(&mut self.inserted);
        clear(&mut self.updated);
        clear(&mut self.deleted);
        clear(&mut self.decided);
    }
}

impl RightMemory {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (sliding, recent) = match plan.window {
            None => (None, None),
            Some(Window::Length(length)) => (Some(Box::new(Sliding::new(length))), None),
            Some(Window::Time(millis)) => (None, Some(Box::new(Recent::new(millis)))),
        };
        let visited = plan.visited;
        Self {
            slots: Column::default(),
            free: Column::default(),
            index: if visited { Index::new(plan.is_ordered()) } else { Index::Unvisited },
            known: Cell::new(if visited { Known::Nothing } else { Known::Places }),
            exact: true,
            sliding,
            recent,
            dying: Vec::new(),
            turns: Turns::default(),
        }
    }

    #[inline]
    pub(crate) fn slot(&self, entry: u32) -> u32 {
        *self.slots.get(entry)
    }

    /// Has an entry near.
    #[inline]
    pub(crate) fn warm(&self, entry: u32) {
        self.slots.warm(entry);
    }

    /// Has what leads to an entry in the index near.
    #[inline]
    pub(crate) fn warm_link(&self, entry: u32) {
        if self.is_linked() {
            self.index.warm_link(self.index.codes(entry).0);
        }
    }

    /// Gives a fact an entry; it is not in the index yet.
    #[inline]
    pub(crate) fn admit(&mut self, scope: Scope, slot: u32) -> u32 {
        if let Some(entry) = self.free.pop(scope) {
            self.slots.set(scope, entry, slot);
            return entry;
        }
        self.slots.push(scope, slot);
        self.slots.len() - 1
    }

    /// Gives facts entries, to which they are added; they are not in the index yet.
    pub(crate) fn admit_all(
        &mut self,
        scope: Scope,
        mut slots: impl Iterator<Item = u32>,
        entries: &mut Vec<u32>,
    ) {
        while !self.free.is_empty() {
            let Some(slot) = slots.next() else { return };
            entries.push(self.admit(scope, slot));
        }
        let first = self.slots.len();
        self.slots.extend(scope, slots);
        entries.extend(first..self.slots.len());
    }

    /// How many facts are in it; those that left in this round are not.
    pub(crate) fn fact_count(&self) -> u64 {
        let left = u32::try_from(self.dying.len()).expect("entries are addressed by u32");
        u64::from(self.slots.len() - self.free.len() - left)
    }

    /// Whether the facts that this flush touched are about as many as there are.
    pub(crate) fn are_most_new(&self) -> bool {
        self.turns.list.len() as u64 * 2 >= self.fact_count()
    }

    /// Makes room for so many facts more.
    pub(crate) fn reserve(&mut self, more: usize) {
        if more >= BULK {
            self.slots.reserve(u32::try_from(more).expect("entries are addressed by u32"));
        }
    }

    /// Makes room for the turns of so many facts more.
    pub(crate) fn reserve_turns(&mut self, more: usize) {
        self.turns.list.reserve(more);
    }

    /// Calls `visit` with all entries that hold a fact, a batch at a time. It is told how many entries there are.
    pub(crate) fn in_batches(&self, mut visit: impl FnMut(&[u32])) {
        let mut batch = Vec::with_capacity(BATCH.min(self.slots.len() as usize));
        let mut from = 0;
        while self.next_batch(&mut from, &mut batch) {
            visit(&batch);
        }
    }

    /// Gives the entries of the next batch that hold a fact; says whether there was one more.
    fn next_batch(&self, from: &mut u32, batch: &mut Vec<u32>) -> bool {
        let slots = &self.slots.as_slice()[*from as usize..];
        let slots = &slots[..slots.len().min(BATCH)];
        batch.clear();
        batch.extend(
            (*from..).zip(slots).filter_map(|(entry, slot)| (*slot != NONE).then_some(entry)),
        );
        *from += u32::try_from(slots.len()).expect("entries are addressed by u32");
        !slots.is_empty()
    }

    /// All entries that hold a fact.
    pub(crate) fn live_entries(&self) -> impl Iterator<Item = u32> {
        let slots = (0..).zip(self.slots.as_slice());
        slots.filter_map(|(entry, &slot)| (slot != NONE).then_some(entry))
    }

    /// Whether the index knows so much of the facts.
    #[inline]
    pub(crate) fn knows(&self, known: Known) -> bool {
        *self.known.get() >= known
    }

    /// Whether facts are in the index.
    #[inline]
    fn is_linked(&self) -> bool {
        self.knows(Known::Places)
    }

    /// The index knows so much of the facts that there are, and of those that come, from now on.
    #[cold]
    pub(crate) fn learn(
        &mut self,
        flush: &Flush<'_>,
        plan: &Plan,
        known: Known,
        buffers: &mut Buffers,
    ) {
        let knew_codes = self.knows(Known::Codes);
        self.known.set(flush.scope, known);
        let facts = usize::try_from(self.fact_count()).expect("entries are addressed by u32");
        self.index.reserve(facts);
        let (mut from, mut batch) = (0, Vec::with_capacity(BATCH));
        while self.next_batch(&mut from, &mut batch) {
            if knew_codes {
                let few = batch.chunks(ABREAST);
                few.for_each(|entries| self.index.link_noted(flush.scope, entries));
            } else {
                self.tell_index(flush, plan, &batch, buffers);
            }
        }
    }

    /// Tells the index of facts, as far as it is to know of any.
    pub(crate) fn link(
        &mut self,
        flush: &Flush<'_>,
        plan: &Plan,
        entries: &[u32],
        buffers: &mut Buffers,
    ) {
        let is_told = self.knows(Known::Codes) && !matches!(self.index, Index::Unvisited);
        if !is_told || entries.is_empty() {
            return;
        }
        if let [entry] = *entries {
            let codes = self.compute_code(flush, plan, entry, buffers);
            if self.is_linked() {
                self.index.link(flush.scope, entry, codes.0, codes.1);
            } else {
                self.index.note(flush.scope, entry, codes);
            }
            return;
        }
        self.index.reserve(entries.len());
        for entries in entries.chunks(BATCH) {
            self.tell_index(flush, plan, entries, buffers);
        }
    }

    /// Tells the index of a batch of facts.
    fn tell_index(
        &mut self,
        flush: &Flush<'_>,
        plan: &Plan,
        entries: &[u32],
        buffers: &mut Buffers,
    ) {
        self.compute_codes(flush, plan, entries.iter().copied(), buffers);
        let (codes, orders) = (buffers.codes.codes.as_slice(), &buffers.orders);
        if self.is_linked() {
            self.index.link_all(flush.scope, entries, codes, orders);
        } else {
            self.index.note_all(flush.scope, entries, codes, orders);
        }
    }

    /// Moves changed facts to their keys of now; `moved` is told of each whether it has another one.
    pub(crate) fn relink(
        &mut self,
        flush: &Flush<'_>,
        plan: &Plan,
        entries: &[u32],
        buffers: &mut Buffers,
        mut moved: impl FnMut(usize, bool),
    ) {
        if !self.knows(Known::Codes) || matches!(self.index, Index::Unvisited) {
            return;
        }
        if let [entry] = *entries {
            let code = self.compute_code(flush, plan, entry, buffers);
            moved(0, self.take_to(flush.scope, entry, code));
            return;
        }
        self.compute_codes(flush, plan, entries.iter().copied(), buffers);
        let Buffers { codes, orders, .. } = &*buffers;
        let codes = codes.codes.as_slice().iter().zip(orders);
        for ((at, &entry), (&code, &order)) in entries.iter().enumerate().zip(codes) {
            moved(at, self.take_to(flush.scope, entry, (code, order)));
        }
    }

    /// Takes a fact to these codes; says whether they are others than before.
    #[inline]
    fn take_to(&mut self, scope: Scope, entry: u32, codes: (u64, u64)) -> bool {
        if self.is_linked() {
            self.index.relink(scope, entry, codes)
        } else {
            self.index.renote(scope, entry, codes)
        }
    }

    /// The key and order codes of one fact as it is now.
    #[inline]
    fn compute_code(
        &mut self,
        flush: &Flush<'_>,
        plan: &Plan,
        entry: u32,
        buffers: &mut Buffers,
    ) -> (u64, u64) {
        let (source, slot) = ([flush.store.source(plan.kind)], [self.slot(entry)]);
        let (codes, exact) = plan.inner_code(&Rows::new(&source, &slot), buffers);
        self.exact &= exact;
        codes
    }

    fn compute_codes(
        &mut self,
        flush: &Flush<'_>,
        plan: &Plan,
        entries: impl Iterator<Item = u32>,
        buffers: &mut Buffers,
    ) {
        let Buffers { slots, codes, orders, .. } = buffers;
        if plan.conditions.keys.is_empty() && !plan.is_ordered() {
            // Without a key all are alike.
            let count = entries.count();
            codes.set_alike(count);
            orders.clear();
            orders.resize(count, 0);
            return;
        }
        slots.clear();
        slots.extend(entries.map(|entry| self.slot(entry)));
        let sources = alone(flush.store, plan.kind);
        let rows = Rows::new(sources.as_slice(), slots);
        plan.inner_orders(&rows, orders);
        self.exact &= plan.inner_codes(&rows, codes);
    }

    /// Whether it loses all of its facts, so many, and they can be taken out of the index at once.
    fn can_be_emptied(&self, scope: Scope, leaving: usize) -> bool {
        leaving as u64 == self.fact_count()
            && self.is_linked()
            && self.index.can_be_reset(scope, leaving)
    }

    /// Takes facts out, as [`leave`](Self::leave) one by one.
    pub(crate) fn leave_all(&mut self, scope: Scope, entries: &[u32]) {
        if matches!(self.index, Index::Unvisited) {
            // Nobody looks for them.
        } else if self.can_be_emptied(scope, entries.len()) {
            self.index.unlink_all();
        } else if self.is_linked() {
            for entries in entries.chunks(ABREAST) {
                self.index.warm_by(&self.index, entries);
                entries.iter().for_each(|&entry| self.index.unlink(scope, entry));
            }
        }
        entries.iter().for_each(|&entry| self.slots.set(scope, entry, NONE));
        self.dying.extend_from_slice(entries);
    }

    /// Takes a fact out. Its entry is not used again in this round.
    #[inline]
    pub(crate) fn leave(&mut self, scope: Scope, entry: u32) {
        if self.is_linked() {
            self.index.unlink(scope, entry);
        }
        self.slots.set(scope, entry, NONE);
        self.dying.push(entry);
    }

    /// Takes a fact out of the index; it is to be [dismissed](Self::dismiss) when all who listen have heard of it.
    #[inline]
    pub(crate) fn unlink(&mut self, scope: Scope, entry: u32) {
        if self.is_linked() {
            self.index.unlink(scope, entry);
        }
    }

    /// Takes a fact out that nobody looks for, and of which nobody hears.
    #[inline]
    pub(crate) fn dismiss(&mut self, scope: Scope, entry: u32) {
        self.slots.set(scope, entry, NONE);
        self.free.push(scope, entry);
    }

    /// Notes facts that entered, for those who ask how they were touched.
    pub(crate) fn turn_in(&mut self, flush: &Flush<'_>, plan: &Plan, entries: &[u32]) {
        for &entry in entries {
            let slot = self.slot(entry);
            if flush.cascaded && plan.window.is_some() {
                // A later round may slide a fact back in: what counts is where it was at the start.
                let turns = self.turns.list.iter_mut().filter(|turn| turn.slot == slot);
                if turns.map(|turn| turn.entry = entry).count() > 0 {
                    continue;
                }
            }
            self.turns.list.push(Turn { slot, entry, start: None });
        }
    }

    /// Notes a fact that stays or goes; its key is still the old one.
    pub(crate) fn turn(&mut self, flush: &Flush<'_>, plan: &Plan, entry: u32, goes: bool) {
        let slot = self.slot(entry);
        // Only a fact that has an earlier operation in this flush can have taken an earlier turn.
        // Or one that an earlier round slid in or out.
        let earlier = plan.window.is_some() && flush.cascaded
            || flush.round_start > 0
                && flush.store.was_touched_before(&flush.ops, plan.kind, slot, flush.round_start);
        let before = earlier.then(|| self.turns.of(slot)).flatten();
        let start = match before {
            Some(turn) => turn.start,
            None => Some(self.index.codes(entry).0),
        };
        self.turns.list.push(Turn { slot, entry: if goes { NONE } else { entry }, start });
    }

    /// Gives back the entries of facts that left in this round.
    #[inline]
    pub(crate) fn end_round(&mut self, scope: Scope) {
        if !self.dying.is_empty() {
            self.free.extend(scope, self.dying.iter().copied());
            clear(&mut self.dying);
        }
    }

    /// Forgets what a flush remembers that did not come to its end; what it has written is to be undone.
    pub(crate) fn abandon(&mut self) {
        self.dying.clear();
        self.turns.clear();
        if let Some(sliding) = &mut self.sliding {
            sliding.moved.clear();
            sliding.updated.clear();
        }
    }

    #[inline]
    pub(crate) fn end_flush(&mut self, scope: Scope) {
        if !self.turns.list.is_empty() {
            self.turns.clear();
        }
        let is_vacant = self.slots.len() == self.free.len() && self.slots.len() as usize >= BULK;
        if is_vacant && !scope.is_open() && self.recent.is_none() {
            // Those that come then have their entries one behind the other again.
            self.slots.drain();
            self.free.drain();
        }
    }
}
