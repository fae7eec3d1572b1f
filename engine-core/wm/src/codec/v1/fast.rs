//! The records that journals consist of for the most part, read and written field by field.
//!
//! It reads what [`encode`](super::encode) writes, and nothing else: whatever is unusual is left to
//! postcard, which decides and says what is wrong. What it writes is what postcard would write.

use super::tag;
use crate::codec::low_byte;
use crate::codec::room::{Room, varint_len};
use crate::{
    CommitSeq, Counters, FactHandle, Inserts, MatchId, Member, Record, RuleTag, SafePoint, Seq,
    TypeTag,
};

/// Appends the record's envelope and payload; `false` if that is left to the slower way.
#[inline]
pub(super) fn encode(record: &Record<'_>, bytes: &mut Vec<u8>) -> bool {
    let start = bytes.len();
    match record {
        Record::Insert { handle, kind, version, bytes: value, seq, origin, stated, clock } => {
            Room::<40>::fill(bytes, |room| {
                head(tag::INSERT, room);
                room.number(handle.get());
                room.number(kind.get());
                room.number(*version);
                room.number(value.len() as u64);
            });
            bytes.extend_from_slice(value);
            Room::<40>::fill(bytes, |room| {
                room.number(seq.get());
                put_origin(*origin, room);
                room.flag(*stated);
                room.signed(*clock);
            });
        }
        Record::Update { handle, version, bytes: value, mask, seq, origin } => {
            Room::<40>::fill(bytes, |room| {
                head(tag::UPDATE, room);
                room.number(handle.get());
                room.number(*version);
                room.number(value.len() as u64);
            });
            bytes.extend_from_slice(value);
            Room::<40>::fill(bytes, |room| {
                room.number(*mask);
                room.number(seq.get());
                put_origin(*origin, room);
            });
        }
        Record::Delete { handle, seq, origin, cascade } => Room::<40>::fill(bytes, |room| {
            head(tag::DELETE, room);
            room.number(handle.get());
            room.number(seq.get());
            put_origin(*origin, room);
            room.flag(*cascade);
        }),
        Record::Justify { handle, by } => put_of_fact(tag::JUSTIFY, *handle, by, bytes),
        Record::Unjustify { handle, by } => put_of_fact(tag::UNJUSTIFY, *handle, by, bytes),
        Record::Evaluated => Room::<40>::fill(bytes, |room| head(tag::EVALUATED, room)),
        Record::Fired { by } => put_of_match(tag::FIRED, by, bytes),
        Record::Withdrawn { by } => put_of_match(tag::WITHDRAWN, by, bytes),
        Record::Pending { by, salience, trigger } => {
            put_of_match(tag::PENDING, by, bytes);
            Room::<40>::fill(bytes, |room| {
                room.signed(*salience);
                room.number(trigger.get());
            });
        }
        Record::Commit { commit, point, counters } => Room::<64>::fill(bytes, |room| {
            head(tag::COMMIT, room);
            room.number(commit.get());
            room.number(code_of(*point));
            room.number(counters.next_handle);
            room.number(counters.next_seq);
            room.number(counters.firings);
            room.number(counters.random);
        }),
        _ => return false,
    }
    super::set_length(bytes, start + LENGTH_AT);
    true
}

/// Appends the records of insertions. What stands before a value and behind it is kept from one record to
/// the next, for hardly more than a handle and a number change in it, and these by one.
pub(super) fn encode_inserts(inserts: &Inserts<'_>, bytes: &mut Vec<u8>) {
    let mut around = Around::default();
    for (range, nth) in inserts.ranges.iter().zip(0..) {
        let length = range.end - range.start;
        if !around.goes_on(length) {
            around = Around::of(inserts, nth, length);
        }
        append_part(bytes, &around.ahead, around.ahead_length);
        append_value(bytes, inserts.bytes, range.start, length);
        append_part(bytes, &around.behind, around.behind_length);
    }
}

/// Appends the first bytes of an array: a copy of known length and a truncation cost less than a copy of
/// any length.
#[inline]
fn append_part<const N: usize>(bytes: &mut Vec<u8>, array: &[u8; N], length: usize) {
    let end = bytes.len() + length;
    bytes.extend_from_slice(array);
    bytes.truncate(end);
}

/// Appends a value that stands among others.
#[inline]
fn append_value(bytes: &mut Vec<u8>, values: &[u8], start: usize, length: usize) {
    const SHORT: usize = 32;
    match values[start..].first_chunk::<SHORT>() {
        Some(first) if length <= SHORT => append_part(bytes, first, length),
        _ => bytes.extend_from_slice(&values[start..start + length]),
    }
}

