//! The expansion of a rule.

mod agenda;
mod call;
mod checks;
mod closures;
mod group;
mod meaning;
mod pattern;
mod salience;
mod temporal;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::spanned::Spanned;

use super::model::{Analysis, Declared, Nested, Part};

pub(crate) use agenda::agenda;
pub(crate) use call::{call, consequence, derived, query_output};
pub(crate) use group::written;
pub(crate) use salience::salience;

/// Hygiene of everything generated: no local of ours meets one of the user's.
pub(crate) fn site() -> Span {
    Span::mixed_site()
}

/// A local of ours. The underscores keep it from a constant of the user's, which would be matched
/// instead of bound.
pub(crate) fn local(name: &str, span: Span) -> Ident {
    format_ident!("__{name}", span = span.resolved_at(site()))
}

/// What all closures of a definition need in scope.
pub(crate) fn preamble() -> TokenStream {
    quote_spanned! {site()=>
        #[allow(unused_imports)]
        use ::steadfast::__macro::{
            ExactConstant as _, HashedConstant as _, KnowNothing as _, KnowValue as _,
            OpaqueConstant as _, PushExact as _, PushExactConstant as _, PushHashed as _, PushHashedConstant as _, PushNothing as _,
            PushOrder as _, PushUnordered as _, TakeFloat as _, TakeOrdered as _,
        };
    }
}

/// The parts of the left-hand side as a `Vec<Part>`, and code before it that only checks and warns.
pub(crate) fn parts(analysis: &Analysis) -> (TokenStream, TokenStream) {
    let mut checks = TokenStream::new();
    for Declared { declared, named } in &analysis.declared {
        let element = local("element", named.span());
        checks.extend(quote_spanned! {named.span()=>
            let _ = |#element: #declared| -> #named { #element };
        });
    }
    let parts = list(&analysis.parts, &mut checks);
    if analysis.has_index() {
        checks = checks::items().into_iter().chain(checks).collect();
    }
    (checks, parts)
}

fn list(parts: &[Part], checks: &mut TokenStream) -> TokenStream {
    let parts = parts.iter().map(|part| match part {
        Part::Each(fact) => wrap("Each", &pattern::pattern(fact, checks)),
        Part::Not(fact) => wrap("Not", &pattern::pattern(fact, checks)),
        Part::Exists(fact) => wrap("Exists", &pattern::pattern(fact, checks)),
        Part::Group(group) => wrap("Group", &group::group(group, checks)),
        Part::Nested(Nested { exists, parts }) => {
            let parts = list(parts, checks);
            let nested = quote_spanned! {site()=>
                ::steadfast::__macro::Nested { exists: #exists, parts: #parts }
            };
            wrap("Nested", &nested)
        }
    });
    let parts: Vec<TokenStream> = parts.collect();
    quote_spanned!(site()=> ::std::vec![#(#parts),*])
}

fn wrap(variant: &str, inner: &TokenStream) -> TokenStream {
    let variant = Ident::new(variant, site());
    quote_spanned!(site()=> ::steadfast::__macro::Part::#variant(#inner))
}
