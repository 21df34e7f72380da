//! Reads what is new in one file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hasher;
use chrono::{DateTime, Utc};
use kasparro_core::store::csv_file::FileState;
use serde_json::json;

use super::chunk::{Chunk, ChunkError, Chunker, RECORD_BYTES};
use super::layout::Layout;
use super::map::CsvMap;
use super::paths::{Stat, cannot_read, inspect, shrunk};
use super::resume::{as_count, as_size, digest, seal, start};
use super::scanner::line_ends;
use super::survey::{find_layout, refuse_history};
use super::text::{Input, Text};
use super::time::to_micros;
use crate::failure::{FailureKind, SourceError};
use crate::signal::Cancel;
use crate::source::{Clock, Extracted, Provenance, RawBatch, Reached};

/// How files are read in this extraction.
pub(super) struct Plan {
    /// Records of a batch, at most.
    pub(super) batch_size: usize,
    /// The declared time of rows without one.
    pub(super) as_of: Option<DateTime<Utc>>,
    /// What is declared about the files.
    pub(super) map: Arc<CsvMap>,
    pub(super) clock: Clock,
    pub(super) cancel: Cancel,
}

impl Plan {
    /// Ends the work when the run was asked to end.
    pub(super) fn go_on(&self) -> Result<(), SourceError> {
        if self.cancel.is_set() {
            return Err(SourceError::new(FailureKind::Cancelled, "the run was asked to end"));
        }
        Ok(())
    }
}

/// What a first look at a file says.
pub(super) enum Opened {
    /// It looks as it did when it was read to its end.
    Unchanged,
    /// It holds no record that is not loaded; only its state is to be written.
    NothingNew(FileState),
    Reading(Box<FileReader>),
}

/// A file that is being read.
pub(super) struct FileReader {
    path: PathBuf,
    text: Text,
    chunker: Chunker<Input>,
    layout: Arc<Layout>,
    /// The file before it was read.
    stat: Stat,
    /// What is loaded once the last chunk is.
    state: FileState,
    /// Of the first `state.read_bytes` bytes.
    hasher: Hasher,
    fetched_at: DateTime<Utc>,
    /// Its beginning was loaded before.
    grown: bool,
}

impl FileReader {
    /// Looks at a file and opens it if it holds anything new.
    ///
    /// # Errors
    /// When it cannot be read, or not without guessing.
    pub(super) fn open(path: &Path, known: Option<&FileState>, plan: &Plan) -> Result<Opened, SourceError> {
        plan.go_on()?;
        let stat = inspect(path)?;
        if known.is_some_and(|state| stat.is_that_of(state)) {
            return Ok(Opened::Unchanged);
        }
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        let metadata = file.metadata().map_err(|error| cannot_read(path, &error))?;
        let stat = Stat::of(path, &metadata)?;
        let declared = &*plan.map.of(path);
        let text = Text::open(path, file, stat.size, declared.encoding, plan)?;
        let now = to_micros(plan.clock.now());
        let as_of = declared.as_of.or(plan.as_of);
        let (mut state, hasher) = start(path, &text, known, &stat, as_of, plan, now)?;
        if state.read_bytes > 0 && as_size(state.read_bytes) == text.size {
            seal(&mut state, &stat);
            return Ok(Opened::NothingNew(state));
        }
        let Some(layout) = find_layout(path, &text, declared)? else {
            seal(&mut state, &stat);
            return Ok(Opened::NothingNew(state));
        };
        if layout.time.is_none() {
            refuse_history(path, &text, &layout, plan)?;
        }
        let chunker = chunker_at(path, &text, as_size(state.read_bytes), &layout)?;
        let fetched_at = if layout.time.is_none() { state.as_of } else { now };
        let (path, layout, grown) = (path.to_owned(), Arc::new(layout), state.read_bytes > 0);
        Ok(Opened::Reading(Box::new(Self {
            path,
            text,
            chunker,
            layout,
            stat,
            state,
            hasher,
            fetched_at,
            grown,
        })))
    }

