//! What `/stats`, `/health` and the metrics show: runs and checkpoints. No counting of rows.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;

use super::source;
use crate::schema::{data_sources, etl_checkpoints, etl_run_sources, etl_runs};

/// One launch of the ETL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = etl_runs, check_for_backend(diesel::pg::Pg))]
pub struct Run {
    /// Key; grows with each launch.
    pub run_id: i64,
    /// Names of the sources asked for, separated by commas.
    pub source: String,
    /// `None` while running.
    pub success: Option<bool>,
    /// Records extracted from all sources.
    pub records_processed: i64,
    /// UTC, by the clock of the database.
    pub started_at: DateTime<Utc>,
    /// UTC, by the clock of the database; `None` while running.
    pub ended_at: Option<DateTime<Utc>>,
}

/// How far one source has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = etl_checkpoints, check_for_backend(diesel::pg::Pg))]
pub struct Checkpoint {
    /// Name of the source.
    pub source: String,
    /// Newest `observed_at` that the source has delivered, UTC; `None` before the first observation.
    pub last_processed_timestamp: Option<DateTime<Utc>>,
    /// When the checkpoint moved last, UTC, by the clock of the database.
    pub updated_at: DateTime<Utc>,
}

/// The checkpoint of every source that delivers observations, by name.
///
/// # Errors
/// What the database says.
pub fn checkpoints(connection: &mut PgConnection) -> QueryResult<Vec<Checkpoint>> {
    etl_checkpoints::table
        .inner_join(data_sources::table.on(data_sources::name.eq(etl_checkpoints::source)))
        .filter(data_sources::kind.eq(source::MARKET))
        .order(etl_checkpoints::source)
        .select(Checkpoint::as_select())
        .load(connection)
}

/// When a source itself was read successfully for the last time, UTC; `None` when never.
///
/// # Errors
/// What the database says.
pub fn last_success(connection: &mut PgConnection, source: &str) -> QueryResult<Option<DateTime<Utc>>> {
    etl_run_sources::table
        .inner_join(etl_runs::table)
        .filter(etl_runs::is_reprocess.eq(false))
        .filter(etl_run_sources::source.eq(source))
        .filter(etl_run_sources::status.eq("succeeded"))
        .order(etl_run_sources::run_id.desc())
        .select(etl_run_sources::ended_at)
        .first(connection)
        .optional()
        .map(Option::flatten)
}
