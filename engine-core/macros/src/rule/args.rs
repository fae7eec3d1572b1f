//! Arguments of `#[rule(…)]`.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Path, Result, Token, UnOp};

use super::timing::{Late, Timer, Timing};
use super::writes::Declared;

/// What `#[rule(…)]` says.
#[derive(Default)]
pub(crate) struct RuleArgs {
    /// How early its matches fire.
    pub(crate) salience: Salience,
    /// Whether what the function returns is inserted for as long as the match lives.
    pub(crate) logical: Option<Span>,
    /// Whether a failing consequence counts as fired.
    pub(crate) on_error: OnError,
    /// Its turn on the agenda.
    pub(crate) agenda: AgendaArgs,
    /// How many branches it may have, if more than the default.
    pub(crate) allow_dnf: Option<usize>,
    /// When its matches fall due, and what becomes of late ones.
    pub(crate) timing: Timing,
    /// What its consequence writes beside what is seen.
    pub(crate) writes: Option<Declared>,
}

/// Branches that need no permission.
const BRANCHES_MAX: usize = 16;

/// Branches that the engine takes.
const BRANCHES_LIMIT: usize = 256;

impl RuleArgs {
    /// How many branches the rule may have.
    pub(crate) fn branches_max(&self) -> usize {
        self.allow_dnf.unwrap_or(BRANCHES_MAX)
    }
}

/// What a rule says of its turn on the agenda beside its salience.
#[derive(Default)]
pub(crate) struct AgendaArgs {
    /// The agenda group; none is `MAIN`.
    pub(crate) group: Option<String>,
    pub(crate) auto_focus: bool,
    pub(crate) lock_on_active: bool,
    pub(crate) no_loop: bool,
    pub(crate) activation_group: Option<String>,
    /// What is asked when a match is about to fire.
    pub(crate) enabled: Option<Expr>,
}

/// A salience as written.
pub(crate) enum Salience {
    /// A number.
    Fixed(i32),
    /// Anything else: a constant, or an expression over the variables of a match.
    Of(Expr),
}

impl Default for Salience {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

/// What a failing consequence means.
#[derive(Default)]
pub(crate) enum OnError {
    #[default]
    Abort,
    Skip,
    /// The function that decides.
    SkipIf(Path),
}

const EXPECTED: &str = "expected `salience = …`, `logical`, `on_error = \"skip\"`, `group = \"…\"`, \
    `auto_focus`, `lock_on_active`, `no_loop`, `activation_group = \"…\"`, `enabled = …`, `timer`, \
    `late` or `writes(…)`";

/// Arguments with a known meaning that no version has yet.
const RESERVED: [&str; 4] = ["module", "duration", "effective", "expires"];

impl Parse for RuleArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut args = Self::default();
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            let name = input.call(Ident::parse_any)?;
            let word = name.to_string();
            let flag =
                matches!(word.as_str(), "logical" | "auto_focus" | "lock_on_active" | "no_loop");
            if flag && input.peek(Token![=]) {
                let message = format!("`{word}` stands alone: it has no value");
                return Err(Error::new(name.span(), message));
            }
            if seen.contains(&word) {
                return Err(Error::new(name.span(), format!("`{word}` is given twice")));
            }
            match word.as_str() {
                "salience" => args.salience = salience(input)?,
                "logical" => args.logical = Some(name.span()),
                "timer" => args.timing.timer = Some(Timer::parse(input)?),
                "late" => args.timing.late = Some(Late::parse(input)?),
                "allow_dnf" => args.allow_dnf = Some(allow_dnf(input)?),
                "on_error" => args.on_error = on_error(input)?,
                "group" => args.agenda.group = Some(group(&word, input)?),
                "auto_focus" => args.agenda.auto_focus = true,
                "lock_on_active" => args.agenda.lock_on_active = true,
                "no_loop" => args.agenda.no_loop = true,
                "activation_group" => args.agenda.activation_group = Some(group(&word, input)?),
                "writes" => args.writes = Some(input.parse()?),
                "enabled" => {
                    input.parse::<Token![=]>()?;
                    args.agenda.enabled = Some(input.parse()?);
                }
                "agenda_group" => {
                    let message = "an agenda group is given as `group = \"…\"`";
                    return Err(Error::new(name.span(), message));
                }
                reserved if RESERVED.contains(&reserved) => {
                    let message = format!("`{word}` is not supported yet: {EXPECTED}");
                    return Err(Error::new(name.span(), message));
                }
                _ => {
                    let message = format!("unknown argument `{word}`: {EXPECTED}");
                    return Err(Error::new(name.span(), message));
                }
            }
            seen.push(word);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(args)
    }
}

fn salience(input: ParseStream<'_>) -> Result<Salience> {
    input.parse::<Token![=]>()?;
    let expr: Expr = input.parse()?;
    let (operand, sign) = match &expr {
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => (&*unary.expr, "-"),
        operand => (operand, ""),
    };
    let Expr::Lit(ExprLit { lit, .. }) = operand else { return Ok(Salience::Of(expr)) };
    let Lit::Int(literal) = lit else {
        return Err(Error::new(lit.span(), "expected an integer or an expression over the match"));
    };
    let suffixed = !matches!(literal.suffix(), "" | "i32");
    let value = format!("{sign}{}", literal.base10_digits()).parse::<i32>();
    match value {
        Ok(value) if !suffixed => Ok(Salience::Fixed(value)),
        _ => Err(Error::new(
            literal.span(),
            "a salience is an i32: expected -2147483648 up to 2147483647",
        )),
    }
}

