//! From parameters to the left-hand side: positions, scopes, classes of conditions.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, Expr, Result};

use super::classify::Class;
use super::group::{element_pattern, group};
use super::items::{Element, Item};
use super::model::{
    Analysis, Argument, Condition, Declared, FactPattern, Part, Variable, is_indexed,
};
use super::nested::{attach, check_name, declared, forall, nested};
use super::param::{Kind, Param};
use super::scope::{Scope, inside};
use super::usage::Usage;
use crate::errors::Errors;

/// Analyzes the parameters of a rule or query, and the expressions of its salience and of
/// `enabled`: one analysis for each branch, of which a rule without an `or` has one.
pub(crate) fn analyze(
    params: &[Param],
    (salience, enabled, branches_max): (Option<&Expr>, Option<&Expr>, usize),
    what: &str,
    span: Span,
) -> Result<Vec<Analysis>> {
    let mut used_names = used_names(params);
    let expressions = salience.into_iter().chain(enabled);
    used_names.extend(expressions.flat_map(|expr| Usage::of(expr).names.into_keys()));
    let mut errors = Errors::default();
    check_contexts(params, &mut errors);
    let is_pattern = |param: &Param| !matches!(param.kind, Kind::Having | Kind::Then);
    let has_pattern = params.iter().any(is_pattern);
    let scope = Scope::of(params);
    let (parts, arguments, declared) = (Vec::new(), Vec::new(), Vec::new());
    let mut walks = vec![Walk { scope, parts, arguments, declared }];
    for param in params {
        walks = through(walks, param, branches_max, &mut errors);
    }
    if !has_pattern {
        let message = format!("{what} needs a pattern, so that something triggers it: `&Fact`, …");
        errors.push(Error::new(span, message));
    }
    let mut analyses = Vec::new();
    for Walk { scope, parts, arguments, declared } in walks {
        let salience = salience.map(|expr| scope.value(expr)).transpose();
        let enabled = enabled.map(|expr| scope.value(expr)).transpose();
        let failed = salience.is_err() || enabled.is_err();
        let (salience, enabled) = (errors.take(salience).flatten(), errors.take(enabled).flatten());
        let used_names = used_names.clone();
        analyses.push(Analysis { parts, declared, arguments, salience, enabled, used_names });
        if failed {
            break;
        }
    }
    errors.finish(analyses)
}

/// Takes each walk through a parameter; an `or` makes a walk of each of its branches.
fn through(walks: Vec<Walk>, param: &Param, max: usize, errors: &mut Errors) -> Vec<Walk> {
    let or = &param.attributes.or;
    if let [(_, only)] = or.as_slice() {
        let message = "one branch is no choice: write `#[when(…)]`, or a second `#[or(…)]`";
        errors.push(Error::new(*only, message));
    }
    let branches = or.len().max(1);
    if let (true, Some((_, first))) = (walks.len() * branches > max, or.first()) {
        let message = format!(
            "the rule has {} branches with these: each is matched on its own. Split the rule, or \
             allow it as `#[rule(allow_dnf = {})]`",
            walks.len() * branches,
            walks.len() * branches,
        );
        errors.push(Error::new(*first, message));
        return walks;
    }
    let mut longer = Vec::new();
    for walk in walks {
        for branch in 0..branches {
            let mut walk = walk.clone();
            let taken = walk.param(param.clone(), branch);
            let failed = taken.is_err();
            errors.take(taken);
            longer.push(walk);
            if failed {
                // One mistake is one error, however many branches have it.
                longer.truncate(1);
                return longer;
            }
        }
    }
    longer
}

fn check_contexts(params: &[Param], errors: &mut Errors) {
    let contexts = params.iter().filter(|param| matches!(param.kind, Kind::Then));
    for second in contexts.skip(1) {
        let message = "a rule has one context: this is the second `&mut Then`";
        errors.push(Error::new(second.name.span(), message));
    }
}

/// Names that conditions use, so that the function need not use them.
fn used_names(params: &[Param]) -> Vec<String> {
    let expressions = params.iter().flat_map(|param| param.attributes.expressions());
    expressions.flat_map(|expr| Usage::of(expr).names.into_keys()).collect()
}

#[derive(Clone)]
struct Walk {
    scope: Scope,
    parts: Vec<Part>,
    arguments: Vec<Argument>,
    declared: Vec<Declared>,
}

