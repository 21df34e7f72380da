//! Times as files write them. A column has one form; it is found out from the cells, never guessed.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

/// How a column writes times. Without an offset they are taken as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// `2025-01-20T09:11:54.494Z`, `2013-04-28 00:00:00 UTC`, `2021-07-06 02:00:00+02:00`
    IsoOffset,
    /// `2013-04-29 23:59:59`
    IsoTime,
    /// `2013-04-29`: a day stands for its beginning.
    IsoDate,
    /// `1640563200`
    EpochSeconds,
    /// `1640563200000`
    EpochMillis,
    /// `Feb 20, 2018`, `20-Feb-2018`
    MonthName,
    /// `12/27/2021`
    MonthFirst,
    /// `27.12.2021`
    DayFirst,
    /// `12/27/2021, 12:00:00 AM`
    MonthFirstTime,
    /// `27-12-2021 23:59`
    DayFirstTime,
}

/// Why the form of a column cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FormError {
    /// Every cell looked at is empty.
    Empty,
    /// Day and month can be told apart in no cell, or differently in different cells.
    DayOrMonth(String),
    /// Most cells are no times.
    Unknown(String),
}

use TimeForm::{
    DayFirst, DayFirstTime, EpochMillis, EpochSeconds, IsoDate, IsoOffset, IsoTime, MonthFirst,
    MonthFirstTime, MonthName,
};

impl TimeForm {
    const UNAMBIGUOUS: [Self; 6] = [IsoOffset, IsoTime, IsoDate, EpochSeconds, EpochMillis, MonthName];

    /// Finds the form that most cells have; empty cells say nothing.
    pub(super) fn of<'t>(cells: impl Iterator<Item = &'t str>) -> Result<Self, FormError> {
        let cells: Vec<&str> = cells.filter(|cell| !cell.is_empty()).collect();
        let Some(first) = cells.first() else { return Err(FormError::Empty) };
        let count = |form: Self| cells.iter().filter(|cell| form.read(cell).is_some()).count();
        let most = |fitting: usize| fitting > 0 && fitting * 2 >= cells.len();
        if let Some(form) = Self::UNAMBIGUOUS.into_iter().find(|form| most(count(*form))) {
            return Ok(form);
        }
        for (month_first, day_first) in [(MonthFirst, DayFirst), (MonthFirstTime, DayFirstTime)] {
            let reads = |form: Self, cell: &&&str| form.read(cell).is_some();
            let only =
                |a: Self, b: Self| cells.iter().filter(|cell| reads(a, cell) && !reads(b, cell)).count();
            if most(count(month_first).max(count(day_first))) {
                return match (only(month_first, day_first), only(day_first, month_first)) {
                    (1.., 0) => Ok(month_first),
                    (0, 1..) => Ok(day_first),
                    _ => Err(FormError::DayOrMonth((*first).to_owned())),
                };
            }
        }
        let unknown =
            cells.iter().find(|cell| Self::UNAMBIGUOUS.iter().all(|form| form.read(cell).is_none()));
        Err(FormError::Unknown((*unknown.unwrap_or(first)).to_owned()))
    }

    /// Whether a cell names a day only.
    pub(super) fn is_day(self) -> bool {
        matches!(self, IsoDate | MonthName | MonthFirst | DayFirst)
    }

    /// Reads a trimmed cell, to the microsecond: that is what the database keeps.
    pub(super) fn read(self, text: &str) -> Option<DateTime<Utc>> {
        let mut rest = Rest(text.as_bytes());
        let time = match self {
            IsoOffset => {
                let local = iso_time(&mut rest)?;
                local.and_utc() - offset(&mut rest)?
            }
            IsoTime => iso_time(&mut rest)?.and_utc(),
            IsoDate => iso_date(&mut rest)?.and_time(NaiveTime::MIN).and_utc(),
            EpochSeconds => DateTime::from_timestamp(digits(&mut rest, 10)?, 0)?,
            EpochMillis => DateTime::from_timestamp_millis(digits(&mut rest, 13)?)?,
            MonthName => month_name_date(&mut rest)?.and_time(NaiveTime::MIN).and_utc(),
            MonthFirst => numeric_date(&mut rest, true)?.and_time(NaiveTime::MIN).and_utc(),
            DayFirst => numeric_date(&mut rest, false)?.and_time(NaiveTime::MIN).and_utc(),
            MonthFirstTime => numeric_time(&mut rest, true)?.and_utc(),
            DayFirstTime => numeric_time(&mut rest, false)?.and_utc(),
        };
        rest.0.is_empty().then_some(time)
    }
}

