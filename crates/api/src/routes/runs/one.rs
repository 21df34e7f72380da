//! `GET /runs/{id}`: one launch with its sources and batches.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::store::run_log;
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::{Counters, Run, RunSource, named, run_number, unknown_run};
use crate::answer::Rendered;
use crate::params::{self, Params};
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::{cursor, schemas};

const LIMITS: RangeInclusive<u32> = 0..=500;
const DEFAULT_LIMIT: u32 = 100;

/// Longest number of a run, in characters.
const MAX_ID_CHARS: usize = 20;

/// One launch with its sources and a page of its batches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunDetail {
    /// The launch.
    run: Run,
    /// Its sources, by name.
    sources: Vec<RunSource>,
    /// Its batches in the order of writing, a page of them.
    batches: Vec<RunBatch>,
    /// `cursor` of the next page of batches; null when there is none.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// What one body or part of a file became.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunBatch {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    source: String,
    /// Number of the batch within its source, from 1.
    #[schema(example = 7, minimum = 1)]
    number: i64,
    /// What was read: the request without secrets, or the file with its lines.
    #[schema(example = "https://api.coinpaprika.com/v1/tickers")]
    origin: String,
    /// What became of its records.
    records: Counters,
    /// Oldest time among the observations that it wrote, UTC; null when it wrote none.
    #[schema(example = "2026-11-23T14:58:02Z")]
    observed_from: Option<DateTime<Utc>>,
    /// Newest time among them, UTC.
    #[schema(example = "2026-11-23T14:59:41Z")]
    observed_to: Option<DateTime<Utc>>,
    /// When it was written, UTC.
    #[schema(example = "2026-11-23T15:00:03.512345Z")]
    created_at: DateTime<Utc>,
}

impl From<run_log::Batch> for RunBatch {
    fn from(batch: run_log::Batch) -> Self {
        Self {
            records: Counters {
                extracted: batch.extracted.into(),
                loaded: batch.loaded.into(),
                restated: batch.restated.into(),
                unchanged: batch.unchanged.into(),
                duplicate: batch.duplicate.into(),
                rejected: batch.rejected.into(),
            },
            source: batch.source,
            number: batch.number,
            origin: batch.origin,
            observed_from: batch.observed_from,
            observed_to: batch.observed_to,
            created_at: batch.created_at,
        }
    }
}

/// Parameters of `GET /runs/{id}`.
struct Query;

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            schemas::segment("id", "`run_id` of a launch.", schemas::text(MAX_ID_CHARS))
                .example(Some(json!("42")))
                .build(),
            schemas::query("limit", "Most batches of the page.", schemas::number(&LIMITS, DEFAULT_LIMIT))
                .build(),
            schemas::query(
                "cursor",
                "`next_cursor` of the page of batches before.",
                schemas::text(cursor::MAX_CHARS),
            )
            .build(),
        ]
    }
}

/// Shows one launch: its sources with counters, durations and failures, and its batches.
#[utoipa::path(get, path = "/runs/{id}", tag = "runs", operation_id = "run", params(Query), responses(
    (status = 200, description = "The launch.", body = RunDetail, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page of batches (`rel=\"next\"`), when there is one.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn show(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let id = params::path_text_within(&request, "id", MAX_ID_CHARS)?;
    let mut params = Params::of(&request)?;
    let limit = params.number("limit", LIMITS, DEFAULT_LIMIT);
    let position = params.text("cursor", cursor::MAX_CHARS);
    params.finish()?;
    let scope = named("run", &BTreeMap::from([("id", id.clone())]));
    let behind: i64 = match position {
        Some(text) => {
            cursor::unseal(&text, &scope).and_then(|at| at.parse().ok()).ok_or_else(cursor::foreign)?
        }
        None => 0,
    };
    snapshots
        .at_once(&request, scope.clone(), move |connection, _| {
            let found = match run_number(&id) {
                Some(number) => run_log::find(connection, number)?,
                None => None,
            };
            let launch = found.ok_or_else(|| unknown_run(&id))?;
            let sources = run_log::sources(connection, launch.run_id)?;
            let mut batches = run_log::batches(connection, launch.run_id, behind, i64::from(limit) + 1)?;
            let more = batches.len() > limit as usize;
            batches.truncate(limit as usize);
            let last = batches.last().map_or(behind, |last| last.batch_id);
            let next_cursor = more.then(|| cursor::seal(&scope, &last.to_string()));
            let link = next_cursor.as_deref().map(|cursor| {
                let pairs = [("limit", limit.to_string()), ("cursor", cursor.to_owned())];
                let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
                format!("</runs/{}?{query}>; rel=\"next\"", launch.run_id)
            });
            let body = RunDetail {
                run: launch.into(),
                sources: sources.into_iter().map(RunSource::from).collect(),
                batches: batches.into_iter().map(RunBatch::from).collect(),
                next_cursor,
            };
            Ok(Rendered::json(&body)?.with_link(link))
        })
        .await
}
