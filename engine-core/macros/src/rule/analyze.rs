//! From parameters to the left-hand side: positions, scopes, classes of conditions.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, Expr, Result};

use super::classify::Class;
use super::group::group;
use super::model::{Analysis, Argument, Condition, FactPattern, Part, Variable, is_indexed};
use super::param::{Kind, Param};
use super::scope::Scope;
use super::usage::Usage;
use crate::errors::Errors;

/// Analyzes the parameters of a rule or query, and the expression of its salience.
pub(crate) fn analyze(
    params: Vec<Param>,
    salience: Option<&Expr>,
    what: &str,
    span: Span,
) -> Result<Analysis> {
    let mut used_names = used_names(&params);
    used_names.extend(salience.into_iter().flat_map(|expr| Usage::of(expr).names.into_keys()));
    let mut errors = Errors::default();
    check_contexts(&params, &mut errors);
    let is_pattern = |param: &Param| !matches!(param.kind, Kind::Having | Kind::Then);
    let has_pattern = params.iter().any(is_pattern);
    let mut walk = Walk { scope: Scope::of(&params), parts: Vec::new(), arguments: Vec::new() };
    for param in params {
        errors.take(walk.param(param));
    }
    if !has_pattern {
        let message = format!("{what} needs a pattern, so that something triggers it: `&Fact`, …");
        errors.push(Error::new(span, message));
    }
    let Walk { scope, parts, arguments } = walk;
    let salience = salience.and_then(|expr| errors.take(scope.value(expr)));
    errors.finish(Analysis { parts, arguments, salience, used_names })
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
    let mut names = Vec::new();
    for param in params {
        let attributes = &param.attributes;
        let by = attributes.group_by.iter().flatten();
        let functions = attributes.aggregate.iter().flat_map(|(functions, _)| functions);
        let inputs = functions.flat_map(|function| &function.inputs);
        let of_elements = attributes.each.iter().flat_map(|element| &element.conditions);
        let all = attributes.conditions.iter().chain(by).chain(inputs).chain(of_elements);
        all.for_each(|expr| names.extend(Usage::of(expr).names.into_keys()));
    }
    names
}

struct Walk {
    scope: Scope,
    parts: Vec<Part>,
    arguments: Vec<Argument>,
}

impl Walk {
    fn param(&mut self, param: Param) -> Result<()> {
        match param.kind {
            Kind::Fact { ref ty, with_handle } => {
                let variable = self.variable(&param, ty.clone());
                let pattern = self.pattern(&variable, param);
                self.scope.show(variable.clone());
                let argument =
                    if with_handle { Argument::Handle(variable) } else { Argument::Fact(variable) };
                self.arguments.push(argument);
                self.parts.push(Part::Each(pattern?));
            }
            Kind::Absent { ref ty } => {
                self.arguments.push(Argument::Absent(ty.clone()));
                let variable = self.variable(&param, ty.clone());
                let pattern = self.pattern(&variable, param)?;
                self.parts.push(Part::Not(pattern));
            }
            Kind::Exists { ref ty } => {
                self.arguments.push(Argument::Exists(ty.clone()));
                let variable = self.variable(&param, ty.clone());
                let pattern = self.pattern(&variable, param)?;
                self.parts.push(Part::Exists(pattern));
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

    fn variable(&self, param: &Param, ty: syn::Type) -> Variable {
        let position = self.scope.next_position();
        Variable { name: param.name.clone(), ty, is_group: false, position }
    }

    fn pattern(&self, variable: &Variable, param: Param) -> Result<FactPattern> {
        let positive = matches!(param.kind, Kind::Fact { .. });
        let scope = self.scope.with(variable);
        let mut conditions = Vec::new();
        for condition in &param.attributes.conditions {
            conditions.extend(scope.conditions(condition)?);
        }
        let joins = positive && self.joins_many();
        let unindexed = (joins && !is_indexed(&conditions)).then(|| variable.name.span());
        if let (Some(span), None) = (param.attributes.cross, unindexed) {
            let message = "`#[cross]` is for a pattern that joins others without `==` or `<`";
            return Err(Error::new(span, message));
        }
        let unindexed = unindexed.filter(|_| param.attributes.cross.is_none());
        let (variable, watch) = (variable.clone(), param.attributes.watch);
        let distinct = param.attributes.distinct.is_some();
        Ok(FactPattern { variable, conditions, watch, distinct, unindexed })
    }

    /// Whether more than one tuple may stand before the next pattern.
    fn joins_many(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Each(_) => true,
            Part::Group(group) => !group.by.is_empty(),
            Part::Not(_) | Part::Exists(_) => false,
        })
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
