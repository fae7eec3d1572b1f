//! INV-63: every kind round-trips; every cut and every flipped bit gives a record or an error, never a panic.

use super::*;
use crate::{
    CommitSeq, Counters, Digest, FactHandle, MatchId, Member, RuleManifest, RuleTag,
    RulesetManifest, SafePoint, Seq, TypeTag,
};

fn a_match() -> MatchId {
    let members = vec![Member::Fact(FactHandle::new(9)), Member::Key([1, 2, 3].into())];
    MatchId { rule: RuleTag::new(1), branch: 0, members }
}

fn one_of_each() -> Vec<Record<'static>> {
    let (handle, seq, by) = (FactHandle::new(300), Seq::new(70_000), a_match());
    let origin = Some(RuleTag::new(4));
    let rule = RuleManifest {
        tag: RuleTag::new(0),
        path: "shop::paid".into(),
        conditions: Digest::of(b"lhs"),
        consequence: Digest::of(b"rhs"),
    };
    let manifest = RulesetManifest { name: "shop".into(), version: 3, rules: vec![rule] };
    let counters = Counters { next_handle: 5, next_seq: 6, firings: 7, random: 8 };
    vec![
        Record::Ruleset { seq, manifest },
        Record::Type { tag: TypeTag::new(2), name: "Order" },
        Record::Insert {
            handle,
            kind: TypeTag::new(2),
            version: 1,
            bytes: b"value",
            seq,
            origin,
            stated: true,
            clock: -1,
        },
        Record::Inserts(Inserts {
            handle,
            kind: TypeTag::new(2),
            version: 1,
            values: Values::new(b"\x05value\0\x02of").expect("each is behind its length"),
            seq,
            origin,
            stated: true,
            clock: -1,
        }),
        Record::Update { handle, version: 1, bytes: &[7; 200], mask: u64::MAX, seq, origin: None },
        Record::Delete { handle, seq, origin, cascade: true },
        Record::Stated { handle, stated: false, seq },
        Record::Justify { handle, by: by.clone() },
        Record::Unjustify { handle, by: by.clone() },
        Record::Evaluated,
        Record::Fired { by: by.clone() },
        Record::Pending { by: by.clone(), salience: i32::MIN, trigger: seq },
        Record::Withdrawn { by: by.clone() },
        Record::Due { by: by.clone(), at: Some(-5) },
        Record::Due { by, at: None },
        Record::Focus { groups: vec!["billing", "", "MAIN"] },
        Record::GroupMarks { group: "billing", active: true, activated: seq, cleared: seq },
        Record::SetGlobal { name: "limit", version: 2, bytes: b"g", seq },
        Record::Clock { millis: i64::MAX, seq },
        Record::Effect { ordinal: 3, topic: "Alert", version: 1, bytes: b"e" },
        Record::Acknowledge { commit: CommitSeq::new(11), ordinal: 2 },
        Record::Commit { commit: CommitSeq::new(11), point: SafePoint::Fired, counters },
        Record::Folded { through: CommitSeq::new(11) },
    ]
}

#[test]
fn every_kind_round_trips() {
    let mut bytes = Vec::new();
    for record in one_of_each() {
        encode(&record, &mut bytes);
    }
    let mut rest = bytes.as_slice();
    for record in one_of_each() {
        let (decoded, after) = decode(rest).expect("what was encoded decodes");
        assert_eq!(decoded, record);
        rest = after;
    }
    assert!(rest.is_empty());
}

#[test]
fn every_truncation_is_an_error() {
    for record in one_of_each() {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{record:?} cut at {end}");
        }
    }
}

#[test]
fn every_flipped_bit_is_a_record_or_an_error() {
    for record in one_of_each() {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok((decoded, _)) = decode(&damaged) {
                assert_ne!(decoded, record, "bit {bit} has no meaning in {record:?}");
            }
        }
    }
}

