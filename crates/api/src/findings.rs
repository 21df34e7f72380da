//! What had to be found out about many rows: each once for a version of the data, so that walking pages does not count
//! or sort again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kasparro_core::store::page::Span;
use kasparro_core::store::version::SourceState;

/// Totals by the rows that are counted: up to some 10 KiB each, and usually less than 100 bytes.
pub(crate) type Totals = Findings<i64, 2_000>;

/// Coins in the order of their newest observations, by rows and order: 4 bytes a coin.
pub(crate) type Orders = Findings<Arc<[i32]>, 32>;

/// Where pages within bounds lie in the order of an amount, so that nobody walks past what the bounds exclude again.
pub(crate) type Spans = Findings<Span, 2_000>;

/// What was found out about the newest version that was asked about, for every worker the same: `MOST` values by name.
#[derive(Clone, Debug)]
pub(crate) struct Findings<V, const MOST: usize>(Arc<Mutex<Found<V>>>);

#[derive(Debug)]
struct Found<V> {
    version: Vec<SourceState>,
    values: HashMap<String, V>,
}

impl<V, const MOST: usize> Default for Findings<V, MOST> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Found { version: Vec::new(), values: HashMap::new() })))
    }
}

impl<V: Clone, const MOST: usize> Findings<V, MOST> {
    /// The value of this name, which `find` finds out if need be. Two that ask at once both do.
    pub(crate) fn of<E>(
        &self,
        version: &[SourceState],
        name: String,
        find: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(value) = self.known(version, &name) {
            return Ok(value);
        }
        let value = find()?;
        self.remember(version, name, value.clone());
        Ok(value)
    }

    /// Keeps a value under a name.
    pub(crate) fn remember(&self, version: &[SourceState], name: String, value: V) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.version != version || found.values.len() >= MOST {
            *found = Found { version: version.to_vec(), values: HashMap::new() };
        }
        found.values.insert(name, value);
    }

    /// The value of this name, if it was found out.
    pub(crate) fn known(&self, version: &[SourceState], name: &str) -> Option<V> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.version == version { found.values.get(name).cloned() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(batch_number: i64) -> Vec<SourceState> {
        vec![SourceState {
            source_id: 1,
            name: "csv".to_owned(),
            kind: "market".to_owned(),
            observations: 0,
            raw_records: 0,
            batch_number,
            last_batch_at: None,
        }]
    }

    #[test]
    fn a_value_is_found_out_once_for_a_version() {
        let totals = Totals::default();
        let of = |version: &[SourceState], name: &str, counted: i64| {
            totals.of::<()>(version, name.to_owned(), || Ok(counted)).unwrap()
        };
        let (old, new) = (version(1), version(2));
        assert_eq!([of(&old, "a", 1), of(&old, "a", 9), of(&old, "b", 2)], [1, 1, 2]);
        assert_eq!([of(&new, "a", 3), of(&new, "a", 9)], [3, 3]);
        assert_eq!(totals.of(&new, "c".to_owned(), || Err("away")), Err("away"));
        assert_eq!(of(&new, "c", 4), 4, "a failure is not remembered");
        totals.remember(&new, "d".to_owned(), 5);
        assert_eq!((totals.known(&new, "d"), totals.known(&old, "d")), (Some(5), None));
    }
}
