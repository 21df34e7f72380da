//! Numbers as people and spreadsheets write them, read exactly or not at all.

use std::borrow::Cow;

use kasparro_core::Decimal;
use kasparro_core::decimal::DecimalError;

use super::records::trim;

/// What a file has shown of the way it writes numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Commas group digits (`1,234.56`, `1,95,49,806`): then `1,234` is 1234, and else it is anybody's guess.
    pub(super) comma_groups: bool,
    /// Points group digits in places (`1.057.030`): then `1.234` is anybody's guess.
    pub(super) point_groups: bool,
    /// How numbers are written is declared: nothing has to be inferred.
    pub(super) notation: Option<Notation>,
}

/// The declared signs of a file's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notation {
    /// In front of the fraction.
    pub(super) decimal: char,
    /// Between groups of digits; a blank stands for blanks of any kind, an apostrophe for the typographic one too.
    pub(super) group: char,
}

impl Notation {
    /// The digits in plain notation; `None` when a sign is where it cannot be.
    fn plain(self, digits: &str) -> Option<String> {
        let (whole, fraction) = match digits.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let unify = |c: char| match self.group {
            ' ' if c.is_whitespace() => ' ',
            // Swiss spreadsheets write either.
            '\'' if c == '’' => '\'',
            _ => c,
        };
        let whole: String = whole.chars().map(unify).collect();
        if whole.contains(self.group) && !is_grouped(&whole, self.group) {
            return None;
        }
        let whole = whole.replace(self.group, "");
        let strange = |text: &str| text.contains([',', self.group, self.decimal]);
        if strange(&whole) || fraction.is_some_and(strange) {
            return None;
        }
        Some(fraction.map_or(whole.clone(), |fraction| format!("{whole}.{fraction}")))
    }
}

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// US dollars or coins: may carry `$`, never `%`.
    Amount,
    /// Per cent: may carry `%`, never `$`.
    Percent,
}

/// A number and whether it was written with a minus: minus zero is no zero price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) value: Decimal,
    pub(super) minus: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    Malformed,
    OutOfRange,
    Ambiguous,
}

/// Reads a cell; `None` when it says that there is no number.
pub(super) fn read(text: &str, unit: Unit, style: Style) -> Result<Option<Number>, NumberError> {
    let Some((minus, digits)) = bare(trim(text), unit)? else { return Ok(None) };
    if let Some(notation) = style.notation {
        let plain = notation.plain(digits).ok_or(NumberError::Malformed)?;
        return signed(minus, &plain).map(Some);
    }
    if style.point_groups && is_one_group(digits, '.') {
        return Err(NumberError::Ambiguous);
    }
    signed(minus, &without_groups(digits, style)?).map(Some)
}

fn signed(minus: bool, plain: &str) -> Result<Number, NumberError> {
    let value = parse(plain)?;
    let value = if minus { parse(&format!("-{value}"))? } else { value };
    Ok(Number { value, minus })
}

fn parse(plain: &str) -> Result<Decimal, NumberError> {
    Decimal::parse(plain).map_err(|error| match error {
        DecimalError::Malformed => NumberError::Malformed,
        DecimalError::OutOfRange => NumberError::OutOfRange,
    })
}

impl Number {
    /// A fraction as per cent, exactly.
    pub(super) fn in_percent(self) -> Result<Self, NumberError> {
        Ok(Self { value: parse(&format!("{}e2", self.value))?, minus: self.minus })
    }
}

