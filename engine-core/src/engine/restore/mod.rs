//! Rebuilding an engine from what was journaled (INV-60). Nothing fires, nothing is evaluated anew: matches
//! that the image holds as pending are pending, all others dormant.

mod images;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadfast_wm::{FactHandle, MatchId, Member, Record, RuleManifest, RuleTag, Seq, TypeTag};

use super::manifest::{first_change, tags_for};
use super::{Engine, RuleInfo, Waiting};
use crate::agenda::{Marks, Pending};
use crate::error::{EvaluateError, RestoreError};
use crate::fact::FieldMask;
use crate::ir::{Ruleset, Salience};
use crate::sink::{ActionSink, Discard};
use crate::store::{Birth, Place};
use crate::tms::{NO_RULE, start_believing};

pub use images::{FactImage, RestoreOptions, RulesPolicy, StagedImage};

/// An engine being rebuilt: facts go in one by one, then [`Restoring::finish`] builds the rest.
pub struct Restoring {
    engine: Engine,
    ruleset: Ruleset,
    options: RestoreOptions,
    unknown: BTreeMap<TypeTag, u64>,
    pending: Vec<Pending>,
    justifications: Vec<(FactHandle, MatchId)>,
    waiting: Vec<Waiting>,
    /// Agenda groups with marks that mean nothing under these rules.
    unmarked: Vec<String>,
}

/// Asked while networks are built: rules done and in all. Breaking off stops the restoration.
pub type RestoreProgress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

impl Engine {
    /// Begins to rebuild an engine.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Ruleset`] for an invalid ruleset, [`RestoreError::RulesChanged`] for a changed
    /// one under [`RulesPolicy::Reject`].
    pub fn restore(ruleset: &Ruleset, options: RestoreOptions) -> Result<Restoring, RestoreError> {
        ruleset.check()?;
        if options.policy == RulesPolicy::Reject
            && let Some(change) = first_change(ruleset, &options.manifest)
        {
            return Err(RestoreError::RulesChanged(change));
        }
        let tags = tags_for(ruleset, &options.manifest);
        let names = options.types.clone();
        let mut engine = Self::build(ruleset, options.session, &tags, names, &mut Discard);
        engine.clock.set(engine.scope, options.clock);
        Ok(Restoring {
            engine,
            ruleset: ruleset.clone(),
            options,
            unknown: BTreeMap::new(),
            pending: Vec::new(),
            justifications: Vec::new(),
            waiting: Vec::new(),
            unmarked: Vec::new(),
        })
    }
}

impl Restoring {
    /// Puts a fact back, as of the last flush.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Fact`] if the value does not fit its type; [`RestoreError::Inconsistent`] for a
    /// handle that is taken.
    pub fn fact(&mut self, fact: FactImage<'_>) -> Result<(), RestoreError> {
        let Some(kind) = self.engine.store.kind_with_tag(fact.kind) else {
            *self.unknown.entry(fact.kind).or_insert(0) += 1;
            return Ok(());
        };
        let place = self.engine.put_image(kind, &fact)?;
        let birth = birth_of(&fact);
        let scope = self.engine.scope;
        self.engine.store.kind_mut(kind).bear(scope, place.slot, birth, None);
        self.engine.store.set_place(scope, fact.handle, Some(place));
        Ok(())
    }

    /// Puts a global back.
    pub fn global(&mut self, name: String, version: u32, bytes: &[u8]) {
        let scope = self.engine.scope;
        self.engine.globals.values.insert(scope, name, (version, bytes.into()));
    }

    /// Says that a match is pending.
    pub fn pending(&mut self, id: MatchId, salience: i32, trigger: Seq) {
        self.pending.push(Pending { id, salience, trigger });
    }

    /// Says that a match waits for a time of the clock.
    pub fn waiting(&mut self, id: MatchId, due: i64) {
        self.waiting.push(Waiting { id, due });
    }

    /// Puts the focus back: the agenda groups above `MAIN`, the top last.
    pub fn focus(&mut self, groups: &[String]) {
        self.engine.focus.restore_stack(self.engine.scope, groups);
    }

