//! `observations`: what each source said of each coin at each time.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Numeric, SmallInt, Timestamptz};

use super::copy;
use crate::schema::observations;
use crate::{Decimal, Values};

/// One row of `observations`, without what the whole batch shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'r> {
    /// The coin.
    pub coin_id: i32,
    /// The source's time, or that of reading, UTC.
    pub observed_at: DateTime<Utc>,
    /// Name and symbol that were sent.
    pub label_id: i32,
    /// Place in the raw bytes of the batch.
    pub raw_position: i32,
    /// The figures.
    pub values: &'r Values,
}

/// First day of the month, UTC, whose partition holds what was observed at a time.
pub fn month(time: DateTime<Utc>) -> Option<NaiveDate> {
    time.date_naive().with_day(1)
}

/// Coin and time of an observation.
pub type Key = (i32, DateTime<Utc>);

/// An observation as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The batch whose values it carries.
    pub batch_id: i64,
    /// Name and symbol.
    pub label_id: i32,
    /// The figures.
    pub values: Values,
}

#[derive(QueryableByName)]
#[diesel(table_name = observations)]
struct Found {
    coin_id: i32,
    observed_at: DateTime<Utc>,
    batch_id: i64,
    label_id: i32,
    rank: Option<i32>,
    price_usd: Option<Decimal>,
    market_cap_usd: Option<Decimal>,
    volume_24h_usd: Option<Decimal>,
    change_24h_percent: Option<Decimal>,
    circulating_supply: Option<Decimal>,
    total_supply: Option<Decimal>,
    max_supply: Option<Decimal>,
}

impl From<Found> for (Key, Stored) {
    fn from(row: Found) -> Self {
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
        ((row.coin_id, row.observed_at), Stored { batch_id: row.batch_id, label_id: row.label_id, values })
    }
}

/// The observations of a source that exist under these keys.
///
/// Month by month: bounds known to the planner leave one partition, while one that is found only for each key costs half a
/// millisecond of it among a hundred others.
///
/// # Errors
/// What the database says.
pub fn find(connection: &mut PgConnection, source_id: i16, keys: &[Key]) -> QueryResult<Vec<(Key, Stored)>> {
    let mut months: BTreeMap<NaiveDate, Vec<Key>> = BTreeMap::new();
    for key in keys {
        months.entry(month(key.1).unwrap_or_default()).or_default().push(*key);
    }
    let mut found = Vec::new();
    for keys in months.values() {
        found.extend(find_in_month(connection, source_id, keys)?);
    }
    Ok(found)
}

