//! One launch: leases, a worker per source, the record of it all, and the exit code.

mod identify;
mod judge;
mod kept;
mod report;
mod reprocess;
mod session;
mod worker;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use chrono::{Datelike, Months};
use diesel::{PgConnection, QueryResult};
use kasparro_core::db;
use kasparro_core::secret::Secret;
use kasparro_core::store::{lease, partition, run, source};

use crate::cli::RunArgs;
use crate::failure::{FailureKind, SourceError};
use crate::http::Taping;
use crate::logging;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::signal::{self, Cancel};
use crate::source::Clock;
use crate::{database, sources};
use kept::Selection;
use report::{Ended, Outcome, Report};
pub(crate) use reprocess::reprocess;
use worker::{Assignment, Hold};

/// How long what another run holds is asked for before it is left to that.
pub(crate) const LEASE_PATIENCE: Duration = Duration::from_secs(1);

/// How long workers get to finish their transaction after a signal.
const GRACE: Duration = Duration::from_secs(3);

/// How long the end of a run that was asked to end waits for what a worker has locked and does not let go.
const LAST_WAIT: Duration = Duration::from_millis(300);

/// Runs every enabled source once; returns the exit code.
pub(crate) fn run(mut settings: Settings, arguments: &RunArgs, progress: Progress) -> u8 {
    let started = Instant::now();
    let record = arguments.record.clone().map(Taping::Record);
    settings.taping = record.or_else(|| arguments.replay.clone().map(Taping::Replay));
    let task = Task { kept: None, dry_run: arguments.dry_run };
    let report = match listen() {
        Ok(cancel) => launch(settings, task, progress, &cancel),
        Err(error) => Report::of_abort(error, arguments.dry_run),
    };
    report.print(started.elapsed(), arguments.json);
    report.exit_code()
}

/// Begins to listen to signals; once in a process.
fn listen() -> Result<Cancel, SourceError> {
    let cancel = Cancel::default();
    signal::listen(cancel.clone())
        .map_err(|error| SourceError::new(FailureKind::Io, format!("signal handlers: {error}")))?;
    Ok(cancel)
}

/// What a launch is to do.
struct Task {
    /// Bytes that are kept are read again, instead of the sources.
    kept: Option<Selection>,
    dry_run: bool,
}

/// Does it, and says what came of it.
fn launch(settings: Settings, task: Task, progress: Progress, cancel: &Cancel) -> Report {
    let dry_run = task.dry_run;
    let launch = Launch::begin(settings, task, progress, cancel.clone());
    launch.and_then(|mut launch| launch.finish()).unwrap_or_else(|error| {
        log::error!("{error}");
        let mut report = Report::of_abort(error, dry_run);
        report.signal = cancel.signal();
        report
    })
}

/// A launch under way. This thread keeps the control connection: it takes and renews the leases and writes the
/// record of the run, while the workers load over connections of their own.
struct Launch {
    settings: Arc<Settings>,
    task: Task,
    progress: Progress,
    database_url: Secret,
    control: PgConnection,
    cancel: Cancel,
    clock: Clock,
    /// `None` in a dry run, which leaves no record.
    run_id: Option<i64>,
    /// Epoch of each lease that is held.
    epochs: BTreeMap<String, i64>,
    report: Report,
    /// What the control connection broke over: recorded at the end, when there may be a server again.
    unclosed: Vec<SourceEnd>,
}

