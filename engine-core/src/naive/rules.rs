//! Rules that come and go: an operation of its own between two flushes.

use std::collections::BTreeSet;

use super::matching::{Shape, match_rule};
use super::{Id, Naive};
use crate::agenda::GroupNames;
use crate::ir::{AgendaAttributes, RuleDef};

impl Naive {
    /// Adds a rule behind the others; its tag is its place among all that there ever were.
    pub(super) fn add_rule(&mut self, rule: &RuleDef) {
        let evaluated = self.evaluated;
        if evaluated {
            self.flush();
        }
        let first = self.rules.len();
        let locked = |def: &RuleDef| def.agenda.lock_on_active;
        let group = &rule.agenda.group;
        let alike =
            |at: &usize| !self.removed.contains(at) && self.rules[*at].agenda.group == *group;
        if !(0..first).filter(alike).any(|at| locked(&self.rules[at])) {
            // Nobody has asked for its marks until now.
            self.agenda.marks.remove(group);
        }
        let place = self.names.last().map_or(0, |(place, _)| place + 1);
        for (branch, def) in (0..).zip(rule.all_branches()) {
            let (on_error, timing) = (rule.on_error, rule.timing.clone());
            let enabled = def.agenda.enabled.clone();
            let agenda = AgendaAttributes { enabled, ..rule.agenda.clone() };
            let def = RuleDef { agenda, on_error, timing, ..def.clone() };
            self.shapes.push(Shape::of(&def, &self.store));
            self.rules.push(def);
            self.names.push((place, branch));
        }
        self.regroup();
        let seq = self.seq();
        if !evaluated {
            return;
        }
        for at in first..self.rules.len() {
            let now = self.now();
            match_rule(at, &self.rules[at], (&self.store, now), &mut self.found);
        }
        let new: Vec<Id> =
            self.found.matches.keys().filter(|(rule, _)| *rule >= first).cloned().collect();
        let mut focusing = BTreeSet::new();
        for id in new {
            let matched = self.found.matches[&id].clone();
            if !self.holds_back(&id, &matched) {
                let salience = self.salience(id.0, &matched);
                if self.rules[id.0].agenda.auto_focus {
                    focusing.insert(id.0);
                }
                self.pending.insert(id, (salience, seq));
            }
        }
        self.focus_automatically(focusing);
    }

    /// Removes the rule in a place: it never matches again.
    pub(super) fn remove_rule(&mut self, place: u32) {
        if self.evaluated {
            self.flush();
        }
        self.seq();
        let gone: Vec<usize> =
            (0..self.names.len()).filter(|&at| self.names[at].0 == place).collect();
        self.removed.extend(gone.iter().copied());
        self.regroup();
        self.pending.retain(|(rule, _), _| !gone.contains(rule));
        self.waiting.retain(|(rule, _), _| !gone.contains(rule));
        self.found.matches.retain(|(rule, _), _| !gone.contains(rule));
        let of_rule = self.supports.iter().flat_map(|(handle, by)| {
            let by = by.iter().filter(|(rule, _)| gone.contains(rule));
            by.map(|id| (*handle, id.clone()))
        });
        let held: Vec<_> = of_rule.collect();
        held.into_iter().for_each(|(handle, id)| self.withdraw(handle, &id));
        if self.evaluated {
            self.flush();
        }
    }

    /// Groups that no rule names any more are no groups.
    fn regroup(&mut self) {
        let at_work = (0..self.rules.len()).filter(|at| !self.removed.contains(at));
        self.agenda.names = GroupNames::of(at_work.map(|at| &self.rules[at]));
        let names = &self.agenda.names;
        self.agenda.stack.retain(|group| names.find(group).is_some());
        self.agenda.marks.retain(|group, _| names.find(group).is_some());
    }
}
