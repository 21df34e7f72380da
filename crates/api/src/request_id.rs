//! The id of a request: in the answer, in the log, in every problem.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// Name of the header with the id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client.
const MAX_CHARS: usize = 64;

/// The id of a request; in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The client's own id when it is harmless, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        Self(sent.filter(is_harmless).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The header that tells it to the client.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(REQUEST_ID, value);
        }
    }
}

fn is_harmless(id: &&str) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
