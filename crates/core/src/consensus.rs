//! Which price to believe when several sources name one.

use chrono::{DateTime, Utc};

use crate::{Decimal, arithmetic};

/// How far from the middle of all fresh prices one may be, in percent, before it counts for nothing: further than any two
/// markets for the same coin are apart for long.
pub const OUTLIER_PERCENT: u8 = 10;

/// Fewer fresh prices than that cannot tell which of them is wrong.
const LEAST_FOR_OUTLIERS: usize = 3;

/// What one source says.
#[derive(Clone, Copy, Debug)]
pub struct Quote<'q> {
    /// US dollars per coin; `None` when it says nothing.
    pub price: Option<&'q Decimal>,
    /// When, UTC.
    pub observed_at: DateTime<Utc>,
}

/// Why a price counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// There is none.
    Null,
    /// It is too old.
    Stale,
    /// It is too far from the others.
    Outlier,
}

/// The price to believe, and how far the sources are apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consensus {
    /// The median of the prices that count; `None` when none does.
    pub price: Option<Decimal>,
    /// For each quote in its order, why it does not count; `None` when it does.
    pub left_out: Vec<Option<LeftOut>>,
    /// Greatest less least of all fresh prices, outliers included; `None` with fewer than two.
    pub spread: Option<Decimal>,
    /// The spread in percent of the median of the fresh prices, rounded to four digits.
    pub spread_percent: Option<Decimal>,
}

/// Finds the consensus; a quote from before `fresh_from` (UTC) is stale.
pub fn of(quotes: &[Quote<'_>], fresh_from: DateTime<Utc>) -> Consensus {
    let mut left_out: Vec<Option<LeftOut>> = quotes
        .iter()
        .map(|quote| match quote.price {
            None => Some(LeftOut::Null),
            Some(_) if quote.observed_at < fresh_from => Some(LeftOut::Stale),
            Some(_) => None,
        })
        .collect();
    let fresh = counted(quotes, &left_out);
    let middle = arithmetic::median(fresh.clone());
    let spread = match (fresh.iter().max(), fresh.iter().min()) {
        (Some(most), Some(least)) if fresh.len() > 1 => most.minus(least),
        _ => None,
    };
    let spread_percent = spread.as_ref().zip(middle.as_ref()).and_then(|(spread, m)| spread.percent_of(m));
    if let Some(middle) = middle.as_ref().filter(|_| fresh.len() >= LEAST_FOR_OUTLIERS) {
        for (quote, left_out) in quotes.iter().zip(&mut left_out).filter(|(_, out)| out.is_none()) {
            if quote.price.is_some_and(|price| is_far(price, middle)) {
                *left_out = Some(LeftOut::Outlier);
            }
        }
    }
    let price = arithmetic::median(counted(quotes, &left_out));
    Consensus { price, left_out, spread, spread_percent }
}

fn counted<'q>(quotes: &[Quote<'q>], left_out: &[Option<LeftOut>]) -> Vec<&'q Decimal> {
    quotes
        .iter()
        .zip(left_out)
        .filter(|(_, out)| out.is_none())
        .filter_map(|(quote, _)| quote.price)
        .collect()
}

fn is_far(price: &Decimal, middle: &Decimal) -> bool {
    let deviation = price.minus(middle).and_then(|difference| difference.percent_of(middle));
    let text = |number: &Decimal| number.as_str().trim_start_matches('-').to_owned();
    let bound = Decimal::parse(&OUTLIER_PERCENT.to_string()).ok();
    deviation
        .and_then(|deviation| Decimal::parse(&text(&deviation)).ok())
        .is_some_and(|far| Some(far) > bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(prices: &[(Option<&str>, i64)]) -> (Option<String>, Vec<Option<LeftOut>>, Option<String>) {
        let prices: Vec<(Option<Decimal>, i64)> =
            prices.iter().map(|(p, age)| (p.map(|p| Decimal::parse(p).unwrap()), *age)).collect();
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let quotes: Vec<Quote<'_>> = prices
            .iter()
            .map(|(price, age)| Quote {
                price: price.as_ref(),
                observed_at: now - chrono::TimeDelta::seconds(*age),
            })
            .collect();
        let found = of(&quotes, now - chrono::TimeDelta::seconds(60));
        let text = |number: &Option<Decimal>| number.as_ref().map(ToString::to_string);
        (text(&found.price), found.left_out.clone(), text(&found.spread_percent))
    }

    #[test]
    fn the_median_of_the_fresh_ones_counts() {
        let (price, left_out, spread) =
            judged(&[(Some("100"), 0), (Some("101.01"), 60), (Some("1"), 61), (None, 0)]);
        assert_eq!(price.unwrap(), "100.505");
        assert_eq!(left_out, [None, None, Some(LeftOut::Stale), Some(LeftOut::Null)]);
        assert_eq!(spread.unwrap(), "1.0049");
    }

    #[test]
    fn one_of_three_may_be_wrong_and_of_two_nobody_can_tell() {
        let (price, left_out, spread) = judged(&[(Some("100"), 0), (Some("0.01"), 0), (Some("102"), 0)]);
        assert_eq!((price.unwrap().as_str(), left_out[1]), ("101", Some(LeftOut::Outlier)));
        assert_eq!(spread.unwrap(), "101.9900");
        let (price, left_out, _) = judged(&[(Some("100"), 0), (Some("200"), 0)]);
        assert_eq!((price.unwrap().as_str(), left_out), ("150", vec![None, None]));
        assert_eq!(judged(&[(None, 0)]).0, None);
        assert_eq!(judged(&[(Some("0"), 0), (Some("0"), 0), (Some("0"), 0)]).0.unwrap(), "0");
    }
}
