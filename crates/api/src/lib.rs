//! The REST service of Kasparro.
//!
//! A request goes: parameters (typed, unknown ones refused), the answers that are kept for the version of the data,
//! the door to the database, a function of `kasparro_core::store`, the response. Around all of it, in one place: request id, log line,
//! metrics, the body of failures. The list of all routes is in `routes`.

mod access;
mod address;
mod answer;
mod coalesced;
mod coding;
mod config;
mod cors;
mod csv;
mod cursor;
mod db;
mod db_counters;
mod edge;
mod examples;
mod export;
mod express;
mod findings;
mod format;
mod freshness;
mod gate;
pub mod healthcheck;
mod metrics;
mod observation;
mod observe;
mod openapi;
mod outlived;
mod params;
mod problem;
mod problem_page;
mod readiness;
mod reads;
mod request_id;
mod routes;
mod schemas;
mod server;
mod snapshot;
mod sources;
mod spelling;
mod stream;
mod unread;
mod watch;

pub use config::{Config, DEFAULT_HOST, DEFAULT_METRICS_HOST, DEFAULT_METRICS_PORT, DEFAULT_PORT};
pub use cors::Cors;
pub use gate::{Admission, Keys, Quota};
pub use openapi::document as openapi_document;
pub use server::{Handle, Listeners, Service, check, start};
