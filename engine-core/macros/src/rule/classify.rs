//! What a condition is to an index: split at its top-level `&&`, each conjunct is classified on the
//! syntax tree.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{BinOp, Expr, ExprBinary};

use super::temporal::Temporal;
use super::usage::{Usage, root};

/// One conjunct of a condition.
pub(crate) struct Conjunct {
    /// What is evaluated.
    pub(crate) expr: Expr,
    /// What the user wrote.
    pub(crate) written: TokenStream,
}

/// What a conjunct is.
#[derive(Clone, Debug)]
pub(crate) enum Class {
    /// It is about the inner fact alone.
    Alpha,
    /// `inner.path == outer`, in either order: an index key.
    Key { inner: Expr, outer: Expr },
    /// `inner.path < outer` and the like, in either order: an ordered index.
    Range { at_most: bool, inner: Expr, outer: Expr },
    /// `after(inner, outer, 0..=5s)` and the like: an ordered index by time.
    Temporal(Box<Temporal>),
    /// Everything else: evaluated for each pair that the keys leave.
    Residual,
}

/// Splits a condition at its top-level `&&`, also inside of parentheses. A `let` and everything
/// behind it stays together.
pub(crate) fn conjuncts(condition: &Expr) -> Vec<Conjunct> {
    let mut parts = Vec::new();
    flatten(condition, &mut parts);
    let first_let = parts.iter().position(|part| matches!(part, Expr::Let(_)));
    let chain = parts.split_off(first_let.unwrap_or(parts.len()));
    let plain = parts
        .into_iter()
        .map(|part| Conjunct { expr: part.clone(), written: part.to_token_stream() });
    let mut conjuncts: Vec<Conjunct> = plain.collect();
    if !chain.is_empty() {
        let written = quote::quote!(#(#chain)&&*);
        let expr = Expr::Verbatim(quote::quote!(if #written { true } else { false }));
        let expr = syn::parse2(expr.to_token_stream()).unwrap_or(expr);
        conjuncts.push(Conjunct { expr, written });
    }
    conjuncts
}

fn flatten<'a>(condition: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match condition {
        Expr::Binary(ExprBinary { left, op: BinOp::And(_), right, .. }) => {
            flatten(left, parts);
            flatten(right, parts);
        }
        Expr::Paren(paren) if is_and(&paren.expr) => flatten(&paren.expr, parts),
        Expr::Group(group) => flatten(&group.expr, parts),
        _ => parts.push(condition),
    }
}

fn is_and(condition: &Expr) -> bool {
    match condition {
        Expr::Binary(binary) => matches!(binary.op, BinOp::And(_)),
        Expr::Paren(paren) => is_and(&paren.expr),
        Expr::Group(group) => is_and(&group.expr),
        _ => false,
    }
}

/// Classifies one conjunct. `inner` is the variable of its own pattern, `is_earlier` says of a name
/// whether it is a variable before it.
pub(crate) fn classify(conjunct: &Expr, inner: &str, is_earlier: impl Fn(&str) -> bool) -> Class {
    let usage = Usage::of(conjunct);
    if !usage.names.keys().any(|name| is_earlier(name)) {
        return Class::Alpha;
    }
    let shadows = usage.bound.iter().any(|name| name == inner || is_earlier(name));
    if usage.opaque || shadows {
        return Class::Residual;
    }
    let Expr::Binary(binary) = without_parens(conjunct) else {
        return Class::Residual;
    };
    let (left, right) = (&*binary.left, &*binary.right);
    // Whether the inner side is at most the other if it stands on the left.
    let at_most = match binary.op {
        BinOp::Eq(_) => None,
        BinOp::Lt(_) | BinOp::Le(_) => Some(true),
        BinOp::Gt(_) | BinOp::Ge(_) => Some(false),
        _ => return Class::Residual,
    };
    let can_be_inner = if at_most.is_none() { is_key_of } else { is_path_of };
    let sides = |inside: &Expr, outside: &Expr| {
        let reads_inner = Usage::of(outside).names.contains_key(inner);
        (can_be_inner(inside, inner) && !reads_inner).then(|| (inside.clone(), outside.clone()))
    };
    let (flipped, (inner, outer)) = match (sides(left, right), sides(right, left)) {
        (Some(sides), _) => (false, sides),
        (None, Some(sides)) => (true, sides),
        (None, None) => return Class::Residual,
    };
    match at_most {
        None => Class::Key { inner, outer },
        Some(at_most) => Class::Range { at_most: at_most != flipped, inner, outer },
    }
}

/// The sides of `inner.path == constant`, in either order: the path is fields alone, the constant a
/// literal or the name of a constant or variant.
///
/// Whether their types have codes the compiler finds out; that it is a constant does not depend on it.
pub(crate) fn comparison_to_constant<'a>(
    condition: &'a Expr,
    inner: &str,
) -> Option<(&'a Expr, &'a Expr)> {
    let Expr::Binary(ExprBinary { left, op: BinOp::Eq(_), right, .. }) = without_parens(condition)
    else {
        return None;
    };
    let sides = [(left, right), (right, left)];
    let (path, value) = sides
        .into_iter()
        .find(|(path, value)| is_fields_of(path, inner) && is_constant(value, inner))?;
    Some((&**path, &**value))
}

