//! The naive engine: the test oracle.
//!
//! It keeps nothing of the network: at every flush it enumerates all tuples of facts, asks every
//! condition of each, and compares the set of matches before and after, exactly as the semantics
//! are worded. It shares with the engine the rules, the facts' values and the buffer in which
//! consequences stage their changes; not the matching, the agenda, or truth maintenance.

mod abreast;
mod agenda;
mod descent;
mod failing;
mod founded;
mod heard;
mod horizon;
mod loads;
mod matching;
mod queried;
#[expect(unreachable_pub, reason = "shared with the tests of crates above")]
mod random;
mod rules;
mod straight;
mod tests;
mod time;
mod turns;
mod unique;

/// What the strategies call the engine.
use crate as api;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{FactHandle, MatchId, Member, RuleTag, Seq};

use crate::engine::{Verdict, panic_message};
use crate::error::Failure;
use crate::fact::FieldMask;
use crate::globals::Globals;
use crate::ir::{AgendaAttributes, RuleDef, Ruleset, Salience};
use crate::stage::{Draft, Drafts, Stage};
use crate::store::{AnyArena, Birth, Change, Place, Store};
use crate::then::{Row, Then};
use crate::tms::{believe, disbelieve, start_believing};
use crate::trail::Scope;
use agenda::Agenda;
use matching::{Found, Matched, Shape};
use random::unique::{Attempt, attempts};
use turns::{Turn, Turns};

const SCOPE: Scope = Scope::NONE;

/// A match: the place of its rule, or branch of a rule, and its members.
pub(super) type Id = (usize, Vec<Member>);

struct Op {
    what: Change,
    seq: u64,
    handle: FactHandle,
    mask: FieldMask,
    /// The rule whose step it is part of.
    issuer: Option<usize>,
}

pub(super) struct Naive {
    /// Rules, of one with branches each branch; and what the engine calls them.
    rules: Vec<RuleDef>,
    names: Vec<(u32, u16)>,
    shapes: Vec<Shape>,
    store: Store,
    /// The store as of the last flush, and when that was.
    base: Store,
    base_now: i64,
    next_handle: u64,
    next_seq: u64,
    random: u64,
    ops: Vec<Op>,
    evaluated: bool,
    found: Found,
    /// Rules that were taken away.
    removed: BTreeSet<usize>,
    /// With salience and trigger.
    pub(super) pending: BTreeMap<Id, (i32, u64)>,
    pub(super) supports: BTreeMap<FactHandle, BTreeSet<Id>>,
    /// Whether a fact is stated no more since the last evaluation.
    pub(super) has_unstated: bool,
    clock: i64,
    /// The moment that is evaluated, if it is not the clock itself.
    moment: Option<i64>,
    /// Matches that wait, and when they fall due.
    pub(super) waiting: BTreeMap<Id, i64>,
    /// Matches that were dropped, and when they had been due.
    pub(super) missed: Vec<(Id, i64)>,
    /// What fired: rule, members, trigger.
    pub(super) trace: Vec<(Id, u64)>,
    agenda: Agenda,
    /// The rule whose consequence, or what follows from it, is at work.
    issuer: Option<usize>,
    drafts: Drafts,
    /// What was attempted on facts of the unique type.
    pub(super) attempted: Vec<Attempt>,
}

impl Naive {
    pub(super) fn new(ruleset: &Ruleset, random: u64) -> Self {
        let mut store = Store::default();
        for fact in ruleset.fact_types() {
            store.register(fact);
        }
        let (mut rules, mut names) = (Vec::new(), Vec::new());
        for (place, rule) in (0..).zip(ruleset.rules()) {
            for (branch, def) in (0..).zip(rule.all_branches()) {
                let (on_error, timing) = (rule.on_error, rule.timing.clone());
                let enabled = def.agenda.enabled.clone();
                let agenda = AgendaAttributes { enabled, ..rule.agenda.clone() };
                rules.push(RuleDef { agenda, on_error, timing, ..def.clone() });
                names.push((place, branch));
            }
        }
        let shapes = rules.iter().map(|rule| Shape::of(rule, &store)).collect();
        Self {
            rules,
            names,
            shapes,
            base: store.clone(),
            base_now: 0,
            store,
            next_handle: 1,
            next_seq: 2,
            random,
            ops: Vec::new(),
            evaluated: false,
            found: Found::default(),
            removed: BTreeSet::new(),
            pending: BTreeMap::new(),
            supports: BTreeMap::new(),
            has_unstated: false,
            clock: 0,
            moment: None,
            waiting: BTreeMap::new(),
            missed: Vec::new(),
            trace: Vec::new(),
            agenda: Agenda::new(ruleset),
            issuer: None,
            drafts: Drafts::default(),
            attempted: Vec::new(),
        }
    }

