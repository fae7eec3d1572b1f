//! The call of the user's function with what a match holds.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Result, ReturnType, Signature, Type};

use super::{local, site};
use crate::rule::model::{Argument, Variable};
use crate::rule::param::{last_segment, type_arguments};

/// `name(arguments…)` on a `row`.
pub(crate) fn call(name: &Ident, arguments: &[Argument], row: &Ident, then: &Ident) -> TokenStream {
    let arguments = arguments.iter().map(|argument| argument_of(argument, row, then));
    quote_spanned!(site()=> #name(#(#arguments),*))
}

fn argument_of(argument: &Argument, row: &Ident, then: &Ident) -> TokenStream {
    match argument {
        Argument::Fact(Variable { ty, position, .. }) => {
            quote_spanned!(site()=> #row.fact::<#ty>(#position))
        }
        Argument::Handle(Variable { ty, position, .. }) => {
            quote_spanned!(site()=> #row.reference::<#ty>(#position))
        }
        Argument::Absent(ty) => {
            quote_spanned!(site()=> ::steadfast::__macro::Absent::<#ty>::default())
        }
        Argument::Exists(ty) => {
            quote_spanned!(site()=> ::steadfast::__macro::Exists::<#ty>::default())
        }
        Argument::Forall(ty) => {
            quote_spanned!(site()=> ::steadfast::__macro::Forall::<#ty>::default())
        }
        Argument::Either(branch) => {
            quote_spanned!(site()=> ::steadfast::__macro::Either::of(#branch))
        }
        Argument::Group { variable: Variable { ty, position, .. }, by_value } => {
            let group = quote_spanned!(site()=> #row.group::<#ty>(#position));
            if *by_value {
                quote_spanned!(site()=> ::core::clone::Clone::clone(#group))
            } else {
                group
            }
        }
        Argument::Having => quote_spanned!(site()=> ::steadfast::__macro::Having),
        Argument::Then => quote_spanned!(site()=> #then),
    }
}

/// The body of the consequence: calls the function and does what its result asks for.
pub(crate) fn consequence(
    signature: &Signature,
    call: &TokenStream,
    logical: bool,
    then: &Ident,
) -> Result<TokenStream> {
    let output = &signature.output;
    if logical {
        return logical_consequence(&signature.ident, call, output, then);
    }
    let ok = quote_spanned!(site()=> ::core::result::Result::Ok(()));
    match output {
        ReturnType::Type(_, ty) if !is_unit(ty) => {
            if !may_be_result(ty) {
                let message = "a rule returns `()` or a `Result<(), _>`; if it derives a fact, \
                               declare it `#[rule(logical)]`";
                return Err(Error::new(ty.span(), message));
            }
            let result = local("result", site());
            Ok(quote_spanned! {ty.span()=>
                let #result: ::core::result::Result<(), _> = #call;
                #result.map_err(::core::convert::Into::into)
            })
        }
        _ => Ok(quote_spanned!(site()=> #call; #ok)),
    }
}

fn logical_consequence(
    name: &Ident,
    call: &TokenStream,
    output: &ReturnType,
    then: &Ident,
) -> Result<TokenStream> {
    let ty = match output {
        ReturnType::Type(_, ty) if !is_unit(ty) => &**ty,
        _ => {
            let message = "a logical rule returns the fact that it derives, or an `Option` of it";
            return Err(Error::new(name.span(), message));
        }
    };
    let Derived { fact, fallible, optional } = Derived::of(ty);
    if is_unit(fact) {
        let message = "a logical rule returns the fact that it derives; this one returns none";
        return Err(Error::new(fact.span(), message));
    }
    let derived = local("derived", site());
    let value = if fallible {
        quote_spanned! {site()=>
            ::core::result::Result::map_err(
                #call,
                <::steadfast::__macro::RuleError as ::core::convert::From<_>>::from,
            )?
        }
    } else {
        call.clone()
    };
    let insert = quote_spanned!(fact.span()=> #then.insert_logical::<#fact>(#derived)?;);
    let insert = if optional {
        quote_spanned! {site()=>
            if let ::core::option::Option::Some(#derived) = #value { #insert }
        }
    } else {
        quote_spanned!(site()=> let #derived: #fact = #value; #insert)
    };
    Ok(quote_spanned!(site()=> #insert ::core::result::Result::Ok(())))
}

/// What a logical rule returns: `T`, `Option<T>`, `Result<T, _>` or `Result<Option<T>, _>`.
struct Derived<'a> {
    fact: &'a Type,
    fallible: bool,
    optional: bool,
}

impl<'a> Derived<'a> {
    fn of(ty: &'a Type) -> Self {
        let ok = argument_of_type(ty, "Result");
        let ty = ok.unwrap_or(ty);
        let some = argument_of_type(ty, "Option");
        Self { fact: some.unwrap_or(ty), fallible: ok.is_some(), optional: some.is_some() }
    }
}

/// The type of the facts that a logical rule derives by returning them.
pub(crate) fn derived(output: &ReturnType, logical: bool) -> Option<&Type> {
    match output {
        ReturnType::Type(_, ty) if logical => Some(Derived::of(ty).fact),
        _ => None,
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Whether a type may be a result: it is called one, or may be a name for one.
fn may_be_result(ty: &Type) -> bool {
    let Some(last) = last_segment(ty) else {
        return false;
    };
    last.ident.to_string().contains("Result") || type_arguments(last).is_empty()
}

/// `T` of `name<T, …>`.
fn argument_of_type<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let segment = last_segment(ty).filter(|segment| segment.ident == name)?;
    type_arguments(segment).first().copied()
}

/// What a query gives back, as an owned type.
pub(crate) fn query_output(output: &ReturnType) -> Result<TokenStream> {
    match output {
        ReturnType::Default => Ok(quote!(())),
        ReturnType::Type(_, ty) => match &**ty {
            Type::Reference(reference) => {
                let message = "a query gives owned values: clone what is needed of a match";
                Err(Error::new(reference.and_token.span(), message))
            }
            ty => Ok(quote!(#ty)),
        },
    }
}
