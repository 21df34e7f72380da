//! The source as a whole, on real files.

mod declared;
mod failures;
mod growth;
mod recordings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use kasparro_core::store::csv_file::FileState;
use kasparro_core::{MarketRecord, Reject};

use super::extract::Extractor;
use super::file::Plan;
use super::normalise::normalise;
use crate::failure::SourceError;
use crate::signal::Cancel;
use crate::source::{Clock, Extracted, Provenance, RawBatch};

const NOW: &str = "2026-03-01T12:00:00Z";

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

/// What one extraction gave.
#[derive(Default)]
struct Run {
    batches: Vec<RawBatch>,
    /// States of files that held nothing new.
    looked: Vec<FileState>,
    failure: Option<SourceError>,
}

impl Run {
    fn records(&self) -> Vec<MarketRecord> {
        self.batches.iter().flat_map(|batch| normalise(batch).unwrap().records).collect()
    }

    fn rejects(&self) -> Vec<Reject> {
        self.batches.iter().flat_map(|batch| normalise(batch).unwrap().rejects).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.records().into_iter().map(|record| record.crypto_id.into()).collect()
    }

    /// The states as the loader would store them, after those that were stored before.
    fn states(&self, before: &[FileState]) -> Vec<FileState> {
        let mut states: Vec<FileState> = before.to_vec();
        let written =
            self.batches.iter().map(|batch| state_of(batch).clone()).chain(self.looked.iter().cloned());
        for state in written {
            states.retain(|other| other.path != state.path);
            states.push(state);
        }
        states
    }
}

fn state_of(batch: &RawBatch) -> &FileState {
    match &batch.provenance {
        Provenance::File { state, .. } => state,
        Provenance::Http { .. } => panic!("not a file"),
    }
}

/// One extraction at a time of the database.
fn extract_at(now: &str, path: &Path, known: &[FileState], batch_size: usize) -> Run {
    extract_all(now, &[path.to_owned()], known, batch_size)
}

fn extract_all(now: &str, paths: &[PathBuf], known: &[FileState], batch_size: usize) -> Run {
    let clock = Clock { database_time: at(now), read_at: Instant::now() };
    let plan = Plan { batch_size, as_of: None, map: Arc::default(), clock, cancel: Cancel::default() };
    collect(Extractor::new(paths, known, plan))
}

fn extract(path: &Path, known: &[FileState]) -> Run {
    extract_at(NOW, path, known, 1000)
}

fn collect(extractor: Extractor<'_>) -> Run {
    let mut run = Run::default();
    for item in extractor {
        assert!(run.failure.is_none(), "a failure is the last item");
        match item {
            Ok(Extracted::Batch(batch)) => run.batches.push(batch),
            Ok(Extracted::File(state)) => run.looked.push(state),
            Err(error) => run.failure = Some(error),
        }
    }
    run
}