    /// The engine's identity of a match as one of ours.
    pub(super) fn id_of(&self, id: &MatchId) -> Id {
        let name = (id.rule.get(), id.branch);
        let at = self.names.iter().position(|known| *known == name);
        (at.unwrap(), id.members.clone())
    }

    pub(super) fn stage(&mut self, body: impl FnOnce(&mut Stage<'_>)) {
        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.begin(self.next_handle, self.random);
        let globals = Globals::default();
        let names = (&globals, &self.agenda.names);
        let sheet = self.sheet(None);
        drop(attempts());
        body(&mut Stage::new(&self.store, names, &mut drafts, 7, self.clock));
        let attempts = attempts();
        sheet.take(&attempts);
        self.attempted.extend(attempts);
        self.apply(&mut drafts, None);
        self.drafts = drafts;
    }

    /// Facts by handle: type, bytes, recency, whether stated.
    pub(super) fn facts(&self) -> BTreeMap<FactHandle, (String, Vec<u8>, Seq, bool)> {
        facts_of(&self.store)
    }

    fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq - 1
    }

    fn insert(
        &mut self,
        (kind, handle): (u32, FactHandle),
        (arena, at): (&mut dyn AnyArena, u32),
        issuer: Option<RuleTag>,
        stated: bool,
    ) {
        let slot = self.store.kind_mut(kind).next_slot(SCOPE);
        self.store.kind_mut(kind).table.put_from(SCOPE, slot, arena, at);
        let seq = self.seq();
        let birth = Birth { handle, seq: Seq::new(seq), issuer, stated, clock: self.clock };
        self.store.kind_mut(kind).bear(SCOPE, slot, birth, None);
        let place = Place { kind, slot };
        self.store.set_place(SCOPE, handle, Some(place));
        believe(SCOPE, &mut self.store, place, &mut Vec::new());
        self.push_op(Change::Insert, seq, handle, FieldMask::ALL);
    }

    fn apply(&mut self, drafts: &mut Drafts, by: Option<&Id>) {
        let issuer = by.map(|(rule, _)| RuleTag::new(self.names[*rule].0));
        let mut issued = BTreeSet::new();
        for draft in drafts.take_list() {
            match draft {
                Draft::Insert { kind, handle, at, count, stated, .. } => {
                    let arena = drafts.arenas[kind as usize].as_mut().unwrap();
                    for nth in 0..count {
                        let handle = FactHandle::new(handle.get() + u64::from(nth));
                        self.insert((kind, handle), (arena.as_mut(), at + nth), issuer, stated);
                    }
                }
                Draft::Update { kind, handle, at, mask, .. } => {
                    let place = self.store.locate(handle).unwrap();
                    let arena = drafts.arenas[kind as usize].as_mut().unwrap();
                    disbelieve(SCOPE, &mut self.store, place);
                    self.store.kind_mut(kind).unlink(SCOPE, place.slot);
                    let table = &mut self.store.kind_mut(kind).table;
                    table.replace_from(SCOPE, place.slot, arena.as_mut(), at);
                    let seq = self.seq();
                    self.store.kind_mut(kind).link(SCOPE, place.slot);
                    let seq_of_op = Seq::new(seq);
                    self.store.kind_mut(kind).touch(SCOPE, place.slot, seq_of_op, issuer, 0);
                    believe(SCOPE, &mut self.store, place, &mut Vec::new());
                    self.push_op(Change::Update, seq, handle, mask);
                }
                Draft::Delete { handle, .. } => self.delete(handle),
                Draft::State { handle } => self.set_stated(handle, true),
                Draft::Unstate { handle } => {
                    self.has_unstated = true;
                    self.set_stated(handle, false);
                }
                Draft::Support { handle } => {
                    let by = by.unwrap().clone();
                    let kind = self.store.locate(handle).unwrap().kind;
                    start_believing(SCOPE, &mut self.store, kind, &mut Vec::new());
                    self.supports.entry(handle).or_default().insert(by);
                    self.mark_supported(handle);
                    issued.insert(handle);
                }
                Draft::Focus { group } => {
                    let group = self.agenda.names.name(group).to_owned();
                    self.agenda.push(&group, self.next_seq - 1);
                }
                Draft::ClearGroup { group } => {
                    let group = self.agenda.names.name(group).to_owned();
                    let rules = &self.rules;
                    self.pending.retain(|id, _| rules[id.0].agenda.group != group);
                    self.agenda.marks.entry(group).or_default().cleared = self.next_seq - 1;
                }
                Draft::Emit(_) | Draft::SetGlobal(_) | Draft::Halt => {}
            }
        }
        self.next_handle = drafts.next_handle;
        self.random = drafts.random;
        if let Some(by) = by {
            let held = self.supports.iter().filter(|(_, matches)| matches.contains(by));
            let lost: Vec<FactHandle> =
                held.map(|(handle, _)| *handle).filter(|handle| !issued.contains(handle)).collect();
            lost.into_iter().for_each(|handle| self.withdraw(handle, by));
        }
    }

