//! One launch: leases, a worker per source, the record of it all, and the exit code.

mod report;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use diesel::{PgConnection, QueryResult};
use kasparro_core::db;
use kasparro_core::secret::Secret;
use kasparro_core::store::{lease, run, source};

use crate::failure::{FailureKind, SourceError};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::signal::{self, Cancel};
use crate::source::Clock;
use crate::{database, sources};
use report::{Ended, Outcome, Report};
use worker::Assignment;

/// How long a source that another run holds is asked for before it is skipped.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);

/// How long workers get to finish their transaction after a signal.
const GRACE: Duration = Duration::from_secs(3);

/// Runs every enabled source once; returns the exit code.
pub(crate) fn run(settings: Settings, progress: Progress) -> u8 {
    let started = Instant::now();
    let outcome = Launch::begin(settings, progress).and_then(|mut launch| launch.finish());
    match outcome {
        Ok(report) => {
            report.print(started.elapsed());
            report.exit_code()
        }
        Err(error) => {
            log::error!("{error}");
            error.kind.exit_code()
        }
    }
}

/// A launch under way. This thread keeps the control connection: it takes and renews the leases and writes the
/// record of the run, while the workers load over connections of their own.
struct Launch {
    settings: Arc<Settings>,
    progress: Progress,
    database_url: Secret,
    control: PgConnection,
    cancel: Cancel,
    clock: Clock,
    run_id: i64,
    /// Epoch of each lease that is held.
    epochs: BTreeMap<String, i64>,
    report: Report,
}

impl Launch {
    fn begin(settings: Settings, progress: Progress) -> Result<Self, SourceError> {
        let cancel = Cancel::default();
        signal::listen(cancel.clone())
            .map_err(|error| SourceError::new(FailureKind::Io, format!("signal handlers: {error}")))?;
        let database_url = database_url(&settings)?;
        let mut control = database::connect(&database_url, settings.database_wait, &cancel)?;
        let state = db::schema_state(&mut control).map_err(|error| database::failure(&error))?;
        if let Some(advice) = state.advice() {
            return Err(SourceError::new(FailureKind::Config, advice));
        }
        let opened = (|| -> QueryResult<_> {
            let clock =
                Clock { database_time: source::database_time(&mut control)?, read_at: Instant::now() };
            for name in &settings.sources {
                source::register(&mut control, name)?;
            }
            let run_id = run::begin(&mut control, &settings.sources.join(","), env!("CARGO_PKG_VERSION"))?;
            Ok((clock, run_id))
        })();
        let (clock, run_id) = opened.map_err(|error| database::failure(&error))?;
        let settings = Arc::new(settings);
        let (epochs, report) = (BTreeMap::new(), Report::default());
        Ok(Self { settings, progress, database_url, control, cancel, clock, run_id, epochs, report })
    }

    fn finish(&mut self) -> Result<Report, SourceError> {
        let (sender, finished) = mpsc::channel();
        self.take_leases().map_err(|error| database::failure(&error))?;
        for (name, &epoch) in &self.epochs {
            let assignment = Assignment {
                name: name.clone(),
                run_id: self.run_id,
                epoch,
                settings: Arc::clone(&self.settings),
                database_url: self.database_url.clone(),
                clock: self.clock,
                cancel: self.cancel.clone(),
                line: self.progress.source(name),
            };
            let sender = sender.clone();
            std::thread::spawn(move || {
                // Nobody listens any more when a signal has ended the run.
                let _ = sender.send(assignment.work());
            });
        }
        drop(sender);
        self.wait(&finished);
        self.close();
        Ok(std::mem::take(&mut self.report))
    }

    /// Takes the lease of every source. The server needs a moment to notice that a holder was killed, so
    /// a lease that is held is asked for again before the source is left to its holder.
    fn take_leases(&mut self) -> QueryResult<()> {
        let asked = Instant::now();
        self.take_free_leases()?;
        while self.epochs.len() < self.settings.sources.len() && asked.elapsed() < LEASE_PATIENCE {
            if self.cancel.wait(Duration::from_millis(50)) {
                break;
            }
            self.take_free_leases()?;
        }
        self.skip_the_rest()
    }

