//! `assets`: a coin, whatever the sources call it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;

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
