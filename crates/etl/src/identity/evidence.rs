//! What is known of coins when it is decided which of them are one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::fold::Folded;
use crate::sources::{coingecko, coinpaprika};

/// A coin of a source.
#[derive(Clone, Debug)]
pub(crate) struct Coin {
    pub(crate) coin_id: i32,
    /// Place of its source in [`Evidence::sources`].
    pub(crate) source: usize,
    pub(crate) crypto_id: String,
    pub(crate) name: Option<String>,
    pub(crate) symbol: Option<String>,
    pub(crate) folded: Folded,
    pub(crate) rank: Option<i32>,
    /// US dollars; a float is good enough for "about the same".
    pub(crate) price: Option<f64>,
    /// When the price was observed, UTC.
    pub(crate) observed_at: Option<DateTime<Utc>>,
    /// When its first price was observed, UTC.
    pub(crate) first_observed_at: Option<DateTime<Utc>>,
    /// Whether the source has it no more.
    pub(crate) is_gone: bool,
    /// The id of the same source that was noticed to have taken its place.
    pub(crate) migrated_to: Option<String>,
    /// `chain address`, normalised.
    pub(crate) addresses: Vec<String>,
    /// What it had when it had any, if it has none now.
    pub(crate) past_addresses: Vec<String>,
    /// The asset that it belongs to so far, and why.
    pub(crate) link: Option<Link>,
}

/// A link as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) link_id: i64,
    pub(crate) asset_id: i32,
    pub(crate) method: Method,
}

/// Why a coin belongs to an asset, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Method {
    Own,
    Name,
    Id,
    Contract,
    Declared,
}

impl Method {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Own, "own"),
        (Self::Name, "name"),
        (Self::Id, "id"),
        (Self::Contract, "contract"),
        (Self::Declared, "declared"),
    ];

    /// The name that is stored.
    pub(crate) fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(method, _)| *method == self).map_or("own", |(_, name)| name)
    }

    /// The method of a stored name.
    pub(crate) fn of(name: &str) -> Self {
        Self::NAMES.iter().find(|(_, known)| *known == name).map_or(Self::Own, |(method, _)| *method)
    }
}

/// Everything that a decision rests on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Names of the sources, the most trusted first.
    pub(crate) sources: Vec<String>,
    /// By source and id.
    pub(crate) coins: Vec<Coin>,
    /// Pairs (places in `coins`, the smaller first) that a file or a person has declared.
    pub(crate) same: BTreeSet<(usize, usize)>,
    pub(crate) never: BTreeSet<(usize, usize)>,
    /// Coins under an id that went, with the coin under the id that took its place, at the same source.
    pub(crate) successors: BTreeMap<usize, usize>,
}

/// Sources by trust in their names: CoinGecko's ids are unique words, CoinPaprika's nearly; the rest in the order of
/// their registration.
pub(crate) fn trust(source: &str) -> usize {
    [coingecko::NAME, coinpaprika::NAME].iter().position(|name| *name == source).unwrap_or(2)
}

/// What two prices say about two coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prices {
    /// About the same, at about the same time.
    Agree,
    /// Too far apart, at about the same time.
    Disagree,
    /// Nothing: one is missing, they are of different times, or between the two.
    Silent,
}

/// How far apart two observations may be to be compared.
const COMPARABLE_SECONDS: i64 = 3600;
/// Vendors' averages over different exchanges stay within a few per cent of each other, but for coins that are hardly
/// traded; within the factor 2 nothing is concluded.
const AGREE: f64 = 1.05;
const DISAGREE: f64 = 2.0;

/// More ids than any coin had at one source: who follows further goes in a circle.
const MOST_HEIRS: usize = 8;

impl Evidence {
    pub(crate) fn pair(one: usize, other: usize) -> (usize, usize) {
        (one.min(other), one.max(other))
    }

    pub(crate) fn prices(&self, one: usize, other: usize) -> Prices {
        let [one, other] = [&self.coins[one], &self.coins[other]];
        let (Some(a), Some(b), Some(at), Some(bt)) =
            (one.price, other.price, one.observed_at, other.observed_at)
        else {
            return Prices::Silent;
        };
        let comparable = (at - bt).num_seconds().abs() <= COMPARABLE_SECONDS;
        if !comparable || a <= 0.0 || b <= 0.0 {
            return Prices::Silent;
        }
        match (a / b).max(b / a) {
            ratio if ratio <= AGREE => Prices::Agree,
            ratio if ratio >= DISAGREE => Prices::Disagree,
            _ => Prices::Silent,
        }
    }

    /// Whether both have an address on the same chain, and none in common: two tokens, whatever they are called.
    pub(crate) fn addresses_contradict(&self, one: usize, other: usize) -> bool {
        let chain = |address: &str| address.split(' ').next().unwrap_or_default().to_owned();
        let (a, b) = (&self.coins[one].addresses, &self.coins[other].addresses);
        let shared = a.iter().any(|address| b.contains(address));
        !shared && a.iter().any(|mine| b.iter().any(|theirs| chain(mine) == chain(theirs)))
    }

    /// `source:id`, for people.
    pub(crate) fn shown(&self, at: usize) -> String {
        let coin = &self.coins[at];
        format!("{}:{}", self.sources[coin.source], coin.crypto_id)
    }

    /// The coin that is known to have taken the place of this one, if it is here.
    pub(crate) fn successor_by_id(&self, at: usize) -> Option<usize> {
        let (source, id) = (self.coins[at].source, self.coins[at].migrated_to.as_deref()?);
        let key = |coin: &Coin| (coin.source, coin.crypto_id.as_str()).cmp(&(source, id));
        self.coins.binary_search_by(key).ok()
    }

    /// The coin that stands at the end of those that took the places of each other; `None` for one whose place nobody took,
    /// and where a person says otherwise.
    pub(crate) fn heir(&self, at: usize) -> Option<usize> {
        let mut heir = at;
        for _ in 0..MOST_HEIRS {
            match self.successors.get(&heir) {
                Some(next) if !self.never.contains(&Self::pair(heir, *next)) => heir = *next,
                _ => return (heir != at).then_some(heir),
            }
        }
        None
    }

    /// Places of the coins by source and id.
    pub(crate) fn places(&self) -> HashMap<(&str, &str), usize> {
        let coins = self.coins.iter().enumerate();
        coins.map(|(at, coin)| ((self.sources[coin.source].as_str(), coin.crypto_id.as_str()), at)).collect()
    }
}
