//! The end of a flush on the agenda: matches that are gone leave it, and what is new or re-armed becomes pending.

use steadfast_wm::{MatchId, Seq};

use super::agenda_events::AgendaEvent;
use super::{Engine, RuleInfo, RuleState};
use crate::ir::Salience;
use crate::network::Flush;
use crate::store::Ops;
use crate::then::Row;
use crate::trail::clear;

impl Engine {
    #[inline(never)] // most flushes have none
    pub(super) fn bury_gone(&mut self, at: usize) {
        let mut gone = std::mem::take(&mut self.scratch.matches[at].gone);
        let RuleInfo { tag, branch, .. } = self.infos[at];
        if self.is_heard() {
            let net = &self.rules[at].net;
            gone.sort_unstable_by(|&(a, _), &(b, _)| net.compare(&self.store, a, b));
            gone.iter().for_each(|&(token, _)| self.note_cancelled(at, token));
        }
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        let store = &self.store;
        let identity = |token| MatchId { rule: tag, branch, members: net.members(store, token) };
        let tokens = gone.drain(..).map(|(token, _)| token);
        if net.terminal().live_count() == 0 {
            terminal.bury_all(self.scope, tokens, identity);
        } else {
            tokens.for_each(|token| terminal.bury(self.scope, token, || identity(token)));
        }
        self.scratch.matches[at].gone = gone;
    }

    /// Queues the matches of one rule that this flush created or re-armed; `lost_any` if some of its matches
    /// are gone.
    #[inline(never)] // what it needs is not gathered where it is not called
    pub(super) fn queue_matches(&mut self, at: usize, lost_any: bool) {
        if !self.scratch.bereft.is_empty() {
            self.renew_bereft(at);
        }
        let mut touched = std::mem::take(&mut self.scratch.matches[at].touched);
        let moment = self.moment();
        let rule = &mut self.rules[at];
        if lost_any || self.scratch.rounds > 1 {
            touched.retain(|&token| rule.net.terminal().is_live(token));
        }
        if self.scratch.rounds > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        let last = self.counters.get().next_seq - 1;
        let flush = Flush {
            scope: self.scope,
            moment,
            store: &self.store,
            ops: Ops::new(self.ops.as_slice(), self.scratch.kinds, self.scratch.only_inserts)
                .at(self.scratch.passing),
            round_start: 0,
            cascaded: self.scratch.rounds > 1,
        };
        let heirs = &self.scratch.matches[at].heirs;
        let (any_bereft, any_heirs) = (!self.scratch.bereft.is_empty(), !heirs.is_empty());
        let mut queued = std::mem::take(&mut self.scratch.queued);
        queued.reserve(touched.len());
        let touching = rule.net.touching(&flush, &self.alphas);
        for &token in &touched {
            let touch = match &touching {
                Some(touching) => rule.net.touch_of_facts(&flush, touching, token),
                None => rule.net.touch_of_parts(&flush, &self.alphas, &mut self.buffers, token),
            };
            let bereft = any_bereft && self.scratch.bereft.contains(&(at, token));
            let is_heir = || any_heirs && heirs.contains(&token);
            let created = bereft || rule.net.terminal().is_new(token) && !is_heir();
            if created {
                let first = self.scratch.first_flush.then_some(1);
                let seq = touch.any.map(Seq::get).or(first).unwrap_or(last);
                queued.push((seq, token));
            } else if touch.rearm.is_some() {
                let seq = touch.any.expect("what re-arms also touches");
                queued.push((seq.get(), token));
            }
        }
        if queued.len() > 1 {
            rule.net.sort_matches(&self.store, &mut queued);
        }
        self.restrain(at, &mut queued);
        let mut queued = self.hold_back(at, queued);
        self.enqueue(at, queued.iter().copied());
        clear(&mut queued);
        self.scratch.queued = queued;
        clear(&mut touched);
        self.scratch.matches[at].touched = touched;
    }

    /// Makes matches of one rule pending, given in the order of triggers and members.
    pub(super) fn enqueue(&mut self, at: usize, matches: impl IntoIterator<Item = (u64, u32)>) {
        self.scratch.unreported.insert(at);
        let salience = match &self.infos[at].salience {
            Salience::Fixed(salience) => *salience,
            Salience::Of { .. } => {
                self.enqueue_by_salience(at, matches);
                return;
            }
        };
        let mut any = false;
        for (trigger, token) in matches {
            any = true;
            self.rules[at].terminal.enqueue(self.scope, token, trigger, salience);
            if self.is_heard() {
                let (id, trigger) = (self.match_id(at, token), Seq::new(trigger));
                self.note(AgendaEvent::Created { id, salience, trigger });
            }
        }
        self.enqueued(at, any);
    }

    /// The same of a rule whose matches have a salience each.
    fn enqueue_by_salience(&mut self, at: usize, matches: impl IntoIterator<Item = (u64, u32)>) {
        let Salience::Of { evaluate, .. } = &self.infos[at].salience else {
            unreachable!("the caller looked")
        };
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        let branch = self.infos[at].branch;
        let heard = self.scratch.agenda.is_heard();
        let mut created = Vec::new();
        let mut any = false;
        for (trigger, token) in matches {
            any = true;
            let slots = net.terminal().row(token);
            let row = Row::new(&self.store, net, slots, self.fingerprint);
            let salience = evaluate(&row.in_branch(branch));
            terminal.enqueue(self.scope, token, trigger, salience);
            if heard {
                created.push((trigger, token, salience));
            }
        }
        for (trigger, token, salience) in created {
            let (id, trigger) = (self.match_id(at, token), Seq::new(trigger));
            self.note(AgendaEvent::Created { id, salience, trigger });
        }
        self.enqueued(at, any);
    }

    /// Matches of a rule became pending, if any did: the rule may have another rank.
    fn enqueued(&mut self, at: usize, any: bool) {
        if any && self.infos[at].turn.auto_focus {
            self.scratch.focusing.push(at);
        }
        let best = self.rules[at].terminal.best_salience();
        self.ranks.set(u32::try_from(at).expect("few rules"), best);
    }
}