    /// Puts the marks of an agenda group back: whether it is active, and the last operations before it
    /// became active and before it was cleared.
    pub fn group_marks(&mut self, group: &str, active: bool, activated: Seq, cleared: Seq) {
        let marks = Marks { active, activated, cleared };
        if !self.engine.focus.restore_marks(self.engine.scope, group, marks) {
            self.unmarked.push(group.to_owned());
        }
    }

    /// Says that a match supports a fact.
    pub fn justification(&mut self, handle: FactHandle, by: MatchId) {
        self.justifications.push((handle, by));
    }

    /// Builds the network over the facts, puts pending matches and justifications in their places,
    /// stages the staged operations again, and applies the policy if the rules changed.
    ///
    /// Gives whether the ruleset changed, so that a commit is due; what that did goes to `sink`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; nothing of the engine is left then.
    pub fn finish<'a>(
        mut self,
        staged: impl IntoIterator<Item = StagedImage<'a>>,
        progress: RestoreProgress<'_>,
        sink: &mut dyn ActionSink,
    ) -> Result<(Engine, bool), RestoreError> {
        if let Some((&tag, &facts)) = self.unknown.first_key_value() {
            let name = self.options.types.get(tag.get() as usize);
            let name = name.cloned().unwrap_or_else(|| format!("{tag}"));
            return Err(RestoreError::UnknownType { name, facts });
        }
        if self.options.evaluated {
            self.engine.match_restored(progress)?;
        }
        let identities = self.identities();
        let dropped = self.restore_pending(&identities)?;
        let orphans = self.restore_justifications(&identities)?;
        let cancelled = self.restore_waiting(&identities)?;
        for operation in staged {
            self.engine.stage_again(operation)?;
        }
        self.engine.counters.set(self.engine.scope, self.options.counters);
        self.engine.count_holds();
        // What held them may have been used up without an evaluation behind it.
        self.engine.note_all_over();
        let change = first_change(&self.ruleset, &self.options.manifest);
        if change.is_some() {
            self.change_rules(&dropped, &cancelled, &orphans, sink)?;
        }
        Ok((self.engine, change.is_some()))
    }

    /// Tokens of the rules that pending matches and justifications name, by identity.
    fn identities(&self) -> Identities {
        let pending = self.pending.iter().map(|pending| pending.id.rule);
        let named: BTreeSet<RuleTag> = (pending
            .chain(self.justifications.iter().map(|(_, id)| id.rule)))
        .chain(self.waiting.iter().map(|waiting| waiting.id.rule))
        .collect();
        let engine = &self.engine;
        let rules = (0..engine.infos.len()).filter(|&rule| !engine.infos[rule].is_query);
        rules
            .filter(|&rule| named.contains(&engine.infos[rule].tag))
            .map(|rule| {
                let tokens = engine.rules[rule].net.terminal().live();
                let by_identity = tokens.map(|token| (engine.members(rule, token), token));
                let RuleInfo { tag, branch, .. } = engine.infos[rule];
                ((tag, branch), (rule, by_identity.collect()))
            })
            .collect()
    }

    /// Gives the pending matches that the current rules do not have.
    fn restore_pending(&mut self, identities: &Identities) -> Result<Vec<MatchId>, RestoreError> {
        let mut found: BTreeMap<usize, Vec<Found<'_>>> = BTreeMap::new();
        let mut dropped = Vec::new();
        for Pending { id, salience, trigger } in &self.pending {
            match find(identities, id) {
                Some((rule, members, token)) => {
                    found.entry(rule).or_default().push((*trigger, members, (token, *salience)));
                }
                None if self.is_unchanged(id.rule) => {
                    return Err(inconsistent(format!("pending match {id:?} does not match")));
                }
                None => dropped.push(id.clone()),
            }
        }
        let engine = &mut self.engine;
        for (rule, mut matches) in found {
            matches.sort_unstable();
            let terminal = &mut engine.rules[rule].terminal;
            for (trigger, _, (token, journaled)) in matches {
                // INV-60: a salience of the match's own is the journaled one.
                let salience = match &engine.infos[rule].salience {
                    Salience::Fixed(salience) => *salience,
                    Salience::Of { .. } => journaled,
                };
                terminal.enqueue(engine.scope, token, trigger.get(), salience);
            }
            terminal.mark_journaled(engine.scope);
            let best = terminal.best_salience();
            engine.ranks.set(u32::try_from(rule).expect("few rules"), best);
        }
        Ok(dropped)
    }

    /// Gives the waiting matches that the current rules do not have.
    fn restore_waiting(&mut self, identities: &Identities) -> Result<Vec<MatchId>, RestoreError> {
        let mut cancelled = Vec::new();
        for Waiting { id, due } in std::mem::take(&mut self.waiting) {
            let found = find(identities, &id);
            match found.filter(|(rule, ..)| self.engine.timed.contains(rule)) {
                Some((rule, _, token)) => {
                    let terminal = &mut self.engine.rules[rule].terminal;
                    terminal.due.set(self.engine.scope, token, Some(due));
                }
                None if self.is_unchanged(id.rule) => {
                    return Err(inconsistent(format!("match {id:?} waits and does not match")));
                }
                None => cancelled.push(id),
            }
        }
        for &rule in &self.engine.timed {
            self.engine.rules[rule].terminal.due.mark_journaled(self.engine.scope);
        }
        Ok(cancelled)
    }

    /// Gives the justifications whose matches the current rules do not have.
    fn restore_justifications(
        &mut self,
        identities: &Identities,
    ) -> Result<Vec<(FactHandle, MatchId, u32)>, RestoreError> {
        let mut orphans = Vec::new();
        for (handle, id) in std::mem::take(&mut self.justifications) {
            let unchanged = self.is_unchanged(id.rule);
            let engine = &mut self.engine;
            let place = engine.store.locate(handle).ok_or_else(|| {
                inconsistent(format!("{id:?} supports {handle}, which does not exist"))
            })?;
            start_believing(engine.scope, &mut engine.store, place.kind, &mut Vec::new());
            let found = find(identities, &id);
            if found.is_none() && unchanged {
                return Err(inconsistent(format!("{id:?} supports {handle} and does not match")));
            }
            let (terminal, by) = match found {
                Some((rule, _, token)) => {
                    engine.lineage.note(rule, place.kind);
                    let number = u32::try_from(rule).expect("few rules");
                    (Some(&mut engine.rules[rule].terminal), (number, token))
                }
                None => (None, (NO_RULE, orphans.len().try_into().expect("few orphans"))),
            };
            let scope = engine.scope;
            engine.supports.add(scope, &mut engine.store, terminal, by, place);
            if found.is_none() {
                let head = *engine.store.kind(place.kind).first_support.get(place.slot);
                orphans.push((handle, id, head));
            }
        }
        Ok(orphans)
    }

    fn is_unchanged(&self, tag: RuleTag) -> bool {
        let old = self.options.manifest.rules.iter().find(|rule| rule.tag == tag);
        let new = |old: &RuleManifest| {
            self.ruleset
                .rules()
                .iter()
                .any(|rule| rule.path == old.path && rule.conditions_digest == old.conditions)
        };
        old.is_some_and(new)
    }

    /// The change of the rules is an operation: what was staged is matched first; then new matches
    /// become pending, and what only removed matches supported goes.
    fn change_rules(
        &mut self,
        dropped: &[MatchId],
        cancelled: &[MatchId],
        orphans: &[(FactHandle, MatchId, u32)],
        sink: &mut dyn ActionSink,
    ) -> Result<(), RestoreError> {
        let engine = &mut self.engine;
        for (tag, name) in (0..).zip(engine.store.names()).skip(self.options.types.len()) {
            sink.record(&Record::Type { tag: TypeTag::new(tag), name });
        }
        if self.options.evaluated {
            engine.flush(sink)?;
        }
        let seq = engine.next_seq();
        sink.record(&Record::Ruleset { seq, manifest: engine.manifest() });
        for by in dropped {
            sink.record(&Record::Withdrawn { by: by.clone() });
        }
        for by in cancelled {
            sink.record(&Record::Due { by: by.clone(), at: None });
        }
        for group in &self.unmarked {
            let (active, none) = (false, Seq::new(0));
            sink.record(&Record::GroupMarks { group, active, activated: none, cleared: none });
        }
        if !self.options.evaluated {
            return Ok(());
        }
        for (place, rule) in (0..).zip(self.ruleset.rules()) {
            let old = self.options.manifest.rules.iter().find(|old| old.path == rule.path);
            let rearm = match old {
                None => true,
                Some(old) => {
                    old.conditions != rule.conditions_digest
                        && self.options.policy == RulesPolicy::Reevaluate
                }
            };
            if rearm {
                let armed = catch_unwind(AssertUnwindSafe(|| engine.rearm_all(place, seq)));
                armed.map_err(|panic| engine.condition_panicked_among_all(panic.as_ref(), None))?;
            }
        }
        engine.focus_automatically();
        engine.suspect_all();
        for (handle, id, support) in orphans {
            // A cascade of an earlier one may have taken the fact with all its supports.
            if engine.store.locate(*handle).is_some() {
                engine.withdraw(*handle, *support, None, || Some(id.clone()), sink);
            }
        }
        // A pending match that was dropped may have been the last to hold an event whose time is over.
        engine.note_all_over();
        engine.flush(sink)?;
        engine.tell(sink);
        Ok(())
    }
}

