//! Partitions, and months that are loaded in bulk: their indexes and their spans are made once, behind the rows.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::coin_month;
use kasparro_core::store::observation::{self, month};

use super::{LoadError, Loader, Ready, observed_at};

/// A batch of this many records into a month that did not exist is the beginning of a bulk load: the indexes are
/// built once, behind the rows, which costs a third of keeping them up with each.
const BULK_RECORDS: usize = 5_000;

impl Loader {
    /// Finds what a killed bulk load has left undone; [`Self::finish`] does it.
    pub(crate) fn recover(&mut self, connection: &mut PgConnection) -> Result<(), LoadError> {
        let source_id = self.source.source_id;
        for month in observation::unfinished_partitions(connection, source_id)? {
            self.finish_later(month, true);
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
                while observation::build_index(connection, source_id, *month)? {}
            }
            Ok(())
        };
        let count_and_build = |connection: &mut PgConnection| -> QueryResult<()> {
            for month in others {
                observation::count_partition(connection, source_id, month)?;
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
            observation::count_partition(connection, source_id, month)?;
            observation::index_partition(connection, source_id, month)?;
            self.unfinished.remove(&month);
        }
        Ok(())
    }

    /// Writes what the observations of a month that was loaded in bulk lie between, unless it is written.
    fn write_spans(&self, connection: &mut PgConnection, month: NaiveDate) -> Result<(), LoadError> {
        let spans = self.directory.spans_of(month).unwrap_or_default();
        connection.transaction(|connection| {
            self.fence(connection)?;
            if observation::set_counted(connection, self.source.source_id, month)? {
                coin_month::insert(connection, self.source.source_id, &spans)?;
            }
            Ok(())
        })
    }

    fn finish_later(&mut self, month: NaiveDate, begun: bool) {
        self.unfinished.insert(month);
        self.directory.count_later(month, begun);
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
        let wanted = months(ready);
        let bulk = ready.record_count() >= BULK_RECORDS * wanted.len().max(1);
        for month in wanted {
            if !self.months.contains_key(&month) {
                if observation::ensure_partition(connection, self.source.source_id, month, !bulk)? && bulk {
                    self.finish_later(month, false);
                }
                self.months.insert(month, None);
            }
        }
        Ok(())
    }

    /// The name of the partition that many rows belong to, if it is one.
    pub(super) fn partition_of(
        &mut self,
        connection: &mut PgConnection,
        observed: Option<(DateTime<Utc>, DateTime<Utc>)>,
        rows: usize,
    ) -> QueryResult<Option<String>> {
        let Some((oldest, newest)) = observed.filter(|_| rows >= BULK_RECORDS) else { return Ok(None) };
        let known = month(oldest).filter(|oldest| month(newest) == Some(*oldest));
        let Some((month, name)) = known.and_then(|month| Some((month, self.months.get_mut(&month)?))) else {
            return Ok(None);
        };
        if name.is_none() {
            *name = Some(observation::partition_name(connection, self.source.source_id, month)?);
        }
        Ok(name.clone())
    }
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
