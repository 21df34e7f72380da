//! One source of one run: a thread extracts and normalises, this one loads; one batch waits at the most.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use compact_str::CompactString;
use kasparro_core::secret::Secret;
use kasparro_core::store::csv_file::FileState;
use kasparro_core::store::drift::NewDrift;
use kasparro_core::store::layout;
use kasparro_core::store::run::Tally;

use super::kept::{Kept, Selection};
use super::report::{Ended, Outcome, Rewritten};
use super::session::Session;
use crate::failure::{FailureKind, SourceError};
use crate::http::cancelled;
use crate::load::Ready;
use crate::logging;
use crate::progress::Line;
use crate::settings::Settings;
use crate::signal::Cancel;
use crate::source::{Clock, Extract, Extracted, Extraction, Normalised, RawBatch, Source};
use crate::sources::contract::{Contract, MISSING};
use crate::sources::{csv, is_storable};

/// How long an open transaction waits for the next batch.
const PATIENCE: Duration = Duration::from_millis(50);

/// When the first batch takes longer than that, there is time to read what it will be compared with. A file that has not
/// changed is found out faster.
const HEAD_START: Duration = Duration::from_millis(15);

/// What a worker is given.
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) hold: Hold,
    /// Bytes that are kept are read again, instead of the source.
    pub(super) kept: Option<Selection>,
    pub(super) settings: Arc<Settings>,
    pub(super) database_url: Secret,
    pub(super) clock: Clock,
    pub(super) cancel: Cancel,
    pub(super) line: Line,
}

/// By what right a worker writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// The run has the lease.
    Lease { run_id: i64, epoch: i64 },
    /// It does not write: all of it is rolled back.
    Rehearsal,
}

/// What comes out of the extracting thread.
enum Step {
    Batch(Box<Ready>, Drifts),
    File(FileState),
    /// A body that was refused as a whole; the end.
    Refused(Box<RawBatch>, SourceError, Drifts),
}

/// How a body differs from the contract of its source.
#[derive(Default)]
pub(super) struct Drifts {
    pub(super) contract: Option<&'static Contract>,
    pub(super) found: Vec<NewDrift>,
}

impl Assignment {
    /// Reads the source to its end.
    pub(super) fn work(self) -> Outcome {
        logging::set_source(&self.name);
        let (mut tally, mut rewritten, mut priced) = (Tally::default(), Rewritten::default(), HashSet::new());
        let ended = match self.ingest(&mut tally, &mut rewritten, &mut priced) {
            Ok(ended) => ended,
            Err(error) if error.is_empty_list && self.settings.allow_empty => {
                log::warn!("{}: {error}", self.name);
                Ended::Done
            }
            Err(error) => {
                log::error!("{}: {error}", self.name);
                Ended::Failed(error)
            }
        };
        let rewritten = self.kept.is_some().then_some(rewritten);
        Outcome { name: self.name.clone(), ended, tally, rewritten, priced }
    }

