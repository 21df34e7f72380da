//! What was observed of some coins over time: observations by page, and candles made of them.
//!
//! Everything is read along the index of coin and time, and each part names its source, so only the partitions of the
//! range are looked into. As of an earlier time, an observation counts as it stood then: its present values when they
//! had been written by then, else those that `observation_revisions` has kept.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Numeric, SmallInt, Timestamptz};

use super::listed::Observation;
use super::page::Order;
use super::selection::{COLUMNS, NAMED_COLUMNS, NAMES_BY_KEY};
use super::statement::Statement;
use crate::Decimal;

/// Which observations.
#[derive(Clone, Debug)]
pub struct Range {
    /// Keys of the coins, each with that of its source.
    pub coins: Vec<(i32, i16)>,
    /// Earliest time, UTC; `None` is the beginning.
    pub from: Option<DateTime<Utc>>,
    /// First time that is too late, UTC; `None` is the end.
    pub before: Option<DateTime<Utc>>,
    /// As they stood at this time, UTC; `None` is now.
    pub as_of: Option<DateTime<Utc>>,
    /// Only those with a price.
    pub priced: bool,
}

/// Place of an observation in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Time of the observation, UTC.
    pub observed_at: DateTime<Utc>,
    /// Its coin.
    pub coin_id: i32,
}

/// Prices within a span of time.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Candle {
    /// When the span begins, in seconds since 1970, UTC.
    #[diesel(sql_type = BigInt)]
    pub start: i64,
    /// First price: US dollars per coin.
    #[diesel(sql_type = Numeric)]
    pub open: Decimal,
    /// Greatest price.
    #[diesel(sql_type = Numeric)]
    pub high: Decimal,
    /// Least price.
    #[diesel(sql_type = Numeric)]
    pub low: Decimal,
    /// Last price.
    #[diesel(sql_type = Numeric)]
    pub close: Decimal,
    /// Number of prices.
    #[diesel(sql_type = BigInt)]
    pub samples: i64,
    /// Keys of the sources that they are from.
    #[diesel(sql_type = Array<SmallInt>)]
    pub source_ids: Vec<i16>,
}

/// The observations of one coin `c` in a range, as they are.
const NOW: &str = "select {columns} from observations o where {range}{cut}";

/// The same as they stood at `$5`.
const THEN: &str = "
(select {columns} from observations o join etl_batches w on w.batch_id = o.batch_id
  where {range} and w.created_at <= $5{cut})
union all
(select {columns} from observation_revisions o
   join etl_batches w on w.batch_id = o.batch_id join etl_batches e on e.batch_id = o.superseded_by
  where {range} and w.created_at <= $5 and e.created_at > $5{cut})";

const RANGE: &str = "o.source_id = c.source_id and o.coin_id = c.coin_id \
     and o.observed_at >= coalesce($3, '-infinity') and o.observed_at < coalesce($4, 'infinity'){priced}";

const PAGE: &str = "
select {named}
  from (select o.* from unnest($1, $2) as c (coin_id, source_id)
         cross join lateral (select * from ({inner}) o order by o.observed_at {direction} limit $6) o
         order by o.observed_at {direction}, o.coin_id {direction} limit $6) p
  {names}
 order by p.observed_at {direction}, p.coin_id {direction}";

const CANDLES: &str = "
select start, (array_agg(price_usd order by observed_at, coin_id))[1] as open, max(price_usd) as high,
       min(price_usd) as low, (array_agg(price_usd order by observed_at desc, coin_id desc))[1] as close,
       count(*) as samples, array_agg(distinct source_id) as source_ids
  from (select o.*, (floor(extract(epoch from o.observed_at) / $6) * $6)::bigint as start
          from unnest($1, $2) as c (coin_id, source_id) cross join lateral ({inner}) o) o
 group by start order by start";

/// A page of observations in the order of time, behind a place.
///
/// # Errors
/// What the database says.
pub fn page(
    connection: &mut PgConnection,
    range: &Range,
    order: Order,
    behind: Option<Place>,
    limit: i64,
) -> QueryResult<Vec<Observation>> {
    page_statement(range, order, behind, limit).load(connection)
}

/// The candles of a range that has both ends, each of so many seconds and beginning at a multiple of them. Spans without
/// a price have none.
///
/// # Errors
/// What the database says.
pub fn candles(connection: &mut PgConnection, range: &Range, seconds: i64) -> QueryResult<Vec<Candle>> {
    candle_statement(range, seconds).load(connection)
}

/// The plans that the database makes for a page and for candles, line by line.
///
/// # Errors
/// What the database says.
pub fn explain(
    connection: &mut PgConnection,
    range: &Range,
    order: Order,
    behind: Option<Place>,
) -> QueryResult<[Vec<String>; 2]> {
    Ok([
        page_statement(range, order, behind, 101).plan(connection)?,
        candle_statement(range, 3600).plan(connection)?,
    ])
}

fn page_statement(range: &Range, order: Order, behind: Option<Place>, limit: i64) -> Statement {
    let (direction, beyond) = match order {
        Order::Asc => ("asc", ">"),
        Order::Desc => ("desc", "<"),
    };
    let after = if behind.is_some() {
        format!(" and o.observed_at {beyond}= $7 and (o.observed_at, o.coin_id) {beyond} ($7, $8)")
    } else {
        String::new()
    };
    let cut = format!("{after} order by o.observed_at {direction} limit $6");
    let sql = PAGE
        .replace("{named}", NAMED_COLUMNS)
        .replace("{names}", NAMES_BY_KEY)
        .replace("{inner}", &inner(range, &cut))
        .replace("{direction}", direction);
    let statement = bound(Statement::new(sql), range).bind::<BigInt, _>(limit);
    match behind {
        Some(place) => statement.bind::<Timestamptz, _>(place.observed_at).bind::<Integer, _>(place.coin_id),
        None => statement,
    }
}

fn candle_statement(range: &Range, seconds: i64) -> Statement {
    let range = Range { priced: true, ..range.clone() };
    bound(Statement::new(CANDLES.replace("{inner}", &inner(&range, ""))), &range).bind::<BigInt, _>(seconds)
}

/// The observations of one coin, with what orders and cuts each part.
fn inner(range: &Range, cut: &str) -> String {
    let priced = if range.priced { " and o.price_usd is not null" } else { "" };
    let parts = if range.as_of.is_some() { THEN } else { NOW };
    parts
        .replace("{range}", RANGE)
        .replace("{priced}", priced)
        .replace("{columns}", COLUMNS)
        .replace("{cut}", cut)
}

/// `$1` coins, `$2` their sources, `$3` and `$4` ends of the range, `$5` as of when.
fn bound(statement: Statement, range: &Range) -> Statement {
    let (coins, sources): (Vec<i32>, Vec<i16>) = range.coins.iter().copied().unzip();
    statement
        .bind::<Array<Integer>, _>(coins)
        .bind::<Array<SmallInt>, _>(sources)
        .bind::<Nullable<Timestamptz>, _>(range.from)
        .bind::<Nullable<Timestamptz>, _>(range.before)
        .bind::<Nullable<Timestamptz>, _>(range.as_of)
}
