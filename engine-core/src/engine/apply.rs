//! Applying staged changes: every one becomes an operation with its number, or none does.

use std::ops::Range;

use steadfast_wm::{FactHandle, MatchId, Record, RuleTag, Seq, Values};

use super::Engine;
use crate::chains::NONE;
use crate::error::ChangeError;
use crate::sink::ActionSink;
use crate::stage::{Draft, Drafts, Named};
use crate::store::{AnyArena, Place};
use crate::tms::start_believing;

/// The match whose consequence asks for changes.
pub(crate) struct Firing {
    pub(crate) rule: usize,
    pub(crate) token: u32,
    pub(crate) trigger: Seq,
}

impl Engine {
    /// Applies drafts in order; says whether they halt the run.
    ///
    /// Values are serialized before anything is applied, so that a value that cannot be stored
    /// leaves everything as it was.
    #[inline]
    pub(crate) fn apply(
        &mut self,
        drafts: &mut Drafts,
        firing: Option<&Firing>,
        sink: &mut dyn ActionSink,
    ) -> Result<bool, ChangeError> {
        if drafts.list.is_empty() {
            self.begin_firing(firing, sink);
            self.apply_nothing(drafts, firing, sink);
            return Ok(false);
        }
        self.apply_list(drafts, firing, sink)
    }

    fn apply_list(
        &mut self,
        drafts: &mut Drafts,
        firing: Option<&Firing>,
        sink: &mut dyn ActionSink,
    ) -> Result<bool, ChangeError> {
        if !self.is_recorded() {
            return Ok(self.apply_encoded(drafts, firing, None, (&[], &[]), sink));
        }
        let mut bytes = std::mem::take(&mut self.scratch.bytes);
        let mut ranges = std::mem::take(&mut self.scratch.ranges);
        let encoded = self.encode_values(drafts, sink, &mut bytes, &mut ranges);
        let applied = encoded.map(|()| {
            self.begin_firing(firing, sink);
            let by = firing.map(|firing| self.match_id(firing.rule, firing.token));
            self.apply_encoded(drafts, firing, by.as_ref(), (&bytes, &ranges), sink)
        });
        self.scratch.bytes = bytes;
        self.scratch.ranges = ranges;
        applied
    }

    /// From here on nothing keeps a consequence from being applied.
    #[inline]
    fn begin_firing(&mut self, firing: Option<&Firing>, sink: &mut dyn ActionSink) {
        if let Some(firing) = firing {
            self.note_firing(firing);
            self.tell(sink);
        }
    }

    /// A consequence that wants nothing withdraws what its match supported, and may have drawn numbers.
    #[inline]
    fn apply_nothing(
        &mut self,
        drafts: &Drafts,
        firing: Option<&Firing>,
        sink: &mut dyn ActionSink,
    ) {
        if self.counters.get().random != drafts.random {
            self.counters.change(self.scope, |counters| counters.random = drafts.random);
        }
        if let Some(firing) = firing
            && self.rules[firing.rule].terminal.may_support()
        {
            let by = self.is_recorded().then(|| self.match_id(firing.rule, firing.token));
            self.scratch.supported.clear();
            self.withdraw_not_reissued(firing, by.as_ref(), sink);
        }
    }

