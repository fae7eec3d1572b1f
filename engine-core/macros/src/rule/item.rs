//! From the user's function to the function, its type and the definition.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, ItemFn, Pat, Result, Signature};

use super::analyze::analyze;
use super::args::{OnError, RuleArgs, Salience};
use super::attributes::is_ours;
use super::digest;
use super::emit;
use super::model::Analysis;
use super::param::{Kind, Param};
use super::writes::Writes;
use crate::errors::Errors;

/// What a function is made into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Rule,
    Query,
}

/// Expands a rule or query. After an error the function and a stub of the definition are still
/// there, so that one mistake is one error.
pub(crate) fn expand(sort: Sort, args: Result<RuleArgs>, function: &ItemFn) -> TokenStream {
    let implementation = args.and_then(|args| implementation(sort, &args, function));
    let (implementation, errors) = match implementation {
        Ok((implementation, used_names)) => (implementation, Ok(used_names)),
        Err(errors) => (stub(sort, function), Err(errors.into_compile_error())),
    };
    let function_item = plain_function(function, errors.as_ref().ok());
    let type_item = type_of(function);
    let errors = errors.err();
    quote!(#errors #function_item #type_item #implementation)
}

fn implementation(
    sort: Sort,
    args: &RuleArgs,
    function: &ItemFn,
) -> Result<(TokenStream, Vec<String>)> {
    let word = if sort == Sort::Rule { "a rule" } else { "a query" };
    let mut errors = Errors::default();
    errors.take(check_signature(&function.sig, word));
    let params = function.sig.inputs.iter().filter_map(|arg| errors.take(Param::of(arg)));
    let params: Vec<Param> = params.collect();
    if sort == Sort::Query
        && let Some(then) = params.iter().find(|param| matches!(param.kind, Kind::Then))
    {
        let message = "a query changes nothing and has no context";
        errors.push(Error::new(then.name.span(), message));
    }
    let params = errors.finish(params)?;
    let salience = match &args.salience {
        Salience::Fixed(_) => None,
        Salience::Of(expr) => Some(expr),
    };
    let expressions = (salience, args.agenda.enabled.as_ref(), args.branches_max());
    let branches = analyze(&params, expressions, word, function.sig.ident.span())?;
    let implementation = match sort {
        Sort::Rule => rule(args, function, (&branches, &params))?,
        Sort::Query => query(args, function, (&branches, &params))?,
    };
    let used_names = branches.into_iter().flat_map(|branch| branch.used_names).collect();
    Ok((implementation, used_names))
}

fn check_signature(signature: &Signature, word: &str) -> Result<()> {
    let refuse = |span: Span, what: &str| {
        Err(Error::new(span, format!("{word} is a plain function: it cannot be {what}")))
    };
    if let Some(asyncness) = signature.asyncness {
        return refuse(asyncness.span(), "async");
    }
    if let Some(constness) = signature.constness {
        return refuse(constness.span(), "const");
    }
    if !matches!(signature.safety, syn::Safety::Default) {
        return refuse(signature.safety.span(), "unsafe");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi.span(), "extern");
    }
    if !signature.generics.params.is_empty() {
        return refuse(signature.generics.span(), "generic");
    }
    Ok(())
}

fn rule(
    args: &RuleArgs,
    function: &ItemFn,
    (branches, params): (&[Analysis], &[Param]),
) -> Result<TokenStream> {
    let consequences = branches.iter().map(|branch| consequence(args, function, branch));
    let consequences: Vec<TokenStream> = consequences.collect::<Result<_>>()?;
    Ok(implement("Rule", function, &definition(args, function, (branches, params), &consequences)))
}

