//! Version 1 of the records' bytes; frozen with the first release.

mod fast;

use serde::{Deserialize, Serialize};

use super::room::Room;
use super::writer::{MANY, ONE, Writer};
use super::{DecodeError, put_varint, take_varint};
use crate::{Inserts, Record, Values};

/// Schema version that this module writes for every kind.
const VERSION: u32 = 1;

/// Tags of the record kinds. A tag is never reused.
mod tag {
    pub(super) const RULESET: u32 = 1;
    pub(super) const TYPE: u32 = 2;
    pub(super) const INSERT: u32 = 3;
    pub(super) const UPDATE: u32 = 4;
    pub(super) const DELETE: u32 = 5;
    pub(super) const STATED: u32 = 6;
    pub(super) const JUSTIFY: u32 = 7;
    pub(super) const UNJUSTIFY: u32 = 8;
    pub(super) const EVALUATED: u32 = 9;
    pub(super) const FIRED: u32 = 10;
    pub(super) const PENDING: u32 = 11;
    pub(super) const WITHDRAWN: u32 = 12;
    pub(super) const DUE: u32 = 13;
    pub(super) const SET_GLOBAL: u32 = 14;
    pub(super) const CLOCK: u32 = 15;
    pub(super) const EFFECT: u32 = 16;
    pub(super) const ACKNOWLEDGE: u32 = 17;
    pub(super) const COMMIT: u32 = 18;
    pub(super) const FOCUS: u32 = 19;
    pub(super) const GROUP_MARKS: u32 = 20;
    pub(super) const INSERTS: u32 = 29;
    pub(super) const FOLDED: u32 = 37;
}

/// Tags set aside for transactions and replication: root, commit sequence number, epoch, request id
/// and void. This version neither writes nor accepts them.
pub const RESERVED_TAGS: std::ops::RangeInclusive<u32> = 32..=36;

/// What a record does to the records before it, as far as its tag tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// Inserts facts, and takes nothing away.
    Insertion,
    /// Takes away the value that a fact had; whoever deletes it takes its supports away, too.
    Change,
    /// Supports a fact, or takes the place of a record of the same support.
    Support,
    /// Takes the place of the last ruleset.
    Ruleset,
    /// Takes away an effect, and the commit whose last one it was.
    Acknowledgement,
    /// Takes away one record of another thing, or takes its place.
    Replacement,
    /// Lets operations that wait become what the facts are; takes the place of the last one.
    Flush,
    /// Takes the place of the last one of its kind, which is short, or of nothing.
    Mark,
}

/// What a record with this tag does to those before it.
#[must_use]
pub const fn sort(tag: u32) -> Sort {
    match tag {
        tag::INSERT | tag::INSERTS => Sort::Insertion,
        tag::UPDATE | tag::DELETE => Sort::Change,
        tag::JUSTIFY => Sort::Support,
        tag::RULESET => Sort::Ruleset,
        tag::ACKNOWLEDGE => Sort::Acknowledgement,
        tag::EVALUATED | tag::FIRED => Sort::Flush,
        tag::TYPE | tag::EFFECT | tag::CLOCK | tag::COMMIT | tag::FOLDED => Sort::Mark,
        // Of a tag that this version does not know, nobody asks: its record is refused.
        _ => Sort::Replacement,
    }
}

/// Appends the record's envelope and payload to `bytes`.
#[inline]
pub fn encode(record: &Record<'_>, bytes: &mut Vec<u8>) {
    if !fast::encode(record, bytes) {
        encode_any(record, bytes);
    }
}

/// Appends the envelope and payload of any kind.
fn encode_any(record: &Record<'_>, bytes: &mut Vec<u8>) {
    match record {
        Record::Ruleset { seq, manifest } => put(tag::RULESET, &(seq, manifest), bytes),
        Record::Type { tag, name } => put(tag::TYPE, &(tag, name), bytes),
        Record::Insert { handle, kind, version, bytes: value, seq, origin, stated, clock } => put(
            tag::INSERT,
            &(handle, kind, version, Blob(value), seq, origin, stated, clock),
            bytes,
        ),
        Record::Inserts(inserts) => {
            let Inserts { handle, kind, version, values, seq, origin, stated, clock } = inserts;
            let common = (handle, kind, version, seq, origin, stated, clock);
            put(tag::INSERTS, &(common, Bare(values.bytes())), bytes);
        }
        Record::Update { handle, version, bytes: value, mask, seq, origin } => {
            put(tag::UPDATE, &(handle, version, Blob(value), mask, seq, origin), bytes);
        }
        Record::Delete { handle, seq, origin, cascade } => {
            put(tag::DELETE, &(handle, seq, origin, cascade), bytes);
        }
        Record::Stated { handle, stated, seq } => put(tag::STATED, &(handle, stated, seq), bytes),
        Record::Justify { handle, by } => put(tag::JUSTIFY, &(handle, by), bytes),
        Record::Unjustify { handle, by } => put(tag::UNJUSTIFY, &(handle, by), bytes),
        Record::Evaluated => put(tag::EVALUATED, &(), bytes),
        Record::Fired { by } => put(tag::FIRED, by, bytes),
        Record::Pending { by, salience, trigger } => {
            put(tag::PENDING, &(by, salience, trigger), bytes);
        }
        Record::Withdrawn { by } => put(tag::WITHDRAWN, by, bytes),
        Record::Due { by, at } => put(tag::DUE, &(by, at), bytes),
        Record::Focus { groups } => put(tag::FOCUS, groups, bytes),
        Record::GroupMarks { group, active, activated, cleared } => {
            put(tag::GROUP_MARKS, &(group, active, activated, cleared), bytes);
        }
        Record::SetGlobal { name, version, bytes: value, seq } => {
            put(tag::SET_GLOBAL, &(name, version, Blob(value), seq), bytes);
        }
        Record::Clock { millis, seq } => put(tag::CLOCK, &(millis, seq), bytes),
        Record::Effect { ordinal, topic, version, bytes: value } => {
            put(tag::EFFECT, &(ordinal, topic, version, Blob(value)), bytes);
        }
        Record::Acknowledge { commit, ordinal } => {
            put(tag::ACKNOWLEDGE, &(commit, ordinal), bytes);
        }
        Record::Commit { commit, point, counters } => {
            put(tag::COMMIT, &(commit, point, counters), bytes);
        }
        Record::Folded { through } => put(tag::FOLDED, through, bytes),
    }
}

