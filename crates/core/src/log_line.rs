//! A log line as a JSON object or as text, for both programs. Either way one line, whatever is in it.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use log::Record;
use log::kv::{Error, Key, Value, VisitSource};
use serde_json::Map;

/// A line as a JSON object: `ts` (RFC 3339, UTC, milliseconds), `level`, `target`, `msg` and what the line adds.
pub fn object(now: DateTime<Utc>, record: &Record<'_>) -> Map<String, serde_json::Value> {
    let mut object = Map::new();
    object.insert("ts".to_owned(), timestamp(now).into());
    object.insert("level".to_owned(), record.level().as_str().to_ascii_lowercase().into());
    object.insert("target".to_owned(), record.target().into());
    object.insert("msg".to_owned(), record.args().to_string().into());
    // What cannot be read is left out: a log line must not be lost for a part of it.
    let _ = record.key_values().visit(&mut Members(&mut object));
    object
}

/// A line as text: time, level, target, sentence, and what the line adds as `key=value`.
pub fn text(now: DateTime<Utc>, record: &Record<'_>) -> String {
    let mut line = format!("{} {:5} {} ", timestamp(now), record.level(), record.target());
    push_escaped(&mut line, &record.args().to_string());
    let _ = record.key_values().visit(&mut Words(&mut line));
    line
}

fn timestamp(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Control characters could end the line or colour the terminal.
fn push_escaped(line: &mut String, text: &str) {
    for character in text.trim_end().chars() {
        match character {
            character if character.is_control() => line.extend(character.escape_default()),
            character => line.push(character),
        }
    }
}

struct Members<'o>(&'o mut Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Members<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let number = value.to_i64().map(serde_json::Value::from);
        let fraction = || value.to_f64().map(serde_json::Value::from);
        let value = number.or_else(fraction).unwrap_or_else(|| value.to_string().into());
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

struct Words<'o>(&'o mut String);

impl<'kvs> VisitSource<'kvs> for Words<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = value.to_string();
        let is_word = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
        let _ = match !value.is_empty() && value.chars().all(is_word) {
            true => write!(self.0, " {key}={value}"),
            false => write!(self.0, " {key}={:?}", value.trim_end()),
        };
        Ok(())
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
        let object = with_record(|record| object(DateTime::UNIX_EPOCH, record));
        let line = serde_json::Value::from(object).to_string();
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
}
