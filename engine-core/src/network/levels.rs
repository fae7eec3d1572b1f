//! Sets of a net's levels.

/// Levels of one net, a bit each; all from the 63rd on share the last bit, so that long rules lose a
/// little time and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct LevelSet(u64);

const LAST: usize = 63;

impl LevelSet {
    #[inline]
    pub(crate) fn insert(&mut self, level: usize) {
        self.0 |= 1 << level.min(LAST);
    }

    #[inline]
    pub(crate) fn union(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The first level of the set that is not below `from`; it may be behind the net's last one.
    #[inline]
    pub(crate) fn next(self, from: usize) -> Option<usize> {
        let above = self.0 >> from.min(LAST);
        (above != 0).then(|| from + above.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(set: LevelSet, count: usize) -> Vec<usize> {
        let mut found = Vec::new();
        while let Some(level) = set.next(found.last().map_or(0, |last| last + 1))
            && level < count
        {
            found.push(level);
        }
        found
    }

    #[test]
    fn levels_are_found_in_their_order() {
        let mut set = LevelSet::default();
        assert_eq!(levels(set, 70), []);
        [7, 0, 62].into_iter().for_each(|level| set.insert(level));
        assert_eq!(levels(set, 70), [0, 7, 62]);
        let mut other = LevelSet::default();
        other.insert(66);
        set.union(other);
        assert_eq!(levels(set.take(), 66), [0, 7, 62, 63, 64, 65]);
        assert_eq!(set, LevelSet::default());
    }
}
