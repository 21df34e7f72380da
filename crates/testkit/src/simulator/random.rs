//! Randomness without state: the same key always gives the same number.
//!
//! A generator with a state would make coin 7 depend on how many numbers coin 6 took. Hashing a key instead makes
//! the universe a pure function of (seed, coin, tick), so any tick can be computed without those before it.

/// The number of a key, spread evenly over all of u64.
pub(crate) fn hash(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(scramble(seed), |state, part| scramble(state ^ scramble(*part)))
}

/// A number of `0..limit`; 0 when the limit is 0.
pub(crate) fn below(number: u64, limit: u64) -> u64 {
    // The high half of a wide product: no modulo bias worth speaking of, and no division.
    let scaled = (u128::from(number) * u128::from(limit)) >> 64;
    u64::try_from(scaled).unwrap_or(0)
}

/// A number of `-amplitude..=amplitude`.
pub(crate) fn around_zero(number: u64, amplitude: u32) -> i64 {
    let span = u64::from(amplitude) * 2 + 1;
    i64::try_from(below(number, span)).unwrap_or(0) - i64::from(amplitude)
}

/// The finaliser of SplitMix64, a bijection on u64.
fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
