//! Closures over rows: tests, keys, orders, values.
//!
//! In each of them the user's variables are bound under their own names and types, so that the
//! compiler checks the user's own tokens.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Type};

use super::{local, site};
use crate::rule::model::{Used, Value, Variable};
use crate::rule::usage::Usage;

/// Which row an expression is evaluated on.
#[derive(Clone, Copy)]
pub(crate) enum On {
    /// A row of the rule's positions.
    Tuple,
    /// A row with the inner fact alone.
    InnerAlone,
}

impl On {
    fn position(self, variable: &Variable) -> usize {
        match self {
            Self::Tuple => variable.position,
            Self::InnerAlone => 0,
        }
    }
}

/// Code that fetches the columns, once per batch, and code that binds the variables in one row.
struct Bindings {
    columns: TokenStream,
    variables: TokenStream,
}

impl Bindings {
    /// Of the variables that one expression uses, which may be a part of what `used` is about.
    fn of(used: &[Used], expr: &Expr, on: On, rows: &Ident, row: &Ident) -> Self {
        let names = Usage::of(expr).names;
        let is_used = |used: &&Used| names.contains_key(&used.variable.name.to_string());
        Self::of_all(used.iter().filter(is_used), on, rows, row)
    }

    fn of_all<'a>(used: impl Iterator<Item = &'a Used>, on: On, rows: &Ident, row: &Ident) -> Self {
        let by_position: BTreeMap<usize, &Variable> =
            used.map(|used| (used.variable.position, &used.variable)).collect();
        let (mut columns, mut variables) = (TokenStream::new(), TokenStream::new());
        for (place, variable) in by_position {
            let (name, ty) = (&variable.name, &variable.ty);
            let column = local(&format!("column_{place}"), site());
            let fetch = Ident::new(if variable.is_group { "groups" } else { "facts" }, site());
            let position = on.position(variable);
            columns.extend(quote_spanned! {site()=>
                let #column = #rows.#fetch::<#ty>(#position);
            });
            variables.extend(quote_spanned! {site()=>
                let #name: &#ty = #column.at(#row);
            });
        }
        Self { columns, variables }
    }
}

/// A reference to what an expression gives, with the expression's own span.
pub(crate) fn reference_to(expr: &Expr) -> TokenStream {
    let span = expr.span();
    let binds_tightly = matches!(
        expr,
        Expr::Array(_)
            | Expr::Call(_)
            | Expr::Field(_)
            | Expr::Index(_)
            | Expr::Lit(_)
            | Expr::Macro(_)
            | Expr::MethodCall(_)
            | Expr::Paren(_)
            | Expr::Path(_)
            | Expr::Reference(_)
            | Expr::Tuple(_)
            | Expr::Unary(_)
    );
    if binds_tightly { quote_spanned!(span=> &#expr) } else { quote_spanned!(span=> &(#expr)) }
}

/// A `TestFn`.
pub(crate) fn test(expr: &Expr, used: &[Used]) -> TokenStream {
    let (rows, row, answers) =
        (local("rows", site()), local("row", site()), local("answers", site()));
    let Bindings { columns, variables } = Bindings::of(used, expr, On::Tuple, &rows, &row);
    // A closure with a return type per row: a `return` in the condition answers for that row alone.
    quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#rows: &::steadfast::__macro::Rows<'_>, #answers: &mut ::std::vec::Vec<bool>| {
                #columns
                #answers.extend((0..#rows.len()).map(|#row: usize| -> bool {
                    #variables
                    #expr
                }));
            }
        )
    }
}

/// A `KeyFn`.
pub(crate) fn key(expr: &Expr, used: &[Used], on: On) -> TokenStream {
    let (rows, row, codes) = (local("rows", site()), local("row", site()), local("codes", site()));
    let Bindings { columns, variables } = Bindings::of(used, expr, on, &rows, &row);
    let value = reference_to(expr);
    let hashed = quote_spanned!(expr.span()=> __join_key(#value));
    quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#rows: &::steadfast::__macro::Rows<'_>, #codes: &mut ::steadfast::__macro::Codes| {
                #columns
                for #row in 0..#rows.len() {
                    #variables
                    (&::steadfast::__macro::Probe(#hashed)).push_code(#codes);
                }
            }
        )
    }
}

/// The `KeyFn` of a path that is compared to a constant: a type without codes is no error.
pub(crate) fn constant_key(path: &Expr, used: &[Used]) -> TokenStream {
    let (rows, row, codes) = (local("rows", site()), local("row", site()), local("codes", site()));
    let Bindings { columns, variables } = Bindings::of(used, path, On::InnerAlone, &rows, &row);
    quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#rows: &::steadfast::__macro::Rows<'_>, #codes: &mut ::steadfast::__macro::Codes| {
                #columns
                for #row in 0..#rows.len() {
                    #variables
                    (&&&::steadfast::__macro::Probe(&#path)).push_constant(#codes);
                }
            }
        )
    }
}

