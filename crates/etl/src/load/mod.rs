//! One batch, one transaction: raw bytes, observations, latest state, rejects, counters and checkpoint
//! commit together or not at all.

mod directory;
mod plan;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::layout as record_layout;
use kasparro_core::store::run::Tally;
use kasparro_core::store::source::{Added, SourceKey};
use kasparro_core::store::{batch, checkpoint, coin, csv_file, lease, observation, raw, reject, run, source};
use kasparro_core::{MarketRecord, Reject};
use sha2::{Digest, Sha256};

use crate::source::{Normalised, Provenance, RawBatch};
use directory::Directory;
use plan::Plan;

/// A batch that is ready to be written.
pub(crate) struct Ready {
    pub(crate) raw: RawBatch,
    pub(crate) sha256: [u8; 32],
    pub(crate) normalised: Normalised,
}

impl Ready {
    pub(crate) fn new(raw: RawBatch, normalised: Normalised) -> Self {
        let sha256 = Sha256::digest(&raw.bytes).into();
        Self { raw, sha256, normalised }
    }

    fn record_count(&self) -> usize {
        self.normalised.records.len() + self.normalised.rejects.len()
    }
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Another run has taken the source over.
    #[error("another run has taken this source over")]
    LeaseLost,
    /// What the database says; nothing of the batch was kept, unless the connection broke during the commit.
    #[error("{0}")]
    Database(#[from] diesel::result::Error),
}

/// What one committed batch brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) tally: Tally,
    /// Number of the batch within its source.
    pub(crate) number: i64,
}

/// Writes the batches of one source in one run.
pub(crate) struct Loader {
    pub(crate) source: SourceKey,
    pub(crate) run_id: i64,
    pub(crate) epoch: i64,
    directory: Directory,
    /// Months whose partition is known to exist.
    months: BTreeSet<NaiveDate>,
    /// Those of them that have no indexes yet.
    unindexed: BTreeSet<NaiveDate>,
}

/// A batch of this many records into a month that did not exist is the beginning of a bulk load: the indexes are
/// built once, behind the rows, which costs a third of keeping them up with each.
const BULK_RECORDS: usize = 5_000;

impl Loader {
    pub(crate) fn new(source: SourceKey, run_id: i64, epoch: i64) -> Self {
        let directory = Directory::new(source.source_id);
        Self { source, run_id, epoch, directory, months: BTreeSet::new(), unindexed: BTreeSet::new() }
    }

    /// Finds what a killed bulk load has left undone; [`Self::finish`] does it.
    pub(crate) fn recover(&mut self, connection: &mut PgConnection) -> Result<(), LoadError> {
        let source_id = self.source.source_id;
        self.unindexed.extend(observation::partitions_without_indexes(connection, source_id)?);
        Ok(())
    }

    /// Builds the indexes that were put off, with the help of a second connection if there is one: each builds one at a
    /// time.
    pub(crate) fn finish(
        &mut self,
        connection: &mut PgConnection,
        helper: Option<&mut PgConnection>,
    ) -> Result<(), LoadError> {
        let (source_id, months) = (self.source.source_id, &self.unindexed);
        let build = |connection: &mut PgConnection| -> QueryResult<()> {
            for month in months {
                while observation::build_index(connection, source_id, *month)? {}
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            if let Some(helper) = helper {
                scope.spawn(|| {
                    if let Err(error) = build(helper) {
                        log::debug!("no help with the indexes: {error}");
                    }
                });
            }
            build(connection)
        })?;
        while let Some(month) = self.unindexed.first().copied() {
            observation::index_partition(connection, source_id, month)?;
            self.unindexed.remove(&month);
        }
        Ok(())
    }

    /// Whether indexes were put off.
    pub(crate) fn has_unindexed(&self) -> bool {
        !self.unindexed.is_empty()
    }

    /// Writes one batch.
    ///
    /// # Errors
    /// See [`LoadError`]; the loader can be used again after any of them.
    pub(crate) fn write(
        &mut self,
        connection: &mut PgConnection,
        ready: &Ready,
    ) -> Result<Written, LoadError> {
        self.ensure_partitions(connection, ready)?;
        let written = connection.transaction(|connection| self.write_in_transaction(connection, ready));
        if written.is_err() {
            // It may hold keys that were rolled back.
            self.directory.clear();
        }
        written
    }

