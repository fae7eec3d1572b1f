//! Networks of one pattern in which every fact that passes the pattern's own conditions is a match.
//!
//! A change of one fact then concerns one token, and nothing has to be collected before it is known what
//! became of it.

use crate::network::net::{Level, Net, Node};
use crate::trail::Scope;

impl Net {
    /// Whether facts are matches as they are: one pattern, and nothing to compare it to.
    pub(crate) fn is_straight(&self) -> bool {
        let [level] = &*self.levels else { return false };
        match &level.node {
            Node::Join(join) => join.takes_all() && join.plan.window.is_none(),
            Node::Block(_) | Node::Group(_) | Node::Subnet(_) => false,
        }
    }

    /// What this round's only change did to a straight net's memory: the entry that came, stays or goes.
    pub(crate) fn take_straight(&mut self) -> Option<Straight> {
        let delta = &mut self.levels[0].delta;
        let moves = [
            delta.inserted.pop().map(Straight::Came),
            delta.updated.pop().map(Straight::Stays),
            delta.deleted.pop().map(Straight::Goes),
        ];
        debug_assert!(delta.is_empty(), "one fact is one entry");
        self.waiting.take();
        moves.into_iter().flatten().next()
    }

    /// Puts a change back, to be taken through the net as others are.
    pub(crate) fn put_back(&mut self, change: Straight) {
        let delta = &mut self.levels[0].delta;
        match change {
            Straight::Came(entry) => delta.inserted.push(entry),
            Straight::Stays(entry) => delta.updated.push(entry),
            Straight::Goes(entry) => delta.deleted.push(entry),
        }
        self.wake(0);
    }

    /// The token of an entry of a straight net.
    pub(crate) fn straight_token(&self, entry: u32) -> u32 {
        let Node::Join(join) = &self.levels[0].node else { unreachable!("it is a join") };
        *join.right.heads.get(entry)
    }

    /// Adds the token of an entry.
    pub(crate) fn straight_enter(&mut self, scope: Scope, entry: u32) -> u32 {
        let Level { node, tokens, given, .. } = &mut self.levels[0];
        let Node::Join(join) = node else { unreachable!("it is a join") };
        let unit = join.unit().expect("the unit tuple comes before all facts");
        *given += 1;
        let token = tokens.add_settled(scope, unit, entry, join.right.slot(entry));
        join.right.heads.set(scope, entry, token);
        token
    }

    /// Takes an entry out, with its token, which must be forgotten by then.
    pub(crate) fn straight_leave(&mut self, scope: Scope, entry: u32, token: u32) {
        let Level { node, tokens, .. } = &mut self.levels[0];
        let Node::Join(join) = node else { unreachable!("it is a join") };
        tokens.kill_settled(scope, token);
        join.right.dismiss(scope, entry);
    }
}

/// What a change of one fact did to the memory of a straight net.
#[derive(Clone, Copy)]
pub(crate) enum Straight {
    Came(u32),
    Stays(u32),
    Goes(u32),
}
