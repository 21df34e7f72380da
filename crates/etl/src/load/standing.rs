//! What stands against bytes that are read again: what newer bytes have said since, and what was removed on purpose.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use kasparro_core::store::kept;
use kasparro_core::store::observation::{Key, Stored};

use crate::source::Reread;

/// Of bytes that have just come, nothing stands against them.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Batches whose bytes were published later.
    newer: HashSet<i64>,
    pruned_before: Option<DateTime<Utc>>,
}

impl Standing {
    /// Against the observations that were found.
    pub(super) fn of(
        connection: &mut PgConnection,
        reread: Reread,
        found: &[(Key, Stored)],
    ) -> QueryResult<Self> {
        let batches: BTreeSet<i64> = found.iter().map(|(_, stored)| stored.batch_id).collect();
        let batches: Vec<i64> = batches.into_iter().collect();
        let published = kept::publications(connection, &batches)?.into_iter();
        let newer = published.filter(|(_, published)| *published > reread.published);
        Ok(Self { newer: newer.map(|(batch_id, _)| batch_id).collect(), pruned_before: reread.pruned_before })
    }

    /// Whether an observation says what newer bytes said.
    pub(super) fn is_newer(&self, stored: &Stored) -> bool {
        self.newer.contains(&stored.batch_id)
    }

    /// Whether what is not there was removed because of its age.
    pub(super) fn was_pruned(&self, observed_at: DateTime<Utc>) -> bool {
        self.pruned_before.is_some_and(|time| observed_at < time)
    }
}
