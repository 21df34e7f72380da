//! The ledger of calls: counted in Postgres before they are made, and refused when the month's quota is used up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{PgConnection, QueryResult};
use kasparro_core::secret::Secret;
use kasparro_core::store::call;

use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::signal::Cancel;

/// Whose calls are counted, and how many there may be.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// Whom the quota belongs to.
    pub(crate) host: String,
    /// Calls in a calendar month (UTC); `None` only counts.
    pub(crate) quota: Option<u32>,
}

/// The ledger of one source in this run.
pub(crate) struct Book {
    source: String,
    ledger: Ledger,
    database_url: Secret,
    database_wait: Duration,
    /// Of its own: the other one is in the middle of a batch, whose calls count even if it is rolled back.
    connection: Mutex<Option<PgConnection>>,
}

impl Book {
    pub(crate) fn new(source: &str, ledger: Ledger, database_url: Secret, database_wait: Duration) -> Self {
        Self { source: source.to_owned(), ledger, database_url, database_wait, connection: Mutex::new(None) }
    }

    /// Counts a call that is about to be made.
    ///
    /// # Errors
    /// When the quota is used up, or the ledger cannot be written: a call that is not counted is not made.
    pub(super) fn enter(&self, cancel: &Cancel) -> Result<(), SourceError> {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut again = kept.is_some();
        loop {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect(cancel)?,
            };
            match self.take(&mut connection) {
                Ok(verdict) => {
                    *kept = Some(connection);
                    return verdict;
                }
                // It broke since the last call.
                Err(error) if again && database::is_transient(&error) => again = false,
                Err(error) => return Err(database::failure(&error)),
            }
        }
    }

    fn connect(&self, cancel: &Cancel) -> Result<PgConnection, SourceError> {
        let mut connection = database::connect(&self.database_url, self.database_wait, cancel)?;
        // A crash of the server may forget the calls of the last half second; waiting for the disk at each would cost
        // more than that is worth.
        connection
            .batch_execute("set synchronous_commit = off")
            .map_err(|error| database::failure(&error))?;
        Ok(connection)
    }

    fn take(&self, connection: &mut PgConnection) -> QueryResult<Result<(), SourceError>> {
        let Ledger { host, quota } = &self.ledger;
        if call::take(connection, &self.source, host, quota.map(i64::from))? {
            return Ok(Ok(()));
        }
        let renewed = call::next_month(connection)?.format("%Y-%m-%dT%H:%M:%SZ");
        let (quota, name) = (quota.unwrap_or_default(), self.source.to_ascii_uppercase());
        let message = format!(
            "the {quota} calls to {host} that this month allows are used up; they renew at {renewed} ({name}_MONTHLY_CALLS, \
             `kasparro-etl check --every 5m` tells what a schedule costs)"
        );
        Ok(Err(SourceError::new(FailureKind::RateLimited, message)))
    }
}
