//! How often, how long and how fast a source is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cancelled;
use crate::failure::SourceError;
use crate::signal::Cancel;

/// Bounds of what is asked of a source.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Attempts for one request, the first included.
    pub(crate) attempts: u32,
    /// Mean of the first backoff times two; doubles with each attempt.
    pub(crate) base_delay: Duration,
    /// Calls per minute; `None` for no pacing.
    pub(crate) calls_per_minute: Option<u32>,
    /// Where calls are counted; `None` where nobody does.
    pub(crate) ledger: Option<super::Ledger>,
    /// One call, from connecting to the last byte.
    pub(crate) call_timeout: Duration,
    /// One request with all its attempts and waits.
    pub(crate) request_deadline: Duration,
    /// All requests of the source in this run.
    pub(crate) source_deadline: Duration,
    /// Largest body, decoded, in bytes.
    pub(crate) max_body: u64,
}

/// Longest pause between two attempts that is our own idea.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

impl Policy {
    /// The pause before the next attempt: what the source asked for, plus a little, so that many clients do
    /// not come back at once; else exponential with full jitter.
    pub(super) fn backoff(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let ceiling = self.base_delay.saturating_mul(1 << attempt.min(16)).min(MAX_BACKOFF);
        let own = ceiling.mul_f64(random_share());
        match retry_after {
            // "Retry-After: 0" must not burn all attempts at once.
            Some(wait) if wait > Duration::ZERO => wait + self.base_delay.mul_f64(random_share()),
            _ => own.max(self.base_delay / 2),
        }
    }
}

/// A random number from 0 to 1.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the pause is merely not jittered.
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

/// A token bucket of one minute: a burst of a minute's calls, then evenly spaced.
pub(crate) struct Pace {
    calls_per_minute: Option<u32>,
    state: Mutex<(f64, Instant)>,
}

impl Pace {
    pub(crate) fn new(calls_per_minute: Option<u32>) -> Self {
        let full = f64::from(calls_per_minute.unwrap_or(0));
        Self { calls_per_minute, state: Mutex::new((full, Instant::now())) }
    }

    /// Waits for a token.
    ///
    /// # Errors
    /// When a signal ends the run meanwhile.
    pub(super) fn wait(&self, cancel: &Cancel) -> Result<(), SourceError> {
        let wait = self.take(Instant::now());
        if cancel.is_set() || wait > Duration::ZERO && cancel.wait(wait) { Err(cancelled()) } else { Ok(()) }
    }

    /// Takes a token, on credit if need be; returns how long to wait until it is covered.
    fn take(&self, now: Instant) -> Duration {
        let Some(limit) = self.calls_per_minute else { return Duration::ZERO };
        let (capacity, per_second) = (f64::from(limit), f64::from(limit) / 60.0);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let refilled = state.0 + now.saturating_duration_since(state.1).as_secs_f64() * per_second;
        *state = (refilled.min(capacity) - 1.0, now);
        if state.0 >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-state.0 / per_second) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            attempts: 5,
            base_delay: Duration::from_millis(500),
            calls_per_minute: None,
            ledger: None,
            call_timeout: Duration::from_secs(1),
            request_deadline: Duration::from_secs(1),
            source_deadline: Duration::from_secs(1),
            max_body: 1,
        }
    }

    #[test]
    fn backoff_obeys_the_source_and_never_spins() {
        for attempt in 1..40 {
            let own = policy().backoff(attempt, None);
            assert!(own >= Duration::from_millis(250) && own <= MAX_BACKOFF, "{own:?}");
            assert!(policy().backoff(attempt, Some(Duration::ZERO)) >= Duration::from_millis(250));
            let asked = policy().backoff(attempt, Some(Duration::from_secs(53)));
            assert!(asked >= Duration::from_secs(53) && asked <= Duration::from_millis(53_500));
        }
    }

    #[test]
    fn pace_allows_a_burst_and_then_spaces_evenly() {
        let pace = Pace::new(Some(30));
        let start = Instant::now();
        assert!((0..30).all(|_| pace.take(start) == Duration::ZERO));
        assert_eq!(pace.take(start).as_millis(), 2000);
        assert_eq!(pace.take(start).as_millis(), 4000);
        assert_eq!(pace.take(start + Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(Pace::new(None).take(start), Duration::ZERO);
    }
}