    fn ingest(
        &self,
        tally: &mut Tally,
        rewritten: &mut Rewritten,
        priced: &mut HashSet<CompactString>,
    ) -> Result<Ended, SourceError> {
        let registration = super::registration(&self.name)?;
        let Some(mut session) = Session::open(self)? else { return Ok(Ended::Skipped) };
        let input = match &self.kept {
            Some(selection) => Input::Kept(Box::new(session.kept(self, selection)?)),
            None => Input::Fresh(Box::new(session.extraction(self, registration)?)),
        };
        let source: Arc<dyn Source> = (registration.open)(&self.settings)?.into();
        if let Some(layout) = source.layout() {
            session.attempt(self, |s| Ok(layout::declare(&mut s.connection, &self.name, None, &layout)?))?;
        }
        // The next batch is ready when this one is written, and no more: that bounds the memory.
        let (sender, steps) = mpsc::sync_channel(0);
        let (name, max_reject_rate) = (self.name.clone(), self.settings.max_reject_rate);
        let producer = thread::spawn({
            let source = Arc::clone(&source);
            move || {
                logging::set_source(&name);
                let extracted = match input {
                    Input::Fresh(ref extraction) => source.extract(extraction),
                    Input::Kept(kept) => Ok(kept as Extract<'_>),
                };
                produce(source.as_ref(), extracted, max_reject_rate, &sender);
            }
        });
        let result = self.load_all(&mut session, source.as_ref(), &steps);
        drop(steps);
        *tally = session.tally;
        *rewritten = std::mem::take(&mut session.rewritten);
        *priced = std::mem::take(&mut session.priced);
        // Also after a failure: what was loaded is there to be read.
        let indexed = session.build_indexes(self);
        if let Err(error) = result {
            session.remember_limit(&self.name, &error);
            return Err(error);
        }
        indexed?;
        match producer.join() {
            Ok(()) if self.kept.is_none() && tally.extracted() > 0 && tally.rejected == tally.extracted() => {
                Err(all_refused(&self.name, tally.extracted()))
            }
            Ok(()) => {
                // What such a read does not have is not missing.
                if source.was_cut_short() {
                    priced.clear();
                }
                Ok(Ended::Done)
            }
            Err(_) => Err(SourceError::new(
                FailureKind::Io,
                "the reader of this source crashed; this is a defect of kasparro-etl",
            )),
        }
    }
}

impl Assignment {
    /// Writes what comes. What is ready at the same time commits together; what nothing follows is not kept waiting.
    fn load_all(
        &self,
        session: &mut Session,
        source: &dyn Source,
        steps: &Receiver<Result<Step, SourceError>>,
    ) -> Result<(), SourceError> {
        let mut first = match steps.recv_timeout(HEAD_START) {
            Err(RecvTimeoutError::Timeout) => {
                session.attempt(self, |s| s.loader.look_ahead(&mut s.connection))?;
                None
            }
            step => Some(step),
        };
        loop {
            let step = match first.take().unwrap_or_else(|| steps.recv_timeout(PATIENCE)) {
                Err(RecvTimeoutError::Timeout) => {
                    session.commit(self, source)?;
                    steps.recv().ok()
                }
                step => step.ok(),
            };
            let step = match step {
                Some(_) if self.cancel.is_set() => Some(Err(cancelled())),
                step => step,
            };
            // Only batches go on with an open transaction.
            let plain = matches!(&step, Some(Ok(Step::Batch(_, drifts))) if drifts.found.is_empty());
            if !plain {
                session.commit(self, source)?;
            }
            let Some(step) = step else { return Ok(()) };
            self.load(session, source, step?)?;
        }
    }

    fn load(&self, session: &mut Session, source: &dyn Source, step: Step) -> Result<(), SourceError> {
        match step {
            Step::Batch(ready, drifts) => {
                if !drifts.found.is_empty() {
                    session.note_drifts(self, &ready.raw.origin(), &ready.bytes()?, drifts)?;
                }
                if self.kept.is_none() && super::registration(&self.name)?.is_census {
                    session.priced.extend(ids(&ready.normalised));
                }
                session.write(self, source, *ready)
            }
            Step::File(state) => session.attempt(self, |s| s.loader.note_file(&mut s.connection, &state)),
            // It was refused when it came, and is on record.
            Step::Refused(_, error, _) if self.kept.is_some() => {
                log::warn!("{}: {error}", self.name);
                Ok(())
            }
            Step::Refused(raw, mut error, drifts) => {
                error.message.push_str(&session.note_drifts(self, &raw.origin(), &raw.bytes, drifts)?);
                session.attempt(self, |s| s.loader.keep_refused(&mut s.connection, &raw))?;
                Err(error)
            }
        }
    }
}

/// What was refused is on record; but a source of which nothing could be loaded has not been loaded.
fn all_refused(source: &str, records: i64) -> SourceError {
    let map = match source {
        csv::NAME => {
            ", with what a CSV map (CSV_MAP) declares by then; an encoding counts when a file is read, so touch it"
        }
        _ => "",
    };
    let message = format!(
        "every one of {records} record(s) was refused; `kasparro-etl rejects --source {source}` lists the reasons. The bytes are kept: \
         `kasparro-etl reprocess --source {source}` reads them again{map}"
    );
    SourceError::new(FailureKind::Refused, message)
}

/// The ids of a batch; those of refused records too, as far as they can be read: what is refused is not missing.
fn ids(normalised: &Normalised) -> impl Iterator<Item = CompactString> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let refused = normalised.rejects.iter();
    let refused = refused.filter_map(|reject| serde_json::from_slice::<Named>(&reject.raw).ok());
    let refused = refused.map(|named| named.id.into()).filter(|id: &CompactString| is_storable(id));
    normalised.records.iter().map(|record| record.crypto_id.clone()).chain(refused)
}

