//! CoinPaprika's bodies: `/tickers`, `/tickers/{id}`, `/coins`, `/coins/{id}`, `/contracts`, `/contracts/{platform}`.
//!
//! Shapes as recorded from the real API on 2021-08-12 and 2022-01-30, without the field today's free plan lacks.

use chrono::{DateTime, SecondsFormat, Utc};

use super::coin::{Coin, Vendor};
use super::decimal::Decimal;
use super::json::{Json, Object, array};
use super::market::Market;
use super::random::hash;
use super::universe::World;

const VENDOR: Vendor = Vendor::Coinpaprika;

/// Windows of the percentages, in seconds.
const WINDOWS: [(&str, u64); 9] = [
    ("percent_change_15m", 900),
    ("percent_change_30m", 1_800),
    ("percent_change_1h", 3_600),
    ("percent_change_6h", 21_600),
    ("percent_change_12h", 43_200),
    ("percent_change_24h", 86_400),
    ("percent_change_7d", 604_800),
    ("percent_change_30d", 2_592_000),
    ("percent_change_1y", 31_536_000),
];

/// The whole array of `/tickers`, Bitcoin first and the rest in no order, as recorded.
pub(crate) fn tickers(world: &World, tick: i64) -> String {
    let ranks = ranks(world, tick);
    let mut slots: Vec<usize> = (0..world.coins().len()).collect();
    slots.sort_by_key(|slot| if *slot == 0 { 0 } else { hash(world.seed(), &[0x6f72_6465, key(*slot)]) | 1 });
    array(slots.into_iter().filter_map(|slot| ticker(world, slot, &ranks, tick))) + "\n"
}

/// `/tickers/{id}` and the time for its `Last-Modified`; None when there is no such coin.
pub(crate) fn single_ticker(world: &World, id: &str, tick: i64) -> Option<(String, DateTime<Utc>)> {
    let slot = world.find(VENDOR, id)?;
    let updated = world.market(world.coins().get(slot)?, VENDOR, tick).last_updated;
    Some((ticker(world, slot, &ranks(world, tick), tick)? + "\n", updated))
}

/// `/coins`: all that are priced, in order of rank.
pub(crate) fn coins(world: &World, tick: i64) -> String {
    let order = world.by_market_cap(VENDOR, tick);
    array(order.into_iter().enumerate().filter_map(|(position, slot)| coin(world, slot, position + 1))) + "\n"
}

/// `/coins/{id}`; None when there is no such coin.
pub(crate) fn single_coin(world: &World, id: &str, tick: i64) -> Option<String> {
    let slot = world.find(VENDOR, id)?;
    let rank = ranks(world, tick).get(slot).copied().unwrap_or_default();
    coin(world, slot, rank).map(|body| body + "\n")
}

/// `/contracts`: the ids of the platforms.
pub(crate) fn platforms() -> String {
    array(["btc-bitcoin", "eth-ethereum", "bnb-binance-coin", "sol-solana"].map(|id| format!("\"{id}\"")))
        + "\n"
}

/// `/contracts/{platform}`; None when there is no such platform.
pub(crate) fn contracts(world: &World, platform: &str) -> Option<String> {
    let kind = match platform {
        "eth-ethereum" => "ERC20",
        "btc-bitcoin" | "bnb-binance-coin" | "sol-solana" => return Some("[]\n".to_owned()),
        _ => return None,
    };
    let items = world.coins().iter().filter_map(|coin| {
        let address = contract_address(world, coin, VENDOR)?;
        let object = Object::default()
            .field("address", Json::text(address))
            .field("type", Json::text(kind))
            .field("id", Json::text(&coin.listing(VENDOR).identity.id))
            .field("active", Json::literal("true"));
        Some(object.finish())
    });
    Some(array(items) + "\n")
}

/// The Ethereum contract of a coin, the same at both vendors when both speak of the same coin.
pub(crate) fn contract_address(world: &World, coin: &Coin, vendor: Vendor) -> Option<String> {
    let names = [Vendor::Coinpaprika, Vendor::Coingecko].map(|vendor| &coin.listing(vendor).identity.name);
    let salt = if names[0] == names[1] { 0 } else { vendor.salt() };
    let has_one = coin.index >= 12 && world.trait_of(coin, 0x6572_6332 ^ salt, 3) > 0;
    let word = |part: u64| hash(world.seed(), &[coin.index, 0x6164_6472 ^ salt, part]);
    has_one.then(|| format!("0x{:016x}{:016x}{:08x}", word(0), word(1), word(2) >> 32))
}

fn ranks(world: &World, tick: i64) -> Vec<usize> {
    let mut ranks = vec![0; world.coins().len()];
    for (position, slot) in world.by_market_cap(VENDOR, tick).into_iter().enumerate() {
        if let Some(rank) = ranks.get_mut(slot) {
            *rank = position + 1;
        }
    }
    ranks
}

