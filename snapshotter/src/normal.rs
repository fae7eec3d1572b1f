//! The normal form of a range of records: what folding needs of it, and nothing else.
//!
//! Records that cancel each other inside the range vanish; values that were overwritten fold into
//! the last one. What remains keeps its order and the number of the frame that it came in:
//!
//! - an insertion stands at its place with the last value, also if it was updated since;
//! - of a fact from before the range the last update, the last statement or the deletion remain;
//! - operations that no flush of the range has matched remain verbatim;
//! - of supports, the pending set, matches that wait, the focus, globals, clock and ruleset the last change remains, and none of
//!   those that only the range knows of and that are over;
//! - effects remain until their acknowledgement is in the range as well;
//! - the range's last commit remains with its counters, and every commit of an effect that waits;
//!   [`Record::Folded`] stands for those between.
//!
//! The normal form of a normal form is itself. A range that begins with the session ([`whole`]) has
//! nothing before it to refer to: no tombstone remains of it.
//!
//! [`whole`]: NormalForm::new

mod commits;
mod facts;
mod premise;
mod runs;
mod supports;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use steadfast_wm::codec::v1;
use steadfast_wm::{FactHandle, MatchId, Member, Record};

use crate::error::FoldError;

use commits::Commits;
use facts::Facts;
use supports::Supports;

/// What a record has beside its value, about.
const ENVELOPE_BYTES: usize = 24;

/// Where a record stands: its number in the range, and the last frame of its group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct At {
    number: u64,
    /// Last frame of the group that the record came in.
    pub(crate) lsn: u64,
}

/// A record that remains as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    at: At,
    bytes: Box<[u8]>,
}

impl Kept {
    fn new(at: At, bytes: &[u8]) -> Self {
        Self { at, bytes: bytes.into() }
    }

    /// Takes the place of one that nobody needs any more.
    fn instead(self, at: At, bytes: &[u8]) -> Self {
        let mut kept = self.bytes;
        if kept.len() != bytes.len() {
            return Self::new(at, bytes);
        }
        kept.copy_from_slice(bytes);
        Self { at, bytes: kept }
    }
}

/// What only the last of several records matters of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Latest {
    Ruleset,
    Clock,
    Global(String),
    Focus,
    /// Marks of an agenda group.
    Group(String),
}

/// A match that entered the pending set or those that wait, changed its key there, or left.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pending {
    last: Kept,
    /// Whether it left.
    withdrawn: bool,
}

/// The normal form of the records taken in so far.
#[derive(Clone, Debug)]
pub(crate) struct NormalForm {
    whole: bool,
    number: u64,
    /// The first handle that the range gave; all before are older than the range.
    first_born: Option<FactHandle>,
    /// One more than the greatest type that the range has used.
    kinds: u32,
    facts: Facts,
    supports: Supports,
    commits: Commits,
    types: Vec<Kept>,
    pending: BTreeMap<MatchId, Pending>,
    waiting: BTreeMap<MatchId, Pending>,
    latest: BTreeMap<Latest, Kept>,
    /// The last flush of the range.
    evaluated: Option<At>,
}

/// A record of the normal form.
#[derive(Debug)]
pub(crate) enum Survivor<'a> {
    /// As it was.
    Bytes(&'a [u8]),
    /// Put together from several.
    Record(Record<'a>),
}

impl Survivor<'_> {
    /// Appends the record's bytes.
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Bytes(kept) => bytes.extend_from_slice(kept),
            Self::Record(record) => v1::encode(record, bytes),
        }
    }

    /// Bytes of the fact's value in it.
    fn value_bytes(&self) -> usize {
        match self {
            Self::Record(Record::Insert { bytes, .. } | Record::Update { bytes, .. }) => {
                bytes.len()
            }
            _ => 0,
        }
    }
}

impl NormalForm {
    /// The normal form of nothing. `whole` says that the range begins with the session.
    pub(crate) fn new(whole: bool) -> Self {
        Self {
            whole,
            number: 0,
            first_born: None,
            kinds: 0,
            facts: Facts::default(),
            supports: Supports::default(),
            commits: Commits::default(),
            types: Vec::new(),
            pending: BTreeMap::new(),
            waiting: BTreeMap::new(),
            latest: BTreeMap::new(),
            evaluated: None,
        }
    }

