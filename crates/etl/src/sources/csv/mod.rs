//! CSV files: snapshots and histories of prices in the shapes that circulate.
//!
//! A file says little about itself, so everything about it is decided from its header and its first megabyte,
//! before any row is loaded ([`layout`]): the delimiter, what each column holds, how times and numbers are
//! written. What cannot be told without guessing is refused, with the way out. Files are read on where the last
//! run ended if they still begin with what was read ([`file`]). What a file does not say can be declared ([`map`]).

mod candles;
mod chunk;
mod coin;
mod columns;
mod declared_time;
mod describe;
mod extract;
mod file;
mod grain;
mod head;
mod kept;
mod layout;
mod map;
mod no_table;
mod normalise;
mod number;
mod pairs;
mod paths;
mod resume;
mod row;
mod scanner;
mod snapshot;
mod style;
mod survey;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod time_column;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kasparro_core::raw::records;

pub(crate) use self::describe::describe;
use self::extract::Extractor;
use self::file::Plan;
pub(crate) use self::kept::{BEGINNING_BYTES, layout_of};
pub(crate) use self::layout::Layout;
pub(crate) use self::map::CsvMap;
use crate::failure::{FailureKind, SourceError};
use crate::source::{Extract, Extraction, Normalised, RawBatch, Source};

/// Key of the source in tables, flags and URLs.
pub(crate) const NAME: &str = "csv";

/// The source of the files at `paths`, of which a folder stands for the `*.csv` and `*.csv.gz` in it. A batch has at most
/// `batch_size` records. Rows without a time were observed at `as_of`, else when their file was first read. What `map`
/// declares prevails.
///
/// # Errors
/// [`FailureKind::Config`] when there is no path or no room in a batch. The files are not looked at yet.
pub(crate) fn open(
    paths: &[PathBuf],
    batch_size: usize,
    as_of: Option<DateTime<Utc>>,
    map: &Arc<CsvMap>,
) -> Result<Box<dyn Source>, SourceError> {
    if paths.is_empty() {
        return Err(SourceError::new(FailureKind::Config, "no CSV file is given; set CSV_FILE_PATH"));
    }
    if batch_size == 0 {
        return Err(SourceError::new(
            FailureKind::Config,
            "a batch must hold at least one record; set BATCH_SIZE",
        ));
    }
    Ok(Box::new(CsvFiles { paths: paths.to_vec(), batch_size, as_of, map: Arc::clone(map) }))
}

struct CsvFiles {
    paths: Vec<PathBuf>,
    batch_size: usize,
    as_of: Option<DateTime<Utc>>,
    map: Arc<CsvMap>,
}

impl Source for CsvFiles {
    fn extract<'s>(&'s self, context: &'s Extraction) -> Result<Extract<'s>, SourceError> {
        let Self { batch_size, as_of, .. } = *self;
        let (map, cancel) = (Arc::clone(&self.map), context.cancel.clone());
        let plan = Plan { batch_size, as_of, map, clock: context.clock, cancel };
        Ok(Box::new(Extractor::new(&self.paths, &context.files, plan)))
    }

    fn normalise(&self, batch: &RawBatch) -> Result<Normalised, SourceError> {
        normalise::normalise(batch)
    }
}
