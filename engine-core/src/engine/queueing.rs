//! The end of a flush on the agenda: matches that are gone leave it, and what is new or re-armed becomes pending.

use steadfast_wm::{MatchId, Seq};

use super::agenda_events::AgendaEvent;
use super::{Engine, RuleInfo, RuleState};
use crate::agenda::Terminal;
use crate::ir::Salience;
use crate::network::Net;
use crate::network::straight::{Became, Step};
use crate::store::{Op, Store};
use crate::then::Row;
use crate::trail::{Scope, clear};

impl Engine {
    /// Settles the matches of a rule after the only round of a flush: what became of them is what the last
    /// level of its network lists.
    pub(super) fn settle_matches(&mut self, at: usize) {
        let tokens = self.rules[at].net.terminal();
        let (came, stayed) = (tokens.inserted().len(), tokens.updated.len());
        if !tokens.deleted.is_empty() {
            self.bury_deleted(at);
        }
        if came + stayed > 0 {
            self.queue_listed(at, came, stayed);
        }
    }

    /// The same after a step that was taken straight down: what touches a match is the only operation.
    #[inline]
    pub(super) fn settle_step(&mut self, at: usize, step: Step, op: &Op, became: Became) {
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        match became {
            Became::Nothing => {}
            Became::Came(token) => {
                let is_touched = net.touches(op, step, token);
                let trigger = if is_touched { op.seq } else { self.last_seq() };
                self.enqueue_new(at, trigger, token);
            }
            Became::Stayed(token) => {
                if net.touches(op, step, token) {
                    self.enqueue(at, [(op.seq.get(), token)]);
                }
            }
            Became::Went(token) => {
                let RuleInfo { tag, branch, .. } = self.infos[at];
                let identity =
                    || MatchId { rule: tag, branch, members: net.members(&self.store, token) };
                terminal.bury(self.scope, token, identity);
                if terminal.ranks_anew() {
                    self.enqueued(at, false);
                }
                self.note_unreported(at);
            }
            Became::Listed => self.settle_several(at, step, op),
        }
    }

    #[inline(never)] // most steps lead to one match
    pub(super) fn settle_several(&mut self, at: usize, step: Step, op: &Op) {
        if !self.rules[at].net.terminal().deleted.is_empty() {
            self.bury_deleted(at);
        }
        let last = self.last_seq();
        let mut queued = std::mem::take(&mut self.scratch.queued);
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        for &token in net.terminal().inserted() {
            terminal.reset(self.scope, token);
            let trigger = if net.touches(op, step, token) { op.seq } else { last };
            queued.push((trigger.get(), token));
        }
        let stayed = net.terminal().updated.iter().filter(|&&token| net.terminal().is_live(token));
        let touched = stayed.filter(|&&token| net.touches(op, step, token));
        queued.extend(touched.map(|&token| (op.seq.get(), token)));
        if queued.is_empty() {
            self.scratch.queued = queued;
        } else {
            self.queue(at, queued);
        }
    }

    /// Forgets matches that are gone, of which their network does not know any more.
    pub(super) fn bury_settled(&mut self, at: usize, tokens: &[u32]) {
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        bury(self.scope, &self.store, &self.infos[at], (net, terminal), tokens);
        if terminal.ranks_anew() {
            self.enqueued(at, false);
        }
        self.note_unreported(at);
    }

    /// Makes new matches of a rule pending, given with their triggers in any order; nobody listens then.
    pub(super) fn enqueue_all_new(&mut self, at: usize, matches: &mut Vec<(u64, u32)>) {
        if let [(trigger, token)] = **matches {
            self.enqueue_new(at, Seq::new(trigger), token);
            matches.clear();
            return;
        }
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        net.sort_matches(&self.store, matches);
        matches.iter().for_each(|&(_, token)| terminal.reset(self.scope, token));
        self.enqueue(at, matches.drain(..));
    }

    #[inline(never)] // what it needs is not gathered where it is not called
    fn bury_deleted(&mut self, at: usize) {
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        bury(self.scope, &self.store, &self.infos[at], (net, terminal), &net.terminal().deleted);
        if terminal.ranks_anew() {
            self.enqueued(at, false);
        }
        self.note_unreported(at);
    }

    /// Queues the matches that the only round of a flush created or re-armed.
    #[inline(never)] // as above
    fn queue_listed(&mut self, at: usize, came: usize, stayed: usize) {
        let last = self.last_seq().get();
        let otherwise = if self.scratch.first_flush { 1 } else { last };
        let RuleInfo { salience, holds_back, .. } = &self.infos[at];
        let are_new = stayed == 0
            && !holds_back
            && matches!(salience, Salience::Fixed(_))
            && !self.is_heard();
        let mut queued = std::mem::take(&mut self.scratch.queued);
        queued.reserve(came + stayed);
        let at_end = (self.scope, self.moment());
        let flush = self.scratch.flush(at_end, &self.store, self.ops.as_slice(), 0);
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        let touching = net.touching(&flush, &self.alphas);
        queued.extend(net.terminal().inserted().iter().map(|&token| (0, token)));
        if !are_new {
            queued.iter().for_each(|&(_, token)| terminal.reset(self.scope, token));
        }
        let of = (&*self.alphas, &mut self.buffers);
        net.triggers(&flush, touching.as_ref(), of, &mut queued, otherwise);
        for number in 0..stayed {
            let token = net.terminal().updated[number];
            if !net.terminal().is_live(token) {
                continue;
            }
            let touch =
                net.touch_by(&flush, touching.as_ref(), &self.alphas, &mut self.buffers, token);
            if touch.rearm.is_some() {
                queued.push((touch.any.expect("what re-arms also touches").get(), token));
            }
        }
        match self.infos[at].salience {
            Salience::Fixed(salience) if are_new => self.queue_new(at, queued, salience),
            _ => self.queue(at, queued),
        }
    }

