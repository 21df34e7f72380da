//! `GET /stats` and `GET /stats/summary`: how much there is, and how the runs went. From counters only.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::store::overview::Overview;
use kasparro_core::store::stats::{Checkpoint, Run};
use kasparro_core::store::version::SourceState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::freshness::Bound;
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::{params, sources};

/// How much there is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Number of observations.
    #[schema(example = 7301, minimum = 0)]
    total_cleaned_records: i64,
    /// Number of records inside the HTTP bodies of prices that are kept; listings of ids apart.
    #[schema(example = 7500, minimum = 0)]
    total_raw_api_records: i64,
    /// Number of records inside the pieces of files that are kept.
    #[schema(example = 100, minimum = 0)]
    total_raw_csv_records: i64,
    /// Every source, by name.
    sources: Vec<SourceStats>,
    /// The newest ten launches of the ETL, newest first.
    recent_etl_runs: Vec<RecentRun>,
}

/// One source.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceStats {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    source: String,
    /// Number of its observations.
    #[schema(example = 3795, minimum = 0)]
    total_records: i64,
    /// Newest time that the source has given an observation, UTC; null before the first.
    #[schema(example = "2026-11-23T15:00:00Z")]
    last_checkpoint: Option<DateTime<Utc>>,
    /// When its checkpoint moved last, UTC; null before the first time.
    #[schema(example = "2026-11-23T15:00:03.512345Z")]
    last_update: Option<DateTime<Utc>>,
    /// Whether that is longer ago than it should be; never for files.
    #[schema(example = false)]
    degraded: bool,
}

/// One launch of the ETL.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecentRun {
    /// Opaque.
    #[schema(example = "42")]
    run_id: String,
    /// Names of the sources asked for, separated by commas.
    #[schema(example = "coinpaprika,coingecko,csv")]
    source: String,
    /// UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    started_at: DateTime<Utc>,
    /// UTC; null while it runs.
    #[schema(example = "2026-11-23T15:00:04.25Z")]
    ended_at: Option<DateTime<Utc>>,
    /// Records read from all sources.
    #[schema(example = 7301, minimum = 0)]
    records_processed: i64,
    /// Null while it runs.
    #[schema(example = true)]
    success: Option<bool>,
    /// Null while it runs.
    #[schema(example = 4.25, minimum = 0)]
    duration_seconds: Option<f64>,
}

/// How much there is, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// Number of observations.
    #[schema(example = 7301, minimum = 0)]
    total_records: i64,
    /// When the newest successful run ended, UTC; null when there is none.
    #[schema(example = "2026-11-23T15:00:04.25Z")]
    last_successful_run: Option<DateTime<Utc>>,
    /// Number of observations by source.
    #[schema(example = json!({"coingecko": 3406, "coinpaprika": 3795, "csv": 100}))]
    records_by_source: BTreeMap<String, i64>,
}

/// Shows how much there is, by source, and the newest runs of the ETL.
#[utoipa::path(get, path = "/stats", tag = "stats", operation_id = "stats", responses(
    (status = 200, description = "The numbers.", body = Stats, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn show(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
    stale_after: web::Data<Bound>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    // What is too old is known by the clock, not by the data, so it is part of the name.
    let now = Utc::now();
    let name = |overview: &Overview| format!("stats {}", stale_after.degraded(overview, now).join(","));
    let show = |overview: &Overview| Stats::of(overview, &stale_after.degraded(overview, now));
    snapshots.of_overview(&request, name, show).await
}

/// Shows how much there is, in short.
#[utoipa::path(get, path = "/stats/summary", tag = "stats", operation_id = "summary", responses(
    (status = 200, description = "The numbers.", body = Summary, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn summary(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let summary = |overview: &Overview| Summary {
        total_records: overview.sources.iter().map(|source| source.observations).sum(),
        last_successful_run: overview.last_successful_run,
        records_by_source: market(overview).map(|s| (s.name.clone(), s.observations)).collect(),
    };
    snapshots.of_overview(&request, |_| "summary".to_owned(), summary).await
}

/// The sources that deliver observations.
fn market(overview: &Overview) -> impl Iterator<Item = &SourceState> {
    overview.sources.iter().filter(|source| source.is_market())
}

impl Stats {
    fn of(overview: &Overview, degraded: &[&str]) -> Self {
        let raw_records = |from_files: bool| {
            market(overview).filter(|s| (s.name == sources::CSV) == from_files).map(|s| s.raw_records).sum()
        };
        Self {
            total_cleaned_records: market(overview).map(|source| source.observations).sum(),
            total_raw_api_records: raw_records(false),
            total_raw_csv_records: raw_records(true),
            sources: market(overview)
                .map(|source| SourceStats::of(source, &overview.checkpoints, degraded))
                .collect(),
            recent_etl_runs: overview.recent_runs.iter().map(RecentRun::of).collect(),
        }
    }
}

impl SourceStats {
    fn of(source: &SourceState, checkpoints: &[Checkpoint], degraded: &[&str]) -> Self {
        let checkpoint = checkpoints.iter().find(|checkpoint| checkpoint.source == source.name);
        Self {
            source: source.name.clone(),
            total_records: source.observations,
            last_checkpoint: checkpoint.and_then(|checkpoint| checkpoint.last_processed_timestamp),
            last_update: checkpoint.map(|checkpoint| checkpoint.updated_at),
            degraded: degraded.contains(&source.name.as_str()),
        }
    }
}

impl RecentRun {
    fn of(run: &Run) -> Self {
        let duration = run.ended_at.and_then(|ended| (ended - run.started_at).num_microseconds());
        Self {
            run_id: run.run_id.to_string(),
            source: run.source.clone(),
            started_at: run.started_at,
            ended_at: run.ended_at,
            records_processed: run.records_processed,
            success: run.success,
            duration_seconds: duration.map(|micros| micros.max(0) as f64 / 1e6),
        }
    }
}
