//! Rules built at run time, for data-driven rules and tests.
//!
//! What the macros derive from tokens is said by hand here: which variables a condition reads and
//! which of their fields. Closures may capture data, which the macros' cannot.

mod groups;
mod joins;
mod temporal;

use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

use steadfast_wm::Digest;

use crate::fact::{Fact, FieldMask};
use crate::ir::{
    AgendaAttributes, Conditions, ConsequenceFn, Constant, KeyFn, Late, Meaning, Nested, OnError,
    Part, Pattern, RuleDef, RulesetError, Salience, Test, Timer, Timing, Window, Writes,
};
use crate::key::code_of;
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

    /// What is read of it: these fields; `*` is every field.
    pub fn reads(&self, fields: &[&str]) -> FieldsOf {
        FieldsOf::new::<T>(self.position, fields)
    }
}

/// Fields of a variable that are read; see [`Var::reads`].
#[derive(Clone, Debug)]
pub struct FieldsOf {
    position: usize,
    mask: FieldMask,
    /// The first name that is none of a field, the type, and the fields that it has.
    unknown: Option<(String, &'static str, &'static [&'static str])>,
}

impl FieldsOf {
    fn new<T: Fact>(position: usize, fields: &[&str]) -> Self {
        let of = |field: &&str| match *field {
            "*" => Some(FieldMask::ALL),
            field => T::FIELDS.contains(&field).then(|| FieldMask::of::<T>(field)),
        };
        let unknown = fields.iter().find(|field| of(field).is_none());
        Self {
            position,
            mask: fields.iter().filter_map(of).fold(FieldMask::NONE, FieldMask::union),
            unknown: unknown.map(|field| ((*field).to_owned(), T::NAME, T::FIELDS)),
        }
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
/// What makes no rule – a field that its type does not have, a condition before any pattern, a group of
/// nothing – is remembered, and [`Ruleset::check`] tells it with the rule's path, before anything is opened
/// with such a rule. So nothing here fails.
///
/// [`Ruleset::check`]: crate::ir::Ruleset::check
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
    /// By position the variable that had it last.
    variables: Vec<String>,
    mistakes: Vec<RulesetError>,
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
            variables: Vec::new(),
            mistakes: Vec::new(),
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
        self.parts.push(Part::Each(Pattern::new(variable, FactType::of::<T>())));
        self.positions += 1;
        self.variable(self.positions - 1, variable)
    }

    /// Adds a `not`: no such fact exists. Its variable is good for conditions of this part only.
    pub fn not<T: Fact>(&mut self, variable: &str) -> Var<T> {
        self.parts.push(Part::Not(Pattern::new(variable, FactType::of::<T>())));
        self.variable(self.positions, variable)
    }

    /// Adds an `exists`: at least one such fact exists. Its variable is good for conditions of this
    /// part only.
    pub fn exists<T: Fact>(&mut self, variable: &str) -> Var<T> {
        self.parts.push(Part::Exists(Pattern::new(variable, FactType::of::<T>())));
        self.variable(self.positions, variable)
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
    pub fn distinct(&mut self) {
        self.last_pattern("`distinct`", |pattern| pattern.distinct = true);
    }

    /// Lets only the last `length` facts that pass the last pattern's conditions on them alone count for it.
    pub fn window_length(&mut self, length: u32) {
        match NonZeroU32::new(length).map(Window::Length) {
            None => self.misplaced("a window", "is over no facts: give it a length of 1 or more"),
            window => self.last_pattern("a window", |pattern| pattern.window = window),
        }
    }

    /// Lets only facts of the last `millis` milliseconds count for the last pattern; see [`Window::Time`].
    pub fn window_time(&mut self, millis: i64) {
        let window = Some(Window::Time(millis));
        self.last_pattern("a window", |pattern| pattern.window = window);
    }

    /// Takes the last pattern's facts from a named entry point instead of the default one.
    pub fn from_entry(&mut self, entry: &'static str) {
        let from = |pattern: &mut Pattern| pattern.fact = pattern.fact.from_entry(entry);
        self.last_pattern(&format!("the entry point `{entry}`"), from);
    }

    /// Lets updates of these fields of the last pattern's fact re-arm matches, beside those that conditions
    /// read; `*` is every field.
    pub fn watch<T: Fact>(&mut self, var: Var<T>, fields: &[&str]) {
        let (_, mask) = self.reads(&var.reads(fields));
        self.last_pattern("`watch`", |pattern| pattern.watch = pattern.watch.union(mask));
    }

    /// Lets updates of these fields alone re-arm no match, also if conditions read them; `*` is every field.
    /// A match that they do not let pass any more still ends.
    pub fn ignore<T: Fact>(&mut self, var: Var<T>, fields: &[&str]) {
        let (_, mask) = self.reads(&var.reads(fields));
        self.last_pattern("`ignore`", |pattern| pattern.ignore = pattern.ignore.union(mask));
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
        let reads = vec![self.reads(&var.reads(fields))];
        let test = Test::on_fact(text, reads, condition, meaning);
        self.condition(text, |conditions| conditions.alpha.push(test));
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
        let (code, key) = (code_of(&value), get.clone());
        let meaning = Meaning::function(&get).map(|meaning| meaning.is(value.clone()));
        let text = format!(".{field} == a constant");
        let reads = vec![self.reads(&var.reads(&[field]))];
        let test = Test::on_fact(&*text, reads, move |fact| *get(fact) == value, meaning);
        let inner: KeyFn = Arc::new(move |rows, codes| {
            let facts = rows.facts::<T>(0);
            (0..rows.len()).for_each(|row| codes.push_hashed(code_of(key(facts.at(row)))));
        });
        let path = format!(".{field}");
        self.condition(&text, |conditions| {
            let test_at = conditions.alpha.len();
            conditions.alpha.push(test);
            conditions.constants.push(Constant { test: test_at, path, inner, code, exact: false });
        });
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
            mistakes: self.mistakes,
            consequence,
        }
    }

    /// The variable of a new pattern.
    fn variable<T: Fact>(&mut self, position: usize, name: &str) -> Var<T> {
        self.variables.resize(position, String::new());
        self.variables.push(name.to_owned());
        Var::at(position)
    }

    /// What fields are, as conditions say what they read.
    fn reads(&mut self, fields: &FieldsOf) -> (usize, FieldMask) {
        if let Some((field, kind, fields_of_type)) = &fields.unknown {
            let pattern = self.variables.get(fields.position).cloned().unwrap_or_default();
            let fields = fields_of_type.join("`, `");
            let (path, field) = (self.path.clone(), field.clone());
            self.mistakes.push(RulesetError::Field { path, pattern, kind, field, fields });
        }
        (fields.position, fields.mask)
    }

    fn condition(&mut self, text: &str, add: impl FnOnce(&mut Conditions)) {
        let what = format!("the condition `{text}`");
        self.last_pattern(&what, |pattern| add(&mut pattern.conditions));
    }

    /// Does something to the pattern before it.
    fn last_pattern(&mut self, what: &str, act: impl FnOnce(&mut Pattern)) {
        let problem = match self.parts.last_mut() {
            Some(Part::Each(pattern) | Part::Not(pattern) | Part::Exists(pattern)) => {
                return act(pattern);
            }
            Some(Part::Group(group)) => match group.elements.last_mut() {
                Some(element) => return act(element),
                None => "is of a group without elements: add an element before it",
            },
            Some(Part::Nested(_)) => {
                "stands behind a `not` or `exists` over several patterns: say it inside, where its pattern is"
            }
            None => "stands before any pattern: add the pattern first",
        };
        self.misplaced(what, problem);
    }

    fn misplaced(&mut self, what: &str, problem: &'static str) {
        let (path, what) = (self.path.clone(), what.to_owned());
        self.mistakes.push(RulesetError::Misplaced { path, what, problem });
    }
}
