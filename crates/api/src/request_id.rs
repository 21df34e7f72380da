//! The id of a request: in the answer, in the log, in every problem.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// Name of the header with the id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a client.
const MAX_CHARS: usize = 64;

/// The id of a request; in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own id when it is harmless, else a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        headers
            .get(REQUEST_ID)
            .filter(|sent| is_harmless(sent))
            .map_or_else(Self::new, |sent| Self(sent.clone()))
    }

    /// A new one.
    pub(crate) fn new() -> Self {
        let mut text = uuid::Uuid::encode_buffer();
        let text = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text);
        // Hexadecimal digits and hyphens are always a value.
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("")))
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The header that tells it to the client.
    pub(crate) fn put_on(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.0.clone());
    }
}

fn is_harmless(id: &HeaderValue) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
