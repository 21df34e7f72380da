//! Exports: everything that is selected, row by row.
//!
//! The rows come in the order of the partitions (source and month), then coin and time: each partition is read and
//! sorted on its own, so that neither the server nor the reader ever holds more than one of them. The order is that
//! of keys, so the same data is exported as the same bytes.

use std::ops::ControlFlow;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, SmallInt, Timestamptz};

use super::listed::Observation;
use super::selection::{COLUMNS, NAMED_COLUMNS, NAMES, Scope, Selection};
use super::statement::Statement;
use crate::schema::observation_partitions;

/// The rows of a partition (`$2` source, `$3` first moment, `$4` moment behind the last one), or of the newest states.
const ROWS: &str = "
select {named}
  from (select {columns} from {table} o
         where {scope} and ($2 is null or o.source_id = $2)
           and o.observed_at >= coalesce($3, '-infinity') and o.observed_at < coalesce($4, 'infinity'){bounds}) p
  {names}
 order by p.coin_id, p.observed_at";

/// Begins a snapshot in which an export is counted and read; it ends with the connection.
///
/// # Errors
/// What the database says.
pub fn begin(connection: &mut PgConnection, statement_timeout_secs: u64) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "set statement_timeout = '{statement_timeout_secs}s'; set plan_cache_mode = force_custom_plan; \
         set idle_in_transaction_session_timeout = '{statement_timeout_secs}s'; \
         begin isolation level repeatable read, read only"
    ))
}

/// Gives every row to `each` until that breaks off.
///
/// # Errors
/// What the database says.
pub fn each(
    connection: &mut PgConnection,
    selection: &Selection,
    mut each: impl FnMut(Observation) -> ControlFlow<()>,
) -> QueryResult<()> {
    for part in parts(connection, selection)? {
        let rows = statement(selection, part.as_ref());
        for row in rows.load_iter::<Observation, PgRowByRowLoadingMode>(connection)? {
            if each(row?).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One month of one source.
struct Part {
    source_id: i16,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// The partitions to read in their order; `None` for the newest states, which are one table.
fn parts(connection: &mut PgConnection, selection: &Selection) -> QueryResult<Vec<Option<Part>>> {
    if selection.latest {
        return Ok(vec![None]);
    }
    let mut query = observation_partitions::table
        .select((observation_partitions::source_id, observation_partitions::month))
        .order((observation_partitions::source_id, observation_partitions::month))
        .into_boxed();
    if let Scope::All(ids) | Scope::Sources { ids, .. } = &selection.scope {
        query = query.filter(observation_partitions::source_id.eq_any(ids));
    }
    let [from, to] = selection.bounds.as_ref().map_or([None, None], |bounds| bounds.observed_at);
    if let Some(from) = from {
        query = query.filter(observation_partitions::month.ge(first_of_month(from.date_naive())));
    }
    if let Some(to) = to {
        query = query.filter(observation_partitions::month.le(to.date_naive()));
    }
    let months: Vec<(i16, NaiveDate)> = query.load(connection)?;
    let part = |(source_id, month): (i16, NaiveDate)| {
        let next = month.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX);
        Some(Part { source_id, from: midnight(month), to: midnight(next) })
    };
    Ok(months.into_iter().map(part).collect())
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.checked_sub_days(Days::new(u64::from(day.day0()))).unwrap_or(day)
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn statement(selection: &Selection, part: Option<&Part>) -> Statement {
    let sql = ROWS
        .replace("{named}", NAMED_COLUMNS)
        .replace("{columns}", COLUMNS)
        .replace("{names}", NAMES)
        .replace("{table}", if selection.latest { "coin_latest" } else { "observations" })
        .replace(
            "{scope}",
            if matches!(selection.scope, Scope::Coins(_)) {
                "o.coin_id = any($1)"
            } else {
                "o.source_id = any($1)"
            },
        )
        .replace("{bounds}", &selection.bounds_condition());
    let statement = selection
        .bind_scope(Statement::new(sql))
        .bind::<Nullable<SmallInt>, _>(part.map(|part| part.source_id))
        .bind::<Nullable<Timestamptz>, _>(part.map(|part| part.from))
        .bind::<Nullable<Timestamptz>, _>(part.map(|part| part.to));
    selection.bind_bounds(statement)
}
