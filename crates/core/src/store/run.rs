//! `etl_runs` and `etl_run_sources`: one launch, written in commits of its own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text};
use serde::Serialize;

use crate::schema::{etl_run_counts, etl_run_sources, etl_runs};

/// What became of the records of a batch or of a whole run. The parts always add up to `extracted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Observations that did not exist before.
    pub loaded: i64,
    /// Observations whose values the source corrected.
    pub restated: i64,
    /// Records that say what is known already.
    pub unchanged: i64,
    /// Records that the same batch holds once more for the same coin and time.
    pub duplicate: i64,
    /// Records that were refused.
    pub rejected: i64,
}

impl Tally {
    /// Every record that was read.
    pub fn extracted(&self) -> i64 {
        self.loaded + self.restated + self.unchanged + self.duplicate + self.rejected
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loaded += other.loaded;
        self.restated += other.restated;
        self.unchanged += other.unchanged;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
    }
}

/// Opens the record of a launch and returns its key. `sources` is the list asked for, joined by commas; `is_reprocess` when
/// kept bytes are read instead of these.
///
/// # Errors
/// What the database says.
pub fn begin(
    connection: &mut PgConnection,
    sources: &str,
    version: &str,
    is_reprocess: bool,
) -> QueryResult<i64> {
    diesel::insert_into(etl_runs::table)
        .values((
            etl_runs::source.eq(sources),
            etl_runs::program_version.eq(version),
            etl_runs::is_reprocess.eq(is_reprocess),
        ))
        .returning(etl_runs::run_id)
        .get_result(connection)
}

/// Opens the record of one source within a run, whose lease the run holds.
///
/// # Errors
/// What the database says.
pub fn begin_source(connection: &mut PgConnection, run_id: i64, source: &str) -> QueryResult<()> {
    diesel::insert_into(etl_run_sources::table)
        .values((etl_run_sources::run_id.eq(run_id), etl_run_sources::source.eq(source)))
        .execute(connection)
        .map(drop)
}

/// Records that a source was left to another run.
///
/// # Errors
/// What the database says.
pub fn skip_source(connection: &mut PgConnection, run_id: i64, source: &str) -> QueryResult<()> {
    use etl_run_sources as t;
    // In one statement: a row that is running without a lease is taken for the remains of a dead run.
    diesel::insert_into(t::table)
        .values((
            t::run_id.eq(run_id),
            t::source.eq(source),
            t::status.eq("skipped"),
            t::ended_at.eq(diesel::dsl::now),
        ))
        .execute(connection)
        .map(drop)
}

/// Adds batches to the counters of a source within a run; part of the transaction that writes them.
///
/// # Errors
/// What the database says.
pub fn count_batches(
    connection: &mut PgConnection,
    run_id: i64,
    source: &str,
    batches: i64,
    tally: &Tally,
) -> QueryResult<()> {
    use etl_run_sources as t;
    diesel::update(t::table.find((run_id, source)))
        .set((
            t::batches.eq(t::batches + batches),
            t::extracted.eq(t::extracted + tally.extracted()),
            t::loaded.eq(t::loaded + tally.loaded),
            t::restated.eq(t::restated + tally.restated),
            t::unchanged.eq(t::unchanged + tally.unchanged),
            t::duplicate.eq(t::duplicate + tally.duplicate),
            t::rejected.eq(t::rejected + tally.rejected),
        ))
        .execute(connection)
        .map(drop)
}

/// The newest run before another that read a source itself to its end and found something, and how many records it read;
/// `None` when there is none.
///
/// # Errors
/// What the database says.
pub fn last_fresh_read(
    connection: &mut PgConnection,
    source: &str,
    before_run: i64,
) -> QueryResult<Option<(i64, i64)>> {
    use etl_run_sources as t;
    t::table
        .inner_join(etl_runs::table)
        .filter(etl_runs::is_reprocess.eq(false))
        .filter(t::source.eq(source).and(t::status.eq("succeeded")).and(t::run_id.lt(before_run)))
        .filter(t::extracted.gt(0))
        .order(t::run_id.desc())
        .select((t::run_id, t::extracted))
        .first(connection)
        .optional()
}

/// Closes the record of one source. A process that lives knows better than whoever took it for dead.
///
/// # Errors
/// What the database says.
pub fn finish_source(
    connection: &mut PgConnection,
    run_id: i64,
    source: &str,
    status: &str,
    failure: Option<(&str, &str)>,
) -> QueryResult<()> {
    sql_query(
        "update etl_run_sources \
            set status = $3, failure_kind = $4, error_message = $5, ended_at = clock_timestamp() \
          where run_id = $1 and source = $2",
    )
    .bind::<BigInt, _>(run_id)
    .bind::<Text, _>(source)
    .bind::<Text, _>(status)
    .bind::<Nullable<Text>, _>(failure.map(|(kind, _)| kind))
    .bind::<Nullable<Text>, _>(failure.map(|(_, message)| message))
    .execute(connection)
    .map(drop)
}