/// Whether a cell is a time of day without a day.
pub(super) fn is_time_of_day(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    clock(&mut rest, 1).is_some()
}

/// What is still to be read.
struct Rest<'t>(&'t [u8]);

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

    fn letters(&mut self) -> &str {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (letters, rest) = self.0.split_at(length);
        self.0 = rest;
        std::str::from_utf8(letters).unwrap_or_default()
    }
}

/// Exactly `width` digits.
fn digits(rest: &mut Rest<'_>, width: usize) -> Option<i64> {
    if rest.0.len() != width || !rest.0.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = rest.0.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
    rest.0 = &[];
    Some(value)
}

fn date(year: u32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// `2021-07-06` or `2021/07/06`
fn iso_date(rest: &mut Rest<'_>) -> Option<NaiveDate> {
    let year = rest.number(4, 4)?;
    let separator = rest.eat_one_of(b"-/")?;
    let month = rest.number(2, 2)?;
    rest.eat(separator).then_some(())?;
    date(year, month, rest.number(2, 2)?)
}

fn iso_time(rest: &mut Rest<'_>) -> Option<NaiveDateTime> {
    let day = iso_date(rest)?;
    rest.eat_one_of(b"Tt ")?;
    Some(day.and_time(clock(rest, 2)?))
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
fn offset(rest: &mut Rest<'_>) -> Option<TimeDelta> {
    if rest.0.eq_ignore_ascii_case(b"z") || rest.0.eq_ignore_ascii_case(b" utc") {
        rest.0 = &[];
        return Some(TimeDelta::zero());
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

/// `Feb 20, 2018`, `February 20 2018`, `20-Feb-2018`, `20 Feb 2018`
fn month_name_date(rest: &mut Rest<'_>) -> Option<NaiveDate> {
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

fn numeric_date(rest: &mut Rest<'_>, month_first: bool) -> Option<NaiveDate> {
    let first = rest.number(1, 2)?;
    let separator = rest.eat_one_of(b"/-.")?;
    let second = rest.number(1, 2)?;
    rest.eat(separator).then_some(())?;
    let year = rest.number(4, 4)?;
    if month_first { date(year, first, second) } else { date(year, second, first) }
}

fn numeric_time(rest: &mut Rest<'_>, month_first: bool) -> Option<NaiveDateTime> {
    let day = numeric_date(rest, month_first)?;
    rest.eat(b',');
    rest.eat(b' ').then_some(())?;
    rest.eat_blanks();
    let time = clock(rest, 1)?;
    rest.eat_blanks();
    Some(day.and_time(half_day(rest, time)?))
}

/// Applies `AM` or `PM`, if there is one.
fn half_day(rest: &mut Rest<'_>, time: NaiveTime) -> Option<NaiveTime> {
    use chrono::Timelike;
    let afternoon = match rest.letters() {
        "" => return Some(time),
        word if word.eq_ignore_ascii_case("am") => false,
        word if word.eq_ignore_ascii_case("pm") => true,
        _ => return None,
    };
    let hour = time.hour();
    (1..=12).contains(&hour).then_some(())?;
    time.with_hour(hour % 12 + if afternoon { 12 } else { 0 })
}

/// The day of Bitcoin's first block: no coin has a price before.
pub(super) fn earliest() -> DateTime<Utc> {
    let days = NaiveDate::from_ymd_opt(2009, 1, 3).unwrap_or(NaiveDate::MIN);
    days.and_time(NaiveTime::MIN).and_utc()
}

/// To the microsecond, as the database keeps it.
pub(super) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(cells: &[&str]) -> Result<TimeForm, FormError> {
        TimeForm::of(cells.iter().copied())
    }

    #[test]
    fn every_form_is_found_and_read() {
        for (cell, expected, read) in [
            ("2025-01-20T09:11:54.494Z", IsoOffset, "2025-01-20T09:11:54.494Z"),
            ("2013-04-28 00:00:00 UTC", IsoOffset, "2013-04-28T00:00:00Z"),
            ("2021-07-06 02:00:00+02:00", IsoOffset, "2021-07-06T00:00:00Z"),
            ("2021-07-06T02:00:00-0530", IsoOffset, "2021-07-06T07:30:00Z"),
            ("2021-07-06T02:00:00.123456789+00", IsoOffset, "2021-07-06T02:00:00.123456Z"),
            ("2013-04-29 23:59:59", IsoTime, "2013-04-29T23:59:59Z"),
            ("2013-04-29T23:59", IsoTime, "2013-04-29T23:59:00Z"),
            ("2013-04-29", IsoDate, "2013-04-29T00:00:00Z"),
            ("2013/04/29", IsoDate, "2013-04-29T00:00:00Z"),
            ("1640563200", EpochSeconds, "2021-12-27T00:00:00Z"),
            ("1640563200123", EpochMillis, "2021-12-27T00:00:00.123Z"),
            ("Feb 20, 2018", MonthName, "2018-02-20T00:00:00Z"),
            ("February 2 2018", MonthName, "2018-02-02T00:00:00Z"),
            ("4-Dec-2019", MonthName, "2019-12-04T00:00:00Z"),
            ("12/27/2021, 12:00:00 AM", MonthFirstTime, "2021-12-27T00:00:00Z"),
            ("12/27/2021 1:05 PM", MonthFirstTime, "2021-12-27T13:05:00Z"),
            ("27-12-2021 23:59", DayFirstTime, "2021-12-27T23:59:00Z"),
            ("27.12.2021", DayFirst, "2021-12-27T00:00:00Z"),
            ("1/13/2018", MonthFirst, "2018-01-13T00:00:00Z"),
        ] {
            assert_eq!(form(&[cell]), Ok(expected), "{cell}");
            assert_eq!(expected.read(cell), Some(read.parse().unwrap()), "{cell}");
        }
    }

    #[test]
    fn day_and_month_need_evidence() {
        assert_eq!(form(&["03/04/2018", "05/04/2018"]), Err(FormError::DayOrMonth("03/04/2018".to_owned())));
        assert_eq!(form(&["03/04/2018", "13/04/2018"]), Ok(DayFirst));
        assert_eq!(form(&["03/04/2018", "04/13/2018"]), Ok(MonthFirst));
        assert!(matches!(form(&["13/04/2018", "04/13/2018"]), Err(FormError::DayOrMonth(_))));
    }

    #[test]
    fn what_is_no_time_has_no_form() {
        for cell in [
            "1/13/17",
            "4-Dec-19",
            "yesterday",
            "16405632",
            "1.64056E+12",
            "2021-13-01",
            "2021-07-6",
            "23:59:59",
            "2021-07-06 24:00:00",
        ] {
            assert_eq!(form(&[cell]), Err(FormError::Unknown(cell.to_owned())), "{cell}");
        }
        assert_eq!(form(&["", ""]), Err(FormError::Empty));
    }

    #[test]
    fn a_column_has_one_form() {
        let column = form(&["2021-07-06", "", "2021-07-07", "n/a"]).unwrap();
        assert_eq!(column, IsoDate);
        assert_eq!(column.read("2021-07-06 10:00:00"), None);
        assert_eq!(EpochMillis.read("1640563200"), None);
    }

    #[test]
    fn noon_and_midnight() {
        let hour = |text: &str| MonthFirstTime.read(text).map(|time| time.format("%H:%M").to_string());
        assert_eq!(hour("1/1/2021 12:30 AM").as_deref(), Some("00:30"));
        assert_eq!(hour("1/1/2021 12:30 PM").as_deref(), Some("12:30"));
        assert_eq!(hour("1/1/2021 13:30 PM"), None);
        assert_eq!(hour("1/1/2021 0:30 AM"), None);
    }

    #[test]
    fn times_of_day_are_recognised() {
        assert!(is_time_of_day("23:59:59") && is_time_of_day("9:05"));
        assert!(!is_time_of_day("2021-07-06 23:59") && !is_time_of_day("") && !is_time_of_day("1640563200"));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "[-+/:,.0-9 TZaAmMpPFeb]{0,30}") {
            for form in TimeForm::UNAMBIGUOUS.into_iter().chain([MonthFirst, DayFirst, MonthFirstTime, DayFirstTime]) {
                let _ = form.read(&text);
            }
        }
    }
}
