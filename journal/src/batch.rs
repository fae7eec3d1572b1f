//! The builder of a group of records.

use thiserror::Error;

use crate::frame::{PAYLOAD_BYTES_MAX, RECORDS_MAX};
use crate::payload_crc::payload_crc;
use crate::record::{self, MalformedRecord, Records};

/// Bytes of one record at most, its envelope included: 16 MiB.
pub const RECORD_BYTES_MAX: usize = PAYLOAD_BYTES_MAX;

/// What the end of a group means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The group completes a root: recovery may stop here, and keeps it once it is acknowledged.
    SafePoint,
    /// The root goes on. Recovery discards the group unless a safe point follows it.
    Batch,
}

/// Records to append as one group: after a crash all of them are there, or none.
///
/// Reuse one batch: [`clear`](Self::clear) keeps its memory.
///
/// # Examples
///
/// ```
/// use steadfast_journal::Batch;
///
/// let mut batch = Batch::new();
/// batch.push(1, 1, b"hello")?;
/// assert_eq!(batch.record_count(), 1);
/// batch.clear();
/// assert!(batch.is_empty());
/// # Ok::<(), steadfast_journal::BatchError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    payload: Vec<u8>,
    records: usize,
}

/// A place between two records of a batch; see [`Batch::mark`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BatchMark {
    bytes: usize,
    records: usize,
}

/// Why a record was not taken. The batch is as it was before the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The record is longer than any frame can hold: split it.
    #[error("record of {bytes} bytes is longer than {max} bytes")]
    TooLong {
        /// Bytes of the record.
        bytes: usize,
        /// [`RECORD_BYTES_MAX`].
        max: usize,
    },
    /// The closure wrote bytes that are not whole records.
    #[error("the bytes written are not whole records")]
    Malformed(#[from] MalformedRecord),
}

impl Batch {
    /// Makes an empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { payload: Vec::new(), records: 0 }
    }

    /// Makes an empty batch with room for `bytes` payload bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { payload: Vec::with_capacity(bytes), records: 0 }
    }

    /// Adds one record: the journal writes its envelope.
    ///
    /// # Errors
    ///
    /// [`BatchError::TooLong`] if envelope and payload exceed [`RECORD_BYTES_MAX`].
    #[inline]
    pub fn push(&mut self, tag: u32, version: u32, payload: &[u8]) -> Result<(), BatchError> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(BatchError::TooLong { bytes: payload.len(), max: RECORD_BYTES_MAX });
        }
        let start = self.payload.len();
        record::put(tag, version, payload, &mut self.payload);
        self.take_in(start, 1)
    }

    /// Adds the records that `encode` appends to the buffer, envelopes included: none, one or more.
    ///
    /// `encode` must leave the bytes before it alone; it may reserve memory.
    ///
    /// # Errors
    ///
    /// [`BatchError::Malformed`] if the bytes are not whole records, [`BatchError::TooLong`] if one
    /// of them exceeds [`RECORD_BYTES_MAX`].
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_journal::Batch;
    ///
    /// let mut batch = Batch::new();
    /// // Tag 7, schema version 1, two bytes.
    /// batch.push_with(|buf| buf.extend_from_slice(&[7, 1, 2, b'o', b'k']))?;
    /// assert_eq!(batch.record_count(), 1);
    /// # Ok::<(), steadfast_journal::BatchError>(())
    /// ```
    #[inline]
    pub fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), BatchError> {
        let start = self.payload.len();
        encode(&mut self.payload);
        if record::is_one_short(&self.payload[start..]) {
            self.records += 1; // The common case.
            return Ok(());
        }
        self.count_from(start)
    }

    /// Checks and counts the records from `start` on.
    fn count_from(&mut self, start: usize) -> Result<(), BatchError> {
        let (mut at, mut count) = (start, 0);
        while at < self.payload.len() {
            if let Some(len) = record::short_len(&self.payload[at..]) {
                (at, count) = (at + len, count + 1);
                continue; // The common case.
            }
            match record::take(&self.payload, at) {
                Ok((_, end)) if end - at > RECORD_BYTES_MAX => {
                    return self.refuse(start, end - at);
                }
                Ok((_, end)) => at = end,
                Err(malformed) => {
                    self.payload.truncate(start);
                    return Err(malformed.into());
                }
            }
            count += 1;
        }
        self.records += count;
        Ok(())
    }

    fn take_in(&mut self, start: usize, count: usize) -> Result<(), BatchError> {
        let bytes = self.payload.len() - start;
        if bytes > RECORD_BYTES_MAX {
            return self.refuse(start, bytes);
        }
        self.records += count;
        Ok(())
    }

    fn refuse(&mut self, start: usize, bytes: usize) -> Result<(), BatchError> {
        self.payload.truncate(start);
        Err(BatchError::TooLong { bytes, max: RECORD_BYTES_MAX })
    }

    /// The place behind the last record, to which the batch can be truncated.
    #[must_use]
    pub const fn mark(&self) -> BatchMark {
        BatchMark { bytes: self.payload.len(), records: self.records }
    }

    /// Drops the records behind a place, and keeps their memory.
    ///
    /// # Panics
    ///
    /// If the batch was emptied or truncated to before it since.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadfast_journal::Batch;
    ///
    /// let mut batch = Batch::new();
    /// batch.push(1, 1, b"stays")?;
    /// let mark = batch.mark();
    /// batch.push(1, 1, b"goes")?;
    /// batch.truncate(mark);
    /// assert_eq!(batch.record_count(), 1);
    /// # Ok::<(), steadfast_journal::BatchError>(())
    /// ```
    pub fn truncate(&mut self, mark: BatchMark) {
        let BatchMark { bytes, records } = mark;
        assert!(records <= self.records && bytes <= self.payload.len(), "the place is there");
        self.payload.truncate(bytes);
        self.records = records;
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.records = 0;
    }

    /// How many records the batch has.
    #[must_use]
    pub const fn record_count(&self) -> usize {
        self.records
    }

    /// Bytes of all records with their envelopes.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.payload.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The records, in the order in which they were pushed.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.payload, self.records)
    }

    /// The records with their envelopes, one behind the other.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.payload
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether one frame can hold the group, given the payload limit of the journal's segments.
    pub(crate) const fn fits_one_frame(&self, payload_bytes_max: usize) -> bool {
        self.records <= RECORDS_MAX && self.payload.len() <= payload_bytes_max
    }

    /// Cuts the payload between records into the parts that go into one frame each.
    ///
    /// The error is the length of a record that no frame of this journal can hold.
    pub(crate) fn parts(&self, payload_bytes_max: usize) -> Result<Vec<Part<'_>>, usize> {
        let mut parts = Vec::new();
        let (mut start, mut at, mut records) = (0, 0, 0);
        for record in self.records() {
            let len = record.bytes().len();
            if len > payload_bytes_max {
                return Err(len);
            }
            if records == RECORDS_MAX || at + len - start > payload_bytes_max {
                parts.push(Part::new(&self.payload[start..at], records));
                (start, records) = (at, 0);
            }
            at += len;
            records += 1;
        }
        parts.push(Part::new(&self.payload[start..at], records));
        Ok(parts)
    }
}

