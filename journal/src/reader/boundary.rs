//! Finding the boundary behind a safe point.

use super::{From, Reader, Source};
use crate::batch::End;
use crate::error::ReadError;
use crate::ids::Position;
use crate::manifest::SegmentEntry;
use crate::recovery::Boundary;

/// The boundary behind the safe point that ends at `position`, or the begin of the journal.
pub(crate) fn find_safe_point(
    source: &Source,
    position: Position,
) -> Result<Option<Boundary>, ReadError> {
    let (_, segments) = source.segments();
    let ends_there = |entry: &SegmentEntry| {
        entry.compacted && entry.seal.is_some_and(|seal| seal.end_position == position.get())
    };
    // Of several segments that replace one run, only the last ends with a safe point.
    let goes_on = |entry: &SegmentEntry| entry.compacted && entry.first_position == position.get();
    if segments.iter().any(goes_on) && segments.iter().any(ends_there) {
        return Ok(None);
    }
    // A compacted segment ends with a safe point, and has none inside that anybody knows of.
    if let Some(segment) = segments.iter().position(ends_there) {
        let entry = &segments[segment];
        return Ok(entry.seal.map(|seal| Boundary {
            segment,
            offset: seal.bytes,
            position: seal.end_position,
            last_lsn: seal.last_lsn,
            prev_crc: entry.end_crc,
        }));
    }
    // The group that ends there begins at least a header before.
    let before = Position::new(position.get().saturating_sub(1));
    let mut reader = match Reader::new(source.clone(), From::Position(before)) {
        Ok(reader) => reader,
        Err(ReadError::Gone { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let boundary = |reader: &Reader| Boundary {
        segment: reader.current().index,
        offset: reader.at.offset,
        position: reader.at.position,
        last_lsn: reader.at.next_lsn - 1,
        prev_crc: reader.at.prev_crc,
    };
    if reader.current().index == 0 && reader.at.position == position.get() {
        return Ok(Some(boundary(&reader)));
    }
    let limit = source.limit();
    while reader.locate(limit)? {
        let place = reader.place();
        if place.end >= position.get() {
            let found = place.end == position.get() && place.meaning == End::SafePoint;
            return Ok(found.then(|| boundary(&reader)));
        }
    }
    Ok(None)
}
