//! The alpha side of a flush: which facts enter, change in and leave which right memories, and which levels
//! hear of it.

use super::rule_list::RuleList;
use super::{Engine, RuleState};
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::network::alpha::{Alpha, Memory};
use crate::network::switch::{Arrangement, Buckets, Case, Switch};
use crate::network::{Buffers, Facts, Flush, Memberships};
use crate::rows::Rows;
use crate::store::Ops;
use crate::trail::clear;

/// A fact that is in so few memories is looked for in each.
pub(super) const FEW_MEMORIES: usize = 4;

/// After so few operations it is worth to ask whether a level is concerned before it is told.
const FEW_OPS: u32 = if cfg!(test) { 2 } else { 16 };

/// Buffers of a distribution.
#[derive(Default)]
pub(super) struct DistributeScratch {
    /// Facts that a memory's conditions must be asked for, and those that stay where they are.
    slots: Vec<u32>,
    settled: Vec<(u32, FieldMask)>,
    /// The fields that changed of the facts that are asked for.
    masks: Vec<FieldMask>,
    /// Updated facts of which a switch reads something, and memories that one leaves, with its entries.
    read: Vec<(u32, FieldMask)>,
    pub(super) left: Vec<(u32, u32)>,
    buckets: Buckets,
    /// By memory of one kind, the entry of one fact.
    pub(super) entries: Vec<u32>,
    /// Of one memory, entries that come, and entries that stay with the fields that changed.
    came: Vec<u32>,
    stay: Vec<(u32, FieldMask)>,
    stay_entries: Vec<u32>,
    moved: Vec<bool>,
}

/// Memories that have something to do when a round or a flush ends.
#[derive(Default)]
pub(super) struct BusyMemories(Vec<(u32, u32)>);

impl BusyMemories {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn insert(&mut self, kind: u32, place: u32) {
        if self.0.last() != Some(&(kind, place)) {
            self.0.push((kind, place));
        }
    }
}

/// One round's distribution.
pub(super) struct Distribution<'a> {
    flush: Flush<'a>,
    alphas: &'a mut [Alpha],
    hears: Hears<'a>,
    busy: &'a mut BusyMemories,
    scratch: &'a mut DistributeScratch,
    buffers: &'a mut Buffers,
}

/// Those who hear of changes.
pub(super) struct Hears<'a> {
    rules: &'a mut [RuleState],
    dirty: &'a mut RuleList,
    few: bool,
}

impl Hears<'_> {
    fn of_inserted(&mut self, memory: &Memory, entries: &[u32]) {
        for listener in &memory.listeners {
            let net = &mut self.rules[listener.net as usize].net;
            if net.tell_inserted(listener.level, &memory.right, entries, self.few) {
                self.dirty.insert(listener.net as usize);
            }
        }
    }

    fn of_updated(&mut self, memory: &Memory, mask: FieldMask, entry: u32, moved: bool) {
        for listener in memory.listeners.iter().filter(|it| mask.intersects(it.reads)) {
            let net = &mut self.rules[listener.net as usize].net;
            if net.tell_updated(listener.level, &memory.right, (entry, moved)) {
                self.dirty.insert(listener.net as usize);
            }
        }
    }

    fn of_deleted(&mut self, memory: &Memory, entry: u32) {
        for listener in &memory.listeners {
            let net = &mut self.rules[listener.net as usize].net;
            if net.tell_deleted(listener.level, entry) {
                self.dirty.insert(listener.net as usize);
            }
        }
    }
}

impl Engine {
    /// Takes the net changes of a round through the alpha side.
    pub(super) fn distribute(&mut self, round_start: u32) {
        for kind in 0..u32::try_from(self.store.kinds.len()).expect("few types") {
            if self.scratch.deltas[kind as usize].is_empty() {
                continue;
            }
            let mut delta = std::mem::take(&mut self.scratch.deltas[kind as usize]);
            let mut distribution = self.distribution(round_start);
            if !delta.deleted.is_empty() {
                distribution.deleted(kind, &delta.deleted);
            }
            if !delta.updated.is_empty() {
                distribution.updated(kind, &delta.updated);
            }
            if !delta.inserted.is_empty() {
                distribution.inserted(kind, &delta.inserted, 0);
            }
            distribution.slide(kind);
            clear(&mut delta.inserted);
            clear(&mut delta.updated);
            clear(&mut delta.deleted);
            self.scratch.deltas[kind as usize] = delta;
        }
    }

