//! Commit boundaries: what the journal must hold beside the operations themselves.

use std::cmp::Reverse;

use steadfast_wm::{CommitSeq, Record, SafePoint};

use super::{Engine, RuleInfo, RuleState};
use crate::agenda::{Pending, Queued};
use crate::sink::{ActionSink, Discard};

impl Engine {
    /// Closes a commit: reports the net change of the pending set since the last boundary and the
    /// counters.
    ///
    /// A match that became pending and fired in between leaves no trace here, so that a run to
    /// quiescence costs its operations and little else.
    #[inline]
    pub fn commit(&mut self, commit: CommitSeq, point: SafePoint, sink: &mut dyn ActionSink) {
        self.touched = self.scope;
        if sink.wants_records() {
            self.report_changes(commit, point, sink);
        } else if !self.scratch.unreported.is_empty()
            || self.focus.has_changed()
            || *self.effects.get() > 0
        {
            self.forget_changes();
        }
        debug_assert!(self.is_all_reported(), "whatever changes matches lists their rule");
    }

    /// Whether no rule has matches that the journal does not know.
    fn is_all_reported(&self) -> bool {
        let may_have_changed = |(rule, info): (&RuleState, &RuleInfo)| {
            !info.is_query && (rule.terminal.may_have_changed() || rule.terminal.due.has_changed())
        };
        !self.rules.iter().zip(&self.infos).any(may_have_changed)
    }

    fn report_changes(&mut self, commit: CommitSeq, point: SafePoint, sink: &mut dyn ActionSink) {
        if !self.scratch.unreported.is_empty() {
            self.commit_rules(sink);
        }
        self.focus.commit(self.scope, sink);
        self.effects.set(self.scope, 0);
        sink.record(&Record::Commit { commit, point, counters: *self.counters.get() });
    }

    /// Closes a commit of which nobody wants to know: what there is now counts as journaled.
    fn forget_changes(&mut self) {
        while let Some(rule) = self.scratch.unreported.pop() {
            let terminal = &mut self.rules[rule].terminal;
            if terminal.may_have_changed() {
                terminal.mark_journaled(self.scope);
            }
            if terminal.due.has_changed() {
                terminal.due.mark_journaled(self.scope);
            }
        }
        self.focus.commit(self.scope, &mut Discard);
        self.effects.set(self.scope, 0);
    }

    #[inline(never)] // every second commit has changed no match
    fn commit_rules(&mut self, sink: &mut dyn ActionSink) {
        self.scratch.unreported.sort();
        for at in 0..self.scratch.unreported.rules.len() {
            let rule = self.scratch.unreported.rules[at];
            if !self.infos[rule].is_query {
                self.commit_rule(rule, sink);
            }
        }
        self.scratch.unreported.clear();
    }

    /// Reports which matches of a rule are pending now and were not, and the other way round.
    fn commit_rule(&mut self, rule: usize, sink: &mut dyn ActionSink) {
        self.commit_due(rule, sink);
        let terminal = &mut self.rules[rule].terminal;
        if !terminal.may_have_changed() {
            return;
        }
        let mut change = terminal.net_change(self.scope);
        // INV-50: in the order of what they are, not of what made them so. A session that was restored has its
        // tokens in another one, and reports the same.
        change.dead.sort_unstable();
        let (net, store) = (&self.rules[rule].net, &self.store);
        change.left.sort_unstable_by(|&a, &b| net.compare(store, a, b));
        change.entered.sort_unstable_by(|a, b| {
            a.trigger.cmp(&b.trigger).then_with(|| net.compare(store, a.token, b.token))
        });
        for by in change.dead {
            sink.record(&Record::Withdrawn { by });
        }
        for token in change.left {
            sink.record(&Record::Withdrawn { by: self.match_id(rule, token) });
        }
        for Queued { token, salience, trigger } in change.entered {
            let by = self.match_id(rule, token);
            sink.record(&Record::Pending { by, salience, trigger });
        }
    }

    /// Reports which matches of a rule wait for another time than at the last boundary.
    fn commit_due(&mut self, rule: usize, sink: &mut dyn ActionSink) {
        if !self.rules[rule].terminal.due.is_used() {
            return;
        }
        let mut change = self.rules[rule].terminal.due.net_change(self.scope);
        change.cancelled.sort_unstable();
        let (net, store) = (&self.rules[rule].net, &self.store);
        change.changed.sort_unstable_by(|&(a, _), &(b, _)| net.compare(store, a, b));
        for by in change.cancelled {
            sink.record(&Record::Due { by, at: None });
        }
        for (token, at) in change.changed {
            sink.record(&Record::Due { by: self.match_id(rule, token), at });
        }
    }

    /// How many effects were emitted since the last boundary.
    pub fn effects_since_commit(&self) -> u32 {
        *self.effects.get()
    }

    /// All pending matches in firing order: those of the agenda group that has the focus, then those of
    /// the groups below it, last those of groups without focus, which do not fire before they get it.
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending: Vec<(u32, Pending)> = Vec::new();
        let turns = self.focus.turns();
        for (at, rule) in self.rules.iter().enumerate() {
            let group = self.infos[at].turn.group;
            pending.extend(rule.terminal.in_order().map(|Queued { token, salience, trigger }| {
                (group, Pending { id: self.match_id(at, token), salience, trigger })
            }));
            let RuleInfo { branch, branches, tag, .. } = self.infos[at];
            if branches > 1 && branch + 1 == branches {
                let others = pending.iter().take_while(|(_, it)| it.id.rule != tag).count();
                let key =
                    |(_, it): &(u32, Pending)| (it.trigger, it.id.members.clone(), it.id.branch);
                pending[others..].sort_by_cached_key(key);
            }
        }
        // Stable: of equal salience the earlier rule first, and within a rule as queued.
        pending.sort_by_key(|(group, pending)| (turns[*group as usize], Reverse(pending.salience)));
        pending.into_iter().map(|(_, pending)| pending).collect()
    }

    /// What journals call a type, by its number in the dictionary.
    pub fn type_name(&self, tag: steadfast_wm::TypeTag) -> Option<&str> {
        self.store.names().get(tag.get() as usize).map(String::as_str)
    }

    /// What journals call the type of a fact that lives.
    pub fn type_of(&self, fact: steadfast_wm::FactHandle) -> Option<String> {
        let place = self.store.locate(fact)?;
        Some(self.store.kind(place.kind).fact.stored_name().into_owned())
    }

    /// Paths of all rules in their order, without queries.
    pub fn rule_paths(&self) -> Vec<&str> {
        let firsts = self.infos.iter().filter(|info| info.branch == 0 && !info.is_query);
        firsts.map(|info| info.path.as_str()).collect()
    }

    /// Path of a rule by its tag.
    pub fn rule_path(&self, tag: steadfast_wm::RuleTag) -> Option<&str> {
        let info = self.infos.iter().find(|info| !info.is_query && info.tag == tag)?;
        Some(&info.path)
    }
}
