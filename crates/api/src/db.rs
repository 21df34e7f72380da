//! The one door to the database. Nothing else in this crate blocks, connects, or knows Diesel.
//!
//! The pool is a stack of idle connections behind a semaphore. It is our own because of what happens when
//! Postgres goes away: a broken connection takes all idle ones with it, so the one retry of a read is made on a
//! fresh connection rather than on the next broken one; connecting is tried when a request needs it, so there is
//! no back-off to wait for when Postgres returns; waiting for a slot costs no thread; and a connection whose
//! server has gone silent is given up, so that it does not hold its slot for ever.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::rt::time::timeout;
use actix_web::web;
use diesel::connection::SimpleConnection;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{Connection as _, PgConnection};
use kasparro_core::db::{self, SchemaState};
use kasparro_core::secret::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::address;
use crate::problem::{Code, Problem};

/// A connection, as the functions of `kasparro_core::store` take it.
pub(crate) type Connection = PgConnection;

/// Longest wait for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time from the request for a read to its answer, the wait included.
const READ_DEADLINE: Duration = Duration::from_secs(3);

/// Set on every connection. A statement ends before the deadline does, so that the server stops working on what
/// nobody waits for. Not in the URL: PgBouncer refuses the start-up parameter `options`.
const SESSION_SETTINGS: &str = "set statement_timeout = '2500ms'; set lock_timeout = '1s'; \
     set idle_in_transaction_session_timeout = '10s'";

/// A statement that failed after this time was probably cancelled by one of the time limits above. Diesel does
/// not tell the SQLSTATE, and the text may be in any language.
const SUSPICIOUSLY_LONG: Duration = Duration::from_millis(950);

/// How a read may fail.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The database said so.
    Database(DieselError),
    /// The answer to the request is a failure.
    Refused(Problem),
}

impl From<DieselError> for ReadError {
    fn from(error: DieselError) -> Self {
        Self::Database(error)
    }
}

impl From<Problem> for ReadError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// The database, for every worker the same.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Arc<Pool>,
    slots: Arc<Semaphore>,
}

struct Pool {
    address: Secret,
    size: usize,
    idle: Mutex<Idle>,
    given_up: AtomicUsize,
}

#[derive(Default)]
struct Idle {
    connections: Vec<PgConnection>,
    /// Counts the times that all connections were found broken: an older one does not come back.
    generation: u64,
}

impl Database {
    /// A pool for a libpq URL or keyword string. Does not connect: the database may be down.
    pub(crate) fn new(url: &Secret, size: usize) -> Self {
        let pool = Pool {
            address: Secret::new(address::with_defaults(url.expose())),
            size,
            idle: Mutex::default(),
            given_up: AtomicUsize::new(0),
        };
        Self { pool: Arc::new(pool), slots: Arc::new(Semaphore::new(size)) }
    }

    /// Runs a read off the worker threads. It is run again on a fresh connection when the connection breaks.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Fn(&mut Connection) -> Result<T, ReadError> + Send + 'static,
    {
        let begun = Instant::now();
        let permit = match timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(busy("no connection to the database was free in time")),
        };
        let slot = Arc::new(Slot(Mutex::new(Some(permit))));
        let (pool, held) = (Arc::clone(&self.pool), Arc::clone(&slot));
        #[allow(clippy::disallowed_methods, reason = "this is the wrapper that everything else goes through")]
        let job = web::block(move || pool.run(&query, &held));
        match timeout(READ_DEADLINE.saturating_sub(begun.elapsed()), job).await {
            Ok(Ok(result)) => result,
            Ok(Err(stopped)) => Err(Problem::new(Code::Internal, INTERNAL).caused_by(stopped)),
            Err(_) => {
                self.pool.give_up(&slot);
                Err(busy("the database did not answer in time"))
            }
        }
    }

    /// Whether the database answers and has the tables that this program needs.
    pub(crate) async fn check(&self) -> Result<(), Problem> {
        self.read(|connection| match db::schema_state(connection)? {
            SchemaState::Current => Ok(()),
            other => Err(ReadError::Refused(schema_mismatch(&other))),
        })
        .await
    }
}

const INTERNAL: &str = "the service failed; its log has more under the request id";

fn busy(detail: &str) -> Problem {
    Problem::new(Code::Busy, detail)
}

fn schema_mismatch(state: &SchemaState) -> Problem {
    Problem::new(Code::SchemaMismatch, state.advice().unwrap_or_default())
}

/// The right to hold a connection. Whoever takes the permit out decides over the connection.
struct Slot(Mutex<Option<OwnedSemaphorePermit>>);

impl Slot {
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        locked(&self.0).take()
    }
}

