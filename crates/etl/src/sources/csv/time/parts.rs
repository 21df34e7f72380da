//! Reading dates and times piece by piece.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

/// What is still to be read.
pub(super) struct Rest<'t>(pub(super) &'t [u8]);

impl Rest<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn eat_one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let byte = *self.0.first()?;
        bytes.contains(&byte).then(|| self.0 = &self.0[1..])?;
        Some(byte)
    }

    fn eat_blanks(&mut self) {
        while self.eat(b' ') || self.eat(b'\t') {}
    }

    /// As many digits as there are, if they are between `least` and `most`.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length < least || length > most {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
    }

    /// Exactly so many digits, at most 18.
    fn long(&mut self, width: usize) -> Option<i64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (length == width).then_some(())?;
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    fn letters(&mut self) -> &str {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (letters, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(letters).unwrap_or_default()
    }
}

/// A count since 1970 of `width` digits, as today's seconds, milliseconds and microseconds have; data frames append a fraction.
pub(super) fn epoch(rest: &mut Rest<'_>, width: usize) -> Option<DateTime<Utc>> {
    let count = rest.long(width)?;
    let micros_each = 10_i64.pow(16 - u32::try_from(width).ok()?);
    let part = if rest.eat(b'.') { i64::from(fraction(rest)?) * micros_each / 1_000_000 } else { 0 };
    DateTime::from_timestamp_micros(count * micros_each + part)
}