fn consequence(args: &RuleArgs, function: &ItemFn, branch: &Analysis) -> Result<TokenStream> {
    let (row, then) = (emit::local("row", site()), emit::local("then", site()));
    let call = emit::call(&function.sig.ident, &branch.arguments, &row, &then);
    let body = emit::consequence(&function.sig, &call, args.logical.is_some(), &then)?;
    Ok(quote_spanned! {site()=>
        |#row: &::steadfast::__macro::Row<'_>, #then: &mut ::steadfast::__macro::Then<'_>|
        -> ::steadfast::__macro::RuleResult { #body }
    })
}

fn query(
    args: &RuleArgs,
    function: &ItemFn,
    (branches, params): (&[Analysis], &[Param]),
) -> Result<TokenStream> {
    let (row, then) = (emit::local("row", site()), emit::local("then", site()));
    let calls = branches
        .iter()
        .map(|branch| emit::call(&function.sig.ident, &branch.arguments, &row, &then));
    let calls: Vec<TokenStream> = calls.collect();
    let call = match calls.as_slice() {
        [call] => call.clone(),
        [first, others @ ..] => {
            let numbers = 1..=u16::try_from(others.len()).unwrap_or(u16::MAX);
            quote_spanned! {site()=>
                match #row.branch() { #(#numbers => #others,)* _ => #first }
            }
        }
        [] => TokenStream::new(),
    };
    let output = emit::query_output(&function.sig.output)?;
    let nothing = vec![quote!(|_, _| ::core::result::Result::Ok(())); branches.len()];
    let definition = definition(args, function, (branches, params), &nothing);
    let items = quote_spanned! {site()=>
        type Output = #output;

        #definition

        fn output(#row: &::steadfast::__macro::Row<'_>) -> #output {
            #call
        }
    };
    Ok(implement("Query", function, &items))
}

/// The definition: of a rule with an `or` the first branch, which holds the others.
fn definition(
    args: &RuleArgs,
    function: &ItemFn,
    (branches, params): (&[Analysis], &[Param]),
    consequences: &[TokenStream],
) -> TokenStream {
    let derived = emit::derived(&function.sig.output, args.logical.is_some());
    let writes = Writes::of(function, args.writes.as_ref(), params).emit(derived);
    let nothing = Writes::default().emit(None);
    let preamble = emit::preamble();
    let none = quote_spanned!(site()=> ::std::vec::Vec::new());
    let all = branches.iter().zip(consequences);
    let further = all.clone().skip(1).map(|(branch, consequence)| {
        let (checks, def) =
            branch_definition(args, function, (branch, branches), consequence, (&none, &nothing));
        quote_spanned!(site()=> { #checks #def })
    });
    let further: Vec<TokenStream> = further.collect();
    let further = quote_spanned!(site()=> ::std::vec![#(#further),*]);
    let definition = all.take(1).map(|(branch, consequence)| {
        let branch = (branch, branches);
        let (checks, def) =
            branch_definition(args, function, branch, consequence, (&further, &writes));
        quote_spanned!(site()=> #checks #def)
    });
    quote_spanned! {site()=>
        fn definition() -> ::steadfast::__macro::RuleDef {
            #preamble
            #(#definition)*
        }
    }
}

/// One branch as a definition of its own, and code before it that only checks and warns.
fn branch_definition(
    args: &RuleArgs,
    function: &ItemFn,
    (branch, all): (&Analysis, &[Analysis]),
    consequence: &TokenStream,
    (further, writes): (&TokenStream, &TokenStream),
) -> (TokenStream, TokenStream) {
    let name = function.sig.ident.unraw().to_string();
    let salience = emit::salience(&args.salience, branch.salience.as_ref());
    let agenda = emit::agenda(&args.agenda, branch.enabled.as_ref());
    let on_error = match &args.on_error {
        OnError::Abort => quote!(Abort),
        OnError::Skip => quote!(Skip),
        OnError::SkipIf(function) => quote!(SkipIf(#function)),
    };
    let timing = args.timing.emit();
    let (checks, parts) = emit::parts(branch);
    let conditions = bytes(digest::conditions(all, args));
    let consequence_digest = bytes(digest::consequence(function, branch, args));
    let definition = quote_spanned! {site()=>
        ::steadfast::__macro::RuleDef {
            path: ::std::string::String::from(
                ::core::concat!(::core::module_path!(), "::", #name)
            ),
            salience: #salience,
            agenda: #agenda,
            on_error: ::steadfast::__macro::OnError::#on_error,
            timing: #timing,
            parts: #parts,
            branches: #further,
            writes: #writes,
            mistakes: ::std::vec::Vec::new(),
            consequence: ::std::sync::Arc::new(#consequence),
            conditions_digest: ::steadfast::__macro::Digest::from_bytes(#conditions),
            consequence_digest: ::steadfast::__macro::Digest::from_bytes(#consequence_digest),
        }
    };
    (checks, definition)
}

fn bytes(digest: [u8; 16]) -> TokenStream {
    quote!([#(#digest),*])
}

fn site() -> Span {
    Span::mixed_site()
}

/// The implementation of a trait for the type of the same name.
fn implement(name: &str, function: &ItemFn, items: &TokenStream) -> TokenStream {
    let (ident, conditional) = (&function.sig.ident, conditional(function));
    let name = Ident::new(name, site());
    quote! {
        #(#conditional)*
        #[automatically_derived]
        #[allow(
            unused_braces,
            unused_parens,
            unused_results,
            unused_variables,
            clippy::all,
            clippy::pedantic,
        )]
        impl ::steadfast::__macro::#name for #ident {
            #items
        }
    }
}

/// What stands for the definition when there is an error.
fn stub(sort: Sort, function: &ItemFn) -> TokenStream {
    let definition = quote! {
        fn definition() -> ::steadfast::__macro::RuleDef {
            ::core::unreachable!()
        }
    };
    match sort {
        Sort::Rule => implement("Rule", function, &definition),
        Sort::Query => {
            let items = quote! {
                type Output = ();
                #definition
                fn output(_: &::steadfast::__macro::Row<'_>) {}
            };
            implement("Query", function, &items)
        }
    }
}

/// The conditional compilation of the function, which holds for its type too.
fn conditional(function: &ItemFn) -> Vec<&Attribute> {
    function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}

/// The type that carries the definition. It has braces, so that it is a type only and leaves the
/// value's name to the function.
fn type_of(function: &ItemFn) -> TokenStream {
    let (ident, vis, conditional) = (&function.sig.ident, &function.vis, conditional(function));
    quote! {
        #(#conditional)*
        #[doc(hidden)]
        #[allow(non_camel_case_types, unreachable_pub, missing_debug_implementations)]
        #vis struct #ident {}
    }
}

/// The function as the user wrote it, without our attributes on its parameters.
fn plain_function(function: &ItemFn, used_names: Option<&Vec<String>>) -> TokenStream {
    let mut function = function.clone();
    for input in &mut function.sig.inputs {
        let FnArg::Typed(typed) = input else { continue };
        let written = typed.attrs.len();
        typed.attrs.retain(|attribute| !is_ours(attribute));
        let has_ours = typed.attrs.len() < written;
        let used = match (&*typed.pat, used_names) {
            (Pat::Ident(pat), Some(names)) => names.contains(&pat.ident.to_string()),
            _ => true,
        };
        let is_marker = Param::of(input).is_ok_and(|param| {
            matches!(
                param.kind,
                Kind::Absent { .. }
                    | Kind::Exists { .. }
                    | Kind::Forall { .. }
                    | Kind::Either
                    | Kind::Having
            )
        });
        if let (FnArg::Typed(typed), true) = (input, used || has_ours || is_marker) {
            typed.attrs.push(syn::parse_quote!(#[allow(unused_variables)]));
        }
    }
    let allow: Attribute = syn::parse_quote! {
        #[allow(
            clippy::many_single_char_names,
            clippy::missing_const_for_fn,
            clippy::needless_pass_by_value,
            clippy::too_many_arguments,
            clippy::trivially_copy_pass_by_ref,
            clippy::type_complexity,
            clippy::unnecessary_wraps,
        )]
    };
    function.attrs.insert(0, allow);
    function.into_token_stream()
}
