//! Keys that the database gives out.

use diesel::prelude::*;
use diesel::sql_types::Integer;

use super::statement::Statement;

/// Draws so many keys of a table, ascending. Whoever has them before the rows are written can write these by COPY, in the
/// order that the indexes like best.
///
/// # Errors
/// What the database says.
pub(super) fn draw(
    connection: &mut PgConnection,
    table: &'static str,
    column: &'static str,
    count: usize,
) -> QueryResult<Vec<i32>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        key: i32,
    }
    // The name of the sequence is asked for once, not for each key.
    let sql = format!(
        "select nextval((select pg_get_serial_sequence('{table}', '{column}'))::regclass)::integer as key \
           from generate_series(1, $1)"
    );
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let rows: Vec<Row> = Statement::new(sql).bind::<Integer, _>(count).load(connection)?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