    /// Forgets what was read from the database, after a doubt about what was committed.
    pub(crate) fn forget(&mut self) {
        self.directory.clear();
    }

    /// Writes the state of a file that holds nothing new.
    pub(crate) fn note_file(
        &mut self,
        connection: &mut PgConnection,
        state: &csv_file::FileState,
    ) -> Result<(), LoadError> {
        connection.transaction(|connection| {
            self.fence(connection)?;
            csv_file::save(connection, state)?;
            Ok(())
        })
    }

    /// Keeps the bytes of a body that was refused as a whole.
    pub(crate) fn keep_refused(
        &mut self,
        connection: &mut PgConnection,
        batch: &RawBatch,
    ) -> Result<(), LoadError> {
        let sha256: [u8; 32] = Sha256::digest(&batch.bytes).into();
        connection.transaction(|connection| {
            self.fence(connection)?;
            // The file stays as far read as it is: the next run meets the chunk again.
            self.keep_raw(connection, batch, &sha256, 0, csv_file::enter)?;
            Ok(())
        })
    }

    fn fence(&self, connection: &mut PgConnection) -> Result<(), LoadError> {
        if lease::fence(connection, &self.source.name, self.epoch)? {
            Ok(())
        } else {
            Err(LoadError::LeaseLost)
        }
    }

    fn ensure_partitions(&mut self, connection: &mut PgConnection, ready: &Ready) -> Result<(), LoadError> {
        let times = ready.normalised.records.iter().map(|record| observed_at(record, &ready.raw));
        let wanted: BTreeSet<NaiveDate> = times.filter_map(month).collect();
        let bulk = ready.record_count() >= BULK_RECORDS * wanted.len().max(1);
        for month in wanted {
            if !self.months.contains(&month) {
                if observation::ensure_partition(connection, self.source.source_id, month, !bulk)? && bulk {
                    self.unindexed.insert(month);
                }
                self.months.insert(month);
            }
        }
        Ok(())
    }

    /// Looks existing observations up; without an index that would read whole months.
    fn find_older(
        &mut self,
        connection: &mut PgConnection,
        keys: &[observation::Key],
    ) -> Result<Vec<(observation::Key, observation::Stored)>, LoadError> {
        let months: BTreeSet<NaiveDate> = keys.iter().filter_map(|key| month(key.1)).collect();
        for month in months.intersection(&self.unindexed) {
            observation::index_partition(connection, self.source.source_id, *month)?;
        }
        Ok(observation::find(connection, self.source.source_id, keys)?)
    }

    fn write_in_transaction(
        &mut self,
        connection: &mut PgConnection,
        ready: &Ready,
    ) -> Result<Written, LoadError> {
        self.fence(connection)?;
        let records = &ready.normalised.records;
        let new_coins = self.directory.learn(connection, records)?;
        let mut plan = Plan::new(&mut self.directory, records, ready.raw.fetched_at);
        let older = self.find_older(connection, plan.older_keys())?;
        plan.compare_older(&mut self.directory, older);
        let outcome = plan.finish();
        let tally = Tally { rejected: ready.normalised.rejects.len() as i64, ..outcome.tally };

        let raw =
            self.keep_raw(connection, &ready.raw, &ready.sha256, ready.record_count(), csv_file::save)?;
        let added = Added {
            coins: new_coins as i64,
            observations: tally.loaded,
            raw_records: if raw.is_new { ready.record_count() as i64 } else { 0 },
        };
        let number = source::count_batch(connection, self.source.source_id, added)?;
        let batch_id = batch::insert(
            connection,
            &batch::NewBatch {
                run_id: self.run_id,
                source: &self.source.name,
                number,
                lease_epoch: self.epoch,
                raw: raw.key,
                origin: &ready.raw.origin(),
                tally,
                observed: outcome.observed(),
                coin_ids: &outcome.coin_ids,
            },
        )?;
        observation::append(connection, self.source.source_id, batch_id, &outcome.new)?;
        observation::restate(connection, self.source.source_id, batch_id, &outcome.restated)?;
        for (&old_batch, &rows) in &outcome.superseded {
            batch::supersede(connection, old_batch, rows)?;
        }
        self.directory.apply(&outcome.changes, batch_id);
        coin::save_latest(connection, self.source.source_id, &self.directory.states(outcome.changes.keys()))?;
        reject::keep(connection, &self.source.name, batch_id, &rejects(&ready.normalised.rejects))?;
        run::count_batch(connection, self.run_id, &self.source.name, &tally)?;
        self.advance_checkpoint(connection, ready, number)?;
        Ok(Written { tally, number })
    }

