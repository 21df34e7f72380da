//! `GET /health`: the database and the newest run, for people and for simple monitors.

use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use chrono::{DateTime, SubsecRound as _, Utc};
use kasparro_core::store::stats::Run;
use serde::Serialize;
use utoipa::ToSchema;

use crate::express::Repeatable;
use crate::freshness::{Bound, Freshness};
use crate::params;
use crate::problem::{Code, Problem};
use crate::snapshot::Snapshots;

/// State of the service.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy` when data can be read.
    status: Status,
    /// Whether the database answers.
    database: Link,
    /// Now, UTC.
    #[schema(example = "2026-11-23T15:00:01.123456Z")]
    timestamp: DateTime<Utc>,
    /// The newest launch of the ETL; null before the first, and when the database cannot be asked.
    last_etl_run: Option<LastRun>,
    /// Whether the data of a source is older than it should be. That makes the service no less healthy: what it has
    /// it serves.
    #[schema(example = false)]
    degraded: bool,
    /// Every source by name; empty when the database cannot be asked.
    freshness: Vec<Freshness>,
    /// What is wrong, with the way out; null when nothing is.
    #[schema(example = json!(null))]
    message: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Healthy,
    Unhealthy,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Link {
    Connected,
    Disconnected,
}

/// The newest launch of the ETL.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastRun {
    /// Opaque.
    #[schema(example = "42")]
    run_id: String,
    /// Names of the sources asked for, separated by commas.
    #[schema(example = "coinpaprika,coingecko,csv")]
    source: String,
    /// Records read from all sources.
    #[schema(example = 7301, minimum = 0)]
    records_processed: i64,
    /// Null while it runs.
    #[schema(example = true)]
    success: Option<bool>,
    /// UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    started_at: DateTime<Utc>,
    /// UTC; null while it runs.
    #[schema(example = "2026-11-23T15:00:04Z")]
    ended_at: Option<DateTime<Utc>>,
}

impl From<Run> for LastRun {
    fn from(run: Run) -> Self {
        Self {
            run_id: run.run_id.to_string(),
            source: run.source,
            records_processed: run.records_processed,
            success: run.success,
            started_at: run.started_at,
            ended_at: run.ended_at,
        }
    }
}

/// Tells whether data can be read, and how the newest run of the ETL went.
///
/// Unlike every other failure, 503 has the body of the answer itself, so that a monitor reads one shape.
#[utoipa::path(get, path = "/health", tag = "service", operation_id = "health", responses(
    (status = 200, description = "Healthy.", body = Health),
    (status = 503, description = "Unhealthy: the database cannot be reached, or its tables do not fit.", body = Health)
))]
pub(crate) async fn show(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
    stale_after: web::Data<Bound>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    let health = |status, database, message| Health {
        status,
        database,
        // As exact as every other time: some clients cannot read nanoseconds.
        timestamp: Utc::now().trunc_subsecs(6),
        last_etl_run: None,
        degraded: false,
        freshness: Vec::new(),
        message,
    };
    Ok(match snapshots.overview().await {
        Ok(known) => {
            let mut body = health(Status::Healthy, Link::Connected, None);
            body.last_etl_run = known.overview.recent_runs.first().cloned().map(LastRun::from);
            body.freshness = stale_after.freshness(&known.overview, body.timestamp);
            if snapshots.is_version_known() {
                request.extensions_mut().insert(Repeatable(known.revision));
            }
            body.degraded = body.freshness.iter().any(Freshness::is_degraded);
            HttpResponse::Ok().json(body)
        }
        Err(problem) => {
            let link =
                if problem.code() == Code::SchemaMismatch { Link::Connected } else { Link::Disconnected };
            if let Some(cause) = problem.cause() {
                crate::observe::log_cause(&request, cause);
            }
            let body = health(Status::Unhealthy, link, Some(problem.detail().to_owned()));
            HttpResponse::ServiceUnavailable().insert_header(("Retry-After", "1")).json(body)
        }
    })
}
