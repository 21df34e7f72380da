//! Raw bytes, observations, latest state, rejects, counters and checkpoint commit together or not at all: one
//! transaction for a few batches that are ready at the same time.

mod bulk;
mod directory;
mod plan;
mod standing;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use compact_str::CompactString;
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::layout as record_layout;
use kasparro_core::store::observation::month;
use kasparro_core::store::raw::Packed;
use kasparro_core::store::run::Tally;
use kasparro_core::store::source::{Added, SourceKey};
use kasparro_core::store::{
    batch, checkpoint, csv_file, lease, observation, partition, raw, reject, run, source,
};
use kasparro_core::{MarketRecord, Reject};
use sha2::{Digest, Sha256};

use crate::failure::{FailureKind, SourceError};
use crate::source::{Normalised, Provenance, RawBatch, Source};
use directory::Directory;
use plan::Plan;
use standing::Standing;

/// A batch that is ready to be written.
pub(crate) struct Ready {
    /// Its bytes have moved to `packed`.
    pub(crate) raw: RawBatch,
    /// The bytes as they are kept.
    packed: Packed,
    sha256: [u8; 32],
    pub(crate) normalised: Normalised,
    has_records: bool,
}

impl Ready {
    pub(crate) fn new(mut raw: RawBatch, normalised: Normalised) -> Self {
        let bytes = std::mem::take(&mut raw.bytes);
        let (sha256, packed) = (Sha256::digest(&bytes).into(), Packed::new(&bytes));
        Self { raw, packed, sha256, normalised, has_records: true }
    }

    /// The exact bytes that it was made of.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, SourceError> {
        self.packed
            .unpack()
            .map_err(|error| SourceError::new(FailureKind::Io, format!("packed bytes: {error}")))
    }

    /// Drops the records once they are written; they can be made again.
    pub(crate) fn drop_records(&mut self) {
        self.normalised = Normalised::default();
        self.has_records = false;
    }

    /// Makes the records again, if they were dropped.
    pub(crate) fn make_records(&mut self, source: &dyn Source) -> Result<(), SourceError> {
        if !self.has_records {
            self.raw.bytes = self.bytes()?;
            self.normalised = source.normalise(&self.raw)?;
            self.raw.bytes = Vec::new();
            self.has_records = true;
        }
        Ok(())
    }

    /// Memory that it takes without its records.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.packed.size()
    }

    pub(crate) fn record_count(&self) -> usize {
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
    /// The records of a batch that is to be written again could not be made again.
    #[error("{0}")]
    Source(#[from] SourceError),
}

/// What one batch brought.
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
    may_split: bool,
    directory: Directory,
    /// Months whose partition is known to exist, with the open one where it was needed.
    months: BTreeMap<NaiveDate, Option<partition::Open>>,
    /// Months that are loaded in bulk: the open partition has no indexes, and most are not counted.
    unfinished: BTreeSet<NaiveDate>,
    /// What the open transaction has still to write when its last batch is there.
    open: Open,
    /// Key and generation of the file whose layout is on record.
    declared: Option<(i64, i32)>,
}

/// What the batches of the open transaction come to.
#[derive(Default)]
struct Open {
    batches: i64,
    tally: Tally,
    /// Number of the newest of them.
    number: i64,
    /// Coins whose newest state has changed; one may occur several times.
    changed: Vec<i32>,
    /// For the checkpoint: newest time, last id, and where the source goes on.
    newest: Option<DateTime<Utc>>,
    last_id: Option<CompactString>,
    cursor: serde_json::Value,
}

impl Loader {
    /// `may_split` unless all of it happens in one transaction: the partitions of readers are then not to be touched.
    pub(crate) fn new(source: SourceKey, run_id: i64, epoch: i64, may_split: bool) -> Self {
        Self {
            run_id,
            epoch,
            may_split,
            directory: Directory::new(source.source_id),
            months: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            open: Open::default(),
            declared: None,
            source,
        }
    }

    /// Reads what the records of the first batch will be compared with, while that is still on its way. The lease must be
    /// held: what another process writes would not be seen.
    pub(crate) fn look_ahead(&mut self, connection: &mut PgConnection) -> Result<(), LoadError> {
        self.directory.clear();
        Ok(self.directory.learn_all(connection)?)
    }

