//! `GET /stats` and `GET /stats/summary`: how much there is, and how the runs went. From counters only.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::store::stats::{self, Checkpoint, Run};
use kasparro_core::store::version::SourceState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::{Connection, Database, ReadError};
use crate::problem::Problem;
use crate::{params, snapshot, sources};

/// Number of runs that are shown.
const RECENT_RUNS: i64 = 10;

/// How much there is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Number of observations.
    #[schema(example = 7301, minimum = 0)]
    total_cleaned_records: i64,
    /// Number of records inside the HTTP bodies that are kept.
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
    database: web::Data<Database>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let snapshot = snapshot::read(&database, &request, "stats".to_owned(), activity, |_, known, activity| {
        Ok(Stats::of(known, &activity.0, &activity.1))
    });
    Ok(snapshot.await?.respond(|_, _| ()))
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
    database: web::Data<Database>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let snapshot = snapshot::read(&database, &request, "summary".to_owned(), success, |_, known, success| {
        Ok(Summary {
            total_records: known.iter().map(|source| source.observations).sum(),
            last_successful_run: *success,
            records_by_source: known.iter().map(|s| (s.name.clone(), s.observations)).collect(),
        })
    });
    Ok(snapshot.await?.respond(|_, _| ()))
}

fn activity(connection: &mut Connection) -> Result<(Vec<Run>, Vec<Checkpoint>), ReadError> {
    Ok((stats::recent_runs(connection, RECENT_RUNS)?, stats::checkpoints(connection)?))
}

fn success(connection: &mut Connection) -> Result<Option<DateTime<Utc>>, ReadError> {
    Ok(stats::last_successful_run(connection)?)
}

impl Stats {
    fn of(known: &[SourceState], runs: &[Run], checkpoints: &[Checkpoint]) -> Self {
        let raw_records = |from_files: bool| {
            known.iter().filter(|s| (s.name == sources::CSV) == from_files).map(|s| s.raw_records).sum()
        };
        Self {
            total_cleaned_records: known.iter().map(|source| source.observations).sum(),
            total_raw_api_records: raw_records(false),
            total_raw_csv_records: raw_records(true),
            sources: known.iter().map(|source| SourceStats::of(source, checkpoints)).collect(),
            recent_etl_runs: runs.iter().map(RecentRun::of).collect(),
        }
    }
}

impl SourceStats {
    fn of(source: &SourceState, checkpoints: &[Checkpoint]) -> Self {
        let checkpoint = checkpoints.iter().find(|checkpoint| checkpoint.source == source.name);
        Self {
            source: source.name.clone(),
            total_records: source.observations,
            last_checkpoint: checkpoint.and_then(|checkpoint| checkpoint.last_processed_timestamp),
            last_update: checkpoint.map(|checkpoint| checkpoint.updated_at),
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
