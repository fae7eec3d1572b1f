//! Live queries (S100): what each flush changed in the rows of a query, for those who asked.
//!
//! Subscriptions and what they have not read yet are not state: they are neither journaled nor in the
//! digest, and a fork has none. They are undone with the flushes that fed them.

use std::any::Any;

use steadfast_wm::Member;

use super::Engine;
use crate::ir::Query;
use crate::network::Flush;
use crate::then::Row;
use crate::trail::{Scope, Trailed};

/// Tells the rows of a query apart for as long as they are there: the branch that matched and the members.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RowId {
    /// The members of the match.
    pub members: Vec<Member>,
    /// The branch of the query; 0 for one without.
    pub branch: u16,
}

/// What one flush changed in the rows of a query, each list in the order of members.
///
/// A row that came and went within the flush is in none of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowChanges<T> {
    /// Rows that are there now.
    pub added: Vec<(RowId, T)>,
    /// Rows that were there and of which something changed that the query reads.
    pub updated: Vec<(RowId, T)>,
    /// Rows that are there no more.
    pub removed: Vec<RowId>,
}

type Output = fn(&Row<'_>) -> Box<dyn Any + Send>;

/// One row that changed.
struct Changed {
    scope: Scope,
    /// The flush, by its number among those that changed something here.
    flush: u64,
    id: RowId,
    /// Its output; none of a row that is gone.
    row: Option<Box<dyn Any + Send>>,
    added: bool,
}

struct Subscription {
    number: u64,
    /// The query's networks: one for each branch.
    nets: std::ops::Range<usize>,
    output: Output,
    unread: Vec<Changed>,
}

/// All subscriptions of an engine.
#[derive(Default)]
pub(crate) struct Live {
    subscriptions: Vec<Subscription>,
    next: u64,
    flush: u64,
}

impl Trailed for Live {
    fn undo(&mut self, scope: Scope) {
        for subscription in &mut self.subscriptions {
            subscription.unread.retain(|changed| changed.scope < scope);
        }
    }
    fn forget(&mut self) {
        let unread = self.subscriptions.iter_mut().flat_map(|it| &mut it.unread);
        unread.for_each(|changed| changed.scope = Scope::NONE);
    }
    /// What nobody has read is not kept for the sake of undoing.
    fn trail_bytes(&self) -> usize {
        0
    }
}

impl Live {
    fn wants(&self, net: usize) -> bool {
        self.subscriptions.iter().any(|it| it.nets.contains(&net))
    }

    /// Whether somebody wants to know what flushes change.
    #[inline]
    pub(super) fn is_followed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// A flush is over.
    #[inline]
    pub(super) fn end_flush(&mut self) {
        self.flush += 1;
    }

    /// Networks have other numbers from now on; those of queries stay.
    pub(super) fn nets_moved(&mut self, moved: impl Fn(usize) -> usize) {
        for it in &mut self.subscriptions {
            let start = moved(it.nets.start);
            it.nets = start..start + it.nets.len();
        }
    }
}

impl Engine {
    /// Notes from now on what each flush changes in the rows of a query; gives the subscription's number.
    /// `None` if the ruleset does not have the query.
    pub fn subscribe<Q: Query>(&mut self) -> Option<u64>
    where
        Q::Output: Send + 'static,
    {
        let path = Q::definition().path;
        let first = self.infos.iter().position(|info| info.is_query && info.path == path)?;
        let number = self.live.next;
        self.live.next += 1;
        let nets = self.branches_of(first);
        let output: Output = |row| Box::new(Q::output(row));
        self.live.subscriptions.push(Subscription { number, nets, output, unread: Vec::new() });
        Some(number)
    }

    /// Ends a subscription; says whether there was one.
    pub fn unsubscribe(&mut self, number: u64) -> bool {
        let before = self.live.subscriptions.len();
        self.live.subscriptions.retain(|it| it.number != number);
        self.live.subscriptions.len() < before
    }

    /// What flushes changed since this was last asked, one entry for each that did; nothing for a
    /// subscription of another query, or none.
    pub fn take_changes<Q: Query>(&mut self, number: u64) -> Vec<RowChanges<Q::Output>>
    where
        Q::Output: Send + 'static,
    {
        let found = self.live.subscriptions.iter_mut().find(|it| it.number == number);
        let mut unread = found.map(|it| std::mem::take(&mut it.unread)).unwrap_or_default();
        let mut changes: Vec<RowChanges<Q::Output>> = Vec::new();
        for of_flush in unread.chunk_by_mut(|a, b| a.flush == b.flush) {
            let mut change =
                RowChanges { added: Vec::new(), updated: Vec::new(), removed: Vec::new() };
            for Changed { id, row, added, .. } in of_flush {
                let id = id.clone();
                match row.take().map(Box::<dyn Any + Send>::downcast::<Q::Output>) {
                    Some(Ok(row)) if *added => change.added.push((id, *row)),
                    Some(Ok(row)) => change.updated.push((id, *row)),
                    Some(Err(_)) => {}
                    None => change.removed.push(id),
                }
            }
            changes.push(change);
        }
        for of_flush in &mut changes {
            of_flush.added.sort_by(|a, b| a.0.cmp(&b.0));
            of_flush.updated.sort_by(|a, b| a.0.cmp(&b.0));
            of_flush.removed.sort();
        }
        changes
    }

    /// Notes what the flush that ends changed in a query, if somebody subscribed to it.
    pub(super) fn note_live(&mut self, at: usize) {
        if !self.live.wants(at) {
            return;
        }
        let mut touched = self.scratch.touched_of(at).to_vec();
        touched.sort_unstable();
        touched.dedup();
        let at_end = (self.scope, self.moment());
        let flush = self.scratch.flush(at_end, &self.store, self.ops.as_slice(), 0);
        let flush = Flush { cascaded: true, ..flush };
        let mut changed: Vec<(u32, Option<bool>)> = Vec::new();
        for token in touched {
            let net = &mut self.rules[at].net;
            if !net.terminal().is_live(token) {
                continue;
            }
            let added = net.terminal().is_new(token) && !self.scratch.is_heir(at, token);
            if added || net.touch(&flush, &self.alphas, &mut self.buffers, token).rearm.is_some() {
                changed.push((token, Some(added)));
            }
        }
        changed.extend(self.scratch.gone_of(at).map(|token| (token, None)));
        let branch = self.infos[at].branch;
        for subscription in 0..self.live.subscriptions.len() {
            let Subscription { nets, output, .. } = &self.live.subscriptions[subscription];
            if !nets.contains(&at) {
                continue;
            }
            // The output is the user's and may panic: until it has come everything stays where it is.
            let told = changed.iter().map(|&(token, added)| Changed {
                scope: self.scope,
                flush: self.live.flush,
                id: RowId { members: self.members(at, token), branch },
                row: added.map(|_| self.with_row(at, token, *output)),
                added: added == Some(true),
            });
            let told: Vec<Changed> = told.collect();
            self.live.subscriptions[subscription].unread.extend(told);
        }
    }
}
