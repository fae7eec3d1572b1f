//! What may be dead in a range of records, told without folding them: a fraction of what a fold costs,
//! and where nothing is updated and nothing deleted it says that folding would find nothing.

use steadfast_journal::{Group, Normalize, NormalizeError, Refusal, Survivors};
use steadfast_wm::Record;
use steadfast_wm::codec::v1;

/// Bytes of a value's length, at most.
const LENGTH_BYTES: usize = 5;

/// What may be dead in a range of groups.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    /// Bytes of everything but insertions: how much of it remains is not known.
    others: u64,
    /// How many records take away the value that a fact had.
    overwrites: u64,
    /// Bytes of the longest value that an insertion gives.
    longest: u64,
}

impl Tally {
    /// Takes in what follows.
    pub(crate) fn add(&mut self, next: Self) {
        self.others += next.others;
        self.overwrites += next.overwrites;
        self.longest = self.longest.max(next.longest);
    }

    /// Bytes that may be dead, in the range and before it, at most. No value there is longer than
    /// `longest` says.
    pub(crate) fn dead_max(&self, longest: u64) -> u64 {
        self.others.saturating_add(self.overwrites.saturating_mul(longest))
    }

    /// Bytes of the longest value that an insertion of the range gives.
    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    /// Takes in a record; gives how many of its bytes are of insertions: all or none.
    fn take(&mut self, tag: u32, version: u32, payload: &[u8], bytes: usize) -> usize {
        if v1::overwrites(tag) {
            self.overwrites += 1;
        }
        if !v1::inserts(tag) {
            return 0;
        }
        let longest = match v1::decode_payload(tag, version, payload) {
            Ok(Record::Inserts(inserts)) => {
                inserts.values.iter().map(<[u8]>::len).max().unwrap_or(0) + LENGTH_BYTES
            }
            // It is one insertion, or whoever folds it says what is wrong with it.
            _ => bytes,
        };
        self.longest = self.longest.max(longest as u64);
        bytes
    }
}

/// Tallies a range, and leaves it as it is.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    tally: Tally,
    insertions: u64,
}

impl Teller {
    /// What was found.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }
}

impl Normalize for Teller {
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        for record in group.records() {
            let (tag, version, payload) = (record.tag(), record.version(), record.payload());
            let insertions = self.tally.take(tag, version, payload, record.bytes().len());
            self.insertions += insertions as u64;
        }
        Ok(())
    }

    fn is_worth(&mut self, bytes: u64) -> bool {
        self.tally.others = bytes.saturating_sub(self.insertions);
        false
    }

    fn write(&mut self, _survivors: &mut Survivors<'_>) -> Result<(), NormalizeError> {
        unreachable!("a tally is never worth writing")
    }

    fn compare_old(&mut self, _group: &Group<'_>) -> Result<(), Refusal> {
        unreachable!("nothing was written")
    }

    fn compare_new(&mut self, _group: &Group<'_>) -> Result<(), Refusal> {
        unreachable!("nothing was written")
    }

    fn verdict(&mut self) -> Result<(), Refusal> {
        unreachable!("nothing was written")
    }
}
