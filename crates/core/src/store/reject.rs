//! `rejects`: records that were refused, each kept once.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text};

/// A refused record.
#[derive(Clone, Debug)]
pub struct NewReject {
    /// SHA-256 of code, field and raw record.
    pub fingerprint: Vec<u8>,
    /// Name of the reason.
    pub code: &'static str,
    /// Field of the source; null when the record as a whole was refused.
    pub field: Option<String>,
    /// One sentence.
    pub message: String,
    /// Beginning of the raw record, at most 1 kB.
    pub excerpt: String,
    /// Place in the raw bytes of the batch.
    pub raw_position: i32,
    /// How often this batch holds it.
    pub times: i64,
}

/// Keeps refused records of a batch; each fingerprint at most once in `rejects`.
///
/// # Errors
/// What the database says.
pub fn keep(
    connection: &mut PgConnection,
    source: &str,
    batch_id: i64,
    rejects: &[NewReject],
) -> QueryResult<()> {
    if rejects.is_empty() {
        return Ok(());
    }
    sql_query(
        "insert into rejects (source, batch_id, fingerprint, code, field, message, excerpt, raw_position, times) \
         select $1, $2, n.* from unnest($3, $4, $5, $6, $7, $8, $9) as n \
         on conflict (source, fingerprint) do update set \
            batch_id = excluded.batch_id, raw_position = excluded.raw_position, \
            times = rejects.times + excluded.times, last_seen_at = clock_timestamp()",
    )
    .bind::<Text, _>(source)
    .bind::<BigInt, _>(batch_id)
    .bind::<Array<Binary>, _>(rejects.iter().map(|r| r.fingerprint.as_slice()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rejects.iter().map(|r| r.code).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rejects.iter().map(|r| r.field.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rejects.iter().map(|r| r.message.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rejects.iter().map(|r| r.excerpt.as_str()).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rejects.iter().map(|r| r.raw_position).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rejects.iter().map(|r| r.times).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}

/// A refused record as a person sees it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = crate::schema::rejects, check_for_backend(diesel::pg::Pg))]
pub struct Kept {
    /// The source.
    pub source: String,
    /// Name of the reason.
    pub code: String,
    /// Field of the source.
    pub field: Option<String>,
    /// One sentence.
    pub message: String,
    /// Beginning of the raw record.
    pub excerpt: String,
    /// How often it came.
    pub times: i64,
    /// UTC.
    pub first_seen_at: chrono::DateTime<chrono::Utc>,
    /// UTC.
    pub last_seen_at: chrono::DateTime<chrono::Utc>,
    /// The batch that met it last.
    pub batch_id: i64,
    /// Place in the raw bytes of that batch.
    pub raw_position: i32,
}

/// Refused records, those seen last first.
///
/// # Errors
/// What the database says.
pub fn list(connection: &mut PgConnection, source: Option<&str>, limit: i64) -> QueryResult<Vec<Kept>> {
    use crate::schema::rejects as t;
    let mut query = t::table
        .order((t::last_seen_at.desc(), t::reject_id))
        .limit(limit)
        .select(Kept::as_select())
        .into_boxed();
    if let Some(source) = source {
        query = query.filter(t::source.eq(source.to_owned()));
    }
    query.load(connection)
}
