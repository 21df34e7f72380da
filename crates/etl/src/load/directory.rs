//! What this run knows of the coins of a source: their keys, names and newest state.
//!
//! The lease makes this process the only writer, so what was read under it stays true until it writes itself.
//! That is why most records need no look-up: newer than the newest is new.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map};
use std::iter::Peekable;

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

/// Spans of months that are counted later that are held at the most, about 100 bytes each.
const MOST_HELD: usize = 50_000;

/// What the observations of a coin in a month lie between, with the month and the coin.
type CoinMonth = (NaiveDate, i32, Span);

/// The coins that were met.
pub(super) struct Directory {
    source_id: i16,
    /// Whether every coin of the source is here: what is not does not exist.
    is_whole: bool,
    places: HashMap<CompactString, usize>,
    entries: Vec<Entry>,
    /// From the key of a coin to its place.
    by_key: HashMap<i32, usize>,
    /// Places of coins with spans that are not written yet.
    widened: Vec<usize>,
    /// Months that are counted when all their rows are there, and whether the spans of all of those are held until then.
    uncounted: BTreeMap<NaiveDate, bool>,
    /// How many are held.
    held: usize,
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
    /// What the observations that the open transaction writes lie between, by month; and those of months that are
    /// counted later.
    spans: Vec<(NaiveDate, Span)>,
}