    fn push_op(&mut self, what: Change, seq: u64, handle: FactHandle, mask: FieldMask) {
        self.ops.push(Op { what, seq, handle, mask, issuer: self.issuer });
    }

    /// Staging asks the store whether a fact is derived; any value but the empty one will do.
    fn mark_supported(&mut self, handle: FactHandle) {
        let supported = self.supports.get(&handle).is_some_and(|matches| !matches.is_empty());
        if let Some(place) = self.store.locate(handle) {
            let head = if supported { 0 } else { crate::chains::NONE };
            self.store.kind_mut(place.kind).first_support.set(SCOPE, place.slot, head);
        }
    }

    fn delete(&mut self, handle: FactHandle) {
        let Some(place) = self.store.locate(handle) else { return };
        self.supports.remove(&handle);
        self.mark_supported(handle);
        let seq = self.seq();
        disbelieve(SCOPE, &mut self.store, place);
        self.store.kind_mut(place.kind).unlink(SCOPE, place.slot);
        self.store.set_place(SCOPE, handle, None);
        self.push_op(Change::Delete, seq, handle, FieldMask::ALL);
    }

    fn set_stated(&mut self, handle: FactHandle, stated: bool) {
        let place = self.store.locate(handle).unwrap();
        self.seq();
        self.store.kind_mut(place.kind).set_stated(SCOPE, place.slot, stated);
    }

    fn withdraw(&mut self, handle: FactHandle, by: &Id) {
        let Some(matches) = self.supports.get_mut(&handle) else { return };
        matches.remove(by);
        if matches.is_empty() {
            self.supports.remove(&handle);
            self.mark_supported(handle);
            let place = self.store.locate(handle).unwrap();
            if !self.store.kind(place.kind).is_stated(place.slot) {
                self.delete(handle);
            }
        }
    }

    pub(super) fn flush(&mut self) {
        self.match_staged();
        self.let_go();
    }

    /// Matches everything from nothing; compares with what was; cascades until nothing changes.
    fn match_staged(&mut self) {
        self.has_unstated = false;
        let mut lost = BTreeSet::new();
        loop {
            let found = self.match_all();
            let mut dead: Vec<(u32, FactHandle, Vec<Member>, Id)> = Vec::new();
            for (handle, by) in &self.supports {
                let gone = by.iter().filter(|id| !found.matches.contains_key(*id));
                let place = |id: &Id| self.names[id.0].0;
                dead.extend(gone.map(|id| (place(id), *handle, id.1.clone(), id.clone())));
            }
            dead.sort();
            let ops = self.ops.len();
            for (.., handle, _, id) in dead {
                self.withdraw(handle, &id);
                lost.insert(id);
            }
            if self.ops.len() == ops {
                lost.extend(self.drop_unfounded(&found));
            }
            if self.ops.len() == ops {
                let found = self.match_all();
                self.settle(found, &lost);
                break;
            }
        }
    }

    fn match_all(&self) -> Found {
        let mut found = Found::default();
        let rules = self.rules.iter().enumerate();
        for (rule, def) in rules.filter(|(rule, _)| !self.removed.contains(rule)) {
            matching::match_rule(rule, def, (&self.store, self.now()), &mut found);
        }
        found
    }

