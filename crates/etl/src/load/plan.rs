//! What becomes of each record of a batch: new, restated, unchanged or duplicate. Decides, and writes nothing.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use kasparro_core::MarketRecord;
use kasparro_core::store::observation::{Key, Row, Stored};
use kasparro_core::store::run::Tally;

use super::directory::{Directory, Entry, Place};
use super::standing::Standing;

/// A batch between having been read and having been decided.
pub(super) struct Plan<'r> {
    tally: Tally,
    new: Vec<Row<'r>>,
    restated: Vec<Row<'r>>,
    superseded: BTreeMap<i64, i32>,
    changes: BTreeMap<i32, Change<'r>>,
    /// Rows not newer than the newest of their coin: the database knows whether they exist.
    older: Vec<Older<'r>>,
    coin_ids: Vec<i32>,
}

/// The place of its coin in the directory, and a row that is not newer than the newest of that.
pub(super) type Older<'r> = (usize, Row<'r>);

/// Keys that are looked up at once: what is found is held in memory twice, as it came and as it is compared.
const LOOKED_UP: usize = 4_096;

/// What is to be written.
pub(super) struct Outcome<'r> {
    /// Sorted by key: neighbours in the index.
    pub(super) new: Vec<Row<'r>>,
    /// Sorted likewise.
    pub(super) restated: Vec<Row<'r>>,
    /// How many rows of which earlier batch are restated.
    pub(super) superseded: BTreeMap<i64, i32>,
    /// What becomes of the newest state of coins, by key.
    pub(super) changes: BTreeMap<i32, Change<'r>>,
    pub(super) tally: Tally,
    /// Coins that the records are about, sorted, each once.
    pub(super) coin_ids: Vec<i32>,
}

/// How a batch changes the newest state of a coin.
pub(super) struct Change<'r> {
    /// Where the directory has the coin.
    pub(super) place: usize,
    pub(super) observed_at: DateTime<Utc>,
    pub(super) first_observed_at: DateTime<Utc>,
    pub(super) observations: i64,
    /// The row that is the newest now; `None` when it is still the one that it was.
    pub(super) shown: Option<Row<'r>>,
}

impl<'r> Change<'r> {
    fn of(place: usize, entry: &Entry, row: &Row<'_>) -> Self {
        let latest = entry.latest.as_ref();
        Self {
            place,
            observed_at: latest.map_or(row.observed_at, |latest| latest.observed_at),
            first_observed_at: latest.map_or(row.observed_at, |latest| latest.first_observed_at),
            observations: latest.map_or(0, |latest| latest.observations),
            shown: None,
        }
    }

    fn show(&mut self, row: Row<'r>) {
        self.observed_at = row.observed_at;
        self.shown = Some(row);
    }
}

impl<'r> Plan<'r> {
    /// Decides all that needs no look-up.
    pub(super) fn new(
        directory: &mut Directory,
        records: &'r [MarketRecord],
        places: &[Place],
        fetched_at: DateTime<Utc>,
    ) -> Self {
        let mut plan = Self {
            tally: Tally::default(),
            new: Vec::new(),
            restated: Vec::new(),
            superseded: BTreeMap::new(),
            changes: BTreeMap::new(),
            older: Vec::new(),
            coin_ids: Vec::new(),
        };
        for (place, row, timed) in plan.last_of_each_key(directory, records, places, fetched_at) {
            plan.decide(directory, place, row, timed);
        }
        plan
    }

