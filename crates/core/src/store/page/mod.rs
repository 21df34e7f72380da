//! Pages of observations: what `GET /data` lists.
//!
//! Every page is read along an index, whatever the order, and costs what a page costs. Positions are compared
//! as rows (`(a, b) < ($1, $2)`): the form with `or` would read everything up to the position. The names of
//! coins and sources are joined to the rows of the page only.
//!
//! What is few (the rows of some coins, the newest states, what bounds leave when it is little) is read by whatever
//! index fits and sorted. Anything else is walked in its order, and bounds are checked on the way.

mod amount;
mod created;

use chrono::{DateTime, Utc};
use diesel::deserialize;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::NamedRow;
use diesel::sql_types::{Array, BigInt, Integer, Text};

use super::listed::Observation;
pub use super::selection::{AmountColumn, Bounds, Scope, Selection};
use super::selection::{COLUMNS, NAMED_COLUMNS, NAMES_BY_KEY};
use super::statement::{Statement, with_custom_plan};
use crate::Decimal;

/// What bounds leave is few up to so many rows: sorting them costs less than walking past those that they exclude.
pub const FEW_ROWS: i64 = 5_000;

/// What to read.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Which observations.
    pub selection: Selection,
    /// Whether these are few: see [`Selection::is_few`] and [`FEW_ROWS`].
    pub few: bool,
    /// In which order, and behind which of them.
    pub sort: Sort,
    /// Where the page lies in the order of an amount, if that is known: only there does the walk look. Then `offset` is 0.
    pub span: Option<Span>,
    /// Direction. Unknown amounts are last in both.
    pub order: Order,
    /// How many to skip.
    pub offset: u32,
    /// How many to read at most.
    pub limit: u32,
}

/// What a page is sorted by, and the row behind which it begins; `None` is the beginning.
#[derive(Clone, Debug)]
pub enum Sort {
    /// By the time of writing, then batch, coin and time of observation.
    Created(Option<CreatedKey>),
    /// By an amount, then coin and time of observation.
    Amount(AmountColumn, Option<AmountKey>),
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

/// First and last row of what was read for a page by an amount; those of a page that has a next one include its first.
pub type Span = (AmountKey, AmountKey);

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

impl PageQuery {
    /// Asks about the coins of the page alone, when all [`coins_in_order`] are known.
    pub fn narrow_to(&mut self, coins: &[i32]) {
        let behind = coins.get(self.offset as usize..).unwrap_or_default();
        // One more than asked for tells whether there is a next page.
        let page = behind.iter().take(self.limit as usize + 1).copied().collect();
        self.selection.scope = Scope::Coins(page);
        self.offset = 0;
    }
}

/// Some observations in order.
#[derive(Clone, Debug)]
pub struct Page {
    /// The observations.
    pub rows: Vec<Observation>,
    /// The order, positioned behind the last row; `None` when nothing follows.
    pub next: Option<Sort>,
    /// Where the page lies; `None` unless it is sorted by an amount, and that of each row is known.
    pub span: Option<Span>,
    /// [`super::version::number`] of the moment at which the rows were read; `None` when there are none.
    pub version: Option<i64>,
}

/// A row, and the number of the version that it is of.
struct Versioned {
    row: Observation,
    version: i64,
}

impl QueryableByName<Pg> for Versioned {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        Ok(Self {
            row: <Observation as QueryableByName<Pg>>::build(row)?,
            version: row.get_value::<BigInt, _, _>(Observation::COLUMNS)?,
        })
    }
}

/// Reads one page.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut PgConnection, query: &PageQuery) -> QueryResult<Page> {
    let read = |connection: &mut PgConnection| statement(query, NAMED).load::<Versioned>(connection);
    // What is walked in its order has one plan, whatever the bounds.
    let mut rows = if query.few && query.selection.needs_custom_plan() {
        with_custom_plan(connection, read)?
    } else {
        read(connection)?
    };
    let span = query.sort.span_of(&rows);
    let more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    let next = rows.last().filter(|_| more).map(|last| query.sort.behind(&last.row));
    let version = rows.first().map(|first| first.version);
    Ok(Page { rows: rows.into_iter().map(|versioned| versioned.row).collect(), next, span, version })
}

/// The coins of a query whose rows are the newest of each coin, in its order from its beginning: asked about a few
/// of them instead of its own scope, the query costs a look at each.
///
/// # Errors
/// What the database says.
pub fn coins_in_order(connection: &mut PgConnection, query: &PageQuery) -> QueryResult<Vec<i32>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Integer)]
        coin_id: i32,
    }
    let all = PageQuery { offset: 0, limit: u32::MAX, ..query.clone() };
    let rows: Vec<Row> = statement(&all, COINS).load(connection)?;
    Ok(rows.into_iter().map(|row| row.coin_id).collect())
}

