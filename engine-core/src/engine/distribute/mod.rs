//! The alpha side of a flush: which facts enter, change in and leave which right memories, and which levels
//! hear of it.

mod bulk;
mod few;
mod updates;
mod windows;

use std::ops::Range;

use super::flush::NotedSteps;
use super::rule_list::RuleList;
use super::{Engine, RuleState};
use crate::chains::BATCH;
use crate::fact::FieldMask;
use crate::key::Codes;
use crate::network::alpha::{Alpha, Listener, Memory};
use crate::network::descent::Descent;
use crate::network::right::Known;
use crate::network::straight::{Step, Way};
use crate::network::switch::Buckets;
use crate::network::{Buffers, Facts, Flush};
use crate::rows::Rows;
use crate::trail::{BULK, clear};

/// A fact that is in so few memories is looked for in each.
pub(super) const FEW_MEMORIES: usize = 4;

/// After so few operations it is worth to ask whether a level is concerned before it is told.
const FEW_OPS: u32 = if cfg!(test) { 2 } else { 16 };

/// Buffers of a distribution.
#[derive(Default)]
pub(super) struct DistributeScratch {
    /// New facts.
    new: Vec<u32>,
    /// Facts that a memory's conditions must be asked for, and those that stay where they are.
    slots: Vec<u32>,
    settled: Vec<(u32, FieldMask)>,
    /// The fields that changed of the facts that are asked for.
    masks: Vec<FieldMask>,
    /// Updated facts of which a switch reads something, and memories that one leaves, with its entries.
    read: Vec<(u32, FieldMask)>,
    pub(super) left: Vec<(u32, u32)>,
    buckets: Buckets,
    /// Codes by which a switch finds its memories.
    cases: Codes,
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
    /// What is taken down from a level at once, of a flush of one operation. Nobody is told of it.
    steps: Option<&'a mut NotedSteps>,
}

impl Hears<'_> {
    /// A fact has entered, in a flush of a few operations.
    fn of_one_inserted(&mut self, memory: &Memory, entry: u32) {
        // As long as no left token of any level came nobody knows them.
        let right = &memory.right;
        let codes = if right.knows(Known::Codes) { right.index.codes(entry) } else { (0, 0) };
        let Some(steps) = &mut self.steps else { return };
        for &Listener { net: rule, level, straight, descends, .. } in &memory.listeners {
            let net = &mut self.rules[rule as usize].net;
            let step = || (rule, Step { level, entry, way: Way::Enters });
            if straight && steps.only_op {
                steps.list.push(step());
            } else if descends {
                if net.expects(level, codes) {
                    steps.descents.push(Descent::new(step().0, step().1));
                }
            } else if net.tell_inserted(level, &memory.right, &[entry], self.few) {
                self.dirty.insert(rule as usize);
            }
        }
    }

    fn of_inserted(&mut self, memory: &Memory, entries: &[u32]) {
        if let [entry] = *entries
            && self.steps.is_some()
        {
            self.of_one_inserted(memory, entry);
            return;
        }
        for listener in &memory.listeners {
            let net = &mut self.rules[listener.net as usize].net;
            if net.tell_inserted(listener.level, &memory.right, entries, self.few) {
                self.dirty.insert(listener.net as usize);
            }
        }
    }

    fn of_updated(&mut self, memory: &Memory, mask: FieldMask, entry: u32, moved: bool) {
        for listener in memory.listeners.iter().filter(|it| mask.intersects(it.reads)) {
            let Listener { net: rule, level, straight, .. } = *listener;
            match &mut self.steps {
                Some(steps) if straight && steps.only_op => {
                    let way = Way::Stays { moved };
                    steps.list.push((rule, Step { level, entry, way }));
                }
                _ => {
                    let net = &mut self.rules[rule as usize].net;
                    if net.tell_updated(level, &memory.right, (entry, moved)) {
                        self.dirty.insert(rule as usize);
                    }
                }
            }
        }
    }

    fn of_deleted(&mut self, memory: &Memory, entry: u32) {
        for &Listener { net: rule, level, straight, descends, .. } in &memory.listeners {
            let net = &mut self.rules[rule as usize].net;
            let step = || (rule, Step { level, entry, way: Way::Leaves });
            match &mut self.steps {
                Some(steps) if straight && steps.only_op => steps.list.push(step()),
                Some(steps) if descends => {
                    if net.has_tokens(level, entry) {
                        steps.descents.push(Descent::new(step().0, step().1));
                    }
                }
                _ => {
                    if net.tell_deleted(level, entry) {
                        self.dirty.insert(rule as usize);
                    }
                }
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
                distribution.all_inserted(kind, &delta.inserted);
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
    #[inline]
    pub(super) fn distribution(&mut self, round_start: u32) -> Distribution<'_> {
        let moment = self.moment();
        let Self { scratch, buffers, alphas, rules, store, ops, .. } = self;
        let flush = scratch.flush((self.scope, moment), store, ops.as_slice(), round_start);
        let few = scratch.steps.wanted
            || ops.len() - round_start <= FEW_OPS
                && ops.as_slice()[round_start as usize..].iter().all(|op| op.count == 1);
        let steps = scratch.steps.wanted.then_some(&mut scratch.steps);
        let hears = Hears { rules, dirty: &mut scratch.dirty, few, steps };
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
            self.alphas[kind as usize].memories[place as usize].right.end_flush(self.scope);
        }
    }
}

