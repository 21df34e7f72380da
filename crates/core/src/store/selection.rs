//! Which observations are meant: what pages, exports and totals have in common.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Nullable, Numeric, Timestamptz};

use super::statement::Statement;
use crate::Decimal;

/// Which observations are meant.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Of which sources or coins.
    pub scope: Scope,
    /// Only the newest observation of each coin.
    pub latest: bool,
    /// Only those within these bounds.
    pub bounds: Option<Bounds>,
}

/// Of which sources or coins observations are taken.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Those of every source; these are the keys of all sources that deliver any.
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

/// The columns that observations and newest states share, of a table called `o`.
pub(super) const COLUMNS: &str = "o.coin_id, o.observed_at, o.batch_id, o.label_id, o.source_id, o.rank, o.price_usd, \
     o.market_cap_usd, o.volume_24h_usd, o.change_24h_percent, o.circulating_supply, o.total_supply, o.max_supply";

/// What [`super::listed::Observation`] reads, in its order, of rows called `p` with their names.
pub(super) const NAMED_COLUMNS: &str = "p.coin_id, p.observed_at, p.batch_id, b.created_at, s.name as data_source, \
     c.crypto_id, l.crypto_name, l.symbol, p.rank, p.price_usd, p.market_cap_usd, p.volume_24h_usd, \
     p.change_24h_percent, p.circulating_supply, p.total_supply, p.max_supply, a.slug as asset_slug";

/// What the names are joined from.
pub(super) const NAMES: &str = "join coins c on c.coin_id = p.coin_id \
     join data_sources s on s.source_id = p.source_id \
     join coin_labels l on l.label_id = p.label_id \
     join etl_batches b on b.batch_id = p.batch_id \
     left join asset_links x on x.coin_id = p.coin_id and x.ended_at is null \
     left join assets a on a.asset_id = x.asset_id";

/// What [`NAMED_COLUMNS`] are looked up in, row by row. A plan that does not know the limit takes a page for a tenth of
/// the table, and would read every coin, label and link for it; `offset 0` leaves it no other way than the keys.
pub(super) const NAMES_BY_KEY: &str = "\
     cross join lateral (select c.crypto_id from coins c where c.coin_id = p.coin_id offset 0) c \
     cross join lateral (select s.name from data_sources s where s.source_id = p.source_id offset 0) s \
     cross join lateral (select l.crypto_name, l.symbol from coin_labels l where l.label_id = p.label_id offset 0) l \
     cross join lateral (select b.created_at from etl_batches b where b.batch_id = p.batch_id offset 0) b \
     left join lateral (select a.slug from asset_links x join assets a on a.asset_id = x.asset_id \
                         where x.coin_id = p.coin_id and x.ended_at is null offset 0) a on true";

/// What bounds of time mean. One text for all values of them, so that the number of statements stays small.
const TIMES: &str = "
   and o.observed_at between coalesce($5, '-infinity') and coalesce($6, 'infinity')";

/// What bounds of amounts mean, likewise.
const AMOUNTS: &str = "
   and ($7 is null or o.price_usd >= $7) and ($8 is null or o.price_usd <= $8)
   and ($9 is null or o.market_cap_usd >= $9) and ($10 is null or o.market_cap_usd <= $10)
   and ($11 is null or o.volume_24h_usd >= $11) and ($12 is null or o.volume_24h_usd <= $12)";

/// The same bounds of a price that is known, as a range that an index can be entered with, whatever the values.
const PRICE_RANGE: &str =
    "\n   and o.price_usd between coalesce($7, '-1'::numeric) and coalesce($8, 'Infinity'::numeric)";

/// As [`PRICE_RANGE`].
const MARKET_CAP_RANGE: &str =
    "\n   and o.market_cap_usd between coalesce($9, '-1'::numeric) and coalesce($10, 'Infinity'::numeric)";

/// An amount that pages can be sorted by; each has an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountColumn {
    /// US dollars per coin.
    PriceUsd,
    /// US dollars.
    MarketCapUsd,
}

/// How the rows within bounds are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// By the batches that were written around the time, which alone is bounded.
    Batches,
    /// By the index of the amount, which alone is bounded.
    Index(AmountColumn),
    /// By whichever index leaves the least, which depends on the values.
    Any,
}

const OF_SOURCES: &str = "
    unnest($1) as k (source_id)
    cross join lateral (
          select {columns} from observations o where o.source_id = k.source_id{bounds} offset 0) o
    where true";

const OF_BATCHES: &str = "
    etl_batches w
    join data_sources k on k.name = w.source
    cross join lateral (
          select {columns} from observations o
           where o.source_id = k.source_id and o.batch_id = w.batch_id
             and o.observed_at between w.observed_from and w.observed_to{bounds} offset 0) o
    where k.source_id = any($1) and w.loaded + w.restated > 0
      and w.observed_to >= coalesce($5, '-infinity') and w.observed_from <= coalesce($6, 'infinity')";

