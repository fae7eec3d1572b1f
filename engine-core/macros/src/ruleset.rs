//! `ruleset!`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result, Token, Type, Visibility};

use crate::rule::entry;

/// What stands in `ruleset!(…)`.
pub(crate) struct Ruleset {
    attributes: Vec<Attribute>,
    vis: Visibility,
    name: Ident,
    version: LitInt,
    rules: Vec<Path>,
    queries: Vec<Path>,
    facts: Vec<Facts>,
}

/// `Order`, or `Order from "east"`
struct Facts {
    ty: Type,
    entry: Option<LitStr>,
}

impl Parse for Facts {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(Self { ty: input.parse()?, entry: entry(input)? })
    }
}

impl Parse for Ruleset {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let name: Ident = input.parse()?;
        if !input.peek(Token![=]) {
            let message = format!("expected a version: `{name} = 1: …`");
            return Err(Error::new(name.span(), message));
        }
        input.parse::<Token![=]>()?;
        let version: LitInt = input.parse()?;
        if version.base10_parse::<u32>().is_err() {
            return Err(Error::new(version.span(), "expected a version up to 4294967295"));
        }
        input.parse::<Token![:]>()?;
        let rules = list(input)?;
        let (mut queries, mut facts) = (None, None);
        while !input.is_empty() {
            input.parse::<Token![;]>()?;
            if input.is_empty() {
                break;
            }
            let section = input.call(Ident::parse_any)?;
            let twice = || Error::new(section.span(), format!("`{section}:` is given twice"));
            input.parse::<Token![:]>()?;
            match section.to_string().as_str() {
                "queries" if queries.is_some() => return Err(twice()),
                "facts" if facts.is_some() => return Err(twice()),
                "queries" => queries = Some(list(input)?),
                "facts" => facts = Some(list(input)?),
                _ => {
                    let message = "expected `queries: …` or `facts: …`";
                    return Err(Error::new(section.span(), message));
                }
            }
        }
        let (queries, facts) = (queries.unwrap_or_default(), facts.unwrap_or_default());
        Ok(Self { attributes, vis, name, version, rules, queries, facts })
    }
}

/// A list that ends at a `;` or at the end.
fn list<T: Parse>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let mut list = Vec::new();
    while !input.is_empty() && !input.peek(Token![;]) {
        list.push(input.parse()?);
        if !input.is_empty() && !input.peek(Token![;]) {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(list)
}

/// Expands `ruleset!`.
pub(crate) fn expand(ruleset: &Ruleset) -> TokenStream {
    let Ruleset { attributes, vis, name, version, rules, queries, facts } = ruleset;
    let text = LitStr::new(&name.unraw().to_string(), name.span());
    let rules = rules.iter().map(|path| {
        quote_spanned! {path.span()=>
            .rule(<#path as ::steadfast::__macro::Rule>::definition())
        }
    });
    let queries = queries.iter().map(|path| {
        quote_spanned! {path.span()=>
            .query(<#path as ::steadfast::__macro::Query>::definition())
        }
    });
    let facts = facts.iter().map(|Facts { ty, entry }| {
        if let Some(entry) = entry {
            quote_spanned!(ty.span()=> .fact_from::<#ty>(#entry))
        } else {
            quote_spanned!(ty.span()=> .fact::<#ty>())
        }
    });
    let documented = attributes.iter().any(|attribute| attribute.path().is_ident("doc"));
    let documentation = (!documented).then(|| {
        let line = format!("The ruleset `{}`, version {version}.", name.unraw());
        quote!(#[doc = #line])
    });
    quote! {
        #documentation
        #(#attributes)*
        #[must_use]
        #vis fn #name() -> ::steadfast::__macro::Ruleset {
            ::steadfast::__macro::Ruleset::new(#text, #version)
                #(#rules)*
                #(#queries)*
                #(#facts)*
        }
    }
}
