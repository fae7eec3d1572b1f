//! `#[fact(event, timestamp = field, duration = field, expires = "5s")]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Error, Member, Result};

use super::attributes::set_once;
use super::fact::Shape;
use crate::duration;

/// What the attributes say, as far as they are read.
#[derive(Default)]
pub(super) struct EventWords {
    event: Option<Span>,
    timestamp: Option<Ident>,
    duration: Option<Ident>,
    expires: Option<i64>,
}

/// How a type is an event.
pub(super) struct Event {
    /// Places of the fields, by `timestamp` and `duration`.
    timestamp: Option<usize>,
    duration: Option<usize>,
    /// Milliseconds after its end.
    expires: Option<i64>,
}

impl EventWords {
    /// Reads one argument if it is one of an event's.
    pub(super) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<bool> {
        if meta.path.is_ident("event") {
            set_once(&mut self.event, meta, meta.path.span())?;
        } else if meta.path.is_ident("timestamp") {
            set_once(&mut self.timestamp, meta, meta.value()?.parse()?)?;
        } else if meta.path.is_ident("duration") {
            set_once(&mut self.duration, meta, meta.value()?.parse()?)?;
        } else if meta.path.is_ident("expires") {
            set_once(&mut self.expires, meta, duration::parse(meta.value()?)?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn finish(self, shape: &Shape<'_>) -> Result<Option<Event>> {
        let of = |field: Option<&Ident>| field.map(|field| place(shape, field)).transpose();
        let (timestamp, duration) = (of(self.timestamp.as_ref())?, of(self.duration.as_ref())?);
        if self.event.is_none() {
            let names = [self.timestamp, self.duration].into_iter().flatten();
            let span = names.map(|name| name.span()).next();
            if span.is_some() || self.expires.is_some() {
                let message = "only events have a time: add `event`";
                return Err(Error::new(span.unwrap_or_else(Span::call_site), message));
            }
            return Ok(None);
        }
        Ok(Some(Event { timestamp, duration, expires: self.expires }))
    }
}

fn place(shape: &Shape<'_>, name: &Ident) -> Result<usize> {
    let is_named = |member: &Member| matches!(member, Member::Named(ident) if ident == name);
    let at = shape.fields.iter().position(|field| is_named(&field.member));
    at.ok_or_else(|| Error::new(name.span(), format!("the type has no field `{name}`")))
}

impl Event {
    /// The items of `Fact` that make a type an event.
    pub(super) fn emit(&self, shape: &Shape<'_>) -> TokenStream {
        let millis = |at: usize| {
            let field = &shape.fields[at];
            let member = &field.member;
            // The type's span: that is what is no number of milliseconds, if anything is not.
            quote_spanned!(field.ty.span()=> ::core::convert::Into::<i64>::into(self.#member))
        };
        let timestamp = self.timestamp.map(|at| {
            let millis = millis(at);
            quote! {
                fn timestamp(&self) -> ::core::option::Option<i64> {
                    ::core::option::Option::Some(#millis)
                }
            }
        });
        let duration = self.duration.map(|at| {
            let millis = millis(at);
            quote! {
                const LASTS: bool = true;
                fn duration(&self) -> i64 {
                    #millis
                }
            }
        });
        let expires = self.expires.map(|millis| {
            quote! {
                const EXPIRES: ::core::option::Option<i64> = ::core::option::Option::Some(#millis);
            }
        });
        let fields = self.timestamp.into_iter().chain(self.duration);
        let mask = quote!(::steadfast::__macro::FieldMask);
        let fields = fields
            .fold(quote!(#mask::NONE), |mask_of, at| quote!(#mask_of.union(#mask::field(#at))));
        quote! {
            const EVENT: bool = true;
            const TIME_FIELDS: #mask = #fields;
            #expires
            #timestamp
            #duration
        }
    }
}
