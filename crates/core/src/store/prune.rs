//! Removes what is old: whole months of observations, and raw bytes that nothing points to any more.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Date, SmallInt, Timestamptz};
use serde::Serialize;

/// A month that is old to its last day.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct Month {
    /// Its first day.
    #[diesel(sql_type = Date)]
    pub month: NaiveDate,
    /// Observations that go.
    #[diesel(sql_type = BigInt)]
    pub removed: i64,
    /// Observations that stay, each the newest of its coin.
    #[diesel(sql_type = BigInt)]
    pub kept: i64,
}

/// The months that ended before a time, UTC, and hold more than newest observations, or nothing at all.
///
/// # Errors
/// What the database says.
pub fn months(connection: &mut PgConnection, before: DateTime<Utc>) -> QueryResult<Vec<Month>> {
    sql_query(
        "select month, all_rows - kept as removed, kept \
           from (select distinct month from observation_partitions) p \
          cross join lateral (select month::timestamp at time zone 'UTC' as from_time, \
                                     (month + interval '1 month') at time zone 'UTC' as to_time) t \
          cross join lateral (select count(*) as all_rows from observations o \
                               where o.observed_at >= t.from_time and o.observed_at < t.to_time) a \
          cross join lateral (select count(*) as kept from coin_latest l \
                               where l.observed_at >= t.from_time and l.observed_at < t.to_time) k \
          where t.to_time <= $1 and (all_rows > kept or all_rows = 0) \
          order by month",
    )
    .bind::<Timestamptz, _>(before)
    .load(connection)
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn prune_observation_partition(of_source: SmallInt, wanted: Date) -> BigInt;
}

/// Removes the observations of a month but for the newest of each coin, sets every counter right, and returns how many
/// went. In the transaction that holds the leases of all sources.
///
/// # Errors
/// What the database says.
pub fn month(connection: &mut PgConnection, month: NaiveDate) -> QueryResult<i64> {
    // What an observation said before goes with it.
    sql_query(
        "delete from observation_revisions r \
          where observed_at >= $1::timestamp at time zone 'UTC' \
            and observed_at < ($1 + interval '1 month') at time zone 'UTC' \
            and not exists (select 1 from coin_latest l where l.coin_id = r.coin_id and l.observed_at = r.observed_at)",
    )
    .bind::<Date, _>(month)
    .execute(connection)?;
    use crate::schema::observation_partitions as t;
    let sources: Vec<i16> =
        t::table.filter(t::month.eq(month)).order(t::source_id).select(t::source_id).load(connection)?;
    sql_query(
        "update data_sources set pruned_before = greatest(pruned_before, ($1 + interval '1 month') at time zone 'UTC') \
          where source_id = any ($2)",
    )
    .bind::<Date, _>(month)
    .bind::<Array<SmallInt>, _>(&sources)
    .execute(connection)?;
    let mut removed = 0;
    for source_id in sources {
        removed +=
            diesel::select(prune_observation_partition(source_id, month)).get_result::<i64>(connection)?;
    }
    Ok(removed)
}

/// Raw bodies or chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, QueryableByName)]
pub struct Raw {
    /// Number of bodies and chunks.
    #[diesel(sql_type = BigInt)]
    pub bodies: i64,
    /// Records in them.
    #[diesel(sql_type = BigInt)]
    pub records: i64,
}

impl std::ops::AddAssign for Raw {
    fn add_assign(&mut self, other: Self) {
        self.bodies += other.bodies;
        self.records += other.records;
    }
}

/// Raw bytes that are old and that no observation comes from which stays: one that `$2` does not remove. The
/// two tables differ in name only.
macro_rules! unused {
    ($table:literal, $key:literal) => {
        concat!(
            "select r.raw_id from ",
            $table,
            " r where r.fetched_at < $1 and not exists ( \
                select 1 from etl_batches b join observations o using (batch_id) \
                  left join coin_latest l on l.coin_id = o.coin_id and l.observed_at = o.observed_at \
                 where b.",
            $key,
            " = r.raw_id and b.loaded + b.restated > b.superseded \
                   and (l.coin_id is not null or o.observed_at >= $2))"
        )
    };
}

/// Chunks that are unused, but for those that a file begins with of which a later chunk stays: they tell its columns.
macro_rules! unused_chunks {
    () => {
        concat!(
            "with unused as (",
            unused!("raw_csv_data", "raw_csv_id"),
            ") select raw_id from unused join raw_csv_data r using (raw_id) \
                where r.first_byte > 0 or not exists ( \
                      select 1 from raw_csv_data later \
                       where later.file_id = r.file_id and later.generation = r.generation and later.first_byte > 0 \
                         and later.raw_id > r.raw_id and later.raw_id not in (select raw_id from unused))"
        )
    };
}

/// What [`raw`] would remove once the observations of whole months before `month_start` are gone.
///
/// # Errors
/// What the database says.
pub fn count_raw(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    month_start: DateTime<Utc>,
) -> QueryResult<Raw> {
    sql_query(concat!(
        "select count(*) as bodies, coalesce(sum(record_count), 0)::bigint as records from ( \
            select record_count from raw_api_data where raw_id in (",
        unused!("raw_api_data", "raw_api_id"),
        ") union all select record_count from raw_csv_data where raw_id in (",
        unused_chunks!(),
        ")) x"
    ))
    .bind::<Timestamptz, _>(before)
    .bind::<Timestamptz, _>(month_start)
    .get_result(connection)
}

/// Removes at most `limit` bodies and as many chunks that came before a time, UTC, and counts their records off. In the
/// transaction that holds the leases of all sources.
///
/// # Errors
/// What the database says.
pub fn raw(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    month_start: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Raw> {
    sql_query(concat!(
        "with bodies as (delete from raw_api_data where raw_id in (",
        unused!("raw_api_data", "raw_api_id"),
        " limit $3) returning source, record_count), \
         chunks as (delete from raw_csv_data where raw_id in (",
        unused_chunks!(),
        " limit $3) returning source, record_count), \
         gone as (select * from bodies union all select * from chunks), \
         counted as (update data_sources s set raw_records = s.raw_records - g.n \
                       from (select source, sum(record_count) as n from gone group by source) g where s.name = g.source) \
         select count(*) as bodies, coalesce(sum(record_count), 0)::bigint as records from gone"
    ))
    .bind::<Timestamptz, _>(before)
    .bind::<Timestamptz, _>(month_start)
    .bind::<BigInt, _>(limit)
    .get_result(connection)
}