    /// One row a key, sorted by key; of several records for one key the last one counts.
    fn last_of_each_key(
        &mut self,
        directory: &mut Directory,
        records: &'r [MarketRecord],
        places: &[Place],
        fetched_at: DateTime<Utc>,
    ) -> Vec<(usize, Row<'r>, bool)> {
        let mut rows: Vec<(usize, Row<'r>, bool)> = Vec::with_capacity(records.len());
        for (record, &Place { coin: place, label_id }) in records.iter().zip(places) {
            let row = Row {
                coin_id: directory.entry(place).coin_id,
                observed_at: record.observed_at.unwrap_or(fetched_at),
                label_id,
                raw_position: i32::try_from(record.position).unwrap_or(i32::MAX),
                values: &record.values,
            };
            rows.push((place, row, record.observed_at.is_some()));
        }
        let key = |row: &Row<'_>| (row.coin_id, row.observed_at);
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
        self.coin_ids.extend(rows.iter().map(|(_, row, _)| row.coin_id));
        self.coin_ids.dedup();
        rows
    }

    fn decide(&mut self, directory: &mut Directory, place: usize, row: Row<'r>, timed: bool) {
        let entry = directory.entry(place);
        let met_before = entry.met.replace(row.observed_at) == Some(row.observed_at);
        let Some(latest) = entry.latest.as_ref() else { return self.add(directory, place, row) };
        // A record without a time says nothing new unless it differs from what was said last.
        let says_the_same = (latest.observed_at == row.observed_at
            || !timed && row.observed_at > latest.observed_at)
            && latest.label_id == row.label_id
            && latest.values == *row.values;
        if says_the_same {
            // The second time within a run is a coin that stands on two pages.
            if met_before { self.tally.duplicate += 1 } else { self.tally.unchanged += 1 }
        } else if row.observed_at > latest.observed_at {
            self.add(directory, place, row);
        } else {
            self.older.push((place, row));
        }
    }

    /// Takes some of the rows whose keys must be looked up, until none is left.
    pub(super) fn take_older(&mut self) -> Option<Vec<Older<'r>>> {
        let taken = self.older.split_off(self.older.len().saturating_sub(LOOKED_UP));
        (!taken.is_empty()).then_some(taken)
    }

    /// Decides about rows that were taken, with the observations that exist under their keys, and with what stands against
    /// them.
    pub(super) fn compare_older(
        &mut self,
        directory: &mut Directory,
        older: Vec<Older<'r>>,
        found: Vec<(Key, Stored)>,
        standing: &Standing,
    ) {
        let found: HashMap<Key, Stored> = found.into_iter().collect();
        for (place, row) in older {
            match found.get(&(row.coin_id, row.observed_at)) {
                None if standing.was_pruned(row.observed_at) => self.tally.unchanged += 1,
                None => self.add(directory, place, row),
                Some(stored) if standing.is_newer(stored) => self.tally.unchanged += 1,
                Some(stored) if stored.label_id == row.label_id && stored.values == *row.values => {
                    self.tally.unchanged += 1;
                }
                Some(stored) => self.restate(directory, place, row, stored.batch_id),
            }
        }
    }

    fn add(&mut self, directory: &mut Directory, place: usize, row: Row<'r>) {
        self.tally.loaded += 1;
        let change = self.change(directory, place, &row);
        change.observations += 1;
        change.first_observed_at = change.first_observed_at.min(row.observed_at);
        if row.observed_at >= change.observed_at {
            change.show(row);
        }
        self.new.push(row);
    }

    fn restate(&mut self, directory: &mut Directory, place: usize, row: Row<'r>, old_batch: i64) {
        self.tally.restated += 1;
        directory.widen(place, &row, false);
        *self.superseded.entry(old_batch).or_default() += 1;
        let latest = directory.entry(place).latest.as_ref().map(|latest| latest.observed_at);
        if latest == Some(row.observed_at) {
            let change = self.change(directory, place, &row);
            // The same batch may have brought something newer.
            if change.observed_at == row.observed_at {
                change.show(row);
            }
        }
        self.restated.push(row);
    }

    fn change(&mut self, directory: &mut Directory, place: usize, row: &Row<'_>) -> &mut Change<'r> {
        self.changes.entry(row.coin_id).or_insert_with(|| Change::of(place, directory.entry(place), row))
    }

    pub(super) fn finish(mut self) -> Outcome<'r> {
        self.new.sort_by_key(|row| (row.coin_id, row.observed_at));
        self.restated.sort_by_key(|row| (row.coin_id, row.observed_at));
        Outcome {
            new: self.new,
            restated: self.restated,
            superseded: self.superseded,
            changes: self.changes,
            tally: self.tally,
            coin_ids: self.coin_ids,
        }
    }
}

impl Outcome<'_> {
    /// Oldest and newest time among the rows to be written.
    pub(super) fn observed(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let times = || self.new.iter().chain(&self.restated).map(|row| row.observed_at);
        Some((times().min()?, times().max()?))
    }
}
