//! `etl_batches`: what one body or chunk became.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::run::Tally;
use crate::schema::etl_batches;

/// A committed batch in the making.
#[derive(Clone, Debug)]
pub struct NewBatch<'a> {
    /// The launch.
    pub run_id: i64,
    /// The source.
    pub source: &'a str,
    /// Number within the source.
    pub number: i64,
    /// Fencing token.
    pub lease_epoch: i64,
    /// The bytes that it was made of.
    pub raw: RawKey,
    /// What was read, for people; without secrets.
    pub origin: &'a str,
    /// What became of the records.
    pub tally: Tally,
    /// Oldest and newest observed_at of the rows that it writes; `None` when it writes none.
    pub observed: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Keys of the coins that its records are about, sorted, each once.
    pub coin_ids: &'a [i32],
}

/// Which table the raw bytes are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawKey {
    /// `raw_api_data`
    Api(i64),
    /// `raw_csv_data`
    Csv(i64),
}

/// Writes the row and returns its key.
///
/// # Errors
/// What the database says.
pub fn insert(connection: &mut PgConnection, batch: &NewBatch<'_>) -> QueryResult<i64> {
    use etl_batches as t;
    let (api, csv) = match batch.raw {
        RawKey::Api(id) => (Some(id), None),
        RawKey::Csv(id) => (None, Some(id)),
    };
    let count = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    diesel::insert_into(t::table)
        .values((
            t::run_id.eq(batch.run_id),
            t::source.eq(batch.source),
            t::number.eq(batch.number),
            t::lease_epoch.eq(batch.lease_epoch),
            t::raw_api_id.eq(api),
            t::raw_csv_id.eq(csv),
            t::origin.eq(batch.origin),
            t::extracted.eq(count(batch.tally.extracted())),
            t::loaded.eq(count(batch.tally.loaded)),
            t::restated.eq(count(batch.tally.restated)),
            t::unchanged.eq(count(batch.tally.unchanged)),
            t::duplicate.eq(count(batch.tally.duplicate)),
            t::rejected.eq(count(batch.tally.rejected)),
            t::observed_from.eq(batch.observed.map(|(from, _)| from)),
            t::observed_to.eq(batch.observed.map(|(_, to)| to)),
            t::coin_ids.eq(batch.coin_ids),
        ))
        .returning(t::batch_id)
        .get_result(connection)
}

/// Notes that rows of earlier batches now carry the values of a later one.
///
/// # Errors
/// What the database says.
pub fn supersede(connection: &mut PgConnection, batch_id: i64, rows: i32) -> QueryResult<()> {
    diesel::update(etl_batches::table.find(batch_id))
        .set(etl_batches::superseded.eq(etl_batches::superseded + rows))
        .execute(connection)
        .map(drop)
}

/// Number of the newest batch that a run has committed for a source; `None` when it has none. Answers
/// whether a commit whose confirmation was lost did happen.
///
/// # Errors
/// What the database says.
pub fn newest_number(connection: &mut PgConnection, run_id: i64, source: &str) -> QueryResult<Option<i64>> {
    etl_batches::table
        .filter(etl_batches::run_id.eq(run_id).and(etl_batches::source.eq(source)))
        .select(diesel::dsl::max(etl_batches::number))
        .first(connection)
}