    fn take_free_leases(&mut self) -> QueryResult<()> {
        let owner = owner();
        for name in &self.settings.sources {
            if self.epochs.contains_key(name) {
                continue;
            }
            let taken = lease::acquire(&mut self.control, name, &owner, self.run_id, self.settings.lease);
            // The holder is in the middle of a long transaction: it lives.
            let taken = if taken.as_ref().is_err_and(database::is_lock_timeout) { None } else { taken? };
            if let Some(epoch) = taken {
                run::begin_source(&mut self.control, self.run_id, name)?;
                self.epochs.insert(name.clone(), epoch);
            }
        }
        Ok(())
    }

    /// What could not be taken is left to the run that has it.
    fn skip_the_rest(&mut self) -> QueryResult<()> {
        for name in self.settings.sources.iter().filter(|name| !self.epochs.contains_key(*name)) {
            let holder = lease::holder(&mut self.control, name)?.unwrap_or_default();
            log::info!("{name}: skipped, another run is at it ({holder})");
            run::skip_source(&mut self.control, self.run_id, name)?;
            self.report.add(Outcome::skipped(name));
        }
        let dead = run::abandon_dead(&mut self.control, self.run_id, self.settings.lease)?;
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
        if let Err(error) = lease::renew(&mut self.control, self.run_id, self.settings.lease) {
            log::warn!("the leases could not be renewed: {}", database::failure(&error).message);
            self.reconnect();
        }
    }

    /// A new control connection, if there is one to be had at once.
    fn reconnect(&mut self) -> bool {
        match database::connect(&self.database_url, Duration::ZERO, &Cancel::default()) {
            Ok(connection) => {
                self.control = connection;
                lease::renew(&mut self.control, self.run_id, self.settings.lease).is_ok()
            }
            Err(_) => false,
        }
    }

    fn finish_source(&mut self, outcome: Outcome) {
        let closed = self.close_source(&outcome);
        if closed.is_err()
            && self.reconnect()
            && let Err(error) = self.close_source(&outcome)
        {
            log::warn!(
                "{}: the end could not be recorded: {}",
                outcome.name,
                database::failure(&error).message
            );
        }
        self.report.add(outcome);
    }

    fn close_source(&mut self, outcome: &Outcome) -> QueryResult<()> {
        let failure = outcome.failure().map(|error| (error.kind.as_str(), error.message.as_str()));
        run::finish_source(&mut self.control, self.run_id, &outcome.name, outcome.status(), failure)?;
        if let Some(epoch) = self.epochs.get(&outcome.name) {
            lease::release(&mut self.control, &outcome.name, *epoch)?;
        }
        Ok(())
    }

    /// Closes the record of the run. A source that has not reported back was cut off by a signal.
    fn close(&mut self) {
        if let Some(signal) = self.cancel.signal() {
            self.report.signal = Some(signal);
            let missing: Vec<String> =
                self.settings.sources.iter().filter(|name| !self.report.has(name)).cloned().collect();
            for name in missing {
                let error = crate::http::cancelled();
                self.finish_source(Outcome {
                    name,
                    ended: Ended::Failed(error),
                    tally: run::Tally::default(),
                });
            }
        }
        let (status, success, message) = (self.report.status(), self.report.success(), self.report.message());
        let finish = |launch: &mut Self| {
            run::finish(&mut launch.control, launch.run_id, status, success, message.as_deref())
        };
        if finish(self).is_err()
            && self.reconnect()
            && let Err(error) = finish(self)
        {
            log::warn!("the end of the run could not be recorded: {}", database::failure(&error).message);
        }
    }
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
fn owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "this machine".to_owned(),
        name => name.to_owned(),
    };
    format!("{host}, process {}", std::process::id())
}

/// Whether a source is one that the registry has; settings have checked it.
pub(crate) fn registration(name: &str) -> Result<&'static sources::Registration, SourceError> {
    sources::find(name)
        .ok_or_else(|| SourceError::new(FailureKind::Config, format!("{name}: unknown source")))
}