fn allow_dnf(input: ParseStream<'_>) -> Result<usize> {
    input.parse::<Token![=]>()?;
    let literal: LitInt = input.parse()?;
    let allowed = literal.base10_parse::<usize>().ok();
    allowed.filter(|allowed| (1..=BRANCHES_LIMIT).contains(allowed)).ok_or_else(|| {
        Error::new(literal.span(), format!("expected a number of branches up to {BRANCHES_LIMIT}"))
    })
}

/// Name of a group.
fn group(word: &str, input: ParseStream<'_>) -> Result<String> {
    input.parse::<Token![=]>()?;
    if !input.peek(LitStr) {
        return Err(input.error(format!("expected a name in quotes, as `{word} = \"billing\"`")));
    }
    let name: LitStr = input.parse()?;
    if name.value().is_empty() {
        return Err(Error::new(name.span(), "a group has a name: this one is empty"));
    }
    Ok(name.value())
}

fn on_error(input: ParseStream<'_>) -> Result<OnError> {
    input.parse::<Token![=]>()?;
    let (word, span) = if input.peek(LitStr) {
        let literal: LitStr = input.parse()?;
        (literal.value(), literal.span())
    } else {
        let ident = input.call(Ident::parse_any)?;
        (ident.to_string(), ident.span())
    };
    match word.as_str() {
        "skip" => Ok(OnError::Skip),
        "abort" => Ok(OnError::Abort),
        "skip_if" if input.peek(syn::token::Paren) => {
            let function;
            syn::parenthesized!(function in input);
            let path = function.parse()?;
            if function.is_empty() {
                Ok(OnError::SkipIf(path))
            } else {
                Err(function.error("expected nothing but the function"))
            }
        }
        _ => {
            let message =
                "expected `\"skip\"`, `\"abort\"`, or `skip_if(…)` with a function of the failure";
            Err(Error::new(span, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> std::result::Result<RuleArgs, String> {
        syn::parse_str::<RuleArgs>(source).map_err(|error| error.to_string())
    }

    #[test]
    fn saliences_reach_both_ends() {
        let salience = |source| {
            parse(source).map(|args| match args.salience {
                Salience::Fixed(salience) => Some(salience),
                Salience::Of(_) => None,
            })
        };
        assert_eq!(salience("salience = -2147483648"), Ok(Some(i32::MIN)));
        assert_eq!(salience("salience = 2147483647,"), Ok(Some(i32::MAX)));
        assert_eq!(salience("logical"), Ok(Some(0)));
        for wrong in ["salience = 2147483648", "salience = -2147483649", "salience = 1u8"] {
            assert!(salience(wrong).is_err_and(|error| error.contains("i32")), "{wrong}");
        }
        assert!(salience("salience = 1.5").is_err_and(|error| error.contains("an integer")));
        for computed in ["salience = MAX", "salience = o.urgency - 1", "salience = -o.age, logical"]
        {
            assert_eq!(salience(computed), Ok(None), "{computed}");
        }
    }

    #[test]
    fn turns_on_the_agenda_are_named() {
        let all = "group = \"billing\", auto_focus, lock_on_active, no_loop, \
                   activation_group = \"one\", enabled = o.open && LIMIT > 3, salience = 1";
        let AgendaArgs { group, auto_focus, lock_on_active, no_loop, activation_group, enabled } =
            parse(all).expect("valid").agenda;
        assert_eq!((group.as_deref(), activation_group.as_deref()), (Some("billing"), Some("one")));
        assert!(auto_focus && lock_on_active && no_loop && enabled.is_some());
        let message = |source| parse(source).err().unwrap_or_default();
        assert!(message("group = billing").contains("in quotes"));
        assert!(message("activation_group = \"\"").contains("empty"));
    }

    #[test]
    fn arguments_are_known_and_given_once() {
        let args = parse("logical, on_error = \"skip\", salience = 1").expect("valid");
        assert!(args.logical.is_some() && matches!(args.on_error, OnError::Skip));
        let on_error = |source| parse(source).expect("valid").on_error;
        assert!(matches!(on_error("on_error = abort"), OnError::Abort));
        assert!(matches!(on_error("on_error = skip_if(a::b)"), OnError::SkipIf(_)));
        let message = |source| parse(source).err().unwrap_or_default();
        assert!(message("logical, logical").contains("twice"));
        assert!(message("no_loop = true").contains("stands alone"));
        assert!(message("agenda_group = \"billing\"").contains("`group = "));
        assert!(message("effective = 3").contains("not supported yet"));
        assert!(message("timer = 3").contains("expected a duration"));
        assert!(message("timer(initial = \"3s\")").contains("every"));
        assert!(message("late(drop)").contains("expected `,`"));
        assert!(message("module = \"pricing\"").contains("not supported yet"));
        assert!(message("saliense = 3").contains("unknown argument `saliense`"));
        assert!(message("on_error = \"retry\"").contains("\"skip\""));
    }
}