/// The records that are written field by field are what the slower way writes, at every edge of their
/// numbers.
#[test]
fn the_fast_way_writes_what_the_other_writes() {
    let mut fast = 0;
    let mut compare = |record: &Record<'_>| {
        let (mut expected, mut bytes) = (b"before".to_vec(), b"before".to_vec());
        encode_any(record, &mut expected);
        if fast::encode(record, &mut bytes) {
            assert_eq!(bytes, expected, "{record:?}");
            fast += 1;
        } else {
            assert_eq!(bytes, b"before", "{record:?}");
        }
    };
    one_of_each().iter().for_each(&mut compare);
    for bit in 0..64 {
        for number in [1 << bit, (1_u64 << bit) - 1, !(1 << bit)] {
            let small = u32::try_from(number & 0xffff_ffff).expect("32 bits");
            let (handle, seq) = (FactHandle::new(number), Seq::new(number));
            let value = vec![7; usize::from(number.to_le_bytes()[0]) << 1];
            let (version, origin) = (small, Some(RuleTag::new(small)));
            let bytes = value.as_slice();
            let (kind, clock) = (TypeTag::new(small), number.cast_signed());
            compare(&Record::Insert {
                handle,
                kind,
                version,
                bytes,
                seq,
                origin,
                stated: bit == 3,
                clock,
            });
            compare(&Record::Update { handle, version, bytes, mask: number, seq, origin });
            compare(&Record::Delete { handle, seq, origin, cascade: bit == 3 });
            let members = (0..bit).map(|at| match at % 3 {
                0 => Member::Key(bytes.into()),
                _ => Member::Fact(FactHandle::new(number)),
            });
            let branch = u16::from_le_bytes([number.to_le_bytes()[0], number.to_le_bytes()[1]]);
            let by = || MatchId {
                rule: RuleTag::new(small),
                branch,
                members: members.clone().collect(),
            };
            compare(&Record::Justify { handle, by: by() });
            compare(&Record::Unjustify { handle, by: by() });
            compare(&Record::Fired { by: by() });
            compare(&Record::Withdrawn { by: by() });
            compare(&Record::Pending { by: by(), salience: small.cast_signed(), trigger: seq });
            let (next_handle, next_seq, firings, random) = (number, number, number, number);
            let counters = Counters { next_handle, next_seq, firings, random };
            for point in [SafePoint::Staged, SafePoint::Evaluated, SafePoint::Fired] {
                compare(&Record::Commit { commit: CommitSeq::new(number), point, counters });
            }
        }
    }
    assert_eq!(fast, 11 + 64 * 3 * 11);
}

/// Insertions in a row come back at every edge of their numbers, as long as there is a number for each.
#[test]
fn insertions_in_a_row_come_back() {
    let [none, some] = [&b""[..], b"some"];
    let values = [none, some, &[7; 127], &[8; 128], some];
    let mut bytes = Vec::new();
    for value in values {
        put_varint(value.len() as u64, &mut bytes);
        bytes.extend_from_slice(value);
    }
    let edges = (0..64).flat_map(|bit| [1 << bit, (1_u64 << bit) - 1, !(1 << bit)]);
    for number in edges.chain([u64::MAX - 4, u64::MAX - 3]) {
        let small = u32::try_from(number & 0xffff_ffff).expect("32 bits");
        let inserts = Inserts {
            handle: FactHandle::new(number),
            kind: TypeTag::new(small),
            version: small,
            values: Values::new(&bytes).expect("each is behind its length"),
            seq: Seq::new(number),
            origin: (number % 2 == 0).then(|| RuleTag::new(small)),
            stated: number % 3 == 0,
            clock: number.cast_signed(),
        };
        let (mut expected, mut written) = (b"before".to_vec(), b"before".to_vec());
        encode_any(&Record::Inserts(inserts), &mut expected);
        encode(&Record::Inserts(inserts), &mut written);
        assert_eq!(written, expected, "number {number:#x}");
        let read = decode(&written["before".len()..]);
        if number > u64::MAX - 4 {
            assert!(matches!(read, Err(DecodeError::Malformed { .. })), "{number:#x}: {read:?}");
            continue;
        }
        assert_eq!(read, Ok((Record::Inserts(inserts), &[][..])));
        let said = inserts.records().zip(0..).zip(values);
        for ((record, nth), value) in said {
            let Record::Insert { handle, seq, bytes, .. } = record else { panic!("{record:?}") };
            assert_eq!((handle.get(), seq.get(), bytes), (number + nth, number + nth, value));
        }
        assert_eq!(inserts.records().count(), values.len());
    }
}

