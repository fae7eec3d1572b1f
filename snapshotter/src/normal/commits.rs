//! Commits, and the effects that wait in them.

use std::collections::BTreeMap;

use steadfast_wm::{CommitSeq, Record};

use super::{At, Kept, Survivor};
use crate::error::FoldError;

/// The commits of a range.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Commits {
    /// The number before the range's first commit; one at most as great if commits before it are
    /// folded into the range.
    before: Option<CommitSeq>,
    last: CommitSeq,
    /// The record of the last commit; none if it is folded.
    last_record: Option<Kept>,
    /// Earlier commits, of effects that wait.
    kept: BTreeMap<CommitSeq, Kept>,
    /// Effects of the commit that is not complete yet.
    emitted: BTreeMap<u32, Kept>,
    waiting: BTreeMap<(CommitSeq, u32), Kept>,
    /// Acknowledgements of effects that are older than the range.
    pub(super) acknowledged: BTreeMap<(CommitSeq, u32), Kept>,
}

impl Commits {
    pub(super) fn emit(&mut self, ordinal: u32, effect: Kept) {
        self.emitted.insert(ordinal, effect);
    }

    pub(super) fn acknowledge(&mut self, commit: CommitSeq, ordinal: u32, record: Kept) {
        if self.waiting.remove(&(commit, ordinal)).is_none() {
            self.acknowledged.insert((commit, ordinal), record);
        } else if !self.waits(commit) {
            self.kept.remove(&commit);
        }
    }

    /// Whether an effect of the commit waits.
    fn waits(&self, commit: CommitSeq) -> bool {
        let effects = (commit, 0)..=(commit, u32::MAX);
        !self.waiting.is_empty() && self.waiting.range(effects).next().is_some()
    }

    /// Makes another commit the last one; gives the record of the one that was if nobody needs it.
    fn advance(&mut self, commit: CommitSeq) -> Option<Kept> {
        let previous = std::mem::replace(&mut self.last, commit);
        let record = self.last_record.take()?;
        if self.waits(previous) {
            self.kept.insert(previous, record);
            return None;
        }
        Some(record)
    }

    pub(super) fn close(
        &mut self,
        commit: CommitSeq,
        at: At,
        bytes: &[u8],
    ) -> Result<(), FoldError> {
        let before = CommitSeq::new(commit.get().saturating_sub(1));
        if self.before.is_some() && self.last != before {
            return Err(FoldError::CommitOrder { found: commit, last: self.last });
        }
        self.before.get_or_insert(before);
        self.last_record = Some(match self.advance(commit) {
            Some(dropped) => dropped.instead(at, bytes),
            None => Kept::new(at, bytes),
        });
        if !self.emitted.is_empty() {
            let emitted = std::mem::take(&mut self.emitted);
            let waiting = emitted.into_iter().map(|(ordinal, effect)| ((commit, ordinal), effect));
            self.waiting.extend(waiting);
        }
        Ok(())
    }

    /// The commits up to and with `through` are folded.
    pub(super) fn skip(&mut self, through: CommitSeq) -> Result<(), FoldError> {
        if self.before.is_some() && self.last >= through {
            return Err(FoldError::CommitOrder { found: through, last: self.last });
        }
        self.before.get_or_insert(CommitSeq::new(through.get().saturating_sub(1)));
        drop(self.advance(through));
        Ok(())
    }

    /// The number before the range's first commit.
    pub(super) fn before(&self) -> CommitSeq {
        self.before.unwrap_or_default()
    }

    /// Whether the range has a commit and no effect behind the last.
    pub(super) fn is_complete(&self) -> bool {
        self.emitted.is_empty() && self.last_record.is_some()
    }

    /// Adds the records that remain.
    pub(super) fn survivors<'a>(&'a self, survivors: &mut Vec<(At, Survivor<'a>)>) {
        let mut previous = self.before();
        let last = self.last_record.iter().map(|record| (&self.last, record));
        for (&commit, kept) in self.kept.iter().chain(last) {
            let through = CommitSeq::new(commit.get().saturating_sub(1));
            if through > previous {
                survivors.push((kept.at, Survivor::Record(Record::Folded { through })));
            }
            survivors.push((kept.at, Survivor::Bytes(&kept.bytes)));
            previous = commit;
        }
        let kept =
            self.waiting.values().chain(self.acknowledged.values()).chain(self.emitted.values());
        survivors.extend(kept.map(|kept| (kept.at, Survivor::Bytes(&kept.bytes))));
    }
}
