//! Matches of one rule that wait for their time, and what the journal knows of them.

use steadfast_wm::MatchId;

use crate::trail::{Column, OrderedMap, Scope, Sparse, trailed};

/// No time: the match does not wait.
const NEVER: i64 = i64::MIN;

/// When the matches of one rule fall due.
///
/// A match may wait and be pending at once: that of an interval waits for the next time.
#[derive(Clone)]
pub(crate) struct DueQueue {
    queue: OrderedMap<(i64, u32), ()>,
    /// By token: when it falls due, and what the journal holds of that.
    due: Sparse<i64>,
    journaled: Sparse<i64>,
    /// Tokens of which the two may differ.
    dirty: Column<u32>,
    /// Dead matches that the journal still holds as waiting.
    cancelled: Column<MatchId>,
}

trailed!(DueQueue { queue, due, journaled, dirty, cancelled });

impl Default for DueQueue {
    fn default() -> Self {
        Self {
            queue: OrderedMap::default(),
            due: Sparse::new(NEVER),
            journaled: Sparse::new(NEVER),
            dirty: Column::default(),
            cancelled: Column::default(),
        }
    }
}

/// Net change of one rule's waiting matches since the last commit boundary.
#[derive(Debug, Default)]
pub(crate) struct DueChange {
    /// Dead ones.
    pub(crate) cancelled: Vec<MatchId>,
    /// Those with another time, or none any more.
    pub(crate) changed: Vec<(u32, Option<i64>)>,
}

impl DueQueue {
    /// Whether any match ever waited.
    pub(crate) fn is_used(&self) -> bool {
        self.due.is_used()
    }

    pub(crate) fn due(&self, token: u32) -> Option<i64> {
        Some(*self.due.get(token)).filter(|&due| due != NEVER)
    }

    /// The earliest time that a match waits for.
    pub(crate) fn first(&self) -> Option<i64> {
        self.queue.iter().next().map(|((due, _), ())| *due)
    }

    /// Matches that have fallen due by a time.
    pub(crate) fn until(&self, millis: i64) -> Vec<(i64, u32)> {
        self.queue.range(..=(millis, u32::MAX)).map(|(&key, ())| key).collect()
    }

    /// All matches that wait, by time.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, u32)> + '_ {
        self.queue.iter().map(|(&key, ())| key)
    }

    pub(crate) fn set(&mut self, scope: Scope, token: u32, due: Option<i64>) {
        let old = *self.due.get(token);
        let new = due.unwrap_or(NEVER);
        if old == new {
            return;
        }
        if old != NEVER {
            self.queue.remove(scope, &(old, token));
        }
        if new != NEVER {
            self.queue.insert(scope, (new, token), ());
        }
        self.due.set(scope, token, new);
        self.dirty.push(scope, token);
    }

    /// Puts a new token in the place of a dead one with the same identity.
    pub(super) fn inherit(&mut self, scope: Scope, dead: u32, heir: u32) {
        let journaled = *self.journaled.get(dead);
        let due = self.due(dead);
        self.set(scope, dead, None);
        self.journaled.set(scope, dead, NEVER);
        self.journaled.set(scope, heir, journaled);
        self.set(scope, heir, due);
        self.dirty.push(scope, heir);
    }

    /// Forgets a dead match; `identity` is asked for if the journal still holds it as waiting.
    pub(super) fn bury(&mut self, scope: Scope, token: u32, identity: impl FnOnce() -> MatchId) {
        self.set(scope, token, None);
        if *self.journaled.get(token) != NEVER {
            self.cancelled.push(scope, identity());
            self.journaled.set(scope, token, NEVER);
        }
    }

    /// Whether there may be a net change.
    pub(crate) fn has_changed(&self) -> bool {
        !self.dirty.is_empty() || !self.cancelled.is_empty()
    }

    /// What changed since this was last called.
    pub(crate) fn net_change(&mut self, scope: Scope) -> DueChange {
        let mut change = DueChange::default();
        for at in 0..self.dirty.len() {
            let token = *self.dirty.get(at);
            let due = *self.due.get(token);
            // The list may name a token twice, or one that was used again since.
            if *self.journaled.get(token) != due {
                self.journaled.set(scope, token, due);
                change.changed.push((token, self.due(token)));
            }
        }
        change.cancelled = self.cancelled.as_slice().to_vec();
        self.forget_changes(scope);
        change
    }

    /// Declares that the journal holds exactly what waits now.
    pub(crate) fn mark_journaled(&mut self, scope: Scope) {
        for at in 0..self.dirty.len() {
            let token = *self.dirty.get(at);
            self.journaled.set(scope, token, *self.due.get(token));
        }
        self.forget_changes(scope);
    }

    fn forget_changes(&mut self, scope: Scope) {
        if !self.dirty.is_empty() {
            self.dirty.clear(scope);
        }
        if !self.cancelled.is_empty() {
            self.cancelled.clear(scope);
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_wm::RuleTag;

    use super::*;

    const NONE: Scope = Scope::NONE;

    fn id() -> MatchId {
        MatchId { rule: RuleTag::new(0), branch: 0, members: vec![] }
    }

    #[test]
    fn net_change_hides_what_came_and_went() {
        let mut queue = DueQueue::default();
        queue.set(NONE, 3, Some(20));
        queue.set(NONE, 4, Some(10));
        queue.set(NONE, 4, None);
        queue.bury(NONE, 4, id);
        let change = queue.net_change(NONE);
        assert_eq!((change.cancelled.len(), change.changed), (0, vec![(3, Some(20))]));
        queue.set(NONE, 3, Some(50));
        queue.set(NONE, 3, Some(20));
        assert!(queue.net_change(NONE).changed.is_empty());
    }

    #[test]
    fn a_token_that_is_used_again_does_not_inherit_what_the_journal_holds() {
        let mut queue = DueQueue::default();
        queue.set(NONE, 3, Some(20));
        queue.net_change(NONE);
        queue.bury(NONE, 3, id);
        queue.set(NONE, 3, Some(20));
        let change = queue.net_change(NONE);
        assert_eq!((change.cancelled.len(), change.changed), (1, vec![(3, Some(20))]));
    }

    #[test]
    fn an_heir_waits_for_the_same_time_and_the_journal_need_not_know() {
        let mut queue = DueQueue::default();
        queue.set(NONE, 3, Some(20));
        queue.net_change(NONE);
        queue.inherit(NONE, 3, 8);
        assert_eq!((queue.due(3), queue.until(20)), (None, vec![(20, 8)]));
        let change = queue.net_change(NONE);
        assert!(change.cancelled.is_empty() && change.changed.is_empty());
    }
}
