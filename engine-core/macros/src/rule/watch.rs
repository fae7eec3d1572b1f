//! `#[watch(…)]`: which updates re-arm a match, beside those that conditions see.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Index, Member, Result, Token, Type};

use super::emit::local;

/// What a `#[watch(…)]` says.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    /// `*`: every field.
    everything: bool,
    /// `!*` or `none`: no field, whatever conditions read.
    nothing: bool,
    /// Fields named without a `!`.
    fields: Vec<Member>,
    /// Fields named with a `!`.
    ignored: Vec<Member>,
}

impl Parse for Watch {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut watch = Self::default();
        let mut alone: Option<Span> = None;
        let mut entries = 0_u32;
        if input.is_empty() {
            return Err(input.error("expected fields, `!field`, `*`, `!*` or `none`"));
        }
        while !input.is_empty() {
            let negated = input.parse::<Option<Token![!]>>()?;
            let span = input.span();
            entries += 1;
            if input.parse::<Option<Token![*]>>()?.is_some() {
                if watch.everything || watch.nothing {
                    return Err(Error::new(span, "`*` is given twice"));
                }
                watch.everything = negated.is_none();
                watch.nothing = negated.is_some();
            } else {
                let member: Member = input.parse()?;
                if is_none(&member) && negated.is_none() {
                    watch.nothing = true;
                    alone = Some(span);
                } else {
                    watch.add(member, negated.is_some())?;
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        match alone {
            Some(span) if entries > 1 => Err(Error::new(
                span,
                "`none` stands alone; for all but some fields write `!*, field`",
            )),
            _ => Ok(watch),
        }
    }
}

fn is_none(member: &Member) -> bool {
    matches!(member, Member::Named(ident) if ident == "none")
}

impl Watch {
    fn add(&mut self, member: Member, ignored: bool) -> Result<()> {
        if self.fields.contains(&member) || self.ignored.contains(&member) {
            let message = format!("field `{}` is given twice", name(&member));
            return Err(Error::new(member.span(), message));
        }
        let fields = if ignored { &mut self.ignored } else { &mut self.fields };
        fields.push(member);
        Ok(())
    }

    /// The masks `watch` and `ignore` of the pattern. They never overlap: a field that is named
    /// wins over a star.
    pub(crate) fn masks(&self, ty: &Type) -> (TokenStream, TokenStream) {
        let (fields, ignored) = (mask(&self.fields, ty), mask(&self.ignored, ty));
        let watch = masks_with_star(self.everything, &fields, &ignored);
        let ignore = masks_with_star(self.nothing, &ignored, &fields);
        (watch, ignore)
    }

    /// Code that is never run and names the fields, so that an unknown one is the compiler's error
    /// on its own token.
    pub(crate) fn check(&self, ty: &Type) -> TokenStream {
        let fact = local("fact", Span::mixed_site());
        let named = self
            .fields
            .iter()
            .chain(&self.ignored)
            .map(|member| quote_spanned!(member.span()=> let _ = &#fact.#member;));
        quote_spanned! {Span::mixed_site()=>
            let _ = |#fact: &#ty| { #(#named)* };
        }
    }

    /// What it says in a canonical order, for the rule's digest.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.fields.iter().map(name).collect();
        words.extend(self.ignored.iter().map(|member| format!("!{}", name(member))));
        words.extend(self.everything.then(|| String::from("*")));
        words.extend(self.nothing.then(|| String::from("!*")));
        words.sort_unstable();
        words
    }
}

fn masks_with_star(star: bool, named: &TokenStream, other: &TokenStream) -> TokenStream {
    if star {
        quote_spanned!(Span::mixed_site()=> ::steadfast::__macro::FieldMask::ALL.without(#other))
    } else {
        named.clone()
    }
}

/// Name of a field as the engine knows it.
pub(crate) fn name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(Index { index, .. }) => index.to_string(),
    }
}

fn mask(members: &[Member], ty: &Type) -> TokenStream {
    let mask = quote_spanned!(Span::mixed_site()=> ::steadfast::__macro::FieldMask);
    let names = members.iter().map(name);
    quote_spanned!(Span::mixed_site()=> #mask::NONE #(.union(#mask::of::<#ty>(#names)))*)
}
