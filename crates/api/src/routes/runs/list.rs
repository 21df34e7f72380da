//! `GET /runs`: launches by page, newest first.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::store::run_log::{self, Wanted};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::{Run, STATUSES, named};
use crate::answer::Rendered;
use crate::params::Params;
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::{cursor, schemas, sources};

const LIMITS: RangeInclusive<u32> = 1..=100;
const DEFAULT_LIMIT: u32 = 20;

/// A page of launches.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunPage {
    /// The launches, newest first.
    data: Vec<Run>,
    /// `cursor` of the next page; null when there is none.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// Parameters of `GET /runs`.
struct Query {
    status: Option<Vec<String>>,
    source: Option<Vec<String>>,
    limit: u32,
    cursor: Option<String>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            schemas::list("status", "Only launches with one of these outcomes.", schemas::word(STATUSES))
                .example(Some(json!(["failed", "partial"])))
                .build(),
            schemas::list("source", "Only launches that these sources belonged to.", schemas::source())
                .example(Some(json!(["coinpaprika"])))
                .build(),
            schemas::query("limit", "Most launches of the page.", schemas::number(&LIMITS, DEFAULT_LIMIT))
                .build(),
            schemas::query(
                "cursor",
                "`next_cursor` of the page before, with the same filters.",
                schemas::text(cursor::MAX_CHARS),
            )
            .build(),
        ]
    }
}

impl Query {
    fn parse(request: &HttpRequest) -> Result<Self, Problem> {
        let mut params = Params::of(request)?;
        let query = Self {
            status: params.words("status", STATUSES),
            source: params.list("source"),
            limit: params.number("limit", LIMITS, DEFAULT_LIMIT),
            cursor: params.text("cursor", cursor::MAX_CHARS),
        };
        params.finish()?;
        Ok(query)
    }

    /// All that decides which launches there are.
    fn rows(&self) -> BTreeMap<&'static str, String> {
        let lists = [("status", &self.status), ("source", &self.source)];
        lists.into_iter().filter_map(|(name, list)| Some((name, list.as_ref()?.join(",")))).collect()
    }

    fn link_to(&self, cursor: &str) -> String {
        let mut pairs = self.rows();
        pairs.insert("limit", self.limit.to_string());
        pairs.insert("cursor", cursor.to_owned());
        format!("</runs?{}>; rel=\"next\"", serde_urlencoded::to_string(&pairs).unwrap_or_default())
    }
}

/// Lists the launches of the ETL, newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", operation_id = "runs", params(Query), responses(
    (status = 200, description = "A page.", body = RunPage, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page (`rel=\"next\"`), when there is one.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn list(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let query = Query::parse(&request)?;
    let scope = named("runs", &query.rows());
    let before = match &query.cursor {
        Some(text) => {
            Some(cursor::unseal(text, &scope).and_then(|at| at.parse().ok()).ok_or_else(cursor::foreign)?)
        }
        None => None,
    };
    snapshots
        .at_once(&request, scope.clone(), move |connection, known| {
            if let Some(names) = &query.source {
                sources::find_all(known, names)?;
            }
            let wanted = Wanted {
                statuses: query.status.clone(),
                sources: query.source.clone(),
                before,
                limit: i64::from(query.limit) + 1,
            };
            let mut launches = run_log::load(connection, &wanted)?;
            let more = launches.len() > query.limit as usize;
            launches.truncate(query.limit as usize);
            let last = launches.last().filter(|_| more);
            let next_cursor = last.map(|last| cursor::seal(&scope, &last.run_id.to_string()));
            let link = next_cursor.as_deref().map(|cursor| query.link_to(cursor));
            let page = RunPage { data: launches.into_iter().map(Run::from).collect(), next_cursor };
            Ok(Rendered::json(&page)?.with_link(link))
        })
        .await
}
