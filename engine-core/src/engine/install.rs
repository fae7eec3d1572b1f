//! Rules and fact types become part of an engine.

use std::sync::Arc;

use steadfast_wm::{Record, RuleTag};

use super::focus::Turn;
use super::{Engine, RuleInfo, RuleState};
use crate::agenda::Terminal;
use crate::ir::{RuleDef, Salience};
use crate::network::alpha::Alpha;
use crate::network::compile;
use crate::sink::ActionSink;
use crate::store::FactType;
use crate::trail::Cell;

impl Engine {
    pub(super) fn register(&mut self, fact: FactType, sink: &mut dyn ActionSink) -> u32 {
        let (kind, grew) = self.store.register(fact);
        if grew {
            let name = fact.stored_name();
            sink.record(&Record::Type { tag: self.store.kind(kind).tag, name: &name });
        }
        if self.alphas.len() <= kind as usize {
            self.alphas.resize_with(kind as usize + 1, Alpha::default);
            if fact.expires().is_some() {
                self.expiring.push(kind);
            }
        }
        kind
    }

    /// Puts a rule, which is about to be added, into an activation group; gives the group's number.
    fn join_activation_group(&mut self, name: &str, branches: u32) -> u32 {
        let groups = &mut self.activation_groups;
        let group = groups.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            groups.push((name.to_owned(), Vec::new()));
            groups.len() - 1
        });
        let first = u32::try_from(self.rules.len()).expect("fewer than 2³² rules");
        groups[group].1.extend(first..first + branches);
        u32::try_from(group).expect("fewer groups than rules")
    }

    /// Adds a rule or query: one network for each of its branches.
    pub(super) fn install(&mut self, rule: &RuleDef, tag: RuleTag, is_query: bool) {
        let last = self.infos.last();
        let place = last.map_or(0, |last| last.place + 1);
        let branches = u16::try_from(1 + rule.branches.len()).expect("checked with the ruleset");
        let group = self.focus.names().find(&rule.agenda.group).unwrap_or_default();
        let activation_group = rule.agenda.activation_group.as_deref().filter(|_| !is_query);
        let activation_group =
            activation_group.map(|name| self.join_activation_group(name, u32::from(branches)));
        let turn = Turn::new(&rule.agenda, group, activation_group);
        for (number, branch) in (0..).zip(rule.all_branches()) {
            let expiring = self.add_net(branch, is_query);
            let net = &self.rules[self.infos.len()].net;
            let (absences, deciding) = (net.bounded_absences(), net.deciding());
            if !deciding.is_empty() {
                self.deciding.push(self.infos.len());
            }
            if (rule.timing.timer.is_some() || !absences.is_empty()) && !is_query {
                self.timed.push(self.infos.len());
            }
            let waits = rule.timing.timer.is_some() || !expiring.is_empty() || !absences.is_empty();
            let holds_back = waits || turn.no_loop || turn.lock_on_active;
            let bare = net.is_bare() && !is_query && !holds_back;
            let is_plain =
                branch.agenda.enabled.is_none() && turn.activation_group.is_none() && branches == 1;
            let is_fixed = matches!(branch.salience, Salience::Fixed(_));
            self.infos.push(RuleInfo {
                path: rule.path.clone(),
                tag,
                place,
                branch: number,
                branches,
                salience: branch.salience.clone(),
                is_plain,
                is_calm: is_plain && is_fixed && !is_query && !waits && !turn.auto_focus,
                turn: Turn { enabled: branch.agenda.enabled.clone(), ..turn.clone() },
                on_error: rule.on_error,
                timing: rule.timing.clone(),
                expiring,
                absences,
                deciding,
                consequence: branch.consequence.clone(),
                is_query,
                holds_back,
                bare,
                def: Arc::new(branch.clone()),
            });
        }
    }

    /// Gives the positions of its matches that hold events which expire.
    fn add_net(&mut self, rule: &RuleDef, is_query: bool) -> Vec<(usize, u32)> {
        let store = &mut self.store;
        let mut net = compile(rule, |pattern| {
            let kind = store.kinds.iter().position(|kind| kind.fact.id() == pattern.fact.id());
            u32::try_from(kind.expect("types of rules are registered")).expect("few types")
        });
        self.listen(&mut net);
        self.lineage.add_rule(&net);
        let expiring = self.expiring_positions(&net);
        let mut terminal = Terminal::new(matches!(rule.salience, Salience::Of { .. }));
        if !expiring.is_empty() && !is_query {
            terminal.note_turns();
            self.holding.push(self.rules.len());
        }
        terminal.set_recorded(self.is_recorded());
        self.rules.push(RuleState { net, terminal, planted: Cell::new(false) });
        expiring
    }
}