/// The end of a source as it is recorded.
struct SourceEnd {
    name: String,
    status: &'static str,
    /// Kind and message.
    failure: Option<(&'static str, String)>,
}

impl SourceEnd {
    fn of(outcome: &Outcome) -> Self {
        let failure = outcome.failure().map(|error| (error.kind.as_str(), error.message.clone()));
        Self { name: outcome.name.clone(), status: outcome.status(), failure }
    }
}

impl Launch {
    fn begin(
        settings: Settings,
        task: Task,
        progress: Progress,
        cancel: Cancel,
    ) -> Result<Self, SourceError> {
        let database_url = database_url(&settings)?;
        let mut control = database::connect(&database_url, settings.database_wait, &cancel)?;
        let state = db::schema_state(&mut control).map_err(|error| database::failure(&error))?;
        if let Some(advice) = state.advice() {
            return Err(SourceError::new(FailureKind::Config, advice));
        }
        let opened = (|| -> QueryResult<_> {
            let clock =
                Clock { database_time: source::database_time(&mut control)?, read_at: Instant::now() };
            if task.dry_run {
                return Ok((clock, None));
            }
            for name in &settings.sources {
                source::register(&mut control, name)?;
            }
            let run_id = run::begin(
                &mut control,
                &settings.sources.join(","),
                env!("CARGO_PKG_VERSION"),
                task.kept.is_some(),
            )?;
            logging::set_run(run_id);
            Ok((clock, Some(run_id)))
        })();
        let (clock, run_id) = opened.map_err(|error| database::failure(&error))?;
        let settings = Arc::new(settings);
        let report = Report::new(run_id, task.dry_run);
        Ok(Self {
            settings,
            task,
            progress,
            database_url,
            control,
            cancel,
            clock,
            run_id,
            epochs: BTreeMap::new(),
            report,
            unclosed: Vec::new(),
        })
    }

    fn finish(&mut self) -> Result<Report, SourceError> {
        let (sender, finished) = mpsc::channel();
        let expected = self.expected().map_err(|error| database::failure(&error))?;
        for (name, hold) in self.holds().map_err(|error| database::failure(&error))? {
            let line = self.progress.source(&name, expected.get(&name).copied());
            let assignment = Assignment {
                name,
                hold,
                kept: self.task.kept.clone(),
                settings: Arc::clone(&self.settings),
                database_url: self.database_url.clone(),
                clock: self.clock,
                cancel: self.cancel.clone(),
                line,
            };
            let sender = sender.clone();
            std::thread::spawn(move || {
                // Nobody listens any more when a signal has ended the run.
                let _ = sender.send(assignment.work());
            });
        }
        drop(sender);
        self.wait(&finished);
        self.identify();
        self.judge();
        self.close();
        Ok(std::mem::take(&mut self.report))
    }

    /// Records of each source the last time, for whoever looks on.
    fn expected(&mut self) -> QueryResult<BTreeMap<String, u64>> {
        let mut expected = BTreeMap::new();
        for name in self.settings.sources.iter().filter(|_| self.progress.is_shown()) {
            let newest = run::newest(&mut self.control, name)?;
            let complete = newest.filter(|run| run.status == "succeeded" && run.extracted > 0);
            expected.extend(complete.and_then(|run| Some((run.source, u64::try_from(run.extracted).ok()?))));
        }
        Ok(expected)
    }

    /// By what right each source is read that is not left to another run.
    fn holds(&mut self) -> QueryResult<Vec<(String, Hold)>> {
        let Some(run_id) = self.run_id else {
            return Ok(self.settings.sources.iter().map(|name| (name.clone(), Hold::Rehearsal)).collect());
        };
        self.take_leases(run_id)?;
        let hold = |(name, &epoch): (&String, &i64)| (name.clone(), Hold::Lease { run_id, epoch });
        Ok(self.epochs.iter().map(hold).collect())
    }

    /// Takes the lease of every source. The server needs a moment to notice that a holder was killed, so
    /// a lease that is held is asked for again before the source is left to its holder.
    fn take_leases(&mut self, run_id: i64) -> QueryResult<()> {
        let asked = Instant::now();
        self.take_free_leases(run_id)?;
        while self.epochs.len() < self.settings.sources.len() && asked.elapsed() < LEASE_PATIENCE {
            if self.cancel.wait(Duration::from_millis(50)) {
                break;
            }
            self.take_free_leases(run_id)?;
        }
        self.skip_the_rest(run_id)
    }

