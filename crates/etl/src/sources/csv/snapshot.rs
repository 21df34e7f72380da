//! Tells a snapshot, in which every coin has one row, from a history that lost its times.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Coins that are kept in mind. Beyond them a fair sample of the coins is.
const MOST_COINS: usize = 1 << 18;

/// Counts how often coins come again, in bounded memory: of the coins it keeps those whose hash ends in `level`
/// zero bits, so that all rows of a coin are in the sample or none is.
pub(super) struct Repeats {
    rows: HashMap<u64, u32>,
    level: u32,
    most: usize,
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self { rows: HashMap::new(), level: 0, most: MOST_COINS }
    }

    pub(super) fn add(&mut self, crypto_id: &str) {
        let mut hasher = DefaultHasher::new();
        crypto_id.hash(&mut hasher);
        let hash = hasher.finish();
        if !in_sample(hash, self.level) {
            return;
        }
        let rows = self.rows.entry(hash).or_insert(0);
        *rows = rows.saturating_add(1);
        if self.rows.len() > self.most {
            self.level += 1;
            let level = self.level;
            self.rows.retain(|hash, _| in_sample(*hash, level));
        }
    }

    /// How many coins of the sample come more than once.
    pub(super) fn coins(&self) -> usize {
        self.rows.values().filter(|rows| **rows > 1).count()
    }

    /// Whether coins come twice and more on average. A few repeats are the slips of a snapshot.
    pub(super) fn is_history(&self) -> bool {
        let rows: u64 = self.rows.values().map(|rows| u64::from(*rows)).sum();
        !self.rows.is_empty() && rows >= 2 * self.rows.len() as u64
    }
}

fn in_sample(hash: u64, level: u32) -> bool {
    hash.trailing_zeros() >= level
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(ids: impl Iterator<Item = usize>, most: usize) -> bool {
        let mut repeats = Repeats { most, ..Repeats::new() };
        ids.for_each(|id| repeats.add(&id.to_string()));
        assert!(repeats.rows.len() <= most);
        repeats.is_history()
    }

    #[test]
    fn repeats_make_a_history() {
        assert!(!history(0..1, 100));
        assert!(!history([1, 2, 3, 1].into_iter(), 100));
        assert!(history([1, 1].into_iter(), 100));
        assert!(history((0..40).map(|n| n % 20), 100));
        assert!(!history(std::iter::empty(), 100));
    }

    #[test]
    fn a_sample_says_the_same_in_bounded_memory() {
        assert!(!history(0..20_000, 500));
        assert!(!history((0..20_000).chain(0..10_000), 500));
        assert!(history((0..20_000).chain(0..20_000).chain(0..5_000), 500));
    }
}
