//! What becomes of each record of a batch: new, restated, unchanged or duplicate. Decides, and writes nothing.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use kasparro_core::MarketRecord;
use kasparro_core::store::coin::Latest;
use kasparro_core::store::observation::{Key, Row, Stored};
use kasparro_core::store::run::Tally;

use super::directory::Directory;

/// Stands for the key of the batch that is being written, which is not known yet.
pub(super) const THIS_BATCH: i64 = 0;

/// A batch between having been read and having been decided.
pub(super) struct Plan {
    tally: Tally,
    new: Vec<Row>,
    restated: Vec<Row>,
    superseded: BTreeMap<i64, i32>,
    latest: BTreeMap<i32, Latest>,
    /// Rows not newer than the newest of their coin: the database knows whether they exist.
    older: Vec<(usize, Row)>,
    older_keys: Vec<Key>,
}

/// What is to be written.
pub(super) struct Outcome {
    /// Sorted by key: neighbours in the index.
    pub(super) new: Vec<Row>,
    pub(super) restated: Vec<Row>,
    /// How many rows of which earlier batch are restated.
    pub(super) superseded: BTreeMap<i64, i32>,
    /// New states of coins, by key.
    pub(super) latest: BTreeMap<i32, Latest>,
    pub(super) tally: Tally,
}

impl Plan {
    /// Decides all that needs no look-up.
    pub(super) fn new(
        directory: &mut Directory,
        records: &[MarketRecord],
        fetched_at: DateTime<Utc>,
    ) -> Self {
        let mut plan = Self {
            tally: Tally::default(),
            new: Vec::new(),
            restated: Vec::new(),
            superseded: BTreeMap::new(),
            latest: BTreeMap::new(),
            older: Vec::new(),
            older_keys: Vec::new(),
        };
        for (place, row, timed) in plan.last_of_each_key(directory, records, fetched_at) {
            plan.decide(directory, place, row, timed);
        }
        plan
    }

    /// One row a key, sorted by key; of several records for one key the last one counts.
    fn last_of_each_key(
        &mut self,
        directory: &mut Directory,
        records: &[MarketRecord],
        fetched_at: DateTime<Utc>,
    ) -> Vec<(usize, Row, bool)> {
        let mut rows: Vec<(usize, Row, bool)> = Vec::with_capacity(records.len());
        for record in records {
            let (place, label_id) = directory.resolve(record);
            let row = Row {
                coin_id: directory.entry(place).coin_id,
                observed_at: record.observed_at.unwrap_or(fetched_at),
                label_id,
                raw_position: i32::try_from(record.position).unwrap_or(i32::MAX),
                values: record.values.clone(),
            };
            rows.push((place, row, record.observed_at.is_some()));
        }
        let key = |row: &Row| (row.coin_id, row.observed_at);
        rows.sort_by_key(|(_, row, _)| (key(row), row.raw_position));
        let before = rows.len();
        rows.dedup_by(|later, earlier| {
            let same = key(&later.1) == key(&earlier.1);
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        self.tally.duplicate += (before - rows.len()) as i64;
        rows
    }

    fn decide(&mut self, directory: &mut Directory, place: usize, row: Row, timed: bool) {
        let entry = directory.entry(place);
        let met_before = entry.met.replace(row.observed_at) == Some(row.observed_at);
        let Some(latest) = entry.latest.as_ref() else { return self.add(directory, place, row) };
        let same = latest.label_id == row.label_id && latest.values == row.values;
        // A record without a time says nothing new unless it differs from what was said last.
        let says_the_same =
            same && (latest.observed_at == row.observed_at || !timed && row.observed_at > latest.observed_at);
        if says_the_same {
            // The second time within a run is a coin that stands on two pages.
            if met_before { self.tally.duplicate += 1 } else { self.tally.unchanged += 1 }
        } else if row.observed_at > latest.observed_at {
            self.add(directory, place, row);
        } else {
            self.older_keys.push((row.coin_id, row.observed_at));
            self.older.push((place, row));
        }
    }

    /// Keys whose observations must be looked up.
    pub(super) fn older_keys(&self) -> &[Key] {
        &self.older_keys
    }

    /// Decides what was left, with the observations that exist under [`Self::older_keys`].
    pub(super) fn compare_older(&mut self, directory: &mut Directory, found: Vec<(Key, Stored)>) {
        let found: HashMap<Key, Stored> = found.into_iter().collect();
        for (place, row) in std::mem::take(&mut self.older) {
            match found.get(&(row.coin_id, row.observed_at)) {
                None => self.add(directory, place, row),
                Some(stored) if stored.label_id == row.label_id && stored.values == row.values => {
                    self.tally.unchanged += 1;
                }
                Some(stored) => self.restate(directory, place, row, stored.batch_id),
            }
        }
    }

    fn add(&mut self, directory: &mut Directory, place: usize, row: Row) {
        self.tally.loaded += 1;
        let state = self.state(directory, place, &row);
        state.observations += 1;
        state.first_observed_at = state.first_observed_at.min(row.observed_at);
        if row.observed_at >= state.observed_at {
            show(state, &row);
        }
        self.new.push(row);
    }

    fn restate(&mut self, directory: &mut Directory, place: usize, row: Row, old_batch: i64) {
        self.tally.restated += 1;
        *self.superseded.entry(old_batch).or_default() += 1;
        if directory.entry(place).latest.as_ref().is_some_and(|latest| latest.observed_at == row.observed_at)
        {
            let state = self.state(directory, place, &row);
            // The same batch may have brought something newer.
            if state.observed_at == row.observed_at {
                show(state, &row);
            }
        }
        self.restated.push(row);
    }

    /// The state of a coin as this batch leaves it so far.
    fn state(&mut self, directory: &mut Directory, place: usize, row: &Row) -> &mut Latest {
        let entry = directory.entry(place);
        self.latest.entry(row.coin_id).or_insert_with(|| {
            entry.latest.clone().unwrap_or_else(|| Latest {
                observed_at: row.observed_at,
                first_observed_at: row.observed_at,
                observations: 0,
                batch_id: THIS_BATCH,
                label_id: row.label_id,
                raw_position: row.raw_position,
                values: row.values.clone(),
            })
        })
    }

    pub(super) fn finish(mut self) -> Outcome {
        self.new.sort_by_key(|row| (row.coin_id, row.observed_at));
        Outcome {
            new: self.new,
            restated: self.restated,
            superseded: self.superseded,
            latest: self.latest,
            tally: self.tally,
        }
    }
}

impl Outcome {
    /// Oldest and newest time among the rows to be written.
    pub(super) fn observed(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let times = || self.new.iter().chain(&self.restated).map(|row| row.observed_at);
        Some((times().min()?, times().max()?))
    }
}

/// Makes a row the newest state.
fn show(state: &mut Latest, row: &Row) {
    state.observed_at = row.observed_at;
    state.batch_id = THIS_BATCH;
    state.label_id = row.label_id;
    state.raw_position = row.raw_position;
    state.values = row.values.clone();
}