/// The share of a group that goes into one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) records: u16,
    pub(crate) plain_crc: u32,
}

impl<'a> Part<'a> {
    /// Both lengths are within the limits of a frame.
    #[inline]
    pub(crate) fn new(payload: &'a [u8], records: usize) -> Self {
        let records = u16::try_from(records).expect("a part holds at most RECORDS_MAX records");
        Self { payload, records, plain_crc: payload_crc(payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_with_refuses_what_is_not_a_record_and_keeps_the_rest() {
        let mut batch = Batch::new();
        batch.push(1, 1, b"kept").expect("short");
        let before = batch.payload().to_vec();
        let refused = batch.push_with(|buf| buf.extend_from_slice(&[1, 1, 9, 0]));
        assert!(matches!(refused, Err(BatchError::Malformed(_))), "{refused:?}");
        assert_eq!((batch.payload(), batch.record_count()), (&before[..], 1));
    }

    #[test]
    fn truncating_leaves_what_was_there_at_the_mark() {
        let mut batch = Batch::new();
        let empty = batch.mark();
        batch.push(1, 1, b"kept").expect("short");
        let (mark, before) = (batch.mark(), batch.payload().to_vec());
        for _ in 0..2 {
            batch.push(2, 1, &[7; 200]).expect("short");
            batch.truncate(mark);
            assert_eq!((batch.payload(), batch.record_count()), (&before[..], 1));
        }
        batch.truncate(empty);
        assert!(batch.is_empty() && batch.payload().is_empty());
    }

    #[test]
    fn what_is_pushed_at_once_may_be_several_records() {
        let (short, long) = ([1, 1, 1, 7], [&[1, 1, 200, 1][..], &[7; 200]].concat());
        let mut batch = Batch::new();
        for (records, pieces) in [
            (0, vec![]),
            (1, vec![&short[..]]),
            (2, vec![&short, &short]),
            (1, vec![&long]),
            (3, vec![&short, &long, &short]),
        ] {
            batch.clear();
            batch.push_with(|buf| buf.extend(pieces.concat())).expect("records");
            assert_eq!((batch.payload(), batch.record_count()), (&pieces.concat()[..], records));
        }
    }

    #[test]
    fn the_longest_record_is_taken_and_one_byte_more_is_not() {
        let mut batch = Batch::new();
        // Tag, version and four bytes of length.
        let longest = RECORD_BYTES_MAX - 6;
        batch.push(1, 1, &vec![0; longest]).expect("at the limit");
        batch.clear();
        let refused = batch.push(1, 1, &vec![0; longest + 1]);
        let max = RECORD_BYTES_MAX;
        assert_eq!(refused, Err(BatchError::TooLong { bytes: max + 1, max }));
        assert_eq!((batch.byte_len(), batch.record_count()), (0, 0));
    }

    #[test]
    fn parts_cover_the_payload_and_cut_between_records() {
        let mut batch = Batch::new();
        for number in 0..RECORDS_MAX as u64 + 2 {
            batch.push(1, 1, &number.to_le_bytes()).expect("short");
        }
        let parts = batch.parts(PAYLOAD_BYTES_MAX).expect("short records");
        let counts: Vec<u16> = parts.iter().map(|part| part.records).collect();
        assert_eq!(counts, [u16::MAX, 2]);
        let parts = batch.parts(100).expect("short records");
        assert!(parts.iter().all(|part| part.payload.len() <= 100));
        let joined: Vec<u8> = parts.iter().flat_map(|part| part.payload).copied().collect();
        assert_eq!(joined, batch.payload());
        assert_eq!(batch.parts(10).map(|_| ()), Err(11));
    }
}