impl Directory {
    pub(super) fn new(source_id: i16) -> Self {
        Self {
            source_id,
            is_whole: false,
            places: HashMap::new(),
            entries: Vec::new(),
            by_key: HashMap::new(),
            widened: Vec::new(),
            uncounted: BTreeMap::new(),
            held: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        let uncounted = self.uncounted.keys().map(|month| (*month, false)).collect();
        *self = Self { uncounted, ..Self::new(self.source_id) };
    }

    /// Whether it is better to begin anew.
    pub(super) fn is_large(&self) -> bool {
        self.entries.len() > MAX_COINS
    }

    /// Learns every coin of the source that exists, unless they are too many.
    pub(super) fn learn_all(&mut self, connection: &mut PgConnection) -> QueryResult<()> {
        let all = coin::of_source(connection, self.source_id, MAX_COINS as i64 / 2)?;
        self.is_whole = all.is_some();
        all.into_iter().flatten().for_each(|coin| self.enter(coin));
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
        // In the order in which they come: rows that are sorted by the keys of their coins are then mostly read in the order in
        // which they lie in memory.
        let mut met = HashSet::new();
        let ids = unknown.map(|(record, _)| record.crypto_id.as_str());
        let missing: Vec<&str> = ids.filter(|id| met.insert(*id)).collect();
        let created = if missing.is_empty() { 0 } else { self.find_or_create(connection, missing)? };
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
        if !self.is_whole {
            for coin in coin::find(connection, self.source_id, &missing)? {
                self.enter(coin);
            }
            missing.retain(|id| !self.places.contains_key(*id));
        }
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

    /// Holds the spans of a month until all its rows are there. When some already are (`begun`), the rows are counted then.
    pub(super) fn count_later(&mut self, month: NaiveDate, begun: bool) {
        self.uncounted.insert(month, !begun);
    }

    /// What the observations of a month that is counted later lie between, by coin; `None` unless this has seen all.
    pub(super) fn spans_of(&self, month: NaiveDate) -> Option<Vec<CoinMonth>> {
        self.uncounted.get(&month).filter(|is_held| **is_held)?;
        let entries = self.widened.iter().map(|place| &self.entries[*place]);
        let spans =
            entries.flat_map(|entry| entry.spans.iter().map(|(of, span)| (*of, entry.coin_id, *span)));
        let mut spans: Vec<_> = spans.filter(|(of, ..)| *of == month).collect();
        spans.sort_unstable_by_key(|(_, coin_id, _)| *coin_id);
        Some(spans)
    }

    /// Lets go of the spans that are held: there are too many.
    fn let_go(&mut self) {
        self.widened.retain(|place| {
            let spans = &mut self.entries[*place].spans;
            spans.retain(|(month, _)| !self.uncounted.contains_key(month));
            !spans.is_empty()
        });
        self.uncounted.values_mut().for_each(|is_held| *is_held = false);
        self.held = 0;
    }

    /// Takes in an observation that is written, or other values of one that exists.
    pub(super) fn widen(&mut self, place: usize, row: &Row<'_>, is_new: bool) {
        let Some(month) = month(row.observed_at) else { return };
        let is_held = self.uncounted.get(&month).copied();
        if is_held == Some(false) {
            return;
        }
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
        // Most coins have one or two: room for four each would be megabytes.
        entry.spans.reserve_exact(1);
        entry.spans.push((month, span));
        self.held += usize::from(is_held.is_some());
        if self.held > MOST_HELD {
            self.let_go();
        }
    }

    /// Begins to take over what a batch changes.
    pub(super) fn intake<'d, 'r>(
        &'d mut self,
        changes: &'d BTreeMap<i32, Change<'r>>,
        batch_id: i64,
    ) -> Intake<'d, 'r> {
        Intake { directory: self, changes: changes.iter().peekable(), reached: 0, batch_id }
    }

    /// The spans of months that are not counted later: of coins that the database knows no observation of, and of others.
    fn take_due_spans(&mut self) -> (Vec<CoinMonth>, Vec<CoinMonth>) {
        let (mut first, mut further) = (Vec::new(), Vec::new());
        let is_due = |month: &NaiveDate| !self.uncounted.contains_key(month);
        self.widened.retain(|place| {
            let Entry { coin_id, spans: of_coin, is_stored, .. } = &mut self.entries[*place];
            let due = of_coin.extract_if(.., |(month, _)| is_due(month));
            let spans = if *is_stored { &mut further } else { &mut first };
            spans.extend(due.map(|(month, span)| (month, *coin_id, span)));
            !of_coin.is_empty()
        });
        for spans in [&mut first, &mut further] {
            spans.sort_unstable_by_key(|(month, coin_id, _)| (*month, *coin_id));
        }
        (first, further)
    }

    /// Writes what the observations lie between, and the states of these coins.
    pub(super) fn save(&mut self, connection: &mut PgConnection, coin_ids: &[i32]) -> QueryResult<()> {
        let (first, further) = self.take_due_spans();
        coin_month::insert(connection, self.source_id, &first)?;
        coin_month::widen(connection, self.source_id, &further)?;
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

/// Takes over what a batch changes, some rows after the other.
pub(super) struct Intake<'d, 'r> {
    directory: &'d mut Directory,
    /// Those that are not taken over yet, by coin.
    changes: Peekable<btree_map::Iter<'d, i32, Change<'r>>>,
    /// The place of the coin whose change was taken over last.
    reached: usize,
    batch_id: i64,
}

impl Intake<'_, '_> {
    /// Takes in new rows, which come in the order of their coins, and what becomes of these: every coin with new rows
    /// changes.
    pub(super) fn add(&mut self, rows: &[Row<'_>]) {
        for of_coin in rows.chunk_by(|a, b| a.coin_id == b.coin_id) {
            self.apply(of_coin[0].coin_id);
            for row in of_coin {
                self.directory.widen(self.reached, row, true);
            }
        }
    }

    /// Takes over what is left, of coins without new rows.
    pub(super) fn finish(mut self) {
        self.apply(i32::MAX);
    }

    /// Takes over the changes up to a coin. The rows of one may come in several pieces: its change is then taken over already.
    fn apply(&mut self, last: i32) {
        while let Some((_, change)) = self.changes.next_if(|(coin_id, _)| **coin_id <= last) {
            self.reached = change.place;
            self.directory.entries[change.place].apply(change, self.batch_id);
        }
    }
}

impl Entry {
    fn apply(&mut self, change: &Change<'_>, batch_id: i64) {
        match (self.latest.as_mut(), &change.shown) {
            (_, Some(row)) => self.latest = Some(shown(change, row, batch_id)),
            (Some(latest), None) => {
                latest.first_observed_at = change.first_observed_at;
                latest.observations = change.observations;
            }
            // A coin without a state gets one from its first row.
            (None, None) => {}
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Months;
    use kasparro_core::Values;

    const COINS: i32 = 1_000;

    fn first_day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2020, 1, 1).unwrap()
    }

    /// Takes in an observation of each of so many coins in a month.
    fn take_in(directory: &mut Directory, month: NaiveDate, coins: i32) {
        let (observed_at, values) = (month.and_time(Default::default()).and_utc(), Values::default());
        for coin_id in 0..coins {
            let row = Row { coin_id, observed_at, label_id: 1, raw_position: 0, values: &values };
            directory.widen(coin_id as usize, &row, true);
        }
    }

    fn with_coins() -> Directory {
        let mut directory = Directory::new(1);
        for coin_id in 0..COINS {
            let crypto_id = coin_id.to_string();
            directory.enter(Coin { coin_id, crypto_id, labels: Vec::new(), latest: None });
        }
        directory
    }

    #[test]
    fn what_is_counted_later_is_held_unless_some_of_it_was_not_seen() {
        let mut directory = with_coins();
        let [seen, begun, other] = [0, 1, 2].map(|months| first_day() + Months::new(months));
        directory.count_later(seen, false);
        directory.count_later(begun, true);
        for month in [seen, begun, other] {
            take_in(&mut directory, month, COINS);
        }
        let coins = directory.spans_of(seen).unwrap();
        assert!(
            coins.iter().map(|(month, coin_id, _)| (*month, *coin_id)).eq((0..COINS).map(|id| (seen, id)))
        );
        assert!(directory.spans_of(begun).is_none() && directory.spans_of(other).is_none());
        directory.clear();
        assert!(directory.spans_of(seen).is_none(), "what was held is forgotten");
    }

    #[test]
    fn too_many_spans_are_let_go_but_for_those_that_are_written_with_their_batch() {
        let mut directory = with_coins();
        let written = first_day();
        take_in(&mut directory, written, COINS / 2);
        let later = |months| first_day() + Months::new(months);
        for month in (1..=51).map(later) {
            directory.count_later(month, false);
            take_in(&mut directory, month, COINS);
        }
        assert!((1..=51).map(later).all(|month| directory.spans_of(month).is_none()));
        let spans = directory.entries.iter().flat_map(|entry| &entry.spans);
        assert!(spans.map(|(month, _)| *month).eq((0..COINS / 2).map(|_| written)));
        let next = later(52);
        directory.count_later(next, false);
        take_in(&mut directory, next, COINS);
        take_in(&mut directory, next, COINS);
        assert_eq!(directory.spans_of(next).unwrap().len(), COINS as usize, "each coin once");
    }
}