/// Whether the cell says that a value is not known. Zero is not among these.
pub(super) fn is_absent(text: &str) -> bool {
    const WORDS: [&str; 16] = [
        "", "-", "--", "–", "—", "?", "∞", "n/a", "#n/a", "n.a.", "na", "nan", "null", "none", "inf",
        "infinity",
    ];
    let is_digit = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    !is_digit && text.len() <= 8 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether the cell says that there is no text. Words that may be the name of a coin are not among these.
pub(super) fn is_no_text(text: &str) -> bool {
    const WORDS: [&str; 10] = ["", "-", "--", "–", "—", "?", "n/a", "#n/a", "nan", "null"];
    text.len() <= 4 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether there is a minus, and the digits without sign, currency and per cent; `None` when there is no number.
fn bare(text: &str, unit: Unit) -> Result<Option<(bool, &str)>, NumberError> {
    let (in_brackets, text) = without_brackets(text);
    let text = if unit == Unit::Percent { trim(text.strip_suffix('%').unwrap_or(text)) } else { text };
    // `(1.2)%` beside `(1.2%)`
    let (in_brackets, text) = if in_brackets { (true, text) } else { without_brackets(text) };
    if is_absent(text) {
        return Ok(None);
    }
    let (sign, rest) = take_sign(text);
    if in_brackets && sign.is_some() {
        return Err(NumberError::Malformed);
    }
    let outer = if in_brackets { Some('-') } else { sign };
    let in_dollars = match unit {
        Unit::Amount => without_dollar(rest),
        Unit::Percent => None,
    };
    let rest = in_dollars.map_or(rest, trim);
    if is_absent(rest) {
        // `$` alone stands for no value, a sign alone for nothing.
        let nothing = rest.is_empty() && in_dollars.is_none();
        return if nothing { Err(NumberError::Malformed) } else { Ok(None) };
    }
    let (inner, digits) = if in_dollars.is_some() { take_sign(rest) } else { (None, rest) };
    if (outer.is_some() && inner.is_some()) || digits.starts_with(['-', '+']) {
        return Err(NumberError::Malformed);
    }
    Ok(Some((outer.or(inner) == Some('-'), digits)))
}

/// What is beside the sign of the dollar, on either side; `None` where there is none.
fn without_dollar(text: &str) -> Option<&str> {
    const SIGNS: [&str; 3] = ["US$", "$", "USD"];
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    if is_digit(text.as_bytes().first()) && is_digit(text.as_bytes().last()) {
        return None;
    }
    SIGNS.iter().find_map(|sign| text.strip_prefix(sign).or_else(|| text.strip_suffix(sign)))
}

/// Accountants write -1.2 as `(1.2)`.
fn without_brackets(text: &str) -> (bool, &str) {
    match text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        Some(inner) => (true, trim(inner)),
        None => (false, text),
    }
}

fn take_sign(text: &str) -> (Option<char>, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (Some('-'), &text[1..]),
        Some(b'+') => (Some('+'), &text[1..]),
        // The minus of typographers.
        _ => text.strip_prefix('\u{2212}').map_or((None, text), |rest| (Some('-'), rest)),
    }
}

/// The digits without the commas between well-formed groups.
fn without_groups(digits: &str, style: Style) -> Result<Cow<'_, str>, NumberError> {
    if !digits.contains(',') {
        return Ok(Cow::Borrowed(digits));
    }
    if !style.comma_groups && is_one_group(digits, ',') {
        return Err(NumberError::Ambiguous);
    }
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    if !is_grouped(whole, ',') {
        return Err(NumberError::Malformed);
    }
    Ok(Cow::Owned(digits.chars().filter(|c| *c != ',').collect()))
}

/// Whether the digits are grouped by threes (`1,234,567`) or in the Indian way (`12,34,567`), without leading zeros.
fn is_grouped(whole: &str, separator: char) -> bool {
    let mut groups = whole.split(separator).rev();
    let (Some(last), Some(head)) = (groups.next(), whole.split(separator).next()) else { return false };
    let middle: Vec<&str> = groups.collect();
    let Some((_, middle)) = middle.split_last() else { return false };
    let width = |group: &str, width: usize| group.len() == width && group.bytes().all(|b| b.is_ascii_digit());
    let western = (1..=3).any(|length| width(head, length)) && middle.iter().all(|group| width(group, 3));
    let indian = (1..=2).any(|length| width(head, length)) && middle.iter().all(|group| width(group, 2));
    width(last, 3) && !head.starts_with('0') && (western || indian)
}

/// Whether it is like `1,234`: one separator with three digits behind it, which may be a decimal one.
pub(super) fn is_one_group(digits: &str, separator: char) -> bool {
    digits.matches(separator).count() == 1 && is_grouped(digits, separator)
}

/// What a cell looks like before the style of its file is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Absent,
    /// Readable in every style.
    Number,
    /// `1,234`: one way or the other.
    OneGroup,
    /// `1,234.5` or `1,234,567`: commas group.
    CommaGroups,
    /// `1.234.567`: points group, or a spreadsheet has spoilt the number.
    PointGroups,
    /// `1,5` or `0,123`: a decimal comma, or a slip.
    DecimalComma,
    /// `1.234,56`: a decimal comma.
    GroupsAndDecimalComma,
    /// `21 Million`, `1.2B`: rounded for display.
    Suffix,
    /// Ends in `%`.
    Percent,
    Text,
}

/// Looks at a cell of a file whose notation may be declared.
pub(super) fn shape_in(text: &str, notation: Option<Notation>) -> Shape {
    let Some(notation) = notation else { return shape(text) };
    let (text, unit) = (trim(text), if is_percent(text) { Unit::Percent } else { Unit::Amount });
    match bare(text, unit) {
        Err(_) => Shape::Text,
        Ok(None) => Shape::Absent,
        Ok(Some((_, digits))) => match notation.plain(digits).map(|plain| shape_of_digits(&plain)) {
            Some(Shape::Number) if unit == Unit::Percent => Shape::Percent,
            Some(Shape::Number) => Shape::Number,
            _ if is_suffixed(digits) => Shape::Suffix,
            _ => Shape::Text,
        },
    }
}

