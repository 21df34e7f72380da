//! Reads the evidence.

use std::collections::HashMap;

use diesel::{PgConnection, QueryResult};
use kasparro_core::store::{contract, identity};

use super::chain::{self, Listed};
use super::evidence::{Coin, Evidence, Link, Method, trust};
use super::fold::Folded;

/// Everything that is known, without declarations: coins by source (the most trusted first) and id, so that the outcome
/// does not depend on the order in which they came.
pub(crate) fn evidence(connection: &mut PgConnection) -> QueryResult<Evidence> {
    let mut sources = identity::sources(connection)?;
    sources.sort_by_key(|(source_id, name)| (trust(name), *source_id));
    let places: HashMap<i16, usize> = sources.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
    let (mut present, mut past) = addresses(connection, &places)?;
    let mut coins = Vec::new();
    for row in identity::coins(connection)? {
        let Some(source) = places.get(&row.source_id).copied() else { continue };
        let link = row.link_id.zip(row.asset_id).zip(row.method.as_deref());
        let key = (source, row.crypto_id);
        coins.push(Coin {
            coin_id: row.coin_id,
            source,
            folded: Folded::new(row.symbol.as_deref(), row.crypto_name.as_deref()),
            addresses: present.remove(&key).unwrap_or_default(),
            past_addresses: past.remove(&key).unwrap_or_default(),
            crypto_id: key.1,
            name: row.crypto_name,
            symbol: row.symbol,
            rank: row.rank,
            price: row.price_usd.and_then(|price| price.as_str().parse().ok()),
            observed_at: row.observed_at,
            first_observed_at: row.first_observed_at,
            is_gone: row.is_gone,
            migrated_to: row.migrated_to,
            link: link.map(|((link_id, asset_id), method)| Link {
                link_id,
                asset_id,
                method: Method::of(method),
            }),
        });
    }
    coins.sort_by(|a, b| (a.source, &a.crypto_id).cmp(&(b.source, &b.crypto_id)));
    let sources = sources.into_iter().map(|(_, name)| name).collect();
    let mut evidence = Evidence { sources, coins, ..Evidence::default() };
    let known = (0..evidence.coins.len()).filter_map(|at| Some((at, evidence.successor_by_id(at)?)));
    evidence.successors = known.collect();
    Ok(evidence)
}

/// Addresses by the place of the source and the id of the coin, as `chain address` under one name for each chain.
type Addresses = HashMap<(usize, String), Vec<String>>;

/// The present addresses, and those of the ids that have none any more.
fn addresses(
    connection: &mut PgConnection,
    places: &HashMap<i16, usize>,
) -> QueryResult<(Addresses, Addresses)> {
    let listed = contract::all(connection)?.into_iter().filter_map(|one| {
        let source = *places.get(&one.source_id)?;
        let contract::Address { crypto_id, chain, address, is_present, .. } = one;
        Some(Listed { source, crypto_id, chain, address, is_present })
    });
    let listed: Vec<Listed> = listed.collect();
    let learned = chain::learned(&listed);
    let (mut present, mut past) = (Addresses::new(), Addresses::new());
    for one in listed {
        let key = (one.source, one.chain);
        let chain = learned.get(&key).unwrap_or(&key.1);
        let address = format!("{chain} {}", one.address);
        let group = if one.is_present { &mut present } else { &mut past };
        group.entry((one.source, one.crypto_id)).or_default().push(address);
    }
    Ok((present, past))
}