/// Room for what stands before a value, and for what stands behind it: the longest before a value, six
/// numbers of 32 bits at most and one of 64, begins its last number at byte 27, and any number has ten.
const AROUND_BYTES: usize = 48;

/// What stands around a value in a run of records, with two numbers in it that count up.
#[derive(Debug)]
struct Around {
    ahead: [u8; AROUND_BYTES],
    ahead_length: usize,
    behind: [u8; AROUND_BYTES],
    behind_length: usize,
    /// Where the handle begins; the number begins what stands behind.
    handle_at: usize,
    value_length: usize,
    /// Whether the lengths of payload and value take a byte each.
    is_short: bool,
    /// How many more records there are until a number changes in more than its first byte.
    left: u64,
}

impl Default for Around {
    /// Goes on with nothing.
    fn default() -> Self {
        let (ahead, behind) = ([0; AROUND_BYTES], [0; AROUND_BYTES]);
        let (ahead_length, behind_length, handle_at, value_length) = (0, 0, 0, 0);
        let (is_short, left) = (false, 0);
        Self { ahead, ahead_length, behind, behind_length, handle_at, value_length, is_short, left }
    }
}

/// Where a record's length stands: tag and version take a byte each.
const LENGTH_AT: usize = 2;

impl Around {
    /// What stands around the value of the `nth` insertion. It stands apart because most of them go on
    /// from the one before.
    #[inline(never)]
    fn of(inserts: &Inserts<'_>, nth: u64, value_length: usize) -> Self {
        let Inserts { handle, kind, version, seq, origin, stated, clock, .. } = *inserts;
        let (handle, seq) = (handle.get() + nth, seq.get() + nth);
        let mut around = Self { value_length, ..Self::default() };
        let mut room = Room::over(&mut around.behind);
        room.number(seq);
        room.flag(origin.is_some());
        if let Some(rule) = origin {
            room.number(rule.get());
        }
        room.flag(stated);
        room.signed(clock);
        around.behind_length = room.used();
        let value_bytes = value_length as u64;
        let numbers = [handle, kind.get().into(), version.into(), value_bytes];
        let fields: usize = numbers.into_iter().map(varint_len).sum();
        let length = fields + value_length + around.behind_length;
        let mut room = Room::over(&mut around.ahead);
        room.number(tag::INSERT);
        room.number(super::VERSION);
        room.number(length as u64);
        around.handle_at = room.used();
        numbers.into_iter().for_each(|number| room.number(number));
        around.ahead_length = room.used();
        around.is_short = length < 0x80;
        let until_carry = |number: u64| 0x7f - number % 0x80;
        around.left = until_carry(handle).min(until_carry(seq));
        around
    }

    /// Makes it what stands around the next value; `false` if too much changes.
    #[inline]
    fn goes_on(&mut self, value_length: usize) -> bool {
        if self.left == 0
            || !(value_length == self.value_length || self.change_length(value_length))
        {
            return false;
        }
        self.left -= 1;
        self.ahead[self.handle_at] += 1;
        self.behind[0] += 1;
        true
    }

    /// Changes the lengths; `false` if they take other than a byte each.
    #[inline]
    fn change_length(&mut self, value_length: usize) -> bool {
        let length = self.ahead_length - self.handle_at + value_length + self.behind_length;
        let is_short = self.is_short && length < 0x80;
        if is_short {
            self.ahead[LENGTH_AT] = low_byte(length as u64);
            self.ahead[self.ahead_length - 1] = low_byte(value_length as u64);
            self.value_length = value_length;
        }
        is_short
    }
}

fn code_of(point: SafePoint) -> u32 {
    match point {
        SafePoint::Staged => 0,
        SafePoint::Evaluated => 1,
        SafePoint::Fired => 2,
    }
}

#[inline]
fn head<const N: usize>(tag: u32, room: &mut Room<'_, N>) {
    room.number(tag);
    room.number(super::VERSION);
    room.number(0_u32); // the length, when it is known
}

#[inline]
fn put_origin<const N: usize>(origin: Option<RuleTag>, room: &mut Room<'_, N>) {
    room.flag(origin.is_some());
    if let Some(rule) = origin {
        room.number(rule.get());
    }
}

fn put_of_fact(tag: u32, handle: FactHandle, by: &MatchId, bytes: &mut Vec<u8>) {
    Room::<40>::fill(bytes, |room| {
        head(tag, room);
        room.number(handle.get());
    });
    put_match(by, bytes);
}

fn put_of_match(tag: u32, by: &MatchId, bytes: &mut Vec<u8>) {
    Room::<40>::fill(bytes, |room| head(tag, room));
    put_match(by, bytes);
}