impl Distribution<'_> {
    /// Takes a fact into a memory of which it passes the conditions.
    pub(super) fn enter(&mut self, kind: u32, place: u32, slot: u32) {
        let Self { flush, alphas, hears, busy, buffers, .. } = self;
        let Alpha { memories, memberships, .. } = &mut alphas[kind as usize];
        let memory = &mut memories[place as usize];
        let entry = memory.right.admit(flush.scope, slot);
        memberships.join(flush.scope, slot, place, entry);
        if come(flush, memory, &[entry], buffers, hears) {
            busy.insert(kind, place);
        }
    }

    /// Takes a fact that stays in a memory to its key of now.
    pub(super) fn stay(&mut self, kind: u32, place: u32, entry: u32, mask: FieldMask) {
        let Self { flush, alphas, hears, busy, buffers, .. } = self;
        let memory = &mut alphas[kind as usize].memories[place as usize];
        if memory.blocks {
            memory.right.turn(flush, &memory.plan, entry, false);
            busy.insert(kind, place);
        }
        let mut moved = false;
        if memory.moves(mask) {
            let note = |_, moves| moved = moves;
            memory.right.relink(flush, &memory.plan, &[entry], buffers, note);
        }
        hears.of_updated(memory, mask, entry, moved);
    }

    /// Tells a network of what was noted as a step.
    #[inline(never)] // most steps are taken
    pub(super) fn tell(&mut self, rule: usize, Step { level, entry, way }: Step) {
        let Hears { rules, dirty, .. } = &mut self.hears;
        let net = &mut rules[rule].net;
        let memory = net.levels[level as usize].node.memory(self.alphas);
        let right = &memory.expect("steps begin at joins").right;
        let has_changes = match way {
            Way::Enters => net.tell_inserted(level, right, &[entry], true),
            Way::Stays { moved } => net.tell_updated(level, right, (entry, moved)),
            Way::Leaves => net.tell_deleted(level, entry),
        };
        if has_changes {
            dirty.insert(rule);
        }
    }

    /// Takes a fact out of a memory that it is known to be in.
    pub(super) fn leave(&mut self, kind: u32, place: u32, slot: u32, entry: u32) {
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        memberships.part(self.flush.scope, slot, place);
        leave(&self.flush, &mut memories[place as usize], entry, &mut self.hears);
        self.busy.insert(kind, place);
    }

    pub(super) fn deleted(&mut self, kind: u32, slots: &[u32]) {
        if slots.len() >= BULK {
            self.many_deleted(kind, slots);
        } else {
            self.few_deleted(kind, slots);
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

    fn few_deleted(&mut self, kind: u32, slots: &[u32]) {
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        if slots.len() > 1 {
            slots.iter().flat_map(|&slot| memberships.of(slot)).for_each(|(place, entry)| {
                memories[place as usize].right.warm_link(entry);
            });
        }
        for &slot in slots {
            memberships.part_all(self.flush.scope, slot, |place, entry| {
                let memory = &mut memories[place as usize];
                if let Some(recent) = &mut memory.right.recent {
                    recent.leave(self.flush.scope, entry);
                }
                leave(&self.flush, memory, entry, &mut self.hears);
                self.busy.insert(kind, place);
            });
        }
    }

    /// Takes in new facts, a batch at a time.
    fn all_inserted(&mut self, kind: u32, inserted: &[Range<u32>]) {
        let mut new = std::mem::take(&mut self.scratch.new);
        if inserted.iter().any(|slots| slots.len() > BATCH) {
            self.alphas[kind as usize].make_room(inserted.iter().map(ExactSizeIterator::len).sum());
        }
        for slots in inserted {
            let mut slots = slots.clone();
            while !slots.is_empty() {
                new.extend(slots.by_ref().take(BATCH - new.len()));
                if new.len() == BATCH {
                    self.inserted(kind, &new, 0);
                    new.clear();
                }
            }
        }
        if !new.is_empty() {
            self.inserted(kind, &new, 0);
            new.clear();
        }
        self.scratch.new = new;
    }

    pub(super) fn inserted(&mut self, kind: u32, slots: &[u32], first: usize) {
        let arrangement = self.alphas[kind as usize].arrangement();
        for &(place, _) in &arrangement.plain {
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
        right.admit_all(flush.scope, passed.map(|(&slot, _)| slot), &mut scratch.came);
        let came = scratch.came.iter().map(|&entry| (right.slot(entry), entry));
        memberships.join_all(flush.scope, place, came);
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns, memberships, place, slots };
            recent.admit(flush.scope, &facts, &answers.passed);
        }
        if come(flush, memory, &scratch.came, buffers, hears) {
            busy.insert(kind, place);
        }
        clear(&mut scratch.came);
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