    /// Decides which matches are pending from now on.
    fn settle(&mut self, found: Found, lost: &BTreeSet<Id>) {
        // A match that lost something is as good as new.
        let stays = |id: &Id| found.matches.contains_key(id) && !lost.contains(id);
        self.pending.retain(|id, _| stays(id));
        self.waiting.retain(|id, _| stays(id));
        let mut focusing = BTreeSet::new();
        for (id, matched) in &found.matches {
            let created = !self.found.matches.contains_key(id) || lost.contains(id);
            let turns = Turns { naive: self, found: &found, rule: id.0 };
            let Turn { rearm, any } = turns.of_match(matched);
            let fallback = if self.evaluated { self.next_seq - 1 } else { 1 };
            if created || rearm.is_some() {
                let trigger = any.unwrap_or(fallback);
                if self.is_restrained(id.0, trigger) {
                    self.pending.remove(id);
                    continue;
                }
                if self.holds_back(id, matched) {
                    continue;
                }
                let salience = self.salience(id.0, matched);
                self.pending.insert(id.clone(), (salience, trigger));
                if self.rules[id.0].agenda.auto_focus {
                    focusing.insert(id.0);
                }
            }
        }
        self.focus_automatically(focusing);
        self.found = found;
        self.evaluated = true;
        for op in std::mem::take(&mut self.ops) {
            if op.what == Change::Delete {
                self.free(op.handle);
            }
        }
        self.base = self.store.clone();
        self.base_now = self.now();
    }

    fn free(&mut self, handle: FactHandle) {
        for kind in 0..self.store.kinds.len() {
            let kind = self.store.kind_mut(u32::try_from(kind).unwrap());
            for slot in 0..kind.slot_count() {
                if kind.handle(slot) == handle {
                    kind.free_slot(SCOPE, slot);
                }
            }
        }
    }

    fn is_restrained(&self, rule: usize, trigger: u64) -> bool {
        let agenda = &self.rules[rule].agenda;
        let place = |rule: usize| self.names[rule].0;
        let is_own = |op: &Op| op.issuer.is_some_and(|issuer| place(issuer) == place(rule));
        let own = self.ops.iter().any(|op| op.seq == trigger && is_own(op));
        agenda.no_loop && own || agenda.lock_on_active && self.agenda.locks(&agenda.group, trigger)
    }

    fn focus_automatically(&mut self, rules: BTreeSet<usize>) {
        for rule in rules {
            let group = self.rules[rule].agenda.group.clone();
            self.agenda.push(&group, self.next_seq - 1);
        }
    }

    /// Empty groups lose the focus.
    fn settle_focus(&mut self) {
        let (rules, pending) = (&self.rules, &self.pending);
        let is_empty = |group: &str| !pending.keys().any(|id| rules[id.0].agenda.group == group);
        self.agenda.settle(self.next_seq - 1, is_empty);
    }

    /// The best match of the group that has the focus, but for those that are kept.
    fn best(&self, kept: &BTreeSet<(Id, u64)>) -> Option<(Id, u64)> {
        let top = self.agenda.stack.last().unwrap();
        let fires = |(id, (_, trigger)): &(&Id, &(i32, u64))| {
            self.rules[id.0].agenda.group == *top && !kept.contains(&((*id).clone(), *trigger))
        };
        let order = |(id, (salience, trigger)): &(&Id, &(i32, u64))| {
            let (place, branch) = self.names[id.0];
            (std::cmp::Reverse(*salience), place, *trigger, id.1.clone(), branch)
        };
        let best = self.pending.iter().filter(fires).min_by_key(order);
        best.map(|(id, (_, trigger))| (id.clone(), *trigger))
    }

    pub(super) fn fire(&mut self, limit: u64, filter: impl Fn(u64) -> Verdict) {
        self.flush();
        self.settle_focus();
        let mut kept = BTreeSet::new();
        let mut fired = 0;
        while fired < limit {
            let Some((id, trigger)) = self.best(&kept) else { break };
            let verdict = if self.is_enabled(&id) { filter(trigger) } else { Verdict::Consume };
            match verdict {
                Verdict::Keep => drop(kept.insert((id, trigger))),
                Verdict::Consume => {
                    self.pending.remove(&id);
                    self.settle_focus();
                }
                Verdict::Fire => match self.fire_one(&id, trigger) {
                    Ok(false) => fired += 1,
                    Ok(true) | Err(()) => break,
                },
            }
        }
    }

