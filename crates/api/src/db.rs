//! The one door to the database. Nothing else in this crate blocks, connects, or knows Diesel.
//!
//! The pool is r2d2 with a manager of our own, whose connections are opened by the request that needs one: r2d2's
//! own attempts back off when they fail and tell waiters nothing, so a dead database would cost each request the
//! whole wait, and one that is back would be found late. When one connection is found broken all idle ones are
//! taken for broken, so the one retry of a read is made on a fresh connection rather than on the next broken one.
//! A semaphore stands in front, so that waiting costs no thread.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::rt::time::timeout;
use actix_web::web;
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use diesel::r2d2::{ManageConnection, Pool};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use kasparro_core::db::{self, SchemaState};
use kasparro_core::secret::Secret;
use tokio::sync::Semaphore;

use crate::address;
use crate::db_counters::DbCounters;
use crate::metrics::Text;
use crate::problem::{Code, Problem};

/// A connection, as the functions of `kasparro_core::store` take it.
pub(crate) type Connection = PgConnection;

/// Longest wait for a free slot, and again for a session.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time from the request for a read to its answer, the wait included.
const READ_DEADLINE: Duration = Duration::from_secs(3);

/// Set on every connection. A statement ends before the deadline does, so that the server stops working on what
/// nobody waits for. Plans are made once for each statement: with a partition for each month of each source, making
/// one costs more than running it; pages whose plan depends on their bounds ask for one of their own. Not in the URL:
/// PgBouncer refuses the start-up parameter `options`.
const SESSION_SETTINGS: &str = "set statement_timeout = '2500ms'; set lock_timeout = '1s'; \
     set plan_cache_mode = force_generic_plan; \
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
    pool: Pool<Sessions>,
    sessions: Arc<State>,
    slots: Arc<Semaphore>,
    size: usize,
    counters: Arc<DbCounters>,
}

/// What r2d2 keeps: a place for a connection, opened when it is first used.
#[derive(Default)]
struct Session {
    connection: Option<PgConnection>,
    generation: u64,
}

struct Sessions(Arc<State>);

struct State {
    address: Secret,
    /// Counts the times that all connections were found broken: an older one is not used again.
    generation: AtomicU64,
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = Infallible;

    fn connect(&self) -> Result<Session, Infallible> {
        Ok(Session::default())
    }

    fn is_valid(&self, _: &mut Session) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        std::thread::panicking() || session.connection.is_some() && session.generation != self.0.generation()
    }
}

impl Database {
    /// A pool for a libpq URL or keyword string. Does not connect: the database may be down.
    pub(crate) fn new(url: &Secret, size: usize) -> Self {
        let sessions = Arc::new(State {
            address: Secret::new(address::with_defaults(url.expose())),
            generation: AtomicU64::new(0),
        });
        // A read that is given up keeps its session until libpq notices; beyond two times the size there is no more.
        let most = u32::try_from(size.saturating_mul(3)).unwrap_or(u32::MAX);
        let pool = Pool::builder()
            .max_size(most)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(ACQUIRE_TIMEOUT)
            .build_unchecked(Sessions(Arc::clone(&sessions)));
        let slots = Arc::new(Semaphore::new(size));
        Self { pool, sessions, slots, size, counters: Arc::default() }
    }

    /// Runs a read off the worker threads. It is run again on a fresh connection when the connection breaks.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Fn(&mut Connection) -> Result<T, ReadError> + Send + 'static,
    {
        let result = self.try_read(query).await;
        self.counters.ended(&result);
        result
    }

