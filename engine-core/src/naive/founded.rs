//! Which derived facts stand on stated ones in the end, by asking again until nothing changes.

use std::collections::BTreeSet;

use steadfast_wm::{FactHandle, Member};

use super::matching::{self, Found, Matched, width};
use super::{Id, Naive};
use crate::ir::Part;

/// Asks whether matches of one rule stand on founded facts.
struct Asking<'a> {
    naive: &'a Naive,
    found: &'a Found,
    founded: &'a BTreeSet<FactHandle>,
    rule: usize,
}

impl Naive {
    /// Deletes what has no foundation; gives the matches that supported it.
    pub(super) fn drop_unfounded(&mut self, found: &Found) -> BTreeSet<Id> {
        let mut founded: BTreeSet<FactHandle> = self
            .facts()
            .into_iter()
            .filter(|(_, (.., stated))| *stated)
            .map(|(handle, _)| handle)
            .collect();
        loop {
            let stands = |(rule, members): &Id| {
                let asking = Asking { naive: self, found, founded: &founded, rule: *rule };
                let matched = &found.matches[&(*rule, members.clone())];
                asking.stands(&self.rules[*rule].parts, &[], 0, matched)
            };
            let next: Vec<FactHandle> = (self.supports.iter())
                .filter(|(handle, by)| !founded.contains(handle) && by.iter().any(stands))
                .map(|(handle, _)| *handle)
                .collect();
            if next.is_empty() {
                break;
            }
            founded.extend(next);
        }
        let mut falling: Vec<(usize, FactHandle)> = (self.supports.iter())
            .filter(|(handle, _)| !founded.contains(handle))
            .map(|(handle, by)| (by.iter().map(|id| id.0).min().unwrap(), *handle))
            .collect();
        falling.sort_unstable();
        let mut bereft = BTreeSet::new();
        for (_, handle) in falling {
            bereft.extend(self.supports[&handle].iter().cloned());
            self.delete(handle);
        }
        bereft
    }
}

impl Asking<'_> {
    /// Whether what `parts` add to a tuple behind `start` is founded.
    fn stands(&self, parts: &[Part], path: &[usize], start: usize, tuple: &Matched) -> bool {
        let mut at = start;
        parts.iter().enumerate().all(|(place, part)| {
            let before = Matched { row: tuple.row[..at].to_vec(), ..tuple.clone() };
            let members = &tuple.members[..at];
            let stands = match part {
                Part::Each(_) => {
                    let Member::Fact(handle) = &tuple.members[at] else { unreachable!() };
                    self.founded.contains(handle)
                }
                Part::Not(_) => true,
                Part::Exists(pattern) => {
                    let kind = self.naive.shapes[self.rule].of_pattern(pattern).0;
                    let now = (&self.naive.store, self.naive.now());
                    let stores = (now, now, &before.sources);
                    self.founded.iter().any(|&handle| {
                        matching::goes(pattern, kind, &before.row, handle, &stores).1
                    })
                }
                Part::Group(group) => {
                    let Member::Key(key) = &tuple.members[at] else { unreachable!() };
                    let path = [path, &[place]].concat();
                    let key = (self.rule, path, members.to_vec(), key.to_vec());
                    let all = |facts: &Vec<FactHandle>| {
                        facts.iter().all(|handle| self.founded.contains(handle))
                    };
                    !group.spec.create().keyed() || self.found.groups[&key].1.iter().any(all)
                }
                Part::Nested(nested) => {
                    let path = [path, &[place]].concat();
                    let key = (self.rule, path.clone(), members.to_vec());
                    let stands = |inner: &Matched| self.stands(&nested.parts, &path, at, inner);
                    !nested.exists || self.found.tuples[&key].values().any(stands)
                }
            };
            at += width(part);
            stands
        })
    }
}
