//! One source of one run: a thread extracts and normalises, this one loads; at most one batch waits between.

use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use diesel::PgConnection;
use kasparro_core::secret::Secret;
use kasparro_core::store::csv_file::FileState;
use kasparro_core::store::run::Tally;
use kasparro_core::store::{batch, checkpoint, csv_file, source};

use super::report::{Ended, Outcome};
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::http::{Client, cancelled};
use crate::load::{LoadError, Loader, Ready, Written};
use crate::progress::Line;
use crate::settings::Settings;
use crate::signal::Cancel;
use crate::source::{Clock, Extracted, Extraction, RawBatch, Source};

/// Transactions that are tried again after the connection broke or two transactions met.
const LOAD_ATTEMPTS: u32 = 5;

/// What a worker is given.
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) run_id: i64,
    pub(super) epoch: i64,
    pub(super) settings: Arc<Settings>,
    pub(super) database_url: Secret,
    pub(super) clock: Clock,
    pub(super) cancel: Cancel,
    pub(super) line: Line,
}

/// What comes out of the extracting thread.
enum Step {
    Batch(Box<Ready>),
    File(FileState),
    /// A body that was refused as a whole; the end.
    Refused(Box<RawBatch>, SourceError),
}

impl Assignment {
    /// Reads the source to its end.
    pub(super) fn work(self) -> Outcome {
        let mut tally = Tally::default();
        let result = self.ingest(&mut tally);
        let ended = match result {
            Ok(()) => Ended::Done,
            Err(error) => {
                log::error!("{}: {error}", self.name);
                Ended::Failed(error)
            }
        };
        Outcome { name: self.name.clone(), ended, tally }
    }

    fn ingest(&self, tally: &mut Tally) -> Result<(), SourceError> {
        let registration = super::registration(&self.name)?;
        let mut session = Session::open(self)?;
        let extraction = session.extraction(self, (registration.policy)(&self.settings))?;
        let source: Arc<dyn Source> = (registration.open)(&self.settings)?.into();
        let (sender, steps) = mpsc::sync_channel(1);
        let producer = thread::spawn(move || produce(source.as_ref(), &extraction, &sender));
        let mut batches = 0;
        let mut load_all = || -> Result<(), SourceError> {
            for step in &steps {
                if self.cancel.is_set() {
                    return Err(cancelled());
                }
                match step? {
                    Step::Batch(ready) => {
                        let written = session.write(self, &ready)?;
                        batches += 1;
                        *tally += written.tally;
                        self.line.show(batches, tally);
                    }
                    Step::File(state) => {
                        session.attempt(self, |s| s.loader.note_file(&mut s.connection, &state))?
                    }
                    Step::Refused(raw, error) => {
                        session.attempt(self, |s| s.loader.keep_refused(&mut s.connection, &raw))?;
                        return Err(error);
                    }
                }
            }
            Ok(())
        };
        let result = load_all();
        drop(steps);
        // Also after a failure: what was loaded is there to be read.
        let indexed = session.attempt(self, |s| s.loader.finish(&mut s.connection));
        if let Err(error) = &result {
            session.remember_limit(&self.name, error);
            return result;
        }
        indexed?;
        match producer.join() {
            Ok(()) => result,
            Err(_) => Err(SourceError::new(
                FailureKind::Io,
                "the reader of this source crashed; this is a defect of kasparro-etl",
            )),
        }
    }
}

/// Extracts and normalises until the source ends or nobody takes the batches any more.
fn produce(source: &dyn Source, extraction: &Extraction, steps: &SyncSender<Result<Step, SourceError>>) {
    let extracted = match source.extract(extraction) {
        Ok(extracted) => extracted,
        Err(error) => {
            let _ = steps.send(Err(error));
            return;
        }
    };
    for item in extracted {
        let step = item.map(|extracted| match extracted {
            Extracted::File(state) => Step::File(state),
            Extracted::Batch(raw) => match source.normalise(&raw) {
                Ok(normalised) => Step::Batch(Box::new(Ready::new(raw, normalised))),
                Err(error) => Step::Refused(Box::new(raw), error),
            },
        });
        if steps.send(step).is_err() {
            return;
        }
    }
}

