//! Time, as the semantics are worded: every moment on the clock's way in turn.

use std::collections::BTreeSet;

use steadfast_wm::{FactHandle, Member};

use super::horizon::{horizon, is_bounded};
use super::matching::{Matched, decided, window_ends};
use super::{Id, Naive};
use crate::fact::FieldMask;
use crate::ir::{Late, Part, RuleDef, Window};
use crate::rows::Rows;
use crate::store::Change;

impl Naive {
    pub(super) fn advance(&mut self, by: i64) {
        if by == 0 {
            return;
        }
        if (!self.ops.is_empty() || self.has_unstated) && self.depends_on_time() {
            self.flush();
        }
        self.let_go();
        self.seq();
        self.clock += by;
        let mut reached = self.clock - by;
        while let Some(moment) = self.next_moment(reached).filter(|&at| at <= self.clock) {
            let before = std::mem::replace(&mut reached, moment);
            self.moment = Some(moment);
            self.fall_due(moment);
            self.pass(before);
            self.let_go();
        }
        self.moment = None;
        self.let_go();
    }

    fn depends_on_time(&self) -> bool {
        let rules = (0..self.rules.len()).filter(|at| !self.removed.contains(at));
        let mut rules = rules.map(|at| &self.rules[at]);
        let timed = |rule: &RuleDef| rule.timing.timer.is_some() || are_decided(&rule.parts, 0);
        let expires = self.store.kinds.iter().any(|kind| kind.fact.expires().is_some());
        let is_over_time = |rule: &RuleDef| {
            let mut patterns = rule.parts.iter().flat_map(Part::patterns);
            patterns.any(|pattern| matches!(pattern.window, Some(Window::Time(_))))
        };
        expires || rules.any(|rule| timed(rule) || is_over_time(rule))
    }

    fn next_moment(&self, after: i64) -> Option<i64> {
        let deadlines = self.deadlines().into_iter().map(|(deadline, _)| deadline);
        let all = self.waiting.values().copied().chain(deadlines).chain(self.window_ends());
        let all = all.chain(self.found.undecided.iter().copied());
        all.filter(|&moment| moment > after).min()
    }

    /// When facts leave windows over time.
    fn window_ends(&self) -> Vec<i64> {
        if !self.evaluated {
            return Vec::new();
        }
        let rules = (0..self.rules.len()).filter(|at| !self.removed.contains(at));
        rules.flat_map(|at| window_ends(&self.rules[at], &self.store)).collect()
    }

    /// If facts left windows since a moment, or absences inside were decided: an operation on nobody, and
    /// what it brings about.
    fn pass(&mut self, before: i64) {
        let since = before + 1..=self.now();
        let ends = self.window_ends();
        if ends.iter().chain(&self.found.undecided).any(|end| since.contains(end)) {
            let seq = self.seq();
            self.push_op(Change::Update, seq, FactHandle::new(0), FieldMask::NONE);
            self.match_staged();
        }
    }

    /// Events with the time at which they expire.
    fn deadlines(&self) -> Vec<(i64, FactHandle)> {
        let mut deadlines = Vec::new();
        for (at, kind) in (0..).zip(&self.store.kinds) {
            let Some(expires) = kind.fact.expires() else { continue };
            let facts = self.store.in_order(at).into_iter();
            deadlines.extend(facts.map(|(handle, slot)| (kind.table.end(slot) + expires, handle)));
        }
        deadlines.sort_unstable();
        deadlines
    }

    /// Deletes events whose time is over and that no pending match holds.
    pub(super) fn let_go(&mut self) {
        // Time deletes them, whichever rule has just fired.
        let issuer = self.issuer.take();
        loop {
            let held = |handle| {
                let members = self.pending.keys().flat_map(|(_, members)| members);
                members.clone().any(|member| *member == Member::Fact(handle))
            };
            let over: Vec<FactHandle> = self
                .deadlines()
                .into_iter()
                .filter(|&(deadline, handle)| deadline <= self.now() && !held(handle))
                .map(|(_, handle)| handle)
                .collect();
            if over.is_empty() {
                self.issuer = issuer;
                return;
            }
            over.into_iter().for_each(|handle| self.delete(handle));
            self.match_staged();
        }
    }

