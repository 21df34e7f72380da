//! `rejects`: records that were refused, each kept once.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text};
use serde::Serialize;

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

/// What reading kept bytes again has done to the list of refused records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Records that were refused and are taken now; they are off the list.
    pub resolved: i64,
    /// Records that are refused now and were not before.
    pub refused: i64,
}

impl std::ops::AddAssign for Settled {
    fn add_assign(&mut self, other: Self) {
        self.resolved += other.resolved;
        self.refused += other.refused;
    }
}

/// Puts the list right after a batch that was made of bytes which had been read before: the source has not sent
/// these records once more, so they are not counted again, and what is not refused any more is taken off. Part of
/// the transaction of the batch; `rejects` are those that it kept.
///
/// # Errors
/// What the database says.
pub fn settle(
    connection: &mut PgConnection,
    source: &str,
    batch_number: i64,
    rejects: &[NewReject],
) -> QueryResult<Settled> {
    // A row that this transaction has made is younger than its beginning.
    let counted_again = sql_query(
        "update rejects r set times = r.times - n.times from unnest($2, $3) as n (fingerprint, times) \
          where r.source = $1 and r.fingerprint = n.fingerprint and r.times > n.times and r.first_seen_at < now()",
    )
    .bind::<Text, _>(source)
    .bind::<Array<Binary>, _>(rejects.iter().map(|r| r.fingerprint.as_slice()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rejects.iter().map(|r| r.times).collect::<Vec<_>>())
    .execute(connection)?;
    let resolved = sql_query(
        "delete from rejects r using etl_batches mine, etl_batches earlier \
          where mine.source = $1 and mine.number = $2 and r.source = $1 and r.batch_id = earlier.batch_id \
            and earlier.batch_id <> mine.batch_id \
            and (earlier.raw_api_id = mine.raw_api_id or earlier.raw_csv_id = mine.raw_csv_id)",
    )
    .bind::<Text, _>(source)
    .bind::<BigInt, _>(batch_number)
    .execute(connection)?;
    Ok(Settled { resolved: resolved as i64, refused: rejects.len() as i64 - counted_again as i64 })
}

/// A refused record as a person sees it.
#[derive(Clone, Debug, Serialize, Queryable, Selectable)]
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
    pub first_seen_at: DateTime<Utc>,
    /// UTC.
    pub last_seen_at: DateTime<Utc>,
    /// The batch that met it last.
    pub batch_id: i64,
    /// Place in the raw bytes of that batch.
    pub raw_position: i32,
}

/// Which refused records are wanted; `None` is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Of this source.
    pub source: Option<&'a str>,
    /// Refused for this reason.
    pub code: Option<&'a str>,
    /// Seen at this time or later, UTC.
    pub since: Option<DateTime<Utc>>,
}

/// Refused records, those seen last first.
///
/// # Errors
/// What the database says.
pub fn list(connection: &mut PgConnection, filter: &Filter<'_>, limit: i64) -> QueryResult<Vec<Kept>> {
    use crate::schema::rejects as t;
    let mut query = t::table
        .order((t::last_seen_at.desc(), t::reject_id))
        .limit(limit)
        .select(Kept::as_select())
        .into_boxed();
    if let Some(source) = filter.source {
        query = query.filter(t::source.eq(source.to_owned()));
    }
    if let Some(code) = filter.code {
        query = query.filter(t::code.eq(code.to_owned()));
    }
    if let Some(since) = filter.since {
        query = query.filter(t::last_seen_at.ge(since));
    }
    query.load(connection)
}
