//! Attributes of a rule's parameters.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Ident, Meta, Result, Token, Type};

use super::function::Function;
use super::param::Kind;
use super::watch::Watch;

/// The attributes that this crate gives a meaning to; they are taken off the function.
const NAMES: [&str; 10] = [
    "when",
    "not",
    "exists",
    "having",
    "watch",
    "group_by",
    "aggregate",
    "each",
    "cross",
    "distinct",
];

/// Whether an attribute is one of ours.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    NAMES.iter().any(|name| attribute.path().is_ident(name))
}

/// What the attributes of one parameter say.
#[derive(Default)]
pub(crate) struct Attributes {
    /// Conditions: of `when`, `not`, `exists` or `having`, whichever the parameter takes.
    pub(crate) conditions: Vec<Expr>,
    /// Which fields re-arm.
    pub(crate) watch: Option<Watch>,
    /// The parts of the group's key.
    pub(crate) group_by: Option<Vec<Expr>>,
    /// The functions over the group, and where they are written.
    pub(crate) aggregate: Option<(Vec<Function>, Span)>,
    /// The named elements of the group.
    pub(crate) each: Vec<Element>,
    /// Whether a join without a key is meant.
    pub(crate) cross: Option<Span>,
    /// Whether the fact is another one than every earlier one of its type.
    pub(crate) distinct: Option<Span>,
}

/// `f: Flight, f.cancelled`
pub(crate) struct Element {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) conditions: Vec<Expr>,
}

impl Attributes {
    /// Reads the attributes of a parameter of this kind.
    pub(crate) fn of(attributes: &[Attribute], kind: &Kind) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|attribute| is_ours(attribute)) {
            let name = attribute.path().get_ident().map(Ident::to_string).unwrap_or_default();
            if !fits(&name, kind) {
                let message =
                    format!("`#[{name}]` has no meaning on {}: {}", kind.words(), hint(kind));
                return Err(Error::new(attribute.path().span(), message));
            }
            found.add(&name, attribute)?;
        }
        Ok(found)
    }

    fn add(&mut self, name: &str, attribute: &Attribute) -> Result<()> {
        match name {
            "not" | "exists" if matches!(attribute.meta, Meta::Path(_)) => {}
            "when" | "not" | "exists" | "having" => self.conditions.push(condition(attribute)?),
            "watch" => once(&mut self.watch, attribute, attribute.parse_args()?)?,
            "cross" => {
                attribute.meta.require_path_only()?;
                once(&mut self.cross, attribute, attribute.path().span())?;
            }
            "distinct" => {
                attribute.meta.require_path_only()?;
                once(&mut self.distinct, attribute, attribute.path().span())?;
            }
            "group_by" => {
                let keys =
                    attribute.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated)?;
                if keys.is_empty() {
                    let message = "expected the key; without one leave `#[group_by]` out";
                    return Err(Error::new(attribute.path().span(), message));
                }
                once(&mut self.group_by, attribute, keys.into_iter().collect())?;
            }
            "aggregate" => {
                let functions = attribute
                    .parse_args_with(Punctuated::<Function, Token![,]>::parse_terminated)?;
                let functions = functions.into_iter().collect();
                once(&mut self.aggregate, attribute, (functions, attribute.path().span()))?;
            }
            _ => self.each.push(attribute.parse_args()?),
        }
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, attribute: &Attribute, value: T) -> Result<()> {
    if slot.is_some() {
        let name = attribute.path().get_ident().map(Ident::to_string).unwrap_or_default();
        let message = format!("`#[{name}]` is given twice: put everything into one");
        return Err(Error::new(attribute.path().span(), message));
    }
    *slot = Some(value);
    Ok(())
}

fn condition(attribute: &Attribute) -> Result<Expr> {
    attribute.parse_args_with(|input: ParseStream<'_>| {
        let condition: Expr = input.parse()?;
        if !input.is_empty() {
            return Err(input.error("expected one condition: join several with `&&`"));
        }
        Ok(condition)
    })
}

fn fits(name: &str, kind: &Kind) -> bool {
    match kind {
        Kind::Fact { .. } => matches!(name, "when" | "watch" | "cross" | "distinct"),
        Kind::Absent { .. } => matches!(name, "not" | "distinct"),
        Kind::Exists { .. } => matches!(name, "exists" | "distinct"),
        Kind::Group(_) => matches!(name, "when" | "group_by" | "aggregate" | "each" | "cross"),
        Kind::Having => name == "having",
        Kind::Then => false,
    }
}

fn hint(kind: &Kind) -> &'static str {
    match kind {
        Kind::Fact { .. } => "it takes `#[when(…)]`, `#[watch(…)]`, `#[distinct]` and `#[cross]`",
        Kind::Absent { .. } => "it takes `#[not(…)]` and `#[distinct]`",
        Kind::Exists { .. } => "it takes `#[exists(…)]` and `#[distinct]`",
        Kind::Group(_) => {
            "it takes `#[group_by(…)]`, `#[aggregate(…)]`, `#[each(…)]` and `#[when(…)]`"
        }
        Kind::Having => "it takes `#[having(…)]`",
        Kind::Then => "it takes no attributes",
    }
}

impl Parse for Element {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        let ty: Type = input.parse()?;
        let mut conditions = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                conditions.push(input.parse()?);
            }
        }
        Ok(Self { name, ty, conditions })
    }
}
