//! Candles: rows of one coin that stand for a span of time each.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::coin::CoinColumns;
use super::columns::{are_candles, are_of_exchange, is_bare_volume};
use super::head::Head;
use super::pairs::has_stroke;
use super::time_column::TimeColumn;

/// Between candles of a day, also where the clock is put forward.
const NEARLY_A_DAY: TimeDelta = TimeDelta::hours(20);

/// Why a column of volumes does not hold dollars of 24 hours, if it is one of candles.
pub(super) fn of_another_volume(
    head: &Head,
    coin: &CoinColumns,
    time: Option<&TimeColumn>,
    volume: usize,
) -> Option<&'static str> {
    if !are_candles(&head.header) {
        return None;
    }
    let is_of_exchange = || {
        let is_stroke = |column: usize| head.cells(column).any(has_stroke);
        are_of_exchange(&head.header) || coin.pairs && coin.symbol.is_some_and(is_stroke)
    };
    if are_short(head, coin, time) {
        Some("holds what was traded in candles shorter than a day, not in 24 hours")
    } else if is_bare_volume(&head.header[volume]) && is_of_exchange() {
        Some(
            "holds what an exchange traded, which it counts in coins as a rule, and does not say that it is in dollars",
        )
    } else {
        None
    }
}

/// Whether the rows are candles of less than a day: what was traded in one of them is not what was in 24 hours.
fn are_short(head: &Head, coin: &CoinColumns, time: Option<&TimeColumn>) -> bool {
    let Some(time) = time else { return false };
    let mut times: HashMap<String, Vec<DateTime<Utc>>> = HashMap::new();
    for row in &head.rows {
        let [id, name, symbol] = coin.texts(|column| row.cell(column));
        let Some(at) = time.read(|column| row.cell(column)) else { continue };
        times.entry(coin.crypto_id(id, name, symbol).into_owned()).or_default().push(at);
    }
    let (mut short, mut all) = (0, 0);
    for times in times.values_mut() {
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| !gap.is_zero());
        for gap in gaps {
            all += 1;
            short += usize::from(gap < NEARLY_A_DAY);
        }
    }
    short * 2 > all
}
