//! The coins of a universe: who they are and what about them never changes.

use super::decimal::Decimal;
use super::names::{Identity, invented};
use super::random::{below, hash};
use super::specimens::{self, Override, Specimen};
use super::well_known::{self, WellKnown, well_known};

/// One of the two vendors that are played.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Vendor {
    /// The API under `/coinpaprika/v1`.
    Coinpaprika,
    /// The API under `/coingecko/api/v3`.
    Coingecko,
}

impl Vendor {
    /// Part of the key of what differs between the vendors.
    pub(crate) fn salt(self) -> u64 {
        match self {
            Self::Coinpaprika => 0x7061_7072,
            Self::Coingecko => 0x6765_636b,
        }
    }
}

/// A vendor's view of a coin.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) identity: Identity,
    /// US dollars before the market moves it.
    pub(crate) base_price: Decimal,
    pub(crate) significant: u32,
    /// Whole coins in circulation.
    pub(crate) supply: u128,
    overrides: &'static [Override],
}

impl Listing {
    /// The literal this coin is always sent with in that field.
    pub(crate) fn fixed(&self, field: &str) -> Option<&'static str> {
        self.overrides.iter().find(|(name, _)| *name == field).map(|(_, literal)| *literal)
    }
}

/// One slot of the universe. Most slots are one coin under two names; some hold two strangers.
#[derive(Clone, Debug)]
pub(crate) struct Coin {
    /// Key of its random numbers.
    pub(crate) index: u64,
    /// Key of its price's path: its own, or that of the coin it wraps.
    pub(crate) path: u64,
    coinpaprika: Listing,
    coingecko: Listing,
    /// Whole coins there can ever be; 0 when unlimited.
    pub(crate) max_supply: u128,
    /// A stablecoin hardly moves.
    pub(crate) calm: bool,
    /// It moves once in so many ticks; 0 stands for once a day.
    pub(crate) period: u64,
}

impl Coin {
    pub(crate) fn listing(&self, vendor: Vendor) -> &Listing {
        match vendor {
            Vendor::Coinpaprika => &self.coinpaprika,
            Vendor::Coingecko => &self.coingecko,
        }
    }
}

/// Well-known coins that come before the specimens, so that the smallest universe still looks like the market.
const LEADERS: usize = 12;

/// The coins of a universe, in the order of their slots: leaders, specimens, other well-known coins, invented ones.
pub(crate) fn coins(seed: u64, count: usize, quirks: bool) -> Vec<Coin> {
    let mut known = well_known();
    let mut coins: Vec<Coin> =
        known.by_ref().take(LEADERS).enumerate().map(|(slot, coin)| from_known(slot, &coin)).collect();
    if quirks {
        let pairs = specimens::coinpaprika().into_iter().zip(specimens::coingecko());
        coins.extend(
            pairs
                .enumerate()
                .map(|(position, (paprika, gecko))| from_specimens(seed, LEADERS + position, paprika, gecko)),
        );
    }
    let offset = coins.len();
    coins.extend(known.enumerate().map(|(position, coin)| from_known(offset + position, &coin)));
    coins.extend((coins.len()..count).map(|slot| from_imagination(seed, slot, quirks)));
    coins.truncate(count);
    coins
}

fn from_known(slot: usize, known: &WellKnown) -> Coin {
    let base_price = Decimal::new(known.price.0, known.price.1);
    let listing = |id, symbol: &str| Listing {
        identity: Identity::new(id, symbol, known.name),
        base_price,
        significant: 14,
        supply: known.supply,
        overrides: &[],
    };
    Coin {
        index: key(slot),
        path: if known.symbol == "WBTC" { 0 } else { key(slot) },
        coinpaprika: listing(known.coinpaprika_id, known.symbol),
        coingecko: listing(known.coingecko_id, &known.symbol.to_lowercase()),
        max_supply: known.max_supply,
        calm: matches!(known.symbol, "USDT" | "USDC" | "DAI"),
        period: 1,
    }
}

fn from_specimens(seed: u64, slot: usize, coinpaprika: Specimen, coingecko: Specimen) -> Coin {
    let body = from_imagination(seed, slot, true);
    let listing = |specimen: Specimen| {
        let base_price =
            specimen.price.map_or(body.coinpaprika.base_price, |(digits, scale)| Decimal::new(digits, scale));
        Listing {
            base_price,
            significant: specimen.significant.unwrap_or(14),
            // Specimens are small coins, or the demo's top ten would be made of them.
            supply: supply_for(50_000_000, base_price),
            identity: specimen.identity,
            overrides: specimen.overrides,
        }
    };
    let (coinpaprika, coingecko) = (listing(coinpaprika), listing(coingecko));
    Coin { coinpaprika, coingecko, max_supply: 0, period: 1 + key(slot) % 3, ..body }
}

fn from_imagination(seed: u64, slot: usize, strangers: bool) -> Coin {
    let index = key(slot);
    let random = |salt: u64, limit: u64| below(hash(seed, &[index, salt]), limit);
    let (coinpaprika, same) = invented(seed, index * 2);
    // Neither vendor lists everything: in every ninth slot they speak of different coins.
    let coingecko = if strangers && slot % 9 == 4 { invented(seed, index * 2 + 1).1 } else { same };
    // From 1e-8 to 1,000 dollars.
    let scale = 12 + i32::try_from(random(1, 11)).unwrap_or(0);
    let base_price = Decimal::new(u128::from(100_000_000_000_000 + random(2, 900_000_000_000_000)), scale);
    let supply = supply_for(market_cap(index, random(3, 800)), base_price);
    let significant = 9 + u32::try_from(random(4, 7)).unwrap_or(0);
    let listing = |identity| Listing { identity, base_price, significant, supply, overrides: &[] };
    Coin {
        index,
        path: index,
        coinpaprika: listing(coinpaprika),
        coingecko: listing(coingecko),
        max_supply: if random(5, 100) < 27 { supply * 2 } else { 0 },
        calm: false,
        period: if random(6, 16) == 0 { 0 } else { 1 + random(7, 5) },
    }
}

/// About a billion dollars for the 60th coin and falling with the square of the place, as in the real lists.
fn market_cap(index: u64, per_mille: u64) -> u128 {
    let square = u128::from(index.max(1)).pow(2);
    (4_000_000_000_000 / square).max(10_000) * u128::from(600 + per_mille) / 1_000
}

/// Whole coins that make a market cap at a price; no more than fit 63 bits, as with CoinPaprika.
fn supply_for(cap: u128, price: Decimal) -> u128 {
    Decimal::how_many(cap, price).clamp(1, 9_000_000_000_000_000_000)
}

fn key(slot: usize) -> u64 {
    u64::try_from(slot).unwrap_or(u64::MAX)
}

/// Coins that are there only to be special; a universe of at least this size holds all of them.
pub(crate) const COUNT_WITH_ALL_SPECIMENS: usize = LEADERS + specimens::COUNT;

const _: () = assert!(well_known::COUNT >= LEADERS);
