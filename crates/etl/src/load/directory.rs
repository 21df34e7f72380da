//! What this run knows of the coins of a source: their keys, names and newest state.
//!
//! The lease makes this process the only writer, so what was read under it stays true until it writes itself.
//! That is why most records need no look-up: newer than the newest is new.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use kasparro_core::MarketRecord;
use kasparro_core::store::coin::{self, Coin, Label, Latest, NewLabel};
use kasparro_core::store::observation::Row;

use super::plan::Change;

/// Coins that are remembered at the most; beyond, all are forgotten and read again as needed. Twice the number
/// of coins that the largest source has ever listed.
const MAX_COINS: usize = 100_000;

/// The coins that were met.
pub(super) struct Directory {
    source_id: i16,
    places: HashMap<String, usize>,
    entries: Vec<Entry>,
    /// From the key of a coin to its place.
    by_key: HashMap<i32, usize>,
}

/// One coin.
pub(super) struct Entry {
    pub(super) coin_id: i32,
    labels: Vec<Label>,
    pub(super) latest: Option<Latest>,
    /// The time of the last record that this run has met.
    pub(super) met: Option<DateTime<Utc>>,
}

impl Directory {
    pub(super) fn new(source_id: i16) -> Self {
        Self { source_id, places: HashMap::new(), entries: Vec::new(), by_key: HashMap::new() }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.source_id);
    }

    /// Learns every coin and name of the records, creating what does not exist. Returns how many coins were
    /// created.
    pub(super) fn learn(
        &mut self,
        connection: &mut PgConnection,
        records: &[MarketRecord],
    ) -> QueryResult<usize> {
        if self.entries.len() > MAX_COINS {
            self.clear();
        }
        let mut missing = self.unknown_ids(records);
        if !missing.is_empty() {
            for coin in coin::find(connection, self.source_id, &missing)? {
                self.enter(coin);
            }
            missing.retain(|id| !self.places.contains_key(*id));
        }
        let created = coin::insert(connection, self.source_id, &missing)?;
        for (coin_id, crypto_id) in created.into_iter().zip(&missing) {
            self.enter(Coin {
                coin_id,
                crypto_id: (*crypto_id).to_owned(),
                labels: Vec::new(),
                latest: None,
            });
        }
        self.learn_labels(connection, records)?;
        Ok(missing.len())
    }

    fn unknown_ids<'r>(&self, records: &'r [MarketRecord]) -> Vec<&'r str> {
        let ids = records.iter().map(|record| record.crypto_id.as_str());
        let mut ids: Vec<&str> = ids.filter(|id| !self.places.contains_key(*id)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn enter(&mut self, coin: Coin) {
        let place = self.entries.len();
        self.by_key.insert(coin.coin_id, place);
        self.entries.push(Entry {
            coin_id: coin.coin_id,
            labels: coin.labels,
            latest: coin.latest,
            met: None,
        });
        self.places.insert(coin.crypto_id, place);
    }

    fn learn_labels(&mut self, connection: &mut PgConnection, records: &[MarketRecord]) -> QueryResult<()> {
        let mut missing: BTreeMap<(i32, Option<&str>, Option<&str>), usize> = BTreeMap::new();
        for record in records {
            let place = self.places[&record.crypto_id];
            let (name, symbol) = (record.crypto_name.as_deref(), record.symbol.as_deref());
            if self.entries[place].label(name, symbol).is_none() {
                missing.insert((self.entries[place].coin_id, name, symbol), place);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let new = |&(coin_id, crypto_name, symbol): &(i32, _, _)| NewLabel { coin_id, crypto_name, symbol };
        let labels: Vec<NewLabel<'_>> = missing.keys().map(new).collect();
        let ids = coin::insert_labels(connection, &labels)?;
        for (label_id, ((_, name, symbol), place)) in ids.into_iter().zip(missing) {
            let label =
                Label { label_id, crypto_name: name.map(str::to_owned), symbol: symbol.map(str::to_owned) };
            self.entries[place].labels.push(label);
        }
        Ok(())
    }

    /// The coin of a record, and the key of its name. Only for records that were learnt.
    pub(super) fn resolve(&self, record: &MarketRecord) -> (usize, i32) {
        let place = self.places[&record.crypto_id];
        let label = self.entries[place].label(record.crypto_name.as_deref(), record.symbol.as_deref());
        (place, label.unwrap_or_default())
    }

    pub(super) fn entry(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place]
    }

    /// Takes over what a batch changes.
    pub(super) fn apply(&mut self, changes: &BTreeMap<i32, Change<'_>>, batch_id: i64) {
        for (coin_id, change) in changes {
            let latest = &mut self.entries[self.by_key[coin_id]].latest;
            match (latest.as_mut(), &change.shown) {
                (_, Some(row)) => *latest = Some(shown(change, row, batch_id)),
                (Some(latest), None) => {
                    latest.first_observed_at = change.first_observed_at;
                    latest.observations = change.observations;
                }
                // A coin without a state gets one from its first row.
                (None, None) => {}
            }
        }
    }

    /// The states of these coins.
    pub(super) fn states<'d>(&'d self, coin_ids: impl Iterator<Item = &'d i32>) -> Vec<(i32, &'d Latest)> {
        coin_ids
            .filter_map(|coin_id| Some((*coin_id, self.entries[self.by_key[coin_id]].latest.as_ref()?)))
            .collect()
    }
}

impl Entry {
    fn label(&self, name: Option<&str>, symbol: Option<&str>) -> Option<i32> {
        // The newest name is nearly always the one.
        self.labels
            .iter()
            .rev()
            .find(|label| label.crypto_name.as_deref() == name && label.symbol.as_deref() == symbol)
            .map(|label| label.label_id)
    }
}

fn shown(change: &Change<'_>, row: &Row<'_>, batch_id: i64) -> Latest {
    Latest {
        observed_at: row.observed_at,
        first_observed_at: change.first_observed_at,
        observations: change.observations,
        batch_id,
        label_id: row.label_id,
        raw_position: row.raw_position,
        values: row.values.clone(),
    }
}
