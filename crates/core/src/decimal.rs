//! Decimal numbers as the sources spell them.
//!
//! A [`Decimal`] is plain decimal text: no exponent, no rounding, the number of fractional digits kept.
//! It goes into Postgres `numeric` in the binary format of the server and comes back the same, without a
//! float or an arithmetic type in between: real supplies and prices break `f64`, `i64` and 96-bit decimals.

use std::cmp::Ordering;
use std::fmt;

use compact_str::CompactString;
use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Numeric;
use serde::{Serialize, Serializer};

/// Most digits on either side of the point. Every finite `f64` fits; `1e400` does not.
pub const MAX_DIGITS: usize = 350;

/// An exact decimal number in plain notation, such as `-0.0000012` or `1.50`.
///
/// Equality is numeric: `1.5 == 1.50`. The scale is kept all the same. Up to 24 characters, as nearly all real figures have,
/// it takes no memory beside its own 24 bytes: a batch holds hundreds of thousands.
#[derive(Clone, Debug, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
#[diesel(sql_type = Numeric)]
pub struct Decimal(CompactString);

/// Why a text is not a [`Decimal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// It is not a decimal number.
    #[error("not a decimal number")]
    Malformed,
    /// It needs more than [`MAX_DIGITS`] digits before or behind the point.
    #[error("more than {MAX_DIGITS} digits before or behind the point")]
    OutOfRange,
}

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`; digits may be missing on one side of the point.
    ///
    /// # Errors
    /// [`DecimalError::Malformed`] for anything else (`NaN`, separators, blanks), [`DecimalError::OutOfRange`]
    /// beyond [`MAX_DIGITS`]. The size is checked before the number is written out.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        if is_plain(text.as_bytes()) {
            return Ok(Self(CompactString::new(text)));
        }
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits_only(whole) || !digits_only(fraction) {
            return Err(DecimalError::Malformed);
        }
        let exponent = exponent.map_or(Ok(0), parse_exponent)?;
        if exponent == 0 {
            return plain(negative, whole, fraction);
        }
        shifted(negative, whole, fraction, exponent)
    }

    /// The number in plain notation: JSON's grammar for numbers, without an exponent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the number is below zero.
    pub fn is_negative(&self) -> bool {
        self.0.starts_with('-')
    }

    /// Whether the number is zero, however it is spelt.
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| matches!(b, b'0' | b'.'))
    }

    /// Sign, digits before and digits behind the point.
    fn parts(&self) -> (bool, &str, &str) {
        let unsigned = self.0.strip_prefix('-').unwrap_or(&self.0);
        // Looked for byte by byte: most numbers are too short for anything cleverer.
        let point = unsigned.bytes().position(|byte| byte == b'.');
        let (whole, fraction) = point.map_or((unsigned, ""), |at| (&unsigned[..at], &unsigned[at + 1..]));
        (unsigned.len() < self.0.len(), whole, fraction)
    }
}

/// Whether it is written as it is kept, as most numbers are: digits without leading zeros, and some behind the point if
/// there is one.
fn is_plain(text: &[u8]) -> bool {
    let whole = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let leading_zero = whole > 1 && text.first() == Some(&b'0');
    let fraction_is_plain = match text.get(whole..) {
        Some([]) => true,
        Some([b'.', fraction @ ..]) => !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    whole > 0 && !leading_zero && fraction_is_plain && text.len() <= MAX_DIGITS
}

/// Reads an exponent; one that does not fit `i32` is out of range whatever the mantissa is.
fn parse_exponent(text: &str) -> Result<i32, DecimalError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DecimalError::Malformed);
    }
    text.strip_prefix('+').unwrap_or(text).parse().map_err(|_| DecimalError::OutOfRange)
}

fn plain(negative: bool, whole: &str, fraction: &str) -> Result<Decimal, DecimalError> {
    let whole = whole.trim_start_matches('0');
    if whole.len() > MAX_DIGITS || fraction.len() > MAX_DIGITS {
        return Err(DecimalError::OutOfRange);
    }
    // Minus zero is zero: Postgres has no other.
    let negative = negative && !(whole.is_empty() && fraction.bytes().all(|b| b == b'0'));
    let mut text = CompactString::with_capacity(whole.len() + fraction.len() + 3);
    if negative {
        text.push('-');
    }
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    Ok(Decimal(text))
}

/// Moves the point by `exponent` places.
fn shifted(negative: bool, whole: &str, fraction: &str, exponent: i32) -> Result<Decimal, DecimalError> {
    let mut digits = String::with_capacity(whole.len() + fraction.len());
    digits.push_str(whole);
    digits.push_str(fraction);
    if digits.bytes().all(|b| b == b'0') {
        return plain(false, "0", "");
    }
    if whole.len() > MAX_DIGITS
        || fraction.len() > MAX_DIGITS
        || exponent.unsigned_abs() > 2 * MAX_DIGITS as u32
    {
        return Err(DecimalError::OutOfRange);
    }
    let point = whole.len() as i32 + exponent;
    if point <= 0 {
        let zeros = "0".repeat(point.unsigned_abs() as usize);
        return plain(negative, "", &(zeros + &digits));
    }
    let point = point as usize;
    if point >= digits.len() {
        digits.push_str(&"0".repeat(point - digits.len()));
        return plain(negative, &digits, "");
    }
    let (whole, fraction) = digits.split_at(point);
    plain(negative, whole, fraction)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Decimal {
    /// The nearest float: infinite when it is too large for one, 0 when it is too small. Rounding keeps the order: what is
    /// greater as a float is greater.
    pub fn rounded(&self) -> f64 {
        // A plain decimal number is a float's text as well.
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        match (a.0, b.0) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => cmp_magnitude((a.1, a.2), (b.1, b.2)),
            (true, true) => cmp_magnitude((b.1, b.2), (a.1, a.2)),
        }
    }
}

fn cmp_magnitude(a: (&str, &str), b: (&str, &str)) -> Ordering {
    // No leading zeros, so a longer whole part is the greater one.
    let by_whole = a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(b.0));
    by_whole.then_with(|| a.1.trim_end_matches('0').cmp(b.1.trim_end_matches('0')))
}

/// Serialises as a JSON number with all its digits (with `serde_json` only).
impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue =
            serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Base of a digit of the server's `numeric`: four decimal digits.
const GROUP: usize = 4;
const NEGATIVE: u16 = 0x4000;

impl ToSql<Numeric, Pg> for Decimal {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let mut buffer = Vec::with_capacity(8 + self.0.len());
        self.write_numeric(&mut buffer);
        std::io::Write::write_all(out, &buffer)?;
        Ok(IsNull::No)
    }
}

impl Decimal {
    /// Appends the binary form of `numeric` (as in `numeric_send` of the server): count of base-10000 digits,
    /// weight of the first, sign, scale, digits.
    pub fn write_numeric(&self, out: &mut Vec<u8>) {
        let (negative, whole, fraction) = self.parts();
        let start = out.len();
        out.extend_from_slice(&[0; 8]);
        let (head, groups) = whole.as_bytes().as_rchunks::<GROUP>();
        let (fraction_groups, tail) = fraction.as_bytes().as_chunks::<GROUP>();
        let mut weight = whole.len().div_ceil(GROUP) as i16 - 1;
        let mut push = |group: u16| {
            if group == 0 && out.len() == start + 8 {
                weight -= 1;
            } else {
                out.extend_from_slice(&group.to_be_bytes());
            }
        };
        let mut filled = [b'0'; GROUP];
        if !head.is_empty() {
            filled[GROUP - head.len()..].copy_from_slice(head);
            push(group_value(filled));
        }
        groups.iter().chain(fraction_groups).for_each(|group| push(group_value(*group)));
        if !tail.is_empty() {
            filled = [b'0'; GROUP];
            filled[..tail.len()].copy_from_slice(tail);
            push(group_value(filled));
        }
        while out.len() > start + 8 && out.ends_with(&[0, 0]) {
            out.truncate(out.len() - 2);
        }
        let count = ((out.len() - start - 8) / 2) as u16;
        let weight = if count == 0 { 0 } else { weight };
        let sign = if negative { NEGATIVE } else { 0 };
        out[start..start + 2].copy_from_slice(&count.to_be_bytes());
        out[start + 2..start + 4].copy_from_slice(&weight.to_be_bytes());
        out[start + 4..start + 6].copy_from_slice(&sign.to_be_bytes());
        out[start + 6..start + 8].copy_from_slice(&(fraction.len() as u16).to_be_bytes());
    }
}

/// Value of four ASCII digits: two pairs at once, then both.
fn group_value(digits: [u8; GROUP]) -> u16 {
    let digits = u32::from_le_bytes(digits) & 0x0f0f_0f0f;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff;
    ((pairs & 0xff) * 100 + (pairs >> 16)) as u16
}

impl FromSql<Numeric, Pg> for Decimal {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        read_numeric(value.as_bytes()).ok_or_else(|| "numeric that is not a finite decimal".into())
    }
}

fn read_numeric(bytes: &[u8]) -> Option<Decimal> {
    let field = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (field(0)?, field(2)? as i16, field(4)?, field(6)?);
    if sign != 0 && sign != NEGATIVE {
        return None; // NaN and the infinities, which no column admits
    }
    let group = |at: i32| -> u16 {
        let inside = at >= 0 && at < i32::from(count);
        if inside { field(8 + 2 * at as usize).unwrap_or(0) } else { 0 }
    };
    let mut text = CompactString::default();
    if sign == NEGATIVE {
        text.push('-');
    }
    push_whole(&mut text, i32::from(weight), &group);
    push_fraction(&mut text, i32::from(weight), usize::from(scale), &group);
    Some(Decimal(text))
}

fn push_whole(text: &mut CompactString, weight: i32, group: &impl Fn(i32) -> u16) {
    if weight < 0 {
        text.push('0');
        return;
    }
    text.push_str(&group(0).to_string());
    for at in 1..=weight {
        push_group(text, group(at));
    }
}

fn push_fraction(text: &mut CompactString, weight: i32, scale: usize, group: &impl Fn(i32) -> u16) {
    if scale == 0 {
        return;
    }
    text.push('.');
    let end = text.len() + scale;
    let mut at = weight + 1;
    while text.len() < end {
        push_group(text, group(at));
        at += 1;
    }
    text.truncate(end);
}

fn push_group(text: &mut CompactString, group: u16) {
    for divisor in [1000, 100, 10, 1] {
        text.push(char::from(b'0' + (group / divisor % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(text: &str) -> String {
        Decimal::parse(text).unwrap().to_string()
    }

    #[test]
    fn spelling_is_made_plain_and_the_scale_is_kept() {
        for (sent, plain) in [
            ("0", "0"),
            ("1.50", "1.50"),
            ("0.10", "0.10"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+5", "5"),
            ("-0.0", "0.0"),
            ("-270.577", "-270.577"),
            ("1.232e-09", "0.000000001232"),
            ("1E-18", "0.000000000000000001"),
            ("4.2e+17", "420000000000000000"),
            ("1.50e1", "15.0"),
            ("12.5e0", "12.5"),
            ("0e999", "0"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            assert_eq!(plain_of(sent), plain, "{sent}");
        }
        assert_eq!(plain_of("1.0e+76").len(), 77);
        assert_eq!(plain_of("1e308").len(), 309);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "NaN",
            "Infinity",
            " 5",
            "1,234.5",
            "1_000",
            "0x10",
            "1.2.3",
            "--1",
            "٣",
            "5x0e99999999999",
        ] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::Malformed), "{text}");
        }
        for text in
            ["1e400", "1e5000", "1e-20000", "1e200000", "1e9223372036854775807", "1e99999999999999999999"]
        {
            assert_eq!(Decimal::parse(text), Err(DecimalError::OutOfRange), "{text}");
        }
        assert_eq!(Decimal::parse(&"9".repeat(MAX_DIGITS + 1)), Err(DecimalError::OutOfRange));
    }

    #[test]
    fn equality_and_order_are_numeric() {
        let number = |text| Decimal::parse(text).unwrap();
        assert_eq!(number("1.5"), number("1.50"));
        assert_eq!(number("0"), number("-0.000"));
        let mut sorted: Vec<_> = ["10", "-1", "9.99", "0.5", "-1.5", "0.05", "100"].map(number).into();
        sorted.sort();
        let texts: Vec<_> = sorted.iter().map(Decimal::as_str).collect();
        assert_eq!(texts, ["-1.5", "-1", "0.05", "0.5", "9.99", "10", "100"]);
    }

    #[test]
    fn json_shows_all_digits() {
        let number = Decimal::parse("1175613768269129055911262697748936469694174461952.10").unwrap();
        assert_eq!(serde_json::to_string(&number).unwrap(), number.as_str());
    }

    proptest::proptest! {
        #[test]
        fn binary_form_returns_the_same_text(text in "-?[0-9]{1,40}(\\.[0-9]{1,40})?") {
            let number = Decimal::parse(&text).unwrap();
            let mut bytes = Vec::new();
            number.write_numeric(&mut bytes);
            let read = read_numeric(&bytes).unwrap();
            proptest::prop_assert_eq!(read.as_str(), number.as_str());
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Decimal::parse(&text);
        }

        #[test]
        fn an_exponent_moves_the_point(digits in "[1-9][0-9]{0,20}", exponent in -40i32..40) {
            let number = Decimal::parse(&format!("{digits}e{exponent}")).unwrap();
            let back = Decimal::parse(&format!("{}e{}", number.as_str(), -exponent)).unwrap();
            proptest::prop_assert_eq!(back, Decimal::parse(&digits).unwrap());
        }
    }
}
