//! The made-up market: which coins there are, and what time it is at a tick.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::coin::{COUNT_WITH_ALL_SPECIMENS, Coin, Vendor, coins};

/// What a universe is to be like. The same description gives the same bytes at the same tick, always.
#[derive(Clone, Debug)]
pub struct Universe {
    seed: u64,
    coins: usize,
    base_time: DateTime<Utc>,
    tick_length: Duration,
    quirks: bool,
    circulating_supply: bool,
}

impl Universe {
    /// Number of coins from which on every quirk of both vendors is among them.
    pub const ALL_QUIRKS: usize = COUNT_WITH_ALL_SPECIMENS;

    /// A universe of 300 coins at 2026-01-15T12:00:00Z, quirks included, whose ticks are one minute long.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            coins: 300,
            base_time: DateTime::from_timestamp(1_768_478_400, 0).unwrap_or_default(),
            tick_length: Duration::from_secs(60),
            quirks: true,
            circulating_supply: false,
        }
    }

    /// Sets how many coins each vendor lists.
    ///
    /// The first 12 are well known, the next 20 have a quirk each, then come 28 more well-known ones, then invented ones.
    #[must_use]
    pub fn coins(self, coins: usize) -> Self {
        Self { coins, ..self }
    }

    /// Sets the time of tick 0 (UTC). No `last_updated` of tick `n` is later than this plus `n` tick lengths.
    #[must_use]
    pub fn base_time(self, base_time: DateTime<Utc>) -> Self {
        Self { base_time, ..self }
    }

    /// Sets the time between two ticks; whole seconds, at least one.
    #[must_use]
    pub fn tick_length(self, tick_length: Duration) -> Self {
        Self { tick_length: Duration::from_secs(tick_length.as_secs().max(1)), ..self }
    }

    /// Leaves out the coins with quirks, so that every row of both vendors is complete and ordinary.
    ///
    /// "Unknown is 0" stays (`max_supply`), for it is what ordinary rows say too.
    #[must_use]
    pub fn without_quirks(self) -> Self {
        Self { quirks: false, ..self }
    }

    /// Sends CoinPaprika's `circulating_supply`, as paid plans do and all plans did in 2021; today's free plan does not.
    #[must_use]
    pub fn with_circulating_supply(self) -> Self {
        Self { circulating_supply: true, ..self }
    }

    pub(crate) fn build(self) -> World {
        let coins = coins(self.seed, self.coins, self.quirks);
        World { universe: self, coins, rankings: Mutex::new(Vec::new()) }
    }
}

/// A coin by the id each vendor gives it. In a few slots the two ids belong to different coins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CoinIds {
    /// As in `/tickers`.
    pub coinpaprika: String,
    /// As in `/coins/markets`.
    pub coingecko: String,
}

/// A universe with its coins made.
pub(crate) struct World {
    universe: Universe,
    coins: Vec<Coin>,
    rankings: Mutex<Vec<Ranking>>,
}

/// Slots by falling market cap at a tick, kept because sorting 20,000 coins for each of 80 pages is slow.
struct Ranking {
    vendor: Vendor,
    tick: i64,
    slots: Vec<usize>,
}

impl World {
    pub(crate) fn seed(&self) -> u64 {
        self.universe.seed
    }

    pub(crate) fn has_circulating_supply(&self) -> bool {
        self.universe.circulating_supply
    }

    pub(crate) fn coins(&self) -> &[Coin] {
        &self.coins
    }

    /// The time a tick begins at, UTC.
    pub(crate) fn time(&self, tick: i64) -> DateTime<Utc> {
        let seconds = i64::try_from(self.universe.tick_length.as_secs()).unwrap_or(i64::MAX);
        let passed = TimeDelta::try_seconds(tick.saturating_mul(seconds)).unwrap_or(TimeDelta::MAX);
        self.universe.base_time.checked_add_signed(passed).unwrap_or(self.universe.base_time)
    }

    /// Number of whole ticks in a duration, at least one.
    pub(crate) fn ticks_in(&self, seconds: u64) -> u64 {
        (seconds / self.universe.tick_length.as_secs().max(1)).max(1)
    }

    pub(crate) fn find(&self, vendor: Vendor, id: &str) -> Option<usize> {
        self.coins.iter().position(|coin| coin.listing(vendor).identity.id == id)
    }

    pub(crate) fn ids(&self, slot: usize) -> Option<CoinIds> {
        self.coins.get(slot).map(|coin| CoinIds {
            coinpaprika: coin.listing(Vendor::Coinpaprika).identity.id.clone(),
            coingecko: coin.listing(Vendor::Coingecko).identity.id.clone(),
        })
    }

    /// Slots from the largest market cap to the smallest, those without one last.
    pub(crate) fn by_market_cap(&self, vendor: Vendor, tick: i64) -> Vec<usize> {
        let mut rankings = self.rankings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ranking) =
            rankings.iter().find(|ranking| ranking.vendor == vendor && ranking.tick == tick)
        {
            return ranking.slots.clone();
        }
        let mut caps: Vec<(u128, usize)> =
            (0..self.coins.len()).map(|slot| (self.ranked_cap(vendor, slot, tick), slot)).collect();
        caps.sort_by_key(|(cap, slot)| (std::cmp::Reverse(*cap), *slot));
        let slots: Vec<usize> = caps.into_iter().map(|(_, slot)| slot).collect();
        rankings.retain(|ranking| ranking.vendor != vendor);
        rankings.push(Ranking { vendor, tick, slots: slots.clone() });
        slots
    }

    fn ranked_cap(&self, vendor: Vendor, slot: usize, tick: i64) -> u128 {
        let Some(coin) = self.coins.get(slot) else { return 0 };
        match coin.listing(vendor).fixed("market_cap") {
            Some(literal) => literal.parse().unwrap_or(0),
            None => self.market(coin, vendor, tick).market_cap,
        }
    }
}
