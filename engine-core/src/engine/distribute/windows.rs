//! Windows on the alpha side: facts slide into them and out of them, or leave them with time.

use super::{DistributeScratch, Distribution, leave};
use crate::fact::FieldMask;
use crate::network::alpha::Alpha;

impl Distribution<'_> {
    /// Slides the windows over facts of a kind, and tells those who listen what that did.
    pub(in crate::engine) fn slide(&mut self, kind: u32) {
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
    pub(in crate::engine) fn leave_windows(
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
