//! The raw bytes that are kept, to be read again: the way back from an observation to what the source said.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz};

use super::batch::RawKey;
use super::raw;
use crate::schema::{etl_batches, raw_api_data, raw_csv_data};
use crate::{Decimal, Values};

/// Which raw bytes of a source are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Those that came at this time or later, UTC; `None` is all.
    pub since: Option<DateTime<Utc>>,
    /// Only those that hold records which are refused.
    pub rejects_only: bool,
}

/// The keys of raw bytes, in the order in which they were published last.
///
/// # Errors
/// What the database says.
pub fn keys(connection: &mut PgConnection, source: &str, wanted: &Wanted) -> QueryResult<Vec<RawKey>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        raw_id: i64,
        #[diesel(sql_type = Bool)]
        is_chunk: bool,
    }
    let rows: Vec<Row> = sql_query(
        "with refused as (select b.raw_api_id, b.raw_csv_id from rejects r join etl_batches b using (batch_id) where r.source = $1) \
         select raw_id, false as is_chunk, raw_publication($1, raw_id, null) as published from raw_api_data \
          where source = $1 and ($2 is null or fetched_at >= $2) \
            and (not $3 or raw_id in (select raw_api_id from refused)) \
         union all \
         select raw_id, true, raw_publication($1, null, raw_id) from raw_csv_data \
          where source = $1 and ($2 is null or fetched_at >= $2) \
            and (not $3 or raw_id in (select raw_csv_id from refused)) \
         order by 3, 2, 1",
    )
    .bind::<Text, _>(source)
    .bind::<Nullable<Timestamptz>, _>(wanted.since)
    .bind::<Bool, _>(wanted.rejects_only)
    .load(connection)?;
    let key = |row: Row| if row.is_chunk { RawKey::Csv(row.raw_id) } else { RawKey::Api(row.raw_id) };
    Ok(rows.into_iter().map(key).collect())
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn raw_publication(of_source: Text, api_id: Nullable<BigInt>, csv_id: Nullable<BigInt>) -> BigInt;
}

/// When raw bytes of a source were published last, as they had just come: a number that is greater for what is newer.
///
/// # Errors
/// What the database says.
pub fn publication(connection: &mut PgConnection, source: &str, key: RawKey) -> QueryResult<i64> {
    let (api, csv) = match key {
        RawKey::Api(raw_id) => (Some(raw_id), None),
        RawKey::Csv(raw_id) => (None, Some(raw_id)),
    };
    diesel::select(raw_publication(source, api, csv)).get_result(connection)
}

/// The same of the bytes that each of these batches was made of, by batch. A batch whose bytes are gone is as new as it is.
///
/// # Errors
/// What the database says.
pub fn publications(connection: &mut PgConnection, batch_ids: &[i64]) -> QueryResult<Vec<(i64, i64)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        batch_id: i64,
        #[diesel(sql_type = BigInt)]
        published: i64,
    }
    let rows: Vec<Row> = sql_query(
        "select batch_id, case when num_nonnulls(raw_api_id, raw_csv_id) = 0 then batch_id \
                               else raw_publication(source, raw_api_id, raw_csv_id) end as published \
           from etl_batches where batch_id = any ($1)",
    )
    .bind::<Array<BigInt>, _>(batch_ids)
    .load(connection)?;
    Ok(rows.into_iter().map(|row| (row.batch_id, row.published)).collect())
}

/// The bytes that a batch was made of.
///
/// # Errors
/// What the database says; [`diesel::result::Error::NotFound`] when there is no such batch.
pub fn key_of_batch(connection: &mut PgConnection, source: &str, number: i64) -> QueryResult<RawKey> {
    let (api, csv): (Option<i64>, Option<i64>) = etl_batches::table
        .filter(etl_batches::source.eq(source).and(etl_batches::number.eq(number)))
        .select((etl_batches::raw_api_id, etl_batches::raw_csv_id))
        .first(connection)?;
    api.map(RawKey::Api).or(csv.map(RawKey::Csv)).ok_or(diesel::result::Error::NotFound)
}

/// An HTTP body that is kept.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = raw_api_data, check_for_backend(diesel::pg::Pg))]
pub struct Body {
    /// The request, without secrets.
    pub url: String,
    /// HTTP status.
    pub status: i16,
    /// Content type as sent.
    pub content_type: Option<String>,
    /// When it came first, UTC.
    pub fetched_at: DateTime<Utc>,
}