/// A pending match in the order in which it is queued.
type Found<'a> = (Seq, &'a [Member], (u32, i32));

/// By rule and branch: its place in the engine, and its tokens by members.
type Identities = BTreeMap<(RuleTag, u16), (usize, BTreeMap<Vec<Member>, u32>)>;

fn find<'a>(identities: &'a Identities, id: &MatchId) -> Option<(usize, &'a [Member], u32)> {
    let (rule, tokens) = identities.get(&(id.rule, id.branch))?;
    let (members, token) = tokens.get_key_value(&id.members)?;
    Some((*rule, members, *token))
}

fn inconsistent(detail: String) -> RestoreError {
    RestoreError::Inconsistent { detail }
}

fn birth_of(fact: &FactImage<'_>) -> Birth {
    Birth {
        handle: fact.handle,
        seq: fact.seq,
        issuer: fact.origin,
        stated: fact.stated,
        clock: fact.clock,
    }
}

impl Engine {
    /// Puts a stored value into a slot of its kind.
    fn put_image(&mut self, kind: u32, fact: &FactImage<'_>) -> Result<Place, RestoreError> {
        if self.store.locate(fact.handle).is_some() {
            return Err(inconsistent(format!("fact {} exists twice", fact.handle)));
        }
        let slot = self.store.kind_mut(kind).next_slot(self.scope);
        let table = &mut self.store.kind_mut(kind).table;
        table
            .decode_into(self.scope, slot, fact.version, fact.bytes)
            .map_err(|source| RestoreError::Fact { handle: fact.handle, source })?;
        Ok(Place { kind, slot })
    }

