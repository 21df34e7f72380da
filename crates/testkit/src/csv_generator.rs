//! CSV files of any size for benchmarks: made-up coins, snapshot after snapshot, written as fast as a disk takes them.

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::simulator::names::invented;
use crate::simulator::random::{around_zero, below, hash};

/// The header line, without its newline. Times are RFC 3339 UTC, amounts US dollars, the change is per cent.
pub const HEADER: &str =
    "id,name,symbol,price_usd,market_cap_usd,volume_24h_usd,change_24h_percent,last_updated";

/// A file of `coins` rows for each of `times` moments. The same settings give the same bytes.
#[derive(Clone, Debug)]
pub struct CsvGenerator {
    coins: u64,
    times: u64,
    seed: u64,
    start: DateTime<Utc>,
    interval: Duration,
}

/// What was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    /// Rows without the header.
    pub rows: u64,
    /// Bytes with the header.
    pub bytes: u64,
}

/// Rows are gathered until there are so many bytes: one write per row would cost more than making the row.
const BUFFER: usize = 1 << 18;

/// A price strays at most this far from where it began, in parts per million.
const LARGEST_DRIFT: i64 = 400_000;

impl CsvGenerator {
    /// Moments an hour apart from 2025-01-01T00:00:00Z, seed 1.
    pub fn new(coins: u64, times: u64) -> Self {
        let start = DateTime::from_timestamp(1_735_689_600, 0).unwrap_or_default();
        Self { coins, times, seed: 1, start, interval: Duration::from_secs(3_600) }
    }

    /// Sets what the names and numbers follow from.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets the first moment (UTC) and the time between two, in whole seconds.
    #[must_use]
    pub fn moments(self, start: DateTime<Utc>, interval: Duration) -> Self {
        Self { start, interval, ..self }
    }

    /// Writes the file. Memory grows with the number of coins, not with that of moments.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(&self, mut out: impl Write) -> io::Result<Written> {
        let mut coins: Vec<Coin> = (0..self.coins).map(|number| Coin::new(self.seed, number)).collect();
        let mut buffer = Vec::with_capacity(BUFFER + 1_024);
        buffer.extend_from_slice(HEADER.as_bytes());
        buffer.push(b'\n');
        let mut written = Written { rows: 0, bytes: 0 };
        for moment in 0..self.times {
            let time = format!(",{}\n", self.time(moment).to_rfc3339_opts(SecondsFormat::Secs, true));
            for (number, coin) in (0_u64..).zip(&mut coins) {
                coin.advance(hash(self.seed, &[number, moment]));
                coin.write_row(time.as_bytes(), &mut buffer);
                if buffer.len() >= BUFFER {
                    written.bytes += flush(&mut buffer, &mut out)?;
                }
            }
            written.rows += self.coins;
        }
        written.bytes += flush(&mut buffer, &mut out)?;
        out.flush()?;
        Ok(written)
    }

    fn time(&self, moment: u64) -> DateTime<Utc> {
        let seconds = self.interval.as_secs().saturating_mul(moment);
        let passed = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds).unwrap_or(TimeDelta::MAX);
        self.start.checked_add_signed(passed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

fn flush(buffer: &mut Vec<u8>, out: &mut impl Write) -> io::Result<u64> {
    out.write_all(buffer)?;
    let length = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
    buffer.clear();
    Ok(length)
}

/// A coin on its way through the moments.
struct Coin {
    /// `id,name,symbol,`
    identity: Vec<u8>,
    /// Price at the start as `digits * 10^-scale` dollars; seven or eight digits.
    digits: u64,
    scale: usize,
    /// Coins in circulation, such that `digits * supply` in units of `10^-scale` dollars is the market cap.
    supply: u64,
    /// How far the price has strayed, and its last step, in parts per million.
    drift: i64,
    step: i64,
    /// 24-hour volume in parts per million of the market cap.
    turnover: u64,
}

impl Coin {
    fn new(seed: u64, number: u64) -> Self {
        let (upper, lower) = invented(seed, number);
        let random = |salt: u64, limit: u64| below(hash(seed, &[number, salt, 0x6373_7600]), limit);
        // Between a ten-millionth of a dollar and a hundred thousand.
        let scale = usize::try_from(3 + random(1, 12)).unwrap_or(3);
        let digits = 10_000_000 + random(2, 89_000_000);
        let cap = (4_000_000_000_000 / (number + 1).pow(2)).max(10_000);
        let zeros = u32::try_from(scale).unwrap_or(0);
        let supply = u128::from(cap) * 10_u128.pow(zeros) / u128::from(digits);
        Self {
            identity: format!("{},{},{},", lower.id, lower.name, upper.symbol).into_bytes(),
            digits,
            scale,
            supply: u64::try_from(supply).unwrap_or(u64::MAX).max(1),
            drift: 0,
            step: 0,
            turnover: 10_000 + random(3, 80_000),
        }
    }

    fn advance(&mut self, random: u64) {
        // A pull back to the start, so that a long file does not pile up at the edge.
        self.step = around_zero(random, 20_000) - self.drift / 100;
        self.drift = (self.drift + self.step).clamp(-LARGEST_DRIFT, LARGEST_DRIFT);
    }

    fn write_row(&self, time: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity);
        let factor = (1_000_000 + self.drift).unsigned_abs();
        // At most 8 digits times 7: far from overflow, and two digits more than the start has.
        let price = self.digits * factor / 10_000;
        push_decimal(price, self.scale + 2, out);
        out.push(b',');
        let cap = u128::from(price) * u128::from(self.supply)
            / 10_u128.pow(u32::try_from(self.scale + 2).unwrap_or(0));
        let cap = u64::try_from(cap).unwrap_or(u64::MAX);
        push_decimal(cap, 0, out);
        out.push(b',');
        push_decimal(cap.saturating_mul(self.turnover) / 10_000, 2, out);
        out.push(b',');
        if self.step < 0 {
            out.push(b'-');
        }
        push_decimal(self.step.unsigned_abs(), 4, out);
        out.extend_from_slice(time);
    }
}

