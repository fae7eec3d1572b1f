//! By what a match is told apart from others of its rule: its members.

use steadfast_wm::Member;

use crate::network::net::{Level, Net, Node};
use crate::network::plan::Source;
use crate::store::Store;

impl Net {
    /// The members of a complete match, live or dying in this flush.
    pub(crate) fn members(&self, store: &Store, token: u32) -> Vec<Member> {
        members(store, &self.levels, self.positions(), self.terminal().row(token))
    }

    /// The same, in this room.
    pub(crate) fn members_in(&self, store: &Store, token: u32, room: Vec<Member>) -> Vec<Member> {
        members_in(room, store, &self.levels, self.positions(), self.terminal().row(token))
    }
}

/// The bytes of the key of a group at a level.
pub(super) fn group_key(levels: &[Level], level: usize, slot: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Node::Group(group) = &levels[level].node {
        group.grouping.key_bytes(slot, &mut bytes);
    }
    bytes
}

/// The members that a row stands for.
pub(super) fn members(
    store: &Store,
    levels: &[Level],
    sources: &[Source],
    row: &[u32],
) -> Vec<Member> {
    members_in(Vec::new(), store, levels, sources, row)
}

fn members_in(
    mut room: Vec<Member>,
    store: &Store,
    levels: &[Level],
    sources: &[Source],
    row: &[u32],
) -> Vec<Member> {
    room.clear();
    room.extend(row.iter().zip(sources).map(|(&slot, &source)| match source {
        Source::Facts(kind) => Member::Fact(store.kind(kind).handle(slot)),
        Source::Groups(level) => Member::Key(group_key(levels, level, slot).into()),
    }));
    room
}
