//! What stands in an attribute over several patterns: `a: A, a.x == o.id; not(b: B, b.y == a.y)`.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, LitStr, Result, Token, Type, parenthesized, token};

use super::inner_group::InnerGroup;
use super::param::last_segment;
use super::window::{Window, window};

/// `f: Flight, f.cancelled`; with an entry point and a window `f: Flight from "east" window(length = 3),
/// f.cancelled`
#[derive(Clone)]
pub(crate) struct Element {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) entry: Option<LitStr>,
    pub(crate) window: Option<Window>,
    pub(crate) conditions: Vec<Expr>,
}

/// One item of a list.
#[derive(Clone)]
pub(crate) enum Item {
    /// A pattern.
    Each(Element),
    /// A group.
    Group(Box<InnerGroup>),
    /// `not(…)` or `exists(…)` inside.
    Nested { exists: bool, items: Vec<Self> },
    /// A condition on the patterns before it.
    Condition(Expr),
}

/// Items separated by `;`.
#[derive(Clone)]
pub(crate) struct Items(pub(crate) Vec<Item>);

impl Item {
    /// The variables of all patterns and groups in it with their types, in the order in which they are
    /// written.
    pub(crate) fn variables(&self) -> Vec<(&Ident, &Type)> {
        match self {
            Self::Each(element) => vec![(&element.name, &element.ty)],
            Self::Group(group) => vec![(&group.name, &group.ty.whole)],
            Self::Nested { items, .. } => items.iter().flat_map(Self::variables).collect(),
            Self::Condition(_) => Vec::new(),
        }
    }

    /// All conditions in it, and what keys and functions of groups are of.
    pub(crate) fn conditions(&self) -> Vec<&Expr> {
        match self {
            Self::Each(element) => element.conditions.iter().collect(),
            Self::Group(group) => group.expressions(),
            Self::Nested { items, .. } => items.iter().flat_map(Self::conditions).collect(),
            Self::Condition(condition) => vec![condition],
        }
    }
}

impl Parse for Items {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut items = Vec::new();
        let mut branches = Branches::default();
        while !input.is_empty() {
            if is_word(input, "or") {
                branches.push(input)?;
            } else {
                items.extend(branches.take()?);
                items.push(input.parse()?);
            }
            if input.is_empty() {
                break;
            }
            if !input.peek(Token![;]) {
                return Err(input.error("expected one condition: join several with `&&`"));
            }
            input.parse::<Token![;]>()?;
        }
        items.extend(branches.take()?);
        Ok(Self(items))
    }
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Ident::peek_any) && input.peek2(Token![:]) && !input.peek2(Token![::]) {
            return Self::named(input);
        }
        if is_word(input, "not") || is_word(input, "exists") {
            return Self::nested(input);
        }
        Ok(Self::Condition(input.parse()?))
    }
}

/// Whether this word with something in parentheses stands here.
fn is_word(input: ParseStream<'_>, word: &str) -> bool {
    let here = input.fork().parse::<Ident>().is_ok_and(|ident| ident == word);
    here && input.peek2(token::Paren)
}

/// The branches of an `or` inside: `or(…); or(…)`, side by side. Together they hold if one of them does, so
/// that they are an absence of the absence of each.
#[derive(Default)]
struct Branches {
    branches: Vec<Item>,
    first: Option<Ident>,
}

impl Branches {
    fn push(&mut self, input: ParseStream<'_>) -> Result<()> {
        let word: Ident = input.fork().parse()?;
        let Item::Nested { items, .. } = Item::nested(input)? else {
            unreachable!("it is parsed as one")
        };
        self.branches.push(Item::Nested { exists: false, items });
        self.first.get_or_insert(word);
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Item>> {
        let items = std::mem::take(&mut self.branches);
        match (self.first.take(), items.len()) {
            (Some(word), 1) => {
                let message = "an `or` inside has several branches, side by side: `or(…); or(…)`";
                Err(Error::new(word.span(), message))
            }
            (Some(_), _) => Ok(Some(Item::Nested { exists: false, items })),
            (None, _) => Ok(None),
        }
    }
}

impl Item {
    /// A pattern, or a group if its type is one.
    fn named(input: ParseStream<'_>) -> Result<Self> {
        let (name, ty) = name_and_type(input)?;
        if is_group(&ty) {
            return Ok(Self::Group(Box::new(InnerGroup::parse(name, &ty, input)?)));
        }
        Ok(Self::Each(Element::behind(name, ty, input)?))
    }

    /// A word with items in parentheses.
    fn nested(input: ParseStream<'_>) -> Result<Self> {
        let word: Ident = input.parse()?;
        let exists = word == "exists";
        let content;
        parenthesized!(content in input);
        let Items(items) = content.parse()?;
        if let Some(Self::Condition(condition)) = items.first() {
            let instead = if word == "or" { "`||` between conditions" } else { "`!` before it" };
            let article = if word == "not" { "a" } else { "an" };
            let message = format!(
                "{article} `{word}` inside names its pattern: `{word}(a: Fact, …)`; of a condition alone \
                 write {instead}"
            );
            return Err(Error::new(condition.span(), message));
        }
        if items.is_empty() {
            return Err(Error::new(word.span(), "expected a pattern: `a: Fact, …`"));
        }
        Ok(Self::Nested { exists, items })
    }
}

impl Parse for Element {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (name, ty) = name_and_type(input)?;
        if is_group(&ty) {
            let message =
                "a group cannot be named here: let a rule of its own derive a fact from it";
            return Err(Error::new(ty.span(), message));
        }
        Self::behind(name, ty, input)
    }
}

impl Element {
    /// What stands behind its type.
    fn behind(name: Ident, ty: Type, input: ParseStream<'_>) -> Result<Self> {
        let entry = entry(input)?;
        let window = window(input)?;
        let conditions = conditions(input)?;
        Ok(Self { name, ty, entry, window, conditions })
    }
}

fn name_and_type(input: ParseStream<'_>) -> Result<(Ident, Type)> {
    let name: Ident = input.parse()?;
    input.parse::<Token![:]>()?;
    Ok((name, input.parse()?))
}

fn is_group(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|last| last.ident == "Group")
}

/// The conditions of a pattern or a group, each behind a `,`.
pub(crate) fn conditions(input: ParseStream<'_>) -> Result<Vec<Expr>> {
    let mut conditions = Vec::new();
    while !input.is_empty() && !input.peek(Token![;]) {
        input.parse::<Token![,]>()?;
        if !input.is_empty() && !input.peek(Token![;]) {
            conditions.push(input.parse()?);
        }
    }
    Ok(conditions)
}

/// `from "east"`, if it stands here.
pub(crate) fn entry(input: ParseStream<'_>) -> Result<Option<LitStr>> {
    let is_from = input.peek(Ident) && input.fork().parse::<Ident>()? == "from";
    if !is_from {
        return Ok(None);
    }
    input.parse::<Ident>()?;
    let entry: LitStr = input.parse()?;
    check_entry(&entry)?;
    Ok(Some(entry))
}

/// Refuses names that would not be told from others.
pub(crate) fn check_entry(entry: &LitStr) -> Result<()> {
    if entry.value().is_empty() {
        let message = "the default entry point has no name: leave `from` out";
        return Err(Error::new(entry.span(), message));
    }
    Ok(())
}
