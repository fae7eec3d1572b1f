//! Numbers kept exactly, whatever is added and taken away, and rounded once, when they are shown.
//!
//! A sum in floating point depends on the order of its terms and keeps the rounding errors of terms
//! that are long gone. Here a sum is a fixed-point number that is wide enough for every term: adding
//! and subtracting are exact, so that they commute and undo each other (INV-49).
//!
//! Most sums fit one 128-bit word. What does not goes to limbs of 64 bits, of which there are as many
//! as the magnitudes so far have needed: three for sums of prices, 34 for those of all that `f64` has.

use std::fmt::Write as _;
use std::iter::repeat_n;

/// An exact number: a multiple of `2^UNIT` in a word, and limbs for what the word cannot hold.
#[derive(Clone, Debug, Default)]
pub struct Exact<const UNIT: i32> {
    near: i128,
    far: Option<Box<Limbs>>,
}

impl<const UNIT: i32> Exact<UNIT> {
    /// Adds `±magnitude · 2^exponent`.
    #[inline]
    pub(super) fn add(&mut self, negative: bool, magnitude: u128, exponent: i32) {
        if let Some(term) = near_term(magnitude, exponent - UNIT) {
            let term = if negative { -term } else { term };
            if let Some(sum) = self.near.checked_add(term) {
                self.near = sum;
                return;
            }
        }
        self.add_far(negative, magnitude, exponent);
    }

    /// Adds the square of `magnitude · 2^exponent`, or takes it away.
    #[inline]
    pub(super) fn add_square(&mut self, negative: bool, magnitude: u128, exponent: i32) {
        if let Some(square) = magnitude.checked_mul(magnitude) {
            self.add(negative, square, 2 * exponent);
        } else {
            let words = split(magnitude);
            self.limbs().combine(negative, &product(&words, &words), 2 * exponent);
        }
    }

    /// Adds `±one · other`.
    #[cfg(feature = "decimal")]
    #[inline]
    pub(super) fn add_product(&mut self, negative: bool, one: u128, other: u128) {
        if let Some(magnitude) = one.checked_mul(other) {
            self.add(negative, magnitude, 0);
        } else {
            self.limbs().combine(negative, &product(&split(one), &split(other)), 0);
        }
    }

    /// Adds the square of `one · other`, or takes it away.
    #[cfg(feature = "decimal")]
    pub(super) fn add_square_of_product(&mut self, negative: bool, one: u128, other: u128) {
        let words = product(&split(one), &split(other));
        self.limbs().combine(negative, &product(&words, &words), 0);
    }

    #[cold]
    fn add_far(&mut self, negative: bool, magnitude: u128, exponent: i32) {
        self.limbs().combine(negative, &split(magnitude), exponent);
    }

    fn limbs(&mut self) -> &mut Limbs {
        self.far.get_or_insert_default()
    }

    /// The number in units, if it fits a word.
    pub(super) fn units(&self) -> Option<i128> {
        self.near().or_else(|| self.value().units(UNIT))
    }

    /// The number as sign and magnitude.
    pub(super) fn value(&self) -> Value {
        let mut sum = self.far.as_deref().cloned().unwrap_or_default();
        sum.combine(self.near < 0, &split(self.near.unsigned_abs()), UNIT);
        sum.value()
    }

    /// The nearest number of a precision.
    pub(super) fn round(&self, precision: &Precision) -> f64 {
        self.value().round(precision, false)
    }

    /// The number as a word in units, if nothing is in limbs.
    pub(super) fn near(&self) -> Option<i128> {
        match &self.far {
            Some(far) if !far.words.is_empty() => None,
            _ => Some(self.near),
        }
    }
}

/// A term in units as a word, if it fits one: its absolute value is less than 2^126.
#[inline]
fn near_term(magnitude: u128, shift: i32) -> Option<i128> {
    let units = if shift >= 0 {
        let shift = shift.unsigned_abs();
        (magnitude.leading_zeros() > shift.saturating_add(1)).then(|| magnitude << shift)
    } else {
        let shift = shift.unsigned_abs();
        let fits = shift < 128 && magnitude.trailing_zeros() >= shift;
        fits.then(|| magnitude >> shift).filter(|units| units.leading_zeros() > 1)
    };
    units.map(u128::cast_signed)
}

