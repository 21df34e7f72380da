//! Both remote sources, played by an HTTP server of our own.
//!
//! The simulator speaks the wire formats of CoinPaprika and CoinGecko over a made-up market ([`Universe`]), which is a
//! pure function of a seed and a tick. A test can give it exact bodies to serve instead, make any route fail in any way
//! ([`Fault`]), and read back what was asked ([`Request`]). It is a plain `TcpListener` with threads: a framework would not
//! let it truncate, drip or reset.
//!
//! ```
//! use kasparro_testkit::simulator::{Fault, Route, Simulator, Universe};
//!
//! let simulator = Simulator::start(Universe::new(7).coins(50));
//! simulator.fault(Route::CoinpaprikaTickers, Fault::status(429).retry_after_secs(1)).once();
//! let base_url = simulator.coinpaprika_base_url(); // what COINPAPRIKA_BASE_URL is set to
//! assert!(base_url.ends_with("/coinpaprika/v1"));
//! simulator.advance(); // some coins have moved now
//! assert!(simulator.requests().is_empty());
//! ```

mod answer;
mod clock;
mod coin;
mod coingecko;
mod coinpaprika;
mod control;
mod decimal;
mod delivery;
mod edit;
mod fault;
mod fault_catalogue;
mod given;
mod journal;
mod json;
mod market;
pub(crate) mod names;
pub(crate) mod random;
mod request;
mod response;
mod route;
mod script;
mod server;
mod spaces;
mod specimens;
mod universe;
mod vendor_errors;
mod well_known;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use coin::Vendor;
pub use fault::Fault;
pub use request::Request;
pub use response::Response;
pub use route::Route;
pub use script::Placement;
pub use universe::{CoinIds, Universe};

use clock::Clock;
use server::{Running, Server};

/// A running simulator. Dropping it closes every connection and ends its threads.
pub struct Simulator {
    running: Running,
}

impl Simulator {
    /// Starts a simulator on a free port of 127.0.0.1, whose ticks are moved by the test.
    ///
    /// # Panics
    /// When no port can be bound or no thread started: a test can do nothing about it.
    pub fn start(universe: Universe) -> Self {
        match Self::bind(("127.0.0.1", 0), universe) {
            Ok(simulator) => simulator,
            Err(error) => panic!("cannot start the source simulator: {error}"),
        }
    }

    /// The same on a given address.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread started.
    pub fn bind(address: impl ToSocketAddrs, universe: Universe) -> io::Result<Self> {
        let server = Server::new(universe.build(), Clock::by_hand());
        Ok(Self { running: server.run(TcpListener::bind(address)?)? })
    }