impl Walk {
    /// Goes on through a parameter, in one of its branches if it has several.
    fn param(&mut self, param: Param, branch: usize) -> Result<()> {
        match param.kind {
            Kind::Fact { .. } => self.fact(param, branch)?,
            Kind::Absent { ref ty } => {
                self.arguments.push(Argument::Absent(ty.clone()));
                self.absence(param.clone(), ty, false)?;
            }
            Kind::Exists { ref ty } => {
                self.arguments.push(Argument::Exists(ty.clone()));
                self.absence(param.clone(), ty, true)?;
            }
            Kind::Forall { ref ty } => {
                self.arguments.push(Argument::Forall(ty.clone()));
                self.forall(param.clone(), ty)?;
            }
            Kind::Either => {
                let branch_number = u16::try_from(branch).unwrap_or(u16::MAX);
                self.arguments.push(Argument::Either(branch_number));
                let cross = param.attributes.cross.is_some();
                let Some((items, _)) = param.attributes.or.into_iter().nth(branch) else {
                    let message = "expected an `#[or(…)]` for each branch";
                    return Err(Error::new(param.name.span(), message));
                };
                self.branch(items, cross)?;
            }
            Kind::Group(ty) => {
                let position = self.scope.next_position();
                let whole = ty.whole.clone();
                let variable = Variable { name: param.name, ty: whole, is_group: true, position };
                let by_value = ty.by_value;
                let pattern = group(&self.scope, variable.clone(), *ty, param.attributes);
                self.scope.show(variable.clone());
                self.arguments.push(Argument::Group { variable, by_value });
                self.parts.push(Part::Group(Box::new(pattern?)));
            }
            Kind::Having => {
                self.arguments.push(Argument::Having);
                self.having(&param)?;
            }
            Kind::Then => self.arguments.push(Argument::Then),
        }
        Ok(())
    }

    /// A positive pattern, with what its branch of an `or` adds.
    fn fact(&mut self, mut param: Param, branch: usize) -> Result<()> {
        let Kind::Fact { ty, with_handle } = param.kind.clone() else { return Ok(()) };
        let variable = self.variable(&param, ty);
        let cross = param.attributes.cross.is_some();
        let branches = std::mem::take(&mut param.attributes.or);
        let has_branches = !branches.is_empty();
        let branch = branches.into_iter().nth(branch);
        let mut own = branch.map(|(items, _)| items).unwrap_or_default();
        // Conditions that stand first are about the parameter's own fact.
        let leading = own.iter().take_while(|item| matches!(item, Item::Condition(_))).count();
        let others = own.split_off(leading);
        param.attributes.conditions.extend(own.iter().flat_map(Item::conditions).cloned());
        let pattern = self.pattern(&variable, param, has_branches);
        self.scope.show(variable.clone());
        let argument =
            if with_handle { Argument::Handle(variable) } else { Argument::Fact(variable) };
        self.arguments.push(argument);
        self.parts.push(Part::Each(pattern?));
        self.branch(others, cross)
    }

    /// The patterns of one branch of an `or`. Their facts are members of the match; their variables
    /// are the branch's own.
    fn branch(&mut self, items: Vec<Item>, cross: bool) -> Result<()> {
        let mut names = Vec::new();
        for item in attach(items)? {
            match item {
                Item::Each(element) => {
                    check_name(&self.scope, &element.name)?;
                    names.push(element.name.clone());
                    let may_be_unindexed = cross || !self.joins_many();
                    let pattern = element_pattern(&mut self.scope, element, may_be_unindexed)?;
                    self.parts.push(Part::Each(pattern));
                }
                Item::Group(group) => {
                    check_name(&self.scope, &group.name)?;
                    names.push(group.name.clone());
                    let pattern = group.analyze(&mut self.scope, cross)?;
                    self.parts.push(Part::Group(Box::new(pattern)));
                }
                Item::Nested { exists, items } => {
                    self.parts.push(nested(&self.scope, exists, items, cross)?);
                }
                Item::Condition(condition) => {
                    return Err(Error::new(condition.span(), "expected a pattern"));
                }
            }
        }
        for name in names {
            self.scope.hide(&name.to_string(), inside("or", &name));
        }
        Ok(())
    }

    /// A `not` or `exists` over one fact, or over named patterns.
    fn absence(&mut self, mut param: Param, ty: &syn::Type, exists: bool) -> Result<()> {
        let word = if exists { "Exists" } else { "Absent" };
        let Some(items) = param.attributes.items.take() else {
            if let syn::Type::Tuple(_) = ty {
                let message = format!(
                    "several patterns have their names in the attribute: \
                     `#[{}(a: A, …; b: B, …)] _: {word}<(A, B)>`",
                    word_of(exists),
                );
                return Err(Error::new(ty.span(), message));
            }
            let variable = self.variable(&param, ty.clone());
            let pattern = self.pattern(&variable, param, false)?;
            let part = if exists { Part::Exists(pattern) } else { Part::Not(pattern) };
            self.parts.push(part);
            return Ok(());
        };
        refuse_on_items(&param)?;
        let variables = items.iter().flat_map(Item::variables);
        let named: Vec<syn::Type> = variables.map(|(_, ty)| ty.clone()).collect();
        self.declared.extend(declared(ty, &named, word)?);
        let part = nested(&self.scope, exists, items, param.attributes.cross.is_some())?;
        self.parts.push(part);
        Ok(())
    }

