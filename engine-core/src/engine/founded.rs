//! Well-foundedness (INV-48, S92): a derived fact must stand, in the end, on facts that are stated. Facts that
//! only support each other fall together.
//!
//! Supports alone do not show that: each of such facts still has one. So facts that lost a support or
//! their statement and stay are *suspects*, and at the end of a flush it is looked for what they stand
//! on. Only facts of types that rules derive from each other in a circle can be in this situation; for
//! all others there is nothing to do.

use std::collections::BTreeMap;

use steadfast_wm::{FactHandle, RuleTag};

use super::Engine;
use crate::network::{Buffers, Flush, Gathered, Grounds, Survey};
use crate::sink::ActionSink;
use crate::store::{KindSet, Ops, Place};
use crate::tms::NO_RULE;

impl Engine {
    /// Notes that a fact that stays lost something that it may have stood on.
    pub(super) fn suspect(&mut self, handle: FactHandle) {
        self.suspects.push(self.scope, handle);
    }

    /// Notes that any derived fact may have lost what it stood on: the rules changed.
    pub(super) fn suspect_all(&mut self) {
        for (handle, place) in self.all_facts() {
            if !self.is_stated(place) {
                self.suspect(handle);
            }
        }
    }

    /// Notes that supports of a rule may have lost what they stood on although its matches stay.
    pub(super) fn shake(&mut self, rule: usize) {
        if self.lineage.may_shake(rule, self.scratch.only_inserts) {
            self.scratch.shaken.insert(rule);
        }
    }

    /// Deletes the facts that stand on nothing but each other; says whether there were any.
    ///
    /// They go in the order of the first rules that support them, then of their handles.
    pub(super) fn drop_unfounded(
        &mut self,
        issuer: Option<RuleTag>,
        sink: &mut dyn ActionSink,
    ) -> bool {
        let suspects = self.take_suspects();
        if suspects.is_empty() {
            return false;
        }
        let unfounded = self.unfounded(&suspects);
        if unfounded.is_empty() {
            return false;
        }
        // What stands on them may stand on nothing else, in circles of its own.
        let kinds = self.lineage.derived_from(unfounded.iter().map(|place| place.kind));
        let mut seeds = suspects;
        for kind in kinds {
            let slots = self.store.in_order(kind).into_iter();
            seeds.extend(slots.map(|(_, slot)| Place { kind, slot }));
        }
        seeds.retain(|&place| !self.is_stated(place));
        let mut falling: Vec<(u32, FactHandle)> = (self.unfounded(&seeds).into_iter())
            .map(|place| {
                let supports = self.supports.of_fact(&self.store, place);
                let rules = supports.map(|support| self.supports.get(support).rule);
                (rules.min().unwrap_or(NO_RULE), self.handle_at(place))
            })
            .collect();
        falling.sort_unstable();
        falling.dedup();
        for (_, handle) in falling {
            let place = self.store.locate(handle).expect("nothing fell before its turn");
            for support in self.supports.of_fact(&self.store, place) {
                let support = self.supports.get(support);
                self.scratch.bereft(support.rule as usize, support.token);
            }
            self.delete(handle, issuer, true, sink);
        }
        true
    }

    fn is_stated(&self, place: Place) -> bool {
        self.store.kind(place.kind).is_stated(place.slot)
    }

    /// The suspects since the last check that may be without foundation, each once.
    fn take_suspects(&mut self) -> Vec<Place> {
        let shaken = std::mem::take(&mut self.scratch.shaken);
        if self.suspects.is_empty() && shaken.is_empty() {
            return Vec::new();
        }
        let mut places = Vec::new();
        if self.lineage.has_recursion() {
            let handles = self.suspects.as_slice().iter();
            places.extend(handles.filter_map(|&handle| self.store.locate(handle)));
            for rule in shaken {
                let state = &self.rules[rule];
                for token in state.net.terminal().live() {
                    let supports =
                        self.supports.of_match(state.terminal.state(token).first_support);
                    places.extend(supports.map(|support| self.supports.get(support).place));
                }
            }
            places.retain(|&place| self.lineage.is_recursive(place.kind) && !self.is_stated(place));
            places.sort_unstable();
            places.dedup();
        }
        self.suspects.clear(self.scope);
        places
    }

