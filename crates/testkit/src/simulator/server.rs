//! Listening, one thread per connection, and stopping.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;

use super::answer;
use super::clock::Clock;
use super::coin::Vendor;
use super::control::Control;
use super::delivery::{self, Afterwards};
use super::fault::{Answer, Delivery, Fault, Paging};
use super::fault_catalogue::redirect;
use super::given::Given;
use super::journal::Journal;
use super::request::{self, Request};
use super::response::{Body, HeaderValue, Response};
use super::script::Script;
use super::universe::World;
use super::vendor_errors::{coingecko_status, coinpaprika_error, failure};

/// What all connections share.
pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) clock: Clock,
    pub(crate) script: Script,
    pub(crate) given: Given,
    pub(crate) journal: Journal,
    pub(crate) control: Control,
    pub(crate) gzip: AtomicBool,
    /// Open connections. They are shared, not cloned: a second descriptor would keep a reset from being one.
    connections: Mutex<HashMap<u64, Arc<TcpStream>>>,
}

/// A server that listens. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) server: Arc<Server>,
    pub(crate) address: SocketAddr,
    acceptor: Option<JoinHandle<Vec<JoinHandle<()>>>>,
}

impl Server {
    pub(crate) fn new(world: World, clock: Clock) -> Self {
        Self {
            world,
            clock,
            script: Script::default(),
            given: Given::default(),
            journal: Journal::default(),
            control: Control::default(),
            gzip: AtomicBool::new(true),
            connections: Mutex::default(),
        }
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// When the listener's address cannot be read or no thread can be started.
    pub(crate) fn run(self, listener: TcpListener) -> io::Result<Running> {
        let (server, address) = (Arc::new(self), listener.local_addr()?);
        let accepting = Arc::clone(&server);
        let acceptor =
            thread::Builder::new().name("simulator".into()).spawn(move || accepting.accept(&listener))?;
        Ok(Running { server, address, acceptor: Some(acceptor) })
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) -> Vec<JoinHandle<()>> {
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for number in 0.. {
            let accepted = listener.accept();
            if self.control.is_stopped() {
                break;
            }
            threads.retain(|thread| !thread.is_finished());
            // Out of descriptors, most likely: those in use will come back.
            let Ok((stream, _)) = accepted else {
                self.control.pause(Duration::from_millis(10));
                continue;
            };
            let server = Arc::clone(&self);
            threads.extend(thread::Builder::new().spawn(move || server.serve(number, stream)));
        }
        threads
    }

    fn serve(&self, number: u64, stream: TcpStream) {
        let stream = Arc::new(stream);
        self.open_connections().insert(number, Arc::clone(&stream));
        if !self.control.is_stopped()
            && self.converse(number, &stream).is_ok_and(|end| end == Afterwards::Reset)
        {
            // Closing with no time to linger makes TCP send a reset.
            drop(SockRef::from(&*stream).set_linger(Some(Duration::ZERO)));
        }
        self.open_connections().remove(&number);
    }

    /// Answers requests until one of both sides has enough.
    fn converse(&self, number: u64, stream: &TcpStream) -> io::Result<Afterwards> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = request::read(&mut reader, number, || self.clock.tick())? {
            let closes = request.header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
            match self.respond(stream, request)? {
                Afterwards::Keep if !closes => {}
                Afterwards::Linger => return reader.read(&mut [0]).map(|_| Afterwards::Close),
                end => return Ok(end),
            }
        }
        Ok(Afterwards::Close)
    }

    fn respond(&self, stream: &TcpStream, request: Request) -> io::Result<Afterwards> {
        let fault = self.script.take(&request);
        // Before the answer, so that a test which has seen the answer finds the request in the journal; and after the
        // choice of its fault, so that a test which has seen the request can place the next fault.
        self.journal.record(request.clone());
        let response = self.compose(&request, fault.as_ref())?;
        let plan = fault.as_ref().map_or(&Delivery::Whole, |fault| &fault.delivery);
        if !self.control.pause(fault.as_ref().map_or(Duration::ZERO, |fault| fault.delay)) {
            return Ok(Afterwards::Close);
        }
        delivery::send(stream, &response, plan, request.method == "HEAD", &self.control)
    }

    fn compose(&self, request: &Request, fault: Option<&Fault>) -> io::Result<Response> {
        let wants_gzip = request.header("accept-encoding").is_some_and(|codings| codings.contains("gzip"));
        let gzip = wants_gzip && self.gzip.load(Ordering::SeqCst);
        let Some(fault) = fault else {
            let usual = self.usual(request, request.tick, Paging::Usual);
            return if gzip { delivery::compressed(usual) } else { Ok(usual) };
        };
        let response = edited(self.answered(request, fault), fault);
        if fault.claims_gzip {
            return Ok(response.header("Content-Encoding", "gzip"));
        }
        if gzip { delivery::compressed(response) } else { Ok(response) }
    }

    fn answered(&self, request: &Request, fault: &Fault) -> Response {
        let vendor = request.route.vendor();
        match &fault.answer {
            Answer::Usual => self.usual(request, request.tick - fault.ticks_behind, fault.paging),
            Answer::Failure(status) => failure(vendor, *status),
            Answer::Given(response) => response.clone(),
            Answer::ErrorIn200 => failure(vendor, 500).status(200),
            Answer::RateLimitIn200 if vendor == Some(Vendor::Coingecko) => {
                coingecko_status(200, 429, "You have exceeded the rate limit.")
            }
            Answer::RateLimitIn200 => coinpaprika_error(200, "you have reached maximum request limit"),
            Answer::RedirectToSelf => redirect(301, &request.target),
        }
    }

    fn usual(&self, request: &Request, tick: i64, paging: Paging) -> Response {
        answer::usual(&self.world, &self.given, request, tick, paging)
    }

    fn open_connections(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn edited(response: Response, fault: &Fault) -> Response {
    let body = match response.body {
        Body::Bytes(bytes) => Body::Bytes(fault.edits.iter().fold(bytes, |bytes, edit| edit.apply(bytes))),
        made => made,
    };
    let add = |response: Response, (name, value): &(String, HeaderValue)| response.with(name, value.clone());
    fault.headers.iter().fold(Response { body, ..response }, add)
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.control.stop();
        // The acceptor sleeps in accept(): a last connection wakes it.
        let wake = SocketAddr::from(([127, 0, 0, 1], self.address.port()));
        let target = if self.address.ip().is_unspecified() { wake } else { self.address };
        drop(TcpStream::connect_timeout(&target, Duration::from_secs(1)));
        let threads = self.acceptor.take().and_then(|acceptor| acceptor.join().ok()).unwrap_or_default();
        for connection in self.server.open_connections().values() {
            // Wakes a thread that reads or writes; one that is closed already needs no waking.
            drop(connection.shutdown(Shutdown::Both));
        }
        for thread in threads {
            drop(thread.join());
        }
    }
}
