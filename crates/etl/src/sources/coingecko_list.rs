//! CoinGecko's listing: `GET /coins/list?include_platform=true`, ids and contract addresses in one body.
//!
//! Format: the vendor's OpenAPI. A coin without contracts has `{}` or `{"": ""}`; the platform is CoinGecko's own id of
//! the chain.

use std::collections::HashMap;

use serde::Deserialize;

use super::fields::is_storable;
use super::{coingecko, items, json};
use crate::failure::{FailureKind, SourceError};
use crate::http::{Client, Request};
use crate::identity::listing::{Heard, Listing};
use crate::identity::normalised_address;
use crate::settings::Settings;

/// The listing.
pub(super) const LISTING: Listing = Listing { name: "coingecko_list", of: coingecko::NAME, read };

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    platforms: HashMap<String, Option<String>>,
}

fn read(settings: &Settings, client: &Client) -> Result<Heard, SourceError> {
    let endpoint = &settings.coingecko;
    let url = endpoint.url(&["coins", "list"], &[("include_platform", "true")]);
    let answer = client.get_array(&Request { url, key: endpoint.header() })?;
    let elements = items::split(&answer.body)
        .map_err(|error| SourceError::new(FailureKind::Refused, format!("{}: {error}", answer.url)))?;
    let mut heard = Heard::default();
    for element in &elements {
        let Ok(entry) = json::parse::<Entry>(element) else { continue };
        if entry.id.is_empty() || !is_storable(&entry.id) {
            continue;
        }
        let one = heard.listed.entry(entry.id).or_default();
        one.is_active = Some(true);
        for (platform, address) in entry.platforms {
            let is_usable = !platform.is_empty() && is_storable(&platform);
            if let Some(address) = address.as_deref().and_then(normalised_address).filter(|_| is_usable) {
                one.contracts.insert((platform, address));
            }
        }
    }
    if heard.listed.is_empty() {
        return Err(json::suspicious_empty(&answer.url));
    }
    let count = elements.len();
    heard.bodies.push((answer, count));
    Ok(heard)
}
