//! Functions over a group, as they are written in `#[aggregate(…)]`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprCall, Lit, Path, Result};

/// `sum(l.quantity)`
#[derive(Clone)]
pub(crate) struct Function {
    /// Which.
    pub(crate) kind: FunctionKind,
    /// Of what; a count takes nothing, a function of the user's takes what it likes.
    pub(crate) inputs: Vec<Expr>,
    /// As written.
    pub(crate) written: TokenStream,
    /// Where its name is.
    pub(crate) span: Span,
}

/// Which function.
#[derive(Clone)]
pub(crate) enum FunctionKind {
    Count,
    /// One of [`PLAIN`], by the name of its type.
    Plain(&'static str),
    /// One whose input is ordered, by the name of its type: floats need an order for it.
    Ordered(&'static str),
    CountDistinct,
    /// Gives a `Vec`.
    Collect,
    CollectSet,
    /// `TopK` or `BottomK`, and how many.
    Ends(&'static str, Expr),
    /// Of so many percent.
    Percentile(Expr),
    /// An `Aggregate` of the user's.
    User(Path),
    /// A `Rescan` of the user's.
    Rescan(Path),
}

/// Functions of one input and one declared result, with the names of their types.
const PLAIN: [(&str, &str); 8] = [
    ("sum", "Sum"),
    ("average", "Average"),
    ("variance", "Variance"),
    ("stddev", "StdDev"),
    ("sample_variance", "SampleVariance"),
    ("sample_stddev", "SampleStdDev"),
    ("first", "First"),
    ("last", "Last"),
];

/// The same, of inputs in their order.
const ORDERED: [(&str, &str); 3] = [("min", "Min"), ("max", "Max"), ("median", "Median")];

const EXPECTED: &str = "expected `sum(…)`, `count()`, `min(…)`, `max(…)`, `average(…)`, `variance(…)`, \
                        `stddev(…)`, `sample_variance(…)`, `sample_stddev(…)`, `median(…)`, \
                        `percentile(…, 95)`, `top_k(…, 3)`, `bottom_k(…, 3)`, `count_distinct(…)`, \
                        `collect(…)`, `collect_set(…)`, `first(…)`, `last(…)`, a type of yours that \
                        implements `Aggregate`, `Parity(…)`, or `rescan(Longest, …)`";

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let call: Expr = input.parse()?;
        let Expr::Call(call) = call else {
            return Err(Error::new(call.span(), EXPECTED));
        };
        let written = call.to_token_stream();
        let span = call.func.span();
        let (kind, inputs) = Self::of(call)?;
        Ok(Self { kind, inputs, written, span })
    }
}

impl Function {
    fn of(call: ExprCall) -> Result<(FunctionKind, Vec<Expr>)> {
        let Expr::Path(path) = *call.func else {
            return Err(Error::new(call.func.span(), EXPECTED));
        };
        let path = path.path;
        let inputs: Vec<Expr> = call.args.into_iter().collect();
        let Some(name) = path.get_ident().map(ToString::to_string) else {
            return Ok((FunctionKind::User(path), inputs));
        };
        let kind_of = |table: &[(&str, &'static str)]| {
            table.iter().find(|(of, _)| *of == name).map(|(_, kind)| *kind)
        };
        if let Some(kind) = kind_of(&PLAIN) {
            return Ok((FunctionKind::Plain(kind), one(&path, inputs)?));
        }
        if let Some(kind) = kind_of(&ORDERED) {
            return Ok((FunctionKind::Ordered(kind), one(&path, inputs)?));
        }
        match name.as_str() {
            "count" => match inputs.first() {
                None => Ok((FunctionKind::Count, inputs)),
                Some(input) => {
                    let message = "`count()` counts members and takes no argument";
                    Err(Error::new(input.span(), message))
                }
            },
            "count_distinct" => Ok((FunctionKind::CountDistinct, one(&path, inputs)?)),
            "collect" => Ok((FunctionKind::Collect, one(&path, inputs)?)),
            "collect_set" => Ok((FunctionKind::CollectSet, one(&path, inputs)?)),
            "top_k" | "bottom_k" => {
                let kind = if name == "top_k" { "TopK" } else { "BottomK" };
                let (input, count) =
                    two(&path, inputs, "a value and how many: `top_k(l.price, 3)`")?;
                Ok((FunctionKind::Ends(kind, count), vec![input]))
            }
            "percentile" => {
                let words = "a value and a percentage: `percentile(l.price, 95)`";
                let (input, percent) = two(&path, inputs, words)?;
                check_percent(&percent)?;
                Ok((FunctionKind::Percentile(percent), vec![input]))
            }
            "rescan" => rescan(&path, inputs),
            _ if name.starts_with(char::is_uppercase) => Ok((FunctionKind::User(path), inputs)),
            _ => Err(Error::new(path.span(), EXPECTED)),
        }
    }
}

fn one(path: &Path, inputs: Vec<Expr>) -> Result<Vec<Expr>> {
    if inputs.len() == 1 {
        return Ok(inputs);
    }
    let message = format!("`{}` takes one argument", path.to_token_stream());
    Err(Error::new(path.span(), message))
}

fn two(path: &Path, inputs: Vec<Expr>, words: &str) -> Result<(Expr, Expr)> {
    let [first, second] = <[Expr; 2]>::try_from(inputs).map_err(|_| {
        Error::new(path.span(), format!("`{}` takes {words}", path.to_token_stream()))
    })?;
    Ok((first, second))
}

fn rescan(path: &Path, inputs: Vec<Expr>) -> Result<(FunctionKind, Vec<Expr>)> {
    let mut inputs = inputs.into_iter();
    match inputs.next() {
        Some(Expr::Path(function)) => Ok((FunctionKind::Rescan(function.path), inputs.collect())),
        other => {
            let message = "expected a type that implements `Rescan` and what it takes: \
                           `rescan(Longest, l.price)`";
            Err(Error::new(other.map_or_else(|| path.span(), |other| other.span()), message))
        }
    }
}

/// A percentage that is a number is checked here, a constant when the ruleset is made.
fn check_percent(percent: &Expr) -> Result<()> {
    let value = match percent {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(int) => int.base10_parse::<f64>()?,
            Lit::Float(float) => float.base10_parse::<f64>()?,
            other => return Err(Error::new(other.span(), "expected a percentage: 0 to 100")),
        },
        Expr::Unary(_) => -1.0,
        _ => return Ok(()),
    };
    if (0.0..=100.0).contains(&value) {
        return Ok(());
    }
    Err(Error::new(percent.span(), "expected a percentage between 0 and 100"))
}
