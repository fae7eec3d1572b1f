//! Which variables an expression uses, and which fields of them.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::visit::{self, Visit};
use syn::{Expr, Ident, Macro, Pat, PatIdent, Token};

use super::watch;

/// The names that an expression uses as values.
#[derive(Default)]
pub(crate) struct Usage {
    /// Names that stand alone: variables of the rule, of the expression, constants.
    pub(crate) names: BTreeMap<String, Use>,
    /// Names that a pattern inside of the expression binds.
    pub(crate) bound: BTreeSet<String>,
    /// Whether something in it hides what it does: a closure, a macro, a jump, a statement.
    pub(crate) opaque: bool,
}

/// How one name is used.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// Where it is used first.
    pub(crate) ident: Ident,
    /// Fields that are read; the value is not used otherwise unless `whole` is set.
    pub(crate) fields: BTreeSet<String>,
    /// Whether the value is used as a whole.
    pub(crate) whole: bool,
    /// Whether a field is read or a method called: so it is a variable, not a constant.
    pub(crate) rooted: bool,
}

impl Usage {
    pub(crate) fn of(expr: &Expr) -> Self {
        let mut usage = Self::default();
        usage.visit_expr(expr);
        usage
    }

    /// Adds what another expression uses.
    pub(crate) fn merge(&mut self, other: Self) {
        for (name, other) in other.names {
            let known = self.names.entry(name).or_insert_with(|| Use::of(other.ident.clone()));
            known.fields.extend(other.fields);
            known.whole |= other.whole;
            known.rooted |= other.rooted;
        }
        self.bound.extend(other.bound);
        self.opaque |= other.opaque;
    }

    fn use_of(&mut self, ident: &Ident) -> &mut Use {
        self.names.entry(ident.to_string()).or_insert_with(|| Use::of(ident.clone()))
    }

    /// The tokens of a macro: every name in them may be a variable, also one captured by a format
    /// string.
    fn scan(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => self.use_of(&ident).whole = true,
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Literal(literal) => {
                    for name in captured(&literal.to_string()) {
                        let ident = Ident::new(name, literal.span());
                        self.use_of(&ident).whole = true;
                    }
                }
                TokenTree::Punct(_) => {}
            }
        }
    }
}

impl Use {
    fn of(ident: Ident) -> Self {
        Self { ident, fields: BTreeSet::new(), whole: false, rooted: false }
    }
}

/// The variable at the root of a place: `c` of `c`, `(c)`, `*c` and `&c`.
pub(crate) fn root(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
        Expr::Paren(paren) => root(&paren.expr),
        Expr::Group(group) => root(&group.expr),
        Expr::Reference(reference) => root(&reference.expr),
        Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Deref(_)) => root(&unary.expr),
        _ => None,
    }
}

/// Names that a format string captures: `c` of `"{c} of {n:?}"`.
fn captured(literal: &str) -> impl Iterator<Item = &str> {
    let is_string = literal.starts_with(['"', 'r']);
    let pieces = is_string.then(|| literal.split('{').skip(1)).into_iter().flatten();
    pieces.filter_map(|piece| {
        let end = piece.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(piece.len());
        let name = &piece[..end];
        syn::parse_str::<Ident>(name).is_ok().then_some(name)
    })
}