/// A word as two limbs, the lower one first.
#[expect(clippy::cast_possible_truncation, reason = "it is taken apart")]
fn split(word: u128) -> [u64; 2] {
    [word as u64, (word >> 64) as u64]
}

/// A fixed-point number in two's complement: limb `i` counts multiples of `2^(64 · (low + i))`, the
/// last one extends infinitely as a sign. No limb at the end is superfluous.
#[derive(Clone, Debug, Default)]
struct Limbs {
    low: i32,
    words: Vec<u64>,
}

impl Limbs {
    /// Adds `±magnitude · 2^exponent`.
    fn combine(&mut self, negative: bool, magnitude: &[u64], exponent: i32) {
        let Some(last) = magnitude.iter().rposition(|&word| word != 0) else { return };
        let base = exponent.div_euclid(64);
        let shift = exponent.rem_euclid(64);
        let at = self.cover(base, last + 2);
        // A limb of the term takes its low bits from one word and its high bits from the next.
        let word = |i: usize| magnitude.get(i).copied().unwrap_or_default();
        let limb = |i: usize| {
            let below = i.checked_sub(1).map_or(0, word);
            if shift == 0 { word(i) } else { word(i) << shift | below >> (64 - shift) }
        };
        let mut carry = false;
        for (i, sum) in self.words[at..].iter_mut().enumerate() {
            let term = if i <= last + 1 { limb(i) } else { 0 };
            (*sum, carry) = if negative {
                let (difference, first) = sum.overflowing_sub(term);
                let (difference, second) = difference.overflowing_sub(u64::from(carry));
                (difference, first || second)
            } else {
                let (total, first) = sum.overflowing_add(term);
                let (total, second) = total.overflowing_add(u64::from(carry));
                (total, first || second)
            };
            if i > last && !carry {
                break;
            }
        }
        self.trim();
    }

    /// Makes sure that there are `count` limbs from `base` on, and one more that is nothing but a sign.
    /// Gives the place of the first.
    fn cover(&mut self, base: i32, count: usize) -> usize {
        if self.words.is_empty() {
            self.low = base;
        }
        if base < self.low {
            let missing = self.low.abs_diff(base) as usize;
            self.words.splice(0..0, repeat_n(0, missing));
            self.low = base;
        }
        let at = base.abs_diff(self.low) as usize;
        let sign = self.sign();
        let length = (at + count).max(self.words.len()) + 1;
        self.words.resize(length, sign);
        at
    }

    fn sign(&self) -> u64 {
        match self.words.last() {
            Some(last) if last.cast_signed() < 0 => u64::MAX,
            _ => 0,
        }
    }

    /// Takes off limbs at the end that say nothing but the sign of those before them.
    fn trim(&mut self) {
        while let Some((&last, rest)) = self.words.split_last() {
            let sign_of_rest = rest.last().map_or(0, |word| word >> 63);
            if last != sign_of_rest.wrapping_neg() {
                break;
            }
            self.words.pop();
        }
    }

    fn value(mut self) -> Value {
        let negative = self.sign() != 0;
        if negative {
            let mut carry = true;
            for word in &mut self.words {
                (*word, carry) = (!*word).overflowing_add(u64::from(carry));
            }
        }
        Value { negative, words: self.words, exponent: self.low * 64 }
    }
}

/// An exact number as sign and magnitude: `±words · 2^exponent`, the lowest word first.
#[derive(Clone, Debug)]
pub(super) struct Value {
    negative: bool,
    words: Vec<u64>,
    exponent: i32,
}

impl Value {
    fn bits(&self) -> i32 {
        let last = self.words.iter().rposition(|&word| word != 0);
        let bits =
            last.map_or(0, |last| last * 64 + 64 - self.words[last].leading_zeros() as usize);
        i32::try_from(bits).expect("a few thousand bits")
    }

    /// The number in multiples of `2^unit`, which it is one of, if a word can hold it.
    fn units(&self, unit: i32) -> Option<i128> {
        let shift = self.exponent - unit;
        if self.bits() + shift > 128 {
            return None;
        }
        let mut units = 0_u128;
        for (i, &word) in (0..).zip(&self.words).filter(|(_, word)| **word != 0) {
            let at: i32 = 64 * i + shift;
            let word = u128::from(word);
            units |= if at >= 0 { word << at } else { word >> -at };
        }
        if self.negative { 0_i128.checked_sub_unsigned(units) } else { i128::try_from(units).ok() }
    }

