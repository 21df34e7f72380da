//! What differs between two launches by value: which coins each was about, and what prices each knew.
//!
//! A launch is about the coins of the records that it accepted, whether they said something new or not. What it knew
//! of a coin is the newest observation that had been written by its end, as it stood then.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Numeric, Text, Timestamptz};

use crate::Decimal;

/// One source within two launches.
#[derive(Clone, Debug, QueryableByName)]
pub struct Coverage {
    /// The source.
    #[diesel(sql_type = Text)]
    pub source: String,
    /// Coins that both were about.
    #[diesel(sql_type = Array<Integer>)]
    pub both: Vec<i32>,
    /// Coins that only the second was about.
    #[diesel(sql_type = Array<Integer>)]
    pub added: Vec<i32>,
    /// Coins that only the first was about.
    #[diesel(sql_type = Array<Integer>)]
    pub gone: Vec<i32>,
    /// Whether every batch of both notes its coins; batches of early versions do not.
    #[diesel(sql_type = Bool)]
    pub is_known: bool,
}

/// The coins of two launches, for each source that both have read batches of.
///
/// # Errors
/// What the database says.
pub fn coverage(connection: &mut PgConnection, a: i64, b: i64) -> QueryResult<Vec<Coverage>> {
    sql_query(
        "with batches as (select source, run_id, coin_ids, extracted - rejected as accepted \
                            from etl_batches where run_id in ($1, $2)), \
              sources as (select source, bool_and(coin_ids is not null or accepted = 0) as is_known from batches \
                           group by source having count(distinct run_id) = 2), \
              seen as (select source, coin_id, bool_or(run_id = $1) as in_a, bool_or(run_id = $2) as in_b \
                         from batches cross join lateral unnest(coin_ids) as coin_id group by source, coin_id) \
         select s.source, s.is_known, \
                coalesce(array_agg(coin_id order by coin_id) filter (where in_a and in_b), '{}') as both, \
                coalesce(array_agg(coin_id order by coin_id) filter (where not in_a), '{}') as added, \
                coalesce(array_agg(coin_id order by coin_id) filter (where not in_b), '{}') as gone \
           from sources s left join seen using (source) \
          group by s.source, s.is_known order by s.source",
    )
    .bind::<BigInt, _>(a)
    .bind::<BigInt, _>(b)
    .load(connection)
}

/// A coin by its names.
#[derive(Clone, Debug, QueryableByName)]
pub struct Named {
    /// Its key.
    #[diesel(sql_type = Integer)]
    pub coin_id: i32,
    /// The id that the source gives it.
    #[diesel(sql_type = Text)]
    pub crypto_id: String,
    /// As sent with the newest observation.
    #[diesel(sql_type = Nullable<Text>)]
    pub crypto_name: Option<String>,
    /// As sent with the newest observation.
    #[diesel(sql_type = Nullable<Text>)]
    pub symbol: Option<String>,
    /// Rank of the newest observation.
    #[diesel(sql_type = Nullable<Integer>)]
    pub rank: Option<i32>,
    /// Time of the newest observation, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub observed_at: DateTime<Utc>,
}

/// The first so many of these coins by rank, with their names.
///
/// # Errors
/// What the database says.
pub fn named(connection: &mut PgConnection, coin_ids: &[i32], limit: i64) -> QueryResult<Vec<Named>> {
    sql_query(
        "select c.coin_id, c.crypto_id, n.crypto_name, n.symbol, l.rank, l.observed_at \
           from coin_latest l join coins c using (coin_id) join coin_labels n using (label_id) \
          where l.coin_id = any($1) \
          order by l.rank nulls last, c.crypto_id, c.coin_id limit $2",
    )
    .bind::<Array<Integer>, _>(coin_ids)
    .bind::<BigInt, _>(limit)
    .load(connection)
}

/// How the price of a coin moved between two launches, and how it moved before.
#[derive(Clone, Debug, QueryableByName)]
pub struct Move {
    /// The coin.
    #[diesel(sql_type = Integer)]
    pub coin_id: i32,
    /// What the first launch knew: US dollars per coin.
    #[diesel(sql_type = Numeric)]
    pub from_price: Decimal,
    /// When that was observed, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub from_time: DateTime<Utc>,
    /// What the second launch knew: US dollars per coin.
    #[diesel(sql_type = Numeric)]
    pub to_price: Decimal,
    /// When that was observed, UTC.
    #[diesel(sql_type = Timestamptz)]
    pub to_time: DateTime<Utc>,
    /// Natural logarithm of the ratio of the two.
    #[diesel(sql_type = Double)]
    pub change: f64,
    /// Logarithms of earlier prices, newest first; the first one is `from_price`.
    #[diesel(sql_type = Array<Double>)]
    pub earlier: Vec<f64>,
    /// Their times in seconds since 1970, UTC.
    #[diesel(sql_type = Array<Double>)]
    pub times: Vec<f64>,
}

/// The newest priced observation of a coin as it stood at a time.
const KNOWN_AT: &str = "
 cross join lateral (
       select * from (
          (select o.price_usd, o.observed_at
             from observations o join etl_batches w on w.batch_id = o.batch_id
            where o.source_id = c.source_id and o.coin_id = c.coin_id and o.price_usd > 0 and w.created_at <= {time}
            order by o.observed_at desc limit 1)
          union all
          (select r.price_usd, r.observed_at
             from observation_revisions r
             join etl_batches w on w.batch_id = r.batch_id join etl_batches e on e.batch_id = r.superseded_by
            where r.coin_id = c.coin_id and r.price_usd > 0 and w.created_at <= {time} and e.created_at > {time}
            order by r.observed_at desc limit 1)) k
        order by observed_at desc limit 1) {name}";

/// The moves of those coins whose price is another, between what was known at two times (UTC), with `window` moves
/// before. Coins without a price above zero at either time are left out.
///
/// # Errors
/// What the database says.
pub fn moves(
    connection: &mut PgConnection,
    coin_ids: &[i32],
    times: [DateTime<Utc>; 2],
    window: i64,
) -> QueryResult<Vec<Move>> {
    let known = |name: &str, time: &str| KNOWN_AT.replace("{name}", name).replace("{time}", time);
    sql_query(format!(
        "select c.coin_id, a.price_usd as from_price, a.observed_at as from_time, b.price_usd as to_price, \
                b.observed_at as to_time, ln(b.price_usd / a.price_usd)::float8 as change, h.earlier, h.times \
           from (select coin_id, source_id from coins where coin_id = any($1)) c {} {} \
          cross join lateral ( \
                select array_agg(ln(price_usd)::float8 order by observed_at desc) as earlier, \
                       array_agg(extract(epoch from observed_at)::float8 order by observed_at desc) as times \
                  from (select o.price_usd, o.observed_at from observations o \
                         where o.source_id = c.source_id and o.coin_id = c.coin_id and o.observed_at <= a.observed_at \
                           and o.price_usd > 0 \
                         order by o.observed_at desc limit $4) o) h \
          where a.price_usd <> b.price_usd and h.earlier is not null",
        known("a", "$2"),
        known("b", "$3")
    ))
    .bind::<Array<Integer>, _>(coin_ids)
    .bind::<Timestamptz, _>(times[0])
    .bind::<Timestamptz, _>(times[1])
    .bind::<BigInt, _>(window + 1)
    .load(connection)
}
