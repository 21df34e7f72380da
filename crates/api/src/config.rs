//! What the service is told at its start.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use kasparro_core::secret::Secret;

use crate::cors::Cors;
use crate::gate::Admission;

/// Address to listen on when nothing is said: every interface.
pub const DEFAULT_HOST: &str = "0.0.0.0";

/// Port to listen on when nothing is said.
pub const DEFAULT_PORT: u16 = 8000;

/// Address of `/metrics` when nothing is said: this machine only.
pub const DEFAULT_METRICS_HOST: &str = "127.0.0.1";

/// Port of `/metrics` when nothing is said, as exporters within applications have it by convention.
pub const DEFAULT_METRICS_PORT: u16 = 9464;

/// Settings of the service; where it listens is decided by the listeners that [`start`](crate::start) is given.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the database, for libpq.
    pub database_url: Secret,
    /// Most connections to the database.
    pub pool_size: NonZeroUsize,
    /// Number of threads that answer requests.
    pub workers: NonZeroUsize,
    /// Most bytes of answers that are kept; 0 keeps none, and each request asks the database.
    pub cache_bytes: u64,
    /// Most rows of an export; a larger one is refused.
    pub export_max_rows: u64,
    /// Most exports that run at once; each has a connection of its own beside the pool.
    pub exports: NonZeroUsize,
    /// After how long without a load a source is called degraded.
    pub stale_after: Duration,
    /// Most open connections of clients; those beyond wait to be accepted.
    pub max_connections: NonZeroUsize,
    /// How long a client may leave an answer untaken until its connection is cut.
    pub stalled: Duration,
    /// Who is let in, and how often; everybody, always, unless something is configured.
    pub admission: Admission,
    /// Which pages of other origins may read the answers; `None` for none.
    pub cors: Option<Cors>,
    /// Whether `/docs` is served.
    pub docs: bool,
    /// How long the service calls itself unready before it stops to accept connections.
    pub drain: Duration,
    /// Longest time for requests in flight to end after that.
    pub shutdown: Duration,
    /// Seconds for which browsers are told to use HTTPS only; `None` where no TLS stands in front.
    pub hsts_secs: Option<u32>,
}

impl Config {
    /// The defaults for this machine.
    pub fn new(database_url: Secret) -> Self {
        Self {
            database_url,
            pool_size: default_pool_size(),
            workers: cores(),
            cache_bytes: 64 << 20,
            // Some 1.5 GB of JSON.
            export_max_rows: 5_000_000,
            exports: NonZeroUsize::MIN.saturating_add(1),
            // A day, for runs that are started by hand.
            stale_after: Duration::from_secs(86_400),
            max_connections: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            stalled: Duration::from_secs(30),
            admission: Admission::default(),
            cors: None,
            docs: true,
            drain: Duration::from_secs(3),
            shutdown: Duration::from_secs(10),
            hsts_secs: None,
        }
    }
}

fn cores() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Twice the cores, between 4 and 10: more connections than that make a Postgres slower, not faster.
fn default_pool_size() -> NonZeroUsize {
    let size = cores().get().saturating_mul(2).clamp(4, 10);
    NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN)
}
