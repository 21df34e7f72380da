//! What a coin is worth at a tick: a pure function of (seed, coin, vendor, tick).

use chrono::{DateTime, TimeDelta, Utc};

use super::coin::{Coin, Vendor};
use super::decimal::Decimal;
use super::random::{around_zero, below, hash};
use super::universe::World;

/// A coin as one vendor sees it at one tick.
pub(crate) struct Market {
    /// US dollars, with all the digits the vendor has.
    pub(crate) price: Decimal,
    /// Whole US dollars.
    pub(crate) market_cap: u128,
    /// US dollars within 24 hours.
    pub(crate) volume: Decimal,
    /// When the vendor last heard of a price, UTC, to the millisecond.
    pub(crate) last_updated: DateTime<Utc>,
    /// The tick of that move.
    moved_at: i64,
}

/// Waves of different length (in seconds, at least one tick) and height (in parts per million) that make up a price's path.
/// Short waves are low and long ones high, so neighbouring ticks are close and a price still ends up within about 30 % of
/// its base.
const WAVES: [(u64, u32); 5] =
    [(1, 600), (960, 4_000), (15_360, 25_000), (245_760, 80_000), (3_932_160, 190_000)];

const DAY: u64 = 86_400;

impl World {
    /// The state of a coin at a tick.
    pub(crate) fn market(&self, coin: &Coin, vendor: Vendor, tick: i64) -> Market {
        let moved_at = self.last_move(coin, tick);
        let price = self.price_at(coin, vendor, moved_at);
        Market {
            price,
            market_cap: price.times(Decimal::whole(coin.listing(vendor).supply)).rounded(),
            volume: self.volume(coin, vendor, price, moved_at),
            last_updated: self.time(moved_at) - self.lag(coin, vendor),
            moved_at,
        }
    }

    /// Change against the price so many seconds earlier, in parts per million.
    pub(crate) fn change_ppm(&self, coin: &Coin, vendor: Vendor, market: &Market, seconds: u64) -> i128 {
        let ticks = i64::try_from(self.ticks_in(seconds)).unwrap_or(i64::MAX);
        let before = self.price_at(coin, vendor, market.moved_at.saturating_sub(ticks));
        market.price.change_ppm(before)
    }

    /// A number that stays with this coin and this use of it.
    pub(crate) fn trait_of(&self, coin: &Coin, salt: u64, limit: u64) -> u64 {
        below(hash(self.seed(), &[coin.index, salt]), limit)
    }

    /// Whether a coin has another price or time at `to` than at `from`.
    pub(crate) fn moved_between(&self, coin: &Coin, from: i64, to: i64) -> bool {
        self.last_move(coin, from) != self.last_move(coin, to)
    }

    /// The newest tick not after `tick` at which the coin moved.
    fn last_move(&self, coin: &Coin, tick: i64) -> i64 {
        let period = if coin.period == 0 { self.ticks_in(DAY) } else { coin.period };
        let phase = i64::try_from(self.trait_of(coin, 0x7068_6173, period)).unwrap_or(0);
        let period = i64::try_from(period).unwrap_or(i64::MAX);
        (tick.saturating_add(phase)).div_euclid(period).saturating_mul(period).saturating_sub(phase)
    }

    fn price_at(&self, coin: &Coin, vendor: Vendor, tick: i64) -> Decimal {
        let listing = coin.listing(vendor);
        let scale_down = if coin.calm { 300 } else { 1 };
        let path: i64 = WAVES.iter().map(|wave| self.wave(coin, tick, *wave)).sum::<i64>() / scale_down;
        // The vendors average over different exchanges: together they stay within 0.2 % of each other.
        let opinion = around_zero(hash(self.seed(), &[coin.index, vendor.salt()]), 1_000) / scale_down;
        listing.base_price.shifted_by_ppm(path).shifted_by_ppm(opinion).significant(listing.significant)
    }

    /// A straight line between random heights at multiples of the wave's length.
    fn wave(&self, coin: &Coin, tick: i64, (seconds, height): (u64, u32)) -> i64 {
        let length = i64::try_from(self.ticks_in(seconds)).unwrap_or(i64::MAX);
        let (knot, beyond) = (tick.div_euclid(length), tick.rem_euclid(length));
        let height_at = |knot: i64| {
            let key = [coin.path, seconds, knot.rem_euclid(i64::MAX).unsigned_abs()];
            around_zero(hash(self.seed(), &key), height)
        };
        let (left, right) = (height_at(knot), height_at(knot.saturating_add(1)));
        left + (right - left) * beyond / length
    }

    /// Between 1 % and 9 % of the market cap, to a ten-thousandth of a dollar.
    fn volume(&self, coin: &Coin, vendor: Vendor, price: Decimal, moved_at: i64) -> Decimal {
        let share = 10_000 + self.trait_of(coin, 0x7368_6172, 60_000);
        let wobble = below(hash(self.seed(), &[coin.index, 0x766f_6c75, moved_at.unsigned_abs()]), 20_000);
        let cap = price.times(Decimal::whole(coin.listing(vendor).supply)).significant(20);
        cap.times(Decimal::new(u128::from(share + wobble), 6)).significant(15).fraction(4)
    }

    /// How old a coin's newest price is: mostly under 100 s, up to 511 s, and its own at each vendor.
    fn lag(&self, coin: &Coin, vendor: Vendor) -> TimeDelta {
        let slow = self.trait_of(coin, vendor.salt() ^ 1, 8) == 0;
        let milliseconds = match vendor {
            // CoinPaprika's times are whole seconds.
            Vendor::Coinpaprika => {
                1_000 * self.trait_of(coin, vendor.salt() ^ 2, if slow { 512 } else { 93 })
            }
            Vendor::Coingecko => self.trait_of(coin, vendor.salt() ^ 2, if slow { 511_000 } else { 99_000 }),
        };
        TimeDelta::try_milliseconds(i64::try_from(milliseconds).unwrap_or(0)).unwrap_or_default()
    }
}
