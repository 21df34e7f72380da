//! All that is known without looking at observations: sources, checkpoints and runs, as of one moment.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::stats::{self, Checkpoint, Run};
use super::version::{self, SourceState};

/// How many runs an overview holds.
pub const RECENT_RUNS: i64 = 10;

/// What the tables say apart from the observations; equal ones were read without a commit in between, as far as
/// anything in them is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Every source by name: the version of the data.
    pub sources: Vec<SourceState>,
    /// The checkpoint of every source, by name.
    pub checkpoints: Vec<Checkpoint>,
    /// The newest [`RECENT_RUNS`] runs, newest first.
    pub recent_runs: Vec<Run>,
    /// When the newest successful run ended, UTC; `None` when there is none.
    pub last_successful_run: Option<DateTime<Utc>>,
}

/// Reads the overview in one snapshot.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut PgConnection) -> QueryResult<Overview> {
    connection.build_transaction().read_only().repeatable_read().run(|connection| {
        Ok(Overview {
            sources: version::sources(connection)?,
            checkpoints: stats::checkpoints(connection)?,
            recent_runs: stats::recent_runs(connection, RECENT_RUNS)?,
            last_successful_run: stats::last_successful_run(connection)?,
        })
    })
}
