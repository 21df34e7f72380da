//! A connection whose requests are looked at before the HTTP library sees them.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_http::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Sleep, sleep_until};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::kept::Worker;

/// How long the library is left without a request, at most: it ends connections that it takes for idle.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// The longest request that may be answered here.
const LONGEST_REQUEST: usize = 4 * 1024;

/// A connection.
pub(crate) struct Lane {
    stream: TcpStream,
    worker: Rc<Worker>,
    link: Rc<Link>,
    /// Longest time from the first byte of a head to its end.
    head_timeout: Duration,
    /// The end of that time, for the head that began then.
    deadline: Option<(Instant, Pin<Box<Sleep>>)>,
    /// When the library got its last request.
    passed: Option<Instant>,
    /// What the socket has not taken yet of an answer given here.
    unsent: Vec<u8>,
}

/// What the lane and whoever answers for the library tell each other.
pub(super) struct Link {
    state: Cell<State>,
    /// The bytes of the request that the library has in hand.
    request: RefCell<Option<Box<[u8]>>>,
    /// Answers that are being made or sent.
    unfinished: Cell<usize>,
    /// When the head began that has no end yet. While an answer is unfinished, what comes may wait.
    head_since: Cell<Option<Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The library has nothing in hand.
    Idle,
    /// It has one request.
    Asked,
    /// It has the whole answer and writes it.
    Answered,
    /// Nobody can tell what it has in hand; it has the connection to its end.
    Taken,
}

/// An answer from the end of the head of its request on.
pub(super) struct Unfinished(Rc<Link>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.unfinished.update(|count| count - 1);
    }
}

impl Link {
    /// The head of a request has come to its end.
    pub(super) fn begin_answer(self: &Rc<Self>) -> Unfinished {
        self.head_since.set(None);
        self.unfinished.update(|count| count + 1);
        Unfinished(Rc::clone(self))
    }

    /// Bytes have come.
    fn hear(&self, now: Instant) {
        if self.unfinished.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(now));
        }
    }

    /// The whole answer to the request in hand is there. Returns the bytes of that request.
    pub(super) fn answered(&self) -> Option<Box<[u8]>> {
        if self.state.get() == State::Asked {
            self.state.set(State::Answered);
        }
        self.request.take()
    }

    /// The library has the connection to its end.
    pub(super) fn give_up(&self) {
        self.state.set(State::Taken);
        self.request.take();
    }
}

impl Lane {
    pub(crate) fn new(stream: TcpStream, worker: Rc<Worker>, head_timeout: Duration) -> Self {
        let link = Link {
            state: Cell::new(State::Idle),
            request: RefCell::default(),
            unfinished: Cell::new(0),
            head_since: Cell::new(None),
        };
        let link = Rc::new(link);
        Self { stream, worker, link, head_timeout, deadline: None, passed: None, unsent: Vec::new() }
    }

    /// Lets whoever answers for the library know of the lane that a request came by.
    pub(crate) fn tell(&self, of_connection: &mut Extensions) {
        of_connection.insert(Rc::clone(&self.link));
    }

    /// Answers a request whose answer is known; `false` when it is not.
    fn answer(&mut self, request: &[u8], context: &mut Context<'_>) -> io::Result<bool> {
        // The first request of a connection is the library's, which waits for it.
        let is_ours = self.link.state.get() == State::Idle
            && self.passed.is_some_and(|passed| passed.elapsed() < LONGEST_SILENCE);
        if !is_ours {
            return Ok(false);
        }
        let worker = Rc::clone(&self.worker);
        let mut answer = worker.space.borrow_mut();
        if !worker.answer(request, &mut answer) {
            return Ok(false);
        }
        let taken = match Pin::new(&mut self.stream).poll_write(context, &answer) {
            Poll::Ready(taken) => taken?,
            Poll::Pending => 0,
        };
        self.unsent.extend_from_slice(answer.get(taken..).unwrap_or_default());
        Ok(true)
    }

    /// Notes that the library gets these bytes.
    fn pass(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        if !bytes.is_empty() {
            self.link.hear(now);
        }
        if self.link.state.get() == State::Idle && is_one_request(bytes) {
            self.link.state.set(State::Asked);
            self.link.request.replace(Some(bytes.into()));
            self.passed = Some(now);
        } else if !bytes.is_empty() {
            self.link.give_up();
        }
    }

    /// Ready when the client has not come to the end of a head in time. The library sees to that for the first head of a
    /// connection only.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.link.head_since.get() else {
            self.deadline = None;
            return Poll::Pending;
        };
        if self.deadline.as_ref().is_none_or(|(began, _)| *began != since) {
            let end = since + self.head_timeout;
            self.deadline = Some((since, Box::pin(sleep_until(end.into()))));
        }
        self.deadline.as_mut().map_or(Poll::Pending, |(_, deadline)| deadline.as_mut().poll(context))
    }

    fn send_rest(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(context, &self.unsent))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..taken);
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether these bytes are one request without a body, whole, and nothing else: every line ends as the standard says,
/// and the only empty line is the last.
fn is_one_request(bytes: &[u8]) -> bool {
    let Some(lines) = bytes.strip_suffix(b"\r\n\r\n") else { return false };
    let mut rest = lines;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        match rest[at..].strip_prefix(b"\r\n") {
            Some(next) if at > 0 && !next.is_empty() => rest = next,
            _ => return false,
        }
    }
    bytes.len() <= LONGEST_REQUEST && bytes.starts_with(b"GET /")
}

impl AsyncRead for Lane {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let lane = self.get_mut();
        loop {
            // Whoever does not take his answers gets no more of them.
            ready!(lane.send_rest(context))?;
            let before = buffer.filled().len();
            if Pin::new(&mut lane.stream).poll_read(context, buffer)?.is_pending() {
                // For the library that is the end of what the client sends.
                return lane.poll_late(context).map(Ok);
            }
            let bytes = &buffer.filled()[before..];
            if !lane.answer(bytes, context)? {
                lane.pass(bytes);
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
    }
}

impl AsyncWrite for Lane {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let lane = self.get_mut();
        ready!(lane.send_rest(context))?;
        Pin::new(&mut lane.stream).poll_write(context, bytes)
    }

    /// The library asks for it when it has written all that it has in hand.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lane = self.get_mut();
        ready!(Pin::new(&mut lane.stream).poll_flush(context))?;
        if lane.link.state.get() == State::Answered {
            lane.link.state.set(State::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::is_one_request;

    #[test]
    fn one_request_is_told_from_anything_else() {
        for whole in
            ["GET / HTTP/1.1\r\n\r\n", "GET /data?limit=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"]
        {
            assert!(is_one_request(whole.as_bytes()), "{whole:?}");
        }
        let others = [
            "",
            "\r\n\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "HEAD / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n\r\n",
        ];
        for other in others {
            assert!(!is_one_request(other.as_bytes()), "{other:?}");
        }
        assert!(!is_one_request(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(5_000)).as_bytes()));
    }
}
