//! What a fuzzer calls: every decoder of the format, and opening. Each is total: whatever the bytes,
//! it answers, and allocates no more than it was given. The crate's tests replay the corpus of
//! `journal/fuzz`, and change it at random.

use std::path::Path;
use std::sync::Arc;

use super::SimDisk;
use crate::batch::{Batch, End};
use crate::bytes::u16_at;
use crate::durable_slot;
use crate::frame::{self, Content, HEADER, HEADER_BYTES, Kind, Place, Salt};
use crate::ids::Uuid;
use crate::manifest::Manifest;
use crate::options::Options;
use crate::reader::From;
use crate::record::{self, Records};
use crate::segment::{COPY_BYTES, SegmentHeader};
use crate::storage::{Access, Storage as _};
use crate::window::{Checked, Window};

/// What is called with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FuzzTarget {
    /// A frame of a segment, as it is and with its header's checksum put right.
    Frame,
    /// The records of a payload.
    Records,
    /// A segment's header, as it is and with its checksum put right.
    Segment,
    /// A manifest, as it is and with length, trailer and checksum put right.
    Manifest,
    /// The file of durable slots, and a pin.
    Slots,
    /// Bytes of a small journal are changed, and it is opened, read and examined.
    Journal,
}

impl FuzzTarget {
    /// Every target, by the name of its corpus.
    pub const ALL: [(&'static str, Self); 6] = [
        ("frame", Self::Frame),
        ("records", Self::Records),
        ("segment", Self::Segment),
        ("manifest", Self::Manifest),
        ("slots", Self::Slots),
        ("journal", Self::Journal),
    ];
}

/// Calls the target.
///
/// # Panics
///
/// If the target has a defect.
pub fn fuzz(target: FuzzTarget, bytes: &[u8]) {
    match target {
        FuzzTarget::Frame => frame(bytes),
        FuzzTarget::Records => records(bytes),
        FuzzTarget::Segment => segment(bytes),
        FuzzTarget::Manifest => manifest(bytes),
        FuzzTarget::Slots => slots(bytes),
        FuzzTarget::Journal => journal(bytes),
    }
}

/// A file of these bytes, for decoders that read files.
fn window_of(bytes: &[u8]) -> Window {
    let disk = SimDisk::new(1);
    let path = Path::new("/fuzz/file");
    disk.create_dir(Path::new("/fuzz")).expect("room");
    let file = disk.open(path, Access::Create).expect("room");
    file.write_at(bytes, 0).expect("room");
    Window::new(file, bytes.len() as u64)
}

fn frame(bytes: &[u8]) {
    let salt = Salt::new(7);
    let limit = bytes.len() as u64;
    let mut window = window_of(bytes);
    _ = window.frame(salt, 0, limit).expect("a file in memory");
    let Some((fields, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return;
    };
    // The header holds; what it says is up to the fuzzer.
    let content = Content {
        kind: [Kind::Batch, Kind::SafePoint, Kind::Seal][usize::from(fields[4] % 3)],
        more_follows: fields[5] & 1 == 1,
        compacted: false,
        records: u16_at(fields, 6),
        payload_len: crate::bytes::u32_at(fields, 8),
        payload_plain_crc: if fields[0] & 1 == 0 {
            crc32c::crc32c(payload)
        } else {
            crate::bytes::u32_at(fields, 12)
        },
    };
    let lsn = crate::bytes::u64_at(fields, 16);
    let place = Place { salt, offset: 0, position: 0, lsn, prev_crc: 0, durable: None };
    let (header, _) = frame::encode(&content, &place);
    let mut window = window_of(&[&header, payload].concat());
    if let Checked::Frame { header, .. } = window.frame(salt, 0, limit).expect("in memory") {
        assert!(header.total_len() <= limit, "a frame ends inside its segment");
        let end = crate::bytes::size(HEADER + u64::from(header.payload_len)) - HEADER_BYTES;
        records(&payload[..end]);
    }
}

fn records(bytes: &[u8]) {
    // However many the frame counts: exactly one number is right.
    let count = (0..).take(bytes.len() / 3 + 2).find(|n| record::check(bytes, *n).is_ok());
    let Some(count) = count else {
        return;
    };
    let mut batch = Batch::new();
    let mut len = 0;
    for found in Records::new(bytes, count) {
        len += found.bytes().len();
        batch.push(found.tag(), found.version(), found.payload()).expect("it was a record");
    }
    assert_eq!(len, bytes.len(), "records cover their payload");
    assert_eq!(batch.payload(), bytes, "there is one way to write a record");
}

fn segment(bytes: &[u8]) {
    let mut copy = [0; COPY_BYTES];
    let len = bytes.len().min(COPY_BYTES);
    copy[..len].copy_from_slice(&bytes[..len]);
    for fix in [false, true] {
        if fix {
            let crc = crc32c::crc32c(&copy[..COPY_BYTES - 4]);
            copy[COPY_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(header) = SegmentHeader::decode(&copy) {
            // Whether this build may use it is another question, also with an answer.
            _ = header.format.check();
            assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
        }
    }
}

fn manifest(bytes: &[u8]) {
    drop(Manifest::decode(bytes));
    let mut fixed = bytes.to_vec();
    if fixed.len() < 140 {
        return;
    }
    let len = fixed.len();
    let content = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    fixed[..4].copy_from_slice(b"STFM");
    fixed[4..8].copy_from_slice(&content);
    fixed[len - 8..len - 4].copy_from_slice(&content);
    fixed[len - 4..].copy_from_slice(b"MFTS");
    let crc = crc32c::crc32c(&fixed[..len - 12]);
    fixed[len - 12..len - 8].copy_from_slice(&crc.to_le_bytes());
    if let Ok(Ok(manifest)) = Manifest::decode(&fixed) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(Ok(manifest)));
    }
}

fn slots(bytes: &[u8]) {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("/fuzz")).expect("room");
    let file = disk.open(Path::new("/fuzz/DURABLE"), Access::Create).expect("room");
    file.write_at(bytes, 0).expect("room");
    _ = durable_slot::read(&*file, Uuid::default()).expect("in memory");
    _ = crate::pins::decode_any(bytes);
}

/// Groups that the journal of this target holds.
const GROUPS: u8 = 12;

/// Each three bytes name a place in the files and what is written there.
fn journal(bytes: &[u8]) {
    let disk = SimDisk::new(3);
    let dir = Path::new("/fuzz");
    let options = || {
        Options::new().storage(Arc::new(disk.clone())).segment_bytes(64 << 10).without_background()
    };
    let (journal, _) = crate::Journal::open(dir, options()).expect("room");
    let mut batch = Batch::new();
    for group in 0..GROUPS {
        batch.clear();
        batch.push(1, 1, &[group; 40]).expect("short");
        let end = if group % 3 == 1 { End::Batch } else { End::SafePoint };
        journal.append(&batch, end).expect("room");
        if group == GROUPS / 2 {
            journal.roll().expect("room");
        }
    }
    drop(journal);
    let names: Vec<_> = disk.names(dir).into_iter().filter(|name| name != "LOCK").collect();
    for edit in bytes.chunks_exact(4).take(64) {
        let name = &names[usize::from(edit[0]) % names.len()];
        let at = usize::from(u16_at(edit, 1));
        disk.damage(dir.join(name), |content| {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= edit[3];
            }
        });
    }
    drop(crate::Journal::inspect(dir, options()));
    drop(crate::Repair::examine(dir, options()));
    let Ok((journal, _)) = crate::Journal::open(dir, options()) else {
        return;
    };
    let mut next = 0;
    let mut reader = journal.read(From::Start).expect("it was opened");
    while let Some(group) = reader.next_group().expect("it was checked") {
        let record = group.records().next().expect("every group has a record");
        assert_eq!(record.payload(), [next; 40], "a prefix of what was written");
        next += 1;
    }
    assert!(next <= GROUPS);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is, without neighbours: what an interpreter has the patience for (`cargo xtask ci miri`).
    #[test]
    fn every_target_answers_its_corpus() {
        crate::primitives::scheduled(answer_the_corpus);
    }

    fn answer_the_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in FuzzTarget::ALL {
            for file in std::fs::read_dir(corpus.join(name)).expect("there is a corpus") {
                let bytes = std::fs::read(file.expect("readable").path()).expect("readable");
                fuzz(target, &bytes);
            }
        }
    }
}
