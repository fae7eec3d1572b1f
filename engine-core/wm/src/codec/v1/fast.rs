//! The records that journals consist of for the most part, read and written field by field.
//!
//! It reads what [`encode`](super::encode) writes, and nothing else: whatever is unusual is left to
//! postcard, which decides and says what is wrong. What it writes is what postcard would write.

use super::tag;
use crate::codec::room::{self, Room};
use crate::{
    CommitSeq, Counters, FactHandle, Inserts, MatchId, Member, Record, RuleTag, SafePoint, Seq,
    TypeTag, Values,
};

/// Appends the record's envelope and payload; `false` if that is left to the slower way.
#[inline]
pub(super) fn encode(record: &Record<'_>, bytes: &mut Vec<u8>) -> bool {
    let start = bytes.len();
    match record {
        Record::Inserts(inserts) => {
            put_inserts(inserts, bytes);
            return true;
        }
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

/// Where a record's length stands: tag and version take a byte each.
const LENGTH_AT: usize = 2;

/// Appends the record of insertions. It is long: its length is known before it is written.
fn put_inserts(inserts: &Inserts<'_>, bytes: &mut Vec<u8>) {
    let Inserts { handle, kind, version, values, seq, origin, stated, clock } = *inserts;
    let mut common = [0; 64];
    let mut room = Room::over(&mut common);
    room.number(handle.get());
    room.number(kind.get());
    room.number(version);
    room.number(seq.get());
    put_origin(origin, &mut room);
    room.flag(stated);
    room.signed(clock);
    let used = room.used();
    Room::<16>::fill(bytes, |room| {
        room.number(tag::INSERTS);
        room.number(super::VERSION);
        room.number((used + values.bytes().len()) as u64);
    });
    bytes.extend_from_slice(&common[..used]);
    bytes.extend_from_slice(values.bytes());
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
    put_match(by, bytes, |room| {
        head(tag, room);
        room.number(handle.get());
    });
}

#[inline]
fn put_of_match(tag: u32, by: &MatchId, bytes: &mut Vec<u8>) {
    if put_short_match(tag, by, bytes).is_none() {
        put_match(by, bytes, |room| head(tag, room));
    }
}

/// Appends a head and a match of few facts with numbers of at most four bytes, as nearly all are; nothing if it
/// is another one.
#[inline]
fn put_short_match(tag: u32, by: &MatchId, bytes: &mut Vec<u8>) -> Option<()> {
    const BYTES: usize = 6 + FEW * 5 + 3;
    let one_byte = |number: u32| u8::try_from(number).ok().filter(|byte| *byte < 0x80);
    let (tag, rule) = (one_byte(tag)?, one_byte(by.rule.get())?);
    let branch = one_byte(by.branch.into())?;
    let count = u8::try_from(by.members.len()).ok().filter(|count| usize::from(*count) <= FEW)?;
    let mut short = [0; BYTES];
    // Tag, version, length; rule, branch, members.
    short[..6].copy_from_slice(&[tag, 1, 0, rule, branch, count]);
    let mut at = 6;
    for member in &by.members {
        let Member::Fact(handle) = member else { return None };
        if handle.get() >= 1 << 28 {
            return None;
        }
        let (four, length) = room::short(handle.get());
        short[at + 1..at + 5].copy_from_slice(&four);
        at += 1 + length;
    }
    let end = bytes.len() + at;
    bytes.extend_from_slice(&short);
    bytes.truncate(end);
    Some(())
}

const _: () = assert!(super::VERSION == 1, "short matches are written with this version");

/// So many members of a match are written together with what comes before them; few matches have more.
const FEW: usize = 4;

/// Room for the head of a record, a handle, rule, branch, length and few members.
const MATCH_ROOM: usize = 3 + 10 + 5 + 3 + 10 + FEW * 11 + 3;

/// Appends what `before` writes, at most a head and a handle, and behind it the match.
#[inline]
fn put_match(by: &MatchId, bytes: &mut Vec<u8>, before: impl FnOnce(&mut Room<'_, MATCH_ROOM>)) {
    let mut rest = by.members.as_slice();
    Room::fill(bytes, |room| {
        before(room);
        room.number(by.rule.get());
        room.number(by.branch);
        room.number(by.members.len() as u64);
        for _ in 0..FEW {
            let Some((Member::Fact(handle), behind)) = rest.split_first() else { break };
            room.number(0_u32);
            room.number(handle.get());
            rest = behind;
        }
    });
    if !rest.is_empty() {
        put_members(rest, bytes);
    }
}

#[inline(never)] // many members, or keys of groups
fn put_members(members: &[Member], bytes: &mut Vec<u8>) {
    for member in members {
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
        tag::INSERTS => return fields.inserts().map(Record::Inserts),
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

    /// Everything that is left.
    fn inserts(&mut self) -> Option<Inserts<'a>> {
        let inserts = Inserts {
            handle: FactHandle::new(self.number()?),
            kind: TypeTag::new(self.small()?),
            version: self.small()?,
            seq: Seq::new(self.number()?),
            origin: self.origin()?,
            stated: self.flag()?,
            clock: self.signed()?,
            values: Values::new(self.0)?,
        };
        super::are_numbered(&inserts).then_some(inserts)
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
