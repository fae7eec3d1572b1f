//! Code that never runs: what must hold of types so that an index gives the condition's own answer.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::Expr;
use syn::spanned::Spanned;

use super::closures::reference_to;
use super::site;
use crate::rule::model::{Used, Variable};

/// Traits and functions that say, on the user's token, what keeps a type from an index.
///
/// `__NoKey` is found where no other `push_code` is, so that there is no second error.
pub(crate) fn items() -> TokenStream {
    quote_spanned! {site()=>
        #[diagnostic::on_unimplemented(
            message = "`{Self}` cannot be a join key",
            label = "a key needs `Hash`, which floats do not have",
            note = "join by whole units, derive `Hash`, or compare with `<=` and `>=`",
        )]
        trait __JoinKey {}
        #[diagnostic::do_not_recommend]
        impl<K: ::core::hash::Hash + ?::core::marker::Sized> __JoinKey for K {}
        #[allow(dead_code)]
        fn __join_key<K: __JoinKey + ?::core::marker::Sized>(key: &K) -> &K {
            key
        }

        #[allow(dead_code)]
        trait __NoKey {
            fn push_code(&mut self, _codes: &mut ::steadfast::__macro::Codes) {}
        }
        impl<K: ?::core::marker::Sized> __NoKey for &::steadfast::__macro::Probe<'_, K> {}

        #[diagnostic::on_unimplemented(
            message = "`{Self}` and `{Other}` cannot be joined through an index",
            label = "an index needs one type on both sides",
            note = "convert one side to the type of the other",
        )]
        trait __SameIndex<Other: ?::core::marker::Sized> {}
        impl<K: ?::core::marker::Sized> __SameIndex<K> for K {}
        #[diagnostic::do_not_recommend]
        impl __SameIndex<str> for ::std::string::String {}
        #[diagnostic::do_not_recommend]
        impl __SameIndex<&str> for ::std::string::String {}
        #[diagnostic::do_not_recommend]
        impl __SameIndex<::std::string::String> for str {}
        #[diagnostic::do_not_recommend]
        impl __SameIndex<::std::string::String> for &str {}
        #[allow(dead_code)]
        struct __Sides<A: ?::core::marker::Sized, B: ?::core::marker::Sized>(
            ::core::marker::PhantomData<A>,
            ::core::marker::PhantomData<B>,
        );
        #[allow(dead_code)]
        fn __sides<A, B>(_: &A, _: &B) -> __Sides<A, B>
        where
            A: ?::core::marker::Sized,
            B: ?::core::marker::Sized,
        {
            __Sides(::core::marker::PhantomData, ::core::marker::PhantomData)
        }
        #[allow(dead_code)]
        fn __same_index<A, B>(_: __Sides<A, B>)
        where
            A: __SameIndex<B> + ?::core::marker::Sized,
            B: ?::core::marker::Sized,
        {
        }
    }
}

/// Checks that both sides of a key or range have codes of one kind: equal values of two types may
/// have different ones.
pub(crate) fn same_index(used: &[Used], inner: &Expr, outer: &Expr) -> TokenStream {
    let parameters = used.iter().map(|Used { variable, .. }| {
        let Variable { name, ty, .. } = variable;
        quote_spanned!(site()=> #name: &#ty)
    });
    let (left, right) = (reference_to(inner), reference_to(outer));
    // In two steps, so that neither type is inferred from the other.
    let sides = quote_spanned!(inner.span().resolved_at(site())=> __sides(#left, #right));
    quote_spanned! {site()=>
        let _ = |#(#parameters),*| __same_index(#sides);
    }
}