    pub(super) fn times(&self, factor: u64) -> Self {
        Self { words: product(&self.words, &[factor]), ..*self }
    }

    pub(super) fn squared(&self) -> Self {
        let words = product(&self.words, &self.words);
        Self { negative: false, words, exponent: 2 * self.exponent }
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut difference = Limbs::default();
        difference.combine(self.negative, &self.words, self.exponent);
        difference.combine(!other.negative, &other.words, other.exponent);
        difference.value()
    }

    /// The `f64` that is nearest to the number divided by all `divisors`, none of which is 0.
    pub(super) fn ratio(&self, divisors: &[u64]) -> f64 {
        // As many bits below as make the quotient longer than any mantissa.
        let more = divisors.len() + 2;
        let mut words: Vec<u64> = repeat_n(0, more).chain(self.words.iter().copied()).collect();
        let mut sticky = false;
        for &divisor in divisors {
            sticky |= divide(&mut words, divisor) != 0;
        }
        let below = i32::try_from(more * 64).expect("a few divisors");
        let quotient = Self { negative: self.negative, words, exponent: self.exponent - below };
        quotient.round(&DOUBLE, sticky)
    }

    /// The square root of [`Value::ratio`]; it is there also where the ratio is beyond all floats.
    pub(super) fn root_of_ratio(&self, divisors: &[u64]) -> f64 {
        let below: i32 = divisors.iter().map(|by| 64 - by.leading_zeros().cast_signed()).sum();
        let half = (self.bits() + self.exponent - below).div_euclid(2);
        let near_one = Self { exponent: self.exponent - 2 * half, ..self.clone() };
        scaled_by(near_one.ratio(divisors).sqrt(), half)
    }

    /// The nearest number of a precision, ties to the even one; 0 is positive. `sticky` says that the
    /// number is in truth a little greater in magnitude than its words.
    fn round(&self, precision: &Precision, sticky: bool) -> f64 {
        let bits = self.bits();
        if bits == 0 {
            return 0.0;
        }
        let lead = bits - 1 + self.exponent;
        if lead > precision.highest {
            return if self.negative { f64::NEG_INFINITY } else { f64::INFINITY };
        }
        let last = (lead - precision.bits + 1).max(precision.lowest);
        let dropped = last - self.exponent;
        let mut mantissa = self.bits_from(dropped);
        let half = dropped > 0 && self.bits_from(dropped - 1) & 1 == 1;
        if half && (sticky || self.has_bits_below(dropped - 1) || mantissa & 1 == 1) {
            mantissa += 1;
        }
        let magnitude = scaled(mantissa, last);
        let magnitude = if magnitude > precision.max { f64::INFINITY } else { magnitude };
        if self.negative && magnitude != 0.0 { -magnitude } else { magnitude }
    }

    /// The bits from this one on, of which there are fewer than 64; below the lowest there are zeros.
    fn bits_from(&self, from: i32) -> u64 {
        if from < 0 {
            return self.words[0] << -from;
        }
        let from = from.unsigned_abs() as usize;
        let word = |at: usize| u128::from(self.words.get(at).copied().unwrap_or_default());
        let at = from / 64;
        let [low, _] = split((word(at) | word(at + 1) << 64) >> (from % 64));
        low
    }

    fn has_bits_below(&self, bit: i32) -> bool {
        let bit = bit.unsigned_abs() as usize;
        let (whole, part) = (bit / 64, bit % 64);
        self.words.iter().take(whole).any(|&word| word != 0)
            || self.words.get(whole).is_some_and(|&word| word & ((1 << part) - 1) != 0)
    }

    /// The integer that is nearest to the number divided by all divisors, ties to the even one, if a word
    /// holds its magnitude; the number is an integer. Says whether it is that quotient exactly.
    #[cfg(feature = "decimal")]
    pub(super) fn quotient(&self, divisors: &[u64]) -> Option<(Quotient, bool)> {
        // Twice as much, so that the lowest bit is the half.
        let mut words = product(&self.integer(), &[2]);
        let mut rest = false;
        for &divisor in divisors {
            rest |= divide(&mut words, divisor) != 0;
        }
        let last = words.iter().rposition(|&word| word != 0);
        let half = words[0] & 1 == 1;
        let word = |at: usize| words.get(at).copied().unwrap_or_default();
        if last.is_some_and(|last| last > 2) || word(2) > 1 {
            return None;
        }
        let low = u128::from(word(0)) | u128::from(word(1)) << 64;
        let magnitude = low >> 1 | u128::from(word(2)) << 127;
        let up = half && (rest || magnitude & 1 == 1);
        let magnitude = magnitude.checked_add(u128::from(up))?;
        Some((Quotient { negative: self.negative, magnitude }, !half && !rest))
    }

