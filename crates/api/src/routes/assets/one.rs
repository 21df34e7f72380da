//! `GET /assets/{id}`: what each source says of one asset, and which price to believe.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use kasparro_core::consensus::LeftOut;
use kasparro_core::store::coin_state::{self, CoinState};
use kasparro_core::store::market::{self, Member};
use kasparro_core::store::version::SourceState;
use kasparro_core::{Decimal, Values, plausibility};
use serde::Serialize;
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::view::{Asset, Moment, consensus};
use crate::answer::Rendered;
use crate::freshness::Bound;
use crate::observation::{Fields, Observation};
use crate::params;
use crate::problem::{Code, Problem};
use crate::snapshot::Snapshots;

/// One asset with what each source says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetDetail {
    /// The asset.
    asset: Asset,
    /// Which price to believe.
    consensus: ConsensusBody,
    /// What each source says, by source.
    sources: Vec<SourceView>,
}

/// Which price to believe: the median, exactly, of the fresh prices that are not further than 10 % from the median of all
/// fresh ones; that is judged from three prices on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsensusBody {
    /// US dollars per coin; null when no price is fresh.
    #[schema(value_type = Option<f64>, example = json!(91234.5678), minimum = 0)]
    price_usd: Option<Decimal>,
    /// How many prices it rests on.
    #[schema(example = 2, minimum = 0)]
    prices: usize,
    /// Which do not count, and why.
    left_out: Vec<LeftOutBody>,
    /// Greatest less least of all fresh prices, in US dollars; null with fewer than two.
    #[schema(value_type = Option<f64>, example = json!(12.5), minimum = 0)]
    spread_usd: Option<Decimal>,
    /// The same in percent of their median.
    #[schema(value_type = Option<f64>, example = json!(0.0137), minimum = 0)]
    spread_percent: Option<Decimal>,
    /// What was observed before this time counts as stale, UTC.
    #[schema(example = "2026-11-22T15:00:03Z")]
    fresh_from: DateTime<Utc>,
}

/// A price that does not count.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeftOutBody {
    /// Name of the source.
    #[schema(example = "csv")]
    data_source: String,
    /// The id that it gives the coin.
    #[schema(example = "BTC-Bitcoin")]
    crypto_id: String,
    /// Why: it is too old, there is none, or it is too far from the others.
    reason: Reason,
}

/// Why a price does not count.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    /// It is too old.
    Stale,
    /// There is none.
    Null,
    /// It is too far from the others.
    Outlier,
}

/// What one source says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    /// Its newest observation.
    observation: Observation,
    /// Whether that is too old to count.
    #[schema(example = false)]
    is_stale: bool,
    /// How far its price is from the consensus, in percent; null when either is not known.
    #[schema(value_type = Option<f64>, example = json!(-0.0213))]
    deviation_percent: Option<Decimal>,
    /// Names of the plausibility rules that its figures break: `GET /quality`.
    #[schema(value_type = Vec<String>, example = json!([]))]
    flags: Vec<&'static str>,
    /// Why the coin belongs to the asset.
    link: LinkBody,
    /// Whether the source still has the coin; null until that was looked at for the first time.
    state: Option<StateBody>,
}

/// Whether a source still has a coin.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateBody {
    /// `active`: priced in the newest complete read; `out_of_window`: listed, but not priced; `missing`: neither; `inactive`:
    /// the source lists it as inactive; `migrated`: the source goes on with it under another id.
    #[schema(example = "active")]
    name: String,
    /// Since when, UTC.
    #[schema(example = "2026-11-23T15:00:04Z")]
    since: DateTime<Utc>,
    /// The id under which the same source goes on; null unless migrated.
    #[schema(example = json!(null))]
    migrated_to: Option<String>,
}

impl StateBody {
    fn of(state: CoinState) -> Self {
        Self { name: state.state, since: state.since, migrated_to: state.migrated_to }
    }
}

