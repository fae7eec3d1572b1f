//! Encoding, damage and contradictions.

use super::*;

fn manifest() -> Manifest {
    let seal = SealEntry { bytes: 5000, last_lsn: 9, end_position: 904, digest: 77 };
    let first = SegmentEntry {
        first_lsn: 1,
        first_position: 0,
        salt: 1,
        physical_bytes: 65_536,
        generation: 0,
        compacted: false,
        end_crc: 0,
        continues_group: false,
        seal: Some(seal),
    };
    let second = SegmentEntry {
        first_lsn: 10,
        first_position: 904,
        salt: 2,
        physical_bytes: 65_536,
        generation: 1,
        compacted: false,
        end_crc: 0,
        continues_group: false,
        seal: None,
    };
    let snapshot = SnapshotEntry { lsn: 5, position: 500, bytes: 1, generation: 2, digest: 3 };
    Manifest {
        format: Format::CURRENT,
        journal: Uuid::from_bytes([1; 16]),
        session: Uuid::from_bytes([2; 16]),
        generation: 3,
        incarnation: Incarnation::from_bytes([4; 16]),
        durable: 904,
        closed: true,
        segments: vec![first, second],
        snapshots: vec![snapshot],
    }
}

#[test]
fn manifest_survives_encoding() {
    let bytes = manifest().encode();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(Manifest::decode(&bytes), Ok(Ok(manifest())));
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let bytes = manifest().encode();
    let content = manifest().content_bytes();
    for bit in 0..content * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..content {
        assert!(Manifest::decode(&bytes[..len]).is_err(), "length {len}");
    }
}

#[test]
fn contradictions_are_found() {
    let check = |change: fn(&mut Manifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        assert_eq!(Manifest::decode(&manifest.encode()), Err(ManifestDamage::Fields));
    };
    check(|m| m.segments.swap(0, 1));
    check(|m| m.segments[0].seal = None);
    check(|m| m.segments[1].first_lsn = 9);
    check(|m| m.segments[1].first_position = 896);
    check(|m| m.segments[0].physical_bytes = 4999);
    check(|m| m.segments[0].physical_bytes = 4096);
    check(|m| m.segments[1].first_lsn = 0);
    check(|m| m.segments[1].first_lsn = u64::MAX);
}

/// Every number has a first and a last value that is believed: one further it is damage. What is believed
/// can be added and subtracted without overflow.
#[test]
fn numbers_are_believed_up_to_their_edges() {
    type Set = fn(&mut Manifest, u64);
    let sets: [(&str, Set, &[u64], &[u64]); 9] = [
        ("durable", |m, n| m.durable = n, &[0, 1 << 60], &[(1 << 60) + 1, u64::MAX]),
        ("first lsn", |m, n| m.segments[1].first_lsn = n, &[10, 1 << 60], &[0, (1 << 60) + 1]),
        ("the very first lsn", |m, n| m.segments[0].first_lsn = n, &[1, 10], &[0, 11]),
        (
            "first position",
            |m, n| m.segments[1].first_position = n,
            &[904, 1 << 60],
            &[896, 908, (1 << 60) + 8],
        ),
        (
            "physical bytes",
            |m, n| m.segments[1].physical_bytes = n,
            &[4096, 1 << 30],
            &[0, 4100, (1 << 30) + 4096],
        ),
        (
            "sealed bytes",
            |m, n| {
                m.segments[0].compacted = true;
                m.segments[0].seal.as_mut().expect("sealed").bytes = n;
            },
            &[4096, 5000, 65_536],
            &[4088, 5001, 65_544],
        ),
        (
            "end position",
            |m, n| {
                (m.segments[0].compacted, m.segments[0].first_position) = (true, 80);
                m.segments[0].seal.as_mut().expect("sealed").end_position = n;
                m.segments.truncate(1);
            },
            &[80, 1 << 60],
            &[72, (1 << 60) + 8],
        ),
        (
            "end position by length",
            |m, n| m.segments[0].seal.as_mut().expect("sealed").end_position = n,
            &[904],
            &[896, 912],
        ),
        (
            "last lsn",
            |m, n| {
                m.segments[0].first_lsn = 5;
                m.segments[0].seal.as_mut().expect("sealed").last_lsn = n;
                m.segments.truncate(1);
            },
            &[4, 9, 1 << 60],
            &[3, (1 << 60) + 1],
        ),
    ];
    for (what, set, good, bad) in sets {
        for (numbers, is_good) in [(good, true), (bad, false)] {
            for number in numbers {
                let mut manifest = manifest();
                set(&mut manifest, *number);
                let decoded = Manifest::decode(&manifest.encode());
                let expected = if is_good { Ok(Ok(manifest)) } else { Err(ManifestDamage::Fields) };
                assert_eq!(decoded, expected, "{what}: {number}");
            }
        }
    }
}

