//! What cannot be true of a coin: the declared rules. They flag values and never change them.

use crate::{Decimal, Values};

/// A rule with its name and what it says.
pub struct Rule {
    /// Stable name.
    pub name: &'static str,
    /// What is wrong when it holds, in a sentence.
    pub meaning: &'static str,
    /// The figures that it looks at.
    figures: &'static [&'static str],
    /// Whether the figures of one observation break it.
    is_broken: fn(&Values) -> bool,
}

impl Rule {
    /// The figures that it looks at, digit for digit.
    pub fn evidence(&self, values: &Values) -> String {
        let rank = values.rank.map(|rank| rank.to_string());
        let shown = self.figures.iter().map(|figure| {
            let at = Values::NUMBERS.iter().position(|name| name == figure);
            let text = match at {
                Some(at) => values.numbers()[at].map(ToString::to_string),
                None => rank.clone(),
            };
            format!("{figure} {}", text.as_deref().unwrap_or("unknown"))
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// Every rule there is.
pub const RULES: &[Rule] = &[
    Rule {
        name: "tiny_volume_for_rank",
        meaning: "a coin of the first hundred by rank with a volume below 10,000 US dollars in 24 hours",
        figures: &["rank", "volume_24h_usd"],
        is_broken: |values| values.rank.is_some_and(|rank| rank <= 100) && below(&values.volume_24h_usd, 1e4),
    },
    Rule {
        name: "volume_beyond_market_cap",
        meaning: "more than a hundred times the market capitalisation traded in 24 hours",
        figures: &["volume_24h_usd", "market_cap_usd"],
        is_broken: |values| exceeds(&values.volume_24h_usd, 100.0, &values.market_cap_usd),
    },
    Rule {
        name: "price_without_value",
        meaning: "a price of zero beside a market capitalisation",
        figures: &["price_usd", "market_cap_usd"],
        is_broken: |values| {
            values.price_usd.as_ref().is_some_and(Decimal::is_zero)
                && values.market_cap_usd.as_ref().is_some_and(|cap| !cap.is_zero())
        },
    },
    Rule {
        name: "market_cap_contradicts_supply",
        meaning: "a market capitalisation that is less than half or more than twice price times circulating supply",
        figures: &["market_cap_usd", "price_usd", "circulating_supply"],
        is_broken: |values| {
            let product =
                number(&values.price_usd).zip(number(&values.circulating_supply)).map(|(p, s)| p * s);
            let cap = number(&values.market_cap_usd);
            product
                .zip(cap)
                .is_some_and(|(product, cap)| product > 0.0 && !(0.5..=2.0).contains(&(cap / product)))
        },
    },
    Rule {
        name: "circulating_beyond_total",
        meaning: "more coins in circulation than there are",
        figures: &["circulating_supply", "total_supply"],
        is_broken: |values| exceeds(&values.circulating_supply, 1.0, &values.total_supply),
    },
    Rule {
        name: "total_beyond_max",
        meaning: "more coins than there can ever be",
        figures: &["total_supply", "max_supply"],
        is_broken: |values| exceeds(&values.total_supply, 1.0, &values.max_supply),
    },
    Rule {
        name: "loss_beyond_everything",
        meaning: "a price that fell by more than 100 percent in 24 hours",
        figures: &["change_24h_percent"],
        is_broken: |values| below(&values.change_24h_percent, -100.0),
    },
];

/// Names of the rules that the figures of an observation break.
pub fn broken(values: &Values) -> impl Iterator<Item = &'static Rule> + '_ {
    RULES.iter().filter(|rule| (rule.is_broken)(values))
}

/// As near as a float comes: rules judge by factors, not by digits.
fn number(amount: &Option<Decimal>) -> Option<f64> {
    amount.as_ref()?.as_str().parse().ok()
}

fn below(amount: &Option<Decimal>, bound: f64) -> bool {
    number(amount).is_some_and(|amount| amount < bound)
}

/// Whether one amount is more than so many times another that is known and not zero. Of the same digits, neither is more.
fn exceeds(amount: &Option<Decimal>, times: f64, other: &Option<Decimal>) -> bool {
    let known = number(amount).zip(number(other));
    known.is_some_and(|(amount, other)| other > 0.0 && amount > times * other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(values: &Values) -> Vec<&'static str> {
        broken(values).map(|rule| rule.name).collect()
    }

    fn amount(text: &str) -> Option<Decimal> {
        Some(Decimal::parse(text).unwrap())
    }

    #[test]
    fn each_rule_flags_what_it_says_and_nothing_that_is_unknown() {
        assert!(names(&Values::default()).is_empty());
        let with = |set: fn(&mut Values)| {
            let mut values = Values {
                rank: Some(1),
                price_usd: amount("2"),
                market_cap_usd: amount("2000000"),
                volume_24h_usd: amount("20000"),
                change_24h_percent: amount("-99.9"),
                circulating_supply: amount("1000000"),
                total_supply: amount("1000000"),
                max_supply: amount("1000000"),
            };
            set(&mut values);
            names(&values)
        };
        assert!(with(|_| ()).is_empty());
        assert_eq!(with(|v| v.volume_24h_usd = amount("5")), ["tiny_volume_for_rank"]);
        assert!(with(|v| (v.rank, v.volume_24h_usd) = (Some(101), amount("5"))).is_empty());
        assert_eq!(with(|v| v.volume_24h_usd = amount("200000001")), ["volume_beyond_market_cap"]);
        assert_eq!(with(|v| v.price_usd = amount("0.0")), ["price_without_value"]);
        assert_eq!(with(|v| v.market_cap_usd = amount("999999")), ["market_cap_contradicts_supply"]);
        assert_eq!(with(|v| v.total_supply = amount("999999")), ["circulating_beyond_total"]);
        assert_eq!(with(|v| v.max_supply = amount("999999.5")), ["total_beyond_max"]);
        assert_eq!(with(|v| v.change_24h_percent = amount("-100.01")), ["loss_beyond_everything"]);
    }
}