/// Reads one record; gives it and the bytes behind it.
///
/// # Errors
///
/// A [`DecodeError`] for every input that [`encode`] does not write; nothing is consumed then.
pub fn decode(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), DecodeError> {
    let mut at = 0;
    let tag = take_varint(bytes, &mut at)?;
    let version = take_varint(bytes, &mut at)?;
    let length = take_varint(bytes, &mut at)? as usize;
    let available = bytes.len() - at;
    if length > available {
        return Err(DecodeError::CutShort { offset: bytes.len(), needed: length - available });
    }
    let (payload, rest) = bytes[at..].split_at(length);
    let record = decode_payload(tag, version, payload)?;
    Ok((record, rest))
}

/// Reads the payload of a record whose envelope is already taken apart.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_payload(tag: u32, version: u32, payload: &[u8]) -> Result<Record<'_>, DecodeError> {
    if !known(tag) {
        return Err(DecodeError::UnknownKind { tag, version });
    }
    if version != VERSION {
        return Err(DecodeError::UnknownVersion { tag, version, supported: VERSION });
    }
    match fast::decode(tag, payload) {
        Some(record) => Ok(record),
        None => decode_any(tag, payload),
    }
}

/// Reads the payload of any kind.
fn decode_any(tag: u32, payload: &[u8]) -> Result<Record<'_>, DecodeError> {
    let record = match tag {
        tag::RULESET => {
            let (seq, manifest) = take(tag, payload)?;
            Record::Ruleset { seq, manifest }
        }
        tag::TYPE => {
            let (number, name) = take(tag, payload)?;
            Record::Type { tag: number, name }
        }
        tag::INSERT => {
            let (handle, kind, version, bytes, seq, origin, stated, clock) = take(tag, payload)?;
            Record::Insert { handle, kind, version, bytes, seq, origin, stated, clock }
        }
        tag::INSERTS => take_inserts(payload)?,
        tag::UPDATE => {
            let (handle, version, bytes, mask, seq, origin) = take(tag, payload)?;
            Record::Update { handle, version, bytes, mask, seq, origin }
        }
        tag::DELETE => {
            let (handle, seq, origin, cascade) = take(tag, payload)?;
            Record::Delete { handle, seq, origin, cascade }
        }
        tag::STATED => {
            let (handle, stated, seq) = take(tag, payload)?;
            Record::Stated { handle, stated, seq }
        }
        tag::EVALUATED => {
            let () = take(tag, payload)?;
            Record::Evaluated
        }
        tag::SET_GLOBAL => {
            let (name, version, bytes, seq) = take(tag, payload)?;
            Record::SetGlobal { name, version, bytes, seq }
        }
        tag::CLOCK => {
            let (millis, seq) = take(tag, payload)?;
            Record::Clock { millis, seq }
        }
        tag::EFFECT => {
            let (ordinal, topic, version, bytes) = take(tag, payload)?;
            Record::Effect { ordinal, topic, version, bytes }
        }
        tag::ACKNOWLEDGE => {
            let (commit, ordinal) = take(tag, payload)?;
            Record::Acknowledge { commit, ordinal }
        }
        tag::COMMIT => {
            let (commit, point, counters) = take(tag, payload)?;
            Record::Commit { commit, point, counters }
        }
        tag::FOLDED => Record::Folded { through: take(tag, payload)? },
        _ => decode_agenda(tag, payload)?,
    };
    Ok(record)
}

