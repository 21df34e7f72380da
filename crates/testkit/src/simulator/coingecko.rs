//! CoinGecko's bodies: `/coins/markets` and `/coins/list`.
//!
//! Shapes as recorded from the real API on 2021-05-15, 2022-02-23 and 2023-12-02.

use chrono::{DateTime, SecondsFormat, Utc};

use super::coin::{Coin, Vendor};
use super::coinpaprika::{all_time_high, contract_address};
use super::decimal::Decimal;
use super::json::{Json, Object, array};
use super::market::Market;
use super::universe::World;

const VENDOR: Vendor = Vendor::Coingecko;

/// Windows that `price_change_percentage=` may ask for, in seconds.
const WINDOWS: [(&str, u64); 7] = [
    ("1h", 3_600),
    ("24h", 86_400),
    ("7d", 604_800),
    ("14d", 1_209_600),
    ("30d", 2_592_000),
    ("200d", 17_280_000),
    ("1y", 31_536_000),
];

/// What a request to `/coins/markets` asks for.
#[derive(Clone, Debug)]
pub(crate) struct MarketsQuery {
    /// From 1.
    pub(crate) page: usize,
    /// 1 to 250.
    pub(crate) per_page: usize,
    /// By id, upwards, instead of by market cap, downwards.
    pub(crate) by_id: bool,
    /// Only these ids; all when empty.
    pub(crate) ids: Vec<String>,
    /// Unrounded prices.
    pub(crate) full_precision: bool,
    /// Windows of additional `price_change_percentage_…_in_currency` fields.
    pub(crate) windows: Vec<String>,
}

/// One page of `/coins/markets`; past the end it is `[]`.
pub(crate) fn markets(world: &World, query: &MarketsQuery, tick: i64) -> String {
    let ranked = world.by_market_cap(VENDOR, tick);
    let mut rows: Vec<(usize, usize)> =
        ranked.into_iter().enumerate().map(|(position, slot)| (slot, position + 1)).collect();
    if !query.ids.is_empty() {
        rows.retain(|(slot, _)| query.ids.iter().any(|id| id == id_of(world, *slot)));
    }
    if query.by_id {
        rows.sort_by_key(|(slot, _)| id_of(world, *slot));
    }
    let skipped = query.per_page.saturating_mul(query.page.saturating_sub(1));
    let page = rows.into_iter().skip(skipped).take(query.per_page);
    array(page.filter_map(|(slot, rank)| row(world, slot, rank, query, tick)))
}

/// Number of pages of a size, without filters.
pub(crate) fn page_count(world: &World, per_page: usize) -> usize {
    world.coins().len().div_ceil(per_page.max(1))
}

/// `/coins/list`. The list of one recorded day begins with an entry whose id is empty; with quirks this one does too.
pub(crate) fn list(world: &World, with_platforms: bool) -> String {
    let mut coins: Vec<&Coin> = world.coins().iter().collect();
    coins.sort_by_key(|coin| &coin.listing(VENDOR).identity.id);
    let empty =
        world.find(VENDOR, "_").map(|_| "{\"id\":\"\",\"symbol\":\"noid\",\"name\":\"No Id\"}".to_owned());
    array(empty.into_iter().chain(coins.into_iter().map(|coin| entry(world, coin, with_platforms))))
}

fn entry(world: &World, coin: &Coin, with_platforms: bool) -> String {
    let identity = &coin.listing(VENDOR).identity;
    let object = Object::default()
        .field("id", Json::text(&identity.id))
        .field("symbol", Json::text(&identity.symbol))
        .field("name", Json::text(&identity.name));
    if !with_platforms {
        return object.finish();
    }
    let platforms = match contract_address(world, coin, VENDOR) {
        Some(address) => Object::default().field("ethereum", Json::text(address)),
        None => Object::default(),
    };
    object.field("platforms", platforms.into_json()).finish()
}

fn id_of(world: &World, slot: usize) -> &str {
    world.coins().get(slot).map_or("", |coin| &coin.listing(VENDOR).identity.id)
}

fn row(world: &World, slot: usize, rank: usize, query: &MarketsQuery, tick: i64) -> Option<String> {
    let coin = world.coins().get(slot)?;
    let listing = coin.listing(VENDOR);
    let market = world.market(coin, VENDOR, tick);
    let spelling = Spelling { world, coin };
    let day = world.change_ppm(coin, VENDOR, &market, 86_400);
    let price = if query.full_precision { market.price } else { rounded(market.price) };
    let object = Object::default()
        .field("id", Json::text(&listing.identity.id))
        .field("symbol", Json::text(&listing.identity.symbol))
        .field("name", Json::text(&listing.identity.name))
        .field(
            "image",
            Json::text(format!(
                "https://coin-images.coingecko.com/coins/images/{}/large/{}.png?1696501400",
                slot + 1,
                slot + 1
            )),
        )
        .field("current_price", spelling.amount("current_price", price))
        .field("market_cap", spelling.amount("market_cap", Decimal::whole(market.market_cap)))
        .field("market_cap_rank", spelling.or("market_cap_rank", || Json::literal(rank.to_string())))
        .field("fully_diluted_valuation", fully_diluted(&spelling, &market))
        .field(
            "total_volume",
            spelling.amount(
                "total_volume",
                market.volume.fraction(if market.volume.magnitude() > 3 { 0 } else { 4 }),
            ),
        )
        .field("high_24h", spelling.amount("high_24h", rounded(market.price.shifted_by_ppm(11_300))))
        .field("low_24h", spelling.amount("low_24h", rounded(market.price.shifted_by_ppm(-9_700))))
        .field("price_change_24h", spelling.float("price_change_24h", change_of(market.price, day)))
        .field(
            "price_change_percentage_24h",
            spelling.float("price_change_percentage_24h", Decimal::signed(day, 4)),
        )
        .field(
            "market_cap_change_24h",
            spelling.float("market_cap_change_24h", change_of(Decimal::whole(market.market_cap), day)),
        )
        .field(
            "market_cap_change_percentage_24h",
            spelling.float("market_cap_change_percentage_24h", Decimal::signed(day, 4)),
        );
    let object = history(supplies(object, &spelling), &spelling, &market)
        .field("roi", spelling.or("roi", || Json::Null))
        .field("last_updated", spelling.or("last_updated", || time(market.last_updated)));
    Some(windows(object, &spelling, &market, query).finish())
}

