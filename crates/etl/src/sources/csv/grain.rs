//! Whether the rows of a file are told apart by their coins and times.

use std::collections::HashSet;

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
    let (mut keys, mut prices) = (HashSet::new(), HashSet::new());
    let mut rows = 0;
    for row in &head.rows {
        let [id, name, symbol] = coin.texts(|column| row.cell(column));
        let Some(at) = time(row) else { continue };
        rows += 1;
        let key = (coin.crypto_id(id, name, symbol).into_owned(), at);
        keys.insert(key.clone());
        prices.insert((key, row.cell(price)));
    }
    let lost = prices.len() - keys.len();
    lost > 1 && lost * 2 >= rows
}