fn find_in_month(
    connection: &mut PgConnection,
    source_id: i16,
    keys: &[Key],
) -> QueryResult<impl Iterator<Item = (Key, Stored)> + use<>> {
    let times = || keys.iter().map(|key| key.1);
    // Each key by the index, whatever the planner knows: of a month that was just filled it knows nothing, and sorted the
    // whole of it for every batch.
    let rows: Vec<Found> = sql_query(
        "select o.* \
           from unnest($1, $2) as wanted (coin_id, observed_at) \
          cross join lateral (select o.coin_id, o.observed_at, o.batch_id, o.label_id, o.rank, o.price_usd, o.market_cap_usd, \
                                     o.volume_24h_usd, o.change_24h_percent, o.circulating_supply, o.total_supply, o.max_supply \
                                from observations o \
                               where o.source_id = $3 and o.observed_at between $4 and $5 \
                                 and o.coin_id = wanted.coin_id and o.observed_at = wanted.observed_at offset 0) o",
    )
    .bind::<Array<Integer>, _>(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(times().collect::<Vec<_>>())
    .bind::<SmallInt, _>(source_id)
    .bind::<Timestamptz, _>(times().min().unwrap_or_default())
    .bind::<Timestamptz, _>(times().max().unwrap_or_default())
    .load(connection)?;
    Ok(rows.into_iter().map(Into::into))
}

/// The table of all partitions, which finds the one for each row.
const ALL: &str = "observations";

/// Appends rows that do not exist, by COPY in the binary format; rows of one month into its `partition`, if that is known:
/// finding it for each row is a fifth of what the server does. `sent` is called with some rows after the other, in their order,
/// while the server works on them.
///
/// # Errors
/// What the database says; a key that exists is a unique violation, a row that belongs elsewhere a check violation.
pub fn append(
    connection: &mut PgConnection,
    source_id: i16,
    batch_id: i64,
    partition: Option<&str>,
    rows: &[Row<'_>],
    sent: impl FnMut(&[Row<'_>]),
) -> QueryResult<()> {
    let push = |out: &mut copy::Columns, row: &Row<'_>| {
        out.time(row.observed_at);
        out.bigint(batch_id);
        out.integer(row.coin_id);
        out.integer(row.label_id);
        out.integer(row.raw_position);
        out.smallint(source_id);
        out.values(row.values);
    };
    let columns = "observed_at, batch_id, coin_id, label_id, raw_position, source_id, rank, price_usd, market_cap_usd, \
                   volume_24h_usd, change_24h_percent, circulating_supply, total_supply, max_supply";
    copy::into_and(connection, partition.unwrap_or(ALL), columns, rows, push, sent)
}

/// The ways of the planner that lead by whole months instead of by the keys that are wanted.
const BY_KEY: [&str; 4] = ["enable_hashjoin", "enable_material", "enable_mergejoin", "enable_seqscan"];

/// Gives existing rows of a source other values; what they said goes to `observation_revisions`, by the same statement.
///
/// # Errors
/// What the database says; [`Error::NotFound`] when a row does not exist.
pub fn restate(
    connection: &mut PgConnection,
    source_id: i16,
    batch_id: i64,
    rows: &[Row<'_>],
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let number = |at: usize| -> Vec<Option<Decimal>> {
        rows.iter().map(|row| row.values.numbers()[at].cloned()).collect()
    };
    // Each row by its key, for the reason of `find_in_month`; by settings, since the table of an update has no subquery.
    connection.batch_execute(&BY_KEY.map(|way| format!("set local {way} = off")).join(";"))?;
    let updated = sql_query(
        "with n as (select * from unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as n (coin_id, observed_at, \
                label_id, raw_position, rank, price_usd, market_cap_usd, volume_24h_usd, change_24h_percent, \
                circulating_supply, total_supply, max_supply)), \
         kept as (insert into observation_revisions (coin_id, observed_at, batch_id, superseded_by, label_id, raw_position, \
                source_id, rank, price_usd, market_cap_usd, volume_24h_usd, change_24h_percent, circulating_supply, \
                total_supply, max_supply) \
             select o.coin_id, o.observed_at, o.batch_id, $1, o.label_id, o.raw_position, o.source_id, o.rank, \
                    o.price_usd, o.market_cap_usd, o.volume_24h_usd, o.change_24h_percent, o.circulating_supply, \
                    o.total_supply, o.max_supply \
               from n join observations o on o.source_id = $14 and o.coin_id = n.coin_id and o.observed_at = n.observed_at) \
         update observations o \
            set batch_id = $1, label_id = n.label_id, raw_position = n.raw_position, rank = n.rank, \
                price_usd = n.price_usd, market_cap_usd = n.market_cap_usd, volume_24h_usd = n.volume_24h_usd, \
                change_24h_percent = n.change_24h_percent, circulating_supply = n.circulating_supply, \
                total_supply = n.total_supply, max_supply = n.max_supply \
           from n \
          where o.source_id = $14 and o.coin_id = n.coin_id and o.observed_at = n.observed_at",
    )
    .bind::<BigInt, _>(batch_id)
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.coin_id).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows.iter().map(|row| row.observed_at).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.label_id).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows.iter().map(|row| row.raw_position).collect::<Vec<_>>())
    .bind::<Array<Nullable<Integer>>, _>(rows.iter().map(|row| row.values.rank).collect::<Vec<_>>())
    .bind::<Array<Nullable<Numeric>>, _>(number(0))
    .bind::<Array<Nullable<Numeric>>, _>(number(1))
    .bind::<Array<Nullable<Numeric>>, _>(number(2))
    .bind::<Array<Nullable<Numeric>>, _>(number(3))
    .bind::<Array<Nullable<Numeric>>, _>(number(4))
    .bind::<Array<Nullable<Numeric>>, _>(number(5))
    .bind::<Array<Nullable<Numeric>>, _>(number(6))
    .bind::<SmallInt, _>(source_id)
    .execute(connection)?;
    connection.batch_execute(&BY_KEY.map(|way| format!("set local {way} to default")).join(";"))?;
    if updated == rows.len() { Ok(()) } else { Err(Error::NotFound) }
}
