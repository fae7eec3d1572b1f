//! Temporal joins.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::closures::reads_of_times;
use super::{local, site};
use crate::rule::model::Condition;
use crate::rule::temporal::{Side, Temporal};
use crate::tokens::text_of;

/// Code that only checks that both are events.
pub(crate) fn check(temporal: &Temporal) -> TokenStream {
    let sides = [&temporal.later, &temporal.earlier];
    let checks = sides.map(|Side { variable, .. }| {
        let ty = &variable.ty;
        let message = "a temporal condition needs events: declare the type `#[fact(event)]`";
        quote_spanned! {ty.span()=>
            const { ::core::assert!(<#ty as ::steadfast::__macro::Fact>::EVENT, #message) }
        }
    });
    quote!(#(#checks)*)
}

/// A `RangeJoin`.
pub(crate) fn join(condition: &Condition, temporal: &Temporal) -> TokenStream {
    let Temporal { later, earlier, from, to, later_is_inner, ends } = temporal;
    let text = text_of(condition.written.clone());
    let reads = reads_of_times(&[&later.variable, &earlier.variable]);
    let (rows, out) = (local("rows", site()), local("out", site()));
    let (a, b) = (local("later", site()), local("earlier", site()));
    let (row, apart) = (local("row", site()), local("apart", site()));
    let (later_at, earlier_at) = (later.variable.position, earlier.variable.position);
    let (later_ty, earlier_ty) = (&later.variable.ty, &earlier.variable.ty);
    let (later_time, earlier_time) = (time(later), time(earlier));
    let upper = to.map(|to| quote!(&& #apart <= #to));
    let both_ends =
        ends.map(|most| quote!(&& #a.end(#row).abs_diff(#b.end(#row)) <= #most.unsigned_abs()));
    let evaluate = quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#rows: &::steadfast::__macro::Rows<'_>, #out: &mut ::std::vec::Vec<bool>| {
                let #a = #rows.facts::<#later_ty>(#later_at);
                let #b = #rows.facts::<#earlier_ty>(#earlier_at);
                #out.extend((0..#rows.len()).map(|#row: usize| -> bool {
                    let #apart = #a.#later_time(#row).saturating_sub(#b.#earlier_time(#row));
                    #apart >= #from #upper #both_ends
                }));
            }
        )
    };
    // inner in [outer, outer + width], or on one side of it.
    let (inner, outer) = if *later_is_inner { (later, earlier) } else { (earlier, later) };
    let width = to.map(|to| to.abs_diff(*from));
    let (comparison, shift) = match (later_is_inner, to) {
        (true, _) => ("AtLeast", *from),
        (false, Some(to)) => ("AtLeast", to.saturating_neg()),
        (false, None) => ("AtMost", from.saturating_neg()),
    };
    let comparison = Ident::new(comparison, site());
    let width = if let Some(width) = width {
        quote!(::core::option::Option::Some(#width))
    } else {
        quote!(::core::option::Option::None)
    };
    let moment = |side: &Side| {
        let (position, end) = (side.variable.position, side.end);
        quote!(::steadfast::__macro::Moment { position: #position, end: #end })
    };
    let (later, earlier) = (moment(later), moment(earlier));
    let most = if let Some(to) = to {
        quote!(::core::option::Option::Some(#to))
    } else {
        quote!(::core::option::Option::None)
    };
    let meaning = if inner.end { "its end" } else { "its start" };
    let (inner, outer) = (order(inner, 0, 0), order(outer, outer.variable.position, shift));
    quote_spanned! {site()=>
        ::steadfast::__macro::RangeJoin {
            width: #width,
            apart: ::core::option::Option::Some(::steadfast::__macro::Apart {
                later: #later,
                earlier: #earlier,
                least: #from,
                most: #most,
            }),
            comparison: ::steadfast::__macro::Comparison::#comparison,
            inner: #inner,
            outer: #outer,
            meaning: ::core::option::Option::Some(::steadfast::__macro::Meaning::path(#meaning)),
            test: ::steadfast::__macro::Test::on_rows(#text, #reads, #evaluate),
        }
    }
}

fn time(side: &Side) -> Ident {
    Ident::new(if side.end { "end" } else { "start" }, site())
}

/// An `OrderFn`: the time of a side, so many milliseconds later.
fn order(side: &Side, position: usize, shift: i64) -> TokenStream {
    let (ty, time) = (&side.variable.ty, time(side));
    let (rows, orders) = (local("rows", site()), local("orders", site()));
    let (row, facts) = (local("row", site()), local("facts", site()));
    quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#rows: &::steadfast::__macro::Rows<'_>, #orders: &mut ::std::vec::Vec<u64>| {
                let #facts = #rows.facts::<#ty>(#position);
                #orders.extend((0..#rows.len()).map(|#row: usize| {
                    ::steadfast::__macro::time_order(#facts.#time(#row).saturating_add(#shift))
                }));
            }
        )
    }
}