fn put_match(by: &MatchId, bytes: &mut Vec<u8>) {
    Room::<40>::fill(bytes, |room| {
        room.number(by.rule.get());
        room.number(by.branch);
        room.number(by.members.len() as u64);
    });
    for member in &by.members {
        match member {
            Member::Fact(handle) => Room::<16>::fill(bytes, |room| {
                room.number(0_u32);
                room.number(handle.get());
            }),
            Member::Key(key) => {
                Room::<16>::fill(bytes, |room| {
                    room.number(1_u32);
                    room.number(key.len() as u64);
                });
                bytes.extend_from_slice(key);
            }
        }
    }
}

/// The record; `None` if postcard has to look at it.
#[inline]
pub(super) fn decode(tag: u32, payload: &[u8]) -> Option<Record<'_>> {
    let mut fields = Fields(payload);
    // Fields are evaluated in the order that they are written in, which is that of the bytes.
    let record = match tag {
        tag::EVALUATED => Record::Evaluated,
        tag::UPDATE => Record::Update {
            handle: FactHandle::new(fields.number()?),
            version: fields.small()?,
            bytes: fields.bytes()?,
            mask: fields.number()?,
            seq: Seq::new(fields.number()?),
            origin: fields.origin()?,
        },
        tag::INSERT => Record::Insert {
            handle: FactHandle::new(fields.number()?),
            kind: TypeTag::new(fields.small()?),
            version: fields.small()?,
            bytes: fields.bytes()?,
            seq: Seq::new(fields.number()?),
            origin: fields.origin()?,
            stated: fields.flag()?,
            clock: fields.signed()?,
        },
        tag::DELETE => Record::Delete {
            handle: FactHandle::new(fields.number()?),
            seq: Seq::new(fields.number()?),
            origin: fields.origin()?,
            cascade: fields.flag()?,
        },
        tag::JUSTIFY => {
            Record::Justify { handle: FactHandle::new(fields.number()?), by: fields.match_id()? }
        }
        tag::UNJUSTIFY => {
            Record::Unjustify { handle: FactHandle::new(fields.number()?), by: fields.match_id()? }
        }
        tag::FIRED => Record::Fired { by: fields.match_id()? },
        tag::WITHDRAWN => Record::Withdrawn { by: fields.match_id()? },
        tag::PENDING => Record::Pending {
            by: fields.match_id()?,
            salience: i32::try_from(fields.signed()?).ok()?,
            trigger: Seq::new(fields.number()?),
        },
        tag::COMMIT => Record::Commit {
            commit: CommitSeq::new(fields.number()?),
            point: fields.safe_point()?,
            counters: Counters {
                next_handle: fields.number()?,
                next_seq: fields.number()?,
                firings: fields.number()?,
                random: fields.number()?,
            },
        },
        _ => return None,
    };
    fields.0.is_empty().then_some(record)
}

/// The fields of a payload that were not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A varint in its shortest form.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for index in 1..10 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                let is_shortest = byte != 0 && (index < 9 || byte == 1);
                return is_shortest.then_some(number);
            }
        }
        None
    }

    #[inline]
    fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// Zigzag: the sign is the lowest bit.
    #[inline]
    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        let half = (number >> 1).cast_signed();
        Some(if number & 1 == 0 { half } else { !half })
    }

    #[inline]
    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    #[inline]
    #[expect(clippy::option_option, reason = "the inner one is the field's value")]
    fn origin(&mut self) -> Option<Option<RuleTag>> {
        if self.flag()? { Some(Some(RuleTag::new(self.small()?))) } else { Some(None) }
    }

    #[inline]
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn match_id(&mut self) -> Option<MatchId> {
        let rule = RuleTag::new(self.small()?);
        let branch = u16::try_from(self.number()?).ok()?;
        let count = usize::try_from(self.number()?).ok()?;
        // Each member takes two bytes at least: a length that lies allocates nothing.
        let mut members = Vec::with_capacity((count <= self.0.len() / 2).then_some(count)?);
        for _ in 0..count {
            members.push(match self.byte()? {
                0 => Member::Fact(FactHandle::new(self.number()?)),
                1 => Member::Key(self.bytes()?.into()),
                _ => return None,
            });
        }
        Some(MatchId { rule, branch, members })
    }

    #[inline]
    fn safe_point(&mut self) -> Option<SafePoint> {
        match self.byte()? {
            0 => Some(SafePoint::Staged),
            1 => Some(SafePoint::Evaluated),
            2 => Some(SafePoint::Fired),
            _ => None,
        }
    }
}