    /// The magnitude of a number that is an integer.
    fn integer(&self) -> Vec<u64> {
        let zeros = usize::try_from(self.exponent / 64).expect("an integer");
        repeat_n(0, zeros).chain(self.words.iter().copied()).collect()
    }

    /// The number in decimal digits, which it is an integer for.
    pub(super) fn to_decimal(&self) -> String {
        const CHUNK: u64 = 10_u64.pow(19);
        let mut words = self.integer();
        let mut chunks = Vec::new();
        while words.iter().any(|&word| word != 0) {
            chunks.push(divide(&mut words, CHUNK));
        }
        let mut text = String::from(if self.negative { "-" } else { "" });
        text.push_str(&chunks.pop().unwrap_or_default().to_string());
        for chunk in chunks.iter().rev() {
            write!(text, "{chunk:019}").expect("writing to a string");
        }
        text
    }
}

/// An integer of 128 bits with its sign.
#[cfg(feature = "decimal")]
pub(super) struct Quotient {
    pub(super) negative: bool,
    pub(super) magnitude: u128,
}

/// Mantissa times `2^exponent`, exactly, or infinity.
#[expect(clippy::cast_precision_loss, reason = "mantissas have at most 53 bits")]
fn scaled(mantissa: u64, exponent: i32) -> f64 {
    mantissa as f64 * power(exponent)
}

/// A number near 1 times `2^exponent`.
fn scaled_by(number: f64, exponent: i32) -> f64 {
    // In two steps: the power itself may be greater than any float.
    let half = exponent / 2;
    number * power(half) * power(exponent - half)
}

/// A power of 2 between the least and the greatest that there are.
fn power(exponent: i32) -> f64 {
    let exponent = i64::from(exponent);
    match u64::try_from(exponent + 1023) {
        Ok(biased @ 1..) => f64::from_bits(biased << 52),
        _ => f64::from_bits(1 << (exponent + 1074)),
    }
}

fn product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = vec![0; a.len() + b.len()];
    for (i, &x) in a.iter().enumerate() {
        let mut carry = 0;
        for (j, &y) in b.iter().enumerate() {
            let sum =
                u128::from(x) * u128::from(y) + u128::from(product[i + j]) + u128::from(carry);
            [product[i + j], carry] = split(sum);
        }
        product[i + b.len()] = carry;
    }
    product
}

/// Divides in place; gives the remainder.
fn divide(words: &mut [u64], divisor: u64) -> u64 {
    let mut rest = 0;
    for word in words.iter_mut().rev() {
        let part = u128::from(rest) << 64 | u128::from(*word);
        [*word, _] = split(part / u128::from(divisor));
        [rest, _] = split(part % u128::from(divisor));
    }
    rest
}

/// A floating-point format.
pub(super) struct Precision {
    /// Bits of the mantissa.
    bits: i32,
    /// Exponent of the lowest bit that there is.
    lowest: i32,
    /// Exponent of the highest bit that there is.
    highest: i32,
    /// The greatest number.
    max: f64,
}

pub(super) const DOUBLE: Precision =
    Precision { bits: 53, lowest: -1074, highest: 1023, max: f64::MAX };
pub(super) const SINGLE: Precision =
    Precision { bits: 24, lowest: -149, highest: 127, max: f32::MAX as f64 };

/// A finite number as sign, mantissa and exponent.
#[inline]
pub(super) fn parts(number: f64) -> (bool, u128, i32) {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = number.to_bits();
    let biased = i32::try_from(bits >> 52 & 0x7ff).expect("eleven bits");
    let fraction = bits & MANTISSA;
    let (mantissa, exponent) =
        if biased == 0 { (fraction, -1074) } else { (fraction | (MANTISSA + 1), biased - 1075) };
    (bits >> 63 == 1, u128::from(mantissa), exponent)
}
