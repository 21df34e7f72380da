//! Answers that a worker has given a moment ago, given again before the request is parsed.
//!
//! Parsing, routing and putting an answer together take several times as long as sending it, when many clients ask for
//! the same. So each worker keeps what it sent last, as it goes over the wire, under the bytes of the request: for a
//! quarter of a second, and only as long as the tables are known to say what they said then. A [`Lane`] stands between a
//! connection and the HTTP library: a request whose bytes are known it answers itself, all else it passes on. Whatever
//! is special about a request (conditions, a body, an id of its own, keys, another origin) is never kept.
//!
//! Two answers must not mix on a connection. The lane answers only while the library has nothing in hand: it counts one
//! request in and its whole answer out. As soon as it cannot tell (several requests at once, a request in pieces, a body,
//! a stream) the library has the connection to its end.
//!
//! The library gives a deadline to the first head of a connection and to no further one; the lane gives it to all.

mod kept;
mod lane;
mod remember;

pub(crate) use kept::Worker;
pub(crate) use lane::Lane;
pub(crate) use remember::{Remembering, Repeatable};
