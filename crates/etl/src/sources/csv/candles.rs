//! Candles: rows of one coin that stand for an hour or a minute each.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::coin::CoinColumns;
use super::columns::are_candles;
use super::head::Head;
use super::time_column::TimeColumn;

/// Between candles of a day, also where the clock is put forward.
const NEARLY_A_DAY: TimeDelta = TimeDelta::hours(20);

/// Whether the rows are candles of less than a day: what was traded in one of them is not what was in 24 hours.
pub(super) fn are_short(head: &Head, coin: &CoinColumns, time: Option<&TimeColumn>) -> bool {
    let Some(time) = time.filter(|_| are_candles(&head.header)) else { return false };
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
