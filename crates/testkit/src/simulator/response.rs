//! A response before it goes on the wire.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A response: given by a test, made from the universe, or made by a fault.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, HeaderValue)>,
    pub(crate) body: Body,
    /// Sent in chunks instead of with a `Content-Length`.
    pub(crate) chunked: bool,
    /// May be compressed when the client asks for it. Off for a body that a test wants on the wire as it is.
    pub(crate) compressible: bool,
}

/// What a header says; some can only be said when the response is sent.
#[derive(Clone, Debug)]
pub(crate) enum HeaderValue {
    Text(String),
    /// A date in the form of HTTP, so many seconds from now.
    HttpDate(i64),
    /// A time in the form `2025-07-25 14:54:00 +0000`, so many seconds from now (coingecko/coingecko-typescript issue 42).
    PlainDate(i64),
}

/// The body of a response.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// `[` and then so many spaces, made while they are sent.
    Spaces(u64),
    /// The same, compressed on the way: small on the wire and huge behind it.
    GzippedSpaces(u64),
}

impl Response {
    /// A JSON body with status 200 and nothing but a content type.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/json; charset=utf-8", body)
    }

    /// A body of any type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
            chunked: false,
            compressible: true,
        }
        .header("Content-Type", content_type)
    }

    /// Sets the status code.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Sets a header, replacing one of the same name. An explicit `Content-Length` is sent as it is, true or not.
    #[must_use]
    pub fn header(self, name: &str, value: impl Into<String>) -> Self {
        self.with(name, HeaderValue::Text(value.into()))
    }

    /// Sends the body in chunks, without a `Content-Length`.
    #[must_use]
    pub fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    pub(crate) fn with(mut self, name: &str, value: HeaderValue) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
        self
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The header's text, were it sent now.
    pub(crate) fn header_text(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.text(Utc::now()))
    }
}

impl HeaderValue {
    pub(crate) fn text(&self, now: DateTime<Utc>) -> String {
        let at = |seconds: i64| now + TimeDelta::try_seconds(seconds).unwrap_or_default();
        match self {
            Self::Text(text) => text.clone(),
            Self::HttpDate(seconds) => http_date(at(*seconds)),
            Self::PlainDate(seconds) => at(*seconds).format("%Y-%m-%d %H:%M:%S +0000").to_string(),
        }
    }
}

/// A time as HTTP writes it, always GMT (RFC 9110, 5.6.7).
pub(crate) fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Whole seconds of a duration.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// The reason phrase of the status codes in use here.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}
