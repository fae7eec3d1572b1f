//! Handles of work that was undone.

use steadfast_wm::FactHandle;

/// Which numbers of facts were given out and taken back.
///
/// Work that is undone gives its numbers back (S22): a handle that somebody kept of it names a fact that never
/// was, and soon may have the number of another one. So a handle knows how often numbers had been taken back
/// when it was given out, and here stands which ones were since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recalls {
    /// How often numbers were taken back.
    count: u32,
    /// Of these times those that no later one exceeds: in the order of time and, for that, of numbers. One for each
    /// undone work behind which others kept theirs; sessions forget them when they end.
    recalls: Vec<Recall>,
}

/// Once all numbers from one on were taken back.
#[derive(Clone, Copy, Debug)]
struct Recall {
    /// How often before.
    before: u32,
    first: FactHandle,
}

impl Recalls {
    /// How often numbers were taken back.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Takes numbers back, from the first to before the next that would have been given out.
    #[inline]
    pub(crate) fn recall(&mut self, first: u64, next: u64) {
        if first < next {
            self.note(FactHandle::new(first));
        }
    }

    #[cold]
    fn note(&mut self, first: FactHandle) {
        while self.recalls.last().is_some_and(|recall| recall.first >= first) {
            self.recalls.pop();
        }
        self.recalls.push(Recall { before: self.count, first });
        self.count += 1;
    }

    /// Whether a fact's number was taken back since a handle of it was given out, after so many times.
    #[inline]
    pub(crate) fn has(&self, fact: FactHandle, given: u32) -> bool {
        given < self.count && self.has_since(fact, given)
    }

    #[cold]
    fn has_since(&self, fact: FactHandle, given: u32) -> bool {
        let since = self.recalls.partition_point(|recall| recall.before < given);
        // The first of them took back the most.
        self.recalls.get(since).is_some_and(|recall| recall.first <= fact)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is given out, kept and undone: a handle is recalled if its own work was undone.
        #[test]
        fn a_handle_is_recalled_if_its_work_was_undone(works in prop::collection::vec((0..4_u64, any::<bool>()), 1..30)) {
            let (mut recalls, mut next) = (Recalls::default(), 1);
            let (mut kept, mut undone) = (Vec::new(), Vec::new());
            for (facts, is_undone) in works {
                let given = recalls.count();
                let handles = (next..next + facts).map(|number| (FactHandle::new(number), given));
                if is_undone {
                    undone.extend(handles);
                    recalls.recall(next, next + facts);
                } else {
                    kept.extend(handles);
                    next += facts;
                }
                for &(fact, given) in &kept {
                    prop_assert!(!recalls.has(fact, given));
                }
                for &(fact, given) in &undone {
                    prop_assert!(recalls.has(fact, given));
                }
            }
        }
    }
}
