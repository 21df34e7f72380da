//! One connection through a relay: two threads that pass bytes on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::postgres;
use super::{Direction, Server, Shared};

/// How a relay reads what a program sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// As bytes.
    Bytes,
    /// As messages of the Postgres protocol, which are counted and can be held.
    Postgres,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In order.
    Close,
    /// By a TCP reset.
    Reset,
}

/// Both sides. Shared, not cloned: a second descriptor would keep a reset from being one.
pub(super) struct Connection {
    client: TcpStream,
    server: Side,
}

enum Side {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    /// Ends it: both threads wake up and let go of it.
    pub(super) fn end(&self, end: End) {
        match end {
            End::Close => drop(self.client.shutdown(Shutdown::Both)),
            End::Reset => {
                // The reset goes out when the last holder lets go; only reading ends now.
                drop(SockRef::from(&self.client).set_linger(Some(Duration::ZERO)));
                drop(self.client.shutdown(Shutdown::Read));
            }
        }
        match &self.server {
            Side::Tcp(server) => drop(server.shutdown(Shutdown::Both)),
            Side::Unix(server) => drop(server.shutdown(Shutdown::Both)),
        }
    }

    fn from(&self, direction: Direction) -> &dyn ReadShared {
        match (direction, &self.server) {
            (Direction::Upstream, _) => &self.client,
            (Direction::Downstream, Side::Tcp(server)) => server,
            (Direction::Downstream, Side::Unix(server)) => server,
        }
    }

    pub(super) fn read(&self, direction: Direction, block: &mut [u8]) -> io::Result<usize> {
        self.from(direction).read_shared(block)
    }

    /// # Errors
    /// When it ends before the block is full.
    pub(super) fn read_exact(&self, direction: Direction, mut block: &mut [u8]) -> io::Result<()> {
        while !block.is_empty() {
            match self.read(direction, block)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => block = &mut block[read..],
            }
        }
        Ok(())
    }

    fn write(&self, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        match (direction, &self.server) {
            (Direction::Downstream, _) => (&self.client).write_all(bytes),
            (Direction::Upstream, Side::Tcp(server)) => { server }.write_all(bytes),
            (Direction::Upstream, Side::Unix(server)) => { server }.write_all(bytes),
        }
    }
}

/// Reading through a shared reference, which sockets allow.
trait ReadShared {
    fn read_shared(&self, block: &mut [u8]) -> io::Result<usize>;
}

impl ReadShared for TcpStream {
    fn read_shared(&self, block: &mut [u8]) -> io::Result<usize> {
        { self }.read(block)
    }
}

impl ReadShared for UnixStream {
    fn read_shared(&self, block: &mut [u8]) -> io::Result<usize> {
        { self }.read(block)
    }
}

/// Ends a connection that has just been accepted by a reset.
pub(super) fn reset(client: TcpStream) {
    drop(SockRef::from(&client).set_linger(Some(Duration::ZERO)));
}

/// Connects to the server and begins to relay.
pub(super) fn relay(client: TcpStream, server: &Server, wire: Wire, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = match server {
        Server::Unix(path) => Side::Unix(UnixStream::connect(path)?),
        Server::Tcp(address) => {
            let server = TcpStream::connect(address)?;
            server.set_nodelay(true)?;
            Side::Tcp(server)
        }
    };
    let connection = Arc::new(Connection { client, server });
    let mut state = shared.lock();
    state.connections.retain(|connection| connection.strong_count() > 0);
    state.connections.push(Arc::downgrade(&connection));
    drop(state);
    for direction in [Direction::Upstream, Direction::Downstream] {
        let (connection, shared) = (Arc::clone(&connection), Arc::clone(shared));
        thread::spawn(move || {
            let pump = Pump { connection, direction, shared };
            // Whatever ends one direction ends the other one too.
            let _ = match (direction, wire) {
                (Direction::Upstream, Wire::Postgres) => postgres::pass_messages(&pump),
                _ => pump.pass_all(),
            };
            pump.close();
        });
    }
    Ok(())
}

/// One direction of one connection.
pub(super) struct Pump {
    pub(super) connection: Arc<Connection>,
    pub(super) direction: Direction,
    pub(super) shared: Arc<Shared>,
}

impl Pump {
    fn pass_all(&self) -> io::Result<()> {
        let mut block = vec![0; 16 * 1024];
        loop {
            match self.connection.read(self.direction, &mut block)? {
                0 => return Ok(()),
                read => self.pass(&block[..read])?,
            }
        }
    }

    /// Passes bytes on in the way that the faults of the direction want.
    ///
    /// # Errors
    /// When the connection ends, which a fault may be the reason of.
    pub(super) fn pass(&self, mut bytes: &[u8]) -> io::Result<()> {
        let latency = self.shared.lock().lane(self.direction).latency();
        self.pause(latency)?;
        while !bytes.is_empty() {
            let mut state = self.shared.lock();
            while !state.closed && self.is_stopped(&mut state) {
                state = self.shared.wait(state);
            }
            let (size, time) = state.lane(self.direction).piece(bytes.len());
            drop(state);
            self.pause(time)?;
            self.connection.write(self.direction, &bytes[..size])?;
            let mut state = self.shared.lock();
            let lane = state.lane(self.direction);
            lane.passed += size as u64;
            if let Some(end) = lane.end_due() {
                state.break_all(end);
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            bytes = &bytes[size..];
        }
        Ok(())
    }

    fn is_stopped(&self, state: &mut super::State) -> bool {
        let frozen = self.direction == Direction::Downstream && state.statements.answers_are_held();
        frozen || state.lane(self.direction).silent
    }

    fn pause(&self, time: Duration) -> io::Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, time, |state| !state.closed);
        if waited.is_ok_and(|(_, waited)| waited.timed_out()) {
            Ok(())
        } else {
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }

    fn close(&self) {
        // One that is being reset must not be closed in order.
        if SockRef::from(&self.connection.client).linger().ok().flatten().is_none() {
            self.connection.end(End::Close);
        }
    }
}
