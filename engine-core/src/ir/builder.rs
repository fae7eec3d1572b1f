//! Rules built at run time, for data-driven rules and tests.
//!
//! What the macros derive from tokens is said by hand here: which variables a condition reads and
//! which of their fields. Closures may capture data, which the macros' cannot.

mod groups;
mod temporal;

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use steadfast_wm::Digest;

use crate::fact::{Fact, FieldMask};
use crate::ir::{
    AgendaAttributes, Comparison, ConsequenceFn, Constant, KeyFn, KeyJoin, Late, Meaning, Nested,
    OnError, OrderFn, Part, Pattern, RangeJoin, RuleDef, Salience, Test, TestFn, Timer, Timing,
    Window, Writes,
};
use crate::key::{Codes, ExactKey, OrderedKey, code_of};
use crate::rows::Rows;
use crate::store::FactType;
use crate::then::{Ref, Row, RuleResult, Then};

/// A variable of a rule that is being built: a position that holds facts of type `T`.
#[derive(Debug)]
pub struct Var<T> {
    position: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Var<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Var<T> {}

impl<T: Fact> Var<T> {
    fn at(position: usize) -> Self {
        Self { position, kind: PhantomData }
    }

    /// The fact of a match.
    pub fn of<'a>(&self, row: &Row<'a>) -> &'a T {
        row.fact(self.position)
    }

    /// The fact of a match with its handle.
    pub fn reference<'a>(&self, row: &Row<'a>) -> Ref<'a, T> {
        row.reference(self.position)
    }

    /// The fact in one row of a batch, for keys and inputs of groups over several patterns.
    pub fn in_rows<'a>(&self, rows: &Rows<'a>, row: usize) -> &'a T {
        rows.facts::<T>(self.position).at(row)
    }

    /// What is read of it: these fields.
    pub fn reads(&self, fields: &[&str]) -> (usize, FieldMask) {
        reads::<T>(self.position, fields)
    }
}

/// A variable that holds a group.
#[derive(Debug)]
pub struct GroupVar<G> {
    position: usize,
    kind: PhantomData<fn() -> G>,
}

impl<G> Clone for GroupVar<G> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<G> Copy for GroupVar<G> {}

impl<G: 'static> GroupVar<G> {
    /// The group of a match.
    pub fn of<'a>(&self, row: &Row<'a>) -> &'a G {
        row.group(self.position)
    }
}

/// Builds a [`RuleDef`].
///
/// # Example
///
/// ```
/// # extern crate steadfast_engine_core as steadfast;
/// use serde::{Deserialize, Serialize};
/// use steadfast_engine_core::{Engine, Discard, FireOptions, ir::{RuleBuilder, Ruleset}};
/// use steadfast_macros::Fact;
///
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Reading { sensor: u32, celsius: i64 }
/// #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
/// struct Alarm { sensor: u32 }
///
/// let limit = 80; // read from a table, say
/// let mut rule = RuleBuilder::new("plant::too_hot").salience(10).derives::<Alarm>();
/// let reading = rule.each::<Reading>("r");
/// rule.when(reading, "r.celsius > limit", &["celsius"], move |r: &Reading| r.celsius > limit);
/// let rule = rule.then(move |row, cx| {
///     cx.insert_logical(Alarm { sensor: reading.of(row).sensor })?;
///     Ok(())
/// });
///
/// let rules = Ruleset::new("plant", 1).rule(rule);
/// let mut engine = Engine::new(&rules, Default::default(), &mut Discard)?;
/// engine.stage(&mut Discard, |stage| stage.insert(Reading { sensor: 3, celsius: 95 }))?;
/// engine.fire(FireOptions::default(), &mut Discard);
/// assert_eq!(engine.facts::<Alarm>()[0].sensor, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RuleBuilder {
    path: String,
    salience: Salience,
    pub(super) agenda: AgendaAttributes,
    on_error: OnError,
    timing: Timing,
    parts: Vec<Part>,
    writes: Writes,
    positions: usize,
}

fn reads<T: Fact>(position: usize, fields: &[&str]) -> (usize, FieldMask) {
    let mask =
        fields.iter().fold(FieldMask::NONE, |mask, field| mask.union(FieldMask::of::<T>(field)));
    (position, mask)
}