    /// As [`queue`](Self::queue), of new matches of which none is held back, and nobody hears.
    fn queue_new(&mut self, at: usize, mut queued: Vec<(u64, u32)>, salience: i32) {
        self.note_unreported(at);
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        if queued.len() > 1 {
            net.sort_matches(&self.store, &mut queued);
        }
        let any = !queued.is_empty();
        terminal.enqueue_all_new(self.scope, &mut queued, salience);
        self.enqueued(at, any);
        clear(&mut queued);
        self.scratch.queued = queued;
    }

    /// Forgets the matches of a rule that several rounds took away.
    #[inline(never)] // most flushes have none
    pub(super) fn bury_gone(&mut self, at: usize) {
        let mut gone = std::mem::take(&mut self.scratch.matches[at].gone);
        if self.is_heard() {
            let net = &self.rules[at].net;
            gone.sort_unstable_by(|&(a, _), &(b, _)| net.compare(&self.store, a, b));
            gone.iter().for_each(|&(token, _)| self.note_cancelled(at, token));
        }
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        let tokens: Vec<u32> = gone.drain(..).map(|(token, _)| token).collect();
        bury(self.scope, &self.store, &self.infos[at], (net, terminal), &tokens);
        self.scratch.matches[at].gone = gone;
    }

    /// Queues the matches of a rule that several rounds created or re-armed, or one to which somebody listens;
    /// `lost_any` if some of its matches are gone.
    #[inline(never)] // what it needs is not gathered where it is not called
    pub(super) fn queue_touched(&mut self, at: usize, lost_any: bool) {
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
        let flush = self.scratch.flush((self.scope, moment), &self.store, self.ops.as_slice(), 0);
        let heirs = &self.scratch.matches[at].heirs;
        let (any_bereft, any_heirs) = (!self.scratch.bereft.is_empty(), !heirs.is_empty());
        let mut queued = std::mem::take(&mut self.scratch.queued);
        queued.reserve(touched.len());
        let touching = rule.net.touching(&flush, &self.alphas);
        for &token in &touched {
            let net = &mut rule.net;
            let touch =
                net.touch_by(&flush, touching.as_ref(), &self.alphas, &mut self.buffers, token);
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
        self.queue(at, queued);
        clear(&mut touched);
        self.scratch.matches[at].touched = touched;
    }

    /// Makes matches of a rule pending, given with their triggers in any order, but for those that stay dormant
    /// or wait.
    fn queue(&mut self, at: usize, mut queued: Vec<(u64, u32)>) {
        if queued.len() > 1 {
            self.rules[at].net.sort_matches(&self.store, &mut queued);
        }
        if self.infos[at].holds_back {
            self.restrain(at, &mut queued);
            queued = self.hold_back(at, queued);
        }
        self.enqueue(at, queued.iter().copied());
        clear(&mut queued);
        self.scratch.queued = queued;
    }

    /// Makes the only match pending that a flush of one operation has brought a rule; nobody listens then.
    #[inline]
    pub(super) fn enqueue_new(&mut self, at: usize, trigger: Seq, token: u32) {
        let terminal = &mut self.rules[at].terminal;
        let RuleInfo { salience, turn, .. } = &self.infos[at];
        let Salience::Fixed(salience) = *salience else {
            terminal.reset(self.scope, token);
            self.enqueue(at, [(trigger.get(), token)]);
            return;
        };
        let was_idle = terminal.pending_count() == 0;
        terminal.enqueue_new(self.scope, token, trigger.get(), salience);
        if turn.auto_focus {
            self.scratch.focusing.push(at);
        }
        if was_idle {
            self.rank_anew(at);
        }
        self.note_unreported(at);
    }

    /// Makes matches of one rule pending, given in the order of triggers and members.
    pub(super) fn enqueue(&mut self, at: usize, matches: impl IntoIterator<Item = (u64, u32)>) {
        self.note_unreported(at);
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
        self.scratch.at_work = Some(at);
        let RuleState { net, terminal, .. } = &mut self.rules[at];
        let branch = self.infos[at].branch;
        let heard = self.scratch.wanted.agenda_events;
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
    #[inline]
    pub(super) fn enqueued(&mut self, at: usize, any: bool) {
        if any && self.infos[at].turn.auto_focus {
            self.scratch.focusing.push(at);
        }
        self.rank_anew(at);
    }

    /// The rule may have another rank.
    #[inline]
    pub(super) fn rank_anew(&mut self, at: usize) {
        let terminal = &self.rules[at].terminal;
        self.ranks.set_by(at, terminal.pending_count() > 0, || terminal.best_salience());
    }
}

/// Forgets dead matches of a rule.
fn bury(
    scope: Scope,
    store: &Store,
    info: &RuleInfo,
    (net, terminal): (&Net, &mut Terminal),
    tokens: &[u32],
) {
    let RuleInfo { tag, branch, .. } = *info;
    let identity = |token| MatchId { rule: tag, branch, members: net.members(store, token) };
    if net.terminal().live_count() == 0 {
        terminal.bury_all(scope, tokens.iter().copied(), identity);
    } else {
        tokens.iter().for_each(|&token| terminal.bury(scope, token, || identity(token)));
    }
}