impl AmountColumn {
    fn key_of(self, row: &Observation) -> AmountKey {
        let amount = match self {
            Self::PriceUsd => row.price_usd.clone(),
            Self::MarketCapUsd => row.market_cap_usd.clone(),
        };
        AmountKey { amount, coin_id: row.coin_id, observed_at: row.observed_at }
    }
}

impl Sort {
    fn span_of(&self, rows: &[Versioned]) -> Option<Span> {
        let Self::Amount(column, _) = self else { return None };
        let [first, last] = [rows.first()?, rows.last()?].map(|versioned| column.key_of(&versioned.row));
        // What is unknown comes last.
        last.amount.is_some().then_some((first, last))
    }

    /// The same order, positioned behind a row.
    fn behind(&self, row: &Observation) -> Self {
        match self {
            Self::Created(_) => {
                let (created_at, batch_id) = (row.created_at, row.batch_id);
                let (coin_id, observed_at) = (row.coin_id, row.observed_at);
                Self::Created(Some(CreatedKey { created_at, batch_id, coin_id, observed_at }))
            }
            Self::Amount(column, _) => Self::Amount(*column, Some(column.key_of(row))),
        }
    }
}

/// The rows of a page with their names, and the number of the version.
const NAMED: &str = "select {named}, (select sum(batch_number)::bigint from data_sources) from ({rows}) p {names} order by {sorted}";

/// The coins of the rows of a page.
const COINS: &str =
    "select p.coin_id from ({rows}) p join etl_batches b on b.batch_id = p.batch_id order by {sorted}";

fn statement(query: &PageQuery, shown: &str) -> Statement {
    let (rows, sorted) = match &query.sort {
        Sort::Created(after) => (created::rows(query, after.is_some()), created::SORTED.to_owned()),
        Sort::Amount(column, after) => (
            amount::rows(query, *column, after.as_ref()).replace("{amount}", column.name()),
            amount::SORTED.replace("{amount}", column.name()),
        ),
    };
    let sql = shown
        .replace("{named}", NAMED_COLUMNS)
        .replace("{names}", NAMES_BY_KEY)
        .replace("{rows}", &rows)
        .replace("{sorted}", &sorted)
        .replace("{selected}", &query.selection.rows())
        .replace("{bounds}", &query.selection.bounds_condition());
    bound(Statement::new(directed(&sql, query.order)), query)
}

/// Fills in what depends on the direction. The amount indexes are descending with nulls last, so read backwards
/// the nulls are first; a column of a text is never anything but one of the fixed names above.
fn directed(sql: &str, order: Order) -> String {
    let (direction, beyond, [from, to], index_nulls, void) = match order {
        Order::Asc => ("asc", ">", [">=", "<="], "nulls first", "'Infinity'::numeric"),
        Order::Desc => ("desc", "<", ["<=", ">="], "nulls last", "'-1'::numeric"),
    };
    sql.replace("{columns}", COLUMNS)
        .replace("{direction}", direction)
        .replace("{beyond}", beyond)
        .replace("{from}", from)
        .replace("{to}", to)
        .replace("{index_nulls}", index_nulls)
        .replace("{void}", void)
}

/// `$1` scope, `$2` rows to fetch from each branch, `$3` offset, `$4` limit, `$5` to `$12` bounds, from `$13` the key.
fn bound(statement: Statement, query: &PageQuery) -> Statement {
    // One more than asked for tells whether there is a next page.
    let limit = i64::from(query.limit) + 1;
    let offset = i64::from(query.offset);
    let statement = match (&query.selection.scope, &query.sort) {
        // The batches carry the names of their sources.
        (Scope::Sources { names, .. }, Sort::Created(_)) if !query.few => {
            statement.bind::<Array<Text>, _>(names.clone())
        }
        _ => query.selection.bind_scope(statement),
    };
    let statement =
        statement.bind::<BigInt, _>(offset + limit).bind::<BigInt, _>(offset).bind::<BigInt, _>(limit);
    let statement = query.selection.bind_bounds(statement);
    match &query.sort {
        Sort::Created(Some(key)) => created::bind(statement, key),
        Sort::Amount(_, Some(key)) => amount::bind(statement, key),
        Sort::Amount(_, None) => match &query.span {
            Some((first, last)) => amount::bind(amount::bind(statement, first), last),
            None => statement,
        },
        Sort::Created(None) => statement,
    }
}
