//! All that is known without looking at observations: sources, checkpoints and runs, as of one moment.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::NamedRow;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, deserialize};

use super::source;
use super::statement::Statement;
use super::stats::{Checkpoint, Run};
use super::version::SourceState;

/// How many runs an overview holds.
pub const RECENT_RUNS: i64 = 10;

/// What the tables say apart from the observations; equal ones were read without a commit in between, as far as
/// anything in them is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Every source by name: the version of the data.
    pub sources: Arc<[SourceState]>,
    /// The checkpoint of every source, by name.
    pub checkpoints: Vec<Checkpoint>,
    /// The newest [`RECENT_RUNS`] runs, newest first.
    pub recent_runs: Vec<Run>,
    /// When the newest successful run that read the sources themselves ended, UTC; `None` when there is none.
    pub last_successful_run: Option<DateTime<Utc>>,
}

/// Reads the overview by one statement, which is one snapshot wherever it is asked, and one round trip.
///
/// # Errors
/// What the database says.
pub fn load(connection: &mut PgConnection) -> QueryResult<Overview> {
    let parts: Vec<Part> = Statement::new(PARTS.to_owned())
        .bind::<Text, _>(source::MARKET)
        .bind::<BigInt, _>(RECENT_RUNS)
        .load(connection)?;
    let mut sources = Vec::new();
    let (mut checkpoints, mut recent_runs, mut last_successful_run) = (Vec::new(), Vec::new(), None);
    for part in parts {
        match part {
            Part::Source(source) => sources.push(source),
            Part::Checkpoint(checkpoint) => checkpoints.push(checkpoint),
            Part::Run(run) => recent_runs.push(run),
            Part::LastSuccess(ended_at) => last_successful_run = ended_at,
        }
    }
    // The parts of a union come in no order.
    sources.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    checkpoints.sort_unstable_by(|a, b| a.source.cmp(&b.source));
    recent_runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.run_id));
    Ok(Overview { sources: sources.into(), checkpoints, recent_runs, last_successful_run })
}

/// One row of the statement.
enum Part {
    Source(SourceState),
    Checkpoint(Checkpoint),
    Run(Run),
    LastSuccess(Option<DateTime<Utc>>),
}

const SOURCE: i32 = 0;
const CHECKPOINT: i32 = 1;
const RUN: i32 = 2;

/// Columns: part, key, name, kind, two counts, batch number, two times, success.
const PARTS: &str = "\
    select 0, source_id::bigint, name, kind, observations, raw_records, batch_number, last_batch_at, null::timestamptz, \
        null::boolean \
    from data_sources \
    union all select 1, 0, c.source, '', 0, 0, 0, c.last_processed_timestamp, c.updated_at, null \
    from etl_checkpoints c join data_sources s on s.name = c.source where s.kind = $1 \
    union all (select 2, run_id, source, '', records_processed, 0, 0, started_at, ended_at, success \
    from etl_runs order by run_id desc limit $2) \
    union all (select 3, 0, '', '', 0, 0, 0, ended_at, null, null \
    from etl_runs where success and not is_reprocess order by run_id desc limit 1)";

impl QueryableByName<Pg> for Part {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        let (key, name): (i64, String) = (row.get_value::<BigInt, _, _>(1)?, row.get_value::<Text, _, _>(2)?);
        let first_count = row.get_value::<BigInt, _, _>(4)?;
        let first_time: Option<DateTime<Utc>> = row.get_value::<Nullable<Timestamptz>, _, _>(7)?;
        Ok(match row.get_value::<Integer, i32, _>(0)? {
            SOURCE => Self::Source(SourceState {
                source_id: i16::try_from(key)?,
                name,
                kind: row.get_value::<Text, _, _>(3)?,
                observations: first_count,
                raw_records: row.get_value::<BigInt, _, _>(5)?,
                batch_number: row.get_value::<BigInt, _, _>(6)?,
                last_batch_at: first_time,
            }),
            CHECKPOINT => Self::Checkpoint(Checkpoint {
                source: name,
                last_processed_timestamp: first_time,
                updated_at: row.get_value::<Timestamptz, _, _>(8)?,
            }),
            RUN => Self::Run(Run {
                run_id: key,
                source: name,
                success: row.get_value::<Nullable<Bool>, _, _>(9)?,
                records_processed: first_count,
                started_at: row.get_value::<Timestamptz, _, _>(7)?,
                ended_at: row.get_value::<Nullable<Timestamptz>, _, _>(8)?,
            }),
            _ => Self::LastSuccess(first_time),
        })
    }
}
