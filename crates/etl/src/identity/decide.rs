//! Which coins are one asset: a pure function of [`Evidence`].
//!
//! The coins of the most trusted source begin a group each; those of every further source join a group or begin their
//! own. A step takes what the steps before it left: declared, contract, id, name, and at last what was linked before and
//! is not contradicted (a renamed coin stays where it was). A group takes at most one coin of each source, unless a
//! person says otherwise.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::chain;
use super::evidence::{Evidence, Method, Prices};
use super::fold::{is_numbered, name_in_id};
use crate::sources::{coingecko, coinpaprika, csv};

/// Why a coin is in the group of another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edge {
    /// Place of the coin that it was compared with.
    pub(crate) with: usize,
    pub(crate) method: Method,
    pub(crate) confidence: f64,
    pub(crate) evidence: Value,
}

/// Why a coin that looks like others was not joined to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    DeclaredNever,
    ContractDisagrees,
    AmbiguousContract,
    PriceDisagrees,
    AmbiguousName,
    SymbolOnly,
    NameOnly,
}

impl Reason {
    /// The name that is stored.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DeclaredNever => "declared_never",
            Self::ContractDisagrees => "contract_disagrees",
            Self::AmbiguousContract => "ambiguous_contract",
            Self::PriceDisagrees => "price_disagrees",
            Self::AmbiguousName => "ambiguous_name",
            Self::SymbolOnly => "symbol_only",
            Self::NameOnly => "name_only",
        }
    }
}

/// A coin for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Review {
    pub(crate) coin: usize,
    pub(crate) reason: Reason,
    /// Likeliest first.
    pub(crate) candidates: Vec<usize>,
}

/// What was decided.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// Of each coin, the place of the coin that began its group.
    pub(crate) group: Vec<usize>,
    /// Of each coin, why it is there; `None` for one that began a group.
    pub(crate) edges: Vec<Option<Edge>>,
    pub(crate) reviews: Vec<Review>,
}

/// Decides.
pub(crate) fn decide(evidence: &Evidence) -> Decision {
    let mut work = Work::new(evidence);
    for source in 0..evidence.sources.len() {
        work.take_source(source);
    }
    Decision { group: work.group, edges: work.edges, reviews: work.reviews }
}

type Places = Vec<usize>;

struct Work<'e> {
    evidence: &'e Evidence,
    group: Vec<usize>,
    edges: Vec<Option<Edge>>,
    reviews: Vec<Review>,
    /// Members of the group that a coin began.
    members: HashMap<usize, Places>,
    by_address: HashMap<&'e str, Places>,
    by_core: HashMap<(&'e str, &'e str), Places>,
    by_symbol: HashMap<&'e str, Places>,
    by_name: HashMap<&'e str, Places>,
    by_id: HashMap<&'e str, Places>,
    by_asset: HashMap<i32, Places>,
    declared: HashMap<usize, Places>,
    /// Coins of this source by symbol and core of the name, and by symbol and full name.
    own_core: HashMap<(&'e str, &'e str), usize>,
    own_name: HashMap<(&'e str, &'e str), usize>,
    own_bare_name: HashMap<&'e str, usize>,
}

/// A coin that asks to join the group of another.
struct Claim {
    coin: usize,
    edge: Edge,
}

impl<'e> Work<'e> {
    fn new(evidence: &'e Evidence) -> Self {
        let mut declared: HashMap<usize, Places> = HashMap::new();
        for &(one, other) in &evidence.same {
            declared.entry(one).or_default().push(other);
            declared.entry(other).or_default().push(one);
        }
        Self {
            evidence,
            group: (0..evidence.coins.len()).collect(),
            edges: vec![None; evidence.coins.len()],
            reviews: Vec::new(),
            members: HashMap::new(),
            by_address: HashMap::new(),
            by_core: HashMap::new(),
            by_symbol: HashMap::new(),
            by_name: HashMap::new(),
            by_id: HashMap::new(),
            by_asset: HashMap::new(),
            declared,
            own_core: HashMap::new(),
            own_name: HashMap::new(),
            own_bare_name: HashMap::new(),
        }
    }

    fn take_source(&mut self, source: usize) {
        let evidence = self.evidence;
        let coins: Places =
            (0..evidence.coins.len()).filter(|at| evidence.coins[*at].source == source).collect();
        self.count_own(&coins);
        type Step<'e> = fn(&Work<'e>, usize) -> Option<Edge>;
        let steps: [(Step<'e>, bool); 5] = [
            (Self::by_declaration, true),
            (Self::by_contract, false),
            (Self::by_id_of_file, true),
            (Self::by_name, false),
            (Self::as_before, false),
        ];
        for (step, shares) in steps {
            let free = coins.iter().filter(|at| self.edges[**at].is_none());
            let claims: Vec<Claim> =
                free.filter_map(|&coin| step(self, coin).map(|edge| Claim { coin, edge })).collect();
            self.grant(claims, shares);
        }
        for &at in &coins {
            if self.edges[at].is_none() {
                self.reviews.extend(self.review(at));
            }
        }
        self.enter(&coins);
        self.join_declared_siblings(&coins);
    }

