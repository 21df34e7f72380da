//! The loading side of one source: a connection, the loader that writes over it, and what is tried again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use diesel::connection::{SimpleConnection, TransactionManager};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::store::batch::RawKey;
use kasparro_core::store::drift::{self, Drift, NewDrift};
use kasparro_core::store::reject::Settled;
use kasparro_core::store::run::Tally;
use kasparro_core::store::{batch, checkpoint, csv_file, kept as stored, lease, reject, run, source};

use super::kept::{Kept, Selection, date_records};
use super::report::Rewritten;
use super::worker::{Assignment, Drifts, Hold};
use crate::database::{self, Attempts};
use crate::failure::{FailureKind, SourceError};
use crate::http::{Book, Client, Tape, Taping};
use crate::load::{self, LoadError, Loader, Ready, Written};
use crate::source::{Extraction, Source};
use crate::sources::contract::{MISSING, UNKNOWN};
use crate::sources::{Registration, rename};

type Transactions = <PgConnection as Connection>::TransactionManager;

/// The loading side: a connection and what has been written over it.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) loader: Loader,
    group: Group,
    /// Everything happens in one transaction, which is never committed.
    rehearsal: bool,
    /// The bytes had been read before.
    is_kept: bool,
    /// What was committed.
    pub(super) tally: Tally,
    batches: u64,
    pub(super) rewritten: Rewritten,
    /// Ids that the source has priced, when a read of it has all of them.
    pub(super) priced: HashSet<CompactString>,
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
            loader: Loader::new(key, run_id, epoch, assignment.hold != Hold::Rehearsal),
            group: Group::default(),
            rehearsal: assignment.hold == Hold::Rehearsal,
            is_kept: assignment.kept.is_some(),
            tally: Tally::default(),
            batches: 0,
            rewritten: Rewritten::default(),
            priced: HashSet::new(),
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
        origin: &str,
        bytes: &[u8],
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
                Ok(stored::newest_body(&mut session.connection, &assignment.name, origin)?)
            })?;
            rename::suggest(contract, &mut found, bytes, before.as_deref());
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

    /// Writes one batch into the open transaction, which commits when enough has come together.
    pub(super) fn write(
        &mut self,
        assignment: &Assignment,
        source: &dyn Source,
        ready: Ready,
    ) -> Result<(), SourceError> {
        if self.loader.needs_partitions(&ready) {
            self.commit(assignment, source)?;
            self.attempt(assignment, |s| s.loader.ensure_partitions(&mut s.connection, &ready))?;
        }
        self.group.add(ready);
        self.attempt(assignment, |session| session.write_group(source))?;
        // What reading again has changed is told batch by batch.
        if self.is_kept || self.group.is_full(assignment.settings.lease) {
            self.commit(assignment, source)?;
        }
        Ok(())
    }

    /// Commits the open transaction exactly once, also when the confirmation is lost.
    pub(super) fn commit(&mut self, assignment: &Assignment, source: &dyn Source) -> Result<(), SourceError> {
        if self.group.batches.is_empty() {
            return Ok(());
        }
        self.attempt(assignment, |session| session.commit_group(source))?;
        let reached = self.group.batches.last().and_then(|ready| ready.raw.reached);
        for done in std::mem::take(&mut self.group).written {
            self.tally += done.written.tally;
            self.batches += 1;
            if let Some((settled, raw)) = done.rewritten {
                self.rewritten.add(&done.written.tally, settled, raw);
            }
        }
        assignment.line.show(self.batches, &self.tally, reached);
        Ok(())
    }

    /// Writes what the open transaction has not got yet: all of the group after an error.
    fn write_group(&mut self, source: &dyn Source) -> Result<(), LoadError> {
        let written = self.begin().and_then(|()| {
            while self.write_next(source)? {}
            Ok(())
        });
        if written.is_err() {
            self.roll_back();
        }
        written
    }

    fn begin(&mut self) -> Result<(), LoadError> {
        if self.group.open {
            return Ok(());
        }
        Transactions::begin_transaction(&mut self.connection)?;
        self.group.open = true;
        // Whoever has the lock knows that no commit of ours is still under way.
        self.loader.fence(&mut self.connection)?;
        if let Some(last) = self.group.in_doubt.last() {
            let (run_id, name) = (self.loader.run_id, &self.loader.source.name);
            let newest = batch::newest_number(&mut self.connection, run_id, name)?;
            if newest == Some(last.written.number) {
                log::info!(
                    "{name}: batch {} was committed although the connection broke",
                    last.written.number
                );
                self.group.written = std::mem::take(&mut self.group.in_doubt);
                self.group.is_committed = true;
            }
            self.group.in_doubt.clear();
        }
        Ok(())
    }

    /// Writes the next batch of the group; `false` when there is none.
    fn write_next(&mut self, source: &dyn Source) -> Result<bool, LoadError> {
        let Self { connection, loader, group, is_kept, .. } = self;
        let Some(ready) = group.batches.get_mut(group.written.len()) else { return Ok(false) };
        ready.make_records(source)?;
        if *is_kept {
            date_records(connection, loader.source.source_id, ready)?;
        }
        let written = loader.write(connection, ready)?;
        let rewritten = if *is_kept {
            let name = &loader.source.name;
            let refused = load::rejects(&ready.normalised.rejects);
            let settled = reject::settle(connection, name, written.number, &refused)?;
            Some((settled, stored::key_of_batch(connection, name, written.number)?))
        } else {
            None
        };
        ready.drop_records();
        group.written.push(Done { written, rewritten });
        Ok(true)
    }

    fn commit_group(&mut self, source: &dyn Source) -> Result<(), LoadError> {
        self.write_group(source)?;
        if self.group.is_committed {
            Transactions::rollback_transaction(&mut self.connection)?;
            return Ok(());
        }
        let settled = self.loader.settle(&mut self.connection);
        if settled.is_err() {
            self.roll_back();
            return settled;
        }
        self.group.open = false;
        let committed = Transactions::commit_transaction(&mut self.connection);
        if committed.is_err() {
            self.group.in_doubt = std::mem::take(&mut self.group.written);
            self.loader.forget();
        }
        Ok(committed?)
    }

    fn roll_back(&mut self) {
        if std::mem::take(&mut self.group.open) {
            // A connection that broke has no transaction any more.
            let _ = Transactions::rollback_transaction(&mut self.connection);
        }
        self.group.written.clear();
        self.loader.forget();
    }

    /// Builds the indexes that a bulk load has put off, two at a time. In a rehearsal nobody else sees the rows.
    pub(super) fn build_indexes(&mut self, assignment: &Assignment) -> Result<(), SourceError> {
        let mut helper = (self.loader.has_unfinished() && !self.rehearsal)
            .then(|| database::connect(&assignment.database_url, Duration::ZERO, &assignment.cancel).ok())
            .flatten();
        self.attempt(assignment, |session| session.loader.finish(&mut session.connection, helper.as_mut()))
    }

    /// Tries a transaction again where that can help, over a new connection.
    pub(super) fn attempt<T>(
        &mut self,
        assignment: &Assignment,
        mut transaction: impl FnMut(&mut Self) -> Result<T, LoadError>,
    ) -> Result<T, SourceError> {
        let Assignment { name, database_url, settings, cancel, .. } = assignment;
        let mut attempts =
            Attempts::new(name, "the batch is written", database_url, settings.database_wait, cancel);
        loop {
            let error = match transaction(self) {
                Ok(value) => return Ok(value),
                Err(LoadError::LeaseLost) => {
                    return Err(SourceError::new(FailureKind::Temporary, LoadError::LeaseLost.to_string()));
                }
                Err(LoadError::Source(error)) => return Err(error),
                Err(LoadError::Database(error)) => error,
            };
            // What a rehearsal has worked out is gone with its connection.
            if self.rehearsal {
                return Err(database::failure(&error));
            }
            self.connection = attempts.again(&error)?;
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

/// Batches that commit together: the newest state of each coin is then written once for all of them, and the disk waited
/// for once. Kept without their records until the commit, so that they can be written again.
#[derive(Default)]
struct Group {
    batches: Vec<Ready>,
    records: usize,
    packed_bytes: usize,
    since: Option<Instant>,
    /// Whether a transaction is open.
    open: bool,
    /// What the open transaction has written.
    written: Vec<Done>,
    /// What a commit was to keep whose confirmation did not come.
    in_doubt: Vec<Done>,
    /// It turned out to be kept.
    is_committed: bool,
}

/// A batch that was written.
struct Done {
    written: Written,
    /// What has become of the refused records of bytes that had been read before.
    rewritten: Option<(Settled, RawKey)>,
}

impl Group {
    const MAX_RECORDS: usize = 200_000;
    const MAX_PACKED_BYTES: usize = 8 << 20;
    /// The lease is locked meanwhile, and nobody sees what is not committed.
    const MAX_TIME: Duration = Duration::from_secs(2);

    fn add(&mut self, ready: Ready) {
        self.records += ready.record_count();
        self.packed_bytes += ready.packed_bytes();
        self.since.get_or_insert_with(Instant::now);
        self.batches.push(ready);
    }

    fn is_full(&self, lease: Duration) -> bool {
        let max_time = Self::MAX_TIME.min(lease / 8);
        self.records >= Self::MAX_RECORDS
            || self.packed_bytes >= Self::MAX_PACKED_BYTES
            || self.since.is_some_and(|since| since.elapsed() >= max_time)
    }
}

/// Opens the transaction of a rehearsal and does in it what a launch does in commits of its own: the record of the
/// run and the lease, which is locked meanwhile but never changes hands. `None` when another run holds it.
fn rehearse(connection: &mut PgConnection, assignment: &Assignment) -> QueryResult<Option<(i64, i64)>> {
    Transactions::begin_transaction(connection)?;
    connection
        .batch_execute("set local idle_in_transaction_session_timeout = 0; set local lock_timeout = '1s'")?;
    let name = &assignment.name;
    source::register(connection, name)?;
    let run_id = run::begin(connection, name, env!("CARGO_PKG_VERSION"), assignment.kept.is_some())?;
    let taken = lease::acquire(connection, name, "a dry run", Some(run_id), assignment.settings.lease);
    if taken.as_ref().is_err_and(database::is_lock_timeout) {
        return Ok(None);
    }
    let Some(epoch) = taken? else { return Ok(None) };
    run::begin_source(connection, run_id, name)?;
    connection.batch_execute("set local lock_timeout = '20s'")?;
    Ok(Some((run_id, epoch)))
}
