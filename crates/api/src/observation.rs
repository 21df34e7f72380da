//! One observation as the service shows it.

use chrono::{DateTime, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::listed;
use serde::Serialize;
use utoipa::ToSchema;

/// What one source said of one coin at one time. Null is "not known", which is not zero. Amounts are JSON numbers
/// in plain decimal notation with every digit that the source sent: read them as decimals to keep them all.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Observation {
    /// Opaque; the same observation keeps it.
    #[schema(example = "17-1795446000000000")]
    id: String,
    /// The id that the source gives the coin; opaque.
    #[schema(example = "btc-bitcoin")]
    crypto_id: String,
    /// Name as the source sends it.
    #[schema(example = "Bitcoin")]
    crypto_name: Option<String>,
    /// Symbol as the source sends it.
    #[schema(example = "BTC")]
    symbol: Option<String>,
    /// US dollars per coin.
    #[schema(value_type = Option<f64>, example = json!(91234.567891234), minimum = 0)]
    price_usd: Option<Decimal>,
    /// US dollars.
    #[schema(value_type = Option<f64>, example = json!(1812345678901.5), minimum = 0)]
    market_cap_usd: Option<Decimal>,
    /// US dollars traded in 24 hours.
    #[schema(value_type = Option<f64>, example = json!(45678901234.5), minimum = 0)]
    volume_24h_usd: Option<Decimal>,
    /// Change of the price in 24 hours in percent: 1.5 is 1.5 %.
    #[schema(value_type = Option<f64>, example = json!(-1.25))]
    change_24h_percent: Option<Decimal>,
    /// Rank by market capitalisation, from 1.
    #[schema(example = 1, minimum = 1)]
    rank: Option<i32>,
    /// Coins.
    #[schema(value_type = Option<f64>, example = json!(19876543), minimum = 0)]
    circulating_supply: Option<Decimal>,
    /// Coins.
    #[schema(value_type = Option<f64>, example = json!(19876543), minimum = 0)]
    total_supply: Option<Decimal>,
    /// Coins.
    #[schema(value_type = Option<f64>, example = json!(21000000), minimum = 0)]
    max_supply: Option<Decimal>,
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    data_source: String,
    /// The source's own time of the observation, UTC.
    #[schema(example = "2026-11-23T15:00:00Z")]
    observed_at: DateTime<Utc>,
    /// When it was written, UTC.
    #[schema(example = "2026-11-23T15:00:03.512345Z")]
    created_at: DateTime<Utc>,
}

impl From<listed::Observation> for Observation {
    fn from(row: listed::Observation) -> Self {
        Self {
            id: row.id(),
            crypto_id: row.crypto_id,
            crypto_name: row.crypto_name,
            symbol: row.symbol,
            price_usd: row.price_usd,
            market_cap_usd: row.market_cap_usd,
            volume_24h_usd: row.volume_24h_usd,
            change_24h_percent: row.change_24h_percent,
            rank: row.rank,
            circulating_supply: row.circulating_supply,
            total_supply: row.total_supply,
            max_supply: row.max_supply,
            data_source: row.data_source,
            observed_at: row.observed_at,
            created_at: row.created_at,
        }
    }
}
