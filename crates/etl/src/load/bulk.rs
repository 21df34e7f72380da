//! Partitions, and months that are loaded in bulk: their indexes and their spans are made once, behind the rows.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::coin_month;
use kasparro_core::store::observation::{self, month};
use kasparro_core::store::partition::{self, Unfinished};

use super::{LoadError, Loader, Ready, observed_at};
use crate::source::Provenance;

/// A batch of this many records into a month that did not exist is the beginning of a bulk load: the indexes are
/// built once, behind the rows, which costs a third of keeping them up with each.
const BULK_RECORDS: usize = 5_000;

/// So many records that are still to come into a month that has indexes go into a partition of their own: keeping the indexes
/// of a whole month up costs five times as much. A month has not many of them then.
const SPLIT_RECORDS: u64 = 250_000;

impl Loader {
    /// Finds what a killed bulk load has left undone; [`Self::finish`] does it.
    pub(crate) fn recover(&mut self, connection: &mut PgConnection) -> Result<(), LoadError> {
        let source_id = self.source.source_id;
        for Unfinished { month, is_counted } in partition::unfinished(connection, source_id)? {
            self.unfinished.insert(month);
            if !is_counted {
                self.directory.count_later(month, true);
            }
        }
        Ok(())
    }

    /// Does what was put off, with the help of a second connection if there is one: each builds an index at a time.
    pub(crate) fn finish(
        &mut self,
        connection: &mut PgConnection,
        helper: Option<&mut PgConnection>,
    ) -> Result<(), LoadError> {
        let source_id = self.source.source_id;
        let months: Vec<NaiveDate> = self.unfinished.iter().copied().collect();
        let (held, others): (Vec<_>, Vec<_>) =
            months.iter().partition(|month| self.directory.spans_of(**month).is_some());
        let build = |connection: &mut PgConnection| -> QueryResult<()> {
            for month in &months {
                while partition::build_index(connection, source_id, *month)? {}
            }
            Ok(())
        };
        let count_and_build = |connection: &mut PgConnection| -> QueryResult<()> {
            for month in others {
                partition::count(connection, source_id, month)?;
            }
            build(connection)
        };
        std::thread::scope(|scope| {
            if let Some(helper) = helper {
                scope.spawn(|| {
                    if let Err(error) = count_and_build(helper) {
                        log::debug!("no help with the indexes: {error}");
                    }
                });
            }
            for month in held {
                self.write_spans(connection, month)?;
            }
            Ok::<_, LoadError>(build(connection)?)
        })?;
        while let Some(month) = self.unfinished.first().copied() {
            partition::count(connection, source_id, month)?;
            partition::index(connection, source_id, month)?;
            self.unfinished.remove(&month);
        }
        Ok(())
    }

    /// Writes what the observations of a month that was loaded in bulk lie between, unless it is written.
    fn write_spans(&self, connection: &mut PgConnection, month: NaiveDate) -> Result<(), LoadError> {
        let spans = self.directory.spans_of(month).unwrap_or_default();
        connection.transaction(|connection| {
            self.fence(connection)?;
            if partition::set_counted(connection, self.source.source_id, month)? {
                coin_month::insert(connection, self.source.source_id, &spans)?;
            }
            Ok(())
        })
    }

    /// Whether something was put off.
    pub(crate) fn has_unfinished(&self) -> bool {
        !self.unfinished.is_empty()
    }

    /// Whether rows of the batch belong into months that are not known to have a partition.
    pub(crate) fn needs_partitions(&self, ready: &Ready) -> bool {
        months(ready).iter().any(|month| !self.months.contains_key(month))
    }

    /// Makes the partitions that a batch needs. Not within a transaction: what is empty does no harm.
    pub(crate) fn ensure_partitions(
        &mut self,
        connection: &mut PgConnection,
        ready: &Ready,
    ) -> Result<(), LoadError> {
        let source_id = self.source.source_id;
        let wanted = months(ready);
        let bulk = ready.record_count() >= BULK_RECORDS * wanted.len().max(1);
        for month in wanted {
            if self.months.contains_key(&month) {
                continue;
            }
            let is_new = partition::ensure(connection, source_id, month, !bulk)?;
            if is_new && bulk {
                self.unfinished.insert(month);
                self.directory.count_later(month, false);
            } else if !is_new && bulk && self.split(connection, ready, month)? {
                self.unfinished.insert(month);
            }
            self.months.insert(month, None);
        }
        Ok(())
    }

    /// Goes on in a new partition of a month, when what comes is a lot and newer than all that is there.
    fn split(
        &self,
        connection: &mut PgConnection,
        ready: &Ready,
        month: NaiveDate,
    ) -> Result<bool, LoadError> {
        if !self.may_split || self.unfinished.contains(&month) || records_to_come(ready) < SPLIT_RECORDS {
            return Ok(false);
        }
        let source_id = self.source.source_id;
        let times = ready.normalised.records.iter().map(|record| observed_at(record, &ready.raw));
        let oldest = times.filter(|time| observation::month(*time) == Some(month)).min();
        if partition::newest(connection, source_id, month)? >= oldest {
            return Ok(false);
        }
        connection.transaction(|connection| {
            self.fence(connection)?;
            Ok(partition::split(connection, source_id, month)?)
        })
    }

    /// The name of the partition that many rows belong to, if it is one and open.
    pub(super) fn partition_of(
        &mut self,
        connection: &mut PgConnection,
        observed: Option<(DateTime<Utc>, DateTime<Utc>)>,
        rows: usize,
    ) -> QueryResult<Option<String>> {
        let Some((oldest, newest)) = observed.filter(|_| rows >= BULK_RECORDS) else { return Ok(None) };
        let known = month(oldest).filter(|oldest| month(newest) == Some(*oldest));
        let Some((month, open)) = known.and_then(|month| Some((month, self.months.get_mut(&month)?))) else {
            return Ok(None);
        };
        if open.is_none() {
            *open = Some(partition::open(connection, self.source.source_id, month)?);
        }
        Ok(open.as_ref().filter(|open| open.has(oldest)).map(|open| open.name.clone()))
    }
}

/// About how many records the rest of a file has, this batch included; 0 where nobody knows.
fn records_to_come(ready: &Ready) -> u64 {
    let Provenance::File { bytes: (first, last), .. } = &ready.raw.provenance else { return 0 };
    let rest = ready.raw.reached.map_or(0, |reached| reached.of.saturating_sub(*first));
    let records = ready.record_count() as u64;
    records.saturating_mul(rest) / last.saturating_sub(*first).max(1)
}

/// The months that the records of a batch are of.
fn months(ready: &Ready) -> BTreeSet<NaiveDate> {
    let mut months = BTreeSet::new();
    let mut day = None;
    for record in &ready.normalised.records {
        let time = observed_at(record, &ready.raw);
        // Neighbours are mostly of one day.
        let days = time.timestamp().div_euclid(86_400);
        if day != Some(days) {
            day = Some(days);
            months.extend(month(time));
        }
    }
    months
}