/// An `OrderFn`.
pub(crate) fn order(expr: &Expr, used: &[Used], on: On) -> TokenStream {
    let (rows, row, orders) =
        (local("rows", site()), local("row", site()), local("orders", site()));
    let Bindings { columns, variables } = Bindings::of(used, expr, on, &rows, &row);
    let value = reference_to(expr);
    quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#rows: &::steadfast::__macro::Rows<'_>, #orders: &mut ::std::vec::Vec<u64>| {
                #columns
                for #row in 0..#rows.len() {
                    #variables
                    (&::steadfast::__macro::Probe(#value)).push_order(#orders);
                }
            }
        )
    }
}

/// A closure from a match to the value of an expression over its variables.
pub(crate) fn of_match(value: &Value, ty: &TokenStream) -> TokenStream {
    let Value { expr, used } = value;
    let row = local("row", site());
    let variables = used.iter().map(|Used { variable, .. }| {
        let Variable { name, ty, is_group, position } = variable;
        let fetch = Ident::new(if *is_group { "group" } else { "fact" }, site());
        quote_spanned!(site()=> let #name: &#ty = #row.#fetch::<#ty>(#position);)
    });
    quote_spanned! {site()=>
        ::std::sync::Arc::new(
            |#row: &::steadfast::__macro::Row<'_>| -> #ty {
                #(#variables)*
                #expr
            }
        )
    }
}

/// What a closure gives of a row, among other things.
pub(crate) enum Input<'a> {
    /// A clone of a value.
    Plain(&'a Value),
    /// The same, in an order: a float is made one that has it.
    Ordered(&'a Value),
    /// Clones of several values, or of none, as a tuple.
    Several(&'a [Value]),
}

impl Input<'_> {
    fn values(&self) -> &[Value] {
        match self {
            Self::Plain(value) | Self::Ordered(value) => std::slice::from_ref(*value),
            Self::Several(values) => values,
        }
    }

    fn tokens(&self) -> TokenStream {
        let clone = |Value { expr, .. }: &Value| {
            let value = reference_to(expr);
            quote_spanned!(expr.span()=> ::core::clone::Clone::clone(#value))
        };
        match self {
            Self::Plain(value) => clone(value),
            Self::Ordered(Value { expr, .. }) => {
                let value = reference_to(expr);
                quote_spanned!(expr.span()=> (&::steadfast::__macro::Probe(#value)).ordered())
            }
            Self::Several(values) => {
                let values = values.iter().map(clone);
                quote_spanned!(site()=> (#(#values,)*))
            }
        }
    }
}

/// A closure from a row to several values, as a tuple unless there is one alone.
pub(crate) fn values(values: &[Input<'_>], ty: Option<&Type>, tuple: bool) -> TokenStream {
    let (rows, row) = (local("rows", site()), local("row", site()));
    let used = values.iter().flat_map(Input::values).flat_map(|value| &value.used);
    let Bindings { columns, variables } = Bindings::of_all(used, On::Tuple, &rows, &row);
    let parts: Vec<TokenStream> = values.iter().map(Input::tokens).collect();
    let result = ty.map(|ty| quote_spanned!(site()=> -> #ty));
    let body = if tuple { quote!((#(#parts,)*)) } else { quote!(#(#parts)*) };
    quote_spanned! {site()=>
        |#rows: &::steadfast::__macro::Rows<'_>, #row: usize| #result {
            #columns
            #variables
            #body
        }
    }
}

/// The `Reads` of these uses, one entry per position.
pub(crate) fn reads<'a>(used: impl IntoIterator<Item = &'a Used>) -> TokenStream {
    let mask = quote_spanned!(site()=> ::steadfast::__macro::FieldMask);
    let mut by_position: BTreeMap<usize, (&Variable, bool, BTreeSet<&str>)> = BTreeMap::new();
    for Used { variable, usage } in used {
        let entry = by_position.entry(variable.position);
        let (_, whole, fields) = entry.or_insert((variable, false, BTreeSet::new()));
        *whole |= usage.whole || variable.is_group;
        fields.extend(usage.fields.iter().map(String::as_str));
    }
    let each = by_position.iter().map(|(position, (variable, whole, fields))| {
        if *whole {
            return quote_spanned!(site()=> (#position, #mask::ALL));
        }
        let ty = &variable.ty;
        let masks = fields.iter().map(|field| quote_spanned!(site()=> #mask::of::<#ty>(#field)));
        let union = masks.reduce(|union, next| quote_spanned!(site()=> #union.union(#next)));
        quote_spanned!(site()=> (#position, #union))
    });
    let each: Vec<TokenStream> = each.collect();
    quote_spanned!(site()=> ::std::vec![#(#each),*])
}

/// The `Reads` of the times of some events.
pub(crate) fn reads_of_times(variables: &[&Variable]) -> TokenStream {
    let each = variables.iter().map(|Variable { ty, position, .. }| {
        quote_spanned!(site()=> (#position, <#ty as ::steadfast::__macro::Fact>::TIME_FIELDS))
    });
    quote_spanned!(site()=> ::std::vec![#(#each),*])
}
