//! Parts of attributes over several patterns: `not`, `exists`, `forall`, and the branches of an `or`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, Result, Type};

use super::group::element_pattern;
use super::items::{Element, Item};
use super::model::{Declared, Nested, Part};
use super::scope::Scope;

/// Gives each condition that stands as an item of its own to the pattern before it.
pub(crate) fn attach(items: Vec<Item>) -> Result<Vec<Item>> {
    let mut attached: Vec<Item> = Vec::new();
    for item in items {
        let Item::Condition(condition) = item else {
            attached.push(item);
            continue;
        };
        let last = attached.iter_mut().rev().find_map(|item| match item {
            Item::Each(element) => Some(&mut element.conditions),
            Item::Group(group) => Some(&mut group.having),
            _ => None,
        });
        let Some(last) = last else {
            let message = "expected a pattern before this condition: `a: Fact, …`";
            return Err(Error::new(condition.span(), message));
        };
        last.push(condition);
    }
    Ok(attached)
}

/// Refuses a name that another variable has.
pub(crate) fn check_name(scope: &Scope, name: &Ident) -> Result<()> {
    if scope.find(&name.to_string()).is_some() {
        let message = format!("there is another variable `{name}`: choose a name of its own");
        return Err(Error::new(name.span(), message));
    }
    Ok(())
}

/// A `not` or `exists` over items: over one pattern, or over several together.
pub(crate) fn nested(scope: &Scope, exists: bool, items: Vec<Item>, cross: bool) -> Result<Part> {
    let mut inner = scope.clone();
    let mut parts = Vec::new();
    for item in attach(items)? {
        match item {
            Item::Each(element) => {
                check_name(&inner, &element.name)?;
                let first = !parts.iter().any(Part::joins_many);
                parts.push(Part::Each(element_pattern(&mut inner, element, first || cross)?));
            }
            Item::Group(group) => {
                check_name(&inner, &group.name)?;
                parts.push(Part::Group(Box::new(group.analyze(&mut inner, cross)?)));
            }
            Item::Nested { exists, items } => parts.push(nested(&inner, exists, items, cross)?),
            Item::Condition(condition) => {
                return Err(Error::new(condition.span(), "expected a pattern"));
            }
        }
    }
    Ok(absence(exists, parts))
}

fn absence(exists: bool, mut parts: Vec<Part>) -> Part {
    match (parts.pop(), parts.is_empty()) {
        (Some(Part::Each(pattern)), true) if exists => Part::Exists(pattern),
        (Some(Part::Each(pattern)), true) => Part::Not(pattern),
        (last, _) => {
            parts.extend(last);
            Part::Nested(Nested { exists, parts })
        }
    }
}

/// A `forall`: no tuple that passes its first pattern lacks the rest.
///
/// `own` is the parameter's variable and type, for a first pattern that has no name of its own.
pub(crate) fn forall(
    scope: &Scope,
    own: Element,
    items: Vec<Item>,
    cross: bool,
) -> Result<(Part, Vec<Type>)> {
    let name = own.name.clone();
    let (each, rest) = base(own, items)?;
    let mut named = vec![each.ty.clone()];
    named.extend(rest.iter().flat_map(Item::variables).map(|(_, ty)| ty.clone()));
    if rest.is_empty() {
        let message = "expected what holds for each of them, behind a `;`: \
                       `#[forall(p: Part, p.order == o.id; p.done)]`";
        return Err(Error::new(name.span(), message));
    }
    check_name(scope, &each.name)?;
    let mut inner = scope.clone();
    let mut pattern = element_pattern(&mut inner, each, true)?;
    let is_pattern = |item: &Item| !matches!(item, Item::Condition(_));
    let Some(first_pattern) = rest.iter().position(is_pattern) else {
        if let Some(window) = &pattern.window {
            let message = "a window over what may lack a condition is none of what lacks it: write \
                           `#[not(…)]` over a pattern with the window";
            return Err(Error::new(window.span, message));
        }
        let conditions: Vec<Expr> = rest.iter().flat_map(Item::conditions).cloned().collect();
        let (negation, written) = negate(&conditions);
        for mut condition in inner.conditions(&negation)? {
            condition.written = written.clone();
            pattern.conditions.push(condition);
        }
        return Ok((Part::Not(pattern), named));
    };
    let mut rest = rest;
    let leading: Vec<Item> = rest.drain(..first_pattern).collect();
    let leading = leading.iter().flat_map(Item::conditions);
    if let Some(Item::Each(element)) = rest.first_mut() {
        element.conditions.splice(0..0, leading.cloned());
    } else if let Some(Item::Group(group)) = rest.first_mut() {
        group.having.splice(0..0, leading.cloned());
    } else if let Some(condition) = leading.into_iter().next() {
        let message = "with a `not` or `exists` behind it this belongs into a `#[forall(…)]` of its \
                       own";
        return Err(Error::new(condition.span(), message));
    }
    let lacks = nested(&inner, false, rest, cross)?;
    let parts = vec![Part::Each(pattern), lacks];
    Ok((Part::Nested(Nested { exists: false, parts }), named))
}

/// The first pattern of a `forall`, and what must hold for each of its facts.
fn base(mut own: Element, mut items: Vec<Item>) -> Result<(Element, Vec<Item>)> {
    if items.is_empty() {
        return Ok((own, items));
    }
    Ok(match items.remove(0) {
        Item::Each(element) => (element, items),
        Item::Group(group) => {
            let message = "a `forall` is of facts: of groups write `#[not(…)]` over those that lack what \
                           holds, as in `#[not(g: Group<…> …, g.0 < 3)]`";
            return Err(Error::new(group.name.span(), message));
        }
        Item::Condition(condition) if !items.is_empty() => {
            own.conditions.push(condition);
            (own, items)
        }
        first => {
            items.insert(0, first);
            (own, items)
        }
    })
}

/// An expression that is true where not all of these are, and how that reads.
fn negate(conditions: &[Expr]) -> (Expr, TokenStream) {
    let written = if let [condition] = conditions {
        quote!(!(#condition))
    } else {
        quote!(!(#((#conditions))&&*))
    };
    let parts = conditions.iter().map(|condition| {
        let is_let = matches!(condition, Expr::Let(_));
        if is_let { quote!(#condition) } else { quote!((#condition)) }
    });
    let parts: Vec<TokenStream> = parts.collect();
    let tokens = quote!(if #(#parts)&&* { false } else { true });
    let negation = syn::parse2(tokens.clone()).unwrap_or(Expr::Verbatim(tokens));
    (negation, written)
}

/// Pairs the types that a parameter declares with those that its attribute names.
pub(crate) fn declared(ty: &Type, named: &[Type], word: &str) -> Result<Vec<Declared>> {
    let declared = match ty {
        Type::Tuple(tuple) if !tuple.elems.is_empty() => tuple.elems.iter().cloned().collect(),
        one => vec![one.clone()],
    };
    if declared.len() != named.len() {
        let (found, expected) = (declared.len(), named.len());
        let message = format!(
            "the attribute names {expected} pattern{}, the type has {found}: it is the tuple of \
             their types, as in `{word}<(A, B)>`",
            if expected == 1 { "" } else { "s" },
        );
        return Err(Error::new(ty.span(), message));
    }
    let pairs = declared.into_iter().zip(named);
    Ok(pairs.map(|(declared, named)| Declared { declared, named: named.clone() }).collect())
}
