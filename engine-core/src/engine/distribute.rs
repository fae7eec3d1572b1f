//! The alpha side of a flush: which facts enter, change in and leave which right memories.

use super::Engine;
use crate::chains::NONE;
use crate::fact::FieldMask;
use crate::network::Facts;
use crate::rows::Rows;
use crate::trail::clear;

impl Engine {
    /// Takes the net changes through the alpha side into the right memories' deltas.
    pub(super) fn distribute(&mut self) {
        for kind in 0..u32::try_from(self.store.kinds.len()).expect("few types") {
            if self.scratch.deltas[kind as usize].is_empty() {
                continue;
            }
            let delta = std::mem::take(&mut self.scratch.deltas[kind as usize]);
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
            let mut delta = delta;
            clear(&mut delta.inserted);
            clear(&mut delta.updated);
            clear(&mut delta.deleted);
            self.scratch.deltas[kind as usize] = delta;
        }
    }

    fn distribute_deleted(&mut self, kind: u32, slots: &[u32]) {
        if self.alphas[kind as usize].elapses {
            self.leave_recent(kind, slots);
        }
        let alpha = &mut self.alphas[kind as usize];
        for &slot in slots {
            for (input, entry) in alpha.memberships(slot) {
                let input = alpha.inputs[input as usize];
                let rule = input.net as usize;
                let net = &mut self.rules[rule].net;
                if net.is_deaf(input.level) {
                    net.right_mut(input.level).0.dismiss(self.scope, entry);
                } else {
                    net.right_mut(input.level).2.deleted.push(entry);
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
        let moment = self.moment();
        let alpha = &mut self.alphas[kind as usize];
        for place in 0..alpha.input_count() {
            let input = alpha.inputs[place as usize];
            let rule = input.net as usize;
            if rule < first {
                continue;
            }
            let is_deaf = self.rules[rule].net.is_deaf(input.level);
            let (right, plan, delta) = self.rules[rule].net.right_mut(input.level);
            let answers = &mut self.buffers.answers;
            plan.alpha(&Rows::new(&[self.store.source(kind)], slots), answers);
            if let Some(sliding) = &mut right.sliding {
                let passed = slots.iter().zip(&answers.passed).filter(|(_, passed)| **passed);
                for (&slot, _) in passed {
                    sliding.pass(self.scope, self.store.kind(kind).handle(slot), slot);
                }
                continue;
            }
            if let Some(recent) = &mut right.recent {
                let facts = Facts { columns: self.store.kind(kind), alpha, place, slots };
                recent.sift(self.scope, moment, &facts, &mut answers.passed);
            }
            let count = answers.passed.iter().filter(|passed| **passed).count();
            right.reserve(count);
            delta.inserted.reserve(if is_deaf { 0 } else { count });
            let passed = slots.iter().zip(&answers.passed).filter(|(_, passed)| **passed);
            for (&slot, _) in passed {
                let entry = right.admit(self.scope, slot);
                alpha.join(self.scope, slot, place, entry);
                if !is_deaf {
                    delta.inserted.push(entry);
                }
            }
            if !delta.is_empty() {
                self.scratch.dirty.insert(rule);
            }
            if let Some(recent) = &mut right.recent {
                let facts = Facts { columns: self.store.kind(kind), alpha, place, slots };
                recent.admit(self.scope, &facts, &answers.passed);
            }
        }
    }

    fn distribute_updated(&mut self, kind: u32, updated: &[(u32, FieldMask)]) {
        let moment = self.moment();
        let alpha = &mut self.alphas[kind as usize];
        // Of one fact all entries are looked up at once: in a large ruleset it is in many memories.
        let entries = &mut self.scratch.entries;
        let is_one = updated.len() == 1;
        if is_one {
            alpha.entries(updated[0].0, entries);
        }
        for place in 0..alpha.input_count() {
            let input = alpha.inputs[place as usize];
            let slots = &mut self.scratch.slots;
            slots.clear();
            let read = updated.iter().filter(|(_, mask)| mask.intersects(input.reads));
            slots.extend(read.map(|(slot, _)| *slot));
            if slots.is_empty() {
                continue;
            }
            let rule = input.net as usize;
            let is_deaf = self.rules[rule].net.is_deaf(input.level);
            let (right, plan, delta) = self.rules[rule].net.right_mut(input.level);
            let answers = &mut self.buffers.answers;
            plan.alpha(&Rows::new(&[self.store.source(kind)], slots), answers);
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
                let entry = if is_one {
                    Some(entries[place as usize]).filter(|&entry| entry != NONE)
                } else {
                    alpha.entry(slot, place)
                };
                match (entry, passed) {
                    (Some(entry), true) if !is_deaf => delta.updated.push(entry),
                    (Some(entry), false) => {
                        alpha.part(self.scope, slot, place);
                        if is_deaf {
                            right.dismiss(self.scope, entry);
                        } else {
                            delta.deleted.push(entry);
                        }
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
                self.scratch.dirty.insert(rule);
            }
        }
    }

    /// Slides the windows over facts of a kind, and tells the memories behind them what that did.
    fn slide(&mut self, kind: u32) {
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
            let (right, _, delta) = self.rules[rule].net.right_mut(input.level);
            let mut sliding = right.sliding.take().expect("its input slides");
            sliding.slide(self.scope);
            for &(handle, slot) in &sliding.moved {
                let entry = alpha.entry(slot, place).filter(|_| !sliding.holds(handle));
                if let Some(entry) = entry {
                    alpha.part(self.scope, slot, place);
                    if is_deaf {
                        right.dismiss(self.scope, entry);
                    } else {
                        delta.deleted.push(entry);
                    }
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
                self.scratch.dirty.insert(rule);
            }
        }
    }
}