fn decode_agenda(tag: u32, payload: &[u8]) -> Result<Record<'_>, DecodeError> {
    Ok(match tag {
        tag::JUSTIFY => {
            let (handle, by) = take(tag, payload)?;
            Record::Justify { handle, by }
        }
        tag::UNJUSTIFY => {
            let (handle, by) = take(tag, payload)?;
            Record::Unjustify { handle, by }
        }
        tag::FIRED => Record::Fired { by: take(tag, payload)? },
        tag::PENDING => {
            let (by, salience, trigger) = take(tag, payload)?;
            Record::Pending { by, salience, trigger }
        }
        tag::DUE => {
            let (by, at) = take(tag, payload)?;
            Record::Due { by, at }
        }
        tag::FOCUS => Record::Focus { groups: take(tag, payload)? },
        tag::GROUP_MARKS => {
            let (group, active, activated, cleared) = take(tag, payload)?;
            Record::GroupMarks { group, active, activated, cleared }
        }
        _ => Record::Withdrawn { by: take(tag, payload)? },
    })
}

fn known(tag: u32) -> bool {
    (tag::RULESET..=tag::GROUP_MARKS).contains(&tag) || matches!(tag, tag::INSERTS | tag::FOLDED)
}

/// Bytes that postcard writes in one piece instead of one by one.
struct Blob<'a>(&'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Bytes that stand there without their length.
struct Bare<'a>(&'a [u8]);

impl Serialize for Bare<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple as _;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// Appends the postcard bytes of any value.
///
/// # Errors
///
/// What the value's own `Serialize` reports; `bytes` then ends as before.
pub fn append_postcard<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), postcard::Error> {
    let before = bytes.len();
    let mut writer = Writer::<ONE>::behind(bytes);
    let written = value.serialize(&mut writer);
    writer.finish();
    if written.is_err() {
        bytes.truncate(before);
    }
    written
}

/// Appends the postcard bytes of values as [`Values`] has them, each behind its length.
///
/// # Errors
///
/// What the `Serialize` of one of them reports; nobody needs what `bytes` then ends with.
pub fn append_values<'v, T: Serialize + 'v>(
    mut values: impl Iterator<Item = &'v T>,
    bytes: &mut Vec<u8>,
) -> Result<(), postcard::Error> {
    let mut writer = Writer::<MANY>::behind(bytes);
    let appended = values.try_for_each(|value| {
        let length_at = writer.leave_length();
        value.serialize(&mut writer)?;
        writer.set_length(length_at);
        Ok(())
    });
    writer.finish();
    appended
}

fn put<T: Serialize>(tag: u32, payload: &T, bytes: &mut Vec<u8>) {
    put_varint(u64::from(tag), bytes);
    put_varint(u64::from(VERSION), bytes);
    let mut writer = Writer::<ONE>::behind(bytes);
    // One byte is left for the length; longer payloads move up, which most never do.
    let length_at = writer.leave_length();
    payload.serialize(&mut writer).expect("the payloads of records have no fallible parts");
    writer.set_length(length_at);
    writer.finish();
}

/// Puts the length of what follows into the byte that was left for it.
#[inline]
pub(super) fn set_length(bytes: &mut Vec<u8>, length_at: usize) {
    let length = bytes.len() - length_at - 1;
    if length < 0x80 {
        bytes[length_at] = u8::try_from(length).unwrap_or_default();
    } else {
        make_room_for_length(bytes, length_at, length);
    }
}

/// The same for a length that takes several bytes: what follows moves up.
fn make_room_for_length(bytes: &mut Vec<u8>, length_at: usize, length: usize) {
    let mut prefix = [0; 16];
    let mut room = Room::over(&mut prefix);
    room.number(length as u64);
    let used = room.used();
    let (start, end) = (length_at + 1, bytes.len());
    bytes.extend_from_slice(&prefix[1..used]);
    bytes.copy_within(start..end, length_at + used);
    bytes[length_at..length_at + used].copy_from_slice(&prefix[..used]);
}

fn take_inserts(payload: &[u8]) -> Result<Record<'_>, DecodeError> {
    let malformed = |detail| DecodeError::Malformed { tag: tag::INSERTS, detail };
    let (common, values) = postcard::take_from_bytes(payload).map_err(malformed)?;
    let (handle, kind, version, seq, origin, stated, clock) = common;
    let bad = || malformed(postcard::Error::DeserializeUnexpectedEnd);
    let values = Values::new(values).ok_or_else(bad)?;
    let inserts = Inserts { handle, kind, version, values, seq, origin, stated, clock };
    if are_numbered(&inserts) { Ok(Record::Inserts(inserts)) } else { Err(bad()) }
}

/// Whether there are insertions, and a number for each.
fn are_numbered(inserts: &Inserts<'_>) -> bool {
    let first = inserts.handle.get().max(inserts.seq.get());
    let last =
        (inserts.values.iter().count() as u64).checked_sub(1).map(|more| first.checked_add(more));
    matches!(last, Some(Some(_)))
}

fn take<'a, T: Deserialize<'a>>(tag: u32, payload: &'a [u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(payload)
        .map_err(|detail| DecodeError::Malformed { tag, detail })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(DecodeError::TrailingBytes { tag, extra: rest.len() })
    }
}

#[cfg(test)]
mod tests;
