//! Groups: elements, keys and functions.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, LitStr, Result, Type};

use super::attributes::Attributes;
use super::function::Function;
use super::items::Element;
use super::model::{Aggregate, FactPattern, GroupPattern, Variable, is_indexed};
use super::param::GroupType;
use super::scope::Scope;
use super::usage::Usage;
use super::window::Window;

/// How many functions one group can have: the engine has tuples up to this.
const FUNCTIONS_MAX: usize = 6;

/// Analyzes one group. `scope` is what stands before it.
pub(crate) fn group(
    scope: &Scope,
    variable: Variable,
    ty: GroupType,
    attributes: Attributes,
) -> Result<GroupPattern> {
    let Some((functions, functions_span)) = attributes.aggregate else {
        let message = "expected `#[aggregate(…)]` with the functions over the group";
        return Err(Error::new(variable.name.span(), message));
    };
    check_counts(&functions, functions_span, &ty)?;
    let by = attributes.group_by.unwrap_or_default();
    check_key(&by, &ty)?;
    let elements = if attributes.each.is_empty() {
        let Attributes { conditions, from, window, .. } = attributes;
        single_element(scope, &ty, &by, &functions, (conditions, from, window))?
    } else {
        if let Some(entry) = &attributes.from {
            let message = "with `#[each(…)]` each says it itself: `f: Flight from \"east\", …`";
            return Err(Error::new(entry.span(), message));
        }
        if let Some(window) = &attributes.window {
            let message =
                "with `#[each(…)]` each says it itself: `f: Flight window(length = 3), …`";
            return Err(Error::new(window.span, message));
        }
        named_elements(scope, &ty, attributes.each, &attributes.conditions)?
    };
    let mut inner = scope.clone();
    let mut patterns = Vec::new();
    for element in elements {
        let may_be_unindexed = patterns.is_empty() || attributes.cross.is_some();
        patterns.push(element_pattern(&mut inner, element, may_be_unindexed)?);
    }
    let by = by.iter().map(|key| inner.value(key)).collect::<Result<_>>()?;
    let aggregates = functions.into_iter().zip(ty.results).map(|(function, result)| {
        let inputs =
            function.inputs.iter().map(|input| inner.value(input)).collect::<Result<_>>()?;
        Ok(Aggregate { function, inputs, result })
    });
    Ok(GroupPattern {
        variable,
        source: ty.source,
        declared: ty.elements,
        key: ty.key,
        elements: patterns,
        by,
        aggregates: aggregates.collect::<Result<_>>()?,
        having: Vec::new(),
    })
}

fn check_counts(functions: &[Function], span: Span, ty: &GroupType) -> Result<()> {
    let (found, declared) = (functions.len(), ty.results.len());
    if found == 0 {
        return Err(Error::new(span, "expected a function, such as `count()`"));
    }
    if found != declared {
        let message = format!(
            "the group declares {declared} result{}, `#[aggregate(…)]` gives {found}: the types \
             in `Group<_, _, (…)>` are those of the functions, in their order",
            if declared == 1 { "" } else { "s" },
        );
        return Err(Error::new(ty.results_span, message));
    }
    if let Some(extra) = functions.get(FUNCTIONS_MAX) {
        let message = format!("a group has at most {FUNCTIONS_MAX} functions");
        return Err(Error::new(extra.span, message));
    }
    Ok(())
}

fn check_key(by: &[Expr], ty: &GroupType) -> Result<()> {
    let parts = match &ty.key {
        Type::Tuple(tuple) => Some(tuple.elems.len()),
        _ => None,
    };
    match (by, parts) {
        ([], Some(0)) => Ok(()),
        ([], _) => {
            let message = "without `#[group_by(…)]` there is one group of all facts, and its key \
                           is `()`";
            Err(Error::new(ty.key.span(), message))
        }
        ([_, _, ..], Some(parts)) if parts != by.len() => {
            let message = format!("the key has {} parts in `#[group_by(…)]`", by.len());
            Err(Error::new(ty.key.span(), message))
        }
        ([_], Some(0)) => {
            Err(Error::new(ty.key.span(), "expected the type of the key in `#[group_by(…)]`"))
        }
        _ => Ok(()),
    }
}

