//! Why a coin may join the group of another: one function for each kind of evidence.

use std::ops::RangeInclusive;

use serde_json::json;

use super::{Edge, Places, Reason, Work};
use crate::identity::chain;
use crate::identity::evidence::{Method, Prices};
use crate::identity::fold::{self, is_numbered, name_in_id};
use crate::sources::{coingecko, coinpaprika, csv};

/// US dollars, francs and euros: what costs that is a witness of nothing, as many coins do.
const PEGGED: RangeInclusive<f64> = 0.9..=1.3;

impl Work<'_> {
    pub(super) fn declaration(&self, with: usize) -> Edge {
        let evidence = json!({ "with": self.evidence.shown(with), "rule": "declared" }).to_string();
        Edge { with, method: Method::Declared, confidence: 1.0, evidence }
    }

    pub(super) fn by_declaration(&self, at: usize) -> Option<Edge> {
        let known = |other: &&usize| self.members.contains_key(&self.group[**other]);
        let with = self.declared.get(&at)?.iter().filter(known).min()?;
        Some(self.declaration(*with))
    }

    pub(super) fn by_contract(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        if chain::is_native(&coin.crypto_id) {
            return None;
        }
        let hits = self.contract_hits(at);
        let with = self.narrowed(at, hits)?;
        let theirs = &self.evidence.coins[with];
        let agrees = coin.folded.symbol == theirs.folded.symbol && coin.folded.agrees(&theirs.folded);
        // A native coin that a source lists with the address of its wrapper: the name leads to a coin that has no
        // address on that chain.
        let by_name = self.by_name(at).filter(|edge| self.group[edge.with] != self.group[with]);
        if !agrees && by_name.is_some() {
            return None;
        }
        let objection = self.objection(at, with);
        if objection == Some(Reason::DeclaredNever) || objection.is_some() && !agrees {
            return None;
        }
        let shared = coin.addresses.iter().find(|address| theirs.addresses.contains(address))?;
        let (chain, address) = shared.split_once(' ')?;
        let evidence = json!({
            "with": self.evidence.shown(with), "rule": "contract", "chain": chain, "address": address, "name_agrees": agrees,
            "prices_agree": self.prices_agree(at, with),
        })
        .to_string();
        Some(Edge {
            with,
            method: Method::Contract,
            confidence: if agrees { 0.999 } else { 0.995 },
            evidence,
        })
    }

    /// Coins with one of our addresses, a group each. A token that stands for another coin is not that coin.
    pub(super) fn contract_hits(&self, at: usize) -> Places {
        let coin = &self.evidence.coins[at];
        let hits =
            coin.addresses.iter().filter_map(|address| self.by_address.get(address.as_str())).flatten();
        let hits: Places = hits
            .copied()
            .filter(|hit| self.evidence.coins[*hit].folded.is_wrapper == coin.folded.is_wrapper)
            .filter(|hit| !self.is_taken(self.group[*hit], coin.source))
            .collect();
        self.distinct(&hits)
    }

    /// The one of several candidates that has our symbol, or our name too.
    fn narrowed(&self, at: usize, hits: Places) -> Option<usize> {
        let folded = &self.evidence.coins[at].folded;
        let same_symbol = |hit: &usize| self.evidence.coins[*hit].folded.symbol == folded.symbol;
        let agrees = |hit: &usize| folded.agrees(&self.evidence.coins[*hit].folded);
        let mut left = hits;
        if left.len() > 1 {
            left.retain(same_symbol);
        }
        if left.len() > 1 {
            left.retain(agrees);
        }
        if let [one] = left[..] { Some(one) } else { None }
    }

    /// A file that speaks of coins by the ids of a vendor.
    pub(super) fn by_id_of_file(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        if self.evidence.sources[coin.source] != csv::NAME {
            return None;
        }
        let says_the_same = |other: &usize| {
            let (mine, theirs) = (&coin.folded, &self.evidence.coins[*other].folded);
            let symbols = mine.symbol.is_empty() || mine.symbol == theirs.symbol;
            symbols && (mine.name.is_empty() || mine.core == theirs.core)
        };
        let namesakes = self.by_id.get(coin.crypto_id.as_str())?.iter().copied().filter(says_the_same);
        let [with] = self.distinct(&namesakes.collect::<Vec<_>>())[..] else { return None };
        if self.objection(at, with).is_some() {
            return None;
        }
        let evidence = json!({ "with": self.evidence.shown(with), "rule": "same_id" }).to_string();
        Some(Edge { with, method: Method::Id, confidence: 0.999, evidence })
    }

    pub(super) fn by_name(&self, at: usize) -> Option<Edge> {
        self.by_unique_name(at)
            .or_else(|| self.by_name_in_id(at))
            .or_else(|| self.by_unique_spelling(at))
            .or_else(|| self.by_part_of_name_and_price(at))
            .or_else(|| self.by_name_and_price(at))
    }

    /// Symbol and name, unique on both sides.
    fn by_unique_name(&self, at: usize) -> Option<Edge> {
        let folded = &self.evidence.coins[at].folded;
        if folded.symbol.is_empty() || folded.core.is_empty() {
            return None;
        }
        let (core, full) = ((&*folded.symbol, &*folded.core), (&*folded.symbol, &*folded.name));
        let (alike, own) = match self.by_core.get(&core) {
            Some(alike) => (alike, self.own_core.get(&core)),
            // `Gochujangcoin` and `Gochujang Coin`.
            None => (self.by_full.get(&full)?, self.own_name.get(&full)),
        };
        let [with] = self.distinct(alike)[..] else { return None };
        let fits =
            own == Some(&1) && folded.agrees(&self.evidence.coins[with].folded) && self.says_enough(at, with);
        self.named(at, with, "symbol_and_name", self.confidence_by_name(at, with)).filter(|_| fits)
    }

    /// Not where the vendor had a coin of that symbol before and the name says nothing more than the symbol, unless the price
    /// agrees: `ara5-ara` is not the Ara that `ara-ara-token` is.
    fn says_enough(&self, at: usize, with: usize) -> bool {
        let coin = &self.evidence.coins[at];
        let is_second = coin.folded.name == coin.folded.symbol
            && fold::is_numbered_symbol(&coin.crypto_id, &coin.folded.symbol);
        !is_second || self.evidence.prices(at, with) == Prices::Agree
    }

    fn confidence_by_name(&self, at: usize, with: usize) -> f64 {
        let theirs = &self.evidence.coins[with];
        match self.evidence.prices(at, with) {
            Prices::Agree => 0.999,
            // The vendor had a coin of that name before, and without a price it cannot be told which of the two is meant. Of
            // 350 such pairs in the recorded lists none is known to be wrong.
            _ if is_numbered(&theirs.crypto_id, &theirs.folded.name) => 0.99,
            _ => 0.997,
        }
    }

    /// Symbol and name, which are unique on both sides as they are spelt, among names that come to the same: `Don-key` is not
    /// `Donkey`. Not where one of those is another version: who has only one of the two may mean either.
    fn by_unique_spelling(&self, at: usize) -> Option<Edge> {
        let folded = &self.evidence.coins[at].folded;
        let name_of = |other: &usize| &self.evidence.coins[*other].folded;
        let alike = self.by_core.get(&(folded.symbol.as_str(), folded.core.as_str()))?;
        if alike.iter().any(|other| !name_of(other).is_of_one_kind(folded)) {
            return None;
        }
        let spelt: Places =
            alike.iter().copied().filter(|other| name_of(other).spelt == folded.spelt).collect();
        let [with] = self.distinct(&spelt)[..] else { return None };
        let own = self.own_spelling.get(&(folded.symbol.as_str(), folded.spelt.as_str()));
        self.named(at, with, "symbol_and_spelling", self.confidence_by_name(at, with))
            .filter(|_| own == Some(&1) && self.says_enough(at, with))
    }

    /// A symbol that is unique on both sides, names of which one is in the other, and the price as a witness: `AIXBT`
    /// and `aixbt by Virtuals`.
    fn by_part_of_name_and_price(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        let symbol = coin.folded.symbol.as_str();
        if symbol.is_empty() || self.own_symbol.get(symbol) != Some(&1) {
            return None;
        }
        let [with] = self.distinct(self.by_symbol.get(symbol)?)[..] else { return None };
        let theirs = &self.evidence.coins[with];
        let fits = self.evidence.prices(at, with) == Prices::Agree
            && coin.price.is_some_and(|price| !PEGGED.contains(&price))
            && coin.folded.is_of_one_kind(&theirs.folded)
            && fold::is_part(coin.name.as_deref()?, theirs.name.as_deref()?);
        self.named(at, with, "symbol_and_part_of_name_and_price", 0.99).filter(|_| fits)
    }

    /// The symbol, and the name that CoinPaprika's id has kept since the coin was listed, which is CoinGecko's id.
    fn by_name_in_id(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        let folded = &coin.folded;
        if ![coinpaprika::NAME, csv::NAME].contains(&self.evidence.sources[coin.source].as_str()) {
            return None;
        }
        let id = name_in_id(&coin.crypto_id, coin.symbol.as_deref())?;
        let is_of_coingecko =
            |other: &&usize| self.evidence.sources[self.evidence.coins[**other].source] == coingecko::NAME;
        let with = *self.by_id.get(id)?.iter().find(is_of_coingecko)?;
        let theirs = &self.evidence.coins[with].folded;
        if theirs.symbol != folded.symbol || !theirs.is_of_one_kind(folded) {
            return None;
        }
        // Somebody else bears our very name, and the coin of our id does not.
        let group = self.by_core.get(&(folded.symbol.as_str(), folded.core.as_str()));
        let mut namesakes = group.into_iter().flatten().map(|other| &self.evidence.coins[*other].folded.name);
        if theirs.name != folded.name && namesakes.any(|name| *name == folded.name) {
            return None;
        }
        let twins =
            self.own_name.get(&(folded.symbol.as_str(), folded.name.as_str())).copied().unwrap_or_default();
        let is_sure = twins < 2 || self.evidence.prices(at, with) == Prices::Agree;
        self.named(at, with, "symbol_and_name_in_id", 0.996).filter(|_| is_sure)
    }

    /// The name alone, where there is no symbol: only with the price as a witness.
    fn by_name_and_price(&self, at: usize) -> Option<Edge> {
        let folded = &self.evidence.coins[at].folded;
        if !folded.symbol.is_empty()
            || folded.core.is_empty()
            || self.own_bare_name.get(folded.core.as_str()) != Some(&1)
        {
            return None;
        }
        let [with] = self.distinct(self.by_name.get(folded.core.as_str())?)[..] else { return None };
        let theirs = &self.evidence.coins[with].folded;
        let fits = theirs.versions == folded.versions && self.evidence.prices(at, with) == Prices::Agree;
        self.named(at, with, "name_and_price", 0.99).filter(|_| fits)
    }

    fn named(&self, at: usize, with: usize, rule: &str, confidence: f64) -> Option<Edge> {
        let source = self.evidence.coins[at].source;
        if self.is_taken(self.group[with], source) || self.objection(at, with).is_some() {
            return None;
        }
        let (mine, theirs) = (&self.evidence.coins[at], &self.evidence.coins[with]);
        let evidence = json!({
            "with": self.evidence.shown(with),
            "rule": rule,
            "symbols": [&mine.symbol, &theirs.symbol],
            "names": [&mine.name, &theirs.name],
            "prices_agree": self.prices_agree(at, with),
        })
        .to_string();
        Some(Edge { with, method: Method::Name, confidence, evidence })
    }

    /// As evidence: null where the prices say nothing.
    fn prices_agree(&self, at: usize, with: usize) -> Option<bool> {
        match self.evidence.prices(at, with) {
            Prices::Agree => Some(true),
            Prices::Disagree => Some(false),
            Prices::Silent => None,
        }
    }

    /// A link that was right stays when a name or a listing changes, until something speaks against it. What was
    /// declared holds as long as the declaration.
    pub(super) fn as_before(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        let mine = coin.link?;
        let others = self.by_asset.get(&mine.asset_id)?;
        let with = *others.iter().find(|other| !self.is_taken(self.group[**other], coin.source))?;
        let theirs = self.evidence.coins[with].link?;
        let method = mine.method.max(theirs.method);
        if method == Method::Declared || self.objection(at, with).is_some() {
            return None;
        }
        let evidence = json!({ "with": self.evidence.shown(with), "rule": "as_before" }).to_string();
        Some(Edge { with, method, confidence: 0.99, evidence })
    }
}
