//! `coin_months`: what the observations of each coin in each month lie between.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;

use super::copy;
use super::observation::Row;
use crate::Decimal;

/// What some observations of one coin in one month lie between.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    observations: i32,
    observed_at: (DateTime<Utc>, DateTime<Utc>),
    /// Price, market capitalisation and volume.
    amounts: [Between; 3],
}

/// What some amounts lie between, rounded. Rounding keeps the order, which is all that is asked of it.
#[derive(Clone, Copy, Debug, Default)]
struct Between {
    /// Least and greatest; `None` when all are unknown.
    known: Option<(f64, f64)>,
    /// Whether one of them is unknown.
    unknown: bool,
}

impl Span {
    /// Of no observation yet; the first one is at that time.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self { observations: 0, observed_at: (time, time), amounts: Default::default() }
    }

    /// Takes in an observation, or other values of one that exists.
    pub fn add(&mut self, row: &Row<'_>, is_new: bool) {
        self.observations += i32::from(is_new);
        let (first, last) = self.observed_at;
        self.observed_at = (first.min(row.observed_at), last.max(row.observed_at));
        let values = row.values;
        let amounts = [&values.price_usd, &values.market_cap_usd, &values.volume_24h_usd];
        for (between, amount) in self.amounts.iter_mut().zip(amounts) {
            between.add(amount.as_ref());
        }
    }
}

/// Writes what is known of coins of a source in their months, given by first day, where nothing was known.
///
/// # Errors
/// What the database says; a month of a coin of which something is known is a unique violation.
pub fn insert(
    connection: &mut PgConnection,
    source_id: i16,
    spans: &[(NaiveDate, i32, Span)],
) -> QueryResult<()> {
    copy_spans(connection, "coin_months", source_id, spans)
}

/// Widens what is known of coins of a source in their months, given by first day, by what a transaction has written.
///
/// # Errors
/// What the database says.
pub fn widen(
    connection: &mut PgConnection,
    source_id: i16,
    spans: &[(NaiveDate, i32, Span)],
) -> QueryResult<()> {
    if spans.is_empty() {
        return Ok(());
    }
    // As for the newest states.
    connection.batch_execute(
        "drop table if exists pg_temp.changed_months; \
         create temporary table changed_months (like coin_months) on commit drop",
    )?;
    copy_spans(connection, "changed_months", source_id, spans)?;
    sql_query(
        "insert into coin_months as m select * from changed_months \
         on conflict (source_id, month, coin_id) do update \
            set observations = m.observations + excluded.observations, \
                first_observed_at = least(m.first_observed_at, excluded.first_observed_at), \
                last_observed_at = greatest(m.last_observed_at, excluded.last_observed_at), \
                min_price_usd = least(m.min_price_usd, excluded.min_price_usd), \
                max_price_usd = greatest(m.max_price_usd, excluded.max_price_usd), \
                min_market_cap_usd = least(m.min_market_cap_usd, excluded.min_market_cap_usd), \
                max_market_cap_usd = greatest(m.max_market_cap_usd, excluded.max_market_cap_usd), \
                min_volume_24h_usd = least(m.min_volume_24h_usd, excluded.min_volume_24h_usd), \
                max_volume_24h_usd = greatest(m.max_volume_24h_usd, excluded.max_volume_24h_usd), \
                unknown_price = m.unknown_price or excluded.unknown_price, \
                unknown_market_cap = m.unknown_market_cap or excluded.unknown_market_cap, \
                unknown_volume = m.unknown_volume or excluded.unknown_volume",
    )
    .execute(connection)
    .map(drop)
}

impl Between {
    fn add(&mut self, amount: Option<&Decimal>) {
        match (amount.map(Decimal::rounded), self.known) {
            (None, _) => self.unknown = true,
            (Some(amount), None) => self.known = Some((amount, amount)),
            (Some(amount), Some((least, greatest))) => {
                self.known = Some((least.min(amount), greatest.max(amount)));
            }
        }
    }
}

fn copy_spans(
    connection: &mut PgConnection,
    table: &str,
    source_id: i16,
    spans: &[(NaiveDate, i32, Span)],
) -> QueryResult<()> {
    let columns = "source_id, month, coin_id, observations, first_observed_at, last_observed_at, \
                   min_price_usd, max_price_usd, min_market_cap_usd, max_market_cap_usd, \
                   min_volume_24h_usd, max_volume_24h_usd, unknown_price, unknown_market_cap, unknown_volume";
    copy::into(connection, table, columns, spans, |out, (month, coin_id, span)| {
        out.smallint(source_id);
        out.date(*month);
        out.integer(*coin_id);
        out.integer(span.observations);
        out.time(span.observed_at.0);
        out.time(span.observed_at.1);
        for Between { known, .. } in span.amounts {
            let (least, greatest) = known.unzip();
            out.double(least);
            out.double(greatest);
        }
        for Between { unknown, .. } in span.amounts {
            out.boolean(unknown);
        }
    })
}
