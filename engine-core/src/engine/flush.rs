//! A flush: staged operations are matched, cascades of truth maintenance run to their end, and what
//! is new or re-armed becomes pending.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{FactHandle, RuleTag, Seq};

use super::abreast::Abreast;
use super::agenda_events::{AgendaEvent, Wanted};
use super::distribute::{BusyMemories, DistributeScratch};
use super::heirs::adopt;
use super::net_changes::KindDelta;
use super::rule_list::RuleList;
use super::{Engine, RuleState};
use crate::aggregate::AggregateError;
use crate::chains::NONE;
use crate::error::EvaluateError;
use crate::network::Flush;
use crate::network::descent::{Descended, Descent};
use crate::network::straight::Step;
use crate::sink::ActionSink;
use crate::store::{Change, Kind, KindSet, Op, Ops, Place, Store};
use crate::trail::{BULK, Scope};

/// Buffers of a flush, and what it remembers until it ends.
#[derive(Default)]
pub(crate) struct FlushScratch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) belief: Vec<u8>,
    /// What is reported of the match that fires.
    pub(super) report: super::report::Report,
    /// Of facts that change together.
    pub(super) slots: Vec<u32>,
    /// Facts that the match which fires has supported anew.
    pub(super) supported: Vec<Place>,
    /// By kind, the net changes of a round.
    pub(super) deltas: Vec<KindDelta>,
    /// Of the alpha side.
    pub(super) distribute: DistributeScratch,
    pub(super) busy: BusyMemories,
    pub(super) steps: NotedSteps,
    /// Of many operations in a calm engine.
    pub(super) abreast: Abreast,
    /// Whether the alpha side of the first round is done.
    pub(super) distributed: bool,
    /// By rule, what happened to its matches.
    pub(super) matches: Vec<MatchLog>,
    /// Rules of which networks have changes in this round.
    pub(super) dirty: RuleList,
    /// Rules that were dirty in any round.
    flushed: RuleList,
    /// Rules whose pending and waiting matches may be others than those that the journal holds: a commit
    /// does not look at the others.
    pub(super) unreported: RuleList,
    lost: Vec<Lost>,
    /// Matches that become pending, with their triggers.
    pub(super) queued: Vec<(u64, u32)>,
    /// Auto-focus rules of which a match became pending.
    pub(super) focusing: Vec<usize>,
    /// How many rounds this flush has had, and whether it is the session's first.
    pub(super) rounds: u32,
    pub(super) first_flush: bool,
    pub(super) only_inserts: bool,
    /// The rule of which conditions are evaluated, for whoever tells that one panicked.
    pub(super) at_work: Option<usize>,
    /// Kinds that its operations concern.
    pub(super) kinds: KindSet,
    /// Rules of which supports may have lost what they stood on, and matches whose supports went with
    /// facts that had no foundation.
    pub(super) shaken: BTreeSet<usize>,
    pub(super) bereft: BTreeSet<(usize, u32)>,
    /// The moment on the clock's way that is being evaluated, if it is not the clock itself.
    pub(super) moment: Option<i64>,
    /// Of a flush that time brought about: the number of what left windows over time.
    pub(super) passing: Option<Seq>,
    /// What happened on the agenda, for those who listen, that the sink does not have yet.
    pub(super) agenda: Vec<AgendaEvent>,
    /// What the sink of the call at work wants.
    pub(super) wanted: Wanted,
    /// How many operations were ever taken along a course that was known before, for tests as well.
    #[cfg(test)]
    pub(super) calm_ops: usize,
    /// What fired, for tests that give the engine a sink which wants to know nothing.
    #[cfg(test)]
    pub(super) fired: Vec<steadfast_wm::MatchId>,
    /// Events whose time may be over: new and changed ones, and those that a match let go.
    pub(super) over: Vec<Place>,
}

impl FlushScratch {
    /// That of an engine that evaluates nothing, and of which the sink wants this.
    pub(super) fn wanting(wanted: Wanted) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Tokens of a rule that came or of which something changed.
    pub(super) fn touched_of(&self, rule: usize) -> &[u32] {
        &self.matches[rule].touched
    }

