//! What the tests share.

use std::path::Path;

use steadfast_journal::{Appended, Batch, End, From, Journal, Options, Reader};

/// A group as the tests see it: the payloads of its records, and whether it is a safe point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) lsn: u64,
    pub(crate) position: u64,
    pub(crate) end: End,
    pub(crate) records: Vec<Vec<u8>>,
}

/// A batch of the given payloads.
pub(crate) fn batch<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Batch {
    let mut batch = Batch::new();
    for payload in payloads {
        batch.push(1, 1, payload).expect("test payloads are short");
    }
    batch
}

/// Appends one record as a safe point.
pub(crate) fn append(journal: &Journal, payload: &[u8]) -> Appended {
    journal.append(&batch([payload]), End::SafePoint).expect("there is room")
}

/// Reads everything that is left.
pub(crate) fn drain(reader: &mut Reader) -> Vec<Seen> {
    let mut groups = Vec::new();
    while let Some(group) = reader.next_group().expect("the journal is intact") {
        groups.push(Seen {
            lsn: group.lsn().get(),
            position: group.position().get(),
            end: group.end(),
            records: group.records().map(|record| record.payload().to_vec()).collect(),
        });
    }
    groups
}

/// All groups of an open journal.
pub(crate) fn read_all(journal: &Journal) -> Vec<Seen> {
    drain(&mut journal.read(From::Start).expect("readable"))
}

/// The payloads of all records, without their groups.
pub(crate) fn payloads(groups: &[Seen]) -> Vec<Vec<u8>> {
    groups.iter().flat_map(|group| group.records.clone()).collect()
}

/// Options for small journals.
pub(crate) fn small() -> Options {
    Options::new().segment_bytes(64 << 10)
}

/// Opens a journal that is known to be sound.
pub(crate) fn open(dir: &Path, options: Options) -> Journal {
    Journal::open(dir, options).expect("a sound journal").0
}
