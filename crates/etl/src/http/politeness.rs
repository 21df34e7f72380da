//! How often, how long and how fast a source is asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// What every client of the same API has called.
    pub(crate) turns: Arc<Turns>,
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

/// A minute, and a second more: calls do not all take equally long to arrive.
const WINDOW: Duration = Duration::from_secs(61);

/// When an API was called last, and when it is going to be, by all clients of this process: no more times than may be
/// within a window.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<VecDeque<Instant>>);

/// Lets no window have more calls than a minute may.
pub(crate) struct Pace {
    calls_per_minute: Option<u32>,
    turns: Arc<Turns>,
}

impl Pace {
    pub(crate) fn new(calls_per_minute: Option<u32>, turns: Arc<Turns>) -> Self {
        Self { calls_per_minute, turns }
    }

    /// Waits for a turn; takes none and returns `false` at once when it comes later than after `patience`.
    ///
    /// # Errors
    /// When a signal ends the run meanwhile.
    pub(super) fn wait(&self, patience: Duration, cancel: &Cancel) -> Result<bool, SourceError> {
        let wait = self.take(Instant::now(), patience);
        let is_cancelled =
            cancel.is_set() || wait.is_some_and(|wait| wait > Duration::ZERO && cancel.wait(wait));
        if is_cancelled { Err(cancelled()) } else { Ok(wait.is_some()) }
    }

    /// Takes the next turn, unless it comes later than after `patience`; returns how long it is until then.
    fn take(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let Some(limit) = self.calls_per_minute else { return Some(Duration::ZERO) };
        let mut turns = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = turns.len() as u64 >= u64::from(limit);
        let oldest = turns.front().filter(|_| is_full);
        let turn = oldest.map_or(now, |oldest| now.max(*oldest + WINDOW));
        let wait = turn.saturating_duration_since(now);
        if wait > patience {
            return None;
        }
        if is_full {
            turns.pop_front();
        }
        turns.push_back(turn);
        Some(wait)
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
            turns: Arc::default(),
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
    fn a_turn_that_comes_too_late_is_left_to_others() {
        let (pace, now) = (Pace::new(Some(1), Arc::default()), Instant::now());
        assert_eq!(pace.take(now, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(pace.take(now, Duration::from_secs(60)), None);
        assert_eq!(pace.take(now, WINDOW), Some(WINDOW));
    }

    #[test]
    fn no_minute_has_more_calls_than_it_may_whoever_makes_them() {
        let turns = Arc::default();
        let clients = [Pace::new(Some(6), Arc::clone(&turns)), Pace::new(Some(6), turns)];
        let mut now = Instant::now();
        let mut calls = Vec::new();
        for number in 0..40 {
            now += clients[number % 2].take(now, Duration::MAX).unwrap();
            calls.push(now);
            now += Duration::from_secs(number as u64 % 5);
        }
        assert!(calls.windows(7).all(|seven| seven[6] - seven[0] > Duration::from_secs(60)));
        assert!(calls[5] - calls[0] < Duration::from_secs(30), "what is free is given at once");
        let unlimited = Pace::new(None, Arc::default());
        assert!((0..100).all(|_| unlimited.take(now, Duration::ZERO) == Some(Duration::ZERO)));
    }
}
