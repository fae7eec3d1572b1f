//! Truth maintenance: which matches support which facts (INV-48).

use crate::agenda::Terminal;
use crate::chains::NONE;
use crate::key::code_of;
use crate::store::{Place, Store};
use crate::trail::{Column, Scope, trailed};

/// A support's rule when the supporting match is not in the network any more: its rule left the
/// ruleset. It is withdrawn with the operation that changed the rules.
pub(crate) const NO_RULE: u32 = u32::MAX;

/// One justification: a match supports a fact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Support {
    pub(crate) place: Place,
    pub(crate) rule: u32,
    pub(crate) token: u32,
    next_of_match: u32,
    prev_of_match: u32,
    next_of_fact: u32,
    prev_of_fact: u32,
}

/// All justifications, linked from both ends.
#[derive(Clone, Default)]
pub(crate) struct Supports {
    supports: Column<Support>,
    free: Column<u32>,
}

trailed!(Supports { supports, free });

impl Supports {
    pub(crate) fn get(&self, support: u32) -> Support {
        *self.supports.get(support)
    }

    /// All supports of a match, from the head of its list.
    pub(crate) fn of_match(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        walk(head, |at| self.supports.get(at).next_of_match)
    }

    /// All supports of a fact.
    pub(crate) fn of_fact<'a>(
        &'a self,
        store: &Store,
        place: Place,
    ) -> impl Iterator<Item = u32> + 'a {
        let head = *store.kind(place.kind).first_support.get(place.slot);
        walk(head, |at| self.supports.get(at).next_of_fact)
    }

    /// Adds a justification; says whether it is new.
    pub(crate) fn add(
        &mut self,
        scope: Scope,
        store: &mut Store,
        terminal: Option<&mut Terminal>,
        (rule, token): (u32, u32),
        place: Place,
    ) -> bool {
        let head = terminal.as_ref().map_or(NONE, |terminal| terminal.state(token).first_support);
        if self.of_match(head).any(|support| self.get(support).place == place) {
            return false;
        }
        let kind = store.kind_mut(place.kind);
        let of_fact = *kind.first_support.get(place.slot);
        let support = Support {
            place,
            rule,
            token,
            next_of_match: head,
            prev_of_match: NONE,
            next_of_fact: of_fact,
            prev_of_fact: NONE,
        };
        let at = self.put(scope, support);
        if head != NONE {
            self.supports.change(scope, head, |support| support.prev_of_match = at);
        }
        if of_fact != NONE {
            self.supports.change(scope, of_fact, |support| support.prev_of_fact = at);
        }
        kind.first_support.set(scope, place.slot, at);
        if let Some(terminal) = terminal {
            terminal.set_first_support(scope, token, at);
        }
        true
    }

    /// Adds the first justification of a fact, which is the first of its match as well.
    #[inline]
    pub(crate) fn add_first(
        &mut self,
        scope: Scope,
        store: &mut Store,
        terminal: &mut Terminal,
        (rule, token): (u32, u32),
        place: Place,
    ) {
        let (next_of_match, prev_of_match) = (NONE, NONE);
        let (next_of_fact, prev_of_fact) = (NONE, NONE);
        let support = Support {
            place,
            rule,
            token,
            next_of_match,
            prev_of_match,
            next_of_fact,
            prev_of_fact,
        };
        let at = self.put(scope, support);
        store.kind_mut(place.kind).first_support.set_next(scope, place.slot, at);
        terminal.set_first_support(scope, token, at);
    }

    #[expect(clippy::inline_always, reason = "a match comes to support a fact by little else")]
    #[inline(always)]
    fn put(&mut self, scope: Scope, support: Support) -> u32 {
        if let Some(at) = self.free.pop(scope) {
            self.supports.set(scope, at, support);
            at
        } else {
            self.supports.push(scope, support);
            self.supports.len() - 1
        }
    }

    /// Rules have other numbers from now on.
    pub(crate) fn rules_moved(&mut self, scope: Scope, moved: impl Fn(u32) -> u32) {
        for at in 0..self.supports.len() {
            let rule = self.get(at).rule;
            if rule != NO_RULE {
                self.supports.change(scope, at, |support| support.rule = moved(rule));
            }
        }
    }

    /// Takes a justification away.
    pub(crate) fn remove(
        &mut self,
        scope: Scope,
        store: &mut Store,
        terminal: Option<&mut Terminal>,
        at: u32,
    ) {
        let support = self.get(at);
        if support.next_of_match != NONE {
            let prev = support.prev_of_match;
            self.supports.change(scope, support.next_of_match, |next| next.prev_of_match = prev);
        }
        if support.prev_of_match != NONE {
            let next = support.next_of_match;
            self.supports.change(scope, support.prev_of_match, |prev| prev.next_of_match = next);
        } else if let Some(terminal) = terminal {
            terminal.set_first_support(scope, support.token, support.next_of_match);
        }
        if support.next_of_fact != NONE {
            let prev = support.prev_of_fact;
            self.supports.change(scope, support.next_of_fact, |next| next.prev_of_fact = prev);
        }
        if support.prev_of_fact == NONE {
            let kind = store.kind_mut(support.place.kind);
            kind.first_support.set(scope, support.place.slot, support.next_of_fact);
        } else {
            let next = support.next_of_fact;
            self.supports.change(scope, support.prev_of_fact, |prev| prev.next_of_fact = next);
        }
        self.free.push(scope, at);
    }
}

fn walk(head: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    std::iter::successors((head != NONE).then_some(head), move |&at| {
        let next = next(at);
        (next != NONE).then_some(next)
    })
}

/// Keeps a fact findable by its derived key, if rules derive facts of its kind.
pub(crate) fn believe(scope: Scope, store: &mut Store, place: Place, scratch: &mut Vec<u8>) {
    let kind = store.kind_mut(place.kind);
    if !*kind.believed.get() {
        return;
    }
    scratch.clear();
    kind.table.append_derived_key(place.slot, scratch).expect("it was encoded when it was staged");
    kind.beliefs.link(scope, place.slot, code_of(scratch.as_slice()));
}

pub(crate) fn disbelieve(scope: Scope, store: &mut Store, place: Place) {
    let kind = store.kind_mut(place.kind);
    if *kind.believed.get() {
        kind.beliefs.unlink(scope, place.slot);
    }
}

/// From now on facts of this kind are findable by their derived keys: rules derive some.
pub(crate) fn start_believing(scope: Scope, store: &mut Store, kind: u32, scratch: &mut Vec<u8>) {
    if *store.kind(kind).believed.get() {
        return;
    }
    store.kind_mut(kind).believed.set(scope, true);
    for (_, slot) in store.in_order(kind) {
        believe(scope, store, Place { kind, slot }, scratch);
    }
}
