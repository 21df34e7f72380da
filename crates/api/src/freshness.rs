//! How old the data of each source is, and whether that is too old.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kasparro_core::store::overview::Overview;
use serde::Serialize;
use utoipa::ToSchema;

use crate::sources;

/// After how long without a load a source is too old. A file is as old as it is: the source `csv` never is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound(pub(crate) Duration);

/// How old the data of a source is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Freshness {
    /// Name of the source.
    #[schema(example = "coinpaprika")]
    source: String,
    /// When it was loaded last, UTC; null before the first time.
    #[schema(example = "2026-11-23T15:00:03.512345Z")]
    last_update: Option<DateTime<Utc>>,
    /// Seconds since then; null before the first time.
    #[schema(example = 61, minimum = 0)]
    age_seconds: Option<i64>,
    /// Whether that is too long.
    #[schema(example = false)]
    degraded: bool,
}

impl Bound {
    /// Every source by name, as of now.
    pub(crate) fn freshness(self, overview: &Overview, now: DateTime<Utc>) -> Vec<Freshness> {
        let of_source = |name: &String| {
            let checkpoint = overview.checkpoints.iter().find(|checkpoint| checkpoint.source == *name);
            let last_update = checkpoint.map(|checkpoint| checkpoint.updated_at);
            Freshness {
                source: name.clone(),
                last_update,
                age_seconds: last_update.map(|time| (now - time).num_seconds().max(0)),
                degraded: last_update.is_some_and(|time| self.is_exceeded(name, time, now)),
            }
        };
        overview
            .sources
            .iter()
            .filter(|source| source.is_market())
            .map(|source| of_source(&source.name))
            .collect()
    }

    /// Names of the sources that are too old now.
    pub(crate) fn degraded(self, overview: &Overview, now: DateTime<Utc>) -> Vec<&str> {
        let old = overview.checkpoints.iter().filter(|c| self.is_exceeded(&c.source, c.updated_at, now));
        old.map(|checkpoint| checkpoint.source.as_str()).collect()
    }

    fn is_exceeded(self, source: &str, last_update: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        source != sources::CSV && (now - last_update).to_std().is_ok_and(|age| age > self.0)
    }
}

impl Freshness {
    /// Whether the source is too old.
    pub(crate) fn is_degraded(&self) -> bool {
        self.degraded
    }
}