/// The one element of a group without `#[each(…)]`: its variable is the one unknown name.
fn single_element(
    scope: &Scope,
    ty: &GroupType,
    by: &[Expr],
    functions: &[Function],
    (conditions, entry, window): (Vec<Expr>, Option<LitStr>, Option<Window>),
) -> Result<Vec<Element>> {
    let [element] = ty.elements.as_slice() else {
        let message = format!(
            "a group of {} facts names them: `#[each(f: Flight, …)]`, one per type, in order",
            ty.elements.len(),
        );
        return Err(Error::new(ty.source.span(), message));
    };
    let inputs = functions.iter().flat_map(|function| &function.inputs);
    let expressions: Vec<&Expr> = by.iter().chain(inputs).chain(&conditions).collect();
    let mut usage = Usage::default();
    for expression in &expressions {
        usage.merge(Usage::of(expression));
    }
    let mut root = named_again(scope, &usage);
    if root.is_none() {
        scope.check(&usage)?;
        root = unknown_root(scope, &usage)?;
    }
    let name = match (root, expressions.first()) {
        (Some(name), _) => name,
        (None, None) => Ident::new("member", Span::mixed_site()),
        (None, Some(first)) => {
            let message = "nothing names the facts of the group: their variable is a name that is \
                           no parameter's; or write `#[each(…)]`";
            return Err(Error::new(first.span(), message));
        }
    };
    Ok(vec![Element { name, ty: element.clone(), entry, window, conditions }])
}

/// The one name that only attributes of others use beside, if no name is unknown: each has its own facts
/// of that name.
fn named_again(scope: &Scope, usage: &Usage) -> Option<Ident> {
    let rooted =
        usage.names.iter().filter(|(name, used)| used.rooted && !usage.bound.contains(*name));
    let (known, unknown): (Vec<_>, Vec<_>) = rooted.partition(|(name, _)| scope.knows(name));
    let mut again = known.iter().filter(|(name, _)| scope.is_free_again(name));
    let (_, only) = again.next().filter(|_| unknown.is_empty())?;
    again.next().is_none().then(|| only.ident.clone())
}

/// The one name that is neither a parameter nor bound in an expression. A name of which a field is
/// read or a method called is preferred to one that may be a constant or a function.
fn unknown_root(scope: &Scope, usage: &Usage) -> Result<Option<Ident>> {
    let is_unknown = |name: &str| {
        let lower = name.starts_with(|first: char| first.is_lowercase() || first == '_');
        lower && !scope.knows(name) && !usage.bound.contains(name) && name != "self"
    };
    let unknown = usage.names.iter().filter(|(name, _)| is_unknown(name));
    let (rooted, bare): (Vec<_>, Vec<_>) = unknown.partition(|(_, used)| used.rooted);
    let candidates = if rooted.is_empty() { bare } else { rooted };
    match candidates.as_slice() {
        [] => Ok(None),
        [(_, only)] => Ok(Some(only.ident.clone())),
        [(first, _), (second, used), ..] => {
            let message = format!(
                "`{first}` and `{second}` are both unknown here: a group of one fact has one \
                 variable; to name it, write `#[each({first}: …)]`"
            );
            Err(Error::new(used.ident.span(), message))
        }
    }
}

fn named_elements(
    scope: &Scope,
    ty: &GroupType,
    each: Vec<Element>,
    conditions: &[Expr],
) -> Result<Vec<Element>> {
    if let Some(condition) = conditions.first() {
        let message = "with `#[each(…)]` conditions stand in it, behind the type";
        return Err(Error::new(condition.span(), message));
    }
    if each.len() != ty.elements.len() {
        let (found, declared) = (each.len(), ty.elements.len());
        let message = format!(
            "expected one `#[each(…)]` per fact of the group, in order: the type has {declared}, \
             found {found}"
        );
        return Err(Error::new(ty.source.span(), message));
    }
    for (at, element) in each.iter().enumerate() {
        let name = element.name.to_string();
        let taken = scope.knows(&name) && !scope.is_free_again(&name);
        if taken || each[..at].iter().any(|other| other.name == element.name) {
            let message = format!("there is another variable `{name}`: choose a name of its own");
            return Err(Error::new(element.name.span(), message));
        }
    }
    Ok(each)
}

/// A pattern that an attribute names, made visible to what stands behind it.
pub(crate) fn element_pattern(
    scope: &mut Scope,
    element: Element,
    may_be_unindexed: bool,
) -> Result<FactPattern> {
    let Element { name, ty, entry, window, conditions } = element;
    let variable = Variable { name, ty, is_group: false, position: scope.next_position() };
    scope.show(variable.clone());
    let mut classified = Vec::new();
    for condition in &conditions {
        classified.extend(scope.conditions(condition)?);
    }
    let unindexed = !may_be_unindexed && !is_indexed(&classified);
    let unindexed = unindexed.then(|| variable.name.span());
    let (watch, distinct) = (None, false);
    let conditions = classified;
    Ok(FactPattern { variable, entry, conditions, window, watch, distinct, unindexed })
}
