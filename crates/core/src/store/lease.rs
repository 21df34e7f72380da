//! `etl_lease`: who may write a source. Only the clock of the database counts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text, Timestamptz};
use serde::Serialize;

use crate::schema::etl_lease;

/// Whether a session of the server lives as long as its client. A pooler of transactions gives every transaction to
/// another session and ends sessions as it likes: then only the expiry says whether a holder lives.
fn session_is_ours() -> bool {
    !crate::db::is_pooled()
}

#[derive(QueryableByName)]
struct Epoch {
    #[diesel(sql_type = BigInt)]
    epoch: i64,
}

/// Takes the lease of a source if it is free, has run out, or its holder's connection is gone (a killed
/// process gives its lease back at once). Returns the fencing epoch; `None` when another run holds it.
///
/// Waits while the previous holder's last transaction is still open, at most the session's `lock_timeout`.
///
/// # Errors
/// What the database says.
pub fn acquire(
    connection: &mut PgConnection,
    source: &str,
    owner: &str,
    run_id: Option<i64>,
    ttl: Duration,
) -> QueryResult<Option<i64>> {
    // The backend is looked up by pid and start: pids come back. Where the start of somebody else's
    // session may not be seen, the pid alone decides, and the expiry does the rest.
    sql_query(
        "update etl_lease l \
            set owner = $2, run_id = $3, epoch = l.epoch + 1, \
                expires_at = clock_timestamp() + make_interval(secs => $4), \
                backend_pid = case when $5 then pg_backend_pid() end, \
                backend_start = (select a.backend_start from pg_stat_activity a where $5 and a.pid = pg_backend_pid()) \
          where l.source = $1 \
            and (l.expires_at < clock_timestamp() \
                 or l.backend_pid is not null and not exists ( \
                    select 1 from pg_stat_activity a \
                     where a.pid = l.backend_pid \
                       and (a.backend_start is null or l.backend_start is null or a.backend_start = l.backend_start))) \
         returning l.epoch",
    )
    .bind::<Text, _>(source)
    .bind::<Text, _>(owner)
    .bind::<Nullable<BigInt>, _>(run_id)
    .bind::<Double, _>(ttl.as_secs_f64())
    .bind::<Bool, _>(session_is_ours())
    .get_result::<Epoch>(connection)
    .optional()
    .map(|row| row.map(|row| row.epoch))
}

/// Prolongs every lease that the run still holds, from the connection that is to prove that it lives.
///
/// # Errors
/// What the database says.
pub fn renew(connection: &mut PgConnection, run_id: i64, ttl: Duration) -> QueryResult<usize> {
    sql_query(
        "update etl_lease \
            set expires_at = clock_timestamp() + make_interval(secs => $2), \
                backend_pid = case when $3 then pg_backend_pid() end, \
                backend_start = (select a.backend_start from pg_stat_activity a where $3 and a.pid = pg_backend_pid()) \
          where run_id = $1 and expires_at > '-infinity'",
    )
    .bind::<BigInt, _>(run_id)
    .bind::<Double, _>(ttl.as_secs_f64())
    .bind::<Bool, _>(session_is_ours())
    .execute(connection)
}

/// Prolongs one lease, if it is still ours, and locks it until the end of the transaction: [`fence`] for work that is
/// not a run and has nobody to renew its leases meanwhile.
///
/// # Errors
/// What the database says.
pub fn prolong(connection: &mut PgConnection, source: &str, epoch: i64, ttl: Duration) -> QueryResult<bool> {
    sql_query(
        "update etl_lease set expires_at = clock_timestamp() + make_interval(secs => $3) where source = $1 and epoch = $2",
    )
    .bind::<Text, _>(source)
    .bind::<BigInt, _>(epoch)
    .bind::<Double, _>(ttl.as_secs_f64())
    .execute(connection)
    .map(|rows| rows > 0)
}

/// Locks the lease until the end of the transaction and says whether the epoch still holds. The first
/// statement of every transaction that writes data: a run that was overtaken writes nothing.
///
/// # Errors
/// What the database says.
pub fn fence(connection: &mut PgConnection, source: &str, epoch: i64) -> QueryResult<bool> {
    etl_lease::table
        .find(source)
        .filter(etl_lease::epoch.eq(epoch))
        .select(etl_lease::epoch)
        .for_update()
        .first::<i64>(connection)
        .optional()
        .map(|row| row.is_some())
}

/// Gives the lease back, if it is still ours. The epoch moves on, so that nothing of ours can be written after it.
///
/// # Errors
/// What the database says.
pub fn release(connection: &mut PgConnection, source: &str, epoch: i64) -> QueryResult<usize> {
    sql_query(
        "update etl_lease set epoch = epoch + 1, expires_at = '-infinity', backend_pid = null, backend_start = null \
          where source = $1 and epoch = $2",
    )
    .bind::<Text, _>(source)
    .bind::<BigInt, _>(epoch)
    .execute(connection)
}

/// A lease in somebody's hands.
#[derive(Clone, Debug, Serialize, Queryable, Selectable)]
#[diesel(table_name = etl_lease, check_for_backend(diesel::pg::Pg))]
pub struct Held {
    /// Host and process, for people.
    pub owner: String,
    /// The run that holds it.
    pub run_id: Option<i64>,
    /// Fencing token.
    pub epoch: i64,
    /// When it runs out unless it is renewed, UTC, by the clock of the database.
    pub expires_at: DateTime<Utc>,
}

/// The lease of a source; `None` when it is free.
///
/// # Errors
/// What the database says.
pub fn held(connection: &mut PgConnection, source: &str) -> QueryResult<Option<Held>> {
    etl_lease::table
        .find(source)
        .filter(etl_lease::expires_at.gt(diesel::dsl::sql::<Timestamptz>("clock_timestamp()")))
        .select(Held::as_select())
        .first(connection)
        .optional()
}
