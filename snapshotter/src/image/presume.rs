//! Images that no history has made: what a range of records presupposes.

use steadfast_wm::{CommitSeq, FactHandle, MatchId};

use super::{Effect, Fact, Image};

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

    pub(crate) fn presume_commit(&mut self, commit: CommitSeq) {
        self.commit = commit;
    }
}
