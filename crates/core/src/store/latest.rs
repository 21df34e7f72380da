//! `coin_latest`: the newest observation of a coin, and how many there are.

use diesel::prelude::*;

use super::listed::Observation;
use crate::schema::{asset_links, assets, coin_labels, coin_latest, coins, data_sources, etl_batches};

/// The newest observation of some coins, with the key of the source of each.
#[derive(Clone, Debug)]
pub struct Newest {
    /// In no order: those of every source that has a coin of one of the ids.
    pub rows: Vec<(i16, Observation)>,
    /// [`super::version::number`] of that moment; `None` without rows.
    pub version: Option<i64>,
}

/// The newest observation by `observed_at` of the coins that have one of these ids at any source.
///
/// # Errors
/// What the database says.
pub fn newest(connection: &mut PgConnection, crypto_ids: &[String]) -> QueryResult<Newest> {
    let versions = diesel::alias!(data_sources as versions);
    let found: Vec<(i16, Option<i64>, Observation)> = coin_latest::table
        .inner_join(coins::table.inner_join(data_sources::table))
        .inner_join(coin_labels::table)
        .inner_join(etl_batches::table)
        .filter(coins::crypto_id.eq_any(crypto_ids))
        .select((
            coins::source_id,
            int8(
                versions.select(diesel::dsl::sum(versions.field(data_sources::batch_number))).single_value(),
            ),
            (
                coin_latest::coin_id,
                coin_latest::observed_at,
                coin_latest::batch_id,
                etl_batches::created_at,
                data_sources::name,
                coins::crypto_id,
                coin_labels::crypto_name,
                coin_labels::symbol,
                coin_latest::rank,
                coin_latest::price_usd,
                coin_latest::market_cap_usd,
                coin_latest::volume_24h_usd,
                coin_latest::change_24h_percent,
                coin_latest::circulating_supply,
                coin_latest::total_supply,
                coin_latest::max_supply,
                // Typed like the rest: Diesel prepares a statement with a piece of text anew each time, and planning this one costs
                // ten times what it costs to run.
                asset_links::table
                    .inner_join(assets::table)
                    .filter(
                        asset_links::coin_id.eq(coin_latest::coin_id).and(asset_links::ended_at.is_null()),
                    )
                    .select(assets::slug)
                    .single_value(),
            ),
        ))
        .load(connection)?;
    let version = found.first().and_then(|(_, version, _)| *version);
    Ok(Newest { rows: found.into_iter().map(|(source, _, row)| (source, row)).collect(), version })
}

/// Which coins are meant; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct CoinFilter<'a> {
    /// Ids, as the sources spell them.
    pub crypto_ids: Option<&'a [String]>,
    /// Symbols with ASCII letters in lower case; compared with those of the newest observations, whatever their case.
    pub symbols: Option<&'a [String]>,
    /// Keys of sources.
    pub source_ids: Option<&'a [i16]>,
}

/// The keys of the coins that are meant, and the number of observations of each: by their index when their ids are
/// known; by symbol at the cost of reading the coins.
///
/// # Errors
/// What the database says.
pub fn counted_coins(connection: &mut PgConnection, filter: &CoinFilter<'_>) -> QueryResult<Vec<(i32, i64)>> {
    let counted = (coin_latest::coin_id, coin_latest::observations);
    if let (Some(ids), None) = (filter.crypto_ids, filter.symbols) {
        let query = coin_latest::table.inner_join(coins::table).select(counted);
        let query = query.filter(coins::crypto_id.eq_any(ids));
        return match filter.source_ids {
            Some(sources) => query.filter(coins::source_id.eq_any(sources)).load(connection),
            None => query.load(connection),
        };
    }
    let mut query = coin_latest::table
        .inner_join(coins::table)
        .inner_join(coin_labels::table)
        .select(counted)
        .order(coin_latest::coin_id)
        .into_boxed();
    if let Some(ids) = filter.crypto_ids {
        query = query.filter(coins::crypto_id.eq_any(ids));
    }
    if let Some(symbols) = filter.symbols {
        query = query.filter(lower(coin_labels::symbol).eq_any(symbols));
    }
    if let Some(ids) = filter.source_ids {
        query = query.filter(coins::source_id.eq_any(ids));
    }
    query.load(connection)
}

diesel::define_sql_function! {
    /// A whole number as such.
    fn int8(number: diesel::sql_types::Nullable<diesel::sql_types::Numeric>) -> diesel::sql_types::Nullable<diesel::sql_types::BigInt>;
}

diesel::define_sql_function! {
    /// ASCII letters in lower case: the collation of the column is "C".
    fn lower(text: diesel::sql_types::Nullable<diesel::sql_types::Text>) -> diesel::sql_types::Nullable<diesel::sql_types::Text>;
}
