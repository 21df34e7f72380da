//! Why a coin is the asset that it is.

use std::collections::HashMap;
use std::path::Path;

use diesel::{PgConnection, QueryResult};
use kasparro_core::log_line::escaped;
use kasparro_core::store::asset_link::{self, PastLink};
use kasparro_core::store::{asset, asset_review, asset_ruling, coin_state};
use serde::Serialize;

use super::declared::Declared;
use super::evidence::{Evidence, Prices};
use super::gather;
use crate::database;
use crate::failure::{FailureKind, SourceError};

/// All that there is to say about one id.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    /// `source:id`.
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) crypto_id: String,
    name: Option<String>,
    symbol: Option<String>,
    state: Option<String>,
    /// The id under which the source goes on; null unless migrated.
    migrated_to: Option<String>,
    addresses: Vec<String>,
    /// Slug; null before it was resolved for the first time.
    asset: Option<String>,
    /// The other coins of the asset.
    pub(crate) together_with: Vec<String>,
    /// All links, oldest first.
    links: Vec<PastLink>,
    /// Why it is open; null when nothing looks like it.
    review: Option<String>,
    /// Coins of other sources with the same symbol, name or address, and what speaks for and against them.
    candidates: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    id: String,
    name: Option<String>,
    same_symbol: bool,
    names_agree: bool,
    shared_address: bool,
    addresses_contradict: bool,
    prices: &'static str,
    declared: Option<&'static str>,
}

/// Most candidates that are shown.
const MOST: usize = 25;

/// Explains the coins of an id, which may have its source in front (`coinpaprika:btc-bitcoin`), or be the slug of an asset.
///
/// # Errors
/// Usage when there is none.
pub(crate) fn explain(
    connection: &mut PgConnection,
    links_path: Option<&Path>,
    id: &str,
) -> Result<Vec<Explained>, SourceError> {
    let failed = |error| database::failure(&error);
    let mut declared = Declared::read(links_path)?;
    declared.add_rulings(asset_ruling::current(connection).map_err(failed)?);
    let mut evidence = gather::evidence(connection).map_err(failed)?;
    declared.describe(&mut evidence);
    let asset = asset::by_slug(connection, id).map_err(failed)?.map(|asset| asset.asset_id);
    let all = || (0..evidence.coins.len()).collect::<Vec<_>>();
    let is_meant = |at: &usize| evidence.coins[*at].crypto_id == id || evidence.shown(*at) == id;
    let mut found: Vec<usize> = all().into_iter().filter(is_meant).collect();
    if found.is_empty() {
        let is_member =
            |at: &usize| asset.is_some() && evidence.coins[*at].link.map(|link| link.asset_id) == asset;
        found = all().into_iter().filter(is_member).collect();
    }
    if found.is_empty() {
        let message = format!("{id}: no source has a coin of this id, and no asset is called so");
        return Err(SourceError::new(FailureKind::Usage, message));
    }
    found.into_iter().map(|at| one(connection, &evidence, at).map_err(failed)).collect()
}

fn one(connection: &mut PgConnection, evidence: &Evidence, at: usize) -> QueryResult<Explained> {
    let coin = &evidence.coins[at];
    let links = asset_link::history(connection, coin.coin_id)?;
    let asset_id = coin.link.map(|link| link.asset_id);
    let others = (0..evidence.coins.len()).filter(|other| {
        *other != at
            && asset_id.is_some()
            && evidence.coins[*other].link.map(|link| link.asset_id) == asset_id
    });
    let review = asset_review::all(connection)?.into_iter().find(|review| review.coin_id == coin.coin_id);
    let state = coin_state::present(connection, &[coin.coin_id])?.pop();
    Ok(Explained {
        id: evidence.shown(at),
        source: evidence.sources[coin.source].clone(),
        crypto_id: coin.crypto_id.clone(),
        name: coin.name.clone(),
        symbol: coin.symbol.clone(),
        migrated_to: state.as_ref().and_then(|state| state.migrated_to.clone()),
        state: state.map(|state| state.state),
        addresses: coin.addresses.clone(),
        asset: links.iter().find(|link| link.ended_at.is_none()).map(|link| link.asset.clone()),
        together_with: others.map(|other| evidence.shown(other)).collect(),
        links,
        review: review.map(|review| review.reason),
        candidates: candidates(evidence, at),
    })
}