    /// The next batch; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read on. What came before stays loaded.
    pub(super) fn next(&mut self, plan: &Plan) -> Result<Option<Extracted>, SourceError> {
        loop {
            plan.go_on()?;
            let header = if self.state.read_bytes == 0 { self.layout.header_records } else { 0 };
            let chunk = self.chunker.next(plan.batch_size.saturating_add(header));
            let Some(mut chunk) = chunk.map_err(|error| self.chunk_error(error))? else { return Ok(None) };
            let first_byte = as_size(self.state.read_bytes);
            let is_last = first_byte + chunk.bytes.len() as u64 == self.text.size;
            let held_back = chunk.tail > 0 && self.may_be_unfinished(plan)?;
            if held_back {
                chunk.bytes.truncate(chunk.bytes.len() - chunk.tail);
                (chunk.records, chunk.tail) = (chunk.records - 1, 0);
            }
            let first_line = self.state.read_lines + 1;
            self.advance(&chunk);
            if is_last && !held_back {
                seal(&mut self.state, &self.stat);
            }
            if chunk.records > header {
                return Ok(Some(Extracted::Batch(self.batch(chunk, first_byte, first_line))));
            }
            if is_last {
                // Nothing but line ends. A header alone was found out before.
                return Ok((!held_back && header == 0).then(|| Extracted::File(self.state.clone())));
            }
        }
    }

    /// Whether the last line, which has no end, may be one that a writer has not finished. If it is not, it is
    /// loaded; a later run that finds it longer reads it again, and its values are restated. But a row of a key
    /// that was cut off would stay for ever, so it has to wait in a file that grows until that is at rest.
    fn may_be_unfinished(&self, plan: &Plan) -> Result<bool, SourceError> {
        const YOUNG_NS: u64 = 60 * 1_000_000_000;
        let metadata = self.text.metadata().map_err(|error| cannot_read(&self.path, &error))?;
        let changed = Stat::of(&self.path, &metadata)? != self.stat;
        let now = plan.clock.now().timestamp_nanos_opt().unwrap_or(i64::MAX);
        let young = now.saturating_sub(self.stat.modified_ns).unsigned_abs() < YOUNG_NS;
        Ok(changed || (young && self.grown && self.layout.ends_with_key()))
    }

    /// Counts a chunk as loaded, but for a last line without an end. As long as the file is not read to its end
    /// no size is stored, so that a run which is killed leaves a file that looks changed.
    fn advance(&mut self, chunk: &Chunk) {
        let ended = &chunk.bytes[..chunk.bytes.len() - chunk.tail];
        self.hasher.update(ended);
        self.state.read_bytes += as_count(ended.len() as u64);
        self.state.read_lines += as_count(line_ends(ended));
        self.state.prefix_hash = digest(&self.hasher);
        self.state.size_bytes = 0;
    }

    fn batch(&self, chunk: Chunk, first_byte: u64, first_line: i64) -> RawBatch {
        let state = self.state.clone();
        let open_line = !matches!(chunk.bytes.last(), Some(b'\r' | b'\n'));
        // Those of all but the last line have been counted.
        let unended = line_ends(&chunk.bytes[chunk.bytes.len() - chunk.tail..]);
        let last_line = as_size(state.read_lines) + unended + u64::from(open_line);
        let first_line = as_size(first_line);
        RawBatch {
            cursor: json!({ "file": state.path, "line": state.read_lines, "byte": state.read_bytes }),
            fetched_at: self.fetched_at,
            reached: Some(Reached { done: first_byte + chunk.bytes.len() as u64, of: self.text.size }),
            reread: None,
            provenance: Provenance::File {
                lines: (first_line, last_line),
                bytes: (first_byte, first_byte + chunk.bytes.len() as u64),
                layout: Arc::clone(&self.layout),
                state,
            },
            bytes: chunk.bytes,
        }
    }

    fn chunk_error(&self, error: ChunkError) -> SourceError {
        let line = as_size(self.state.read_lines) + 1 + self.chunker.blank_lines_ahead();
        let path = self.path.display();
        let message = match error {
            ChunkError::TooLong { quoted: false } => {
                format!(
                    "{path}: the record that begins in line {line} is longer than {RECORD_BYTES} bytes; correct it"
                )
            }
            ChunkError::TooLong { quoted: true } => format!(
                "{path}: the record that begins in line {line} is longer than {RECORD_BYTES} bytes; close its quote"
            ),
            ChunkError::UnclosedQuote => {
                format!(
                    "{path}: the record that begins in line {line} opens a quote that is never closed; close it"
                )
            }
            ChunkError::Io(error) => return cannot_read(&self.path, &error),
            ChunkError::Truncated => return shrunk(&self.path),
        };
        SourceError::new(FailureKind::Refused, message)
    }
}

fn chunker_at(path: &Path, text: &Text, start: u64, layout: &Layout) -> Result<Chunker<Input>, SourceError> {
    let input = text.reader(start).map_err(|error| cannot_read(path, &error))?;
    if start > 0 {
        return Ok(Chunker::resumed(input, text.size - start, layout.delimiter));
    }
    Ok(Chunker::from_start(input, text.size, layout.delimiter))
}
