//! The way back from an observation: who wrote it, out of which bytes, and what it said before.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz};

use super::batch::RawKey;
use super::kept;
use super::listed::Observation;
use crate::Decimal;
use crate::schema::{coins, csv_files, raw_api_data, raw_csv_data};

/// An observation with all that led to it.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// The observation as it is now.
    pub observation: Observation,
    /// The batch and the launch that wrote it.
    pub written: Written,
    /// The bytes that it was read from; `None` when they were pruned.
    pub raw: Option<Raw>,
    /// What it said before, oldest first.
    pub revisions: Vec<Revision>,
}

/// The batch and the launch that wrote an observation.
#[derive(Clone, Debug, QueryableByName)]
pub struct Written {
    /// Number of the batch within its source.
    #[diesel(sql_type = BigInt)]
    pub batch_number: i64,
    /// The launch.
    #[diesel(sql_type = BigInt)]
    pub run_id: i64,
    /// When it began, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub run_started_at: DateTime<Utc>,
    /// Version of the program that read the bytes.
    #[diesel(sql_type = Text)]
    pub program_version: String,
    /// What was read, for people.
    #[diesel(sql_type = Text)]
    pub origin: String,
    /// Number of the record in the bytes, from 0.
    #[diesel(sql_type = Integer)]
    pub position: i32,
    /// Whether it is the newest observation of its coin.
    #[diesel(sql_type = Bool)]
    pub is_latest: bool,
    /// Time of the next observation of the coin, UTC; `None` when there is none.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_observed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    raw_api_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    raw_csv_id: Option<i64>,
}

/// Raw bytes and where they came from.
#[derive(Clone, Debug)]
pub struct Raw {
    /// SHA-256 of the bytes.
    pub sha256: Vec<u8>,
    /// Records in them.
    pub record_count: i32,
    /// When they came first, UTC.
    pub fetched_at: DateTime<Utc>,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The request, or the file.
    pub from: From,
}

/// Where raw bytes came from.
#[derive(Clone, Debug)]
pub enum From {
    /// A request.
    Request {
        /// Without secrets.
        url: String,
        /// HTTP status.
        status: i16,
        /// As sent.
        content_type: Option<String>,
    },
    /// A part of a file.
    File {
        /// Key of the file.
        file_id: i64,
        /// Absolute path.
        path: String,
        /// Which of the files that have stood under the path.
        generation: i32,
        /// Number of the first line of the part, from 1.
        first_line: i64,
        /// Offset of the first byte of the part, from 0.
        first_byte: i64,
    },
}

