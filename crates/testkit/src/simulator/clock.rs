//! What tick it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::universe::Universe;

/// The simulator's own time, counted in ticks.
#[derive(Debug)]
pub(crate) enum Clock {
    /// Moved by the test.
    ByHand(AtomicI64),
    /// Moved by the wall clock. Ticks are counted from 1970, so a restarted simulator goes on where the last one was.
    ByWall { tick_length: Duration },
}

impl Clock {
    pub(crate) fn by_hand() -> Self {
        Self::ByHand(AtomicI64::new(0))
    }

    /// A clock that follows the wall clock, and the universe with the base time and tick length that go with it.
    pub(crate) fn by_wall(universe: Universe, tick_length: Duration) -> (Self, Universe) {
        let tick_length = Duration::from_secs(tick_length.as_secs().max(1));
        let universe = universe.base_time(DateTime::UNIX_EPOCH).tick_length(tick_length);
        (Self::ByWall { tick_length }, universe)
    }

    pub(crate) fn tick(&self) -> i64 {
        match self {
            Self::ByHand(tick) => tick.load(Ordering::SeqCst),
            Self::ByWall { tick_length } => {
                let length = i64::try_from(tick_length.as_secs()).unwrap_or(i64::MAX).max(1);
                Utc::now().timestamp().div_euclid(length)
            }
        }
    }

    /// Moves a clock that is moved by hand; the wall's goes its own way.
    pub(crate) fn advance(&self, ticks: i64) {
        if let Self::ByHand(tick) = self {
            tick.fetch_add(ticks, Ordering::SeqCst);
        }
    }
}
