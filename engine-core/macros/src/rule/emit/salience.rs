//! The salience of a rule.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;

use super::closures::of_match;
use super::site;
use crate::rule::args::Salience;
use crate::rule::model::Value;
use crate::tokens::text_of;

/// A `Salience`: fixed unless the expression uses a variable of the match.
pub(crate) fn salience(written: &Salience, value: Option<&Value>) -> TokenStream {
    match (written, value) {
        (Salience::Of(_), Some(value @ Value { expr, used })) if !used.is_empty() => {
            let text = text_of(expr.to_token_stream());
            let evaluate = of_match(value, &quote_spanned!(site()=> i32));
            quote_spanned! {site()=>
                ::steadfast::__macro::Salience::Of {
                    text: ::std::string::String::from(#text),
                    evaluate: #evaluate,
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