impl RuleBuilder {
    /// A rule with this path and no part yet.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            salience: Salience::Fixed(0),
            agenda: AgendaAttributes::default(),
            on_error: OnError::Abort,
            timing: Timing::default(),
            parts: Vec::new(),
            writes: Writes::default(),
            positions: 0,
        }
    }

    /// Sets the salience; 0 without.
    #[must_use]
    pub fn salience(mut self, salience: i32) -> Self {
        self.salience = Salience::Fixed(salience);
        self
    }

    /// Gives each match a salience of its own.
    ///
    /// It is computed when a flush makes the match pending, and again with each new trigger; the fields
    /// that it reads re-arm nothing by themselves. It must not panic: that stops the session.
    #[must_use]
    pub fn salience_of(
        mut self,
        text: &str,
        salience: impl Fn(&Row<'_>) -> i32 + Send + Sync + 'static,
    ) -> Self {
        self.salience = Salience::Of { text: text.to_owned(), evaluate: Arc::new(salience) };
        self
    }

    /// Sets what a failing consequence means.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Lets matches become pending when they are due instead of when they come about.
    #[must_use]
    pub fn timer(mut self, timer: Timer) -> Self {
        self.timing.timer = Some(timer);
        self
    }

    /// Sets what becomes of matches whose time was passed by more than a little.
    #[must_use]
    pub fn late(mut self, late: Late) -> Self {
        self.timing.late = late;
        self
    }

    /// Says that the consequence makes facts of this type, so that the ruleset knows it.
    #[must_use]
    pub fn makes<T: Fact>(mut self) -> Self {
        self.writes.makes.push(FactType::of::<T>());
        self
    }

    /// As [`RuleBuilder::makes`], of facts that the consequence derives: what looks for circles of
    /// derivations takes it into account.
    #[must_use]
    pub fn derives<T: Fact>(mut self) -> Self {
        self.writes.derives.push(FactType::of::<T>());
        self
    }

    /// Says what the consequence writes, in whichever way, beside what was said of it.
    #[must_use]
    pub fn writes(mut self, writes: Writes) -> Self {
        self.writes.append(writes);
        self
    }

    /// Adds a positive pattern: the match holds one such fact.
    pub fn each<T: Fact>(&mut self, variable: &str) -> Var<T> {
        let position = self.positions;
        self.positions += 1;
        self.parts.push(Part::Each(Pattern::new(variable, FactType::of::<T>())));
        Var::at(position)
    }

    /// Adds a `not`: no such fact exists. Its variable is good for conditions of this part only.
    pub fn not<T: Fact>(&mut self, variable: &str) -> Var<T> {
        self.parts.push(Part::Not(Pattern::new(variable, FactType::of::<T>())));
        Var::at(self.positions)
    }

    /// Adds an `exists`: at least one such fact exists. Its variable is good for conditions of this
    /// part only.
    pub fn exists<T: Fact>(&mut self, variable: &str) -> Var<T> {
        self.parts.push(Part::Exists(Pattern::new(variable, FactType::of::<T>())));
        Var::at(self.positions)
    }

    /// Adds a `not` over several patterns: no tuple of facts passes everything that `inside` adds.
    /// Variables made inside are good for conditions inside only; those before it for both.
    pub fn not_of(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nested(false, inside);
    }

    /// Adds an `exists` over several patterns: at least one tuple of facts passes everything that
    /// `inside` adds. As for [`RuleBuilder::not_of`], what is made inside stays inside.
    pub fn exists_of(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nested(true, inside);
    }

    /// Adds a `forall`: for every tuple of facts that passes `each`, something passes `has`. It holds
    /// if nothing passes `each`. The same as a `not` over `each` and a `not` over `has`.
    pub fn forall<V>(&mut self, each: impl FnOnce(&mut Self) -> V, has: impl FnOnce(&mut Self, V)) {
        self.not_of(|inside| {
            let variables = each(inside);
            inside.not_of(|inside| has(inside, variables));
        });
    }

    fn nested(&mut self, exists: bool, inside: impl FnOnce(&mut Self)) {
        let (before, positions) = (std::mem::take(&mut self.parts), self.positions);
        inside(self);
        self.positions = positions;
        let parts = std::mem::replace(&mut self.parts, before);
        self.parts.push(Part::Nested(Nested { exists, parts }));
    }

    /// Makes the last pattern's fact another one than every earlier fact of the match of its type.
    ///
    /// # Panics
    ///
    /// If no pattern precedes it.
    pub fn distinct(&mut self) {
        self.last_pattern().distinct = true;
    }

    /// Lets only the last `length` facts that pass the last pattern's conditions on them alone count for it.
    ///
    /// # Panics
    ///
    /// If `length` is 0 or no pattern precedes it.
    pub fn window_length(&mut self, length: u32) {
        self.last_pattern().window = Some(Window::last(length));
    }

    /// Lets only facts of the last `millis` milliseconds count for the last pattern; see [`Window::Time`].
    ///
    /// # Panics
    ///
    /// If no pattern precedes it.
    pub fn window_time(&mut self, millis: i64) {
        self.last_pattern().window = Some(Window::Time(millis));
    }

    /// Takes the last pattern's facts from a named entry point instead of the default one.
    ///
    /// # Panics
    ///
    /// If no pattern precedes it.
    pub fn from_entry(&mut self, entry: &'static str) {
        let pattern = self.last_pattern();
        pattern.fact = pattern.fact.from_entry(entry);
    }

    /// Lets updates of these fields of the last pattern's fact re-arm matches, beside those that conditions
    /// read; `*` is every field.
    ///
    /// # Panics
    ///
    /// If no pattern precedes it.
    pub fn watch<T: Fact>(&mut self, var: Var<T>, fields: &[&str]) {
        let (_, mask) = reads::<T>(var.position, fields);
        let pattern = self.last_pattern();
        pattern.watch = pattern.watch.union(mask);
    }

    /// Lets updates of these fields alone re-arm no match, also if conditions read them; `*` is every field.
    /// A match that they do not let pass any more still ends.
    ///
    /// # Panics
    ///
    /// If no pattern precedes it.
    pub fn ignore<T: Fact>(&mut self, var: Var<T>, fields: &[&str]) {
        let (_, mask) = reads::<T>(var.position, fields);
        let pattern = self.last_pattern();
        pattern.ignore = pattern.ignore.union(mask);
    }

    /// Adds a condition on one variable of the last part.
    pub fn when<T: Fact>(
        &mut self,
        var: Var<T>,
        text: &str,
        fields: &[&str],
        condition: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) {
        let meaning = Meaning::function(&condition);
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let facts = rows.facts::<T>(0);
            passed.extend((0..rows.len()).map(|row| condition(facts.at(row))));
        });
        let reads = vec![reads::<T>(var.position, fields)];
        let test = Test { text: text.to_owned(), reads, evaluate, meaning };
        self.last_pattern().conditions.alpha.push(test);
    }

    /// Adds the condition that one field of a variable of the last part has this value. Where many
    /// patterns say so of one field, facts find those that may take them.
    pub fn when_is<T: Fact, K: Hash + Eq + Clone + Send + Sync + 'static>(
        &mut self,
        var: Var<T>,
        field: &str,
        get: impl Fn(&T) -> &K + Clone + Send + Sync + 'static,
        value: K,
    ) {
        let code = code_of(&value);
        let key = get.clone();
        let meaning = Meaning::function(&get).map(|meaning| meaning.is(value.clone()));
        self.when(var, &format!(".{field} == a constant"), &[field], move |fact| {
            *get(fact) == value
        });
        let conditions = &mut self.last_pattern().conditions;
        if let Some(test) = conditions.alpha.last_mut() {
            test.meaning = meaning;
        }
        let inner: KeyFn = Arc::new(move |rows, codes| {
            let facts = rows.facts::<T>(0);
            (0..rows.len()).for_each(|row| codes.push_hashed(code_of(key(facts.at(row)))));
        });
        let (test, path) = (conditions.alpha.len() - 1, format!(".{field}"));
        conditions.constants.push(Constant { test, path, inner, code, exact: false });
    }

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
        let (i, o) = (inner.position, outer.position);
        let (inner_of, outer_of) = (inner_key.clone(), outer_key.clone());
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let (inner, outer) = (rows.facts::<T>(i), rows.facts::<U>(o));
            passed.extend(
                (0..rows.len()).map(|row| inner_of(inner.at(row)) == outer_of(outer.at(row))),
            );
        });
        let reads = vec![reads::<T>(i, &[inner_field]), reads::<U>(o, &[outer_field])];
        let push: fn(&mut Codes, &K) = |codes, key| codes.push_hashed(code_of(key));
        let meaning = Meaning::function(&inner_key);
        let join = KeyJoin {
            meaning,
            inner: key_fn::<T, K>(0, inner_key, push),
            outer: key_fn::<U, K>(o, outer_key, push),
            test: Test { text: text.to_owned(), reads, evaluate, meaning: None },
        };
        self.last_pattern().conditions.keys.push(join);
    }

    /// As [`RuleBuilder::key`], for integers and the like, whose codes need no second look.
    ///
    /// # Panics
    ///
    /// If no pattern precedes it.
    pub fn exact_key<T: Fact, U: Fact, K: ExactKey + Hash + Eq + 'static>(
        &mut self,
        text: &str,
        (inner, inner_field): (Var<T>, &str),
        inner_key: impl Fn(&T) -> K + Clone + Send + Sync + 'static,
        (outer, outer_field): (Var<U>, &str),
        outer_key: impl Fn(&U) -> K + Clone + Send + Sync + 'static,
    ) {
        let (i, o) = (inner_key.clone(), outer_key.clone());
        self.key(text, (inner, inner_field), inner_key, (outer, outer_field), outer_key);
        let push: fn(&mut Codes, &K) = |codes, key| codes.push_exact(key.code());
        let join = self.last_pattern().conditions.keys.last_mut().expect("just added");
        join.meaning = join.meaning.take().map(Meaning::exact);
        join.inner = key_fn::<T, K>(0, i, push);
        join.outer = key_fn::<U, K>(outer.position, o, push);
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
        let reads = vec![reads::<T>(i, &[inner_field]), reads::<U>(o, &[outer_field])];
        let meaning = Meaning::function(&inner_key);
        let join = RangeJoin {
            width: None,
            apart: None,
            comparison,
            meaning,
            inner: order_fn::<T, K>(0, inner_key),
            outer: order_fn::<U, K>(o, outer_key),
            test: Test { text: text.to_owned(), reads, evaluate, meaning: None },
        };
        self.last_pattern().conditions.ranges.push(join);
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
        let reads = vec![reads::<T>(i, inner_fields), reads::<U>(o, outer_fields)];
        let test = Test { text: text.to_owned(), reads, evaluate, meaning: None };
        self.last_pattern().conditions.residual.push(test);
    }

    /// Closes the rule with its consequence.
    pub fn then(
        self,
        consequence: impl Fn(&Row<'_>, &mut Then<'_>) -> RuleResult + Send + Sync + 'static,
    ) -> RuleDef {
        let text =
            format!("{:?} {:?} {:?} {:?}", self.parts, self.salience, self.agenda, self.timing);
        let consequence: ConsequenceFn = Arc::new(consequence);
        RuleDef {
            conditions_digest: Digest::of(text.as_bytes()),
            consequence_digest: Digest::of(self.path.as_bytes()),
            path: self.path,
            salience: self.salience,
            agenda: self.agenda,
            on_error: self.on_error,
            timing: self.timing,
            parts: self.parts,
            branches: Vec::new(),
            writes: self.writes,
            consequence,
        }
    }

    fn last_pattern(&mut self) -> &mut Pattern {
        let part = self.parts.last_mut().expect("a condition follows its pattern");
        match part {
            Part::Each(pattern) | Part::Not(pattern) | Part::Exists(pattern) => pattern,
            Part::Group(group) => group.elements.last_mut().expect("groups have elements"),
            Part::Nested(_) => panic!("conditions of nested patterns are added inside"),
        }
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
