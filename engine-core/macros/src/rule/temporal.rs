//! Temporal conditions: `after(b, a, 0..=5s)`, `before(a, b, 0..=5s)`, `within(a, b, 5s)` and
//! `coincides(a, b, 10ms)`, on two variables whose facts are events.

use syn::spanned::Spanned;
use syn::{Error, Expr, Lit, RangeLimits, Result, UnOp};

use super::model::Variable;
use super::usage::root;
use crate::duration;

/// A side of a temporal condition.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) variable: Variable,
    /// Whether it is its end that counts, not its beginning.
    pub(crate) end: bool,
}

/// `later - earlier` lies between `from` and `to` milliseconds.
#[derive(Clone)]
pub(crate) struct Temporal {
    pub(crate) later: Side,
    pub(crate) earlier: Side,
    pub(crate) from: i64,
    /// None: however long after.
    pub(crate) to: Option<i64>,
    /// Whether `later` is the variable of the pattern itself.
    pub(crate) later_is_inner: bool,
    /// Up to how far the ends of both may differ as well, if that matters.
    pub(crate) ends: Option<i64>,
}

impl std::fmt::Debug for Temporal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} - {}", self.later.variable.name, self.earlier.variable.name)
    }
}

const RANGE: &str = "expected a stretch of time such as `0..=5s`, `1s..10s` or `2m..`";

impl Temporal {
    /// Reads a conjunct, if it is a temporal condition; `inner` is the pattern's own variable.
    pub(crate) fn of(
        conjunct: &Expr,
        inner: &str,
        find: impl Fn(&str) -> Option<Variable>,
    ) -> Result<Option<Self>> {
        let Expr::Call(call) = conjunct else { return Ok(None) };
        let word = root(&call.func).map(ToString::to_string).unwrap_or_default();
        if !matches!(word.as_str(), "after" | "before" | "within" | "coincides") {
            return Ok(None);
        }
        let arguments: Vec<&Expr> = call.args.iter().collect();
        let [first, second, time] = arguments.as_slice() else { return Ok(None) };
        let variable = |expr: &Expr| root(expr).and_then(|name| find(&name.to_string()));
        // A function of the user's own may have such a name.
        let (Some(first), Some(second)) = (variable(first), variable(second)) else {
            return Ok(None);
        };
        if first.is_group || second.is_group || first.position == second.position {
            return Err(Error::new(call.span(), format!("`{word}` takes two events of the match")));
        }
        let side = |variable: Variable, end: bool| Side { variable, end };
        let (later, earlier, from, to, ends) = match word.as_str() {
            "after" | "before" => {
                let (from, to) = stretch(time)?;
                let (later, earlier) =
                    if word == "after" { (first, second) } else { (second, first) };
                (side(later, false), side(earlier, true), from, to, None)
            }
            _ => {
                let apart = millis(time)?;
                let ends = (word == "coincides").then_some(apart);
                (side(first, false), side(second, false), -apart, Some(apart), ends)
            }
        };
        let later_is_inner = later.variable.name == inner;
        if !later_is_inner && earlier.variable.name != inner {
            let message = format!(
                "`{word}` joins the event of its own parameter, `{inner}`, with one before"
            );
            return Err(Error::new(call.span(), message));
        }
        Ok(Some(Self { later, earlier, from, to, later_is_inner, ends }))
    }
}

fn millis(expr: &Expr) -> Result<i64> {
    match expr {
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => Ok(-millis(&unary.expr)?),
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(literal) => duration::of_literal(literal),
            Lit::Str(literal) => duration::millis(&literal.value(), literal.span()),
            other => Err(Error::new(other.span(), RANGE)),
        },
        other => Err(Error::new(other.span(), RANGE)),
    }
}

fn stretch(expr: &Expr) -> Result<(i64, Option<i64>)> {
    let Expr::Range(range) = expr else { return Err(Error::new(expr.span(), RANGE)) };
    let from = range.start.as_deref().map_or(Ok(0), millis)?;
    let to = match (range.end.as_deref(), &range.limits) {
        (None, _) => None,
        (Some(end), RangeLimits::Closed(_)) => Some(millis(end)?),
        (Some(end), RangeLimits::HalfOpen(_)) => Some(millis(end)?.saturating_sub(1)),
    };
    if to.is_some_and(|to| to < from) {
        return Err(Error::new(expr.span(), "this stretch of time is empty"));
    }
    Ok((from, to))
}
