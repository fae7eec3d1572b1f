//! By what a match is told apart from others of its rule: its members.

use steadfast_wm::{FactHandle, Member};

use crate::network::net::{Level, Net, Node};
use crate::network::plan::Source;
use crate::store::Store;

impl Net {
    /// The members of a complete match, live or dying in this flush.
    pub(crate) fn members(&self, store: &Store, token: u32) -> Vec<Member> {
        members(store, &self.levels, self.positions(), self.terminal().row(token))
    }

    /// The same, in the place of those of another match.
    #[inline]
    pub(crate) fn members_into(&self, store: &Store, token: u32, members: &mut Vec<Member>) {
        let row = self.terminal().row(token).iter().zip(self.positions());
        if row.len() != members.len() {
            // Mostly it is the rule that has fired before.
            members.resize(row.len(), Member::Fact(FactHandle::new(0)));
        }
        for (member, (&slot, &source)) in members.iter_mut().zip(row) {
            match (source, &mut *member) {
                (Source::Facts(kind), Member::Fact(handle)) => {
                    *handle = store.kind(kind).handle(slot);
                }
                _ => *member = self::member(store, &self.levels, source, slot),
            }
        }
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
    let members = row.iter().zip(sources);
    members.map(|(&slot, &source)| member(store, levels, source, slot)).collect()
}

/// What stands in one place of a row.
fn member(store: &Store, levels: &[Level], source: Source, slot: u32) -> Member {
    match source {
        Source::Facts(kind) => Member::Fact(store.kind(kind).handle(slot)),
        Source::Groups(level) => Member::Key(group_key(levels, level, slot).into()),
    }
}
