//! How long a request and a source may take.

use std::fmt;
use std::time::{Duration, Instant};

use super::answer::Failed;

/// When something has to be over, and by which setting.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    end: Instant,
    /// What it is set for.
    what: &'static str,
    allowed: Duration,
    setting: &'static str,
}

impl Deadline {
    pub(super) fn after(allowed: Duration, what: &'static str, setting: &'static str) -> Self {
        Self { end: Instant::now() + allowed, what, allowed, setting }
    }

    pub(super) fn or_sooner(self, other: Self) -> Self {
        if other.end < self.end { other } else { self }
    }

    pub(super) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// A failure; what might have come with more time is said to have been too slow.
    pub(super) fn explain(&self, failed: Failed) -> Failed {
        let is_late = failed.transient && self.left().is_zero();
        if is_late { Failed { message: self.to_string(), ..failed } } else { failed }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, allowed, setting, .. } = self;
        write!(f, "the {what} took longer than {} s ({setting})", allowed.as_secs_f64())
    }
}
