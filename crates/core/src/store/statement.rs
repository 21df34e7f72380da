//! SQL text with numbered parameters that is prepared once per connection.
//!
//! `diesel::sql_query` parses and plans its text on every call. The texts here are put together from fixed
//! pieces, so there is a bounded number of them, and the statement cache of the connection may keep them.

use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Text, Untyped};
use diesel::{Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl};

/// A statement of fixed text, `$1` and so on standing for the bound values.
pub(crate) struct Statement {
    sql: String,
    values: Vec<Box<dyn QueryFragment<Pg> + Send>>,
}

impl Statement {
    /// Begins with the text, which must not hold anything that a caller sent.
    pub(crate) fn new(sql: String) -> Self {
        Self { sql, values: Vec::new() }
    }

    /// Binds the next parameter. One that the text does not mention is not sent.
    pub(crate) fn bind<ST, T>(mut self, value: T) -> Self
    where
        Pg: HasSqlType<ST>,
        ST: Send + 'static,
        T: ToSql<ST, Pg> + Send + 'static,
    {
        self.values.push(Box::new(Value { value, sql_type: std::marker::PhantomData::<ST> }));
        self
    }

    /// The same statement, asking for its plan instead of its rows.
    fn explained(mut self) -> Self {
        self.sql.insert_str(0, "explain ");
        self
    }

    /// The plan that the database makes, line by line.
    pub(crate) fn plan(self, connection: &mut PgConnection) -> QueryResult<Vec<String>> {
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
            text: String,
        }
        let lines: Vec<Line> = self.explained().load(connection)?;
        Ok(lines.into_iter().map(|line| line.text).collect())
    }
}

/// The text up to the next `$n`, the number `n`, and the text behind it.
fn split_at_parameter(sql: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = sql.split_once('$')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(digits);
    Some((before, number.parse().ok()?, after))
}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut sql = self.sql.as_str();
        // Diesel numbers the parameters in the order of their pushing: one that occurs twice is sent twice.
        while let Some((before, number, after)) = split_at_parameter(sql) {
            out.push_sql(before);
            let value = number.checked_sub(1).and_then(|at| self.values.get(at)).ok_or_else(|| {
                diesel::result::Error::QueryBuilderError("a parameter without a value".into())
            })?;
            value.walk_ast(out.reborrow())?;
            sql = after;
        }
        out.push_sql(sql);
        Ok(())
    }
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = Untyped;
}

impl RunQueryDsl<PgConnection> for Statement {}

/// Runs a statement with a plan for the values that it is given, whatever the session is set to.
///
/// # Errors
/// What the database says.
pub(crate) fn with_custom_plan<T>(
    connection: &mut PgConnection,
    run: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    connection.transaction(|connection| {
        connection.batch_execute("set local plan_cache_mode = force_custom_plan")?;
        run(connection)
    })
}

struct Value<ST, T> {
    value: T,
    sql_type: std::marker::PhantomData<ST>,
}

impl<ST, T> QueryFragment<Pg> for Value<ST, T>
where
    Pg: HasSqlType<ST>,
    T: ToSql<ST, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<ST, T>(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::sql_types::BigInt;

    #[test]
    fn parameters_are_numbered_by_occurrence() {
        let statement = Statement::new("select $2, $1, $2 limit $3".to_owned())
            .bind::<BigInt, _>(1_i64)
            .bind::<Text, _>("a")
            .bind::<BigInt, _>(9_i64);
        let shown = diesel::debug_query::<Pg, _>(&statement).to_string();
        assert_eq!(shown, r#"select $1, $2, $3 limit $4 -- binds: ["a", 1, "a", 9]"#);
    }
}
