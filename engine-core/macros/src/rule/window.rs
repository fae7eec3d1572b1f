//! `#[window(length = 3)]`, `#[window(time = "10m")]`: of the facts that pass, the last ones.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, Result, Token, parenthesized, token};

use crate::duration;

/// Which of the facts that pass count.
#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) extent: Extent,
    /// Where it is written.
    pub(crate) span: Span,
}

/// How far back a window reaches.
#[derive(Clone, Copy)]
pub(crate) enum Extent {
    /// Over so many facts.
    Length(u32),
    /// Over so many milliseconds.
    Time(i64),
}

impl Parse for Window {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            let message =
                "expected which of the last facts count: `length = 3` or `time = \"10m\"`";
            return Err(input.error(message));
        }
        let word: Ident = input.parse()?;
        if word != "length" && word != "time" {
            return Err(Error::new(word.span(), "expected `length = 3` or `time = \"10m\"`"));
        }
        input.parse::<Token![=]>()?;
        let extent = if word == "time" {
            Extent::Time(duration::parse_positive(input)?)
        } else {
            Extent::Length(length(input)?)
        };
        if !input.is_empty() {
            return Err(input.error(format!("expected nothing behind the {word}")));
        }
        Ok(Self { extent, span: word.span() })
    }
}

fn length(input: ParseStream<'_>) -> Result<u32> {
    let literal: LitInt = input.parse()?;
    match literal.base10_parse()? {
        0 => {
            let message = "a window holds at least one fact; what never matches needs no pattern";
            Err(Error::new(literal.span(), message))
        }
        length => Ok(length),
    }
}

/// `window(length = 3)` behind a type, if it stands here.
pub(crate) fn window(input: ParseStream<'_>) -> Result<Option<Window>> {
    let is_window = input.peek(Ident)
        && input.peek2(token::Paren)
        && input.fork().parse::<Ident>()? == "window";
    if !is_window {
        return Ok(None);
    }
    input.parse::<Ident>()?;
    let content;
    parenthesized!(content in input);
    content.parse().map(Some)
}

impl Window {
    /// What tells it from others.
    pub(crate) fn words(&self) -> String {
        match self.extent {
            Extent::Length(length) => length.to_string(),
            Extent::Time(millis) => format!("{millis}ms"),
        }
    }
}
