//! Times as files write them. A column has one form; it is found out from the cells, never guessed.

mod parts;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

use self::parts::{
    Rest, clock_of_day, compact_date, epoch, iso_date, iso_time, month_name_date, month_name_time,
    numeric_date, numeric_time, offset, word_offset,
};

/// How a column writes times. Without an offset they are taken as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// `2025-01-20T09:11:54.494Z`, `2013-04-28 00:00:00 UTC`, `2021-07-06 02:00:00+02:00`
    IsoOffset,
    /// `2013-04-29 23:59:59`
    IsoTime,
    /// `2013-04-29`, `2013-4-9`: a day stands for its beginning.
    IsoDate,
    /// `20130429`
    CompactDate,
    /// `1640563200`; data frames append `.0`
    EpochSeconds,
    /// `1640563200000`
    EpochMillis,
    /// `1640563200000000`
    EpochMicros,
    /// `Feb 20, 2018`, `20-Feb-2018`
    MonthName,
    /// `Feb 20, 2018 11:30 PM`, `Tue, 20 Feb 2018 23:30:00 GMT`
    MonthNameTime,
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
    CompactDate, DayFirst, DayFirstTime, EpochMicros, EpochMillis, EpochSeconds, IsoDate, IsoOffset, IsoTime,
    MonthFirst, MonthFirstTime, MonthName, MonthNameTime,
};

impl TimeForm {
    const UNAMBIGUOUS: [Self; 9] = [
        IsoOffset,
        IsoTime,
        IsoDate,
        CompactDate,
        EpochSeconds,
        EpochMillis,
        EpochMicros,
        MonthName,
        MonthNameTime,
    ];

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
        matches!(self, IsoDate | CompactDate | MonthName | MonthFirst | DayFirst)
    }

    /// Reads a trimmed cell, to the microsecond: that is what the database keeps.
    pub(super) fn read(self, text: &str) -> Option<DateTime<Utc>> {
        let mut rest = Rest(text.as_bytes());
        let day = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        let time = match self {
            IsoOffset => {
                let local = iso_time(&mut rest)?;
                local.and_utc() - offset(&mut rest)?
            }
            IsoTime => iso_time(&mut rest)?.and_utc(),
            IsoDate => day(iso_date(&mut rest)?),
            CompactDate => day(compact_date(&mut rest)?),
            EpochSeconds => epoch(&mut rest, 10)?,
            EpochMillis => epoch(&mut rest, 13)?,
            EpochMicros => epoch(&mut rest, 16)?,
            MonthName => day(month_name_date(&mut rest)?),
            MonthNameTime => {
                let local = month_name_time(&mut rest)?;
                local.and_utc() - if rest.0.is_empty() { TimeDelta::zero() } else { word_offset(&mut rest)? }
            }
            MonthFirst => day(numeric_date(&mut rest, true)?),
            DayFirst => day(numeric_date(&mut rest, false)?),
            MonthFirstTime => numeric_time(&mut rest, true)?.and_utc(),
            DayFirstTime => numeric_time(&mut rest, false)?.and_utc(),
        };
        rest.0.is_empty().then_some(time)
    }
}

/// Reads a trimmed cell with a time of day (`23:59:59`, `9:05 PM`, the hour `23`, `235959`): how long after the beginning of
/// the day it is.
pub(super) fn time_of_day(text: &str) -> Option<TimeDelta> {
    if is_plain_clock(text) {
        let part = |at: usize| text.get(at..at + 2).map_or(Some(0), |part| part.parse::<u32>().ok());
        let (hour, rest) = if text.len() < 2 { (text.parse().ok()?, 2) } else { (part(0)?, 2) };
        let time = NaiveTime::from_hms_opt(hour, part(rest)?, part(rest + 2)?)?;
        return Some(time - NaiveTime::MIN);
    }
    let mut rest = Rest(text.as_bytes());
    let time = clock_of_day(&mut rest)?;
    let since = TimeDelta::seconds(i64::from(time.num_seconds_from_midnight()))
        + TimeDelta::nanoseconds(i64::from(time.nanosecond()));
    rest.0.is_empty().then_some(since)
}

/// Whether a time of day is digits alone: an hour, or hour, minute and second.
pub(super) fn is_plain_clock(text: &str) -> bool {
    matches!(text.len(), 1 | 2 | 6) && text.bytes().all(|byte| byte.is_ascii_digit())
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
            ("2013-4-9", IsoDate, "2013-04-09T00:00:00Z"),
            ("2013-4-9 7:05", IsoTime, "2013-04-09T07:05:00Z"),
            ("2013-04-28 00:00:00 GMT", IsoOffset, "2013-04-28T00:00:00Z"),
            ("2013-04-28 02:00:00 +0200", IsoOffset, "2013-04-28T00:00:00Z"),
            ("20130429", CompactDate, "2013-04-29T00:00:00Z"),
            ("1640563200.0", EpochSeconds, "2021-12-27T00:00:00Z"),
            ("1640563200.25", EpochSeconds, "2021-12-27T00:00:00.25Z"),
            ("1640563200123.5", EpochMillis, "2021-12-27T00:00:00.1235Z"),
            ("1735689600000001", EpochMicros, "2025-01-01T00:00:00.000001Z"),
            ("Jan 5, 2024 11:30 PM", MonthNameTime, "2024-01-05T23:30:00Z"),
            ("Jan 05 2024, 23:30:01.5", MonthNameTime, "2024-01-05T23:30:01.5Z"),
            ("Fri, 05 Jan 2024 23:30:00 GMT", MonthNameTime, "2024-01-05T23:30:00Z"),
            ("5-Jan-2024 01:30 +0200", MonthNameTime, "2024-01-04T23:30:00Z"),
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
            "2021-07-6 pm",
            "20211306",
            "1640563200.",
            "164056320012",
            "2013-04-28 00:00:00 CET",
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
    fn times_of_day_are_read() {
        for (text, seconds) in [("23:59:59", 86_399), ("9:05", 32_700), ("9:05 PM", 75_900), ("12:00 am", 0)]
        {
            assert_eq!(time_of_day(text), Some(TimeDelta::seconds(seconds)), "{text}");
        }
        assert_eq!(time_of_day("00:00:00.5"), Some(TimeDelta::milliseconds(500)));
        for text in ["2021-07-06 23:59", "", "1640563200", "24:00", "9:05 xm", "13:00 PM"] {
            assert_eq!(time_of_day(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "[-+/:,.0-9 TZaAmMpPFeb]{0,30}") {
            let _ = time_of_day(&text);
            for form in TimeForm::UNAMBIGUOUS.into_iter().chain([MonthFirst, DayFirst, MonthFirstTime, DayFirstTime]) {
                let _ = form.read(&text);
            }
        }
    }
}
