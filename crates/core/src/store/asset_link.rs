//! `asset_links`: which coin of which source belongs to which asset, since when and why.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use serde::Serialize;

use super::copy;
use crate::schema::{asset_links, assets, coins, data_sources};

/// A coin that belongs to an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Queryable)]
pub struct Member {
    /// The asset.
    pub asset_id: i32,
    /// Key of the coin.
    pub coin_id: i32,
    /// Name of its source.
    pub source: String,
    /// The id that the source gives it.
    pub crypto_id: String,
    /// `own`, `declared`, `contract`, `id` or `name`.
    pub method: String,
    /// Above 0, at most 1.
    pub confidence: f64,
    /// What the method rests on.
    pub evidence: serde_json::Value,
    /// Since when it belongs to the asset, UTC.
    pub since: DateTime<Utc>,
}

/// The present members of assets, by asset, source and id.
///
/// # Errors
/// What the database says.
pub fn members(connection: &mut PgConnection, asset_ids: &[i32]) -> QueryResult<Vec<Member>> {
    asset_links::table
        .inner_join(coins::table.inner_join(data_sources::table))
        .filter(asset_links::asset_id.eq_any(asset_ids).and(asset_links::ended_at.is_null()))
        .order((asset_links::asset_id, data_sources::name, coins::crypto_id))
        .select((
            asset_links::asset_id,
            coins::coin_id,
            data_sources::name,
            coins::crypto_id,
            asset_links::method,
            asset_links::confidence,
            asset_links::evidence,
            asset_links::created_at,
        ))
        .load(connection)
}

/// Key of the coin, key and slug of the asset that each of these coins belongs to; a coin that was loaded and not
/// resolved yet is missing.
///
/// # Errors
/// What the database says.
pub fn assets_of(connection: &mut PgConnection, coin_ids: &[i32]) -> QueryResult<Vec<(i32, i32, String)>> {
    asset_links::table
        .inner_join(assets::table)
        .filter(asset_links::coin_id.eq_any(coin_ids).and(asset_links::ended_at.is_null()))
        .order(asset_links::coin_id)
        .select((asset_links::coin_id, assets::asset_id, assets::slug))
        .load(connection)
}

/// The coin that each asset was made for first: key of the asset, key of the coin.
///
/// # Errors
/// What the database says.
pub fn founders(connection: &mut PgConnection) -> QueryResult<Vec<(i32, i32)>> {
    asset_links::table
        .filter(asset_links::method.eq("own"))
        .distinct_on(asset_links::asset_id)
        .order((asset_links::asset_id, asset_links::link_id))
        .select((asset_links::asset_id, asset_links::coin_id))
        .load(connection)
}

/// A link to be made.
#[derive(Clone, Debug)]
pub struct NewLink<'e> {
    /// The asset.
    pub asset_id: i32,
    /// The coin, which has no present link.
    pub coin_id: i32,
    /// `own`, `declared`, `contract`, `id` or `name`.
    pub method: &'static str,
    /// Above 0, at most 1.
    pub confidence: f64,
    /// What the method rests on, as the text of a JSON object.
    pub evidence: &'e str,
}

/// Ends links. `reasons` has a sentence for each.
///
/// # Errors
/// What the database says.
pub fn end(connection: &mut PgConnection, link_ids: &[i64], reasons: &[&str]) -> QueryResult<()> {
    sql_query(
        "update asset_links l set ended_at = clock_timestamp(), ended_reason = n.reason \
           from unnest($1, $2) as n (link_id, reason) where l.link_id = n.link_id and l.ended_at is null",
    )
    .bind::<Array<BigInt>, _>(link_ids)
    .bind::<Array<Text>, _>(reasons)
    .execute(connection)
    .map(drop)
}

/// Makes links.
///
/// # Errors
/// What the database says; a second present link of a coin is a unique violation.
pub fn insert(connection: &mut PgConnection, links: &[NewLink<'_>]) -> QueryResult<()> {
    let mut links: Vec<&NewLink<'_>> = links.iter().collect();
    links.sort_by_key(|link| link.coin_id);
    let columns = "asset_id, coin_id, method, confidence, evidence";
    copy::into(connection, "asset_links", columns, &links, |out, link| {
        out.integer(link.asset_id);
        out.integer(link.coin_id);
        out.text(Some(link.method));
        out.double(Some(link.confidence));
        out.jsonb(link.evidence);
    })
}

/// A link of a coin, present or past, with the asset.
#[derive(Clone, Debug, Serialize, Queryable)]
pub struct PastLink {
    /// Slug of the asset.
    pub asset: String,
    /// Why.
    pub method: String,
    /// Above 0, at most 1.
    pub confidence: f64,
    /// What it rests on.
    pub evidence: serde_json::Value,
    /// UTC.
    pub created_at: DateTime<Utc>,
    /// UTC; null while it holds.
    pub ended_at: Option<DateTime<Utc>>,
    /// Null while it holds.
    pub ended_reason: Option<String>,
}

/// All links that a coin has had, oldest first.
///
/// # Errors
/// What the database says.
pub fn history(connection: &mut PgConnection, coin_id: i32) -> QueryResult<Vec<PastLink>> {
    asset_links::table
        .inner_join(assets::table)
        .filter(asset_links::coin_id.eq(coin_id))
        .order(asset_links::link_id)
        .select((
            assets::slug,
            asset_links::method,
            asset_links::confidence,
            asset_links::evidence,
            asset_links::created_at,
            asset_links::ended_at,
            asset_links::ended_reason,
        ))
        .load(connection)
}
