//! `asset_links`: which coin of which source belongs to which asset, since when and why.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;

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