/// What is behind these locks cannot be left half-changed, so a panic elsewhere does not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Blocks: connects if need be, and runs the query.
    fn run<T>(
        &self,
        query: &impl Fn(&mut Connection) -> Result<T, ReadError>,
        slot: &Slot,
    ) -> Result<T, Problem> {
        let result = self.run_on_idle(query, slot).unwrap_or_else(|| self.run_on_fresh(query, slot));
        if slot.take().is_none() {
            self.given_up.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    /// `None` when there is no idle connection that works.
    fn run_on_idle<T>(
        &self,
        query: &impl Fn(&mut Connection) -> Result<T, ReadError>,
        slot: &Slot,
    ) -> Option<Result<T, Problem>> {
        let (mut connection, generation) = {
            let mut idle = locked(&self.idle);
            (idle.connections.pop()?, idle.generation)
        };
        match self.attempt(&mut connection, query) {
            Attempt::Broken(_) => {
                self.forget_idle();
                None
            }
            Attempt::Done(result) => {
                self.put_back(connection, generation, slot);
                Some(result)
            }
        }
    }

    fn run_on_fresh<T>(
        &self,
        query: &impl Fn(&mut Connection) -> Result<T, ReadError>,
        slot: &Slot,
    ) -> Result<T, Problem> {
        let generation = locked(&self.idle).generation;
        let mut connection = self.open()?;
        match self.attempt(&mut connection, query) {
            Attempt::Broken(cause) => Err(unavailable().caused_by(cause)),
            Attempt::Done(result) => {
                self.put_back(connection, generation, slot);
                result
            }
        }
    }

    fn attempt<T>(
        &self,
        connection: &mut PgConnection,
        query: &impl Fn(&mut Connection) -> Result<T, ReadError>,
    ) -> Attempt<T> {
        let begun = Instant::now();
        match query(connection) {
            Ok(value) => Attempt::Done(Ok(value)),
            Err(ReadError::Refused(problem)) => Attempt::Done(Err(problem)),
            Err(ReadError::Database(error)) if is_broken(&error) => Attempt::Broken(error),
            Err(ReadError::Database(error)) => {
                Attempt::Done(Err(explained(connection, error, begun.elapsed())))
            }
        }
    }

    fn open(&self) -> Result<PgConnection, Problem> {
        let mut connection =
            PgConnection::establish(self.address.expose()).map_err(|error| unavailable().caused_by(error))?;
        let state = db::prepare(&mut connection)
            .and_then(|()| connection.batch_execute(SESSION_SETTINGS))
            .and_then(|()| db::schema_state(&mut connection))
            .map_err(|error| unavailable().caused_by(error))?;
        match state {
            SchemaState::Current => Ok(connection),
            other => Err(schema_mismatch(&other)),
        }
    }

    /// Keeps a connection for the next read, unless its slot was given up or its generation is over.
    fn put_back(&self, connection: PgConnection, generation: u64, slot: &Slot) {
        let mut idle = locked(&self.idle);
        let held = locked(&slot.0).is_some();
        if held && idle.generation == generation && idle.connections.len() < self.size {
            idle.connections.push(connection);
        }
    }

    fn forget_idle(&self) {
        let mut idle = locked(&self.idle);
        idle.generation += 1;
        let broken = std::mem::take(&mut idle.connections);
        drop(idle);
        drop(broken);
    }

    /// Frees the slot of a read that nobody waits for any more. Its thread and its connection stay until libpq
    /// notices, so there is a bound on how many may: beyond it the slots stay taken and requests are refused.
    fn give_up(&self, slot: &Slot) {
        let mut held = locked(&slot.0);
        if held.is_some() && self.given_up.fetch_add(1, Ordering::Relaxed) < 2 * self.size {
            drop(held.take());
        } else if held.is_some() {
            self.given_up.fetch_sub(1, Ordering::Relaxed);
        }
        drop(held);
        self.forget_idle();
    }
}

enum Attempt<T> {
    Done(Result<T, Problem>),
    Broken(DieselError),
}

fn unavailable() -> Problem {
    Problem::new(Code::DatabaseUnavailable, "the database cannot be reached at the moment")
}

fn is_broken(error: &DieselError) -> bool {
    matches!(
        error,
        DieselError::BrokenTransactionManager
            | DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _
            )
    )
}

/// What a failed statement means for the client.
fn explained(connection: &mut PgConnection, error: DieselError, took: Duration) -> Problem {
    let unknown = matches!(error, DieselError::DatabaseError(DatabaseErrorKind::Unknown, _));
    if unknown && took >= SUSPICIOUSLY_LONG {
        return busy("the database did not answer in time").caused_by(error);
    }
    // The tables may have been changed under a connection that was checked when it was opened.
    match db::schema_state(connection) {
        Ok(SchemaState::Current) => Problem::new(Code::Internal, INTERNAL).caused_by(error),
        Ok(other) => schema_mismatch(&other).caused_by(error),
        Err(_) => unavailable().caused_by(error),
    }
}
