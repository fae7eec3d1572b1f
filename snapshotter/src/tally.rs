//! What may be dead in a range of records, told without folding them: a fraction of what a fold costs,
//! and where nothing is updated and nothing deleted it says that folding would find nothing.

#[cfg(test)]
mod tests;

use steadfast_journal::{Group, Normalize, NormalizeError, Refusal, Survivors};
use steadfast_wm::Record;
use steadfast_wm::codec::v1::{self, Sort};

/// Bytes of a value's length, at most.
const LENGTH_BYTES: usize = 5;

/// Bytes of a number, at most.
const NUMBER_BYTES: u64 = 10;

/// Bytes of a record that says whether a fact is stated, at most.
const STATEMENT_BYTES: u64 = 24;

/// The records before a range whose place a range of nothing but insertions takes: the last commit, what
/// is folded before it, the last flush and the clock.
const LAST_RECORDS: u64 = 4;

/// What may be dead in a range of groups.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    /// Bytes of everything but insertions, and of what insertions need not repeat if the records between
    /// them go: how much of it remains is not known.
    others: u64,
    /// How many records take away the value that a fact had.
    changes: u64,
    /// How many records of other things are taken away.
    replacements: u64,
    /// How many take the place of a ruleset.
    rulesets: u64,
    /// What no flush of the range has matched: it may take away something once one does.
    staged: Staged,
    /// Whether the range has a flush.
    flushes: bool,
}

/// Operations that wait for a flush.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Staged {
    /// How many of them take away the value that a fact had.
    changes: u64,
    /// Bytes of which nothing may remain.
    bytes: u64,
}

/// How long what can be taken away is at most, in a range and everything before it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Longest {
    /// A fact's value, with its length.
    value: u64,
    /// What a record that inserts has beside.
    envelope: u64,
    ruleset: u64,
    /// Any other record.
    other: u64,
    /// All supports together, their number and their bytes: a fact that goes may have had any number.
    supports: u64,
    support_bytes: u64,
}

impl Longest {
    /// Takes in what follows.
    pub(crate) fn add(&mut self, next: Self) {
        self.value = self.value.max(next.value);
        self.envelope = self.envelope.max(next.envelope);
        self.ruleset = self.ruleset.max(next.ruleset);
        self.other = self.other.max(next.other);
        self.supports += next.supports;
        self.support_bytes += next.support_bytes;
    }
}

impl Staged {
    fn add(&mut self, next: Self) {
        self.changes += next.changes;
        self.bytes += next.bytes;
    }
}

impl Tally {
    /// Takes in what follows.
    pub(crate) fn add(&mut self, next: Self) {
        self.others += next.others;
        self.changes += next.changes;
        self.replacements += next.replacements;
        self.rulesets += next.rulesets;
        if next.flushes {
            self.staged = Staged::default();
            self.flushes = true;
        }
        self.staged.add(next.staged);
    }

    /// The same of a range, given what stands before it: what waits there may be flushed in it.
    pub(crate) fn behind(mut self, before: &Self) -> Self {
        self.changes += before.staged.changes;
        self.others += before.staged.bytes;
        self
    }

    /// Bytes that may be dead because of the range, in it and before it, at most. Nothing there is longer
    /// than `longest` says.
    pub(crate) fn dead_max(&self, longest: Longest) -> u64 {
        let of = |count: u64, bytes: u64| count.saturating_mul(bytes);
        // What stood between two insertions of a group is gone: they are one record.
        let merged = longest.envelope;
        // Whoever changes a value gives it a number, which may be longer than that of the insertion.
        let fact = longest.value + longest.envelope + NUMBER_BYTES + STATEMENT_BYTES + merged;
        let supports = longest.support_bytes.saturating_add(of(longest.supports, merged));
        let dead = [
            self.others,
            of(self.changes, fact),
            if self.changes > 0 { supports } else { 0 },
            of(self.replacements, longest.other + merged),
            of(self.rulesets, longest.ruleset + merged),
            of(LAST_RECORDS, longest.other + merged),
        ];
        dead.into_iter().fold(0, u64::saturating_add)
    }
}

/// Tallies a range, and leaves it as it is.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    tally: Tally,
    longest: Longest,
    /// Bytes of insertions that live as far as the range can tell by itself.
    insertions: u64,
}

impl Teller {
    /// What was found.
    pub(crate) fn tally(&self) -> (Tally, Longest) {
        (self.tally, self.longest)
    }

    /// Takes in a record of so many bytes. Insertions of one group that follow one another, whatever
    /// stands between them, may be one record some day.
    fn take(&mut self, tag: u32, version: u32, payload: &[u8], bytes: usize, inserted: &mut bool) {
        let (Self { tally, longest, insertions }, bytes) = (self, bytes as u64);
        match v1::sort(tag) {
            Sort::Insertion => {
                let (value, values) = match v1::decode_payload(tag, version, payload) {
                    Ok(Record::Inserts(inserts)) => {
                        let longest = inserts.values.iter().map(<[u8]>::len).max().unwrap_or(0);
                        (longest + LENGTH_BYTES, inserts.values.bytes().len())
                    }
                    Ok(Record::Insert { bytes: value, .. }) => {
                        (value.len() + LENGTH_BYTES, value.len())
                    }
                    // Whoever folds it says what is wrong with it.
                    _ => (0, 0),
                };
                let values = values as u64;
                longest.value = longest.value.max(value as u64);
                longest.envelope = longest.envelope.max(bytes.saturating_sub(values));
                if *inserted {
                    *insertions += values;
                    tally.staged.bytes += bytes.saturating_sub(values);
                } else {
                    *insertions += bytes;
                }
                *inserted = true;
            }
            Sort::Change => {
                tally.changes += 1;
                tally.staged.add(Staged { changes: 1, bytes });
                // The value that it gives may stand at the insertion's place some day.
                longest.value = longest.value.max(bytes);
            }
            Sort::Support => {
                tally.replacements += 1;
                longest.supports += 1;
                longest.support_bytes += bytes;
                longest.other = longest.other.max(bytes);
            }
            Sort::Ruleset => {
                tally.rulesets += 1;
                longest.ruleset = longest.ruleset.max(bytes);
            }
            Sort::Replacement => {
                tally.replacements += 1;
                // It may say that a fact is stated.
                tally.staged.bytes += bytes;
                longest.other = longest.other.max(bytes);
            }
            Sort::Acknowledgement => {
                tally.replacements += 2;
                longest.other = longest.other.max(bytes);
            }
            Sort::Flush => {
                longest.other = longest.other.max(bytes);
                tally.flushes = true;
                tally.staged = Staged::default();
            }
            Sort::Mark => longest.other = longest.other.max(bytes),
        }
    }

    /// Of so many bytes, everything but the insertions may be dead.
    fn end(&mut self, bytes: u64) {
        self.tally.others = bytes.saturating_sub(self.insertions);
    }
}

impl Normalize for Teller {
    fn read(&mut self, group: &Group<'_>) -> Result<(), Refusal> {
        let mut inserted = false;
        for record in group.records() {
            let (tag, version, payload) = (record.tag(), record.version(), record.payload());
            self.take(tag, version, payload, record.bytes().len(), &mut inserted);
        }
        Ok(())
    }

    fn is_worth(&mut self, bytes: u64) -> bool {
        self.end(bytes);
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
