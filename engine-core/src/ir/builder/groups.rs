//! Groups of rules built at run time.

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FieldsOf, GroupVar, RuleBuilder, Var};
use crate::aggregate::{Aggregate, Count, Group, GroupSpec};
use crate::fact::Fact;
use crate::ir::{GroupPattern, Part, Pattern, RulesetError, Test, TestFn};
use crate::rows::Rows;
use crate::store::FactType;

impl RuleBuilder {
    /// Adds elements of a group; the group itself follows with [`RuleBuilder::group_by`] or
    /// [`RuleBuilder::accumulate`]. Their variables are good for conditions inside the group only.
    pub fn element<T: Fact>(&mut self, variable: &str) -> Var<T> {
        let pattern = Pattern::new(variable, FactType::of::<T>());
        let open = matches!(self.parts.last(), Some(Part::Group(group)) if group.is_open());
        if !open {
            self.parts.push(Part::Group(GroupPattern::open()));
        }
        let Some(Part::Group(group)) = self.parts.last_mut() else { unreachable!("just pushed") };
        group.elements.push(pattern);
        let position = self.positions + group.elements.len() - 1;
        self.variable(position, variable)
    }

    /// Closes the elements before it into groups by key. `S` names the elements' types.
    pub fn group_by<S, T, K, F>(
        &mut self,
        of: Var<T>,
        fields: &[&str],
        key: impl Fn(&T) -> K + Send + Sync + 'static,
        function: F,
        input: impl Fn(&T) -> F::Input + Send + Sync + 'static,
    ) -> GroupVar<Group<S, K, F::Output>>
    where
        S: 'static,
        T: Fact,
        K: Hash + Eq + Clone + Serialize + DeserializeOwned + Send + 'static,
        F: Aggregate,
    {
        let at = of.position;
        let key = move |rows: &Rows<'_>, row: usize| key(rows.facts::<T>(at).at(row));
        let input = move |rows: &Rows<'_>, row: usize| input(rows.facts::<T>(at).at(row));
        let text = function.text();
        let spec = GroupSpec::by_key::<S, K, F>(key, function, input);
        self.close_group(spec, &[of.reads(fields)], ("by key", text))
    }

    /// As [`RuleBuilder::group_by`], with keys and inputs of several elements, or of facts before the
    /// group. They get a batch and the number of a row in it; `reads` says what they read.
    ///
    /// # Example
    ///
    /// ```
    /// # extern crate steadfast_engine_core as steadfast;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast_macros::Fact;
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Sensor { id: u64, floor: u64 }
    /// # #[derive(Fact, Clone, PartialEq, Serialize, Deserialize)]
    /// # struct Reading { sensor: u64, day: u64, value: f64 }
    /// use steadfast::aggregate::{Count, Sum};
    /// use steadfast::ir::RuleBuilder;
    ///
    /// let mut rule = RuleBuilder::new("plant::by_floor_and_day");
    /// let s = rule.element::<Sensor>("s");
    /// let r = rule.element::<Reading>("r");
    /// rule.exact_key("r.sensor == s.id", (r, "sensor"), |r| r.sensor, (s, "id"), |s| s.id);
    /// let group = rule.group_by_tuple::<(Sensor, Reading), (u64, u64), _>(
    ///     &[s.reads(&["floor"]), r.reads(&["day", "value"])],
    ///     move |rows, row| (s.in_rows(rows, row).floor, r.in_rows(rows, row).day),
    ///     (Count, Sum::<f64>::default()),
    ///     move |rows, row| ((), r.in_rows(rows, row).value),
    /// );
    /// rule.having(group, "g.0 > 1", |g| g.0 > 1);
    /// let rule = rule.then(move |row, _| {
    ///     let g = group.of(row);
    ///     println!("{:?}: {} readings, {} in all", g.key, g.0, g.1);
    ///     Ok(())
    /// });
    /// # assert_eq!(rule.parts.len(), 1);
    /// ```
    pub fn group_by_tuple<S, K, F>(
        &mut self,
        reads: &[FieldsOf],
        key: impl Fn(&Rows<'_>, usize) -> K + Send + Sync + 'static,
        function: F,
        input: impl Fn(&Rows<'_>, usize) -> F::Input + Send + Sync + 'static,
    ) -> GroupVar<Group<S, K, F::Output>>
    where
        S: 'static,
        K: Hash + Eq + Clone + Serialize + DeserializeOwned + Send + 'static,
        F: Aggregate,
    {
        let text = function.text();
        let spec = GroupSpec::by_key::<S, K, F>(key, function, input);
        self.close_group(spec, reads, ("by key", text))
    }

    /// Closes the elements before it into one accumulate per outer tuple.
    pub fn accumulate<S, T, F>(
        &mut self,
        of: Var<T>,
        fields: &[&str],
        function: F,
        input: impl Fn(&T) -> F::Input + Send + Sync + 'static,
    ) -> GroupVar<Group<S, (), F::Output>>
    where
        S: 'static,
        T: Fact,
        F: Aggregate,
    {
        let at = of.position;
        let input = move |rows: &Rows<'_>, row: usize| input(rows.facts::<T>(at).at(row));
        let text = function.text();
        let spec = GroupSpec::over_all::<S, F>(function, input);
        self.close_group(spec, &[of.reads(fields)], ("", text))
    }

    fn close_group<G>(
        &mut self,
        spec: GroupSpec,
        reads: &[FieldsOf],
        (key, function): (&str, String),
    ) -> GroupVar<G> {
        let position = self.positions;
        self.positions += 1;
        let reads: Vec<_> = reads.iter().map(|fields| self.reads(fields)).collect();
        if let Some(Part::Group(group)) = self.parts.last_mut() {
            group.spec = spec;
            group.reads.extend(reads);
            key.clone_into(&mut group.key_text);
            group.function_text = function;
        } else {
            let (path, problem) = (self.path.clone(), "of nothing: add an element before it");
            self.mistakes.push(RulesetError::Group { path, problem });
        }
        GroupVar { position, kind: PhantomData }
    }

    /// Adds a condition on the result of the last group.
    pub fn having<G: 'static>(
        &mut self,
        group: GroupVar<G>,
        text: &str,
        condition: impl Fn(&G) -> bool + Send + Sync + 'static,
    ) {
        let at = group.position;
        let evaluate: TestFn = Arc::new(move |rows, passed| {
            let groups = rows.groups::<G>(at);
            passed.extend((0..rows.len()).map(|row| condition(groups.at(row))));
        });
        let test = Test::on_rows(text, Vec::new(), evaluate);
        if let Some(Part::Group(part)) = self.parts.last_mut() {
            part.having.push(test);
        } else {
            let what = format!("the condition `{text}` on a group");
            self.misplaced(&what, "stands behind something else: say it where the group is closed");
        }
    }
}

impl GroupPattern {
    /// A group whose elements are still being added.
    fn open() -> Self {
        Self {
            variable: String::new(),
            elements: Vec::new(),
            spec: GroupSpec::over_all::<(), _>((Count,), |_, _| ((),)),
            reads: Vec::new(),
            key_text: String::new(),
            function_text: String::new(),
            having: Vec::new(),
        }
    }

    pub(in crate::ir) fn is_open(&self) -> bool {
        self.function_text.is_empty()
    }
}