    /// Serializes the values of drafts, each behind its length, and notes for each draft where they stand.
    fn encode_values(
        &self,
        drafts: &Drafts,
        sink: &dyn ActionSink,
        bytes: &mut Vec<u8>,
        ranges: &mut Vec<Range<usize>>,
    ) -> Result<(), ChangeError> {
        bytes.clear();
        ranges.clear();
        let max = sink.value_bytes_max();
        for draft in &drafts.list {
            let start = bytes.len();
            let (kind, places) = match *draft {
                Draft::Insert { kind, at, count, .. } => (kind, at..at + count),
                Draft::Update { kind, at, .. } => (kind, at..at + 1),
                Draft::Emit(ref named) | Draft::SetGlobal(ref named) => {
                    let (kind, length) = (named.name, named.bytes.len());
                    if length > max {
                        return Err(ChangeError::TooLong { kind, bytes: length, max });
                    }
                    ranges.push(start..start);
                    continue;
                }
                _ => {
                    ranges.push(start..start);
                    continue;
                }
            };
            let arena = drafts.arenas[kind as usize].as_ref().expect("drafts have arenas");
            let kind = self.store.kind(kind).fact.name();
            arena
                .encode_all(places, bytes)
                .map_err(|error| ChangeError::Unserializable { kind, detail: error.to_string() })?;
            if bytes.len() - start > max {
                let mut values = Values::written(&bytes[start..]).iter();
                if let Some(long) = values.find(|value| value.len() > max) {
                    return Err(ChangeError::TooLong { kind, bytes: long.len(), max });
                }
            }
            ranges.push(start..bytes.len());
        }
        Ok(())
    }

    fn apply_encoded(
        &mut self,
        drafts: &mut Drafts,
        firing: Option<&Firing>,
        by: Option<&MatchId>,
        (bytes, ranges): (&[u8], &[Range<usize>]),
        sink: &mut dyn ActionSink,
    ) -> bool {
        let issuer = firing.map(|firing| self.infos[firing.rule].tag);
        let mut halt = false;
        self.scratch.supported.clear();
        self.make_room(drafts);
        let Drafts { list, arenas, .. } = drafts;
        let mut next = 0;
        let mut drafts_left = &list[..];
        while let [draft, others @ ..] = drafts_left {
            let at = next;
            next += 1;
            if let Draft::Update { kind, .. } | Draft::Delete { kind, .. } = *draft
                && let Some(run) = self.plain_run(kind, drafts_left)
            {
                let (run, others) = drafts_left.split_at(run);
                if let Draft::Update { .. } = draft {
                    let arena = arenas[kind as usize].as_mut().expect("drafts have arenas");
                    self.update_run(kind, run, arena.as_mut(), issuer);
                } else {
                    self.delete_run(kind, run, issuer);
                }
                (drafts_left, next) = (others, at + run.len());
                continue;
            }
            drafts_left = others;
            // Without somebody who wants records nothing is serialized.
            let bytes = ranges.get(at).map_or(&[][..], |range| &bytes[range.clone()]);
            match *draft {
                Draft::Insert { kind, handle, at: place, count, stated, derived } => {
                    let arena = arenas[kind as usize].as_mut().expect("drafts have arenas");
                    if self.takes_run(draft) {
                        self.insert_run(draft, arena.as_mut(), issuer, bytes, sink);
                        continue;
                    }
                    let facts = (handle.get()..).map(FactHandle::new).zip(place..place + count);
                    let how = (issuer, (!stated).then_some(derived));
                    let mut values = Values::written(bytes).iter();
                    for fact in facts {
                        let value = values.next().unwrap_or_default();
                        self.insert(kind, fact, arena.as_mut(), how, value, sink);
                    }
                }
                Draft::Update { kind, .. } => {
                    let arena = arenas[kind as usize].as_mut().expect("drafts have arenas");
                    let value = Values::written(bytes).iter().next().unwrap_or_default();
                    self.update(draft, arena.as_mut(), issuer, value, sink);
                }
                Draft::Delete { handle, .. } => self.delete(handle, issuer, false, sink),
                _ => halt |= self.apply_other(draft, firing, by, sink),
            }
        }
        self.counters.change(self.scope, |counters| {
            (counters.next_handle, counters.random) = (drafts.next_handle, drafts.random);
        });
        if let Some(firing) = firing {
            self.withdraw_not_reissued(firing, by, sink);
        }
        halt
    }

