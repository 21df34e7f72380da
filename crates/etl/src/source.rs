//! What a source is: it extracts (all I/O) and normalises (pure). Nothing else knows its format.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use kasparro_core::store::csv_file::FileState;
use kasparro_core::store::layout;
use kasparro_core::{MarketRecord, Reject};

use crate::failure::SourceError;
use crate::http::Client;
use crate::signal::Cancel;
use crate::sources::contract::Contract;
use crate::sources::csv::Layout;

/// One place where market data comes from. Its name is in the registry.
pub(crate) trait Source: Send + Sync {
    /// Reads what is new, lazily and in bounded memory: at most one batch is held.
    ///
    /// # Errors
    /// When nothing can be read at all; what fails later is an item of the iterator and its last one.
    fn extract<'s>(&'s self, context: &'s Extraction) -> Result<Extract<'s>, SourceError>;

    /// Brings the records of one batch to the unified form. Pure: no clock, no I/O.
    ///
    /// # Errors
    /// When the bytes as a whole are not what the source promises; a bad record is a [`Reject`].
    fn normalise(&self, batch: &RawBatch) -> Result<Normalised, SourceError>;

    /// Whether an extraction has ended before the source did: what it did not have may be there all the same.
    fn was_cut_short(&self) -> bool {
        false
    }

    /// Where the fields of its records come from, for whoever looks an observation up; `None` for a source whose every
    /// file says so itself.
    fn layout(&self) -> Option<layout::Layout> {
        None
    }

    /// What its records look like; `None` for a source whose every file says so itself.
    fn contract(&self) -> Option<&'static Contract> {
        None
    }
}

/// What [`Source::extract`] yields.
pub(crate) type Extract<'s> = Box<dyn Iterator<Item = Result<Extracted, SourceError>> + Send + 's>;

/// One step of an extraction.
pub(crate) enum Extracted {
    /// Bytes that hold records.
    Batch(RawBatch),
    /// A file that holds nothing new but looks different on disk: only its state is to be written.
    File(FileState),
}

/// The exact bytes of one body or chunk, and where they came from.
pub(crate) struct RawBatch {
    pub(crate) bytes: Vec<u8>,
    /// By the clock of the database. Records without a time of their own are observed now.
    pub(crate) fetched_at: DateTime<Utc>,
    pub(crate) provenance: Provenance,
    /// How far the source is with this batch, for the checkpoint; its shape belongs to the source.
    pub(crate) cursor: serde_json::Value,
    /// How much is read with this batch, for people; `None` when nobody knows how much there is.
    pub(crate) reached: Option<Reached>,
    /// Of bytes that were kept and are read again; `None` when they have just come.
    pub(crate) reread: Option<Reread>,
}

/// What limits bytes that are read again: what was said or done later stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reread {
    /// When they were published last, comparable with that of others.
    pub(crate) published: i64,
    /// Observations before this time, UTC, were removed because of their age.
    pub(crate) pruned_before: Option<DateTime<Utc>>,
}

/// Bytes that were read, of so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) done: u64,
    pub(crate) of: u64,
}

/// Where a batch came from.
pub(crate) enum Provenance {
    Http {
        /// Without secrets.
        url: String,
        status: u16,
        content_type: Option<String>,
    },
    File {
        /// The state of the file once this chunk is loaded.
        state: FileState,
        /// Numbers of the first and last line, from 1.
        lines: (u64, u64),
        /// Offset of the first byte and of the one behind the last.
        bytes: (u64, u64),
        layout: Arc<Layout>,
    },
}

impl RawBatch {
    /// What was read, for people.
    pub(crate) fn origin(&self) -> String {
        match &self.provenance {
            Provenance::Http { url, .. } => url.clone(),
            Provenance::File { state, lines, .. } => format!("{} lines {}-{}", state.path, lines.0, lines.1),
        }
    }
}

/// The records of one batch in the order of the raw bytes, each taken or refused.
#[derive(Debug, Default)]
pub(crate) struct Normalised {
    pub(crate) records: Vec<MarketRecord>,
    pub(crate) rejects: Vec<Reject>,
}

/// What an extraction is given.
pub(crate) struct Extraction {
    /// Files that were read before; empty for a source that reads none.
    pub(crate) files: Vec<FileState>,
    pub(crate) clock: Clock,
    pub(crate) http: Client,
    pub(crate) cancel: Cancel,
}

/// The time of the database, carried on by a monotonic timer: a wrong clock of this machine does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) database_time: DateTime<Utc>,
    pub(crate) read_at: Instant,
}

impl Clock {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.database_time + TimeDelta::from_std(self.read_at.elapsed()).unwrap_or_default()
    }
}
