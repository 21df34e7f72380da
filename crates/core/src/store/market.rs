//! Assets with the newest state of each of their coins: O(assets), whatever there is of observations.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, Double, Integer, Nullable, SmallInt, Text, Timestamptz};

use chrono::{DateTime, Utc};

use super::listed::Observation;
use super::statement::Statement;

/// One coin of one source as a member of its asset, with its newest observation.
#[derive(Clone, Debug, QueryableByName)]
pub struct Member {
    /// The asset.
    #[diesel(sql_type = Integer)]
    pub asset_id: i32,
    /// Its readable id.
    #[diesel(sql_type = Text)]
    pub slug: String,
    /// Its name.
    #[diesel(sql_type = Text)]
    pub asset_name: String,
    /// Its symbol.
    #[diesel(sql_type = Nullable<Text>)]
    pub asset_symbol: Option<String>,
    /// Why the coin belongs to it.
    #[diesel(sql_type = Text)]
    pub method: String,
    /// The share of links of this kind that is right.
    #[diesel(sql_type = Double)]
    pub confidence: f64,
    /// Since when, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub linked_at: DateTime<Utc>,
    /// Key of the source.
    #[diesel(sql_type = SmallInt)]
    pub source_id: i16,
    /// The newest observation of the coin.
    #[diesel(embed)]
    pub observation: Observation,
}

/// The columns of the observation come first: it is read by their places.
const MEMBERS: &str = "
select l.coin_id, l.observed_at, l.batch_id, b.created_at, s.name as data_source, c.crypto_id, n.crypto_name, n.symbol,
       l.rank, l.price_usd, l.market_cap_usd, l.volume_24h_usd, l.change_24h_percent, l.circulating_supply,
       l.total_supply, l.max_supply, a.slug as asset_slug, a.asset_id, a.slug, a.name as asset_name, a.symbol as asset_symbol, k.method,
       k.confidence, k.created_at as linked_at, l.source_id
  from asset_links k {joined}
 where k.ended_at is null{which}
 order by k.asset_id, s.name, l.coin_id";

/// For every link.
const JOINED: &str = "
  join assets a using (asset_id)
  join coin_latest l using (coin_id)
  join coins c using (coin_id)
  join coin_labels n using (label_id)
  join data_sources s on s.source_id = l.source_id
  join etl_batches b on b.batch_id = l.batch_id";

/// For a few links: each looked up by its keys, whatever the plan takes their number for.
const LOOKED_UP: &str = "
 cross join lateral (select * from assets a where a.asset_id = k.asset_id offset 0) a
 cross join lateral (select * from coin_latest l where l.coin_id = k.coin_id offset 0) l
 cross join lateral (select * from coins c where c.coin_id = k.coin_id offset 0) c
 cross join lateral (select * from coin_labels n where n.label_id = l.label_id offset 0) n
 cross join lateral (select * from data_sources s where s.source_id = l.source_id offset 0) s
 cross join lateral (select * from etl_batches b where b.batch_id = l.batch_id offset 0) b";

/// The members of every asset, those of one asset together.
///
/// # Errors
/// What the database says.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Member>> {
    sql_query(MEMBERS.replace("{joined}", JOINED).replace("{which}", "")).load(connection)
}

/// The members of some assets, those of one asset together.
///
/// # Errors
/// What the database says.
pub fn members(connection: &mut PgConnection, asset_ids: &[i32]) -> QueryResult<Vec<Member>> {
    let sql = MEMBERS.replace("{joined}", LOOKED_UP).replace("{which}", " and k.asset_id = any($1)");
    Statement::new(sql).bind::<Array<Integer>, _>(asset_ids.to_vec()).load(connection)
}

/// An asset that a text may mean.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Meant {
    /// Its key.
    #[diesel(sql_type = Integer)]
    pub asset_id: i32,
    /// Its readable id.
    #[diesel(sql_type = Text)]
    pub slug: String,
}

/// The assets that an id means: the one of this slug, or that such a one was merged into; else those of the coins that
/// sources give this id. More than one when sources use the id for different things.
///
/// # Errors
/// What the database says.
pub fn meant(connection: &mut PgConnection, id: &str) -> QueryResult<Vec<Meant>> {
    let statement = |sql: &str| Statement::new(sql.to_owned()).bind::<Text, _>(id.to_owned());
    let by_slug: Vec<Meant> = statement(
        "with recursive way as (select asset_id, slug, merged_into from assets where slug = $1 \
         union select a.asset_id, a.slug, a.merged_into from way join assets a on a.asset_id = way.merged_into) \
         select asset_id, slug from way where merged_into is null",
    )
    .load(connection)?;
    if !by_slug.is_empty() {
        return Ok(by_slug);
    }
    statement(
        "select distinct a.asset_id, a.slug from coins c join asset_links k using (coin_id) join assets a using (asset_id) \
          where c.crypto_id = $1 and k.ended_at is null order by a.slug",
    )
    .load(connection)
}