    /// Whether one of a match's events was over at a moment.
    fn is_over(&self, id: &Id, moment: i64) -> bool {
        let holds = |handle: &FactHandle| id.1.contains(&Member::Fact(*handle));
        self.deadlines().iter().any(|(deadline, handle)| *deadline <= moment && holds(handle))
    }

    pub(super) fn now(&self) -> i64 {
        self.moment.unwrap_or(self.clock)
    }

    fn fall_due(&mut self, moment: i64) {
        let due = self.waiting.iter().filter(|(_, due)| **due <= moment);
        let mut fallen: Vec<(i64, Id)> = due.map(|(id, due)| (*due, id.clone())).collect();
        fallen.sort_by_key(|(due, id)| {
            let (place, branch) = self.names[id.0];
            (*due, place, id.1.clone(), branch)
        });
        let mut focusing = BTreeSet::new();
        for (due, id) in fallen {
            let timing = self.rules[id.0].timing.clone();
            let (last, next) = timing.timer.map_or((due, None), |it| it.reached(due, self.clock));
            self.waiting.remove(&id);
            if let Some(next) = next {
                self.waiting.insert(id.clone(), next);
            }
            if self.is_over(&id, moment - 1) {
                continue;
            }
            match timing.late {
                Late::Drop { grace } if self.clock - last > grace => self.missed.push((id, last)),
                _ if self.pending.contains_key(&id) => {}
                _ => {
                    let seq = self.seq();
                    let salience = self.salience(id.0, &self.found.matches[&id]);
                    if self.rules[id.0].agenda.auto_focus {
                        focusing.insert(id.0);
                    }
                    self.pending.insert(id, (salience, seq));
                }
            }
        }
        self.focus_automatically(focusing);
    }

    /// Whether a match that is new or re-armed has to wait; notes since when.
    pub(super) fn holds_back(&mut self, id: &Id, matched: &Matched) -> bool {
        let now = self.now();
        let decided = self.decided(id, matched);
        let undecided = decided.filter(|&decided| decided > now);
        if self.pending.contains_key(id) && undecided.is_none() {
            return false;
        }
        let waits = self.waiting.contains_key(id) && decided.is_none();
        if waits || !self.pending.contains_key(id) && self.is_over(id, now) {
            return true;
        }
        self.pending.remove(id);
        let from = undecided.unwrap_or(now);
        let (due, at_once) = match self.rules[id.0].timing.timer.clone() {
            None => (undecided, undecided.is_none()),
            Some(timer) => match timer.first(from) {
                Some(first) if first <= now => (timer.reached(first, now).1, true),
                first => (first, false),
            },
        };
        self.waiting.remove(id);
        if let Some(due) = due {
            self.waiting.insert(id.clone(), due);
        }
        !at_once
    }

    /// When all absences of a match that are bounded in time are over.
    fn decided(&self, id: &Id, matched: &Matched) -> Option<i64> {
        let mut position = 0;
        let mut last = None;
        for part in &self.rules[id.0].parts {
            let sources = matched.sources.resolve(&self.store);
            let rows = Rows::new(&sources[..position], &matched.row[..position]);
            match part {
                Part::Each(_) | Part::Group(_) => position += 1,
                Part::Not(pattern) => last = last.max(decided(pattern, &rows)),
                Part::Nested(nested) if !nested.exists => {
                    last = last.max(horizon(nested, &rows, position));
                }
                Part::Exists(_) | Part::Nested(_) => {}
            }
        }
        last
    }
}

/// Whether time decides absences among these parts, inside of others or not.
fn are_decided(parts: &[Part], mut position: usize) -> bool {
    parts.iter().any(|part| {
        let before = position;
        position += super::matching::width(part);
        match part {
            Part::Not(pattern) => {
                pattern.conditions.ranges.iter().any(|range| range.width.is_some())
            }
            Part::Nested(nested) => {
                !nested.exists && is_bounded(nested, before) || are_decided(&nested.parts, before)
            }
            _ => false,
        }
    })
}
