//! The salience of a rule.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;

use super::{local, site};
use crate::rule::args::Salience;
use crate::rule::model::{Used, Value, Variable};
use crate::tokens::text_of;

/// A `Salience`: fixed unless the expression uses a variable of the match.
pub(crate) fn salience(written: &Salience, value: Option<&Value>) -> TokenStream {
    match (written, value) {
        (Salience::Of(_), Some(Value { expr, used })) if !used.is_empty() => {
            let (row, text) = (local("row", site()), text_of(expr.to_token_stream()));
            let variables = used.iter().map(|Used { variable, .. }| {
                let Variable { name, ty, is_group, position } = variable;
                let fetch = Ident::new(if *is_group { "group" } else { "fact" }, site());
                quote_spanned!(site()=> let #name: &#ty = #row.#fetch::<#ty>(#position);)
            });
            quote_spanned! {site()=>
                ::steadfast::__macro::Salience::Of {
                    text: ::std::string::String::from(#text),
                    evaluate: ::std::sync::Arc::new(
                        |#row: &::steadfast::__macro::Row<'_>| -> i32 {
                            #(#variables)*
                            #expr
                        }
                    ),
                }
            }
        }
        (Salience::Of(expr), _) => {
            // Spanned as the expression, so that a type that is none reads as its error.
            let value = quote_spanned!(expr.span()=> const { let salience: i32 = #expr; salience });
            quote_spanned!(site()=> ::steadfast::__macro::Salience::Fixed(#value))
        }
        (Salience::Fixed(salience), _) => {
            quote_spanned!(site()=> ::steadfast::__macro::Salience::Fixed(#salience))
        }
    }
}
