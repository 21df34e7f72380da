//! CoinGecko: `GET /coins/markets`, all pages.
//!
//! Format: the vendor's OpenAPI and recorded pages. Variables: `COINGECKO_BASE_URL`, `COINGECKO_API_KEY`
//! (sent as `x-cg-pro-api-key` to the pro host, as `x-cg-demo-api-key` to every other: the key does not tell),
//! `COINGECKO_MAX_PAGES`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use kasparro_core::store::layout::Layout;
use kasparro_core::{MarketRecord, Values};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::contract::{Contract, Type, optional, required, usual};
use super::endpoint::Endpoint;
use super::fields::{self, Field, Refusal, Taken, Zero};
use super::{items, json};
use crate::failure::SourceError;
use crate::http::{Answer, Request};
use crate::source::{Extract, Extracted, Extraction, Normalised, RawBatch, Source};

/// Key of the source.
pub(crate) const NAME: &str = "coingecko";

/// Largest page that the vendor serves; more is silently cut to it (recorded).
const PER_PAGE: u64 = 250;

/// The source.
pub(crate) struct Coingecko {
    endpoint: Endpoint,
    /// Never more pages than this in one run.
    max_pages: u32,
    /// There were, or seemed to be, more pages than were read.
    cut_short: AtomicBool,
}

impl Coingecko {
    pub(crate) fn new(endpoint: Endpoint, max_pages: u32) -> Self {
        Self { endpoint, max_pages, cut_short: AtomicBool::new(false) }
    }
}

impl Source for Coingecko {
    fn extract<'s>(&'s self, context: &'s Extraction) -> Result<Extract<'s>, SourceError> {
        Ok(Box::new(Pages { source: self, context, next: Some(1), seen: HashSet::new() }))
    }

    fn was_cut_short(&self) -> bool {
        self.cut_short.load(Ordering::Relaxed)
    }

    fn normalise(&self, batch: &RawBatch) -> Result<Normalised, SourceError> {
        json::normalise(batch, |element, position| record(element, position, batch.fetched_at))
    }

    fn layout(&self) -> Option<Layout> {
        Some(fields::layout(TAKEN))
    }

    fn contract(&self) -> Option<&'static Contract> {
        Some(&CONTRACT)
    }
}

/// Where the fields come from; a test holds this and [`record`] together.
const TAKEN: &[Taken] = &[
    Taken("crypto_id", "id", Zero::IsZero),
    Taken("crypto_name", "name", Zero::IsZero),
    Taken("symbol", "symbol", Zero::IsZero),
    Taken("observed_at", "last_updated", Zero::IsZero),
    Taken("rank", "market_cap_rank", Zero::IsUnknown),
    Taken("price_usd", "current_price", Zero::IsZero),
    Taken("market_cap_usd", "market_cap", Zero::IsUnknown),
    Taken("volume_24h_usd", "total_volume", Zero::IsZero),
    Taken("change_24h_percent", "price_change_percentage_24h", Zero::IsZero),
    Taken("circulating_supply", "circulating_supply", Zero::IsUnknown),
    Taken("total_supply", "total_supply", Zero::IsZero),
    Taken("max_supply", "max_supply", Zero::IsZero),
];

/// An element of `/coins/markets`: the vendor's OpenAPI, and the keys of recorded pages of 2021 to 2025. Changes over
/// other spans come when they are asked for.
const CONTRACT: Contract = Contract(&[
    required("id", Type::Text),
    usual("symbol", Type::Text),
    usual("name", Type::Text),
    optional("image", Type::Text),
    required("current_price", Type::Number),
    usual("market_cap", Type::Number),
    usual("market_cap_rank", Type::Number),
    optional("market_cap_rank_with_rehypothecated", Type::Number),
    optional("fully_diluted_valuation", Type::Number),
    usual("total_volume", Type::Number),
    optional("high_24h", Type::Number),
    optional("low_24h", Type::Number),
    optional("price_change_24h", Type::Number),
    usual("price_change_percentage_24h", Type::Number),
    optional("market_cap_change_24h", Type::Number),
    optional("market_cap_change_percentage_24h", Type::Number),
    usual("circulating_supply", Type::Number),
    usual("total_supply", Type::Number),
    usual("max_supply", Type::Number),
    optional("ath", Type::Number),
    optional("ath_change_percentage", Type::Number),
    optional("ath_date", Type::Text),
    optional("atl", Type::Number),
    optional("atl_change_percentage", Type::Number),
    optional("atl_date", Type::Text),
    optional("roi", Type::Object),
    usual("last_updated", Type::Text),
    optional("price_change_percentage_1h_in_currency", Type::Number),
    optional("price_change_percentage_24h_in_currency", Type::Number),
    optional("price_change_percentage_7d_in_currency", Type::Number),
    optional("price_change_percentage_14d_in_currency", Type::Number),
    optional("price_change_percentage_30d_in_currency", Type::Number),
    optional("price_change_percentage_200d_in_currency", Type::Number),
    optional("price_change_percentage_1y_in_currency", Type::Number),
]);

/// How many calls a listing of so many coins takes: its pages, and the empty one behind them.
pub(crate) fn calls(coins: Option<u64>, max_pages: u32) -> u64 {
    let pages = coins.map_or(u64::MAX, |coins| coins.div_ceil(PER_PAGE) + 1);
    pages.min(max_pages.into())
}

