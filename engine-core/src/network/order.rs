//! The order of complete matches.

use std::cmp::Ordering;

use steadfast_wm::FactHandle;

use crate::network::members::group_key;
use crate::network::net::Net;
use crate::network::plan::Source;
use crate::store::Store;

impl Net {
    /// Sorts complete matches, given with their triggers, by trigger and then by members.
    pub(crate) fn sort_matches(&self, store: &Store, matches: &mut [(u64, u32)]) {
        /// So few are compared as they are.
        const FEW: usize = if cfg!(test) { 1 } else { 8 };
        let of_one_cause = || matches.iter().all(|&(seq, _)| seq == matches[0].0);
        if matches.len() <= FEW || !of_one_cause() {
            let by_members = |a: u32, b: u32| self.compare(store, a, b);
            matches.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| by_members(a.1, b.1)));
            return;
        }
        let mut keyed: Vec<(FactHandle, u32)> =
            matches.iter().map(|&(_, token)| (FactHandle::new(0), token)).collect();
        self.sort_by_members(store, &mut keyed, 0);
        matches.iter_mut().zip(keyed).for_each(|(to, (_, token))| to.1 = token);
    }

    /// Sorts complete matches that have the same members before a position. Matches of one cause often
    /// differ in few members: each is looked up once for each match, not once for each comparison.
    fn sort_by_members(&self, store: &Store, matches: &mut [(FactHandle, u32)], from: usize) {
        let tokens = self.terminal();
        let first = tokens.row(matches[0].1);
        let differs = |at: &usize| matches.iter().any(|&(_, it)| tokens.row(it)[*at] != first[*at]);
        let Some(at) = (from..first.len()).find(differs) else { return };
        let Source::Facts(kind) = self.positions()[at] else {
            matches.sort_unstable_by(|a, b| self.compare(store, a.1, b.1));
            return;
        };
        let kind = store.kind(kind);
        for (handle, token) in &mut *matches {
            *handle = kind.handle(tokens.row(*token)[at]);
        }
        matches.sort_unstable_by_key(|(handle, _)| *handle);
        for alike in matches.chunk_by_mut(|a, b| a.0 == b.0) {
            match alike {
                [_] => {}
                [a, b] => {
                    if self.compare(store, a.1, b.1).is_gt() {
                        std::mem::swap(a, b);
                    }
                }
                _ => self.sort_by_members(store, alike, at + 1),
            }
        }
    }

    /// Compares two complete matches by their members, without making a list of them.
    pub(crate) fn compare(&self, store: &Store, a: u32, b: u32) -> Ordering {
        let tokens = self.terminal();
        for (&source, (&a, &b)) in
            self.positions().iter().zip(tokens.row(a).iter().zip(tokens.row(b)))
        {
            let order = match source {
                _ if a == b => Ordering::Equal,
                Source::Facts(kind) => {
                    let kind = store.kind(kind);
                    kind.handle(a).cmp(&kind.handle(b))
                }
                Source::Groups(level) => {
                    group_key(&self.levels, level, a).cmp(&group_key(&self.levels, level, b))
                }
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}
