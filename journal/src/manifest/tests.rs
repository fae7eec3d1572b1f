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

#[test]
fn a_newer_major_is_named_not_misread() {
    let mut manifest = manifest();
    manifest.format.major = 9;
    let found = Manifest::decode(&manifest.encode());
    assert_eq!(found, Ok(Err(manifest.format)));
}