/// Closes the record of a launch, with the records of its sources added up. Sources that are still open
/// get the same status.
///
/// # Errors
/// What the database says.
pub fn finish(
    connection: &mut PgConnection,
    run_id: i64,
    status: &str,
    success: bool,
    message: Option<&str>,
) -> QueryResult<()> {
    connection.transaction(|connection| {
        sql_query(
            "update etl_run_sources set status = $2, ended_at = clock_timestamp() \
              where run_id = $1 and status = 'running'",
        )
        .bind::<BigInt, _>(run_id)
        .bind::<Text, _>(status)
        .execute(connection)?;
        sql_query(
            "update etl_runs \
                set status = $2, success = $3, error_message = $4, ended_at = clock_timestamp(), \
                    records_processed = (select coalesce(sum(extracted), 0) from etl_run_sources where run_id = $1) \
              where run_id = $1",
        )
        .bind::<BigInt, _>(run_id)
        .bind::<Text, _>(status)
        .bind::<Bool, _>(success)
        .bind::<Nullable<Text>, _>(message)
        .execute(connection)
        .map(drop)
    })
}

/// Marks the remains of runs that died: sources that this run now holds the lease of, sources that nobody
/// does, and launches of which nothing runs any more. Returns the number of launches.
///
/// # Errors
/// What the database says.
pub fn abandon_dead(connection: &mut PgConnection, run_id: i64, ttl: Duration) -> QueryResult<usize> {
    connection.transaction(|connection| {
        sql_query(
            "update etl_run_sources s \
                set status = 'abandoned', ended_at = clock_timestamp() \
              where s.status = 'running' and s.run_id <> $1 \
                and not exists (select 1 from etl_lease l \
                                 where l.source = s.source and l.run_id = s.run_id and l.expires_at > clock_timestamp())",
        )
        .bind::<BigInt, _>(run_id)
        .execute(connection)?;
        // A launch that holds no source yet may be just starting: it gets the time of a lease.
        sql_query(
            "update etl_runs r \
                set status = 'abandoned', success = false, ended_at = clock_timestamp(), \
                    error_message = 'the process ended without a word', \
                    records_processed = (select coalesce(sum(extracted), 0) from etl_run_sources where run_id = r.run_id) \
              where r.status = 'running' and r.run_id <> $1 \
                and not exists (select 1 from etl_run_sources s where s.run_id = r.run_id and s.status = 'running') \
                and (r.started_at < clock_timestamp() - make_interval(secs => $2) \
                     or exists (select 1 from etl_run_sources s where s.run_id = r.run_id and s.status = 'abandoned'))",
        )
        .bind::<BigInt, _>(run_id)
        .bind::<Double, _>(ttl.as_secs_f64())
        .execute(connection)
    })
}

/// One source of one run, for the status display.
#[derive(Clone, Debug, Serialize, Queryable, Selectable)]
#[diesel(table_name = etl_run_sources, check_for_backend(diesel::pg::Pg))]
pub struct SourceRun {
    /// The launch.
    pub run_id: i64,
    /// The source.
    pub source: String,
    /// running, succeeded, failed, skipped, cancelled or abandoned.
    pub status: String,
    /// Why it ended early; null when it did not.
    pub failure_kind: Option<String>,
    /// One sentence, without secrets.
    pub error_message: Option<String>,
    /// Records read.
    pub extracted: i64,
    /// New observations.
    pub loaded: i64,
    /// Corrected observations.
    pub restated: i64,
    /// Records that were known.
    pub unchanged: i64,
    /// Records that came twice.
    pub duplicate: i64,
    /// Records refused.
    pub rejected: i64,
    /// UTC.
    pub started_at: DateTime<Utc>,
    /// UTC; null while running.
    pub ended_at: Option<DateTime<Utc>>,
}

impl SourceRun {
    /// What became of the records.
    pub fn tally(&self) -> Tally {
        let Self { loaded, restated, unchanged, duplicate, rejected, .. } = *self;
        Tally { loaded, restated, unchanged, duplicate, rejected }
    }
}

/// The newest run that was to read a source itself, not bytes that are kept; `None` before the first.
///
/// # Errors
/// What the database says.
pub fn newest(connection: &mut PgConnection, source: &str) -> QueryResult<Option<SourceRun>> {
    // One source at a time: the newest of all at once are found by reading all runs there ever were.
    etl_run_sources::table
        .inner_join(etl_runs::table)
        .filter(etl_runs::is_reprocess.eq(false).and(etl_run_sources::source.eq(source)))
        .order(etl_run_sources::run_id.desc())
        .select(SourceRun::as_select())
        .first(connection)
        .optional()
}

/// The newest run that was to read a source itself, has ended and was not left to another one; `None` before the first.
///
/// # Errors
/// What the database says.
pub fn newest_ended(connection: &mut PgConnection, source: &str) -> QueryResult<Option<SourceRun>> {
    use etl_run_sources as t;
    t::table
        .inner_join(etl_runs::table)
        .filter(etl_runs::is_reprocess.eq(false))
        .filter(t::source.eq(source).and(t::status.ne("running")).and(t::status.ne("skipped")))
        .order(t::run_id.desc())
        .select(SourceRun::as_select())
        .first(connection)
        .optional()
}

/// How many runs of each source ended with each status, as source, status and number. Never goes down.
///
/// # Errors
/// What the database says.
pub fn counts(connection: &mut PgConnection) -> QueryResult<Vec<(String, String, i64)>> {
    use etl_run_counts as t;
    t::table.order((t::source, t::status)).load(connection)
}
