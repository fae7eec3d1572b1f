//! Groups.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Type};

use super::closures::{Input, reads, values};
use super::pattern::{pattern, whole_test};
use super::{local, site};
use crate::rule::function::FunctionKind;
use crate::rule::model::{Aggregate, GroupPattern};
use crate::rule::param::{last_segment, type_arguments};
use crate::tokens::text_of;

/// A `GroupPattern`.
pub(crate) fn group(group: &GroupPattern, checks: &mut TokenStream) -> TokenStream {
    let elements: Vec<TokenStream> =
        group.elements.iter().map(|element| pattern(element, checks)).collect();
    check_elements(group, checks);
    let name = group.variable.name.unraw().to_string();
    let spec = spec(group, checks);
    let inputs = group.aggregates.iter().flat_map(|aggregate| &aggregate.inputs);
    let read = group.by.iter().chain(inputs).flat_map(|value| &value.used);
    let reads = reads(read);
    let key_text = texts(group.by.iter().map(|key| key.expr.to_token_stream()));
    let function_text = texts(group.aggregates.iter().map(written));
    let having = group.having.iter().map(whole_test);
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
    aggregate.function.written.clone()
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
    let inputs: Vec<Input<'_>> = aggregates.iter().map(input).collect();
    let input = values(&inputs, None, true);
    let span = aggregates.first().map_or_else(site, |first| first.function.span);
    if by.is_empty() {
        return quote_spanned! {span.resolved_at(site())=>
            ::steadfast::__macro::GroupSpec::over_all::<#source, _>((#(#functions,)*), #input)
        };
    }
    let keys: Vec<Input<'_>> = by.iter().map(Input::Plain).collect();
    let key_of = values(&keys, Some(key), by.len() > 1);
    quote_spanned! {span.resolved_at(site())=>
        ::steadfast::__macro::GroupSpec::by_key::<#source, #key, _>(
            #key_of,
            (#(#functions,)*),
            #input,
        )
    }
}

/// What a function takes of one member.
fn input(aggregate: &Aggregate) -> Input<'_> {
    match (&aggregate.function.kind, aggregate.inputs.as_slice()) {
        (
            FunctionKind::Ordered(_)
            | FunctionKind::CountDistinct
            | FunctionKind::CollectSet
            | FunctionKind::Ends(..)
            | FunctionKind::Percentile(_),
            [value],
        ) => Input::Ordered(value),
        (_, [value]) => Input::Plain(value),
        (_, several) => Input::Several(several),
    }
}

/// The function with the type of its result. A result that the function cannot have is a type error
/// on the declared type: the results that a group shows are exactly those declared.
fn function(aggregate: &Aggregate, checks: &mut TokenStream) -> TokenStream {
    let result = &aggregate.result;
    let span = result.span();
    let runtime = quote_spanned!(site()=> ::steadfast::__macro);
    let named = |name: &str| Ident::new(name, span);
    match &aggregate.function.kind {
        FunctionKind::Count => counted("count()", result, checks)
            .unwrap_or_else(|| quote_spanned!(site()=> #runtime::Count)),
        FunctionKind::CountDistinct => counted("count_distinct(…)", result, checks)
            .unwrap_or_else(|| quote_spanned!(site()=> #runtime::CountDistinct::default())),
        FunctionKind::Plain(name) | FunctionKind::Ordered(name) => {
            let name = named(name);
            quote_spanned!(span=> #runtime::#name::<_, #result>::default())
        }
        FunctionKind::Percentile(percent) => quote_spanned! {span=>
            #runtime::Percentile::<_, #result>::new(::core::convert::From::from(#percent))
        },
        FunctionKind::Collect => listed(
            "collect(…)",
            result,
            |element| quote_spanned!(span=> #runtime::Collect::<_, #element>::default()),
        ),
        FunctionKind::CollectSet => listed(
            "collect_set(…)",
            result,
            |element| quote_spanned!(span=> #runtime::CollectSet::<_, #element>::default()),
        ),
        FunctionKind::Ends(name, count) => {
            let shown = if *name == "TopK" { "top_k(…)" } else { "bottom_k(…)" };
            let name = named(name);
            listed(
                shown,
                result,
                |element| quote_spanned!(span=> #runtime::#name::<_, #element>::new(#count)),
            )
        }
        FunctionKind::User(path) => {
            check_output(&quote!(<#path as #runtime::Aggregate>::Output), result, checks);
            quote_spanned!(path.span()=> <#path as ::core::default::Default>::default())
        }
        FunctionKind::Rescan(path) => {
            check_output(&quote!(<#path as #runtime::Rescan>::Output), result, checks);
            quote_spanned!(path.span()=> #runtime::Rescanned::<#path>::default())
        }
    }
}

/// A function of the user's gives what is declared.
fn check_output(output: &TokenStream, result: &Type, checks: &mut TokenStream) {
    let shown = local("shown", result.span());
    checks.extend(quote_spanned! {result.span()=>
        let _ = |#shown: #output| -> #result { #shown };
    });
}

/// An error unless a count is declared as `u64`.
fn counted(function: &str, result: &Type, checks: &mut TokenStream) -> Option<TokenStream> {
    let span = result.span();
    if !may_be_u64(result) {
        return Some(Error::new(span, format!("`{function}` gives a `u64`")).into_compile_error());
    }
    let count = local("count", span);
    checks.extend(quote_spanned!(span=> let _ = |#count: u64| -> #result { #count };));
    None
}

/// A function that gives a `Vec`, from the type of its elements.
fn listed(function: &str, result: &Type, of: impl FnOnce(&Type) -> TokenStream) -> TokenStream {
    if let Some(element) = element_of_vec(result) {
        return of(element);
    }
    let message = format!("`{function}` gives a `Vec<…>`");
    Error::new(result.span(), message).into_compile_error()
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
