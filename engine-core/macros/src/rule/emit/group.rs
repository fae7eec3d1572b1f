//! Groups.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Type};

use super::closures::{On, reads, values};
use super::pattern::{pattern, whole_test};
use super::{local, site};
use crate::rule::model::{Aggregate, GroupPattern, Value};
use crate::rule::param::{last_segment, type_arguments};
use crate::tokens::text_of;

/// A `GroupPattern`.
pub(crate) fn group(group: &GroupPattern, checks: &mut TokenStream) -> TokenStream {
    let elements: Vec<TokenStream> =
        group.elements.iter().map(|element| pattern(element, checks)).collect();
    check_elements(group, checks);
    let name = group.variable.name.unraw().to_string();
    let spec = spec(group, checks);
    let inputs = group.aggregates.iter().filter_map(|aggregate| aggregate.input.as_ref());
    let read = group.by.iter().chain(inputs).flat_map(|value| &value.used);
    let reads = reads(read);
    let key_text = texts(group.by.iter().map(|key| key.expr.to_token_stream()));
    let function_text = texts(group.aggregates.iter().map(written));
    let having = group.having.iter().map(|condition| whole_test(condition, On::Tuple));
    quote_spanned! {site()=>
        ::steadfast::__macro::GroupPattern {
            variable: ::std::string::String::from(#name),
            elements: ::std::vec![#(#elements),*],
            spec: #spec,
            reads: #reads,
            key_text: ::std::string::String::from(#key_text),
            function_text: ::std::string::String::from(#function_text),
            having: ::std::vec![#(#having),*],
        }
    }
}

fn texts(each: impl Iterator<Item = TokenStream>) -> String {
    each.map(text_of).collect::<Vec<_>>().join(", ")
}

/// `sum(l.quantity)` as written.
pub(crate) fn written(aggregate: &Aggregate) -> TokenStream {
    let (name, input) = (&aggregate.function.name, &aggregate.function.input);
    quote!(#name(#input))
}

/// The elements that the user names are those of the group's type.
fn check_elements(group: &GroupPattern, checks: &mut TokenStream) {
    for (element, declared) in group.elements.iter().zip(&group.declared) {
        let named = &element.variable.ty;
        let element = local("element", named.span());
        checks.extend(quote_spanned! {named.span()=>
            let _ = |#element: #declared| -> #named { #element };
        });
    }
}

fn spec(group: &GroupPattern, checks: &mut TokenStream) -> TokenStream {
    let GroupPattern { source, key, by, aggregates, .. } = group;
    let functions = aggregates.iter().map(|aggregate| function(aggregate, checks));
    let functions: Vec<TokenStream> = functions.collect();
    let inputs: Vec<Option<&Value>> =
        aggregates.iter().map(|aggregate| aggregate.input.as_ref()).collect();
    let input = values(&inputs, None, true);
    let span = aggregates.first().map_or_else(site, |first| first.function.name.span());
    if by.is_empty() {
        return quote_spanned! {span.resolved_at(site())=>
            ::steadfast::__macro::GroupSpec::over_all::<#source, _>((#(#functions,)*), #input)
        };
    }
    let keys: Vec<Option<&Value>> = by.iter().map(Some).collect();
    let key_of = values(&keys, Some(key), by.len() > 1);
    quote_spanned! {span.resolved_at(site())=>
        ::steadfast::__macro::GroupSpec::by_key::<#source, #key, _>(
            #key_of,
            (#(#functions,)*),
            #input,
        )
    }
}

/// The function with the type of its result. A result that the function cannot have is a type error
/// on the declared type: the results that a group shows are exactly those declared.
fn function(aggregate: &Aggregate, checks: &mut TokenStream) -> TokenStream {
    let result = &aggregate.result;
    let span = result.span();
    let runtime = quote_spanned!(site()=> ::steadfast::__macro);
    match aggregate.function.name.to_string().as_str() {
        "count" if !may_be_u64(result) => {
            Error::new(span, "`count()` gives a `u64`").into_compile_error()
        }
        "count" => {
            let count = local("count", span);
            checks.extend(quote_spanned!(span=> let _ = |#count: u64| -> #result { #count };));
            quote_spanned!(site()=> #runtime::Count)
        }
        "collect" => match element_of_vec(result) {
            Some(element) => quote_spanned!(span=> #runtime::Collect::<#element>::default()),
            None => Error::new(span, "`collect(…)` gives a `Vec<…>`").into_compile_error(),
        },
        "sum" => quote_spanned!(span=> #runtime::Sum::<_, #result>::default()),
        "min" => quote_spanned!(span=> #runtime::Min::<_, #result>::default()),
        "max" => quote_spanned!(span=> #runtime::Max::<_, #result>::default()),
        _ => quote_spanned!(span=> #runtime::Average::<_, #result>::default()),
    }
}

/// Whether a type is `u64` or may be another name for it.
fn may_be_u64(ty: &Type) -> bool {
    const OTHERS: [&str; 15] = [
        "u8", "u16", "u32", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
        "f64", "Option", "Vec",
    ];
    let last = last_segment(ty).map(|segment| segment.ident.to_string());
    last.is_some_and(|last| !OTHERS.contains(&last.as_str()))
}

fn element_of_vec(ty: &Type) -> Option<&Type> {
    let segment = last_segment(ty).filter(|segment| segment.ident == "Vec")?;
    match type_arguments(segment).as_slice() {
        [element] => Some(element),
        _ => None,
    }
}
