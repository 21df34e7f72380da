//! Bytes that are kept, read as if they had just come: the extraction of `reprocess`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::vec;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use kasparro_core::MarketRecord;
use kasparro_core::store::batch::RawKey;
use kasparro_core::store::kept::{self, Wanted};
use kasparro_core::store::{checkpoint, csv_file, source};

use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::load::Ready;
use crate::source::{Extracted, Provenance, RawBatch, Reread};
use crate::sources::csv::{BEGINNING_BYTES, CsvMap, Layout, layout_of};

/// Which kept bytes are read again.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// All that fit.
    Wanted(Wanted),
    /// These, by source.
    These(BTreeMap<String, Vec<RawKey>>),
}

/// The batches of one source, in the order in which their bytes were published last.
pub(super) struct Kept {
    connection: PgConnection,
    source: String,
    keys: vec::IntoIter<RawKey>,
    pruned_before: Option<DateTime<Utc>>,
    /// What could not be read: one file does not stop the others.
    failures: Vec<SourceError>,
    /// Where the source goes on; reading again does not move it.
    cursor: serde_json::Value,
    files: HashMap<i64, csv_file::FileState>,
    /// By the first chunk of the file.
    layouts: HashMap<i64, Arc<Layout>>,
    /// What is declared about CSV files today.
    map: Arc<CsvMap>,
}

impl Kept {
    /// Finds the bytes. Over a connection of its own: the other one is in the middle of a batch when the next is read.
    pub(super) fn open(
        mut connection: PgConnection,
        source: &str,
        selection: &Selection,
        map: Arc<CsvMap>,
    ) -> Result<Self, SourceError> {
        let mut found = || -> QueryResult<_> {
            let keys = match selection {
                Selection::Wanted(wanted) => kept::keys(&mut connection, source, wanted)?,
                Selection::These(keys) => keys.get(source).cloned().unwrap_or_default(),
            };
            let point = checkpoint::find(&mut connection, source)?;
            let cursor = point.map_or_else(|| serde_json::json!({}), |point| point.cursor);
            Ok((keys, cursor, source::pruned_before(&mut connection, source)?))
        };
        let (keys, cursor, pruned_before) = found().map_err(|error| database::failure(&error))?;
        Ok(Self {
            connection,
            source: source.to_owned(),
            keys: keys.into_iter(),
            pruned_before,
            failures: Vec::new(),
            cursor,
            files: HashMap::new(),
            layouts: HashMap::new(),
            map,
        })
    }

    fn read(&mut self, key: RawKey) -> Result<RawBatch, SourceError> {
        let published = kept::publication(&mut self.connection, &self.source, key)
            .map_err(|error| database::failure(&error))?;
        let batch = match key {
            RawKey::Api(raw_id) => self.body(raw_id),
            RawKey::Csv(raw_id) => self.chunk(raw_id),
        }?;
        Ok(RawBatch { reread: Some(Reread { published, pruned_before: self.pruned_before }), ..batch })
    }

    fn body(&mut self, raw_id: i64) -> Result<RawBatch, SourceError> {
        let (body, bytes) =
            kept::body(&mut self.connection, raw_id).map_err(|error| database::failure(&error))?;
        let status = u16::try_from(body.status).unwrap_or_default();
        Ok(RawBatch {
            bytes,
            fetched_at: body.fetched_at,
            provenance: Provenance::Http { url: body.url, status, content_type: body.content_type },
            cursor: self.cursor.clone(),
            reached: None,
            reread: None,
        })
    }

    fn chunk(&mut self, raw_id: i64) -> Result<RawBatch, SourceError> {
        let failed = |error| database::failure(&error);
        let (chunk, bytes) = kept::chunk(&mut self.connection, raw_id).map_err(failed)?;
        let state = self.file(chunk.file_id).map_err(failed)?;
        let layout = self.layout(&state.path, raw_id, &chunk)?;
        let mut fetched_at = chunk.fetched_at;
        if !layout.has_times() {
            // The rows are of the time at which the file was read first, which a later generation has overwritten.
            let current = Some(state.as_of).filter(|_| state.generation == chunk.generation);
            let written = kept::observed_from(&mut self.connection, raw_id).map_err(failed)?;
            fetched_at = written.or(current).unwrap_or(fetched_at);
        }
        let pair = |from: i64, to: i64| (from.unsigned_abs(), to.unsigned_abs());
        Ok(RawBatch {
            fetched_at,
            provenance: Provenance::File {
                state,
                lines: pair(chunk.first_line, chunk.last_line),
                bytes: pair(chunk.first_byte, chunk.end_byte),
                layout,
            },
            cursor: self.cursor.clone(),
            reached: None,
            reread: None,
            bytes,
        })
    }

    /// The state of a file as it is: it goes back unchanged.
    fn file(&mut self, file_id: i64) -> QueryResult<csv_file::FileState> {
        if let Some(state) = self.files.get(&file_id) {
            return Ok(state.clone());
        }
        let state = csv_file::find(&mut self.connection, file_id)?;
        self.files.insert(file_id, state.clone());
        Ok(state)
    }

    fn layout(&mut self, path: &str, raw_id: i64, chunk: &kept::Chunk) -> Result<Arc<Layout>, SourceError> {
        let failed = |error| database::failure(&error);
        let first = kept::first_chunk(&mut self.connection, raw_id, chunk).map_err(failed)?;
        if let Some(layout) = first.and_then(|first| self.layouts.get(&first)) {
            return Ok(Arc::clone(layout));
        }
        let beginning = match first {
            Some(first) => kept::beginning(&mut self.connection, first, BEGINNING_BYTES).map_err(failed)?,
            None => Vec::new(),
        };
        let layout = Arc::new(layout_of(path, &beginning, &self.map)?);
        self.layouts.extend(first.map(|first| (first, Arc::clone(&layout))));
        Ok(layout)
    }
}

impl Iterator for Kept {
    type Item = Result<Extracted, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(key) = self.keys.next() {
            match self.read(key) {
                // The chunks of a file fail for the same reason.
                Err(error) if error.kind == FailureKind::Refused => {
                    if !self.failures.iter().any(|known| known.message == error.message) {
                        self.failures.push(error);
                    }
                }
                read => return Some(read.map(Extracted::Batch)),
            }
        }
        SourceError::joined(std::mem::take(&mut self.failures)).map(Err)
    }
}

/// Gives records without a time that of the observation which says the same: at the time of reading it was the
/// newest, and nothing was stored. Without this it would be compared with what became known only later.
pub(super) fn date_records(
    connection: &mut PgConnection,
    source_id: i16,
    ready: &mut Ready,
) -> QueryResult<()> {
    let records = &mut ready.normalised.records;
    let undated = records.iter().filter(|record| record.observed_at.is_none());
    let ids: Vec<&str> = undated.map(|record| record.crypto_id.as_str()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let known = kept::known_at(connection, source_id, &ids, ready.raw.fetched_at)?;
    let known: HashMap<&str, &kept::Known> = known.iter().map(|one| (one.crypto_id.as_str(), one)).collect();
    for record in records.iter_mut().filter(|record| record.observed_at.is_none()) {
        record.observed_at = known
            .get(record.crypto_id.as_str())
            .filter(|known| says(record, known))
            .map(|known| known.observed_at);
    }
    Ok(())
}

fn says(record: &MarketRecord, known: &kept::Known) -> bool {
    record.crypto_name.as_deref() == known.crypto_name.as_deref()
        && record.symbol.as_deref() == known.symbol.as_deref()
        && record.values == known.values
}
