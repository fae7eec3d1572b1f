//! Fact patterns and their conditions.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Expr;
use syn::ext::IdentExt;

use super::checks::same_index;
use super::closures::{On, constant_key, key, order, reads, test};
use super::{meaning, site, temporal};
use crate::rule::classify::{Class, comparison_to_constant};
use crate::rule::model::{Condition, FactPattern, Variable};
use crate::rule::usage::Usage;
use crate::rule::window::{Extent, Window};
use crate::tokens::text_of;

/// A `Pattern`.
pub(crate) fn pattern(fact: &FactPattern, checks: &mut TokenStream) -> TokenStream {
    let FactPattern { variable, entry, conditions, window, watch, distinct, unindexed } = fact;
    let window = emit_window(window.as_ref());
    let (ty, name) = (&variable.ty, variable.name.unraw().to_string());
    checks.extend(watch.as_ref().map(|watch| watch.check(ty)));
    checks.extend(unindexed.map(|span| warn_unindexed(&name, span)));
    let from = entry.as_ref().map(|entry| quote_spanned!(site()=> .from_entry(#entry)));
    let none = || quote!(::steadfast::__macro::FieldMask::NONE);
    let (watch, ignore) = watch.as_ref().map_or_else(|| (none(), none()), |watch| watch.masks(ty));
    let (mut alpha, mut keys, mut ranges, mut residual) = (vec![], vec![], vec![], vec![]);
    let mut constants = vec![];
    for condition in conditions {
        match &condition.class {
            Class::Alpha => {
                constants.extend(constant(condition, &name, alpha.len()));
                alpha.push(fact_test(condition, variable));
            }
            Class::Key { inner, outer } => {
                checks.extend(same_index(&condition.used, inner, outer));
                keys.push(key_join(condition, &name, inner, outer));
            }
            Class::Range { at_most, inner, outer } => {
                checks.extend(same_index(&condition.used, inner, outer));
                ranges.push(range_join(condition, &name, *at_most, (inner, outer)));
            }
            Class::Temporal(temporal) => {
                checks.extend(temporal::check(temporal));
                ranges.push(temporal::join(condition, temporal));
            }
            Class::Residual => residual.push(whole_test(condition)),
        }
    }
    quote_spanned! {site()=>
        ::steadfast::__macro::Pattern {
            variable: ::std::string::String::from(#name),
            fact: ::steadfast::__macro::FactType::of::<#ty>() #from,
            conditions: ::steadfast::__macro::Conditions {
                alpha: ::std::vec![#(#alpha),*],
                constants: ::core::iter::empty()#(.chain(#constants))*.collect(),
                keys: ::std::vec![#(#keys),*],
                ranges: ::std::vec![#(#ranges),*],
                residual: ::std::vec![#(#residual),*],
            },
            window: #window,
            distinct: #distinct,
            watch: #watch,
            ignore: #ignore,
        }
    }
}

fn emit_window(window: Option<&Window>) -> TokenStream {
    let window = match window.map(|window| window.extent) {
        None => return quote_spanned!(site()=> ::core::option::Option::None),
        Some(Extent::Length(length)) => quote_spanned!(site()=> Window::last(#length)),
        Some(Extent::Time(millis)) => quote_spanned!(site()=> Window::Time(#millis)),
    };
    quote_spanned!(site()=> ::core::option::Option::Some(::steadfast::__macro::#window))
}

/// A `Test` of a condition on the fact of one variable alone.
fn fact_test(condition: &Condition, variable: &Variable) -> TokenStream {
    let Variable { name, ty, .. } = variable;
    let text = text_of(condition.written.clone());
    let reads = reads(&condition.used);
    let meaning = meaning::of_condition(&condition.expr, &name.unraw().to_string());
    let is_named = Usage::of(&condition.expr).names.contains_key(&name.to_string());
    let fact = if is_named { quote!(#name) } else { quote!(_) };
    let expr = &condition.expr;
    // A closure with a return type: a `return` in the condition answers for the fact alone.
    quote_spanned! {site()=>
        ::steadfast::__macro::Test::on_fact::<#ty>(
            #text,
            #reads,
            |#fact: &#ty| -> bool { #expr },
            #meaning,
        )
    }
}

/// A `Test` of the condition as a whole, on rows of the rule's positions.
pub(crate) fn whole_test(condition: &Condition) -> TokenStream {
    let text = text_of(condition.written.clone());
    let reads = reads(&condition.used);
    let evaluate = test(&condition.expr, &condition.used);
    quote_spanned! {site()=>
        ::steadfast::__macro::Test::on_rows(#text, #reads, #evaluate)
    }
}

/// The `Constant` of the condition in this place, if it compares a path to one and their types have codes.
fn constant(condition: &Condition, inner: &str, at: usize) -> Option<TokenStream> {
    let (path, value) = comparison_to_constant(&condition.expr, inner)?;
    let [used] = &*condition.used else { return None };
    let (name, ty) = (&used.variable.name, &used.variable.ty);
    let text = text_of(path.to_token_stream());
    let text = text.split_once('.').map_or("", |(_, path)| path.trim());
    let inner = constant_key(path, &condition.used);
    Some(quote_spanned! {site()=>
        (&&&::steadfast::__macro::compared(|#name: &#ty| &#path, &#value)).code().map(
            |(code, exact)| ::steadfast::__macro::Constant {
                test: #at,
                path: ::std::string::String::from(#text),
                inner: #inner,
                code,
                exact,
            },
        )
    })
}

fn key_join(condition: &Condition, name: &str, inner: &Expr, outer: &Expr) -> TokenStream {
    let meaning = meaning::of_path(inner, name);
    let inner = key(inner, &condition.used, On::InnerAlone);
    let outer = key(outer, &condition.used, On::Tuple);
    let test = whole_test(condition);
    quote_spanned! {site()=>
        ::steadfast::__macro::KeyJoin {
            inner: #inner,
            outer: #outer,
            meaning: #meaning,
            test: #test,
        }
    }
}

fn range_join(
    condition: &Condition,
    name: &str,
    at_most: bool,
    (inner, outer): (&Expr, &Expr),
) -> TokenStream {
    let meaning = meaning::of_path(inner, name);
    let comparison = Ident::new(if at_most { "AtMost" } else { "AtLeast" }, site());
    let inner = order(inner, &condition.used, On::InnerAlone);
    let outer = order(outer, &condition.used, On::Tuple);
    let test = whole_test(condition);
    quote_spanned! {site()=>
        ::steadfast::__macro::RangeJoin {
            width: ::core::option::Option::None,
            apart: ::core::option::Option::None,
            comparison: ::steadfast::__macro::Comparison::#comparison,
            inner: #inner,
            outer: #outer,
            meaning: #meaning,
            test: #test,
        }
    }
}

/// A warning at the variable. Macros cannot warn; the use of something deprecated can.
fn warn_unindexed(name: &str, span: Span) -> TokenStream {
    let note = format!(
        "every fact of `{name}` is tried with every match before it: join it by `==` or `<` to a \
         variable before it, or mark it `#[cross]` if that is meant"
    );
    let used = Ident::new("JOIN_WITHOUT_KEY", span);
    quote_spanned! {site()=>
        {
            #[deprecated(note = #note)]
            const JOIN_WITHOUT_KEY: () = ();
            let () = #used;
        }
    }
}
