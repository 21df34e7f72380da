//! Log lines on standard error, one sentence each; they do not tear the progress display.

use std::io::Write;

use crate::progress::Progress;

/// Starts the log. `RUST_LOG` sets what is shown; the default is `info` for ourselves and `warn` for libraries.
pub(crate) fn start(progress: &Progress) {
    let filter = env_logger::Env::default().default_filter_or("warn,kasparro_etl=info,kasparro_core=info");
    let sink = Sink(progress.clone());
    let result = env_logger::Builder::from_env(filter)
        .format(|out, record| {
            let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.3fZ");
            writeln!(out, "{time} {:5} {}", record.level(), record.args())
        })
        .target(env_logger::Target::Pipe(Box::new(sink)))
        .try_init();
    if result.is_err() {
        eprintln!("kasparro-etl: the log was started before");
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
