//! A log line as a JSON object or as text, for both programs. Either way one line, whatever is in it.

use std::borrow::Cow;
use std::fmt::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use log::kv::{Error, Key, Value, VisitSource};
use log::{Level, Record};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A line as a JSON object: `ts` (RFC 3339, UTC, milliseconds), `level`, `target`, `msg` and what the line adds.
#[derive(Debug)]
pub struct Object<'r>(
    /// When it was written.
    pub DateTime<Utc>,
    /// What it says.
    pub &'r Record<'r>,
);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(now, record) = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("ts", &timestamp(*now))?;
        object.serialize_entry("level", level_name(record.level()))?;
        object.serialize_entry("target", record.target())?;
        object.serialize_entry("msg", record.args())?;
        // What cannot be written is left out: a log line must not be lost for a part of it.
        let _ = record.key_values().visit(&mut Members(&mut object));
        object.end()
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// A line as text: time, level, target, sentence, and what the line adds as `key=value`.
pub fn text(now: DateTime<Utc>, record: &Record<'_>) -> String {
    let mut line = String::with_capacity(256);
    line.push_str(&timestamp(now));
    for part in [" ", padded_name(record.level()), " ", record.target(), " "] {
        line.push_str(part);
    }
    push_escaped(&mut line, record.args());
    let _ = record.key_values().visit(&mut Words(&mut line));
    line
}

/// As wide as the longest of them.
fn padded_name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

fn timestamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn push_escaped(line: &mut String, sentence: &fmt::Arguments<'_>) {
    let begin = line.len();
    match sentence.as_str() {
        Some(sentence) => line.push_str(sentence),
        None => drop(line.write_fmt(*sentence)),
    }
    line.truncate(begin + line[begin..].trim_end().len());
    if let Cow::Owned(escaped) = escaped(&line[begin..]) {
        line.truncate(begin);
        line.push_str(&escaped);
    }
}

/// A text that is to be a line or a part of one, with its control characters as escapes: they could end the line or colour
/// the terminal.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            character if character.is_control() => escaped.extend(character.escape_default()),
            character => escaped.push(character),
        }
    }
    escaped.into()
}

struct Members<'o, M>(&'o mut M);

impl<'kvs, M: SerializeMap> VisitSource<'kvs> for Members<'_, M> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let (object, key) = (&mut *self.0, key.as_str());
        let written = if let Some(number) = value.to_i64() {
            object.serialize_entry(key, &number)
        } else if let Some(fraction) = value.to_f64() {
            object.serialize_entry(key, &fraction)
        } else {
            object.serialize_entry(key, &format_args!("{value}"))
        };
        written.map_err(|_| Error::msg("the member cannot be written"))
    }
}

struct Words<'o>(&'o mut String);

impl<'kvs> VisitSource<'kvs> for Words<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let line = &mut *self.0;
        line.push(' ');
        line.push_str(key.as_str());
        line.push('=');
        let begin = line.len();
        // The general way takes a multiple of the time, and a service writes a line for each request.
        if let Some(text) = value.to_borrowed_str() {
            line.push_str(text);
        } else if let Some(thousandths) = value.to_u64().and_then(|number| number.checked_mul(1_000)) {
            push_thousandths(line, thousandths);
        } else if let Some(thousandths) = value.to_f64().and_then(thousandths) {
            push_thousandths(line, thousandths);
        } else {
            let _ = write!(line, "{value}");
        }
        let is_word = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
        let value = &line[begin..];
        let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if value.is_empty() || !(is_plain || value.chars().all(is_word)) {
            let value = line.split_off(begin);
            let _ = write!(line, "{:?}", value.trim_end());
        }
        Ok(())
    }
}

/// A number as whole thousandths, if it is such a number and none that is too large for it.
fn thousandths(number: f64) -> Option<u64> {
    let rounded = (number * 1e3).round();
    let fits = (0.0..1e15).contains(&rounded) && rounded / 1e3 == number && number.is_sign_positive();
    fits.then_some(rounded as u64)
}

/// Appends a number of thousandths without zeros at its end: `1500` as `1.5`.
pub fn push_thousandths(line: &mut String, thousandths: u64) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut begin) = (thousandths, digits.len());
    while rest > 0 || digits.len() - begin < 4 {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let (whole, fraction) = digits[begin..].split_at(digits.len() - begin - 3);
    let mut push = |digits| line.push_str(str::from_utf8(digits).unwrap_or_default());
    push(whole);
    if !thousandths.is_multiple_of(1_000) {
        let shown = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        push(b".");
        push(&fraction[..shown]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with_record<T>(check: impl Fn(&Record<'_>) -> T) -> T {
        let pairs = [("batch", Value::from(7)), ("file", Value::from("a\"b\u{1b}[31m"))];
        let record = |args| {
            let mut builder = Record::builder();
            builder.args(args).level(log::Level::Warn).target("kasparro").key_values(&pairs);
            check(&builder.build())
        };
        record(format_args!("one\r\ntwo \"three\" \u{1}\n"))
    }

    #[test]
    fn a_line_is_an_object_whatever_is_in_it() {
        let line =
            with_record(|record| serde_json::to_string(&Object(DateTime::UNIX_EPOCH, record)).unwrap());
        assert!(!line.contains(char::is_control), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            json!({ "ts": "1970-01-01T00:00:00.000Z", "level": "warn", "target": "kasparro",
                    "msg": "one\r\ntwo \"three\" \u{1}\n", "batch": 7, "file": "a\"b\u{1b}[31m" })
        );
    }

    #[test]
    fn a_line_of_text_is_one_line_whatever_is_in_it() {
        let line = with_record(|record| text(DateTime::UNIX_EPOCH, record));
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z WARN  kasparro one\\r\\ntwo \"three\" \\u{1} batch=7 \
             file=\"a\\\"b\\u{1b}[31m\""
        );
    }

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        let numbers = [
            0.0,
            0.003,
            0.12,
            1.0,
            1.001,
            17.5,
            1234.567,
            100.0,
            1e14,
            1e15,
            1e20,
            -0.5,
            -0.0,
            0.0005,
            0.1 + 0.2,
        ];
        for number in numbers.into_iter().chain((0..100_000).map(|micros| f64::from(micros) / 1e3)) {
            let pairs = [("n", Value::from(number))];
            let record = Record::builder().args(format_args!("")).key_values(&pairs).build();
            assert!(text(DateTime::UNIX_EPOCH, &record).ends_with(&format!(" n={number}")), "{number:?}");
        }
    }
}