    /// Tokens of a rule that were there when the flush began and are gone.
    pub(super) fn gone_of(&self, rule: usize) -> impl Iterator<Item = u32> + '_ {
        self.matches[rule].gone.iter().map(|(token, _)| *token)
    }

    /// Whether a new token stands for a match that was there when the flush began.
    pub(super) fn is_heir(&self, rule: usize, token: u32) -> bool {
        self.matches[rule].heirs.contains(&token)
    }

    /// What the flush gives to the networks, in a round that begins at this operation. The parts of the engine
    /// are told apart, as whoever asks changes others.
    #[inline]
    pub(super) fn flush<'a>(
        &self,
        (scope, moment): (Scope, i64),
        store: &'a Store,
        ops: &'a [Op],
        round_start: u32,
    ) -> Flush<'a> {
        let ops = Ops::new(ops, self.kinds, self.only_inserts).at(self.passing);
        Flush { scope, moment, store, ops, round_start, cascaded: self.rounds > 1 }
    }

    /// Rules have other numbers from now on.
    pub(super) fn rules_changed(&mut self) {
        self.matches.clear();
    }

    /// Notes that a match lost a fact that it supported, because that had no foundation: if the match is
    /// there when the flush ends, it is as good as new.
    pub(super) fn bereft(&mut self, rule: usize, token: u32) {
        self.bereft.insert((rule, token));
        self.matches[rule].touched.push(token);
        self.flushed.insert(rule);
    }
}

/// Of a flush of a few operations: what is taken down from a level at once, with its rule.
#[derive(Default)]
pub(super) struct NotedSteps {
    /// What goes straight down.
    pub(super) list: Vec<(u32, Step)>,
    /// What descends, and tokens of the descent that is at work.
    pub(super) descents: Vec<Descent>,
    pub(super) descended: Descended,
    /// Whether they are being noted; otherwise networks are told.
    pub(super) wanted: bool,
    /// Whether there is one operation: nothing else happens then to any fact.
    pub(super) only_op: bool,
    /// How many were ever taken token by token, and how many with lists of what happened: a test asks whether
    /// the straight way is taken.
    #[cfg(test)]
    pub(super) taken: (usize, usize),
    /// How many times steps of a rule ever descended, and how many rounds there were.
    #[cfg(test)]
    pub(super) descents_taken: usize,
    #[cfg(test)]
    pub(super) rounds: usize,
}

/// What happened to the matches of one rule since the flush began.
#[derive(Default)]
pub(super) struct MatchLog {
    /// Tokens that came or of which something changed.
    pub(super) touched: Vec<u32>,
    /// Matches of the flush's start that are gone, with whether supports were withdrawn for them.
    pub(super) gone: Vec<(u32, bool)>,
    /// New tokens that stand for matches of the flush's start.
    pub(super) heirs: BTreeSet<u32>,
}

impl Engine {
    /// The operations that are staged or being matched.
    pub(crate) fn staged_ops(&self) -> &[Op] {
        self.ops.as_slice()
    }

    /// The rule of which conditions were evaluated last in this flush.
    pub(crate) fn rule_at_work(&self) -> Option<usize> {
        self.scratch.at_work
    }

    /// Whether matching would find anything to do.
    #[inline]
    pub(super) fn has_to_match(&self) -> bool {
        self.has_staged() || self.has_expiring()
    }

    /// Matches everything that is staged.
    ///
    /// Gives whether there was anything to match. Records the deletions of cascades, not the end of
    /// the flush: that is the caller's to say.
    ///
    /// # Errors
    ///
    /// [`EvaluateError`] if a condition panics or an accumulate has no result; the engine has failed
    /// then.
    pub(crate) fn match_staged(
        &mut self,
        issuer: Option<RuleTag>,
        sink: &mut dyn ActionSink,
    ) -> Result<bool, EvaluateError> {
        self.failed_already()?;
        let staged = self.has_staged();
        if !staged && !self.has_expiring() {
            return Ok(false);
        }
        let mut expired = false;
        self.guarded(|engine| {
            if staged && !engine.match_op()? {
                engine.match_rounds(issuer, sink)?;
            }
            if engine.has_expiring() {
                expired = engine.let_go(sink)?;
            }
            Ok(())
        })?;
        Ok(staged || expired)
    }