    /// Applies what is neither the insertion, the update nor the deletion of a fact; says whether it halts the
    /// run. It stands apart because the others are many.
    #[inline(never)]
    fn apply_other(
        &mut self,
        draft: &Draft,
        firing: Option<&Firing>,
        by: Option<&MatchId>,
        sink: &mut dyn ActionSink,
    ) -> bool {
        match *draft {
            Draft::State { handle } => self.set_stated(handle, true, sink),
            Draft::Unstate { handle } => self.set_stated(handle, false, sink),
            Draft::Support { handle } => {
                let firing = firing.expect("only consequences insert logically");
                self.justify(firing, by, handle, sink);
            }
            Draft::Emit(ref effect) => self.emit(effect, sink),
            Draft::SetGlobal(ref global) => self.set_global(global, sink),
            Draft::Focus { group } => {
                self.push_focus(group);
                self.tell(sink);
            }
            Draft::ClearGroup { group } => {
                self.clear_group(group);
                self.tell(sink);
            }
            Draft::Halt => return true,
            Draft::Insert { .. } | Draft::Update { .. } | Draft::Delete { .. } => {
                unreachable!("these are facts")
            }
        }
        false
    }

    /// Inserts a fact, given with its place in the arena; one that is not stated with the code of its derived key.
    fn insert(
        &mut self,
        kind: u32,
        (handle, at): (FactHandle, u32),
        arena: &mut dyn AnyArena,
        (issuer, derived): (Option<RuleTag>, Option<u64>),
        value: &[u8],
        sink: &mut dyn ActionSink,
    ) {
        let columns = self.store.kind_mut(kind);
        let slot = columns.next_slot(self.scope);
        columns.table.put_from(self.scope, slot, arena, at);
        let (place, stated) = (Place { kind, slot }, derived.is_none());
        let seq = self.insert_placed(place, handle, issuer, stated, derived);
        if self.is_recorded() {
            sink.record(&self.insertion(kind, handle, seq, (issuer, stated), value));
        }
    }

    fn update(
        &mut self,
        draft: &Draft,
        arena: &mut dyn AnyArena,
        issuer: Option<RuleTag>,
        value: &[u8],
        sink: &mut dyn ActionSink,
    ) {
        let Draft::Update { kind, handle, at, mask, slot } = *draft else {
            unreachable!("it is an update")
        };
        let known = (slot != NONE).then_some(Place { kind, slot });
        let place = known.or_else(|| self.store.locate(handle));
        let place = place.expect("staging checked that it lives");
        let old = self.before_update(place);
        self.store.kind_mut(kind).table.replace_from(self.scope, place.slot, arena, at);
        let seq = self.update_placed(old, issuer, mask);
        if self.is_recorded() {
            sink.record(&self.update_of(kind, handle, seq, (issuer, mask), value));
        }
    }

    /// A bulk load grows every column once, not by doubling.
    fn make_room(&mut self, drafts: &Drafts) {
        const BULK: usize = 1024;
        if drafts.len() + drafts.insertions() < BULK {
            return;
        }
        let mut ops = drafts.len();
        for (kind, inserts) in (0..).zip(drafts.inserts_by_kind()) {
            if inserts > 0 {
                let columns = self.store.kind_mut(kind);
                columns.reserve(inserts);
                ops += if columns.takes_runs() { 0 } else { inserts as usize };
            }
        }
        self.ops.reserve(u32::try_from(ops).expect("fewer than 2³² drafts"));
    }

    pub(super) fn emit(&mut self, effect: &Named, sink: &mut dyn ActionSink) {
        let ordinal = *self.effects.get();
        self.effects.set(self.scope, ordinal + 1);
        let Named { name: topic, version, bytes } = effect;
        sink.record(&Record::Effect { ordinal, topic, version: *version, bytes });
    }

    fn set_global(&mut self, global: &Named, sink: &mut dyn ActionSink) {
        let seq = self.next_seq();
        let Named { name, version, bytes } = global;
        let value = (*version, bytes.clone());
        self.globals.values.insert(self.scope, (*name).to_owned(), value);
        sink.record(&Record::SetGlobal { name, version: *version, bytes, seq });
    }