    fn take_free_leases(&mut self, run_id: i64) -> QueryResult<()> {
        let owner = owner();
        for name in &self.settings.sources {
            if self.epochs.contains_key(name) {
                continue;
            }
            let taken = lease::acquire(&mut self.control, name, &owner, Some(run_id), self.settings.lease);
            // The holder is in the middle of a long transaction: it lives.
            let taken = if taken.as_ref().is_err_and(database::is_lock_timeout) { None } else { taken? };
            if let Some(epoch) = taken {
                run::begin_source(&mut self.control, run_id, name)?;
                self.epochs.insert(name.clone(), epoch);
            }
        }
        Ok(())
    }

    /// What could not be taken is left to the run that has it.
    fn skip_the_rest(&mut self, run_id: i64) -> QueryResult<()> {
        for name in self.settings.sources.iter().filter(|name| !self.epochs.contains_key(*name)) {
            let holder = lease::held(&mut self.control, name)?.map(|held| held.owner).unwrap_or_default();
            log::info!("{name}: skipped, another run is at it ({holder})");
            run::skip_source(&mut self.control, run_id, name)?;
            self.report.add(Outcome::skipped(name));
        }
        let dead = run::abandon_dead(&mut self.control, run_id, self.settings.lease)?;
        if dead > 0 {
            log::warn!("{dead} earlier run(s) ended without a word; what they had committed is kept");
        }
        Ok(())
    }

