//! The REST service of Kasparro.
//!
//! A request goes: parameters (typed, unknown ones refused), the answers that are kept for the version of the data,
//! the door to the database, a function of `kasparro_core::store`, the response. Around all of it, in one place: request id, log line,
//! metrics, the body of failures. The list of all routes is in `routes`.

mod address;
mod answer;
mod coding;
mod config;
mod cursor;
mod db;
mod freshness;
pub mod healthcheck;
mod metrics;
mod observation;
mod observe;
mod openapi;
mod params;
mod problem;
mod routes;
mod schemas;
mod server;
mod snapshot;
mod sources;
mod spelling;
mod watch;

pub use config::{Config, DEFAULT_HOST, DEFAULT_PORT};
pub use openapi::document as openapi_document;
pub use server::{check, start};
