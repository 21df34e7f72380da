//! Pages of observations: what `GET /data` lists.
//!
//! Every page is read along an index, whatever the order, and costs what a page costs. Positions are compared
//! as rows (`(a, b) < ($1, $2)`): the form with `or` would read everything up to the position. The names of
//! coins and sources are joined to the rows of the page only.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Numeric, SmallInt, Text, Timestamptz};

use super::listed::Observation;
use super::statement::Statement;
use crate::Decimal;

/// What to read.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Which observations.
    pub scope: Scope,
    /// Only the newest observation of each coin.
    pub latest: bool,
    /// Only those within these bounds; needs `latest` or a scope of coins, whose rows are few.
    pub bounds: Option<Bounds>,
    /// In which order, and behind which of them.
    pub sort: Sort,
    /// Direction. Unknown amounts are last in both.
    pub order: Order,
    /// How many to skip.
    pub offset: u32,
    /// How many to read at most.
    pub limit: u32,
}

/// Which observations a page is taken from.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Those of every source; these are the keys of all sources.
    All(Vec<i16>),
    /// Those of some sources.
    Sources {
        /// Keys of the sources.
        ids: Vec<i16>,
        /// Their names.
        names: Vec<String>,
    },
    /// Those of some coins.
    Coins(Vec<i32>),
}

/// Bounds of an observation, each inclusive; `None` is no bound. An amount that is not known is within no bound.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Earliest and latest time of the observation, UTC.
    pub observed_at: [Option<DateTime<Utc>>; 2],
    /// US dollars per coin.
    pub price_usd: [Option<Decimal>; 2],
    /// US dollars.
    pub market_cap_usd: [Option<Decimal>; 2],
    /// US dollars traded in 24 hours.
    pub volume_24h_usd: [Option<Decimal>; 2],
}

/// What a page is sorted by, and the row behind which it begins; `None` is the beginning.
#[derive(Clone, Debug)]
pub enum Sort {
    /// By the time of writing, then batch, coin and time of observation.
    Created(Option<CreatedKey>),
    /// By an amount, then coin and time of observation.
    Amount(AmountColumn, Option<AmountKey>),
}

/// An amount that pages can be sorted by; each has an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountColumn {
    /// US dollars per coin.
    PriceUsd,
    /// US dollars.
    MarketCapUsd,
}

/// Direction of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest or oldest first.
    Asc,
    /// Greatest or newest first.
    Desc,
}

/// Place of a row in the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedKey {
    /// When the row was written, UTC.
    pub created_at: DateTime<Utc>,
    /// By which batch.
    pub batch_id: i64,
    /// Coin of the row.
    pub coin_id: i32,
    /// Time of the observation, UTC.
    pub observed_at: DateTime<Utc>,
}

/// Place of a row in the order of an amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmountKey {
    /// The amount; `None` when it is not known.
    pub amount: Option<Decimal>,
    /// Coin of the row.
    pub coin_id: i32,
    /// Time of the observation, UTC.
    pub observed_at: DateTime<Utc>,
}

/// Some observations in order.
#[derive(Clone, Debug)]
pub struct Page {
    /// The observations.
    pub rows: Vec<Observation>,
    /// The order, positioned behind the last row; `None` when nothing follows.
    pub next: Option<Sort>,
}

/// Reads one page.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut PgConnection, query: &PageQuery) -> QueryResult<Page> {
    check(query)?;
    let mut rows: Vec<Observation> = statement(query).load(connection)?;
    let more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    let next = rows.last().filter(|_| more).map(|last| query.sort.behind(last));
    Ok(Page { rows, next })
}

/// Counts what the scope holds within the bounds, at the cost of reading it: the newest observations of the scope
/// with `latest`, all rows of its coins without.
///
/// # Errors
/// What the database says, and when the scope is not small.
pub fn count(connection: &mut PgConnection, query: &PageQuery) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    check(query)?;
    let sql = query.placed("select count(*) as total from {table} o where {scope}{bounds}");
    let row: Row = bound(Statement::new(sql), query).get_result(connection)?;
    Ok(row.total)
}

