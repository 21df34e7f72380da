//! What became of the reads of the database, as Prometheus shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::Text;
use crate::problem::{Code, Problem};

/// Why a read can fail, but for what the client got wrong.
const CLASSES: [Code; 4] = [Code::Busy, Code::DatabaseUnavailable, Code::SchemaMismatch, Code::Internal];

/// Counters since the start of the process.
#[derive(Default)]
pub(crate) struct DbCounters {
    waits: AtomicU64,
    waited_micros: AtomicU64,
    timeouts: AtomicU64,
    errors: [AtomicU64; CLASSES.len()],
}

impl DbCounters {
    /// Notes how long a read waited for its connection.
    pub(crate) fn waited(&self, time: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_micros.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes that a read got no connection in time.
    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how a read ended.
    pub(crate) fn ended<T>(&self, result: &Result<T, Problem>) {
        let class = |problem: &Problem| CLASSES.iter().position(|class| *class == problem.code());
        if let Some(class) = result.as_ref().err().and_then(class) {
            self.errors[class].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything that was counted, as Prometheus text.
    pub(crate) fn render(&self, text: &mut Text) {
        text.family(
            "db_pool_wait_seconds",
            "summary",
            "Time that reads waited for a connection of the pool.",
        );
        let seconds = self.waited_micros.load(Ordering::Relaxed) as f64 / 1e6;
        text.sample("db_pool_wait_seconds_sum", "", seconds);
        text.sample("db_pool_wait_seconds_count", "", self.waits.load(Ordering::Relaxed) as f64);
        text.family("db_pool_timeouts_total", "counter", "Reads that got no connection in time.");
        text.sample("db_pool_timeouts_total", "", self.timeouts.load(Ordering::Relaxed) as f64);
        text.family("db_errors_total", "counter", "Reads that failed, by the code of their problem.");
        for (class, count) in CLASSES.iter().zip(&self.errors) {
            let labels = format!("class=\"{}\"", class.kind().code);
            text.sample("db_errors_total", &labels, count.load(Ordering::Relaxed) as f64);
        }
    }
}
