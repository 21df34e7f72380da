//! `coins`, `coin_labels` and `coin_latest`: the directory and the newest state of each coin.

use chrono::{DateTime, Utc};
use compact_str::CompactString;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_query;

use super::{copy, key};
use crate::schema::{coin_labels, coin_latest, coins, data_sources};
use crate::{Decimal, Values};

/// The newest state of one coin of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Time of the newest observation, UTC.
    pub observed_at: DateTime<Utc>,
    /// Time of the oldest observation, UTC.
    pub first_observed_at: DateTime<Utc>,
    /// Number of observations.
    pub observations: i64,
    /// Batch of the newest observation.
    pub batch_id: i64,
    /// Name and symbol of the newest observation.
    pub label_id: i32,
    /// Place of the newest observation in the raw bytes.
    pub raw_position: i32,
    /// Figures of the newest observation.
    pub values: Values,
}

/// A coin, with its names and newest state.
#[derive(Clone, Debug)]
pub struct Coin {
    /// The key that observations carry.
    pub coin_id: i32,
    /// The id that the source gives it.
    pub crypto_id: String,
    /// Every name and symbol that it has had.
    pub labels: Vec<Label>,
    /// `None` while it has no observation.
    pub latest: Option<Latest>,
}

/// A name and symbol of a coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The key that observations carry.
    pub label_id: i32,
    /// As sent; null when the source gives none.
    pub crypto_name: Option<CompactString>,
    /// As sent; null when the source gives none.
    pub symbol: Option<CompactString>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = coin_latest, check_for_backend(diesel::pg::Pg))]
struct LatestRow {
    observed_at: DateTime<Utc>,
    first_observed_at: DateTime<Utc>,
    observations: i64,
    batch_id: i64,
    label_id: i32,
    raw_position: i32,
    rank: Option<i32>,
    price_usd: Option<Decimal>,
    market_cap_usd: Option<Decimal>,
    volume_24h_usd: Option<Decimal>,
    change_24h_percent: Option<Decimal>,
    circulating_supply: Option<Decimal>,
    total_supply: Option<Decimal>,
    max_supply: Option<Decimal>,
}

impl From<LatestRow> for Latest {
    fn from(row: LatestRow) -> Self {
        Self {
            observed_at: row.observed_at,
            first_observed_at: row.first_observed_at,
            observations: row.observations,
            batch_id: row.batch_id,
            label_id: row.label_id,
            raw_position: row.raw_position,
            values: Values {
                rank: row.rank,
                price_usd: row.price_usd,
                market_cap_usd: row.market_cap_usd,
                volume_24h_usd: row.volume_24h_usd,
                change_24h_percent: row.change_24h_percent,
                circulating_supply: row.circulating_supply,
                total_supply: row.total_supply,
                max_supply: row.max_supply,
            },
        }
    }
}

/// The coins of a source that have one of these ids.
///
/// # Errors
/// What the database says.
pub fn find(connection: &mut PgConnection, source_id: i16, crypto_ids: &[&str]) -> QueryResult<Vec<Coin>> {
    let rows: Vec<(i32, String, Option<LatestRow>)> = coins::table
        .left_join(coin_latest::table)
        .filter(coins::crypto_id.eq_any(crypto_ids).and(coins::source_id.eq(source_id)))
        .select((coins::coin_id, coins::crypto_id, Option::<LatestRow>::as_select()))
        .load(connection)?;
    with_labels(connection, rows)
}

/// Every coin of a source; `None` when it has more than `most`.
///
/// # Errors
/// What the database says.
pub fn of_source(connection: &mut PgConnection, source_id: i16, most: i64) -> QueryResult<Option<Vec<Coin>>> {
    let count: i64 = data_sources::table.find(source_id).select(data_sources::coins).first(connection)?;
    if count > most {
        return Ok(None);
    }
    let rows = coins::table
        .left_join(coin_latest::table)
        .filter(coins::source_id.eq(source_id))
        .select((coins::coin_id, coins::crypto_id, Option::<LatestRow>::as_select()))
        .load(connection)?;
    with_labels(connection, rows).map(Some)
}

fn with_labels(
    connection: &mut PgConnection,
    rows: Vec<(i32, String, Option<LatestRow>)>,
) -> QueryResult<Vec<Coin>> {
    let ids: Vec<i32> = rows.iter().map(|row| row.0).collect();
    let mut labels: std::collections::HashMap<i32, Vec<Label>> = std::collections::HashMap::new();
    let label_rows: Vec<(i32, i32, Option<String>, Option<String>)> = coin_labels::table
        .filter(coin_labels::coin_id.eq_any(&ids))
        .order(coin_labels::label_id)
        .select((coin_labels::coin_id, coin_labels::label_id, coin_labels::crypto_name, coin_labels::symbol))
        .load(connection)?;
    for (coin_id, label_id, crypto_name, symbol) in label_rows {
        let (crypto_name, symbol) = (crypto_name.map(Into::into), symbol.map(Into::into));
        labels.entry(coin_id).or_default().push(Label { label_id, crypto_name, symbol });
    }
    let coin = |(coin_id, crypto_id, latest): (i32, String, Option<LatestRow>)| Coin {
        coin_id,
        crypto_id,
        labels: labels.remove(&coin_id).unwrap_or_default(),
        latest: latest.map(Latest::from),
    };
    Ok(rows.into_iter().map(coin).collect())
}

