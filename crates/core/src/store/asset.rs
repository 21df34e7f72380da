//! `assets`: a coin, whatever the sources call it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Integer, Nullable, Text};
use serde::Serialize;

use super::{copy, key};
use crate::schema::{asset_links, assets, coins};

/// One asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = assets, check_for_backend(diesel::pg::Pg))]
pub struct Asset {
    /// The key that links carry.
    pub asset_id: i32,
    /// Readable id, such as `bitcoin`; never changes and is never given again.
    pub slug: String,
    /// Name to show.
    pub name: String,
    /// Symbol to show, in upper case; null when no member has one.
    pub symbol: Option<String>,
    /// `active`, or `merged` when the members belong to another asset now.
    pub state: String,
    /// The asset that it was merged into; null while active.
    pub merged_into: Option<i32>,
    /// UTC.
    pub created_at: DateTime<Utc>,
    /// When anything of it changed last, UTC.
    pub updated_at: DateTime<Utc>,
}

/// The longest chain of merges that is followed; the resolver lets merged assets point to active ones.
const MOST_MERGES: usize = 8;

/// The asset of this slug; of one that was merged, the asset that it was merged into.
///
/// # Errors
/// What the database says.
pub fn by_slug(connection: &mut PgConnection, slug: &str) -> QueryResult<Option<Asset>> {
    let mut found: Option<Asset> = assets::table
        .filter(assets::slug.eq(slug))
        .select(Asset::as_select())
        .first(connection)
        .optional()?;
    for _ in 0..MOST_MERGES {
        let Some(next) = found.as_ref().and_then(|asset| asset.merged_into) else { break };
        found = assets::table.find(next).select(Asset::as_select()).first(connection).optional()?;
    }
    Ok(found)
}

/// The assets that the coins with this id belong to, each once: several when sources use the same id for different
/// coins. The asset of the source that was registered first comes first.
///
/// # Errors
/// What the database says.
pub fn by_crypto_id(connection: &mut PgConnection, crypto_id: &str) -> QueryResult<Vec<Asset>> {
    let mut found: Vec<Asset> = coins::table
        .inner_join(asset_links::table.inner_join(assets::table))
        .filter(coins::crypto_id.eq(crypto_id).and(asset_links::ended_at.is_null()))
        .order(coins::source_id)
        .select(Asset::as_select())
        .load(connection)?;
    let mut seen = Vec::new();
    found.retain(|asset| {
        let is_new = !seen.contains(&asset.asset_id);
        seen.push(asset.asset_id);
        is_new
    });
    Ok(found)
}

/// Every asset, by key.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Asset>> {
    assets::table.order(assets::asset_id).select(Asset::as_select()).load(connection)
}

/// What an asset is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Readable id.
    pub slug: String,
    /// Name to show.
    pub name: String,
    /// Symbol to show, in upper case.
    pub symbol: Option<String>,
}

/// Creates assets and returns their keys in the order given.
///
/// # Errors
/// What the database says; a slug that was ever given is a unique violation.
pub fn insert(connection: &mut PgConnection, new: &[Called]) -> QueryResult<Vec<i32>> {
    let keys = key::draw(connection, "assets", "asset_id", new.len())?;
    let mut rows: Vec<(&Called, i32)> = new.iter().zip(keys.iter().copied()).collect();
    rows.sort_unstable_by_key(|(called, _)| called.slug.as_str());
    copy::into(connection, "assets", "asset_id, slug, name, symbol", &rows, |out, (called, asset_id)| {
        out.integer(*asset_id);
        out.text(Some(&called.slug));
        out.text(Some(&called.name));
        out.text(called.symbol.as_deref());
    })?;
    Ok(keys)
}

/// Changes what assets are called, and which of them are merged; the slug stays.
///
/// # Errors
/// What the database says.
pub fn update(connection: &mut PgConnection, changed: &[Asset]) -> QueryResult<()> {
    if changed.is_empty() {
        return Ok(());
    }
    sql_query(
        "update assets a set name = n.name, symbol = n.symbol, merged_into = n.merged_into, updated_at = clock_timestamp(), \
                             state = case when n.merged_into is null then 'active' else 'merged' end \
           from unnest($1, $2, $3, $4) as n (asset_id, name, symbol, merged_into) where a.asset_id = n.asset_id",
    )
    .bind::<Array<Integer>, _>(changed.iter().map(|asset| asset.asset_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(changed.iter().map(|asset| asset.name.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(changed.iter().map(|asset| asset.symbol.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Integer>>, _>(changed.iter().map(|asset| asset.merged_into).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}