/// The plan that the database makes for a page, line by line.
///
/// # Errors
/// What the database says.
pub fn explain(connection: &mut PgConnection, query: &PageQuery) -> QueryResult<Vec<String>> {
    statement(query).plan(connection)
}

impl Sort {
    /// The same order, positioned behind a row.
    fn behind(&self, row: &Observation) -> Self {
        let (coin_id, observed_at) = (row.coin_id, row.observed_at);
        match self {
            Self::Created(_) => {
                let (created_at, batch_id) = (row.created_at, row.batch_id);
                Self::Created(Some(CreatedKey { created_at, batch_id, coin_id, observed_at }))
            }
            Self::Amount(column, _) => {
                let amount = match column {
                    AmountColumn::PriceUsd => row.price_usd.clone(),
                    AmountColumn::MarketCapUsd => row.market_cap_usd.clone(),
                };
                Self::Amount(*column, Some(AmountKey { amount, coin_id, observed_at }))
            }
        }
    }
}

/// The columns that a page carries through sorting and limiting.
const COLUMNS: &str = "o.coin_id, o.observed_at, o.batch_id, o.label_id, o.source_id, o.rank, o.price_usd, \
     o.market_cap_usd, o.volume_24h_usd, o.change_24h_percent, o.circulating_supply, o.total_supply, o.max_supply";

/// The rows of a page with their names.
const NAMED: &str = "
select p.coin_id, p.observed_at, p.batch_id, b.created_at, s.name as data_source, c.crypto_id, l.crypto_name,
       l.symbol, p.rank, p.price_usd, p.market_cap_usd, p.volume_24h_usd, p.change_24h_percent,
       p.circulating_supply, p.total_supply, p.max_supply
  from ({rows}) p
  join coins c on c.coin_id = p.coin_id
  join data_sources s on s.source_id = p.source_id
  join coin_labels l on l.label_id = p.label_id
  join etl_batches b on b.batch_id = p.batch_id
 order by {sorted}";

/// By an amount, over sources: the index of each source is read in order and the heads are merged. The rows
/// without the amount come behind all others and are only read when those do not fill the page.
const AMOUNT_OF_SOURCES: &str = "
with known as materialized (
    select o.*
      from unnest($1) as s (source_id)
     cross join lateral (
           select {columns} from observations o
            where o.source_id = s.source_id and {known}
            order by o.{amount} {direction} {index_nulls}, o.coin_id {direction}, o.observed_at {direction}
            limit $2) o
     order by o.{amount} {direction}, o.coin_id {direction}, o.observed_at {direction}
     limit $2),
unknown as (
    select o.*
      from unnest($1) as s (source_id)
     cross join lateral (
           select {columns} from observations o
            where o.source_id = s.source_id and o.{amount} is null{unknown} and (select count(*) from known) < $2
            order by o.{amount} {direction} {index_nulls}, o.coin_id {direction}, o.observed_at {direction}
            limit $2) o)
select * from (select * from known union all select * from unknown) o
 order by o.{amount} {direction} nulls last, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// What bounds mean. One text for all of them, so that the number of statements stays small.
const BOUNDS: &str = "
   and o.observed_at between coalesce($5, '-infinity') and coalesce($6, 'infinity')
   and ($7 is null or o.price_usd >= $7) and ($8 is null or o.price_usd <= $8)
   and ($9 is null or o.market_cap_usd >= $9) and ($10 is null or o.market_cap_usd <= $10)
   and ($11 is null or o.volume_24h_usd >= $11) and ($12 is null or o.volume_24h_usd <= $12)";

/// By an amount, of a few rows: those of some coins by the primary key, or the newest ones; sorted. What is not known counts as a value
/// that no amount can have (amounts are neither negative nor infinite), so that it can be compared in a row.
const AMOUNT_OF_FEW: &str = "
select {columns} from {table} o
 where {scope}{bounds}{after}
 order by coalesce(o.{amount}, {void}) {direction}, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// By time of writing: the batches in order, and the rows of each. The source and the span of times of a batch leave few
