//! Where a condition panicked: it is asked again, of each fact on its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::NamedFact;
use crate::chains::NONE;
use crate::engine::{Engine, panic_message};
use crate::error::{ConditionPlace, EvaluateError};
use crate::ir::{Part, Pattern, Test};
use crate::rows::Rows;
use crate::store::{Change, Place};

impl Engine {
    /// The error for a condition that panicked in a flush. Which one it was and on which fact is found
    /// out by asking those on one fact alone again, of what the flush is about; else it is only known
    /// which rule was at work.
    #[cold]
    pub(crate) fn condition_panicked(&self, panic: &(dyn Any + Send)) -> EvaluateError {
        let changed = self.staged_ops().iter().filter(|op| op.what != Change::Delete);
        let places = changed.flat_map(|op| op.slots().map(|slot| Place { kind: op.kind, slot }));
        let place = self.panics_on(places);
        self.panicked_at(place, self.rule_at_work(), panic)
    }

    /// The same where it may be about any fact: all that live are asked.
    #[cold]
    pub(crate) fn condition_panicked_among_all(
        &self,
        panic: &(dyn Any + Send),
        rule: Option<usize>,
    ) -> EvaluateError {
        let kinds = (0..).zip(&self.store.kinds).map(|(kind, _)| kind);
        let live = kinds.flat_map(|kind| {
            let facts = self.store.in_order(kind).into_iter();
            facts.map(move |(_, slot)| Place { kind, slot })
        });
        self.panicked_at(self.panics_on(live), rule, panic)
    }

    fn panicked_at(
        &self,
        place: Option<ConditionPlace>,
        rule: Option<usize>,
        panic: &(dyn Any + Send),
    ) -> EvaluateError {
        let path = || Some(self.infos.get(rule?)?.path.clone());
        let place = place.or_else(|| path().map(ConditionPlace::of_rule));
        EvaluateError::ConditionPanicked { place, message: panic_message(panic) }
    }

    /// The first condition on one fact alone that panics on one of these.
    fn panics_on(&self, places: impl Iterator<Item = Place>) -> Option<ConditionPlace> {
        places.filter(|place| place.slot != NONE).find_map(|place| {
            let fact = self.store.kind(place.kind).fact.id();
            self.infos.iter().find_map(|info| {
                let patterns = info.def.parts.iter().flat_map(Part::patterns);
                let mut own = patterns.filter(|pattern| pattern.fact.id() == fact);
                let test = own.find_map(|pattern| self.panicking(pattern, place))?;
                Some(ConditionPlace {
                    rule: info.path.clone(),
                    condition: Some(test.text.clone()),
                    fact: Some(self.named(place)),
                })
            })
        })
    }

    /// The condition of a pattern on its fact alone that panics on this one. Those behind one that the fact
    /// does not pass are not asked.
    fn panicking<'p>(&self, pattern: &'p Pattern, place: Place) -> Option<&'p Test> {
        let (source, row) = ([self.store.source(place.kind)], [place.slot]);
        for test in &pattern.conditions.alpha {
            let mut passed = Vec::new();
            let ask = || (test.evaluate)(&Rows::new(&source, &row), &mut passed);
            if catch_unwind(AssertUnwindSafe(ask)).is_err() {
                return Some(test);
            }
            if passed != [true] {
                return None;
            }
        }
        None
    }
}

impl ConditionPlace {
    /// Some condition of this rule.
    pub(crate) fn of_rule(rule: String) -> Self {
        Self { rule, condition: None, fact: None }
    }

    /// A condition that panicked, as a sentence.
    pub(crate) fn tell(place: Option<&Self>) -> String {
        let Some(Self { rule, condition, fact }) = place else {
            return "a condition panicked".to_owned();
        };
        let condition = condition
            .as_ref()
            .map_or("a condition".to_owned(), |text| format!("condition `{text}`"));
        let fact = fact.as_ref().map_or(String::new(), |fact: &NamedFact| format!(" on {fact}"));
        format!("{condition} of rule `{rule}` panicked{fact}")
    }
}
