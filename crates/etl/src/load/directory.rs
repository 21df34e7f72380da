//! What this run knows of the coins of a source: their keys, names and newest state.
//!
//! The lease makes this process the only writer, so what was read under it stays true until it writes itself.
//! That is why most records need no look-up: newer than the newest is new.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use compact_str::CompactString;
use diesel::{PgConnection, QueryResult};
use kasparro_core::MarketRecord;
use kasparro_core::store::coin::{self, Coin, Label, Latest, NewLabel};
use kasparro_core::store::coin_month::{self, Span};
use kasparro_core::store::observation::{Row, month};

use super::plan::Change;

/// Coins that are remembered at the most; beyond, all are forgotten and read again as needed. Twice the number
/// of coins that the largest source has ever listed.
const MAX_COINS: usize = 100_000;

/// The coins that were met.
pub(super) struct Directory {
    source_id: i16,
    places: HashMap<CompactString, usize>,
    entries: Vec<Entry>,
    /// From the key of a coin to its place.
    by_key: HashMap<i32, usize>,
    /// Places of coins with spans that are not written yet.
    widened: Vec<usize>,
    /// Months that are counted later.
    uncounted: BTreeSet<NaiveDate>,
}

/// Where a record belongs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Its coin, for [`Directory::entry`].
    pub(super) coin: usize,
    /// The key of its name and symbol.
    pub(super) label_id: i32,
}

/// One coin.
pub(super) struct Entry {
    pub(super) coin_id: i32,
    labels: Vec<Label>,
    pub(super) latest: Option<Latest>,
    /// Whether the database has a state of it.
    is_stored: bool,
    /// The time of the last record that this run has met.
    pub(super) met: Option<DateTime<Utc>>,
    /// What the observations that the open transaction writes lie between, by month.
    spans: Vec<(NaiveDate, Span)>,
}

impl Directory {
    pub(super) fn new(source_id: i16) -> Self {
        Self {
            source_id,
            places: HashMap::new(),
            entries: Vec::new(),
            by_key: HashMap::new(),
            widened: Vec::new(),
            uncounted: BTreeSet::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        let uncounted = std::mem::take(&mut self.uncounted);
        *self = Self { uncounted, ..Self::new(self.source_id) };
    }

    /// Whether it is better to begin anew.
    pub(super) fn is_large(&self) -> bool {
        self.entries.len() > MAX_COINS
    }

    /// Learns every coin of the source that exists, unless they are too many.
    pub(super) fn learn_all(&mut self, connection: &mut PgConnection) -> QueryResult<()> {
        for coin in coin::of_source(connection, self.source_id, MAX_COINS as i64 / 2)? {
            self.enter(coin);
        }
        Ok(())
    }

    /// Learns every coin and name of the records, creating what does not exist. Returns the places of the records, and how
    /// many coins were created.
    pub(super) fn learn(
        &mut self,
        connection: &mut PgConnection,
        records: &[MarketRecord],
    ) -> QueryResult<(Vec<Place>, usize)> {
        let place_of = |places: &HashMap<CompactString, usize>, id: &str| places.get(id).copied();
        let known: Vec<Option<usize>> =
            records.iter().map(|record| place_of(&self.places, &record.crypto_id)).collect();
        let unknown = records.iter().zip(&known).filter(|(_, place)| place.is_none());
        let mut missing: Vec<&str> = unknown.map(|(record, _)| record.crypto_id.as_str()).collect();
        let mut created = 0;
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            created = self.find_or_create(connection, missing)?;
        }
        let coins: Vec<usize> = records
            .iter()
            .zip(known)
            .map(|(record, place)| place.unwrap_or_else(|| self.places[&record.crypto_id]))
            .collect();
        Ok((self.learn_labels(connection, records, &coins)?, created))
    }

    fn find_or_create(
        &mut self,
        connection: &mut PgConnection,
        mut missing: Vec<&str>,
    ) -> QueryResult<usize> {
        for coin in coin::find(connection, self.source_id, &missing)? {
            self.enter(coin);
        }
        missing.retain(|id| !self.places.contains_key(*id));
        if missing.is_empty() {
            return Ok(0);
        }
        let created = coin::insert(connection, self.source_id, &missing)?;
        for (coin_id, crypto_id) in created.into_iter().zip(&missing) {
            let crypto_id = (*crypto_id).to_owned();
            self.enter(Coin { coin_id, crypto_id, labels: Vec::new(), latest: None });
        }
        Ok(missing.len())
    }

