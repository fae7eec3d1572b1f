//! Members by key code, and within a key by order code.
//!
//! A key with few members has them in a chain that is looked through; only a key with many has them in order.

use crate::chains::{Chains, NONE};
use crate::network::index::Bounds;
use crate::trail::{Column, OrderedMap, Scope, trailed};

/// So many members of a key are looked through one by one.
const FEW: u32 = if cfg!(test) { 2 } else { 16 };

#[derive(Clone, Default)]
pub(crate) struct Ordered {
    /// Members of keys that have few. It knows the key codes of all members.
    few: Chains,
    /// Members of *crowded* keys, by key code and order code.
    many: OrderedMap<(u64, u64, u32), ()>,
    /// Of crowded keys, by number: how many members each has.
    crowds: Column<u32>,
    /// Their numbers by code.
    numbers: Chains,
    free: Column<u32>,
    /// By member: its order code.
    orders: Column<u64>,
}

trailed!(Ordered { few, many, crowds, numbers, free, orders });

impl Ordered {
    /// The number of a crowded key.
    #[inline]
    fn crowd(&self, code: u64) -> Option<u32> {
        if self.numbers.is_empty() {
            return None;
        }
        Some(self.numbers.first(code)).filter(|&number| number != NONE)
    }

    #[inline]
    pub(crate) fn link(&mut self, scope: Scope, member: u32, (code, order): (u64, u64)) {
        self.orders.reach(scope, member, &0);
        self.orders.set(scope, member, order);
        if let Some(crowd) = self.crowd(code) {
            self.few.note(scope, member, code);
            self.many.insert(scope, (code, order, member), ());
            self.crowds.change(scope, crowd, |members| *members += 1);
            return;
        }
        self.few.link(scope, member, code);
        // It is the first of its chain.
        if self.few.members_from(member).nth(FEW as usize).is_some() {
            self.crowd_in(scope, code);
        }
    }

    /// A key has many members now.
    #[cold]
    fn crowd_in(&mut self, scope: Scope, code: u64) {
        let members: Vec<u32> = self.few.members(code).collect();
        let number = if let Some(number) = self.free.pop(scope) {
            self.crowds.set(scope, number, FEW + 1);
            number
        } else {
            self.crowds.push(scope, FEW + 1);
            self.crowds.len() - 1
        };
        self.numbers.link(scope, number, code);
        for member in members {
            self.few.unlink(scope, member);
            self.many.insert(scope, (code, *self.orders.get(member), member), ());
        }
    }

    #[inline]
    pub(crate) fn unlink(&mut self, scope: Scope, member: u32) {
        let code = self.few.code(member);
        let Some(crowd) = self.crowd(code) else {
            self.few.unlink(scope, member);
            return;
        };
        self.many.remove(scope, &(code, *self.orders.get(member), member));
        self.crowds.change(scope, crowd, |members| *members -= 1);
        if *self.crowds.get(crowd) == 0 {
            self.numbers.unlink(scope, crowd);
            self.free.push(scope, crowd);
        }
    }

    /// Notes the codes of a member that is not linked.
    #[inline]
    pub(crate) fn note(&mut self, scope: Scope, member: u32, (code, order): (u64, u64)) {
        self.few.note(scope, member, code);
        self.orders.reach(scope, member, &0);
        self.orders.set(scope, member, order);
    }

    /// The codes under which a member was linked last.
    #[inline]
    pub(crate) fn codes(&self, member: u32) -> (u64, u64) {
        (self.few.code(member), *self.orders.get(member))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.numbers.is_empty()
    }

    /// Calls `visit` with every member under this key within the bounds until it says stop.
    #[inline]
    pub(crate) fn visit(&self, code: u64, bounds: Bounds, mut visit: impl FnMut(u32) -> bool) {
        if self.crowd(code).is_some() {
            let range = (code, bounds.0, 0)..=(code, bounds.1, u32::MAX);
            for (&(_, _, member), ()) in self.many.range(range) {
                if !visit(member) {
                    break;
                }
            }
            return;
        }
        let mut member = self.few.first(code);
        while member != NONE {
            let order = *self.orders.get(member);
            if (bounds.0..=bounds.1).contains(&order) && !visit(member) {
                break;
            }
            member = self.few.after(member);
        }
    }

    /// Whether there is a member under this key within the bounds.
    #[inline]
    pub(crate) fn holds(&self, code: u64, bounds: Bounds) -> bool {
        let mut holds = false;
        self.visit(code, bounds, |_| {
            holds = true;
            false
        });
        holds
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::trail::Trailed;

    fn found(index: &Ordered, code: u64, bounds: Bounds) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        index.visit(code, bounds, |member| {
            assert!(found.insert(member), "each once");
            true
        });
        assert_eq!(index.holds(code, bounds), !found.is_empty());
        found
    }

    /// Random links and unlinks against a set, with keys that become crowded and empty again.
    #[test]
    fn members_are_found_within_bounds_whatever_their_number() {
        const NONE: Scope = Scope::NONE;
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let (mut index, mut linked) = (Ordered::default(), BTreeSet::new());
        let mut codes = [(0, 0); 12];
        let mut scoped = None;
        for step in 0..6000 {
            if step % 100 == 50 {
                scoped = Some((linked.clone(), codes));
            }
            let scope = if scoped.is_some() { NONE.next().unwrap() } else { NONE };
            let member = u32::try_from(below(12)).unwrap();
            if linked.remove(&member) {
                assert_eq!(index.codes(member), codes[member as usize]);
                index.unlink(scope, member);
            } else {
                let code = (below(3), below(5));
                codes[member as usize] = code;
                index.link(scope, member, code);
                linked.insert(member);
            }
            if step % 100 == 80 {
                index.undo(NONE.next().unwrap());
                (linked, codes) = scoped.take().unwrap();
            }
            let (code, from, to) = (below(3), below(5), below(5));
            let within = |&&it: &&u32| {
                let (of, order) = codes[it as usize];
                of == code && (from..=to).contains(&order)
            };
            let expected: BTreeSet<u32> = linked.iter().filter(within).copied().collect();
            assert_eq!(found(&index, code, (from, to)), expected, "step {step}");
            assert_eq!(index.is_empty(), linked.is_empty());
        }
    }
}