/// Where the bytes come from.
enum Input {
    Fresh(Box<Extraction>),
    Kept(Box<Kept>),
}

/// Extracts and normalises until the source ends or nobody takes the batches any more.
fn produce(
    source: &dyn Source,
    extracted: Result<Extract<'_>, SourceError>,
    max_reject_rate: f64,
    steps: &SyncSender<Result<Step, SourceError>>,
) {
    let extracted = match extracted {
        Ok(extracted) => extracted,
        Err(error) => {
            let _ = steps.send(Err(error));
            return;
        }
    };
    for item in extracted {
        let step = item.map(|extracted| match extracted {
            Extracted::File(state) => Step::File(state),
            Extracted::Batch(raw) => {
                let contract = source.contract();
                let found = contract.map(|contract| contract.drifts(&raw.bytes)).unwrap_or_default();
                let normalised =
                    keep_contract(&raw, &found).and_then(|()| normalise(source, &raw, max_reject_rate));
                let drifts = Drifts { contract, found };
                match normalised {
                    Ok(normalised) => Step::Batch(Box::new(Ready::new(raw, normalised)), drifts),
                    Err(error) => Step::Refused(Box::new(raw), error, drifts),
                }
            }
        });
        if steps.send(step).is_err() {
            return;
        }
    }
}

/// Whether everything is there that the source cannot be read without.
fn keep_contract(raw: &RawBatch, drifts: &[NewDrift]) -> Result<(), SourceError> {
    let lost = drifts.iter().filter(|drift| drift.required && drift.kind == MISSING);
    let lost: Vec<&str> = lost.map(|drift| drift.field.as_str()).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}: no record has the field {}; the source has changed its format, nothing of this body was published",
        raw.origin(),
        lost.join(" or ")
    );
    Err(SourceError::new(FailureKind::Refused, message))
}

/// The records of a batch, unless so many of them are refused that the batch is not to be trusted.
fn normalise(source: &dyn Source, raw: &RawBatch, max_reject_rate: f64) -> Result<Normalised, SourceError> {
    let normalised = source.normalise(raw)?;
    let (refused, all) = (normalised.rejects.len(), normalised.records.len() + normalised.rejects.len());
    if refused as f64 <= max_reject_rate * all as f64 {
        return Ok(normalised);
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reject in &normalised.rejects {
        *reasons.entry(reject.code.as_str()).or_default() += 1;
    }
    let reasons: Vec<String> = reasons.iter().map(|(code, count)| format!("{count} {code}")).collect();
    let message = format!(
        "{}: {refused} of {all} records are refused ({}), more than ETL_MAX_REJECT_RATE={max_reject_rate} allows; nothing of \
         this batch was published, its bytes are kept (`kasparro-etl reprocess` reads them again)",
        raw.origin(),
        reasons.join(", ")
    );
    Err(SourceError::new(FailureKind::Refused, message))
}
