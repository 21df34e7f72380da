//! One observation as the service shows it.

use chrono::{DateTime, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::listed;
use kasparro_core::store::version::{self, SourceState};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use utoipa::ToSchema;

use crate::csv::Cell as _;

/// Which fields of an observation are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields(u32);

impl Fields {
    /// All of them.
    pub(crate) const ALL: Self = Self(u32::MAX);

    /// Those of these names; the order is that of the observation.
    pub(crate) fn named(names: &[String]) -> Self {
        let shown = |name: &&str| names.iter().any(|wanted| wanted == name);
        let bits = NAMES.iter().enumerate().filter(|(_, name)| shown(name)).map(|(at, _)| 1 << at);
        Self(bits.fold(0, |all, bit: u32| all | bit))
    }

    /// Appends the names as the first line of CSV.
    pub(crate) fn write_csv_header(self, out: &mut Vec<u8>) {
        let names: Vec<&str> =
            NAMES.iter().enumerate().filter(|(at, _)| self.has(*at)).map(|(_, name)| *name).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.extend_from_slice(END_OF_LINE);
    }

    fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }
}

const END_OF_LINE: &[u8] = b"\r\n";

macro_rules! serialised {
    ($($field:ident)+) => {
        /// Names of the fields, in their order.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($field)),+];

        impl Serialize for Observation {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                let mut at = 0;
                $(
                    if self.shown.has(at) {
                        map.serialize_entry(stringify!($field), &self.$field)?;
                    }
                    at += 1;
                )+
                let _ = at;
                map.end()
            }
        }

        impl Observation {
            /// Appends the observation as a line of CSV.
            pub(crate) fn write_csv(&self, shown: Fields, out: &mut Vec<u8>) {
                let (mut at, mut is_first) = (0, true);
                $(
                    if shown.has(at) {
                        if !std::mem::take(&mut is_first) {
                            out.push(b',');
                        }
                        self.$field.write(out);
                    }
                    at += 1;
                )+
                let _ = (at, is_first);
                out.extend_from_slice(END_OF_LINE);
            }
        }
    };
}

serialised! {
    id crypto_id crypto_name symbol price_usd market_cap_usd volume_24h_usd change_24h_percent rank circulating_supply total_supply max_supply data_source observed_at created_at age_seconds asset_id
}

/// What one source said of one coin at one time. Null is "not known", which is not zero. Amounts are JSON numbers
/// in plain decimal notation with every digit that the source sent: read them as decimals to keep them all.
#[derive(Debug, ToSchema)]
pub(crate) struct Observation {
    #[schema(ignore)]
    shown: Fields,
    /// Opaque; the same observation keeps it.
    #[schema(example = "17-1795446000000000", required = false)]
    id: String,
    /// The id that the source gives the coin; opaque.
    #[schema(example = "btc-bitcoin", required = false)]
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
    #[schema(example = "coinpaprika", required = false)]
    data_source: String,
    /// The source's own time of the observation, UTC.
    #[schema(example = "2026-11-23T15:00:00Z", required = false)]
    observed_at: DateTime<Utc>,
    /// When it was written, UTC.
    #[schema(example = "2026-11-23T15:00:03.512345Z", required = false)]
    created_at: DateTime<Utc>,
    /// Age of the observation when the newest batch of any source was written, in whole seconds: that time is the
    /// `Last-Modified` of the answer, and the time since then comes on top. Counted like that, an answer stays the
    /// same until the data changes, and can be kept.
    #[schema(example = 3, minimum = 0)]
    age_seconds: Option<i64>,
    /// The asset that the coin belongs to: `GET /assets/{id}`; null while it belongs to none.
    #[schema(example = "bitcoin")]
    asset_id: Option<String>,
}

impl Observation {
    /// Shows a row, or some fields of it.
    pub(crate) fn of(row: listed::Observation, shown: Fields, sources: &[SourceState]) -> Self {
        Self {
            shown,
            age_seconds: version::newest_batch_at(sources)
                .map(|time| (time - row.observed_at).num_seconds().max(0)),
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
            asset_id: row.asset_slug,
        }
    }
}
