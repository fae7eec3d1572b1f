//! The alpha side of a flush: which facts enter, change in and leave which right memories.

use super::Engine;
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::network::Facts;
use crate::network::alpha::Alpha;
use crate::network::right::{RightDelta, RightMemory};
use crate::network::switch::{Arrangement, Case, Switch};
use crate::rows::Rows;
use crate::trail::{Scope, clear};

/// A fact that is in so few memories is looked for in each.
pub(super) const FEW_INPUTS: usize = 4;

impl Engine {
    /// Takes the net changes through the alpha side into the right memories' deltas.
    pub(super) fn distribute(&mut self) {
        for kind in 0..u32::try_from(self.store.kinds.len()).expect("few types") {
            if self.scratch.deltas[kind as usize].is_empty() {
                continue;
            }
            let mut delta = std::mem::take(&mut self.scratch.deltas[kind as usize]);
            if !delta.deleted.is_empty() {
                self.distribute_deleted(kind, &delta.deleted);
            }
            if !delta.updated.is_empty() {
                self.distribute_updated(kind, &delta.updated);
            }
            if !delta.inserted.is_empty() {
                self.distribute_from(kind, &delta.inserted, 0);
            }
            self.slide(kind);
            clear(&mut delta.inserted);
            clear(&mut delta.updated);
            clear(&mut delta.deleted);
            self.scratch.deltas[kind as usize] = delta;
        }
    }

    pub(super) fn distribute_deleted(&mut self, kind: u32, slots: &[u32]) {
        if self.alphas[kind as usize].elapses {
            self.leave_recent(kind, slots);
        }
        let alpha = &mut self.alphas[kind as usize];
        for &slot in slots {
            for (input, entry) in alpha.memberships(slot) {
                let input = alpha.inputs[input as usize];
                let rule = input.net as usize;
                let net = &mut self.rules[rule].net;
                let is_deaf = net.is_deaf(input.level);
                let (right, delta) = net.right_mut(input.level);
                leave(self.scope, right, delta, is_deaf, entry);
                if !is_deaf {
                    net.wake(input.level);
                    self.scratch.dirty.insert(rule);
                }
            }
            alpha.part_all(self.scope, slot);
        }
        if alpha.slides {
            for input in alpha.inputs.iter().filter(|input| input.slides) {
                let right = self.rules[input.net as usize].net.right_mut(input.level).0;
                let sliding = right.sliding.as_mut().expect("its input slides");
                for &slot in slots {
                    sliding.fail(self.scope, self.store.kind(kind).handle(slot));
                }
            }
        }
    }

    pub(super) fn distribute_inserted(&mut self, kind: u32, slots: &[u32]) {
        self.distribute_to(kind, slots, 0);
    }

    /// Takes facts into the memories of the networks from `first` on.
    pub(super) fn distribute_to(&mut self, kind: u32, slots: &[u32], first: usize) {
        self.distribute_from(kind, slots, first);
        self.slide(kind);
    }