    pub(super) fn set_stated(
        &mut self,
        handle: FactHandle,
        stated: bool,
        sink: &mut dyn ActionSink,
    ) {
        let place = self.store.locate(handle).expect("staging checked that it lives");
        let seq = self.next_seq();
        let kind = self.store.kind_mut(place.kind);
        kind.set_stated(self.scope, place.slot, stated);
        if !stated {
            self.suspect(handle);
        }
        sink.record(&Record::Stated { handle, stated, seq });
    }

    fn justify(
        &mut self,
        firing: &Firing,
        by: Option<&MatchId>,
        handle: FactHandle,
        sink: &mut dyn ActionSink,
    ) {
        let place = self.store.locate(handle).expect("it was found or inserted just now");
        start_believing(self.scope, &mut self.store, place.kind, &mut self.scratch.belief);
        let terminal = &mut self.rules[firing.rule].terminal;
        let rule = u32::try_from(firing.rule).expect("fewer than 2³² rules");
        let by_match = (rule, firing.token);
        let new = self.supports.add(self.scope, &mut self.store, Some(terminal), by_match, place);
        self.scratch.supported.push(place);
        self.lineage.note(firing.rule, place.kind);
        if let (true, Some(by)) = (new, by) {
            sink.record(&Record::Justify { handle, by: by.clone() });
        }
    }

    /// A match that fires again keeps the supports that it issued again and loses the others.
    fn withdraw_not_reissued(
        &mut self,
        firing: &Firing,
        by: Option<&MatchId>,
        sink: &mut dyn ActionSink,
    ) {
        let head = self.rules[firing.rule].terminal.state(firing.token).first_support;
        if head == NONE {
            return;
        }
        let is_lost = |&at: &u32| !self.scratch.supported.contains(&self.supports.get(at).place);
        if self.supports.of_match(head).any(|at| is_lost(&at)) {
            self.withdraw_others(firing, (head, by), sink);
        }
    }

    /// Withdraws the supports of a match that it did not issue again.
    #[inline(never)] // most matches fire once
    fn withdraw_others(
        &mut self,
        firing: &Firing,
        (head, by): (u32, Option<&MatchId>),
        sink: &mut dyn ActionSink,
    ) {
        let mut lost: Vec<(FactHandle, u32)> = (self.supports.of_match(head))
            .filter(|&at| !self.scratch.supported.contains(&self.supports.get(at).place))
            .map(|support| (self.handle_at(self.supports.get(support).place), support))
            .collect();
        lost.sort_unstable();
        let issuer = Some(self.infos[firing.rule].tag);
        for (handle, support) in lost {
            self.withdraw(handle, support, issuer, || by.cloned(), sink);
        }
    }

    /// Takes one support away; the fact goes with its last one unless it is stated.
    pub(crate) fn withdraw(
        &mut self,
        handle: FactHandle,
        support: u32,
        issuer: Option<RuleTag>,
        by: impl FnOnce() -> Option<MatchId>,
        sink: &mut dyn ActionSink,
    ) {
        let place = self.supports.get(support).place;
        self.remove_support(support);
        let kind = self.store.kind(place.kind);
        let supported = *kind.first_support.get(place.slot) != NONE;
        let stated = kind.is_stated(place.slot);
        if supported && !stated {
            self.suspect(handle);
        }
        if supported || stated {
            if let Some(by) = by() {
                sink.record(&Record::Unjustify { handle, by });
            }
        } else {
            self.delete(handle, issuer, true, sink);
        }
    }

    pub(crate) fn remove_support(&mut self, support: u32) {
        let rule = self.supports.get(support).rule;
        let terminal = self.rules.get_mut(rule as usize).map(|rule| &mut rule.terminal);
        self.supports.remove(self.scope, &mut self.store, terminal, support);
    }

    pub(crate) fn handle_at(&self, place: Place) -> FactHandle {
        self.store.kind(place.kind).handle(place.slot)
    }
}
