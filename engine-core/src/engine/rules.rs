//! Rules that come and go while a session is open (S93, S103).
//!
//! Either is one operation: the record of the new ruleset. What was staged is matched first, so that the
//! operation stands between two evaluations, as it does when a session is opened with other rules.

use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{FactHandle, MatchId, Record, RuleTag, Seq};

use super::Engine;
use crate::agenda::Ranks;
use crate::error::{EvaluateError, RulesError};
use crate::ir::{RuleDef, Ruleset, RulesetError, Salience};
use crate::network::alpha::Listener;
use crate::sink::ActionSink;

impl Engine {
    /// Adds a rule behind all others. All its matches become pending under the number of this operation,
    /// so that they fire in the order of their facts.
    ///
    /// # Errors
    ///
    /// [`RulesError`]; the engine is as before, unless the evaluation failed.
    pub fn add_rule(
        &mut self,
        rule: &RuleDef,
        sink: &mut dyn ActionSink,
    ) -> Result<(), RulesError> {
        self.rules_may_change()?;
        self.check_new(rule)?;
        self.heed(sink);
        if *self.evaluated.get() {
            self.flush(sink)?;
        }
        for fact in rule.fact_types() {
            self.register(fact, sink);
        }
        let first = self.rules.len();
        self.regroup(Some(rule));
        let tags = self.infos.iter().filter(|info| !info.is_query).map(|info| info.tag.get() + 1);
        self.install(rule, RuleTag::new(tags.max().unwrap_or(0)), false);
        self.rank();
        let seq = self.next_seq();
        sink.record(&Record::Ruleset { seq, manifest: self.manifest() });
        if *self.evaluated.get() {
            self.failed = true;
            let matched = catch_unwind(AssertUnwindSafe(|| self.match_added(first, seq)));
            matched.map_err(|panic| {
                self.condition_panicked_among_all(panic.as_ref(), Some(first))
            })??;
            self.failed = false;
            self.tell(sink);
        }
        Ok(())
    }

    /// Removes a rule. Its pending matches are withdrawn, and so are its supports: what only they held
    /// falls in the same operation.
    ///
    /// # Errors
    ///
    /// [`RulesError`]; the engine is as before, unless the evaluation failed.
    pub fn remove_rule(&mut self, path: &str, sink: &mut dyn ActionSink) -> Result<(), RulesError> {
        self.rules_may_change()?;
        let first = self.infos.iter().position(|info| !info.is_query && info.path == path);
        let first = first.ok_or_else(|| RulesError::UnknownRule { path: path.to_owned() })?;
        self.heed(sink);
        if *self.evaluated.get() {
            self.flush(sink)?;
        }
        let branches = self.branches_of(first);
        let mut supports: Vec<(FactHandle, MatchId, u32)> = Vec::new();
        for at in branches.clone() {
            let terminal = &self.rules[at].terminal;
            for token in self.rules[at].net.terminal().live() {
                let id = self.match_id(at, token);
                for support in self.supports.of_match(terminal.state(token).first_support) {
                    let place = self.supports.get(support).place;
                    supports.push((self.handle_at(place), id.clone(), support));
                }
            }
        }
        supports.sort_unstable();
        let seq = self.next_seq();
        let mut manifest = self.manifest();
        manifest.rules.retain(|rule| rule.path != path);
        sink.record(&Record::Ruleset { seq, manifest });
        for (handle, id, support) in supports {
            self.withdraw(handle, support, None, || Some(id), sink);
        }
        branches.clone().for_each(|at| self.bury_all(at, sink));
        // Events that only its pending matches held are let go with the flush below.
        self.count_holds();
        self.uninstall(branches);
        let none = Seq::new(0);
        for group in self.regroup(None) {
            let (group, active) = (group.as_str(), false);
            sink.record(&Record::GroupMarks { group, active, activated: none, cleared: none });
        }
        self.rank();
        self.tell(sink);
        if *self.evaluated.get() {
            self.flush(sink)?;
        }
        Ok(())
    }

    /// All matches of a rule end: those that the journal holds as pending or waiting are withdrawn.
    fn bury_all(&mut self, at: usize, sink: &mut dyn ActionSink) {
        let mut live: Vec<u32> = self.rules[at].net.terminal().live().collect();
        live.sort_unstable_by(|&a, &b| self.rules[at].net.compare(&self.store, a, b));
        let scope = self.scope;
        for token in live {
            let id = self.match_id(at, token);
            self.note_cancelled(at, token);
            self.rules[at].terminal.bury(scope, token, || id.clone());
        }
        let terminal = &mut self.rules[at].terminal;
        let mut pending = terminal.net_change(scope).dead;
        let mut waiting = terminal.due.net_change(scope).cancelled;
        // Some ended before, in an order of tokens that a session which was restored does not have.
        pending.sort_unstable();
        waiting.sort_unstable();
        pending.into_iter().for_each(|by| sink.record(&Record::Withdrawn { by }));
        waiting.into_iter().for_each(|by| sink.record(&Record::Due { by, at: None }));
    }

