//! `#[window(length = 3)]`: of the facts that pass, the last ones.

use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, Result, Token};

/// How many of the last facts count.
#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) length: u32,
    /// Where it is written.
    pub(crate) span: Span,
}

impl Parse for Window {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Err(input.error("expected how many of the last facts count: `length = 3`"));
        }
        let word: Ident = input.parse()?;
        if word == "time" {
            let message = "there are no windows over time: let events expire, `expires = \"5m\"`, or \
                           join them by `within`";
            return Err(Error::new(word.span(), message));
        }
        if word != "length" {
            return Err(Error::new(word.span(), "expected `length = 3`"));
        }
        input.parse::<Token![=]>()?;
        let literal: LitInt = input.parse()?;
        let length: u32 = literal.base10_parse()?;
        if length == 0 {
            let message = "a window holds at least one fact; what never matches needs no pattern";
            return Err(Error::new(literal.span(), message));
        }
        if !input.is_empty() {
            return Err(input.error("expected nothing behind the length"));
        }
        Ok(Self { length, span: word.span() })
    }
}
