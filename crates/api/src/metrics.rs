//! Counters of the service, as Prometheus reads them. Fixed arrays of atomics: no lock and no allocation per
//! request, and no label that a client can invent.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::{Method, StatusCode};

use crate::access::known_method;
use crate::observe::UNMATCHED;
use crate::routes::PATTERNS;

/// Upper bounds of the histogram, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// The statuses that the service answers with; 0 stands for any other.
const STATUSES: [u16; 16] = [200, 204, 206, 304, 308, 400, 401, 404, 405, 406, 413, 422, 429, 500, 503, 0];

/// Counters since the start of the process.
#[derive(Default)]
pub(crate) struct Metrics {
    routes: [Route; PATTERNS.len() + 1],
    in_flight: AtomicI64,
}

#[derive(Default)]
struct Route {
    methods: [PerMethod; METHODS.len()],
}

#[derive(Default)]
struct PerMethod {
    requests: [AtomicU64; STATUSES.len()],
    buckets: [AtomicU64; BUCKETS.len()],
    micros: AtomicU64,
    bytes: AtomicU64,
}

/// Counts a request as in flight until it is dropped.
pub(crate) struct InFlight(Arc<Metrics>);

impl InFlight {
    /// Notes that a request came.
    pub(crate) fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(metrics))
    }

    /// Where it is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Notes that a request was answered.
    pub(crate) fn record(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
        bytes: u64,
    ) {
        let route = PATTERNS.iter().position(|pattern| *pattern == route).unwrap_or(PATTERNS.len());
        let method =
            METHODS.iter().position(|name| *name == known_method(method)).unwrap_or(METHODS.len() - 1);
        let status = STATUSES.iter().position(|code| *code == status.as_u16()).unwrap_or(STATUSES.len() - 1);
        let cell = &self.routes[route].methods[method];
        cell.requests[status].fetch_add(1, Ordering::Relaxed);
        cell.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        cell.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(bucket) = BUCKETS.iter().position(|bound| took.as_secs_f64() <= *bound) {
            cell.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything that was ever counted, as Prometheus text.
    pub(crate) fn render(&self, out: &mut Text) {
        out.family("http_requests_total", "counter", "Requests answered.");
        self.each(|labels, cell| {
            for (status, count) in STATUSES.iter().zip(&cell.requests) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                    out.sample("http_requests_total", &format!("{labels},status=\"{status}\""), count as f64);
                }
            }
        });
        out.family("http_request_duration_seconds", "histogram", "Time to answer a request.");
        self.each(|labels, cell| cell.render_histogram(labels, out));
        out.family("http_response_size_bytes_total", "counter", "Bytes of the bodies that were sent.");
        self.each(|labels, cell| {
            out.sample("http_response_size_bytes_total", labels, cell.bytes.load(Ordering::Relaxed) as f64);
        });
        out.family("http_requests_in_flight", "gauge", "Requests being answered.");
        out.sample("http_requests_in_flight", "", self.in_flight.load(Ordering::Relaxed) as f64);
    }

    fn each(&self, mut show: impl FnMut(&str, &PerMethod)) {
        for (route, pattern) in self.routes.iter().zip(PATTERNS.iter().chain([&UNMATCHED])) {
            for (cell, method) in route.methods.iter().zip(METHODS) {
                if cell.count() > 0 {
                    show(&format!("method=\"{method}\",route=\"{pattern}\""), cell);
                }
            }
        }
    }
}

impl PerMethod {
    fn count(&self) -> u64 {
        self.requests.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn render_histogram(&self, labels: &str, out: &mut Text) {
        let mut below = 0;
        for (bound, count) in BUCKETS.iter().zip(&self.buckets) {
            below += count.load(Ordering::Relaxed);
            out.sample(
                "http_request_duration_seconds_bucket",
                &format!("{labels},le=\"{bound}\""),
                below as f64,
            );
        }
        // Read after the buckets, so that the last one is never below the one before.
        let count = self.count().max(below) as f64;
        out.sample("http_request_duration_seconds_bucket", &format!("{labels},le=\"+Inf\""), count);
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        out.sample("http_request_duration_seconds_sum", labels, seconds);
        out.sample("http_request_duration_seconds_count", labels, count);
    }
}

/// Text in the format of Prometheus, version 0.0.4.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    /// Announces a metric.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One value; `labels` without braces, escaped with [`escape`].
    pub(crate) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// The text.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// A value of a label.
pub(crate) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