    /// Which of these derived facts stand on nothing that is stated.
    fn unfounded(&mut self, seeds: &[Place]) -> Vec<Place> {
        let mut search = Search::default();
        for &seed in seeds {
            search.reach(seed);
        }
        let seeds = search.places.len();
        let mut gathered: BTreeMap<u32, Gathered> = BTreeMap::new();
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut at = 0;
        while at < search.places.len() && search.founded_seeds < seeds {
            self.expand(&mut search, at, &mut gathered, &mut buffers);
            search.spread(seeds);
            at += 1;
        }
        self.buffers = buffers;
        let places = search.places.iter().zip(&search.founded).take(seeds);
        places.filter(|(_, founded)| !**founded).map(|(place, _)| *place).collect()
    }

    /// Looks at what the supports of a fact stand on.
    fn expand(
        &self,
        search: &mut Search,
        fact: usize,
        gathered: &mut BTreeMap<u32, Gathered>,
        buffers: &mut Buffers,
    ) {
        let flush = Flush {
            scope: self.scope,
            moment: self.moment(),
            store: &self.store,
            ops: Ops::new(self.ops.as_slice(), KindSet::ALL, false),
            round_start: 0,
            cascaded: true,
        };
        for support in self.supports.of_fact(&self.store, search.places[fact]) {
            let support = self.supports.get(support);
            let Some(rule) = self.rules.get(support.rule as usize) else {
                // Of a rule that is being removed: it is withdrawn before anything else.
                search.found(fact);
                return;
            };
            let gathered = gathered.entry(support.rule).or_default();
            let mut survey = Survey { flush, alphas: &self.alphas, buffers, gathered };
            let grounds = rule.net.grounds(&mut survey, support.token);
            search.add(Whose::Fact(fact), grounds, &|place| !self.is_stated(place));
            if search.founded[fact] {
                return;
            }
        }
    }
}

/// A derived fact waits for one of its supports; a support for all of its facts and choices; a choice for one
/// of its tuples, and that one again for all of its facts and choices.
#[derive(Default)]
struct Search {
    by_place: BTreeMap<Place, usize>,
    places: Vec<Place>,
    founded: Vec<bool>,
    founded_seeds: usize,
    /// By fact: the tuples that wait for it.
    waiting: Vec<Vec<usize>>,
    tuples: Vec<Tuple>,
    choices: Vec<Choice>,
    /// Founded facts that nobody was told of yet.
    news: Vec<usize>,
}

/// How many facts and choices are missing, and who waits for this tuple.
struct Tuple {
    missing: usize,
    whose: Whose,
}

#[derive(Clone, Copy)]
enum Whose {
    Fact(usize),
    Choice(usize),
}

struct Choice {
    met: bool,
    /// The tuple that waits for it.
    whose: usize,
}

impl Search {
    fn reach(&mut self, place: Place) -> usize {
        *self.by_place.entry(place).or_insert_with(|| {
            self.places.push(place);
            self.founded.push(false);
            self.waiting.push(Vec::new());
            self.places.len() - 1
        })
    }

    fn found(&mut self, fact: usize) {
        if !std::mem::replace(&mut self.founded[fact], true) {
            self.news.push(fact);
        }
    }

    /// Adds a tuple that somebody waits for.
    fn add(&mut self, whose: Whose, grounds: Grounds, derived: &dyn Fn(Place) -> bool) {
        let tuple = self.tuples.len();
        // One more, so that it is not complete before all is added.
        self.tuples.push(Tuple { missing: grounds.choices.len() + 1, whose });
        for place in grounds.facts.into_iter().filter(|&place| derived(place)) {
            let fact = self.reach(place);
            if !self.founded[fact] {
                self.waiting[fact].push(tuple);
                self.tuples[tuple].missing += 1;
            }
        }
        for alternatives in grounds.choices {
            let choice = self.choices.len();
            self.choices.push(Choice { met: false, whose: tuple });
            for alternative in alternatives {
                self.add(Whose::Choice(choice), alternative, derived);
            }
        }
        self.meet(tuple);
    }

    /// One thing that a tuple waits for is founded.
    fn meet(&mut self, tuple: usize) {
        let mut met = Some(tuple);
        while let Some(at) = met.take() {
            let Tuple { missing, whose } = &mut self.tuples[at];
            *missing -= 1;
            if *missing > 0 {
                return;
            }
            match *whose {
                Whose::Fact(fact) => self.found(fact),
                Whose::Choice(choice) => {
                    let Choice { met: already, whose } = &mut self.choices[choice];
                    met = (!std::mem::replace(already, true)).then_some(*whose);
                }
            }
        }
    }

    /// Tells of all founded facts.
    fn spread(&mut self, seeds: usize) {
        while let Some(fact) = self.news.pop() {
            self.founded_seeds += usize::from(fact < seeds);
            for tuple in std::mem::take(&mut self.waiting[fact]) {
                self.meet(tuple);
            }
        }
    }
}
