//! What counts as an answer: a 200 whose body is a JSON array, to its last byte.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::retry_after::retry_after;
use super::tape::Taped;
use crate::failure::{FailureKind, SourceError};

/// A body that is a JSON array as far as its outside tells.
pub(crate) struct Answer {
    /// The request, without secrets.
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
    /// When it came, by the clock of the database.
    pub(crate) received_at: DateTime<Utc>,
}

/// Why an attempt was none.
pub(super) struct Failed {
    pub(super) kind: FailureKind,
    /// Whether asking again can help.
    pub(super) transient: bool,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Failed {
    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, transient: false, message: message.into(), retry_after: None }
    }

    /// What ends the source ends the attempt.
    pub(super) fn from_source(error: SourceError) -> Self {
        Self { kind: error.kind, ..Self::permanent(error.message) }
    }

    fn transient(message: impl Into<String>) -> Self {
        Self { transient: true, ..Self::permanent(message) }
    }

    pub(super) fn from_transport(error: &ureq::Error) -> Self {
        use std::io::ErrorKind;
        match error {
            ureq::Error::Io(io) if io.kind() == ErrorKind::InvalidData => {
                Self::permanent(format!("TLS: {io}"))
            }
            ureq::Error::Io(io) => Self::transient(format!("connection failed: {io}")),
            ureq::Error::HostNotFound => Self::transient("the host name is unknown (DNS)"),
            ureq::Error::Timeout(what) => Self::transient(format!("timed out ({what})")),
            ureq::Error::ConnectionFailed => Self::transient("connection failed"),
            ureq::Error::Protocol(_) | ureq::Error::Decompress(..) => Self::transient(error.to_string()),
            _ => Self::permanent(error.to_string()),
        }
    }

    pub(super) fn from_read(error: &std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        inner.map_or_else(|| Self::transient(format!("the body broke off: {error}")), Self::from_transport)
    }
}

/// Status codes after which asking again can help.
const TRANSIENT: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// Decides whether a response is an answer.
pub(super) fn judge(answer: Taped) -> Result<Answer, Failed> {
    let Taped { url, status, headers, body, received_at } = answer;
    let wait = retry_after(&headers, received_at);
    if status != 200 {
        return Err(refused(status, wait, &body));
    }
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = trimmed(&body);
    match (text.first(), text.last()) {
        (Some(b'['), Some(b']')) => Ok(Answer { url, status, content_type, body, received_at }),
        (Some(b'['), _) => Err(Failed::transient("the body breaks off in the middle of the list")),
        (None, _) => Err(Failed::transient("an empty body")),
        (Some(b'{'), _) => Err(error_in_200(wait, &body)),
        _ => {
            let kind = content_type.as_deref().unwrap_or("no content type");
            Err(Failed::permanent(format!("not JSON ({kind}): {}", excerpt(&body))))
        }
    }
}

/// The body without blanks around it and without a byte order mark.
fn trimmed(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

fn refused(status: u16, wait: Option<Duration>, body: &[u8]) -> Failed {
    let said = ErrorBody::read(body).message.unwrap_or_else(|| excerpt(body));
    let message =
        if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
    if status == 429 {
        return Failed { kind: FailureKind::RateLimited, retry_after: wait, ..Failed::transient(message) };
    }
    let transient = TRANSIENT.contains(&status);
    let retry_after = wait.filter(|_| transient);
    Failed { transient, retry_after, ..Failed::permanent(message) }
}

/// Both vendors have been seen to put an error into a 200.
fn error_in_200(wait: Option<Duration>, body: &[u8]) -> Failed {
    let error = ErrorBody::read(body);
    if error.is_rate_limit() {
        return refused(429, wait, body);
    }
    match error.message {
        Some(message) => Failed::permanent(format!("status 200 with an error inside: {message}")),
        None => Failed::permanent(format!("an object where a list was expected: {}", excerpt(body))),
    }
}

/// Beginning of a body on one line, for a message.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// The error shapes of both vendors: `{"error": text}`, `{"status": {error_code, error_message}}`,
/// `{"error": {"status": {...}}}` and `{"status": number, "error": text}`.
#[derive(Default)]
struct ErrorBody {
    code: Option<i64>,
    message: Option<String>,
}

impl ErrorBody {
    /// CoinGecko gives a code; CoinPaprika only says "you have reached maximum request limit" (documented).
    fn is_rate_limit(&self) -> bool {
        let says_so = |text: &String| {
            let text = text.to_ascii_lowercase();
            text.contains("request limit") || text.contains("rate limit")
        };
        self.code == Some(429) || self.message.as_ref().is_some_and(says_so)
    }

    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Shape {
            error: Option<serde_json::Value>,
            status: Option<serde_json::Value>,
        }
        let Ok(shape) = serde_json::from_slice::<Shape>(trimmed(body)) else { return Self::default() };
        let nested = shape.error.as_ref().and_then(|error| error.get("status"));
        let status = nested.or(shape.status.as_ref());
        let code = status.and_then(|s| s.get("error_code").or(Some(s))).and_then(serde_json::Value::as_i64);
        let text = status.and_then(|s| s.get("error_message")).or(shape.error.as_ref());
        let message = text.and_then(serde_json::Value::as_str).map(|text| excerpt(text.as_bytes()));
        Self { code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Answer, Failed> {
        let (headers, body) = (ureq::http::HeaderMap::new(), body.as_bytes().to_vec());
        judge(Taped { url: String::new(), status, headers, body, received_at: Utc::now() })
    }

    #[test]
    fn only_a_whole_list_is_an_answer() {
        for body in ["[]", " [1]\n", "\u{feff}[{}]"] {
            assert!(judged(200, body).is_ok(), "{body}");
        }
        for (body, transient) in [
            ("", true),
            ("[{\"id\":", true),
            ("<html>login</html>", false),
            ("{\"error\":\"x\"}", false),
            ("{}", false),
        ] {
            let failed = judged(200, body).err().unwrap();
            assert_eq!(failed.transient, transient, "{body}");
            assert_eq!(failed.kind, FailureKind::Unavailable);
        }
    }

    #[test]
    fn error_shapes_are_read_and_a_limit_inside_200_is_a_limit() {
        let limit = r#"{"status":{"error_code":429,"error_message":"You've exceeded the Rate Limit."}}"#;
        for status in [200, 429] {
            let failed = judged(status, limit).err().unwrap();
            assert_eq!((failed.kind, failed.transient), (FailureKind::RateLimited, true));
            assert!(failed.message.contains("exceeded the Rate Limit"), "{}", failed.message);
        }
        let nested = r#"{"error":{"status":{"error_code":10012,"error_message":"not in your plan"}}}"#;
        assert!(judged(401, nested).err().unwrap().message.ends_with("status 401: not in your plan"));
        assert!(
            judged(404, "{\"error\":\"id not found\"}\n").err().unwrap().message.ends_with("id not found")
        );
        let server = judged(500, r#"{"status":500,"error":"Internal Server Error"}"#).err().unwrap();
        assert!(server.transient && server.message.ends_with("Internal Server Error"));
        assert!(!judged(403, "error code: 1020").err().unwrap().transient);
    }
}
