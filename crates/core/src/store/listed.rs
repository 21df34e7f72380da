//! One observation with its names, as the service shows it.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Integer, Nullable, Numeric, Text, Timestamptz};
use diesel::{Queryable, QueryableByName};

use crate::Decimal;

/// What one source said of one coin at one time. `None` is "not known", which is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, QueryableByName)]
pub struct Observation {
    /// Key of the coin of the source.
    #[diesel(sql_type = Integer)]
    pub coin_id: i32,
    /// The source's own time, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub observed_at: DateTime<Utc>,
    /// The batch that wrote the values.
    #[diesel(sql_type = BigInt)]
    pub batch_id: i64,
    /// When the batch was written, UTC, by the clock of the database.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// Name of the source.
    #[diesel(sql_type = Text)]
    pub data_source: String,
    /// The id that the source gives the coin.
    #[diesel(sql_type = Text)]
    pub crypto_id: String,
    /// Name as sent.
    #[diesel(sql_type = Nullable<Text>)]
    pub crypto_name: Option<String>,
    /// Symbol as sent.
    #[diesel(sql_type = Nullable<Text>)]
    pub symbol: Option<String>,
    /// Rank by market capitalisation, from 1.
    #[diesel(sql_type = Nullable<Integer>)]
    pub rank: Option<i32>,
    /// US dollars per coin.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub price_usd: Option<Decimal>,
    /// US dollars.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub market_cap_usd: Option<Decimal>,
    /// US dollars traded in 24 hours.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub volume_24h_usd: Option<Decimal>,
    /// Change of the price in 24 hours, in percent.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub change_24h_percent: Option<Decimal>,
    /// Coins.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub circulating_supply: Option<Decimal>,
    /// Coins.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub total_supply: Option<Decimal>,
    /// Coins.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub max_supply: Option<Decimal>,
}

impl Observation {
    /// Opaque id, the same as `cleaned_data.id`: an observation keeps it, restated or not.
    pub fn id(&self) -> String {
        format!("{}-{}", self.coin_id, self.observed_at.timestamp_micros())
    }
}
