//! Times in a form that was declared.

use std::str::FromStr;
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

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
    /// A form by its name (`epoch_seconds`, `epoch_millis`, `epoch_micros`) or as a pattern of `strftime`; times without
    /// an offset are `offset` (such as `+02:00`) from UTC, else in UTC.
    ///
    /// # Errors
    /// A sentence when one of the two is not understood.
    pub(super) fn new(format: &str, offset: Option<&str>) -> Result<Self, String> {
        let form = match format {
            "epoch_seconds" => Form::Epoch { per_second: 1 },
            "epoch_millis" => Form::Epoch { per_second: 1_000 },
            "epoch_micros" => Form::Epoch { per_second: 1_000_000 },
            pattern if is_pattern(pattern) => Form::Pattern(pattern.into()),
            other => {
                return Err(format!(
                    "{other:?} is neither epoch_seconds, epoch_millis or epoch_micros nor a pattern such as \"%d.%m.%Y %H:%M\""
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
        let is_of_day = |item: Item<'_>| {
            use chrono::format::Fixed::{LongMonthName, LongWeekdayName, ShortMonthName, ShortWeekdayName};
            use chrono::format::Numeric::{Day, Month, Ordinal, Year, YearMod100};
            match item {
                Item::Numeric(part, _) => matches!(part, Year | YearMod100 | Month | Day | Ordinal),
                Item::Fixed(part) => {
                    matches!(part, LongWeekdayName | ShortWeekdayName | LongMonthName | ShortMonthName)
                }
                _ => true,
            }
        };
        match &self.form {
            Form::Epoch { .. } => false,
            Form::Pattern(pattern) => StrftimeItems::new(pattern).all(is_of_day),
        }
    }

    /// Reads a trimmed cell, to the microsecond.
    pub(super) fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        let time = match &self.form {
            Form::Epoch { per_second } => epoch(text, *per_second)?,
            Form::Pattern(pattern) => self.by_pattern(text, pattern)?,
        };
        Some(to_micros(time))
    }

    fn by_pattern(&self, text: &str, pattern: &str) -> Option<DateTime<Utc>> {
        if let Ok(time) = DateTime::parse_from_str(text, pattern) {
            return Some(time.to_utc());
        }
        let local = NaiveDateTime::parse_from_str(text, pattern)
            .or_else(|_| NaiveDate::parse_from_str(text, pattern).map(|day| day.and_time(NaiveTime::MIN)))
            .ok()?;
        let offset = FixedOffset::east_opt(self.offset_seconds)?;
        local.and_local_timezone(offset).single().map(|time| time.to_utc())
    }
}

/// A whole count; spreadsheets append `.0`.
fn epoch(text: &str, per_second: i64) -> Option<DateTime<Utc>> {
    let whole = text
        .split_once('.')
        .map_or(Some(text), |(whole, rest)| rest.bytes().all(|digit| digit == b'0').then_some(whole))?;
    let count: i64 = whole.parse().ok()?;
    DateTime::from_timestamp_micros(count.checked_mul(1_000_000 / per_second)?)
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
        for (format, offset) in [("%Q", None), ("yyyy-mm-dd", None), ("", None), ("%Y-%m-%d", Some("Berlin"))]
        {
            assert!(DeclaredTime::new(format, offset).is_err(), "{format:?} {offset:?}");
        }
    }
}
