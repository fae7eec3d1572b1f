//! Networks find the right memories that they share with others.

use std::sync::Arc;

use super::Engine;
use crate::network::alpha::Listener;
use crate::network::net::Level;
use crate::network::{Flush, Net, Node};
use crate::store::{KindSet, Ops};

impl Engine {
    /// Finds or makes the right memories of a network that is about to be added.
    pub(super) fn listen(&mut self, net: &mut Net) {
        let place = u32::try_from(self.rules.len()).expect("fewer than 2³² rules");
        for (level, Level { node, .. }) in (0..).zip(&mut net.levels) {
            let blocks = matches!(node, Node::Block(_));
            let Some(plan) = node.plan().map(Arc::clone) else { continue };
            let listener = Listener { net: place, level, reads: plan.concerns, blocks };
            let memory = self.alphas[plan.kind as usize].listen(&plan, listener);
            node.listen_to(memory);
            if blocks {
                // Where a fact was when the flush began is known from the index alone.
                self.index(plan.kind, memory);
            }
        }
    }

    /// Makes sure that the facts of a memory are in its index.
    fn index(&mut self, kind: u32, place: u32) {
        let moment = self.moment();
        let flush = Flush {
            scope: self.scope,
            moment,
            store: &self.store,
            ops: Ops::new(&[], KindSet::default(), false),
            round_start: 0,
            cascaded: false,
        };
        let memory = &mut self.alphas[kind as usize].memories[place as usize];
        if !memory.right.is_indexed() {
            memory.index_all(&flush, &mut self.buffers);
        }
    }
}