/// How one coin's numbers are spelled: a literal that is always sent, or the market's number.
struct Spelling<'a> {
    world: &'a World,
    coin: &'a Coin,
}

impl Spelling<'_> {
    fn or(&self, field: &str, usual: impl FnOnce() -> Json) -> Json {
        self.coin.listing(VENDOR).fixed(field).map_or_else(usual, Json::literal)
    }

    /// An amount: whole numbers come as `5` from some coins and as `5.0` from others.
    fn amount(&self, field: &str, number: Decimal) -> Json {
        let float = number.as_ruby_float();
        let whole_as_integer = self.world.trait_of(self.coin, 0x696e_7467, 4) > 0;
        self.or(field, || {
            Json::literal(if whole_as_integer && float.ends_with(".0") { number.plain() } else { float })
        })
    }

    fn float(&self, field: &str, number: Decimal) -> Json {
        self.or(field, || Json::literal(number.as_ruby_float()))
    }
}

fn supplies(object: Object, spelling: &Spelling<'_>) -> Object {
    let (coin, world) = (spelling.coin, spelling.world);
    // Some supplies have a fraction, most are whole and end in ".0".
    let dust = if world.trait_of(coin, 0x6475_7374, 3) == 0 {
        world.trait_of(coin, 0x6475_7375, 1_000_000)
    } else {
        0
    };
    let supply = Decimal::new(coin.listing(VENDOR).supply.saturating_mul(1_000_000) + u128::from(dust), 6)
        .significant(17);
    let max = || {
        if coin.max_supply == 0 {
            Json::Null
        } else {
            Json::literal(Decimal::whole(coin.max_supply).as_ruby_float())
        }
    };
    object
        .field("circulating_supply", spelling.float("circulating_supply", supply))
        .field("total_supply", spelling.float("total_supply", supply))
        .field("max_supply", spelling.or("max_supply", max))
}

fn history(object: Object, spelling: &Spelling<'_>, market: &Market) -> Object {
    let base = spelling.coin.listing(VENDOR).base_price;
    let (high, low) = (rounded(base.shifted_by_ppm(600_000)), rounded(base.shifted_by_ppm(-940_000)));
    let low_date = || {
        let days = i64::try_from(spelling.coin.index % 1_000).unwrap_or(0);
        time(DateTime::from_timestamp(1_373_068_800 + days * 86_400, 0).unwrap_or_default())
    };
    object
        .field("ath", spelling.amount("ath", high))
        .field(
            "ath_change_percentage",
            spelling.float("ath_change_percentage", Decimal::signed(market.price.change_ppm(high), 4)),
        )
        .field("ath_date", spelling.or("ath_date", || time(all_time_high(spelling.world, spelling.coin))))
        .field("atl", spelling.amount("atl", low))
        .field(
            "atl_change_percentage",
            spelling.float("atl_change_percentage", Decimal::signed(market.price.change_ppm(low), 4)),
        )
        .field("atl_date", spelling.or("atl_date", low_date))
}

fn fully_diluted(spelling: &Spelling<'_>, market: &Market) -> Json {
    let coin = spelling.coin;
    let supply = if coin.max_supply == 0 { coin.listing(VENDOR).supply } else { coin.max_supply };
    if spelling.world.trait_of(coin, 0x6664_7600, 20) == 0 {
        return spelling.or("fully_diluted_valuation", || Json::Null);
    }
    spelling.amount(
        "fully_diluted_valuation",
        Decimal::whole(market.price.times(Decimal::whole(supply)).rounded()),
    )
}

fn windows(object: Object, spelling: &Spelling<'_>, market: &Market, query: &MarketsQuery) -> Object {
    let asked = WINDOWS.iter().filter(|(name, _)| query.windows.iter().any(|window| window == name));
    asked.fold(object, |object, (name, seconds)| {
        let field = format!("price_change_percentage_{name}_in_currency");
        let ppm = spelling.world.change_ppm(spelling.coin, VENDOR, market, *seconds);
        // These come with 16 or 17 digits, where the field without a currency is rounded to 5 places.
        let tail = i128::from(spelling.world.trait_of(spelling.coin, *seconds, 100_000_000_000));
        object.field(&field, spelling.float(&field, Decimal::signed(ppm * 100_000_000_000 + tail, 15)))
    })
}

/// Rounded as CoinGecko rounds without `precision=full`: whole dollars from 10,000, then 2 places or 5 digits or more.
fn rounded(price: Decimal) -> Decimal {
    match price.magnitude() {
        4.. => price.fraction(0),
        3 => price.fraction(2),
        0..3 => price.significant(5),
        _ => price.significant(6),
    }
}

fn change_of(value: Decimal, ppm: i128) -> Decimal {
    value.times(Decimal::signed(ppm, 6)).significant(12)
}

fn time(time: DateTime<Utc>) -> Json {
    Json::text(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
