//! `GET /data/{crypto_id}`: the newest observation of a coin.

use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::store::latest;
use serde::Serialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::answer::Rendered;
use crate::observation::{Fields, Observation};
use crate::params::{self, MAX_TEXT_CHARS, Params};
use crate::problem::{Code, Problem};
use crate::snapshot::{Seen, Snapshots};
use crate::{schemas, sources};

/// Parameters of `GET /data/{crypto_id}` beside the id.
#[derive(Clone, Debug, Serialize)]
struct Query {
    source: Option<String>,
}

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            schemas::segment(
                "crypto_id",
                "The id that a source gives the coin; opaque.",
                schemas::text(MAX_TEXT_CHARS),
            )
            .example(Some(json!("btc-bitcoin")))
            .build(),
            schemas::query("source", "Only what this source says.", schemas::source())
                .example(Some(json!("coinpaprika")))
                .build(),
        ]
    }
}

/// Shows the newest observation of a coin, by the source's own time.
///
/// The id is that of the source, percent-encoded: ids may hold `?`, blanks and any script.
#[utoipa::path(get, path = "/data/{crypto_id}", tag = "data", operation_id = "newest",
    params(Query),
    responses(
        (status = 200, description = "The newest observation.", body = Observation, headers(
            ("ETag" = String, description = "Version of this answer, for If-None-Match."),
            ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch.")
        )),
        (status = 304, description = "The client has it already (If-None-Match).")
    ))]
pub(crate) async fn newest(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let crypto_id = params::path_text(&request, "crypto_id")?;
    let mut params = Params::of(&request)?;
    let query = Query { source: params.text("source", MAX_TEXT_CHARS) };
    params.finish()?;
    let canonical = serde_json::to_string(&("coin", &crypto_id, &query)).unwrap_or_default();
    snapshots
        .data(&request, canonical, move |connection, known| {
            let source = query.source.as_deref().map(|name| sources::find(known, name)).transpose()?;
            let row = match source {
                // Asked for a source that has delivered nothing yet.
                Some(None) => None,
                Some(Some(source)) => latest::newest(connection, &crypto_id, Some(source.source_id))?,
                None => latest::newest(connection, &crypto_id, None)?,
            };
            let (row, version) = row.ok_or_else(|| unknown_coin(query.source.as_deref()))?;
            Ok(Seen { rendered: Rendered::json(&Observation::of(row, Fields::ALL, known))?, version })
        })
        .await
}

fn unknown_coin(source: Option<&str>) -> Problem {
    let detail = match source {
        Some(source) => format!("{source} has delivered no coin with this id"),
        None => "no source has delivered a coin with this id".to_owned(),
    };
    Problem::new(Code::UnknownCoin, detail)
}
