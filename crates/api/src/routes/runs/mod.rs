//! `GET /runs`, `/runs/{id}` and `/runs/compare`: how the launches of the ETL went, and what they differ in.

mod compare;
mod list;
mod one;

pub(super) use compare::{__path_compare, compare};
pub(super) use list::{__path_list, list};
pub(super) use one::{__path_show, show};

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kasparro_core::store::run::SourceRun;
use kasparro_core::store::run_log::Launch;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// Outcomes of a launch.
const STATUSES: &[&str] = &["running", "succeeded", "partial", "failed", "skipped", "cancelled", "abandoned"];

/// One launch of the ETL.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    /// Opaque; a later launch has a greater one.
    #[schema(example = "42")]
    run_id: String,
    /// `running`, `succeeded`, `partial` (some source failed), `failed`, `skipped` (another run was at it), `cancelled` (by a
    /// signal) or `abandoned` (its process ended without a word).
    #[schema(value_type = String, example = "succeeded")]
    status: String,
    /// Null while it runs.
    #[schema(example = true)]
    success: Option<bool>,
    /// Names of the sources asked for.
    #[schema(example = json!(["coinpaprika", "coingecko"]))]
    sources: Vec<String>,
    /// Records read from all sources; 0 while it runs.
    #[schema(example = 7301, minimum = 0)]
    records_processed: i64,
    /// UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    started_at: DateTime<Utc>,
    /// UTC; null while it runs.
    #[schema(example = "2026-11-23T15:00:04.25Z")]
    ended_at: Option<DateTime<Utc>>,
    /// Null while it runs.
    #[schema(example = 4.25, minimum = 0)]
    duration_seconds: Option<f64>,
    /// One line per failed source, without secrets; null when nothing failed.
    #[schema(example = json!(null))]
    error_message: Option<String>,
    /// Version of kasparro-etl.
    #[schema(example = "0.1.0")]
    program_version: String,
}

/// What became of the records of a source within a run: `extracted` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Counters {
    /// Records read.
    #[schema(example = 3795, minimum = 0)]
    extracted: i64,
    /// New observations.
    #[schema(example = 3790, minimum = 0)]
    loaded: i64,
    /// Observations whose values the source corrected.
    #[schema(example = 0, minimum = 0)]
    restated: i64,
    /// Records that say what was known already.
    #[schema(example = 5, minimum = 0)]
    unchanged: i64,
    /// Records that came twice.
    #[schema(example = 0, minimum = 0)]
    duplicate: i64,
    /// Records that were refused.
    #[schema(example = 0, minimum = 0)]
    rejected: i64,
}

/// One source within a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunSource {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    source: String,
    /// `running`, `succeeded`, `failed`, `skipped`, `cancelled` or `abandoned`.
    #[schema(value_type = String, example = "succeeded")]
    status: String,
    /// Why it ended early, in a word; null when it did not.
    #[schema(example = json!(null))]
    failure_kind: Option<String>,
    /// Why it ended early, in a sentence without secrets; null when it did not.
    #[schema(example = json!(null))]
    error_message: Option<String>,
    /// Committed batches: bodies, or parts of files.
    #[schema(example = 1, minimum = 0)]
    batches: i64,
    /// What became of its records.
    records: Counters,
    /// UTC.
    #[schema(example = "2026-11-23T15:00:00.01Z")]
    started_at: DateTime<Utc>,
    /// UTC; null while it runs.
    #[schema(example = "2026-11-23T15:00:04.2Z")]
    ended_at: Option<DateTime<Utc>>,
    /// Null while it runs.
    #[schema(example = 4.19, minimum = 0)]
    duration_seconds: Option<f64>,
}

impl From<Launch> for Run {
    fn from(launch: Launch) -> Self {
        Self {
            duration_seconds: duration(launch.started_at, launch.ended_at),
            run_id: launch.run_id.to_string(),
            status: launch.status,
            success: launch.success,
            sources: launch.source.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            records_processed: launch.records_processed,
            started_at: launch.started_at,
            ended_at: launch.ended_at,
            error_message: launch.error_message,
            program_version: launch.program_version,
        }
    }
}

impl From<(SourceRun, i64)> for RunSource {
    fn from((run, batches): (SourceRun, i64)) -> Self {
        Self {
            duration_seconds: duration(run.started_at, run.ended_at),
            records: Counters {
                extracted: run.extracted,
                loaded: run.loaded,
                restated: run.restated,
                unchanged: run.unchanged,
                duplicate: run.duplicate,
                rejected: run.rejected,
            },
            source: run.source,
            status: run.status,
            failure_kind: run.failure_kind,
            error_message: run.error_message,
            batches,
            started_at: run.started_at,
            ended_at: run.ended_at,
        }
    }
}

/// Seconds between two times; `None` while the second is not there yet.
fn duration(from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> Option<f64> {
    let micros = (to? - from).num_microseconds()?;
    Some(micros.max(0) as f64 / 1e6)
}

/// The number of a run, as `run_id` spells it.
fn run_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

fn unknown_run(id: &str) -> Problem {
    let shown: String = id.chars().take(40).collect();
    Problem::new(Code::UnknownRun, format!("no run has the number `{shown}`"))
}

/// What a cursor is tied to, and the name of the answer.
fn named(route: &str, parts: &BTreeMap<&'static str, String>) -> String {
    serde_json::to_string(&(route, parts)).unwrap_or_default()
}
