//! Insertions that follow one another are one record, as the engine writes them: it is half as long.

use steadfast_wm::codec::{put_varint, v1};
use steadfast_wm::{Inserts, Record, Values};

use super::{At, Survivor};

/// What remains, in order, cut where one record ends and the next begins.
pub(super) fn of<'s, 'r>(
    survivors: &'s [(At, Survivor<'r>)],
) -> impl Iterator<Item = &'s [(At, Survivor<'r>)]> {
    // Bytes of the values since the last cut; the first of them is counted with the second.
    let mut bytes = 0;
    survivors.chunk_by(move |before, after| {
        let value_bytes = |survivor: &Survivor<'_>| survivor.value_bytes() + LENGTH_BYTES;
        if bytes == 0 {
            bytes = value_bytes(&before.1);
        }
        bytes += value_bytes(&after.1);
        let goes_on = bytes <= Inserts::BYTES_MAX && follows(before, after);
        if !goes_on {
            bytes = 0;
        }
        goes_on
    })
}

/// Bytes of a value's length, at most.
const LENGTH_BYTES: usize = 5;

/// Whether one insertion is right behind another one of the same group, with nothing else changed.
fn follows(before: &(At, Survivor<'_>), after: &(At, Survivor<'_>)) -> bool {
    let (Survivor::Record(one), Survivor::Record(next)) = (&before.1, &after.1) else {
        return false;
    };
    let (
        &Record::Insert { handle, kind, version, seq, origin, stated, clock, .. },
        &Record::Insert {
            handle: next_handle,
            kind: next_kind,
            version: next_version,
            seq: next_seq,
            origin: next_origin,
            stated: next_stated,
            clock: next_clock,
            ..
        },
    ) = (one, next)
    else {
        return false;
    };
    before.0.lsn == after.0.lsn
        && (handle.get() + 1, seq.get() + 1) == (next_handle.get(), next_seq.get())
        && (kind, version, origin, stated, clock)
            == (next_kind, next_version, next_origin, next_stated, next_clock)
}

/// Appends the bytes of a run's record; `values` is room for its values.
pub(super) fn encode(run: &[(At, Survivor<'_>)], values: &mut Vec<u8>, bytes: &mut Vec<u8>) {
    let [(_, Survivor::Record(first)), _, ..] = run else {
        return run.iter().for_each(|(_, survivor)| survivor.encode(bytes));
    };
    let &Record::Insert { handle, kind, version, seq, origin, stated, clock, .. } = first else {
        unreachable!("only insertions make a run")
    };
    values.clear();
    for (_, survivor) in run {
        if let Survivor::Record(Record::Insert { bytes, .. }) = survivor {
            put_varint(bytes.len() as u64, values);
            values.extend_from_slice(bytes);
        }
    }
    let values = Values::written(values);
    let inserts = Inserts { handle, kind, version, values, seq, origin, stated, clock };
    v1::encode(&Record::Inserts(inserts), bytes);
}