    /// Forgets what was read from the database and what was not committed: after an error, or a doubt about what was
    /// committed.
    pub(crate) fn forget(&mut self) {
        self.directory.clear();
        self.open = Open::default();
        self.declared = None;
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
            let packed = Packed::new(&batch.bytes);
            self.keep_raw(connection, batch, &sha256, &packed, 0, csv_file::enter)?;
            Ok(())
        })
    }

    /// Locks the lease until the end of the transaction; the first statement of each.
    pub(crate) fn fence(&self, connection: &mut PgConnection) -> Result<(), LoadError> {
        if lease::fence(connection, &self.source.name, self.epoch)? {
            Ok(())
        } else {
            Err(LoadError::LeaseLost)
        }
    }

    /// Looks existing observations up; without an index that would read whole months.
    fn find_older(
        &mut self,
        connection: &mut PgConnection,
        keys: &[observation::Key],
    ) -> Result<Vec<(observation::Key, observation::Stored)>, LoadError> {
        let source_id = self.source.source_id;
        let months: BTreeSet<NaiveDate> = keys.iter().filter_map(|key| month(key.1)).collect();
        for month in months.intersection(&self.unfinished) {
            let open = partition::open(connection, source_id, *month)?;
            // What is closed has its indexes.
            if keys.iter().any(|key| observation::month(key.1) == Some(*month) && open.has(key.1)) {
                partition::index(connection, source_id, *month)?;
            }
        }
        Ok(observation::find(connection, source_id, keys)?)
    }

    /// Writes one batch within the open transaction, which [`Self::settle`] completes.
    ///
    /// # Errors
    /// See [`LoadError`]; then the transaction is to be rolled back and [`Self::forget`] to be called.
    pub(crate) fn write(
        &mut self,
        connection: &mut PgConnection,
        ready: &Ready,
    ) -> Result<Written, LoadError> {
        let records = &ready.normalised.records;
        if self.directory.is_large() {
            self.save_latest(connection)?;
            self.directory.clear();
        }
        let (places, new_coins) = self.directory.learn(connection, records)?;
        let mut plan = Plan::new(&mut self.directory, records, &places, ready.raw.fetched_at);
        while let Some(older) = plan.take_older() {
            let keys: Vec<observation::Key> =
                older.iter().map(|(_, row)| (row.coin_id, row.observed_at)).collect();
            let found = self.find_older(connection, &keys)?;
            let standing = match ready.raw.reread {
                Some(reread) => Standing::of(connection, reread, &found)?,
                None => Standing::default(),
            };
            plan.compare_older(&mut self.directory, older, found, &standing);
        }
        let outcome = plan.finish();
        let tally = Tally { rejected: ready.normalised.rejects.len() as i64, ..outcome.tally };

        let raw = self.keep_raw(
            connection,
            &ready.raw,
            &ready.sha256,
            &ready.packed,
            ready.record_count(),
            csv_file::save,
        )?;
        let added = Added {
            coins: new_coins as i64,
            observations: tally.loaded,
            raw_records: if raw.is_new { ready.record_count() as i64 } else { 0 },
        };
        let number = source::count_batch(connection, self.source.source_id, added)?;
        let observed = outcome.observed();
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
                observed,
                coin_ids: &outcome.coin_ids,
            },
        )?;
        let source_id = self.source.source_id;
        let partition = self.partition_of(connection, observed, outcome.new.len())?;
        let mut intake = self.directory.intake(&outcome.changes, batch_id);
        let sent = |rows: &[observation::Row<'_>]| intake.add(rows);
        observation::append(connection, source_id, batch_id, partition.as_deref(), &outcome.new, sent)?;
        intake.finish();
        observation::restate(connection, self.source.source_id, batch_id, &outcome.restated)?;
        for (&old_batch, &rows) in &outcome.superseded {
            batch::supersede(connection, old_batch, rows)?;
        }
        reject::keep(connection, &self.source.name, batch_id, &rejects(&ready.normalised.rejects))?;
        self.open.changed.extend(outcome.changes.keys());
        self.open.add(ready, tally, number, observed.map(|(_, newest)| newest));
        Ok(Written { tally, number })
    }

    /// Writes what the batches of the open transaction have in common: the newest state of each coin once, the counters
    /// of the run and the checkpoint.
    pub(crate) fn settle(&mut self, connection: &mut PgConnection) -> Result<(), LoadError> {
        self.save_latest(connection)?;
        let open = std::mem::take(&mut self.open);
        run::count_batches(connection, self.run_id, &self.source.name, open.batches, &open.tally)?;
        let advance = checkpoint::Advance {
            source: &self.source.name,
            last_processed_id: open.last_id.as_deref(),
            newest: open.newest,
            cursor: &open.cursor,
            batch_number: open.number,
        };
        checkpoint::advance(connection, &advance)?;
        Ok(())
    }

    fn save_latest(&mut self, connection: &mut PgConnection) -> Result<(), LoadError> {
        let mut changed = std::mem::take(&mut self.open.changed);
        changed.sort_unstable();
        changed.dedup();
        Ok(self.directory.save(connection, &changed)?)
    }

    fn keep_raw(
        &mut self,
        connection: &mut PgConnection,
        batch: &RawBatch,
        sha256: &[u8; 32],
        packed: &Packed,
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
                };
                let kept = raw::keep_body(connection, &body, packed)?;
                KeptRaw { key: batch::RawKey::Api(kept.raw_id), is_new: kept.is_new }
            }
            Provenance::File { state, lines, bytes, layout } => {
                let file_id = file_of(connection, state)?;
                let file = Some((file_id, state.generation));
                if self.declared != file {
                    record_layout::declare(connection, &self.source.name, file, &layout.declared())?;
                    self.declared = file;
                }
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
                };
                let kept = raw::keep_chunk(connection, &chunk, packed)?;
                KeptRaw { key: batch::RawKey::Csv(kept.raw_id), is_new: kept.is_new }
            }
        };
        Ok(kept)
    }
}

impl Open {
    /// `written` is the newest time among the rows that were written: what says again what was known, and carries no time, is
    /// no newer observation.
    fn add(&mut self, ready: &Ready, tally: Tally, number: i64, written: Option<DateTime<Utc>>) {
        let records = &ready.normalised.records;
        self.batches += 1;
        self.tally += tally;
        self.number = number;
        self.newest =
            self.newest.max(written).max(records.iter().filter_map(|record| record.observed_at).max());
        if let Some(last) = records.last() {
            self.last_id = Some(last.crypto_id.clone());
        }
        self.cursor.clone_from(&ready.raw.cursor);
    }
}

struct KeptRaw {
    key: batch::RawKey,
    is_new: bool,
}

fn observed_at(record: &MarketRecord, batch: &RawBatch) -> DateTime<Utc> {
    record.observed_at.unwrap_or(batch.fetched_at)
}

/// Longest excerpt of a refused record, in bytes.
const MAX_EXCERPT_BYTES: usize = 1024;

/// Refused records as they are stored: the same one once, with a count.
pub(crate) fn rejects(rejects: &[Reject]) -> Vec<reject::NewReject> {
    let mut kept: BTreeMap<Vec<u8>, reject::NewReject> = BTreeMap::new();
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