    /// Starts a simulator whose ticks follow the wall clock: data are always fresh, and prices go on from where they were
    /// when the simulator is started again with the same seed and tick length. The universe's base time is not used.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread started.
    pub fn bind_live(
        address: impl ToSocketAddrs,
        universe: Universe,
        tick_length: Duration,
    ) -> io::Result<Self> {
        let (clock, universe) = Clock::by_wall(universe, tick_length);
        let server = Server::new(universe.build(), clock);
        Ok(Self { running: server.run(TcpListener::bind(address)?)? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// What `COINPAPRIKA_BASE_URL` is set to; ends in `/v1`.
    pub fn coinpaprika_base_url(&self) -> String {
        format!("http://{}{}", self.address(), route::COINPAPRIKA_ROOT)
    }

    /// What `COINGECKO_BASE_URL` is set to; ends in `/api/v3`.
    pub fn coingecko_base_url(&self) -> String {
        format!("http://{}{}", self.address(), route::COINGECKO_ROOT)
    }
}

/// Time.
impl Simulator {
    /// The tick that requests are answered at now.
    pub fn tick(&self) -> i64 {
        self.server().clock.tick()
    }

    /// Moves to the next tick. Without effect on a simulator that follows the wall clock.
    pub fn advance(&self) {
        self.advance_by(1);
    }

    /// Moves by so many ticks, backwards when negative.
    pub fn advance_by(&self, ticks: i64) {
        self.server().clock.advance(ticks);
    }

    /// The time of the present tick, UTC. No `last_updated` is later.
    pub fn now(&self) -> DateTime<Utc> {
        self.server().world.time(self.tick())
    }

    /// The coins that have another `last_updated` at tick `to` than at tick `from`; the others have not changed at all,
    /// except that their rank depends on the others.
    pub fn moved_coins(&self, from: i64, to: i64) -> Vec<CoinIds> {
        let world = &self.server().world;
        let moved = world.coins().iter().enumerate().filter(|(_, coin)| world.moved_between(coin, from, to));
        moved.filter_map(|(slot, _)| world.ids(slot)).collect()
    }

    /// The ids of all coins.
    pub fn coin_ids(&self) -> Vec<CoinIds> {
        let world = &self.server().world;
        (0..world.coins().len()).filter_map(|slot| world.ids(slot)).collect()
    }
}

/// Given bodies.
impl Simulator {
    /// Serves these bytes, with the headers the vendor sends with that route, instead of the universe's. For
    /// [`Route::CoingeckoMarkets`] they are page 1, and the pages after it are `[]`.
    pub fn serve_body(&self, route: Route, body: impl Into<Vec<u8>>) {
        if route == Route::CoingeckoMarkets {
            return self.serve_pages(route, [body]);
        }
        self.serve(route, answer::dressed(route, body));
    }

    /// Serves one body per page, from page 1, and `[]` after the last.
    pub fn serve_pages<B: Into<Vec<u8>>>(&self, route: Route, bodies: impl IntoIterator<Item = B>) {
        let pages = bodies.into_iter().map(|body| answer::dressed(route, body)).collect();
        self.server().given.put_pages(route, pages);
    }

    /// Serves exactly this response to every request of a route.
    pub fn serve(&self, route: Route, response: Response) {
        self.server().given.put(route, response);
    }

    /// Serves exactly this response at a path, such as `/coinpaprika/v1/global`.
    pub fn serve_at(&self, path: &str, response: Response) {
        self.server().given.put_at(path, response);
    }

    /// Goes back to the universe everywhere.
    pub fn serve_universe(&self) {
        self.server().given.clear();
    }

    /// Whether bodies are compressed for clients that accept it; they are, unless switched off.
    pub fn set_gzip(&self, on: bool) {
        self.server().gzip.store(on, Ordering::SeqCst);
    }
}

/// Faults.
impl Simulator {
    /// Asks for a fault; the returned placement says how often: `.once()`, `.times(3)`, `.always()`, `.on_page(2).once()`.
    pub fn fault(&self, route: Route, fault: Fault) -> Placement<'_> {
        self.server().script.placement(route, fault)
    }

    /// Number of counted faults that have not struck yet.
    pub fn pending_faults(&self) -> usize {
        self.server().script.pending()
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.server().script.clear();
    }

    /// Lets one response go that [`Fault::hold`] holds back, or will.
    pub fn release(&self) {
        self.server().control.release();
    }
}

/// Journal.
impl Simulator {
    /// Every request received, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.requests_to(Route::Any)
    }

    /// The requests that went to a route or group of routes.
    pub fn requests_to(&self, route: Route) -> Vec<Request> {
        self.server().journal.requests(route)
    }

    /// Waits until there have been at least so many requests to a route; false when there are not within the limit.
    #[must_use]
    pub fn wait_for_requests(&self, route: Route, count: usize, limit: Duration) -> bool {
        self.server().journal.wait_for(route, count, limit)
    }

    /// Forgets the requests received so far.
    pub fn clear_requests(&self) {
        self.server().journal.clear();
    }

    fn server(&self) -> &Server {
        &self.running.server
    }
}