/// Whether an expression is a field of a variable, or a field of such a field.
pub(crate) fn is_fields_of(expr: &Expr, inner: &str) -> bool {
    let Expr::Field(field) = expr else { return false };
    match &*field.base {
        Expr::Path(path) => path.path.is_ident(inner),
        base => is_fields_of(base, inner),
    }
}

pub(crate) fn is_constant(expr: &Expr, inner: &str) -> bool {
    match expr {
        Expr::Lit(_) => true,
        Expr::Unary(unary) => {
            matches!(unary.op, syn::UnOp::Neg(_)) && matches!(&*unary.expr, Expr::Lit(_))
        }
        // A variable of the rule has a lower-case name; a constant or a variant has not.
        Expr::Path(path) => {
            let last = path.path.segments.last();
            let is_upper =
                last.is_some_and(|it| it.ident.to_string().starts_with(char::is_uppercase));
            path.qself.is_none() && is_upper && !path.path.is_ident(inner)
        }
        _ => false,
    }
}

pub(crate) fn without_parens(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => without_parens(&paren.expr),
        Expr::Group(group) => without_parens(&group.expr),
        _ => expr,
    }
}

/// Whether an expression is a path of fields of a variable, `inner.a.b`, or a plain view of one:
/// behind `*` or `&`, or through methods without arguments such as `as_deref()`.
fn is_path_of(expr: &Expr, inner: &str) -> bool {
    match expr {
        Expr::Field(field) => {
            root(&field.base).is_some_and(|root| root == inner) || is_path_of(&field.base, inner)
        }
        Expr::MethodCall(call) => call.args.is_empty() && is_path_of(&call.receiver, inner),
        Expr::Paren(paren) => is_path_of(&paren.expr, inner),
        Expr::Group(group) => is_path_of(&group.expr, inner),
        Expr::Reference(reference) => is_path_of(&reference.expr, inner),
        Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Deref(_)) => {
            is_path_of(&unary.expr, inner)
        }
        _ => false,
    }
}

