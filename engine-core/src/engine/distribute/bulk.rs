//! Many facts that are updated or deleted at once: each level is told of all of them in a memory.

use super::{Distribution, Hears};
use crate::fact::FieldMask;
use crate::network::Flush;
use crate::network::alpha::{Alpha, Memory};

impl Distribution<'_> {
    /// As [`deleted`](Self::deleted), of many facts.
    pub(super) fn many_deleted(&mut self, kind: u32, slots: &[u32]) {
        let Alpha { memories, memberships, .. } = &mut self.alphas[kind as usize];
        let mut entries = std::mem::take(&mut self.scratch.buckets);
        for &slot in slots {
            memberships.part_all(self.flush.scope, slot, |place, entry| entries.put(place, entry));
        }
        for (place, entries) in entries.filled() {
            leave_all(&self.flush, &mut memories[place as usize], entries, &mut self.hears);
            self.busy.insert(kind, place);
        }
        entries.clear();
        self.scratch.buckets = entries;
    }
}

impl Hears<'_> {
    /// Tells of facts that stay, given with the fields that changed, and whether each has moved to another key.
    pub(super) fn of_all_updated(
        &mut self,
        memory: &Memory,
        updated: &[(u32, FieldMask)],
        moved: &[bool],
    ) {
        debug_assert!(self.steps.is_none(), "steps are of one operation");
        for listener in &memory.listeners {
            let net = &mut self.rules[listener.net as usize].net;
            let read =
                updated.iter().zip(moved).filter(|((_, mask), _)| mask.intersects(listener.reads));
            let read = read.map(|(&(entry, _), &moved)| (entry, moved));
            if net.tell_all_updated(listener.level, &memory.right, read) {
                self.dirty.insert(listener.net as usize);
            }
        }
    }

    fn of_all_deleted(&mut self, memory: &Memory, entries: &[u32]) {
        debug_assert!(self.steps.is_none(), "steps are of one operation");
        for listener in &memory.listeners {
            let net = &mut self.rules[listener.net as usize].net;
            if net.tell_all_deleted(listener.level, entries) {
                self.dirty.insert(listener.net as usize);
            }
        }
    }
}

/// Facts leave a memory.
fn leave_all(flush: &Flush<'_>, memory: &mut Memory, entries: &[u32], hears: &mut Hears<'_>) {
    if let Some(recent) = &mut memory.right.recent {
        entries.iter().for_each(|&entry| recent.leave(flush.scope, entry));
    }
    if memory.blocks {
        memory.right.reserve_turns(entries.len());
        for &entry in entries {
            memory.right.turn(flush, &memory.plan, entry, true);
        }
    }
    memory.right.leave_all(flush.scope, entries);
    hears.of_all_deleted(memory, entries);
}
