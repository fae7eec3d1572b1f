//! What a level is told of the changes of its right memory.
//!
//! Only of those facts that have something to do with its left tokens, of many new ones of all: others would
//! change nothing. Left tokens that come or move in the same round look into the memory themselves.

use crate::network::block::Block;
use crate::network::gate::Gate;
use crate::network::join::Join;
use crate::network::net::{Level, Net, Node};
use crate::network::right::{RightDelta, RightMemory};

/// A level that listens to a memory.
enum Listening<'a> {
    Join(&'a Join),
    Block(&'a Block),
    Gate(&'a Gate),
}

impl Listening<'_> {
    /// Whether it matters what a fact that was there before does. What matches stand on, one of many that go
    /// with an `exists` may be, although no tuple hangs at it (S92).
    #[inline]
    fn minds(&self, entry: u32) -> bool {
        match self {
            Self::Join(join) => join.has_tokens(entry),
            Self::Block(block) => block.is_exists() || block.has_tokens(entry),
            Self::Gate(gate) => gate.has_tokens(entry),
        }
    }

    #[inline]
    fn expects(&self, codes: (u64, u64)) -> bool {
        match self {
            Self::Join(join) => join.expects(codes),
            Self::Block(block) => block.expects(codes),
            // It may be what opens it.
            Self::Gate(_) => true,
        }
    }

    #[inline]
    fn verifies(&self, right: &RightMemory) -> bool {
        match self {
            Self::Join(join) => join.verifies(right),
            Self::Block(block) => block.verifies(right),
            Self::Gate(_) => false,
        }
    }

    /// Whether no fact can matter, old or new.
    #[inline]
    fn is_deaf(&self) -> bool {
        match self {
            Self::Join(join) => join.is_deaf(),
            // Tuples that hang at a witness are not in its index; a gate has none.
            Self::Block(_) | Self::Gate(_) => false,
        }
    }
}

impl Net {
    fn listening(&mut self, level: u32) -> (Listening<'_>, &mut RightDelta) {
        let Level { node, delta, .. } = &mut self.levels[level as usize];
        let listening = match node {
            Node::Join(join) => Listening::Join(join),
            Node::Block(block) => Listening::Block(block),
            Node::Gate(gate) => Listening::Gate(gate),
            Node::Group(_) | Node::Subnet(_) => unreachable!("they have no right memory"),
        };
        (listening, delta)
    }

    /// Tells a level of facts that entered; says whether it has something to do.
    #[inline]
    pub(crate) fn tell_inserted(
        &mut self,
        level: u32,
        right: &RightMemory,
        entries: &[u32],
        few: bool,
    ) -> bool {
        let (listening, delta) = self.listening(level);
        if listening.is_deaf() {
            return false;
        }
        let before = delta.inserted.len();
        if few {
            let expects = |entry: &&u32| listening.expects(right.index.codes(**entry));
            delta.inserted.extend(entries.iter().filter(expects));
        } else {
            delta.inserted.extend_from_slice(entries);
        }
        let told = delta.inserted.len() > before;
        if told {
            self.wake(level);
        }
        told
    }

    /// Tells a level of a fact that stays: whether it has moved to another key.
    #[inline]
    pub(crate) fn tell_updated(
        &mut self,
        level: u32,
        right: &RightMemory,
        (entry, moved): (u32, bool),
    ) -> bool {
        let (listening, delta) = self.listening(level);
        let concerned = listening.minds(entry)
            || (moved || listening.verifies(right))
                && !listening.is_deaf()
                && listening.expects(right.index.codes(entry));
        if concerned {
            delta.updated.push((entry, moved));
            self.wake(level);
        }
        concerned
    }

    /// Tells a level of facts that stay, each with whether it has moved to another key; says whether it has
    /// something to do.
    pub(crate) fn tell_all_updated(
        &mut self,
        level: u32,
        right: &RightMemory,
        updated: impl Iterator<Item = (u32, bool)>,
    ) -> bool {
        let (listening, delta) = self.listening(level);
        let (verifies, is_deaf) = (listening.verifies(right), listening.is_deaf());
        let before = delta.updated.len();
        delta.updated.extend(updated.filter(|&(entry, moved)| {
            listening.minds(entry)
                || (moved || verifies) && !is_deaf && listening.expects(right.index.codes(entry))
        }));
        let concerned = delta.updated.len() > before;
        if concerned {
            self.wake(level);
        }
        concerned
    }

    /// Tells a level of a fact that left.
    #[inline]
    pub(crate) fn tell_deleted(&mut self, level: u32, entry: u32) -> bool {
        let (listening, delta) = self.listening(level);
        let concerned = listening.minds(entry);
        if concerned {
            delta.deleted.push(entry);
            self.wake(level);
        }
        concerned
    }

    /// Tells a level of facts that left; says whether it has something to do.
    pub(crate) fn tell_all_deleted(&mut self, level: u32, entries: &[u32]) -> bool {
        let (listening, delta) = self.listening(level);
        let before = delta.deleted.len();
        delta.deleted.extend(entries.iter().filter(|entry| listening.minds(**entry)));
        let concerned = delta.deleted.len() > before;
        if concerned {
            self.wake(level);
        }
        concerned
    }
}
