//! `GET /data/{crypto_id}`: the newest observation of a coin.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use kasparro_core::store::version::SourceState;
use serde::Serialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use crate::answer::Rendered;
use crate::observation::{Fields, Observation};
use crate::params::{self, MAX_TEXT_CHARS, Params};
use crate::problem::{Code, Problem};
use crate::reads::{Begin, Question, Reads, Seen};
use crate::snapshot::Snapshots;
use crate::{db, schemas, sources};

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
    snapshots.answer(&request, canonical, Coin { crypto_id, source: query.source }).await
}

/// Which coin is wanted.
struct Coin {
    crypto_id: String,
    /// Name of the one source that is asked; of all if `None`.
    source: Option<String>,
}

impl Question for Coin {
    async fn ask(&self, reads: &Reads, sources: &Arc<[SourceState]>, begin: &Begin) -> Result<Seen, Problem> {
        let source = self.source.as_deref().map(|name| sources::find(sources, name)).transpose()?;
        begin();
        let found = reads.newest(&self.crypto_id).await?;
        let row = found
            .rows
            .iter()
            // A source that has delivered nothing yet has no coin.
            .filter(|(id, _)| source.is_none_or(|source| source.is_some_and(|s| s.source_id == *id)))
            .map(|(_, row)| row)
            .filter(|row| row.crypto_id == self.crypto_id)
            .max_by_key(|row| (row.observed_at, row.coin_id))
            .ok_or_else(|| unknown_coin(self.source.as_deref()))?;
        let shown = Observation::of(row.clone(), Fields::ALL, sources);
        let rendered = Rendered::json(&shown).map_err(db::refusal)?;
        Ok(Seen { rendered, version: found.version })
    }
}

fn unknown_coin(source: Option<&str>) -> Problem {
    let detail = match source {
        Some(source) => format!("{source} has delivered no coin with this id"),
        None => "no source has delivered a coin with this id".to_owned(),
    };
    Problem::new(Code::UnknownCoin, detail)
}
