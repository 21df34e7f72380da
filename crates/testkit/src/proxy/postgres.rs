//! A relay to Postgres that counts what a program sends and can stop it at any point.
//!
//! Killing a program while the relay holds its n-th message is killing it between two statements, the same ones each
//! time: no luck and no sleeping.

use std::io;
use std::time::Duration;

use super::connection::{Pump, Wire};
use super::{End, FaultProxy, Server, Shared};

/// Relays to one database of a private cluster, on a port of this machine.
pub struct PostgresProxy {
    link: FaultProxy,
    user: String,
    database: String,
}

/// Statements on their way to the server.
#[derive(Default)]
pub(super) struct Statements {
    /// Sent so far, over all connections.
    sent: u64,
    hold: Option<Hold>,
    /// The statement after which every connection breaks, once.
    cut_after: Option<u64>,
    held: bool,
}

/// What is not let through.
enum Hold {
    /// The n-th statement, counted from 1, and all that come later, on any connection.
    At(u64),
    /// What comes after the n-th statement, and its answer.
    After(u64),
    /// A statement with these words, and what the same connection sends after it.
    Text(String),
}

impl Statements {
    pub(super) fn answers_are_held(&self) -> bool {
        self.held && matches!(self.hold, Some(Hold::After(_)))
    }

    /// Whether a message is to wait. `number` is that of the statement that it ends.
    fn stops(&self, message: &[u8], number: Option<u64>) -> bool {
        match &self.hold {
            None => false,
            Some(Hold::At(n)) => number.is_some_and(|number| number >= *n),
            Some(Hold::After(n)) => number.is_some_and(|number| number > *n),
            Some(Hold::Text(words)) => {
                matches!(message.first(), Some(b'Q' | b'P'))
                    && message.windows(words.len().max(1)).any(|part| part == words.as_bytes())
            }
        }
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
        Ok(Self { link: FaultProxy::start(Server::Unix(socket.into()), Wire::Postgres)?, user, database })
    }

    /// The address for the program.
    pub fn url(&self) -> String {
        let (user, database, address) = (&self.user, &self.database, self.link.address());
        format!("postgresql://{user}@{address}/{database}?sslmode=disable&gssencmode=disable")
    }

    /// The relay underneath: its faults, its connections.
    pub fn link(&self) -> &FaultProxy {
        &self.link
    }

    /// Statements that were sent so far.
    pub fn statements(&self) -> u64 {
        self.link.shared.lock().statements.sent
    }

    /// Does not let the n-th statement through, nor any after it, whatever the connection.
    pub fn hold_at(&self, n: u64) {
        self.hold(Hold::At(n));
    }

    /// Lets the n-th statement through, and then neither its answer nor any other statement.
    pub fn hold_after(&self, n: u64) {
        self.hold(Hold::After(n));
    }

    /// Does not let a statement with these words through, nor what the same connection sends after it.
    pub fn hold_text(&self, words: &str) {
        self.hold(Hold::Text(words.to_owned()));
    }

    fn hold(&self, hold: Hold) {
        let statements = &mut self.link.shared.lock().statements;
        (statements.hold, statements.held) = (Some(hold), false);
        // What was held for another reason goes on.
        self.link.shared.changed.notify_all();
    }

    /// Lets go what is held, and holds nothing more.
    pub fn release(&self) {
        let mut state = self.link.shared.lock();
        (state.statements.hold, state.statements.held) = (None, false);
        drop(state);
        self.link.shared.changed.notify_all();
    }

    /// Lets the n-th statement through and breaks every connection before its answer arrives, once.
    pub fn cut_after(&self, n: u64) {
        self.link.shared.lock().statements.cut_after = Some(n);
    }

    /// Waits until a statement is held; `false` when none was within the time.
    pub fn wait_held(&self, within: Duration) -> bool {
        let shared = &self.link.shared;
        let waited = shared.changed.wait_timeout_while(shared.lock(), within, |state| !state.statements.held);
        waited.is_ok_and(|(state, _)| state.statements.held)
    }
}

/// Passes the messages of the program on, one by one.
pub(super) fn pass_messages(pump: &Pump) -> io::Result<()> {
    let mut started = false;
    let mut message = Vec::new();
    loop {
        // Only the first message has no type in front: encryption is not offered.
        let head = if started { 5 } else { 4 };
        message.resize(head, 0);
        pump.connection.read_exact(pump.direction, &mut message)?;
        let length =
            u32::from_be_bytes([message[head - 4], message[head - 3], message[head - 2], message[head - 1]]);
        message.resize(head - 4 + length as usize, 0);
        pump.connection.read_exact(pump.direction, &mut message[head..])?;
        // Query, Sync (the end of Parse, Bind, Execute), CopyData, CopyDone.
        let counts = started && matches!(message[0], b'Q' | b'S' | b'd' | b'c');
        let number = if started { admit(&pump.shared, &message, counts)? } else { None };
        started = true;
        pump.pass(&message)?;
        if let Some(number) = number {
            passed(&pump.shared, number)?;
        }
    }
}

/// Waits as long as a message is held. Returns the number of the statement that it ends.
fn admit(shared: &Shared, message: &[u8], counts: bool) -> io::Result<Option<u64>> {
    let mut state = shared.lock();
    state.statements.sent += u64::from(counts);
    let number = state.statements.sent;
    while !state.closed && state.statements.stops(message, counts.then_some(number)) {
        state.statements.held = true;
        shared.changed.notify_all();
        state = shared.wait(state);
    }
    if state.closed { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(counts.then_some(number)) }
}

/// The server has got a statement.
fn passed(shared: &Shared, number: u64) -> io::Result<()> {
    let mut state = shared.lock();
    if matches!(state.statements.hold, Some(Hold::After(n)) if number >= n) {
        state.statements.held = true;
        shared.changed.notify_all();
    }
    if state.statements.cut_after.take_if(|n| *n == number).is_some() {
        state.break_all(End::Close);
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(())
}