fn ticker(world: &World, slot: usize, ranks: &[usize], tick: i64) -> Option<String> {
    let coin = world.coins().get(slot)?;
    let (identity, market) = (&coin.listing(VENDOR).identity, world.market(coin, VENDOR, tick));
    let unknown_total = world.trait_of(coin, 0x746f_7461, 100) < 30 && coin.index >= 60;
    let number =
        |name: &str, value: u128| fixed(coin, name).unwrap_or_else(|| Json::literal(value.to_string()));
    let mut object = Object::default()
        .field("id", Json::text(&identity.id))
        .field("name", Json::text(&identity.name))
        .field("symbol", Json::text(&identity.symbol))
        .field("rank", Json::literal(ranks.get(slot).copied().unwrap_or_default().to_string()));
    if world.has_circulating_supply() {
        object =
            object.field("circulating_supply", number("circulating_supply", coin.listing(VENDOR).supply));
    }
    let usd = usd(world, coin, &market);
    let object = object
        .field(
            "total_supply",
            number("total_supply", if unknown_total { 0 } else { coin.listing(VENDOR).supply }),
        )
        .field("max_supply", number("max_supply", coin.max_supply))
        .field("beta_value", fixed(coin, "beta_value").unwrap_or_else(|| beta(world, coin)))
        .field("first_data_at", Json::text(day_of(world, coin).format("%Y-%m-%dT00:00:00Z").to_string()))
        .field("last_updated", Json::text(seconds_text(market.last_updated)))
        .field("quotes", Object::default().field("USD", usd).into_json());
    Some(object.finish())
}

fn usd(world: &World, coin: &Coin, market: &Market) -> Json {
    let value =
        |name: &str, number: Decimal| fixed(coin, name).unwrap_or_else(|| Json::literal(number.as_go()));
    let percent = |name: &str, ppm: i128| value(name, Decimal::signed(ppm / 100, 2));
    let day = world.change_ppm(coin, VENDOR, market, 86_400);
    let volume_change = i128::from(world.trait_of(coin, 0x7663_6867, 900_000)) - 450_000;
    let object = Object::default()
        .field("price", value("price", market.price))
        .field("volume_24h", value("volume_24h", market.volume))
        .field("volume_24h_change_24h", percent("volume_24h_change_24h", volume_change))
        .field("market_cap", value("market_cap", Decimal::whole(market.market_cap)))
        .field("market_cap_change_24h", percent("market_cap_change_24h", day));
    let object = WINDOWS.iter().fold(object, |object, (name, seconds)| {
        object.field(name, percent(name, world.change_ppm(coin, VENDOR, market, *seconds)))
    });
    let high = coin.listing(VENDOR).base_price.shifted_by_ppm(600_000).significant(12);
    let ath_date = all_time_high(world, coin);
    object
        .field("ath_price", value("ath_price", high))
        .field("ath_date", fixed(coin, "ath_date").unwrap_or_else(|| Json::text(seconds_text(ath_date))))
        .field("percent_from_price_ath", percent("percent_from_price_ath", market.price.change_ppm(high)))
        .into_json()
}

fn coin(world: &World, slot: usize, rank: usize) -> Option<String> {
    let coin = world.coins().get(slot)?;
    let identity = &coin.listing(VENDOR).identity;
    let kind = if contract_address(world, coin, VENDOR).is_some() { "token" } else { "coin" };
    let object = Object::default()
        .field("id", Json::text(&identity.id))
        .field("name", Json::text(&identity.name))
        .field("symbol", Json::text(&identity.symbol))
        .field("rank", Json::literal(rank.to_string()))
        .field("is_new", Json::literal("false"))
        .field("is_active", Json::literal("true"))
        .field("type", Json::text(kind));
    Some(object.finish())
}

fn fixed(coin: &Coin, field: &str) -> Option<Json> {
    coin.listing(VENDOR).fixed(field).map(Json::literal)
}

fn beta(world: &World, coin: &Coin) -> Json {
    Json::literal(
        Decimal::signed(i128::from(world.trait_of(coin, 0x6265_7461, 2_400_000)) - 300_000, 6).as_go(),
    )
}

/// The coin's first day: 2010-07-17 for the first, later for others, never after 2021.
fn day_of(world: &World, coin: &Coin) -> DateTime<Utc> {
    let days = if coin.index == 0 { 0 } else { 1_000 + world.trait_of(coin, 0x6461_7973, 3_000) };
    DateTime::from_timestamp(1_279_324_800 + i64::try_from(days).unwrap_or(0) * 86_400, 0).unwrap_or_default()
}

/// When a coin was dearest, at either vendor: between March 2024 and June 2025, to the millisecond.
pub(crate) fn all_time_high(world: &World, coin: &Coin) -> DateTime<Utc> {
    let milliseconds = world.trait_of(coin, 0x6174_6800, 40_000_000_000);
    DateTime::from_timestamp_millis(1_710_000_000_000 + i64::try_from(milliseconds).unwrap_or(0))
        .unwrap_or_default()
}

fn seconds_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn key(slot: usize) -> u64 {
    u64::try_from(slot).unwrap_or(u64::MAX)
}
