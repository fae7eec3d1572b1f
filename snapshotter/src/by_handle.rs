//! Values by the handle of a fact.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use steadfast_wm::FactHandle;

/// Values by the handle of a fact: one step to each, however many there are. Nothing depends on the
/// order that they lie in: whoever needs one sorts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ByHandle<T>(HashMap<FactHandle, T, BuildHasherDefault<HandleHasher>>);

impl<T> Default for ByHandle<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> ByHandle<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn contains(&self, handle: FactHandle) -> bool {
        self.0.contains_key(&handle)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, handle: FactHandle) -> Option<&mut T> {
        self.0.get_mut(&handle)
    }

    /// Puts a value in; gives the one that was there.
    pub(crate) fn insert(&mut self, handle: FactHandle, value: T) -> Option<T> {
        self.0.insert(handle, value)
    }

    pub(crate) fn remove(&mut self, handle: FactHandle) -> Option<T> {
        self.0.remove(&handle)
    }

    /// All, in no order that means anything.
    pub(crate) fn unordered(&self) -> impl ExactSizeIterator<Item = (FactHandle, &T)> {
        self.0.iter().map(|(handle, value)| (*handle, value))
    }

    /// All, by handle.
    pub(crate) fn sorted(&self) -> std::vec::IntoIter<(FactHandle, &T)> {
        let mut all: Vec<_> = self.unordered().collect();
        all.sort_unstable_by_key(|(handle, _)| *handle);
        all.into_iter()
    }
}

/// An odd number without a pattern: the golden ratio's fraction.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the numbers that the engine gives out. Nobody outside chooses them, so that there is
/// nothing to defend against.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct HandleHasher(u64);

impl Hasher for HandleHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // Both halves of the product: handles a power of two apart differ in the upper bits only.
        let product = u128::from(self.0 ^ number) * SPREAD;
        let [low, high] = [product, product >> 64].map(|half| half & u128::from(u64::MAX));
        self.0 = u64::try_from(low ^ high).expect("both halves have 64 bits");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_handles_whatever_the_order_of_insertion() {
        let mut values = ByHandle::default();
        for number in (0..1000_u64).rev() {
            assert_eq!(values.insert(FactHandle::new(number * 1024), number), None);
        }
        assert_eq!(values.remove(FactHandle::new(0)), Some(0));
        let sorted: Vec<u64> = values.sorted().map(|(_, number)| *number).collect();
        assert_eq!(sorted, (1..1000).collect::<Vec<_>>());
    }

    /// Facts that survive are often one of many, at even distances.
    #[test]
    fn handles_at_even_distances_spread_in_the_lower_bits() {
        for stride in 0..40 {
            let low = |number: u64| {
                let mut hasher = HandleHasher::default();
                hasher.write_u64(number << stride);
                hasher.finish() % 1024
            };
            let mut counts = [0_u32; 1024];
            (0..1024).for_each(|number| counts[usize::try_from(low(number)).unwrap()] += 1);
            let most = counts.iter().max().copied();
            assert!(most < Some(24), "distance 2^{stride}: {most:?} of 1024 in one of 1024 places");
        }
    }
}