    /// Takes in one record and its bytes, which came in the group that ends with frame `lsn`. There
    /// is no record that it passes over.
    ///
    /// What contradicts itself is found by the fold that the normal form is compared by.
    pub(crate) fn apply(
        &mut self,
        lsn: u64,
        record: &Record<'_>,
        bytes: &[u8],
    ) -> Result<(), FoldError> {
        if let Record::Inserts(inserts) = record {
            // What remains of them is put together again when it is written.
            return inserts.records().try_for_each(|record| self.apply(lsn, &record, bytes));
        }
        self.number += 1;
        let at = At { number: self.number, lsn };
        match record {
            Record::Inserts(_) => unreachable!("they were taken one by one"),
            Record::Insert { handle, kind, .. } => {
                self.kinds = self.kinds.max(kind.get().saturating_add(1));
                self.first_born.get_or_insert(*handle);
                self.facts.stage(at, record);
            }
            Record::Update { .. } | Record::Delete { .. } | Record::Stated { .. } => {
                self.facts.stage(at, record);
            }
            Record::Ruleset { .. } => self.latest(Latest::Ruleset, at, bytes),
            Record::Type { .. } => self.types.push(Kept::new(at, bytes)),
            Record::Justify { handle, by } => self.supports.justify(*handle, by, at, bytes),
            Record::Unjustify { handle, by } => self.supports.unjustify(*handle, by, at, bytes),
            Record::Evaluated | Record::Fired { .. } => {
                self.evaluated = Some(at);
                self.facts.flush(&mut self.supports)?;
            }
            Record::Pending { by, .. } => {
                let last = Kept::new(at, bytes);
                self.pending.insert(by.clone(), Pending { last, withdrawn: false });
            }
            Record::Withdrawn { by } => {
                let vanishes = self.whole || self.is_of_range(by);
                withdraw(&mut self.pending, vanishes, by, Kept::new(at, bytes));
            }
            Record::Due { by, at: Some(_) } => {
                let last = Kept::new(at, bytes);
                self.waiting.insert(by.clone(), Pending { last, withdrawn: false });
            }
            Record::Due { by, at: None } => {
                let vanishes = self.whole || self.is_of_range(by);
                withdraw(&mut self.waiting, vanishes, by, Kept::new(at, bytes));
            }
            Record::SetGlobal { name, .. } => {
                self.latest(Latest::Global((*name).to_owned()), at, bytes);
            }
            Record::Clock { .. } => self.latest(Latest::Clock, at, bytes),
            Record::Focus { .. } => self.latest(Latest::Focus, at, bytes),
            Record::GroupMarks { group, .. } => {
                self.latest(Latest::Group((*group).to_owned()), at, bytes);
            }
            Record::Effect { ordinal, .. } => self.commits.emit(*ordinal, Kept::new(at, bytes)),
            Record::Acknowledge { commit, ordinal } => {
                self.commits.acknowledge(*commit, *ordinal, Kept::new(at, bytes));
            }
            Record::Commit { commit, .. } => self.commits.close(*commit, at, bytes)?,
            Record::Folded { through } => self.commits.skip(*through)?,
        }
        Ok(())
    }

    fn latest(&mut self, what: Latest, at: At, bytes: &[u8]) {
        self.latest.insert(what, Kept::new(at, bytes));
    }

    /// Whether one of the match's facts was inserted in the range. INV-41: handles only grow.
    fn is_of_range(&self, by: &MatchId) -> bool {
        by.members.iter().any(|member| match member {
            Member::Fact(handle) => self.is_born(*handle),
            Member::Key(_) => false,
        })
    }

    fn is_born(&self, handle: FactHandle) -> bool {
        self.first_born.is_some_and(|first| handle >= first)
    }

    /// Whether the range begins with the session.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether the range ends with a complete commit.
    pub(crate) fn is_complete(&self) -> bool {
        self.commits.is_complete()
    }

    /// Bytes of the records that remain, about.
    pub(crate) fn bytes(&self) -> u64 {
        let value_bytes = |(_, survivor): &(At, Survivor<'_>)| survivor.value_bytes();
        let bytes = |run: &[(At, Survivor<'_>)]| match run {
            [(_, Survivor::Bytes(bytes))] => bytes.len(),
            run => ENVELOPE_BYTES + run.len() - 1 + run.iter().map(value_bytes).sum::<usize>(),
        };
        runs::of(&self.survivors()).map(bytes).sum::<usize>() as u64
    }

    /// Gives the records that remain, in order: for each the last frame of its group, and what appends its
    /// bytes. Insertions that follow one another are one.
    pub(crate) fn write<E>(
        &self,
        mut put: impl FnMut(u64, &mut dyn FnMut(&mut Vec<u8>)) -> Result<(), E>,
    ) -> Result<(), E> {
        let survivors = self.survivors();
        let mut values = Vec::new();
        for run in runs::of(&survivors) {
            put(run[0].0.lsn, &mut |bytes| runs::encode(run, &mut values, bytes))?;
        }
        Ok(())
    }

    /// How many facts the range inserts and keeps, and how many older ones it changes.
    pub(crate) fn count_facts(&self) -> (u64, u64) {
        self.facts.count()
    }

    /// The records that remain, in order, one for each insertion.
    fn survivors(&self) -> Vec<(At, Survivor<'_>)> {
        let mut survivors = Vec::new();
        self.facts.survivors(&mut survivors);
        self.supports.survivors(&mut survivors);
        self.commits.survivors(&mut survivors);
        let pending = self.pending.values().chain(self.waiting.values()).map(|it| &it.last);
        let kept = self.types.iter().chain(pending).chain(self.latest.values());
        survivors.extend(kept.map(|kept| (kept.at, Survivor::Bytes(&kept.bytes))));
        if let Some(at) = self.evaluated {
            survivors.push((at, Survivor::Record(Record::Evaluated)));
        }
        // Stable: what stands before a commit at its place stays before it.
        survivors.sort_by_key(|(at, _)| at.number);
        survivors
    }
}

/// A match left the pending set, or waits no longer. Nothing remains of it if it cannot have been there
/// before the range, so that it vanishes.
fn withdraw(matches: &mut BTreeMap<MatchId, Pending>, vanishes: bool, by: &MatchId, last: Kept) {
    if vanishes {
        matches.remove(by);
    } else {
        matches.insert(by.clone(), Pending { last, withdrawn: true });
    }
}
