//! The expansion of a rule.

mod call;
mod closures;
mod group;
mod pattern;

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::model::{Analysis, Part};

pub(crate) use call::{call, consequence, query_output};
pub(crate) use group::written;

/// Hygiene of everything generated: no local of ours meets one of the user's.
fn site() -> Span {
    Span::mixed_site()
}

/// What all closures of a definition need in scope.
pub(crate) fn preamble() -> TokenStream {
    quote_spanned! {site()=>
        #[allow(unused_imports)]
        use ::steadfast::__macro::{
            PushExact as _, PushHashed as _, PushOrder as _, PushUnordered as _,
        };
    }
}

/// Says of a type that cannot be a key just that, on the user's token. `NoKey` is found where no
/// other `push_code` is, so that there is no second error.
fn join_key_check() -> TokenStream {
    quote_spanned! {site()=>
        #[diagnostic::on_unimplemented(
            message = "`{Self}` cannot be a join key",
            label = "a key needs `Eq` and `Hash`, which floats do not have",
            note = "join by whole units, derive `Hash`, or compare with `<=` and `>=`",
        )]
        trait __JoinKey {}
        #[diagnostic::do_not_recommend]
        impl<K: ::core::hash::Hash + ?::core::marker::Sized> __JoinKey for K {}
        fn __join_key<K: __JoinKey + ?::core::marker::Sized>(key: &K) -> &K {
            key
        }
        #[allow(dead_code)]
        trait __NoKey {
            fn push_code(&mut self, _codes: &mut ::steadfast::__macro::Codes) {}
        }
        impl<K: ?::core::marker::Sized> __NoKey for &::steadfast::__macro::Probe<'_, K> {}
    }
}

/// The parts of the left-hand side as a `Vec<Part>`, and code before it that only checks and warns.
pub(crate) fn parts(analysis: &Analysis) -> (TokenStream, TokenStream) {
    let mut checks = TokenStream::new();
    let parts = analysis.parts.iter().map(|part| match part {
        Part::Each(fact) => wrap("Each", &pattern::pattern(fact, &mut checks)),
        Part::Not(fact) => wrap("Not", &pattern::pattern(fact, &mut checks)),
        Part::Exists(fact) => wrap("Exists", &pattern::pattern(fact, &mut checks)),
        Part::Group(group) => wrap("Group", &group::group(group, &mut checks)),
    });
    let parts: Vec<TokenStream> = parts.collect();
    if analysis.has_keys() {
        checks.extend(join_key_check());
    }
    (checks, quote_spanned!(site()=> ::std::vec![#(#parts),*]))
}

fn wrap(variant: &str, inner: &TokenStream) -> TokenStream {
    let variant = proc_macro2::Ident::new(variant, site());
    quote_spanned!(site()=> ::steadfast::__macro::Part::#variant(#inner))
}