/// Creates coins and returns their keys in the order given.
///
/// # Errors
/// What the database says; a coin that exists is a unique violation.
pub fn insert(connection: &mut PgConnection, source_id: i16, crypto_ids: &[&str]) -> QueryResult<Vec<i32>> {
    let keys = key::draw(connection, "coins", "coin_id", crypto_ids.len())?;
    let mut rows: Vec<(&str, i32)> = crypto_ids.iter().copied().zip(keys.iter().copied()).collect();
    rows.sort_unstable();
    copy::into(connection, "coins", "coin_id, source_id, crypto_id", &rows, |out, (crypto_id, coin_id)| {
        out.integer(*coin_id);
        out.smallint(source_id);
        out.text(Some(crypto_id));
    })?;
    Ok(keys)
}

/// A name and symbol to be created.
pub struct NewLabel<'a> {
    /// The coin.
    pub coin_id: i32,
    /// As sent.
    pub crypto_name: Option<&'a str>,
    /// As sent.
    pub symbol: Option<&'a str>,
}

/// Creates labels and returns their keys in the order given.
///
/// # Errors
/// What the database says.
pub fn insert_labels(connection: &mut PgConnection, labels: &[NewLabel<'_>]) -> QueryResult<Vec<i32>> {
    let keys = key::draw(connection, "coin_labels", "label_id", labels.len())?;
    let rows: Vec<(&NewLabel<'_>, i32)> = labels.iter().zip(keys.iter().copied()).collect();
    let columns = "label_id, coin_id, crypto_name, symbol";
    copy::into(connection, "coin_labels", columns, &rows, |out, (label, label_id)| {
        out.integer(*label_id);
        out.integer(label.coin_id);
        out.text(label.crypto_name);
        out.text(label.symbol);
    })?;
    Ok(keys)
}

/// Writes the first state of coins that have none, by COPY in the binary format.
///
/// # Errors
/// What the database says; a coin that has a state is a unique violation.
pub fn insert_latest(
    connection: &mut PgConnection,
    source_id: i16,
    states: &[(i32, &Latest)],
) -> QueryResult<()> {
    copy_states(connection, "coin_latest", source_id, states)
}

/// Writes the newest state of coins that have one, each once.
///
/// # Errors
/// What the database says; [`Error::NotFound`] when a coin has none.
pub fn update_latest(
    connection: &mut PgConnection,
    source_id: i16,
    states: &[(i32, &Latest)],
) -> QueryResult<()> {
    if states.is_empty() {
        return Ok(());
    }
    // Fifteen arrays to unnest would cost the server more than the rest of the statement.
    // A rehearsal writes many batches in one transaction: what the one before left is in the way.
    connection.batch_execute(
        "drop table if exists pg_temp.changed_latest; \
         create temporary table changed_latest (like coin_latest) on commit drop",
    )?;
    copy_states(connection, "changed_latest", source_id, states)?;
    let updated = sql_query(
        "update coin_latest l \
            set observed_at = n.observed_at, first_observed_at = n.first_observed_at, observations = n.observations, \
                batch_id = n.batch_id, label_id = n.label_id, raw_position = n.raw_position, rank = n.rank, \
                price_usd = n.price_usd, market_cap_usd = n.market_cap_usd, volume_24h_usd = n.volume_24h_usd, \
                change_24h_percent = n.change_24h_percent, circulating_supply = n.circulating_supply, \
                total_supply = n.total_supply, max_supply = n.max_supply \
           from changed_latest n where l.coin_id = n.coin_id",
    )
    .execute(connection)?;
    if updated == states.len() { Ok(()) } else { Err(Error::NotFound) }
}

fn copy_states(
    connection: &mut PgConnection,
    table: &str,
    source_id: i16,
    states: &[(i32, &Latest)],
) -> QueryResult<()> {
    let columns = "coin_id, source_id, observed_at, first_observed_at, observations, batch_id, label_id, raw_position, \
                   rank, price_usd, market_cap_usd, volume_24h_usd, change_24h_percent, circulating_supply, total_supply, \
                   max_supply";
    copy::into(connection, table, columns, states, |out, (coin_id, latest)| {
        out.integer(*coin_id);
        out.smallint(source_id);
        out.time(latest.observed_at);
        out.time(latest.first_observed_at);
        out.bigint(latest.observations);
        out.bigint(latest.batch_id);
        out.integer(latest.label_id);
        out.integer(latest.raw_position);
        out.values(&latest.values);
    })
}