/// Which of several wrongs is told, and that nothing else is looked at before it.
#[test]
fn damage_is_named_by_the_first_thing_that_is_wrong() {
    let content = manifest().content_bytes();
    let check = |change: &dyn Fn(&mut Vec<u8>), expected| {
        let mut bytes = manifest().encode();
        change(&mut bytes);
        assert_eq!(Manifest::decode(&bytes), Err(expected));
    };
    check(&|bytes| bytes.truncate(139), ManifestDamage::Short);
    check(&|bytes| bytes[0] ^= 1, ManifestDamage::Magic);
    check(&|bytes| bytes.truncate(content - 1), ManifestDamage::Length);
    check(&|bytes| put(bytes, 4, &139_u32.to_le_bytes()), ManifestDamage::Length);
    check(&|bytes| bytes[content - 8] ^= 1, ManifestDamage::Length);
    check(&|bytes| bytes[content - 1] ^= 1, ManifestDamage::Trailer);
    check(&|bytes| bytes[content - 12] ^= 1, ManifestDamage::Checksum);
}

/// A run of compacted segments is replaced as a whole, so segments of different ones must not be taken for
/// one; and what follows a run continues the checksum that is told for it.
#[test]
fn segments_of_a_run_are_known_by_what_they_say() {
    let mut manifest = manifest();
    for segment in &mut manifest.segments {
        (segment.compacted, segment.end_crc) = (true, 5);
    }
    let [first, second] = &manifest.segments[..] else { panic!("there are two") };
    assert!(first.goes_on_in(second));
    assert!(!second.goes_on_in(first), "it is not sealed");
    let changed = |segment: &SegmentEntry, change: fn(&mut SegmentEntry)| {
        let mut segment = segment.clone();
        change(&mut segment);
        segment
    };
    assert!(!changed(first, |it| it.compacted = false).goes_on_in(second));
    assert!(!first.goes_on_in(&changed(second, |it| it.compacted = false)));
    assert!(!first.goes_on_in(&changed(second, |it| it.first_position = 912)));
    let shorter = |it: &mut SegmentEntry| it.seal.as_mut().expect("sealed").bytes = 4992;
    assert!(!changed(first, shorter).goes_on_in(second), "it ends a run");
    assert_eq!((first.chain_end(), second.chain_end()), (Some(5), None));
    assert_eq!(changed(first, |it| it.compacted = false).chain_end(), Some(77));
}

/// There must be room for more segments than are listed.
#[test]
fn room_grows_with_the_segments_to_come() {
    let manifest = manifest();
    let content = manifest.content_bytes() as u64;
    assert_eq!(manifest.file_bytes(0), 4096);
    for more in [1, 38, 39, 40, 100] {
        assert_eq!(manifest.file_bytes(more), (content + 96 * more).div_ceil(4096) * 4096);
    }
}

#[test]
fn a_newer_major_is_named_not_misread() {
    let mut manifest = manifest();
    manifest.format.major = 9;
    let found = Manifest::decode(&manifest.encode());
    assert_eq!(found, Ok(Err(manifest.format)));
}
