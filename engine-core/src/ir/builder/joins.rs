//! Joins of rules built at run time: keys, ranges, and what no index serves.

use std::hash::Hash;
use std::sync::Arc;

use super::{RuleBuilder, Var};
use crate::fact::Fact;
use crate::ir::{Comparison, KeyFn, KeyJoin, Meaning, OrderFn, RangeJoin, Test, TestFn};
use crate::key::{Codes, ExactKey, OrderedKey, code_of};

impl RuleBuilder {
    /// Adds an equality between the last part's variable and an earlier one: an index key.
    ///
    /// Each side says which fields it reads.
    pub fn key<T: Fact, U: Fact, K: Hash + Eq + 'static>(
        &mut self,
        text: &str,
        (inner, inner_field): (Var<T>, &str),
        inner_key: impl Fn(&T) -> K + Clone + Send + Sync + 'static,
        (outer, outer_field): (Var<U>, &str),
        outer_key: impl Fn(&U) -> K + Clone + Send + Sync + 'static,
    ) {
        let push: fn(&mut Codes, &K) = |codes, key| codes.push_hashed(code_of(key));
        let join = self.key_join(
            text,
            (inner, inner_field),
            inner_key,
            (outer, outer_field),
            outer_key,
            push,
        );
        self.condition(text, |conditions| conditions.keys.push(join));
    }

    /// As [`RuleBuilder::key`], for integers and the like, whose codes need no second look.
    pub fn exact_key<T: Fact, U: Fact, K: ExactKey + Hash + Eq + 'static>(
        &mut self,
        text: &str,
        (inner, inner_field): (Var<T>, &str),
        inner_key: impl Fn(&T) -> K + Clone + Send + Sync + 'static,
        (outer, outer_field): (Var<U>, &str),
        outer_key: impl Fn(&U) -> K + Clone + Send + Sync + 'static,
    ) {
        let push: fn(&mut Codes, &K) = |codes, key| codes.push_exact(key.code());
        let mut join = self.key_join(
            text,
            (inner, inner_field),
            inner_key,
            (outer, outer_field),
            outer_key,
            push,
        );
        join.meaning = join.meaning.take().map(Meaning::exact);
        self.condition(text, |conditions| conditions.keys.push(join));
    }

    fn key_join<T: Fact, U: Fact, K: Hash + Eq + 'static>(
        &mut self,
        text: &str,
        (inner, inner_field): (Var<T>, &str),
        inner_key: impl Fn(&T) -> K + Clone + Send + Sync + 'static,
        (outer, outer_field): (Var<U>, &str),
        outer_key: impl Fn(&U) -> K + Clone + Send + Sync + 'static,
        push: fn(&mut Codes, &K),
    ) -> KeyJoin {
        let (i, o) = (inner.position, outer.position);
        let (inner_of, outer_of) = (inner_key.clone(), outer_key.clone());
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let (inner, outer) = (rows.facts::<T>(i), rows.facts::<U>(o));
            passed.extend(
                (0..rows.len()).map(|row| inner_of(inner.at(row)) == outer_of(outer.at(row))),
            );
        });
        let reads = vec![
            self.reads(&inner.reads(&[inner_field])),
            self.reads(&outer.reads(&[outer_field])),
        ];
        let meaning = Meaning::function(&inner_key);
        KeyJoin {
            meaning,
            inner: key_fn::<T, K>(0, inner_key, push),
            outer: key_fn::<U, K>(o, outer_key, push),
            test: Test::on_rows(text, reads, evaluate),
        }
    }

    /// Adds `inner <= outer` (or `>=`) between the last part's variable and an earlier one: a range.
    pub fn range<T: Fact, U: Fact, K: OrderedKey + Ord + 'static>(
        &mut self,
        text: &str,
        comparison: Comparison,
        (inner, inner_field): (Var<T>, &str),
        inner_key: impl Fn(&T) -> K + Clone + Send + Sync + 'static,
        (outer, outer_field): (Var<U>, &str),
        outer_key: impl Fn(&U) -> K + Clone + Send + Sync + 'static,
    ) {
        let (i, o) = (inner.position, outer.position);
        let (inner_of, outer_of) = (inner_key.clone(), outer_key.clone());
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let (inner, outer) = (rows.facts::<T>(i), rows.facts::<U>(o));
            passed.extend((0..rows.len()).map(|row| {
                let (a, b) = (inner_of(inner.at(row)), outer_of(outer.at(row)));
                match comparison {
                    Comparison::AtMost => a <= b,
                    Comparison::AtLeast => a >= b,
                }
            }));
        });
        let reads = vec![
            self.reads(&inner.reads(&[inner_field])),
            self.reads(&outer.reads(&[outer_field])),
        ];
        let meaning = Meaning::function(&inner_key);
        let join = RangeJoin {
            width: None,
            apart: None,
            comparison,
            meaning,
            inner: order_fn::<T, K>(0, inner_key),
            outer: order_fn::<U, K>(o, outer_key),
            test: Test::on_rows(text, reads, evaluate),
        };
        self.condition(text, |conditions| conditions.ranges.push(join));
    }

    /// Adds any condition on the last part's variable and an earlier one: evaluated for every pair
    /// that keys and ranges leave.
    pub fn residual<T: Fact, U: Fact>(
        &mut self,
        text: &str,
        (inner, inner_fields): (Var<T>, &[&str]),
        (outer, outer_fields): (Var<U>, &[&str]),
        condition: impl Fn(&T, &U) -> bool + Send + Sync + 'static,
    ) {
        let (i, o) = (inner.position, outer.position);
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let (inner, outer) = (rows.facts::<T>(i), rows.facts::<U>(o));
            passed.extend((0..rows.len()).map(|row| condition(inner.at(row), outer.at(row))));
        });
        let reads =
            vec![self.reads(&inner.reads(inner_fields)), self.reads(&outer.reads(outer_fields))];
        let test = Test::on_rows(text, reads, evaluate);
        self.condition(text, |conditions| conditions.residual.push(test));
    }
}

fn key_fn<T: Fact, K: 'static>(
    position: usize,
    key: impl Fn(&T) -> K + Send + Sync + 'static,
    push: fn(&mut Codes, &K),
) -> KeyFn {
    Arc::new(move |rows, codes| {
        let facts = rows.facts::<T>(position);
        (0..rows.len()).for_each(|row| push(codes, &key(facts.at(row))));
    })
}

fn order_fn<T: Fact, K: OrderedKey + 'static>(
    position: usize,
    key: impl Fn(&T) -> K + Send + Sync + 'static,
) -> OrderFn {
    Arc::new(move |rows, orders| {
        let facts = rows.facts::<T>(position);
        orders.extend((0..rows.len()).map(|row| key(facts.at(row)).order()));
    })
}
