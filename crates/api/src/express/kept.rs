//! What a worker has answered a moment ago, as it goes over the wire.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes};
use chrono::Utc;

use crate::access::Finished;
use crate::edge::Edge;
use crate::observe::{SERVER_TIMING, timing};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::snapshot::{Origin, Snapshots};

/// How long an answer is given again. Longer gains nothing: making it anew every so often costs next to nothing.
const LIFETIME: Duration = Duration::from_millis(250);

/// How many bytes of answers a worker keeps, their requests and headers included.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The largest body that is kept.
const LARGEST_BODY: usize = 64 * 1024;

/// What bookkeeping of an answer occupies, in bytes, about.
const OVERHEAD: usize = 256;

/// One worker of the service.
pub(crate) struct Worker {
    edge: web::Data<Edge>,
    snapshots: web::Data<Snapshots>,
    kept: RefCell<Kept>,
    /// Where answers are put together; used again and again.
    pub(super) space: RefCell<Vec<u8>>,
}

/// Answers by the bytes of their requests.
#[derive(Default)]
struct Kept {
    answers: HashMap<Box<[u8]>, Answer>,
    bytes: usize,
}

/// An answer without what is of one request.
struct Answer {
    revision: u64,
    made: Instant,
    route: &'static str,
    /// The lines before those of one request.
    head: Vec<u8>,
    body: Bytes,
}

impl Worker {
    /// Nothing is kept yet.
    pub(crate) fn new(edge: web::Data<Edge>, snapshots: web::Data<Snapshots>) -> Rc<Self> {
        Rc::new(Self { edge, snapshots, kept: RefCell::default(), space: RefCell::default() })
    }

    /// Puts the answer to a request together, if it was answered a moment ago and that still holds.
    pub(super) fn answer(&self, request: &[u8], answer: &mut Vec<u8>) -> bool {
        let begun = Instant::now();
        let kept = self.kept.borrow();
        let Some(kept) = kept.answers.get(request).filter(|kept| self.holds(kept, begun)) else {
            return false;
        };
        let id = RequestId::new();
        let took = begun.elapsed();
        let timing = timing(took, Some(Origin::Hit));
        answer.clear();
        let lines = [b"x-request-id: ", id.as_str().as_bytes(), b"\r\nserver-timing: ", timing.as_bytes()];
        for part in [&kept.head[..]].into_iter().chain(lines).chain([&b"\r\n\r\n"[..], &kept.body]) {
            answer.extend_from_slice(part);
        }
        let finished = Finished {
            id: &id,
            method: &Method::GET,
            route: kept.route,
            status: StatusCode::OK,
            origin: Some(Origin::Hit),
            took,
            bytes: kept.body.len() as u64,
            is_whole: true,
        };
        finished.write(&self.edge.metrics);
        true
    }

    fn holds(&self, kept: &Answer, now: Instant) -> bool {
        now.duration_since(kept.made) < LIFETIME
            && self.is_open()
            && self.snapshots.revision(now) == Some(kept.revision)
    }

    /// Whether everybody may ask, and gets the same answer.
    pub(super) fn is_open(&self) -> bool {
        self.edge.gate.is_none() && self.edge.cors.is_none() && !self.edge.draining.has_begun()
    }

    /// Keeps the answer to a request, which is of that revision of the overview.
    pub(super) fn keep(
        &self,
        request: Box<[u8]>,
        revision: u64,
        route: &'static str,
        headers: &HeaderMap,
        body: &Bytes,
    ) {
        if body.len() > LARGEST_BODY {
            return;
        }
        // Copies of its own: two cores that count the users of one text wait for each other.
        let (head, body) = (head(headers, body.len()), Bytes::copy_from_slice(body));
        self.kept.borrow_mut().add(request, Answer { revision, made: Instant::now(), route, head, body });
    }
}

/// The lines of an answer but for those of one request, with the time that it is now.
fn head(headers: &HeaderMap, length: usize) -> Vec<u8> {
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
    let mut head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ndate: {date}\r\n").into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| ![REQUEST_ID, SERVER_TIMING].contains(name)) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head
}

impl Kept {
    fn add(&mut self, request: Box<[u8]>, answer: Answer) {
        let size = request.len() + answer.size();
        if self.bytes + size > MOST_BYTES {
            // What is asked for again and again is back at once.
            *self = Self::default();
        }
        self.bytes += size;
        let length = request.len();
        if let Some(before) = self.answers.insert(request, answer) {
            self.bytes -= length + before.size();
        }
    }
}

impl Answer {
    fn size(&self) -> usize {
        self.head.len() + self.body.len() + OVERHEAD
    }
}
