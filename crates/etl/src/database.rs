//! Getting to the database, and what its errors mean.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::{PgConnection, QueryResult};
use kasparro_core::db::{self, DbError};
use kasparro_core::secret::Secret;

use crate::failure::{FailureKind, SourceError};
use crate::http::cancelled;
use crate::signal::Cancel;

/// How long a transaction may stand still: a stopped process must not hold a lock for ever, and the statement of a killed
/// one is to end soon (where the server can tell).
const SESSION: &str = "set idle_in_transaction_session_timeout = '30s'; set application_name = 'kasparro-etl'; \
                       select set_config(name, '500', false) from pg_settings where name = 'client_connection_check_interval'";

/// Longest wait of a statement for a lock.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(20);

/// Opens a session for loading; waits for a database that is away or starting up.
///
/// # Errors
/// Temporary when it stays away, Config when it refuses us.
pub(crate) fn connect(
    url: &Secret,
    patience: Duration,
    cancel: &Cancel,
) -> Result<PgConnection, SourceError> {
    let give_up = Instant::now() + patience;
    let mut pause = Duration::from_millis(100);
    loop {
        let error = match open(url, patience) {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let failed = refused(&error);
        if failed.kind == FailureKind::Config || Instant::now() + pause > give_up {
            return Err(failed);
        }
        log::warn!("{}; trying again", failed.message);
        if cancel.wait(pause) {
            return Err(cancelled());
        }
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn open(url: &Secret, patience: Duration) -> Result<PgConnection, DbError> {
    let mut connection = db::connect(url.expose())?;
    connection.batch_execute(SESSION)?;
    // A third, so that a transaction that met a lock can be tried again.
    let wait = if patience.is_zero() { MAX_LOCK_WAIT } else { MAX_LOCK_WAIT.min(patience / 3) };
    wait_for_locks(&mut connection, wait)?;
    Ok(connection)
}

/// Sets how long a statement may wait for a lock.
pub(crate) fn wait_for_locks(connection: &mut PgConnection, wait: Duration) -> QueryResult<()> {
    connection.batch_execute(&format!("set lock_timeout = {}", wait.as_millis().max(1)))
}

/// Asking again does not help against these.
const REFUSALS: [&str; 6] = [
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "role \"",
    "database \"",
    "permission denied",
];

fn refused(error: &DbError) -> SourceError {
    let text = one_line(&error.to_string());
    let starting =
        ["starting up", "shutting down", "too many", "recovery"].iter().any(|word| text.contains(word));
    let refused = !starting && REFUSALS.iter().any(|refusal| text.contains(refusal));
    let kind = if refused || matches!(error, DbError::Address(_)) {
        FailureKind::Config
    } else {
        FailureKind::Temporary
    };
    SourceError::new(kind, text)
}

/// Whether the whole transaction may be tried again: the connection broke, or two transactions met.
/// Diesel does not pass the SQLSTATE on, so the server's words decide where the kind does not.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error {
        Error::DatabaseError(
            DatabaseErrorKind::SerializationFailure | DatabaseErrorKind::ClosedConnection,
            _,
        ) => true,
        Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _) | Error::BrokenTransactionManager => {
            true
        }
        Error::RollbackErrorOnCommit { .. } => true,
        Error::DatabaseError(_, information) => {
            let text = information.message();
            [
                "deadlock",
                "terminating connection",
                "server closed the connection",
                "connection to server",
                "lock timeout",
                "could not receive data",
                "could not send data",
                "SSL connection",
                "no connection to the server",
                // The server was a primary when we came: a new connection may lead to the one that is now.
                READ_ONLY,
            ]
            .iter()
            .any(|words| text.contains(words))
        }
        _ => false,
    }
}

/// Transactions that are tried again after the connection broke or two transactions met.
const MOST_ATTEMPTS: u32 = 5;

/// A transaction that is tried again, over a new connection, where that can help.
pub(crate) struct Attempts<'a> {
    /// Whose it is.
    name: &'a str,
    /// What is done again, in words.
    what: &'static str,
    url: &'a Secret,
    cancel: &'a Cancel,
    give_up: Instant,
    made: u32,
}

impl<'a> Attempts<'a> {
    /// Begins now; no attempt begins later than after `patience`.
    pub(crate) fn new(
        name: &'a str,
        what: &'static str,
        url: &'a Secret,
        patience: Duration,
        cancel: &'a Cancel,
    ) -> Self {
        Self { name, what, url, cancel, give_up: Instant::now() + patience, made: 0 }
    }

    /// Tries a transaction until it is done.
    ///
    /// # Errors
    /// As [`Self::again`].
    pub(crate) fn run<T>(
        mut self,
        connection: &mut PgConnection,
        mut transaction: impl FnMut(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T, SourceError> {
        loop {
            match transaction(connection) {
                Ok(value) => return Ok(value),
                Err(error) => *connection = self.again(&error)?,
            }
        }
    }

    /// After an attempt that failed: the connection for the next one.
    ///
    /// # Errors
    /// What failed, where trying again cannot help or has not helped; a database that stays away; a signal.
    pub(crate) fn again(&mut self, error: &Error) -> Result<PgConnection, SourceError> {
        self.made += 1;
        let failed = failure(error);
        if !is_transient(error) || self.made >= MOST_ATTEMPTS || Instant::now() > self.give_up {
            return Err(failed);
        }
        log::warn!("{}: {}; {} again", self.name, failed.message, self.what);
        if self.cancel.wait(Duration::from_millis(50) * self.made * self.made) {
            return Err(cancelled());
        }
        connect(self.url, self.give_up.saturating_duration_since(Instant::now()), self.cancel)
    }
}

/// Whether somebody else has held a row for too long.
pub(crate) fn is_lock_timeout(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.message().contains("lock timeout"))
}

/// What the server says about a statement that writes where nobody may (25006).
const READ_ONLY: &str = "in a read-only transaction";

/// What the server says (in its words for 25006, 53100, XX000 of a limit on files, 57014, 55P03 and 42501), what that
/// means, and the way out.
const ADVICE: [(&str, FailureKind, &str); 6] = [
    (
        READ_ONLY,
        FailureKind::Temporary,
        "it can only be read; give the address of the primary, or all addresses with target_session_attrs=read-write; or, if \
         the role is one that only reads (DB_READER), connect as one that loads",
    ),
    (
        "No space left on device",
        FailureKind::Temporary,
        "the disk of the server is full; nothing of this batch was kept",
    ),
    ("File too large", FailureKind::Temporary, "the server may not write more, as if its disk were full"),
    (
        "statement timeout",
        FailureKind::Temporary,
        "the statement_timeout of the server is too short for a batch; raise it for this role, or set a smaller BATCH_SIZE",
    ),
    ("lock timeout", FailureKind::Temporary, "somebody keeps a lock (ETL_DATABASE_WAIT_SECONDS)"),
    ("permission denied", FailureKind::Config, "the role lacks a grant"),
];

/// A database error as the end of a source.
pub(crate) fn failure(error: &Error) -> SourceError {
    let text = match error {
        Error::DatabaseError(_, information) => one_line(information.message()),
        other => one_line(&other.to_string()),
    };
    match ADVICE.iter().find(|(words, ..)| text.contains(words)) {
        Some((_, kind, advice)) => SourceError::new(*kind, format!("database: {advice}: {text}")),
        None => SourceError::new(FailureKind::Temporary, format!("database: {text}")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
