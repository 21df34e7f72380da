//! What the resolver reads: every coin with its newest names and price, and what the outcome depends on.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz};

use crate::Decimal;

/// A coin with its newest names and price, and the link that it has.
#[derive(Clone, Debug, QueryableByName)]
pub struct Coin {
    /// Its key.
    #[diesel(sql_type = Integer)]
    pub coin_id: i32,
    /// Key of its source.
    #[diesel(sql_type = SmallInt)]
    pub source_id: i16,
    /// The id that the source gives it.
    #[diesel(sql_type = Text)]
    pub crypto_id: String,
    /// As sent last.
    #[diesel(sql_type = Nullable<Text>)]
    pub crypto_name: Option<String>,
    /// As sent last.
    #[diesel(sql_type = Nullable<Text>)]
    pub symbol: Option<String>,
    /// From 1.
    #[diesel(sql_type = Nullable<Integer>)]
    pub rank: Option<i32>,
    /// US dollars.
    #[diesel(sql_type = Nullable<Numeric>)]
    pub price_usd: Option<Decimal>,
    /// Time of the price, UTC.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub observed_at: Option<DateTime<Utc>>,
    /// Time of its first price, UTC.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub first_observed_at: Option<DateTime<Utc>>,
    /// Whether the source has it no more: neither priced nor listed, or listed as inactive.
    #[diesel(sql_type = Bool)]
    pub is_gone: bool,
    /// The id that it was noticed to go on under; null for most.
    #[diesel(sql_type = Nullable<Text>)]
    pub migrated_to: Option<String>,
    /// The present link; null before it was resolved for the first time.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub link_id: Option<i64>,
    /// The asset of that link.
    #[diesel(sql_type = Nullable<Integer>)]
    pub asset_id: Option<i32>,
    /// The method of that link.
    #[diesel(sql_type = Nullable<Text>)]
    pub method: Option<String>,
}

/// Every coin, by key.
///
/// # Errors
/// What the database says.
pub fn coins(connection: &mut PgConnection) -> QueryResult<Vec<Coin>> {
    sql_query(
        "select c.coin_id, c.source_id, c.crypto_id, n.crypto_name, n.symbol, l.rank, l.price_usd, l.observed_at, \
                l.first_observed_at, coalesce(s.state in ('missing', 'inactive'), false) as is_gone, \
                case when s.migrated_by <> 'declared' then s.migrated_to end as migrated_to, \
                k.link_id, k.asset_id, k.method \
           from coins c \
           left join coin_latest l using (coin_id) \
           left join coin_labels n on n.label_id = l.label_id \
           left join coin_states s on s.coin_id = c.coin_id and s.until is null \
           left join asset_links k on k.coin_id = c.coin_id and k.ended_at is null \
          order by c.coin_id",
    )
    .load(connection)
}

/// The newest batch of each source that wrote anything, the newest change of each listing and of the rulings, as one text:
/// equal texts mean that there is nothing new to decide from. Of a source that is alone with its coins only these and their
/// names count: prices are compared between sources.
///
/// # Errors
/// What the database says.
pub fn inputs(connection: &mut PgConnection) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        inputs: String,
    }
    sql_query(
        "select concat_ws(' ', \
            (select 'coins=' || count(*) || ' names=' || coalesce(sum(hashint8((c.coin_id::bigint << 32) | l.label_id)), 0) \
               from coins c left join coin_latest l using (coin_id) where market.alone), \
            (select string_agg(s.name || '=' || coalesce(case when s.kind = 'market' then b.batch_id else s.batch_number end, 0), ' ' order by s.name) \
               from data_sources s \
               left join lateral (select batch_id from etl_batches b where b.source = s.name and b.loaded + b.restated > 0 \
                                   order by created_at desc, batch_id desc limit 1) b on true \
              where s.kind <> 'identity' and not (s.kind = 'market' and market.alone)), \
            (select 'rulings=' || count(*) || '/' || count(ended_at) from asset_rulings)) as inputs \
           from (select count(*) < 2 as alone from data_sources where kind = 'market' and coins > 0) market",
    )
    .get_result::<Row>(connection)
    .map(|row| row.inputs)
}

/// Name and key of every source of observations, by key.
///
/// # Errors
/// What the database says.
pub fn sources(connection: &mut PgConnection) -> QueryResult<Vec<(i16, String)>> {
    use crate::schema::data_sources as t;
    t::table
        .filter(t::kind.eq(super::source::MARKET))
        .order(t::source_id)
        .select((t::source_id, t::name))
        .load(connection)
}
