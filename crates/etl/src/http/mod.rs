//! The HTTP client of the sources: polite, bounded in time and size, and unforgiving about what it takes
//! for an answer.

mod answer;
mod deadline;
mod ledger;
mod politeness;
mod retry_after;
mod tape;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kasparro_core::secret::Secret;
use url::Url;

use crate::failure::{FailureKind, SourceError};
use crate::signal::Cancel;
use crate::source::Clock;
pub(crate) use answer::Answer;
use answer::{Failed, judge};
use deadline::Deadline;
pub(crate) use ledger::{Book, Ledger};
use politeness::Pace;
pub(crate) use politeness::{Policy, Turns};
use tape::Taped;
pub(crate) use tape::{Tape, Taping};

/// Longest chain of redirects that is followed.
const MAX_REDIRECTS: usize = 3;

/// A client for one source and one run.
pub(crate) struct Client {
    agent: ureq::Agent,
    policy: Policy,
    pace: Pace,
    /// Where calls are counted; `None` for a mirror that nobody counts for.
    book: Option<Book>,
    /// Where answers are kept or come from.
    tape: Option<Tape>,
    clock: Clock,
    cancel: Cancel,
    /// The source as a whole ends here, whatever a single request may still do.
    deadline: Deadline,
    /// Made so far, to an API and not to a recording.
    calls: AtomicU32,
}

