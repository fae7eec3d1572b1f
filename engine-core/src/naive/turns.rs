//! Triggers, as they are worded: what touched a match between the start and the end of a flush.

use steadfast_wm::{FactHandle, Member};

use super::matching::{Found, Matched, goes, width};
use super::{Naive, Op};
use crate::fact::FieldMask;
use crate::ir::{Nested, Part, Pattern};
use crate::store::Change;

/// How a match was touched.
#[derive(Clone, Copy, Default)]
pub(super) struct Turn {
    /// By something that re-arms it.
    pub(super) rearm: Option<u64>,
    /// By anything.
    pub(super) any: Option<u64>,
}

/// The start and the end of a flush, for one rule.
pub(super) struct Turns<'a> {
    pub(super) naive: &'a Naive,
    pub(super) found: &'a Found,
    pub(super) rule: usize,
}

impl Turns<'_> {
    pub(super) fn of_match(&self, matched: &Matched) -> Turn {
        self.came(&self.naive.rules[self.rule].parts, &[], 0, matched)
    }

    /// Highest operation of this flush on a fact that concerns these fields.
    fn touched(&self, handle: FactHandle, reads: FieldMask) -> Option<u64> {
        let concerns = |op: &&Op| {
            op.handle == handle && (op.what != Change::Update || op.mask.intersects(reads))
        };
        self.naive.ops.iter().filter(concerns).map(|op| op.seq).max()
    }

    /// How a tuple that is there at the end was touched, by what `parts` behind `start` did.
    fn came(&self, parts: &[Part], path: &[usize], start: usize, tuple: &Matched) -> Turn {
        let mut turn = Turn::default();
        let mut at = start;
        for (place, part) in parts.iter().enumerate() {
            let before = Matched { row: tuple.row[..at].to_vec(), ..tuple.clone() };
            match part {
                Part::Each(pattern) => {
                    let reads = self.naive.shapes[self.rule].of_pattern(pattern).1;
                    turn.rearm = turn.rearm.max(self.touched(fact(&tuple.members[at]), reads));
                }
                Part::Not(pattern) | Part::Exists(pattern) => {
                    let begins = matches!(part, Part::Exists(_));
                    turn.any = turn.any.max(self.last_turn(pattern, &before, begins));
                }
                Part::Group(_) => {
                    let key = self.group_key(path, place, at, tuple);
                    turn.rearm = turn.rearm.max(self.of_group(&key, part));
                }
                Part::Nested(nested) => {
                    let path = [path, &[place]].concat();
                    let seq = self.of_nested(nested, &path, at, &before, nested.exists);
                    turn.any = turn.any.max(seq);
                }
            }
            at += width(part);
        }
        turn.any = turn.any.max(turn.rearm);
        turn
    }

    /// What made a tuple go that is not there at the end.
    fn went(&self, parts: &[Part], path: &[usize], start: usize, tuple: &Matched) -> Option<u64> {
        let mut last = None;
        let mut at = start;
        for (place, part) in parts.iter().enumerate() {
            let before = Matched { row: tuple.row[..at].to_vec(), ..tuple.clone() };
            let lives = |member: &Member| match member {
                Member::Fact(handle) => self.naive.store.locate(*handle).is_some(),
                Member::Key(_) => true,
            };
            let all_live = tuple.members[..at].iter().all(lives);
            let seq = match part {
                Part::Each(pattern) => {
                    let reads = self.naive.shapes[self.rule].of_pattern(pattern).1;
                    self.touched(fact(&tuple.members[at]), reads)
                }
                Part::Not(pattern) | Part::Exists(pattern) if all_live => {
                    let begins = matches!(part, Part::Not(_));
                    self.last_turn(pattern, &before, begins)
                }
                Part::Group(_) if all_live => {
                    self.of_group(&self.group_key(path, place, at, tuple), part)
                }
                Part::Nested(nested) if all_live => {
                    let path = [path, &[place]].concat();
                    self.of_nested(nested, &path, at, &before, !nested.exists)
                }
                _ => None,
            };
            last = last.max(seq);
            at += width(part);
        }
        last
    }

    /// The last operation by which a fact began to go with a tuple, or ceased to.
    fn last_turn(&self, pattern: &Pattern, before: &Matched, begins: bool) -> Option<u64> {
        let (kind, reads) = self.naive.shapes[self.rule].of_pattern(pattern);
        let naive = self.naive;
        let base = (&naive.base, naive.base_now);
        let stores = (base, (&naive.store, naive.now()), &before.sources);
        let handles = self.naive.ops.iter().map(|op| op.handle);
        let turned = handles.filter(|&handle| {
            let (went, goes_now) = goes(pattern, kind, &before.row, handle, &stores);
            goes_now == begins && went != begins
        });
        turned.filter_map(|handle| self.touched(handle, reads)).max()
    }

    fn group_key(&self, path: &[usize], place: usize, at: usize, tuple: &Matched) -> GroupKey {
        let path = [path, &[place]].concat();
        (self.rule, path, tuple.members[..at].to_vec(), key(tuple, at))
    }

    fn of_group(&self, key: &GroupKey, part: &Part) -> Option<u64> {
        let (old, new) = (self.naive.found.groups.get(key), self.found.groups.get(key));
        if old.map(|group| &group.0) == new.map(|group| &group.0) {
            return None;
        }
        let patterns = part.patterns();
        let members = old.into_iter().chain(new).flat_map(|group| &group.1);
        let touched = members.flat_map(|member| {
            member.iter().zip(&patterns).filter_map(|(&handle, pattern)| {
                self.touched(handle, self.naive.shapes[self.rule].of_pattern(pattern).1)
            })
        });
        let slides = patterns.iter().any(|pattern| pattern.window.is_some());
        let slid = || self.naive.ops.iter().map(|op| op.seq).max().filter(|_| slides);
        touched.max().or_else(slid)
    }

    /// What the member tuples did that came (`came`) or went between the start and the end.
    fn of_nested(
        &self,
        nested: &Nested,
        path: &[usize],
        width: usize,
        before: &Matched,
        came: bool,
    ) -> Option<u64> {
        let key = (self.rule, path.to_vec(), before.members[..width].to_vec());
        let (old, new) = (self.naive.found.tuples.get(&key), self.found.tuples.get(&key));
        let (some, others) = if came { (new, old) } else { (old, new) };
        let only = some
            .into_iter()
            .flatten()
            .filter(|(members, _)| others.is_none_or(|others| !others.contains_key(*members)));
        let seqs = only.filter_map(|(_, tuple)| {
            if came {
                return self.came(&nested.parts, path, width, tuple).any;
            }
            let gone = Matched {
                row: [&before.row, &tuple.row[width..]].concat(),
                members: tuple.members.clone(),
                sources: before.sources.with_tail_of(width, &tuple.sources),
            };
            self.went(&nested.parts, path, width, &gone)
        });
        seqs.max()
    }
}

type GroupKey = (usize, Vec<usize>, Vec<Member>, Vec<u8>);

fn fact(member: &Member) -> FactHandle {
    let Member::Fact(handle) = member else { unreachable!("patterns hold facts") };
    *handle
}

fn key(tuple: &Matched, at: usize) -> Vec<u8> {
    let Member::Key(key) = &tuple.members[at] else { unreachable!("groups have keys") };
    key.to_vec()
}
