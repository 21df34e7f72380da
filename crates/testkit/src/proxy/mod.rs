//! What goes wrong between a program and a server: a relay that delays, throttles, slices, silences, cuts and resets.
//!
//! [`FaultProxy`] relays bytes to any server; [`PostgresProxy`] understands enough of Postgres to count what a program
//! sends and to stop it at any point. Faults strike at a byte or a statement, not at a time: a test that uses them does
//! the same each time. What is random (jitter, the size of slices) follows from a seed.
//!
//! ```no_run
//! use kasparro_testkit::proxy::{Direction, FaultProxy, PostgresProxy, Toxic};
//!
//! # fn example(simulator_url: &str, database_url: &str) -> anyhow::Result<()> {
//! let link = FaultProxy::to_http(simulator_url)?;
//! link.poison(Direction::Downstream, Toxic::Slice(3));
//! let base_url = link.through(simulator_url); // the same path, over the relay
//!
//! let database = PostgresProxy::start(database_url)?;
//! database.link().poison(Direction::Downstream, Toxic::Silence); // it accepts, and hangs
//! database.link().heal();
//! database.link().down(); // every connection breaks, new ones are reset
//! database.link().up();
//! database.hold_at(7); // the seventh statement does not get through
//! # Ok(()) }
//! ```

mod connection;
mod lane;
mod postgres;
mod tls;

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use anyhow::Context;

pub use lane::{Direction, Toxic};
pub use postgres::PostgresProxy;
pub use tls::{Certificate, TlsFront};

use connection::{Connection, End};
use lane::Lane;
use postgres::Statements;

/// Relays every connection to one server, on a port of this machine. Dropping it breaks all of them.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Where a relay leads.
#[derive(Clone, Debug)]
enum Server {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What all connections of a relay share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    upstream: Lane,
    downstream: Lane,
    statements: Statements,
    connections: Vec<Weak<Connection>>,
    /// Connections that were ever made.
    accepted: u64,
    is_down: bool,
    closed: bool,
}

impl State {
    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Upstream => &mut self.upstream,
            Direction::Downstream => &mut self.downstream,
        }
    }

    fn break_all(&mut self, end: End) {
        for connection in self.connections.drain(..).filter_map(|connection| connection.upgrade()) {
            connection.end(end);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultProxy {
    /// Starts a relay to an address, such as `127.0.0.1:8080`.
    ///
    /// # Errors
    /// When no port can be had, or the address is none.
    pub fn to(address: impl ToSocketAddrs) -> anyhow::Result<Self> {
        let server = address.to_socket_addrs()?.next().context("no address to relay to")?;
        Self::start(Server::Tcp(server), connection::Wire::Bytes)
    }

    /// Starts a relay to the host and port of an `http://` address.
    ///
    /// # Errors
    /// As [`Self::to`].
    pub fn to_http(url: &str) -> anyhow::Result<Self> {
        Self::to(host_of(url)?)
    }

    fn start(server: Server, wire: connection::Wire) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let proxy = Self { address: listener.local_addr()?, shared: Arc::default() };
        let shared = Arc::clone(&proxy.shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = shared.lock();
                if state.closed {
                    return;
                }
                state.accepted += 1;
                let is_down = state.is_down;
                drop(state);
                if is_down {
                    connection::reset(client);
                } else {
                    // A client or server that has gone again is no concern of ours.
                    let _ = connection::relay(client, &server, wire, &shared);
                }
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// An `http://` address with this relay in the place of its host.
    ///
    /// Panics when it is no such address.
    #[track_caller]
    pub fn through(&self, url: &str) -> String {
        match host_of(url) {
            Ok(host) => url.replacen(host, &self.address.to_string(), 1),
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes what is random follow from this number.
    pub fn seed(&self, seed: u64) {
        let mut state = self.shared.lock();
        state.upstream.seed(seed);
        state.downstream.seed(seed.wrapping_add(1));
    }

    /// Adds a fault to one direction of every connection, those there are and those to come.
    pub fn poison(&self, direction: Direction, toxic: Toxic) {
        self.shared.lock().lane(direction).poison(toxic);
        self.shared.changed.notify_all();
    }

    /// Lifts every fault of both directions. What was silenced arrives now.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.upstream.heal();
        state.downstream.heal();
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Bytes that were passed on in one direction so far, over all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.lock().lane(direction).passed
    }

    /// Connections that programs have made so far.
    pub fn connections(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// Closes every connection in order; new ones are relayed.
    pub fn break_connections(&self) {
        self.shared.lock().break_all(End::Close);
    }

    /// The server is gone: every connection is reset, and so are new ones.
    pub fn down(&self) {
        let mut state = self.shared.lock();
        state.is_down = true;
        state.break_all(End::Reset);
    }

    /// The server is back.
    pub fn up(&self) {
        self.shared.lock().is_down = false;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.break_all(End::Close);
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn host_of(url: &str) -> anyhow::Result<&str> {
    let (_, rest) = url.split_once("http://").with_context(|| format!("{url}: no http:// address"))?;
    Ok(rest.split('/').next().unwrap_or(rest))
}

#[cfg(test)]
mod tests;