    fn rules_may_change(&self) -> Result<(), RulesError> {
        self.failed_already()?;
        if self.scope.is_open() { Err(RulesError::InTransaction) } else { Ok(()) }
    }

    /// Whether a rule fits in with those there are.
    fn check_new(&self, rule: &RuleDef) -> Result<(), RulesetError> {
        let (name, version) = &self.ruleset;
        Ruleset::new(name, *version).rule(rule.clone()).check()?;
        let ruleset = name.clone();
        if self.infos.iter().any(|info| info.path == rule.path) {
            return Err(RulesetError::DuplicateRule { ruleset, path: rule.path.clone() });
        }
        for fact in rule.fact_types() {
            let known = self.store.kinds.iter().map(|kind| kind.fact);
            let same_name = |known: &crate::store::FactType| {
                known.stored_name() == fact.stored_name() && known.id() != fact.id()
            };
            if known.into_iter().any(|known| same_name(&known)) {
                let name = fact.stored_name().into_owned();
                return Err(RulesetError::DuplicateFact { ruleset, name });
            }
        }
        Ok(())
    }

    /// Matches all facts with the networks from `first` on; their matches become pending.
    fn match_added(&mut self, first: usize, seq: Seq) -> Result<(), EvaluateError> {
        for kind in 0..u32::try_from(self.store.kinds.len()).expect("few types") {
            let slots: Vec<u32> =
                self.store.in_order(kind).into_iter().map(|(_, slot)| slot).collect();
            self.distribute_to(kind, &slots, first);
        }
        for at in first..self.rules.len() {
            let rule = &mut self.rules[at];
            rule.planted.set(self.scope, true);
            rule.net.plant(self.scope);
            self.match_alone(at)?;
            self.rearm_branch(at, seq);
        }
        self.focus_automatically();
        self.forget_dirty();
        Ok(())
    }

    /// Takes the networks of a rule out. Nothing refers to their matches any more.
    fn uninstall(&mut self, branches: std::ops::Range<usize>) {
        let (start, end) = (branches.start, branches.end);
        let gone = |rule: usize| (start..end).contains(&rule);
        let moved =
            |rule: usize| if rule < start { rule } else { rule.saturating_sub(end - start) };
        let number = |rule: usize| u32::try_from(rule).expect("fewer than 2³² rules");
        let kept = |listener: Listener| {
            let net = number(moved(listener.net as usize));
            (!gone(listener.net as usize)).then_some(Listener { net, ..listener })
        };
        let places: Vec<Vec<Option<u32>>> =
            self.alphas.iter_mut().map(|alpha| alpha.retain(kept)).collect();
        self.supports.rules_moved(self.scope, |rule| number(moved(rule as usize)));
        self.rules.drain(branches.clone());
        for rule in &mut self.rules {
            rule.net.memories_moved(&places);
        }
        self.infos.drain(branches.clone());
        self.lineage.remove_rules(branches);
        self.live.nets_moved(moved);
        for rules in [&mut self.timed, &mut self.deciding, &mut self.holding] {
            rules.retain(|&rule| !gone(rule));
            rules.iter_mut().for_each(|rule| *rule = moved(*rule));
        }
        for (_, rules) in &mut self.activation_groups {
            rules.retain(|&rule| !gone(rule as usize));
            rules.iter_mut().for_each(|rule| *rule = number(moved(*rule as usize)));
        }
        self.scratch.rules_changed();
    }

    /// The agenda groups are those of the rules at work and of this one. Gives the groups of which the
    /// journal holds marks in vain.
    fn regroup(&mut self, with: Option<&RuleDef>) -> Vec<String> {
        let firsts = self.infos.iter().filter(|info| info.branch == 0 && !info.is_query);
        let rules: Vec<&RuleDef> = firsts.map(|info| &*info.def).chain(with).collect();
        let before = self.heard_focus();
        let (moved, unmarked) = self.focus.rules_changed(self.scope, &rules);
        for info in &mut self.infos {
            info.turn.group = moved[info.turn.group as usize].unwrap_or_default();
        }
        self.note_popped(before);
        unmarked
    }

    /// Ranks the rules anew, now that there are others.
    pub(super) fn rank(&mut self) {
        self.note_straight();
        let rules = self.infos.iter().map(|info| match info.salience {
            Salience::Fixed(salience) if !info.is_query => (info.turn.group, Some(salience)),
            Salience::Fixed(_) | Salience::Of { .. } => (info.turn.group, None),
        });
        self.ranks = Ranks::new(self.focus.names().count(), &rules.collect::<Vec<_>>());
        self.scratch.unreported.fill(self.rules.len());
        for (at, rule) in (0..).zip(&self.rules) {
            if !self.infos[at as usize].is_query {
                self.ranks.set(at, rule.terminal.best_salience());
            }
        }
    }
}