/// Looks at a cell.
pub(super) fn shape(text: &str) -> Shape {
    let text = trim(text);
    let percent = is_percent(text);
    let unit = if percent { Unit::Percent } else { Unit::Amount };
    let shape = match bare(text, unit) {
        Err(_) => return Shape::Text,
        Ok(None) => return Shape::Absent,
        Ok(Some((_, digits))) => shape_of_digits(digits),
    };
    if percent && shape != Shape::Text { Shape::Percent } else { shape }
}

fn shape_of_digits(digits: &str) -> Shape {
    let only = |allowed: &str| digits.chars().all(|c| c.is_ascii_digit() || allowed.contains(c));
    let (commas, points) = (digits.matches(',').count(), digits.matches('.').count());
    if commas == 0 && Decimal::parse(digits) != Err(DecimalError::Malformed) {
        Shape::Number
    } else if is_suffixed(digits) {
        Shape::Suffix
    } else if !digits.starts_with(|c: char| c.is_ascii_digit()) || !only(",.") {
        Shape::Text
    } else if commas == 0 {
        if is_grouped(digits, '.') { Shape::PointGroups } else { Shape::Text }
    } else if is_one_group(digits, ',') {
        Shape::OneGroup
    } else if is_grouped(digits.split('.').next().unwrap_or(digits), ',') && points <= 1 {
        Shape::CommaGroups
    } else if commas == 1 && digits.split(',').next().is_some_and(|whole| is_grouped(whole, '.')) {
        Shape::GroupsAndDecimalComma
    } else if commas == 1 && points == 0 {
        Shape::DecimalComma
    } else {
        Shape::Text
    }
}

/// Whether a cell says itself that it is in per cent.
pub(super) fn is_percent(text: &str) -> bool {
    trim(text).trim_end_matches(')').ends_with('%')
}