    fn enter(&mut self, coin: Coin) {
        let place = self.entries.len();
        self.by_key.insert(coin.coin_id, place);
        self.entries.push(Entry {
            coin_id: coin.coin_id,
            labels: coin.labels,
            is_stored: coin.latest.is_some(),
            latest: coin.latest,
            met: None,
            spans: Vec::new(),
        });
        self.places.insert(coin.crypto_id.into(), place);
    }

    fn learn_labels(
        &mut self,
        connection: &mut PgConnection,
        records: &[MarketRecord],
        coins: &[usize],
    ) -> QueryResult<Vec<Place>> {
        let named = |record: &MarketRecord| (record.crypto_name.clone(), record.symbol.clone());
        let label_of = |entries: &[Entry], record: &MarketRecord, coin: usize| {
            entries[coin].label(record.crypto_name.as_deref(), record.symbol.as_deref())
        };
        let known: Vec<Option<i32>> =
            records.iter().zip(coins).map(|(record, &coin)| label_of(&self.entries, record, coin)).collect();
        let unknown = records.iter().zip(coins).zip(&known).filter(|(_, label)| label.is_none());
        let missing: BTreeSet<_> = unknown.map(|((record, &coin), _)| (coin, named(record))).collect();
        if !missing.is_empty() {
            let labels: Vec<NewLabel<'_>> = missing
                .iter()
                .map(|(coin, (crypto_name, symbol))| NewLabel {
                    coin_id: self.entries[*coin].coin_id,
                    crypto_name: crypto_name.as_deref(),
                    symbol: symbol.as_deref(),
                })
                .collect();
            let ids = coin::insert_labels(connection, &labels)?;
            for (label_id, (coin, (crypto_name, symbol))) in ids.into_iter().zip(missing) {
                self.entries[coin].labels.push(Label { label_id, crypto_name, symbol });
            }
        }
        let place = |((record, &coin), label): ((&MarketRecord, &usize), Option<i32>)| Place {
            coin,
            label_id: label.or_else(|| label_of(&self.entries, record, coin)).unwrap_or_default(),
        };
        Ok(records.iter().zip(coins).zip(known).map(place).collect())
    }

    pub(super) fn entry(&mut self, place: usize) -> &mut Entry {
        &mut self.entries[place]
    }

    /// Leaves a month out that is counted when its rows are there.
    pub(super) fn count_later(&mut self, month: NaiveDate) {
        self.uncounted.insert(month);
    }

    /// Takes in an observation that is written, or other values of one that exists.
    pub(super) fn widen(&mut self, place: usize, row: &Row<'_>, is_new: bool) {
        let Some(month) = month(row.observed_at).filter(|month| !self.uncounted.contains(month)) else {
            return;
        };
        let entry = &mut self.entries[place];
        if entry.spans.is_empty() {
            self.widened.push(place);
        }
        // The newest month is nearly always the one.
        if let Some((_, span)) = entry.spans.iter_mut().rev().find(|(known, _)| *known == month) {
            return span.add(row, is_new);
        }
        let mut span = Span::at(row.observed_at);
        span.add(row, is_new);
        entry.spans.push((month, span));
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

    /// Writes what the observations lie between, and the states of these coins.
    pub(super) fn save(
        &mut self,
        connection: &mut PgConnection,
        coin_ids: &BTreeSet<i32>,
    ) -> QueryResult<()> {
        let mut spans = Vec::new();
        for place in std::mem::take(&mut self.widened) {
            let Entry { coin_id, spans: of_coin, .. } = &mut self.entries[place];
            spans.extend(of_coin.drain(..).map(|(month, span)| (month, *coin_id, span)));
        }
        spans.sort_unstable_by_key(|(month, coin_id, _)| (*month, *coin_id));
        coin_month::widen(connection, self.source_id, &spans)?;
        let entries = || coin_ids.iter().map(|coin_id| &self.entries[self.by_key[coin_id]]);
        let states = |is_stored: bool| -> Vec<(i32, &Latest)> {
            let wanted = entries().filter(|entry| entry.is_stored == is_stored);
            wanted.filter_map(|entry| Some((entry.coin_id, entry.latest.as_ref()?))).collect()
        };
        coin::insert_latest(connection, self.source_id, &states(false))?;
        coin::update_latest(connection, self.source_id, &states(true))?;
        for coin_id in coin_ids {
            let entry = &mut self.entries[self.by_key[coin_id]];
            entry.is_stored = entry.latest.is_some();
        }
        Ok(())
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
