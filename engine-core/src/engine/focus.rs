//! The agenda groups at work: focus, and what keeps matches from the agenda.

use steadfast_wm::Seq;

use super::Engine;
use super::agenda_events::{AgendaEvent, Restraint};
use crate::ir::{AgendaAttributes, Enabled};

/// What a rule says of its turn on the agenda, with its groups by number.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) group: u32,
    pub(crate) activation_group: Option<u32>,
    pub(crate) auto_focus: bool,
    pub(crate) lock_on_active: bool,
    pub(crate) no_loop: bool,
    pub(crate) enabled: Option<Enabled>,
}

impl Turn {
    pub(crate) fn new(
        agenda: &AgendaAttributes,
        group: u32,
        activation_group: Option<u32>,
    ) -> Self {
        Self {
            group,
            activation_group,
            auto_focus: agenda.auto_focus,
            lock_on_active: agenda.lock_on_active,
            no_loop: agenda.no_loop,
            enabled: agenda.enabled.clone(),
        }
    }
}

impl Engine {
    /// Names of the agenda groups that have the focus, from `MAIN` at the bottom up to the one whose
    /// matches fire now.
    pub fn focus_stack(&self) -> Vec<&str> {
        self.focus.stack().map(|group| self.focus.names().name(group)).collect()
    }

    /// Whether the agenda changed since the last commit boundary in a way that no operation tells, so
    /// that a commit is due.
    pub fn has_agenda_changes(&self) -> bool {
        self.focus.has_changed()
    }

    /// The number of the last operation.
    pub(super) fn last_seq(&self) -> Seq {
        Seq::new(self.counters.get().next_seq - 1)
    }

    pub(super) fn push_focus(&mut self, group: u32) {
        let has_it = self.focus.top() == group;
        self.focus.push(self.scope, group, self.last_seq());
        if self.is_heard() && !has_it {
            self.note(AgendaEvent::Pushed(self.focus.names().name(group).to_owned()));
        }
    }

    /// Empty groups lose the focus; the group that has it now is active.
    #[inline]
    pub(super) fn settle_focus(&mut self) {
        if !self.focus.is_plain() {
            self.settle_groups();
        }
    }

    #[inline(never)] // most rulesets have one group
    fn settle_groups(&mut self) {
        let before = self.heard_focus();
        let ranks = &self.ranks;
        let last = Seq::new(self.counters.get().next_seq - 1);
        self.focus.settle(self.scope, last, |group| ranks.best(group).is_none());
        self.note_popped(before);
    }

    /// Cancels all pending matches of an agenda group.
    pub(super) fn clear_group(&mut self, group: u32) {
        let rules = (0..self.infos.len()).filter(|&rule| {
            let info = &self.infos[rule];
            !info.is_query && info.turn.group == group
        });
        for rule in rules.collect::<Vec<_>>() {
            self.cancel_all(rule);
        }
        self.focus.clear(self.scope, group, self.last_seq());
    }

    /// A match of the activation group fired: all others are cancelled.
    pub(super) fn win(&mut self, activation_group: u32) {
        let group = activation_group as usize;
        for at in 0..self.activation_groups[group].1.len() {
            self.cancel_all(self.activation_groups[group].1[at] as usize);
        }
    }

    fn cancel_all(&mut self, rule: usize) {
        let terminal = &self.rules[rule].terminal;
        if terminal.pending_count() > 0 {
            let tokens: Vec<u32> = terminal.in_order().map(|queued| queued.token).collect();
            self.scratch.unreported.insert(rule);
            for token in tokens {
                self.note_cancelled(rule, token);
                self.rules[rule].terminal.dequeue(self.scope, token);
            }
            self.rank_anew(rule);
            self.focus.set_changed(self.scope);
        }
    }

    /// Keeps matches dormant that no-loop and lock-on-active keep from the agenda; of those given, with
    /// their triggers, the others remain. What the matches support stays.
    pub(super) fn restrain(&mut self, rule: usize, matches: &mut Vec<(u64, u32)>) {
        let turn = &self.infos[rule].turn;
        if !turn.no_loop && !turn.lock_on_active {
            return;
        }
        matches.retain(|&(trigger, token)| {
            let trigger = Seq::new(trigger);
            let turn = &self.infos[rule].turn;
            let by = if turn.no_loop && self.issued_by(rule, trigger) {
                Restraint::NoLoop
            } else if turn.lock_on_active && self.focus.locks_out(turn.group, trigger) {
                Restraint::LockOnActive
            } else {
                return true;
            };
            self.note_cancelled(rule, token);
            self.note_suppressed(rule, token, trigger, by);
            self.scratch.unreported.insert(rule);
            self.rules[rule].terminal.dequeue(self.scope, token);
            false
        });
    }

    /// Whether the consequence of a rule issued an operation of this flush.
    fn issued_by(&self, rule: usize, seq: Seq) -> bool {
        let ops = self.ops.as_slice();
        let before = ops.partition_point(|op| op.seq <= seq);
        let last = ops[..before].last().filter(|op| seq <= op.last_seq());
        last.is_some_and(|op| op.issuer() == Some(self.infos[rule].tag))
    }

    /// Gives the focus to groups of auto-focus rules of which a match became pending, in the order of
    /// the rules.
    #[inline]
    pub(super) fn focus_automatically(&mut self) {
        if !self.scratch.focusing.is_empty() {
            self.focus_listed();
        }
    }

    #[inline(never)] // as above
    fn focus_listed(&mut self) {
        let mut rules = std::mem::take(&mut self.scratch.focusing);
        rules.sort_unstable();
        rules.dedup();
        for &rule in &rules {
            self.push_focus(self.infos[rule].turn.group);
        }
        rules.clear();
        self.scratch.focusing = rules;
    }
}
