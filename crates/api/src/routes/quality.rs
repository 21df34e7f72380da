//! `GET /quality`: what the plausibility rules have found, and since when.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::plausibility::RULES;
use kasparro_core::store::quality::{self, Wanted};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use crate::answer::Rendered;
use crate::params::{Choice, Params};
use crate::problem::Problem;
use crate::snapshot::Snapshots;
use crate::{cursor, schemas, sources};

const LIMITS: RangeInclusive<u32> = 1..=250;
const DEFAULT_LIMIT: u32 = 50;

/// The rules, and what they have found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Quality {
    /// Every rule that is declared.
    rules: Vec<RuleBody>,
    /// What was found, the newest first.
    data: Vec<FindingBody>,
    /// `cursor` of the next page; null when there is none.
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// A plausibility rule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleBody {
    /// Stable name.
    #[schema(value_type = String, example = "tiny_volume_for_rank")]
    rule: &'static str,
    /// What is wrong when it is broken.
    #[schema(value_type = String, example = "a coin of the first hundred by rank with a volume below 10,000 US dollars in 24 hours")]
    meaning: &'static str,
    /// How many coins break it now.
    #[schema(example = 1, minimum = 0)]
    open: i64,
}

/// One rule that one coin breaks, or broke.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingBody {
    /// Name of the rule.
    #[schema(example = "tiny_volume_for_rank")]
    rule: String,
    /// The asset; null while the coin belongs to none.
    #[schema(example = "bitcoin")]
    asset_id: Option<String>,
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    data_source: String,
    /// The id that it gives the coin.
    #[schema(example = "btc-bitcoin")]
    crypto_id: String,
    /// Id of the observation that broke it last: `GET /lineage/{id}`.
    #[schema(example = "58-1795454102000000")]
    observation: String,
    /// The figures that break it.
    #[schema(example = "rank 1, volume_24h_usd 5")]
    evidence: String,
    /// Number of checks that found it since `first_seen_at`.
    #[schema(example = 3, minimum = 1)]
    times: i64,
    /// First check that found it, UTC.
    #[schema(example = "2026-11-23T15:00:04Z")]
    first_seen_at: DateTime<Utc>,
    /// Last check that found it, UTC.
    #[schema(example = "2026-11-23T15:30:04Z")]
    last_seen_at: DateTime<Utc>,
    /// First check that did not find it any more, UTC; null while it holds.
    #[schema(example = json!(null))]
    cleared_at: Option<DateTime<Utc>>,
}

/// Which findings are meant.
#[derive(Clone, Copy, Debug)]
struct State(Option<bool>);

impl Choice for State {
    const ALL: &'static [(&'static str, Self)] =
        &[("open", Self(Some(true))), ("cleared", Self(Some(false))), ("all", Self(None))];
}

/// Parameters of `GET /quality`.
struct Query;

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            schemas::list("rule", "Only what these rules have found.", schemas::word(&names())).build(),
            schemas::list("source", "Only coins of these sources.", schemas::source()).build(),
            schemas::query(
                "state",
                "Findings that hold, those that do not any more, or both.",
                schemas::choice::<State>(),
            )
            .build(),
            schemas::query("limit", "Most findings of the page.", schemas::number(&LIMITS, DEFAULT_LIMIT))
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

fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

/// Shows what cannot be true: the declared plausibility rules, and the coins whose newest figures break them, with since when.
///
/// The rules are checked after each run that brought something. They change no value.
#[utoipa::path(get, path = "/quality", tag = "provenance", operation_id = "quality", params(Query), responses(
    (status = 200, description = "A page.", body = Quality, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch."),
        ("Link" = String, description = "Address of the next page (`rel=\"next\"`), when there is one.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn show(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let rules = params.words("rule", &names());
    let wanted_sources = params.list("source");
    let State(open) = params.choice("state");
    let limit = params.number("limit", LIMITS, DEFAULT_LIMIT);
    let position = params.text("cursor", cursor::MAX_CHARS);
    params.finish()?;
    let mut pairs: BTreeMap<&'static str, String> = BTreeMap::new();
    let lists = [("rule", &rules), ("source", &wanted_sources)];
    pairs.extend(lists.into_iter().filter_map(|(name, list)| Some((name, list.as_ref()?.join(",")))));
    let state = State::ALL.iter().find(|(_, state)| state.0 == open).map_or("", |(word, _)| word);
    pairs.insert("state", state.to_owned());
    let scope = json!(["quality", pairs]).to_string();
    let behind = match position {
        Some(text) => {
            Some(cursor::unseal(&text, &scope).and_then(|at| place(&at)).ok_or_else(cursor::foreign)?)
        }
        None => None,
    };
    let wanted = Wanted { rules, sources: wanted_sources, open, behind, limit: i64::from(limit) + 1 };
    snapshots
        .at_once(&request, scope.clone(), move |connection, known| {
            if let Some(names) = &wanted.sources {
                sources::find_all(known, names)?;
            }
            let mut found = quality::load(connection, &wanted)?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next_cursor = found.last().filter(|_| more).map(|last| {
                let at = format!("{},{},{}", last.first_seen_at.timestamp_micros(), last.rule, last.coin_id);
                cursor::seal(&scope, &at)
            });
            let link = next_cursor.as_ref().map(|cursor| {
                let mut pairs = pairs.clone();
                pairs.insert("limit", limit.to_string());
                pairs.insert("cursor", cursor.clone());
                format!(
                    "</quality?{}>; rel=\"next\"",
                    serde_urlencoded::to_string(&pairs).unwrap_or_default()
                )
            });
            let open: BTreeMap<String, i64> = quality::open_by_rule(connection)?.into_iter().collect();
            let rule = |rule: &kasparro_core::plausibility::Rule| RuleBody {
                rule: rule.name,
                meaning: rule.meaning,
                open: open.get(rule.name).copied().unwrap_or(0),
            };
            let data = found.into_iter().map(FindingBody::from).collect();
            let body = Quality { rules: RULES.iter().map(rule).collect(), data, next_cursor };
            Ok(Rendered::json(&body)?.with_link(link))
        })
        .await
}

fn place(text: &str) -> Option<(DateTime<Utc>, String, i32)> {
    let mut parts = text.split(',');
    let time = DateTime::from_timestamp_micros(parts.next()?.parse().ok()?)?;
    Some((time, parts.next()?.to_owned(), parts.next()?.parse().ok()?))
}

impl From<quality::Finding> for FindingBody {
    fn from(row: quality::Finding) -> Self {
        Self {
            observation: format!("{}-{}", row.coin_id, row.observed_at.timestamp_micros()),
            rule: row.rule,
            asset_id: row.slug,
            data_source: row.data_source,
            crypto_id: row.crypto_id,
            evidence: row.evidence,
            times: row.times,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            cleared_at: row.cleared_at,
        }
    }
}