    fn distribute_from(&mut self, kind: u32, slots: &[u32], first: usize) {
        let arrangement = self.alphas[kind as usize].arrangement();
        for &place in &arrangement.plain {
            self.admit(kind, place, slots, first, None);
        }
        for switch in &arrangement.switches {
            let mut buckets = std::mem::take(&mut self.scratch.buckets);
            let codes = &mut self.buffers.codes.codes;
            switch.codes(&Rows::new(&[self.store.source(kind)], slots), codes);
            let exact = codes.is_exact();
            for (&slot, &code) in slots.iter().zip(codes.as_slice()) {
                switch.inputs(code).iter().for_each(|&input| buckets.put(input, slot));
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

    /// Takes those of new facts that pass the conditions of an input into its memory, if its network is
    /// not before `first`.
    pub(super) fn admit(
        &mut self,
        kind: u32,
        place: u32,
        slots: &[u32],
        first: usize,
        decided: Option<usize>,
    ) {
        let moment = self.moment();
        let alpha = &mut self.alphas[kind as usize];
        let input = alpha.inputs[place as usize];
        let rule = input.net as usize;
        if rule < first {
            return;
        }
        let answers = &mut self.buffers.answers;
        let source = [self.store.source(kind)];
        alpha.plans[place as usize].alpha(decided, &Rows::new(&source, slots), answers);
        if !answers.passed.contains(&true) {
            return;
        }
        let net = &mut self.rules[rule].net;
        let is_deaf = net.is_deaf(input.level);
        let (right, delta) = net.right_mut(input.level);
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns: self.store.kind(kind), alpha, place, slots };
            recent.sift(self.scope, moment, &facts, &mut answers.passed);
        }
        let count = answers.passed.iter().filter(|passed| **passed).count();
        let passed = slots.iter().zip(&answers.passed).filter(|(_, passed)| **passed);
        if let Some(sliding) = &mut right.sliding {
            for (&slot, _) in passed {
                sliding.pass(self.scope, self.store.kind(kind).handle(slot), slot);
            }
            return;
        }
        right.reserve(count);
        delta.inserted.reserve(if is_deaf { 0 } else { count });
        for (&slot, _) in passed {
            let entry = right.admit(self.scope, slot);
            alpha.join(self.scope, slot, place, entry);
            if !is_deaf {
                delta.inserted.push(entry);
            }
        }
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns: self.store.kind(kind), alpha, place, slots };
            recent.admit(self.scope, &facts, &answers.passed);
        }
        if !delta.is_empty() {
            net.wake(input.level);
            self.scratch.dirty.insert(rule);
        }
    }

    fn distribute_updated(&mut self, kind: u32, updated: &[(u32, FieldMask)]) {
        let alpha = &mut self.alphas[kind as usize];
        let arrangement = alpha.arrangement();
        // Of one fact all entries are looked up at once if it is in many memories: in a large ruleset.
        let is_one = updated.len() == 1 && alpha.inputs.len() > FEW_INPUTS;
        if is_one {
            alpha.entries(updated[0].0, &mut self.scratch.entries);
        }
        for &place in &arrangement.plain {
            let reads = self.alphas[kind as usize].inputs[place as usize].reads;
            let read = updated.iter().copied().filter(|(_, mask)| mask.intersects(reads));
            self.revise(kind, place, read, is_one, None);
        }
        for (at, switch) in arrangement.switches.iter().enumerate() {
            self.switch_updated(kind, (&arrangement, at), switch, updated, is_one);
        }
        self.alphas[kind as usize].arranged(arrangement);
    }

    /// Takes updated facts to those inputs of a switch that may take or hold them.
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
            let source = [self.store.source(kind)];
            switch.codes(&Rows::new(&source, &self.scratch.slots), &mut codes);
        }
        for ((at, &(slot, mask)), &code) in (0..).zip(&read).zip(codes.as_slice()) {
            self.leave_others(kind, (slot, mask), arrangement, switch_at, code);
            switch.inputs(code).iter().for_each(|&input| buckets.put(input, at));
        }
        for (place, which) in buckets.filled() {
            let decided = arrangement.case(place).and_then(|case| case.decided);
            let reads = self.alphas[kind as usize].inputs[place as usize].reads;
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
        let alpha = &mut self.alphas[kind as usize];
        let mut left = std::mem::take(&mut self.scratch.left);
        left.extend(alpha.memberships(slot).filter(|&(place, _)| {
            let other = |case: Case| case.switch == switch && case.code != code;
            mask.intersects(alpha.inputs[place as usize].reads)
                && arrangement.case(place).is_some_and(other)
        }));
        for (place, entry) in left.drain(..) {
            let input = alpha.inputs[place as usize];
            alpha.part(self.scope, slot, place);
            let net = &mut self.rules[input.net as usize].net;
            let is_deaf = net.is_deaf(input.level);
            let (right, delta) = net.right_mut(input.level);
            leave(self.scope, right, delta, is_deaf, entry);
            if !is_deaf {
                net.wake(input.level);
                self.scratch.dirty.insert(input.net as usize);
            }
        }
        self.scratch.left = left;
    }

    /// Sorts updated facts out for an input of which it reads something, and asks about those that it may
    /// take or lose; says whether there are any facts.
    fn ask(
        &mut self,
        kind: u32,
        place: u32,
        updated: impl Iterator<Item = (u32, FieldMask)>,
        decided: Option<usize>,
    ) -> bool {
        let alpha = &self.alphas[kind as usize];
        let input = alpha.inputs[place as usize];
        let (slots, settled) = (&mut self.scratch.slots, &mut self.scratch.settled);
        slots.clear();
        settled.clear();
        for (slot, mask) in updated {
            // What no condition on the fact alone reads leaves it where it is.
            let is_windowed = input.slides || input.elapses;
            let is_settled = !mask.intersects(input.tests) && !is_windowed;
            if is_settled { settled.push(slot) } else { slots.push(slot) }
        }
        if !slots.is_empty() {
            let (source, answers) = ([self.store.source(kind)], &mut self.buffers.answers);
            alpha.plans[place as usize].alpha(decided, &Rows::new(&source, slots), answers);
        }
        !slots.is_empty() || !settled.is_empty()
    }

    /// Asks an input again about updated facts of which it reads something; if it is one, its entries are
    /// known.
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
        let moment = self.moment();
        let alpha = &mut self.alphas[kind as usize];
        let input = alpha.inputs[place as usize];
        let (slots, settled) = (&self.scratch.slots, &self.scratch.settled);
        let entries = &self.scratch.entries;
        let answers = &mut self.buffers.answers;
        let entry_of = |alpha: &Alpha, slot: u32| {
            if is_one {
                Some(entries[place as usize]).filter(|&entry| entry != NONE)
            } else {
                alpha.entry(slot, place)
            }
        };
        let net = &mut self.rules[input.net as usize].net;
        let is_deaf = net.is_deaf(input.level);
        let (right, delta) = net.right_mut(input.level);
        if !is_deaf {
            delta.updated.extend(settled.iter().filter_map(|&slot| entry_of(alpha, slot)));
        }
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns: self.store.kind(kind), alpha, place, slots };
            recent.sift(self.scope, moment, &facts, &mut answers.passed);
        }
        for (&slot, &passed) in slots.iter().zip(&answers.passed) {
            if let Some(sliding) = &mut right.sliding {
                let handle = self.store.kind(kind).handle(slot);
                if passed {
                    if sliding.pass(self.scope, handle, slot) {
                        sliding.updated.push((handle, slot));
                    }
                    continue;
                }
                sliding.fail(self.scope, handle);
            }
            match (entry_of(alpha, slot), passed) {
                (Some(entry), true) if !is_deaf => delta.updated.push(entry),
                (Some(entry), false) => {
                    alpha.part(self.scope, slot, place);
                    leave(self.scope, right, delta, is_deaf, entry);
                }
                (None, true) => {
                    let entry = right.admit(self.scope, slot);
                    alpha.join(self.scope, slot, place, entry);
                    if !is_deaf {
                        delta.inserted.push(entry);
                    }
                }
                (Some(_), true) | (None, false) => {}
            }
        }
        if let Some(recent) = &mut right.recent {
            let facts = Facts { columns: self.store.kind(kind), alpha, place, slots };
            recent.admit(self.scope, &facts, &answers.passed);
        }
        if !delta.is_empty() {
            net.wake(input.level);
            self.scratch.dirty.insert(input.net as usize);
        }
    }

    /// Slides the windows over facts of a kind, and tells the memories behind them what that did.
    pub(super) fn slide(&mut self, kind: u32) {
        let alpha = &mut self.alphas[kind as usize];
        if !alpha.slides {
            return;
        }
        for place in 0..alpha.input_count() {
            let input = alpha.inputs[place as usize];
            if !input.slides {
                continue;
            }
            let rule = input.net as usize;
            let is_deaf = self.rules[rule].net.is_deaf(input.level);
            let (right, delta) = self.rules[rule].net.right_mut(input.level);
            let mut sliding = right.sliding.take().expect("its input slides");
            sliding.slide(self.scope);
            for &(handle, slot) in &sliding.moved {
                let entry = alpha.entry(slot, place).filter(|_| !sliding.holds(handle));
                if let Some(entry) = entry {
                    alpha.part(self.scope, slot, place);
                    leave(self.scope, right, delta, is_deaf, entry);
                }
            }
            // Those that this round slides in are new, not updated.
            let updated = sliding.updated.drain(..);
            let updated = updated.filter_map(|(_, slot)| alpha.entry(slot, place));
            delta.updated.extend(updated.filter(|_| !is_deaf));
            for (handle, slot) in std::mem::take(&mut sliding.moved) {
                if sliding.holds(handle) && alpha.entry(slot, place).is_none() {
                    let entry = right.admit(self.scope, slot);
                    alpha.join(self.scope, slot, place, entry);
                    if !is_deaf {
                        delta.inserted.push(entry);
                    }
                }
            }
            right.sliding = Some(sliding);
            if !delta.is_empty() {
                self.rules[rule].net.wake(input.level);
                self.scratch.dirty.insert(rule);
            }
        }
    }
}

/// A fact leaves a memory: its network is told, unless nothing that happens there concerns it.
pub(super) fn leave(
    scope: Scope,
    right: &mut RightMemory,
    delta: &mut RightDelta,
    is_deaf: bool,
    entry: u32,
) {
    if is_deaf {
        right.dismiss(scope, entry);
    } else {
        delta.deleted.push(entry);
    }
}