impl AmountColumn {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::PriceUsd => "price_usd",
            Self::MarketCapUsd => "market_cap_usd",
        }
    }

    fn range(self) -> &'static str {
        match self {
            Self::PriceUsd => PRICE_RANGE,
            Self::MarketCapUsd => MARKET_CAP_RANGE,
        }
    }
}

impl Bounds {
    /// Those of amounts: least and greatest price, market capitalisation and volume.
    fn amounts(&self) -> impl Iterator<Item = &Option<Decimal>> {
        [&self.price_usd, &self.market_cap_usd, &self.volume_24h_usd].into_iter().flatten()
    }

    fn has_amounts(&self) -> bool {
        self.amounts().any(Option::is_some)
    }

    fn entry(&self) -> Entry {
        fn is_set<T>(bounds: &[Option<T>; 2]) -> bool {
            bounds.iter().any(Option::is_some)
        }
        let amounts = [&self.price_usd, &self.market_cap_usd, &self.volume_24h_usd].map(is_set);
        match (is_set(&self.observed_at), amounts) {
            (_, [false, false, false]) => Entry::Batches,
            (false, [true, false, false]) => Entry::Index(AmountColumn::PriceUsd),
            (false, [false, true, false]) => Entry::Index(AmountColumn::MarketCapUsd),
            _ => Entry::Any,
        }
    }
}

impl Selection {
    /// Whether it is few by itself: the newest states, or the rows of some coins.
    pub fn is_few(&self) -> bool {
        self.latest || matches!(self.scope, Scope::Coins(_))
    }

    /// How the rows within bounds are found; `None` where they need not be.
    fn entry(&self) -> Option<Entry> {
        self.bounds.as_ref().filter(|_| !self.is_few()).map(Bounds::entry)
    }

    /// Whether the plan for finding all rows depends on the values of the bounds.
    pub(super) fn needs_custom_plan(&self) -> bool {
        self.entry() == Some(Entry::Any)
    }

    /// Where its rows are found when all of them are wanted: what stands behind `from`, a condition included, with `o`
    /// the rows; the keys of the scope are `$1`.
    ///
    /// The rows of sources are asked for source by source: only then does the server look into no other months than
    /// those of the bounds. Bounds of time alone lead to the batches that were written around that time, since no index
    /// begins with the time.
    pub(super) fn rows(&self) -> String {
        let bounds = match self.entry() {
            Some(Entry::Index(amount)) => self.bounds_with_range(amount),
            _ => self.bounds_condition(),
        };
        let table = if self.latest { "coin_latest" } else { "observations" };
        match self.scope {
            Scope::Coins(_) => format!("{table} o where o.coin_id = any($1){bounds}"),
            _ if self.latest => format!("{table} o where o.source_id = any($1){bounds}"),
            _ if self.entry() == Some(Entry::Batches) => OF_BATCHES.replace("{bounds}", &bounds),
            _ => OF_SOURCES.replace("{bounds}", &bounds),
        }
    }

    /// The condition of the bounds, `$5` to `$12`, beginning with `and`; empty without bounds. To check bounds that are
    /// not set costs a page more than its rows do.
    pub(super) fn bounds_condition(&self) -> String {
        let condition = |bounds: &Bounds| match bounds.has_amounts() {
            true => [TIMES, AMOUNTS].concat(),
            false => TIMES.to_owned(),
        };
        self.bounds.as_ref().map(condition).unwrap_or_default()
    }

    /// The same for rows whose amount is known, entering the index of that amount; empty without bounds.
    pub(super) fn bounds_with_range(&self, amount: AmountColumn) -> String {
        let range = if self.bounds.as_ref().is_some_and(Bounds::has_amounts) { amount.range() } else { "" };
        self.bounds_condition() + range
    }

    /// Binds the keys of the scope.
    pub(super) fn bind_scope(&self, statement: Statement) -> Statement {
        use diesel::sql_types::{Array, Integer, SmallInt};
        match &self.scope {
            Scope::Coins(coins) => statement.bind::<Array<Integer>, _>(coins.clone()),
            Scope::All(ids) | Scope::Sources { ids, .. } => statement.bind::<Array<SmallInt>, _>(ids.clone()),
        }
    }

    /// Binds `$5` to `$12`, behind the first four.
    pub(super) fn bind_bounds(&self, statement: Statement) -> Statement {
        let bounds = self.bounds.clone().unwrap_or_default();
        let [from, to] = bounds.observed_at;
        let statement = statement.bind::<Nullable<Timestamptz>, _>(from).bind::<Nullable<Timestamptz>, _>(to);
        let amounts = [bounds.price_usd, bounds.market_cap_usd, bounds.volume_24h_usd].into_iter().flatten();
        amounts.fold(statement, |statement, amount| statement.bind::<Nullable<Numeric>, _>(amount))
    }
}