fn candidates(evidence: &Evidence, at: usize) -> Vec<Candidate> {
    let coin = &evidence.coins[at];
    let look = |other: usize| {
        let theirs = &evidence.coins[other];
        let pair = Evidence::pair(at, other);
        let declared = match () {
            () if evidence.same.contains(&pair) => Some("same"),
            () if evidence.never.contains(&pair) => Some("never"),
            () => None,
        };
        let candidate = Candidate {
            id: evidence.shown(other),
            name: theirs.name.clone(),
            same_symbol: !coin.folded.symbol.is_empty() && coin.folded.symbol == theirs.folded.symbol,
            names_agree: !coin.folded.core.is_empty() && coin.folded.agrees(&theirs.folded),
            shared_address: coin.addresses.iter().any(|address| theirs.addresses.contains(address)),
            addresses_contradict: evidence.addresses_contradict(at, other),
            prices: match evidence.prices(at, other) {
                Prices::Agree => "agree",
                Prices::Disagree => "disagree",
                Prices::Silent => "say nothing",
            },
            declared,
        };
        let Candidate { same_symbol, names_agree, shared_address, .. } = candidate;
        (same_symbol || names_agree || shared_address || declared.is_some()).then_some(candidate)
    };
    let others = (0..evidence.coins.len()).filter(|other| evidence.coins[*other].source != coin.source);
    let mut found: Vec<Candidate> = others.filter_map(look).collect();
    found
        .sort_by_key(|one| (one.declared.is_none(), !one.shared_address, !one.names_agree, !one.same_symbol));
    found.truncate(MOST);
    found
}

/// For people.
pub(crate) fn text(explained: &[Explained]) -> String {
    explained.iter().map(Explained::text).collect()
}

impl Explained {
    fn text(&self) -> String {
        let head = format!(
            "{} ({}, {}) is {}",
            self.id,
            self.symbol.as_deref().unwrap_or("no symbol"),
            self.name.as_deref().unwrap_or("no name"),
            self.asset.as_deref().unwrap_or("not resolved yet")
        );
        let mut text = format!("{}\n", escaped(&head));
        let mut line = |label: &str, what: String| {
            if !what.is_empty() {
                text.push_str(&format!("  {label:14} {}\n", escaped(&what)));
            }
        };
        line("together with", self.together_with.join(", "));
        let migrated = self.migrated_to.as_ref().map(|to| format!(" (to {to})")).unwrap_or_default();
        line("state", format!("{}{migrated}", self.state.as_deref().unwrap_or_default()));
        line("addresses", self.addresses.join(", "));
        for link in &self.links {
            let end = match (&link.ended_at, &link.ended_reason) {
                (Some(time), Some(reason)) => format!(" until {}: {reason}", crate::status::shown(*time)),
                _ => String::new(),
            };
            let since = crate::status::shown(link.created_at);
            line(
                "link",
                format!(
                    "{} by {} ({}) since {since}{end} {}",
                    link.asset, link.method, link.confidence, link.evidence
                ),
            );
        }
        line("to review", self.review.clone().unwrap_or_default());
        for one in &self.candidates {
            line("looks like", one.text());
        }
        text
    }
}

impl Candidate {
    fn text(&self) -> String {
        let signs = [
            (self.declared == Some("same"), "declared the same"),
            (self.declared == Some("never"), "declared another"),
            (self.shared_address, "an address in common"),
            (self.addresses_contradict, "other addresses on the same chain"),
            (self.names_agree, "names agree"),
            (self.same_symbol, "same symbol"),
        ];
        let signs: Vec<&str> = signs.iter().filter(|(is_so, _)| *is_so).map(|(_, words)| *words).collect();
        format!(
            "{} ({}): {}, prices {}",
            self.id,
            self.name.as_deref().unwrap_or("no name"),
            signs.join(", "),
            self.prices
        )
    }
}

/// Ids and ranks of all coins, by key.
pub(crate) struct Directory(HashMap<i32, (String, i32)>);

impl Directory {
    pub(crate) fn read(connection: &mut PgConnection) -> QueryResult<Self> {
        let evidence = gather::evidence(connection)?;
        let entry = |at: usize| {
            let coin = &evidence.coins[at];
            (coin.coin_id, (evidence.shown(at), coin.rank.unwrap_or(i32::MAX)))
        };
        Ok(Self((0..evidence.coins.len()).map(entry).collect()))
    }

    pub(crate) fn shown(&self, coin_id: i32) -> String {
        self.0.get(&coin_id).map_or_else(|| coin_id.to_string(), |(shown, _)| shown.clone())
    }

    pub(crate) fn rank(&self, coin_id: i32) -> i32 {
        self.0.get(&coin_id).map_or(i32::MAX, |(_, rank)| *rank)
    }
}
