//! Updated facts on the alpha side: which of them stay where they are, move to another key, enter or leave.

use super::{DistributeScratch, Distribution, FEW_MEMORIES, come, leave};
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::network::alpha::Alpha;
use crate::network::switch::{Arrangement, Case, Switch};
use crate::network::{Facts, Memberships};
use crate::rows::Rows;
use crate::trail::clear;

impl Distribution<'_> {
    pub(in crate::engine) fn updated(&mut self, kind: u32, updated: &[(u32, FieldMask)]) {
        let alpha = &mut self.alphas[kind as usize];
        let arrangement = alpha.arrangement();
        // Of one fact all entries are looked up at once if it is in many memories: in a large ruleset.
        let is_one = updated.len() == 1 && alpha.memories.len() > FEW_MEMORIES;
        if is_one {
            let (slot, count) = (updated[0].0, alpha.memories.len());
            alpha.memberships.entries(slot, count, &mut self.scratch.entries);
        }
        for &(place, reads) in &arrangement.plain {
            let memory = &self.alphas[kind as usize].memories[place as usize];
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
        let mut codes = std::mem::take(&mut self.scratch.cases);
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
        self.scratch.cases = codes;
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
    pub(in crate::engine) fn revise(
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
    pub(super) fn settle(&mut self, kind: u32, place: u32) -> bool {
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
            if let ([(entry, mask)], [moved]) = (&**stay, &**moved) {
                hears.of_updated(memory, *mask, *entry, *moved);
            } else {
                hears.of_all_updated(memory, stay, moved);
            }
            clear(stay);
        }
        if !came.is_empty() {
            noted |= come(flush, memory, came, buffers, hears);
            clear(came);
        }
        noted
    }
}
