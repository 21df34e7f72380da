//! A relay between a program and Postgres that counts what the program sends and can stop it at any point.
//!
//! Killing a program while the relay holds its n-th message is killing it between two statements, the same ones
//! each time: no luck and no sleeping.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Relays to one database, on a port of this machine.
pub struct PostgresProxy {
    address: std::net::SocketAddr,
    user: String,
    database: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    flow: Mutex<Flow>,
    changed: Condvar,
}

#[derive(Default)]
struct Flow {
    /// Statements that were sent, over all connections.
    statements: u64,
    /// The statement that is not let through, counted from 1.
    hold_at: Option<u64>,
    /// The statement after which every connection breaks, once.
    cut_after: Option<u64>,
    held: bool,
    closed: bool,
    streams: Vec<TcpStream>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a libpq address of a private cluster says.
fn part<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

impl PostgresProxy {
    /// Starts a relay to a database of a private cluster, given by its address.
    ///
    /// # Errors
    /// When no port can be had, or the address is not one of a socket.
    pub fn start(url: &str) -> anyhow::Result<Self> {
        let named = |name| part(url, name).ok_or_else(|| anyhow::anyhow!("{url}: no {name}"));
        let socket = format!("{}/.s.PGSQL.{}", named("host")?.replace("%2F", "/"), named("port")?);
        let user = named("user")?.to_owned();
        let path = url.split('?').next().unwrap_or_default();
        let database = path.rsplit('/').next().unwrap_or_default().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let proxy = Self { address: listener.local_addr()?, user, database, state: Arc::default() };
        let state = Arc::clone(&proxy.state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if state.lock().closed {
                    return;
                }
                if let Ok(server) = UnixStream::connect(&socket) {
                    // A client that has gone again is no concern of ours.
                    let _ = relay(client, server, &state);
                }
            }
        });
        Ok(proxy)
    }

    /// The address for the program.
    pub fn url(&self) -> String {
        let (user, database) = (&self.user, &self.database);
        format!("postgresql://{user}@{}/{database}?sslmode=disable&gssencmode=disable", self.address)
    }

    /// Statements that were sent so far.
    pub fn statements(&self) -> u64 {
        self.state.lock().statements
    }

    /// Does not let the n-th statement through, nor any after it.
    pub fn hold_at(&self, n: u64) {
        self.state.lock().hold_at = Some(n);
    }

    /// Lets the n-th statement through and breaks every connection before its answer arrives, once.
    pub fn cut_after(&self, n: u64) {
        self.state.lock().cut_after = Some(n);
    }

    /// Waits until a statement is held; `false` when none was within the time.
    pub fn wait_held(&self, within: Duration) -> bool {
        let flow = self.state.lock();
        let result = self.state.changed.wait_timeout_while(flow, within, |flow| !flow.held);
        result.is_ok_and(|(flow, _)| flow.held)
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        let mut flow = self.state.lock();
        flow.closed = true;
        for stream in flow.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(flow);
        self.state.changed.notify_all();
        // Wakes the listener, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn relay(client: TcpStream, server: UnixStream, state: &Arc<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    state.lock().streams.push(client.try_clone()?);
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let for_requests = Arc::clone(state);
    thread::spawn(move || {
        let _ = pass_requests(&from_client, &to_server, &for_requests);
        let _ = to_server.shutdown(Shutdown::Both);
        let _ = from_client.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = std::io::copy(&mut &server, &mut &client);
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Passes the messages of the program on, one by one.
fn pass_requests(mut client: &TcpStream, mut server: &UnixStream, state: &State) -> std::io::Result<()> {
    let mut started = false;
    let mut message = Vec::new();
    loop {
        // Only the first message has no type in front: encryption is not offered.
        let head = if started { 5 } else { 4 };
        message.resize(head, 0);
        client.read_exact(&mut message)?;
        let length =
            u32::from_be_bytes([message[head - 4], message[head - 3], message[head - 2], message[head - 1]]);
        message.resize(head - 4 + length as usize, 0);
        client.read_exact(&mut message[head..])?;
        // Query, Sync (the end of Parse, Bind, Execute), CopyData, CopyDone.
        let statement = started && matches!(message[0], b'Q' | b'S' | b'd' | b'c');
        started = true;
        if statement && !admitted(state) {
            return Ok(());
        }
        server.write_all(&message)?;
        if statement && cut_now(state) {
            return Ok(());
        }
    }
}

/// Counts a statement; waits for the end of the test when it is not to pass.
fn admitted(state: &State) -> bool {
    let mut flow = state.lock();
    flow.statements += 1;
    if flow.hold_at.is_none_or(|n| flow.statements < n) {
        return true;
    }
    flow.held = true;
    state.changed.notify_all();
    while !flow.closed {
        flow = state.changed.wait(flow).unwrap_or_else(PoisonError::into_inner);
    }
    false
}

/// Breaks every connection of the program when the statement was the one; the server still gets what was sent.
fn cut_now(state: &State) -> bool {
    let mut flow = state.lock();
    let now = flow.cut_after == Some(flow.statements);
    if now {
        flow.cut_after = None;
        for stream in flow.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    now
}