/// Appends `digits * 10^-scale` in plain notation.
fn push_decimal(digits: u64, scale: usize, out: &mut Vec<u8>) {
    let start = out.len();
    let (mut rest, mut written) = (digits, 0);
    // From the last digit to the first, then turned round: no length has to be known beforehand.
    while rest > 0 || written <= scale {
        if written == scale && scale > 0 {
            out.push(b'.');
        }
        out.push(b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)]);
        rest /= 10;
        written += 1;
    }
    if let Some(number) = out.get_mut(start..) {
        number.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(generator: &CsvGenerator) -> (String, Written) {
        let mut bytes = Vec::new();
        let written = generator.write(&mut bytes).unwrap();
        (String::from_utf8(bytes).unwrap(), written)
    }

    #[test]
    fn decimals_are_plain() {
        let text = |digits, scale| {
            let mut out = Vec::new();
            push_decimal(digits, scale, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [text(0, 0), text(0, 2), text(7, 3), text(120, 2), text(45, 0)],
            ["0", "0.00", "0.007", "1.20", "45"]
        );
    }

    #[test]
    fn a_file_has_every_coin_at_every_moment_in_order() {
        let (text, written) = generated(&CsvGenerator::new(40, 25));
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(
            (rows.len(), written.rows, written.bytes),
            (1_001, 1_000, u64::try_from(text.len()).unwrap())
        );
        assert_eq!(rows[0].join(","), HEADER);
        assert!(rows.iter().all(|row| row.len() == 8));
        assert_eq!((rows[1][7], rows[1_000][7]), ("2025-01-01T00:00:00Z", "2025-01-02T00:00:00Z"));
        assert!(rows[1..].is_sorted_by_key(|row| row[7]));
        let ids: std::collections::BTreeSet<&str> = rows[1..].iter().map(|row| row[0]).collect();
        assert_eq!(ids.len(), 40);
        for row in &rows[1..] {
            let number = |column: usize| row[column].parse::<f64>().unwrap();
            assert!(
                number(3) > 0.0 && number(4) >= 1.0 && number(5) > 0.0 && number(6).abs() < 3.0,
                "{row:?}"
            );
        }
        assert_ne!(rows[1][3], rows[41][3], "prices move");
    }

    #[test]
    fn the_same_settings_give_the_same_bytes() {
        let generator = CsvGenerator::new(10, 10).seed(5);
        assert_eq!(generated(&generator), generated(&generator));
        assert_ne!(generated(&generator), generated(&generator.clone().seed(6)));
    }
}
