//! One direction of a relay, and what is wrong with it.

use std::time::Duration;

use super::connection::End;
use crate::simulator::random::{below, hash};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the program to the server.
    Upstream,
    /// From the server to the program.
    Downstream,
}

/// A fault of one direction. Several can be on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toxic {
    /// Every block waits so long, and up to `jitter` longer.
    Latency {
        /// At least so long.
        delay: Duration,
        /// At most so much longer.
        jitter: Duration,
    },
    /// No more than so many bytes a second.
    Bandwidth(u64),
    /// Nothing arrives in larger pieces than this many bytes; their sizes vary.
    Slice(usize),
    /// Nothing arrives until it is lifted, and then all of it: an outage of the network.
    Silence,
    /// Every connection is closed in order as soon as so many bytes have been passed on, counted over all connections
    /// since the relay was started. Strikes once.
    CutAfter(u64),
    /// The same, but the connections are reset.
    ResetAfter(u64),
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) passed: u64,
    pub(super) silent: bool,
    delay: Duration,
    jitter: Duration,
    bytes_per_second: Option<u64>,
    slice: Option<usize>,
    end: Option<(u64, End)>,
    seed: u64,
    drawn: u64,
}

impl Lane {
    pub(super) fn seed(&mut self, seed: u64) {
        (self.seed, self.drawn) = (seed, 0);
    }

    pub(super) fn poison(&mut self, toxic: Toxic) {
        match toxic {
            Toxic::Latency { delay, jitter } => (self.delay, self.jitter) = (delay, jitter),
            Toxic::Bandwidth(rate) => self.bytes_per_second = Some(rate.max(1)),
            Toxic::Slice(bytes) => self.slice = Some(bytes.max(1)),
            Toxic::Silence => self.silent = true,
            Toxic::CutAfter(bytes) => self.end = Some((bytes, End::Close)),
            Toxic::ResetAfter(bytes) => self.end = Some((bytes, End::Reset)),
        }
    }

    pub(super) fn heal(&mut self) {
        let Self { passed, seed, drawn, .. } = *self;
        *self = Self { passed, seed, drawn, ..Self::default() };
    }

    /// How long a block has to wait before its first byte.
    pub(super) fn latency(&mut self) -> Duration {
        let micros = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        self.delay + Duration::from_micros(self.random(micros))
    }

    /// How many of the next bytes go in one piece, and how long they take.
    pub(super) fn piece(&mut self, wanted: usize) -> (usize, Duration) {
        let mut size = wanted;
        if let Some(largest) = self.slice {
            let varied = 1 + self.random(u64::try_from(largest).unwrap_or(u64::MAX));
            size = size.min(usize::try_from(varied).unwrap_or(usize::MAX)).min(largest);
        }
        if let Some((at, _)) = self.end {
            let left = usize::try_from(at.saturating_sub(self.passed)).unwrap_or(usize::MAX);
            // None left: the end is due, and these bytes are those that do not get through.
            size = size.min(left);
        }
        let Some(rate) = self.bytes_per_second else { return (size, Duration::ZERO) };
        // A tenth of a second's worth at a time.
        size = size.min(usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1));
        (size, Duration::from_secs_f64(size as f64 / rate as f64))
    }

    /// Whether the connections end here; says so once.
    pub(super) fn end_due(&mut self) -> Option<End> {
        let (_, end) = self.end.filter(|(at, _)| self.passed >= *at)?;
        self.end = None;
        Some(end)
    }

    fn random(&mut self, limit: u64) -> u64 {
        self.drawn += 1;
        below(hash(self.seed, &[self.drawn]), limit)
    }
}