/// Digits, then a word.
fn is_suffixed(digits: &str) -> bool {
    let number = digits.trim_end_matches(char::is_alphabetic);
    let word = &digits[number.len()..];
    let number = trim(number);
    !word.is_empty()
        && number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ','))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPED: Style = Style { comma_groups: true, point_groups: false, notation: None };

    fn amount(text: &str) -> Result<Option<String>, NumberError> {
        read(text, Unit::Amount, GROUPED).map(|number| number.map(|number| number.value.to_string()))
    }

    #[test]
    fn a_declared_notation_leaves_no_doubt() {
        let read = |decimal, group, text: &str| {
            let style = Style { notation: Some(Notation { decimal, group }), ..Style::default() };
            super::read(text, Unit::Amount, style).map(|number| number.map(|number| number.value.to_string()))
        };
        for (decimal, group, text, want) in [
            (',', '.', "1,5", "1.5"),
            (',', '.', "1.234", "1234"),
            (',', '.', "US$26.247,60", "26247.60"),
            (',', '.', "1.057.030.998.551.800", "1057030998551800"),
            (',', ' ', "1\u{a0}234\u{202f}567,8", "1234567.8"),
            ('.', '\'', "1'234.5", "1234.5"),
            ('.', '\'', "1’234.5", "1234.5"),
            (',', '.', "29.000,50 $", "29000.50"),
            ('.', ',', "1,234", "1234"),
            (',', '.', "9,7e-05", "0.000097"),
            ('.', ',', "1,95,49,806", "19549806"),
        ] {
            assert_eq!(read(decimal, group, text), Ok(Some(want.to_owned())), "{text}");
        }
        for (decimal, group, text) in [
            (',', '.', "1.5"),
            (',', '.', "1,234,567"),
            ('.', ' ', "1,5"),
            (',', '.', "12.34,5"),
            (',', '.', "1,2.3"),
        ] {
            assert_eq!(read(decimal, group, text), Err(NumberError::Malformed), "{text}");
        }
        assert_eq!(read(',', '.', "-"), Ok(None));
    }

    #[test]
    fn amounts_are_read_digit_for_digit() {
        for (text, value) in [
            ("36,456.94", "36456.94"),
            ("$712,726,163,003.00 ", "712726163003.00"),
            ("1,95,49,806", "19549806"),
            ("88,30,86,52,879", "88308652879"),
            ("\t$0.999802", "0.999802"),
            ("US$26,247.60", "26247.60"),
            ("$4.7e-06", "0.0000047"),
            ("+5", "5"),
            ("1,234", "1234"),
            ("0.000950733762", "0.000950733762"),
            ("6.61575E+11", "661575000000"),
            (".5", "0.5"),
            ("0", "0"),
            ("19825068.0", "19825068.0"),
        ] {
            assert_eq!(amount(text), Ok(Some(value.to_owned())), "{text}");
        }
    }

    #[test]
    fn absent_is_not_zero() {
        for text in
            ["", " ", "-", "--", "N/A", "na", "NaN", "null", "None", "∞", "?", "$?", " $-   ", "$", "\u{a0}"]
        {
            assert_eq!(amount(text), Ok(None), "{text}");
        }
        for text in ["+nan%", "-", "%", "-%"] {
            assert_eq!(read(text, Unit::Percent, GROUPED), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_no_number() {
        for text in [
            "1,5",
            "12,34",
            "1,2345",
            "123,45,678",
            "1,23,45",
            "1,234,56",
            "0,123",
            "01,234",
            ",123",
            "1,,234",
            "1.057.030.998.551.800",
            "1.234,56",
            "21 Million",
            "1.2B",
            "12%",
            "abc",
            "--5",
            "+-5",
            "-$-5",
            "€5",
            "1 234",
            "1'234",
            "1,234e5",
            "0x10",
            "+",
            "٣",
        ] {
            assert_eq!(amount(text), Err(NumberError::Malformed), "{text}");
        }
        assert_eq!(amount("1e400"), Err(NumberError::OutOfRange));
    }

    #[test]
    fn one_group_alone_says_nothing() {
        let unknown = Style::default();
        assert_eq!(read("1,234", Unit::Amount, unknown), Err(NumberError::Ambiguous));
        assert_eq!(read("$1,234", Unit::Amount, unknown), Err(NumberError::Ambiguous));
        for text in ["1,234.5", "1,234,567", "12,34,567"] {
            assert!(read(text, Unit::Amount, unknown).is_ok(), "{text} shows its style itself");
        }
        let spoilt = Style { point_groups: true, ..unknown };
        assert_eq!(read("1.234", Unit::Amount, spoilt), Err(NumberError::Ambiguous));
        assert!(read("1.23", Unit::Amount, spoilt).is_ok());
        assert!(read("1.234", Unit::Amount, unknown).is_ok());
    }

    #[test]
    fn signs_and_per_cent() {
        let percent = |text| {
            read(text, Unit::Percent, GROUPED).map(|number| number.map(|n| (n.value.to_string(), n.minus)))
        };
        assert_eq!(percent("-2.91%"), Ok(Some(("-2.91".to_owned(), true))));
        assert_eq!(percent("+0.00 %"), Ok(Some(("0.00".to_owned(), false))));
        assert_eq!(percent("-0.00%"), Ok(Some(("0.00".to_owned(), true))));
        assert_eq!(percent("1,538,325,400%"), Ok(Some(("1538325400".to_owned(), false))));
        for text in ["(2.91%)", "(2.91)%", "( 2.91 )", "(+2.91)"] {
            let want = if text.contains('+') {
                Err(NumberError::Malformed)
            } else {
                Ok(Some(("-2.91".to_owned(), true)))
            };
            assert_eq!(percent(text), want, "{text}");
        }
        assert_eq!(percent("((2.91))"), Err(NumberError::Malformed));
        assert_eq!(percent("$5"), Err(NumberError::Malformed));
        assert!(read("-0", Unit::Amount, GROUPED).unwrap().unwrap().minus);
        assert!(read("-$5", Unit::Amount, GROUPED).unwrap().unwrap().minus);
        assert!(read("$-5", Unit::Amount, GROUPED).unwrap().unwrap().minus);
    }

    #[test]
    fn shapes_tell_the_styles_apart() {
        for (text, expected) in [
            ("", Shape::Absent),
            ("$?", Shape::Absent),
            ("12.5", Shape::Number),
            ("-1e-9", Shape::Number),
            ("1e400", Shape::Number),
            ("1.234", Shape::Number),
            ("1,234", Shape::OneGroup),
            ("$1,234.50", Shape::CommaGroups),
            ("1,95,49,806", Shape::CommaGroups),
            ("1.057.030.998.551.800", Shape::PointGroups),
            ("1,5", Shape::DecimalComma),
            ("US$0,00161381", Shape::DecimalComma),
            ("0,123", Shape::DecimalComma),
            ("US$26.247,60", Shape::GroupsAndDecimalComma),
            ("21 Million", Shape::Suffix),
            ("88.3 Billion", Shape::Suffix),
            ("$1.2B", Shape::Suffix),
            ("21 Juta", Shape::Suffix),
            ("115,793,521.25 ETH", Shape::Suffix),
            ("0.16%", Shape::Percent),
            ("1,5%", Shape::Percent),
            ("(1.5%)", Shape::Percent),
            ("(1.5)", Shape::Number),
            (". M", Shape::Text),
            ("Bitcoin", Shape::Text),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "[-+$%,.0-9eE A\u{a0}∞]{0,12}") {
            let _ = read(&text, Unit::Amount, Style::default());
            let _ = read(&text, Unit::Percent, GROUPED);
            let _ = shape(&text);
        }
    }
}
