//! A body that a thread writes while a client reads it.
//!
//! The thread is never more than a few pieces ahead. A client that takes nothing for too long is given up, one that
//! leaves stops the thread, and a thread that fails breaks the transfer off, so that half an answer does not look
//! like a whole one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::Thread;
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that may wait for the client.
const PIECES: usize = 4;

/// The side that writes; it belongs to the thread that made it. Dropped before its end it breaks the transfer off.
pub(crate) struct Writer {
    pieces: Sender<Bytes>,
    patience: Duration,
    deadline: Instant,
}

/// The side that is read: the body of a response.
pub(crate) struct Body {
    pieces: Receiver<Bytes>,
    writer: Thread,
    is_whole: bool,
}

/// The transfer ends before the body does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

/// Why writing ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The client left.
    Left,
    /// The client took nothing for too long, or the whole took too long.
    TooSlow,
}

/// Connects the calling thread with a body. A client may take nothing for so long, and must have taken everything by
/// the deadline.
pub(crate) fn pair(patience: Duration, deadline: Instant) -> (Writer, Body) {
    let (sender, receiver) = channel(PIECES);
    let body = Body { pieces: receiver, writer: std::thread::current(), is_whole: false };
    (Writer { pieces: sender, patience, deadline }, body)
}

impl Writer {
    /// Ends the body as a whole: an empty piece says so, for a closed channel may be that of a thread that died.
    pub(crate) fn finish(self) -> Result<(), Gone> {
        self.send(Vec::new())
    }

    /// Gives a piece to the client; waits while enough of them wait already.
    pub(crate) fn send(&self, piece: Vec<u8>) -> Result<(), Gone> {
        let mut piece = Bytes::from(piece);
        let give_up_at = self.deadline.min(Instant::now() + self.patience);
        loop {
            piece = match self.pieces.try_send(piece) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(Gone::Left),
                Err(TrySendError::Full(piece)) => piece,
            };
            let left = give_up_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Gone::TooSlow);
            }
            // The body wakes this thread whenever it has taken a piece, and when it is dropped.
            std::thread::park_timeout(left);
        }
    }
}

impl MessageBody for Body {
    type Error = Broken;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        let taken = std::task::ready!(self.pieces.poll_recv(context));
        self.writer.unpark();
        Poll::Ready(match taken {
            Some(piece) if piece.is_empty() => {
                self.is_whole = true;
                None
            }
            Some(piece) => Some(Ok(piece)),
            None => Some(Err(Broken)),
        })
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.pieces.close();
        self.writer.unpark();
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the export broke off")
    }
}

impl std::error::Error for Broken {}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(body: &mut Body) -> Option<Result<Bytes, Broken>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(piece) = Pin::new(&mut *body).poll_next(&mut context) {
                return piece;
            }
            std::thread::yield_now();
        }
    }

    /// A thread that writes, and the body.
    fn written(
        patience: Duration,
        write: impl FnOnce(Writer) -> Result<(), Gone> + Send + 'static,
    ) -> (Body, std::thread::JoinHandle<Result<(), Gone>>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (writer, body) = pair(patience, Instant::now() + Duration::from_secs(600));
            sender.send(body).unwrap();
            write(writer)
        });
        (receiver.recv().unwrap(), thread)
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn everything_arrives_in_order() {
        let (mut body, thread) = written(LONG, |writer| {
            (1..=100).try_for_each(|number| writer.send(vec![number]))?;
            writer.finish()
        });
        for number in 1..=100 {
            assert_eq!(next(&mut body).unwrap().unwrap(), vec![number]);
        }
        assert!(next(&mut body).is_none() && next(&mut body).is_none());
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_client_that_leaves_stops_the_thread() {
        let (body, thread) = written(LONG, |writer| {
            loop {
                writer.send(vec![1])?;
            }
        });
        drop(body);
        assert_eq!(thread.join().unwrap(), Err(Gone::Left));
    }

    #[test]
    fn a_client_that_takes_nothing_is_given_up() {
        let (mut body, thread) = written(Duration::from_millis(5), |writer| {
            loop {
                writer.send(vec![1])?;
            }
        });
        assert_eq!(thread.join().unwrap(), Err(Gone::TooSlow));
        for _ in 0..PIECES {
            next(&mut body).unwrap().unwrap();
        }
        assert!(next(&mut body).unwrap().is_err(), "it does not look like a whole body");
    }

    #[test]
    fn a_thread_that_fails_breaks_the_transfer_off() {
        let (mut body, thread) = written(LONG, |writer| writer.send(vec![1]));
        assert!(next(&mut body).unwrap().is_ok() && next(&mut body).unwrap().is_err());
        thread.join().unwrap().unwrap();
    }
}