    async fn try_read<T, F>(&self, query: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Fn(&mut Connection) -> Result<T, ReadError> + Send + 'static,
    {
        let begun = Instant::now();
        let acquired = timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.slots).acquire_owned()).await;
        self.counters.waited(begun.elapsed());
        let Ok(Ok(permit)) = acquired else {
            self.counters.timed_out();
            return Err(busy("no connection to the database was free in time"));
        };
        // Held by the job, so that a client that leaves does not let more reads run than there are slots.
        let slot = Arc::new(Mutex::new(Some(permit)));
        let (database, held) = (self.clone(), Arc::clone(&slot));
        #[allow(clippy::disallowed_methods, reason = "this is the wrapper that everything else goes through")]
        let job = web::block(move || {
            let result = database.run(&query);
            drop(held);
            result
        });
        match timeout(READ_DEADLINE.saturating_sub(begun.elapsed()), job).await {
            Ok(Ok(result)) => result,
            Ok(Err(stopped)) => Err(Problem::new(Code::Internal, INTERNAL).caused_by(stopped)),
            Err(_) => {
                self.sessions.forget_all();
                slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(busy("the database did not answer in time"))
            }
        }
    }

    /// Blocks: connects if need be, and runs the query.
    fn run<T>(&self, query: &impl Fn(&mut Connection) -> Result<T, ReadError>) -> Result<T, Problem> {
        let mut session =
            self.pool.get().map_err(|error| busy("the database does not answer").caused_by(error))?;
        let generation = self.sessions.generation();
        let kept = session.connection.take().filter(|_| session.generation == generation);
        if let Some(mut connection) = kept {
            match attempt(&mut connection, query) {
                Attempt::Broken(_) => self.sessions.forget_all(),
                Attempt::Done(result) => {
                    session.connection = Some(connection);
                    return result;
                }
            }
        }
        // Read before connecting: a failure found meanwhile is that of this connection, too.
        session.generation = self.sessions.generation();
        let mut connection = self.sessions.open()?;
        match attempt(&mut connection, query) {
            Attempt::Broken(cause) => Err(unavailable().caused_by(cause)),
            Attempt::Done(result) => {
                session.connection = Some(connection);
                result
            }
        }
    }

    /// Blocks: opens a connection beside the pool, for what would hold one of the pool for long.
    pub(crate) fn open(&self) -> Result<Connection, Problem> {
        self.sessions.open()
    }

    /// The state of the pool and what became of its reads, as Prometheus text.
    pub(crate) fn render(&self, text: &mut Text) {
        let free = self.slots.available_permits();
        text.family(
            "db_pool_connections",
            "gauge",
            "Connections that reads may use at a time, by whether one does.",
        );
        text.sample("db_pool_connections", "state=\"busy\"", self.size.saturating_sub(free) as f64);
        text.sample("db_pool_connections", "state=\"free\"", free as f64);
        self.counters.render(text);
    }

    /// Whether the database answers and has the tables that this program needs.
    pub(crate) async fn check(&self) -> Result<(), Problem> {
        self.read(check_schema).await
    }
}

/// Whether the tables are those that this program needs.
pub(crate) fn check_schema(connection: &mut Connection) -> Result<(), ReadError> {
    match db::schema_state(connection)? {
        SchemaState::Current => Ok(()),
        other => Err(ReadError::Refused(schema_mismatch(&other))),
    }
}

/// The failure of a read on a connection that is not of the pool.
pub(crate) fn failure(connection: &mut Connection, error: ReadError, took: Duration) -> Problem {
    match error {
        ReadError::Refused(problem) => problem,
        ReadError::Database(error) if is_broken(&error) => unavailable().caused_by(error),
        ReadError::Database(error) => explained(connection, error, took),
    }
}

/// The failure of something that could have been a read but asked no database.
pub(crate) fn refusal(error: ReadError) -> Problem {
    match error {
        ReadError::Refused(problem) => problem,
        ReadError::Database(error) => Problem::new(Code::Internal, INTERNAL).caused_by(error),
    }
}

const INTERNAL: &str = "the service failed; its log has more under the request id";

fn busy(detail: &str) -> Problem {
    Problem::new(Code::Busy, detail)
}

fn schema_mismatch(state: &SchemaState) -> Problem {
    Problem::new(Code::SchemaMismatch, state.advice().unwrap_or_default())
}

impl State {
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn open(&self) -> Result<PgConnection, Problem> {
        let mut connection =
            db::establish(self.address.expose()).map_err(|error| unavailable().caused_by(error))?;
        let state = db::prepare(&mut connection)
            .and_then(|()| connection.batch_execute(SESSION_SETTINGS))
            .and_then(|()| db::schema_state(&mut connection))
            .map_err(|error| unavailable().caused_by(error))?;
        match state {
            SchemaState::Current => Ok(connection),
            other => Err(schema_mismatch(&other)),
        }
    }
}

fn attempt<T>(
    connection: &mut PgConnection,
    query: &impl Fn(&mut Connection) -> Result<T, ReadError>,
) -> Attempt<T> {
    let begun = Instant::now();
    match query(connection) {
        Ok(value) => Attempt::Done(Ok(value)),
        Err(ReadError::Refused(problem)) => Attempt::Done(Err(problem)),
        Err(ReadError::Database(error)) if is_broken(&error) => Attempt::Broken(error),
        Err(ReadError::Database(error)) => Attempt::Done(Err(explained(connection, error, begun.elapsed()))),
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
