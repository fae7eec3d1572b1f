//! Bulk loads: a run of insertions of one kind is applied column by column.

use steadfast_wm::{Inserts, Record, RuleTag, Seq, Values};

use super::Engine;
use super::operations::issuer_code;
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::sink::ActionSink;
use crate::stage::Draft;
use crate::store::{AnyArena, Birth, Change, Op};

/// Shorter runs are applied one by one.
const RUN_MIN: usize = 16;

impl Engine {
    /// How many of these drafts, from the first on, can be applied as a run; 0 if it is not worth it.
    ///
    /// The facts are stated, of one kind, get slots behind all others and are in no index by value.
    pub(super) fn run_of_inserts(&self, drafts: &[Draft]) -> usize {
        let Some(&Draft::Insert { kind, stated: true, .. }) = drafts.first() else { return 0 };
        if drafts.len() < RUN_MIN || !self.store.kind(kind).takes_runs() {
            return 0;
        }
        let alike = |draft: &&Draft| matches!(draft, Draft::Insert { kind: of, stated: true, .. } if *of == kind);
        let run = drafts.iter().take_while(alike).count();
        if run < RUN_MIN { 0 } else { run }
    }

    /// Applies a run. Handles and places in the arena follow one another: both are given with each draft.
    /// `values` has them for records, as [`Values`] wants them.
    pub(super) fn insert_run(
        &mut self,
        run: &[Draft],
        arena: &mut dyn AnyArena,
        issuer: Option<RuleTag>,
        values: &[u8],
        sink: &mut dyn ActionSink,
    ) {
        let Draft::Insert { kind, handle, at, stated, .. } = run[0] else {
            unreachable!("runs are of insertions")
        };
        let count = u32::try_from(run.len()).expect("fewer than 2³² drafts");
        let scope = self.scope;
        let seq = self.counters.change(scope, |counters| {
            counters.next_seq += u64::from(count);
            Seq::new(counters.next_seq - u64::from(count))
        });
        let clock = *self.clock.get();
        let op = self.ops.len();
        let columns = self.store.kind_mut(kind);
        let slot = columns.slot_count();
        columns.table.append_from(scope, arena, at..at + count);
        columns.bear_run(scope, Birth { handle, seq, issuer, stated, clock }, count, op);
        let (tag, version) = (columns.tag, columns.fact.version());
        self.store.set_places(scope, handle, kind, slot..slot + count);
        let issuer_code = issuer_code(issuer);
        let ops = (slot..slot + count).zip(seq.get()..).map(|(slot, seq)| Op {
            what: Change::Insert,
            seq: Seq::new(seq),
            kind,
            slot,
            mask: FieldMask::ALL,
            issuer: issuer_code,
            previous: 0,
            before: NONE,
        });
        self.ops.extend(scope, ops);
        if sink.wants_records() {
            let (kind, origin) = (tag, issuer);
            let values = Values::written(values);
            let inserts = Inserts { handle, kind, version, values, seq, origin, stated, clock };
            inserts.pieces().for_each(|piece| sink.record(&Record::Inserts(piece)));
        }
    }
}
