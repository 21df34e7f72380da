//! Getting to the database, and what its errors mean.

use std::time::{Duration, Instant};

use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use diesel::result::{DatabaseErrorKind, Error};
use kasparro_core::db::{self, DbError};
use kasparro_core::secret::Secret;

use crate::failure::{FailureKind, SourceError};
use crate::http::cancelled;
use crate::signal::Cancel;

/// How long a statement may wait for a lock, and how long a transaction may stand still: a stopped process
/// must not hold a lock for ever, and the statement of a killed one is to end soon (where the server can tell).
const SESSION: &str = "set lock_timeout = '20s'; set idle_in_transaction_session_timeout = '30s'; \
                       set application_name = 'kasparro-etl'; \
                       select set_config(name, '500', false) from pg_settings where name = 'client_connection_check_interval'";

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
        let error = match open(url) {
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

fn open(url: &Secret) -> Result<PgConnection, DbError> {
    let mut connection = db::connect(url.expose())?;
    connection.batch_execute(SESSION)?;
    Ok(connection)
}

/// Asking again does not help against these.
const REFUSALS: [&str; 8] = [
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "role \"",
    "database \"",
    "connection info string",
    "invalid URI",
    "connection option",
];

fn refused(error: &DbError) -> SourceError {
    let text = one_line(&error.to_string());
    let starting =
        ["starting up", "shutting down", "too many", "recovery"].iter().any(|word| text.contains(word));
    let config = !starting && REFUSALS.iter().any(|refusal| text.contains(refusal));
    let kind = if config { FailureKind::Config } else { FailureKind::Temporary };
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
            ]
            .iter()
            .any(|words| text.contains(words))
        }
        _ => false,
    }
}

/// Whether somebody else has held a row for too long.
pub(crate) fn is_lock_timeout(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(_, information) if information.message().contains("lock timeout"))
}

/// A database error as the end of a source.
pub(crate) fn failure(error: &Error) -> SourceError {
    let text = match error {
        Error::DatabaseError(_, information) => one_line(information.message()),
        other => one_line(&other.to_string()),
    };
    SourceError::new(FailureKind::Temporary, format!("database: {text}"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
