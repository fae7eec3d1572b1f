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
    /// The last commit, and those of effects that wait.
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
        if self.waiting.remove(&(commit, ordinal)).is_some() {
            drop(self.drop_commit(commit));
        } else {
            self.acknowledged.insert((commit, ordinal), record);
        }
    }

    /// Drops a commit that nothing needs any more, and gives it.
    fn drop_commit(&mut self, commit: CommitSeq) -> Option<Kept> {
        let waits = self.waiting.range((commit, 0)..=(commit, u32::MAX)).next().is_some();
        if commit != self.last && !waits { self.kept.remove(&commit) } else { None }
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
        let previous = std::mem::replace(&mut self.last, commit);
        let record = match self.drop_commit(previous) {
            Some(dropped) => dropped.instead(at, bytes),
            None => Kept::new(at, bytes),
        };
        self.kept.insert(commit, record);
        for (ordinal, effect) in std::mem::take(&mut self.emitted) {
            self.waiting.insert((commit, ordinal), effect);
        }
        Ok(())
    }

    /// The commits up to and with `through` are folded.
    pub(super) fn skip(&mut self, through: CommitSeq) -> Result<(), FoldError> {
        if self.before.is_some() && self.last >= through {
            return Err(FoldError::CommitOrder { found: through, last: self.last });
        }
        self.before.get_or_insert(CommitSeq::new(through.get().saturating_sub(1)));
        let previous = std::mem::replace(&mut self.last, through);
        drop(self.drop_commit(previous));
        Ok(())
    }

    /// The number before the range's first commit.
    pub(super) fn before(&self) -> CommitSeq {
        self.before.unwrap_or_default()
    }

    /// Whether the range has a commit and no effect behind the last.
    pub(super) fn is_complete(&self) -> bool {
        self.emitted.is_empty() && self.kept.contains_key(&self.last)
    }

    /// Adds the records that remain.
    pub(super) fn survivors<'a>(&'a self, survivors: &mut Vec<(At, Survivor<'a>)>) {
        let mut previous = self.before();
        for (&commit, kept) in &self.kept {
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
