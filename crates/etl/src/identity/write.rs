//! Brings the tables to what was decided; writes only what differs.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{PgConnection, QueryResult};
use kasparro_core::store::asset::{self, Asset, Called};
use kasparro_core::store::asset_link::{self, NewLink};
use kasparro_core::store::asset_review::{self, MOST_CANDIDATES, NewReview};

use super::Resolved;
use super::decide::{Decision, Edge};
use super::evidence::{Evidence, Method};
use super::fold::slug;

/// A group of coins, which is an asset.
struct Group {
    /// The coin that the asset is called after.
    first: usize,
    /// It included.
    members: Vec<usize>,
    /// `None` until the asset is made.
    asset: Option<i32>,
}

/// Writes it all.
pub(crate) fn write(
    connection: &mut PgConnection,
    evidence: &Evidence,
    decision: &Decision,
) -> QueryResult<Resolved> {
    let known = asset::all(connection)?;
    let founders = asset_link::founders(connection)?;
    let mut groups = groups(evidence, decision);
    claim(evidence, &mut groups, &founders);
    make_missing(connection, evidence, &mut groups, &known)?;
    let founders: HashMap<i32, i32> = founders.into_iter().collect();
    let (new_links, ended_links) = relink(connection, evidence, decision, &groups, &founders)?;
    rename_and_merge(connection, evidence, &groups, &known, &founders)?;
    let reviews = review(connection, evidence, decision)?;
    Ok(Resolved {
        coins: evidence.coins.len(),
        assets: groups.len(),
        linked: groups.iter().filter(|group| group.members.len() > 1).count(),
        new_links,
        ended_links,
        reviews,
        unchanged: false,
    })
}

/// The groups, the best-known coins first: of several that would be called the same they get the plain slug.
fn groups(evidence: &Evidence, decision: &Decision) -> Vec<Group> {
    let mut by_first: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, first) in decision.group.iter().enumerate() {
        by_first.entry(*first).or_default().push(at);
    }
    let mut groups: Vec<Group> =
        by_first.into_iter().map(|(first, members)| Group { first, members, asset: None }).collect();
    let best_rank = |group: &Group| {
        group.members.iter().filter_map(|member| evidence.coins[*member].rank).min().unwrap_or(i32::MAX)
    };
    groups.sort_by_cached_key(|group| (evidence.coins[group.first].source, best_rank(group), group.first));
    groups
}

/// Gives each group the oldest asset that one of its coins founded, else the oldest that its coins belong to and whose
/// founder is not in another group. So a merge keeps the older asset, and a coin that is taken out of one goes back to
/// where it came from.
fn claim(evidence: &Evidence, groups: &mut [Group], founders: &[(i32, i32)]) {
    let mut founded: HashMap<i32, Vec<i32>> = HashMap::new();
    for (asset_id, coin_id) in founders {
        founded.entry(*coin_id).or_default().push(*asset_id);
    }
    for group in groups.iter_mut() {
        let own =
            group.members.iter().filter_map(|member| founded.get(&evidence.coins[*member].coin_id)).flatten();
        group.asset = own.min().copied();
    }
}

/// Makes assets for the groups that have none.
fn make_missing(
    connection: &mut PgConnection,
    evidence: &Evidence,
    groups: &mut [Group],
    known: &[Asset],
) -> QueryResult<()> {
    let mut given: HashSet<String> = known.iter().map(|asset| asset.slug.clone()).collect();
    let ids = Ids::of(evidence, groups);
    let mut missing: Vec<&mut Group> = groups.iter_mut().filter(|group| group.asset.is_none()).collect();
    let mut new = Vec::with_capacity(missing.len());
    for group in &missing {
        let (name, symbol) = called(evidence, group);
        let is_free = |wish: &str| !given.contains(wish) && !ids.is_of_others(wish, group.first);
        let slug = free_slug(evidence, group.first, is_free);
        given.insert(slug.clone());
        new.push(Called { slug, name, symbol });
    }
    for (group, asset_id) in missing.iter_mut().zip(asset::insert(connection, &new)?) {
        group.asset = Some(asset_id);
    }
    Ok(())
}

