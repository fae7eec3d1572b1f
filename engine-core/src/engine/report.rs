//! What is reported of each firing.

use steadfast_wm::{MatchId, Record, RuleTag};

use super::{Engine, RuleInfo};

/// The record of a firing, in the room of the one before.
pub(super) struct Report(Record<'static>);

impl Default for Report {
    fn default() -> Self {
        let by = MatchId { rule: RuleTag::new(0), branch: 0, members: Vec::new() };
        Self(Record::Fired { by })
    }
}

impl Report {
    #[inline]
    pub(super) fn record(&self) -> &Record<'_> {
        &self.0
    }
}

impl Engine {
    /// Notes which match fires; what it changes may take it away before that is reported.
    #[inline]
    pub(super) fn note_report(&mut self, rule: usize, token: u32) {
        let Record::Fired { by } = &mut self.scratch.report.0 else {
            unreachable!("it is never another record")
        };
        let RuleInfo { tag, branch, .. } = self.infos[rule];
        (by.rule, by.branch) = (tag, branch);
        self.rules[rule].net.members_into(&self.store, token, &mut by.members);
    }
}