    /// Takes facts into the memories that only networks from `first` on listen to.
    pub(super) fn distribute_to(&mut self, kind: u32, slots: &[u32], first: usize) {
        let mut distribution = self.distribution(0);
        distribution.inserted(kind, slots, first);
        distribution.slide(kind);
    }

    /// What distributes changes, of the operations from `round_start` on.
    pub(super) fn distribution(&mut self, round_start: u32) -> Distribution<'_> {
        let moment = self.moment();
        let Self { scratch, buffers, alphas, rules, store, ops, .. } = self;
        let flush = Flush {
            scope: self.scope,
            moment,
            store,
            ops: Ops::new(ops.as_slice(), scratch.kinds, scratch.only_inserts),
            round_start,
            cascaded: scratch.rounds > 1,
        };
        let few = ops.len() - round_start <= FEW_OPS;
        let hears = Hears { rules, dirty: &mut scratch.dirty, few };
        let (busy, scratch) = (&mut scratch.busy, &mut scratch.distribute);
        Distribution { flush, alphas, hears, busy, scratch, buffers }
    }

    /// Gives back the entries of facts that left memories in this round.
    pub(super) fn end_round_of_memories(&mut self) {
        for &(kind, place) in &self.scratch.busy.0 {
            let memory = &mut self.alphas[kind as usize].memories[place as usize];
            memory.right.end_round(self.scope);
        }
    }

    pub(super) fn end_flush_of_memories(&mut self) {
        self.end_round_of_memories();
        for (kind, place) in self.scratch.busy.0.drain(..) {
            self.alphas[kind as usize].memories[place as usize].right.end_flush();
        }
    }
}

