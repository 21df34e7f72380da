//! What the service is told at its start.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use kasparro_core::secret::Secret;

/// Address to listen on when nothing is said: every interface.
pub const DEFAULT_HOST: &str = "0.0.0.0";

/// Port to listen on when nothing is said.
pub const DEFAULT_PORT: u16 = 8000;

/// Age from which on a source is called degraded when nothing is said: a day, for runs that are started by hand.
const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(86_400);

/// Bytes of answers that are kept when nothing is said.
const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

/// Settings of the service; where it listens is decided by the listener that [`start`](crate::start) is given.
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
    /// After how long without a load a source is called degraded.
    pub stale_after: Duration,
}

impl Config {
    /// The defaults for this machine.
    pub fn new(database_url: Secret) -> Self {
        Self {
            database_url,
            pool_size: default_pool_size(),
            workers: cores(),
            cache_bytes: DEFAULT_CACHE_BYTES,
            stale_after: DEFAULT_STALE_AFTER,
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
