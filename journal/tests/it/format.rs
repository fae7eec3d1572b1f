//! The bytes on disk, written and read by code that follows `docs/format.md` and shares nothing with
//! the crate: what the journal writes is as documented, what is written by hand opens, and what a
//! newer version would write is named.

use std::path::Path;

use proptest::prelude::*;
use steadfast_journal::testing::{Fixed, SimDisk};
use steadfast_journal::{
    CorruptReason, End, Found, From, Journal, Level, MalformedRecord, NewerFormat, OpenError,
    ReadError, WriteMode,
};

use crate::common::{append, batch, payloads, read_all};
use crate::world::{DIR, Setup};

const SEGMENT: &str = "seg-00000000000000000001-0000.jnl";

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

pub(crate) fn put32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// A frame as the document draws it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) records: u16,
    pub(crate) payload_len: u32,
    pub(crate) lsn: u64,
    pub(crate) prev_crc: u32,
    pub(crate) durable_back: u32,
    pub(crate) payload: Vec<u8>,
}

fn header_seed(salt: u64, offset: u64) -> u32 {
    let seed = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(seed, &offset.to_le_bytes())
}

impl Frame {
    pub(crate) fn encode(&self, salt: u64, offset: u64) -> Vec<u8> {
        let mut bytes = vec![0; 32];
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.records.to_le_bytes());
        put32(&mut bytes, 8, self.payload_len);
        let seed = crc32c::crc32c_append(header_seed(salt, offset), &self.lsn.to_le_bytes());
        put32(&mut bytes, 12, crc32c::crc32c(&self.payload) ^ seed);
        bytes[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        put32(&mut bytes, 24, self.prev_crc);
        put32(&mut bytes, 28, self.durable_back);
        let crc = crc32c::crc32c_append(header_seed(salt, offset), &bytes[4..32]);
        put32(&mut bytes, 0, crc);
        bytes.extend_from_slice(&self.payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Self {
        let head = &bytes[usize::try_from(offset).expect("small")..];
        let frame = Self {
            kind: head[4],
            flags: head[5],
            records: u16::from_le_bytes([head[6], head[7]]),
            payload_len: u32_at(head, 8),
            lsn: u64_at(head, 16),
            prev_crc: u32_at(head, 24),
            durable_back: u32_at(head, 28),
            payload: head[32..32 + u32_at(head, 8) as usize].to_vec(),
        };
        let encoded = frame.encode(salt, offset);
        assert_eq!(head[..encoded.len()], encoded, "both checksums hold");
        frame
    }
}

/// One record: tag 1, version 1, length, bytes.
fn record(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 1, u8::try_from(payload.len()).expect("short")];
    bytes.extend_from_slice(payload);
    bytes
}

/// A journal of two safe points that was cut off from its power, and the salt of its segment.
fn two_groups() -> (SimDisk, u64) {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    journal.commit(&batch([&b"hello"[..]]), Level::Batch).expect("room");
    journal.commit(&batch([&b"a"[..], b"bc"]), Level::Batch).expect("room");
    let salt = u64_at(&disk.content(path(SEGMENT)), 56);
    (disk.power_cut(&mut Fixed::Nothing), salt)
}

#[test]
fn the_journal_writes_what_the_document_draws() {
    let (disk, salt) = two_groups();
    let segment = disk.content(path(SEGMENT));
    assert_eq!(segment.len(), 64 << 10);
    assert_eq!(&segment[..8], b"STFJ\r\n\x1a\n");
    assert_eq!(segment[8..24], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((u64_at(&segment, 64), u64_at(&segment, 72)), (1, 0));
    assert_eq!(crc32c::crc32c(&segment[..124]), u32_at(&segment, 124));
    assert_eq!(segment[..128], segment[3584..3584 + 128]);
    let first = Frame::decode(&segment, salt, 4096);
    assert_eq!((first.kind, first.flags, first.records), (2, 0, 1));
    assert_eq!((first.lsn, first.prev_crc, first.durable_back), (1, 0, 0));
    assert_eq!(first.payload, record(b"hello"));
    let second = Frame::decode(&segment, salt, 4096 + 40);
    assert_eq!((second.lsn, second.records, second.durable_back), (2, 2, 0));
    assert_eq!(second.prev_crc, u32_at(&segment, 4096));
    assert_eq!(second.payload, [record(b"a"), record(b"bc")].concat());
    let end = 4096 + 40 + 48;
    assert!(segment[end..].iter().all(|byte| *byte == 0));

    let manifest = disk.content(path("MANIFEST"));
    assert_eq!(manifest.len(), 4096);
    assert_eq!(&manifest[..4], b"STFM");
    let content = 128 + 96 + 12;
    assert_eq!(u32_at(&manifest, 4) as usize, content);
    assert_eq!(manifest[24..56], segment[24..56], "the two names");
    assert_eq!((u32_at(&manifest, 92), u32_at(&manifest, 96)), (1, 0));
    assert_eq!((u64_at(&manifest, 128), u64_at(&manifest, 144)), (1, salt));
    assert_eq!(crc32c::crc32c(&manifest[..content - 12]), u32_at(&manifest, content - 12));
    assert_eq!(u32_at(&manifest, content - 8) as usize, content);
    assert_eq!(&manifest[content - 4..content], b"MFTS");
}

#[test]
fn a_durable_slot_is_as_drawn() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    for number in 1..4_u64 {
        append(&journal, b"x");
        journal.run_idle();
        let slots = disk.content(path("DURABLE"));
        assert_eq!(slots.len(), 8192);
        let slot = &slots[usize::try_from(number % 2 * 4096).expect("small")..][..64];
        assert_eq!(&slot[..4], b"STFD");
        assert_eq!(
            (u64_at(slot, 8), u64_at(slot, 16), u64_at(slot, 24)),
            (number, number * 40, number)
        );
        assert_eq!(slot[32..48], *journal.uuid().as_bytes());
        assert_eq!(crc32c::crc32c(&slot[..60]), u32_at(slot, 60));
    }
}

/// Puts a third frame behind the two groups by hand.
fn with_third(change: impl Fn(&mut Frame)) -> SimDisk {
    let (disk, salt) = two_groups();
    let segment = disk.content(path(SEGMENT));
    let mut frame = Frame {
        kind: 2,
        flags: 0,
        records: 1,
        payload_len: 8,
        lsn: 3,
        prev_crc: u32_at(&segment, 4096 + 40),
        durable_back: 0,
        payload: record(b"third"),
    };
    change(&mut frame);
    let offset = 4096 + 40 + 48;
    let bytes = frame.encode(salt, offset);
    let at = usize::try_from(offset).expect("small");
    disk.damage(path(SEGMENT), |content| {
        content[at..at + bytes.len()].copy_from_slice(&bytes);
    });
    disk
}

fn open(disk: &SimDisk) -> Result<Journal, OpenError> {
    Setup::new(WriteMode::Map).open(disk)
}

#[test]
fn a_frame_written_by_hand_is_read() {
    let journal = open(&with_third(|_| {})).expect("as documented");
    assert_eq!(payloads(&read_all(&journal)), [&b"hello"[..], b"a", b"bc", b"third"]);
}

#[test]
fn frames_of_a_newer_version_are_skipped_or_named() {
    let disk = with_third(|frame| frame.kind = 0xcd);
    let options = Setup::new(WriteMode::Map).options(&disk);
    let (journal, opened) = Journal::open(DIR, options).expect("may be skipped");
    assert_eq!((read_all(&journal).len(), opened.skipped_frames), (2, 1));
    for change in [(77, 0), (2, 0x01), (2, 0x40)] {
        let refused = open(&with_third(|frame| (frame.kind, frame.flags) = change));
        match refused {
            Err(OpenError::NewerFormat(NewerFormat::Frame { offset, kind, flags, .. })) => {
                assert_eq!((offset, kind, flags), (4184, change.0, change.1));
            }
            other => panic!("{change:?}: {other:?}"),
        }
    }
}

/// INV-23: with right checksums over a wrong length.
#[test]
fn lying_lengths_and_numbers_are_not_believed() {
    let changes: [fn(&mut Frame); 6] = [
        |frame| frame.payload_len = u32::MAX,
        |frame| frame.payload_len = (64 << 10) - 4184 - 31,
        |frame| frame.payload_len = 0,
        |frame| frame.lsn = 2,
        |frame| frame.lsn = u64::MAX,
        |frame| frame.prev_crc ^= 1,
    ];
    for change in changes {
        let disk = with_third(change);
        let journal = open(&disk).expect("a torn tail");
        assert_eq!(read_all(&journal).len(), 2);
    }
}

#[test]
fn a_claim_that_nothing_before_supports_refuses() {
    // Claims that the hand-written frame's own begin is durable are fine, even with a hole before.
    let disk = with_third(|frame| frame.durable_back = 0);
    disk.damage(path(SEGMENT), |content| content[4096 + 40 + 33] ^= 1);
    assert!(matches!(open(&disk), Err(OpenError::Corrupt(_))));
    let disk = with_third(|frame| frame.durable_back = 6);
    disk.damage(path(SEGMENT), |content| content[4096 + 40 + 33] ^= 1);
    assert_eq!(read_all(&open(&disk).expect("nothing says that it was durable")).len(), 1);
    let disk = with_third(|frame| frame.durable_back = u32::MAX);
    disk.damage(path(SEGMENT), |content| content[4096 + 40 + 33] ^= 1);
    assert_eq!(read_all(&open(&disk).expect("no claim")).len(), 1);
    // Nor do those of a frame that this segment cannot have had there: frames take 32 bytes at least.
    for (lsn, is_plausible) in [(0, false), (1, true), (3, true), (4, false)] {
        let disk = with_third(|frame| (frame.lsn, frame.durable_back) = (lsn, 0));
        disk.damage(path(SEGMENT), |content| content[4096 + 40 + 33] ^= 1);
        let opened = open(&disk);
        assert_eq!(matches!(opened, Err(OpenError::Corrupt(_))), is_plausible, "{lsn}: {opened:?}");
    }
}

#[test]
fn records_that_lie_are_errors_with_an_offset() {
    type Case = (Vec<u8>, u16, fn(&MalformedRecord) -> bool);
    let cases: [Case; 4] = [
        (vec![1, 1, 200, 1], 1, |m| matches!(m, MalformedRecord::LengthBeyondEnd { len: 200, .. })),
        (vec![0xff; 12], 1, |m| matches!(m, MalformedRecord::Overlong { at: 0 })),
        (vec![1, 1, 0, 1], 2, |m| matches!(m, MalformedRecord::HeadCutShort { at: 3 })),
        (vec![1, 1, 0], 2, |m| matches!(m, MalformedRecord::Count { expected: 2, actual: 1 })),
    ];
    for (payload, records, expected) in cases {
        let disk = with_third(|frame| {
            frame.payload_len = u32::try_from(payload.len()).expect("short");
            frame.payload.clone_from(&payload);
            frame.records = records;
        });
        let journal = open(&disk).expect("the checksums hold");
        let mut reader = journal.read(From::Start).expect("readable");
        for _ in 0..2 {
            assert!(reader.next_group().expect("sound").is_some());
        }
        // The reader stays in front of what it cannot read.
        for _ in 0..2 {
            match reader.next_group() {
                Err(ReadError::Malformed { offset, malformed, .. }) => {
                    assert_eq!(offset, 4184);
                    assert!(expected(&malformed), "{malformed:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// INV-33: with the end in each of its frames.
#[test]
fn an_unfinished_group_of_several_frames_is_cut_whole() {
    for kind in [1, 2] {
        let disk = with_third(|frame| (frame.kind, frame.flags) = (kind, 0x02));
        let setup = Setup::new(WriteMode::Map);
        let (journal, opened) = Journal::open(DIR, setup.options(&disk)).expect("a torn tail");
        assert_eq!((opened.found, opened.quarantined_bytes()), (Found::Cut, 40));
        assert_eq!(read_all(&journal).len(), 2);
    }
}

/// Changes a field of a manifest or segment header and makes its checksum fit.
fn with_format(change: impl Fn(&mut [u8])) -> [SimDisk; 2] {
    let (disk, _) = two_groups();
    let other = disk.fork();
    change_manifest(&disk, &change);
    other.damage(path(SEGMENT), |bytes| {
        for copy in [0, 3584] {
            let copy = &mut bytes[copy..copy + 128];
            change(copy);
            let crc = crc32c::crc32c(&copy[..124]);
            put32(copy, 124, crc);
        }
    });
    [disk, other]
}

#[test]
fn newer_versions_and_unknown_features_are_named() {
    for disk in with_format(|bytes| bytes[8] = 2) {
        match open(&disk) {
            Err(OpenError::NewerFormat(NewerFormat::Major { major, supported, .. })) => {
                assert_eq!((major, supported), (2, 1));
            }
            other => panic!("{other:?}"),
        }
    }
    for disk in with_format(|bytes| bytes[12] = 8) {
        match open(&disk) {
            Err(OpenError::NewerFormat(NewerFormat::Incompat { bits, .. })) => assert_eq!(bits, 8),
            other => panic!("{other:?}"),
        }
    }
    // A newer minor version and compatible features are no obstacle.
    for disk in with_format(|bytes| (bytes[10], bytes[20]) = (7, 1)) {
        drop(open(&disk).expect("compatible"));
    }
    let [manifest, _] = with_format(|bytes| bytes[16] = 1);
    match open(&manifest) {
        Err(OpenError::NewerFormat(NewerFormat::ReadOnly { bits, .. })) => assert_eq!(bits, 1),
        other => panic!("{other:?}"),
    }
    let setup = Setup::new(WriteMode::Map);
    let inspection = Journal::inspect(DIR, setup.options(&manifest)).expect("may be read");
    assert_eq!(inspection.safe_point().map(|safe| safe.lsn.get()), Some(2));
}

/// Makes the manifest claim that everything before a position was durable.
fn claim(disk: &SimDisk, position: u64) {
    change_manifest(disk, |bytes| bytes[80..88].copy_from_slice(&position.to_le_bytes()));
}

/// Changes the manifest and makes its checksum fit.
fn change_manifest(disk: &SimDisk, change: impl Fn(&mut [u8])) {
    disk.damage(path("MANIFEST"), |bytes| {
        change(bytes);
        let trail = u32_at(bytes, 4) as usize - 12;
        let crc = crc32c::crc32c(&bytes[..trail]);
        put32(bytes, trail, crc);
    });
}

fn reason(disk: &SimDisk) -> CorruptReason {
    match open(disk) {
        Err(OpenError::Corrupt(corrupt)) => corrupt.reason,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn each_kind_of_damage_has_its_reason() {
    type Case = (fn(&mut Frame), CorruptReason);
    let cases: [Case; 4] = [
        (|frame| frame.payload_len = 1 << 20, CorruptReason::Length),
        (|frame| frame.payload_len = 7, CorruptReason::Payload),
        (|frame| frame.lsn = 4, CorruptReason::Sequence),
        (|frame| frame.prev_crc ^= 1, CorruptReason::Chain),
    ];
    for (change, expected) in cases {
        let disk = with_third(change);
        claim(&disk, 89);
        assert_eq!(reason(&disk), expected);
    }
    let (disk, _) = two_groups();
    claim(&disk, 96);
    assert_eq!(reason(&disk), CorruptReason::FrameHeader);
    // A segment that is sealed in the middle of a frame, or behind another frame than its last.
    for (bytes, position, lsn) in [(4096 + 80, 80, 2), (4096 + 40, 40, 2), (4096 + 88, 88, 2_u64)] {
        let (disk, _) = two_groups();
        change_manifest(&disk, |manifest| {
            let entry = &mut manifest[128..128 + 96];
            entry[34] |= 1;
            entry[40..48].copy_from_slice(&u64::to_le_bytes(bytes));
            entry[48..56].copy_from_slice(&lsn.to_le_bytes());
            entry[56..64].copy_from_slice(&u64::to_le_bytes(position));
        });
        let found = reason(&disk);
        let expected = match bytes {
            4176 => CorruptReason::Length,
            _ => CorruptReason::SealedLength,
        };
        assert_eq!(found, expected, "sealed at {bytes}");
    }
}

/// A segment is the one that the manifest lists in every respect, and continues the one before.
#[test]
fn a_header_that_says_something_else_than_the_manifest_is_of_another_journal() {
    let setup = Setup::new(WriteMode::Map);
    let disk = SimDisk::new(1);
    let journal = setup.open(&disk).expect("a new journal");
    journal.commit(&batch([&b"hello"[..]]), Level::Batch).expect("room");
    journal.roll().expect("room");
    journal.commit(&batch([&b"more"[..]]), Level::Batch).expect("room");
    let disk = disk.power_cut(&mut Fixed::Nothing);
    let second = disk.names(DIR).into_iter().rfind(|name| name.starts_with("seg-"));
    let second = path(&second.expect("there are two"));
    // Journal, session, salt, first lsn, first position, prev_crc, generation, and the two flags.
    for at in [24, 40, 56, 64, 72, 80, 84, 86, 87] {
        let disk = disk.fork();
        disk.damage(&second, |bytes| {
            for copy in [0, 3584] {
                let copy = &mut bytes[copy..copy + 128];
                copy[at] ^= 1;
                let crc = crc32c::crc32c(&copy[..124]);
                put32(copy, 124, crc);
            }
        });
        assert_eq!(reason(&disk), CorruptReason::SegmentForeign, "the byte at {at}");
    }
    // What the manifest says of the end of the first one: offset, lsn, position, checksum. The first three
    // must go with each other and with the next segment.
    for at in [40, 48, 56, 64] {
        let disk = disk.fork();
        change_manifest(&disk, |manifest| manifest[128 + at] ^= 0x40);
        match open(&disk) {
            Err(OpenError::ManifestDamaged { .. }) if at < 64 => {}
            Err(OpenError::Corrupt(corrupt)) if at == 64 => {
                assert_eq!(corrupt.reason, CorruptReason::SealedLength);
            }
            other => panic!("byte {at} of the first segment's entry: {other:?}"),
        }
    }
    open(&disk).expect("it was sound");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a frame says, as long as its checksums hold: an answer, never a panic, and the
    /// groups before it stay.
    #[test]
    fn any_frame_with_right_checksums_is_answered(
        kind: u8,
        flags: u8,
        records: u16,
        len in prop_oneof![0_u32..64, 60_000_u32..70_000, any::<u32>()],
        lsn in prop_oneof![0_u64..6, any::<u64>()],
        durable_back: u32,
        chained: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let disk = with_third(|frame| {
            (frame.kind, frame.flags, frame.records) = (kind, flags, records);
            (frame.lsn, frame.durable_back) = (lsn, durable_back);
            frame.payload_len = len;
            if len < 64 {
                frame.payload_len = u32::try_from(payload.len()).expect("short");
            }
            frame.payload.clone_from(&payload);
            if !chained {
                frame.prev_crc ^= 0x55;
            }
        });
        if let Ok(journal) = open(&disk) {
            let mut reader = journal.read(From::Start).expect("readable");
            prop_assert_eq!(reader.next_group().expect("sound").expect("kept").end(), End::SafePoint);
            prop_assert!(reader.next_group().expect("sound").is_some());
            while let Ok(Some(_)) = reader.next_group() {}
        }
    }

    /// Any bytes in place of any file: an answer, never a panic.
    #[test]
    fn any_bytes_in_any_file_are_answered(
        file in 0_usize..3,
        at in 0_usize..5000,
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        truncate: bool,
    ) {
        let (disk, _) = two_groups();
        let name = ["MANIFEST", "DURABLE", SEGMENT][file];
        disk.damage(path(name), |content| {
            let at = at.min(content.len());
            let end = (at + bytes.len()).min(content.len());
            content[at..end].copy_from_slice(&bytes[..end - at]);
            if truncate {
                content.truncate(end);
            }
        });
        if let Ok(journal) = open(&disk) {
            let found = payloads(&read_all(&journal));
            let all = [b"hello".to_vec(), b"a".to_vec(), b"bc".to_vec()];
            prop_assert!(all.starts_with(&found));
        }
    }
}

/// The bytes of a journal made from a fixed seed. A change here is a change of the format: it needs
/// a new version, not a new number.
#[test]
fn the_bytes_of_version_1_0_stay() {
    let (disk, _) = two_groups();
    let digest = |name: &str| crc32c::crc32c(&disk.content(path(name)));
    assert_eq!(
        [digest(SEGMENT), digest("MANIFEST")].map(|crc| format!("{crc:08x}")),
        ["6dbc81fe", "478d8560"]
    );
}
