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
const RUN_MIN: u32 = if cfg!(test) { 2 } else { 16 };

impl Engine {
    /// Whether the insertions of a draft can be applied as a run, and it is worth it.
    ///
    /// The facts are stated, get slots behind all others and are in no index by value.
    #[inline]
    pub(super) fn takes_run(&self, draft: &Draft) -> bool {
        matches!(*draft, Draft::Insert { kind, count, stated: true, .. }
            if count >= RUN_MIN && self.store.kind(kind).takes_runs())
    }

    /// Applies a run. `values` has them for records, as [`Values`] wants them.
    pub(super) fn insert_run(
        &mut self,
        run: &Draft,
        arena: &mut dyn AnyArena,
        issuer: Option<RuleTag>,
        values: &[u8],
        sink: &mut dyn ActionSink,
    ) {
        let Draft::Insert { kind, handle, at, count, stated, .. } = *run else {
            unreachable!("runs are of insertions")
        };
        let scope = self.scope;
        let seq = self.counters.change(scope, |counters| {
            counters.next_seq += u64::from(count);
            Seq::new(counters.next_seq - u64::from(count))
        });
        let clock = *self.clock.get();
        let columns = self.store.kind_mut(kind);
        let slot = columns.slot_count();
        columns.table.append_from(scope, arena, at..at + count);
        columns.bear_run(
            scope,
            Birth { handle, seq, issuer, stated, clock },
            count,
            self.ops.len(),
        );
        let (tag, version) = (columns.tag, columns.fact.version());
        self.store.set_places(scope, handle, kind, slot..slot + count);
        let op = Op {
            what: Change::Insert,
            seq,
            kind,
            slot,
            count,
            mask: FieldMask::ALL,
            issuer: issuer_code(issuer),
            previous: 0,
            before: NONE,
        };
        self.ops.push(scope, op);
        if sink.wants_records() {
            let (kind, origin) = (tag, issuer);
            let values = Values::written(values);
            let inserts = Inserts { handle, kind, version, values, seq, origin, stated, clock };
            inserts.pieces().for_each(|piece| sink.record(&Record::Inserts(piece)));
        }
    }
}
