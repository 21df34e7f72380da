//! `GET /compare`: where sources disagree most now.

use std::ops::RangeInclusive;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::store::market::{self, Member};
use kasparro_core::store::version::SourceState;
use kasparro_core::{Decimal, plausibility};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::one::values;
use super::view::{Moment, by_asset, consensus};
use crate::answer::Rendered;
use crate::db::{Connection, ReadError};
use crate::freshness::Bound;
use crate::params::Params;
use crate::problem::Problem;
use crate::schemas;
use crate::snapshot::Snapshots;

const LIMITS: RangeInclusive<u32> = 1..=250;
const DEFAULT_LIMIT: u32 = 20;

/// Where sources disagree.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disagreements {
    /// How many assets have fresh prices of two sources or more.
    #[schema(example = 1840, minimum = 0)]
    compared: usize,
    /// The assets whose prices are furthest apart, in percent of their median, first.
    disagreements: Vec<Disagreement>,
    /// How many coins have figures that break a plausibility rule.
    #[schema(example = 31, minimum = 0)]
    implausible_total: usize,
    /// Coins whose figures break a plausibility rule, best rank first: `GET /quality` has all of them, with since when.
    implausible: Vec<Implausible>,
}

/// One asset over which sources disagree.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Disagreement {
    /// The asset.
    #[schema(example = "bitcoin")]
    asset_id: String,
    /// Its name.
    #[schema(example = "Bitcoin")]
    name: String,
    /// Its symbol.
    #[schema(example = "BTC")]
    symbol: Option<String>,
    /// Which price to believe: US dollars per coin.
    #[schema(value_type = Option<f64>, example = json!(91234.5678), minimum = 0)]
    consensus_usd: Option<Decimal>,
    /// Greatest less least of the fresh prices: US dollars.
    #[schema(value_type = f64, example = json!(12.5), minimum = 0)]
    spread_usd: Decimal,
    /// The same in percent of their median.
    #[schema(value_type = f64, example = json!(0.0137), minimum = 0)]
    spread_percent: Decimal,
    /// The fresh prices.
    prices: Vec<Price>,
}

/// What one source says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Price {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    data_source: String,
    /// The id that it gives the coin.
    #[schema(example = "btc-bitcoin")]
    crypto_id: String,
    /// US dollars per coin.
    #[schema(value_type = f64, example = json!(91240.1), minimum = 0)]
    price_usd: Decimal,
    /// When it says so, UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    observed_at: DateTime<Utc>,
    /// Age when the newest batch of any source was written, in whole seconds.
    #[schema(example = 3, minimum = 0)]
    age_seconds: Option<i64>,
}

/// A coin with figures that cannot be true.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Implausible {
    /// The asset.
    #[schema(example = "bitcoin")]
    asset_id: String,
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    data_source: String,
    /// The id that it gives the coin.
    #[schema(example = "btc-bitcoin")]
    crypto_id: String,
    /// Rank by market capitalisation.
    #[schema(example = 1, minimum = 1)]
    rank: Option<i32>,
    /// Names of the rules that are broken.
    #[schema(value_type = Vec<String>, example = json!(["tiny_volume_for_rank"]))]
    rules: Vec<&'static str>,
}

/// Parameters of `GET /compare`.
struct Query;

impl IntoParams for Query {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = schemas::number(&LIMITS, DEFAULT_LIMIT);
        vec![schemas::query("limit", "Most entries of each list.", number).build()]
    }
}

/// Shows where sources disagree most now, with the age of what they say, and which coins have figures that cannot be true.
#[utoipa::path(get, path = "/compare", tag = "assets", operation_id = "compare", params(Query), responses(
    (status = 200, description = "The disagreements.", body = Disagreements, headers(
        ("ETag" = String, description = "Version of this answer, for If-None-Match."),
        ("X-Data-Version" = String, description = "Version of the data; changes with each committed batch.")
    )),
    (status = 304, description = "The client has it already (If-None-Match).")
))]
pub(crate) async fn compare(
    request: HttpRequest,
    snapshots: web::Data<Snapshots>,
    stale_after: web::Data<Bound>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let limit = params.number("limit", LIMITS, DEFAULT_LIMIT);
    params.finish()?;
    let bound = **stale_after;
    let canonical = json!(["disagreements", limit]).to_string();
    snapshots
        .data(&request, canonical, move |connection, known| {
            Rendered::json(&read(connection, known, bound, limit as usize)?)
        })
        .await
}

fn read(
    connection: &mut Connection,
    known: &[SourceState],
    bound: Bound,
    limit: usize,
) -> Result<Disagreements, ReadError> {
    let moment = Moment::of(known, bound);
    let members = market::all(connection)?;
    let mut disagreements: Vec<Disagreement> =
        by_asset(&members).filter_map(|members| Disagreement::of(members, &moment)).collect();
    disagreements
        .sort_by(|a, b| b.spread_percent.cmp(&a.spread_percent).then_with(|| a.asset_id.cmp(&b.asset_id)));
    let mut implausible: Vec<Implausible> = members.iter().filter_map(Implausible::of).collect();
    implausible.sort_by(|a, b| {
        let key =
            |one: &Implausible| (one.rank.unwrap_or(i32::MAX), one.asset_id.clone(), one.data_source.clone());
        key(a).cmp(&key(b))
    });
    let (compared, implausible_total) = (disagreements.len(), implausible.len());
    disagreements.truncate(limit);
    implausible.truncate(limit);
    Ok(Disagreements { compared, disagreements, implausible_total, implausible })
}

impl Disagreement {
    /// `None` when fewer than two prices are fresh.
    fn of(members: &[Member], moment: &Moment) -> Option<Self> {
        let first = members.first()?;
        let found = consensus(members, moment);
        let fresh = members.iter().filter(|member| !moment.is_stale(member.observation.observed_at));
        let prices = fresh.filter_map(|member| {
            Some(Price {
                data_source: member.observation.data_source.clone(),
                crypto_id: member.observation.crypto_id.clone(),
                price_usd: member.observation.price_usd.clone()?,
                observed_at: member.observation.observed_at,
                age_seconds: moment.age(member.observation.observed_at),
            })
        });
        Some(Self {
            asset_id: first.slug.clone(),
            name: first.asset_name.clone(),
            symbol: first.asset_symbol.clone(),
            spread_usd: found.spread?,
            spread_percent: found.spread_percent?,
            consensus_usd: found.price,
            prices: prices.collect(),
        })
    }
}

impl Implausible {
    fn of(member: &Member) -> Option<Self> {
        let rules: Vec<&'static str> =
            plausibility::broken(&values(&member.observation)).map(|rule| rule.name).collect();
        (!rules.is_empty()).then(|| Self {
            asset_id: member.slug.clone(),
            data_source: member.observation.data_source.clone(),
            crypto_id: member.observation.crypto_id.clone(),
            rank: member.observation.rank,
            rules,
        })
    }
}
