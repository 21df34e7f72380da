//! Fields of JSON records: what is absent, what is refused, what is taken.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use compact_str::CompactString;
use kasparro_core::decimal::DecimalError;
use kasparro_core::store::layout::{Format, Layout, Origin};
use kasparro_core::{Decimal, Reject, RejectCode};
use serde_json::value::RawValue;

/// Why a record is refused, before it is known where it stood.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: RejectCode,
    pub(crate) field: Option<Cow<'static, str>>,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn of_field(
        code: RejectCode,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { code, field: Some(field.into()), message: message.into() }
    }

    pub(crate) fn of_record(code: RejectCode, message: impl Into<String>) -> Self {
        Self { code, field: None, message: message.into() }
    }

    pub(crate) fn into_reject(self, position: u32, raw: &[u8]) -> Reject {
        let field = self.field.map(Cow::into_owned);
        Reject { code: self.code, field, message: self.message, position, raw: raw.to_vec() }
    }
}

/// What a zero means in a field of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    /// The number zero.
    IsZero,
    /// The source writes zero for "not known".
    IsUnknown,
}

/// Where a figure of the unified record comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken(pub(crate) &'static str, pub(crate) &'static str, pub(crate) Zero);

/// How JSON records are read, for whoever looks an observation up.
pub(crate) fn layout(taken: &[Taken]) -> Layout {
    let origin = |Taken(field, origin, zero): &Taken| Origin {
        field: (*field).to_owned(),
        origin: (*origin).to_owned(),
        column: None,
        zero_is_unknown: *zero == Zero::IsUnknown,
    };
    Layout { format: Format::Json, delimiter: None, fields: taken.iter().map(origin).collect() }
}

/// Longest id, name or symbol in bytes. The longest real id has 100 characters, the longest name 100.
pub(crate) const MAX_TEXT_BYTES: usize = 512;

/// Longest id in bytes: the service cannot be asked for a longer one.
const MAX_ID_BYTES: usize = 256;

/// Whether the database takes a text, and one that anything could be called by.
pub(crate) fn is_storable(text: &str) -> bool {
    !text.contains('\0') && text.len() <= MAX_TEXT_BYTES
}

/// What a JSON text says; `None` when its escapes cannot be read.
fn unquoted(json: &str) -> Option<CompactString> {
    let plain = json.strip_prefix('"')?.strip_suffix('"')?;
    if plain.contains('\\') {
        serde_json::from_str::<String>(json).ok().map(Into::into)
    } else {
        Some(plain.into())
    }
}

/// A field of a JSON object, raw, with its name for messages.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'static str,
    pub(crate) raw: Option<&'a RawValue>,
}

impl<'a> Field<'a> {
    pub(crate) fn new(name: &'static str, raw: Option<&'a RawValue>) -> Self {
        Self { name, raw }
    }

    fn refuse(&self, code: RejectCode, what: &str) -> Refusal {
        let shown: String = self.raw.map_or("", RawValue::get).chars().take(100).collect();
        Refusal::of_field(code, self.name, format!("{}: {what}: {shown}", self.name))
    }

    /// The JSON text, unless the field is absent or null.
    fn present(&self) -> Option<&'a str> {
        self.raw.map(RawValue::get).filter(|text| *text != "null")
    }

    /// A text; `None` when absent or null. As sent, not trimmed.
    pub(crate) fn text(&self) -> Result<Option<CompactString>, Refusal> {
        let Some(json) = self.present() else { return Ok(None) };
        if !json.starts_with('"') {
            return Err(self.refuse(RejectCode::MalformedRecord, "not a text"));
        }
        let text = unquoted(json).ok_or_else(|| self.refuse(RejectCode::InvalidText, "unreadable text"))?;
        if text.contains('\0') {
            return Err(self.refuse(RejectCode::InvalidText, "text with a NUL"));
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(self.refuse(RejectCode::TextTooLong, "longer than 512 bytes"));
        }
        Ok(Some(text))
    }

    /// The id of the coin that a record is about.
    pub(crate) fn id(&self) -> Result<CompactString, Refusal> {
        let Some(id) = self.text()?.filter(|id| !id.is_empty()) else {
            return Err(Refusal::of_field(RejectCode::MissingId, self.name, "the record has no id"));
        };
        if id.chars().any(char::is_control) {
            return Err(self.refuse(RejectCode::InvalidText, "id with a control character"));
        }
        if id.len() > MAX_ID_BYTES {
            return Err(self.refuse(RejectCode::TextTooLong, "longer than 256 bytes"));
        }
        Ok(id)
    }

    /// A number, as a JSON number or as a text that holds one; `None` when absent, null or an empty text.
    pub(crate) fn number(&self) -> Result<Option<Decimal>, Refusal> {
        let Some(json) = self.present() else { return Ok(None) };
        let quoted = if json.starts_with('"') { self.text()? } else { None };
        let text = quoted.as_deref().unwrap_or(json);
        if text.is_empty() {
            return Ok(None);
        }
        match Decimal::parse(text) {
            Ok(number) => Ok(Some(number)),
            Err(DecimalError::Malformed) => Err(self.refuse(RejectCode::InvalidNumber, "not a number")),
            Err(DecimalError::OutOfRange) => {
                Err(self.refuse(RejectCode::NumberOutOfRange, "too many digits"))
            }
        }
    }

    /// A number that cannot be below zero.
    pub(crate) fn amount(&self, zero: Zero) -> Result<Option<Decimal>, Refusal> {
        let Some(number) = self.number()? else { return Ok(None) };
        let minus = self.present().is_some_and(|json| json.trim_start_matches('"').starts_with('-'));
        if number.is_negative() || minus {
            return Err(self.refuse(RejectCode::NegativeNumber, "below zero"));
        }
        Ok(Some(number).filter(|number| zero == Zero::IsZero || !number.is_zero()))
    }

    /// A rank from 1; zero and absent are "unranked".
    pub(crate) fn rank(&self) -> Result<Option<i32>, Refusal> {
        let Some(number) = self.amount(Zero::IsUnknown)? else { return Ok(None) };
        let whole = number.as_str().trim_end_matches('0').strip_suffix('.').unwrap_or(number.as_str());
        whole.parse().map(Some).map_err(|_| self.refuse(RejectCode::InvalidNumber, "not a rank"))
    }

    /// A time in RFC 3339; `None` when absent, null or an empty text.
    pub(crate) fn time(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Refusal> {
        let Some(text) = self.text()?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let time = DateTime::parse_from_rfc3339(&text)
            .map_err(|_| self.refuse(RejectCode::InvalidTime, "not a time in RFC 3339"))?;
        plausible(time.to_utc(), now)
            .map(Some)
            .ok_or_else(|| self.refuse(RejectCode::TimeOutOfRange, "before 2009 or in the future"))
    }
}