/// partitions to look into.
const CREATED: &str = "
select {columns}, b.created_at
  from etl_batches b
  join data_sources s on s.name = b.source
 cross join lateral (
       select {columns} from observations o
        where o.source_id = s.source_id and o.batch_id = b.batch_id and o.observed_at between b.observed_from and b.observed_to
        order by o.coin_id {direction}, o.observed_at {direction}
        limit $2) o
 where b.loaded + b.restated > 0{source}{after}
 order by b.created_at {direction}, b.batch_id {direction}, o.coin_id {direction}, o.observed_at {direction}";

/// By time of writing, behind a row: the rest of its batch, then the batches behind that one.
const CREATED_BEHIND: &str = "
with rest as materialized (
    select {columns}, b.created_at
      from etl_batches b
      join data_sources s on s.name = b.source
      join observations o on o.source_id = s.source_id and o.batch_id = b.batch_id and o.observed_at between b.observed_from and b.observed_to
     where b.batch_id = $14 and o.batch_id = $14 and (o.coin_id, o.observed_at) {beyond} ($15, $16)
     order by o.coin_id {direction}, o.observed_at {direction}
     limit $2),
following as ({created}
     limit $2)
select * from (select * from rest union all select * from following) o
 order by o.created_at {direction}, o.batch_id {direction}, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

/// By time of writing, of a few rows.
const CREATED_OF_FEW: &str = "
select {columns}, b.created_at
  from {table} o
  join etl_batches b on b.batch_id = o.batch_id
 where {scope}{bounds}{after}
 order by b.created_at {direction}, b.batch_id {direction}, o.coin_id {direction}, o.observed_at {direction}
offset $3 limit $4";

fn statement(query: &PageQuery) -> Statement {
    let (rows, sorted) = match &query.sort {
        Sort::Created(after) => (
            created_rows(query, after.is_some()),
            "b.created_at {direction}, p.batch_id {direction}, p.coin_id {direction}, p.observed_at {direction}".to_owned(),
        ),
        Sort::Amount(column, after) => (
            amount_rows(query, after.as_ref()).replace("{amount}", column.name()),
            "p.{amount} {direction} nulls last, p.coin_id {direction}, p.observed_at {direction}"
                .replace("{amount}", column.name()),
        ),
    };
    let sql =
        directed(&NAMED.replace("{rows}", &query.placed(&rows)).replace("{sorted}", &sorted), query.order);
    bound(Statement::new(sql), query)
}

impl PageQuery {
    /// Whether all rows of the scope are read and sorted, whatever the page.
    fn is_few(&self) -> bool {
        self.latest || matches!(self.scope, Scope::Coins(_))
    }

    /// Fills in where a few rows are taken from.
    fn placed(&self, sql: &str) -> String {
        let scope = if matches!(self.scope, Scope::Coins(_)) { "coin_id" } else { "source_id" };
        sql.replace("{table}", if self.latest { "coin_latest" } else { "observations" })
            .replace("{scope}", &format!("o.{scope} = any($1)"))
            .replace("{bounds}", if self.bounds.is_some() { BOUNDS } else { "" })
    }
}

/// Bounds that would be ignored are refused.
fn check(query: &PageQuery) -> QueryResult<()> {
    if query.bounds.is_some() && !query.is_few() {
        return Err(diesel::result::Error::QueryBuilderError("bounds over a scope that is not small".into()));
    }
    Ok(())
}

impl AmountColumn {
    fn name(self) -> &'static str {
        match self {
            Self::PriceUsd => "price_usd",
            Self::MarketCapUsd => "market_cap_usd",
        }
    }
}

fn amount_rows(query: &PageQuery, after: Option<&AmountKey>) -> String {
    if query.is_few() {
        let behind = " and (coalesce(o.{amount}, {void}), o.coin_id, o.observed_at) {beyond} (coalesce($13, {void}), $14, $15)";
        return AMOUNT_OF_FEW.replace("{after}", if after.is_some() { behind } else { "" });
    }
    let (known, unknown) = match after {
        None => ("o.{amount} is not null", ""),
        Some(AmountKey { amount: Some(_), .. }) => {
            ("(o.{amount}, o.coin_id, o.observed_at) {beyond} ($13, $14, $15)", "")
        }
        Some(AmountKey { amount: None, .. }) => {
            ("false", " and (o.coin_id, o.observed_at) {beyond} ($14, $15)")
        }
    };
    AMOUNT_OF_SOURCES.replace("{known}", known).replace("{unknown}", unknown)
}

