//! `etl_checkpoints`: how far each source has been read.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::upsert::excluded;

use crate::schema::etl_checkpoints;

/// How far a source has been read.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = etl_checkpoints, check_for_backend(diesel::pg::Pg))]
pub struct Checkpoint {
    /// The source.
    pub source: String,
    /// Id of the last record of the newest batch.
    pub last_processed_id: Option<String>,
    /// Newest observed_at that was delivered, UTC.
    pub last_processed_timestamp: Option<DateTime<Utc>>,
    /// Where the source goes on; its shape belongs to the source.
    pub cursor: serde_json::Value,
    /// Not to be called before, UTC.
    pub not_before: Option<DateTime<Utc>>,
    /// The batch that moved it last.
    pub batch_number: i64,
    /// UTC.
    pub updated_at: DateTime<Utc>,
}

/// All checkpoints, by source.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Checkpoint>> {
    etl_checkpoints::table.order(etl_checkpoints::source).select(Checkpoint::as_select()).load(connection)
}

/// The checkpoint of a source; `None` before its first batch.
///
/// # Errors
/// What the database says.
pub fn find(connection: &mut PgConnection, source: &str) -> QueryResult<Option<Checkpoint>> {
    etl_checkpoints::table.find(source).select(Checkpoint::as_select()).first(connection).optional()
}

/// What a batch says of the checkpoint.
#[derive(Clone, Debug)]
pub struct Advance<'a> {
    /// The source.
    pub source: &'a str,
    /// Id of the last record; `None` when the batch had none.
    pub last_processed_id: Option<&'a str>,
    /// Newest observed_at of the batch; the checkpoint keeps the newest of all.
    pub newest: Option<DateTime<Utc>>,
    /// Where the source goes on.
    pub cursor: &'a serde_json::Value,
    /// Number of the batch.
    pub batch_number: i64,
}

/// Moves the checkpoint; part of the transaction that writes what it covers. The time never goes back.
///
/// # Errors
/// What the database says.
pub fn advance(connection: &mut PgConnection, to: &Advance<'_>) -> QueryResult<()> {
    use diesel::dsl::sql;
    use diesel::sql_types::{Nullable, Text, Timestamptz};
    use etl_checkpoints as t;
    diesel::insert_into(t::table)
        .values((
            t::source.eq(to.source),
            t::last_processed_id.eq(to.last_processed_id),
            t::last_processed_timestamp.eq(to.newest),
            t::cursor.eq(to.cursor),
            t::batch_number.eq(to.batch_number),
        ))
        .on_conflict(t::source)
        .do_update()
        .set((
            t::last_processed_id.eq(sql::<Nullable<Text>>(
                "coalesce(excluded.last_processed_id, etl_checkpoints.last_processed_id)",
            )),
            t::last_processed_timestamp.eq(sql::<Nullable<Timestamptz>>(
                "greatest(excluded.last_processed_timestamp, etl_checkpoints.last_processed_timestamp)",
            )),
            t::cursor.eq(excluded(t::cursor)),
            // A run does not ask before that time; one that reads kept bytes does not ask at all.
            t::not_before.eq(sql::<Nullable<Timestamptz>>(
                "case when etl_checkpoints.not_before > clock_timestamp() then etl_checkpoints.not_before end",
            )),
            t::batch_number.eq(excluded(t::batch_number)),
            t::updated_at.eq(sql::<Timestamptz>("clock_timestamp()")),
        ))
        .execute(connection)
        .map(drop)
}

/// Remembers that the source is not to be called before a time.
///
/// # Errors
/// What the database says.
pub fn set_not_before(connection: &mut PgConnection, source: &str, time: DateTime<Utc>) -> QueryResult<()> {
    use etl_checkpoints as t;
    diesel::insert_into(t::table)
        .values((t::source.eq(source), t::not_before.eq(time)))
        .on_conflict(t::source)
        .do_update()
        .set(t::not_before.eq(time))
        .execute(connection)
        .map(drop)
}
