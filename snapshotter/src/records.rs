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
        let decoded = v1::decode_payload(record.tag(), record.version(), record.payload())
            .map_err(|source| RecordError::Decode { lsn, index, source })?;
        take(&decoded, record.bytes()).map_err(|source| RecordError::Contradiction {
            lsn,
            index,
            source,
        })?;
    }
    Ok(())
}