/// A GET that is to answer with a JSON array.
pub(crate) struct Request {
    pub(crate) url: Url,
    /// Name and value of the header that carries the key.
    pub(crate) key: Option<(&'static str, Secret)>,
}

impl Client {
    pub(crate) fn new(
        policy: Policy,
        book: Option<Book>,
        tape: Option<Tape>,
        clock: Clock,
        cancel: Cancel,
    ) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(Duration::from_secs(5)))
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_per_read(Some(Duration::from_secs(10)))
            .user_agent(concat!(
                "kasparro-etl/",
                env!("CARGO_PKG_VERSION"),
                " (market data archive; one-shot loader)"
            ))
            .accept("application/json")
            .tls_config(
                ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build(),
            )
            .build()
            .new_agent();
        let deadline = Deadline::after(policy.source_deadline, "source", "ETL_SOURCE_DEADLINE_SECONDS");
        let pace = Pace::new(policy.calls_per_minute, Arc::clone(&policy.turns));
        Self { agent, policy, pace, book, tape, clock, cancel, deadline, calls: AtomicU32::new(0) }
    }

    /// Asks until there is a good answer, as often and as long as the policy allows.
    ///
    /// # Errors
    /// The last failure, with the address and without secrets.
    pub(crate) fn get_array(&self, request: &Request) -> Result<Answer, SourceError> {
        // Only the source pays for the turns that other requests have taken.
        self.take_turn(self.deadline)?;
        let deadline = self.deadline();
        let mut attempt = 1;
        loop {
            let failed = match self.attempt(request, deadline) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            // Nobody is spared by waiting for a recording.
            let wait = if self.is_replay() {
                Duration::ZERO
            } else {
                self.policy.backoff(attempt, failed.retry_after)
            };
            let last = attempt >= self.policy.attempts || self.ended_so(request);
            if !failed.transient || last || wait > deadline.left() {
                return Err(self.final_error(request, failed, attempt));
            }
            log::warn!(
                "{}: {}; trying again in {:.1} s",
                redacted(&request.url),
                failed.message,
                wait.as_secs_f64()
            );
            if self.cancel.wait(wait) {
                return Err(cancelled());
            }
            attempt += 1;
            self.take_turn(deadline)?;
        }
    }

    /// Waits until one more call is polite, and enters it in the ledger.
    ///
    /// # Errors
    /// At once when the turn comes after the deadline; when the quota is used up, or a signal ends the run.
    fn take_turn(&self, deadline: Deadline) -> Result<(), SourceError> {
        let left = deadline.left();
        let is_in_time = !left.is_zero() && (self.is_replay() || self.pace.wait(left, &self.cancel)?);
        if !is_in_time {
            return Err(SourceError::new(FailureKind::Unavailable, deadline.to_string()));
        }
        if self.is_replay() {
            return Ok(());
        }
        if let Some(book) = &self.book {
            book.enter(&self.cancel)?;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How often an API was called.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// When a request that begins now has to be over.
    fn deadline(&self) -> Deadline {
        let request =
            Deadline::after(self.policy.request_deadline, "request", "ETL_REQUEST_DEADLINE_SECONDS");
        self.deadline.or_sooner(request)
    }

    fn is_replay(&self) -> bool {
        self.tape.as_ref().is_some_and(Tape::is_replay)
    }

    /// Whether the failure that was just played is what the recorded run ended with.
    fn ended_so(&self, request: &Request) -> bool {
        self.tape.as_ref().is_some_and(|tape| tape.is_over(&request.url))
    }

    fn final_error(&self, request: &Request, failed: Failed, attempts: u32) -> SourceError {
        let times = if attempts == 1 { String::new() } else { format!(" ({attempts} attempts)") };
        let mut error =
            SourceError::new(failed.kind, format!("{}: {}{times}", redacted(&request.url), failed.message));
        // What was asked for when it was recorded says nothing about now.
        let wait = failed.retry_after.filter(|_| !self.is_replay());
        error.not_before =
            wait.and_then(|wait| chrono::TimeDelta::from_std(wait).ok()).map(|wait| self.clock.now() + wait);
        error
    }

    /// One attempt, over the network or from a recording.
    fn attempt(&self, request: &Request, deadline: Deadline) -> Result<Answer, Failed> {
        let played = self.tape.as_ref().map(|tape| tape.play(&request.url)).transpose()?.flatten();
        let answer = match played {
            Some(answer) => answer,
            None => {
                let answer = self.call(request, deadline).map_err(|failed| deadline.explain(failed))?;
                if let Some(tape) = &self.tape {
                    tape.keep(&answer)?;
                }
                answer
            }
        };
        judge(answer)
    }

    /// Follows redirects that stay with the same host.
    fn call(&self, request: &Request, deadline: Deadline) -> Result<Taped, Failed> {
        let mut url = request.url.clone();
        for followed in 0..=MAX_REDIRECTS {
            let time = self.policy.call_timeout.min(deadline.left());
            let mut call = self.agent.get(url.as_str()).config().timeout_per_call(Some(time)).build();
            if let Some((name, key)) = &request.key {
                call = call.header(*name, key.expose());
            }
            let mut response = call.call().map_err(|error| Failed::from_transport(&error))?;
            let status = response.status().as_u16();
            if matches!(status, 301 | 302 | 303 | 307 | 308) {
                let location = response.headers().get("location").and_then(|value| value.to_str().ok());
                url = redirected(&url, location)?;
                if followed == MAX_REDIRECTS {
                    break;
                }
                // The vendor counts this one as well.
                self.take_turn(deadline).map_err(Failed::from_source)?;
                continue;
            }
            let headers = response.headers().clone();
            let body = self.read_body(response.body_mut().as_reader())?;
            let (url, received_at) = (redacted(&request.url), self.clock.now());
            return Ok(Taped { url, status, headers, body, received_at });
        }
        Err(Failed::permanent(format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Reads a body to its end; at most `max_body` bytes, and not longer than the source may take.
    fn read_body(&self, reader: impl Read) -> Result<Vec<u8>, Failed> {
        let mut reader = reader.take(self.policy.max_body + 1);
        let mut body = Vec::new();
        let mut block = vec![0; 64 * 1024];
        loop {
            if self.cancel.is_set() {
                return Err(Failed {
                    kind: FailureKind::Cancelled,
                    ..Failed::permanent("cancelled by a signal")
                });
            }
            let read = reader.read(&mut block).map_err(|error| Failed::from_read(&error))?;
            if read == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&block[..read]);
            if body.len() as u64 > self.policy.max_body {
                let limit = self.policy.max_body >> 20;
                return Err(Failed::permanent(format!(
                    "the body is larger than {limit} MiB (ETL_MAX_BODY_MIB)"
                )));
            }
        }
    }
}

/// How long a header with this value asks us to wait.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn asked_to_wait(
    name: &str,
    value: &[u8],
    now: chrono::DateTime<chrono::Utc>,
) -> Option<Duration> {
    let name: ureq::http::HeaderName = name.parse().ok()?;
    let headers = [(name, ureq::http::HeaderValue::from_bytes(value).ok()?)].into_iter().collect();
    retry_after::retry_after(&headers, now)
}

/// The error of a wait that a signal ended.
pub(crate) fn cancelled() -> SourceError {
    SourceError::new(FailureKind::Cancelled, "cancelled by a signal")
}

/// Where a redirect leads, if it may be followed: same host, never from https to http. The key goes
/// along, so it must not leave the host that it is meant for.
fn redirected(from: &Url, location: Option<&str>) -> Result<Url, Failed> {
    let to = location
        .and_then(|location| from.join(location).ok())
        .ok_or_else(|| Failed::permanent("redirect without a usable Location"))?;
    let upgrade =
        from.scheme() == "http" && to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    let same_origin = from.origin() == to.origin() || upgrade && from.host() == to.host();
    if same_origin {
        Ok(to)
    } else {
        Err(Failed::permanent(format!("redirect to another host refused: {}", redacted(&to))))
    }
}

/// An address for logs and the database: without user, password and fragment, and without keys in its query.
pub(crate) fn redacted(url: &Url) -> String {
    let mut shown = without_user(url);
    if url.query_pairs().any(|(name, _)| is_secret(&name)) {
        let pairs: Vec<_> = url.query_pairs().collect();
        shown.query_pairs_mut().clear().extend_pairs(
            pairs.iter().map(|(name, value)| {
                (name.as_ref(), if is_secret(name) { "redacted" } else { value.as_ref() })
            }),
        );
    }
    shown.to_string()
}

/// Whether a parameter of this name is nobody's business.
fn is_secret(parameter: &str) -> bool {
    let name = parameter.to_ascii_lowercase();
    ["key", "token", "secret", "pass", "auth", "sig"].iter().any(|word| name.contains(word))
}

/// An address without user, password and fragment.
pub(crate) fn without_user(url: &Url) -> Url {
    let mut bare = url.clone();
    // Fails only for addresses that cannot have a user at all.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_fragment(None);
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_stays_with_its_host() {
        let from = Url::parse("https://api.example.org/v1/tickers").unwrap();
        let to = |location| redirected(&from, Some(location)).map(|url| url.to_string()).ok();
        assert_eq!(to("/v1/tickers/"), Some("https://api.example.org/v1/tickers/".to_owned()));
        assert_eq!(
            to("https://api.example.org/v1/tickers/?a=b"),
            Some("https://api.example.org/v1/tickers/?a=b".into())
        );
        for elsewhere in [
            "http://api.example.org/v1/tickers",
            "https://evil.example/",
            "//evil.example/",
            "http://169.254.169.254/latest",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
        let plain = Url::parse("http://api.example.org/v1").unwrap();
        assert!(redirected(&plain, Some("https://api.example.org/v1")).is_ok());
        assert!(redirected(&plain, None).is_err());
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        let url = Url::parse("https://user:hunter2@api.example.org/v1?page=1#x").unwrap();
        assert_eq!(redacted(&url), "https://api.example.org/v1?page=1");
        let url =
            Url::parse("https://api.example.org/v1?a=%20b&x_cg_demo_api_key=hunter2&Token=hunter2").unwrap();
        assert_eq!(
            redacted(&url),
            "https://api.example.org/v1?a=+b&x_cg_demo_api_key=redacted&Token=redacted"
        );
        let refused = redirected(&url, Some("https://evil.example/?api_key=hunter2")).err().unwrap();
        assert_eq!(
            refused.message,
            "redirect to another host refused: https://evil.example/?api_key=redacted"
        );
    }
}