/// The ids of the coins, by which assets can be asked for as well as by their slugs.
struct Ids<'e> {
    all: HashSet<&'e str>,
    /// With the first coin of the group.
    of_groups: HashSet<(&'e str, usize)>,
}

impl<'e> Ids<'e> {
    fn of(evidence: &'e Evidence, groups: &[Group]) -> Self {
        let id = |at: &usize| evidence.coins[*at].crypto_id.as_str();
        let members = || groups.iter().flat_map(|group| group.members.iter().map(|at| (id(at), group.first)));
        Self { all: members().map(|(id, _)| id).collect(), of_groups: members().collect() }
    }

    /// Whether it is the id of a coin, and of none of the group: an asset of that name would be taken for that coin's.
    fn is_of_others(&self, id: &str, first: usize) -> bool {
        self.all.contains(id) && !self.of_groups.contains(&(id, first))
    }
}

/// CoinGecko's ids are such already; elsewhere the name, then with the symbol, then the source's id, then a number.
fn free_slug(evidence: &Evidence, at: usize, is_free: impl Fn(&str) -> bool) -> String {
    let coin = &evidence.coins[at];
    let name = coin.name.as_deref().unwrap_or_default();
    let symbol = coin.symbol.as_deref().unwrap_or_default();
    let by_name = [slug(name), slug(&format!("{name} {symbol}")), slug(&coin.crypto_id)];
    let by_id = [slug(&coin.crypto_id), slug(&format!("{} {symbol}", coin.crypto_id)), slug(name)];
    let is_readable = evidence.sources[coin.source] == crate::sources::coingecko::NAME;
    let wishes = if is_readable { by_id } else { by_name };
    if let Some(wish) = wishes.iter().find(|wish| !wish.is_empty() && is_free(wish)) {
        return wish.clone();
    }
    let stem = wishes.iter().find(|wish| !wish.is_empty()).map_or("asset", String::as_str);
    let numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
    numbered.into_iter().find(|wish| is_free(wish)).unwrap_or_default()
}

/// Name and symbol to show.
fn called(evidence: &Evidence, group: &Group) -> (String, Option<String>) {
    let members =
        || std::iter::once(group.first).chain(group.members.iter().copied()).map(|at| &evidence.coins[at]);
    let present = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let name = members().find_map(|coin| present(&coin.name));
    let symbol = members().find_map(|coin| present(&coin.symbol)).map(|symbol| symbol.to_uppercase());
    (name.unwrap_or_else(|| evidence.coins[group.first].crypto_id.clone()), symbol)
}

/// Ends the links that do not hold any more and makes those that do.
fn relink(
    connection: &mut PgConnection,
    evidence: &Evidence,
    decision: &Decision,
    groups: &[Group],
    founders: &HashMap<i32, i32>,
) -> QueryResult<(usize, usize)> {
    let (mut new, mut ended, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        let Some(asset_id) = group.asset else { continue };
        let founder = founder(evidence, group, founders.get(&asset_id).copied());
        for &member in &group.members {
            let coin = &evidence.coins[member];
            let edge = edge_of(decision, group.first, founder, member);
            let (method, confidence, detail) = match edge {
                Some(edge) => (edge.method, edge.confidence, edge.evidence.as_str()),
                None => (Method::Own, 1.0, "{}"),
            };
            let stands = coin.link.is_some_and(|link| link.asset_id == asset_id && link.method == method);
            if stands {
                continue;
            }
            if let Some(link) = coin.link {
                ended.push(link.link_id);
                reasons.push(if link.asset_id == asset_id {
                    "other evidence"
                } else {
                    "belongs to another asset"
                });
            }
            new.push(NewLink {
                asset_id,
                coin_id: coin.coin_id,
                method: method.as_str(),
                confidence,
                evidence: detail,
            });
        }
    }
    if !ended.is_empty() {
        asset_link::end(connection, &ended, &reasons)?;
    }
    if !new.is_empty() {
        asset_link::insert(connection, &new)?;
    }
    Ok((new.len(), ended.len()))
}

