//! Which rule goes first.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

/// The ranks of rules in their agenda groups, and which of them have pending matches. Derived; not
/// state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranks {
    /// By rule: where it stands.
    places: Vec<Place>,
    /// One bit per rank: its rule has pending matches. The ranks of a group are those of some words.
    active: Vec<u64>,
    /// How many rules have pending matches.
    pending: u32,
    /// By rank the rule.
    by_rank: Vec<u32>,
    groups: Vec<GroupRanks>,
}

/// The ranks of one agenda group.
#[derive(Clone, Debug, Default)]
struct GroupRanks {
    /// The words of its rules of one salience.
    words: Range<usize>,
    /// Rules with pending matches that have a salience each, under the best of these.
    shifting: BTreeSet<(Reverse<i32>, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Fixed {
        salience: i32,
        rank: u32,
    },
    /// In this group under this salience while there is one.
    Shifting {
        group: u32,
        under: Option<i32>,
    },
}

impl Ranks {
    /// Ranks rules, each given with its group and its salience, by salience, highest first, then by
    /// their place; a rule whose matches have a salience each has none of its own.
    pub(crate) fn new(groups: u32, rules: &[(u32, Option<i32>)]) -> Self {
        let shifting = |&(group, _): &(u32, _)| Place::Shifting { group, under: None };
        let mut ranks = Self { places: rules.iter().map(shifting).collect(), ..Self::default() };
        for group in 0..groups {
            let of_group = (0..).zip(rules).filter(|(_, rule)| rule.0 == group);
            let mut fixed: Vec<(Reverse<i32>, u32)> = of_group
                .filter_map(|(rule, (_, salience))| salience.map(|it| (Reverse(it), rule)))
                .collect();
            fixed.sort_unstable();
            let first = ranks.active.len();
            for (Reverse(salience), rule) in fixed {
                let rank = u32::try_from(ranks.by_rank.len()).expect("few rules");
                ranks.places[rule as usize] = Place::Fixed { salience, rank };
                ranks.by_rank.push(rule);
            }
            // The next group begins with a word of its own.
            ranks.by_rank.resize(ranks.by_rank.len().next_multiple_of(64), u32::MAX);
            ranks.active.resize(ranks.by_rank.len() / 64, 0);
            let words = first..ranks.active.len();
            ranks.groups.push(GroupRanks { words, shifting: BTreeSet::new() });
        }
        ranks
    }

    /// Says which salience the best pending match of a rule has, if there is one.
    pub(crate) fn set(&mut self, rule: u32, best: Option<i32>) {
        self.set_by(rule as usize, best.is_some(), || best);
    }

    /// The same, given whether there is one; of most rules it does not matter which.
    #[inline]
    pub(crate) fn set_by(
        &mut self,
        rule: usize,
        is_pending: bool,
        best: impl FnOnce() -> Option<i32>,
    ) {
        let Place::Fixed { rank, .. } = self.places[rule] else {
            self.shift(rule, best());
            return;
        };
        let (word, bit) = (rank as usize / 64, rank % 64);
        let word = &mut self.active[word];
        let was_pending = *word >> bit & 1 != 0;
        *word = *word & !(1 << bit) | u64::from(is_pending) << bit;
        self.pending = self.pending + u32::from(is_pending) - u32::from(was_pending);
    }

    /// Whether no rule has a pending match, of whatever group.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.pending == 0
    }

    #[inline(never)] // few rules have matches with a salience each
    fn shift(&mut self, rule: usize, best: Option<i32>) {
        let Place::Shifting { group, under } = self.places[rule] else {
            unreachable!("the caller looked")
        };
        if under == best {
            return;
        }
        self.pending = self.pending + u32::from(best.is_some()) - u32::from(under.is_some());
        let rule = u32::try_from(rule).expect("few rules");
        let shifting = &mut self.groups[group as usize].shifting;
        if let Some(salience) = under {
            shifting.remove(&(Reverse(salience), rule));
        }
        if let Some(salience) = best {
            shifting.insert((Reverse(salience), rule));
        }
        self.places[rule as usize] = Place::Shifting { group, under: best };
    }

    /// The rule of a group whose match fires next.
    #[inline]
    pub(crate) fn best(&self, group: u32) -> Option<u32> {
        let GroupRanks { words, shifting } = &self.groups[group as usize];
        let fixed = words.clone().find_map(|at| {
            let word = self.active[at];
            (word != 0).then(|| self.by_rank[at * 64 + word.trailing_zeros() as usize])
        });
        if shifting.is_empty() { fixed } else { self.best_of_both(fixed, shifting) }
    }

    #[inline(never)] // few rules have matches with a salience each
    fn best_of_both(
        &self,
        fixed: Option<u32>,
        shifting: &BTreeSet<(Reverse<i32>, u32)>,
    ) -> Option<u32> {
        let &(salience, rule) = shifting.first()?;
        let beaten = fixed.filter(|&fixed| (self.salience_of(fixed), fixed) < (salience, rule));
        Some(beaten.unwrap_or(rule))
    }

    fn salience_of(&self, rule: u32) -> Reverse<i32> {
        let Place::Fixed { salience, .. } = self.places[rule as usize] else {
            unreachable!("only rules of one salience have a rank")
        };
        Reverse(salience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_salience_then_place() {
        let mut ranks =
            Ranks::new(1, &[(0, Some(0)), (0, Some(10)), (0, Some(0)), (0, Some(i32::MIN))]);
        assert_eq!(ranks.by_rank[..4], [1, 0, 2, 3]);
        ranks.set(3, Some(0));
        ranks.set(2, Some(0));
        assert_eq!(ranks.best(0), Some(2));
        ranks.set(2, None);
        assert_eq!(ranks.best(0), Some(3));
    }

    #[test]
    fn each_group_has_ranks_of_its_own() {
        let mut ranks = Ranks::new(3, &[(0, Some(0)), (1, Some(10)), (0, None), (1, Some(20))]);
        (0..4).for_each(|rule| ranks.set(rule, Some(5)));
        assert_eq!([0, 1, 2].map(|group| ranks.best(group)), [Some(2), Some(3), None]);
        ranks.set(3, None);
        ranks.set(2, None);
        assert_eq!([0, 1].map(|group| ranks.best(group)), [Some(0), Some(1)]);
    }

    #[test]
    fn a_rule_whose_matches_have_a_salience_each_stands_where_its_best_one_does() {
        let mut ranks = Ranks::new(1, &[(0, Some(5)), (0, None), (0, Some(5)), (0, None)]);
        for (set, best) in [
            ((1, Some(5)), Some(1)),
            ((0, Some(0)), Some(0)),
            ((3, Some(6)), Some(3)),
            ((3, Some(4)), Some(0)),
            ((0, None), Some(1)),
            ((2, Some(0)), Some(1)),
            ((1, Some(4)), Some(2)),
            ((2, None), Some(1)),
            ((1, None), Some(3)),
            ((3, None), None),
        ] {
            ranks.set(set.0, set.1);
            assert_eq!(ranks.best(0), best, "after {set:?}");
        }
    }
}
