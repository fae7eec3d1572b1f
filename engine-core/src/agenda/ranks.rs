//! Which rule goes first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The ranks of rules, and which of them have pending matches. Derived; not state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranks {
    /// By rule: where it stands.
    standing: Vec<Standing>,
    /// Rules of one salience by rank.
    by_rank: Vec<u32>,
    /// One bit per rank: its rule has pending matches.
    active: Vec<u64>,
    /// Rules with pending matches that have a salience each, under the best of these.
    shifting: BTreeSet<(Reverse<i32>, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    Fixed {
        salience: i32,
        rank: u32,
    },
    /// Under this salience while there is one.
    Shifting(Option<i32>),
}

impl Ranks {
    /// Ranks rules by salience, highest first, then by their place; none is of a rule whose matches
    /// have a salience each.
    pub(crate) fn new(saliences: &[Option<i32>]) -> Self {
        let mut fixed: Vec<(Reverse<i32>, u32)> = (0..)
            .zip(saliences)
            .filter_map(|(rule, salience)| salience.map(|salience| (Reverse(salience), rule)))
            .collect();
        fixed.sort_unstable();
        let mut standing = vec![Standing::Shifting(None); saliences.len()];
        for (rank, &(Reverse(salience), rule)) in (0..).zip(&fixed) {
            standing[rule as usize] = Standing::Fixed { salience, rank };
        }
        Self {
            standing,
            by_rank: fixed.iter().map(|(_, rule)| *rule).collect(),
            active: vec![0; fixed.len().div_ceil(64)],
            shifting: BTreeSet::new(),
        }
    }

    /// Says which salience the best pending match of a rule has, if there is one.
    pub(crate) fn set(&mut self, rule: u32, best: Option<i32>) {
        match &mut self.standing[rule as usize] {
            Standing::Fixed { rank, .. } => {
                let (word, bit) = (*rank as usize / 64, *rank % 64);
                if best.is_some() {
                    self.active[word] |= 1 << bit;
                } else {
                    self.active[word] &= !(1 << bit);
                }
            }
            Standing::Shifting(under) if *under != best => {
                if let Some(salience) = *under {
                    self.shifting.remove(&(Reverse(salience), rule));
                }
                if let Some(salience) = best {
                    self.shifting.insert((Reverse(salience), rule));
                }
                *under = best;
            }
            Standing::Shifting(_) => {}
        }
    }

    /// The rule whose match fires next.
    pub(crate) fn best(&self) -> Option<u32> {
        let fixed = self.best_fixed();
        let Some(&(salience, rule)) = self.shifting.first() else { return fixed };
        let beaten = fixed.filter(|&fixed| (self.salience_of(fixed), fixed) < (salience, rule));
        Some(beaten.unwrap_or(rule))
    }

    fn best_fixed(&self) -> Option<u32> {
        let (word, bits) = self.active.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Some(self.by_rank[word * 64 + bits.trailing_zeros() as usize])
    }

    fn salience_of(&self, rule: u32) -> Reverse<i32> {
        let Standing::Fixed { salience, .. } = self.standing[rule as usize] else {
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
        let mut ranks = Ranks::new(&[Some(0), Some(10), Some(0), Some(i32::MIN)]);
        assert_eq!(ranks.by_rank, [1, 0, 2, 3]);
        ranks.set(3, Some(0));
        ranks.set(2, Some(0));
        assert_eq!(ranks.best(), Some(2));
        ranks.set(2, None);
        assert_eq!(ranks.best(), Some(3));
    }

    #[test]
    fn a_rule_whose_matches_have_a_salience_each_stands_where_its_best_one_does() {
        let mut ranks = Ranks::new(&[Some(5), None, Some(5), None]);
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
            assert_eq!(ranks.best(), best, "after {set:?}");
        }
    }
}
