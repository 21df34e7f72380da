//! `asset_rulings`: what a person decided about two ids at the command line.

use diesel::prelude::*;

use crate::schema::asset_rulings;

/// A decision about two ids.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = asset_rulings, check_for_backend(diesel::pg::Pg))]
pub struct Ruling {
    /// `same` or `never`.
    pub verdict: String,
    /// Source of one id.
    pub source: String,
    /// One id.
    pub crypto_id: String,
    /// Source of the other.
    pub other_source: String,
    /// The other.
    pub other_id: String,
    /// Why.
    pub note: Option<String>,
}

/// Those that hold, oldest first.
///
/// # Errors
/// What the database says.
pub fn current(connection: &mut PgConnection) -> QueryResult<Vec<Ruling>> {
    asset_rulings::table
        .filter(asset_rulings::ended_at.is_null())
        .order(asset_rulings::ruling_id)
        .select(Ruling::as_select())
        .load(connection)
}

/// Adds one.
///
/// # Errors
/// What the database says.
pub fn insert(connection: &mut PgConnection, ruling: &Ruling) -> QueryResult<()> {
    diesel::insert_into(asset_rulings::table)
        .values(ruling)
        .on_conflict_do_nothing()
        .execute(connection)
        .map(drop)
}

/// Takes back what holds of an id; returns how many there were.
///
/// # Errors
/// What the database says.
pub fn end(connection: &mut PgConnection, source: &str, crypto_id: &str) -> QueryResult<usize> {
    use asset_rulings as t;
    diesel::update(t::table)
        .filter(t::source.eq(source).and(t::crypto_id.eq(crypto_id)).and(t::ended_at.is_null()))
        .set(t::ended_at.eq(diesel::dsl::now))
        .execute(connection)
}
