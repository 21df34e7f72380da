//! Whether the rows of a file are told apart by their coins and times.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::coin::CoinColumns;
use super::head::{Head, Row};

/// Whether most rows say another price than others of the same coin and time: that time is not theirs, or they are finer than
/// it. What a file says twice in the same words tells nothing.
pub(super) fn is_too_coarse(
    head: &Head,
    coin: &CoinColumns,
    price: usize,
    time: impl Fn(&Row) -> Option<DateTime<Utc>>,
) -> bool {
    let mut prices: HashMap<(String, DateTime<Utc>), Vec<&str>> = HashMap::new();
    let mut rows = 0;
    for row in &head.rows {
        let [id, name, symbol] = coin.texts(|column| row.cell(column));
        let Some(at) = time(row) else { continue };
        rows += 1;
        let of_key = prices.entry((coin.crypto_id(id, name, symbol).into_owned(), at)).or_default();
        if !of_key.contains(&row.cell(price)) {
            of_key.push(row.cell(price));
        }
    }
    let lost: usize = prices.values().map(|prices| prices.len() - 1).sum();
    lost > 1 && lost * 2 >= rows
}
