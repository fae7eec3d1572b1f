//! Values by the handle of a fact.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::iter::Peekable;

use steadfast_wm::FactHandle;

/// Values by the handle of a fact, in the order of handles.
///
/// Handles are given in order, so nearly every value comes behind all others, where it lies can be
/// guessed from its handle, and a walk in order goes through memory in order. What comes out of turn,
/// as facts do that are older than a range of records, lies in a map beside. Nothing depends on which
/// of the two a value is in.
#[derive(Clone, Debug)]
pub(crate) struct ByHandle<T> {
    /// By handle; without a value where it was removed.
    in_turn: Vec<(FactHandle, Option<T>)>,
    removed: usize,
    others: HashMap<FactHandle, T, BuildHasherDefault<HandleHasher>>,
}

/// Fewer places are not worth clearing up.
const CLEAR_UP_MIN: usize = 64;

/// After so many guesses, halving is better.
const GUESSES: usize = 4;

impl<T> Default for ByHandle<T> {
    fn default() -> Self {
        Self { in_turn: Vec::new(), removed: 0, others: HashMap::default() }
    }
}

impl<T: PartialEq> PartialEq for ByHandle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sorted().eq(other.sorted())
    }
}

impl<T: Eq> Eq for ByHandle<T> {}

impl<T> ByHandle<T> {
    pub(crate) fn len(&self) -> usize {
        self.in_turn.len() - self.removed + self.others.len()
    }

    #[inline]
    pub(crate) fn contains(&self, handle: FactHandle) -> bool {
        self.find(handle).is_some_and(|at| self.in_turn[at].1.is_some())
            || self.others.contains_key(&handle)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, handle: FactHandle) -> Option<&mut T> {
        match self.find(handle) {
            Some(at) => self.in_turn[at].1.as_mut(),
            None => self.others.get_mut(&handle),
        }
    }

    /// Puts a value in; gives the one that was there.
    pub(crate) fn insert(&mut self, handle: FactHandle, value: T) -> Option<T> {
        if self.in_turn.last().is_none_or(|(last, _)| *last < handle) {
            self.in_turn.push((handle, Some(value)));
            return self.others.remove(&handle);
        }
        match self.find(handle) {
            Some(at) => {
                let before = self.in_turn[at].1.replace(value);
                self.removed -= usize::from(before.is_none());
                before
            }
            None => self.others.insert(handle, value),
        }
    }

    pub(crate) fn remove(&mut self, handle: FactHandle) -> Option<T> {
        let Some(at) = self.find(handle) else { return self.others.remove(&handle) };
        let before = self.in_turn[at].1.take()?;
        self.removed += 1;
        if self.in_turn.len() >= CLEAR_UP_MIN && self.removed > self.in_turn.len() / 2 {
            self.in_turn.retain(|(_, value)| value.is_some());
            self.removed = 0;
        }
        Some(before)
    }

    /// The place of a handle among those that came in turn.
    #[inline]
    fn find(&self, handle: FactHandle) -> Option<usize> {
        let (mut low, mut high) = (0, self.in_turn.len().checked_sub(1)?);
        for _ in 0..GUESSES {
            let (first, last) = (self.in_turn[low].0, self.in_turn[high].0);
            if handle < first || handle > last {
                return None;
            }
            // They lie about evenly, so that a handle's distance tells its place; exactly, if none is
            // missing.
            let distance = handle.get() - first.get();
            let span = last.get() - first.get();
            if span == (high - low) as u64 {
                return usize::try_from(distance).ok().map(|distance| low + distance);
            }
            let share = distance.saturating_mul((high - low) as u64) / span;
            let at = low + usize::try_from(share).unwrap_or(usize::MAX).min(high - low);
            match self.in_turn[at].0.cmp(&handle) {
                Ordering::Equal => return Some(at),
                Ordering::Less => low = at + 1,
                Ordering::Greater => high = at.checked_sub(1)?,
            }
            if low > high {
                return None;
            }
        }
        let found = self.in_turn[low..=high].binary_search_by_key(&handle, |(handle, _)| *handle);
        found.ok().map(|at| low + at)
    }

    /// All, in no order that means anything.
    pub(crate) fn unordered(&self) -> impl Iterator<Item = (FactHandle, &T)> {
        let in_turn = self.in_turn.iter();
        in_turn
            .filter_map(|(handle, value)| Some((*handle, value.as_ref()?)))
            .chain(self.others.iter().map(|(handle, value)| (*handle, value)))
    }