    /// Evaluates; whatever goes wrong in its middle leaves the engine failed.
    pub(super) fn guarded(
        &mut self,
        evaluate: impl FnOnce(&mut Self) -> Result<(), EvaluateError>,
    ) -> Result<(), EvaluateError> {
        // User code runs in conditions, keys and accumulate functions. If it panics the network is in
        // the middle of a change; the flag keeps anybody from looking at it.
        self.failed = true;
        self.scratch.at_work = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| evaluate(self)));
        match outcome {
            Ok(Ok(())) => {
                self.failed = false;
                Ok(())
            }
            Ok(Err(error)) => {
                self.failed_in = self.scope;
                Err(error)
            }
            Err(panic) => {
                self.failed_in = self.scope;
                Err(self.condition_panicked(panic.as_ref()))
            }
        }
    }

    pub(super) fn match_rounds(
        &mut self,
        issuer: Option<RuleTag>,
        sink: &mut dyn ActionSink,
    ) -> Result<(), EvaluateError> {
        self.scratch.rounds = 0;
        let dirty = self.match_round(0)?;
        if self.is_over_at_once(&dirty.rules) {
            self.finish_only_round(&dirty.rules);
            self.end_round(dirty);
            return Ok(());
        }
        self.go_on_with_rounds(dirty, issuer, sink)
    }

    /// Whether nothing follows from the first round of a flush, which is what most flushes are, and nobody
    /// wants to know more than what becomes pending.
    fn is_over_at_once(&self, dirty: &[usize]) -> bool {
        let is_quiet = self.suspects.is_empty() && self.scratch.shaken.is_empty();
        is_quiet
            && !self.is_heard()
            && !self.live.is_followed()
            && !dirty.iter().any(|&rule| {
                let RuleState { net, terminal, .. } = &self.rules[rule];
                let mut deleted = net.terminal().deleted.iter();
                deleted.any(|&token| terminal.state(token).first_support != NONE)
            })
    }

    /// Settles the matches of a flush that is over after its first round, and ends it.
    fn finish_only_round(&mut self, dirty: &[usize]) {
        for &rule in dirty {
            self.note_unreported(rule);
            if !self.infos[rule].is_query {
                self.settle_matches(rule);
            }
        }
        // Behind all of them: what locks is the focus as it was when the flush began.
        self.focus_automatically();
        for &rule in dirty {
            let net = &mut self.rules[rule].net;
            net.end_round();
            net.end_flush(self.scope);
        }
        self.forget_flush();
    }

    /// The rounds of a flush from what the first one did.
    #[inline(never)] // most flushes have one
    fn go_on_with_rounds(
        &mut self,
        mut dirty: RuleList,
        issuer: Option<RuleTag>,
        sink: &mut dyn ActionSink,
    ) -> Result<(), EvaluateError> {
        if self.scratch.matches.len() != self.rules.len() {
            self.scratch.matches.resize_with(self.rules.len(), MatchLog::default);
        }
        loop {
            dirty.rules.iter().for_each(|&rule| self.scratch.flushed.insert(rule));
            self.after_round(&dirty.rules);
            self.end_round(dirty);
            let round_start = self.ops.len();
            if !self.scratch.lost.is_empty() {
                self.cascade(issuer, sink);
            }
            if self.ops.len() == round_start && !self.drop_unfounded(issuer, sink) {
                break;
            }
            dirty = self.match_round(round_start)?;
        }
        self.finish_flush();
        self.tell(sink);
        Ok(())
    }

    /// Takes what happened since the last round through the networks; gives the rules of which networks had
    /// changes.
    fn match_round(&mut self, round_start: u32) -> Result<RuleList, EvaluateError> {
        self.scratch.rounds += 1;
        if !std::mem::take(&mut self.scratch.distributed) {
            self.net_changes(round_start);
            self.distribute(round_start);
            self.plant();
        }
        #[cfg(test)]
        {
            self.scratch.steps.rounds += 1;
        }
        let mut dirty = std::mem::take(&mut self.scratch.dirty);
        dirty.sort();
        for &rule in &dirty.rules {
            self.propagate(rule, round_start)?;
            self.shake(rule);
        }
        Ok(dirty)
    }

    /// Gives back the list of a round's rules.
    fn end_round(&mut self, mut dirty: RuleList) {
        dirty.clear();
        self.scratch.dirty = dirty;
    }

    /// The first evaluation puts the unit tuple into every network.
    pub(super) fn plant(&mut self) {
        if *self.evaluated.get() {
            return;
        }
        for (at, rule) in self.rules.iter_mut().enumerate() {
            if !*rule.planted.get() {
                rule.planted.set(self.scope, true);
                rule.net.plant(self.scope);
                self.scratch.dirty.insert(at);
            }
        }
        self.evaluated.set(self.scope, true);
        self.scratch.first_flush = true;
    }

    pub(super) fn propagate(&mut self, rule: usize, round_start: u32) -> Result<(), EvaluateError> {
        let at = (self.scope, self.moment());
        let flush = self.scratch.flush(at, &self.store, self.ops.as_slice(), round_start);
        self.scratch.at_work = Some(rule);
        let net = &mut self.rules[rule].net;
        let propagated = net.propagate(&flush, &mut self.alphas, &mut self.buffers);
        propagated.map_err(|source| self.no_result(rule, source))
    }

    #[cold]
    pub(super) fn no_result(&self, rule: usize, source: AggregateError) -> EvaluateError {
        EvaluateError::Aggregate { rule: self.infos[rule].path.clone(), source }
    }

    /// Notes what became of the matches of dirty rules, and the supports of matches that are gone.
    fn after_round(&mut self, dirty: &[usize]) {
        let mut lost = std::mem::take(&mut self.scratch.lost);
        for &at in dirty {
            let rule = &mut self.rules[at];
            let log = &mut self.scratch.matches[at];
            let bereft = &self.scratch.bereft;
            let terminal = rule.net.terminal();
            for &token in &terminal.deleted {
                let head = rule.terminal.state(token).first_support;
                let before = lost.len();
                for support in self.supports.of_match(head) {
                    let place = self.supports.get(support).place;
                    let handle = self.store.kind(place.kind).handle(place.slot);
                    lost.push(Lost { rule: at, handle, token, support });
                }
                if !terminal.is_new(token) || log.heirs.remove(&token) {
                    let lost = lost.len() > before || bereft.contains(&(at, token));
                    log.gone.push((token, lost));
                }
            }
            for &token in terminal.inserted() {
                rule.terminal.reset(self.scope, token);
            }
            let cascaded = self.scratch.rounds > 1;
            if cascaded && !log.gone.is_empty() && !terminal.inserted().is_empty() {
                adopt(self.scope, &self.store, rule, log);
            }
            let terminal = rule.net.terminal();
            log.touched.extend_from_slice(terminal.inserted());
            log.touched.extend_from_slice(&terminal.updated);
            rule.net.end_round();
        }
        self.end_round_of_memories();
        if lost.len() > 1 {
            self.sort_lost(&mut lost);
        }
        self.scratch.lost = lost;
    }

    fn sort_lost(&self, lost: &mut [Lost]) {
        lost.sort_unstable_by(|a, b| {
            let place = |lost: &Lost| self.infos[lost.rule].place;
            let keys = (place(a), a.handle).cmp(&(place(b), b.handle));
            keys.then_with(|| {
                if a.rule == b.rule {
                    return self.rules[a.rule].net.compare(&self.store, a.token, b.token);
                }
                let members = |lost: &Lost| (self.members(lost.rule, lost.token), lost.rule);
                members(a).cmp(&members(b))
            })
        });
    }

    /// Withdraws the supports of matches that are gone, in order; facts go with their last one.
    #[inline(never)] // most flushes have none
    fn cascade(&mut self, issuer: Option<RuleTag>, sink: &mut dyn ActionSink) {
        let mut lost = std::mem::take(&mut self.scratch.lost);
        for Lost { rule, handle, token, support } in lost.drain(..) {
            let wanted = sink.wants_records();
            let id = wanted.then(|| self.match_id(rule, token));
            self.withdraw(handle, support, issuer, || id, sink);
        }
        self.scratch.lost = lost;
    }

    /// Decides which matches are pending from now on, and forgets everything that ends with a flush.
    fn finish_flush(&mut self) {
        let mut flushed = std::mem::take(&mut self.scratch.flushed);
        flushed.sort();
        for &at in &flushed.rules {
            self.note_unreported(at);
            let is_query = self.infos[at].is_query;
            if is_query {
                self.note_live(at);
            }
            let log = &mut self.scratch.matches[at];
            let (lost_any, touched_any) = (!log.gone.is_empty(), !log.touched.is_empty());
            if is_query {
                log.touched.clear();
            }
            if lost_any {
                self.bury_gone(at);
            }
            if !is_query && (lost_any || touched_any) {
                self.queue_touched(at, lost_any);
            }
            let heirs = &mut self.scratch.matches[at].heirs;
            if !heirs.is_empty() {
                heirs.clear();
            }
        }
        // Behind all of them: what locks is the focus as it was when the flush began.
        self.focus_automatically();
        for &at in &flushed.rules {
            self.rules[at].net.end_flush(self.scope);
        }
        flushed.clear();
        self.scratch.flushed = flushed;
        if !self.scratch.bereft.is_empty() {
            self.scratch.bereft.clear();
        }
        self.forget_flush();
    }

    /// Forgets what ends with a flush, but for the networks that it went through.
    #[inline]
    pub(super) fn forget_flush(&mut self) {
        self.forget_ops();
        self.buffers.shrink();
        self.forget_rest();
    }

    /// The same of a flush of one operation that no network was told of.
    #[inline]
    pub(super) fn forget_only_op(&mut self, op: &Op) {
        forget_op(self.scope, &mut self.store, (0, op), &mut self.scratch.over);
        self.ops.clear(self.scope);
        self.forget_rest();
    }

    /// Forgets what ends with a flush beside its operations.
    #[inline]
    pub(super) fn forget_rest(&mut self) {
        if !self.scratch.busy.is_empty() {
            self.end_flush_of_memories();
        }
        self.live.end_flush();
        self.scratch.first_flush = false;
    }

    /// Everybody knows what the operations of the flush did.
    fn forget_ops(&mut self) {
        if self.ops.len() as usize >= BULK && !self.scope.is_open() {
            self.vacate_kinds();
        }
        for (at, op) in (0..).zip(self.ops.as_slice()) {
            // A kind that was vacated has no slots.
            if op.slot >= self.store.kind(op.kind).slot_count() {
                continue;
            }
            if op.count > 1 {
                self.store.kind_mut(op.kind).forget_run(self.scope, op.slots(), at);
            } else {
                forget_op(self.scope, &mut self.store, (at, op), &mut self.scratch.over);
            }
        }
        self.ops.clear(self.scope);
    }

    /// Gives back the slots of kinds of which no fact is left.
    fn vacate_kinds(&mut self) {
        let mut dead = vec![0; self.store.kinds.len()];
        for op in self.ops.as_slice() {
            dead[op.kind as usize] += u32::from(op.what == Change::Delete);
        }
        let kinds = self.store.kinds.iter_mut().zip(dead);
        kinds.filter(|(_, dead)| *dead > 0).for_each(|(kind, dead)| kind.vacate(dead));
    }

    /// Forgets which rules have changes: they were matched outside a flush.
    pub(super) fn forget_dirty(&mut self) {
        self.scratch.dirty.clear();
        self.end_flush_of_memories();
        self.scratch.first_flush = false;
    }
}

/// Everybody knows what an operation of the flush, the one in this place, did.
#[inline]
fn forget_op(scope: Scope, store: &mut Store, (at, op): (u32, &Op), over: &mut Vec<Place>) {
    let kind = store.kind_mut(op.kind);
    let is_last = kind.forget_op(scope, op.slot, at);
    let leaves_more = op.what == Change::Delete || op.before != NONE || kind.expires();
    if is_last && leaves_more {
        forget_more(scope, kind, op, over);
    }
}

/// Forgets what else an operation leaves behind that is the last one on its fact: the slot of a dead fact, the
/// value before the flush. Events may be over now.
#[inline(never)] // most operations leave nothing else behind
pub(super) fn forget_more(scope: Scope, kind: &mut Kind, op: &Op, over: &mut Vec<Place>) {
    if op.what == Change::Delete {
        kind.free_slot(scope, op.slot);
    } else if kind.expires() {
        over.push(Place { kind: op.kind, slot: op.slot });
    }
    if op.before != NONE {
        kind.table.drop_before(scope);
    }
}

/// A support of a match that is gone.
struct Lost {
    rule: usize,
    handle: FactHandle,
    token: u32,
    support: u32,
}
