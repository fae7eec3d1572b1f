//! The match network: which tuples of facts match which rules, kept up to date set by set.
//!
//! One [`Net`](net::Net) per rule: a chain of levels, each a join, a `not`/`exists`, the end of a
//! `not`/`exists` over several patterns or a group, from the root's unit tuple to the terminal's
//! complete matches; a [`gate`] is joined last. [`alpha`] says which facts are in which right memories. A flush takes its changes through the nets in rounds: the staged operations
//! first, then the deletions of each cascade of truth maintenance.

pub(crate) mod alpha;
mod bare;
mod block;
mod children;
mod compile;
mod context;
pub(crate) mod descent;
mod gate;
mod grounds;
mod group;
mod horizon;
mod index;
mod inputs;
mod join;
mod left;
mod levels;
mod members;
mod memberships;
pub(crate) mod net;
mod order;
mod ordered;
mod plan;
mod recent;
pub(crate) mod right;
mod single;
mod sliding;
pub(crate) mod straight;
mod subnet;
pub(crate) mod switch;
mod tell;
mod tokens;
mod trigger;
mod turns;
mod undecided;
mod windows;

pub(crate) use compile::compile;
pub(crate) use context::Buffers;
pub(crate) use grounds::{Gathered, Grounds, Survey};
pub(crate) use group::regroup::FactChanges;
pub(crate) use horizon::{Horizon, Unbounded};
pub(crate) use memberships::Memberships;
pub(crate) use net::{Flush, Net, Node};
pub(crate) use plan::Source;
pub(crate) use recent::Facts;
pub(crate) use undecided::Undecided;
