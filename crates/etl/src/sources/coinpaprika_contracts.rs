//! CoinPaprika's listing: `GET /coins`, `GET /contracts` and `GET /contracts/{platform}`, on the free plan.
//!
//! Format: the vendor's OpenAPI 1.7 and recorded bodies of 2021. A platform is called by the id of its native coin.

use serde::Deserialize;

use super::fields::is_storable;
use super::{coinpaprika, items, json};
use crate::failure::{FailureKind, SourceError};
use crate::http::{Answer, Client, Request};
use crate::identity::listing::{Heard, Listing};
use crate::identity::{chain_of_coinpaprika, normalised_address};
use crate::settings::Settings;

/// The listing.
pub(super) const LISTING: Listing = Listing { name: "coinpaprika_contracts", of: coinpaprika::NAME, read };

/// More platforms than any vendor lists: a body with more is not what it should be.
const MOST_PLATFORMS: usize = 500;

#[derive(Deserialize)]
struct Coin {
    id: String,
    is_active: bool,
}

#[derive(Deserialize)]
struct Contract {
    id: String,
    address: String,
}

fn read(settings: &Settings, client: &Client) -> Result<Heard, SourceError> {
    let mut heard = Heard::default();
    let ask = |path: &[&str]| -> Result<(Answer, usize), SourceError> {
        let url = settings.coinpaprika.url(path, &[]);
        let answer = client.get_array(&Request { url, key: settings.coinpaprika.header() })?;
        let count = split(&answer)?.len();
        Ok((answer, count))
    };
    let coins = ask(&["coins"])?;
    for coin in parsed::<Coin>(&coins.0)? {
        if !is_storable(&coin.id) {
            continue;
        }
        heard.listed.entry(coin.id).or_default().is_active = Some(coin.is_active);
    }
    if heard.listed.is_empty() {
        return Err(json::suspicious_empty(&coins.0.url));
    }
    let platforms = ask(&["contracts"])?;
    let names = split(&platforms.0)?.into_iter().filter_map(|element| serde_json::from_slice(element).ok());
    let names: Vec<String> = names.filter(|name: &String| is_storable(name)).collect();
    if names.len() > MOST_PLATFORMS {
        let message = format!("{}: {} platforms are more than there can be", platforms.0.url, names.len());
        return Err(SourceError::new(FailureKind::Refused, message));
    }
    heard.bodies.extend([coins, platforms]);
    for name in &names {
        let contracts = ask(&["contracts", name])?;
        let chain = chain_of_coinpaprika(name);
        for contract in parsed::<Contract>(&contracts.0)? {
            let is_usable = !contract.id.is_empty() && is_storable(&contract.id);
            if let Some(address) = normalised_address(&contract.address).filter(|_| is_usable) {
                heard.listed.entry(contract.id).or_default().contracts.insert((chain.to_owned(), address));
            }
        }
        heard.bodies.push(contracts);
    }
    Ok(heard)
}

/// The elements that are what they should be.
fn parsed<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<Vec<T>, SourceError> {
    Ok(split(answer)?.into_iter().filter_map(|element| json::parse(element).ok()).collect())
}

fn split(answer: &Answer) -> Result<Vec<&[u8]>, SourceError> {
    items::split(&answer.body)
        .map_err(|error| SourceError::new(FailureKind::Refused, format!("{}: {error}", answer.url)))
}
