//! Times in a form that was declared.

use std::str::FromStr;
use std::sync::Arc;

use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono::{DateTime, FixedOffset, NaiveTime, TimeZone, Utc};

use super::time::to_micros;

/// The declared form of a column of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeclaredTime {
    form: Form,
    /// Of times that carry no offset themselves, in seconds east of UTC.
    offset_seconds: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// A count since 1970, so many to the second.
    Epoch { per_second: i64 },
    /// As `strftime` writes it, in English.
    Pattern(Arc<str>),
}

impl DeclaredTime {
    /// A form by its name (`epoch_seconds`, `epoch_millis`, `epoch_micros`, `epoch_nanos`) or as a pattern of `strftime`;
    /// times without an offset are `offset` (such as `+02:00`) from UTC, else in UTC.
    ///
    /// # Errors
    /// A sentence when one of the two is not understood.
    pub(super) fn new(format: &str, offset: Option<&str>) -> Result<Self, String> {
        let form = match format {
            "epoch_seconds" => Form::Epoch { per_second: 1 },
            "epoch_millis" => Form::Epoch { per_second: 1_000 },
            "epoch_micros" => Form::Epoch { per_second: 1_000_000 },
            "epoch_nanos" => Form::Epoch { per_second: 1_000_000_000 },
            pattern if is_pattern(pattern) => {
                tells_a_time(pattern)?;
                Form::Pattern(pattern.into())
            }
            other => {
                return Err(format!(
                    "{other:?} is neither epoch_seconds, epoch_millis, epoch_micros or epoch_nanos nor a pattern such as \
                     \"%d.%m.%Y %H:%M\""
                ));
            }
        };
        let offset_seconds = offset.map_or(Ok(0), |text| {
            FixedOffset::from_str(text)
                .map(|offset| offset.local_minus_utc())
                .map_err(|_| format!("the time_offset {text:?} is not like +02:00"))
        })?;
        Ok(Self { form, offset_seconds })
    }

    /// Whether a cell names a day only.
    pub(super) fn is_day(&self) -> bool {
        match &self.form {
            Form::Epoch { .. } => false,
            Form::Pattern(pattern) => names_a_day_only(pattern),
        }
    }

    /// Reads a trimmed cell, to the microsecond.
    pub(super) fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        let time = match &self.form {
            Form::Epoch { per_second } => epoch(text, *per_second)?,
            Form::Pattern(pattern) => by_pattern(text, pattern, self.offset_seconds)?,
        };
        Some(to_micros(time))
    }
}

/// Reads a time; `offset_seconds` east of UTC unless it says so itself. A day stands for its beginning, an hour too.
fn by_pattern(text: &str, pattern: &str, offset_seconds: i32) -> Option<DateTime<Utc>> {
    let mut parsed = Parsed::new();
    chrono::format::parse(&mut parsed, text, StrftimeItems::new(pattern)).ok()?;
    let offset = parsed.offset().unwrap_or(offset_seconds);
    let local = if names_a_day_only(pattern) {
        parsed.to_naive_date().ok()?.and_time(NaiveTime::MIN)
    } else {
        if parsed.minute().is_none() && parsed.timestamp().is_none() {
            parsed.set_minute(0).ok()?;
        }
        parsed.to_naive_datetime_with_offset(offset).ok()?
    };
    FixedOffset::east_opt(offset)?.from_local_datetime(&local).single().map(|time| time.to_utc())
}

fn names_a_day_only(pattern: &str) -> bool {
    let is_of_day = |item: Item<'_>| {
        use Fixed::{LongMonthName, LongWeekdayName, ShortMonthName, ShortWeekdayName};
        use Numeric::{Day, Month, Ordinal, Year, YearMod100};
        match item {
            Item::Numeric(part, _) => matches!(part, Year | YearMod100 | Month | Day | Ordinal),
            Item::Fixed(part) => {
                let is_word =
                    matches!(part, LongWeekdayName | ShortWeekdayName | LongMonthName | ShortMonthName);
                is_word || is_offset(&part)
            }
            _ => true,
        }
    };
    StrftimeItems::new(pattern).all(is_of_day)
}

fn is_offset(part: &Fixed) -> bool {
    use Fixed::{
        TimezoneOffset, TimezoneOffsetColon, TimezoneOffsetColonZ, TimezoneOffsetDoubleColon,
        TimezoneOffsetTripleColon, TimezoneOffsetZ,
    };
    matches!(
        part,
        TimezoneOffset
            | TimezoneOffsetColon
            | TimezoneOffsetColonZ
            | TimezoneOffsetDoubleColon
            | TimezoneOffsetTripleColon
            | TimezoneOffsetZ
    )
}