impl<'ast> Visit<'ast> for Usage {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.opaque |= matches!(
            expr,
            Expr::Async(_)
                | Expr::Await(_)
                | Expr::Break(_)
                | Expr::Closure(_)
                | Expr::Const(_)
                | Expr::Continue(_)
                | Expr::Let(_)
                | Expr::Return(_)
                | Expr::Try(_)
                | Expr::TryBlock(_)
                | Expr::Verbatim(_)
                | Expr::Yield(_)
        );
        visit::visit_expr(self, expr);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        if let (None, Some(ident)) = (&path.qself, path.path.get_ident()) {
            self.use_of(ident).whole = true;
        } else {
            visit::visit_expr_path(self, path);
        }
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        let Some(ident) = root(&field.base) else {
            return visit::visit_expr_field(self, field);
        };
        let used = self.use_of(ident);
        used.rooted = true;
        used.fields.insert(watch::name(&field.member));
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if let Some(ident) = root(&call.receiver) {
            self.use_of(ident).rooted = true;
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        // The name of a function is no variable.
        if root(&call.func).is_none() {
            self.visit_expr(&call.func);
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        self.opaque |= !matches!(statement, syn::Stmt::Expr(_, None));
        visit::visit_stmt(self, statement);
    }

    fn visit_pat_ident(&mut self, pat: &'ast PatIdent) {
        self.bound.insert(pat.ident.to_string());
        visit::visit_pat_ident(self, pat);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if call.path.is_ident("matches")
            && let Ok((scrutinee, pat, guard)) = matches_arguments.parse2(call.tokens.clone())
        {
            // What is parsed here does not outlive this call, so it is visited by a usage of its own.
            let mut inner = Usage::default();
            inner.visit_expr(&scrutinee);
            inner.visit_pat(&pat);
            if let Some(guard) = &guard {
                inner.visit_expr(guard);
            }
            return self.merge(inner);
        }
        self.opaque = true;
        self.scan(call.tokens.clone());
    }
}

/// `matches!(expression, pattern if guard)`
fn matches_arguments(input: ParseStream<'_>) -> syn::Result<(Expr, Pat, Option<Expr>)> {
    let scrutinee = input.parse()?;
    input.parse::<Token![,]>()?;
    let pat = Pat::parse_multi_with_leading_vert(input)?;
    let guard = match input.parse::<Option<Token![if]>>()? {
        Some(_) => Some(input.parse()?),
        None => None,
    };
    input.parse::<Option<Token![,]>>()?;
    Ok((scrutinee, pat, guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name.field`, or `name.*` if it is used as a whole, for every name.
    fn used(source: &str) -> String {
        let usage = Usage::of(&syn::parse_str(source).expect("an expression"));
        let mut words = Vec::new();
        for (name, used) in &usage.names {
            words.extend(used.fields.iter().map(|field| format!("{name}.{field}")));
            words.extend(used.whole.then(|| format!("{name}.*")));
        }
        words.extend(usage.opaque.then(|| String::from("opaque")));
        words.join(" ")
    }

    #[test]
    fn uses_are_by_first_field() {
        let table = [
            ("c.id == o.customer", "c.id o.customer"),
            ("c.address.city == 3", "c.address"),
            ("(*c).id > (&o).x", "c.id o.x"),
            ("c.0 == c.1", "c.0 c.1"),
            ("c.name.as_str() == \"c\"", "c.name"),
            ("c.vip()", "c.*"),
            ("c.vip() && c.open", "c.open c.*"),
            ("vip(c)", "c.*"),
            ("*c == Status::Open", "c.*"),
            ("c.days[d.day]", "c.days d.day"),
            ("Money { cents: c.x } == m", "c.x m.*"),
            ("matches!(c.status, Status::Open | Status::Paid)", "c.status"),
            ("matches!(c.status, Status::Late(n) if n > o.limit)", "c.status n.* o.limit"),
            ("c.lines.iter().any(|l| l.open)", "c.lines l.open opaque"),
            ("check!(c.status, o)", "c.* o.* status.* opaque"),
            ("format!(\"{c} of {n:?}\") == o.x", "c.* n.* o.x opaque"),
            ("{ let x = c.y; x } == 1", "c.y x.* opaque"),
            ("c.x? == 1", "c.x opaque"),
            ("if let Some(x) = c.y { x } else { 0 } == 1", "c.y x.* opaque"),
            ("c.x == limits::MAX", "c.x"),
        ];
        for (source, expected) in table {
            assert_eq!(used(source), expected, "{source}");
        }
    }
}
