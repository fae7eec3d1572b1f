//! What a group node reads of the levels before it.

use std::any::Any;

use crate::network::net::{Level, resolve, tokens_of};
use crate::network::plan::Sources;
use crate::network::tokens::Tokens;
use crate::store::Store;

/// The levels that a group node reads: its members and its outer tuples.
pub(crate) struct Inputs<'a> {
    pub(crate) members: &'a Tokens,
    pub(crate) outer: &'a Tokens,
    /// Gives the outer token of a member.
    pub(crate) outer_of: &'a dyn Fn(u32) -> u32,
    /// Sources of the members' positions.
    pub(crate) member_sources: &'a [&'a dyn Any],
}

/// Gives what a group node of so many elements behind an outer level reads.
#[inline]
pub(super) fn with_inputs<R>(
    (elements, outer): (usize, Option<usize>),
    store: &Store,
    (root, before): (&Tokens, &[Level]),
    work: impl FnOnce(&Inputs<'_>) -> R,
) -> R {
    let last = before.len() - 1;
    let outer_of = |member: u32| {
        let climb = |token: u32, level: usize| before[last - level].tokens.parent(token);
        (0..elements).fold(member, climb)
    };
    let mut member_sources = Sources::new();
    for source in &before[last].own {
        member_sources.push(resolve(store, before, *source));
    }
    work(&Inputs {
        members: &before[last].tokens,
        outer: tokens_of(root, before, outer),
        outer_of: &outer_of,
        member_sources: member_sources.as_slice(),
    })
}
