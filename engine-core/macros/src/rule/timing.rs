//! `timer` and `late` of `#[rule(…)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Error, Ident, LitStr, Result, Token, parenthesized};

use crate::duration;

/// When matches fall due.
pub(crate) enum Timer {
    After(i64),
    Every { initial: i64, every: i64 },
    Cron(LitStr),
}

/// What becomes of late matches.
#[derive(Clone, Copy)]
pub(crate) enum Late {
    Fire,
    Drop { grace: i64 },
}

/// What a rule says of time beside its conditions.
#[derive(Default)]
pub(crate) struct Timing {
    pub(crate) timer: Option<Timer>,
    pub(crate) late: Option<Late>,
}

const TIMER: &str = "expected `timer = \"20s\"`, `timer(initial = \"20s\", every = \"30s\")` or \
                     `timer(cron = \"0 */5 * * * *\")`";
const LATE: &str = "expected `late = \"fire\"` or `late(drop, grace = \"10s\")`";

impl Timer {
    /// Parses what follows `timer`.
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.parse::<Option<Token![=]>>()?.is_some() {
            return Ok(Self::After(duration::parse(input)?));
        }
        if !input.peek(syn::token::Paren) {
            return Err(input.error(TIMER));
        }
        let inside;
        parenthesized!(inside in input);
        let (mut initial, mut every, mut cron) = (None, None, None);
        while !inside.is_empty() {
            let name = inside.call(Ident::parse_any)?;
            inside.parse::<Token![=]>()?;
            match name.to_string().as_str() {
                "initial" if initial.is_none() => initial = Some(duration::parse(&inside)?),
                "every" if every.is_none() => every = Some(duration::parse_positive(&inside)?),
                "cron" if cron.is_none() => cron = Some(inside.parse::<LitStr>()?),
                _ => return Err(Error::new(name.span(), TIMER)),
            }
            if !inside.is_empty() {
                inside.parse::<Token![,]>()?;
            }
        }
        match (initial, every, cron) {
            (initial, Some(every), None) => {
                Ok(Self::Every { initial: initial.unwrap_or(every), every })
            }
            (None, None, Some(cron)) => Ok(Self::Cron(cron)),
            _ => Err(inside.error(TIMER)),
        }
    }
}

impl Late {
    /// Parses what follows `late`.
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.parse::<Option<Token![=]>>()?.is_some() {
            let word: LitStr = input.parse()?;
            return match word.value().as_str() {
                "fire" => Ok(Self::Fire),
                _ => Err(Error::new(word.span(), LATE)),
            };
        }
        if !input.peek(syn::token::Paren) {
            return Err(input.error(LATE));
        }
        let inside;
        parenthesized!(inside in input);
        let expect = |word: &str| -> Result<()> {
            let name = inside.call(Ident::parse_any)?;
            if name == word { Ok(()) } else { Err(Error::new(name.span(), LATE)) }
        };
        expect("drop")?;
        inside.parse::<Token![,]>()?;
        expect("grace")?;
        inside.parse::<Token![=]>()?;
        let grace = duration::parse(&inside)?;
        inside.parse::<Option<Token![,]>>()?;
        if inside.is_empty() { Ok(Self::Drop { grace }) } else { Err(inside.error(LATE)) }
    }
}

impl Timing {
    /// A `Timing` of the runtime.
    pub(crate) fn emit(&self) -> TokenStream {
        let none = quote!(::core::option::Option::None);
        let timer = self.timer.as_ref().map_or(none, |timer| {
            let timer = match timer {
                Timer::After(delay) => quote!(::steadfast::__macro::Timer::After(#delay)),
                Timer::Every { initial, every } => {
                    quote!(::steadfast::__macro::Timer::Every { initial: #initial, every: #every })
                }
                Timer::Cron(text) => quote!(::steadfast::__macro::cron(#text)),
            };
            quote!(::core::option::Option::Some(#timer))
        });
        let late = match self.late.unwrap_or(Late::Fire) {
            Late::Fire => quote!(::steadfast::__macro::Late::Fire),
            Late::Drop { grace } => quote!(::steadfast::__macro::Late::Drop { grace: #grace }),
        };
        quote!(::steadfast::__macro::Timing { timer: #timer, late: #late })
    }

    /// Words for the digest of the conditions; none for a rule without.
    pub(crate) fn words(&self) -> Vec<String> {
        let timer = self.timer.iter().map(|timer| match timer {
            Timer::After(delay) => format!("timer after {delay}"),
            Timer::Every { initial, every } => format!("timer {initial} every {every}"),
            Timer::Cron(text) => format!("timer cron {}", text.value()),
        });
        let late = self.late.iter().map(|late| match late {
            Late::Fire => "late fire".to_owned(),
            Late::Drop { grace } => format!("late drop after {grace}"),
        });
        timer.chain(late).collect()
    }
}
