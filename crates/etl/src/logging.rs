//! Log lines on standard error, one a line; they do not tear the progress display.
//!
//! As text each is a sentence for people; as JSON an object with the run and the source that it is about, so that
//! lines of sources that are read side by side can be told apart.

use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use kasparro_core::log_line;
use log::Record;
use serde_json::json;

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
            let now = Utc::now();
            match format {
                Format::Text => {
                    let time = now.format("%Y-%m-%dT%H:%M:%S%.3fZ");
                    let sentence = record.args().to_string();
                    writeln!(out, "{time} {:5} {}", record.level(), log_line::escaped(sentence.trim_end()))
                }
                Format::Json => writeln!(out, "{}", object(now, record)),
            }
        })
        .target(env_logger::Target::Pipe(Box::new(sink)))
        .try_init();
    if result.is_err() {
        eprintln!("kasparro-etl: the log was started before");
    }
}

/// A line as a JSON object: that of `core`, with the run and the source.
fn object(now: DateTime<Utc>, record: &Record<'_>) -> serde_json::Value {
    let mut object = json!(log_line::Object(now, record));
    let run_id = RUN_ID.load(Ordering::Relaxed);
    object["run_id"] = if run_id > 0 { run_id.into() } else { json!(null) };
    object["source"] = SOURCE.with_borrow(|source| json!(source));
    object
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
    fn a_line_names_the_run_and_the_source() {
        set_source("csv");
        let record = Record::builder().args(format_args!("read")).target("kasparro_etl").build();
        let line = object(DateTime::UNIX_EPOCH, &record);
        assert_eq!(
            line,
            json!({ "ts": "1970-01-01T00:00:00.000Z", "level": "info", "target": "kasparro_etl", "msg": "read",
                    "run_id": null, "source": "csv" })
        );
    }
}
