//! Log lines on standard error, one a line; they do not tear the progress display.
//!
//! As text each is a sentence for people; as JSON an object with the run and the source that it is about, so that
//! lines of sources that are read side by side can be told apart.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};

use log::Record;
use log::kv::{Error, Key, Value, VisitSource};
use serde_json::{Map, json};

use crate::progress::Progress;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// Time, level and sentence.
    #[default]
    Text,
    /// An object per line: ts, level, target, msg, run_id, source and what the line adds.
    Json,
}

impl std::str::FromStr for Format {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// The run that this process is; 0 before it has one.
static RUN_ID: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// The source that this thread works for.
    static SOURCE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Names the run in every line from now on.
pub(crate) fn set_run(run_id: i64) {
    RUN_ID.store(run_id, Ordering::Relaxed);
}

/// Names the source in every line of this thread from now on.
pub(crate) fn set_source(name: &str) {
    SOURCE.set(Some(name.to_owned()));
}

/// Starts the log. `RUST_LOG` sets what is shown; the default is `info` for ourselves and `warn` for libraries.
pub(crate) fn start(progress: &Progress, format: Format) {
    let filter = env_logger::Env::default().default_filter_or("warn,kasparro_etl=info,kasparro_core=info");
    let sink = Sink(progress.clone());
    let result = env_logger::Builder::from_env(filter)
        .format(move |out, record| {
            let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            match format {
                Format::Text => writeln!(out, "{time} {:5} {}", record.level(), record.args()),
                Format::Json => writeln!(out, "{}", object(time, record)),
            }
        })
        .target(env_logger::Target::Pipe(Box::new(sink)))
        .try_init();
    if result.is_err() {
        eprintln!("kasparro-etl: the log was started before");
    }
}

/// A line as a JSON object.
fn object(time: String, record: &Record<'_>) -> serde_json::Value {
    let mut object = Map::new();
    object.insert("ts".to_owned(), time.into());
    object.insert("level".to_owned(), record.level().as_str().to_ascii_lowercase().into());
    object.insert("target".to_owned(), record.target().into());
    object.insert("msg".to_owned(), record.args().to_string().into());
    let run_id = RUN_ID.load(Ordering::Relaxed);
    object.insert("run_id".to_owned(), if run_id > 0 { run_id.into() } else { json!(null) });
    object.insert("source".to_owned(), SOURCE.with_borrow(|source| json!(source)));
    // What cannot be read is left out: a log line must not be lost for a part of it.
    let _ = record.key_values().visit(&mut Pairs(&mut object));
    object.into()
}

/// Takes over what a line adds.
struct Pairs<'o>(&'o mut Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let number = value.to_i64().map(serde_json::Value::from);
        let fraction = || value.to_f64().map(serde_json::Value::from);
        let value = number.or_else(fraction).unwrap_or_else(|| value.to_string().into());
        self.0.insert(key.as_str().to_owned(), value);
        Ok(())
    }
}

/// Standard error, with the progress display out of the way.
struct Sink(Progress);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Where the log cannot be written the run goes on: a full disk for logs must not cost data.
        self.0.suspend(|| {
            let _ = std::io::stderr().write_all(bytes);
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_object_whatever_is_in_it() {
        set_source("csv");
        let pairs = [("batch", Value::from(7)), ("file", Value::from("a\"b"))];
        let record = Record::builder()
            .args(format_args!("one\ntwo \"three\" \u{1}"))
            .level(log::Level::Warn)
            .target("kasparro_etl")
            .key_values(&pairs)
            .build();
        let line = object("now".to_owned(), &record).to_string();
        assert!(!line.contains('\n'), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            json!({ "ts": "now", "level": "warn", "target": "kasparro_etl", "msg": "one\ntwo \"three\" \u{1}",
                    "run_id": null, "source": "csv", "batch": 7, "file": "a\"b" })
        );
    }
}