    /// Waits for the workers, renewing the leases meanwhile.
    fn wait(&mut self, finished: &Receiver<Outcome>) {
        let beat = (self.settings.lease / 4).min(Duration::from_secs(15));
        let mut renewed = Instant::now();
        let mut grace = None;
        while self.report.len() < self.settings.sources.len() {
            match finished.recv_timeout(Duration::from_millis(200).min(beat)) {
                Ok(outcome) => self.finish_source(outcome),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if renewed.elapsed() >= beat {
                self.renew();
                renewed = Instant::now();
            }
            if self.cancel.is_set() && Instant::now() > *grace.get_or_insert_with(|| Instant::now() + GRACE) {
                break;
            }
        }
    }

    fn renew(&mut self) {
        let Some(run_id) = self.run_id else { return };
        if let Err(error) = lease::renew(&mut self.control, run_id, self.settings.lease) {
            log::warn!("the leases could not be renewed: {}", database::failure(&error).message);
            self.reconnect();
        }
    }

    /// A new control connection, if there is one to be had at once.
    fn reconnect(&mut self) -> bool {
        match database::connect(&self.database_url, Duration::ZERO, &Cancel::default()) {
            Ok(connection) => {
                self.control = connection;
                self.run_id.is_some_and(|run_id| {
                    lease::renew(&mut self.control, run_id, self.settings.lease).is_ok()
                })
            }
            Err(_) => false,
        }
    }

    /// Says when a listing is much shorter than the last time; a source that lost most of its coins looks healthy.
    fn compare_with_last(&mut self, outcome: &Outcome) {
        let is_listing = registration(&outcome.name)
            .is_ok_and(|registration| (registration.calls_per_run)(&self.settings, None).is_some());
        let (Some(run_id), Ended::Done, true) = (self.run_id, &outcome.ended, is_listing) else { return };
        // What is read again was short when it came.
        if self.task.kept.is_some() {
            return;
        }
        let now = outcome.tally.extracted();
        match run::last_fresh_read(&mut self.control, &outcome.name, run_id) {
            Ok(Some((last, before))) if now < before / 2 => {
                log::warn!("{}: {now} records, far fewer than the {before} of run {last}", outcome.name);
            }
            Ok(_) => {}
            Err(error) => log::warn!("{}: {}", outcome.name, database::failure(&error).message),
        }
    }

    fn finish_source(&mut self, outcome: Outcome) {
        self.compare_with_last(&outcome);
        let end = SourceEnd::of(&outcome);
        let mut closed = self.close_source(&end);
        if may_be_repeated(&closed) && self.reconnect() {
            closed = self.close_source(&end);
        }
        if may_be_repeated(&closed) {
            self.unclosed.push(end);
        }
        self.report.add(outcome);
    }

    fn close_source(&mut self, end: &SourceEnd) -> QueryResult<()> {
        let Some(run_id) = self.run_id else { return Ok(()) };
        let failure = end.failure.as_ref().map(|(kind, message)| (*kind, message.as_str()));
        run::finish_source(&mut self.control, run_id, &end.name, end.status, failure)?;
        if let Some(epoch) = self.epochs.get(&end.name) {
            lease::release(&mut self.control, &end.name, *epoch)?;
        }
        Ok(())
    }

    /// Records the ends that could not be recorded when they came.
    fn close_unclosed(&mut self) {
        let unclosed = std::mem::take(&mut self.unclosed);
        if unclosed.is_empty() || !self.reconnect() {
            return;
        }
        for end in unclosed {
            if let Err(error) = self.close_source(&end) {
                let message = database::failure(&error).message;
                log::warn!("{}: the end could not be recorded: {message}", end.name);
            }
        }
    }

    /// Makes the partitions of the next month, so that its first batch does not have to. Not for files: months of theirs
    /// come in bulk, and then better without indexes.
    fn make_room(&mut self) {
        let today = self.clock.now().date_naive();
        let Some(next) = today.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))) else {
            return;
        };
        for name in &self.settings.sources {
            let asks = sources::find(name)
                .is_some_and(|source| (source.calls_per_run)(&self.settings, None).is_some());
            if !asks {
                continue;
            }
            let made = source::register(&mut self.control, name)
                .and_then(|key| partition::ensure(&mut self.control, key.source_id, next, true));
            if let Err(error) = made {
                let message = database::failure(&error).message;
                log::warn!("{name}: the partition of {next} was not made ahead: {message}");
            }
        }
    }

    /// Closes the record of the run. A source that has not reported back was cut off by a signal.
    fn close(&mut self) {
        if let Some(signal) = self.cancel.signal() {
            self.report.signal = Some(signal);
            // A worker that stands in the middle of a statement ends with the process.
            let _ = database::wait_for_locks(&mut self.control, LAST_WAIT);
            let missing: Vec<String> =
                self.settings.sources.iter().filter(|name| !self.report.has(name)).cloned().collect();
            for name in missing {
                let error = crate::http::cancelled();
                self.finish_source(Outcome {
                    name,
                    ended: Ended::Failed(error),
                    tally: run::Tally::default(),
                    rewritten: None,
                    priced: HashSet::new(),
                });
            }
        }
        let Some(run_id) = self.run_id else { return };
        self.close_unclosed();
        if self.report.success() && self.task.kept.is_none() {
            self.make_room();
        }
        let (status, success, message) = (self.report.status(), self.report.success(), self.report.message());
        let finish =
            |launch: &mut Self| run::finish(&mut launch.control, run_id, status, success, message.as_deref());
        if may_be_repeated(&finish(self))
            && self.reconnect()
            && let Err(error) = finish(self)
        {
            log::warn!("the end of the run could not be recorded: {}", database::failure(&error).message);
        }
    }
}

/// Whether the end of something can be recorded over a new connection: not what somebody has locked.
fn may_be_repeated(recorded: &QueryResult<()>) -> bool {
    recorded.as_ref().is_err_and(|error| !database::is_lock_timeout(error))
}

/// The address of the database.
///
/// # Errors
/// When there is none.
pub(crate) fn database_url(settings: &Settings) -> Result<Secret, SourceError> {
    settings.database_url.clone().ok_or_else(|| {
        SourceError::new(
            FailureKind::Config,
            "DATABASE_URL is not set: give the address of a Postgres, such as postgresql://user@host/kasparro \
             (or DATABASE_URL_FILE; `make run` starts a private one)",
        )
    })
}

/// Host and process, for people who look at the lease.
pub(crate) fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "this machine".to_owned(),
        name => name.to_owned(),
    };
    format!("{host}, process {}", std::process::id())
}

/// Whether a source is one that the registry has; settings have checked it.
pub(crate) fn registration(name: &str) -> Result<&'static sources::Registration, SourceError> {
    sources::find(name).ok_or_else(|| {
        let message = format!("{name:?}: unknown source; there are {}", sources::names().join(", "));
        SourceError::new(FailureKind::Config, message)
    })
}