/// What an observation said before it was restated.
#[derive(Clone, Debug, QueryableByName)]
pub struct Revision {
    /// When these values were written, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When others took their place, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub superseded_at: DateTime<Utc>,
    /// The launch that wrote them.
    #[diesel(sql_type = BigInt)]
    pub run_id: i64,
    /// Name that was sent with them.
    #[diesel(sql_type = Nullable<Text>)]
    pub crypto_name: Option<String>,
    /// Symbol that was sent with them.
    #[diesel(sql_type = Nullable<Text>)]
    pub symbol: Option<String>,
    /// Rank.
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
    /// Percent.
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

const OBSERVATION: &str = "
select o.coin_id, o.observed_at, o.batch_id, b.created_at, s.name as data_source, c.crypto_id, l.crypto_name, l.symbol,
       o.rank, o.price_usd, o.market_cap_usd, o.volume_24h_usd, o.change_24h_percent, o.circulating_supply,
       o.total_supply, o.max_supply, a.slug as asset_slug
  from observations o
  join etl_batches b using (batch_id)
  join data_sources s using (source_id)
  join coins c using (coin_id)
  join coin_labels l using (label_id)
  left join asset_links x on x.coin_id = o.coin_id and x.ended_at is null
  left join assets a on a.asset_id = x.asset_id
 where o.source_id = $3 and o.coin_id = $1 and o.observed_at = $2";

const WRITTEN: &str = "
select b.number as batch_number, b.run_id, r.started_at as run_started_at, r.program_version, b.origin,
       o.raw_position as position, b.raw_api_id, b.raw_csv_id, n.observed_at as next_observed_at,
       coalesce(o.observed_at = latest.observed_at, false) as is_latest
  from observations o
  join etl_batches b using (batch_id)
  join etl_runs r using (run_id)
  left join coin_latest latest using (coin_id)
  left join lateral (select n.observed_at from observations n
                      where n.source_id = $3 and n.coin_id = $1 and n.observed_at > $2
                      order by n.observed_at limit 1) n on true
 where o.source_id = $3 and o.coin_id = $1 and o.observed_at = $2";

const REVISIONS: &str = "
select b.created_at, e.created_at as superseded_at, b.run_id, l.crypto_name, l.symbol, r.rank, r.price_usd,
       r.market_cap_usd, r.volume_24h_usd, r.change_24h_percent, r.circulating_supply, r.total_supply, r.max_supply
  from observation_revisions r
  join etl_batches b on b.batch_id = r.batch_id
  join etl_batches e on e.batch_id = r.superseded_by
  join coin_labels l on l.label_id = r.label_id
 where r.coin_id = $1 and r.observed_at = $2 and r.source_id = $3
 order by e.created_at, r.batch_id";

/// Everything about one observation; `None` when there is none of this coin and time.
///
/// # Errors
/// What the database says.
pub fn find(
    connection: &mut PgConnection,
    coin_id: i32,
    observed_at: DateTime<Utc>,
) -> QueryResult<Option<Lineage>> {
    // Its partitions are those of its source.
    let source: Option<i16> =
        coins::table.find(coin_id).select(coins::source_id).first(connection).optional()?;
    let Some(source_id) = source else { return Ok(None) };
    macro_rules! of_key {
        ($sql:expr) => {
            sql_query($sql)
                .bind::<Integer, _>(coin_id)
                .bind::<Timestamptz, _>(observed_at)
                .bind::<SmallInt, _>(source_id)
        };
    }
    let Some(observation) = of_key!(OBSERVATION).get_result(connection).optional()? else { return Ok(None) };
    let written: Written = of_key!(WRITTEN).get_result(connection)?;
    let key = written.raw_api_id.map(RawKey::Api).or(written.raw_csv_id.map(RawKey::Csv));
    Ok(Some(Lineage {
        observation,
        raw: key.map(|key| raw(connection, key)).transpose()?,
        revisions: of_key!(REVISIONS).load(connection)?,
        written,
    }))
}

fn raw(connection: &mut PgConnection, key: RawKey) -> QueryResult<Raw> {
    match key {
        RawKey::Api(raw_id) => {
            let (sha256, record_count) = raw_api_data::table
                .find(raw_id)
                .select((raw_api_data::sha256, raw_api_data::record_count))
                .first(connection)?;
            let (body, bytes) = kept::body(connection, raw_id)?;
            let kept::Body { url, status, content_type, fetched_at } = body;
            let from = From::Request { url, status, content_type };
            Ok(Raw { sha256, record_count, fetched_at, bytes, from })
        }
        RawKey::Csv(raw_id) => {
            let (sha256, record_count) = raw_csv_data::table
                .find(raw_id)
                .select((raw_csv_data::sha256, raw_csv_data::record_count))
                .first(connection)?;
            let (chunk, bytes) = kept::chunk(connection, raw_id)?;
            let path = csv_files::table.find(chunk.file_id).select(csv_files::path).first(connection)?;
            let kept::Chunk { file_id, generation, first_line, first_byte, fetched_at, .. } = chunk;
            let from = From::File { file_id, path, generation, first_line, first_byte };
            Ok(Raw { sha256, record_count, fetched_at, bytes, from })
        }
    }
}
