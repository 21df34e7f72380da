//! An asset as it is shown, put together from the newest observations of its coins.

use chrono::{DateTime, TimeDelta, Utc};
use kasparro_core::consensus::{self, Consensus, Quote};
use kasparro_core::store::market::Member;
use kasparro_core::store::version::{self, SourceState};
use kasparro_core::{Decimal, arithmetic};
use serde::Serialize;
use utoipa::ToSchema;

use crate::freshness::Bound;

/// One asset over all sources. Figures are the median over the sources that are fresh, exactly; when none is, they are
/// those of the newest observation, and `is_stale` says so. Null is "not known".
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Asset {
    /// Readable, given once and never changed.
    #[schema(example = "bitcoin")]
    pub(super) asset_id: String,
    /// Name.
    #[schema(example = "Bitcoin")]
    pub(super) name: String,
    /// Symbol.
    #[schema(example = "BTC")]
    pub(super) symbol: Option<String>,
    /// US dollars per coin: the consensus of the fresh sources, see `GET /assets/{id}`.
    #[schema(value_type = Option<f64>, example = json!(91234.5678), minimum = 0)]
    pub(super) price_usd: Option<Decimal>,
    /// US dollars.
    #[schema(value_type = Option<f64>, example = json!(1812345678901.5), minimum = 0)]
    pub(super) market_cap_usd: Option<Decimal>,
    /// US dollars traded in 24 hours.
    #[schema(value_type = Option<f64>, example = json!(45678901234.5), minimum = 0)]
    pub(super) volume_24h_usd: Option<Decimal>,
    /// Percent: 1.5 is 1.5 %.
    #[schema(value_type = Option<f64>, example = json!(-1.25))]
    pub(super) change_24h_percent: Option<Decimal>,
    /// Best rank by market capitalisation that a source gives.
    #[schema(example = 1, minimum = 1)]
    pub(super) rank: Option<i32>,
    /// Whether no source is fresh, so that the figures are of the newest observation.
    #[schema(example = false)]
    pub(super) is_stale: bool,
    /// Time of the newest observation, UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    pub(super) observed_at: DateTime<Utc>,
    /// Its age when the newest batch of any source was written, in whole seconds.
    #[schema(example = 3, minimum = 0)]
    pub(super) age_seconds: Option<i64>,
    /// Greatest less least price of the fresh sources, in percent of their median; null with fewer than two.
    #[schema(value_type = Option<f64>, example = json!(0.0312), minimum = 0)]
    pub(super) spread_percent: Option<Decimal>,
    /// The coins of sources that it is, by source.
    pub(super) sources: Vec<SourceId>,
}

/// What a source calls an asset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SourceId {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    pub(super) data_source: String,
    /// The id that it gives the coin.
    #[schema(example = "btc-bitcoin")]
    pub(super) crypto_id: String,
}

/// The time as of which things are fresh or stale: that of the newest batch, so that an answer stays the same until the
/// data changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Option<DateTime<Utc>>,
    /// What was observed before is stale.
    pub(super) fresh_from: DateTime<Utc>,
}

impl Moment {
    pub(super) fn of(known: &[SourceState], bound: Bound) -> Self {
        let now = version::newest_batch_at(known);
        let span = TimeDelta::from_std(bound.0).unwrap_or(TimeDelta::MAX);
        let fresh_from = now.and_then(|now| now.checked_sub_signed(span)).unwrap_or(DateTime::<Utc>::MIN_UTC);
        Self { now, fresh_from }
    }

    pub(super) fn age(&self, observed_at: DateTime<Utc>) -> Option<i64> {
        self.now.map(|now| (now - observed_at).num_seconds().max(0))
    }

    pub(super) fn is_stale(&self, observed_at: DateTime<Utc>) -> bool {
        observed_at < self.fresh_from
    }
}

/// The consensus over the members of one asset.
pub(super) fn consensus(members: &[Member], moment: &Moment) -> Consensus {
    let quotes: Vec<Quote<'_>> = members
        .iter()
        .map(|member| Quote {
            price: member.observation.price_usd.as_ref(),
            observed_at: member.observation.observed_at,
        })
        .collect();
    consensus::of(&quotes, moment.fresh_from)
}

impl Asset {
    /// Puts an asset together; `members` are its coins, at least one.
    pub(super) fn of(members: &[Member], moment: &Moment) -> Option<Self> {
        let newest = members.iter().max_by_key(|member| member.observation.observed_at)?;
        let found = consensus(members, moment);
        let figure = |of: fn(&Member) -> Option<&Decimal>| {
            let fresh = members.iter().filter(|m| !moment.is_stale(m.observation.observed_at));
            arithmetic::median(fresh.filter_map(of).collect()).or_else(|| {
                let newest_known = members.iter().filter(|member| of(member).is_some());
                newest_known.max_by_key(|m| m.observation.observed_at).and_then(of).cloned()
            })
        };
        let is_stale = moment.is_stale(newest.observation.observed_at);
        Some(Self {
            asset_id: newest.slug.clone(),
            name: newest.asset_name.clone(),
            symbol: newest.asset_symbol.clone(),
            price_usd: found.price.or_else(|| figure(|m| m.observation.price_usd.as_ref())),
            market_cap_usd: figure(|m| m.observation.market_cap_usd.as_ref()),
            volume_24h_usd: figure(|m| m.observation.volume_24h_usd.as_ref()),
            change_24h_percent: figure(|m| m.observation.change_24h_percent.as_ref()),
            rank: members.iter().filter_map(|member| member.observation.rank).min(),
            is_stale,
            observed_at: newest.observation.observed_at,
            age_seconds: moment.age(newest.observation.observed_at),
            spread_percent: found.spread_percent,
            sources: members
                .iter()
                .map(|member| SourceId {
                    data_source: member.observation.data_source.clone(),
                    crypto_id: member.observation.crypto_id.clone(),
                })
                .collect(),
        })
    }
}

/// The members of each asset, in the order of the store.
pub(super) fn by_asset(members: &[Member]) -> impl Iterator<Item = &[Member]> {
    members.chunk_by(|a, b| a.asset_id == b.asset_id)
}
