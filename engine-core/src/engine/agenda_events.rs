//! What happens on the agenda, for those who listen (S43, S102).
//!
//! These events are no state: they are neither journaled nor in the digest. They are collected while
//! somebody wants them, and go to the sink at the next place where the engine has one at hand, always
//! before the next record.

use steadfast_wm::{MatchId, Seq};

use super::Engine;
use crate::sink::ActionSink;

/// Something that happened on the agenda.
///
/// Those of a firing come in this order: [`Firing`](Self::Firing), with the records of the consequence's
/// operations behind it; [`Fired`](Self::Fired), with the records of what truth maintenance did; then what the
/// evaluation made pending or took away; last the focus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AgendaEvent {
    /// A match begins to fire: its consequence succeeded and is about to be applied, or it failed and is skipped.
    Firing(MatchId),
    /// What its consequence wanted has been applied.
    Fired(MatchId),
    /// An evaluation, or time, made a match pending or gave it a new trigger.
    Created {
        /// The match.
        id: MatchId,
        /// Its salience.
        salience: i32,
        /// What made it pending.
        trigger: Seq,
    },
    /// A match that was pending is it no more, and has not fired.
    Cancelled(MatchId),
    /// A match that an evaluation would have made pending stays dormant.
    Suppressed {
        /// The match.
        id: MatchId,
        /// What would have made it pending.
        trigger: Seq,
        /// What keeps it from it.
        by: Restraint,
    },
    /// An agenda group got the focus.
    Pushed(String),
    /// An agenda group lost its place in the focus, because it had nothing to fire or no rule names it any more.
    Popped(String),
}

/// What keeps a match dormant that something triggered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restraint {
    /// Its own rule did.
    NoLoop,
    /// Its agenda group is active, or was cleared since.
    LockOnActive,
}

/// What the sink of a call wants.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) agenda_events: bool,
    records: bool,
}

impl Engine {
    /// Asks the sink of a call what it wants, once for all that the call does.
    #[inline]
    pub(super) fn heed(&mut self, sink: &dyn ActionSink) {
        // Whoever asks is about to write.
        self.touched = self.scope;
        let (agenda_events, records) = (sink.wants_agenda_events(), sink.wants_records());
        if records != self.scratch.wanted.records {
            self.set_recorded(records);
        }
        self.scratch.wanted = Wanted { agenda_events, records };
    }

    #[cold]
    fn set_recorded(&mut self, is_recorded: bool) {
        self.rules.iter_mut().for_each(|rule| rule.terminal.set_recorded(is_recorded));
    }

    /// Whether the sink of this call wants records; without, the engine saves making them.
    #[inline]
    pub(super) fn is_recorded(&self) -> bool {
        self.scratch.wanted.records
    }

    /// Notes that what the journal holds of a rule's matches may not be so any more.
    #[inline]
    pub(super) fn note_unreported(&mut self, rule: usize) {
        // Times are noted whoever calls.
        if self.is_recorded() || self.rules[rule].terminal.due.is_used() {
            self.scratch.unreported.insert(rule);
        }
    }

    #[inline]
    pub(super) fn is_heard(&self) -> bool {
        self.scratch.wanted.agenda_events
    }

    #[cold]
    pub(super) fn note(&mut self, event: AgendaEvent) {
        self.scratch.agenda.push(event);
    }

    /// Gives the sink what was noted.
    #[inline]
    pub(super) fn tell(&mut self, sink: &mut dyn ActionSink) {
        if self.is_heard() {
            self.tell_events(sink);
        }
    }

    #[cold]
    fn tell_events(&mut self, sink: &mut dyn ActionSink) {
        self.scratch.agenda.drain(..).for_each(|event| sink.agenda_event(event));
    }

    /// Notes that a match is about to be pending no more, if it is.
    #[inline]
    pub(super) fn note_cancelled(&mut self, rule: usize, token: u32) {
        if self.is_heard() && self.rules[rule].terminal.is_pending(token) {
            self.note(AgendaEvent::Cancelled(self.match_id(rule, token)));
        }
    }

    pub(super) fn note_suppressed(&mut self, rule: usize, token: u32, trigger: Seq, by: Restraint) {
        if self.is_heard() {
            self.note(AgendaEvent::Suppressed { id: self.match_id(rule, token), trigger, by });
        }
    }

    /// Names of the groups that have the focus, if somebody wants to know how they change.
    pub(super) fn heard_focus(&self) -> Option<Vec<String>> {
        self.is_heard().then(|| self.focus_stack().into_iter().map(str::to_owned).collect())
    }

    /// Notes which groups have lost the focus since it was these, the top first.
    pub(super) fn note_popped(&mut self, before: Option<Vec<String>>) {
        let Some(mut before) = before else { return };
        let now = self.focus_stack().into_iter().map(str::to_owned).collect::<Vec<_>>();
        // What is left is what was there without some of it.
        let mut left = now.iter().rev().peekable();
        while let Some(group) = before.pop() {
            if left.next_if(|kept| **kept == group).is_none() {
                self.note(AgendaEvent::Popped(group));
            }
        }
    }
}
