//! `schema_drift`: what sources have changed about their formats.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Bool, Nullable, Text};
use serde::Serialize;

use crate::schema::schema_drift;

/// One way in which a body leaves the contract of its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDrift {
    /// Path of the field in the source's own record.
    pub field: String,
    /// unknown, missing or retyped.
    pub kind: &'static str,
    /// The source cannot be read without the field.
    pub required: bool,
    /// The beginning of a value or record that shows it, at most 1 kB.
    pub evidence: String,
    /// What a missing field is probably called now.
    pub suggestion: Option<String>,
}

/// Keeps what one body shows, and returns those of it that were never seen before.
///
/// # Errors
/// What the database says.
pub fn keep(connection: &mut PgConnection, source: &str, drifts: &[NewDrift]) -> QueryResult<Vec<Drift>> {
    let fresh: Vec<Drift> = sql_query(
        "insert into schema_drift (source, field, kind, required, evidence, suggestion) \
         select $1, n.* from unnest($2, $3, $4, $5, $6) as n \
         on conflict (source, field, kind) do update set \
            times = schema_drift.times + 1, last_seen_at = clock_timestamp(), \
            suggestion = coalesce(excluded.suggestion, schema_drift.suggestion) \
         returning *",
    )
    .bind::<Text, _>(source)
    .bind::<Array<Text>, _>(drifts.iter().map(|drift| drift.field.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(drifts.iter().map(|drift| drift.kind).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(drifts.iter().map(|drift| drift.required).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(drifts.iter().map(|drift| drift.evidence.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(
        drifts.iter().map(|drift| drift.suggestion.as_deref()).collect::<Vec<_>>(),
    )
    .load(connection)?;
    Ok(fresh.into_iter().filter(|drift| drift.times == 1).collect())
}

/// A change as it is kept.
#[derive(Clone, Debug, Serialize, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = schema_drift, check_for_backend(diesel::pg::Pg))]
pub struct Drift {
    /// The source.
    pub source: String,
    /// Path of the field in the source's own record.
    pub field: String,
    /// unknown, missing or retyped.
    pub kind: String,
    /// The source is frozen while the field is missing.
    pub required: bool,
    /// The beginning of a value or record that shows it.
    pub evidence: String,
    /// What a missing field is probably called now.
    pub suggestion: Option<String>,
    /// Number of bodies that showed it.
    pub times: i64,
    /// UTC.
    pub first_seen_at: DateTime<Utc>,
    /// UTC.
    pub last_seen_at: DateTime<Utc>,
}

/// Every change, by source and field.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Drift>> {
    use schema_drift as t;
    t::table.order((t::source, t::field, t::kind)).select(Drift::as_select()).load(connection)
}
