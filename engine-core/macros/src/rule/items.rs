//! What stands in an attribute over several patterns: `a: A, a.x == o.id; not(b: B, b.y == a.y)`.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, Ident, LitStr, Result, Token, Type, parenthesized, token};

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
    /// `not(…)` or `exists(…)` inside.
    Nested { exists: bool, items: Vec<Self> },
    /// A condition on the patterns before it.
    Condition(Expr),
}

/// Items separated by `;`.
#[derive(Clone)]
pub(crate) struct Items(pub(crate) Vec<Item>);

impl Item {
    /// All patterns in it, in the order in which they are written.
    pub(crate) fn elements(&self) -> Vec<&Element> {
        match self {
            Self::Each(element) => vec![element],
            Self::Nested { items, .. } => items.iter().flat_map(Self::elements).collect(),
            Self::Condition(_) => Vec::new(),
        }
    }

    /// All conditions in it.
    pub(crate) fn conditions(&self) -> Vec<&Expr> {
        match self {
            Self::Each(element) => element.conditions.iter().collect(),
            Self::Nested { items, .. } => items.iter().flat_map(Self::conditions).collect(),
            Self::Condition(condition) => vec![condition],
        }
    }
}

impl Parse for Items {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut items = Vec::new();
        while !input.is_empty() {
            items.push(input.parse()?);
            if input.is_empty() {
                break;
            }
            if !input.peek(Token![;]) {
                return Err(input.error("expected one condition: join several with `&&`"));
            }
            input.parse::<Token![;]>()?;
        }
        Ok(Self(items))
    }
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Ident::peek_any) && input.peek2(Token![:]) && !input.peek2(Token![::]) {
            return Ok(Self::Each(input.parse()?));
        }
        if input.peek(Ident) && input.peek2(token::Paren) {
            let word = input.fork().parse::<Ident>()?.to_string();
            if word == "not" || word == "exists" {
                return Self::nested(input, word == "exists");
            }
            if word == "or" {
                let message = "there is no `or` inside: `not` of either is one `not` after the \
                               other, `exists` of either is `not(not(…); not(…))`";
                return Err(input.error(message));
            }
        }
        Ok(Self::Condition(input.parse()?))
    }
}

impl Item {
    fn nested(input: ParseStream<'_>, exists: bool) -> Result<Self> {
        let word: Ident = input.parse()?;
        let content;
        parenthesized!(content in input);
        let Items(items) = content.parse()?;
        if let Some(Self::Condition(condition)) = items.first() {
            let message = format!(
                "a `{word}` inside names its pattern: `{word}(a: Fact, …)`; to negate a condition \
                 write `!`"
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
        let name: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        let ty: Type = input.parse()?;
        let entry = entry(input)?;
        let window = window(input)?;
        let mut conditions = Vec::new();
        while !input.is_empty() && !input.peek(Token![;]) {
            input.parse::<Token![,]>()?;
            if !input.is_empty() && !input.peek(Token![;]) {
                conditions.push(input.parse()?);
            }
        }
        Ok(Self { name, ty, entry, window, conditions })
    }
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
