//! Log lines on standard error, one a line, as text or as JSON. `RUST_LOG` sets what is shown.

use std::io::Write as _;
use std::panic;

use chrono::Utc;
use kasparro_core::log_line;
use log::Level;

use crate::log_sink::LogSink;

/// What is shown unless `RUST_LOG` says otherwise. Requests that are no HTTP are errors of clients, not of ours.
const DEFAULT_FILTER: &str = "info,actix_server=warn,actix_http=off";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// An object a line.
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

/// Starts the log. Panics go into it as well.
pub(crate) fn start(format: Format) -> LogSink {
    let sink = LogSink::start();
    let hurried = sink.clone();
    let filter = env_logger::Env::default().default_filter_or(DEFAULT_FILTER);
    env_logger::Builder::from_env(filter)
        .format(move |out, record| {
            if record.level() <= Level::Warn {
                hurried.hurry();
            }
            match format {
                Format::Text => {
                    let mut line = log_line::text(Utc::now(), record);
                    line.push('\n');
                    out.write_all(line.as_bytes())
                }
                Format::Json => {
                    serde_json::to_writer(&mut *out, &log_line::Object(Utc::now(), record))?;
                    writeln!(out)
                }
            }
        })
        .target(env_logger::Target::Pipe(Box::new(sink.clone())))
        .init();
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        log::error!(place = place.as_str(); "a bug: {}", text.unwrap_or("panic"));
    }));
    sink
}