/// The loading side: a connection and what has been written over it.
struct Session {
    connection: PgConnection,
    loader: Loader,
    /// Number of the last batch that is known to be committed in this run.
    committed: Option<i64>,
}

impl Session {
    fn open(assignment: &Assignment) -> Result<Self, SourceError> {
        let mut connection = database::connect(
            &assignment.database_url,
            assignment.settings.database_wait,
            &assignment.cancel,
        )?;
        let key =
            source::register(&mut connection, &assignment.name).map_err(|error| database::failure(&error))?;
        Ok(Self {
            connection,
            loader: Loader::new(key, assignment.run_id, assignment.epoch),
            committed: None,
        })
    }

    /// What the source needs to go on where it stopped.
    fn extraction(
        &mut self,
        assignment: &Assignment,
        policy: crate::http::Policy,
    ) -> Result<Extraction, SourceError> {
        self.attempt(assignment, |session| session.loader.recover(&mut session.connection))?;
        let failed = |error| database::failure(&error);
        let point = checkpoint::find(&mut self.connection, &assignment.name).map_err(failed)?;
        if let Some(time) =
            point.and_then(|point| point.not_before).filter(|time| *time > assignment.clock.now())
        {
            let message = format!(
                "the source asked not to be called before {}; nothing was asked",
                time.format("%Y-%m-%dT%H:%M:%SZ")
            );
            return Err(SourceError::new(FailureKind::RateLimited, message));
        }
        let files = csv_file::all(&mut self.connection).map_err(failed)?;
        Ok(Extraction {
            files,
            clock: assignment.clock,
            http: Client::new(policy, assignment.clock, assignment.cancel.clone()),
            cancel: assignment.cancel.clone(),
        })
    }

    /// Writes one batch exactly once, also when the confirmation of its commit is lost.
    fn write(&mut self, assignment: &Assignment, ready: &Ready) -> Result<Written, SourceError> {
        let written = self.attempt(assignment, |session| {
            let newest = batch::newest_number(&mut session.connection, assignment.run_id, &assignment.name)?;
            match newest {
                Some(number) if newest != session.committed => session.recall(assignment, number),
                _ => session.loader.write(&mut session.connection, ready),
            }
        })?;
        self.committed = Some(written.number);
        Ok(written)
    }

    /// The tally of a batch that turned out to be committed.
    fn recall(&mut self, assignment: &Assignment, number: i64) -> Result<Written, LoadError> {
        log::info!("{}: batch {number} was committed although the connection broke", assignment.name);
        let tally = batch::tally(&mut self.connection, &assignment.name, number)?;
        Ok(Written { tally, number })
    }

    /// Tries a transaction again where that can help, over a new connection.
    fn attempt<T>(
        &mut self,
        assignment: &Assignment,
        mut transaction: impl FnMut(&mut Self) -> Result<T, LoadError>,
    ) -> Result<T, SourceError> {
        let give_up = Instant::now() + assignment.settings.database_wait;
        let mut attempt = 1;
        loop {
            let error = match transaction(self) {
                Ok(value) => return Ok(value),
                Err(LoadError::LeaseLost) => {
                    return Err(SourceError::new(FailureKind::Temporary, LoadError::LeaseLost.to_string()));
                }
                Err(LoadError::Database(error)) => error,
            };
            let failed = database::failure(&error);
            if !database::is_transient(&error) || attempt >= LOAD_ATTEMPTS || Instant::now() > give_up {
                return Err(failed);
            }
            log::warn!("{}: {}; the batch is written again", assignment.name, failed.message);
            if assignment.cancel.wait(Duration::from_millis(50) * attempt * attempt) {
                return Err(cancelled());
            }
            attempt += 1;
            self.connection = database::connect(
                &assignment.database_url,
                give_up.saturating_duration_since(Instant::now()),
                &assignment.cancel,
            )?;
            self.loader.forget();
        }
    }

    /// Keeps the time before which the source does not want to be asked again.
    fn remember_limit(&mut self, name: &str, error: &SourceError) {
        let Some(time) = error.not_before else { return };
        if let Err(error) = checkpoint::set_not_before(&mut self.connection, name, time) {
            log::warn!("{name}: {}", database::failure(&error).message);
        }
    }
}