    /// Fires a match; gives whether that halts the run.
    fn fire_one(&mut self, id: &Id, trigger: u64) -> Result<bool, ()> {
        let mut drafts = std::mem::take(&mut self.drafts);
        let sheet = self.sheet(Some(id));
        drop(attempts());
        let outcome = self.consequence(id, &mut drafts);
        let attempts = attempts();
        sheet.take(&attempts);
        self.attempted.extend(attempts);
        let skips = |failure: &Failure| self.rules[id.0].on_error.skips(failure);
        let skipped = outcome.as_ref().is_err_and(skips);
        if outcome.is_ok() || skipped {
            self.trace.push((id.clone(), trigger));
        }
        self.issuer = Some(id.0);
        if outcome.is_ok() {
            self.apply(&mut drafts, Some(id));
            let group = &self.rules[id.0].agenda.activation_group;
            let rules = &self.rules;
            self.pending
                .retain(|id, _| group.is_none() || rules[id.0].agenda.activation_group != *group);
        }
        self.drafts = drafts;
        if outcome.is_ok() || skipped {
            self.pending.remove(id);
            self.flush();
            self.settle_focus();
        }
        self.issuer = None;
        if skipped { Ok(false) } else { outcome.map_err(drop) }
    }

    fn row<'a>(&'a self, matched: &'a Matched) -> Row<'a> {
        Row::new(&self.store, &matched.sources, &matched.row, 7)
    }

    fn is_enabled(&self, id: &Id) -> bool {
        let Some(enabled) = &self.rules[id.0].agenda.enabled else { return true };
        let matched = &self.found.matches[id];
        (enabled.evaluate)(&self.row(matched))
    }

    fn salience(&self, rule: usize, matched: &Matched) -> i32 {
        match &self.rules[rule].salience {
            Salience::Fixed(salience) => *salience,
            Salience::Of { evaluate, .. } => evaluate(&self.row(matched)),
        }
    }

    /// Facts of the unique type that this match alone holds.
    fn yielding<'a>(&'a self, id: &'a Id) -> impl Iterator<Item = FactHandle> + 'a {
        let alone = self.supports.iter().filter(move |(_, by)| by.len() == 1 && by.contains(id));
        alone.map(|(handle, _)| *handle).filter(|&handle| {
            let place = self.store.locate(handle).expect("it is supported");
            let kind = self.store.kind(place.kind);
            kind.fact.is_unique() && !kind.is_stated(place.slot)
        })
    }

    /// Runs a consequence; gives whether it halts.
    fn consequence(&self, id: &Id, drafts: &mut Drafts) -> Result<bool, Failure> {
        drafts.begin(self.next_handle, self.random);
        drafts.yielding.extend(self.yielding(id));
        let row = self.row(&self.found.matches[id]);
        let globals = Globals::default();
        let names = (&globals, &self.agenda.names);
        let mut then = Then::new(Stage::new(&self.store, names, drafts, 7, self.clock));
        let consequence = &self.rules[id.0].consequence;
        let result = catch_unwind(AssertUnwindSafe(|| consequence(&row, &mut then)));
        match result {
            Ok(Ok(())) => Ok(drafts.list.iter().any(|draft| matches!(draft, Draft::Halt))),
            Ok(Err(error)) => Err(Failure::Error(error)),
            Err(panic) => Err(Failure::Panic(panic_message(panic.as_ref()))),
        }
    }
}

pub(super) fn facts_of(store: &Store) -> BTreeMap<FactHandle, (String, Vec<u8>, Seq, bool)> {
    let mut facts = BTreeMap::new();
    for (at, kind) in store.kinds.iter().enumerate() {
        for (handle, slot) in store.in_order(u32::try_from(at).unwrap()) {
            let mut bytes = Vec::new();
            kind.table.encode(slot, &mut bytes).unwrap();
            let stated = kind.is_stated(slot);
            let name = kind.fact.stored_name().into_owned();
            facts.insert(handle, (name, bytes, kind.recency(slot), stated));
        }
    }
    facts
}
