//! Ids under which a source goes on with a coin whose id it gave up.
//!
//! One id in seven vanishes within half a year, many of them because the source has given the coin another. Whoever
//! looks for the coin should find the price of the new id, in the same asset.

use std::collections::HashMap;

use chrono::TimeDelta;
use kasparro_core::store::coin_state::Migrated;

use super::chain;
use super::evidence::{Coin, Evidence};

/// How long after the last price of the old id the new one may begin, if only the name says that they are one.
const HAND_OVER: TimeDelta = TimeDelta::days(3);
/// By how much the price may have moved meanwhile.
const MOVED: f64 = 1.25;

/// How it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Contract,
    Name,
}

impl By {
    /// The name that is stored.
    fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Name => "name",
        }
    }
}

/// Notices who has taken the place of whom; what is known already is not noticed again.
pub(crate) fn notice(evidence: &Evidence) -> Vec<(usize, usize, By)> {
    let gone = |at: &usize| evidence.coins[*at].is_gone && !evidence.successors.contains_key(at);
    let gone: Vec<usize> = (0..evidence.coins.len()).filter(gone).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let index = Index::of(evidence, &gone);
    let found = gone.iter().filter_map(|&old| {
        let by_contract = index.by_contract(old).map(|new| (old, new, By::Contract));
        by_contract.or_else(|| index.by_name(old).map(|new| (old, new, By::Name)))
    });
    let found: Vec<(usize, usize, By)> = found.collect();
    // Of several that went, none is known to be the one.
    let mut heirs: HashMap<usize, usize> = HashMap::new();
    found.iter().for_each(|(_, new, _)| *heirs.entry(*new).or_default() += 1);
    found.into_iter().filter(|(_, new, _)| heirs[new] == 1).collect()
}

/// As it is stored.
pub(crate) fn to_store(evidence: &Evidence, noticed: &[(usize, usize, By)]) -> Vec<Migrated> {
    let stored = |(old, new, by): &(usize, usize, By)| Migrated {
        coin_id: evidence.coins[*old].coin_id,
        to: evidence.coins[*new].crypto_id.clone(),
        by: by.as_str(),
    };
    noticed.iter().map(stored).collect()
}

/// The coins that are there, as those that went are asked for.
struct Index<'e> {
    evidence: &'e Evidence,
    by_address: HashMap<(usize, &'e str), Vec<usize>>,
    by_name: HashMap<(usize, &'e str, &'e str), Vec<usize>>,
}

impl<'e> Index<'e> {
    fn of(evidence: &'e Evidence, gone: &[usize]) -> Self {
        // Only what is asked for goes in.
        let mut index = Self { evidence, by_address: HashMap::new(), by_name: HashMap::new() };
        for &at in gone {
            let coin = &evidence.coins[at];
            for address in last_addresses(coin) {
                index.by_address.entry((coin.source, address)).or_default();
            }
            index.by_name.entry(name(coin)).or_default();
        }
        for (at, coin) in evidence.coins.iter().enumerate().filter(|(_, coin)| !coin.is_gone) {
            for address in &coin.addresses {
                index.by_address.entry((coin.source, address)).and_modify(|places| places.push(at));
            }
            index.by_name.entry(name(coin)).and_modify(|places| places.push(at));
        }
        index
    }

    /// The one coin that has its contract now and began when it had ended.
    fn by_contract(&self, old: usize) -> Option<usize> {
        let coin = &self.evidence.coins[old];
        if chain::is_native(&coin.crypto_id) {
            return None;
        }
        let mut heirs: Vec<usize> = last_addresses(coin)
            .filter_map(|address| self.by_address.get(&(coin.source, address)))
            .flatten()
            .copied()
            .filter(|new| self.follows(old, *new).is_some())
            .collect();
        heirs.sort_unstable();
        heirs.dedup();
        if let [heir] = heirs[..] { Some(heir) } else { None }
    }

    /// The one coin that is called the same, began when it had ended, and goes on with its price.
    fn by_name(&self, old: usize) -> Option<usize> {
        let coin = &self.evidence.coins[old];
        let [new] = self.by_name.get(&name(coin))?[..] else { return None };
        let theirs = &self.evidence.coins[new];
        let is_named = !coin.folded.symbol.is_empty() && !coin.folded.name.is_empty();
        let (before, after) =
            (coin.price.filter(|price| *price > 0.0)?, theirs.price.filter(|price| *price > 0.0)?);
        let goes_on = (before / after).max(after / before) <= MOVED;
        let at_once = self.follows(old, new)? <= HAND_OVER;
        (is_named && goes_on && at_once).then_some(new)
    }

    /// How long after the last price of one the newest of the other is, if that began only then.
    fn follows(&self, old: usize, new: usize) -> Option<TimeDelta> {
        let (old, new) = (&self.evidence.coins[old], &self.evidence.coins[new]);
        let ended = old.observed_at?;
        (new.first_observed_at? >= ended).then_some(new.observed_at? - ended)
    }
}

fn last_addresses(coin: &Coin) -> impl Iterator<Item = &str> {
    coin.addresses.iter().chain(&coin.past_addresses).map(String::as_str)
}

fn name(coin: &Coin) -> (usize, &str, &str) {
    (coin.source, &coin.folded.symbol, &coin.folded.name)
}
