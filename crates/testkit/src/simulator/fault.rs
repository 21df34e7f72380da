//! What makes up a fault, and what can be added to one.

use std::time::Duration;

use super::edit::Edit;
use super::response::{HeaderValue, Response, seconds};

/// A fault: another answer, changes to the usual one, or a way of sending it that breaks. Parts can be combined:
/// `Fault::status(503).retry_after_secs(2).and_drip(1, interval)`.
///
/// Offsets into a body count the bytes on the wire, after compression.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) answer: Answer,
    pub(crate) headers: Vec<(String, HeaderValue)>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) paging: Paging,
    pub(crate) ticks_behind: i64,
    pub(crate) delay: Duration,
    pub(crate) delivery: Delivery,
    pub(crate) claims_gzip: bool,
}

/// What is answered, before edits.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Usual,
    /// The vendor's own words for a status code.
    Failure(u16),
    Given(Response),
    /// An error object where the data should be, with status 200.
    ErrorIn200,
    /// The vendor's words for a rate limit, with status 200.
    RateLimitIn200,
    /// A redirect to the very URL that was asked for.
    RedirectToSelf,
}

/// What becomes of the `page` parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Paging {
    Usual,
    AlwaysFirst,
    Endless,
}

/// How the bytes are sent.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    Whole,
    /// The full `Content-Length`, but so many bytes, then an orderly close.
    Truncated(usize),
    /// A chunk that announces more than it has after so many bytes, then an orderly close.
    CutChunk(usize),
    /// TCP reset before the first byte of the response.
    ResetBeforeHead,
    /// TCP reset after the head and so many bytes.
    ResetAfter(usize),
    /// Nothing, until the client goes away or the simulator stops.
    Silence,
    /// The head and so many bytes, then nothing.
    SilenceAfter(usize),
    /// So many bytes of the body at a time.
    Drip(usize, Duration),
    /// Nothing until the test releases it, then the whole response.
    Held,
}

impl Fault {
    pub(super) fn with_answer(answer: Answer) -> Self {
        Self {
            answer,
            headers: Vec::new(),
            edits: Vec::new(),
            paging: Paging::Usual,
            ticks_behind: 0,
            delay: Duration::ZERO,
            delivery: Delivery::Whole,
            claims_gzip: false,
        }
    }

    pub(super) fn usual() -> Self {
        Self::with_answer(Answer::Usual)
    }

    pub(super) fn edited(edit: Edit) -> Self {
        Self { edits: vec![edit], ..Self::usual() }
    }
}

/// What can be added to any fault.
impl Fault {
    /// Adds a header to whatever is answered, replacing one of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), HeaderValue::Text(value.into())));
        self
    }

    /// Adds `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after_secs(self, seconds: u64) -> Self {
        self.retry_after(seconds.to_string())
    }

    /// Adds `Retry-After` as any text: garbage, negative, huge.
    #[must_use]
    pub fn retry_after(self, text: impl Into<String>) -> Self {
        self.header("Retry-After", text)
    }

    /// Adds `Retry-After` as a date so far from the moment the response is sent.
    #[must_use]
    pub fn retry_after_date(self, from_now: Duration) -> Self {
        self.with("Retry-After", HeaderValue::HttpDate(seconds(from_now)))
    }

    /// Adds `Retry-After` as a date that has passed.
    #[must_use]
    pub fn retry_after_past_date(self, ago: Duration) -> Self {
        self.with("Retry-After", HeaderValue::HttpDate(-seconds(ago)))
    }

    /// Adds `x-ratelimit-limit`, `-remaining` 0 and `-reset` in the form `2025-07-25 14:54:00 +0000`.
    #[must_use]
    pub fn rate_limit_reset(self, from_now: Duration) -> Self {
        self.header("x-ratelimit-limit", "30")
            .header("x-ratelimit-remaining", "0")
            .with("x-ratelimit-reset", HeaderValue::PlainDate(seconds(from_now)))
    }

    /// Sends the body in pieces of so many bytes.
    #[must_use]
    pub fn and_drip(self, bytes: usize, interval: Duration) -> Self {
        self.delivered(Delivery::Drip(bytes.max(1), interval))
    }

    /// Applies the changes of another fault's body too.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.edits.extend(other.edits);
        self.headers.extend(other.headers);
        self
    }

    pub(super) fn and_close_after_body(self) -> Self {
        self.delivered(Delivery::Truncated(usize::MAX))
    }

    fn with(mut self, name: &str, value: HeaderValue) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }

    pub(super) fn delivered(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }
}