/// The records that are read field by field are what postcard reads: of every byte, every value.
#[test]
fn the_fast_way_reads_what_the_other_reads_or_nothing() {
    for record in one_of_each() {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        let (tag, mut at) = (u32::from(bytes[0]), 2);
        take_varint(&bytes, &mut at).expect("the length of the payload");
        let payload = &bytes[at..];
        let is_fast = matches!(
            record,
            Record::Insert { .. }
                | Record::Inserts(_)
                | Record::Update { .. }
                | Record::Delete { .. }
                | Record::Evaluated
                | Record::Justify { .. }
                | Record::Unjustify { .. }
                | Record::Fired { .. }
                | Record::Withdrawn { .. }
                | Record::Pending { .. }
                | Record::Commit { .. }
        );
        assert_eq!(fast::decode(tag, payload), is_fast.then_some(record));
        for index in 0..payload.len() {
            for byte in 0..=u8::MAX {
                let mut changed = payload.to_vec();
                changed[index] = byte;
                for changed in [&changed[..], &changed[..payload.len() - 1]] {
                    if let Some(read) = fast::decode(tag, changed) {
                        assert_eq!(decode_any(tag, changed), Ok(read), "{changed:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn reserved_and_future_kinds_are_named() {
    for tag in RESERVED_TAGS.chain([38, 99]) {
        let mut bytes = Vec::new();
        put_varint(u64::from(tag), &mut bytes);
        bytes.extend([1, 0]);
        assert_eq!(decode(&bytes), Err(DecodeError::UnknownKind { tag, version: 1 }));
    }
    let newer = [9, 2, 0];
    let error = DecodeError::UnknownVersion { tag: 9, version: 2, supported: 1 };
    assert_eq!(decode(&newer), Err(error));
}

#[test]
fn a_lying_length_allocates_nothing() {
    let bytes = [3, 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(decode(&bytes), Err(DecodeError::CutShort { .. })));
}

/// The bytes of format v1, spelled out: a change of any of them is a new format.
#[test]
fn golden_bytes_of_v1() {
    let mut bytes = Vec::new();
    let record = Record::Delete {
        handle: FactHandle::new(300),
        seq: Seq::new(5),
        origin: Some(RuleTag::new(1)),
        cascade: true,
    };
    encode(&record, &mut bytes);
    assert_eq!(bytes, [5, 1, 6, 0xac, 0x02, 5, 1, 1, 1]);
}

/// Values short and long, so that the window is full before, behind and in the middle of one, and that lengths
/// take one byte to three.
#[test]
fn values_in_a_row_are_what_each_of_them_is_behind_its_length() {
    let lengths = [0, 1, 100, 126, 127, 128, 500, 1020, 1023, 1024, 1025, 3000, 17_000];
    let value = |at: usize| (vec![u64::MAX >> (at % 64); at % 7], "x".repeat(lengths[at % 13]), at);
    for count in 0..200 {
        let values: Vec<_> = (count..2 * count).map(value).collect();
        let (mut bytes, mut expected) = (b"before".to_vec(), b"before".to_vec());
        append_values(values.iter(), &mut bytes).expect("they are serializable");
        for value in &values {
            let one = postcard::to_stdvec(value).expect("it is serializable");
            put_varint(one.len() as u64, &mut expected);
            expected.extend_from_slice(&one);
        }
        assert!(bytes == expected, "{count} values");
    }
}
