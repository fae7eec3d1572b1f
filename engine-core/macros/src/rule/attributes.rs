//! Attributes of a rule's parameters.

use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Ident, LitStr, Meta, Result, Token};

use super::function::Function;
use super::items::{Element, Item, Items, check_entry};
use super::param::Kind;
use super::watch::Watch;
use super::window::Window;

/// The attributes that this crate gives a meaning to; they are taken off the function.
const NAMES: [&str; 14] = [
    "when",
    "not",
    "exists",
    "forall",
    "or",
    "from",
    "having",
    "watch",
    "group_by",
    "aggregate",
    "each",
    "cross",
    "distinct",
    "window",
];

/// Whether an attribute is one of ours.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    NAMES.iter().any(|name| attribute.path().is_ident(name))
}

/// What the attributes of one parameter say.
#[derive(Clone, Default)]
pub(crate) struct Attributes {
    /// Conditions: of `when`, `not`, `exists` or `having`, whichever the parameter takes.
    pub(crate) conditions: Vec<Expr>,
    /// The items of a `not` or `exists` over named patterns, or of a `forall`.
    pub(crate) items: Option<Vec<Item>>,
    /// The branches of an `or`, and where each is written.
    pub(crate) or: Vec<(Vec<Item>, Span)>,
    /// The entry point that the facts come through.
    pub(crate) from: Option<LitStr>,
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
    /// How many of the last facts count.
    pub(crate) window: Option<Window>,
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

    /// What one attribute says.
    pub(crate) fn add(&mut self, name: &str, attribute: &Attribute) -> Result<()> {
        match name {
            "not" | "exists" if matches!(attribute.meta, Meta::Path(_)) => {}
            "when" | "having" => self.conditions.push(condition(attribute)?),
            "not" | "exists" => self.absence(attribute)?,
            "forall" => {
                let Items(items) = attribute.parse_args()?;
                once(&mut self.items, attribute, items)?;
            }
            "or" => {
                let Items(items) = attribute.parse_args()?;
                if items.is_empty() {
                    let message = "expected a branch: conditions, patterns `a: Fact, …`, or both";
                    return Err(Error::new(attribute.path().span(), message));
                }
                self.or.push((items, attribute.path().span()));
            }
            "from" => {
                let entry: LitStr = attribute.parse_args()?;
                check_entry(&entry)?;
                once(&mut self.from, attribute, entry)?;
            }
            "watch" => once(&mut self.watch, attribute, attribute.parse_args()?)?,
            "cross" => {
                attribute.meta.require_path_only()?;
                once(&mut self.cross, attribute, attribute.path().span())?;
            }
            "distinct" => {
                attribute.meta.require_path_only()?;
                once(&mut self.distinct, attribute, attribute.path().span())?;
            }
            "window" => once(&mut self.window, attribute, attribute.parse_args()?)?,
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

impl Attributes {
    /// All expressions in them.
    pub(crate) fn expressions(&self) -> Vec<&Expr> {
        let by = self.group_by.iter().flatten();
        let functions = self.aggregate.iter().flat_map(|(functions, _)| functions);
        let inputs = functions.flat_map(|function| &function.inputs);
        let of_elements = self.each.iter().flat_map(|element| &element.conditions);
        let lists = self.items.iter().chain(self.or.iter().map(|(items, _)| items));
        let of_items = lists.flatten().flat_map(Item::conditions);
        let own = self.conditions.iter();
        own.chain(by).chain(inputs).chain(of_elements).chain(of_items).collect()
    }

    /// A `not` or `exists`: one condition on the parameter's own variable, or named patterns.
    fn absence(&mut self, attribute: &Attribute) -> Result<()> {
        let Items(items) = attribute.parse_args()?;
        let mut items = items.into_iter();
        match (items.next(), items.next()) {
            (Some(Item::Condition(condition)), None) => self.conditions.push(condition),
            (Some(Item::Condition(_)), Some(second)) => {
                let span = second.variables().first().map(|(name, _)| name.span());
                let message = "patterns come first, each with its name: `a: Fact, …; b: Other, …`";
                let span = span.unwrap_or_else(|| attribute.path().span());
                return Err(Error::new(span, message));
            }
            (None, _) => return Err(Error::new(attribute.path().span(), "expected a condition")),
            (Some(first), second) => {
                let all = std::iter::once(first).chain(second).chain(items).collect();
                once(&mut self.items, attribute, all)?;
            }
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
        Kind::Fact { .. } => {
            matches!(name, "when" | "or" | "from" | "watch" | "cross" | "distinct" | "window")
        }
        Kind::Absent { .. } => matches!(name, "not" | "from" | "distinct" | "cross" | "window"),
        Kind::Exists { .. } => matches!(name, "exists" | "from" | "distinct" | "cross" | "window"),
        Kind::Forall { .. } => matches!(name, "forall" | "from" | "cross"),
        Kind::Either => matches!(name, "or" | "cross"),
        Kind::Group(_) => {
            matches!(name, "when" | "from" | "group_by" | "aggregate" | "each" | "cross" | "window")
        }
        Kind::Having => name == "having",
        Kind::Then => false,
    }
}

fn hint(kind: &Kind) -> &'static str {
    match kind {
        Kind::Fact { .. } => {
            "it takes `#[when(…)]`, `#[or(…)]`, `#[from(…)]`, `#[watch(…)]`, `#[window(…)]`, \
             `#[distinct]` and `#[cross]`"
        }
        Kind::Absent { .. } => {
            "it takes `#[not(…)]`, `#[from(…)]`, `#[window(…)]`, `#[distinct]` and `#[cross]`"
        }
        Kind::Exists { .. } => {
            "it takes `#[exists(…)]`, `#[from(…)]`, `#[window(…)]`, `#[distinct]` and `#[cross]`"
        }
        Kind::Forall { .. } => "it takes `#[forall(…)]`, `#[from(…)]` and `#[cross]`",
        Kind::Either => "it takes one `#[or(…)]` for each branch, and `#[cross]`",
        Kind::Group(_) => {
            "it takes `#[group_by(…)]`, `#[aggregate(…)]`, `#[each(…)]`, `#[from(…)]`, \
             `#[window(…)]` and `#[when(…)]`"
        }
        Kind::Having => "it takes `#[having(…)]`",
        Kind::Then => "it takes no attributes",
    }
}