fn created_rows(query: &PageQuery, behind: bool) -> String {
    let key = "(b.created_at, b.batch_id, o.coin_id, o.observed_at) {beyond} ($13, $14, $15, $16)";
    if query.is_few() {
        let after = if behind { [" and ", key].concat() } else { String::new() };
        return CREATED_OF_FEW.replace("{after}", &after);
    }
    let source = match &query.scope {
        Scope::All(_) | Scope::Coins(_) => "",
        Scope::Sources { .. } => " and b.source = any($1)",
    };
    let created = CREATED.replace("{source}", source);
    if !behind {
        return [created.replace("{after}", "").as_str(), "\noffset $3 limit $4"].concat();
    }
    let after = " and (b.created_at, b.batch_id) {beyond} ($13, $14) and (select count(*) from rest) < $2";
    CREATED_BEHIND.replace("{created}", &created.replace("{after}", after))
}

/// Fills in what depends on the direction. The amount indexes are descending with nulls last, so read backwards
/// the nulls are first; a column of a text is never anything but one of the fixed names above.
fn directed(sql: &str, order: Order) -> String {
    let (direction, beyond, index_nulls, void) = match order {
        Order::Asc => ("asc", ">", "nulls first", "'Infinity'::numeric"),
        Order::Desc => ("desc", "<", "nulls last", "'-1'::numeric"),
    };
    sql.replace("{columns}", COLUMNS)
        .replace("{direction}", direction)
        .replace("{beyond}", beyond)
        .replace("{index_nulls}", index_nulls)
        .replace("{void}", void)
}

/// `$1` scope, `$2` rows to fetch from each branch, `$3` offset, `$4` limit, `$5` to `$12` bounds, from `$13` the key.
fn bound(statement: Statement, query: &PageQuery) -> Statement {
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(query.limit) + 1;
    let offset = i64::from(query.offset);
    let statement = match (&query.scope, &query.sort) {
        (Scope::Coins(coins), _) => statement.bind::<Array<Integer>, _>(coins.clone()),
        (Scope::All(sources), _) => statement.bind::<Array<SmallInt>, _>(sources.clone()),
        (Scope::Sources { names, .. }, Sort::Created(_)) if !query.latest => {
            statement.bind::<Array<Text>, _>(names.clone())
        }
        (Scope::Sources { ids, .. }, _) => statement.bind::<Array<SmallInt>, _>(ids.clone()),
    };
    let statement =
        statement.bind::<BigInt, _>(offset + limit).bind::<BigInt, _>(offset).bind::<BigInt, _>(limit);
    let statement = bound_to(statement, query.bounds.clone().unwrap_or_default());
    match &query.sort {
        Sort::Created(Some(key)) => statement
            .bind::<Timestamptz, _>(key.created_at)
            .bind::<BigInt, _>(key.batch_id)
            .bind::<Integer, _>(key.coin_id)
            .bind::<Timestamptz, _>(key.observed_at),
        Sort::Amount(_, Some(key)) => statement
            .bind::<Nullable<Numeric>, _>(key.amount.clone())
            .bind::<Integer, _>(key.coin_id)
            .bind::<Timestamptz, _>(key.observed_at),
        Sort::Created(None) | Sort::Amount(_, None) => statement,
    }
}

fn bound_to(statement: Statement, bounds: Bounds) -> Statement {
    let [from, to] = bounds.observed_at;
    let statement = statement.bind::<Nullable<Timestamptz>, _>(from).bind::<Nullable<Timestamptz>, _>(to);
    let amounts = [bounds.price_usd, bounds.market_cap_usd, bounds.volume_24h_usd].into_iter().flatten();
    amounts.fold(statement, |statement, amount| statement.bind::<Nullable<Numeric>, _>(amount))
}
