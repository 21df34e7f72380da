//! The partitions of `observations`: a month of a source has an open one, and those that were closed when many newer rows came.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Bool, Date, Nullable, SmallInt, Timestamptz};

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn ensure_observation_partition(of_source: SmallInt, wanted: Date, with_indexes: Bool) -> Bool;
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn build_observation_index(of_source: SmallInt, wanted: Date) -> Bool;
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn index_observation_partition(of_source: SmallInt, wanted: Date) -> Bool;
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn count_observation_partition(of_source: SmallInt, wanted: Date) -> Bool;
}

/// Makes the partition of a month of a source; `true` when it was not there. To be called outside the transaction of
/// a batch: a partition that stays empty after a kill does no harm, a lock held for long would. Without indexes
/// for a month that is about to be loaded in bulk, nor counted; [`index`] and [`count`] do that.
///
/// # Errors
/// What the database says.
pub fn ensure(
    connection: &mut PgConnection,
    source_id: i16,
    month: NaiveDate,
    with_indexes: bool,
) -> QueryResult<bool> {
    diesel::select(ensure_observation_partition(source_id, month, with_indexes)).get_result(connection)
}

/// Builds one index that a month of a source lacks and that no other session is building; `false` when there is none.
/// Two sessions that call it in turns build two at a time.
///
/// # Errors
/// What the database says.
pub fn build_index(connection: &mut PgConnection, source_id: i16, month: NaiveDate) -> QueryResult<bool> {
    diesel::select(build_observation_index(source_id, month)).get_result(connection)
}

/// Sees to it that a month of a source has all its indexes; `true` when it was without.
///
/// # Errors
/// What the database says.
pub fn index(connection: &mut PgConnection, source_id: i16, month: NaiveDate) -> QueryResult<bool> {
    diesel::select(index_observation_partition(source_id, month)).get_result(connection)
}

/// Counts what the observations of each coin in a month of a source lie between, if that was put off; `true` when it
/// was.
///
/// # Errors
/// What the database says.
pub fn count(connection: &mut PgConnection, source_id: i16, month: NaiveDate) -> QueryResult<bool> {
    diesel::select(count_observation_partition(source_id, month)).get_result(connection)
}

/// Says that a month of a source is counted; `false` when it was. The transaction writes what it comes to.
///
/// # Errors
/// What the database says.
pub fn set_counted(connection: &mut PgConnection, source_id: i16, month: NaiveDate) -> QueryResult<bool> {
    use crate::schema::observation_partitions as t;
    let uncounted =
        t::table.filter(t::source_id.eq(source_id).and(t::month.eq(month)).and(t::counted.eq(false)));
    diesel::update(uncounted).set(t::counted.eq(true)).execute(connection).map(|rows| rows == 1)
}

/// A month that is being loaded in bulk, or was when the run that did so was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct Unfinished {
    /// Its first day, UTC.
    pub month: NaiveDate,
    /// Whether what its observations lie between is written with each batch; else it is counted in the end.
    pub is_counted: bool,
}

/// Months of a source whose open partition lacks indexes or that are not counted.
///
/// # Errors
/// What the database says.
pub fn unfinished(connection: &mut PgConnection, source_id: i16) -> QueryResult<Vec<Unfinished>> {
    use crate::schema::observation_partitions as t;
    t::table
        .filter(t::source_id.eq(source_id).and(t::indexed.eq(false).or(t::counted.eq(false))))
        .order(t::month)
        .select((t::month, t::counted))
        .load(connection)
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn observation_partition_name(of_source: SmallInt, wanted: Date) -> Text;
}

/// The partition of a month that new rows mostly belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its name.
    pub name: String,
    /// The time at which it begins, UTC; `None` when that is the beginning of the month.
    pub from: Option<DateTime<Utc>>,
}

impl Open {
    /// Whether it is the one for a time of its month.
    pub fn has(&self, time: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| time >= from)
    }
}

/// The open partition of a month of a source that has one.
///
/// # Errors
/// What the database says.
pub fn open(connection: &mut PgConnection, source_id: i16, month: NaiveDate) -> QueryResult<Open> {
    use crate::schema::observation_partitions as t;
    let (name, from) = t::table
        .find((source_id, month))
        .select((observation_partition_name(source_id, month), t::open_from))
        .first(connection)?;
    Ok(Open { name, from })
}

diesel::define_sql_function! {
    /// Defined in the migrations.
    fn split_observation_partition(of_source: SmallInt, wanted: Date, from_time: Timestamptz) -> Bool;
}

/// Closes the open partition of a month that is not loaded in bulk, and goes on in a new one without indexes, behind all that
/// is there; `false` where that cannot be. Readers wait while the rows are looked through.
///
/// # Errors
/// What the database says.
pub fn split(connection: &mut PgConnection, source_id: i16, month: NaiveDate) -> QueryResult<bool> {
    let Some(newest) = newest(connection, source_id, month)? else { return Ok(false) };
    let from = newest + TimeDelta::microseconds(1);
    diesel::select(split_observation_partition(source_id, month, from)).get_result(connection)
}

/// The time of the newest observation of a source in a month, UTC; `None` when there is none.
///
/// # Errors
/// What the database says.
pub fn newest(
    connection: &mut PgConnection,
    source_id: i16,
    month: NaiveDate,
) -> QueryResult<Option<DateTime<Utc>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Timestamptz>)]
        newest: Option<DateTime<Utc>>,
    }
    sql_query("select max(last_observed_at) as newest from coin_months where source_id = $1 and month = $2")
        .bind::<SmallInt, _>(source_id)
        .bind::<Date, _>(month)
        .get_result(connection)
        .map(|row: Row| row.newest)
}