/// Whether an expression can be the inner side of a key: a path, a tuple of such, or `Some` of one.
fn is_key_of(expr: &Expr, inner: &str) -> bool {
    match without_parens(expr) {
        Expr::Tuple(tuple) => {
            !tuple.elems.is_empty() && tuple.elems.iter().all(|part| is_key_of(part, inner))
        }
        Expr::Call(call) => {
            let is_some = root(&call.func).is_some_and(|function| function == "Some");
            is_some && call.args.iter().all(|part| is_key_of(part, inner))
        }
        path => is_path_of(path, inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::text_of;

    /// Classifies a condition on `p` where `o`, `c` and the group `g` stand before it.
    fn classified(condition: &str) -> Vec<String> {
        let condition: Expr = syn::parse_str(condition).expect("a condition");
        let each = conjuncts(&condition).into_iter().map(|conjunct| {
            let text = |expr: &Expr| text_of(expr.to_token_stream());
            match classify(&conjunct.expr, "p", |name| matches!(name, "o" | "c" | "g")) {
                Class::Alpha => format!("alpha {}", text_of(conjunct.written)),
                Class::Residual => format!("residual {}", text_of(conjunct.written)),
                Class::Key { inner, outer } => format!("key {} = {}", text(&inner), text(&outer)),
                Class::Temporal(_) => "temporal".to_owned(),
                Class::Range { at_most: true, inner, outer } => {
                    format!("at most {} <= {}", text(&inner), text(&outer))
                }
                Class::Range { at_most: false, inner, outer } => {
                    format!("at least {} >= {}", text(&inner), text(&outer))
                }
            }
        });
        each.collect()
    }

    /// A condition and what becomes of each of its conjuncts.
    const TABLE: [(&str, &[&str]); 40] = [
        ("p.open", &["alpha p.open"]),
        ("p.amount > 3", &["alpha p.amount > 3"]),
        ("true", &["alpha true"]),
        ("p.a == p.b", &["alpha p.a == p.b"]),
        ("p.order == o.id", &["key p.order = o.id"]),
        ("o.id == p.order", &["key p.order = o.id"]),
        ("(p.order == o.id)", &["key p.order = o.id"]),
        ("p.order.id == g.key", &["key p.order.id = g.key"]),
        ("*p.order == o.id", &["key *p.order = o.id"]),
        ("p.0 == o.0", &["key p.0 = o.0"]),
        ("p.tail.as_deref() == c.tail.as_deref()", &["key p.tail.as_deref() = c.tail.as_deref()"]),
        ("c.tail.as_ref() == Some(&p.tail)", &["key Some(&p.tail) = c.tail.as_ref()"]),
        ("(p.a, p.b) == (o.a, c.b)", &["key (p.a, p.b) = (o.a, c.b)"]),
        ("(p.a, o.b) == (o.a, p.b)", &["residual (p.a, o.b) == (o.a, p.b)"]),
        ("(p.a, p.b) > (o.a, o.b)", &["residual (p.a, p.b) > (o.a, o.b)"]),
        ("p.days.len() > o.days", &["at least p.days.len() >= o.days"]),
        ("p.x.max(3) == o.x", &["residual p.x.max(3) == o.x"]),
        ("p.order == o.id + c.offset()", &["key p.order = o.id + c.offset()"]),
        ("p.order == next(o)", &["key p.order = next(o)"]),
        ("p.amount < o.amount", &["at most p.amount <= o.amount"]),
        ("p.amount <= o.amount", &["at most p.amount <= o.amount"]),
        ("p.amount > o.amount", &["at least p.amount >= o.amount"]),
        ("p.amount >= o.amount", &["at least p.amount >= o.amount"]),
        ("o.amount < p.amount", &["at least p.amount >= o.amount"]),
        ("o.amount >= p.amount", &["at most p.amount <= o.amount"]),
        ("p.amount != o.amount", &["residual p.amount != o.amount"]),
        ("p.amount + 1 == o.amount", &["residual p.amount + 1 == o.amount"]),
        ("p.amount == p.base + o.amount", &["residual p.amount == p.base + o.amount"]),
        ("p.total() == o.amount", &["residual p.total() == o.amount"]),
        ("*p == *o", &["residual *p == *o"]),
        ("o.open", &["residual o.open"]),
        ("!(p.x == o.x)", &["residual !(p.x == o.x)"]),
        ("p.x == o.x || p.y == o.y", &["residual p.x == o.x || p.y == o.y"]),
        ("p.x == o.f(|x| x + 1)", &["residual p.x == o.f(|x| x + 1)"]),
        ("p.x == limit!(o)", &["residual p.x == limit!(o)"]),
        ("p.xs.iter().any(|x| *x > 1)", &["alpha p.xs.iter().any(|x| *x > 1)"]),
        ("p.xs.iter().any(|o| o.y)", &["residual p.xs.iter().any(|o| o.y)"]),
        ("matches!(p.s, S::A | S::B)", &["alpha matches!(p.s, S::A | S::B)"]),
        (
            "p.open && (p.order == o.id && p.amount >= o.amount)",
            &["alpha p.open", "key p.order = o.id", "at least p.amount >= o.amount"],
        ),
        (
            "p.open && let Some(t) = p.tail && t == o.tail && o.x",
            &["alpha p.open", "residual let Some(t) = p.tail && t == o.tail && o.x"],
        ),
    ];

    #[test]
    fn conditions_are_classified_by_conjunct() {
        for (condition, expected) in TABLE {
            assert_eq!(classified(condition), expected, "{condition}");
        }
    }
}
