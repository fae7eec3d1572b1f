//! Drafts that follow one another and do the same to facts of one kind, where nothing else has to be looked after: what
//! is done to each is done to all of them before the next thing is, so that it costs little and memory brings several at a
//! time.

use steadfast_wm::{RuleTag, Seq};

use super::Engine;
use super::operations::issuer_code;
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::stage::Draft;
use crate::store::{AnyArena, Change, Op};
use crate::trail::{Scope, clear};

/// What is applied so is applied outside of scopes.
const SCOPE: Scope = Scope::NONE;

impl Engine {
    /// How many drafts at the beginning of a list, if there are several, update facts of this kind, or delete such
    /// facts, and nothing else: they are in no index by value, as derived ones are, nobody wants to know their old values
    /// or to have records, and no scope is open.
    #[inline]
    pub(super) fn plain_run(&self, kind: u32, drafts: &[Draft]) -> Option<usize> {
        let columns = self.store.kind(kind);
        let updates = matches!(drafts.first(), Some(Draft::Update { .. }));
        if self.is_recorded()
            || self.scope.is_open()
            || columns.is_indexed()
            || updates && self.alphas[kind as usize].keeps_before
        {
            return None;
        }
        let is_alike = |draft: &&Draft| match **draft {
            Draft::Update { kind: of, slot, .. } => updates && of == kind && slot != NONE,
            Draft::Delete { kind: of, slot, .. } => !updates && of == kind && slot != NONE,
            _ => false,
        };
        let count = drafts.iter().take_while(is_alike).count();
        (count > 1).then_some(count)
    }

    /// Takes the numbers of so many operations, which there is room for then; gives the first.
    fn next_seqs(&mut self, count: usize) -> u64 {
        let count = u32::try_from(count).expect("fewer than 2³² drafts");
        self.ops.reserve(count);
        self.counters.change(SCOPE, |counters| {
            let first = counters.next_seq;
            counters.next_seq += u64::from(count);
            first
        })
    }

    /// Applies a [run](Self::plain_run) of updates.
    #[inline(never)] // transactions of one change are many
    pub(super) fn update_run(
        &mut self,
        kind: u32,
        drafts: &[Draft],
        arena: &mut dyn AnyArena,
        issuer: Option<RuleTag>,
    ) {
        let Some(Draft::Update { at: first, .. }) = drafts.first() else { return };
        let mut slots = std::mem::take(&mut self.scratch.slots);
        slots.extend(drafts.iter().map(|draft| update_of(draft).0));
        let columns = self.store.kind_mut(kind);
        // Their values lie one behind the other: whatever else is drafted of the kind would be between them.
        columns.table.replace_all_from(&slots, arena, *first);
        clear(&mut slots);
        self.scratch.slots = slots;
        let seqs = self.next_seqs(drafts.len())..;
        let Self { store, ops, alphas, .. } = self;
        let columns = store.kind_mut(kind);
        let memberships = &alphas[kind as usize].memberships;
        for (seq, draft) in seqs.map(Seq::new).zip(drafts) {
            let (slot, mask) = update_of(draft);
            memberships.warm(slot);
            let last = columns.touch(SCOPE, slot, seq, issuer, ops.len());
            let (previous, before) =
                last.map_or((0, NONE), |last| (last + 1, ops.get(last).before));
            let (what, count, issuer) = (Change::Update, 1, issuer_code(issuer));
            ops.push(SCOPE, Op { what, seq, kind, slot, count, mask, issuer, previous, before });
        }
    }

    /// Applies a [run](Self::plain_run) of deletions.
    #[inline(never)] // as above
    pub(super) fn delete_run(&mut self, kind: u32, drafts: &[Draft], issuer: Option<RuleTag>) {
        let seqs = self.next_seqs(drafts.len())..;
        let Self { store, ops, .. } = self;
        for (seq, draft) in seqs.map(Seq::new).zip(drafts) {
            let Draft::Delete { handle, slot, .. } = *draft else {
                unreachable!("it is a deletion")
            };
            store.set_place(SCOPE, handle, None);
            let last = store.kind_mut(kind).note_op(SCOPE, slot, ops.len());
            let (previous, before) =
                last.map_or((0, NONE), |last| (last + 1, ops.get(last).before));
            let (what, count, mask) = (Change::Delete, 1, FieldMask::ALL);
            let issuer = issuer_code(issuer);
            ops.push(SCOPE, Op { what, seq, kind, slot, count, mask, issuer, previous, before });
        }
    }
}

/// Slot and changed fields of an update.
#[inline]
fn update_of(draft: &Draft) -> (u32, FieldMask) {
    match *draft {
        Draft::Update { slot, mask, .. } => (slot, mask),
        _ => unreachable!("it is an update"),
    }
}
