//! CoinPaprika: `GET /tickers`, the whole universe in one body.
//!
//! Format: the vendor's OpenAPI 1.7 and recorded bodies. Variables: `COINPAPRIKA_BASE_URL`,
//! `COINPAPRIKA_API_KEY` (paid plans, sent as `Authorization`).

use std::iter;

use chrono::{DateTime, Utc};
use kasparro_core::store::layout::Layout;
use kasparro_core::{MarketRecord, Values};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::contract::{Contract, Type, optional, required, usual};
use super::endpoint::Endpoint;
use super::fields::{self, Field, Refusal, Taken, Zero};
use super::json::Object;
use super::{items, json};
use crate::failure::SourceError;
use crate::http::Request;
use crate::source::{Extract, Extracted, Extraction, Normalised, RawBatch, Source};

/// Key of the source.
pub(crate) const NAME: &str = "coinpaprika";

/// The source.
pub(crate) struct Coinpaprika {
    pub(crate) endpoint: Endpoint,
}

impl Source for Coinpaprika {
    fn extract<'s>(&'s self, context: &'s Extraction) -> Result<Extract<'s>, SourceError> {
        let fetch = move || {
            let request = Request { url: self.endpoint.url(&["tickers"], &[]), key: self.endpoint.header() };
            let answer = context.http.get_array(&request)?;
            if items::split(&answer.body).is_ok_and(|elements| elements.is_empty()) {
                return Err(json::suspicious_empty(&answer.url));
            }
            Ok(Extracted::Batch(json::batch(answer, serde_json::json!({}))))
        };
        Ok(Box::new(iter::once_with(fetch)))
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
    Taken("rank", "rank", Zero::IsUnknown),
    Taken("price_usd", "quotes.USD.price", Zero::IsZero),
    Taken("market_cap_usd", "quotes.USD.market_cap", Zero::IsUnknown),
    Taken("volume_24h_usd", "quotes.USD.volume_24h", Zero::IsZero),
    Taken("change_24h_percent", "quotes.USD.percent_change_24h", Zero::IsZero),
    Taken("circulating_supply", "circulating_supply", Zero::IsUnknown),
    Taken("total_supply", "total_supply", Zero::IsUnknown),
    Taken("max_supply", "max_supply", Zero::IsUnknown),
];

/// An element of `/tickers`: the vendor's OpenAPI 1.7, and the keys of 3,795 recorded elements. The supply in circulation
/// is not in the free plan.
const CONTRACT: Contract = Contract(&[
    required("id", Type::Text),
    usual("name", Type::Text),
    usual("symbol", Type::Text),
    usual("rank", Type::Number),
    optional("circulating_supply", Type::Number),
    usual("total_supply", Type::Number),
    usual("max_supply", Type::Number),
    optional("beta_value", Type::Number),
    optional("first_data_at", Type::Text),
    usual("last_updated", Type::Text),
    usual("quotes", Type::Object),
    usual("quotes.USD", Type::Object),
    required("quotes.USD.price", Type::Number),
    usual("quotes.USD.volume_24h", Type::Number),
    optional("quotes.USD.volume_24h_change_24h", Type::Number),
    usual("quotes.USD.market_cap", Type::Number),
    optional("quotes.USD.market_cap_change_24h", Type::Number),
    optional("quotes.USD.percent_change_15m", Type::Number),
    optional("quotes.USD.percent_change_30m", Type::Number),
    optional("quotes.USD.percent_change_1h", Type::Number),
    optional("quotes.USD.percent_change_6h", Type::Number),
    optional("quotes.USD.percent_change_12h", Type::Number),
    usual("quotes.USD.percent_change_24h", Type::Number),
    optional("quotes.USD.percent_change_7d", Type::Number),
    optional("quotes.USD.percent_change_30d", Type::Number),
    optional("quotes.USD.percent_change_1y", Type::Number),
    optional("quotes.USD.ath_price", Type::Number),
    optional("quotes.USD.ath_date", Type::Text),
    optional("quotes.USD.percent_from_price_ath", Type::Number),
]);

/// One element of `/tickers`. The specification calls the fields non-null and says that missing values are
/// empty texts; recorded bodies have 0 for "unknown", and null.
#[derive(Deserialize)]
struct Ticker<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    symbol: Option<&'a RawValue>,
    #[serde(borrow)]
    rank: Option<&'a RawValue>,
    #[serde(borrow)]
    circulating_supply: Option<&'a RawValue>,
    #[serde(borrow)]
    total_supply: Option<&'a RawValue>,
    #[serde(borrow)]
    max_supply: Option<&'a RawValue>,
    #[serde(borrow)]
    last_updated: Option<&'a RawValue>,
    #[serde(borrow)]
    quotes: Option<Object<Quotes<'a>>>,
}

#[derive(Deserialize)]
struct Quotes<'a> {
    #[serde(borrow, rename = "USD")]
    usd: Option<Object<Quote<'a>>>,
}

#[derive(Deserialize, Default)]
struct Quote<'a> {
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    volume_24h: Option<&'a RawValue>,
    #[serde(borrow)]
    market_cap: Option<&'a RawValue>,
    #[serde(borrow)]
    percent_change_24h: Option<&'a RawValue>,
}

fn record(element: &[u8], position: u32, now: DateTime<Utc>) -> Result<MarketRecord, Refusal> {
    let ticker: Ticker<'_> = json::parse(element)?;
    let crypto_id = Field::new("id", ticker.id).id()?;
    let Object(quote) = ticker.quotes.and_then(|Object(quotes)| quotes.usd).unwrap_or_default();
    // Zero is "unknown" for supplies, market cap and rank (54 to 73 % of the supplies of a recorded body), and
    // zero for price, volume and change.
    let values = Values {
        rank: Field::new("rank", ticker.rank).rank()?,
        price_usd: Field::new("quotes.USD.price", quote.price).amount(Zero::IsZero)?,
        market_cap_usd: Field::new("quotes.USD.market_cap", quote.market_cap).amount(Zero::IsUnknown)?,
        volume_24h_usd: Field::new("quotes.USD.volume_24h", quote.volume_24h).amount(Zero::IsZero)?,
        change_24h_percent: Field::new("quotes.USD.percent_change_24h", quote.percent_change_24h).number()?,
        circulating_supply: Field::new("circulating_supply", ticker.circulating_supply)
            .amount(Zero::IsUnknown)?,
        total_supply: Field::new("total_supply", ticker.total_supply).amount(Zero::IsUnknown)?,
        max_supply: Field::new("max_supply", ticker.max_supply).amount(Zero::IsUnknown)?,
    };
    Ok(MarketRecord {
        crypto_id,
        crypto_name: Field::new("name", ticker.name).text()?,
        symbol: Field::new("symbol", ticker.symbol).text()?,
        observed_at: Field::new("last_updated", ticker.last_updated).time(now)?,
        position,
        values,
    })
}
