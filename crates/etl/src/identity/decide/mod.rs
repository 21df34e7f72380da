//! Which coins are one asset: a pure function of [`Evidence`].
//!
//! The coins of the most trusted source begin a group each; those of every further source join a group or begin their
//! own. A step takes what the steps before it left: declared, contract, id, name, and at last what was linked before and
//! is not contradicted (a renamed coin stays where it was). A group takes at most one coin of each source, unless a
//! person says otherwise.

mod claims;
mod review;

use std::collections::HashMap;

use serde_json::json;

use super::evidence::{Evidence, Method, Prices};

/// Why a coin is in the group of another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edge {
    /// Place of the coin that it was compared with.
    pub(crate) with: usize,
    pub(crate) method: Method,
    pub(crate) confidence: f64,
    /// What it rests on, as the text of a JSON object.
    pub(crate) evidence: String,
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
    by_full: HashMap<(&'e str, &'e str), Places>,
    by_symbol: HashMap<&'e str, Places>,
    by_name: HashMap<&'e str, Places>,
    by_id: HashMap<&'e str, Places>,
    by_asset: HashMap<i32, Places>,
    declared: HashMap<usize, Places>,
    /// How many coins of this source have the same symbol and core of the name, the same symbol and full name, and so on.
    own_core: HashMap<(&'e str, &'e str), usize>,
    own_name: HashMap<(&'e str, &'e str), usize>,
    own_spelling: HashMap<(&'e str, &'e str), usize>,
    own_symbol: HashMap<&'e str, usize>,
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
            by_full: HashMap::new(),
            by_symbol: HashMap::new(),
            by_name: HashMap::new(),
            by_id: HashMap::new(),
            by_asset: HashMap::new(),
            declared,
            own_core: HashMap::new(),
            own_name: HashMap::new(),
            own_spelling: HashMap::new(),
            own_symbol: HashMap::new(),
            own_bare_name: HashMap::new(),
        }
    }

    fn take_source(&mut self, source: usize) {
        let evidence = self.evidence;
        let of_source = (0..evidence.coins.len()).filter(|at| evidence.coins[*at].source == source);
        // An id that went follows the one that took its place.
        let (gone, coins): (Places, Places) = of_source.partition(|at| evidence.heir(*at).is_some());
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
        self.join_successors(&gone);
    }

    fn count_own(&mut self, coins: &[usize]) {
        self.own_core.clear();
        self.own_name.clear();
        self.own_spelling.clear();
        self.own_symbol.clear();
        self.own_bare_name.clear();
        for &at in coins {
            let folded = &self.evidence.coins[at].folded;
            *self.own_core.entry((&folded.symbol, &folded.core)).or_default() += 1;
            *self.own_name.entry((&folded.symbol, &folded.name)).or_default() += 1;
            *self.own_spelling.entry((&folded.symbol, &folded.spelt)).or_default() += 1;
            *self.own_symbol.entry(&folded.symbol).or_default() += 1;
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
                self.by_full.entry((&folded.symbol, &folded.name)).or_default().push(at);
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

    /// Ids that went, to the groups of those that took their places. What knows them by their id or asset finds them there.
    fn join_successors(&mut self, gone: &[usize]) {
        let evidence = self.evidence;
        for &at in gone {
            let Some(heir) = evidence.heir(at) else { continue };
            let detail = json!({ "with": evidence.shown(heir), "rule": "migrated" }).to_string();
            let edge = Edge { with: heir, method: Method::Id, confidence: 0.99, evidence: detail };
            self.join(at, self.group[heir], edge);
            let coin = &evidence.coins[at];
            self.by_id.entry(&coin.crypto_id).or_default().push(at);
            if let Some(link) = coin.link {
                self.by_asset.entry(link.asset_id).or_default().push(at);
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
}