/// The pages of one run. The listing is sorted by live market caps, so that an early end has the coins that
/// matter; a coin that moves between pages meanwhile comes twice (and is counted as a duplicate) or not at
/// all, and the next run has it.
struct Pages<'s> {
    source: &'s Coingecko,
    context: &'s Extraction,
    next: Option<u32>,
    /// Ids of the pages so far, and elements that have none: a page that holds nothing else is a loop.
    seen: HashSet<String>,
}

impl Iterator for Pages<'_> {
    type Item = Result<Extracted, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let page = self.next.take()?;
        match self.fetch(page) {
            Ok(None) => None,
            Ok(Some(answer)) => {
                self.next = self.following(page);
                let cursor = serde_json::json!({ "page": page });
                Some(Ok(Extracted::Batch(json::batch(answer, cursor))))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Pages<'_> {
    fn fetch(&mut self, page: u32) -> Result<Option<Answer>, SourceError> {
        let query = [
            ("vs_currency", "usd"),
            ("order", "market_cap_desc"),
            ("per_page", &PER_PAGE.to_string()),
            ("page", &page.to_string()),
        ];
        let endpoint = &self.source.endpoint;
        let request = Request { url: endpoint.url(&["coins", "markets"], &query), key: endpoint.header() };
        let answer = self.context.http.get_array(&request)?;
        let split = items::split(&answer.body);
        // Only an empty page is the end: a short one may be a server with smaller pages.
        if split.as_ref().is_ok_and(|elements| elements.is_empty()) {
            return if page == 1 { Err(json::suspicious_empty(&answer.url)) } else { Ok(None) };
        }
        // What is no list is refused, and its bytes are kept.
        let Ok(elements) = split else { return Ok(Some(answer)) };
        let known = self.seen.len();
        self.seen.extend(elements.iter().map(|element| id_of(element)));
        if self.seen.len() == known {
            log::warn!("{}: nothing but coins of earlier pages; no further page is read", answer.url);
            self.source.cut_short.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        Ok(Some(answer))
    }

    fn following(&self, page: u32) -> Option<u32> {
        if page < self.source.max_pages {
            return Some(page + 1);
        }
        log::warn!("{NAME}: stopped after {page} pages (COINGECKO_MAX_PAGES)");
        self.source.cut_short.store(true, Ordering::Relaxed);
        None
    }
}

/// The id of an element; all of its text where that cannot be told.
fn id_of(element: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let id = serde_json::from_slice::<Id>(element).map(|element| element.id);
    id.unwrap_or_else(|_| String::from_utf8_lossy(element).into_owned())
}

/// One element of `/coins/markets`. Every figure is nullable by specification; `last_updated` is null in
/// practice too, for coins without market data.
#[derive(Deserialize)]
struct Market<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    symbol: Option<&'a RawValue>,
    #[serde(borrow)]
    current_price: Option<&'a RawValue>,
    #[serde(borrow)]
    market_cap: Option<&'a RawValue>,
    #[serde(borrow)]
    market_cap_rank: Option<&'a RawValue>,
    #[serde(borrow)]
    total_volume: Option<&'a RawValue>,
    #[serde(borrow)]
    price_change_percentage_24h: Option<&'a RawValue>,
    #[serde(borrow)]
    circulating_supply: Option<&'a RawValue>,
    #[serde(borrow)]
    total_supply: Option<&'a RawValue>,
    #[serde(borrow)]
    max_supply: Option<&'a RawValue>,
    #[serde(borrow)]
    last_updated: Option<&'a RawValue>,
}

fn record(element: &[u8], position: u32, now: DateTime<Utc>) -> Result<MarketRecord, Refusal> {
    let market: Market<'_> = json::parse(element)?;
    let crypto_id = Field::new("id", market.id).id()?;
    // Zero is "unknown" for market cap and circulating supply (six of the top 250 had a supply of 0.0 beside a
    // market cap of hundreds of millions), and zero elsewhere.
    let values = Values {
        rank: Field::new("market_cap_rank", market.market_cap_rank).rank()?,
        price_usd: Field::new("current_price", market.current_price).amount(Zero::IsZero)?,
        market_cap_usd: Field::new("market_cap", market.market_cap).amount(Zero::IsUnknown)?,
        volume_24h_usd: Field::new("total_volume", market.total_volume).amount(Zero::IsZero)?,
        change_24h_percent: Field::new("price_change_percentage_24h", market.price_change_percentage_24h)
            .number()?,
        circulating_supply: Field::new("circulating_supply", market.circulating_supply)
            .amount(Zero::IsUnknown)?,
        total_supply: Field::new("total_supply", market.total_supply).amount(Zero::IsZero)?,
        max_supply: Field::new("max_supply", market.max_supply).amount(Zero::IsZero)?,
    };
    Ok(MarketRecord {
        crypto_id,
        crypto_name: Field::new("name", market.name).text()?,
        symbol: Field::new("symbol", market.symbol).text()?,
        observed_at: Field::new("last_updated", market.last_updated).time(now)?,
        position,
        values,
    })
}