    fn count_own(&mut self, coins: &[usize]) {
        self.own_core.clear();
        self.own_name.clear();
        self.own_bare_name.clear();
        for &at in coins {
            let folded = &self.evidence.coins[at].folded;
            *self.own_core.entry((&folded.symbol, &folded.core)).or_default() += 1;
            *self.own_name.entry((&folded.symbol, &folded.name)).or_default() += 1;
            *self.own_bare_name.entry(&folded.core).or_default() += 1;
        }
    }

    /// Joins coins to groups. A group that several coins of one source claim goes to the one claim that is surer than
    /// the others; if there is none, to nobody.
    fn grant(&mut self, claims: Vec<Claim>, shares: bool) {
        let mut by_group: HashMap<usize, Vec<Claim>> = HashMap::new();
        for claim in claims {
            by_group.entry(self.group[claim.edge.with]).or_default().push(claim);
        }
        let mut groups: Vec<(usize, Vec<Claim>)> = by_group.into_iter().collect();
        groups.sort_by_key(|(group, _)| *group);
        for (group, mut claims) in groups {
            claims.sort_by(|a, b| b.edge.confidence.total_cmp(&a.edge.confidence).then(a.coin.cmp(&b.coin)));
            let is_clear =
                claims.len() == 1 || shares || claims[0].edge.confidence > claims[1].edge.confidence;
            let granted = match (is_clear, shares) {
                (false, _) => 0,
                (true, true) => claims.len(),
                (true, false) => 1,
            };
            for claim in claims.into_iter().take(granted) {
                self.join(claim.coin, group, claim.edge);
            }
        }
    }

    fn join(&mut self, coin: usize, group: usize, edge: Edge) {
        self.group[coin] = group;
        self.edges[coin] = Some(edge);
        self.members.entry(group).or_default().push(coin);
    }

    /// Makes the coins of a source known to the next.
    fn enter(&mut self, coins: &[usize]) {
        let evidence = self.evidence;
        for &at in coins {
            let coin = &evidence.coins[at];
            if self.group[at] == at {
                self.members.entry(at).or_default().insert(0, at);
            }
            for address in &coin.addresses {
                self.by_address.entry(address).or_default().push(at);
            }
            let folded = &coin.folded;
            if !folded.core.is_empty() {
                self.by_core.entry((&folded.symbol, &folded.core)).or_default().push(at);
                self.by_name.entry(&folded.core).or_default().push(at);
            }
            if !folded.symbol.is_empty() {
                self.by_symbol.entry(&folded.symbol).or_default().push(at);
            }
            self.by_id.entry(&coin.crypto_id).or_default().push(at);
            if let Some(link) = coin.link {
                self.by_asset.entry(link.asset_id).or_default().push(at);
            }
        }
    }

    /// Two ids of one source that a person declared to be one, such as an old id and the one that it migrated to.
    fn join_declared_siblings(&mut self, coins: &[usize]) {
        for &at in coins {
            let source = self.evidence.coins[at].source;
            let elders = self.declared.get(&at).into_iter().flatten();
            let elder =
                elders.copied().find(|&other| other < at && self.evidence.coins[other].source == source);
            if let Some(with) = elder
                && self.edges[at].is_none()
                && self.members.get(&at).is_none_or(|members| members.len() == 1)
            {
                self.members.remove(&at);
                self.join(at, self.group[with], self.declaration(with));
            }
        }
    }

    /// Whether the group has a coin of this source already.
    fn is_taken(&self, group: usize, source: usize) -> bool {
        let members = self.members.get(&group).into_iter().flatten();
        members.into_iter().any(|&member| self.evidence.coins[member].source == source)
    }

    /// What speaks against a coin being in the group of another.
    fn objection(&self, coin: usize, with: usize) -> Option<Reason> {
        let members = self.members.get(&self.group[with]).map_or(&[] as &[usize], Vec::as_slice);
        let any = |test: &dyn Fn(usize) -> bool| members.iter().any(|member| test(*member));
        if any(&|member| self.evidence.never.contains(&Evidence::pair(coin, member))) {
            return Some(Reason::DeclaredNever);
        }
        if any(&|member| self.evidence.addresses_contradict(coin, member)) {
            return Some(Reason::ContractDisagrees);
        }
        any(&|member| self.evidence.prices(coin, member) == Prices::Disagree)
            .then_some(Reason::PriceDisagrees)
    }

    /// The groups of some coins, each once, by its first coin among them.
    fn distinct(&self, coins: &[usize]) -> Places {
        let mut seen = Vec::new();
        let mut first = Vec::new();
        for &coin in coins {
            if !seen.contains(&self.group[coin]) {
                seen.push(self.group[coin]);
                first.push(coin);
            }
        }
        first
    }