/// A body by its key, and its exact bytes.
///
/// # Errors
/// What the database says.
pub fn body(connection: &mut PgConnection, raw_id: i64) -> QueryResult<(Body, Vec<u8>)> {
    use raw_api_data as t;
    let (body, kept) =
        t::table.find(raw_id).select((Body::as_select(), (t::encoding, t::body))).first(connection)?;
    Ok((body, raw::exact(kept)?))
}

/// The newest body of a source that was taken, one of the same address before all others; `None` when there is none.
///
/// # Errors
/// What the database says.
pub fn newest_body(connection: &mut PgConnection, source: &str, url: &str) -> QueryResult<Option<Vec<u8>>> {
    raw_api_data::table
        .filter(raw_api_data::source.eq(source).and(raw_api_data::record_count.gt(0)))
        .order((raw_api_data::url.eq(url).desc(), raw_api_data::raw_id.desc()))
        .select((raw_api_data::encoding, raw_api_data::body))
        .first(connection)
        .optional()?
        .map(raw::exact)
        .transpose()
}

/// A chunk of a file that is kept.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = raw_csv_data, check_for_backend(diesel::pg::Pg))]
pub struct Chunk {
    /// The file.
    pub file_id: i64,
    /// Which of the files that have stood under its path.
    pub generation: i32,
    /// Number of the first line, from 1.
    pub first_line: i64,
    /// Number of the last line.
    pub last_line: i64,
    /// Offset of the first byte.
    pub first_byte: i64,
    /// Offset behind the last byte.
    pub end_byte: i64,
    /// When it came first, UTC.
    pub fetched_at: DateTime<Utc>,
}

/// A chunk by its key, and its exact bytes.
///
/// # Errors
/// What the database says.
pub fn chunk(connection: &mut PgConnection, raw_id: i64) -> QueryResult<(Chunk, Vec<u8>)> {
    use raw_csv_data as t;
    let (chunk, kept) =
        t::table.find(raw_id).select((Chunk::as_select(), (t::encoding, t::body))).first(connection)?;
    Ok((chunk, raw::exact(kept)?))
}

/// The oldest time that a batch made of a chunk has written, UTC: the time of a snapshot file that carries none.
/// `None` when no batch made of it has written anything.
///
/// # Errors
/// What the database says.
pub fn observed_from(connection: &mut PgConnection, raw_csv_id: i64) -> QueryResult<Option<DateTime<Utc>>> {
    etl_batches::table
        .filter(etl_batches::raw_csv_id.eq(raw_csv_id))
        .select(diesel::dsl::min(etl_batches::observed_from))
        .first(connection)
}

/// The chunk that the file of a chunk began with when that was read, itself if it is that; `None` when it is not kept. What
/// was refused as a whole may have been followed by other bytes of the same generation.
///
/// # Errors
/// What the database says.
pub fn first_chunk(connection: &mut PgConnection, raw_id: i64, chunk: &Chunk) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<BigInt>)]
        raw_id: Option<i64>,
    }
    if chunk.first_byte == 0 {
        return Ok(Some(raw_id));
    }
    // Bytes that came again are kept once, under the generation that they came in first: so the batches are asked first.
    sql_query(
        "select coalesce( \
            (select r.raw_id from etl_batches b join etl_runs n using (run_id) join raw_csv_data r on r.raw_id = b.raw_csv_id \
              where r.file_id = $2 and r.first_byte = 0 and not n.is_reprocess \
                and b.batch_id < (select min(batch_id) from etl_batches where raw_csv_id = $1) \
              order by b.batch_id desc limit 1), \
            (select r.raw_id from raw_csv_data r \
              where r.file_id = $2 and r.generation = $3 and r.first_byte = 0 and r.raw_id < $1 \
              order by r.raw_id desc limit 1)) as raw_id",
    )
    .bind::<BigInt, _>(raw_id)
    .bind::<BigInt, _>(chunk.file_id)
    .bind::<Integer, _>(chunk.generation)
    .get_result(connection)
    .map(|row: Row| row.raw_id)
}