    /// All, by handle.
    pub(crate) fn sorted(&self) -> Sorted<'_, T> {
        let mut others: Vec<_> =
            self.others.iter().map(|(handle, value)| (*handle, value)).collect();
        others.sort_unstable_by_key(|(handle, _)| *handle);
        Sorted {
            in_turn: self.in_turn.iter(),
            next: None,
            others: others.into_iter().peekable(),
            left: self.len(),
        }
    }
}

/// All values, by handle.
pub(crate) struct Sorted<'a, T> {
    in_turn: std::slice::Iter<'a, (FactHandle, Option<T>)>,
    /// Taken from `in_turn` and not given yet.
    next: Option<(FactHandle, &'a T)>,
    others: Peekable<std::vec::IntoIter<(FactHandle, &'a T)>>,
    left: usize,
}

impl<'a, T> Iterator for Sorted<'a, T> {
    type Item = (FactHandle, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let in_turn = &mut self.in_turn;
        let next = self
            .next
            .take()
            .or_else(|| in_turn.find_map(|(handle, value)| Some((*handle, value.as_ref()?))));
        let item = match (next, self.others.peek()) {
            (Some(next), Some(other)) if other.0 < next.0 => {
                self.next = Some(next);
                self.others.next()
            }
            (None, _) => self.others.next(),
            (next, _) => next,
        };
        self.left -= usize::from(item.is_some());
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Sorted<'_, T> {}

/// A set of handles, most of which come in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Handles(Vec<FactHandle>);

impl Handles {
    pub(crate) fn insert(&mut self, handle: FactHandle) {
        if self.0.last().is_none_or(|last| *last < handle) {
            self.0.push(handle);
        } else if let Err(at) = self.0.binary_search(&handle) {
            self.0.insert(at, handle);
        }
    }

    #[inline]
    pub(crate) fn contains(&self, handle: FactHandle) -> bool {
        self.0.last().is_some_and(|last| handle <= *last) && self.0.binary_search(&handle).is_ok()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
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
    use std::collections::BTreeMap;

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

    /// Against a map in order, over handles that come in turn, out of turn, again, and leave.
    #[test]
    fn whatever_comes_and_goes_is_where_a_map_has_it() {
        let mut state = 7_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for (stride, range) in [(1, 40), (1, 400), (977, 300), (u64::MAX / 400, 399)] {
            let (mut values, mut model) = (ByHandle::default(), BTreeMap::new());
            let mut newest = 0;
            for step in 0..6000_u64 {
                newest = if draw(4) == 0 { (newest + 1) % range } else { newest };
                let number = if draw(2) == 0 { newest } else { draw(range) };
                let handle = FactHandle::new(number * stride);
                match draw(3) {
                    0 => assert_eq!(values.remove(handle), model.remove(&handle)),
                    1 => {
                        assert_eq!(values.insert(handle, step), model.insert(handle, step));
                    }
                    _ => assert_eq!(values.get_mut(handle), model.get_mut(&handle)),
                }
                assert_eq!(values.contains(handle), model.contains_key(&handle));
                assert_eq!(values.len(), model.len());
                if step % 50 == 0 {
                    let expected: Vec<_> = model.iter().map(|(handle, at)| (*handle, at)).collect();
                    assert_eq!(values.sorted().len(), expected.len());
                    assert_eq!(values.sorted().collect::<Vec<_>>(), expected);
                    let mut unordered: Vec<_> = values.unordered().collect();
                    unordered.sort_unstable();
                    assert_eq!(unordered, expected);
                }
            }
            let mut copy = ByHandle::default();
            for (handle, value) in model.iter().rev() {
                copy.insert(*handle, *value);
            }
            assert_eq!(copy, values, "however it was filled");
        }
    }

    #[test]
    fn a_set_of_handles_is_a_set() {
        let mut handles = Handles::default();
        for number in [3, 5, 4, 9, 3, 1] {
            handles.insert(FactHandle::new(number));
        }
        let found = (0..11).filter(|number| handles.contains(FactHandle::new(*number)));
        assert_eq!(found.collect::<Vec<_>>(), [1, 3, 4, 5, 9]);
        handles.clear();
        assert!(!handles.contains(FactHandle::new(3)));
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
