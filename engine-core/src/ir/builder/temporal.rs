//! Temporal joins of rules built at run time.

use std::sync::Arc;

use super::{RuleBuilder, Var};
use crate::fact::Fact;
use crate::ir::{Apart, Comparison, Meaning, Moment, RangeJoin, Test};
use crate::key::time_order;
use crate::rows::Facts;

/// A side of a temporal join: a variable, and whether it is the end of its event that counts.
struct Side<T> {
    of: Var<T>,
    end: bool,
}

impl<T> Clone for Side<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Side<T> {}

impl<T: Fact> Side<T> {
    fn moment(self) -> Moment {
        Moment { position: self.of.position, end: self.end }
    }

    fn time(self, facts: &Facts<'_, T>, row: usize) -> i64 {
        if self.end { facts.end(row) } else { facts.start(row) }
    }
}

impl RuleBuilder {
    /// Adds a temporal join: the event of the last part began at least `from` and at most `to`
    /// milliseconds after that of an earlier part ended; see [`RangeJoin::width`].
    pub fn after<T: Fact, U: Fact>(
        &mut self,
        text: &str,
        inner: Var<T>,
        outer: Var<U>,
        stretch: (i64, i64),
    ) {
        let (inner, outer) = (Side { of: inner, end: false }, Side { of: outer, end: true });
        self.apart(text, inner, outer, (true, stretch));
    }

    /// Adds a temporal join: the event of the last part ended at least `from` and at most `to`
    /// milliseconds before that of an earlier part began.
    pub fn before<T: Fact, U: Fact>(
        &mut self,
        text: &str,
        inner: Var<T>,
        outer: Var<U>,
        stretch: (i64, i64),
    ) {
        let (inner, outer) = (Side { of: inner, end: true }, Side { of: outer, end: false });
        self.apart(text, inner, outer, (false, stretch));
    }

    /// Adds a temporal join: the event of the last part and that of an earlier part began at most so many
    /// milliseconds apart.
    pub fn within<T: Fact, U: Fact>(
        &mut self,
        text: &str,
        inner: Var<T>,
        outer: Var<U>,
        millis: i64,
    ) {
        let (inner, outer) = (Side { of: inner, end: false }, Side { of: outer, end: false });
        self.apart(text, inner, outer, (true, (millis.saturating_neg(), millis)));
    }

    fn apart<T: Fact, U: Fact>(
        &mut self,
        text: &str,
        inner: Side<T>,
        outer: Side<U>,
        (inner_is_later, (from, to)): (bool, (i64, i64)),
    ) {
        let what = || format!("the condition `{text}`");
        if !(T::EVENT && U::EVENT) {
            let problem =
                "compares times, and facts of one of its types have none: let that be an event";
            return self.misplaced(&what(), problem);
        }
        let width = to.checked_sub(from).and_then(|width| u64::try_from(width).ok());
        let Some(width) = width else {
            let problem =
                "is about a stretch of time that ends before it begins: exchange its bounds";
            return self.misplaced(&what(), problem);
        };
        let (at, before) = (inner.of.position, outer.of.position);
        let (later, earlier, shift) = if inner_is_later {
            (inner.moment(), outer.moment(), from)
        } else {
            (outer.moment(), inner.moment(), to.saturating_neg())
        };
        let join = RangeJoin {
            width: Some(width),
            apart: Some(Apart { later, earlier, least: from, most: Some(to) }),
            comparison: Comparison::AtLeast,
            meaning: Some(Meaning::path(if inner.moment().end { "its end" } else { "its start" })),
            inner: Arc::new(move |rows, orders| {
                let facts = rows.facts::<T>(0);
                orders.extend((0..rows.len()).map(|row| time_order(inner.time(&facts, row))));
            }),
            outer: Arc::new(move |rows, orders| {
                let facts = rows.facts::<U>(before);
                let time = |row| outer.time(&facts, row).saturating_add(shift);
                orders.extend((0..rows.len()).map(|row| time_order(time(row))));
            }),
            test: Test::on_rows(
                text,
                vec![(at, T::TIME_FIELDS), (before, U::TIME_FIELDS)],
                Arc::new(move |rows, passed| {
                    let (inners, outers) = (rows.facts::<T>(at), rows.facts::<U>(before));
                    passed.extend((0..rows.len()).map(|row| {
                        let (own, other) = (inner.time(&inners, row), outer.time(&outers, row));
                        let apart = if inner_is_later {
                            own.saturating_sub(other)
                        } else {
                            other.saturating_sub(own)
                        };
                        (from..=to).contains(&apart)
                    }));
                }),
            ),
        };
        self.condition(text, |conditions| conditions.ranges.push(join));
    }
}
