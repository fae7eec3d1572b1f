//! Networks find the right memories that they share with others.

use std::sync::Arc;

use super::Engine;
use crate::network::alpha::Listener;
use crate::network::net::Level;
use crate::network::right::Known;
use crate::network::{Flush, Net, Node};
use crate::store::{KindSet, Ops, Store};
use crate::trail::Scope;

impl Engine {
    /// Finds or makes the right memories of a network that is about to be added.
    pub(super) fn listen(&mut self, net: &mut Net) {
        let place = u32::try_from(self.rules.len()).expect("fewer than 2³² rules");
        for (level, Level { node, .. }) in (0..).zip(&mut net.levels) {
            let blocks = matches!(node, Node::Block(_));
            let gated = net.is_gated && matches!(node, Node::Join(_));
            let Some(plan) = node.plan().map(Arc::clone) else { continue };
            let gated = gated && plan.window.is_none();
            let reads = plan.concerns;
            let (straight, descends) = (false, false);
            let listener = Listener { net: place, level, reads, blocks, straight, descends };
            let memory = self.alphas[plan.kind as usize].listen(&plan, listener, gated);
            node.listen_to(memory);
            if !gated {
                self.wake(plan.kind, memory);
            }
            if blocks {
                // Where a fact was when the flush began is known from the index alone.
                self.index(plan.kind, memory);
            }
        }
    }

    /// Makes sure that the facts come to a memory, or are in it if they were to be by now.
    fn wake(&mut self, kind: u32, place: u32) {
        let memory = &mut self.alphas[kind as usize].memories[place as usize];
        if !memory.is_asleep() {
            return;
        }
        // Nets that are there but not planted are about to be, and facts are about to come to what they have alone.
        let is_planted =
            |net: u32| self.rules.get(net as usize).is_some_and(|rule| *rule.planted.get());
        if memory.listeners.iter().any(|listener| is_planted(listener.net)) {
            let flush = flush(self.scope, self.moment(), &self.store);
            self.alphas[kind as usize].wake(place, &flush, &mut self.buffers);
        } else {
            memory.rouse(self.scope);
        }
    }

    /// Makes sure that the facts of a memory are in its index.
    fn index(&mut self, kind: u32, place: u32) {
        let flush = flush(self.scope, self.moment(), &self.store);
        let memory = &mut self.alphas[kind as usize].memories[place as usize];
        memory.learn(&flush, Known::Places, &mut self.buffers);
    }
}

/// A flush in which nothing happened.
fn flush(scope: Scope, moment: i64, store: &Store) -> Flush<'_> {
    let ops = Ops::new(&[], KindSet::default(), false);
    Flush { scope, moment, store, ops, round_start: 0, cascaded: false }
}
