//! Reading a request off a connection.

use std::io::{self, BufRead, Read};
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::route::{Route, percent_decoded};

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which route it went to; a group when the vendor has no such endpoint.
    pub route: Route,
    /// `GET`, …
    pub method: String,
    /// Path and query as sent, percent-encoding and all.
    pub target: String,
    /// The path as sent.
    pub path: String,
    /// Parameters in the order sent, decoded.
    pub query: Vec<(String, String)>,
    /// Headers in the order sent; names as sent.
    pub headers: Vec<(String, String)>,
    /// Number of the connection it came over, from 0: requests with one number share a kept-alive connection.
    pub connection: u64,
    /// The tick it was answered at.
    pub tick: i64,
    /// When its head was complete, for measuring gaps.
    pub received: Instant,
    /// The same by the wall clock, UTC.
    pub received_at: DateTime<Utc>,
}

impl Request {
    /// The first header of a name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first query parameter of a name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `page` asked for; 1 when none or no number is.
    pub fn page(&self) -> usize {
        self.parameter("page").and_then(|page| page.parse().ok()).filter(|page| *page > 0).unwrap_or(1)
    }
}

/// A head longer than this is refused, so that a client cannot make the simulator grow.
const MAX_HEAD_BYTES: u64 = 65_536;

/// Reads one request; None when the client closed the connection between two requests.
///
/// # Errors
/// What the connection reports, and `InvalidData` for what is not HTTP/1.
pub(crate) fn read(
    reader: &mut impl BufRead,
    connection: u64,
    tick: impl FnOnce() -> i64,
) -> io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(MAX_HEAD_BYTES);
    let Some(start) = line(&mut head)? else { return Ok(None) };
    let mut parts = start.split(' ');
    let (Some(method), Some(target), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a request line"));
    };
    let mut headers = Vec::new();
    while let Some(text) = line(&mut head)?.filter(|text| !text.is_empty()) {
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        route: Route::of_path(path).route,
        method: method.to_owned(),
        target: target.to_owned(),
        path: path.to_owned(),
        query: parameters(query),
        headers,
        connection,
        tick: tick(),
        received: Instant::now(),
        received_at: Utc::now(),
    };
    discard_body(reader, &request)?;
    Ok(Some(request))
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()))
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| percent_decoded(&text.replace('+', " "));
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// Skips a body that was sent with the request: left unread it would be taken for the next request.
fn discard_body(reader: &mut impl BufRead, request: &Request) -> io::Result<()> {
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    io::copy(&mut reader.by_ref().take(length), &mut io::sink()).map(|_| ())
}
