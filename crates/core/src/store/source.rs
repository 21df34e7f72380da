//! `data_sources`: the sources and their counters.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Timestamptz};

use crate::schema::{data_sources, etl_lease};

/// The two keys of a source.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = data_sources, check_for_backend(diesel::pg::Pg))]
pub struct SourceKey {
    /// What observations carry.
    pub source_id: i16,
    /// What people see.
    pub name: String,
}

/// Kind of a source that delivers observations.
pub const MARKET: &str = "market";
/// Kind of a source that delivers ids and contract addresses of a market source.
pub const LISTING: &str = "listing";
/// Kind of the resolver.
pub const IDENTITY: &str = "identity";

/// Finds or creates a source of observations, with its lease.
///
/// # Errors
/// What the database says.
pub fn register(connection: &mut PgConnection, name: &str) -> QueryResult<SourceKey> {
    register_as(connection, name, MARKET)
}

/// Finds or creates a source of a kind, with its lease.
///
/// # Errors
/// What the database says.
pub fn register_as(connection: &mut PgConnection, name: &str, kind: &str) -> QueryResult<SourceKey> {
    if let Some(key) = find(connection, name)? {
        return Ok(key);
    }
    // Both or none: a source without a lease could never be loaded.
    connection.transaction(|connection| {
        diesel::insert_into(data_sources::table)
            .values((data_sources::name.eq(name), data_sources::kind.eq(kind)))
            .on_conflict_do_nothing()
            .execute(connection)?;
        diesel::insert_into(etl_lease::table)
            .values(etl_lease::source.eq(name))
            .on_conflict_do_nothing()
            .execute(connection)
    })?;
    find(connection, name)?.ok_or(diesel::result::Error::NotFound)
}

/// The time, UTC, before which observations of a source were removed because of their age; `None` when none ever were.
///
/// # Errors
/// What the database says.
pub fn pruned_before(connection: &mut PgConnection, name: &str) -> QueryResult<Option<DateTime<Utc>>> {
    data_sources::table
        .filter(data_sources::name.eq(name))
        .select(data_sources::pruned_before)
        .first(connection)
        .optional()
        .map(Option::flatten)
}

fn find(connection: &mut PgConnection, name: &str) -> QueryResult<Option<SourceKey>> {
    data_sources::table
        .filter(data_sources::name.eq(name))
        .select(SourceKey::as_select())
        .first(connection)
        .optional()
}

/// A source with its counters.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = data_sources, check_for_backend(diesel::pg::Pg))]
pub struct Counters {
    /// Its name.
    pub name: String,
    /// [`MARKET`], [`LISTING`] or [`IDENTITY`].
    pub kind: String,
    /// Coins ever seen.
    pub coins: i64,
    /// Observations.
    pub observations: i64,
    /// Records in the raw bytes that are kept.
    pub raw_records: i64,
    /// When the newest batch was written, UTC; `None` before the first.
    pub last_batch_at: Option<DateTime<Utc>>,
}

/// Every source, by name.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Counters>> {
    data_sources::table.order(data_sources::name).select(Counters::as_select()).load(connection)
}

/// What a batch adds to the counters of its source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Added {
    /// Coins that were not known.
    pub coins: i64,
    /// Observations that did not exist.
    pub observations: i64,
    /// Records in raw bytes that were not kept yet.
    pub raw_records: i64,
}

/// Counts one more batch and returns its number.
///
/// # Errors
/// What the database says.
pub fn count_batch(connection: &mut PgConnection, source_id: i16, added: Added) -> QueryResult<i64> {
    diesel::update(data_sources::table.find(source_id))
        .set((
            data_sources::batch_number.eq(data_sources::batch_number + 1),
            data_sources::coins.eq(data_sources::coins + added.coins),
            data_sources::observations.eq(data_sources::observations + added.observations),
            data_sources::raw_records.eq(data_sources::raw_records + added.raw_records),
            data_sources::last_batch_at.eq(sql::<Nullable<Timestamptz>>("clock_timestamp()")),
        ))
        .returning(data_sources::batch_number)
        .get_result(connection)
}

/// The time of the database.
///
/// # Errors
/// What the database says.
pub fn database_time(connection: &mut PgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(sql::<Timestamptz>("clock_timestamp()")).get_result(connection)
}
