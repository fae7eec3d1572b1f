//! Which rule goes first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The ranks of rules in their agenda groups, and which of them have pending matches. Derived; not
/// state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranks {
    /// By rule: where it stands.
    standing: Vec<Standing>,
    groups: Vec<GroupRanks>,
}

/// The ranks of one agenda group.
#[derive(Clone, Debug, Default)]
struct GroupRanks {
    /// Rules of one salience by rank.
    by_rank: Vec<u32>,
    /// One bit per rank: its rule has pending matches.
    active: Vec<u64>,
    /// Rules with pending matches that have a salience each, under the best of these.
    shifting: BTreeSet<(Reverse<i32>, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    group: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Fixed {
        salience: i32,
        rank: u32,
    },
    /// Under this salience while there is one.
    Shifting(Option<i32>),
}

impl Ranks {
    /// Ranks rules, each given with its group and its salience, by salience, highest first, then by
    /// their place; a rule whose matches have a salience each has none of its own.
    pub(crate) fn new(groups: u32, rules: &[(u32, Option<i32>)]) -> Self {
        let mut fixed: Vec<(Reverse<i32>, u32)> = (0..)
            .zip(rules)
            .filter_map(|(rule, (_, salience))| salience.map(|salience| (Reverse(salience), rule)))
            .collect();
        fixed.sort_unstable();
        let shifting = |&(group, _): &(u32, _)| Standing { group, place: Place::Shifting(None) };
        let mut standing: Vec<Standing> = rules.iter().map(shifting).collect();
        let mut ranks = vec![GroupRanks::default(); groups as usize];
        for &(Reverse(salience), rule) in &fixed {
            let Standing { group, place } = &mut standing[rule as usize];
            let by_rank = &mut ranks[*group as usize].by_rank;
            let rank = u32::try_from(by_rank.len()).expect("few rules");
            *place = Place::Fixed { salience, rank };
            by_rank.push(rule);
        }
        for group in &mut ranks {
            group.active = vec![0; group.by_rank.len().div_ceil(64)];
        }
        Self { standing, groups: ranks }
    }

    /// Says which salience the best pending match of a rule has, if there is one.
    pub(crate) fn set(&mut self, rule: u32, best: Option<i32>) {
        let Standing { group, place } = &mut self.standing[rule as usize];
        let group = &mut self.groups[*group as usize];
        match place {
            Place::Fixed { rank, .. } => {
                let (word, bit) = (*rank as usize / 64, *rank % 64);
                if best.is_some() {
                    group.active[word] |= 1 << bit;
                } else {
                    group.active[word] &= !(1 << bit);
                }
            }
            Place::Shifting(under) if *under != best => {
                if let Some(salience) = *under {
                    group.shifting.remove(&(Reverse(salience), rule));
                }
                if let Some(salience) = best {
                    group.shifting.insert((Reverse(salience), rule));
                }
                *under = best;
            }
            Place::Shifting(_) => {}
        }
    }

    /// The rule of a group whose match fires next.
    pub(crate) fn best(&self, group: u32) -> Option<u32> {
        let group = &self.groups[group as usize];
        let fixed = group.best_fixed();
        let Some(&(salience, rule)) = group.shifting.first() else { return fixed };
        let beaten = fixed.filter(|&fixed| (self.salience_of(fixed), fixed) < (salience, rule));
        Some(beaten.unwrap_or(rule))
    }

    fn salience_of(&self, rule: u32) -> Reverse<i32> {
        let Place::Fixed { salience, .. } = self.standing[rule as usize].place else {
            unreachable!("only rules of one salience have a rank")
        };
        Reverse(salience)
    }
}

impl GroupRanks {
    fn best_fixed(&self) -> Option<u32> {
        let (word, bits) = self.active.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Some(self.by_rank[word * 64 + bits.trailing_zeros() as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_salience_then_place() {
        let mut ranks =
            Ranks::new(1, &[(0, Some(0)), (0, Some(10)), (0, Some(0)), (0, Some(i32::MIN))]);
        assert_eq!(ranks.groups[0].by_rank, [1, 0, 2, 3]);
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