/// The beginning of a file from its first chunk on, as far as it is kept without a gap, and at most about `enough` bytes.
///
/// # Errors
/// What the database says.
pub fn beginning(connection: &mut PgConnection, first_chunk: i64, enough: usize) -> QueryResult<Vec<u8>> {
    use raw_csv_data as t;
    let (file_id, generation): (i64, i32) =
        t::table.find(first_chunk).select((t::file_id, t::generation)).first(connection)?;
    let of_file = t::table.filter(t::file_id.eq(file_id).and(t::generation.eq(generation)));
    let next: Option<i64> = of_file
        .filter(t::first_byte.eq(0).and(t::raw_id.gt(first_chunk)))
        .select(diesel::dsl::min(t::raw_id))
        .first(connection)?;
    let places: Vec<(i64, i64)> = of_file
        .filter(t::raw_id.ge(first_chunk).and(t::raw_id.lt(next.unwrap_or(i64::MAX))))
        .filter(t::first_byte.lt(i64::try_from(enough).unwrap_or(i64::MAX)))
        .order((t::first_byte, t::raw_id))
        .select((t::raw_id, t::first_byte))
        .load(connection)?;
    let mut bytes = Vec::new();
    for (raw_id, first_byte) in places {
        let Ok(first_byte) = usize::try_from(first_byte) else { continue };
        if first_byte > bytes.len() {
            break;
        }
        let kept = t::table.find(raw_id).select((t::encoding, t::body));
        let body = raw::exact(kept.first(connection)?)?;
        // A last line without an end was read once more when the file had grown.
        if first_byte + body.len() > bytes.len() {
            bytes.truncate(first_byte);
            bytes.extend_from_slice(&body);
        }
    }
    bytes.truncate(enough);
    Ok(bytes)
}

/// What was known of a coin at some time.
#[derive(Clone, Debug)]
pub struct Known {
    /// The id that the source gives the coin.
    pub crypto_id: String,
    /// Its name.
    pub crypto_name: Option<String>,
    /// Its symbol.
    pub symbol: Option<String>,
    /// When that was said, UTC.
    pub observed_at: DateTime<Utc>,
    /// The figures.
    pub values: Values,
}

#[derive(QueryableByName)]
struct KnownRow {
    #[diesel(sql_type = Text)]
    crypto_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    crypto_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    symbol: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    observed_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Integer>)]
    rank: Option<i32>,
    #[diesel(sql_type = Nullable<Numeric>)]
    price_usd: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    market_cap_usd: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    volume_24h_usd: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    change_24h_percent: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    circulating_supply: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    total_supply: Option<Decimal>,
    #[diesel(sql_type = Nullable<Numeric>)]
    max_supply: Option<Decimal>,
}

impl From<KnownRow> for Known {
    fn from(row: KnownRow) -> Self {
        let values = Values {
            rank: row.rank,
            price_usd: row.price_usd,
            market_cap_usd: row.market_cap_usd,
            volume_24h_usd: row.volume_24h_usd,
            change_24h_percent: row.change_24h_percent,
            circulating_supply: row.circulating_supply,
            total_supply: row.total_supply,
            max_supply: row.max_supply,
        };
        let KnownRow { crypto_id, crypto_name, symbol, observed_at, .. } = row;
        Self { crypto_id, crypto_name, symbol, observed_at, values }
    }
}

/// What was known of each of these coins at a time: its newest observation up to then. Coins without one are left
/// out.
///
/// # Errors
/// What the database says.
pub fn known_at(
    connection: &mut PgConnection,
    source_id: i16,
    crypto_ids: &[&str],
    time: DateTime<Utc>,
) -> QueryResult<Vec<Known>> {
    let rows: Vec<KnownRow> = sql_query(
        "select c.crypto_id, l.crypto_name, l.symbol, o.* \
           from coins c \
          cross join lateral ( \
                select observed_at, label_id, rank, price_usd, market_cap_usd, volume_24h_usd, change_24h_percent, \
                       circulating_supply, total_supply, max_supply \
                  from observations where source_id = $1 and coin_id = c.coin_id and observed_at <= $3 \
                 order by observed_at desc limit 1) o \
           join coin_labels l using (label_id) \
          where c.source_id = $1 and c.crypto_id = any ($2)",
    )
    .bind::<SmallInt, _>(source_id)
    .bind::<Array<Text>, _>(crypto_ids)
    .bind::<Timestamptz, _>(time)
    .load(connection)?;
    Ok(rows.into_iter().map(Known::from).collect())
}