    fn keep_raw(
        &self,
        connection: &mut PgConnection,
        batch: &RawBatch,
        sha256: &[u8; 32],
        records: usize,
        file_of: fn(&mut PgConnection, &csv_file::FileState) -> QueryResult<i64>,
    ) -> Result<KeptRaw, LoadError> {
        let record_count = i32::try_from(records).unwrap_or(i32::MAX);
        let kept = match &batch.provenance {
            Provenance::Http { url, status, content_type } => {
                let body = raw::NewBody {
                    source: &self.source.name,
                    url,
                    status: i16::try_from(*status).unwrap_or(i16::MAX),
                    content_type: content_type.as_deref(),
                    fetched_at: batch.fetched_at,
                    sha256,
                    record_count,
                    body: &batch.bytes,
                };
                let kept = raw::keep_body(connection, &body)?;
                KeptRaw { key: batch::RawKey::Api(kept.raw_id), is_new: kept.is_new }
            }
            Provenance::File { state, lines, bytes, layout } => {
                let file_id = file_of(connection, state)?;
                let file = Some((file_id, state.generation));
                record_layout::declare(connection, &self.source.name, file, &layout.declared())?;
                let chunk = raw::NewChunk {
                    source: &self.source.name,
                    file_id,
                    generation: state.generation,
                    first_line: lines.0 as i64,
                    last_line: lines.1 as i64,
                    first_byte: bytes.0 as i64,
                    end_byte: bytes.1 as i64,
                    sha256,
                    record_count,
                    body: &batch.bytes,
                };
                let kept = raw::keep_chunk(connection, &chunk)?;
                KeptRaw { key: batch::RawKey::Csv(kept.raw_id), is_new: kept.is_new }
            }
        };
        Ok(kept)
    }

    fn advance_checkpoint(
        &self,
        connection: &mut PgConnection,
        ready: &Ready,
        batch_number: i64,
    ) -> Result<(), LoadError> {
        let records = &ready.normalised.records;
        let newest = records.iter().map(|record| observed_at(record, &ready.raw)).max();
        let advance = checkpoint::Advance {
            source: &self.source.name,
            last_processed_id: records.last().map(|record| record.crypto_id.as_str()),
            newest,
            cursor: &ready.raw.cursor,
            batch_number,
        };
        checkpoint::advance(connection, &advance)?;
        Ok(())
    }
}

struct KeptRaw {
    key: batch::RawKey,
    is_new: bool,
}

fn month(time: DateTime<Utc>) -> Option<NaiveDate> {
    time.date_naive().with_day(1)
}

fn observed_at(record: &MarketRecord, batch: &RawBatch) -> DateTime<Utc> {
    record.observed_at.unwrap_or(batch.fetched_at)
}

/// Longest excerpt of a refused record, in bytes.
const MAX_EXCERPT_BYTES: usize = 1024;

/// Refused records as they are stored: the same one once, with a count.
pub(crate) fn rejects(rejects: &[Reject]) -> Vec<reject::NewReject> {
    let mut kept: std::collections::BTreeMap<Vec<u8>, reject::NewReject> = std::collections::BTreeMap::new();
    for one in rejects {
        let fingerprint = Sha256::new()
            .chain_update(one.code.as_str())
            .chain_update([0])
            .chain_update(one.field.as_deref().unwrap_or_default())
            .chain_update([0])
            .chain_update(&one.raw)
            .finalize()
            .to_vec();
        let new = || reject::NewReject {
            fingerprint: fingerprint.clone(),
            code: one.code.as_str(),
            field: one.field.clone(),
            message: storable(one.message.as_bytes()),
            excerpt: storable(&one.raw),
            raw_position: i32::try_from(one.position).unwrap_or(i32::MAX),
            times: 0,
        };
        kept.entry(fingerprint.clone()).or_insert_with(new).times += 1;
    }
    kept.into_values().collect()
}

/// The beginning of something unreadable as text that Postgres takes.
fn storable(bytes: &[u8]) -> String {
    let text =
        String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_EXCERPT_BYTES)]).replace('\0', "\u{fffd}");
    let mut end = text.len().min(MAX_EXCERPT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
