//! `asset_reviews`: coins that look like others and were not linked.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Integer, Text};
use serde::Serialize;

use crate::schema::asset_reviews;

/// A coin for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = asset_reviews, check_for_backend(diesel::pg::Pg))]
pub struct Review {
    /// Key of the coin.
    pub coin_id: i32,
    /// Why it was not linked.
    pub reason: String,
    /// Keys of the coins that it might be, likeliest first; at most [`MOST_CANDIDATES`].
    pub candidates: Vec<i32>,
    /// How many there are.
    pub candidate_count: i32,
    /// UTC.
    pub since: DateTime<Utc>,
}

/// Most candidates that are kept of a coin.
pub const MOST_CANDIDATES: usize = 10;

/// Every one, by coin.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Review>> {
    asset_reviews::table.order(asset_reviews::coin_id).select(Review::as_select()).load(connection)
}

/// A coin to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReview {
    /// Key of the coin.
    pub coin_id: i32,
    /// Why it was not linked.
    pub reason: &'static str,
    /// At most [`MOST_CANDIDATES`].
    pub candidates: Vec<i32>,
    /// How many there are.
    pub candidate_count: i32,
}

/// Lists coins, or corrects what the list says of them.
///
/// # Errors
/// What the database says.
pub fn save(connection: &mut PgConnection, reviews: &[NewReview]) -> QueryResult<()> {
    // Arrays of different lengths do not make an array: each travels as text.
    let candidates = reviews.iter().map(|review| {
        let keys: Vec<String> = review.candidates.iter().map(ToString::to_string).collect();
        format!("{{{}}}", keys.join(","))
    });
    sql_query(
        "insert into asset_reviews (coin_id, reason, candidates, candidate_count) \
         select coin_id, reason, candidates::integer[], candidate_count \
           from unnest($1, $2, $3, $4) as n (coin_id, reason, candidates, candidate_count) \
         on conflict (coin_id) do update set reason = excluded.reason, candidates = excluded.candidates, \
            candidate_count = excluded.candidate_count, \
            since = case when asset_reviews.reason = excluded.reason then asset_reviews.since else clock_timestamp() end",
    )
    .bind::<Array<Integer>, _>(reviews.iter().map(|review| review.coin_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(reviews.iter().map(|review| review.reason).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(candidates.collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(reviews.iter().map(|review| review.candidate_count).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}

/// Takes coins off the list.
///
/// # Errors
/// What the database says.
pub fn remove(connection: &mut PgConnection, coin_ids: &[i32]) -> QueryResult<()> {
    diesel::delete(asset_reviews::table.filter(asset_reviews::coin_id.eq_any(coin_ids)))
        .execute(connection)
        .map(drop)
}