    fn forall(&mut self, param: Param, ty: &syn::Type) -> Result<()> {
        let Some(items) = param.attributes.items else {
            let message =
                "expected `#[forall(p: Fact, …; …)]`: which facts, and what holds for each";
            return Err(Error::new(param.name.span(), message));
        };
        let own = match ty {
            syn::Type::Tuple(tuple) => tuple.elems.first().unwrap_or(ty),
            one => one,
        };
        let (name, entry) = (param.name, param.attributes.from);
        let own = Element { name, ty: own.clone(), entry, window: None, conditions: Vec::new() };
        let cross = param.attributes.cross.is_some();
        let (part, named) = forall(&self.scope, own, items, cross)?;
        self.declared.extend(declared(ty, &named, "Forall")?);
        self.parts.push(part);
        Ok(())
    }

    fn variable(&self, param: &Param, ty: syn::Type) -> Variable {
        let position = self.scope.next_position();
        Variable { name: param.name.clone(), ty, is_group: false, position }
    }

    /// The pattern of a parameter's own fact; in one with branches, `#[cross]` may be for
    /// what stands in these.
    fn pattern(
        &self,
        variable: &Variable,
        param: Param,
        has_branches: bool,
    ) -> Result<FactPattern> {
        let positive = matches!(param.kind, Kind::Fact { .. });
        let scope = self.scope.with(variable);
        let mut conditions = Vec::new();
        for condition in &param.attributes.conditions {
            conditions.extend(scope.conditions(condition)?);
        }
        let joins = positive && self.joins_many();
        let unindexed = (joins && !is_indexed(&conditions)).then(|| variable.name.span());
        if let (Some(span), None, false) = (param.attributes.cross, unindexed, has_branches) {
            let message = "`#[cross]` is for a pattern that joins others without `==` or `<`";
            return Err(Error::new(span, message));
        }
        let unindexed = unindexed.filter(|_| param.attributes.cross.is_none());
        let (variable, entry) = (variable.clone(), param.attributes.from);
        let (watch, window) = (param.attributes.watch, param.attributes.window);
        let distinct = param.attributes.distinct.is_some();
        Ok(FactPattern { variable, entry, conditions, window, watch, distinct, unindexed })
    }

    /// Whether more than one tuple may stand before the next pattern.
    fn joins_many(&self) -> bool {
        self.parts.iter().any(Part::joins_many)
    }

    /// Gives each conjunct to the last group that it names.
    fn having(&mut self, param: &Param) -> Result<()> {
        if param.attributes.conditions.is_empty() {
            let message = "expected `#[having(…)]` with a condition on a group before it";
            return Err(Error::new(param.name.span(), message));
        }
        let group_of = |condition: &Condition| {
            let groups = condition.used.iter().filter(|used| used.variable.is_group);
            groups.map(|used| used.variable.position).max()
        };
        for expr in &param.attributes.conditions {
            let conditions = self.scope.conditions(expr)?;
            let last_named = conditions.iter().filter_map(group_of).max();
            let Some(last_named) = last_named else {
                let message = "this names no group: a `having` is a condition on a group before it";
                return Err(Error::new(expr.span(), message));
            };
            for mut condition in conditions {
                let group = group_of(&condition).unwrap_or(last_named);
                let later = condition.used.iter().find(|used| used.variable.position > group);
                if let Some(later) = later {
                    let name = &later.variable.name;
                    let message = format!(
                        "`{name}` stands behind the group: a `having` sees the group and what is \
                         before it; put this into the `#[when(…)]` of `{name}`"
                    );
                    return Err(Error::new(later.usage.ident.span(), message));
                }
                condition.class = Class::Residual;
                let part = self.parts.iter_mut().find_map(|part| match part {
                    Part::Group(pattern) if pattern.variable.position == group => Some(pattern),
                    _ => None,
                });
                if let Some(pattern) = part {
                    pattern.having.push(condition);
                }
            }
        }
        Ok(())
    }
}

fn word_of(exists: bool) -> &'static str {
    if exists { "exists" } else { "not" }
}

/// What says something of the parameter's own fact, where the attribute names several.
fn refuse_on_items(param: &Param) -> Result<()> {
    if let Some(entry) = &param.attributes.from {
        let message = "named patterns each say it themselves: `a: Fact from \"east\", …`";
        return Err(Error::new(entry.span(), message));
    }
    if let Some(condition) = param.attributes.conditions.first() {
        let message = "with named patterns conditions stand behind them: `a: Fact, …`";
        return Err(Error::new(condition.span(), message));
    }
    if let Some(window) = &param.attributes.window {
        let message = "named patterns each say it themselves: `a: Fact window(length = 3), …`";
        return Err(Error::new(window.span, message));
    }
    match param.attributes.distinct {
        Some(span) => {
            let message = "`#[distinct]` is for one fact: compare the named ones, `a.id != b.id`";
            Err(Error::new(span, message))
        }
        None => Ok(()),
    }
}
