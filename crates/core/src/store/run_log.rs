//! The record of launches, to be read: a page of them, one with its sources, and its batches.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use serde::Serialize;

use super::run::SourceRun;
use super::statement::Statement;
use crate::schema::{etl_batches, etl_run_sources, etl_runs};

/// One launch.
#[derive(Clone, Debug, Serialize, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = etl_runs, check_for_backend(diesel::pg::Pg))]
pub struct Launch {
    /// Key; grows with each launch.
    pub run_id: i64,
    /// Names of the sources asked for, separated by commas.
    pub source: String,
    /// running, succeeded, partial, failed, skipped, cancelled or abandoned.
    pub status: String,
    /// `None` while running.
    pub success: Option<bool>,
    /// Records extracted from all sources.
    pub records_processed: i64,
    /// UTC.
    pub started_at: DateTime<Utc>,
    /// UTC; `None` while running.
    pub ended_at: Option<DateTime<Utc>>,
    /// One line per failed source, without secrets.
    pub error_message: Option<String>,
    /// Version of kasparro-etl.
    pub program_version: String,
}

/// Which launches are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Those with one of these outcomes; `None` is any.
    pub statuses: Option<Vec<String>>,
    /// Those that one of these sources belonged to; `None` is any.
    pub sources: Option<Vec<String>>,
    /// Those before this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

const COLUMNS: &str = "r.run_id, r.source, r.status, r.success, r.records_processed, r.started_at, r.ended_at, \
     r.error_message, r.program_version";

/// The launches that are wanted, newest first. Each kind of filter has an index that is read in order; of both, the
/// launches of the source are read until enough have the status.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut PgConnection, wanted: &Wanted) -> QueryResult<Vec<Launch>> {
    statement(wanted).load(connection)
}

/// The plan that the database makes for a page, line by line.
///
/// # Errors
/// What the database says.
pub fn explain(connection: &mut PgConnection, wanted: &Wanted) -> QueryResult<Vec<String>> {
    statement(wanted).plan(connection)
}

fn statement(wanted: &Wanted) -> Statement {
    let found = match (&wanted.sources, &wanted.statuses) {
        (None, None) => "select run_id from etl_runs where run_id < $1 order by run_id desc limit $2",
        (None, Some(_)) => {
            "select f.run_id from unnest($3) w (status) \
              cross join lateral (select run_id from etl_runs f where f.status = w.status and f.run_id < $1 \
                                   order by run_id desc limit $2) f \
              order by f.run_id desc limit $2"
        }
        (Some(_), statuses) => {
            let status = if statuses.is_some() {
                "and exists (select 1 from etl_runs x where x.run_id = f.run_id and x.status = any($3))"
            } else {
                ""
            };
            &format!(
                "select distinct f.run_id from unnest($4) w (source) \
                  cross join lateral (select run_id from etl_run_sources f \
                                       where f.source = w.source and f.run_id < $1 {status} \
                                       order by run_id desc limit $2) f \
                  order by f.run_id desc limit $2"
            )
        }
    };
    let sql = format!(
        "select {COLUMNS} from ({found}) f join etl_runs r on r.run_id = f.run_id order by r.run_id desc"
    );
    Statement::new(sql)
        .bind::<BigInt, _>(wanted.before.unwrap_or(i64::MAX))
        .bind::<BigInt, _>(wanted.limit)
        .bind::<Array<Text>, _>(wanted.statuses.clone().unwrap_or_default())
        .bind::<Array<Text>, _>(wanted.sources.clone().unwrap_or_default())
}

/// One launch; `None` when there is none of this number.
///
/// # Errors
/// What the database says.
pub fn find(connection: &mut PgConnection, run_id: i64) -> QueryResult<Option<Launch>> {
    etl_runs::table.find(run_id).select(Launch::as_select()).first(connection).optional()
}

/// The sources of a launch, by name.
///
/// # Errors
/// What the database says.
pub fn sources(connection: &mut PgConnection, run_id: i64) -> QueryResult<Vec<(SourceRun, i64)>> {
    etl_run_sources::table
        .filter(etl_run_sources::run_id.eq(run_id))
        .order(etl_run_sources::source)
        .select((SourceRun::as_select(), etl_run_sources::batches))
        .load(connection)
}

/// One committed batch.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = etl_batches, check_for_backend(diesel::pg::Pg))]
pub struct Batch {
    /// Key.
    pub batch_id: i64,
    /// Its source.
    pub source: String,
    /// Its number within the source.
    pub number: i64,
    /// What was read, without secrets.
    pub origin: String,
    /// Records read.
    pub extracted: i32,
    /// New observations.
    pub loaded: i32,
    /// Corrected observations.
    pub restated: i32,
    /// Records that were known.
    pub unchanged: i32,
    /// Records that came twice.
    pub duplicate: i32,
    /// Records refused.
    pub rejected: i32,
    /// Oldest time among the rows that it wrote, UTC; `None` when it wrote none.
    pub observed_from: Option<DateTime<Utc>>,
    /// Newest time among them, UTC.
    pub observed_to: Option<DateTime<Utc>>,
    /// When it was written, UTC.
    pub created_at: DateTime<Utc>,
}

/// Batches of a launch in the order of writing, behind one of them.
///
/// # Errors
/// What the database says.
pub fn batches(
    connection: &mut PgConnection,
    run_id: i64,
    behind: i64,
    limit: i64,
) -> QueryResult<Vec<Batch>> {
    etl_batches::table
        .filter(etl_batches::run_id.eq(run_id).and(etl_batches::batch_id.gt(behind)))
        .order(etl_batches::batch_id)
        .limit(limit)
        .select(Batch::as_select())
        .load(connection)
}