    fn declaration(&self, with: usize) -> Edge {
        let evidence = json!({ "with": self.evidence.shown(with), "rule": "declared" });
        Edge { with, method: Method::Declared, confidence: 1.0, evidence }
    }

    fn by_declaration(&self, at: usize) -> Option<Edge> {
        let known = |other: &&usize| self.members.contains_key(&self.group[**other]);
        let with = self.declared.get(&at)?.iter().filter(known).min()?;
        Some(self.declaration(*with))
    }

    fn by_contract(&self, at: usize) -> Option<Edge> {
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
        });
        Some(Edge {
            with,
            method: Method::Contract,
            confidence: if agrees { 0.999 } else { 0.995 },
            evidence,
        })
    }

    /// Coins with one of our addresses, a group each. A token that stands for another coin is not that coin.
    fn contract_hits(&self, at: usize) -> Places {
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
    fn by_id_of_file(&self, at: usize) -> Option<Edge> {
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
        let evidence = json!({ "with": self.evidence.shown(with), "rule": "same_id" });
        Some(Edge { with, method: Method::Id, confidence: 0.999, evidence })
    }

    fn by_name(&self, at: usize) -> Option<Edge> {
        self.by_unique_name(at).or_else(|| self.by_name_in_id(at)).or_else(|| self.by_name_and_price(at))
    }

    /// Symbol and name, unique on both sides.
    fn by_unique_name(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        let folded = &coin.folded;
        if folded.symbol.is_empty() || folded.core.is_empty() {
            return None;
        }
        let key = (folded.symbol.as_str(), folded.core.as_str());
        let [with] = self.distinct(self.by_core.get(&key)?)[..] else { return None };
        let theirs = &self.evidence.coins[with];
        let prices = self.evidence.prices(at, with);
        // A numbered id tells of a coin of the same name before: then the price has to agree.
        let is_sure = !is_numbered(&theirs.crypto_id, &theirs.folded.name) || prices == Prices::Agree;
        let fits = self.own_core.get(&key) == Some(&1) && folded.agrees(&theirs.folded) && is_sure;
        self.named(at, with, "symbol_and_name", if prices == Prices::Agree { 0.999 } else { 0.997 })
            .filter(|_| fits)
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
        let same_kind = theirs.versions == folded.versions && theirs.is_wrapper == folded.is_wrapper;
        if theirs.symbol != folded.symbol || !same_kind {
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
            "prices_agree": self.evidence.prices(at, with) == Prices::Agree,
        });
        Some(Edge { with, method: Method::Name, confidence, evidence })
    }

    /// A link that was right stays when a name or a listing changes, until something speaks against it. What was
    /// declared holds as long as the declaration.
    fn as_before(&self, at: usize) -> Option<Edge> {
        let coin = &self.evidence.coins[at];
        let mine = coin.link?;
        let others = self.by_asset.get(&mine.asset_id)?;
        let with = *others.iter().find(|other| !self.is_taken(self.group[**other], coin.source))?;
        let theirs = self.evidence.coins[with].link?;
        let method = mine.method.max(theirs.method);
        if method == Method::Declared || self.objection(at, with).is_some() {
            return None;
        }
        let evidence = json!({ "with": self.evidence.shown(with), "rule": "as_before" });
        Some(Edge { with, method, confidence: 0.99, evidence })
    }

    fn review(&self, at: usize) -> Option<Review> {
        let folded = &self.evidence.coins[at].folded;
        let source = self.evidence.coins[at].source;
        let free = |places: Option<&Places>| -> Places {
            let free = places.into_iter().flatten().copied();
            let free: Places = free.filter(|other| !self.is_taken(self.group[*other], source)).collect();
            self.distinct(&free)
        };
        let contracts = self.contract_hits(at);
        let named = free(self.by_core.get(&(folded.symbol.as_str(), folded.core.as_str())));
        let (mut reason, mut candidates) = match () {
            () if contracts.len() > 1 => (Reason::AmbiguousContract, contracts),
            () if !contracts.is_empty() => (Reason::ContractDisagrees, contracts),
            () if !named.is_empty() => (Reason::AmbiguousName, named),
            () => {
                let symbols = free(self.by_symbol.get(folded.symbol.as_str()));
                if symbols.is_empty() {
                    (Reason::NameOnly, free(self.by_name.get(folded.core.as_str())))
                } else {
                    (Reason::SymbolOnly, symbols)
                }
            }
        };
        if let [only] = candidates[..]
            && let Some(objection) = self.objection(at, only)
        {
            reason = objection;
        }
        candidates.sort_by_key(|other| {
            let coin = &self.evidence.coins[*other];
            (coin.folded.name != folded.name, coin.rank.unwrap_or(i32::MAX), *other)
        });
        (!candidates.is_empty()).then_some(Review { coin: at, reason, candidates })
    }
}
