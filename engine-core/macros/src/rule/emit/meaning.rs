//! What a condition asks of its fact, as far as its tokens tell it whatever their names stand for.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote_spanned};
use syn::{BinOp, Expr, ExprBinary, UnOp};

use super::site;
use crate::rule::classify::{is_constant, is_fields_of, without_parens};
use crate::tokens::text_of;

/// No meaning: the condition is like no other.
pub(crate) fn none() -> TokenStream {
    quote_spanned!(site()=> ::core::option::Option::None)
}

fn some(meaning: &TokenStream) -> TokenStream {
    quote_spanned!(site()=> ::core::option::Option::Some(::steadfast::__macro::Meaning::#meaning))
}

/// The meaning of what stands at a path of fields of `inner`.
pub(crate) fn of_path(expr: &Expr, inner: &str) -> TokenStream {
    let path = path_of(expr, inner);
    path.map_or_else(none, |path| some(&quote_spanned!(site()=> path(#path))))
}

/// The meaning of a condition on `inner` alone: of paths of fields, compared to constants or true by
/// themselves, under `!`, `&&` and `||`.
pub(crate) fn of_condition(condition: &Expr, inner: &str) -> TokenStream {
    meaning(condition, inner).unwrap_or_else(none)
}

fn path_of(expr: &Expr, inner: &str) -> Option<String> {
    let expr = without_parens(expr);
    if !is_fields_of(expr, inner) {
        return None;
    }
    let text = text_of(expr.to_token_stream());
    text.split_once('.').map(|(_, path)| path.trim().to_owned())
}

fn meaning(condition: &Expr, inner: &str) -> Option<TokenStream> {
    match without_parens(condition) {
        Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
            let of = meaning(&unary.expr, inner)?;
            Some(quote_spanned!(site()=> ::steadfast::__macro::Meaning::opposite(#of)))
        }
        Expr::Binary(ExprBinary { left, op, right, .. }) => match op {
            BinOp::And(_) | BinOp::Or(_) => {
                let (left, right) = (meaning(left, inner)?, meaning(right, inner)?);
                let operator = text_of(op.to_token_stream());
                Some(quote_spanned! {site()=>
                    ::steadfast::__macro::Meaning::both(#left, #operator, #right)
                })
            }
            _ => comparison(left, op, right, inner),
        },
        // A condition: it is of type `bool`, and so is what stands there.
        path => Some(some(&{
            let path = path_of(path, inner)?;
            quote_spanned!(site()=> path(#path))
        })),
    }
}

fn comparison(left: &Expr, op: &BinOp, right: &Expr, inner: &str) -> Option<TokenStream> {
    let operator = match op {
        BinOp::Eq(_) => "==",
        BinOp::Ne(_) => "!=",
        BinOp::Lt(_) => "<",
        BinOp::Le(_) => "<=",
        BinOp::Gt(_) => ">",
        BinOp::Ge(_) => ">=",
        _ => return None,
    };
    let (path, constant) = (path_of(left, inner)?, without_parens(right));
    if !is_constant(constant, inner) {
        return None;
    }
    match constant {
        // What generic constants are depends on where they stand.
        Expr::Path(path) if path.path.is_ident("None") => None,
        Expr::Path(_) => Some(quote_spanned! {site()=>
            ::steadfast::__macro::Meaning::constant(
                #path, #operator, (&::steadfast::__macro::KnownBy(&#constant)).known()
            )
        }),
        literal => {
            let text = text_of(literal.to_token_stream());
            Some(some(&quote_spanned!(site()=> literal(#path, #operator, #text))))
        }
    }
}
