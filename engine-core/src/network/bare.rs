//! Bare networks: one pattern, and every fact that passes its own conditions is a match.
//!
//! A change of one fact then concerns one token, and nothing has to be collected before it is known what
//! became of it.

use crate::chains::NONE;
use crate::network::net::{Level, Net, Node};
use crate::trail::Scope;

impl Net {
    /// Whether facts are matches as they are: one pattern, and nothing to compare it to.
    pub(crate) fn is_bare(&self) -> bool {
        let [level] = &*self.levels else { return false };
        match &level.node {
            Node::Join(join) => join.takes_all() && join.plan.window.is_none(),
            Node::Block(_) | Node::Group(_) | Node::Subnet(_) | Node::Gate(_) => false,
        }
    }

    /// The token of an entry of a bare net.
    pub(crate) fn bare_token(&self, entry: u32) -> u32 {
        let Node::Join(join) = &self.levels[0].node else { unreachable!("it is a join") };
        *join.heads.get(entry)
    }

    /// Adds the token of a new entry.
    pub(crate) fn bare_enter(&mut self, scope: Scope, entry: u32, slot: u32) -> u32 {
        let Level { node, tokens, given, .. } = &mut self.levels[0];
        let Node::Join(join) = node else { unreachable!("it is a join") };
        let unit = join.unit().expect("the unit tuple comes before all facts");
        *given += 1;
        let token = tokens.add_alone(scope, unit, entry, slot);
        join.heads.set(scope, entry, token);
        token
    }

    /// Takes the token of an entry that leaves out, which must be forgotten by then.
    pub(crate) fn bare_leave(&mut self, scope: Scope, entry: u32, token: u32) {
        let Level { node, tokens, .. } = &mut self.levels[0];
        let Node::Join(join) = node else { unreachable!("it is a join") };
        tokens.kill_settled(scope, token);
        join.heads.set(scope, entry, NONE);
    }
}