/// A time to the microsecond, which is what the database keeps; `None` when no observation can be of that
/// time: before Bitcoin, or more than a day ahead (clocks differ, time zones are forgotten).
pub(crate) fn plausible(time: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let genesis = NaiveDate::from_ymd_opt(2009, 1, 3)?.and_hms_opt(0, 0, 0)?.and_utc();
    // Of a leap second (`:60`), which the database calls the next second, it makes just that.
    let time = DateTime::from_timestamp_micros(time.timestamp_micros())?;
    (genesis..=now + TimeDelta::days(1)).contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn with<T>(json: &str, read: impl Fn(Field<'_>) -> Result<T, Refusal>) -> Result<T, RejectCode> {
        let raw = raw(json);
        read(Field::new("f", Some(&raw))).map_err(|refusal| refusal.code)
    }

    #[test]
    fn numbers_in_every_spelling() {
        for (json, want) in [
            ("null", None),
            ("\"\"", None),
            ("0", Some("0")),
            ("1.50", Some("1.50")),
            ("\"1e-3\"", Some("0.001")),
            ("-4", Some("-4")),
        ] {
            assert_eq!(with(json, |f| f.number()).unwrap().map(|n| n.to_string()).as_deref(), want, "{json}");
        }
        assert_eq!(with("{}", |f| f.number()), Err(RejectCode::InvalidNumber));
        assert_eq!(with("true", |f| f.number()), Err(RejectCode::InvalidNumber));
        assert_eq!(with("1e400", |f| f.number()), Err(RejectCode::NumberOutOfRange));
        assert_eq!(Field::new("f", None).number().unwrap(), None);
    }

    #[test]
    fn zero_is_unknown_only_where_it_is_declared() {
        assert_eq!(with("0.0", |f| f.amount(Zero::IsUnknown)).unwrap(), None);
        assert_eq!(with("0.0", |f| f.amount(Zero::IsZero)).unwrap().unwrap().as_str(), "0.0");
        for below in ["-1", "-0", "\"-0.0\""] {
            assert_eq!(with(below, |f| f.amount(Zero::IsZero)), Err(RejectCode::NegativeNumber), "{below}");
        }
    }

    #[test]
    fn ranks() {
        for (json, want) in
            [("0", None), ("1", Some(1)), ("10", Some(10)), ("10.0", Some(10)), ("null", None)]
        {
            assert_eq!(with(json, |f| f.rank()).unwrap(), want, "{json}");
        }
        assert_eq!(with("1.5", |f| f.rank()), Err(RejectCode::InvalidNumber));
        assert_eq!(with("99999999999", |f| f.rank()), Err(RejectCode::InvalidNumber));
    }

    #[test]
    fn texts_that_cannot_be_stored_are_refused() {
        assert_eq!(with("\"a\\u0000\"", |f| f.text()), Err(RejectCode::InvalidText));
        assert_eq!(with("\"\\ud800\"", |f| f.text()), Err(RejectCode::InvalidText));
        assert_eq!(with("7", |f| f.text()), Err(RejectCode::MalformedRecord));
        assert_eq!(with(&format!("\"{}\"", "x".repeat(513)), |f| f.text()), Err(RejectCode::TextTooLong));
        for (id, code) in [
            ("null", "missing_id"),
            ("\"\"", "missing_id"),
            ("\"a\\n\"", "invalid_text"),
            ("7", "malformed_record"),
        ] {
            assert_eq!(with(id, |f| f.id()).unwrap_err().as_str(), code, "{id}");
        }
        assert_eq!(with(&format!("\"{}\"", "x".repeat(257)), |f| f.id()), Err(RejectCode::TextTooLong));
        assert_eq!(with("\" Safe \"", |f| f.text()).unwrap().as_deref(), Some(" Safe "));
    }

    #[test]
    fn times_outside_the_age_of_bitcoin_are_refused() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let read = |json: &str| with(json, |f| f.time(now));
        assert_eq!(
            read("\"2025-12-31T23:59:59.123Z\"").unwrap().unwrap().to_rfc3339(),
            "2025-12-31T23:59:59.123+00:00"
        );
        let leap = read("\"2016-12-31T23:59:60.5Z\"").unwrap().unwrap();
        assert_eq!(leap, "2017-01-01T00:00:00.5Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(read("null").unwrap(), None);
        assert_eq!(read("\"yesterday\""), Err(RejectCode::InvalidTime));
        for out in ["1970-01-01T00:00:00Z", "2026-01-02T00:00:01Z", "2036-01-01T00:00:00Z"] {
            assert_eq!(read(&format!("\"{out}\"")), Err(RejectCode::TimeOutOfRange), "{out}");
        }
    }
}
