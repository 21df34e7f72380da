//! Totals that had to be counted: each once for a version of the data, so that walking pages does not count again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kasparro_core::store::version::SourceState;

/// Most totals that are remembered; their names have up to some 10 KiB, and usually less than 100 bytes.
const MOST: usize = 2_000;

/// The totals of the newest version that was asked about, for every worker the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    version: Vec<SourceState>,
    totals: HashMap<String, i64>,
}

impl Totals {
    /// The total of this name, which `count` finds out if need be. Two that ask at once both count.
    pub(crate) fn of<E>(
        &self,
        version: &[SourceState],
        name: String,
        count: impl FnOnce() -> Result<i64, E>,
    ) -> Result<i64, E> {
        if let Some(total) = self.known(version, &name) {
            return Ok(total);
        }
        let total = count()?;
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.version != version || counted.totals.len() >= MOST {
            *counted = Counted { version: version.to_vec(), totals: HashMap::new() };
        }
        counted.totals.insert(name, total);
        Ok(total)
    }

    fn known(&self, version: &[SourceState], name: &str) -> Option<i64> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.version == version { counted.totals.get(name).copied() } else { None }
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
    fn a_total_is_counted_once_for_a_version() {
        let totals = Totals::default();
        let of = |version: &[SourceState], name: &str, counted: i64| {
            totals.of::<()>(version, name.to_owned(), || Ok(counted)).unwrap()
        };
        let (old, new) = (version(1), version(2));
        assert_eq!([of(&old, "a", 1), of(&old, "a", 9), of(&old, "b", 2)], [1, 1, 2]);
        assert_eq!([of(&new, "a", 3), of(&new, "a", 9)], [3, 3]);
        assert_eq!(totals.of(&new, "c".to_owned(), || Err("away")), Err("away"));
        assert_eq!(of(&new, "c", 4), 4, "a failure is not remembered");
    }
}