    /// Matches all facts at once; every match is dormant.
    fn match_restored(&mut self, progress: RestoreProgress<'_>) -> Result<(), RestoreError> {
        for kind in 0..u32::try_from(self.store.kinds.len()).expect("few types") {
            let slots: Vec<u32> =
                self.store.in_order(kind).into_iter().map(|(_, slot)| slot).collect();
            let filled = catch_unwind(AssertUnwindSafe(|| self.distribute_to(kind, &slots, 0)));
            filled.map_err(|panic| self.condition_panicked_among_all(panic.as_ref(), None))?;
        }
        self.plant();
        let total = self.rules.len() as u64;
        for rule in 0..self.rules.len() {
            if progress(rule as u64, total).is_break() {
                return Err(RestoreError::Stopped);
            }
            let matched = catch_unwind(AssertUnwindSafe(|| self.match_alone(rule)));
            matched
                .map_err(|panic| self.condition_panicked_among_all(panic.as_ref(), Some(rule)))??;
        }
        self.forget_dirty();
        let _ = progress(total, total);
        Ok(())
    }

    /// Matches what is in a network's memories, outside of a flush; every match is dormant.
    pub(super) fn match_alone(&mut self, rule: usize) -> Result<(), EvaluateError> {
        self.propagate(rule, 0)?;
        let state = &mut self.rules[rule];
        for &token in state.net.terminal().inserted() {
            state.terminal.reset(self.scope, token);
        }
        state.net.end_round();
        state.net.end_flush(self.scope);
        Ok(())
    }