/// Whether what is written by the pattern can be read by it: the afternoon of a day after the twelfth.
///
/// # Errors
/// A sentence when it cannot.
fn tells_a_time(pattern: &str) -> Result<(), String> {
    if StrftimeItems::new(pattern).any(|item| matches!(item, Item::Fixed(Fixed::TimezoneName))) {
        return Err(format!(
            "{pattern:?} has a %Z, and names of zones are ambiguous; write the zone as it stands in the file and say what it \
             means, such as time_format = \"%Y-%m-%d %H:%M EST\", time_offset = \"-05:00\""
        ));
    }
    // 2021-12-27 13:00:00
    const AFTERNOON: i64 = 1_640_610_000;
    let time = DateTime::from_timestamp(AFTERNOON, 0).map(|time| time.fixed_offset());
    let shown = time.map(|time| time.format(pattern).to_string()).unwrap_or_default();
    let wanted = if names_a_day_only(pattern) { AFTERNOON - AFTERNOON % 86_400 } else { AFTERNOON };
    if by_pattern(&shown, pattern, 0).is_some_and(|read| read.timestamp() == wanted) {
        return Ok(());
    }
    Err(format!(
        "by {pattern:?} no time can be told: it needs a year, a month and a day, and with an hour of twelve (%I) AM or PM (%p)"
    ))
}

/// A whole count; spreadsheets append `.0`.
fn epoch(text: &str, per_second: i64) -> Option<DateTime<Utc>> {
    let whole = text
        .split_once('.')
        .map_or(Some(text), |(whole, rest)| rest.bytes().all(|digit| digit == b'0').then_some(whole))?;
    let count: i64 = whole.parse().ok()?;
    let part = u32::try_from(count.rem_euclid(per_second) * (1_000_000_000 / per_second)).ok()?;
    DateTime::from_timestamp(count.div_euclid(per_second), part)
}

fn is_pattern(text: &str) -> bool {
    let mut items = StrftimeItems::new(text).peekable();
    items.peek().is_some()
        && StrftimeItems::new(text).any(|item| matches!(item, Item::Numeric(..) | Item::Fixed(_)))
        && items.all(|item| !matches!(item, Item::Error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, offset: Option<&str>, text: &str) -> Option<String> {
        DeclaredTime::new(format, offset).unwrap().read(text).map(|time| time.to_rfc3339())
    }

    #[test]
    fn declared_forms_are_read() {
        for (format, offset, text, want) in [
            ("epoch_seconds", None, "1640563200", "2021-12-27T00:00:00+00:00"),
            ("epoch_seconds", None, "1640563200.0", "2021-12-27T00:00:00+00:00"),
            ("epoch_millis", None, "1640563200000", "2021-12-27T00:00:00+00:00"),
            ("epoch_micros", None, "1640563200000001", "2021-12-27T00:00:00.000001+00:00"),
            ("epoch_nanos", None, "1640563200000001999", "2021-12-27T00:00:00.000001+00:00"),
            ("%s", None, "1640563200", "2021-12-27T00:00:00+00:00"),
            ("%Y-%m-%d %H", None, "2020-05-12 13", "2020-05-12T13:00:00+00:00"),
            ("%Y-%m-%d %I-%p", None, "2020-05-12 02-PM", "2020-05-12T14:00:00+00:00"),
            ("%Y%m%d%H", Some("+02:00"), "2021070612", "2021-07-06T10:00:00+00:00"),
            ("%Y-%m-%d %z", None, "2020-05-12 +0200", "2020-05-11T22:00:00+00:00"),
            ("%Y-%m-%d %H:%M EST", Some("-05:00"), "2020-05-12 13:00 EST", "2020-05-12T18:00:00+00:00"),
            ("%d/%m/%Y", None, "03/04/2018", "2018-04-03T00:00:00+00:00"),
            ("%m/%d/%y", None, "1/13/17", "2017-01-13T00:00:00+00:00"),
            ("%d.%m.%Y %H:%M", Some("+02:00"), "27.12.2021 01:30", "2021-12-26T23:30:00+00:00"),
            ("%Y-%m-%dT%H:%M:%S%z", Some("+02:00"), "2021-12-27T01:00:00+0100", "2021-12-27T00:00:00+00:00"),
        ] {
            assert_eq!(read(format, offset, text).as_deref(), Some(want), "{format} {text}");
        }
        assert_eq!(read("%d/%m/%Y", None, "2018-04-03"), None);
        assert_eq!(read("epoch_seconds", None, "1640563200.5"), None);
    }

    #[test]
    fn a_day_is_told_from_a_time() {
        let is_day = |format| DeclaredTime::new(format, None).unwrap().is_day();
        assert!(is_day("%d.%m.%Y") && is_day("%a, %d %b %y") && is_day("%j/%Y"));
        assert!(
            !is_day("%d.%m.%Y %H:%M") && !is_day("epoch_seconds") && !is_day("%c") && !is_day("%F %I %p")
        );
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for (format, offset) in [
            ("%Q", None),
            ("yyyy-mm-dd", None),
            ("", None),
            ("%Y-%m-%d", Some("Berlin")),
            ("%Y-%m-%d %H:%M:%S %Z", None),
            ("%d.%m.%Y %I:%M", None),
            ("%H:%M", None),
            ("%m/%d", None),
        ] {
            assert!(DeclaredTime::new(format, offset).is_err(), "{format:?} {offset:?}");
        }
    }
}
