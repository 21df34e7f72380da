//! The loading side of one source: a connection, the loader that writes over it, and what is tried again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::drift::{self, Drift, NewDrift};
use kasparro_core::store::{batch, checkpoint, csv_file, kept as stored, lease, reject, run, source};

use super::kept::{Kept, Selection, date_records};
use super::report::Rewritten;
use super::worker::{Assignment, Drifts, Hold};
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::http::{Book, Client, Tape, Taping, cancelled};
use crate::load::{self, LoadError, Loader, Ready, Written};
use crate::source::{Extraction, RawBatch};
use crate::sources::contract::{MISSING, UNKNOWN};
use crate::sources::{Registration, rename};

/// Transactions that are tried again after the connection broke or two transactions met.
const LOAD_ATTEMPTS: u32 = 5;

/// The loading side: a connection and what has been written over it.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) loader: Loader,
    /// Number of the last batch that is known to be committed in this run.
    committed: Option<i64>,
    /// Everything happens in one transaction, which is never committed.
    rehearsal: bool,
    /// The bytes had been read before.
    is_kept: bool,
    pub(super) rewritten: Rewritten,
}

impl Session {
    /// Opens the connection. `None` when a rehearsal finds another run at the source.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(super) fn open(assignment: &Assignment) -> Result<Option<Self>, SourceError> {
        let mut connection = database::connect(
            &assignment.database_url,
            assignment.settings.database_wait,
            &assignment.cancel,
        )?;
        let failed = |error| database::failure(&error);
        let (run_id, epoch) = match assignment.hold {
            Hold::Lease { run_id, epoch } => (run_id, epoch),
            Hold::Rehearsal => match rehearse(&mut connection, assignment).map_err(failed)? {
                Some(hold) => hold,
                None => return Ok(None),
            },
        };
        let key = source::register(&mut connection, &assignment.name).map_err(failed)?;
        Ok(Some(Self {
            connection,
            loader: Loader::new(key, run_id, epoch),
            committed: None,
            rehearsal: assignment.hold == Hold::Rehearsal,
            is_kept: assignment.kept.is_some(),
            rewritten: Rewritten::default(),
        }))
    }

    /// What the source needs to go on where it stopped.
    pub(super) fn extraction(
        &mut self,
        assignment: &Assignment,
        registration: &Registration,
    ) -> Result<Extraction, SourceError> {
        self.attempt(assignment, |session| session.loader.recover(&mut session.connection))?;
        let failed = |error| database::failure(&error);
        let point = checkpoint::find(&mut self.connection, &assignment.name).map_err(failed)?;
        let replay = matches!(assignment.settings.taping, Some(Taping::Replay(_)));
        if !replay
            && let Some(time) =
                point.and_then(|point| point.not_before).filter(|time| *time > assignment.clock.now())
        {
            let message = format!(
                "the source asked not to be called before {}; nothing was asked",
                time.format("%Y-%m-%dT%H:%M:%SZ")
            );
            return Err(SourceError::new(FailureKind::RateLimited, message));
        }
        let files = csv_file::all(&mut self.connection).map_err(failed)?;
        let policy = (registration.policy)(&assignment.settings);
        let book = policy.ledger.clone().map(|ledger| {
            let wait = assignment.settings.database_wait;
            Book::new(&assignment.name, ledger, assignment.database_url.clone(), wait)
        });
        let asks = (registration.calls_per_run)(&assignment.settings, None).is_some();
        let taping = assignment.settings.taping.as_ref();
        let tape = taping.filter(|_| asks).map(|taping| Tape::open(taping, &assignment.name)).transpose()?;
        Ok(Extraction {
            files,
            clock: assignment.clock,
            http: Client::new(policy, book, tape, assignment.clock, assignment.cancel.clone()),
            cancel: assignment.cancel.clone(),
        })
    }

    /// Keeps how a body differs from its contract, and says it the first time. Returns what a lost field is probably
    /// called now, in words to go on with.
    pub(super) fn note_drifts(
        &mut self,
        assignment: &Assignment,
        raw: &RawBatch,
        drifts: Drifts,
    ) -> Result<String, SourceError> {
        let Drifts { contract: Some(contract), mut found } = drifts else { return Ok(String::new()) };
        // What an old body looked like is no news.
        if self.is_kept || found.is_empty() {
            return Ok(String::new());
        }
        let has = |found: &[NewDrift], kind: &str| found.iter().any(|drift| drift.kind == kind);
        if has(&found, MISSING) && has(&found, UNKNOWN) {
            let before = self.attempt(assignment, |session| {
                Ok(stored::newest_body(&mut session.connection, &assignment.name, &raw.origin())?)
            })?;
            rename::suggest(contract, &mut found, &raw.bytes, before.as_deref());
        }
        let fresh = self.attempt(assignment, |session| {
            Ok(drift::keep(&mut session.connection, &assignment.name, &found)?)
        })?;
        for Drift { source, field, kind, evidence, suggestion, .. } in fresh {
            let perhaps = suggestion.map(|field| format!("; it may be {field} now")).unwrap_or_default();
            log::warn!("{source}: the format has changed: {kind} field {field}{perhaps}: {evidence}");
        }
        let renamed = found.iter().filter(|drift| drift.required);
        let renamed = renamed.filter_map(|drift| Some((&drift.field, drift.suggestion.as_ref()?)));
        Ok(renamed.map(|(field, now)| format!("; {field} may be {now} now")).collect())
    }

    /// The bytes that are read again.
    pub(super) fn kept(
        &mut self,
        assignment: &Assignment,
        selection: &Selection,
    ) -> Result<Kept, SourceError> {
        self.attempt(assignment, |session| session.loader.recover(&mut session.connection))?;
        let settings = &assignment.settings;
        let connection =
            database::connect(&assignment.database_url, settings.database_wait, &assignment.cancel)?;
        Kept::open(connection, &assignment.name, selection, Arc::clone(&assignment.settings.csv_map))
    }

    /// Writes one batch exactly once, also when the confirmation of its commit is lost.
    pub(super) fn write(
        &mut self,
        assignment: &Assignment,
        ready: &mut Ready,
    ) -> Result<Written, SourceError> {
        let written = self.attempt(assignment, |session| {
            let newest =
                batch::newest_number(&mut session.connection, session.loader.run_id, &assignment.name)?;
            match newest {
                Some(number) if newest != session.committed => session.recall(assignment, number),
                _ if session.is_kept => session.rewrite(ready),
                _ => session.loader.write(&mut session.connection, ready),
            }
        })?;
        self.committed = Some(written.number);
        Ok(written)
    }

    /// Writes a batch whose bytes had been read before.
    fn rewrite(&mut self, ready: &mut Ready) -> Result<Written, LoadError> {
        let Self { connection, loader, .. } = self;
        let written = connection.transaction(|connection| -> Result<_, LoadError> {
            date_records(connection, loader.source.source_id, ready)?;
            let written = loader.write(connection, ready)?;
            let refused = load::rejects(&ready.normalised.rejects);
            let settled = reject::settle(connection, &loader.source.name, written.number, &refused)?;
            let raw = stored::key_of_batch(connection, &loader.source.name, written.number)?;
            Ok((written, settled, raw))
        });
        match written {
            Ok((written, settled, raw)) => {
                self.rewritten.add(&written.tally, settled, raw);
                Ok(written)
            }
            Err(error) => {
                // It may hold keys that were rolled back.
                self.loader.forget();
                Err(error)
            }
        }
    }

    /// Builds the indexes that a bulk load has put off, two at a time. In a rehearsal nobody else sees the rows.
    pub(super) fn build_indexes(&mut self, assignment: &Assignment) -> Result<(), SourceError> {
        let mut helper = (self.loader.has_unindexed() && !self.rehearsal)
            .then(|| database::connect(&assignment.database_url, Duration::ZERO, &assignment.cancel).ok())
            .flatten();
        self.attempt(assignment, |session| session.loader.finish(&mut session.connection, helper.as_mut()))
    }

    /// The tally of a batch that turned out to be committed.
    fn recall(&mut self, assignment: &Assignment, number: i64) -> Result<Written, LoadError> {
        log::info!("{}: batch {number} was committed although the connection broke", assignment.name);
        let tally = batch::tally(&mut self.connection, &assignment.name, number)?;
        Ok(Written { tally, number })
    }

    /// Tries a transaction again where that can help, over a new connection.
    pub(super) fn attempt<T>(
        &mut self,
        assignment: &Assignment,
        mut transaction: impl FnMut(&mut Self) -> Result<T, LoadError>,
    ) -> Result<T, SourceError> {
        let give_up = Instant::now() + assignment.settings.database_wait;
        // What a rehearsal has worked out is gone with its connection.
        let mut attempt = if self.rehearsal { LOAD_ATTEMPTS } else { 1 };
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
    pub(super) fn remember_limit(&mut self, name: &str, error: &SourceError) {
        let Some(time) = error.not_before else { return };
        if let Err(error) = checkpoint::set_not_before(&mut self.connection, name, time) {
            log::warn!("{name}: {}", database::failure(&error).message);
        }
    }
}

/// Opens the transaction of a rehearsal and does in it what a launch does in commits of its own: the record of the
/// run and the lease, which is locked meanwhile but never changes hands. `None` when another run holds it.
fn rehearse(connection: &mut PgConnection, assignment: &Assignment) -> QueryResult<Option<(i64, i64)>> {
    <PgConnection as Connection>::TransactionManager::begin_transaction(connection)?;
    connection
        .batch_execute("set local idle_in_transaction_session_timeout = 0; set local lock_timeout = '1s'")?;
    let name = &assignment.name;
    source::register(connection, name)?;
    let run_id = run::begin(connection, name, env!("CARGO_PKG_VERSION"))?;
    let taken = lease::acquire(connection, name, "a dry run", Some(run_id), assignment.settings.lease);
    if taken.as_ref().is_err_and(database::is_lock_timeout) {
        return Ok(None);
    }
    let Some(epoch) = taken? else { return Ok(None) };
    run::begin_source(connection, run_id, name)?;
    connection.batch_execute("set local lock_timeout = '20s'")?;
    Ok(Some((run_id, epoch)))
}