    /// All current matches of the rule in this place become pending with this trigger.
    fn rearm_all(&mut self, place: u32, trigger: Seq) {
        let of_rule = |info: &RuleInfo| info.place == place;
        let branches: Vec<usize> =
            (0..self.infos.len()).filter(|&at| of_rule(&self.infos[at])).collect();
        branches.into_iter().for_each(|at| self.rearm_branch(at, trigger));
    }

    pub(super) fn rearm_branch(&mut self, rule: usize, trigger: Seq) {
        let mut matches: Vec<(Vec<Member>, u32)> = self.rules[rule]
            .net
            .terminal()
            .live()
            .map(|token| (self.members(rule, token), token))
            .collect();
        matches.sort_unstable();
        let matches = matches.into_iter().map(|(_, token)| (trigger.get(), token)).collect();
        let matches = self.hold_back(rule, matches);
        self.enqueue(rule, matches);
    }

    /// Stages an operation again under its own number.
    fn stage_again(&mut self, operation: StagedImage<'_>) -> Result<(), RestoreError> {
        let mut counters = *self.counters.get();
        match operation {
            StagedImage::Insert(fact) => {
                counters.next_seq = fact.seq.get();
                self.counters.set(self.scope, counters);
                let Some(kind) = self.store.kind_with_tag(fact.kind) else {
                    let name = self.store.names().get(fact.kind.get() as usize);
                    let name = name.cloned().unwrap_or_else(|| fact.kind.to_string());
                    return Err(RestoreError::UnknownType { name, facts: 1 });
                };
                let place = self.put_image(kind, &fact)?;
                let clock = *self.clock.get();
                self.clock.set(self.scope, fact.clock);
                let (handle, origin, stated) = (fact.handle, fact.origin, fact.stated);
                self.insert_placed(place, handle, origin, stated, None);
                self.clock.set(self.scope, clock);
            }
            StagedImage::Update { handle, version, bytes, mask, seq, origin } => {
                counters.next_seq = seq.get();
                self.counters.set(self.scope, counters);
                let place = self.live_place(handle)?;
                let old = self.before_update(place);
                let table = &mut self.store.kind_mut(place.kind).table;
                table
                    .decode_into(self.scope, place.slot, version, bytes)
                    .map_err(|source| RestoreError::Fact { handle, source })?;
                let mask = FieldMask::from_bits(mask);
                self.update_placed(old, origin, mask);
            }
            StagedImage::Delete { handle, seq, origin } => {
                counters.next_seq = seq.get();
                self.counters.set(self.scope, counters);
                self.live_place(handle)?;
                self.delete(handle, origin, false, &mut Discard);
            }
            StagedImage::Stated { handle, stated } => {
                let place = self.live_place(handle)?;
                self.store.kind_mut(place.kind).set_stated(self.scope, place.slot, stated);
                if !stated {
                    self.suspect(handle);
                }
            }
        }
        Ok(())
    }

    fn live_place(&self, handle: FactHandle) -> Result<Place, RestoreError> {
        let place = self.store.locate(handle);
        place.ok_or_else(|| inconsistent(format!("a staged operation names dead fact {handle}")))
    }
}

impl std::fmt::Debug for Restoring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Restoring({:?})", self.engine)
    }
}