/// Counts the rows of sources within bounds of time: batches that lie within them by their counters, and the rows of
/// those that reach over a bound.
const COUNT_BETWEEN: &str = "
select coalesce(sum(case
           when b.observed_from >= coalesce($5, '-infinity') and b.observed_to <= coalesce($6, 'infinity')
           then b.loaded + b.restated - b.superseded
           else (select count(*) from observations o
                  where o.source_id = s.source_id and o.batch_id = b.batch_id
                    and o.observed_at between greatest(b.observed_from, $5) and least(b.observed_to, $6))
       end), 0)::bigint as total
  from etl_batches b
  join data_sources s on s.name = b.source
 where b.loaded + b.restated > 0 and s.source_id = any($1)
   and b.observed_to >= coalesce($5, '-infinity') and b.observed_from <= coalesce($6, 'infinity')";

/// Counts the rows of sources within bounds of amounts: those of coins that lie within them for a whole month by their number, and
/// one by one only those of coins that lie partly within. The amounts of a month are rounded, and so are `$13` to `$18`:
/// one that is equal to a bound may lie on either side of it, and is looked at. A month that is being loaded in bulk is
/// read as a whole.
const COUNT_OF_SOURCES: &str = "
with months as (
    select m.source_id, m.month, m.coin_id, m.observations,
           m.first_observed_at >= coalesce($5, '-infinity') and m.last_observed_at <= coalesce($6, 'infinity')
           and ($13 is null or m.min_price_usd > $13 and not m.unknown_price)
           and ($14 is null or m.max_price_usd < $14 and not m.unknown_price)
           and ($15 is null or m.min_market_cap_usd > $15 and not m.unknown_market_cap)
           and ($16 is null or m.max_market_cap_usd < $16 and not m.unknown_market_cap)
           and ($17 is null or m.min_volume_24h_usd > $17 and not m.unknown_volume)
           and ($18 is null or m.max_volume_24h_usd < $18 and not m.unknown_volume) as is_within
      from coin_months m
     where m.source_id = any($1)
       and m.last_observed_at >= coalesce($5, '-infinity') and m.first_observed_at <= coalesce($6, 'infinity')
       and ($13 is null or m.max_price_usd >= $13) and ($14 is null or m.min_price_usd <= $14)
       and ($15 is null or m.max_market_cap_usd >= $15) and ($16 is null or m.min_market_cap_usd <= $16)
       and ($17 is null or m.max_volume_24h_usd >= $17) and ($18 is null or m.min_volume_24h_usd <= $18)),
partly as (
    select source_id, month, array_agg(coin_id) as coins from months where not is_within group by source_id, month)
select (coalesce((select sum(observations) from months where is_within), 0)
        + coalesce((select sum(c.n)
                      from partly k
                     cross join lateral (
                           select count(*) as n
                             from unnest(k.coins) w (coin_id)
                             join observations o on o.coin_id = w.coin_id
                            where o.source_id = k.source_id
                              and o.observed_at >= k.month::timestamp at time zone 'UTC'
                              and o.observed_at < (k.month + interval '1 month') at time zone 'UTC'{bounds}) c), 0)
        + coalesce((select sum(c.n)
                      from observation_partitions k
                     cross join lateral (
                           select count(*) as n
                             from observations o
                            where o.source_id = k.source_id
                              and o.observed_at >= k.month::timestamp at time zone 'UTC'
                              and o.observed_at < (k.month + interval '1 month') at time zone 'UTC'{bounds}) c
                     where k.source_id = any($1) and not k.counted), 0)
       )::bigint as total";

/// Counts what is selected, exactly: by the counters of the batches where only the time is bounded, by those of the months of
/// coins where amounts are, one by one where it is few.
///
/// # Errors
/// What the database says.
pub fn count(connection: &mut PgConnection, selection: &Selection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        total: i64,
    }
    let (sql, rounded) = match selection.entry() {
        _ if selection.is_few() => (format!("select count(*) as total from {}", selection.rows()), false),
        Some(Entry::Batches) => (COUNT_BETWEEN.to_owned(), false),
        _ => (COUNT_OF_SOURCES.replace("{bounds}", &selection.bounds_condition()), true),
    };
    let statement = selection.bind_scope(Statement::new(sql));
    let unused = (2..=4).fold(statement, |statement, _| statement.bind::<BigInt, _>(0));
    let mut counting = selection.bind_bounds(unused);
    if rounded {
        for amount in selection.bounds.iter().flat_map(Bounds::amounts) {
            counting = counting.bind::<Nullable<Double>, _>(amount.as_ref().map(Decimal::rounded));
        }
    }
    Ok(counting.get_result::<Row>(connection)?.total)
}
