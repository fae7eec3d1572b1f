//! Operations on single facts: what each does to the store and its indexes, and how it is staged.

use steadfast_wm::{FactHandle, Record, RuleTag, Seq};

use super::Engine;
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::sink::ActionSink;
use crate::store::{Birth, Change, Op, Place};
use crate::tms::{believe, disbelieve};
use crate::trail::Scope;

/// A fact of which the value is about to be another one.
pub(crate) struct Outdated {
    place: Place,
    is_indexed: bool,
    /// Where its value was kept, or `NONE`.
    kept: u32,
}

impl Engine {
    /// Completes the insertion of a value that is already in its table; gives its number. `derived` is the code of
    /// its derived key, if that is known.
    pub(crate) fn insert_placed(
        &mut self,
        place: Place,
        handle: FactHandle,
        issuer: Option<RuleTag>,
        stated: bool,
        derived: Option<u64>,
    ) -> Seq {
        debug_assert!(self.store.locate(handle).is_none(), "INV-41: a handle is given once");
        let seq = self.next_seq();
        let clock = *self.clock.get();
        let scope = self.scope;
        let birth = Birth { handle, seq, issuer, stated, clock };
        let kind = self.store.kind_mut(place.kind);
        kind.bear(scope, place.slot, birth, Some(self.ops.len()));
        let is_believed = *kind.believed.get();
        self.store.set_place(scope, handle, Some(place));
        if is_believed {
            match derived {
                Some(code) => self.store.kind_mut(place.kind).beliefs.link(scope, place.slot, code),
                None => believe(scope, &mut self.store, place, &mut self.scratch.belief),
            }
        }
        let op = Op {
            what: Change::Insert,
            seq,
            kind: place.kind,
            slot: place.slot,
            count: 1,
            mask: FieldMask::ALL,
            issuer: issuer_code(issuer),
            previous: 0,
            before: NONE,
        };
        self.ops.push(scope, op);
        seq
    }

    /// The record of an insertion.
    pub(super) fn insertion<'a>(
        &self,
        kind: u32,
        handle: FactHandle,
        seq: Seq,
        (origin, stated): (Option<RuleTag>, bool),
        bytes: &'a [u8],
    ) -> Record<'a> {
        let (columns, clock) = (self.store.kind(kind), *self.clock.get());
        let (kind, version) = (columns.tag, columns.fact.version());
        Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock }
    }

    /// Takes a fact out of the indexes by value and keeps its value from before the flush.
    #[inline]
    pub(crate) fn before_update(&mut self, place: Place) -> Outdated {
        let is_indexed = self.store.kind(place.kind).is_indexed();
        if is_indexed {
            self.unlink(place);
        }
        let alpha = &self.alphas[place.kind as usize];
        alpha.memberships.warm(place.slot);
        let keeps = alpha.keeps_before;
        Outdated { place, is_indexed, kept: if keeps { self.keep_before(place) } else { NONE } }
    }

    #[inline(never)] // most kinds are in no index
    fn unlink(&mut self, place: Place) {
        disbelieve(self.scope, &mut self.store, place);
        self.store.kind_mut(place.kind).unlink(self.scope, place.slot);
    }

    #[inline(never)] // as above
    fn link(&mut self, place: Place) {
        self.store.kind_mut(place.kind).link(self.scope, place.slot);
        believe(self.scope, &mut self.store, place, &mut self.scratch.belief);
    }

    /// Keeps the value of a fact if it is that from before the flush and one was evaluated.
    #[inline(never)] // only absences and presences ask for it
    fn keep_before(&mut self, place: Place) -> u32 {
        let kind = self.store.kind_mut(place.kind);
        if *self.evaluated.get() && kind.last_op(place.slot).is_none() {
            kind.table.keep_before(self.scope, place.slot)
        } else {
            NONE
        }
    }

    /// Given the last operation on a fact in this flush: that one, plus one, and where the fact's value before the
    /// flush is, which may have been kept just now.
    #[inline]
    fn before_op(&self, last: Option<u32>, kept: u32) -> (u32, u32) {
        match last {
            Some(op) => (op + 1, self.ops.get(op).before),
            None => (0, kept),
        }
    }

    /// Completes the update of a value that is already replaced in its table; gives its number.
    pub(crate) fn update_placed(
        &mut self,
        Outdated { place, is_indexed, kept }: Outdated,
        issuer: Option<RuleTag>,
        mask: FieldMask,
    ) -> Seq {
        let seq = self.next_seq();
        let at = self.ops.len();
        let kind = self.store.kind_mut(place.kind);
        let last = kind.touch(self.scope, place.slot, seq, issuer, at);
        let (previous, before) = self.before_op(last, kept);
        let op = Op {
            what: Change::Update,
            seq,
            kind: place.kind,
            slot: place.slot,
            count: 1,
            mask,
            issuer: issuer_code(issuer),
            previous,
            before,
        };
        if is_indexed {
            self.link(place);
        }
        self.ops.push(self.scope, op);
        seq
    }

    /// Completes the update of a [plain](Self::stage_update) fact by the outside, the first one in this flush, of
    /// which the value is already replaced; outside of scopes.
    pub(super) fn note_plain_update(&mut self, Place { kind, slot }: Place, mask: FieldMask) {
        let scope = Scope::NONE;
        let seq = self.next_seq_in(scope);
        let at = self.ops.len();
        self.store.kind_mut(kind).touch(scope, slot, seq, None, at);
        let what = Change::Update;
        let (count, issuer, previous, before) = (1, issuer_code(None), 0, NONE);
        self.ops.push(scope, Op { what, seq, kind, slot, count, mask, issuer, previous, before });
    }

    /// The record of an update.
    pub(super) fn update_of<'a>(
        &self,
        kind: u32,
        handle: FactHandle,
        seq: Seq,
        (origin, mask): (Option<RuleTag>, FieldMask),
        bytes: &'a [u8],
    ) -> Record<'a> {
        let (version, mask) = (self.store.kind(kind).fact.version(), mask.bits());
        Record::Update { handle, version, bytes, mask, seq, origin }
    }

    /// Deletes a live fact with all its supports. Its slot stays until the flush ends.
    pub(crate) fn delete(
        &mut self,
        handle: FactHandle,
        issuer: Option<RuleTag>,
        cascade: bool,
        sink: &mut dyn ActionSink,
    ) {
        let Some(place) = self.store.locate(handle) else { return };
        let scope = self.scope;
        if *self.store.kind(place.kind).first_support.get(place.slot) != NONE {
            let supports: Vec<u32> = self.supports.of_fact(&self.store, place).collect();
            supports.into_iter().for_each(|support| self.remove_support(support));
        }
        if self.store.kind(place.kind).is_indexed() {
            self.unlink(place);
        }
        let seq = self.next_seq();
        let at = self.ops.len();
        let last = self.store.kind_mut(place.kind).note_op(scope, place.slot, at);
        let (previous, before) = self.before_op(last, NONE);
        self.store.set_place(scope, handle, None);
        let op = Op {
            what: Change::Delete,
            seq,
            kind: place.kind,
            slot: place.slot,
            count: 1,
            mask: FieldMask::ALL,
            issuer: issuer_code(issuer),
            previous,
            before,
        };
        self.ops.push(scope, op);
        if self.is_recorded() {
            sink.record(&Record::Delete { handle, seq, origin: issuer, cascade });
        }
    }
}

pub(super) fn issuer_code(issuer: Option<RuleTag>) -> u32 {
    issuer.map_or(0, |tag| tag.get() + 1)
}