/// The coin that the asset was made for, if it is still here.
fn founder(evidence: &Evidence, group: &Group, coin_id: Option<i32>) -> usize {
    let is_founder = |member: &&usize| Some(evidence.coins[**member].coin_id) == coin_id;
    group.members.iter().find(is_founder).copied().unwrap_or(group.first)
}

/// Why a member is there. The founder needs no reason; the coin that the group is called after is there for the reason
/// for which the founder joined it.
fn edge_of(decision: &Decision, first: usize, founder: usize, member: usize) -> Option<&Edge> {
    match () {
        () if member == founder => None,
        () if member == first => decision.edges[founder].as_ref(),
        () => decision.edges[member].as_ref(),
    }
}

/// Names of assets, and what became of those whose coins went elsewhere.
fn rename_and_merge(
    connection: &mut PgConnection,
    evidence: &Evidence,
    groups: &[Group],
    known: &[Asset],
    founders: &HashMap<i32, i32>,
) -> QueryResult<()> {
    let mut group_of_coin: HashMap<i32, usize> = HashMap::with_capacity(evidence.coins.len());
    let mut group_of_asset: HashMap<i32, usize> = HashMap::with_capacity(groups.len());
    for (at, group) in groups.iter().enumerate() {
        group.asset.map(|asset_id| group_of_asset.insert(asset_id, at));
        group_of_coin.extend(group.members.iter().map(|member| (evidence.coins[*member].coin_id, at)));
    }
    let mut changed = Vec::new();
    for asset in known {
        let mut now = asset.clone();
        if let Some(at) = group_of_asset.get(&asset.asset_id) {
            (now.name, now.symbol) = called(evidence, &groups[*at]);
            now.merged_into = None;
        } else {
            let heir = founders.get(&asset.asset_id).and_then(|coin_id| group_of_coin.get(coin_id));
            now.merged_into = heir.and_then(|at| groups[*at].asset);
        }
        if now != *asset {
            changed.push(now);
        }
    }
    asset::update(connection, &changed)
}

/// The list for people.
fn review(connection: &mut PgConnection, evidence: &Evidence, decision: &Decision) -> QueryResult<usize> {
    let listed = asset_review::all(connection)?;
    let mut before: HashMap<i32, NewReview> = HashMap::with_capacity(listed.len());
    let reasons: HashMap<&str, &'static str> =
        decision.reviews.iter().map(|review| (review.reason.as_str(), review.reason.as_str())).collect();
    for one in &listed {
        let reason = reasons.get(one.reason.as_str()).copied().unwrap_or_default();
        let candidates = one.candidates.clone();
        let known =
            NewReview { coin_id: one.coin_id, reason, candidates, candidate_count: one.candidate_count };
        before.insert(one.coin_id, known);
    }
    let mut changed = Vec::new();
    for review in &decision.reviews {
        let keys = review.candidates.iter().take(MOST_CANDIDATES).map(|at| evidence.coins[*at].coin_id);
        let now = NewReview {
            coin_id: evidence.coins[review.coin].coin_id,
            reason: review.reason.as_str(),
            candidates: keys.collect(),
            candidate_count: i32::try_from(review.candidates.len()).unwrap_or(i32::MAX),
        };
        if before.remove(&now.coin_id).as_ref() != Some(&now) {
            changed.push(now);
        }
    }
    if !changed.is_empty() {
        asset_review::save(connection, &changed)?;
    }
    let gone: Vec<i32> = before.into_keys().collect();
    if !gone.is_empty() {
        asset_review::remove(connection, &gone)?;
    }
    Ok(decision.reviews.len())
}
