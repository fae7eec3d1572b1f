//! Ordered maps that are put back.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use super::{Scope, Trailed, clear};

/// An ordered map.
#[derive(Debug)]
pub(crate) struct OrderedMap<K, V> {
    map: BTreeMap<K, V>,
    log: Vec<(Scope, K, Option<V>)>,
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), log: Vec::new() }
    }
}

/// As that of a [column](super::Column).
impl<K: Clone, V: Clone> Clone for OrderedMap<K, V> {
    fn clone(&self) -> Self {
        Self { map: self.map.clone(), log: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Clone> OrderedMap<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        self.map.first_key_value()
    }

    pub(crate) fn last(&self) -> Option<(&K, &V)> {
        self.map.last_key_value()
    }

    pub(crate) fn range<R: RangeBounds<K>>(&self, range: R) -> impl Iterator<Item = (&K, &V)> {
        // `BTreeMap::range` panics on an inverted range; here it is just empty.
        let empty = match (range.start_bound(), range.end_bound()) {
            (Bound::Included(start), Bound::Included(end) | Bound::Excluded(end)) => start > end,
            _ => false,
        };
        (!empty).then(|| self.map.range(range)).into_iter().flatten()
    }

    pub(crate) fn insert(&mut self, scope: Scope, key: K, value: V) {
        if scope.is_open() {
            let old = self.map.insert(key.clone(), value);
            self.log.push((scope, key, old));
        } else {
            self.map.insert(key, value);
        }
    }

    pub(crate) fn remove(&mut self, scope: Scope, key: &K) -> Option<V> {
        let old = self.map.remove(key);
        if scope.is_open() && old.is_some() {
            self.log.push((scope, key.clone(), old.clone()));
        }
        old
    }
}

impl<K: Ord, V> Trailed for OrderedMap<K, V> {
    fn undo(&mut self, scope: Scope) {
        while let Some((_, key, old)) = self.log.pop_if(|(written, ..)| *written >= scope) {
            match old {
                Some(value) => drop(self.map.insert(key, value)),
                None => drop(self.map.remove(&key)),
            }
        }
    }

    fn forget(&mut self) {
        clear(&mut self.log);
    }
    fn trail_bytes(&self) -> usize {
        size_of_val(&*self.log)
    }
}
