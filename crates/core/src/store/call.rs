//! `source_calls`: the ledger of calls to the vendors, which count them too.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use serde::Serialize;

/// Counts one call, unless the quota of the calendar month (UTC) is used up; returns whether it may be made. A limit of
/// `None` only counts. To be committed before the call.
///
/// # Errors
/// What the database says.
pub fn take(
    connection: &mut PgConnection,
    source: &str,
    host: &str,
    limit: Option<i64>,
) -> QueryResult<bool> {
    sql_query(
        "insert into source_calls (source, host, day, calls) \
         select $1, $2, (clock_timestamp() at time zone 'UTC')::date, 1 \
          where $3 is null or $3 > (select coalesce(sum(calls), 0) from source_calls \
                                     where source = $1 and host = $2 \
                                       and day >= date_trunc('month', clock_timestamp() at time zone 'UTC')) \
         on conflict (source, host, day) do update set calls = source_calls.calls + 1",
    )
    .bind::<Text, _>(source)
    .bind::<Text, _>(host)
    .bind::<Nullable<BigInt>, _>(limit)
    .execute(connection)
    .map(|rows| rows > 0)
}

/// The calls to one host.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct Used {
    /// The source.
    #[diesel(sql_type = Text)]
    pub source: String,
    /// Whom the quota belongs to.
    #[diesel(sql_type = Text)]
    pub host: String,
    /// Calls today (UTC).
    #[diesel(sql_type = BigInt)]
    pub today: i64,
    /// Calls in this calendar month (UTC).
    #[diesel(sql_type = BigInt)]
    pub this_month: i64,
}

/// The calls of this month, by source and host.
///
/// # Errors
/// What the database says.
pub fn this_month(connection: &mut PgConnection) -> QueryResult<Vec<Used>> {
    sql_query(
        "select source, host, sum(calls)::bigint as this_month, \
                coalesce(sum(calls) filter (where day = (clock_timestamp() at time zone 'UTC')::date), 0)::bigint as today \
           from source_calls where day >= date_trunc('month', clock_timestamp() at time zone 'UTC') \
          group by source, host order by source, host",
    )
    .load(connection)
}

/// When the next calendar month begins, UTC, by the clock of the database.
///
/// # Errors
/// What the database says.
pub fn next_month(connection: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(diesel::dsl::sql::<Timestamptz>(
        "(date_trunc('month', clock_timestamp() at time zone 'UTC') + interval '1 month') at time zone 'UTC'",
    ))
    .get_result(connection)
}
