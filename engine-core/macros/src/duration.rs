//! Durations as they are written: `"5s"`, `"1h30m"`, and `5s` as a literal with a suffix.

use proc_macro2::Span;
use syn::parse::ParseStream;
use syn::{Error, LitInt, LitStr, Result};

const EXPECTED: &str = "expected a duration such as \"250ms\", \"5s\", \"1h30m\" or \"2d\"";

/// Units and their milliseconds, longer names first.
const UNITS: [(&str, i64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Parses `"5s"` or `5s`; gives milliseconds.
pub(crate) fn parse(input: ParseStream<'_>) -> Result<i64> {
    if input.peek(LitStr) {
        let literal: LitStr = input.parse()?;
        return millis(&literal.value(), literal.span());
    }
    let literal: LitInt = input.parse().map_err(|error| Error::new(error.span(), EXPECTED))?;
    of_literal(&literal)
}

/// Parses `"5s"` or `5s`, at least a millisecond.
pub(crate) fn parse_positive(input: ParseStream<'_>) -> Result<i64> {
    let span = input.span();
    match parse(input)? {
        0 => Err(Error::new(span, "this takes at least a millisecond")),
        millis => Ok(millis),
    }
}

/// The milliseconds of a literal with a unit as its suffix; 0 needs none.
pub(crate) fn of_literal(literal: &LitInt) -> Result<i64> {
    if literal.suffix().is_empty() && literal.base10_digits() == "0" {
        return Ok(0);
    }
    millis(&format!("{}{}", literal.base10_digits(), literal.suffix()), literal.span())
}

/// The milliseconds of a text.
pub(crate) fn millis(text: &str, span: Span) -> Result<i64> {
    let wrong = || Error::new(span, EXPECTED);
    let too_long = || Error::new(span, "this duration does not fit 64 bits of milliseconds");
    let mut rest = text.trim();
    let mut total = 0_i64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(wrong());
        }
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number = number.parse::<i64>().map_err(|_| too_long())?;
        let part = number.checked_mul(*millis).ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        rest = tail.trim_start();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let of = |text| millis(text, Span::call_site()).ok();
        assert_eq!(of("250ms"), Some(250));
        assert_eq!(of("1h30m"), Some(5_400_000));
        assert_eq!(of("2d 1s"), Some(172_801_000));
        assert_eq!(of("0s"), Some(0));
        for wrong in ["", "5", "s", "5 weeks", "-5s", "5s!", "99999999999999999999s"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn literals_carry_the_unit_as_their_suffix() {
        let of = |text| of_literal(&syn::parse_str(text).expect("a literal")).ok();
        assert_eq!(
            (of("5s"), of("0"), of("5"), of("1_000ms")),
            (Some(5_000), Some(0), None, Some(1_000))
        );
    }
}