impl Distribution<'_> {
    /// Takes a fact out of a memory that it is known to be in.
    pub(super) fn leave(&mut self, kind: u32, place: u32, slot: u32, entry: u32) {
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        memberships.part(self.flush.scope, slot, place);
        leave(&self.flush, &mut memories[place as usize], entry, &mut self.hears);
        self.busy.insert(kind, place);
    }

    pub(super) fn deleted(&mut self, kind: u32, slots: &[u32]) {
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        for &slot in slots {
            for (place, entry) in memberships.of(slot) {
                let memory = &mut memories[place as usize];
                if let Some(recent) = &mut memory.right.recent {
                    recent.leave(self.flush.scope, entry);
                }
                leave(&self.flush, memory, entry, &mut self.hears);
                self.busy.insert(kind, place);
            }
            memberships.part_all(self.flush.scope, slot);
        }
        if self.alphas[kind as usize].slides {
            let columns = self.flush.store.kind(kind);
            let memories = self.alphas[kind as usize].memories.iter_mut();
            for sliding in memories.filter_map(|memory| memory.right.sliding.as_mut()) {
                for &slot in slots {
                    sliding.fail(self.flush.scope, columns.handle(slot));
                }
            }
        }
    }

    pub(super) fn inserted(&mut self, kind: u32, slots: &[u32], first: usize) {
        let arrangement = self.alphas[kind as usize].arrangement();
        for &place in &arrangement.plain {
            self.admit(kind, place, slots, first, None);
        }
        for switch in &arrangement.switches {
            let mut buckets = std::mem::take(&mut self.scratch.buckets);
            let codes = &mut self.buffers.codes.codes;
            switch.codes(&Rows::new(&[self.flush.store.source(kind)], slots), codes);
            let exact = codes.is_exact();
            for (&slot, &code) in slots.iter().zip(codes.as_slice()) {
                switch.memories(code).iter().for_each(|&place| buckets.put(place, slot));
            }
            for (place, slots) in buckets.filled() {
                let decided = arrangement.case(place).and_then(|case| case.decided);
                self.admit(kind, place, slots, first, decided.filter(|_| exact));
            }
            buckets.clear();
            self.scratch.buckets = buckets;
        }
        self.alphas[kind as usize].arranged(arrangement);
    }

    /// Takes those of new facts that pass the conditions of a memory into it, if no network before `first`
    /// listens to it: what they listen to is there already.
    pub(super) fn admit(
        &mut self,
        kind: u32,
        place: u32,
        slots: &[u32],
        first: usize,
        decided: Option<usize>,
    ) {
        let Self { flush, alphas, hears, busy, scratch, buffers } = self;
        let Alpha { memories, memberships, .. } = &mut alphas[kind as usize];
        let memory = &mut memories[place as usize];
        if memory.is_asleep() {
            return;
        }
        if first > 0 && memory.listeners.iter().any(|it| (it.net as usize) < first) {
            return;
        }
        let answers = &mut buffers.answers;
        let source = [flush.store.source(kind)];
        memory.plan.alpha(decided, &Rows::new(&source, slots), answers);
        if !answers.passed.contains(&true) {
            return;
        }
        let (right, columns) = (&mut memory.right, flush.store.kind(kind));
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns, memberships, place, slots };
            recent.sift(flush.scope, flush.moment, &facts, &mut answers.passed);
        }
        let passed = slots.iter().zip(&answers.passed).filter(|(_, passed)| **passed);
        if let Some(sliding) = &mut right.sliding {
            for (&slot, _) in passed {
                sliding.pass(flush.scope, columns.handle(slot), slot);
            }
            return;
        }
        scratch.came.clear();
        right.reserve(slots.len());
        for (&slot, _) in passed {
            let entry = right.admit(flush.scope, slot);
            memberships.join(flush.scope, slot, place, entry);
            scratch.came.push(entry);
        }
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns, memberships, place, slots };
            recent.admit(flush.scope, &facts, &answers.passed);
        }
        if come(flush, memory, &scratch.came, buffers, hears) {
            busy.insert(kind, place);
        }
        clear(&mut scratch.came);
    }

    pub(super) fn updated(&mut self, kind: u32, updated: &[(u32, FieldMask)]) {
        let alpha = &mut self.alphas[kind as usize];
        let arrangement = alpha.arrangement();
        // Of one fact all entries are looked up at once if it is in many memories: in a large ruleset.
        let is_one = updated.len() == 1 && alpha.memories.len() > FEW_MEMORIES;
        if is_one {
            let (slot, count) = (updated[0].0, alpha.memories.len());
            alpha.memberships.entries(slot, count, &mut self.scratch.entries);
        }
        for &place in &arrangement.plain {
            let memory = &self.alphas[kind as usize].memories[place as usize];
            let reads = memory.reads;
            let is_read = |(_, mask): &(u32, FieldMask)| mask.intersects(reads);
            if !memory.is_asleep() && updated.iter().any(is_read) {
                let read = updated.iter().copied().filter(is_read);
                self.revise(kind, place, read, is_one, None);
            }
        }
        for (at, switch) in arrangement.switches.iter().enumerate() {
            self.switch_updated(kind, (&arrangement, at), switch, updated, is_one);
        }
        self.alphas[kind as usize].arranged(arrangement);
    }

    /// Takes updated facts to those memories of a switch that may take or hold them.
    fn switch_updated(
        &mut self,
        kind: u32,
        (arrangement, switch_at): (&Arrangement, usize),
        switch: &Switch,
        updated: &[(u32, FieldMask)],
        is_one: bool,
    ) {
        let mut read = std::mem::take(&mut self.scratch.read);
        let mut buckets = std::mem::take(&mut self.scratch.buckets);
        let mut codes = std::mem::take(&mut self.buffers.codes.codes);
        read.extend(updated.iter().filter(|(_, mask)| mask.intersects(switch.reads)));
        self.scratch.slots.clear();
        self.scratch.slots.extend(read.iter().map(|(slot, _)| *slot));
        if !read.is_empty() {
            let source = [self.flush.store.source(kind)];
            switch.codes(&Rows::new(&source, &self.scratch.slots), &mut codes);
        }
        for ((at, &(slot, mask)), &code) in (0..).zip(&read).zip(codes.as_slice()) {
            self.leave_others(kind, (slot, mask), arrangement, switch_at, code);
            switch.memories(code).iter().for_each(|&place| buckets.put(place, at));
        }
        for (place, which) in buckets.filled() {
            let decided = arrangement.case(place).and_then(|case| case.decided);
            let reads = self.alphas[kind as usize].memories[place as usize].reads;
            let some = which.iter().map(|&at| read[at as usize]);
            let some = some.filter(|(_, mask)| mask.intersects(reads));
            self.revise(kind, place, some, is_one, decided.filter(|_| codes.is_exact()));
        }
        codes.clear();
        self.buffers.codes.codes = codes;
        buckets.clear();
        self.scratch.buckets = buckets;
        clear(&mut read);
        self.scratch.read = read;
    }

    /// Takes an updated fact out of the memories that a switch does not find by its value any more.
    fn leave_others(
        &mut self,
        kind: u32,
        (slot, mask): (u32, FieldMask),
        arrangement: &Arrangement,
        switch: usize,
        code: u64,
    ) {
        let Alpha { memories, memberships, .. } = &self.alphas[kind as usize];
        let mut left = std::mem::take(&mut self.scratch.left);
        left.extend(memberships.of(slot).filter(|&(place, _)| {
            let other = |case: Case| case.switch == switch && case.code != code;
            mask.intersects(memories[place as usize].reads)
                && arrangement.case(place).is_some_and(other)
        }));
        for (place, entry) in left.drain(..) {
            self.leave(kind, place, slot, entry);
        }
        self.scratch.left = left;
    }

    /// Sorts updated facts out for a memory of which somebody reads something, and asks about those that it
    /// may take or lose; says whether there are any facts.
    fn ask(
        &mut self,
        kind: u32,
        place: u32,
        updated: impl Iterator<Item = (u32, FieldMask)>,
        decided: Option<usize>,
    ) -> bool {
        let memory = &self.alphas[kind as usize].memories[place as usize];
        if memory.is_asleep() {
            return false;
        }
        let DistributeScratch { slots, settled, masks, .. } = &mut *self.scratch;
        slots.clear();
        settled.clear();
        masks.clear();
        for (slot, mask) in updated {
            // What no condition on the fact alone reads leaves it where it is.
            let is_windowed = memory.slides || memory.elapses;
            if mask.intersects(memory.tests) || is_windowed {
                slots.push(slot);
                masks.push(mask);
            } else {
                settled.push((slot, mask));
            }
        }
        if !slots.is_empty() {
            let (source, answers) = ([self.flush.store.source(kind)], &mut self.buffers.answers);
            memory.plan.alpha(decided, &Rows::new(&source, slots), answers);
        }
        !slots.is_empty() || !settled.is_empty()
    }

    /// Asks a memory again about updated facts of which somebody reads something; if it is one, its entries
    /// are known.
    pub(super) fn revise(
        &mut self,
        kind: u32,
        place: u32,
        updated: impl Iterator<Item = (u32, FieldMask)>,
        is_one: bool,
        decided: Option<usize>,
    ) {
        if !self.ask(kind, place, updated, decided) {
            return;
        }
        let Self { flush, alphas, hears, busy, scratch, buffers } = self;
        let Alpha { memories, memberships, .. } = &mut alphas[kind as usize];
        let (memory, columns) = (&mut memories[place as usize], flush.store.kind(kind));
        let DistributeScratch { slots, settled, masks, entries, came, stay, .. } = &mut **scratch;
        let entry_of = |memberships: &Memberships, slot: u32| {
            if is_one {
                Some(entries[place as usize]).filter(|&entry| entry != NONE)
            } else {
                memberships.entry(slot, place)
            }
        };
        stay.clear();
        came.clear();
        let settled = settled.iter();
        stay.extend(
            settled
                .filter_map(|&(slot, mask)| entry_of(memberships, slot).map(|entry| (entry, mask))),
        );
        let passed = &mut buffers.answers.passed;
        if let Some(recent) = &mut memory.right.recent {
            let facts = Facts { columns, memberships, place, slots };
            recent.sift(flush.scope, flush.moment, &facts, passed);
        }
        for ((&slot, &mask), &passed) in slots.iter().zip(masks.iter()).zip(passed.iter()) {
            if let Some(sliding) = &mut memory.right.sliding {
                let handle = columns.handle(slot);
                if passed {
                    if sliding.pass(flush.scope, handle, slot) {
                        sliding.updated.push((handle, slot));
                    }
                    continue;
                }
                sliding.fail(flush.scope, handle);
            }
            match (entry_of(memberships, slot), passed) {
                (Some(entry), true) => stay.push((entry, mask)),
                (Some(entry), false) => {
                    memberships.part(flush.scope, slot, place);
                    leave(flush, memory, entry, hears);
                    busy.insert(kind, place);
                }
                (None, true) => {
                    let entry = memory.right.admit(flush.scope, slot);
                    memberships.join(flush.scope, slot, place, entry);
                    came.push(entry);
                }
                (None, false) => {}
            }
        }
        if let Some(recent) = &mut memory.right.recent {
            let facts = Facts { columns, memberships, place, slots };
            recent.admit(flush.scope, &facts, passed);
        }
        if self.settle(kind, place) {
            self.busy.insert(kind, place);
        }
    }

    /// Takes what stays in a memory to its keys of now, and what comes to its own; says whether somebody
    /// must forget it when the flush ends.
    fn settle(&mut self, kind: u32, place: u32) -> bool {
        let Self { flush, alphas, hears, scratch, buffers, .. } = self;
        let memory = &mut alphas[kind as usize].memories[place as usize];
        let DistributeScratch { came, stay, stay_entries, moved, .. } = &mut **scratch;
        let mut noted = false;
        if !stay.is_empty() {
            if memory.blocks {
                for &(entry, _) in stay.iter() {
                    memory.right.turn(flush, &memory.plan, entry, false);
                }
                noted = true;
            }
            moved.clear();
            moved.resize(stay.len(), false);
            if stay.iter().any(|(_, mask)| memory.moves(*mask)) {
                stay_entries.clear();
                stay_entries.extend(stay.iter().map(|(entry, _)| *entry));
                let note = |at: usize, moves| moved[at] = moves;
                memory.right.relink(flush, &memory.plan, stay_entries, buffers, note);
            }
            for (&(entry, mask), &moved) in stay.iter().zip(moved.iter()) {
                hears.of_updated(memory, mask, entry, moved);
            }
            clear(stay);
        }
        if !came.is_empty() {
            noted |= come(flush, memory, came, buffers, hears);
            clear(came);
        }
        noted
    }

    /// Slides the windows over facts of a kind, and tells those who listen what that did.
    pub(super) fn slide(&mut self, kind: u32) {
        if !self.alphas[kind as usize].slides {
            return;
        }
        for place in 0..self.alphas[kind as usize].memory_count() {
            let Self { flush, alphas, hears, busy, scratch, .. } = self;
            let Alpha { memories, memberships, .. } = &mut alphas[kind as usize];
            let memory = &mut memories[place as usize];
            let Some(mut sliding) = memory.right.sliding.take() else { continue };
            sliding.slide(flush.scope);
            for &(handle, slot) in &sliding.moved {
                let entry = memberships.entry(slot, place).filter(|_| !sliding.holds(handle));
                if let Some(entry) = entry {
                    memberships.part(flush.scope, slot, place);
                    leave(flush, memory, entry, hears);
                    busy.insert(kind, place);
                }
            }
            // Those that this round slides in are new, not updated.
            let DistributeScratch { came, stay, .. } = &mut **scratch;
            let updated = sliding.updated.drain(..);
            let updated = updated.filter_map(|(_, slot)| memberships.entry(slot, place));
            stay.extend(updated.map(|entry| (entry, FieldMask::ALL)));
            for (handle, slot) in std::mem::take(&mut sliding.moved) {
                if sliding.holds(handle) && memberships.entry(slot, place).is_none() {
                    let entry = memory.right.admit(flush.scope, slot);
                    memberships.join(flush.scope, slot, place, entry);
                    came.push(entry);
                }
            }
            memory.right.sliding = Some(sliding);
            if self.settle(kind, place) {
                self.busy.insert(kind, place);
            }
        }
    }

    /// Takes facts out of the windows that they leave at a moment; says whether there were any, and if so,
    /// whether a listener is none of these networks.
    pub(super) fn leave_windows(
        &mut self,
        moment: i64,
        is_query: impl Fn(usize) -> bool,
    ) -> Option<bool> {
        let mut any = None;
        let Self { flush, alphas, hears, busy, .. } = self;
        for (kind, alpha) in (0..).zip(alphas.iter_mut()).filter(|(_, alpha)| alpha.elapses) {
            let Alpha { memories, memberships, .. } = alpha;
            for (place, memory) in (0..).zip(memories) {
                let Some(recent) = &mut memory.right.recent else { continue };
                for entry in recent.take_until(flush.scope, moment) {
                    let of_rule = memory.listeners.iter().any(|it| !is_query(it.net as usize));
                    any = any.max(Some(of_rule));
                    memberships.part(flush.scope, memory.right.slot(entry), place);
                    leave(flush, memory, entry, hears);
                    busy.insert(kind, place);
                }
            }
        }
        any
    }
}

/// Facts have entered a memory: they get their keys, and levels that they concern hear of them. Says whether
/// somebody must forget them when the flush ends.
fn come(
    flush: &Flush<'_>,
    memory: &mut Memory,
    entries: &[u32],
    buffers: &mut Buffers,
    hears: &mut Hears<'_>,
) -> bool {
    memory.right.link(flush, &memory.plan, entries, buffers);
    if memory.blocks {
        memory.right.turn_in(flush, &memory.plan, entries);
    }
    hears.of_inserted(memory, entries);
    memory.blocks
}

/// A fact leaves a memory.
pub(super) fn leave(flush: &Flush<'_>, memory: &mut Memory, entry: u32, hears: &mut Hears<'_>) {
    if memory.blocks {
        memory.right.turn(flush, &memory.plan, entry, true);
    }
    memory.right.leave(flush.scope, entry);
    hears.of_deleted(memory, entry);
}
