//! One observation with its names, as the service shows it.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::row::NamedRow;
use diesel::sql_types::{BigInt, Integer, Nullable, Numeric, Text, Timestamptz};
use diesel::{Queryable, QueryableByName, deserialize};

use crate::Decimal;

/// What one source said of one coin at one time. `None` is "not known", which is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct Observation {
    /// Key of the coin of the source.
    pub coin_id: i32,
    /// The source's own time, UTC.
    pub observed_at: DateTime<Utc>,
    /// The batch that wrote the values.
    pub batch_id: i64,
    /// When the batch was written, UTC, by the clock of the database.
    pub created_at: DateTime<Utc>,
    /// Name of the source.
    pub data_source: String,
    /// The id that the source gives the coin.
    pub crypto_id: String,
    /// Name as sent.
    pub crypto_name: Option<String>,
    /// Symbol as sent.
    pub symbol: Option<String>,
    /// Rank by market capitalisation, from 1.
    pub rank: Option<i32>,
    /// US dollars per coin.
    pub price_usd: Option<Decimal>,
    /// US dollars.
    pub market_cap_usd: Option<Decimal>,
    /// US dollars traded in 24 hours.
    pub volume_24h_usd: Option<Decimal>,
    /// Change of the price in 24 hours, in percent.
    pub change_24h_percent: Option<Decimal>,
    /// Coins.
    pub circulating_supply: Option<Decimal>,
    /// Coins.
    pub total_supply: Option<Decimal>,
    /// Coins.
    pub max_supply: Option<Decimal>,
    /// The readable id of the asset that the coin belongs to now; `None` while it belongs to none.
    pub asset_slug: Option<String>,
}

impl Observation {
    /// How many columns it is read from.
    pub(crate) const COLUMNS: usize = 17;

    /// Opaque id, the same as `cleaned_data.id`: an observation keeps it, restated or not.
    pub fn id(&self) -> String {
        format!("{}-{}", self.coin_id, self.observed_at.timestamp_micros())
    }
}

/// Columns are read by their place: looking up 17 names in every row costs more than reading the values.
impl QueryableByName<Pg> for Observation {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        Ok(Self {
            coin_id: row.get_value::<Integer, _, _>(0)?,
            observed_at: row.get_value::<Timestamptz, _, _>(1)?,
            batch_id: row.get_value::<BigInt, _, _>(2)?,
            created_at: row.get_value::<Timestamptz, _, _>(3)?,
            data_source: row.get_value::<Text, _, _>(4)?,
            crypto_id: row.get_value::<Text, _, _>(5)?,
            crypto_name: row.get_value::<Nullable<Text>, _, _>(6)?,
            symbol: row.get_value::<Nullable<Text>, _, _>(7)?,
            rank: row.get_value::<Nullable<Integer>, _, _>(8)?,
            price_usd: row.get_value::<Nullable<Numeric>, _, _>(9)?,
            market_cap_usd: row.get_value::<Nullable<Numeric>, _, _>(10)?,
            volume_24h_usd: row.get_value::<Nullable<Numeric>, _, _>(11)?,
            change_24h_percent: row.get_value::<Nullable<Numeric>, _, _>(12)?,
            circulating_supply: row.get_value::<Nullable<Numeric>, _, _>(13)?,
            total_supply: row.get_value::<Nullable<Numeric>, _, _>(14)?,
            max_supply: row.get_value::<Nullable<Numeric>, _, _>(15)?,
            asset_slug: row.get_value::<Nullable<Text>, _, _>(16)?,
        })
    }
}