/// Why a coin belongs to an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkBody {
    /// `own`, `declared`, `contract`, `id` or `name`.
    #[schema(example = "name")]
    method: String,
    /// Share of the links of this kind that is right, as measured.
    #[schema(example = 0.998, minimum = 0, maximum = 1)]
    confidence: f64,
    /// Since when, UTC.
    #[schema(example = "2026-11-23T15:00:04Z")]
    since: DateTime<Utc>,
}

/// The parameter of the route.
struct Id;

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![super::id_parameter()]
    }
}

/// Shows one asset: the newest observation of each source with its age, the consensus price, and who was left out of it.
#[utoipa::path(get, path = "/assets/{id}", tag = "assets", operation_id = "asset", params(Id), responses(
    (status = 200, description = "The asset.", body = AssetDetail, headers(
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
    let id = super::id_of(&request, 0)?;
    params::none(&request)?;
    let bound = **stale_after;
    let canonical = json!(["asset", id]).to_string();
    snapshots
        .data(&request, canonical, move |connection, known| {
            let meant = super::meant(connection, &id)?;
            let members = market::members(connection, &[meant.asset_id])?;
            let coin_ids: Vec<i32> = members.iter().map(|member| member.observation.coin_id).collect();
            let states = coin_state::present(connection, &coin_ids)?;
            let detail = AssetDetail::of(members, states, known, bound).ok_or_else(|| {
                Problem::new(Code::UnknownAsset, "no source has delivered an observation of this asset")
            })?;
            Rendered::json(&detail)
        })
        .await
}

impl AssetDetail {
    fn of(members: Vec<Member>, states: Vec<CoinState>, known: &[SourceState], bound: Bound) -> Option<Self> {
        let mut states: HashMap<i32, CoinState> =
            states.into_iter().map(|state| (state.coin_id, state)).collect();
        let moment = Moment::of(known, bound);
        let asset = Asset::of(&members, &moment)?;
        let found = consensus(&members, &moment);
        let left_out = members.iter().zip(&found.left_out).filter_map(|(member, reason)| {
            Some(LeftOutBody {
                data_source: member.observation.data_source.clone(),
                crypto_id: member.observation.crypto_id.clone(),
                reason: match (*reason)? {
                    LeftOut::Null => Reason::Null,
                    LeftOut::Stale => Reason::Stale,
                    LeftOut::Outlier => Reason::Outlier,
                },
            })
        });
        let consensus = ConsensusBody {
            prices: found.left_out.iter().filter(|reason| reason.is_none()).count(),
            left_out: left_out.collect(),
            spread_usd: found.spread,
            spread_percent: found.spread_percent,
            fresh_from: moment.fresh_from,
            price_usd: found.price,
        };
        let believed = consensus.price_usd.clone();
        let sources = members.into_iter().map(|member| {
            let Member { observation, method, confidence, linked_at, .. } = member;
            let deviation = observation.price_usd.as_ref().zip(believed.as_ref());
            SourceView {
                is_stale: moment.is_stale(observation.observed_at),
                deviation_percent: deviation
                    .and_then(|(price, believed)| price.minus(believed)?.percent_of(believed)),
                flags: plausibility::broken(&values(&observation)).map(|rule| rule.name).collect(),
                link: LinkBody { method, confidence, since: linked_at },
                state: states.remove(&observation.coin_id).map(StateBody::of),
                observation: Observation::of(observation, Fields::ALL, known),
            }
        });
        Some(Self { asset, consensus, sources: sources.collect() })
    }
}

/// The figures of an observation, for the rules.
pub(super) fn values(observation: &kasparro_core::store::listed::Observation) -> Values {
    Values {
        rank: observation.rank,
        price_usd: observation.price_usd.clone(),
        market_cap_usd: observation.market_cap_usd.clone(),
        volume_24h_usd: observation.volume_24h_usd.clone(),
        change_24h_percent: observation.change_24h_percent.clone(),
        circulating_supply: observation.circulating_supply.clone(),
        total_supply: observation.total_supply.clone(),
        max_supply: observation.max_supply.clone(),
    }
}