fn date(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// `2021-07-06`, `2021/07/06`, `2021-7-6`
pub(super) fn iso_date(rest: &mut Rest<'_>) -> Option<NaiveDate> {
    let year = rest.number(4, 4)?;
    let separator = rest.eat_one_of(b"-/.")?;
    let month = rest.number(1, 2)?;
    rest.eat(separator).then_some(())?;
    date(year, month, rest.number(1, 2)?)
}

/// `20210706`
pub(super) fn compact_date(rest: &mut Rest<'_>) -> Option<NaiveDate> {
    let digits = rest.number(8, 8)?;
    date(digits / 10_000, digits / 100 % 100, digits % 100)
}

pub(super) fn iso_time(rest: &mut Rest<'_>) -> Option<NaiveDateTime> {
    let day = iso_date(rest)?;
    rest.eat_one_of(b"Tt ")?;
    Some(day.and_time(clock(rest, 1)?))
}

/// `HH:MM[:SS[.fff]]`
fn clock(rest: &mut Rest<'_>, hour_digits: usize) -> Option<NaiveTime> {
    let hour = rest.number(hour_digits, 2)?;
    rest.eat(b':').then_some(())?;
    let minute = rest.number(2, 2)?;
    if !rest.eat(b':') {
        return NaiveTime::from_hms_opt(hour, minute, 0);
    }
    let second = rest.number(2, 2)?;
    let micros = if rest.eat(b'.') { fraction(rest)? } else { 0 };
    NaiveTime::from_hms_micro_opt(hour, minute, second, micros)
}

/// Microseconds; further digits are cut off.
fn fraction(rest: &mut Rest<'_>) -> Option<u32> {
    let length = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = rest.0.split_at(length);
    rest.0 = behind;
    let micros = digits.iter().chain(std::iter::repeat(&b'0')).take(6);
    (length > 0 && length <= 9).then(|| micros.fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

/// `Z`, ` UTC`, `+02:00`, `+0200`, `+02`
pub(super) fn offset(rest: &mut Rest<'_>) -> Option<TimeDelta> {
    if rest.0.eq_ignore_ascii_case(b"z") {
        rest.0 = &[];
        return Some(TimeDelta::zero());
    }
    if rest.0.first() == Some(&b' ') {
        return word_offset(rest);
    }
    let sign = if rest.eat_one_of(b"+-")? == b'-' { -1 } else { 1 };
    let minutes = match rest.0 {
        [_, _] => rest.number(2, 2)? * 60,
        [_, _, b':', _, _] => {
            let hours = rest.number(2, 2)?;
            rest.eat(b':');
            hours * 60 + rest.number(2, 2)?
        }
        _ => rest.number(4, 4).map(|both| both / 100 * 60 + both % 100)?,
    };
    (minutes < 24 * 60).then(|| TimeDelta::minutes(sign * i64::from(minutes)))
}

/// ` UTC`, ` GMT`, ` +0200`
pub(super) fn word_offset(rest: &mut Rest<'_>) -> Option<TimeDelta> {
    rest.eat_blanks();
    if rest.0.eq_ignore_ascii_case(b"utc") || rest.0.eq_ignore_ascii_case(b"gmt") {
        rest.0 = &[];
        return Some(TimeDelta::zero());
    }
    // Not `Z` and not another blank: those are no way to write it.
    matches!(rest.0.first(), Some(b'+' | b'-')).then(|| offset(rest))?
}

/// `Feb 20, 2018`, `February 20 2018`, `20-Feb-2018`, `20 Feb 2018`
pub(super) fn month_name_date(rest: &mut Rest<'_>) -> Option<NaiveDate> {
    if let Some(day) = rest.number(1, 2) {
        let separator = rest.eat_one_of(b"- ")?;
        let month = month(rest.letters())?;
        rest.eat(separator).then_some(())?;
        return date(rest.number(4, 4)?, month, day);
    }
    let month = month(rest.letters())?;
    rest.eat(b' ').then_some(())?;
    let day = rest.number(1, 2)?;
    rest.eat(b',');
    rest.eat(b' ').then_some(())?;
    date(rest.number(4, 4)?, month, day)
}

/// The number of an English month, in full or by three letters.
fn month(name: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let is = |month: &&str| month.eq_ignore_ascii_case(name) || month[..3].eq_ignore_ascii_case(name);
    MONTHS.iter().position(is).map(|index| index as u32 + 1)
}

pub(super) fn numeric_date(rest: &mut Rest<'_>, month_first: bool) -> Option<NaiveDate> {
    let first = rest.number(1, 2)?;
    let separator = rest.eat_one_of(b"/-.")?;
    let second = rest.number(1, 2)?;
    rest.eat(separator).then_some(())?;
    let year = rest.number(4, 4)?;
    if month_first { date(year, first, second) } else { date(year, second, first) }
}

pub(super) fn numeric_time(rest: &mut Rest<'_>, month_first: bool) -> Option<NaiveDateTime> {
    let day = numeric_date(rest, month_first)?;
    rest.eat(b',');
    rest.eat(b' ').then_some(())?;
    rest.eat_blanks();
    Some(day.and_time(clock_of_day(rest)?))
}

/// `Feb 20, 2018 11:30 PM`, `Tue, 20 Feb 2018 23:30:00`
pub(super) fn month_name_time(rest: &mut Rest<'_>) -> Option<NaiveDateTime> {
    eat_weekday(rest);
    let day = month_name_date(rest)?;
    rest.eat(b',');
    rest.eat(b' ').then_some(())?;
    rest.eat_blanks();
    Some(day.and_time(clock_of_day(rest)?))
}

/// `Tue, `
fn eat_weekday(rest: &mut Rest<'_>) {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut ahead = Rest(rest.0);
    let word = ahead.letters();
    let is_day = DAYS.iter().any(|day| word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(day)));
    if is_day && ahead.eat(b',') && ahead.eat(b' ') {
        rest.0 = ahead.0;
    }
}

/// `23:59:59`, `9:05 PM`
pub(super) fn clock_of_day(rest: &mut Rest<'_>) -> Option<NaiveTime> {
    let time = clock(rest, 1)?;
    let mut ahead = Rest(rest.0);
    ahead.eat_blanks();
    match half_day(&mut ahead, time)? {
        Some(time) => {
            rest.0 = ahead.0;
            Some(time)
        }
        None => Some(time),
    }
}

/// Applies `AM` or `PM`; the inner `None` when there is neither.
fn half_day(rest: &mut Rest<'_>, time: NaiveTime) -> Option<Option<NaiveTime>> {
    let afternoon = match rest.letters() {
        word if word.eq_ignore_ascii_case("am") => false,
        word if word.eq_ignore_ascii_case("pm") => true,
        _ => return Some(None),
    };
    let hour = time.hour();
    (1..=12).contains(&hour).then_some(())?;
    time.with_hour(hour % 12 + if afternoon { 12 } else { 0 }).map(Some)
}
