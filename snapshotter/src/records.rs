//! The records of a group, decoded.

use steadfast_journal::Group;
use steadfast_wm::Record;
use steadfast_wm::codec::v1;

use crate::error::{FoldError, RecordError};

/// Gives the records of a group and their bytes, one after the other; an error says which one it was.
pub(crate) fn each(
    group: &Group<'_>,
    mut take: impl FnMut(&Record<'_>, &[u8]) -> Result<(), FoldError>,
) -> Result<(), RecordError> {
    let lsn = group.lsn();
    for (index, record) in group.records().enumerate() {
        // The record stays where the decoder has put it: moving it costs as much as folding it.
        match &v1::decode_payload(record.tag(), record.version(), record.payload()) {
            Ok(decoded) => take(decoded, record.bytes())
                .map_err(|source| RecordError::Contradiction { lsn, index, source })?,
            Err(source) => {
                let source = source.clone();
                return Err(RecordError::Decode { lsn, index, source });
            }
        }
    }
    Ok(())
}
