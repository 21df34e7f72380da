//! Bytes that are kept, read as if they had just come: the extraction of `reprocess`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::vec;

use diesel::{PgConnection, QueryResult};
use kasparro_core::MarketRecord;
use kasparro_core::store::batch::RawKey;
use kasparro_core::store::kept::{self, Wanted};
use kasparro_core::store::{checkpoint, csv_file};

use crate::database;
use crate::failure::SourceError;
use crate::load::Ready;
use crate::source::{Extracted, Provenance, RawBatch};
use crate::sources::csv::{BEGINNING_BYTES, CsvMap, Layout, layout_of};

/// Which kept bytes are read again.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// All that fit.
    Wanted(Wanted),
    /// These, by source.
    These(BTreeMap<String, Vec<RawKey>>),
}

/// The batches of one source, in the order in which their bytes came.
pub(super) struct Kept {
    connection: PgConnection,
    keys: vec::IntoIter<RawKey>,
    /// Where the source goes on; reading again does not move it.
    cursor: serde_json::Value,
    files: HashMap<i64, csv_file::FileState>,
    layouts: HashMap<(i64, i32), Arc<Layout>>,
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
            Ok((keys, point.map_or_else(|| serde_json::json!({}), |point| point.cursor)))
        };
        let (keys, cursor) = found().map_err(|error| database::failure(&error))?;
        let (files, layouts) = (HashMap::new(), HashMap::new());
        Ok(Self { connection, keys: keys.into_iter(), cursor, files, layouts, map })
    }

    fn read(&mut self, key: RawKey) -> Result<RawBatch, SourceError> {
        match key {
            RawKey::Api(raw_id) => self.body(raw_id),
            RawKey::Csv(raw_id) => self.chunk(raw_id),
        }
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
        })
    }

    fn chunk(&mut self, raw_id: i64) -> Result<RawBatch, SourceError> {
        let failed = |error| database::failure(&error);
        let (chunk, bytes) = kept::chunk(&mut self.connection, raw_id).map_err(failed)?;
        let state = self.file(chunk.file_id).map_err(failed)?;
        let layout = self.layout(&state.path, chunk.file_id, chunk.generation)?;
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

    fn layout(&mut self, path: &str, file_id: i64, generation: i32) -> Result<Arc<Layout>, SourceError> {
        if let Some(layout) = self.layouts.get(&(file_id, generation)) {
            return Ok(Arc::clone(layout));
        }
        let beginning = kept::beginning(&mut self.connection, file_id, generation, BEGINNING_BYTES)
            .map_err(|error| database::failure(&error))?;
        let layout = Arc::new(layout_of(path, &beginning, &self.map)?);
        self.layouts.insert((file_id, generation), Arc::clone(&layout));
        Ok(layout)
    }
}

impl Iterator for Kept {
    type Item = Result<Extracted, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.keys.next()?;
        Some(self.read(key).map(Extracted::Batch))
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
