//! Images that no history has made: what a range of records presupposes.

use steadfast_wm::{CommitSeq, FactHandle, MatchId, Seq};

use super::{Effect, Fact, GroupMarks, Image};

impl Image {
    pub(crate) fn presume_types(&mut self, count: u32) {
        // No type of a session has an empty name or one with a space in it.
        self.types = (0..count).map(|number| format!("type {number}")).collect();
    }

    pub(crate) fn presume_fact(&mut self, handle: FactHandle, fact: Fact) {
        self.facts.insert(handle, fact);
    }

    pub(crate) fn presume_justification(&mut self, handle: FactHandle, by: MatchId) {
        self.justifications.entry(handle).or_default().insert(by);
    }

    pub(crate) fn presume_effect(&mut self, commit: CommitSeq, ordinal: u32, effect: Effect) {
        self.outbox.insert((commit, ordinal), effect);
    }

    pub(crate) fn presume_pending(&mut self, by: MatchId) {
        self.pending.insert(by, (0, Seq::default()));
    }

    pub(crate) fn presume_waiting(&mut self, by: MatchId) {
        self.waiting.insert(by, 0);
    }

    pub(crate) fn presume_focus(&mut self) {
        // As of types: no group has such a name.
        self.focus = vec![" ".to_owned()];
    }

    pub(crate) fn presume_group_marks(&mut self, group: String) {
        let never = Seq::new(u64::MAX);
        self.group_marks
            .insert(group, GroupMarks { active: true, activated: never, cleared: never });
    }

    pub(crate) fn presume_commit(&mut self, commit: CommitSeq) {
        self.commit = commit;
    }
}
